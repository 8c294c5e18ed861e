// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain memfds: made fit for preserving by moving their memory into the pool.
 *
 * From then on the file is like one made with MFD_PRESERVE, until it is not
 * preserved any more. A file with a page that cannot be moved is left alone, and
 * LUO's own memfd handler takes it.
 *
 * PRESERVE_IOCTL_ENTER has the memory moved ahead of time: then the file is like one made
 * with MFD_PRESERVE for good.
 */
#define pr_fmt(fmt) "preserve: memfd: " fmt

#include <linux/capability.h>
#include <linux/folio_batch.h>
#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/xarray.h>
#include <uapi/linux/preserve.h>

#include "shmem_lu.h"

/* Rounds of bringing a file's memory in, while some is still being swapped out. */
#define TRIES	3

/* What the file's state needs; it stays with the inode for good. */
static int plain_prepare(struct inode *inode)
{
	struct preserve_file *pf;

	if (SHMEM_I(inode)->preserve)
		return 0;
	pf = kzalloc_obj(*pf, GFP_KERNEL_ACCOUNT);
	if (!pf)
		return -ENOMEM;
	preserve_file_init(pf, &inode->i_mapping->i_pages);
	SHMEM_I(inode)->preserve = pf;
	return 0;
}

/* From now on new folios come from the pool. The map is made by preserve. */
static void plain_enter(struct address_space *mapping, struct preserve_file *pf)
{
	xa_lock_irq(&mapping->i_pages);
	pf->stale = true;
	pf->plain = true;
	set_bit(AS_PRESERVE, &mapping->flags);
	xa_unlock_irq(&mapping->i_pages);
	mapping_set_unevictable(mapping);
}

/*
 * Waits for reclaim and migration that have looked at a folio before plain_enter(), and
 * go on with its lock held. Whoever locks one later sees that the file is ours.
 */
static int wait_for_locks(struct address_space *mapping)
{
	struct folio_batch batch;
	pgoff_t index = 0;
	unsigned int i;
	int err = 0;

	folio_batch_init(&batch);
	while (!err && filemap_get_folios(mapping, &index, ULONG_MAX, &batch)) {
		for (i = 0; i < folio_batch_count(&batch) && !err; i++) {
			err = folio_lock_killable(batch.folios[i]);
			if (!err)
				folio_unlock(batch.folios[i]);
		}
		folio_batch_release(&batch);
		cond_resched();
	}
	return err;
}

/* The next page index from *index on whose content is in swap. */
static bool next_swapped(struct address_space *mapping, pgoff_t *index)
{
	XA_STATE(xas, &mapping->i_pages, *index);
	void *entry;

	rcu_read_lock();
	do {
		entry = xas_find(&xas, ULONG_MAX);
	} while (xas_retry(&xas, entry) || (entry && !xa_is_value(entry)));
	rcu_read_unlock();
	*index = xas.xa_index;
	return entry;
}

/*
 * Behind the end, fallocate() may have left some. Before it, a memory cgroup without
 * room makes this fail: nobody in it is to be killed for it.
 */
static struct folio *swap_in(struct inode *inode, pgoff_t index)
{
	gfp_t gfp = mapping_gfp_mask(inode->i_mapping) | __GFP_RETRY_MAYFAIL;
	struct folio *folio = NULL;
	int err;

	if (index < DIV_ROUND_UP(i_size_read(inode), PAGE_SIZE))
		return shmem_read_folio_gfp(inode->i_mapping, index, gfp);
	err = shmem_get_folio(inode, index, 0, &folio, SGP_WRITE);
	if (err)
		return ERR_PTR(err);
	if (folio)
		folio_unlock(folio);
	return folio;
}

static int swap_in_all(struct inode *inode)
{
	struct folio *folio;
	pgoff_t index = 0;

	while (next_swapped(inode->i_mapping, &index)) {
		folio = swap_in(inode, index);
		if (IS_ERR(folio))
			return PTR_ERR(folio);
		if (folio)
			folio_put(folio);
		if (fatal_signal_pending(current))
			return -EINTR;
		index++;
		cond_resched();
	}
	return 0;
}

/**
 * shmem_lu_plain_enter - Move a plain memfd's memory into the pool.
 * @inode: Its inode; locked.
 *
 * Context: Process context.
 * Return: 0 if all of it is there; -EBUSY if a page is pinned or busy, -ENOSPC if the
 *         pool cannot take it, or another negative errno. The file is as it was then,
 *         but for the places of some of its pages.
 */
int shmem_lu_plain_enter(struct inode *inode)
{
	struct address_space *mapping = inode->i_mapping;
	int tries, err = plain_prepare(inode);

	if (err)
		return err;
	plain_enter(mapping, SHMEM_I(inode)->preserve);
	for (tries = 0; tries < TRIES; tries++) {
		pgoff_t index = 0;

		err = wait_for_locks(mapping);
		err = err ?: swap_in_all(inode);
		if (!err)
			err = preserve_move_in(mapping);
		if (err)
			break;
		if (!next_swapped(mapping, &index)) {
			shmem_lu_clear(mapping, 0, ULONG_MAX);
			return 0;
		}
		err = -EBUSY;
	}
	shmem_lu_plain_leave(inode);
	return err;
}

/* From now on its folios are like those of any other file. */
static void leave(struct address_space *mapping, struct preserve_file *pf)
{
	struct prmap old;

	xa_lock_irq(&mapping->i_pages);
	clear_bit(AS_PRESERVE, &mapping->flags);
	preserve_file_detach(pf, &old);
	pf->plain = false;
	pf->sealed = false;
	xa_unlock_irq(&mapping->i_pages);
	prmap_destroy(&old);
	if (((struct shmem_sb_info *)mapping->host->i_sb->s_fs_info)->noswap)
		return;
	mapping_clear_unevictable(mapping);
	/* Folios that were found unevictable meanwhile can be reclaimed again. */
	shmem_unlock_mapping(mapping);
}

/**
 * shmem_lu_plain_leave - Make it a plain memfd again.
 * @inode: Its inode, not preserved.
 *
 * Its memory stays in the pool until it is moved, swapped out or freed.
 *
 * Context: Process context.
 */
void shmem_lu_plain_leave(struct inode *inode)
{
	struct address_space *mapping = inode->i_mapping;
	struct preserve_file *pf = SHMEM_I(inode)->preserve;

	if (!pf || !pf->plain)
		return;
	leave(mapping, pf);
}

/**
 * shmem_lu_plain_done - Make a file of a retrieved tree a plain one.
 * @inode: Its inode; all of its folios are there, and it is not preserved.
 *
 * Context: Process context.
 */
void shmem_lu_plain_done(struct inode *inode)
{
	struct preserve_file *pf = SHMEM_I(inode)->preserve;

	if (!pf->record && !preserve_file_incomplete(pf))
		leave(inode->i_mapping, pf);
}

/* The same as shmem_lu_plain_enter(), for good. Context: the inode locked. */
static int enter_for_good(struct inode *inode)
{
	struct preserve_file *pf = SHMEM_I(inode)->preserve;
	int err;

	if (!shmem_lu_mapping(inode->i_mapping)) {
		err = shmem_lu_plain_enter(inode);
		if (err)
			return err;
		pf = SHMEM_I(inode)->preserve;
	} else if (!pf || !pf->plain) {
		return 0;
	} else if (pf->record) {
		return -EBUSY;
	}
	xa_lock_irq(&inode->i_mapping->i_pages);
	pf->plain = false;
	xa_unlock_irq(&inode->i_mapping->i_pages);
	/* Without a map for now, preserve makes one. */
	preserve_file_refresh(pf);
	return 0;
}

/**
 * shmem_lu_ioctl - PRESERVE_IOCTL_ENTER.
 * @file: A regular file of a tmpfs.
 * @cmd:  The ioctl.
 * @arg:  Unused.
 *
 * A file that does not get there as a whole is a plain one as before, but what has moved
 * stays in the pool until it is moved, swapped out or freed, and while it is on its way new
 * pages of it come from the pool alone: so it takes the right to lock any amount of memory.
 *
 * Context: Process context.
 * Return: 0; -ENOTTY for any other ioctl; -EBADF if @file is not open for writing; -EPERM
 *         without CAP_IPC_LOCK; -EOPNOTSUPP without KHO or LUO, and for a file of a mounted
 *         tmpfs; -EBUSY while the file is preserved, or one of its pages is pinned or
 *         busy; -ENOSPC if the pool cannot take it; -EINTR.
 */
long shmem_lu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct inode *inode = file_inode(file);
	int err;

	if (cmd != PRESERVE_IOCTL_ENTER)
		return -ENOTTY;
	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (!capable(CAP_IPC_LOCK))
		return -EPERM;
	if (!preserve_ready() || !(inode->i_sb->s_flags & SB_KERNMOUNT))
		return -EOPNOTSUPP;
	if (inode_lock_killable(inode))
		return -EINTR;
	err = enter_for_good(inode);
	inode_unlock(inode);
	return err;
}
