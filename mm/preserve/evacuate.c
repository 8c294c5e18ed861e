// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gaining pool blocks by moving other memory out of the way.
 *
 * Pageblocks are judged in areas of 1 GiB by what it takes to empty them: the
 * number of pages to migrate, or the reason why it cannot work. Areas that
 * already hold pool blocks come first, then those with the most usable blocks,
 * so that the pool fills whole GiBs and leaves others free for 1 GiB pages. Memory
 * below ZONE_NORMAL, which others may need for its address, comes last. Inside an
 * area the longest and cheapest contiguous run is taken first.
 *
 * alloc_contig_frozen_range() does the moving. A run that fails is tried again
 * in halves, down to single blocks; nothing is waited for beyond what it waits.
 * The judgement is a glance without locks: it saves work and may be wrong.
 */
#include <linux/gfp.h>
#include <linux/kexec_handover.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/page-isolation.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include <trace/events/preserve.h>

#include "../page_alloc.h"
#include "pool.h"

#define AREA_BLOCKS	(1U << (30 - PAGE_SHIFT - pageblock_order))
#define AREA_PAGES	(1UL << (30 - PAGE_SHIFT))

/*
 * Longest run that is emptied in one go: what moves away from a part of an area
 * would come to lie in the next part, and move again.
 */
#define RUN_BLOCKS	AREA_BLOCKS

/* This part of memory is left to others. */
#define MARGIN_PART	64

/* Areas that growth on demand looks at in one go. */
#define SOME_AREAS	2

/* It takes runs of so many blocks at least as they come ... */
#define LEAST_RUN	4U

/* ... where no more than this part of their pages has to move. */
#define CHEAP_PART	8

/*
 * Single blocks in a row that there is no memory to empty, before a search gives up.
 * It may be for one of them only: a huge page that nothing can replace.
 */
#define NOMEM_PATIENCE	8

#define EVACUATE_GFP	(GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)

/* In place of a cost, which is below: why a block is not to be had. */
enum {
	COST_PINNED = 0xfffc,
	COST_UNMOVABLE,
	COST_OURS,		/* in the pool already, or lent by it */
	COST_ABSENT,		/* no memory, or not for the pool */
};

/**
 * struct area - What one GiB has to offer.
 * @pfn:    Its first.
 * @low:    All of it is below ZONE_NORMAL.
 * @ours:   Blocks of the pool in it.
 * @usable: Blocks that can be emptied, as far as one can see.
 * @pages:  Pages to migrate for all of them.
 */
struct area {
	unsigned long pfn;
	bool low;
	unsigned int ours;
	unsigned int usable;
	unsigned long pages;
};

/**
 * struct search - One search for blocks.
 * @nid:  On this node.
 * @left: Blocks still wanted.
 * @done: Blocks gained.
 * @nomem: Blocks in a row that there was no memory to empty.
 * @stop: No sense in going on: no memory to move pages to, or a signal.
 * @cost: Of the present area's blocks.
 */
struct search {
	int nid;
	unsigned long left;
	unsigned long done;
	unsigned int nomem;
	bool stop;
	u16 cost[];
};

static struct search *search_alloc(int nid, unsigned long nr_blocks)
{
	struct search *s = kmalloc_flex(*s, cost, AREA_BLOCKS, GFP_KERNEL);

	if (s) {
		s->nid = nid;
		s->left = nr_blocks;
		s->done = 0;
		s->nomem = 0;
		s->stop = false;
	}
	return s;
}

static void count(struct search *s, enum preserve_evacuate_result result,
		  unsigned long nr)
{
	preserve_nodes[s->nid].evacuated[result] += nr;
}

/* Is all of this block memory of one zone of the node? */
static bool block_whole(unsigned long pfn, int nid)
{
	struct page *first = pfn_to_online_page(pfn);
	struct page *last = pfn_to_online_page(pfn + pageblock_nr_pages - 1);

	return first && last && page_to_nid(first) == nid &&
	       page_zone(first) == page_zone(last) &&
	       zone_spans_pfn(page_zone(first), pfn) &&
	       zone_spans_pfn(page_zone(last), page_to_pfn(last));
}

/* Can this block's memory be the pool's at all? */
static bool block_suitable(struct page *page, unsigned long pfn)
{
	return page_zonenum(page) <= ZONE_NORMAL &&
	       !is_migrate_isolate_page(page) && !is_migrate_cma_page(page) &&
	       !kho_scratch_overlap(PFN_PHYS(pfn), PAGE_SIZE << pageblock_order);
}

/* hugetlb's largest come from alloc_contig_frozen_range(), which does not move them. */
static bool page_is_gigantic(struct page *page)
{
	return PageHuge(page) &&
	       compound_order(compound_head(page)) > MAX_PAGE_ORDER;
}

/* A huge page without a user is hugetlb's all the same: another has to replace it. */
static bool page_is_free(struct page *page)
{
	return PageBuddy(page) ||
	       (!page_ref_count(compound_head(page)) && !PageHuge(page));
}

/*
 * Is the block free as a whole? It may lie behind the first page of a larger piece of the page
 * allocator's: then none of its own pages says so.
 */
static bool block_is_free(unsigned long pfn)
{
	unsigned int order;
	struct page *head;

	for (order = pageblock_order; order <= MAX_PAGE_ORDER; order++) {
		head = pfn_to_page(round_down(pfn, 1UL << order));
		if (PageBuddy(head) && buddy_order_unsafe(head) >= order)
			return true;
	}
	return false;
}

/* The number of pages to migrate, or one of COST_*. */
static u16 block_cost(unsigned long pfn, int nid)
{
	unsigned long i, step, cost = 0;
	struct page *page;

	if (!block_whole(pfn, nid) || preserve_is_spared(pfn))
		return COST_ABSENT;
	page = pfn_to_page(pfn);
	if (preserve_pool_block(page) || preserve_is_lent(pfn))
		return COST_OURS;
	if (!block_suitable(page, pfn))
		return COST_ABSENT;
	if (block_is_free(pfn))
		return 0;

	for (i = 0; i < pageblock_nr_pages; i += step) {
		page = pfn_to_page(pfn + i);
		step = 1;
		if (page_is_unmovable(page_zone(page), page,
				      PB_ISOLATE_MODE_OTHER, &step) ||
		    page_is_gigantic(page))
			return COST_UNMOVABLE;
		step = min(step, pageblock_nr_pages - i);
		if (page_is_free(page))
			continue;
		if (folio_maybe_dma_pinned(page_folio(page)))
			return COST_PINNED;
		cost += step;
	}
	return cost;
}

static u16 area_cost(const struct search *s, const struct area *a,
		     unsigned int i)
{
	return block_cost(a->pfn + ((unsigned long)i << pageblock_order),
			  s->nid);
}

/* Where a node's memory begins that is good for nothing special. */
static unsigned long normal_start(int nid)
{
	const struct zone *zone = &NODE_DATA(nid)->node_zones[ZONE_NORMAL];

	return populated_zone(zone) ? zone->zone_start_pfn :
				      node_start_pfn(nid);
}

static void area_judge(struct search *s, struct area *a, unsigned long pfn,
		       bool tally)
{
	unsigned int i;

	*a = (struct area) {
		.pfn = pfn,
		.low = pfn + AREA_PAGES <= normal_start(s->nid),
	};
	for (i = 0; i < AREA_BLOCKS; i++) {
		s->cost[i] = area_cost(s, a, i);
		if (s->cost[i] < COST_PINNED) {
			a->usable++;
			a->pages += s->cost[i];
		}
		a->ours += s->cost[i] == COST_OURS;
		if (tally && s->cost[i] == COST_PINNED)
			count(s, PRESERVE_EVACUATE_PINNED, 1);
		if (tally && s->cost[i] == COST_UNMOVABLE)
			count(s, PRESERVE_EVACUATE_UNMOVABLE, 1);
		if (!(i % 64))
			cond_resched();
	}
}

/**
 * preserve_memory_left - Would the system get on without these pages?
 * @nr_pages: What the pool is about to take.
 *
 * Memory that only movable allocations can use does not help the kernel itself: a
 * pool that takes the rest makes others fail.
 *
 * Context: Any.
 * Return: True if enough is left.
 */
bool preserve_memory_left(unsigned long nr_pages)
{
	long left = si_mem_available() - global_zone_page_state(NR_FREE_CMA_PAGES);

	return left > (long)(nr_pages + totalram_pages() / MARGIN_PART);
}

static unsigned long cost_sum(const u16 *cost, unsigned int nr)
{
	unsigned long sum = 0;

	while (nr--)
		sum += *cost++;
	return sum;
}

/* Are these blocks, each of which is of one zone, all of the same? */
static bool run_in_zone(unsigned long pfn, unsigned int nr)
{
	unsigned long last = pfn + ((unsigned long)(nr - 1) << pageblock_order);

	return page_zone(pfn_to_page(pfn)) == page_zone(pfn_to_page(last));
}

/*
 * One attempt at a run of blocks. The page allocator takes one zone's lock for all of it.
 * Context: as run_gain().
 */
static int run_try(struct search *s, unsigned long pfn, unsigned int nr,
		   unsigned long pages)
{
	unsigned long got;
	int err;

	if (fatal_signal_pending(current))
		return -EINTR;
	if (!run_in_zone(pfn, nr))
		return -EBUSY;
	if (!preserve_memory_left((unsigned long)nr << pageblock_order))
		return -ENOSPC;
	err = alloc_contig_frozen_range(pfn, pfn + ((unsigned long)nr << pageblock_order),
					ACR_FLAGS_NONE, EVACUATE_GFP);
	if (!err) {
		got = preserve_pool_add_blocks(pfn, nr);
		s->done += got;
		s->left -= got;
		count(s, PRESERVE_EVACUATE_DONE, got);
		preserve_nodes[s->nid].moved += pages;
		if (got < nr) {
			count(s, PRESERVE_EVACUATE_NOMEM, nr - got);
			s->stop = true;
		}
	}
	trace_preserve_evacuate(pfn, nr, pages, err);
	return err;
}

/* Gains what it can of the @nr blocks from index @first of the area on. */
static void run_gain(struct search *s, const struct area *a,
		     unsigned int first, unsigned int nr)
{
	unsigned long pfn = a->pfn + ((unsigned long)first << pageblock_order);
	u16 cost;
	int err;

	if (s->stop)
		return;
	err = run_try(s, pfn, nr, cost_sum(s->cost + first, nr));
	if (err != -ENOMEM)
		s->nomem = 0;
	if (!err)
		return;
	if (err == -EINTR) {
		s->stop = true;
		return;
	}
	if (nr > 1) {
		run_gain(s, a, first, nr / 2);
		run_gain(s, a, first + nr / 2, nr - nr / 2);
		return;
	}
	if (err == -ENOMEM || err == -ENOSPC) {
		count(s, PRESERVE_EVACUATE_NOMEM, 1);
		s->stop = err == -ENOSPC || ++s->nomem >= NOMEM_PATIENCE;
		return;
	}
	cost = block_cost(pfn, s->nid);
	count(s, cost == COST_PINNED ? PRESERVE_EVACUATE_PINNED :
		 cost == COST_UNMOVABLE ? PRESERVE_EVACUATE_UNMOVABLE :
					  PRESERVE_EVACUATE_BUSY, 1);
}

/*
 * The best run of at most @most blocks: the longest, and among those the
 * cheapest. Returns its length, 0 when nothing is left.
 */
static unsigned int run_pick(const struct search *s, unsigned int most,
			     unsigned int *first)
{
	unsigned int i, len = 0, best = 0;
	unsigned long sum = 0, best_sum = 0;

	for (i = 0; i < AREA_BLOCKS; i++) {
		if (s->cost[i] >= COST_PINNED) {
			len = 0;
			sum = 0;
			continue;
		}
		sum += s->cost[i];
		if (len == most)
			sum -= s->cost[i - most];
		else
			len++;
		if (len > best || (len == best && sum < best_sum)) {
			best = len;
			best_sum = sum;
			*first = i + 1 - len;
		}
	}
	return best;
}

static void area_gain(struct search *s, const struct area *a)
{
	unsigned int first, nr, i;

	while (s->left && !s->stop) {
		nr = run_pick(s, min(s->left, RUN_BLOCKS), &first);
		if (!nr)
			return;
		run_gain(s, a, first, nr);
		/* Tried: whatever became of it. */
		for (i = first; i < first + nr; i++)
			s->cost[i] = COST_OURS;
		cond_resched();
	}
}

/*
 * Gains runs that cost little as they come, from index *i of the area on; *i
 * is then where it has come to.
 */
static void area_skim(struct search *s, const struct area *a,
		      unsigned int *i)
{
	unsigned int nr = 0;
	bool cheap;

	for (; s->left && !s->stop && *i <= AREA_BLOCKS; ++*i) {
		cheap = false;
		if (*i < AREA_BLOCKS) {
			s->cost[*i] = area_cost(s, a, *i);
			cheap = s->cost[*i] <= pageblock_nr_pages / CHEAP_PART;
		}
		nr += cheap;
		if (nr && (nr == min(s->left, RUN_BLOCKS) ||
			   (!cheap && nr >= min(s->left, LEAST_RUN)))) {
			run_gain(s, a, *i + cheap - nr, nr);
			nr = 0;
		}
		if (!cheap)
			nr = 0;
		if (!(*i % 64))
			cond_resched();
	}
}

static int area_compare(const void *a, const void *b)
{
	const struct area *x = a, *y = b;
	/* An area may have a few blocks only, of 512 MiB each. */
	unsigned int step = max(AREA_BLOCKS / 8, 1U);

	if (!x->ours != !y->ours)
		return !x->ours - !y->ours;
	if (!x->usable != !y->usable)
		return !x->usable - !y->usable;
	if (x->low != y->low)
		return x->low - y->low;
	if (x->usable / step != y->usable / step)
		return y->usable / step - x->usable / step;
	if (x->pages != y->pages)
		return x->pages < y->pages ? -1 : 1;
	return x->pfn < y->pfn ? -1 : 1;
}

/**
 * preserve_can_evacuate - Could this block be gained?
 * @pfn: Its first frame.
 *
 * Context: Any. A glance.
 * Return: False if there is a reason why not.
 */
bool preserve_can_evacuate(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);

	return page && block_cost(pfn, page_to_nid(page)) < COST_PINNED;
}

/**
 * preserve_evacuate_at - Gain this block.
 * @pfn: Its first frame; preserve_can_evacuate() has said yes.
 *
 * Context: As preserve_evacuation_begin().
 * Return: Whether it worked.
 */
bool preserve_evacuate_at(unsigned long pfn)
{
	struct search *s = search_alloc(pfn_to_nid(pfn), 1);
	const struct area a = { .pfn = pfn };
	bool done;

	if (!s)
		return false;
	s->cost[0] = block_cost(pfn, s->nid);
	if (s->cost[0] < COST_PINNED)
		run_gain(s, &a, 0, 1);
	done = s->done;
	kfree(s);
	return done;
}

/**
 * struct preserve_evacuation - A search of all of a node's memory.
 * @search:  The blocks that it is for.
 * @areas:   All that there is, the best first.
 * @nr:      How many.
 * @next:    The one that is next.
 * @pfn:     First frame of the area that was tried last.
 */
struct preserve_evacuation {
	struct search *search;
	struct area *areas;
	unsigned long nr;
	unsigned long next;
	unsigned long pfn;
};

static void evacuation_free(struct preserve_evacuation *ev)
{
	kvfree(ev->areas);
	kfree(ev->search);
	kfree(ev);
}

/**
 * preserve_evacuation_begin - Judge all of a node's memory.
 * @nid:       The node.
 * @nr_blocks: How many are to be gained.
 *
 * Context: Process context, preserve_size_lock held, no folio locked.
 * Return: For preserve_evacuation_step() and preserve_evacuation_end(); NULL without
 *         memory.
 */
struct preserve_evacuation *preserve_evacuation_begin(int nid,
						      unsigned long nr_blocks)
{
	unsigned long pfn = round_down(node_start_pfn(nid), AREA_PAGES);
	unsigned long nr = DIV_ROUND_UP(node_end_pfn(nid) - pfn, AREA_PAGES), i;
	struct preserve_evacuation *ev = kzalloc_obj(*ev);

	if (!ev)
		return NULL;
	ev->search = search_alloc(nid, nr_blocks);
	ev->areas = kvmalloc_objs(*ev->areas, nr);
	if (!ev->search || !ev->areas) {
		evacuation_free(ev);
		return NULL;
	}
	for (i = 0; i < nr; i++)
		area_judge(ev->search, &ev->areas[i], pfn + i * AREA_PAGES,
			   false);
	sort(ev->areas, nr, sizeof(*ev->areas), area_compare, NULL);
	ev->nr = nr;
	ev->pfn = pfn;
	return ev;
}

/**
 * preserve_evacuation_step - Gain what one area has.
 * @ev: From preserve_evacuation_begin().
 *
 * Context: As there.
 * Return: True if it has tried an area; false if none is left or needed.
 */
bool preserve_evacuation_step(struct preserve_evacuation *ev)
{
	struct area *a = &ev->areas[ev->next];
	struct search *s = ev->search;

	if (ev->next == ev->nr || !s->left || s->stop)
		return false;
	ev->pfn = a->pfn;
	area_judge(s, a, ev->pfn, true);
	area_gain(s, a);
	ev->next++;
	return true;
}

/**
 * preserve_evacuation_lacks - Some of the blocks have come in another way.
 * @ev: From preserve_evacuation_begin().
 * @nr: How many fewer are needed.
 *
 * Context: As there.
 */
void preserve_evacuation_lacks(struct preserve_evacuation *ev, unsigned long nr)
{
	ev->search->left -= min(ev->search->left, nr);
}

/**
 * preserve_evacuation_end - The search is over.
 * @ev: From preserve_evacuation_begin(). Freed.
 *
 * Context: As there.
 * Return: How many blocks it has gained.
 */
unsigned long preserve_evacuation_end(struct preserve_evacuation *ev)
{
	unsigned long done = ev->search->done;

	preserve_nodes[ev->search->nid].area = ev->pfn;
	evacuation_free(ev);
	return done;
}

/**
 * preserve_evacuate_some - Gain a few blocks on a node, in bounded time.
 * @nid:       The node.
 * @nr_blocks: How many.
 *
 * Goes on where the last search ended. What costs little is taken as it comes,
 * else the best of a few areas, so that what a block costs to find does not
 * depend on how much memory there is.
 *
 * Context: As preserve_evacuation_begin().
 * Return: How many were gained.
 */
unsigned long preserve_evacuate_some(int nid, unsigned long nr_blocks)
{
	unsigned long start = round_down(node_start_pfn(nid), AREA_PAGES);
	struct preserve_node *node = &preserve_nodes[nid];
	struct search *s = search_alloc(nid, nr_blocks);
	unsigned long done, from = node->search ?: normal_start(nid);
	struct area a;
	unsigned int n, i;

	if (!s)
		return 0;
	for (n = 0; n < SOME_AREAS && s->left && !s->stop; n++) {
		if (from < start || from >= node_end_pfn(nid))
			from = start;
		a.pfn = round_down(from, AREA_PAGES);
		i = (from - a.pfn) >> pageblock_order;
		area_skim(s, &a, &i);
		from = a.pfn + ((unsigned long)i << pageblock_order);
	}
	node->search = from;
	for (n = 0; n < SOME_AREAS && s->left && !s->stop; n++) {
		if (node->area < start || node->area >= node_end_pfn(nid))
			node->area = start;
		area_judge(s, &a, node->area, true);
		area_gain(s, &a);
		if (s->left)
			node->area += AREA_PAGES;
	}
	done = s->done;
	kfree(s);
	return done;
}
