/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trees of files that cross a kexec: what a file system brings, and what it calls.
 *
 * mm/preserve/tree/ knows the VFS and no file system. A file system whose mounts can be
 * preserved has a struct preserve_tree_sb in what it keeps for a super block, a struct
 * preserve_tree_node in what it keeps for an inode, and a struct preserve_tree_ops.
 * mm/shmem_lu_tmpfs.c is one.
 */
#ifndef _LINUX_PRESERVE_TREE_H
#define _LINUX_PRESERVE_TREE_H

#include <linux/compiler.h>
#include <linux/fs.h>
#include <linux/liveupdate.h>
#include <linux/preserve_tree_types.h>
#include <linux/sched.h>
#include <linux/types.h>

struct address_space;
struct dentry;
struct folio_batch;
struct inode;
struct mem_cgroup;
struct preserve_file_ops;
struct preserve_tree_extra;
struct preserve_tree_inode;
struct preserve_tree_option;
struct preserve_tree_reader;
struct preserve_tree_ser;
struct preserve_tree_writer;
struct shared_policy;
struct super_block;

/**
 * struct preserve_tree_ops - What a file system brings.
 * @fs_type:       Its name, as in /proc/filesystems. Part of the image.
 * @file_ops:      Of its files that have a struct preserve_file.
 * @name_space:    What a name takes of a limit of inodes, in bytes.
 * @remounts:      Remounting is not refused while it is preserved: flags are noted at the end.
 * @eager:         All of its inodes are made when it is retrieved. Otherwise it asks for
 *                 what is left in a directory, or of a file, when a task looks there.
 *
 * @sb:            What is kept for a super block.
 * @node:          What is kept for an inode.
 *
 * @options_note:  Notes the mount options with preserve_tree_put_option(), counted in @nr,
 *                 limits too, and the next inode number in @ser, which says what is in use.
 *                 A limit that was not given is left out: it is the next kernel's own then. No
 *                 task changes the options.
 * @option_fits:   Is an option one that this machine can follow? If not, nothing of the tree is
 *                 damaged, and its memory is freed when its session is finished. May be NULL.
 * @usage_charge:  Counts what the image says is in use, in a file system that is new: it is
 *                 refused for no limit but one that was given. Returns 0 or -EUCLEAN.
 *
 * @inode_new:     A new inode of that type; the task at hand is the @maker. NULL without
 *                 memory.
 * @inode_note:    Notes what the VFS does not know of a locked inode: seals, flags, birth, the
 *                 next position of a directory, the pages that a symbolic link takes.
 * @inode_load:    Gives this, and file handles' hash, to a new inode. Returns 0, or -EOPNOTSUPP
 *                 for what this kernel does not know.
 * @inode_flags:   Sets i_flags as the inode's own flags say.
 * @inode_unmake:  A new inode goes without having had a name: frees what @file_latent and
 *                 @extra_load gave it.
 * @symlink_load:  Gives a symbolic link its target. 0 or -ENOMEM.
 *
 * @extras_size:   About how many bytes an inode's extras take. Without locks; may be NULL.
 * @extras_note:   Notes an inode's extras with preserve_tree_put_extra(), and counts them in
 *                 @nr, and in @space what they take of a limit of inodes. 0; -E2BIG or the
 *                 writer's error.
 * @extra_load:    Gives a new inode an extra. 0; -EUCLEAN, -EOPNOTSUPP, -ENOMEM.
 * @labels_give:   Tells security modules of a new inode's labels.
 *
 * @entry_pos:     The position of a name in its directory.
 * @entry_place:   Gives a new name that position. 0; -EUCLEAN if it is taken; -ENOMEM.
 * @entry_remove:  Undoes that.
 *
 * @file_freeze:   Fixes a file's size and holes, or lets them go. Inode locked.
 * @file_enter:    Moves a file's memory into the pool. As shmem_lu_enter(). Inode locked.
 * @file_leave:    It may leave the pool from now on.
 * @file_latent:   A new file's pages are in the image: they count as its own.
 * @insert_all:    Puts folios into an empty page cache, all or none, charged to @memcg or, if
 *                 that is NULL, to the task's cgroup. 0, or the error of charging.
 *
 * Instead of these, of a file system whose files have records of their own:
 *
 * @files_prepare: What takes the same time for one file as for all, before the first is saved.
 *                 Returns 0, or a negative errno.
 * @file_save:     Preserves a file, and gives its record; 0 if it needs none;
 *                 %PRESERVE_RECORD_DAMAGED. Inode locked. Returns 0, or a negative errno: the
 *                 file is as it was.
 * @file_unsave:   Undoes it. Inode locked. Cannot fail.
 * @file_seal:     Notes what has changed since, and lets the file stand still, as the kernel
 *                 is about to be replaced. Returns the pages that it has.
 * @file_unseal:   Undoes that.
 * @file_ready:    A file of a retrieved tree will not be unmade any more.
 * @record_release: Frees what a record has whose file has not been made.
 *
 * Process context, where nothing else is said.
 */
struct preserve_tree_ops {
	const char *fs_type;
	const struct preserve_file_ops *file_ops;
	u32 name_space;
	bool remounts;
	bool eager;

	struct preserve_tree_sb *(*sb)(struct super_block *sb);
	struct preserve_tree_node *(*node)(struct inode *inode);

	void (*options_note)(struct super_block *sb, struct preserve_tree_ser *ser,
			     struct preserve_tree_writer *w, u32 *nr);
	bool (*option_fits)(const struct preserve_tree_option *option);
	int (*usage_charge)(struct super_block *sb, const struct preserve_tree_ser *ser);

	struct inode *(*inode_new)(struct super_block *sb, umode_t mode, dev_t rdev);
	void (*inode_note)(struct inode *inode, struct preserve_tree_inode *in);
	int (*inode_load)(struct inode *inode, const struct preserve_tree_inode *in);
	void (*inode_flags)(struct inode *inode);
	void (*inode_unmake)(struct inode *inode);
	int (*symlink_load)(struct inode *inode, const struct preserve_tree_inode *in);

	size_t (*extras_size)(struct inode *inode);
	int (*extras_note)(struct inode *inode, struct preserve_tree_writer *w, u32 *nr,
			   u64 *space);
	int (*extra_load)(struct inode *inode, const struct preserve_tree_extra *extra);
	void (*labels_give)(struct inode *inode);

	u64 (*entry_pos)(const struct dentry *dentry);
	int (*entry_place)(struct inode *dir, struct dentry *dentry, u64 pos);
	void (*entry_remove)(struct inode *dir, struct dentry *dentry);

	void (*file_freeze)(struct inode *inode, bool frozen);
	int (*file_enter)(struct inode *inode);
	void (*file_leave)(struct inode *inode);
	void (*file_latent)(struct inode *inode, const struct preserve_tree_inode *in);
	int (*insert_all)(struct address_space *mapping, struct folio_batch *batch,
			  struct mem_cgroup *memcg, gfp_t gfp);

	int (*files_prepare)(struct super_block *sb);
	int (*file_save)(struct dentry *dentry, u64 *record);
	void (*file_unsave)(struct inode *inode);
	u64 (*file_seal)(struct inode *inode);
	void (*file_unseal)(struct inode *inode);
	void (*file_ready)(struct inode *inode);
	void (*record_release)(u64 record);
};

/**
 * struct preserve_tree_handler - LUO's handler of a file system's mounts.
 * @luo: To be registered with LUO; its operations are preserve_tree_luo_ops.
 * @ops: What the file system brings.
 */
struct preserve_tree_handler {
	struct liveupdate_file_handler luo;
	const struct preserve_tree_ops *ops;
};

/* handler.c */
extern const struct liveupdate_file_ops preserve_tree_luo_ops;

/* label.c */
int preserve_tree_labels_note(struct inode *inode,
			      bool (*has)(struct inode *inode, const char *name),
			      struct preserve_tree_writer *w, u32 *nr);
int preserve_tree_label_give(struct inode *inode, const char *name, const void *value,
			     size_t size);
int preserve_tree_label_load(struct inode *inode, const struct preserve_tree_extra *extra);

/* policy.c */
int preserve_tree_policies_note(struct shared_policy *sp, struct preserve_tree_writer *w,
				u32 *nr);
int preserve_tree_policy_load(struct shared_policy *sp, const struct preserve_tree_extra *extra);

/* image.c */
void preserve_tree_put_super(struct preserve_tree_sb *ts);
bool preserve_tree_making(const struct preserve_tree_sb *ts);
u64 preserve_tree_used_pages(const struct preserve_tree_sb *ts);

/* load.c */
int preserve_tree_dir_load(struct preserve_tree_sb *ts, struct inode *dir);
void preserve_tree_dir_forget(struct preserve_tree_sb *ts, struct inode *dir);
int preserve_tree_load_handles(struct preserve_tree_sb *ts);
struct dentry *preserve_tree_lookup(struct preserve_tree_sb *ts, struct inode *dir,
				    struct dentry *dentry, unsigned int flags);
bool preserve_tree_dir_empty(struct preserve_tree_sb *ts, struct dentry *dentry);

/* inode.c */
int preserve_tree_inodes(struct preserve_tree_sb *ts, struct super_block *sb,
			 bool (*fit)(struct preserve_tree_sb *ts, struct inode *inode),
			 int (*fn)(struct preserve_tree_sb *ts, struct inode *inode));

/* data.c */
int preserve_tree_data_load(struct preserve_tree_sb *ts, struct inode *inode);
int preserve_tree_data_load_sure(struct preserve_tree_sb *ts, struct inode *inode);
bool preserve_tree_data_drop(struct preserve_tree_sb *ts, struct inode *inode);

/**
 * preserve_tree_frozen - Does a file system stand still for the next kernel?
 * @ts: What is kept for it.
 *
 * Context: Any; lasting with s_umount, or the lock of one of its directories.
 * Return: True while it is preserved.
 */
static inline bool preserve_tree_frozen(const struct preserve_tree_sb *ts)
{
	return unlikely(READ_ONCE(ts->outgoing));
}

/**
 * preserve_tree_noted - Does the next kernel's image say already what an inode is?
 * @ts:    What is kept for its file system.
 * @inode: The inode.
 *
 * What has been noted stands still. Preserve marks an inode before it notes it, with its lock
 * held, and takes the xa_lock of its i_pages in between.
 *
 * Context: Any. With that xa_lock held: false means that noting it waits for the lock, true
 *          that letting it go on does.
 * Return: True if it does, or is about to.
 */
static inline bool preserve_tree_noted(const struct preserve_tree_sb *ts,
				       const struct inode *inode)
{
	return preserve_tree_frozen(ts) && READ_ONCE(inode->i_flags) & S_NOCMTIME;
}

/**
 * preserve_tree_accounted - Is what this task makes in a file system accounted for already?
 * @ts: What is kept for it.
 *
 * Return: True while it makes what the incoming image has.
 */
static inline bool preserve_tree_accounted(const struct preserve_tree_sb *ts)
{
	return unlikely(READ_ONCE(ts->maker) == current);
}

/**
 * preserve_tree_note_handle - A file handle of an inode is given away.
 * @ts: What is kept for its file system.
 *
 * Context: Any.
 */
static inline void preserve_tree_note_handle(struct preserve_tree_sb *ts)
{
	if (!READ_ONCE(ts->handles))
		WRITE_ONCE(ts->handles, true);
}

/**
 * preserve_tree_node_left - Is something of an inode left in the image?
 * @node: What is kept for the inode.
 *
 * Context: Any.
 * Return: True if there is.
 */
static inline bool preserve_tree_node_left(const struct preserve_tree_node *node)
{
	/* Pairs with the smp_store_release() of @pos in load.c and data.c. */
	return smp_load_acquire(&node->pos);
}

#endif /* _LINUX_PRESERVE_TREE_H */
