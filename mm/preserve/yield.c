// SPDX-License-Identifier: GPL-2.0-only
/*
 * Yielding: lent blocks that leave the pool where they are, for memory that no lent block
 * may serve.
 *
 * A page that is pinned for long may not lie in a lent block, so it moves away first; and
 * the kernel's own allocations find nothing there. When little is left elsewhere, pins
 * would fail and tasks would be killed beside free memory, as they would not without a
 * pool. So a block yields: it becomes ordinary memory with all that is in it, nothing
 * moves. The pool is smaller then, and the worker makes up for it when there is memory
 * again.
 *
 * Isolating the block puts its free pages on a list that no type has; the block's type is
 * changed behind that.
 */
#include <linux/cpuset.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/oom.h>
#include <linux/page-isolation.h>
#include <linux/preserve.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>

#include <trace/events/preserve.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "pool.h"

/* Blocks that leave in one go, before the OOM killer is asked again. */
#define YIELD_BLOCKS	16

/* When the worker tries to make up for it first. */
#define REGAIN_DELAY	(5 * HZ)

/* Memory that a pin leaves available when it moves pages: a part of all. */
#define PIN_PART	1024

/* Free pages that a block has to have, at first. */
#define WORTH		(pageblock_nr_pages / 2)

/* After a search in vain: so long, or so many times as long as it took. */
#define VAIN_PAUSE	((unsigned long)HZ)
#define VAIN_PART	4

/* Older searches say nothing of what is free now. */
#define SEARCH_AGE	(10 * HZ)

/*
 * One block yields at a time. Nothing is allocated under it: it is taken where memory has
 * run out.
 */
static DEFINE_MUTEX(yield_lock);

/* Blocks that have yielded. Written under yield_lock. */
unsigned long preserve_nr_yielded;

/* Context: yield_lock held; the block is isolated. */
static void block_set_movable(struct page *page)
{
	guard(spinlock_irqsave)(&page_zone(page)->lock);
	init_pageblock_migratetype(page, MIGRATE_MOVABLE, true);
}

/* Lets a claimed block leave. Context: yield_lock held. */
static bool block_leave(unsigned long pfn)
{
	const unsigned long end = pfn + pageblock_nr_pages;
	struct zone *zone = page_zone(pfn_to_page(pfn));

	if (start_isolate_page_range(pfn, end, PB_ISOLATE_MODE_CMA_ALLOC)) {
		preserve_lent_unclaim(pfn, 1);
		return false;
	}
	block_set_movable(pfn_to_page(pfn));
	undo_isolate_page_range(pfn, end);
	/* Now it is ordinary memory, which may go offline. */
	preserve_lent_end(pfn, zone);
	/* A CPU that sees it sees the pool without the block. */
	smp_store_release(&preserve_nr_yielded, preserve_nr_yielded + 1);
	trace_preserve_yield(pfn);
	preserve_pool_kick(REGAIN_DELAY);
	return true;
}

/* Is there memory to move pages to, other than lent blocks and KHO's scratch? */
static bool may_move(unsigned long nr_pages)
{
	long left = si_mem_available() - global_zone_page_state(NR_FREE_CMA_PAGES);

	return left > (long)(nr_pages + totalram_pages() / PIN_PART);
}

/* A folio of one block, in a zone where memory may be pinned for long? */
static bool may_stay(const struct folio *folio)
{
	return folio_order(folio) <= pageblock_order &&
	       !folio_is_zone_movable(folio);
}

/* Another of its kind may not be there, whatever is free. */
static bool is_scarce(const struct folio *folio)
{
	return folio_test_hugetlb(folio);
}

static bool folio_stay(struct folio *folio)
{
	unsigned long pfn = pageblock_start_pfn(folio_pfn(folio));

	guard(mutex)(&yield_lock);
	if (preserve_lent_claim(pfn, 1))
		return block_leave(pfn);
	/* It has yielded meanwhile, or the pool is taking it back. */
	return folio_is_longterm_pinnable(folio);
}

/* For preserve_yield_folio(). */
bool __preserve_yield_folio(struct folio *folio, unsigned long *moving)
{
	unsigned long nr = folio_nr_pages(folio);
	bool stays;

	if (preserve_folio_stays(folio))
		return true;
	if (!preserve_is_lent(pageblock_start_pfn(folio_pfn(folio))))
		stays = folio_is_longterm_pinnable(folio);
	else
		stays = may_stay(folio) &&
			(is_scarce(folio) || !may_move(*moving + nr)) &&
			folio_stay(folio);
	if (!stays)
		*moving += nr;
	return stays;
}

/* Free pages of a block in pieces of @order or more, at a glance: they come and go. */
static unsigned int block_nr_free(unsigned long pfn, unsigned int order)
{
	const unsigned long end = pfn + pageblock_nr_pages;
	unsigned int nr = 0, piece;
	struct page *page;

	for (; pfn < end; pfn += 1UL << piece) {
		page = pfn_to_page(pfn);
		piece = 0;
		if (!PageBuddy(page))
			continue;
		piece = buddy_order_unsafe(page);
		/* It may have been allocated meanwhile. */
		if (piece > MAX_PAGE_ORDER)
			piece = 0;
		else if (piece >= order)
			nr += min(1UL << piece, end - pfn);
	}
	return nr;
}

/*
 * Lets a block of @zone leave if it has @worth free pages in pieces of @order or more. Sets
 * *nr to how many it has.
 */
static bool block_yield(const struct zone *zone, unsigned long pfn,
			unsigned int worth, unsigned int order, unsigned int *nr)
{
	*nr = 0;
	guard(mutex)(&yield_lock);
	/* While it is claimed it stays online. */
	if (!preserve_lent_claim(pfn, 1))
		return false;
	if (page_zone(pfn_to_page(pfn)) == zone)
		*nr = block_nr_free(pfn, order);
	if (*nr >= worth)
		return block_leave(pfn);
	preserve_lent_unclaim(pfn, 1);
	return false;
}

/*
 * Goes on with a pass over the zone's lent blocks: those that are worth it leave, until
 * they have @pages free ones. Returns how many these have; *most is the most free pages
 * that another block has. Context: oom_lock held.
 */
static unsigned long pass_on(struct preserve_yield_search *search, const struct zone *zone,
			     unsigned int order, unsigned long pages,
			     unsigned int *most)
{
	unsigned long pfn = search->pfn ?: zone->zone_start_pfn, got = 0;
	const unsigned long end = zone_end_pfn(zone);
	unsigned int nr, left = YIELD_BLOCKS;

	while (left && got < pages &&
	       (pfn = preserve_lent_next(pfn, end)) < end) {
		if (block_yield(zone, pfn, search->worth, order, &nr)) {
			got += nr;
			left--;
		} else {
			*most = max(*most, nr);
		}
		pfn += pageblock_nr_pages;
		cond_resched();
	}
	search->pfn = pfn < end ? pfn : 0;
	return got;
}

/* Has a search in vain just said that there is nothing? */
static bool is_vain(const struct preserve_yield_search *search, unsigned int order,
		    unsigned long free)
{
	return !search->worth && order >= search->order &&
	       free < search->free + WORTH &&
	       time_before(jiffies, search->when + search->pause);
}

/* Begins anew, if what is known of the zone is old. */
static void search_begin(struct preserve_yield_search *search)
{
	if (!search->worth || time_after(jiffies, search->when + SEARCH_AGE)) {
		search->pfn = 0;
		search->worth = WORTH;
	}
}

/* Context: oom_lock held. */
static bool zone_yield(struct zone *zone, unsigned int order)
{
	unsigned long pages = max(high_wmark_pages(zone) - min_wmark_pages(zone),
				  1UL << order);
	struct preserve_node *node = &preserve_nodes[zone_to_nid(zone)];
	struct preserve_yield_search *search = &node->yield[zone_idx(zone)];
	unsigned long free = zone_page_state(zone, NR_FREE_CMA_PAGES);
	unsigned long begin = jiffies;
	bool whole = false, found = false;
	unsigned int most;

	if (is_vain(search, order, free))
		return false;
	search_begin(search);
	while (!found && search->worth) {
		whole |= !search->pfn;
		most = 0;
		found = pass_on(search, zone, order, pages, &most);
		/* A pass over the rest only says nothing. */
		if (!found && whole)
			search->worth = min(search->worth / 2,
					    DIV_ROUND_UP(most, 2));
	}
	search->when = jiffies;
	search->pause = max(VAIN_PAUSE, VAIN_PART * (search->when - begin));
	search->order = order;
	search->free = free;
	return found;
}

/* May an allocation have the free memory of lent blocks as it is? */
static bool finds_lent(gfp_t gfp)
{
	return gfp_migratetype(gfp) == MIGRATE_MOVABLE;
}

/* May the allocation have memory of the zone, and is there any that is lent and free? */
static bool zone_suits(struct zone *zone, const struct oom_control *oc)
{
	/* What lower zones keep from others can be all they have. */
	return READ_ONCE(preserve_nodes[zone_to_nid(zone)].nr_lent) &&
	       zone_page_state(zone, NR_FREE_CMA_PAGES) >= 1UL << oc->order &&
	       zone->lowmem_reserve[gfp_zone(oc->gfp_mask)] <
	       zone_managed_pages(zone) &&
	       cpuset_zone_allowed(zone, oc->gfp_mask);
}

/* For preserve_yield_free(). */
bool __preserve_yield_free(const struct oom_control *oc)
{
	struct zoneref *z;
	struct zone *zone;

	if (finds_lent(oc->gfp_mask) || tsk_is_oom_victim(current) ||
	    fatal_signal_pending(current))
		return false;
	for_each_zone_zonelist_nodemask(zone, z, oc->zonelist,
					gfp_zone(oc->gfp_mask), oc->nodemask)
		if (zone_suits(zone, oc) && zone_yield(zone, oc->order))
			return true;
	return false;
}
