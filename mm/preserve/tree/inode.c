// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making an inode as an image says: attributes, extras, and a note of what comes later, the
 * entries of a directory and the data of a file.
 */
#define pr_fmt(fmt) "preserve: tree: " fmt

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/iversion.h>
#include <linux/kdev_t.h>
#include <linux/quotaops.h>
#include <linux/stat.h>

#include "tree.h"

/* The owner: quotas are charged to the task that makes the inode, and have to move. */
static int inode_own(struct inode *inode, const struct preserve_tree_inode *in)
{
	struct iattr attr = {
		.ia_valid = ATTR_UID | ATTR_GID,
		.ia_vfsuid = VFSUIDT_INIT(make_kuid(&init_user_ns, in->uid)),
		.ia_vfsgid = VFSGIDT_INIT(make_kgid(&init_user_ns, in->gid)),
	};
	int err = 0;

	if (sb_any_quota_loaded(inode->i_sb))
		err = dquot_transfer(&nop_mnt_idmap, inode, &attr);
	inode->i_uid = make_kuid(&init_user_ns, in->uid);
	inode->i_gid = make_kgid(&init_user_ns, in->gid);
	return err;
}

static int inode_fill(struct preserve_tree_sb *ts, struct inode *inode,
		      const struct preserve_tree_inode *in)
{
	int err;

	inode->i_ino = in->ino;
	inode->i_generation = in->generation;
	inode->i_mode = in->mode;
	set_nlink(inode, in->nlink);
	inode_set_mtime_to_ts(inode, in->mtime);
	inode_set_ctime_to_ts(inode, in->ctime);
	inode_set_atime_to_ts(inode, in->atime);
	inode_set_iversion_raw(inode, in->version);
	inode->i_write_hint = in->write_hint;
	err = ts->ops->inode_load(inode, in);
	if (err)
		return err;
	ts->ops->inode_flags(inode);
	return inode_own(inode, in);
}

/* A directory with entries is left for later. */
static int dir_fill(struct preserve_tree_sb *ts, struct inode *inode,
		    const struct preserve_tree_inode *in)
{
	struct preserve_tree_image *image = ts->incoming;
	int err;

	inode->i_size = in->size;
	if (!in->dir)
		return in->nlink == 2 ? 0 : -EUCLEAN;
	/* There is one way to each directory. */
	err = xa_insert(&image->dirs, in->dir - 1, inode, GFP_KERNEL);
	if (err)
		return err == -EBUSY ? -EUCLEAN : err;
	preserve_tree_node_of(ts, inode)->pos = in->dir;
	atomic_long_inc(&image->nr_dirs);
	atomic_long_inc(&image->refs);
	/* Last: next_lazy() finds it from now on. */
	xa_set_mark(&image->dirs, in->dir - 1, PRESERVE_DIR_LAZY);
	return 0;
}

static int extras_load(struct preserve_tree_sb *ts, struct inode *inode,
		       struct preserve_tree_reader *r, u32 nr)
{
	struct preserve_tree_extra extra;
	int err = 0;

	while (nr-- && !err)
		err = preserve_tree_get_extra(r, &extra) ?
		      ts->ops->extra_load(inode, &extra) : -EUCLEAN;
	return err;
}

/**
 * preserve_tree_inode_load - Make a new inode what the image says.
 * @ts:    What is kept for its file system.
 * @inode: The inode; no other task knows it.
 * @pos:   Where it is in the image.
 * @in:    What the image says.
 * @r:     Stands at its extras; behind them on success.
 *
 * Context: Process context, the image's lock held, or no other task knows the file system;
 *          with the kernel's credentials.
 * Return: 0; -EUCLEAN if it is damaged; -EOPNOTSUPP if this kernel has no such thing;
 *         -ENOMEM.
 */
int preserve_tree_inode_load(struct preserve_tree_sb *ts, struct inode *inode, u64 pos,
			     const struct preserve_tree_inode *in,
			     struct preserve_tree_reader *r)
{
	int err = inode_fill(ts, inode, in);

	if (!err && in->record && !ts->ops->file_save)
		return -EOPNOTSUPP;
	if (!err && S_ISLNK(in->mode)) {
		inode->i_size = in->target_len;
		err = ts->ops->symlink_load(inode, in);
	} else if (!err && S_ISDIR(in->mode)) {
		err = dir_fill(ts, inode, in);
	} else if (!err && S_ISREG(in->mode)) {
		i_size_write(inode, in->size);
		preserve_tree_data_prepare(ts, inode, pos, in);
	}
	return err ?: extras_load(ts, inode, r, in->nr_extras);
}

/**
 * preserve_tree_inode_unmake - Undo preserve_tree_inode_make().
 * @ts:    What is kept for its file system.
 * @inode: The inode, without a name. What the image has of it stays there, and stays
 *         accounted for.
 *
 * Context: As there.
 */
void preserve_tree_inode_unmake(struct preserve_tree_sb *ts, struct inode *inode)
{
	struct preserve_tree_node *node = preserve_tree_node_of(ts, inode);
	struct preserve_tree_image *image = ts->incoming;

	if (node->pos) {
		if (S_ISDIR(inode->i_mode)) {
			atomic_long_dec(&image->nr_dirs);
			xa_erase(&image->dirs, node->pos - 1);
		}
		node->pos = 0;
		/* The directory that it would be in holds one, too. */
		atomic_long_dec(&image->refs);
	}
	ts->ops->inode_unmake(inode);
	/* A walk over all files may be the last to hold it. */
	clear_nlink(inode);
	iput(inode);
}

/**
 * preserve_tree_inode_make - Make an inode as the image says.
 * @ts:  What is kept for its file system.
 * @sb:  The file system.
 * @pos: Where it is in the image.
 * @in:  What the image says.
 * @r:   Stands at its extras; behind them on success.
 *
 * Context: As for preserve_tree_inode_load().
 * Return: The inode, without a name yet; or an ERR_PTR, as there.
 */
struct inode *preserve_tree_inode_make(struct preserve_tree_sb *ts, struct super_block *sb,
				       u64 pos, const struct preserve_tree_inode *in,
				       struct preserve_tree_reader *r)
{
	struct inode *inode = ts->ops->inode_new(sb, in->mode, new_decode_dev(in->rdev));
	int err;

	if (!inode)
		return ERR_PTR(-ENOMEM);
	err = preserve_tree_inode_load(ts, inode, pos, in, r);
	if (!err)
		return inode;
	preserve_tree_inode_unmake(ts, inode);
	return ERR_PTR(err);
}

/* Inodes that a walk passes over before it lets the lock of the list go. */
#define PASSED_OVER	1024

/**
 * preserve_tree_inodes - Call a function for inodes of a file system.
 * @ts:  What is kept for it.
 * @sb:  The file system.
 * @fit: Says for which, under a spinlock. NULL: for all.
 * @fn:  May sleep; a result other than 0 ends it.
 *
 * Context: Process context. What is made meanwhile may be missed. An inode that has lost its
 *          last name, or loses it meanwhile, may go by this.
 * Return: 0, or what @fn returned.
 */
int preserve_tree_inodes(struct preserve_tree_sb *ts, struct super_block *sb,
			 bool (*fit)(struct preserve_tree_sb *ts, struct inode *inode),
			 int (*fn)(struct preserve_tree_sb *ts, struct inode *inode))
{
	struct inode *inode, *last = NULL;
	unsigned int passed = 0;
	bool fits;
	int err = 0;

	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		fits = !fit || fit(ts, inode);
		/* One with a name stays: a place to rest at. */
		if ((!fits && (++passed < PASSED_OVER || !inode->i_nlink)) || !igrab(inode))
			continue;
		passed = 0;
		spin_unlock(&sb->s_inode_list_lock);
		iput(last);
		last = inode;
		if (fits)
			err = fn(ts, inode);
		cond_resched();
		spin_lock(&sb->s_inode_list_lock);
		if (err)
			break;
	}
	spin_unlock(&sb->s_inode_list_lock);
	iput(last);
	return err;
}
