// SPDX-License-Identifier: GPL-2.0-only
/*
 * Retrieving a tree: from LUO's handle to a descriptor of a mount, step by step.
 *
 *	handle -> book -> file system -> mount -> descriptor
 *
 * A step that fails for a passing reason (memory, a right, a limit of the caller's)
 * takes nothing back but itself: what was there before is kept with the handle, and the
 * next try goes on from there. A file system that could not be made in full is taken
 * down, and its book is as it was. Only damage is final: the memory of what is refused
 * stays set aside until the next kexec.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/list.h>
#include <linux/liveupdate.h>
#include <linux/mount.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "shmem_lu.h"
#include "shmem_lu_tree.h"

/**
 * struct incoming - A handed-over tree on its way.
 * @list:   Those that wait for the next try, under @incoming_lock.
 * @handle: LUO's.
 * @book:   Its book: NULL at first, then without a file, then with one. Owned while
 *          there is no @mnt, whose file system owns it then.
 * @opened: The beginning of @book is read and good.
 * @mnt:    A mount of the tree, or NULL.
 *
 * A task that works on one has taken it off the list, and is alone with it.
 */
struct incoming {
	struct list_head list;
	u64 handle;
	struct shmem_lu_book *book;
	bool opened;
	struct vfsmount *mnt;
};

static LIST_HEAD(incoming_trees);
static DEFINE_SPINLOCK(incoming_lock);

static struct incoming *incoming_find(u64 handle)
{
	struct incoming *in;

	guard(spinlock)(&incoming_lock);
	list_for_each_entry(in, &incoming_trees, list) {
		if (in->handle == handle) {
			list_del(&in->list);
			return in;
		}
	}
	return NULL;
}

static struct incoming *incoming_get(u64 handle, gfp_t gfp)
{
	struct incoming *in = incoming_find(handle);

	if (in)
		return in;
	in = kzalloc_obj(*in, gfp);
	if (in)
		in->handle = handle;
	return in;
}

static void incoming_keep(struct incoming *in)
{
	guard(spinlock)(&incoming_lock);
	list_add(&in->list, &incoming_trees);
}

/* Frames that it has not taken stay as they are. */
static void incoming_free(struct incoming *in)
{
	if (in->mnt)
		mntput(in->mnt);
	else
		shmem_lu_book_free(in->book);
	kfree(in);
}

/* --- handle -> book --- */

static int book_take(struct incoming *in)
{
	struct file *file;

	if (!in->book)
		in->book = shmem_lu_book_new();
	if (!in->book)
		return -ENOMEM;
	if (in->book->file)
		return 0;
	file = shmem_lu_file_retrieve(in->handle, PRESERVE_FILE_TREE);
	if (IS_ERR(file))
		return PTR_ERR(file);
	in->book->file = file;
	return 0;
}

static int book_open(struct incoming *in)
{
	const char *reason;
	int err = book_take(in);

	if (err || in->opened)
		return err;
	err = shmem_lu_book_open(in->book, &reason);
	if (err)
		pr_err_ratelimited("tree refused: %s (%pe)\n", reason, ERR_PTR(err));
	in->opened = !err;
	return err;
}

/* --- book -> file system -> mount --- */

/* What the tree takes counts from the beginning, whether it is made or not. */
static int limits_charge(struct super_block *sb, const struct preserve_tree_ser *ser)
{
	struct shmem_sb_info *sbinfo = sb->s_fs_info;
	u64 space = ser->used_ispace - SHMEM_LU_INODE_SPACE;
	int err = 0;

	raw_spin_lock(&sbinfo->stat_lock);
	if (sbinfo->max_inodes) {
		if (ser->used_ispace < SHMEM_LU_INODE_SPACE ||
		    space > sbinfo->free_ispace)
			err = -EUCLEAN;
		else
			sbinfo->free_ispace -= space;
	}
	sbinfo->next_ino = max(sbinfo->next_ino, ser->next_ino);
	raw_spin_unlock(&sbinfo->stat_lock);
	if (!err && sbinfo->max_blocks)
		percpu_counter_add(&sbinfo->used_blocks, ser->used_blocks);
	return err;
}

static int super_fill(struct super_block *sb, struct shmem_lu_book *book)
{
	struct shmem_sb_info *sbinfo = sb->s_fs_info;
	int err;

	sbinfo->lu_in = book;
	err = limits_charge(sb, &book->ser);
	err = err ?: shmem_lu_root_load(sb);
	if (!err && book->ser.flags & (PRESERVE_TREE_USRQUOTA |
				       PRESERVE_TREE_GRPQUOTA))
		err = shmem_lu_tree_load(sb) ?: shmem_lu_quotas_load(sb, book);
	return err;
}

static int mount_make(struct incoming *in)
{
	struct shmem_lu_book *book = in->book;
	struct vfsmount *mnt = NULL;
	struct fs_context *fc;
	int err;

	if (in->mnt)
		return 0;
	fc = shmem_lu_super_make(&book->ser);
	if (IS_ERR(fc))
		return PTR_ERR(fc);
	/* One more until it is done: nothing closes the book. */
	atomic_long_set(&book->refs, 1);
	book->making = true;
	err = super_fill(fc->root->d_sb, book);
	if (!err)
		mnt = shmem_lu_mount(fc, &book->ser);
	if (!IS_ERR_OR_NULL(mnt)) {
		in->mnt = mnt;
		book->making = false;
		shmem_lu_book_put(mnt->mnt_sb);
	}
	put_fs_context(fc);
	if (in->mnt)
		return 0;
	shmem_lu_book_reset(book);
	return err ?: PTR_ERR(mnt);
}

/* --- what LUO calls --- */

static int tree_failed(struct incoming *in, int err)
{
	bool again = shmem_lu_again(err);

	pr_err_ratelimited("%s: tree is not retrieved (%pe)%s\n",
			   in->opened ? in->book->ser.source : "tmpfs", ERR_PTR(err),
			   again ? "; it can be tried again" : "");
	if (again)
		incoming_keep(in);
	else
		incoming_free(in);
	return err;
}

static struct file *tree_get(struct incoming *in)
{
	int err = book_open(in) ?: mount_make(in);

	return err ? ERR_PTR(err) : shmem_lu_mount_open(in->mnt);
}

/**
 * shmem_lu_tree_retrieve - LUO's request for a handed-over tree.
 * @args: @file is set on success, @again on an error that is not final.
 *
 * Context: Process context; LUO asks for one handle once at a time.
 * Return: 0, or a negative errno.
 */
int shmem_lu_tree_retrieve(struct liveupdate_file_op_args *args)
{
	struct incoming *in;
	struct file *file;
	int err;

	args->again = true;
	if (!capable(CAP_SYS_ADMIN) || current_user_ns() != &init_user_ns)
		return -EPERM;
	in = incoming_get(args->serialized_data, GFP_KERNEL);
	if (!in)
		return -ENOMEM;
	file = tree_get(in);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		args->again = shmem_lu_again(err);
		return tree_failed(in, err);
	}
	args->file = file;
	kfree(in);
	return 0;
}

/**
 * shmem_lu_tree_finish - LUO is done with a handed-over tree.
 * @args: A tree that was not retrieved goes to the pool.
 *
 * Context: Process context.
 */
void shmem_lu_tree_finish(struct liveupdate_file_op_args *args)
{
	struct incoming *in;
	int err;

	/* Retrieved, or refused. */
	if (args->retrieve_status)
		return;
	in = incoming_get(args->serialized_data, GFP_KERNEL | __GFP_NOFAIL);
	/* There is no second try. */
	while ((err = book_open(in)) == -ENOMEM)
		memalloc_retry_wait(GFP_KERNEL);
	if (!err && !in->mnt)
		shmem_lu_book_runs(in->book, shmem_lu_frames_release);
	incoming_free(in);
}
