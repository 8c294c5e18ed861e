// SPDX-License-Identifier: GPL-2.0-only
/*
 * Folios that are made of what has crossed come into the page cache: what the backends of the
 * pool have in common. The file map has them already.
 */
#include <linux/folio_batch.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/xarray.h>

#include "../internal.h"
#include "file.h"

static int folio_charge(struct folio *folio, gfp_t gfp)
{
	int err = mem_cgroup_charge(folio, NULL, gfp);

	/*
	 * The OOM killer does not act for a large folio, and it cannot be a smaller one:
	 * so that a fault does not try for ever, the limit is passed once.
	 */
	if (err && folio_order(folio) > PAGE_ALLOC_COSTLY_ORDER &&
	    !(gfp & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL)))
		err = mem_cgroup_charge(folio, NULL, gfp | __GFP_NOFAIL);
	return err;
}

/**
 * preserve_insert_prepare - Make a folio what it is in the page cache, but for its place there.
 * @folio:      The folio; charged, with one reference.
 * @mapping:    Its file's.
 * @index:      Page index.
 * @swapbacked: Does it belong to a file of shmem?
 *
 * Context: Any.
 */
void preserve_insert_prepare(struct folio *folio, struct address_space *mapping,
			     pgoff_t index, bool swapbacked)
{
	__folio_set_locked(folio);
	if (swapbacked)
		__folio_set_swapbacked(folio);
	/* What finds it in the page cache must not take it for a hole. */
	folio_mark_uptodate(folio);
	folio->mapping = mapping;
	folio->index = index;
	folio_ref_add(folio, folio_nr_pages(folio));
}

static void folio_undo(struct folio *folio)
{
	folio_ref_sub(folio, folio_nr_pages(folio));
	folio->mapping = NULL;
	folio_clear_uptodate(folio);
	__folio_clear_swapbacked(folio);
	folio_unlock(folio);
	mem_cgroup_uncharge(folio);
}

/*
 * Stores one folio; the small ones go from slot to slot, in place of down from the
 * root again. False if @xas tells of an error. Context: xa_lock held.
 */
static bool folio_store(struct xa_state *xas, struct folio *folio, bool is_first)
{
	void *there;

	if (is_first || folio_test_large(folio)) {
		xas_set_order(xas, folio->index, folio_order(folio));
		there = xas_find_conflict(xas);
	} else {
		there = xas_next(xas);
	}
	if (there)
		xas_set_err(xas, -EEXIST);
	else
		xas_store(xas, folio);
	return !xas_error(xas);
}

/*
 * Puts the first @nr folios into the page cache, as many as it can, with few holds of
 * its lock: workers of other CPUs want it. Returns how many, or the error if none.
 */
static int batch_store(struct address_space *mapping, struct folio_batch *batch,
		       unsigned int nr, gfp_t gfp)
{
	const unsigned long nr_pages = folio_nr_pages(batch->folios[0]);
	XA_STATE(xas, &mapping->i_pages, 0);
	unsigned int i = 0, old;

	do {
		old = i;
		xas_lock_irq(&xas);
		while (i < nr && folio_store(&xas, batch->folios[i], i == old))
			i++;
		mapping->nrpages += (i - old) * nr_pages;
		preserve_file_restored(preserve_file_of(mapping), (i - old) * nr_pages);
		xas_unlock_irq(&xas);
	} while (xas_nomem(&xas, gfp & GFP_RECLAIM_MASK));
	return i ? i : xas_error(&xas);
}

/**
 * preserve_insert - Put folios that were unrestored into the page cache.
 * @mapping:    Their file's.
 * @batch:      The folios, one at least, all of one order.
 * @index:      Page index of the first; the others follow.
 * @gfp:        For the memory that it takes, and for the charge to the memory cgroup.
 * @swapbacked: Does the file belong to shmem?
 *
 * Statistics, the LRU list and the folios' locks are left to the caller.
 *
 * Context: Process context, may sleep.
 * Return: How many are there, the first ones: locked, with a reference for the page cache; or
 *         the error of charging or adding the first. The others are as before.
 */
int preserve_insert(struct address_space *mapping, struct folio_batch *batch,
		    pgoff_t index, gfp_t gfp, bool swapbacked)
{
	const unsigned int order = folio_order(batch->folios[0]);
	unsigned int i, nr;
	int err = 0, done;

	for (nr = 0; nr < folio_batch_count(batch); nr++) {
		err = folio_charge(batch->folios[nr], gfp);
		if (err)
			break;
	}
	if (!nr)
		return err;
	for (i = 0; i < nr; i++)
		preserve_insert_prepare(batch->folios[i], mapping,
					index + ((pgoff_t)i << order), swapbacked);
	done = batch_store(mapping, batch, nr, gfp);
	for (i = max(done, 0); i < nr; i++)
		folio_undo(batch->folios[i]);
	return done;
}
