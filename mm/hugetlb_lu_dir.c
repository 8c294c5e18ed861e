// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names in a hugetlbfs: those of a retrieved one are made when it is retrieved, but for those
 * of a directory that is damaged, or has what this kernel does not know: EUCLEAN or EOPNOTSUPP
 * for a task that looks there. The former can be removed.
 *
 * While the tree is preserved no name goes or moves, which is asked here under the lock of the
 * directory. New files may come into a directory until it is noted, with the others; then it is
 * S_IMMUTABLE.
 */
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/preserve_tree.h>

static bool stands_still(const struct inode *dir)
{
	return preserve_tree_frozen(&HUGETLBFS_SB(dir->i_sb)->lu_tree);
}

/**
 * hugetlb_lu_lookup - Look a name up that the dcache does not have.
 * @dir:    The directory, locked.
 * @dentry: The name.
 * @flags:  LOOKUP_*.
 *
 * Context: Process context.
 * Return: As preserve_tree_lookup().
 */
struct dentry *hugetlb_lu_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	return preserve_tree_lookup(&HUGETLBFS_SB(dir->i_sb)->lu_tree, dir, dentry, flags);
}

/**
 * hugetlb_lu_link - As simple_link().
 * @old:    As there.
 * @dir:    As there.
 * @dentry: As there.
 *
 * Context: As there.
 * Return: -EPERM, or as there.
 */
int hugetlb_lu_link(struct dentry *old, struct inode *dir, struct dentry *dentry)
{
	return stands_still(dir) ? -EPERM : simple_link(old, dir, dentry);
}

/**
 * hugetlb_lu_unlink - As simple_unlink().
 * @dir:    As there.
 * @dentry: As there.
 *
 * Context: As there.
 * Return: -EPERM, or as there.
 */
int hugetlb_lu_unlink(struct inode *dir, struct dentry *dentry)
{
	return stands_still(dir) ? -EPERM : simple_unlink(dir, dentry);
}

static bool dir_empty(struct dentry *dentry)
{
	return preserve_tree_dir_empty(&HUGETLBFS_SB(dentry->d_sb)->lu_tree, dentry);
}

/**
 * hugetlb_lu_rmdir - As simple_rmdir().
 * @dir:    As there.
 * @dentry: As there.
 *
 * Context: As there.
 * Return: -EPERM, -ENOTEMPTY, or as there.
 */
int hugetlb_lu_rmdir(struct inode *dir, struct dentry *dentry)
{
	if (stands_still(dir))
		return -EPERM;
	return dir_empty(dentry) ? simple_rmdir(dir, dentry) : -ENOTEMPTY;
}

/**
 * hugetlb_lu_rename - As simple_rename().
 * @idmap:   As there.
 * @old_dir: As there.
 * @old:     As there.
 * @new_dir: As there.
 * @new:     As there.
 * @flags:   As there.
 *
 * Context: As there.
 * Return: -EPERM, -ENOTEMPTY, or as there.
 */
int hugetlb_lu_rename(struct mnt_idmap *idmap, struct inode *old_dir, struct dentry *old,
		      struct inode *new_dir, struct dentry *new, unsigned int flags)
{
	if (stands_still(old_dir))
		return -EPERM;
	if (!(flags & RENAME_EXCHANGE) && !dir_empty(new))
		return -ENOTEMPTY;
	return simple_rename(idmap, old_dir, old, new_dir, new, flags);
}

static int dir_iterate(struct file *file, struct dir_context *ctx)
{
	struct inode *dir = file_inode(file);

	return preserve_tree_dir_load(&HUGETLBFS_SB(dir->i_sb)->lu_tree, dir) ?:
	       dcache_readdir(file, ctx);
}

/* As simple_dir_operations, for directories whose entries may not be there. */
const struct file_operations hugetlb_lu_dir_operations = {
	.open		= dcache_dir_open,
	.release	= dcache_dir_close,
	.llseek		= dcache_dir_lseek,
	.read		= generic_read_dir,
	.iterate_shared	= dir_iterate,
	.fsync		= noop_fsync,
};
