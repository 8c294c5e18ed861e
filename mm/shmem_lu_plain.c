// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain memfds: made fit for preserving by moving their memory into the pool.
 *
 * From then on the file is like one made with MFD_PRESERVE, until it is not
 * preserved any more. A file with a page that cannot be moved is left alone, and
 * LUO's own memfd handler takes it.
 *
 * Without preserve_admit_plain it is LUO's handler in any case, whose format kernels without
 * our code read: what such a file has in the pool, from an earlier preserve, moves out.
 *
 * PRESERVE_IOCTL_ENTER has the memory moved ahead of time: then the file is like one made
 * with MFD_PRESERVE for good.
 */
#define pr_fmt(fmt) "preserve: memfd: " fmt

#include <linux/capability.h>
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
 * room makes this fail: no task in it is to be killed for it.
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
 * shmem_lu_enter - Move a file's memory into the pool.
 * @inode: Its inode; locked. It is not in the pool.
 *
 * Context: Process context.
 * Return: 0 if all of it is there; -EBUSY if a page is pinned or busy, -EHWPOISON if one is
 *         defective, -ENOSPC if the pool cannot take it, or another negative errno. The file
 *         is as it was then, but for the places of some of its pages.
 */
int shmem_lu_enter(struct inode *inode)
{
	struct address_space *mapping = inode->i_mapping;
	int tries, err;

	for (tries = 0; tries < TRIES; tries++) {
		pgoff_t index = 0;

		err = preserve_enter(mapping);
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
	shmem_lu_leave(inode);
	return err;
}

/**
 * shmem_lu_leave - From now on a file's folios are like those of any other.
 * @inode: Its inode; all of its folios are there, and it is not preserved.
 *
 * Its memory stays in the pool until it is moved, swapped out or freed.
 *
 * Context: Process context.
 */
void shmem_lu_leave(struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;

	preserve_leave(inode->i_mapping);
	if (sbinfo->noswap)
		return;
	mapping_clear_unevictable(inode->i_mapping);
	/* Folios that were found unevictable meanwhile can be reclaimed again. */
	shmem_unlock_mapping(inode->i_mapping);
}

/*
 * All folios of a larger file are there: nothing is special about one of a mount without
 * "preserve" any more. A task that holds the inode may wait for this one: then the file just
 * stays as it is.
 */
static void file_all_restored(struct address_space *mapping)
{
	struct inode *inode = mapping->host;
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct preserve_file *pf = preserve_file_of(mapping);

	if (shmem_lu_pool(sbinfo) || !inode_trylock(inode))
		return;
	if (!preserve_tree_frozen(&sbinfo->lu_tree) && !preserve_file_record(pf) &&
	    !preserve_file_frozen(pf))
		shmem_lu_leave(inode);
	inode_unlock(inode);
}

/*
 * The next kernel's image says where the file's memory is already. Until it does, a hole may be
 * punched, and the file map has to follow.
 */
static bool file_frozen(const struct address_space *mapping)
{
	const struct shmem_sb_info *sbinfo = mapping->host->i_sb->s_fs_info;

	return preserve_tree_noted(&sbinfo->lu_tree, mapping->host);
}

/* Files that belong to a tmpfs with a name. */
const struct preserve_file_ops shmem_lu_file_ops = {
	.place = &preserve_pool_place,
	.insert = shmem_lu_insert,
	.all_restored = file_all_restored,
	.frozen = file_frozen,
};

/**
 * shmem_lu_plain_enter - Move a plain file's memory into the pool, until it is preserved no more.
 * @inode: Its inode; locked. It is not in the pool.
 *
 * Context: Process context.
 * Return: As shmem_lu_enter(); -EOPNOTSUPP if the file has memory tags.
 */
int shmem_lu_plain_enter(struct inode *inode)
{
	struct preserve_file *pf;
	int err;

	if (preserve_has_tags(inode->i_mapping))
		return -EOPNOTSUPP;
	pf = preserve_file_new(inode->i_mapping, &shmem_lu_file_ops);
	if (!pf)
		return -ENOMEM;
	preserve_file_set_plain(pf, true);
	err = shmem_lu_enter(inode);
	if (err || !preserve_has_tags(inode->i_mapping))
		return err;
	shmem_lu_leave(inode);
	return -EOPNOTSUPP;
}

/**
 * shmem_lu_plain_leave - Undo shmem_lu_plain_enter().
 * @inode: The inode of any shmem file; not preserved.
 *
 * Context: Process context.
 */
void shmem_lu_plain_leave(struct inode *inode)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	if (pf && preserve_file_is_plain(pf))
		shmem_lu_leave(inode);
}

/**
 * shmem_lu_plain_idle - Is a file a plain one in the pool that is not preserved?
 * @inode: Its inode; locked.
 *
 * Context: Process context.
 * Return: True if it is: it may leave.
 */
bool shmem_lu_plain_idle(struct inode *inode)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	return pf && preserve_file_is_plain(pf) && !preserve_file_record(pf);
}

/**
 * shmem_lu_plain_out - Make a plain file one that LUO's own handler can preserve.
 * @inode: Its inode; locked. Not in the pool, or shmem_lu_plain_idle().
 *
 * What reclaim takes of it meanwhile can come back to a frame of the pool: that handler
 * looks at what it has pinned.
 *
 * Context: Process context.
 * Return: 0 if none of its memory is in the pool; the error of preserve_move_out(), or of
 *         bringing in what is in swap.
 */
int shmem_lu_plain_out(struct inode *inode)
{
	int err;

	shmem_lu_plain_leave(inode);
	err = swap_in_all(inode);
	return err ?: preserve_move_out(inode->i_mapping);
}

/* The same as shmem_lu_plain_enter(), for good. Context: the inode locked. */
static int enter_for_good(struct inode *inode)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);
	int err;

	if (!preserve_mapping(inode->i_mapping)) {
		err = shmem_lu_plain_enter(inode);
		if (err)
			return err;
		pf = preserve_file_of(inode->i_mapping);
	} else if (!pf || !preserve_file_is_plain(pf)) {
		return 0;
	} else if (preserve_file_record(pf)) {
		return -EBUSY;
	} else if (preserve_has_tags(inode->i_mapping)) {
		return -EOPNOTSUPP;
	}
	preserve_file_set_plain(pf, false);
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
 *         without CAP_IPC_LOCK; -EOPNOTSUPP without KHO or LUO, for a file of a mounted
 *         tmpfs, and for one with memory tags; -EBUSY while the file is preserved, or one of
 *         its pages is pinned or busy; -EHWPOISON if one is defective; -ENOSPC if the pool
 *         cannot take it; -EINTR.
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
	if (!preserve_has_pool() || !(inode->i_sb->s_flags & SB_KERNMOUNT))
		return -EOPNOTSUPP;
	if (inode_lock_killable(inode))
		return -EINTR;
	err = enter_for_good(inode);
	inode_unlock(inode);
	return err;
}
