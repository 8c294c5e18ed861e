/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the tmpfs backend share.
 *
 *	shmem_lu_tree.c   LUO's handler: freezing and thawing a tree
 *	shmem_lu_retrieve.c  from a handle to a mount, step by step
 *	shmem_lu_save.c   writing the book
 *	shmem_lu_extras.c what only few inodes have, there and back
 *	shmem_lu_book.c   reading it: sections, and all runs of frames in it
 *	shmem_lu_load.c   making directories and inodes of it, when they are needed
 *	shmem_lu_data.c   giving a file of a tree its memory
 *	shmem_lu_mount.c  the file system and its options
 *
 * A tmpfs has two books at most. lu_incoming is what the last kernel has handed over; it
 * stays until all of it has been made or is gone. lu_outgoing is what the next kernel is
 * to have, from preserve to unpreserve.
 *
 * What is left in lu_incoming hangs on the inodes: lu_pos of a directory that no task has
 * looked into is its number plus one, that of a file whose data no task has touched is
 * where its inode stands in the book. 0: nothing is left.
 *
 * Locks: a directory's or a file's i_rwsem, then the book's lock, which covers the making of
 * inodes and the giving of data; then the locks of the book's own file.
 */
#ifndef _MM_SHMEM_LU_TREE_H
#define _MM_SHMEM_LU_TREE_H

#include <linux/completion.h>
#include <linux/kho/abi/preserve_tree.h>
#include <linux/mutex.h>
#include <linux/shmem_fs.h>
#include <linux/xarray.h>

#include "preserve/tree.h"

struct file;
struct fs_context;
struct inode;
struct liveupdate_file_op_args;
struct super_block;
struct vfsmount;

/**
 * struct shmem_lu_book - A book and what is left to make of it.
 * @file:    The book's own file. Owned.
 * @ser:     Its beginning, checked.
 * @lock:    Covers the making of what is in it.
 * @dirs:    Of lu_incoming, by number, for each directory that has an inode: that inode, while
 *           its entries are to be made (no reference: the directory's eviction takes it
 *           out, under the array's lock); a value that says whether it is refused, after
 *           that. There is one way to each. Under @lock, like the next two.
 * @links:   Of lu_incoming, by number: the inode of a link, with a reference, while some of
 *           its names may come; a value entry when none can.
 * @names:   Of lu_incoming, by number of the link: how many names are to come, a value.
 * @nr_dirs: Of lu_incoming: directories that no task has looked into. When there are none
 *           no name is to come any more.
 * @refs:    Of lu_incoming: those and the files without their data. With the last one the
 *           file goes.
 * @making:  Of lu_incoming: the file system is not done. If it goes away, what goes with it
 *           keeps its memory, and the book belongs to its maker.
 * @gone:    Completed when it has gone away then.
 *
 * What is left of lu_incoming goes with the file system: a task may wait for @lock.
 */
struct shmem_lu_book {
	struct file *file;
	struct preserve_tree_ser ser;
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
 * struct shmem_lu_section - A section that has been read.
 * @head:  Its header, checked.
 * @pos:   Where what follows it begins in the book.
 * @bytes: What follows it. Freed by shmem_lu_section_put().
 */
struct shmem_lu_section {
	struct preserve_section_ser head;
	loff_t pos;
	u8 *bytes;
};

/* Called for each run of frames that a book names. */
typedef int shmem_lu_run_fn(unsigned long pfn, unsigned long nr);

/* shmem_lu.c */
bool shmem_lu_again(int err);
struct file *shmem_lu_file_retrieve(u64 handle, u32 kind);
int shmem_lu_file_preserve(struct file *file, u32 kind, u64 *handle);
void shmem_lu_file_unpreserve(struct file *file);
void shmem_lu_file_freeze(struct file *file);
void shmem_lu_file_unfreeze(struct file *file);

/* shmem_lu_book.c */
struct shmem_lu_book *shmem_lu_book_new(void);
int shmem_lu_book_open(struct shmem_lu_book *book, const char **reason);
void shmem_lu_book_reset(struct shmem_lu_book *book);
void shmem_lu_book_close(struct shmem_lu_book *book);
void shmem_lu_book_free(struct shmem_lu_book *book);
int shmem_lu_book_read(struct shmem_lu_book *book, void *buf, size_t len,
		       loff_t pos);
int shmem_lu_book_put(struct shmem_lu_book *book, const void *bytes, size_t len,
		      loff_t *pos);
int shmem_lu_section_read(struct shmem_lu_book *book, u64 pos, u32 kind, u64 no,
			  struct shmem_lu_section *sec);
int shmem_lu_section_get(struct shmem_lu_book *book, u32 kind, u64 no,
			 struct shmem_lu_section *sec);
int shmem_lu_section_get_sure(struct shmem_lu_book *book, u32 kind, u64 no,
			      struct shmem_lu_section *sec);
void shmem_lu_section_put(struct shmem_lu_section *sec);
void shmem_lu_section_reader(const struct shmem_lu_book *book,
			     const struct shmem_lu_section *sec,
			     struct preserve_tree_reader *r);
int shmem_lu_inode_runs(const struct preserve_tree_inode *in, const u8 *end,
			shmem_lu_run_fn *fn);
int shmem_lu_section_runs(const struct shmem_lu_book *book,
			  const struct shmem_lu_section *sec,
			  shmem_lu_run_fn *fn);
int shmem_lu_book_runs(struct shmem_lu_book *book, shmem_lu_run_fn *fn);
int shmem_lu_frames_release(unsigned long pfn, unsigned long nr);
int shmem_lu_claim(unsigned long pfn, unsigned long nr);
int shmem_lu_unclaim(unsigned long pfn, unsigned long nr);

/* shmem_lu_extras.c */
int shmem_lu_labels_note(struct inode *inode, struct preserve_tree_writer *w, u32 *nr,
			 u64 *space);
int shmem_lu_policies_note(struct inode *inode, struct preserve_tree_writer *w, u32 *nr);
int shmem_lu_extra_load(struct inode *inode, struct preserve_tree_reader *r);
void shmem_lu_labels_give(struct inode *inode);

/* shmem_lu_load.c */
int shmem_lu_root_load(struct super_block *sb);
int shmem_lu_dir_load(struct inode *dir);
int shmem_lu_tree_load(struct super_block *sb);
void shmem_lu_inode_flags(struct inode *inode);
void shmem_lu_book_release(struct super_block *sb);

/* shmem_lu_data.c */
void shmem_lu_data_prepare(struct inode *inode, u64 pos,
			   const struct preserve_tree_inode *in);
int shmem_lu_data_get(struct inode *inode, struct preserve_tree_inode *in,
		      u8 **buf, const u8 **end);
unsigned long shmem_lu_data_drop(struct inode *inode);

/* shmem_lu_save.c */
int shmem_lu_book_write(struct super_block *sb, struct vfsmount *mnt,
			struct shmem_lu_book *book);
void shmem_lu_book_update(struct super_block *sb, struct vfsmount *mnt,
			  struct shmem_lu_book *book);

/* shmem_lu_mount.c */
const char *shmem_lu_options_refused(struct super_block *sb, struct vfsmount *mnt);
void shmem_lu_options_save(struct super_block *sb, struct vfsmount *mnt,
			   struct preserve_tree_ser *ser);
bool shmem_lu_options_changed(struct super_block *sb, struct vfsmount *mnt,
			      struct preserve_tree_ser *ser);
struct fs_context *shmem_lu_super_make(const struct preserve_tree_ser *ser);
struct vfsmount *shmem_lu_mount(struct fs_context *fc,
				const struct preserve_tree_ser *ser);
int shmem_lu_quotas_load(struct super_block *sb, struct shmem_lu_book *book);
bool shmem_lu_quotas_off(struct super_block *sb);
void shmem_lu_quotas_freeze(struct super_block *sb, bool frozen);
struct file *shmem_lu_mount_open(struct vfsmount *mnt);

/* shmem_lu_retrieve.c */
int shmem_lu_tree_retrieve(struct liveupdate_file_op_args *args);
void shmem_lu_tree_finish(struct liveupdate_file_op_args *args);

static inline struct shmem_lu_book *shmem_lu_incoming(const struct super_block *sb)
{
	return ((struct shmem_sb_info *)sb->s_fs_info)->lu_incoming;
}

#endif /* _MM_SHMEM_LU_TREE_H */
