// SPDX-License-Identifier: GPL-2.0-only
/*
 * Retrieving a tree: from LUO's handle to a descriptor of a mount, step by step.
 *
 *	handle -> image -> file system -> mount -> descriptor
 *
 * A step that fails for a passing reason (memory, a right, a limit of the caller's)
 * takes nothing back but itself: what was there before is kept with the handle, and the
 * next try goes on from there. A file system that could not be made in full is taken
 * down, and its image is as it was. What is damaged, or not possible in this kernel, is
 * final: the memory of what is refused stays set aside until the next kexec. Only what is
 * whole, but not for this machine, is kept, and freed when LUO is done with it.
 */
#define pr_fmt(fmt) "preserve: tree: " fmt

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
#include <linux/quotaops.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "tree.h"

/**
 * struct incoming - A handed-over tree on its way.
 * @list:   All of them, under @incoming_lock.
 * @handle: LUO's.
 * @busy:   A task works on it, and is alone with it. Under @incoming_lock.
 * @image:  Its image: NULL at first, then without bytes, then with them. Owned while
 *          there is no @mnt, whose file system owns it then.
 * @opened: The beginning of @image is read and good.
 * @unfit:  This machine cannot have it, which is final; all of it is whole.
 * @mnt:    A mount of the tree, or NULL.
 */
struct incoming {
	struct list_head list;
	u64 handle;
	bool busy;
	struct preserve_tree_image *image;
	bool opened;
	bool unfit;
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
		preserve_image_free(in->image);
	incoming_done(in);
}

/* --- handle -> image --- */

static int image_take(struct incoming *in)
{
	if (!in->image)
		in->image = preserve_image_new();
	if (!in->image)
		return -ENOMEM;
	if (in->image->stream.crossed)
		return 0;
	return preserve_stream_retrieve(&in->image->stream, in->handle, PRESERVE_FILE_TREE);
}

static int image_open(struct incoming *in)
{
	const char *reason;
	int err;

	/* It may be closed already, if there is nothing left to make of it. */
	if (in->opened)
		return 0;
	err = image_take(in);
	if (err)
		return err;
	err = preserve_image_open(in->image, &reason);
	if (err)
		pr_err_ratelimited("tree refused: %s (%pe)\n", reason, ERR_PTR(err));
	in->opened = !err;
	return err;
}

/* --- image -> file system -> mount --- */

/* With quotas, usage is counted by inode: all of them are made. */
static int super_fill(struct preserve_tree_sb *ts, struct super_block *sb,
		      struct preserve_tree_image *image)
{
	int err;

	ts->incoming = image;
	ts->handles = image->ser.flags & PRESERVE_TREE_HANDLES;
	/* What the tree takes counts from the beginning, whether it is made or not. */
	err = ts->ops->usage_charge(sb, &image->ser);
	err = err ?: preserve_tree_root_load(ts, d_inode(sb->s_root));
	if (!err && (ts->ops->eager || sb_any_quota_loaded(sb)))
		err = preserve_tree_load(ts);
	return err ?: preserve_quota_load(sb, image);
}

/* Takes down what was made of an image, so that it can be made again. */
static void super_undo(struct fs_context *fc, struct preserve_tree_image *image)
{
	init_completion(&image->gone);
	put_fs_context(fc);
	/* A walk over all files may hold it a little longer. */
	wait_for_completion(&image->gone);
	preserve_image_reset(image);
}

static bool is_file(struct preserve_tree_sb *ts, struct inode *inode)
{
	return S_ISREG(inode->i_mode);
}

/* What has not had its turn when the task is killed is brought in by its first user. */
static int inode_ready(struct preserve_tree_sb *ts, struct inode *inode)
{
	ts->ops->file_ready(inode);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

static int mount_make(const struct preserve_tree_ops *ops, struct incoming *in)
{
	struct preserve_tree_image *image = in->image;
	struct super_block *sb;
	struct fs_context *fc;
	struct vfsmount *mnt;
	int err;

	if (in->mnt)
		return 0;
	if (strcmp(image->ser.fs_type, ops->fs_type)) {
		pr_err_ratelimited("%s: the image is of another file system, %s\n",
				   image->ser.source, image->ser.fs_type);
		return -EPROTO;
	}
	fc = preserve_super_make(ops, image);
	in->unfit = fc == ERR_PTR(-EOPNOTSUPP);
	if (IS_ERR(fc))
		return PTR_ERR(fc);
	sb = fc->root->d_sb;
	/* One more until it is done: nothing closes the image. */
	atomic_long_set(&image->refs, 1);
	image->making = true;
	err = super_fill(ops->sb(sb), sb, image);
	mnt = err ? ERR_PTR(err) : preserve_mount_make(fc, &image->ser);
	if (IS_ERR(mnt)) {
		super_undo(fc, image);
		return PTR_ERR(mnt);
	}
	in->mnt = mnt;
	image->making = false;
	if (ops->file_ready)
		preserve_tree_inodes(ops->sb(sb), sb, is_file, inode_ready);
	preserve_image_release(image);
	put_fs_context(fc);
	return 0;
}

/* --- what LUO calls --- */

/* With a mount, all that was handed over has been found good. */
static bool tree_again(const struct incoming *in, int err)
{
	return in->mnt || preserve_retrieve_again(err);
}

static int tree_failed(struct incoming *in, int err)
{
	bool again = tree_again(in, err);

	pr_err_ratelimited("%s: tree is not retrieved (%pe)%s\n",
			   in->opened ? in->image->ser.source : "?", ERR_PTR(err),
			   again ? "; it can be tried again" : "");
	/* A record that is refused has been counted. */
	if (!again && in->image && in->image->stream.crossed)
		preserve_note_refused();
	if (again || in->unfit)
		incoming_keep(in);
	else
		incoming_drop(in);
	return err;
}

static struct file *tree_get(const struct preserve_tree_ops *ops, struct incoming *in)
{
	int err = image_open(in) ?: mount_make(ops, in);

	return err ? ERR_PTR(err) : preserve_mount_open(in->mnt);
}

/**
 * preserve_tree_retrieve - LUO's request for a handed-over tree.
 * @ops:  What makes the file system.
 * @args: @file is set on success, @again on an error that is not final.
 *
 * Context: Process context; LUO asks for one handle once at a time.
 * Return: 0, or a negative errno.
 */
int preserve_tree_retrieve(const struct preserve_tree_ops *ops,
			   struct liveupdate_file_op_args *args)
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
	file = tree_get(ops, in);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		args->again = tree_again(in, err);
		return tree_failed(in, err);
	}
	args->file = file;
	incoming_done(in);
	return 0;
}

static void tree_release(const struct preserve_tree_ops *ops, struct incoming *in)
{
	int err;

	/* There is no second try. */
	while ((err = image_open(in)) == -ENOMEM)
		memalloc_retry_wait(GFP_KERNEL);
	if (!err && !in->mnt)
		preserve_image_release_all(in->image, ops);
	incoming_drop(in);
}

/* @status: of retrieving it. */
static void tree_end(const struct preserve_tree_ops *ops, struct incoming *in, int status)
{
	if (status && !in->unfit)
		incoming_drop(in);
	else
		tree_release(ops, in);
}

/**
 * preserve_tree_finish - LUO is done with a handed-over tree.
 * @ops:  What would make the file system.
 * @args: A tree that was not retrieved goes to the pool, but for what is damaged.
 *
 * Context: Process context; the task may be exiting.
 */
void preserve_tree_finish(const struct preserve_tree_ops *ops,
			  struct liveupdate_file_op_args *args)
{
	struct mem_cgroup *memcg;
	struct incoming *in;

	/* Retrieved, or refused; or whole, and not for this machine. */
	if (args->retrieve_status && args->retrieve_status != -EOPNOTSUPP)
		return;
	/* It has to work whatever the task may do, and have. */
	memcg = set_active_memcg(root_mem_cgroup);
	scoped_with_kernel_creds() {
		in = incoming_get(args->serialized_data, GFP_KERNEL | __GFP_NOFAIL);
		if (!IS_ERR(in))
			tree_end(ops, in, args->retrieve_status);
	}
	set_active_memcg(memcg);
}
