/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What existing mm files call of mm/shmem_lu.c: memfds made with MFD_PRESERVE.
 * Every call is empty when PRESERVE_MEMFD is off, and one bit test on other
 * files when it is on.
 */
#ifndef _MM_SHMEM_LU_H
#define _MM_SHMEM_LU_H

#include <linux/errno.h>
#include <linux/pagemap.h>
#include <linux/types.h>

struct file;
struct folio;
struct inode;
struct seq_file;

#ifdef CONFIG_PRESERVE_MEMFD

struct folio *__shmem_lu_alloc_folio(struct inode *inode, gfp_t gfp, int order,
				     pgoff_t index);
void __shmem_lu_folio_added(struct address_space *mapping, struct folio *folio);
void __shmem_lu_folio_removed(struct address_space *mapping,
			      struct folio *folio);
void __shmem_lu_evict(struct inode *inode);
int shmem_lu_memfd_create(struct file *file);
void shmem_lu_show_fdinfo(struct seq_file *m, struct file *file);

/**
 * shmem_lu_mapping - Does this file's memory come from the preserve pool?
 * @mapping: Any file's.
 *
 * Return: True for memfds made with MFD_PRESERVE.
 */
static inline bool shmem_lu_mapping(const struct address_space *mapping)
{
	return test_bit(AS_PRESERVE, &mapping->flags);
}

#else

static inline struct folio *__shmem_lu_alloc_folio(struct inode *inode,
						   gfp_t gfp, int order,
						   pgoff_t index)
{
	return NULL;
}

static inline void __shmem_lu_folio_added(struct address_space *mapping,
					  struct folio *folio)
{
}

static inline void __shmem_lu_folio_removed(struct address_space *mapping,
					    struct folio *folio)
{
}

static inline void __shmem_lu_evict(struct inode *inode)
{
}

static inline int shmem_lu_memfd_create(struct file *file)
{
	return -EOPNOTSUPP;
}

#define shmem_lu_show_fdinfo	NULL

static inline bool shmem_lu_mapping(const struct address_space *mapping)
{
	return false;
}

#endif /* CONFIG_PRESERVE_MEMFD */

/**
 * shmem_lu_folio_added - Keep the file map: a folio has come.
 * @mapping: Its file's.
 * @folio:   The folio; mapping and index are set.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 */
static inline void shmem_lu_folio_added(struct address_space *mapping,
					struct folio *folio)
{
	if (unlikely(shmem_lu_mapping(mapping)))
		__shmem_lu_folio_added(mapping, folio);
}

/**
 * shmem_lu_folio_removed - Keep the file map: a folio goes.
 * @mapping: Its file's.
 * @folio:   The folio; mapping and index are still set.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 */
static inline void shmem_lu_folio_removed(struct address_space *mapping,
					  struct folio *folio)
{
	if (unlikely(shmem_lu_mapping(mapping)))
		__shmem_lu_folio_removed(mapping, folio);
}

/**
 * shmem_lu_evict - The inode goes, its page cache is empty.
 * @inode: Any tmpfs inode.
 */
static inline void shmem_lu_evict(struct inode *inode)
{
	if (unlikely(shmem_lu_mapping(inode->i_mapping)))
		__shmem_lu_evict(inode);
}

/**
 * shmem_lu_alloc_error - What a failed folio allocation means to the caller.
 * @mapping: The file's.
 *
 * Return: -ENOSPC for an exhausted pool, which is no reason to reclaim or to kill
 *         anybody; otherwise -ENOMEM.
 */
static inline int shmem_lu_alloc_error(const struct address_space *mapping)
{
	return shmem_lu_mapping(mapping) ? -ENOSPC : -ENOMEM;
}

#endif /* _MM_SHMEM_LU_H */
