/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What hugetlb and hugetlbfs call of mm/hugetlb_lu*.c: files in huge pages that cross a kexec
 * where they are. Every call is empty when PRESERVE_HUGETLB is off; otherwise it costs one
 * look at the page cache's flags, or at its @preserve.
 *
 * A file is in one of these states. Fixed: AS_PRESERVE is set, no folio moves. File: it has a
 * struct preserve_file, with @in_place.
 *
 *	fixed  file   what it is
 *	  -     -     an ordinary file
 *	  -    yes    one that was preserved before
 *	 yes   yes    MFD_PRESERVE, or retrieved: for good
 *	 yes   plain  a file that is preserved, and may move again afterwards
 *
 * A file of a retrieved tree is latent until its memory is taken, which is when the tree is
 * retrieved, or else when a task opens it: @lu_record says where its record is.
 */
#ifndef _LINUX_HUGETLB_LU_H
#define _LINUX_HUGETLB_LU_H

#include <linux/cma.h>
#include <linux/errno.h>
#include <linux/hugetlb.h>
#include <linux/preserve_hooks.h>

struct dentry;
struct file;
struct folio_batch;
struct hugetlbfs_inode_info;
struct hugetlbfs_sb_info;
struct mempolicy_interpreted;
struct preserve_file_ops;
struct preserve_file_ser;
struct preserve_region_ser;
struct preserve_tree_extra;
struct preserve_tree_inode;
struct preserve_tree_writer;
struct prmap;

#ifdef CONFIG_PRESERVE_HUGETLB

/* If it is off, hugetlbfs has simple_*() in place of these. */
struct dentry *hugetlb_lu_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags);
int hugetlb_lu_link(struct dentry *old, struct inode *dir, struct dentry *dentry);
int hugetlb_lu_unlink(struct inode *dir, struct dentry *dentry);
int hugetlb_lu_rmdir(struct inode *dir, struct dentry *dentry);
int hugetlb_lu_rename(struct mnt_idmap *idmap, struct inode *old_dir, struct dentry *old,
		      struct inode *new_dir, struct dentry *new, unsigned int flags);

int hugetlb_lu_open(struct inode *inode, struct file *file);
int hugetlb_lu_may_setattr(const struct inode *inode);
void hugetlb_lu_new_super(struct hugetlbfs_sb_info *sbinfo);
void hugetlb_lu_put_super(struct super_block *sb);
void hugetlb_lu_inode_init(struct super_block *sb, struct hugetlbfs_inode_info *info);
int hugetlb_lu_memfd_create(struct file *file);
bool hugetlb_lu_may_change(const struct inode *inode);
int hugetlb_lu_may_allocate(struct inode *inode, loff_t offset, loff_t len);
int hugetlb_lu_restore(struct inode *inode, loff_t start, loff_t end);
int hugetlb_lu_restore_at(struct inode *inode, pgoff_t index);
void hugetlb_lu_evict(struct inode *inode);
void hugetlb_lu_show_fdinfo(struct seq_file *m, struct file *file);
void hugetlb_lu_boot_less(struct hstate *h);
int hugetlb_lu_cma_declare(phys_addr_t size, phys_addr_t align, unsigned int order_per_bit,
			   const char *name, struct cma **res_cma, int nid);
struct folio *__hugetlb_lu_alloc_folio(struct address_space *mapping, struct hstate *h,
				       struct mempolicy_interpreted *mpoli,
				       struct mm_struct *mm, u8 alloc_flags);

#else

#define hugetlb_lu_lookup	simple_lookup
#define hugetlb_lu_link		simple_link
#define hugetlb_lu_unlink	simple_unlink
#define hugetlb_lu_rmdir	simple_rmdir
#define hugetlb_lu_rename	simple_rename
#define hugetlb_lu_open		NULL

static inline int hugetlb_lu_may_setattr(const struct inode *inode)
{
	return 0;
}

static inline void hugetlb_lu_new_super(struct hugetlbfs_sb_info *sbinfo)
{
}

static inline void hugetlb_lu_put_super(struct super_block *sb)
{
}

static inline void hugetlb_lu_inode_init(struct super_block *sb,
					 struct hugetlbfs_inode_info *info)
{
}

static inline int hugetlb_lu_memfd_create(struct file *file)
{
	return -EOPNOTSUPP;
}

static inline bool hugetlb_lu_may_change(const struct inode *inode)
{
	return true;
}

static inline int hugetlb_lu_may_allocate(struct inode *inode, loff_t offset, loff_t len)
{
	return 0;
}

static inline int hugetlb_lu_restore(struct inode *inode, loff_t start, loff_t end)
{
	return 0;
}

static inline int hugetlb_lu_restore_at(struct inode *inode, pgoff_t index)
{
	return 0;
}

static inline void hugetlb_lu_evict(struct inode *inode)
{
}

#define hugetlb_lu_show_fdinfo	NULL

static inline void hugetlb_lu_boot_less(struct hstate *h)
{
}

#define hugetlb_lu_cma_declare	cma_declare_contiguous_multi

static inline struct folio *
__hugetlb_lu_alloc_folio(struct address_space *mapping, struct hstate *h,
			 struct mempolicy_interpreted *mpoli, struct mm_struct *mm,
			 u8 alloc_flags)
{
	return NULL;
}

#endif /* CONFIG_PRESERVE_HUGETLB */

#ifdef CONFIG_HUGETLB_PAGE

/**
 * hugetlb_lu_alloc_folio - As hugetlb_alloc_folio(), for a mapping.
 * @vma:         Where it is for.
 * @h:           Its hstate.
 * @mpoli:       The memory policy.
 * @alloc_flags: As there.
 *
 * A file that is fixed gets a folio that can cross, if there is one.
 *
 * Context: As hugetlb_alloc_folio().
 * Return: The same.
 */
static inline struct folio *
hugetlb_lu_alloc_folio(struct vm_area_struct *vma, struct hstate *h,
		       struct mempolicy_interpreted *mpoli, u8 alloc_flags)
{
	struct address_space *mapping = vma->vm_file->f_mapping;

	if (preserve_mapping(mapping) && (vma->vm_flags & VM_MAYSHARE))
		return __hugetlb_lu_alloc_folio(mapping, h, mpoli, vma->vm_mm, alloc_flags);
	return hugetlb_alloc_folio(h, mpoli, vma->vm_mm, alloc_flags);
}

#ifdef CONFIG_PRESERVE_HUGETLB
/**
 * hugetlb_lu_latent - Is a file's memory not taken yet?
 * @inode: Any of hugetlb.
 *
 * Context: Any.
 * Return: True if hugetlb_lu_load() is needed, with the inode locked.
 */
static inline bool hugetlb_lu_latent(struct inode *inode)
{
	/* Pairs with hugetlb_lu_load(). */
	return smp_load_acquire(&HUGETLBFS_I(inode)->lu_record);
}
#endif

/* mm/hugetlb.c */
extern int num_fault_mutexes;

/* mm/memory-failure.c */
int hugetlb_update_hwpoison(struct folio *folio, struct page *page);

/* mm/hugetlb_lu_demand.c */
int hugetlb_lu_insert(struct address_space *mapping, struct folio_batch *batch,
		      pgoff_t index, gfp_t gfp);

/* mm/hugetlb_lu_move.c */
int hugetlb_lu_file_prepare(struct inode *inode);
void hugetlb_lu_wait_for_faults(void);
int hugetlb_lu_fix(struct inode *inode);
void hugetlb_lu_unfix(struct inode *inode);
bool hugetlb_lu_exchange(struct hstate *h, const struct mempolicy_interpreted *mpoli);

/* fs/hugetlbfs/inode.c */
struct inode *hugetlbfs_get_inode(struct super_block *sb, struct mnt_idmap *idmap,
				  struct inode *dir, umode_t mode, dev_t dev);

/* mm/hugetlb_lu.c */
extern const struct preserve_file_ops hugetlb_lu_file_ops;

/* mm/hugetlb_lu_record.c */
struct preserve_file_ser *hugetlb_lu_claim(const struct dentry *dentry, const struct file *file);
void hugetlb_lu_unclaim(struct inode *inode);
u64 hugetlb_lu_seal(struct inode *inode, const struct file *file);
int hugetlb_lu_check(const struct preserve_file_ser *rec, const struct prmap *map);
int hugetlb_lu_labels_give(struct inode *inode, const struct preserve_file_ser *rec);
void hugetlb_lu_begin(struct inode *inode, struct preserve_file_ser *rec, struct prmap *map);
void hugetlb_lu_release(u64 record);

/* mm/hugetlb_lu_cgroup.c */
#ifdef CONFIG_CGROUP_HUGETLB
void hugetlb_lu_cgroup_own(struct inode *inode);
void hugetlb_lu_cgroup_disown(struct inode *inode);
void hugetlb_lu_cgroup_charge(struct inode *inode, struct folio *folio);
void hugetlb_lu_cgroup_region(struct inode *inode, struct file_region *region, long nr);
#else
static inline void hugetlb_lu_cgroup_own(struct inode *inode)
{
}

static inline void hugetlb_lu_cgroup_disown(struct inode *inode)
{
}

static inline void hugetlb_lu_cgroup_charge(struct inode *inode, struct folio *folio)
{
}

static inline void hugetlb_lu_cgroup_region(struct inode *inode, struct file_region *region,
					    long nr)
{
}
#endif

/* mm/hugetlb_lu_cma.c */
void hugetlb_lu_cma_adopt(struct folio *folio);

/* mm/hugetlb_lu_latent.c */
int hugetlb_lu_load(struct inode *inode);
void hugetlb_lu_load_sure(struct inode *inode, bool all);

/* mm/hugetlb_lu_limits.c */
int hugetlb_lu_limits_note(struct super_block *sb, struct preserve_tree_writer *w, u32 *nr);
int hugetlb_lu_limits_load(struct super_block *sb, const struct preserve_tree_extra *extra);
bool hugetlb_lu_limits_take(struct super_block *sb, u64 nr);
void hugetlb_lu_limits_untake(struct super_block *sb, u64 nr);

/* mm/hugetlb_lu_dir.c */
extern const struct file_operations hugetlb_lu_dir_operations;

/* mm/hugetlb_lu_resv.c */
int hugetlb_lu_regions_note(struct inode *inode, struct preserve_tree_writer *w);
int hugetlb_lu_regions_give(struct inode *inode, const struct prmap *map);
bool hugetlb_lu_region_read(const struct preserve_file_ser *rec,
			    const struct preserve_tree_extra *extra,
			    struct preserve_region_ser *ser);
void hugetlb_lu_region_reserve(struct inode *inode, const struct preserve_region_ser *ser,
			       const char *name);

#endif /* CONFIG_HUGETLB_PAGE */

#endif /* _LINUX_HUGETLB_LU_H */
