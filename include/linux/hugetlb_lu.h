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
 */
#ifndef _LINUX_HUGETLB_LU_H
#define _LINUX_HUGETLB_LU_H

#include <linux/errno.h>
#include <linux/hugetlb.h>
#include <linux/preserve_hooks.h>

struct folio_batch;
struct mempolicy_interpreted;
struct preserve_file_ops;
struct preserve_file_ser;
struct prmap;

#ifdef CONFIG_PRESERVE_HUGETLB

int hugetlb_lu_memfd_create(struct file *file);
bool hugetlb_lu_may_change(const struct inode *inode);
int hugetlb_lu_may_allocate(struct inode *inode, loff_t offset, loff_t len);
int hugetlb_lu_restore(struct inode *inode, loff_t start, loff_t end);
int hugetlb_lu_restore_at(struct inode *inode, pgoff_t index);
void hugetlb_lu_evict(struct inode *inode);
void hugetlb_lu_show_fdinfo(struct seq_file *m, struct file *file);
void hugetlb_lu_boot_less(struct hstate *h);
bool hugetlb_lu_boot_no_cma(unsigned long *size);
struct folio *__hugetlb_lu_alloc_folio(struct address_space *mapping, struct hstate *h,
				       struct mempolicy_interpreted *mpoli,
				       struct mm_struct *mm, u8 alloc_flags);

#else

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

static inline bool hugetlb_lu_boot_no_cma(unsigned long *size)
{
	return false;
}

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

/* mm/hugetlb.c */
extern int num_fault_mutexes;

/* mm/memory-failure.c */
int hugetlb_update_hwpoison(struct folio *folio, struct page *page);

/* mm/hugetlb_lu_demand.c */
int hugetlb_lu_insert(struct address_space *mapping, struct folio_batch *batch,
		      pgoff_t index, gfp_t gfp);

/* mm/hugetlb_lu_move.c */
int hugetlb_lu_fix(struct inode *inode);
void hugetlb_lu_unfix(struct inode *inode);
bool hugetlb_lu_exchange(struct hstate *h, const struct mempolicy_interpreted *mpoli);

/* mm/hugetlb_lu.c */
extern const struct preserve_file_ops hugetlb_lu_file_ops;

/* mm/hugetlb_lu_resv.c */
int hugetlb_lu_regions_note(struct inode *inode, struct preserve_file_ser *rec);
bool hugetlb_lu_regions_ok(const struct preserve_file_ser *rec);
int hugetlb_lu_regions_give(struct inode *inode, const struct prmap *map);
void hugetlb_lu_regions_reserve(struct inode *inode, const struct preserve_file_ser *rec);

#endif /* CONFIG_HUGETLB_PAGE */

#endif /* _LINUX_HUGETLB_LU_H */
