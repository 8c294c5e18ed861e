/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What mm/shmem.c, mm/memfd.c and mm/memfd_luo.c call of mm/shmem_lu*.c: memfds and tmpfs
 * trees that can cross a kexec. Every call is empty when PRESERVE_MEMFD is off, and one bit
 * test on other files when it is on.
 *
 * A regular file is in one of these states. Pool: AS_PRESERVE is set. Latent:
 * AS_PRESERVE_LATENT is, and @lu_node says where its inode is in the image. File: it has a
 * struct preserve_file. @pool: its tmpfs is mounted with "preserve".
 *
 *	pool latent file  what it is
 *	  -     -    -    an ordinary file
 *	  -     -   yes   one that was in the pool before
 *	 yes    -    -    @pool: a file of at most %PRESERVE_SMALL_PAGES pages; otherwise one
 *			  whose tree is preserved
 *	 yes    -   yes   with a map: MFD_PRESERVE, PRESERVE_IOCTL_ENTER, a larger file of
 *			  @pool; otherwise one that was retrieved and is not complete
 *	 yes    -   plain a memfd that is preserved, and leaves the pool afterwards
 *	 yes   yes   -    retrieved with its tree, and its data not touched yet
 */
#ifndef _MM_SHMEM_LU_H
#define _MM_SHMEM_LU_H

#include <linux/errno.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/preserve_tree.h>
#include <linux/shmem_fs.h>
#include <linux/types.h>

struct dentry;
struct file;
struct folio;
struct folio_batch;
struct fs_context;
struct inode;
struct iattr;
struct mem_cgroup;
struct mnt_idmap;
struct posix_acl;
struct mempolicy;
struct seq_file;
struct shmem_inode_info;
struct shmem_sb_info;
struct super_block;

/* Seals that this version knows. An unknown one would be lost: it is refused. */
#define SHMEM_LU_SEALS		(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | \
				 F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | \
				 F_SEAL_EXEC)

/* What an inode takes of a tmpfs's limit: BOGO_INODE_SIZE of mm/shmem.c. */
#define SHMEM_LU_INODE_SPACE	1024

/* Room for the target of a symbolic link that takes no page, as there. */
#define SHMEM_LU_SHORT_SYMLINK	128

#ifdef CONFIG_PRESERVE_MEMFD

struct folio *__shmem_lu_alloc_folio(struct shmem_inode_info *info, gfp_t gfp,
				     int order, struct mempolicy *mpol,
				     pgoff_t ilx, pgoff_t index);
void shmem_lu_evict(struct inode *inode);
long shmem_lu_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
int shmem_lu_memfd_create(struct file *file);
void shmem_lu_show_fdinfo(struct seq_file *m, struct file *file);
bool shmem_lu_incomplete(const struct address_space *mapping);
bool shmem_lu_may_label(const struct inode *inode);
bool shmem_lu_may_setattr(const struct inode *inode, const struct iattr *attr);
int shmem_lu_unlink(struct inode *dir, struct dentry *dentry);
struct dentry *shmem_lu_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags);
bool shmem_lu_may_add(struct xa_state *xas, struct folio *folio,
		      const void *expected);
bool shmem_lu_dir_empty(struct dentry *dentry);
#ifdef CONFIG_FS_POSIX_ACL
int shmem_lu_set_acl(struct mnt_idmap *idmap, struct dentry *dentry,
		     struct posix_acl *acl, int type);
#else
#define shmem_lu_set_acl	simple_set_acl
#endif
int shmem_lu_option(struct fs_context *fc, bool *pool);
void shmem_lu_new_super(struct shmem_sb_info *sbinfo, bool pool);
int shmem_lu_acct(struct inode *inode, long nr);
int __shmem_lu_restore(struct address_space *mapping, pgoff_t index, gfp_t gfp);
long __shmem_lu_drop(struct address_space *mapping, pgoff_t start, pgoff_t end);
loff_t __shmem_lu_seek(struct address_space *mapping, loff_t start, loff_t end,
		       int whence);

/**
 * shmem_lu_has_state - Can an index without a folio be no hole?
 * @mapping: A shmem file's.
 *
 * Return: True for every file that is or was incomplete.
 */
static inline bool shmem_lu_has_state(const struct address_space *mapping)
{
	return SHMEM_I(mapping->host)->lu_crossed;
}

/**
 * shmem_lu_accounted - Is what this task makes in a file system accounted for already?
 * @sbinfo: The file system's.
 *
 * Return: True while it makes what the file system's image has.
 */
static inline bool shmem_lu_accounted(const struct shmem_sb_info *sbinfo)
{
	return preserve_tree_accounted(&sbinfo->lu_tree);
}

/**
 * shmem_lu_inode_init - A shmem inode is made.
 * @inode: The inode.
 */
static inline void shmem_lu_inode_init(struct inode *inode)
{
	SHMEM_I(inode)->lu_node.unmade = shmem_lu_accounted(inode->i_sb->s_fs_info);
}

/**
 * shmem_lu_counted - Is an inode, with its pages, counted by an image?
 * @inode: A shmem inode.
 *
 * What it takes is taken already, and if it goes it stays taken.
 *
 * Return: True while it is being made of the image, until it has a name.
 */
static inline bool shmem_lu_counted(struct inode *inode)
{
	return unlikely(SHMEM_I(inode)->lu_node.unmade);
}

/**
 * shmem_lu_pool - Does a tmpfs take its memory from the pool?
 * @sbinfo: Its.
 *
 * Return: True if it is mounted with "preserve".
 */
static inline bool shmem_lu_pool(const struct shmem_sb_info *sbinfo)
{
	return sbinfo->lu_tree.pool;
}

/**
 * shmem_lu_put_super - A tmpfs goes away.
 * @sbinfo: Its.
 */
static inline void shmem_lu_put_super(struct shmem_sb_info *sbinfo)
{
	preserve_tree_put_super(&sbinfo->lu_tree);
}

/**
 * shmem_lu_may_change - May this inode, or what is in it, change?
 * @inode: A shmem inode.
 *
 * Context: Any.
 * Return: False in a tree that is preserved. A file without a name is in no tree.
 */
static inline bool shmem_lu_may_change(const struct inode *inode)
{
	const struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;

	return !preserve_tree_frozen(&sbinfo->lu_tree) || !inode->i_nlink;
}

/**
 * shmem_lu_note_handle - A file handle of an inode is given away.
 * @inode: A shmem inode.
 *
 * Context: Any.
 */
static inline void shmem_lu_note_handle(const struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;

	preserve_tree_note_handle(&sbinfo->lu_tree);
}

/**
 * shmem_lu_load_handles - A file handle is about to be looked for.
 * @sb: A tmpfs.
 *
 * Context: Process context, no directory of the file system locked.
 * Return: As preserve_tree_load_handles().
 */
static inline int shmem_lu_load_handles(struct super_block *sb)
{
	struct shmem_sb_info *sbinfo = sb->s_fs_info;

	return preserve_tree_load_handles(&sbinfo->lu_tree);
}

/**
 * shmem_lu_new_inode - A regular file is made in a tmpfs: its memory may have to be the pool's.
 * @sbinfo: The file system's.
 * @inode:  The file's, new and empty.
 *
 * Context: Process context.
 */
static inline void shmem_lu_new_inode(struct shmem_sb_info *sbinfo, struct inode *inode)
{
	if (!sbinfo->lu_tree.pool)
		return;
	set_bit(AS_PRESERVE, &inode->i_mapping->flags);
	mapping_set_unevictable(inode->i_mapping);
}

/**
 * shmem_lu_frozen - Does the file stand still for the next kernel?
 * @mapping: A shmem file's.
 *
 * Context: Any; lasting with the xa_lock of i_pages held.
 * Return: True if no folio may come.
 */
static inline bool shmem_lu_frozen(const struct address_space *mapping)
{
	const struct preserve_file *pf = preserve_file_of(mapping);

	return pf && preserve_file_frozen(pf);
}

#else

static inline struct folio *
__shmem_lu_alloc_folio(struct shmem_inode_info *info, gfp_t gfp, int order,
		       struct mempolicy *mpol, pgoff_t ilx, pgoff_t index)
{
	return NULL;
}

static inline void shmem_lu_evict(struct inode *inode)
{
}

static inline int shmem_lu_memfd_create(struct file *file)
{
	return -EOPNOTSUPP;
}

#define shmem_lu_show_fdinfo	NULL
#define shmem_lu_ioctl		NULL
#define shmem_lu_set_acl	simple_set_acl
#define shmem_lu_unlink	shmem_unlink
#define shmem_lu_lookup	simple_lookup

static inline void shmem_lu_new_inode(struct shmem_sb_info *sbinfo,
				      struct inode *inode)
{
}

static inline bool shmem_lu_may_change(const struct inode *inode)
{
	return true;
}

static inline bool shmem_lu_may_label(const struct inode *inode)
{
	return true;
}

static inline bool shmem_lu_may_setattr(const struct inode *inode,
					const struct iattr *attr)
{
	return true;
}

static inline int shmem_lu_load_handles(struct super_block *sb)
{
	return 0;
}

static inline void shmem_lu_note_handle(const struct inode *inode)
{
}

static inline bool shmem_lu_may_add(struct xa_state *xas, struct folio *folio,
				    const void *expected)
{
	return true;
}

static inline bool shmem_lu_dir_empty(struct dentry *dentry)
{
	return simple_empty(dentry);
}

static inline int shmem_lu_option(struct fs_context *fc, bool *pool)
{
	return -EOPNOTSUPP;
}

static inline void shmem_lu_put_super(struct shmem_sb_info *sbinfo)
{
}

static inline bool shmem_lu_pool(const struct shmem_sb_info *sbinfo)
{
	return false;
}

static inline void shmem_lu_new_super(struct shmem_sb_info *sbinfo, bool pool)
{
}

static inline bool shmem_lu_accounted(const struct shmem_sb_info *sbinfo)
{
	return false;
}

static inline void shmem_lu_inode_init(struct inode *inode)
{
}

static inline bool shmem_lu_counted(struct inode *inode)
{
	return false;
}

static inline int shmem_lu_acct(struct inode *inode, long nr)
{
	return 0;
}

static inline bool shmem_lu_incomplete(const struct address_space *mapping)
{
	return false;
}

static inline int __shmem_lu_restore(struct address_space *mapping,
				     pgoff_t index, gfp_t gfp)
{
	return -ENOENT;
}

static inline long __shmem_lu_drop(struct address_space *mapping,
				   pgoff_t start, pgoff_t end)
{
	return 0;
}

static inline loff_t __shmem_lu_seek(struct address_space *mapping,
				     loff_t start, loff_t end, int whence)
{
	return -ENXIO;
}

static inline bool shmem_lu_has_state(const struct address_space *mapping)
{
	return false;
}

static inline bool shmem_lu_frozen(const struct address_space *mapping)
{
	return false;
}

#endif /* CONFIG_PRESERVE_MEMFD */

/**
 * shmem_lu_reserved - Is an inode that is to be made accounted for already?
 * @sbinfo: Of its file system.
 * @ino:    Its number, which comes later then; may be NULL.
 *
 * Return: True if it is.
 */
static inline bool shmem_lu_reserved(const struct shmem_sb_info *sbinfo,
				     ino_t *ino)
{
	bool accounted = shmem_lu_accounted(sbinfo);

	if (accounted && ino)
		*ino = 0;
	return accounted;
}

/* mm/shmem.c */
int shmem_unlink(struct inode *dir, struct dentry *dentry);
unsigned long shmem_default_max_blocks(void);
unsigned long shmem_default_max_inodes(void);
extern const struct address_space_operations shmem_aops;
extern const struct inode_operations shmem_short_symlink_operations;
extern const struct inode_operations shmem_symlink_inode_operations;
struct inode *shmem_get_inode(struct mnt_idmap *idmap, struct super_block *sb,
			      struct inode *dir, umode_t mode, dev_t dev,
			      vma_flags_t flags);

/* mm/shmem_lu_demand.c */
void shmem_update_stats(struct folio *folio, int nr_pages);
int shmem_lu_insert(struct address_space *mapping, struct folio_batch *batch,
		    pgoff_t index, gfp_t gfp);
int shmem_lu_insert_all(struct address_space *mapping, struct folio_batch *batch,
			struct mem_cgroup *memcg, gfp_t gfp);
void shmem_lu_demand_begin(struct inode *inode, long nr);
bool shmem_lu_room(struct address_space *mapping, pgoff_t index, int order);
int shmem_lu_data_load(struct inode *inode);

/* mm/shmem_lu_plain.c */
extern const struct preserve_file_ops shmem_lu_file_ops;
int shmem_lu_enter(struct inode *inode);
void shmem_lu_leave(struct inode *inode);
int shmem_lu_plain_enter(struct inode *inode);
void shmem_lu_plain_leave(struct inode *inode);
bool shmem_lu_plain_idle(struct inode *inode);
int shmem_lu_plain_out(struct inode *inode);

/**
 * shmem_lu_late - Was a folio allocated before its file entered the pool?
 * @mapping: The file's.
 * @folio:   The folio, not in the page cache.
 *
 * Return: True if it was, and may not come any more.
 */
static inline bool shmem_lu_late(const struct address_space *mapping,
				 struct folio *folio)
{
	return preserve_mapping(mapping) && !preserve_pool_block(&folio->page);
}

/**
 * shmem_lu_mfill_error - What is userfaultfd told when a folio cannot come?
 * @mapping: The file's.
 * @folio:   The folio.
 * @err:     The error, or 0.
 *
 * Return: @err; -EAGAIN for -EEXIST where no folio is, and another one can come.
 */
static inline int shmem_lu_mfill_error(const struct address_space *mapping,
				       struct folio *folio, int err)
{
	if (err == -EEXIST && (shmem_lu_late(mapping, folio) ||
			       shmem_lu_frozen(mapping)))
		return -EAGAIN;
	return err;
}

/**
 * shmem_lu_clear - Zero folios that are there, but have no content yet.
 * @mapping: Their file's.
 * @start:   First page index; what a large folio has before it is zeroed as well.
 * @end:     Behind the last.
 *
 * Context: Process context, inode locked.
 */
static inline void shmem_lu_clear(struct address_space *mapping, pgoff_t start,
				  pgoff_t end)
{
	if (preserve_mapping(mapping))
		preserve_clear(mapping, start, end, false);
}

/**
 * shmem_lu_restore - Make the folio of an index where the page cache has none.
 * @mapping: Its file's.
 * @index:   Page index.
 * @gfp:     For what it takes.
 *
 * Context: Process context, may sleep; no folio of the file locked.
 * Return: 0: look again; -ENOENT: it is a hole; -ENOMEM: not now.
 */
static inline int shmem_lu_restore(struct address_space *mapping, pgoff_t index,
				   gfp_t gfp)
{
	if (likely(!shmem_lu_has_state(mapping)))
		return -ENOENT;
	return __shmem_lu_restore(mapping, index, gfp);
}

/**
 * shmem_lu_drop - Free what no folio stands for yet.
 * @mapping: Its file's.
 * @start:   First page index.
 * @end:     Behind the last; ULONG_MAX for everything.
 *
 * Context: Process context, may sleep; no folio of the file locked.
 * Return: Pages to take off what counts as swapped.
 */
static inline long shmem_lu_drop(struct address_space *mapping, pgoff_t start,
				 pgoff_t end)
{
	if (!preserve_mapping(mapping) || !shmem_lu_incomplete(mapping))
		return 0;
	return __shmem_lu_drop(mapping, start, end);
}

/**
 * shmem_lu_seek - Look for data or a hole.
 * @mapping: A shmem file's.
 * @start:   Offset to begin at.
 * @end:     The file's size.
 * @whence:  SEEK_DATA or SEEK_HOLE.
 *
 * Context: Process context, inode locked.
 * Return: As mapping_seek_hole_data().
 */
static inline loff_t shmem_lu_seek(struct address_space *mapping, loff_t start,
				   loff_t end, int whence)
{
	if (!preserve_mapping(mapping) || !shmem_lu_incomplete(mapping))
		return mapping_seek_hole_data(mapping, start, end, whence);
	return __shmem_lu_seek(mapping, start, end, whence);
}

/**
 * shmem_lu_alloc_error - What a failed folio allocation means to the caller.
 * @mapping: The file's.
 *
 * Return: -EPERM in a tree that is preserved; -ENOSPC for an exhausted pool, which is
 *         no reason to reclaim or to kill anybody; otherwise -ENOMEM.
 */
static inline int shmem_lu_alloc_error(const struct address_space *mapping)
{
	if (!shmem_lu_may_change(mapping->host))
		return -EPERM;
	return preserve_mapping(mapping) ? -ENOSPC : -ENOMEM;
}

#endif /* _MM_SHMEM_LU_H */
