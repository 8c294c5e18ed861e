// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the VFS does not know of a tmpfs's inode: noted for the next kernel, and given back
 * there. See struct preserve_tree_ops.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve_codec.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/xattr.h>

#include "internal.h"
#include "shmem_lu.h"
#include "shmem_lu_tmpfs.h"

/* Flags of an inode that its fsflags give. */
#define FSFLAG_BITS	(S_NOATIME | S_APPEND | S_IMMUTABLE | S_CASEFOLD)

/**
 * shmem_lu_inode_flags - Set an inode's flags as its fsflags say.
 * @inode: The inode.
 *
 * Context: No other task changes them.
 */
void shmem_lu_inode_flags(struct inode *inode)
{
	unsigned int fsflags = SHMEM_I(inode)->fsflags, flags = 0;

	if (fsflags & FS_NOATIME_FL)
		flags |= S_NOATIME;
	if (fsflags & FS_APPEND_FL)
		flags |= S_APPEND;
	if (fsflags & FS_IMMUTABLE_FL)
		flags |= S_IMMUTABLE;
	if (fsflags & FS_CASEFOLD_FL)
		flags |= S_CASEFOLD;
	inode_set_flags(inode, flags, FSFLAG_BITS | S_NOCMTIME);
}

/* See struct preserve_tree_ops, as of the functions below. */
struct inode *shmem_lu_inode_new(struct super_block *sb, umode_t mode, dev_t rdev)
{
	struct inode *inode;

	inode = shmem_get_inode(&nop_mnt_idmap, sb, NULL, mode, rdev,
				mk_vma_flags(VMA_NORESERVE_BIT));
	return IS_ERR(inode) ? NULL : inode;
}

void shmem_lu_inode_note(struct inode *inode, struct preserve_tree_inode *in)
{
	struct shmem_inode_info *info = SHMEM_I(inode);

	in->fsflags = info->fsflags;
	in->seals = info->seals;
	in->btime = info->i_crtime;
	if (S_ISDIR(inode->i_mode))
		in->next = info->dir_offsets.next_offset;
	if (S_ISLNK(inode->i_mode))
		in->used_pages = info->alloced;
}

int shmem_lu_inode_load(struct inode *inode, const struct preserve_tree_inode *in)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct shmem_inode_info *info = SHMEM_I(inode);

	/* As shmem_encode_fh() does; the last kernel may have given a handle of it away. */
	if (sbinfo->lu_tree.handles && inode_unhashed(inode))
		__insert_inode_hash(inode, in->ino + in->generation);
	info->i_crtime = in->btime;
	info->seals = in->seals;
	info->fsflags = in->fsflags;
	if (S_ISDIR(in->mode)) {
		info->dir_offsets.next_offset = in->next;
		inode->i_fop = &shmem_lu_dir_operations;
	}
	/* Another kernel may know them: they are not to be lost here. */
	if (in->fsflags & ~SHMEM_FL_USER_VISIBLE || in->seals & ~SHMEM_LU_SEALS ||
	    (in->fsflags & FS_CASEFOLD_FL && !sb_has_encoding(inode->i_sb)))
		return -EOPNOTSUPP;
	return 0;
}

void shmem_lu_inode_unmake(struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct shmem_inode_info *info = SHMEM_I(inode);

	if (info->swapped)
		shmem_recalc_inode(inode, 0, -(long)info->swapped);
	simple_xattrs_free(&sbinfo->xa_cache, &info->xattrs, NULL);
}

/* --- symbolic links --- */

static int short_symlink(struct inode *inode,
			 const struct preserve_tree_inode *in)
{
	char *link = kmemdup_nul(in->target, in->target_len, GFP_KERNEL);

	if (!link)
		return -ENOMEM;
	inode->i_op = &shmem_short_symlink_operations;
	inode_set_cached_link(inode, link, in->target_len);
	return 0;
}

static int long_symlink(struct inode *inode,
			const struct preserve_tree_inode *in)
{
	struct folio *folio;
	int err;

	inode_nohighmem(inode);
	inode->i_mapping->a_ops = &shmem_aops;
	err = shmem_get_folio(inode, 0, 0, &folio, SGP_WRITE);
	if (err)
		return err;
	inode->i_op = &shmem_symlink_inode_operations;
	memcpy(folio_address(folio), in->target, in->target_len);
	folio_zero_range(folio, in->target_len,
			 folio_size(folio) - in->target_len);
	folio_mark_uptodate(folio);
	folio_mark_dirty(folio);
	folio_unlock(folio);
	folio_put(folio);
	return 0;
}

int shmem_lu_symlink_load(struct inode *inode, const struct preserve_tree_inode *in)
{
	return in->target_len < SHMEM_LU_SHORT_SYMLINK ?
	       short_symlink(inode, in) : long_symlink(inode, in);
}

/* --- a file's pages --- */

/* They are accounted for as swapped ones are. */
void shmem_lu_file_latent(struct inode *inode, const struct preserve_tree_inode *in)
{
	struct shmem_inode_info *info = SHMEM_I(inode);
	long nr = in->nr_pages;

	shmem_lu_acct(inode, nr);
	info->alloced += nr;
	info->swapped += nr;
	/* What fallocate() has put behind the end stays when the file's end is split. */
	info->fallocend = in->end > DIV_ROUND_UP(in->size, PAGE_SIZE) ? in->end : 0;
	info->lu_crossed = true;
}
