// SPDX-License-Identifier: GPL-2.0-only
/*
 * Retrieving a tree: from LUO's handle to a descriptor of a mount, step by step.
 *
 *	handle -> book -> file system -> mount -> descriptor
 *
 * A step that fails for a passing reason (memory, a right, a limit of the caller's)
 * takes nothing back but itself: what was there before is kept with the handle, and the
 * next try goes on from there. A file system that could not be made in full is taken
 * down, and its book is as it was. What is damaged, or not possible in this kernel, is
 * final: the memory of what is refused stays set aside until the next kexec.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/capability.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/list.h>
#include <linux/liveupdate.h>
#include <linux/memcontrol.h>
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
 * @list:   All of them, under @incoming_lock.
 * @handle: LUO's.
 * @busy:   A task works on it, and is alone with it. Under @incoming_lock.
 * @book:   Its book: NULL at first, then without a file, then with one. Owned while
 *          there is no @mnt, whose file system owns it then.
 * @opened: The beginning of @book is read and good.
 * @mnt:    A mount of the tree, or NULL.
 */
struct incoming {
	struct list_head list;
	u64 handle;
	bool busy;
	struct shmem_lu_book *book;
	bool opened;
	struct vfsmount *mnt;
};

static LIST_HEAD(incoming_trees);
static DEFINE_SPINLOCK(incoming_lock);

/* Context: incoming_lock held. */
static struct incoming *incoming_find(u64 handle)
{
	struct incoming *in;

	list_for_each_entry(in, &incoming_trees, list)
		if (in->handle == handle)
			return in;
	return NULL;
}

/* That of the last try, or a new one. */
static struct incoming *incoming_get(u64 handle, gfp_t gfp)
{
	struct incoming *fresh = kzalloc_obj(*fresh, gfp), *in;

	scoped_guard(spinlock, &incoming_lock) {
		in = incoming_find(handle);
		if (!in && fresh) {
			in = fresh;
			fresh = NULL;
			in->handle = handle;
			list_add(&in->list, &incoming_trees);
		} else if (!in) {
			in = ERR_PTR(-ENOMEM);
		} else if (in->busy) {
			in = ERR_PTR(-EBUSY);
		}
		if (!IS_ERR(in))
			in->busy = true;
	}
	kfree(fresh);
	return in;
}

static void incoming_keep(struct incoming *in)
{
	guard(spinlock)(&incoming_lock);
	in->busy = false;
}

static void incoming_done(struct incoming *in)
{
	scoped_guard(spinlock, &incoming_lock)
		list_del(&in->list);
	kfree(in);
}

/* Frames that it has not taken stay as they are. */
static void incoming_drop(struct incoming *in)
{
	if (in->mnt)
		mntput(in->mnt);
	else
		shmem_lu_book_free(in->book);
	incoming_done(in);
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
	int err;

	/* It may be closed already, if there is nothing left to make of it. */
	if (in->opened)
		return 0;
	err = book_take(in);
	if (err)
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

	sbinfo->lu_incoming = book;
	sbinfo->lu_handles = book->ser.flags & PRESERVE_TREE_HANDLES;
	err = limits_charge(sb, &book->ser);
	err = err ?: shmem_lu_root_load(sb);
	if (!err && book->ser.flags & (PRESERVE_TREE_USRQUOTA |
				       PRESERVE_TREE_GRPQUOTA))
		err = shmem_lu_tree_load(sb) ?: shmem_lu_quotas_load(sb, book);
	return err;
}

/* Takes down what was made of a book, so that it can be made again. */
static void super_undo(struct fs_context *fc, struct shmem_lu_book *book)
{
	init_completion(&book->gone);
	put_fs_context(fc);
	/* A walk over all files may hold it a little longer. */
	wait_for_completion(&book->gone);
	shmem_lu_book_reset(book);
}

static int mount_make(struct incoming *in)
{
	struct shmem_lu_book *book = in->book;
	struct fs_context *fc;
	struct vfsmount *mnt;
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
	mnt = err ? ERR_PTR(err) : shmem_lu_mount(fc, &book->ser);
	if (IS_ERR(mnt)) {
		super_undo(fc, book);
		return PTR_ERR(mnt);
	}
	in->mnt = mnt;
	book->making = false;
	shmem_lu_book_release(mnt->mnt_sb);
	put_fs_context(fc);
	return 0;
}

/* --- what LUO calls --- */

/* With a mount, all that was handed over has been found good. */
static bool tree_again(const struct incoming *in, int err)
{
	return in->mnt || shmem_lu_again(err);
}

static int tree_failed(struct incoming *in, int err)
{
	bool again = tree_again(in, err);

	pr_err_ratelimited("%s: tree is not retrieved (%pe)%s\n",
			   in->opened ? in->book->ser.source : "tmpfs", ERR_PTR(err),
			   again ? "; it can be tried again" : "");
	/* A record that is refused has been counted. */
	if (!again && in->book && in->book->file)
		preserve_note_refused();
	if (again)
		incoming_keep(in);
	else
		incoming_drop(in);
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
	if (IS_ERR(in))
		return PTR_ERR(in);
	file = tree_get(in);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		args->again = tree_again(in, err);
		return tree_failed(in, err);
	}
	args->file = file;
	incoming_done(in);
	return 0;
}

static void tree_release(struct incoming *in)
{
	int err;

	/* There is no second try. */
	while ((err = book_open(in)) == -ENOMEM || err == -ENOSPC)
		memalloc_retry_wait(GFP_KERNEL);
	if (!err && !in->mnt)
		shmem_lu_book_runs(in->book, shmem_lu_frames_release);
	incoming_drop(in);
}

/**
 * shmem_lu_tree_finish - LUO is done with a handed-over tree.
 * @args: A tree that was not retrieved goes to the pool, but for what is damaged.
 *
 * Context: Process context; the task may be exiting.
 */
void shmem_lu_tree_finish(struct liveupdate_file_op_args *args)
{
	struct mem_cgroup *memcg;
	struct incoming *in;

	/* Retrieved, or refused. */
	if (args->retrieve_status)
		return;
	/* It has to work whatever the task may do, and have. */
	memcg = set_active_memcg(root_mem_cgroup);
	scoped_with_kernel_creds() {
		in = incoming_get(args->serialized_data, GFP_KERNEL | __GFP_NOFAIL);
		if (!IS_ERR(in))
			tree_release(in);
	}
	set_active_memcg(memcg);
}
