// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of hugetlb whose folios come into the page cache when they are needed: what hugetlb
 * asks when its page cache has nothing at an index.
 *
 * The folios exist from boot on, each with one reference (hugetlb_lu_boot.c). Until one is in
 * the page cache it counts for the file (i_blocks, the reservation map), as a huge page in
 * use, and for no cgroup. What it is charged to then (hugetlb_lu_cgroup.c) is forced: the
 * memory is in use anyway, and an index that stays without a folio would look like a hole.
 */
#include <linux/folio_batch.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>

#include "internal.h"

/* Attempts at a folio that can cross, which other tasks may take away. */
#define TRIES	8

/* Makes a folio what it is in the page cache, but for its place there. */
static void folio_prepare(struct folio *folio, struct address_space *mapping,
			  pgoff_t index)
{
	/* Memory failure may find it, and change its flags. */
	folio_lock(folio);
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
	folio_unlock(folio);
}

/* Charges what is in use. The statistics of the cgroup begin with it. */
static void folio_charge(struct folio *folio, gfp_t gfp)
{
	const long nr = folio_nr_pages(folio);

	lruvec_stat_mod_folio(folio, NR_HUGETLB, -nr);
	mem_cgroup_charge_hugetlb(folio, NULL, (gfp & GFP_RECLAIM_MASK) | __GFP_NOFAIL);
	lruvec_stat_mod_folio(folio, NR_HUGETLB, nr);
}

/* A folio that is in the page cache, and locked, goes on like any other. */
static void folio_finish(struct folio *folio, struct inode *inode, gfp_t gfp)
{
	folio_charge(folio, gfp);
	hugetlb_lu_cgroup_charge(inode, folio);
	folio_mark_dirty(folio);
	if (!folio_test_hwpoison(folio))
		folio_set_hugetlb_migratable(folio);
	folio_unlock(folio);
	folio_put(folio);
}

/* Stores the folios from @i on, as many as it can. Returns the first that is not. */
static unsigned int batch_store(struct xa_state *xas, struct address_space *mapping,
				struct folio_batch *batch, unsigned int i)
{
	struct folio *folio;

	for (; i < folio_batch_count(batch); i++) {
		folio = batch->folios[i];
		xas_set_order(xas, folio->index, folio_order(folio));
		if (xas_find_conflict(xas))
			xas_set_err(xas, -EEXIST);
		else
			xas_store(xas, folio);
		if (xas_error(xas))
			break;
		mapping->nrpages += folio_nr_pages(folio);
		preserve_file_restored(preserve_file_of(mapping), folio_nr_pages(folio));
	}
	return i;
}

/**
 * hugetlb_lu_insert - Put folios into a file, see struct preserve_file_ops.
 * @mapping: The file's.
 * @batch:   The folios, one at least.
 * @index:   Page index of the first.
 * @gfp:     For the memory that it takes.
 *
 * Context: Process context, may sleep.
 * Return: How many, or the error of adding the first.
 */
int hugetlb_lu_insert(struct address_space *mapping, struct folio_batch *batch,
		      pgoff_t index, gfp_t gfp)
{
	struct hugepage_subpool *spool = subpool_inode(mapping->host);
	const unsigned int order = folio_order(batch->folios[0]);
	XA_STATE(xas, &mapping->i_pages, 0);
	struct mem_cgroup *memcg;
	unsigned int i, done = 0;

	for (i = 0; i < folio_batch_count(batch); i++)
		folio_prepare(batch->folios[i], mapping, index + ((pgoff_t)i << order));
	/* What is charged by force may fill the cgroup: a node of the page cache would be OOM. */
	memcg = set_active_memcg(root_mem_cgroup);
	do {
		xas_lock_irq(&xas);
		done = batch_store(&xas, mapping, batch, done);
		xas_unlock_irq(&xas);
	} while (xas_nomem(&xas, gfp & GFP_RECLAIM_MASK));
	set_active_memcg(memcg);
	for (i = done; i < folio_batch_count(batch); i++)
		folio_undo(batch->folios[i]);
	for (i = 0; i < done; i++) {
		hugetlb_set_folio_subpool(batch->folios[i], spool);
		folio_finish(batch->folios[i], mapping->host, gfp);
	}
	return done ? done : xas_error(&xas);
}

/**
 * hugetlb_lu_restore - Make all folios of a range, for a caller that frees them.
 * @inode: The file's, any of hugetlb.
 * @start: Offset, of a huge page's beginning.
 * @end:   Offset behind the last; LLONG_MAX for everything.
 *
 * Context: Process context, may sleep; the inode locked or being evicted.
 * Return: How many huge pages stay away, as the file's map is lost; they are in the
 *         reservation map. Otherwise 0.
 */
int hugetlb_lu_restore(struct inode *inode, loff_t start, loff_t end)
{
	struct preserve_file *pf;

	if (unlikely(hugetlb_lu_latent(inode)))
		hugetlb_lu_load_sure(inode, !start && end == LLONG_MAX);
	pf = preserve_file_of(inode->i_mapping);
	if (likely(!pf))
		return 0;
	if (!preserve_file_restore_range(pf, start >> PAGE_SHIFT,
					 end == LLONG_MAX ? ULONG_MAX : end >> PAGE_SHIFT,
					 GFP_KERNEL | __GFP_NOFAIL))
		return 0;
	return preserve_file_nr_unrestored(pf) >> huge_page_order(hstate_inode(inode));
}

/**
 * hugetlb_lu_restore_at - Make the folio of an index, for a caller that would allocate one.
 * @inode: The file's, any of hugetlb.
 * @index: In huge pages.
 *
 * Context: Process context, may sleep; the index's fault mutex held.
 * Return: 0 if there is nothing to make; -EEXIST if it is in the page cache now; -EIO.
 */
int hugetlb_lu_restore_at(struct inode *inode, pgoff_t index)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);
	int err;

	if (likely(!pf) || !preserve_file_incomplete(pf))
		return 0;
	err = preserve_file_restore_at(pf, index << huge_page_order(hstate_inode(inode)),
				       GFP_KERNEL | __GFP_NOFAIL);
	if (err)
		return err == -ENOENT ? 0 : -EIO;
	return -EEXIST;
}

/**
 * hugetlb_lu_may_allocate - May a range of a file be filled by fallocate()?
 * @inode:  The file's, any of hugetlb.
 * @offset: Of the range.
 * @len:    Its length.
 *
 * What has crossed is in the page cache then.
 *
 * Context: Process context, may sleep; the inode locked.
 * Return: 0; -EPERM while the file is preserved, or if its map is lost; -EIO if it gets lost.
 */
int hugetlb_lu_may_allocate(struct inode *inode, loff_t offset, loff_t len)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	if (!hugetlb_lu_may_change(inode))
		return -EPERM;
	if (likely(!pf))
		return 0;
	return preserve_file_restore_range(pf, offset >> PAGE_SHIFT,
					   DIV_ROUND_UP_ULL(offset + len, PAGE_SIZE),
					   GFP_KERNEL | __GFP_NOFAIL);
}

struct folio *__hugetlb_lu_alloc_folio(struct address_space *mapping, struct hstate *h,
				       struct mempolicy_interpreted *mpoli,
				       struct mm_struct *mm, u8 alloc_flags)
{
	struct folio *folio;
	unsigned int flags;
	int tries;

	for (tries = 0; tries < TRIES; tries++) {
		flags = memalloc_pin_save();
		folio = hugetlb_alloc_folio(h, mpoli, mm, alloc_flags);
		memalloc_pin_restore(flags);
		if (!IS_ERR(folio))
			return folio;
		/*
		 * What cannot be pinned may still cross: ZONE_MOVABLE. Any other can move
		 * when the file is preserved.
		 */
		folio = hugetlb_alloc_folio(h, mpoli, mm, alloc_flags);
		if (IS_ERR(folio) || preserve_folio_may_cross(folio) ||
		    hugetlb_lu_may_change(mapping->host))
			return folio;
		folio_put(folio);
		if (!hugetlb_lu_exchange(h, mpoli))
			break;
	}
	return ERR_PTR(-ENOSPC);
}
