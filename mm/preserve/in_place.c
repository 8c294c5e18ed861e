// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files whose memory stays where their file system has it: huge pages of hugetlb.
 *
 * Claiming such a file lets its runs join as ranges (handover.c), which may sleep. So the map
 * is not claimed run by run under the lock of the page cache, as that of a file in the pool
 * is: what claims holds @adding for writing, and with it nothing comes into the page cache. A
 * folio that comes later joins before it is in the page cache, by the task that brings it;
 * and what freezes takes @adding for writing to see the last of them come.
 *
 * While the file is preserved nothing leaves the page cache, which its file system sees to,
 * and no folio moves: AS_PRESERVE, as for files of the pool. Before that a folio may lie
 * where it cannot cross, in memory that KHO boots the next kernel from (it is CMA): @unfit.
 */
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/rwsem.h>
#include <linux/slab.h>

#include "file.h"

/**
 * preserve_in_place_init - Let a file's memory stay in its place.
 * @pf: The file, fresh: no task brings folios yet, or preserve_in_place_begin() finds this
 *      after a barrier that the caller sees to.
 *
 * Context: Process context.
 * Return: 0 or -ENOMEM.
 */
int preserve_in_place_init(struct preserve_file *pf)
{
	struct preserve_in_place *ip = kmalloc_obj(*ip, GFP_KERNEL_ACCOUNT);

	if (!ip)
		return -ENOMEM;
	init_rwsem(&ip->adding);
	INIT_LIST_HEAD(&ip->ranges);
	spin_lock_init(&ip->lock);
	ip->unfit = false;
	/* Pairs with preserve_in_place_begin(). */
	smp_store_release(&pf->in_place, ip);
	return 0;
}

/**
 * preserve_file_in_place - Does a file's memory stay in its place?
 * @pf: The file.
 *
 * Context: Any; lasting.
 * Return: False if it is the pool's, or before preserve_in_place_init().
 */
bool preserve_file_in_place(const struct preserve_file *pf)
{
	return READ_ONCE(pf->in_place);
}

/* How many of @nr frames from @pfn on can be one range, in whole pages of @order. */
static unsigned long alike(unsigned long pfn, unsigned long nr, unsigned int order)
{
	const unsigned long step = max(1UL << order, PAGES_PER_SECTION);
	const bool in_cma = preserve_folio_in_cma(pfn_folio(pfn));
	const int nid = pfn_to_nid(pfn);
	unsigned long at;

	/* A section is of one node; nodes may take turns. Smaller pages are none of CMA's. */
	for (at = round_up(pfn + 1, step) - pfn; at < nr; at += step)
		if (pfn_to_nid(pfn + at) != nid ||
		    preserve_folio_in_cma(pfn_folio(pfn + at)) != in_cma)
			return at;
	return nr;
}

static int claim_run(void *ctx, const struct prmap_run *run)
{
	struct preserve_in_place *ip = ctx;
	unsigned long pfn = run->pfn, nr = run->nr, part;
	struct preserve_range *range;

	for (; nr; pfn += part, nr -= part) {
		part = alike(pfn, nr, run->order);
		range = preserve_range_new(pfn, part, run->order, false);
		if (IS_ERR(range))
			return PTR_ERR(range);
		list_add(&range->list, &ip->ranges);
	}
	return 0;
}

/**
 * preserve_in_place_join - Let the next kernel keep a folio that comes.
 * @pf:    The file, claimed.
 * @folio: The folio, not in the page cache yet.
 *
 * Context: Process context, @adding held for reading.
 * Return: 0; -ENOMEM; or as preserve_range_join().
 */
int preserve_in_place_join(struct preserve_file *pf, const struct folio *folio)
{
	struct preserve_in_place *ip = pf->in_place;
	struct preserve_range *range;

	range = preserve_range_new(folio_pfn(folio), folio_nr_pages(folio), folio_order(folio),
				   false);
	if (IS_ERR(range))
		return PTR_ERR(range);
	guard(spinlock)(&ip->lock);
	list_add(&range->list, &ip->ranges);
	return 0;
}

static struct preserve_range *range_remove(struct preserve_in_place *ip, unsigned long pfn)
{
	struct preserve_range *range;

	guard(spinlock)(&ip->lock);
	/* It is one of those that have come last. */
	list_for_each_entry(range, &ip->ranges, list)
		if (range->frames.start == pfn) {
			list_del(&range->list);
			return range;
		}
	return NULL;
}

/**
 * preserve_in_place_quit - Undo preserve_in_place_join(): the folio does not come.
 * @pf:    The file.
 * @folio: The folio.
 *
 * Context: Process context, @adding held for reading since then.
 */
void preserve_in_place_quit(struct preserve_file *pf, const struct folio *folio)
{
	struct preserve_range *range = range_remove(pf->in_place, folio_pfn(folio));

	if (!WARN_ON_ONCE(!range))
		preserve_range_drop(range);
}

/* Context: @adding held for writing. */
static void in_place_unclaim(struct preserve_file *pf)
{
	struct preserve_range *range, *next;

	list_for_each_entry_safe(range, next, &pf->in_place->ranges, list) {
		list_del(&range->list);
		preserve_range_drop(range);
		cond_resched();
	}
}

/* Context: @adding held for writing. */
static int in_place_claim(struct preserve_file *pf)
{
	int err = -EBUSY;

	if (!pf->in_place->unfit)
		err = preserve_map_run_for_each(pf, claim_run, pf->in_place);
	if (err)
		in_place_unclaim(pf);
	return err == -ENOMEM ? err : err ? -EBUSY : 0;
}

/* What is isolated for now may be claimed: that it is not KHO's scratch is asked again then. */
static bool in_place_has(const struct folio *folio)
{
	return !is_migrate_cma_page(&folio->page) || preserve_folio_in_cma(folio);
}

/* The folio that hugetlb has made at boot: its one reference goes with it. */
static struct folio *in_place_to_folio(unsigned long pfn, unsigned int order)
{
	return pfn_folio(pfn);
}

static void in_place_to_frames(struct folio *folio)
{
}

const struct preserve_place preserve_huge_place = {
	.max_order = PRESERVE_HUGE_MAX_ORDER,
	.untaken = preserve_huge_untaken,
	.take = preserve_huge_take,
	.untake = preserve_huge_untake,
	.put = preserve_huge_put,
	.to_folio = in_place_to_folio,
	.to_frames = in_place_to_frames,
	.has = in_place_has,
	.claim = in_place_claim,
	.unclaim = in_place_unclaim,
};

/**
 * preserve_in_place_doubt - A folio of a file may lie where it cannot cross.
 * @pf: Any file.
 *
 * The next preserve looks for it.
 *
 * Context: Any.
 */
void preserve_in_place_doubt(struct preserve_file *pf)
{
	if (pf->in_place)
		WRITE_ONCE(pf->in_place->unfit, true);
}

/**
 * preserve_in_place_lock - Let no folio come into a file, if its memory is in its place.
 * @pf: Any file.
 *
 * Context: Process context, may sleep. Until preserve_in_place_unlock().
 */
void preserve_in_place_lock(struct preserve_file *pf)
{
	if (pf->in_place)
		down_write(&pf->in_place->adding);
}

/**
 * preserve_in_place_unlock - Undo preserve_in_place_lock().
 * @pf: The same file.
 *
 * Context: Process context.
 */
void preserve_in_place_unlock(struct preserve_file *pf)
{
	if (pf->in_place)
		up_write(&pf->in_place->adding);
}

