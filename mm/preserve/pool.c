// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool: whole pageblocks set apart, handed out folio by folio.
 *
 * A block comes from evacuation (evacuate.c), from the blocks that are lent out
 * (lend.c) or, after a kexec, from the previous kernel (boot.c). It is marked in
 * the pageblock flags, so the page allocator knows on freeing whose page it is.
 * Inside a block a bitmap says which frames are used; that is all the state a
 * frame has while it is free.
 *
 * Allocation packs: it first looks behind the caller's goal, so that the
 * neighbours in a file become neighbours in memory, then in blocks that are
 * already partly used, and opens an idle block last. Metadata (records, maps) has
 * blocks of its own as long as there is room, so that compaction, which moves
 * folios only, can empty the others. A few frames a block are kept for it, so that
 * a pool full of data can still be preserved.
 *
 * Single frames pass through a cache per CPU: it holds the runs that follow the
 * last goals, and what was freed here last.
 *
 * An allocation that may sleep and finds its node short asks size.c for more
 * blocks once; otherwise failing is cheap and touches nobody.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/bitmap.h>
#include <linux/cpuset.h>
#include <linux/fault-inject.h>
#include <linux/gfp.h>
#include <linux/kasan.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/preserve.h>

/* Frames for metadata in even the smallest pool. */
#define MIN_RESERVE	8

/* How many partly used blocks a search for a large folio looks into. */
#define SEARCH_LIMIT	16

/* Frames that a CPU takes in one go, to go on behind a goal. */
#define CACHE_RUN	16

/* Goals that a CPU can go on behind, in turn; and one run for who has no goal. */
#define CACHE_RUNS	5

/* Blocks that are let go of in one go, with interrupts off. */
#define BATCH		64

/* Looks at a folio that another task holds for a moment, before this one sleeps. */
#define SPINS		1000

/* In page->private of a frame that is free, but claimed for the next kernel. */
#define ORPHAN		0x4f525048UL

/* Freed frames that a CPU keeps at most. */
#define CACHE_SIZE	64

/**
 * struct frame_run - Free frames of one block.
 * @pfn: The next.
 * @end: Behind the last.
 */
struct frame_run {
	unsigned long pfn;
	unsigned long end;
};

/**
 * struct frame_cache - Free frames that a CPU has at hand.
 * @lock: Covers the other fields; interrupts off. Another CPU takes it to drain.
 * @nid:  The node that all of them are of.
 * @nr:   How many frames were freed here.
 * @next: The run that makes room for the next goal.
 * @pfn:  The freed ones, a stack.
 * @runs: What follows the last goals; the first is for who has none.
 *
 * The frames are marked as used in their blocks.
 */
struct frame_cache {
	spinlock_t lock;	/* covers all below */
	int nid;
	unsigned int nr;
	unsigned int next;
	unsigned long pfn[CACHE_SIZE];
	struct frame_run runs[CACHE_RUNS];
};

static DEFINE_PER_CPU(struct frame_cache, frame_cache);

/* A kernel that changes one of these must have us looked at. */
static_assert(__same_type(post_alloc_hook,
			  void(struct page *, unsigned int, gfp_t,
			       unsigned int)));
static_assert(__same_type(free_contig_frozen_range,
			  void(unsigned long, unsigned long)));

DEFINE_STATIC_KEY_FALSE(preserve_pool_key);

struct preserve_node preserve_nodes[MAX_NUMNODES];

/* struct preserve_block by pfn >> pageblock_order. */
static DEFINE_XARRAY(blocks);

static struct preserve_block *block_find(unsigned long pfn)
{
	return xa_load(&blocks, pfn >> pageblock_order);
}

/* The block that owns a frame, or NULL. */
struct preserve_block *preserve_block_find(unsigned long pfn)
{
	return block_find(pfn);
}

/**
 * preserve_block_next - Walk over all blocks, in the order of their frames.
 * @pfn: Where to begin.
 *
 * Context: preserve_header_lock or preserve_size_lock held, so that none leaves; or
 *          RCU, to look at it only.
 * Return: The first block at or behind @pfn, or NULL.
 */
struct preserve_block *preserve_block_next(unsigned long pfn)
{
	unsigned long index = pfn >> pageblock_order;

	return xa_find(&blocks, &index, ULONG_MAX, XA_PRESENT);
}

static struct preserve_node *block_node(const struct preserve_block *block)
{
	return &preserve_nodes[pfn_to_nid(block->pfn)];
}

static struct preserve_block *idle_block(struct rb_node *rb)
{
	return rb_entry_safe(rb, struct preserve_block, idle);
}

static bool idle_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct preserve_block, idle)->pfn <
	       rb_entry(b, struct preserve_block, idle)->pfn;
}

static bool block_is_idle(const struct preserve_block *block)
{
	return block->nr_free == pageblock_nr_pages && !block->target;
}

/*
 * The list that fits @block's fill; NULL for the tree of idle blocks. Context: node
 * lock held.
 */
static struct list_head *block_home(struct preserve_node *node,
				    const struct preserve_block *block)
{
	if (block->target)
		return block->leaving ? &node->leaving : &node->target;
	if (!block->nr_free)
		return &node->full;
	if (block_is_idle(block))
		return NULL;
	return block->metadata ? &node->metadata : &node->partial;
}

/* Context: node lock held. */
static void block_link(struct preserve_node *node, struct preserve_block *block,
		       struct list_head *home)
{
	if (home) {
		list_add(&block->list, home);
		return;
	}
	/* What it is used for next is not known yet. */
	block->metadata = false;
	rb_add_cached(&block->idle, &node->idle, idle_less);
	node->nr_idle++;
}

/* Context: node lock held; @home is where it is. */
static void block_unlink(struct preserve_node *node,
			 struct preserve_block *block, struct list_head *home)
{
	if (home) {
		list_del(&block->list);
		return;
	}
	rb_erase_cached(&block->idle, &node->idle);
	node->nr_idle--;
}

/* Sets a block apart for compaction, or ends that. Context: node lock held. */
static void block_set_target(struct preserve_node *node,
			     struct preserve_block *block, bool target)
{
	block_unlink(node, block, block_home(node, block));
	block->target = target;
	block_link(node, block, block_home(node, block));
}

/* Context: node lock held. */
static void block_mark(struct preserve_node *node, struct preserve_block *block,
		       unsigned long bit, unsigned long nr, bool used)
{
	struct list_head *was = block_home(node, block);
	struct list_head *now;

	if (used) {
		bitmap_set(block->used, bit, nr);
		block->nr_free -= nr;
		node->nr_free -= nr;
	} else {
		bitmap_clear(block->used, bit, nr);
		block->nr_free += nr;
		node->nr_free += nr;
	}

	now = block_home(node, block);
	if (now == was)
		return;
	block_unlink(node, block, was);
	block_link(node, block, now);
}

/* Puts @block on its node. Context: node lock held. */
static void block_enter(struct preserve_node *node,
			struct preserve_block *block)
{
	struct list_head *home = block_home(node, block);

	block->pooled = true;
	/* Behind the others: what is adopted comes in order, lowest first. */
	block_link(node, block, home);
	if (home)
		list_move_tail(&block->list, home);
	node->nr_blocks++;
	node->nr_free += block->nr_free;
}

/* Takes an idle block off its node. Context: node lock held. */
static void block_leave(struct preserve_node *node,
			struct preserve_block *block)
{
	block->pooled = false;
	block_unlink(node, block, NULL);
	node->nr_blocks--;
	node->nr_free -= pageblock_nr_pages;
}

static bool block_fits(const struct preserve_block *block, unsigned long bit,
		       unsigned long nr)
{
	if (bit + nr > pageblock_nr_pages)
		return false;
	return find_next_bit(block->used, bit + nr, bit) >= bit + nr;
}

/* An aligned free run of @nr frames in @block, or -1. */
static long block_search(struct preserve_block *block, unsigned long nr)
{
	unsigned long bit;

	if (block->nr_free < nr)
		return -1;
	if (nr == 1)
		return find_first_zero_bit(block->used, pageblock_nr_pages);

	bit = bitmap_find_next_zero_area(block->used, pageblock_nr_pages, 0,
					 nr, nr - 1);
	return bit < pageblock_nr_pages ? (long)bit : -1;
}

/* Context: node lock held. Returns the first pfn, or 0. */
static unsigned long node_take_goal(struct preserve_node *node,
				    unsigned long nr, unsigned long goal)
{
	struct preserve_block *block;
	unsigned long bit;

	if (!goal || !IS_ALIGNED(goal, nr))
		return 0;
	block = block_find(goal);
	if (!block || block_node(block) != node || !block->pooled ||
	    block->target)
		return 0;
	bit = goal - block->pfn;
	if (!block_fits(block, bit, nr))
		return 0;
	block_mark(node, block, bit, nr, true);
	return goal;
}

/*
 * Takes @nr frames from the blocks of one list, at the start of a free run of
 * @run. Context: node lock held.
 */
static unsigned long list_take(struct preserve_node *node,
			       struct list_head *list, unsigned long nr,
			       unsigned long run)
{
	unsigned int looked = 0;
	struct preserve_block *block;
	long bit;

	list_for_each_entry(block, list, list) {
		bit = block_search(block, run);
		if (bit >= 0) {
			block_mark(node, block, bit, nr, true);
			return block->pfn + bit;
		}
		if (++looked == SEARCH_LIMIT)
			break;
	}
	return 0;
}

static unsigned long idle_take(struct preserve_node *node, unsigned long nr,
			       bool metadata)
{
	struct preserve_block *block = idle_block(rb_first_cached(&node->idle));

	if (!block)
		return 0;
	block->metadata = metadata;
	block_mark(node, block, 0, nr, true);
	return block->pfn;
}

/* Context: node lock held. Returns the first pfn, or 0. */
static unsigned long node_take(struct preserve_node *node, unsigned long nr,
			       bool metadata)
{
	struct list_head *own = metadata ? &node->metadata : &node->partial;
	struct list_head *other = metadata ? &node->partial : &node->metadata;
	unsigned long pfn = 0;

	if (nr < pageblock_nr_pages)
		pfn = list_take(node, own, nr, nr);
	if (!pfn)
		pfn = idle_take(node, nr, metadata);
	if (!pfn && nr < pageblock_nr_pages)
		pfn = list_take(node, other, nr, nr);
	return pfn;
}

/* The start of a run for a new file. Context: node lock held. */
static unsigned long node_take_new(struct preserve_node *node)
{
	unsigned long pfn = list_take(node, &node->partial, 1, CACHE_RUN);

	return pfn ?: idle_take(node, 1, false);
}

/**
 * preserve_node_reserve - Count the frames that data may not use.
 * @node: The node.
 *
 * A file map takes at most 16 bytes for a lone frame, so two pages for a block of nothing
 * but lone frames.
 *
 * Context: Any.
 * Return: Frames.
 */
unsigned long preserve_node_reserve(const struct preserve_node *node)
{
	return 2 * READ_ONCE(node->nr_blocks) + MIN_RESERVE;
}

/**
 * preserve_pool_has_room - Is there room for data in idle blocks?
 * @nid: The node.
 * @nr:  Frames.
 *
 * Context: Any. A glance.
 * Return: False if an allocation would find too little, or only what is kept for
 *         metadata.
 */
bool preserve_pool_has_room(int nid, unsigned long nr)
{
	const struct preserve_node *node = &preserve_nodes[nid];

	return READ_ONCE(node->nr_idle) >= max(nr >> pageblock_order, 1UL) &&
	       READ_ONCE(node->nr_free) >= nr + preserve_node_reserve(node);
}

static bool any_set(const unsigned long *map, unsigned long bit,
		    unsigned long nr)
{
	return find_next_bit(map, bit + nr, bit) < bit + nr;
}

/* Frees what may be used again. Context: node lock held. */
static void node_free_some(struct preserve_node *node,
			   struct preserve_block *block, unsigned long bit,
			   unsigned long nr)
{
	for (; nr; nr--, bit++) {
		if (block->bad && test_bit(bit, block->bad))
			continue;
		if (test_bit(bit, block->claimed)) {
			pfn_to_page(block->pfn + bit)->private = ORPHAN;
			block->nr_orphans++;
			continue;
		}
		block_mark(node, block, bit, 1, false);
	}
}

/* Context: node lock held. */
static void node_free(struct preserve_node *node, unsigned long pfn,
		      unsigned long nr)
{
	struct preserve_block *block = block_find(pfn);
	unsigned long bit = pfn - block->pfn;

	if (unlikely(block->bad) ||
	    (block->nr_claimed && any_set(block->claimed, bit, nr)))
		node_free_some(node, block, bit, nr);
	else
		block_mark(node, block, bit, nr, false);
}

/* Context: node lock held. */
static unsigned long node_alloc(struct preserve_node *node, unsigned int order,
				unsigned long goal, bool metadata)
{
	unsigned long nr = 1UL << order;
	unsigned long pfn;

	if (node->nr_free < nr + (metadata ? 0 : preserve_node_reserve(node)))
		return 0;
	if (goal == PRESERVE_GOAL_NEW)
		pfn = order ? 0 : node_take_new(node);
	else
		pfn = node_take_goal(node, nr, goal);
	return pfn ?: node_take(node, nr, metadata);
}

/* Context: cache lock and the node's held. */
static void run_drain(struct preserve_node *node, struct frame_run *run)
{
	if (run->pfn < run->end)
		node_free(node, run->pfn, run->end - run->pfn);
	run->pfn = run->end;
}

static bool cache_empty(const struct frame_cache *cache)
{
	unsigned int i;

	for (i = 0; i < CACHE_RUNS; i++)
		if (cache->runs[i].pfn < cache->runs[i].end)
			return false;
	return !cache->nr;
}

/* Gives all back. Context: cache lock held. */
static void cache_drain(struct frame_cache *cache)
{
	struct preserve_node *node = &preserve_nodes[cache->nid];
	unsigned int i;

	guard(spinlock)(&node->lock);
	while (cache->nr)
		node_free(node, cache->pfn[--cache->nr], 1);
	for (i = 0; i < CACHE_RUNS; i++)
		run_drain(node, &cache->runs[i]);
}

/*
 * Makes @run what follows @pfn in its block. Context: cache lock and the node's
 * held.
 */
static void run_follow(struct preserve_node *node, struct frame_run *run,
		       unsigned long pfn)
{
	struct preserve_block *block = block_find(pfn);
	unsigned long first = pfn + 1 - block->pfn, end;

	if (node->nr_free < preserve_node_reserve(node) + CACHE_RUN)
		return;
	end = min(first + CACHE_RUN - 1, pageblock_nr_pages);
	end = find_next_bit(block->used, end, first);
	if (first >= end)
		return;
	block_mark(node, block, first, end - first, true);
	run->pfn = pfn + 1;
	run->end = block->pfn + end;
}

/* A frame that is at hand, or 0. Context: cache lock held. */
static unsigned long cache_take(struct frame_cache *cache, unsigned long goal)
{
	struct frame_run *run = cache->runs;
	unsigned int i;

	if (cache->nr && (!goal || cache->pfn[cache->nr - 1] == goal))
		return cache->pfn[--cache->nr];
	if (!goal)
		return run->pfn < run->end ? run->pfn++ : 0;
	for (i = 1; i < CACHE_RUNS; i++)
		if (run[i].pfn == goal && run[i].pfn < run[i].end)
			return run[i].pfn++;
	return 0;
}

/* The run to refill for @goal. Context: cache lock held. */
static struct frame_run *cache_victim(struct frame_cache *cache,
				      unsigned long goal)
{
	if (!goal)
		return &cache->runs[0];
	cache->next = cache->next % (CACHE_RUNS - 1) + 1;
	return &cache->runs[cache->next];
}

/* A frame of @nid by way of this CPU's cache. */
static unsigned long cache_alloc(int nid, unsigned long goal)
{
	struct preserve_node *node = &preserve_nodes[nid];
	struct frame_cache *cache;
	unsigned long flags, pfn;
	struct frame_run *run;

	/* Any CPU's will do; most often it is this one's. */
	cache = raw_cpu_ptr(&frame_cache);
	spin_lock_irqsave(&cache->lock, flags);
	if (unlikely(cache->nid != nid)) {
		cache_drain(cache);
		cache->nid = nid;
	}
	pfn = cache_take(cache, goal);
	if (!pfn) {
		run = cache_victim(cache, goal);
		spin_lock(&node->lock);
		run_drain(node, run);
		pfn = node_alloc(node, 0, goal, false);
		if (pfn)
			run_follow(node, run, pfn);
		spin_unlock(&node->lock);
	}
	spin_unlock_irqrestore(&cache->lock, flags);
	return pfn;
}

/* Keeps a frame at hand; false if it is of another node than the others. */
static bool cache_free(unsigned long pfn, int nid)
{
	struct frame_cache *cache;
	unsigned long flags;
	bool kept;

	/* Any CPU's will do; most often it is this one's. */
	cache = raw_cpu_ptr(&frame_cache);
	spin_lock_irqsave(&cache->lock, flags);
	if (cache->nr == CACHE_SIZE)
		cache_drain(cache);
	kept = cache->nid == nid;
	if (kept)
		cache->pfn[cache->nr++] = pfn;
	spin_unlock_irqrestore(&cache->lock, flags);
	return kept;
}

/**
 * preserve_pool_drain - Put the frames that CPUs have at hand into their blocks.
 *
 * Context: Any.
 */
void preserve_pool_drain(void)
{
	struct frame_cache *cache;
	int cpu;

	for_each_possible_cpu(cpu) {
		cache = per_cpu_ptr(&frame_cache, cpu);
		guard(spinlock_irqsave)(&cache->lock);
		if (!cache_empty(cache))
			cache_drain(cache);
	}
}

/**
 * preserve_pool_at_hand - Count the frames that CPUs have at hand.
 *
 * They are marked as used in their blocks, and are free.
 *
 * Context: Any. A glance: no CPU is disturbed.
 * Return: How many, of all nodes.
 */
unsigned long preserve_pool_at_hand(void)
{
	const struct frame_cache *cache;
	unsigned long nr = 0, pfn, end;
	unsigned int i;
	int cpu;

	for_each_possible_cpu(cpu) {
		cache = per_cpu_ptr(&frame_cache, cpu);
		nr += READ_ONCE(cache->nr);
		for (i = 0; i < CACHE_RUNS; i++) {
			pfn = READ_ONCE(cache->runs[i].pfn);
			end = READ_ONCE(cache->runs[i].end);
			if (end > pfn && end - pfn <= CACHE_RUN)
				nr += end - pfn;
		}
	}
	return nr;
}

/* Frames of @nid only. Returns a pfn, or 0. */
static unsigned long frames_alloc_on(int nid, const struct preserve_request *rq)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long pfn;

	if (!rq->order && !rq->metadata) {
		pfn = cache_alloc(nid, rq->goal);
	} else {
		guard(spinlock_irqsave)(&node->lock);
		pfn = node_alloc(node, rq->order, rq->goal, rq->metadata);
	}
	if (unlikely(node->nr_idle < READ_ONCE(node->spare_low)) &&
	    time_after_eq(jiffies, READ_ONCE(node->not_before)))
		preserve_pool_kick(0);
	return pfn;
}

/* May the request have memory of this zone? */
static bool zone_suits(const struct preserve_request *rq, struct zone *zone)
{
	/* Metadata serves the kernel, whoever asks for it. */
	return rq->metadata || !cpusets_enabled() ||
	       cpuset_zone_allowed(zone, rq->gfp | __GFP_HARDWALL);
}

/*
 * Frames from the request's node, or from the nodes nearest to it that it allows.
 * With @more, blocks are gained for the first of them before the next is asked.
 */
static unsigned long frames_alloc(const struct preserve_request *rq, bool more)
{
	struct zonelist *zonelist = node_zonelist(rq->nid, rq->gfp);
	unsigned long nr = 1UL << rq->order;
	int last = NUMA_NO_NODE;
	struct zoneref *z;
	struct zone *zone;
	unsigned long pfn;

	for_each_zone_zonelist_nodemask(zone, z, zonelist, gfp_zone(rq->gfp),
					rq->nodemask) {
		if (zone_to_nid(zone) == last || !zone_suits(rq, zone))
			continue;
		last = zone_to_nid(zone);
		pfn = frames_alloc_on(last, rq);
		if (!pfn && more && preserve_pool_more(last, rq->gfp, nr))
			pfn = frames_alloc_on(last, rq);
		if (pfn)
			return pfn;
	}
	return 0;
}

/* Nodes that the request may have memory of, and the nearest. */
static int nodes_allowed(const struct preserve_request *rq, nodemask_t *nodes)
{
	struct zonelist *zonelist = node_zonelist(rq->nid, rq->gfp);
	int nearest = NUMA_NO_NODE;
	struct zoneref *z;
	struct zone *zone;

	nodes_clear(*nodes);
	for_each_zone_zonelist_nodemask(zone, z, zonelist, gfp_zone(rq->gfp),
					rq->nodemask) {
		if (!zone_suits(rq, zone))
			continue;
		node_set(zone_to_nid(zone), *nodes);
		if (nearest == NUMA_NO_NODE)
			nearest = zone_to_nid(zone);
	}
	return nearest;
}

/*
 * No node has a page at hand: gains blocks at any price on one of them, the nearest
 * first. False if none has more.
 */
static bool frames_insist(const struct preserve_request *rq)
{
	const unsigned long begin = jiffies;
	nodemask_t nodes;
	int nid, nearest = nodes_allowed(rq, &nodes);

	if (nearest == NUMA_NO_NODE)
		return false;
	if (preserve_pool_insist(nearest, &nodes, rq->gfp, begin))
		return true;
	for_each_node_mask(nid, nodes)
		if (nid != nearest &&
		    preserve_pool_insist(nid, &nodes, rq->gfp, begin))
			return true;
	return false;
}

/*
 * Gives @nr frames of one block back. Whatever the frames were used as must be
 * undone by now.
 */
static void frames_free(unsigned long pfn, unsigned long nr)
{
	struct preserve_node *node = &preserve_nodes[pfn_to_nid(pfn)];
	const struct preserve_block *block = block_find(pfn);

	/*
	 * Data that took the place of metadata would scatter, and keep the block in
	 * use; so would what comes into a block that is being emptied. Who frees a
	 * frame owns its bit in @claimed.
	 */
	if (nr > 1 || READ_ONCE(block->metadata) || READ_ONCE(block->target) ||
	    READ_ONCE(block->bad) || test_bit(pfn - block->pfn, block->claimed) ||
	    !cache_free(pfn, pfn_to_nid(pfn))) {
		guard(spinlock_irqsave)(&node->lock);
		node_free(node, pfn, nr);
	}
	if (unlikely(node->nr_idle > READ_ONCE(node->spare_high)))
		preserve_pool_kick(HZ);
}

/* A defective frame among them? */
static bool frames_defective(unsigned long pfn, unsigned long nr)
{
	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE) ||
	    likely(!atomic_long_read(&num_poisoned_pages)))
		return false;
	for (; nr; nr--, pfn++)
		if (PageHWPoison(pfn_to_page(pfn)))
			return true;
	return false;
}

/* Frees what is sound; a defective frame stays marked as used. */
static void frames_free_sound(struct page *page, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		if (!PageHWPoison(page + i))
			frames_free(page_to_pfn(page + i), 1);
}

/* The same of any number, which may span blocks. */
static void parts_free(unsigned long pfn, unsigned long nr)
{
	while (nr) {
		unsigned long part = min(nr, pageblock_end_pfn(pfn) - pfn);

		if (unlikely(frames_defective(pfn, part)))
			frames_free_sound(pfn_to_page(pfn), part);
		else
			frames_free(pfn, part);
		pfn += part;
		nr -= part;
	}
}

bool __preserve_pool_free(struct page *page, unsigned int order)
{
	unsigned long pfn = page_to_pfn(page);

	if (!get_pfnblock_bit(page, pfn, PB_preserve))
		return false;

	trace_preserve_free(pfn, order);
	parts_free(pfn, 1UL << order);
	return true;
}

/*
 * As frames_alloc(), but never a defective frame: those stay used for good. A large
 * folio can be smaller ones; a single page is refused when there is no more, not when
 * it is hard to have.
 */
static unsigned long frames_alloc_sound(const struct preserve_request *rq)
{
	bool more = gfpflags_allow_blocking(rq->gfp) && !rq->metadata;
	bool insist = more && !rq->order;
	bool drained = false;
	unsigned long pfn;

	if (should_fail_alloc_page(rq->gfp, rq->order) ||
	    rq->order > pageblock_order)
		return 0;
	for (;;) {
		pfn = frames_alloc(rq, more);
		if (!pfn && !drained) {
			drained = true;
			preserve_pool_drain();
			continue;
		}
		if (!pfn && insist) {
			/* One look more: a page may have been freed. */
			insist = frames_insist(rq);
			drained = insist;
			continue;
		}
		if (!pfn || likely(!frames_defective(pfn, 1UL << rq->order)))
			return pfn;
		frames_free_sound(pfn_to_page(pfn), 1UL << rq->order);
	}
}

/* Makes a folio of frames that are marked as used. */
static struct folio *frames_prepare(unsigned long pfn, unsigned int order,
				    gfp_t gfp)
{
	struct page *page = pfn_to_page(pfn);

	post_alloc_hook(page, order, gfp, ALLOC_DEFAULT);
	if (order)
		prep_compound_page(page, order);
	clear_page_pfmemalloc(page);
	set_page_refcounted(page);
	return page_rmappable_folio(page);
}

/**
 * preserve_alloc_folio - Allocate a folio from the pool.
 * @rq: What is asked for.
 *
 * Context: Any. With __GFP_DIRECT_RECLAIM in the request's gfp mask process
 *          context, and a pool that is short takes lent memory back or grows,
 *          which migrates pages: as for the page allocator, no folio may be
 *          locked by the caller.
 * Return: A folio with one reference, freed by its last folio_put(); NULL if the
 *         pool has no such run of frames.
 */
struct folio *preserve_alloc_folio(const struct preserve_request *rq)
{
	unsigned long pfn = frames_alloc_sound(rq);

	trace_preserve_alloc(pfn, rq->order, rq->nid);
	return pfn ? frames_prepare(pfn, rq->order, rq->gfp) : NULL;
}

/**
 * preserve_blocks_take - Take all frames of neighbouring idle blocks.
 * @pfn:       First frame of the first.
 * @nr_blocks: How many, on one node.
 *
 * Context: Process context, preserve_size_lock held.
 * Return: False if one is not idle: none is taken then.
 */
bool preserve_blocks_take(unsigned long pfn, unsigned long nr_blocks)
{
	struct preserve_node *node = &preserve_nodes[pfn_to_nid(pfn)];
	unsigned long i, at;

	guard(spinlock_irqsave)(&node->lock);
	for (i = 0, at = pfn; i < nr_blocks; i++, at += pageblock_nr_pages) {
		const struct preserve_block *block = block_find(at);

		if (!block || !block->pooled || block->target ||
		    block->nr_free < pageblock_nr_pages)
			return false;
	}
	for (i = 0, at = pfn; i < nr_blocks; i++, at += pageblock_nr_pages)
		block_mark(node, block_find(at), 0, pageblock_nr_pages, true);
	return true;
}

/**
 * preserve_target_folio - Make a folio of frames in a compaction target.
 * @pfn:   First frame, free, in a block that preserve_target_take() gave out.
 * @order: At most pageblock_order; @pfn is aligned to it.
 * @gfp:   As for the page allocator.
 *
 * Context: Any.
 * Return: A folio with one reference, or NULL if one of the frames is in use or
 *         defective.
 */
struct folio *preserve_target_folio(unsigned long pfn, unsigned int order,
				    gfp_t gfp)
{
	struct preserve_block *block = block_find(pfn);
	struct preserve_node *node = block_node(block);

	if (frames_defective(pfn, 1UL << order))
		return NULL;
	scoped_guard(spinlock_irqsave, &node->lock) {
		if (!block_fits(block, pfn - block->pfn, 1UL << order))
			return NULL;
		block_mark(node, block, pfn - block->pfn, 1UL << order, true);
	}
	return frames_prepare(pfn, order, gfp);
}

/**
 * preserve_target_take - Set an idle block apart as a target of compaction.
 * @nid:   Its node.
 * @after: Take the block at this pfn if it is idle; 0 for any, lowest first.
 *
 * Only preserve_target_folio() allocates from it until preserve_targets_put().
 *
 * Context: Process context.
 * Return: Its first pfn, or 0.
 */
unsigned long preserve_target_take(int nid, unsigned long after)
{
	struct preserve_node *node = &preserve_nodes[nid];
	struct preserve_block *block;

	guard(spinlock_irqsave)(&node->lock);
	block = after ? block_find(after) :
			idle_block(rb_first_cached(&node->idle));
	if (!block || block_node(block) != node || !block->pooled ||
	    !block_is_idle(block))
		return 0;
	block_set_target(node, block, true);
	return block->pfn;
}

/* Blocks by how many of their frames are free. */
#define FILLS	64

/**
 * struct emptiest - Blocks of a node that are to be emptied.
 * @node:    The node.
 * @nr:      How many blocks for data have free frames.
 * @room:    Those free frames.
 * @by_fill: Blocks by fill, the emptiest last.
 * @fill:    Those that are emptier are taken ...
 * @rest:    ... and so many of these.
 * @most:    How many may be.
 * @taken:   How many are.
 */
struct emptiest {
	struct preserve_node *node;
	unsigned long nr;
	unsigned long room;
	unsigned long by_fill[FILLS];
	unsigned int fill;
	unsigned long rest;
	unsigned long most;
	unsigned long taken;
};

static unsigned int block_fill(const struct preserve_block *block)
{
	return READ_ONCE(block->nr_free) * FILLS / (pageblock_nr_pages + 1);
}

/* Does it have data, and free frames? A glance without the node's lock. */
static bool block_is_partial(const struct emptiest *em,
			     const struct preserve_block *block)
{
	return block_node(block) == em->node && READ_ONCE(block->pooled) &&
	       block_home(em->node, block) == &em->node->partial;
}

static void emptiest_count(struct emptiest *em, struct preserve_block *block)
{
	if (!block_is_partial(em, block))
		return;
	em->nr++;
	em->room += READ_ONCE(block->nr_free);
	em->by_fill[block_fill(block)]++;
}

static void emptiest_take(struct emptiest *em, struct preserve_block *block)
{
	unsigned int fill = block_fill(block);

	if (em->taken == em->most || !block_is_partial(em, block) ||
	    fill < em->fill || (fill == em->fill && !em->rest))
		return;
	guard(spinlock_irqsave)(&em->node->lock);
	if (!block_is_partial(em, block))
		return;
	em->rest -= fill == em->fill;
	block->leaving = true;
	block_set_target(em->node, block, true);
	em->taken++;
}

static void emptiest_walk(struct emptiest *em, int nid,
			  void (*fn)(struct emptiest *em,
				     struct preserve_block *block))
{
	unsigned long pfn = node_start_pfn(nid), end = node_end_pfn(nid);
	struct preserve_block *block;

	while (pfn < end && (block = preserve_block_next(pfn))) {
		fn(em, block);
		pfn = block->pfn + pageblock_nr_pages;
		cond_resched();
	}
}

/* Which ones are the @nr emptiest? */
static void emptiest_choose(struct emptiest *em, unsigned long nr)
{
	em->most = nr;
	em->fill = FILLS - 1;
	while (em->fill && em->by_fill[em->fill] < nr)
		nr -= em->by_fill[em->fill--];
	em->rest = nr;
}

/**
 * preserve_leave_emptiest - Set blocks apart that have few frames in use.
 * @nid:  Its node.
 * @part: One of so many that are partly used, at least one in all.
 *
 * They take at most half of the room that the others have: the rest is for writers.
 * Nothing is allocated from them until preserve_leave_end().
 *
 * Context: Process context, preserve_size_lock held.
 * Return: How many there are.
 */
unsigned long preserve_leave_emptiest(int nid, unsigned int part)
{
	struct emptiest em = { .node = &preserve_nodes[nid] };
	unsigned long reserve = preserve_node_reserve(em.node), most;

	emptiest_walk(&em, nid, emptiest_count);
	/* One that is emptied takes its own room with it. */
	most = em.room > reserve ? (em.room - reserve) >> pageblock_order : 0;
	if (!most)
		return 0;
	emptiest_choose(&em, min(max(em.nr / part, 1UL), max(most / 2, 1UL)));
	emptiest_walk(&em, nid, emptiest_take);
	return em.taken;
}

/**
 * preserve_block_leaves - Has preserve_leave_emptiest() set this block apart?
 * @pfn: Any frame of it.
 *
 * Context: Any; the answer lasts with preserve_size_lock held.
 * Return: True if it has.
 */
bool preserve_block_leaves(unsigned long pfn)
{
	struct preserve_block *block;

	guard(rcu)();
	block = block_find(pfn);
	return block && READ_ONCE(block->leaving);
}

/**
 * preserve_target_hold - Set a block apart that is not idle.
 * @pfn: Its first frame.
 *
 * Nothing is allocated from it until preserve_targets_put().
 *
 * Context: Process context.
 * Return: False if there is no such block.
 */
bool preserve_target_hold(unsigned long pfn)
{
	struct preserve_block *block = block_find(pfn);
	struct preserve_node *node;

	if (!block)
		return false;
	node = block_node(block);
	guard(spinlock_irqsave)(&node->lock);
	if (!block->pooled)
		return false;
	block_set_target(node, block, true);
	return true;
}

/* Lets go of some blocks of a list; false when none is left. */
static bool targets_put_some(struct preserve_node *node, struct list_head *list)
{
	struct preserve_block *block;
	unsigned int i;

	guard(spinlock_irqsave)(&node->lock);
	for (i = 0; i < BATCH; i++) {
		block = list_first_entry_or_null(list, struct preserve_block,
						 list);
		if (!block)
			return false;
		block_set_target(node, block, false);
		block->leaving = false;
	}
	return true;
}

/**
 * preserve_targets_put - Let everybody allocate again from all that was set apart.
 * @nid: The node.
 *
 * Context: Process context, preserve_size_lock held.
 */
void preserve_targets_put(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];

	while (targets_put_some(node, &node->target))
		cond_resched();
}

/**
 * preserve_leave_end - Undo preserve_leave_emptiest().
 * @nid: The node.
 *
 * Context: Process context, preserve_size_lock held.
 */
void preserve_leave_end(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];

	while (targets_put_some(node, &node->leaving))
		cond_resched();
}

/**
 * preserve_target_steal - Take a block that was set apart off its node.
 * @pfn: Its first frame.
 *
 * Context: Process context.
 * Return: As preserve_block_steal(); NULL if there is none, or it is not idle.
 */
struct preserve_block *preserve_target_steal(unsigned long pfn)
{
	struct preserve_block *block = block_find(pfn);
	struct preserve_node *node;

	if (!block)
		return NULL;
	node = block_node(block);
	guard(spinlock_irqsave)(&node->lock);
	if (!block->target || block->nr_free < pageblock_nr_pages)
		return NULL;
	block_set_target(node, block, false);
	block_leave(node, block);
	return block;
}

/* Context: node lock held. */
static bool all_used(const struct preserve_block *block, unsigned long bit,
		     unsigned long nr)
{
	if (!block->nr_free)
		return true;
	return find_next_zero_bit(block->used, bit + nr, bit) >= bit + nr;
}

/**
 * preserve_block_claim - Claim frames of one block, see preserve_claim().
 * @block: The block, in the pool.
 * @bit:   First frame.
 * @nr:    How many.
 *
 * Context: Any; takes the node's lock.
 * Return: 0; -EEXIST if one of them is claimed already, -ENXIO if one is not in use:
 *         nothing is changed then.
 */
int preserve_block_claim(struct preserve_block *block, unsigned long bit,
			 unsigned long nr)
{
	struct preserve_node *node = block_node(block);

	guard(spinlock_irqsave)(&node->lock);
	if (preserve_frozen)
		return 0;
	if (!block->pooled || !all_used(block, bit, nr))
		return -ENXIO;
	if (block->nr_claimed && any_set(block->claimed, bit, nr))
		return -EEXIST;
	bitmap_set(block->claimed, bit, nr);
	block->nr_claimed += nr;
	node->nr_claimed += nr;
	return 0;
}

/* Frees a frame if it was to be freed while it was claimed. */
static void orphan_free(struct preserve_node *node, struct preserve_block *block,
			unsigned long bit)
{
	struct page *page = pfn_to_page(block->pfn + bit);

	/* Any owner's page is counted, or part of a folio. */
	if (page->private != ORPHAN || page_count(page) || PageCompound(page))
		return;
	page->private = 0;
	block->nr_orphans--;
	if (!block->bad || !test_bit(bit, block->bad))
		block_mark(node, block, bit, 1, false);
}

/**
 * preserve_block_unclaim - Undo preserve_block_claim(), see preserve_unclaim().
 * @block: The block, in the pool.
 * @bit:   First frame.
 * @nr:    How many.
 *
 * Context: Any; takes the node's lock.
 */
void preserve_block_unclaim(struct preserve_block *block, unsigned long bit,
			    unsigned long nr)
{
	struct preserve_node *node = block_node(block);
	unsigned long end = bit + nr, at = bit, cleared = 0;

	guard(spinlock_irqsave)(&node->lock);
	if (preserve_frozen)
		return;
	if (nr == pageblock_nr_pages)
		cleared = block->nr_claimed;
	else
		for_each_set_bit_from(at, block->claimed, end)
			cleared++;
	block->nr_claimed -= cleared;
	node->nr_claimed -= cleared;
	if (unlikely(block->nr_orphans))
		for_each_set_bit_from(bit, block->claimed, end)
			orphan_free(node, block, bit);
	bitmap_clear(block->claimed, end - nr, nr);
}

/**
 * preserve_block_bad - Note that a frame of a block is defective.
 * @block: The block.
 * @bit:   The frame. If it is free it is taken away, so that the block is never idle
 *         again.
 *
 * Context: Any; takes the node's lock.
 * Return: 0; -EEXIST if that is known; -ENOENT if the block has left the pool;
 *         -ENOMEM if there is no memory to note it.
 */
int preserve_block_bad(struct preserve_block *block, unsigned long bit)
{
	struct preserve_node *node = block_node(block);
	unsigned long *map = NULL;
	int err = 0;

	if (!READ_ONCE(block->bad))
		map = bitmap_zalloc(pageblock_nr_pages, GFP_ATOMIC);
	scoped_guard(spinlock_irqsave, &node->lock) {
		if (!block->pooled) {
			err = -ENOENT;
			break;
		}
		if (!test_bit(bit, block->used))
			block_mark(node, block, bit, 1, true);
		if (!block->bad)
			swap(block->bad, map);
		if (!block->bad)
			err = -ENOMEM;
		else if (__test_and_set_bit(bit, block->bad))
			err = -EEXIST;
	}
	bitmap_free(map);
	return err;
}

/**
 * preserve_block_fill - How many frames of a block are in use?
 * @pfn: Any frame of it.
 *
 * Context: Any. A glance: the answer may be outdated.
 * Return: A number of pages.
 */
unsigned int preserve_block_fill(unsigned long pfn)
{
	struct preserve_block *block;

	guard(rcu)();
	block = block_find(pfn);
	return block ? pageblock_nr_pages - READ_ONCE(block->nr_free) : 0;
}

/**
 * preserve_page_get - A zeroed page of the pool, for metadata.
 *
 * Context: Any.
 * Return: The page's address, or NULL.
 */
void *preserve_page_get(void)
{
	const struct preserve_request rq = {
		.gfp = GFP_NOWAIT | __GFP_ZERO,
		.nid = numa_mem_id(),
		.metadata = true,
	};
	struct folio *folio = preserve_alloc_folio(&rq);

	return folio ? folio_address(folio) : NULL;
}

/**
 * preserve_page_put - Give a metadata page back, also one handed over.
 * @page: Its address.
 *
 * Context: Any.
 */
void preserve_page_put(void *page)
{
	put_page(virt_to_page(page));
}

static void *map_page_get(void *ctx)
{
	return preserve_page_get();
}

static void map_page_put(void *ctx, void *page)
{
	preserve_page_put(page);
}

const struct prmap_ops preserve_pool_map_ops = {
	.page_get = map_page_get,
	.page_put = map_page_put,
};

/* Makes free frames look to the debugging aids as freed pages do. */
static void frames_poison(unsigned long pfn, unsigned long nr)
{
	for (; nr; nr--, pfn++) {
		struct page *page = pfn_to_page(pfn);

		kernel_poison_pages(page, 1);
		/* Who allocates with init_on_free relies on zeroed free pages. */
		if (want_init_on_free())
			clear_highpage(page);
		kasan_poison_pages(page, 0, false);
		debug_pagealloc_unmap_pages(page, 1);
	}
}

/**
 * preserve_frames_put - Free frames that are live but have not become folios.
 * @pfn: First frame, reference count zero.
 * @nr:  How many; they may span blocks.
 *
 * Context: Any.
 */
void preserve_frames_put(unsigned long pfn, unsigned long nr)
{
	frames_poison(pfn, nr);
	parts_free(pfn, nr);
}

/**
 * preserve_frames_to_folio - Make a folio of live frames, content untouched.
 * @pfn:   First frame, aligned to @order, reference count zero.
 * @order: At most pageblock_order.
 *
 * The page allocator's own preparation would clear or check the content.
 *
 * Context: Any.
 * Return: A folio with one reference.
 */
struct folio *preserve_frames_to_folio(unsigned long pfn, unsigned int order)
{
	struct page *page = pfn_to_page(pfn);

	page->private = 0;
	clear_page_tag_ref(page);
	if (order)
		prep_compound_page(page, order);
	set_page_refcounted(page);
	if (order && unlikely(frames_defective(pfn, 1UL << order)))
		folio_set_has_hwpoisoned(page_folio(page));
	return page_rmappable_folio(page);
}

/**
 * preserve_folio_to_frames - Undo preserve_frames_to_folio(), content untouched.
 * @folio: With the one reference it was made with, and all else undone.
 *
 * Context: Process context, may sleep.
 */
void preserve_folio_to_frames(struct folio *folio)
{
	unsigned int i, nr = folio_nr_pages(folio), spins = 0;
	struct page *page = &folio->page;

	/* A walk over frames may hold it for a moment, and need this CPU. */
	while (!folio_ref_freeze(folio, 1)) {
		if (++spins % SPINS)
			cpu_relax();
		else
			schedule_timeout_uninterruptible(1);
	}
	if (nr == 1)
		return;
	folio_clear_has_hwpoisoned(folio);
	for (i = 1; i < nr; i++) {
		clear_compound_head(page + i);
		(page + i)->mapping = NULL;
	}
	page[1].flags.f &= ~PAGE_FLAGS_SECOND;
	__clear_bit(PG_head, &page->flags.f);
#ifdef NR_PAGES_IN_LARGE_FOLIO
	folio->_nr_pages = 0;
#endif
}

/**
 * preserve_pool_owns - Are all these frames in blocks of the pool?
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Context: Any.
 * Return: True if they are.
 */
bool preserve_pool_owns(unsigned long pfn, unsigned long nr)
{
	unsigned long end = pfn + nr;

	for (; pfn < end; pfn = pageblock_end_pfn(pfn))
		if (!block_find(pfn))
			return false;
	return true;
}

/**
 * preserve_block_alloc - Allocate the description of a block, and its place.
 * @pfn: First frame, pageblock aligned.
 *
 * Context: May sleep.
 * Return: A block with no frame used, owned by the caller, whose insertion cannot
 *         fail; NULL without memory.
 */
struct preserve_block *preserve_block_alloc(unsigned long pfn)
{
	struct preserve_block *block;

	block = kzalloc_obj(*block);
	if (!block)
		return NULL;
	if (xa_reserve(&blocks, pfn >> pageblock_order, GFP_KERNEL)) {
		kfree(block);
		return NULL;
	}
	block->pfn = pfn;
	block->nr_free = pageblock_nr_pages;
	return block;
}

/**
 * preserve_block_free - Undo preserve_block_alloc().
 * @block: Not in the pool.
 */
void preserve_block_free(struct preserve_block *block)
{
	xa_release(&blocks, block->pfn >> pageblock_order);
	bitmap_free(block->bad);
	kfree(block);
}

/* What has turned defective while the block was on no node. */
static void block_note_missed(const struct preserve_block *block)
{
	unsigned long i;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE) ||
	    likely(!atomic_long_read(&num_poisoned_pages)))
		return;
	for (i = 0; i < pageblock_nr_pages; i++)
		if (PageHWPoison(pfn_to_page(block->pfn + i)))
			preserve_note_poison(block->pfn + i);
}

/**
 * preserve_block_insert - Put a block into the pool.
 * @block: Its frames have reference count zero and belong to the caller; bits
 *         in @block->used mark live ones. The pool owns it afterwards.
 *
 * Context: May sleep.
 */
void preserve_block_insert(struct preserve_block *block)
{
	struct preserve_node *node = block_node(block);
	unsigned long bit, end;

	/* The place is reserved: this allocates nothing. */
	xa_store(&blocks, block->pfn >> pageblock_order, block, GFP_KERNEL);

	for_each_clear_bitrange(bit, end, block->used, pageblock_nr_pages)
		frames_poison(block->pfn + bit, end - bit);
	block->nr_free = pageblock_nr_pages -
			 bitmap_weight(block->used, pageblock_nr_pages);
	set_pfnblock_bit(pfn_to_page(block->pfn), block->pfn, PB_preserve);

	scoped_guard(spinlock_irqsave, &node->lock)
		block_enter(node, block);
	block_note_missed(block);
}

/**
 * preserve_block_steal - Take a node's highest idle block off it.
 * @nid: The node.
 *
 * The highest, so that the pool stays packed low.
 *
 * Context: Process context.
 * Return: The block, whose frames are then the caller's, or NULL.
 */
struct preserve_block *preserve_block_steal(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];
	struct preserve_block *block;

	guard(spinlock_irqsave)(&node->lock);
	block = idle_block(rb_last(&node->idle.rb_root));
	if (block)
		block_leave(node, block);
	return block;
}

/**
 * preserve_block_unsteal - Undo preserve_block_steal().
 * @block: The block.
 *
 * Context: Process context.
 */
void preserve_block_unsteal(struct preserve_block *block)
{
	struct preserve_node *node = block_node(block);

	scoped_guard(spinlock_irqsave, &node->lock)
		block_enter(node, block);
	block_note_missed(block);
}

/**
 * preserve_block_remove - Undo preserve_block_insert().
 * @block: Off its node. Freed.
 *
 * Its frames are ready for free_contig_frozen_range() afterwards.
 *
 * Context: Process context.
 */
void preserve_block_remove(struct preserve_block *block)
{
	struct page *page = pfn_to_page(block->pfn);

	xa_erase(&blocks, block->pfn >> pageblock_order);
	clear_pfnblock_bit(page, block->pfn, PB_preserve);
	debug_pagealloc_map_pages(page, pageblock_nr_pages);
	kfree_rcu(block, rcu);
}

/**
 * preserve_pool_stat - Add one node's state to @stat.
 * @nid:  The node.
 * @stat: Sums.
 *
 * Context: Any.
 */
void preserve_pool_stat(int nid, struct preserve_pool_stat *stat)
{
	struct preserve_node *node = &preserve_nodes[nid];

	guard(spinlock_irqsave)(&node->lock);
	stat->nr_blocks += node->nr_blocks;
	stat->nr_free += node->nr_free;
	stat->nr_idle_blocks += node->nr_idle;
	stat->nr_lent += node->nr_lent;
	stat->nr_claimed += node->nr_claimed;
}

static unsigned long bitmap_largest_free(const unsigned long *used)
{
	unsigned long bit, end, largest = 0;

	for_each_clear_bitrange(bit, end, used, pageblock_nr_pages)
		largest = max(largest, end - bit);
	return largest;
}

/*
 * The longest free run of the block at or behind *@pfn, if it is @node's; moves *@pfn
 * behind it. False behind the last block.
 */
static bool largest_free_next(struct preserve_node *node, unsigned long *pfn,
			      unsigned long *largest)
{
	struct preserve_block *block;

	guard(rcu)();
	block = preserve_block_next(*pfn);
	if (!block)
		return false;
	*pfn = block->pfn + pageblock_nr_pages;
	if (block_node(block) != node || READ_ONCE(block->nr_free) <= *largest)
		return true;
	guard(spinlock_irqsave)(&node->lock);
	if (block->pooled)
		*largest = max(*largest, bitmap_largest_free(block->used));
	return true;
}

/**
 * preserve_pool_largest_free - Look for the largest free run in one block.
 * @nid: The node.
 *
 * Looks at one block after the other, while they may change: for root.
 *
 * Context: Process context.
 * Return: Its length in pages.
 */
unsigned long preserve_pool_largest_free(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long largest = 0, pfn = node_start_pfn(nid);

	if (READ_ONCE(node->nr_idle))
		return pageblock_nr_pages;
	while (pfn < node_end_pfn(nid) &&
	       largest_free_next(node, &pfn, &largest))
		cond_resched();
	return largest;
}

void preserve_pool_enable(void)
{
	static_branch_enable(&preserve_pool_key);
}

void __init preserve_pool_init(void)
{
	int nid, cpu;

	for_each_possible_cpu(cpu)
		spin_lock_init(&per_cpu_ptr(&frame_cache, cpu)->lock);
	for (nid = 0; nid < MAX_NUMNODES; nid++) {
		spin_lock_init(&preserve_nodes[nid].lock);
		preserve_nodes[nid].idle = RB_ROOT_CACHED;
		INIT_LIST_HEAD(&preserve_nodes[nid].partial);
		INIT_LIST_HEAD(&preserve_nodes[nid].full);
		INIT_LIST_HEAD(&preserve_nodes[nid].metadata);
		INIT_LIST_HEAD(&preserve_nodes[nid].target);
		INIT_LIST_HEAD(&preserve_nodes[nid].leaving);
	}
}
