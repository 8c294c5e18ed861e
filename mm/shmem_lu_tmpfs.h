/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tmpfs backend brings to mm/preserve/tree/, by file: see struct preserve_tree_ops
 * for what each function does.
 */
#ifndef _MM_SHMEM_LU_TMPFS_H
#define _MM_SHMEM_LU_TMPFS_H

#include <linux/types.h>

struct file_operations;
struct inode;
struct preserve_tree_extra;
struct preserve_tree_inode;
struct preserve_tree_writer;
struct super_block;

/* mm/shmem_lu_extras.c */
int shmem_lu_labels_note(struct inode *inode, struct preserve_tree_writer *w, u32 *nr,
			 u64 *space);
int shmem_lu_policies_note(struct inode *inode, struct preserve_tree_writer *w, u32 *nr);
size_t shmem_lu_extras_size(struct inode *inode);
int shmem_lu_extras_note(struct inode *inode, struct preserve_tree_writer *w, u32 *nr,
			 u64 *space);
int shmem_lu_extra_load(struct inode *inode, const struct preserve_tree_extra *extra);
void shmem_lu_labels_give(struct inode *inode);

/* mm/shmem_lu_dir.c */
extern const struct file_operations shmem_lu_dir_operations;

/* mm/shmem_lu_inode.c */
void shmem_lu_inode_flags(struct inode *inode);
struct inode *shmem_lu_inode_new(struct super_block *sb, umode_t mode, dev_t rdev);
void shmem_lu_inode_note(struct inode *inode, struct preserve_tree_inode *in);
int shmem_lu_inode_load(struct inode *inode, const struct preserve_tree_inode *in);
void shmem_lu_inode_unmake(struct inode *inode);
int shmem_lu_symlink_load(struct inode *inode, const struct preserve_tree_inode *in);
void shmem_lu_file_latent(struct inode *inode, const struct preserve_tree_inode *in);

#endif /* _MM_SHMEM_LU_TMPFS_H */
