// SPDX-License-Identifier: GPL-2.0-only
/*
 * LUO's handler of trees: which can be preserved, how they stand still, and how they go on.
 */

/**
 * DOC: Trees
 *
 * LUO preserves a file descriptor of a mount's root directory: names, directories, hard
 * links, symbolic links, special files, attributes, times, extended attributes, ACLs,
 * holes, policies, options, limits. Preserving writes an *image* of all that, in pages of
 * the pool; see include/linux/kho/abi/preserve_tree.h. Files of a tmpfs mounted with
 * "preserve" have their memory in the pool already; those of another one are moved
 * there.
 *
 * From then on the tree stands still: names from the beginning on, each file from the moment
 * at which it is noted. What would change its shape, a size, a hole or an attribute is EPERM; a
 * fault into a hole is SIGBUS; times do not move. Content can be written where there is some,
 * unless that had to clear set-ID bits or capabilities. Unpreserve lets everything go on.
 *
 * Retrieving gives a detached mount, for move_mount(2). Directories and inodes are made when
 * a task looks there, file by file memory when a task touches it. What is retrieved and not
 * used takes its frames and what it counts against limits, no more, and crosses another kexec
 * as it is. With quotas all inodes are made at once, because usage is counted by inode. A
 * retrieve that fails for want of memory, a right or a limit can be tried again.
 *
 * What is damaged is refused in its smallest unit: a directory (EUCLEAN), a file's data
 * (EIO), or the whole tree if its beginning or its root is.
 *
 * A tree that is finished without having been retrieved is freed to the pool.
 */
#define pr_fmt(fmt) "preserve: tree: " fmt

#include <linux/capability.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/liveupdate.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/slab.h>

#include "tree.h"

static const struct preserve_tree_ops *handler_ops(struct liveupdate_file_handler *handler)
{
	return container_of(handler, struct preserve_tree_handler, luo)->ops;
}

static struct preserve_tree_sb *file_tree(const struct liveupdate_file_op_args *args)
{
	return handler_ops(args->handler)->sb(file_inode(args->file)->i_sb);
}

/* --- preserve --- */

/* A directory of such a file system is ours, to be refused with a reason if need be. */
static bool tree_can_preserve(struct liveupdate_file_handler *handler,
			      struct file *file)
{
	return S_ISDIR(file_inode(file)->i_mode) &&
	       !strcmp(file_inode(file)->i_sb->s_type->name, handler_ops(handler)->fs_type);
}

static unsigned long tree_get_id(struct file *file)
{
	return (unsigned long)file_inode(file)->i_sb;
}

static int handler_refuse(const struct file *file, int err, const char *why)
{
	pr_err_ratelimited("%pD: not preserved: %s (%pe)\n", file, why,
			   ERR_PTR(err));
	return err;
}

static int tree_suits(const struct file *file)
{
	struct super_block *sb = file_inode(file)->i_sb;
	const char *why;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (!preserve_can_hand_over())
		return -EOPNOTSUPP;
	if (file->f_path.dentry != sb->s_root)
		return handler_refuse(file, -EINVAL, "not the root of its file system");
	/* Owners would come back as they are on disk: real root's, for many. */
	if (is_idmapped_mnt(file->f_path.mnt))
		return handler_refuse(file, -EOPNOTSUPP, "the mount is id-mapped");
	if (sb->s_user_ns != &init_user_ns)
		return handler_refuse(file, -EOPNOTSUPP,
			      "the mount belongs to another user namespace");
	why = preserve_mount_refused(sb, file->f_path.mnt);
	return why ? handler_refuse(file, -EOPNOTSUPP, why) : 0;
}

/* A task that waits to fill a hole holds the inode's lock. */
static void inode_unfreeze(struct inode *inode)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	if (pf && !preserve_file_record(pf))
		preserve_file_unfreeze(pf);
}

/* May a file leave the pool? Not while what the image has of it is to be made. */
static bool may_leave(struct preserve_tree_sb *ts, struct inode *inode)
{
	const struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	return S_ISREG(inode->i_mode) && !ts->ops->file_save && !ts->pool &&
	       preserve_mapping(inode->i_mapping) &&
	       !preserve_tree_node_left(preserve_tree_node_of(ts, inode)) &&
	       !(pf && preserve_file_incomplete(pf));
}

/* Of a file system whose files have records of their own. */
static void file_unsave(struct preserve_tree_sb *ts, struct inode *inode)
{
	struct preserve_tree_node *node = preserve_tree_node_of(ts, inode);

	if (!node->saved)
		return;
	node->saved = false;
	ts->ops->file_unsave(inode);
}

static void file_thaw(struct preserve_tree_sb *ts, struct inode *inode, bool ours)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	/* What is preserved by itself stands still for its own reason. */
	if (pf && preserve_file_record(pf))
		return;
	if (ours)
		ts->ops->file_freeze(inode, false);
	if (pf)
		preserve_file_unfreeze(pf);
	/* A task that has seen the tree preserved has brought its data in behind this. */
	if (!ts->pool && preserve_tree_node_of(ts, inode)->pos) {
		mutex_lock(&ts->incoming->lock);
		mutex_unlock(&ts->incoming->lock);
	}
	/* One that is not complete leaves the pool when it is. */
	if (may_leave(ts, inode))
		ts->ops->file_leave(inode);
}

static void inode_thaw(struct preserve_tree_sb *ts, struct inode *inode)
{
	bool ours;

	inode_lock(inode);
	/* Only noting it for the image sets that. */
	ours = inode->i_flags & S_NOCMTIME;
	ts->ops->inode_flags(inode);
	if (ts->ops->file_save)
		file_unsave(ts, inode);
	else if (S_ISREG(inode->i_mode))
		file_thaw(ts, inode, ours);
	inode_unlock(inode);
}

static int inode_go_on(struct preserve_tree_sb *ts, struct inode *inode)
{
	inode_unfreeze(inode);
	inode_thaw(ts, inode);
	/* The task that made the last folio meanwhile has found the lock taken. */
	if (may_leave(ts, inode))
		inode_thaw(ts, inode);
	return 0;
}

static bool is_dir(struct preserve_tree_sb *ts, struct inode *inode)
{
	return S_ISDIR(inode->i_mode);
}

/* What changes the names in a directory holds its lock from its look at @outgoing on. */
static int dir_wait(struct preserve_tree_sb *ts, struct inode *inode)
{
	int err = down_write_killable(&inode->i_rwsem);

	if (!err)
		inode_unlock(inode);
	return err;
}

/* Context: s_umount held for writing. */
static int changes_refuse(struct preserve_tree_sb *ts, struct super_block *sb,
			  struct preserve_tree_image *image)
{
	if (ts->outgoing)
		return -EBUSY;
	if (preserve_quota_off(sb))
		return -EOPNOTSUPP;
	WRITE_ONCE(ts->outgoing, image);
	preserve_quota_freeze(sb, image);
	return 0;
}

static void changes_allow(struct preserve_tree_sb *ts, struct super_block *sb)
{
	guard(rwsem_write)(&sb->s_umount);
	preserve_quota_thaw(sb, ts->outgoing);
	/* Before the thaw: what makes data meanwhile freezes it no more. */
	WRITE_ONCE(ts->outgoing, NULL);
}

static void tree_thaw(struct preserve_tree_sb *ts, struct super_block *sb)
{
	changes_allow(ts, sb);
	preserve_tree_inodes(ts, sb, NULL, inode_go_on);
}

/*
 * From now on the tree stands still. Remounting and quotactl(2) hold s_umount from their
 * look at @outgoing, or at the operations, to the end.
 */
static int tree_freeze_changes(struct preserve_tree_sb *ts, struct super_block *sb,
			       struct preserve_tree_image *image)
{
	int err = down_write_killable(&sb->s_umount);

	if (err)
		return err;
	err = changes_refuse(ts, sb, image);
	up_write(&sb->s_umount);
	if (err)
		return err;
	err = preserve_tree_inodes(ts, sb, is_dir, dir_wait);
	/* Nothing has been noted, but data that came has seen the tree preserved. */
	if (err)
		tree_thaw(ts, sb);
	return err;
}

static void tree_undo(struct preserve_tree_sb *ts, struct super_block *sb,
		      struct preserve_tree_image *image)
{
	preserve_image_runs(image, preserve_run_unclaim);
	tree_thaw(ts, sb);
	preserve_image_free(image);
}

static int tree_write(struct preserve_tree_sb *ts, struct super_block *sb,
		      struct vfsmount *mnt, struct preserve_tree_image *image, u64 *handle)
{
	int err;

	preserve_compact_pause();
	err = preserve_tree_save(ts, sb, mnt, image);
	preserve_compact_resume();
	return err ?: preserve_stream_preserve(&image->stream, PRESERVE_FILE_TREE,
					       image->ser.source, handle);
}

/* --- what LUO calls --- */

static int tree_preserve(struct liveupdate_file_op_args *args)
{
	struct super_block *sb = file_inode(args->file)->i_sb;
	struct preserve_tree_sb *ts = file_tree(args);
	struct preserve_tree_image *image;
	int err = tree_suits(args->file);

	if (err)
		return err;
	image = preserve_image_new();
	if (!image)
		return -ENOMEM;
	err = tree_freeze_changes(ts, sb, image);
	if (err) {
		preserve_image_free(image);
		if (err != -EOPNOTSUPP)
			return err;
		return handler_refuse(args->file, err, "quotas are counted, and switched off");
	}
	err = tree_write(ts, sb, args->file->f_path.mnt, image, &args->serialized_data);
	if (err) {
		tree_undo(ts, sb, image);
		return err;
	}
	args->private_data = image;
	return 0;
}

static void tree_unpreserve(struct liveupdate_file_op_args *args)
{
	struct preserve_tree_image *image = args->private_data;

	preserve_stream_unpreserve(&image->stream);
	tree_undo(file_tree(args), file_inode(args->file)->i_sb, image);
}

/*
 * Not what has lost its name and is open yet: it may go by the walk, which can wait for a task
 * that waits for this kexec.
 */
static bool is_saved(struct preserve_tree_sb *ts, struct inode *inode)
{
	return READ_ONCE(preserve_tree_node_of(ts, inode)->saved);
}

static int inode_seal(struct preserve_tree_sb *ts, struct inode *inode)
{
	ts->outgoing->ser.used_pages += ts->ops->file_seal(inode);
	return 0;
}

static int inode_unseal(struct preserve_tree_sb *ts, struct inode *inode)
{
	ts->ops->file_unseal(inode);
	return 0;
}

static int tree_freeze(struct liveupdate_file_op_args *args)
{
	struct preserve_tree_sb *ts = file_tree(args);
	struct preserve_tree_image *image = args->private_data;

	if (ts->ops->file_seal) {
		image->ser.used_pages = 0;
		preserve_tree_inodes(ts, file_inode(args->file)->i_sb, is_saved, inode_seal);
	}
	preserve_tree_save_late(ts, args->file->f_path.mnt, image);
	return 0;
}

static void tree_unfreeze(struct liveupdate_file_op_args *args)
{
	struct preserve_tree_sb *ts = file_tree(args);

	if (ts->ops->file_unseal)
		preserve_tree_inodes(ts, file_inode(args->file)->i_sb, is_saved, inode_unseal);
}

static int tree_retrieve(struct liveupdate_file_op_args *args)
{
	return preserve_tree_retrieve(handler_ops(args->handler), args);
}

static void tree_finish(struct liveupdate_file_op_args *args)
{
	preserve_tree_finish(handler_ops(args->handler), args);
}

const struct liveupdate_file_ops preserve_tree_luo_ops = {
	.can_preserve	= tree_can_preserve,
	.preserve	= tree_preserve,
	.unpreserve	= tree_unpreserve,
	.freeze		= tree_freeze,
	.unfreeze	= tree_unfreeze,
	.retrieve	= tree_retrieve,
	.finish		= tree_finish,
	.get_id		= tree_get_id,
	.owner		= THIS_MODULE,
};
