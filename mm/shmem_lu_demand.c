// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memfds whose folios are made when they are needed: what shmem asks when its page
 * cache has nothing at an index.
 *
 * Accounting is that of swapped pages, which these resemble: they count in
 * i_blocks and in info->swapped, and leave the latter as their folio comes.
 */
#include <linux/folio_batch.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/quotaops.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>

#include "internal.h"
#include "shmem_lu.h"

/* A folio that is in the page cache, locked and counted, goes on like any other. */
static void folio_finish(struct folio *folio)
{
	folio_mark_dirty(folio);
	folio_add_lru(folio);
	folio_unlock(folio);
	folio_put(folio);
}

/* Counts the first @nr folios: those of one node and memcg together. */
static void batch_count(const struct folio_batch *batch, unsigned int nr)
{
	unsigned int i, n;

	/* A memcg stays what it is to a folio. */
	guard(rcu)();
	for (i = 0; i < nr; i += n) {
		struct folio *folio = batch->folios[i];

		for (n = 1; i + n < nr; n++)
			if (folio_nid(batch->folios[i + n]) != folio_nid(folio) ||
			    folio_memcg(batch->folios[i + n]) != folio_memcg(folio))
				break;
		shmem_update_stats(folio, n * folio_nr_pages(folio));
	}
}

/**
 * shmem_lu_insert - Put folios into a file, see struct preserve_file_ops.
 * @mapping: The file's.
 * @batch:   The folios, one at least.
 * @index:   Page index of the first.
 * @gfp:     For the memory that it takes.
 *
 * Context: Process context, may sleep.
 * Return: How many, or the error of charging or adding the first.
 */
int shmem_lu_insert(struct address_space *mapping, struct folio_batch *batch,
		    pgoff_t index, gfp_t gfp)
{
	const unsigned int order = folio_order(batch->folios[0]);
	unsigned int i;
	int done;

	folio_throttle_swaprate(batch->folios[0], gfp);
	done = preserve_insert(mapping, batch, index, gfp, true);
	if (done <= 0)
		return done;
	/* They are locked: none is taken away that is not counted yet. */
	batch_count(batch, done);
	shmem_recalc_inode(mapping->host, 0, -((long)done << order));
	for (i = 0; i < done; i++)
		folio_finish(batch->folios[i]);
	return done;
}

/* Charges all folios or none, and does not wait for memory. */
static int batch_charge(struct folio_batch *batch, gfp_t gfp)
{
	unsigned int i;
	int err;

	for (i = 0; i < folio_batch_count(batch); i++) {
		err = mem_cgroup_charge(batch->folios[i], NULL, gfp);
		if (err)
			break;
	}
	if (i == folio_batch_count(batch))
		return 0;
	while (i--)
		mem_cgroup_uncharge(batch->folios[i]);
	return err;
}

/* Stores all folios. Context: nothing else comes into the page cache, which is empty. */
static void batch_store_all(struct address_space *mapping, struct folio_batch *batch)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	unsigned int i = 0;

	do {
		xas_lock_irq(&xas);
		for (; i < folio_batch_count(batch); i++) {
			struct folio *folio = batch->folios[i];

			xas_set_order(&xas, folio->index, folio_order(folio));
			xas_store(&xas, folio);
			if (xas_error(&xas))
				break;
			mapping->nrpages += folio_nr_pages(folio);
			preserve_folio_added(mapping, folio);
		}
		xas_unlock_irq(&xas);
	} while (xas_nomem(&xas, GFP_KERNEL | __GFP_NOFAIL));
}

/**
 * shmem_lu_insert_all - Make folios all that is in a file's page cache.
 * @mapping: The file's; nothing else comes into it, and it is empty.
 * @batch:   The folios, with their indices set; locked by no task.
 * @memcg:   What they are charged to; NULL: the task's own cgroup.
 * @gfp:     For the charge.
 *
 * Context: Process context, may sleep.
 * Return: 0; or the error of charging them: nothing is changed then.
 */
int shmem_lu_insert_all(struct address_space *mapping, struct folio_batch *batch,
			struct mem_cgroup *memcg, gfp_t gfp)
{
	struct mem_cgroup *old = set_active_memcg(memcg);
	int err = batch_charge(batch, gfp);
	unsigned int i;
	long nr = 0;

	/* What the page cache takes is the kernel's own: nothing waits for a cgroup here. */
	set_active_memcg(old);
	if (err)
		return err;
	for (i = 0; i < folio_batch_count(batch); i++)
		preserve_insert_prepare(batch->folios[i], mapping,
					batch->folios[i]->index, true);
	batch_store_all(mapping, batch);
	for (i = 0; i < folio_batch_count(batch); i++) {
		nr += folio_nr_pages(batch->folios[i]);
		shmem_update_stats(batch->folios[i],
				   folio_nr_pages(batch->folios[i]));
	}
	shmem_recalc_inode(mapping->host, 0, -nr);
	for (i = 0; i < folio_batch_count(batch); i++)
		folio_finish(batch->folios[i]);
	return 0;
}

/**
 * shmem_lu_acct - Account for memory of a file that is in use already.
 * @inode: The file's.
 * @nr:    Pages.
 *
 * Overcommit and quotas count it and do not refuse it. A limited file system has counted
 * it before.
 *
 * Context: Process context, may sleep.
 * Return: 0.
 */
int shmem_lu_acct(struct inode *inode, long nr)
{
	if (SHMEM_I(inode)->flags & SHMEM_F_NORESERVE)
		vm_acct_memory(nr);
	return __dquot_alloc_space(inode, (qsize_t)nr << inode->i_blkbits,
				   DQUOT_SPACE_NOFAIL);
}

/**
 * shmem_lu_demand_begin - Let the folios of a file be made on demand.
 * @inode: The file's, of a file system without a limit; its map is complete, its page
 *         cache empty.
 * @nr:    Pages in the map.
 *
 * Context: Process context, before any other task knows the file.
 */
void shmem_lu_demand_begin(struct inode *inode, long nr)
{
	struct shmem_inode_info *info = SHMEM_I(inode);

	shmem_lu_acct(inode, nr);
	info->lu_crossed = true;
	spin_lock(&info->lock);
	info->alloced += nr;
	info->swapped += nr;
	spin_unlock(&info->lock);
	preserve_file_begin(preserve_file_of(inode->i_mapping));
}

/**
 * shmem_lu_data_load - Give a file of a tree its data, if the image has it still.
 * @inode: Any shmem file's.
 *
 * Context: Process context, no folio of the file locked.
 * Return: As preserve_tree_data_load().
 */
int shmem_lu_data_load(struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;

	if (!preserve_tree_node_left(&SHMEM_I(inode)->lu_node))
		return 0;
	return preserve_tree_data_load(&sbinfo->lu_tree, inode);
}

bool shmem_lu_incomplete(const struct address_space *mapping)
{
	const struct preserve_file *pf;

	if (preserve_tree_node_left(&SHMEM_I(mapping->host)->lu_node))
		return true;
	pf = preserve_file_of(mapping);
	return pf && preserve_file_incomplete(pf);
}

int __shmem_lu_restore(struct address_space *mapping, pgoff_t index, gfp_t gfp)
{
	int err = shmem_lu_data_load(mapping->host);
	struct preserve_file *pf;

	if (err)
		return err;
	pf = preserve_file_of(mapping);
	/* The last missing one may have come since the caller looked. */
	if (!pf || !preserve_file_incomplete(pf))
		return xa_load(&mapping->i_pages, index) ? 0 : -ENOENT;
	return preserve_file_restore_at(pf, index, gfp);
}

/* All of what the image has of a file: without a look at the pages. Returns how many. */
static long image_drop(struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	long nr = READ_ONCE(SHMEM_I(inode)->swapped);

	return preserve_tree_data_drop(&sbinfo->lu_tree, inode) ? nr : 0;
}

long __shmem_lu_drop(struct address_space *mapping, pgoff_t start, pgoff_t end)
{
	struct inode *inode = mapping->host;
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	long nr;

	/* Also of what is damaged. */
	if (end == ULONG_MAX && !start && SHMEM_I(inode)->lu_node.pos) {
		nr = image_drop(inode);
		if (nr)
			return nr;
		/* Another task has brought it in meanwhile. */
	}
	if (preserve_tree_data_load_sure(&sbinfo->lu_tree, inode) || !preserve_file_of(mapping))
		return 0;
	return preserve_file_drop(preserve_file_of(mapping), start, end);
}

/**
 * shmem_lu_room - May a new folio come here?
 * @mapping: A file's that is incomplete.
 * @index:   Page index.
 * @order:   Of the folio.
 *
 * A large one may not cover what is unrestored. A small one only comes where that
 * is when userfaultfd puts it there: it finds what it should find then.
 *
 * Context: Process context, may sleep.
 * Return: False if not.
 */
bool shmem_lu_room(struct address_space *mapping, pgoff_t index, int order)
{
	struct preserve_file *pf;
	pgoff_t first = round_down(index, 1UL << order);
	int err;

	if (shmem_lu_data_load(mapping->host))
		return false;
	pf = preserve_file_of(mapping);
	if (!pf || !preserve_file_find_unrestored(pf, &first, first + (1UL << order)))
		return true;
	if (order)
		return false;
	err = preserve_file_restore_at(pf, index, GFP_KERNEL);
	return !err || err == -ENOENT;
}

/*
 * Both ask the page cache last. The inode is locked, so what is unrestored in the map can
 * only come into the page cache meanwhile: in this order nothing is missed.
 */
static loff_t seek_data(struct address_space *mapping, loff_t start, loff_t end)
{
	pgoff_t index = start >> PAGE_SHIFT;
	loff_t data, last;
	bool found;

	/* What is there ends the search, which would pass over all that is restored. */
	data = mapping_seek_hole_data(mapping, start, end, SEEK_DATA);
	last = data < 0 ? end : data;
	found = start < last &&
		preserve_file_find_unrestored(preserve_file_of(mapping), &index,
					      DIV_ROUND_UP_ULL(last, PAGE_SIZE));
	/* Again: neither look has seen what was restored between them. */
	data = mapping_seek_hole_data(mapping, start, end, SEEK_DATA);
	if (!found)
		return data;
	start = max(start, (loff_t)index << PAGE_SHIFT);
	return data < 0 ? start : min(data, start);
}

static loff_t seek_hole(struct address_space *mapping, loff_t start, loff_t end)
{
	struct preserve_file *pf = preserve_file_of(mapping);
	pgoff_t index, first;
	unsigned long nr;
	loff_t next;

	while (start < end) {
		first = start >> PAGE_SHIFT;
		index = first;
		nr = preserve_file_find_unrestored(pf, &index, first + 1);
		if (nr)
			nr = preserve_file_find_unrestored(pf, &index, ULONG_MAX);
		if (nr && index == first) {
			/* The last page of the largest file ends behind it. */
			start = first + nr > (end - 1) >> PAGE_SHIFT ? end :
				(loff_t)(first + nr) << PAGE_SHIFT;
			continue;
		}
		next = mapping_seek_hole_data(mapping, start, end, SEEK_HOLE);
		if (next < 0 || next == start)
			return next;
		start = next;
	}
	return start == end ? end :
	       mapping_seek_hole_data(mapping, start, end, SEEK_HOLE);
}

loff_t __shmem_lu_seek(struct address_space *mapping, loff_t start, loff_t end,
		       int whence)
{
	int err = shmem_lu_data_load(mapping->host);

	if (err)
		return err;
	if (!preserve_file_of(mapping))
		return mapping_seek_hole_data(mapping, start, end, whence);
	return whence == SEEK_DATA ? seek_data(mapping, start, end) :
				     seek_hole(mapping, start, end);
}
