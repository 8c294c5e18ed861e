/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trees of files that cross a kexec, for any file system: see <linux/preserve_tree.h> for
 * what it brings. What the files of this room share.
 *
 *	codec.c   the bytes of an image (pure)
 *	label.c   labels of security modules
 *	policy.c  memory policies as extras
 *	image.c   an image: sections, and all runs of frames in it
 *	data.c    giving a file its memory
 *	inode.c   making an inode
 *	link.c    inodes with several names
 *	load.c    making directories, when a task looks there
 *	quota.c   quota limits and grace times
 *	mount.c   the file system, its options, the mount
 *	retrieve.c  from a handle to a mount, step by step
 *	save.c    writing an image
 *	handler.c LUO's handler: freezing and thawing a tree
 *
 * A file calls those above it in this list, and none below.
 *
 * A file system has two images at most. @incoming is what the last kernel has handed over;
 * @outgoing is what the next kernel is to have, from preserve to unpreserve.
 *
 * Locks: a directory's or a file's i_rwsem, then the incoming image's lock, which covers the
 * making of inodes and the giving of data; then those of mm/preserve.
 *
 * Locals: ts is what is kept for a super block, node for an inode, in what an image says of
 * an inode.
 */
#ifndef _MM_PRESERVE_TREE_TREE_H
#define _MM_PRESERVE_TREE_TREE_H

#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/kho/abi/preserve_tree.h>
#include <linux/mutex.h>
#include <linux/preserve.h>
#include <linux/preserve_codec.h>
#include <linux/preserve_tree.h>
#include <linux/xarray.h>

struct fs_context;
struct liveupdate_file_op_args;
struct quotactl_ops;
struct vfsmount;

/* What an image's list of directories holds in place of an inode. */
#define PRESERVE_DIR_MADE	1	/* its entries are there, or it is gone */
#define PRESERVE_DIR_REFUSED	2	/* its section is damaged */

/* There: it is an inode, whose entries are to be made. */
#define PRESERVE_DIR_LAZY	XA_MARK_0

/**
 * struct preserve_tree_image - An image and what is left to make of it.
 * @stream:  Its bytes. Owned.
 * @ser:     Its beginning, checked.
 * @options: Where the section of mount options is; 0: there is none.
 * @quotas:  The same of quotas.
 * @qcop:    Of an outgoing one: the file system's quota operations, which others replace.
 * @lock:    Covers the making of what is in it.
 * @dirs:    Of an incoming one, by number, for each directory that has an inode: that inode,
 *           while its entries are to be made (no reference: the directory's eviction takes
 *           it out, under the array's lock); PRESERVE_DIR_*, after that. There is one way to
 *           each. Under @lock, like the next two.
 * @links:   By number: the inode of a link, with a reference, while some of its names may
 *           come; a value when none can.
 * @names:   By number of the link: how many names are to come, a value. Behind the links,
 *           directories that were freed without having been made.
 * @nr_dirs: Directories that no task has looked into. When there are none no name is to come
 *           any more.
 * @refs:    Those and the files without their data. With the last one the stream goes.
 * @making:  The file system is not done. If it goes away, what goes with it keeps its
 *           memory, and the image belongs to its maker.
 * @gone:    Completed when it has gone away then.
 *
 * What is left of an incoming one goes with the file system: a task may wait for @lock.
 */
struct preserve_tree_image {
	struct preserve_stream stream;
	struct preserve_tree_ser ser;
	u64 options;
	u64 quotas;
	const struct quotactl_ops *qcop;
	struct mutex lock;	/* covers the making of what is in it */
	struct xarray dirs;
	struct xarray links;
	struct xarray names;
	atomic_long_t nr_dirs;
	atomic_long_t refs;
	bool making;
	struct completion gone;
};

/**
 * struct preserve_tree_section - A section that has been read.
 * @head:  Its header, checked.
 * @pos:   Where what follows it begins in the image.
 * @bytes: What follows it. Freed by preserve_section_put().
 */
struct preserve_tree_section {
	struct preserve_section_ser head;
	u64 pos;
	u8 *bytes;
};

/* Called for each run of frames that an image names. */
typedef int preserve_tree_run_fn(unsigned long pfn, unsigned long nr);

/* image.c */
struct preserve_tree_image *preserve_image_new(void);
int preserve_image_open(struct preserve_tree_image *image, const char **reason);
void preserve_image_reset(struct preserve_tree_image *image);
void preserve_image_free(struct preserve_tree_image *image);
void preserve_image_release(struct preserve_tree_image *image);
int preserve_section_read(struct preserve_tree_image *image, u64 pos, u32 kind, u64 no,
			  struct preserve_tree_section *sec);
int preserve_section_get(struct preserve_tree_image *image, u32 kind, u64 no,
			 struct preserve_tree_section *sec);
int preserve_section_get_sure(struct preserve_tree_image *image, u32 kind, u64 no,
			      struct preserve_tree_section *sec);
void preserve_section_put(struct preserve_tree_section *sec);
void preserve_section_reader(const struct preserve_tree_image *image,
			     const struct preserve_tree_section *sec,
			     struct preserve_tree_reader *r);
int preserve_inode_runs(const struct preserve_tree_inode *in, const u8 *end,
			preserve_tree_run_fn *fn);
void preserve_section_release(const struct preserve_tree_image *image,
			      const struct preserve_tree_section *sec,
			      const struct preserve_tree_ops *ops);
int preserve_section_runs(const struct preserve_tree_image *image,
			  const struct preserve_tree_section *sec, preserve_tree_run_fn *fn);
int preserve_image_runs(struct preserve_tree_image *image, preserve_tree_run_fn *fn);
void preserve_inode_release(const struct preserve_tree_inode *in, const u8 *end,
			    const struct preserve_tree_ops *ops);
void preserve_image_release_all(struct preserve_tree_image *image,
				const struct preserve_tree_ops *ops);
preserve_tree_run_fn preserve_run_release, preserve_run_claim, preserve_run_unclaim;

/* data.c */
void preserve_tree_data_prepare(struct preserve_tree_sb *ts, struct inode *inode, u64 pos,
				const struct preserve_tree_inode *in);
int preserve_tree_data_get(struct preserve_tree_sb *ts, struct inode *inode,
			   struct preserve_tree_inode *in, u8 **buf, const u8 **end);

/* inode.c */
int preserve_tree_inode_load(struct preserve_tree_sb *ts, struct inode *inode, u64 pos,
			     const struct preserve_tree_inode *in,
			     struct preserve_tree_reader *r);
struct inode *preserve_tree_inode_make(struct preserve_tree_sb *ts, struct super_block *sb,
				       u64 pos, const struct preserve_tree_inode *in,
				       struct preserve_tree_reader *r);
void preserve_tree_inode_unmake(struct preserve_tree_sb *ts, struct inode *inode);

/* link.c */
struct inode *preserve_tree_link_get(struct preserve_tree_sb *ts, struct super_block *sb,
				     u64 no);
void preserve_tree_link_put(struct preserve_tree_sb *ts, u64 no, struct inode *inode);
void preserve_tree_link_named(struct preserve_tree_sb *ts, u64 no, struct inode *inode);
void preserve_tree_links_end(struct preserve_tree_sb *ts, bool made);

/* load.c */
int preserve_tree_root_load(struct preserve_tree_sb *ts, struct inode *root);
int preserve_tree_load(struct preserve_tree_sb *ts);

/* quota.c */
bool preserve_quota_off(struct super_block *sb);
void preserve_quota_freeze(struct super_block *sb, struct preserve_tree_image *image);
void preserve_quota_thaw(struct super_block *sb, struct preserve_tree_image *image);
int preserve_quota_note(struct super_block *sb, struct preserve_tree_writer *w, u32 *nr);
int preserve_quota_load(struct super_block *sb, struct preserve_tree_image *image);

/* mount.c */
const char *preserve_mount_refused(struct super_block *sb, struct vfsmount *mnt);
void preserve_mount_note(struct preserve_tree_sb *ts, struct super_block *sb,
			 struct vfsmount *mnt, struct preserve_tree_ser *ser);
void preserve_mount_note_late(struct preserve_tree_sb *ts, struct vfsmount *mnt,
			      struct preserve_tree_ser *ser);
struct fs_context *preserve_super_make(const struct preserve_tree_ops *ops,
				       struct preserve_tree_image *image);
struct vfsmount *preserve_mount_make(struct fs_context *fc, const struct preserve_tree_ser *ser);
struct file *preserve_mount_open(struct vfsmount *mnt);

/* retrieve.c */
int preserve_tree_retrieve(const struct preserve_tree_ops *ops,
			   struct liveupdate_file_op_args *args);
void preserve_tree_finish(const struct preserve_tree_ops *ops,
			  struct liveupdate_file_op_args *args);

/* save.c */
int preserve_tree_save(struct preserve_tree_sb *ts, struct super_block *sb,
		       struct vfsmount *mnt, struct preserve_tree_image *image);
void preserve_tree_save_late(struct preserve_tree_sb *ts, struct vfsmount *mnt,
			     struct preserve_tree_image *image);

/**
 * preserve_tree_node_of - What is kept for an inode.
 * @ts:    What is kept for its file system.
 * @inode: The inode.
 *
 * Context: Any.
 * Return: That.
 */
static inline struct preserve_tree_node *
preserve_tree_node_of(const struct preserve_tree_sb *ts, struct inode *inode)
{
	return ts->ops->node(inode);
}

#endif /* _MM_PRESERVE_TREE_TREE_H */
