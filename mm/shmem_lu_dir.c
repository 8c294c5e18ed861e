// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names in a tmpfs: directories of a retrieved tree whose entries are made when a task looks
 * there, and what a tree that is preserved refuses.
 */
#include <linux/dcache.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/posix_acl.h>
#include <linux/preserve.h>
#include <linux/shmem_fs.h>

#include "internal.h"
#include "shmem_lu.h"
#include "shmem_lu_tmpfs.h"

/**
 * shmem_lu_lookup - Look a name up that the dcache does not have.
 * @dir:    The directory, locked.
 * @dentry: The name.
 * @flags:  LOOKUP_*.
 *
 * Context: Process context.
 * Return: As preserve_tree_lookup().
 */
struct dentry *shmem_lu_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	struct shmem_sb_info *sbinfo = dir->i_sb->s_fs_info;

	return preserve_tree_lookup(&sbinfo->lu_tree, dir, dentry, flags);
}

static int dir_iterate(struct file *file, struct dir_context *ctx)
{
	struct shmem_sb_info *sbinfo = file_inode(file)->i_sb->s_fs_info;
	int err = preserve_tree_dir_load(&sbinfo->lu_tree, file_inode(file));

	return err ?: simple_offset_dir_operations.iterate_shared(file, ctx);
}

static loff_t dir_llseek(struct file *file, loff_t offset, int whence)
{
	return simple_offset_dir_operations.llseek(file, offset, whence);
}

/* As simple_offset_dir_operations, for directories of a retrieved tree. */
const struct file_operations shmem_lu_dir_operations = {
	.llseek		= dir_llseek,
	.iterate_shared	= dir_iterate,
	.read		= generic_read_dir,
	.fsync		= noop_fsync,
	.setlease	= generic_setlease,
};

/**
 * shmem_lu_dir_empty - Is a directory empty, or no directory?
 * @dentry: Of what is to be removed, or to compare names in another way; it is locked.
 *
 * One that is damaged has nothing that could be had any more: it may go.
 *
 * Context: Process context.
 * Return: True if it is.
 */
bool shmem_lu_dir_empty(struct dentry *dentry)
{
	struct shmem_sb_info *sbinfo = dentry->d_sb->s_fs_info;

	return preserve_tree_dir_empty(&sbinfo->lu_tree, dentry);
}

/**
 * shmem_lu_unlink - Remove a name, unless the tree is preserved.
 * @dir:    The directory, locked.
 * @dentry: The name.
 *
 * Not for removing a directory, or a name in the course of a rename: these ask before
 * they change anything, and have to go on then.
 *
 * Context: Process context.
 * Return: -EPERM, or as shmem_unlink().
 */
int shmem_lu_unlink(struct inode *dir, struct dentry *dentry)
{
	return shmem_lu_may_change(dir) ? shmem_unlink(dir, dentry) : -EPERM;
}

/**
 * shmem_lu_may_label - May extended attributes and ACLs of this inode change?
 * @inode: A shmem inode, locked.
 *
 * They are noted when it is preserved.
 *
 * Return: False if it is preserved, by itself or in a tree.
 */
bool shmem_lu_may_label(const struct inode *inode)
{
	const struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	return shmem_lu_may_change(inode) && !(pf && preserve_file_record(pf));
}

#ifdef CONFIG_FS_POSIX_ACL
static bool has_acl(const struct inode *inode)
{
	return !IS_ERR_OR_NULL(inode->i_acl) && !is_uncached_acl(inode->i_acl);
}
#else
static bool has_acl(const struct inode *inode)
{
	return false;
}
#endif

/**
 * shmem_lu_may_setattr - May these attributes of this inode change?
 * @inode: A shmem inode, locked.
 * @attr:  What is to change.
 *
 * A change of the mode is one of the ACL, if there is one.
 *
 * Return: False if they are noted already for the next kernel.
 */
bool shmem_lu_may_setattr(const struct inode *inode, const struct iattr *attr)
{
	if (!shmem_lu_may_change(inode))
		return false;
	return !(attr->ia_valid & ATTR_MODE) || !has_acl(inode) ||
	       shmem_lu_may_label(inode);
}

#ifdef CONFIG_FS_POSIX_ACL
/**
 * shmem_lu_set_acl - Set an ACL, unless the tree is preserved.
 * @idmap:  Of the mount.
 * @dentry: Whose ACL.
 * @acl:    The ACL.
 * @type:   ACL_TYPE_*.
 *
 * Context: Process context, the inode locked.
 * Return: -EPERM, or as simple_set_acl().
 */
int shmem_lu_set_acl(struct mnt_idmap *idmap, struct dentry *dentry,
		     struct posix_acl *acl, int type)
{
	if (!shmem_lu_may_label(d_inode(dentry)))
		return -EPERM;
	return simple_set_acl(idmap, dentry, acl, type);
}
#endif
