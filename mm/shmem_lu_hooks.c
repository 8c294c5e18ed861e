// SPDX-License-Identifier: GPL-2.0-only
/*
 * What mm/shmem.c calls for a file whose memory is the pool's: a folio for it, whether one may
 * come, its end, what /proc shows.
 */
#include <linux/fs.h>
#include <linux/mempolicy.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>
#include <linux/xarray.h>

#include "shmem_lu.h"

/* That of a file which is about to have @nr pages more, if it has one or is to have one. */
static struct preserve_file *grown_pf(struct inode *inode, unsigned long nr)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	if (likely(pf && preserve_file_keeps_map(pf)) || !shmem_lu_pool(sbinfo) ||
	    inode->i_mapping->nrpages + nr <= PRESERVE_SMALL_PAGES)
		return pf;
	/* Without memory, it is for the next page, or for preserve. */
	pf = preserve_file_new(inode->i_mapping, &shmem_lu_file_ops);
	if (pf)
		preserve_file_follow(pf);
	return pf;
}

struct folio *__shmem_lu_alloc_folio(struct shmem_inode_info *info, gfp_t gfp,
				     int order, struct mempolicy *mpol,
				     pgoff_t ilx, pgoff_t index)
{
	struct inode *inode = &info->vfs_inode;
	struct preserve_file *pf;
	struct preserve_request rq = {
		/* Also for huge folios: waiting for the pool is worth it. */
		.gfp = current_gfp_context(gfp | (mapping_gfp_mask(inode->i_mapping) &
						  GFP_KERNEL)),
		.order = order,
		.nid = numa_node_id(),
	};
	struct folio *folio;

	/* A tree that is preserved has its holes for good. */
	if (!shmem_lu_may_change(inode))
		return NULL;
	/* What follows the file's memory is seen below. */
	if (shmem_lu_data_load(inode))
		return NULL;
	pf = grown_pf(inode, 1UL << order);
	if (pf && preserve_file_wait(pf))
		return NULL;
	if (pf && preserve_file_incomplete(pf) &&
	    !shmem_lu_room(inode->i_mapping, index, order))
		return NULL;
	rq.goal = preserve_goal(inode->i_mapping, index);
	/* It is claimed as it comes: what was there before may not cross. */
	if (pf && preserve_file_record(pf))
		rq.gfp |= __GFP_ZERO;
	folio = preserve_alloc_mpol(&rq, mpol, ilx);
	/* That may have taken long. */
	if (folio && pf && preserve_file_wait(pf)) {
		folio_put(folio);
		return NULL;
	}
	return folio;
}

/**
 * shmem_lu_may_add - May this folio come into the page cache?
 * @xas:      Where it is to be stored; has the error on return, if it may not.
 * @folio:    The folio; its mapping is set.
 * @expected: The swap entry whose place it takes, or NULL.
 *
 * What fills a hole in a tree that is preserved is -EPERM. A folio that was allocated
 * before its file entered the pool is -EEXIST: a fault or write looks again, and takes
 * one of the pool. So is one that comes into a file which has been frozen since: what
 * looks again has to wait. See shmem_lu_mfill_error() for userfaultfd. More than the
 * file's user may have locked is -EDQUOT.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 * Return: True if it may.
 */
bool shmem_lu_may_add(struct xa_state *xas, struct folio *folio,
		      const void *expected)
{
	struct address_space *mapping = folio->mapping;
	struct preserve_file *pf = preserve_file_of(mapping);

	if (expected || !S_ISREG(mapping->host->i_mode))
		return true;
	if (!shmem_lu_may_change(mapping->host))
		xas_set_err(xas, -EPERM);
	else if (shmem_lu_late(mapping, folio) || shmem_lu_frozen(mapping))
		xas_set_err(xas, -EEXIST);
	else if (pf && !preserve_file_charge(pf, folio_nr_pages(folio)))
		xas_set_err(xas, -EDQUOT);
	return !xas_error(xas);
}

void shmem_lu_evict(struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;

	if (S_ISDIR(inode->i_mode) && SHMEM_I(inode)->lu_node.pos)
		preserve_tree_dir_forget(&sbinfo->lu_tree, inode);
	preserve_file_free(inode->i_mapping);
}

void shmem_lu_show_fdinfo(struct seq_file *m, struct file *file)
{
	preserve_show_fdinfo(m, file->f_mapping);
}
