// SPDX-License-Identifier: GPL-2.0-only
/*
 * All files that have a struct preserve_file, and counters.
 */
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "file.h"

/* All of them. */
static LIST_HEAD(files);
static DEFINE_SPINLOCK(preserve_files_lock);

/* Files that are preserved, maps made anew, files accepted, refused. */
atomic_long_t preserve_nr_files;
atomic_long_t preserve_nr_rebuilt;
atomic_long_t preserve_nr_retrieved;
atomic_long_t preserve_nr_refused;

/* Pages of all files that are unrestored. */
atomic_long_t preserve_nr_unrestored;

/**
 * preserve_file_list_add - Let walks find a file.
 * @pf: The file.
 *
 * Context: Process context.
 */
void preserve_file_list_add(struct preserve_file *pf)
{
	guard(spinlock)(&preserve_files_lock);
	list_add_tail(&pf->list, &files);
}

/**
 * preserve_file_list_del - Undo preserve_file_list_add().
 * @pf: The file.
 *
 * Context: Process context; its inode has no reference any more.
 */
void preserve_file_list_del(struct preserve_file *pf)
{
	guard(spinlock)(&preserve_files_lock);
	list_del(&pf->list);
}

/* A file system that is to be put by a worker, which holds no lock. */
struct dropping {
	struct work_struct work;
	struct super_block *sb;
};

static void drop_work(struct work_struct *work)
{
	struct dropping *d = container_of(work, struct dropping, work);

	deactivate_super(d->sb);
	kfree(d);
}

/*
 * Gives up a reference to a file system. The last one evicts files, and a task that walks
 * over them may hold locks of the pool.
 */
static void super_drop(struct super_block *sb)
{
	struct dropping *d;

	if (atomic_add_unless(&sb->s_active, -1, 1))
		return;
	d = kmalloc_obj(*d, GFP_KERNEL | __GFP_NOFAIL);
	d->sb = sb;
	INIT_WORK(&d->work, drop_work);
	schedule_work(&d->work);
}

/*
 * Holds a file and its file system, which could be unmounted otherwise. Returns false
 * if it cannot; *orphan is then set if ours is the last reference to the latter.
 * Context: preserve_files_lock held; the inode is there while the file is on the list.
 */
static bool file_hold(struct preserve_file *pf, struct super_block **orphan)
{
	struct inode *inode = pf->mapping->host;

	if (!atomic_inc_not_zero(&inode->i_sb->s_active))
		return false;
	if (igrab(inode))
		return true;
	if (!atomic_add_unless(&inode->i_sb->s_active, -1, 1))
		*orphan = inode->i_sb;
	return false;
}

/**
 * preserve_file_next - Walk over all files that have a struct preserve_file.
 * @pf: The last one, whose inode's reference is given up; NULL to begin.
 *
 * Context: Process context, may sleep.
 * Return: The next one, with a reference to its inode; NULL at the end.
 */
struct preserve_file *preserve_file_next(struct preserve_file *pf)
{
	struct inode *last = pf ? pf->mapping->host : NULL;
	struct super_block *sb = last ? last->i_sb : NULL, *orphan = NULL;

	scoped_guard(spinlock, &preserve_files_lock) {
		if (pf)
			pf->nr_walkers--;
		pf = list_prepare_entry(pf, &files, list);
		list_for_each_entry_continue(pf, &files, list)
			if (file_hold(pf, &orphan) || orphan)
				break;
		/* With an orphan, which is rare, the walk ends before its time. */
		if (list_entry_is_head(pf, &files, list) || orphan)
			pf = NULL;
		else
			pf->nr_walkers++;
	}
	iput(last);
	if (sb)
		super_drop(sb);
	if (orphan)
		super_drop(orphan);
	return pf;
}

/**
 * preserve_file_used - Has the file an owner besides the tasks that walk?
 * @pf: From preserve_file_next().
 *
 * Context: Any. The estimate takes no lock, and may be stale.
 * Return: False if it goes away as soon as they leave it.
 */
bool preserve_file_used(const struct preserve_file *pf)
{
	return icount_read_once(pf->mapping->host) >
	       READ_ONCE(pf->nr_walkers);
}

/**
 * preserve_note_refused - A backend refuses for good what a record describes.
 *
 * Context: Any. preserve_record_take() counts what it refuses itself.
 */
void preserve_note_refused(void)
{
	atomic_long_inc(&preserve_nr_refused);
}

/**
 * preserve_note_retrieved - A backend has accepted what was handed over of a file.
 *
 * Context: Any. preserve_file_begin() does it itself.
 */
void preserve_note_retrieved(void)
{
	atomic_long_inc(&preserve_nr_retrieved);
}
