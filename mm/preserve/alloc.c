// SPDX-License-Identifier: GPL-2.0-only
/*
 * Folios of the pool's frames.
 *
 * An allocation that may sleep and finds its node short asks gain.c for more blocks;
 * otherwise failing is cheap and disturbs no task.
 */
#include <linux/cpuset.h>
#include <linux/fault-inject.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/sched.h>

#include <trace/events/preserve.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "pool.h"

/* Looks at a folio that another task holds for a moment, before this one sleeps. */
#define SPINS		1000

/* If this prototype changes, review preserve_frames_prepare(). */
static_assert(__same_type(post_alloc_hook,
			  void(struct page *, unsigned int, gfp_t,
			       unsigned int)));

/* May the request have memory of this zone? */
static bool zone_suits(const struct preserve_request *rq, struct zone *zone)
{
	/* These serve the kernel, whichever task asks for them. */
	return rq->metadata || rq->kernel || !cpusets_enabled() ||
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
		pfn = preserve_frames_alloc_on(last, rq);
		if (!pfn && more && preserve_pool_more(last, rq->gfp, nr))
			pfn = preserve_frames_alloc_on(last, rq);
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
		if (!pfn || likely(!preserve_frames_defective(pfn, 1UL << rq->order)))
			return pfn;
		preserve_frames_free_sound(pfn_to_page(pfn), 1UL << rq->order);
	}
}

/**
 * preserve_frames_prepare - Make a folio of frames as the page allocator does.
 * @pfn:   First frame; they are marked as used, and their content is void.
 * @order: How many.
 * @gfp:   The allocation's.
 *
 * Context: Any.
 * Return: The folio, with one reference.
 */
struct folio *preserve_frames_prepare(unsigned long pfn, unsigned int order,
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
	return pfn ? preserve_frames_prepare(pfn, rq->order, rq->gfp) : NULL;
}

static void *page_get(gfp_t gfp)
{
	const struct preserve_request rq = {
		.gfp = gfp,
		.nid = numa_mem_id(),
		.metadata = true,
	};
	struct folio *folio = preserve_alloc_folio(&rq);

	return folio ? folio_address(folio) : NULL;
}

/**
 * preserve_page_get - A zeroed page of the pool, for metadata.
 *
 * Context: Any.
 * Return: The page's address, or NULL.
 */
void *preserve_page_get(void)
{
	return page_get(GFP_NOWAIT | __GFP_ZERO);
}

/**
 * preserve_map_page_get - A page of the pool for a preserve map, with any content.
 *
 * Context: Any.
 * Return: The page's address, or NULL.
 */
void *preserve_map_page_get(void)
{
	return page_get(GFP_NOWAIT);
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
	return preserve_map_page_get();
}

static void map_page_put(void *ctx, void *page)
{
	preserve_page_put(page);
}

const struct prmap_ops preserve_pool_map_ops = {
	.page_get = map_page_get,
	.page_put = map_page_put,
};

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
	if (order && unlikely(preserve_frames_defective(pfn, 1UL << order)))
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
