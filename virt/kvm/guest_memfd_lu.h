/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What virt/kvm/guest_memfd.c calls of guest_memfd_lu*.c: memory of guests that crosses a
 * kexec. Every call is empty when PRESERVE_GUEST_MEMFD is off, and one bit test on other files
 * when it is on.
 *
 * A file is in one of these states. Pool: AS_PRESERVE is set, its folios are the pool's and
 * move within it. File: it has a struct preserve_file.
 *
 *	pool  file   what it is
 *	  -    -     an ordinary file
 *	  -   yes    one that did not get into the pool as a whole when it was to be preserved
 *	 yes  plain  one on its way into the pool
 *	 yes  yes    made with GUEST_MEMFD_FLAG_PRESERVE, retrieved, or preserved once: for good
 *
 * Bound or not is another question. A file is bound to the VM that it is made for. One that is
 * retrieved has none (gmem_file.kvm is NULL): the first VM that fits and makes a memory slot
 * of it binds it, for good. gmem_inode.vm_type says which fit.
 *
 * Locks: inode lock (preserve, unpreserve) -> invalidate_lock (freeze, punch, bind: exclusive;
 * fallocate, folios that move: shared) -> locks of mm/preserve. KVM's slots_lock is outside of
 * invalidate_lock. Memory failure takes the latter with a folio locked: so preserve and freeze
 * only try it, for a limited time, and so does the task that moves folios, which then locks none
 * that memory failure has.
 */
#ifndef __KVM_GUEST_MEMFD_LU_H__
#define __KVM_GUEST_MEMFD_LU_H__

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/migrate_mode.h>
#include <linux/preserve_hooks.h>

#include "guest_memfd.h"

struct folio;
struct preserve_file;
struct preserve_file_ops;
struct seq_file;

#ifdef CONFIG_PRESERVE_GUEST_MEMFD

/* guest_memfd_lu_memory.c */
extern const struct preserve_file_ops kvm_gmem_lu_file_ops;
struct folio *kvm_gmem_lu_get_folio(struct inode *inode, pgoff_t index);
int kvm_gmem_lu_migrate_folio(struct address_space *mapping, struct folio *dst,
			      struct folio *src, enum migrate_mode mode);
struct preserve_file *kvm_gmem_lu_enter(struct inode *inode);
long kvm_gmem_lu_fallocate(struct inode *inode, int mode, loff_t offset, loff_t len);
int kvm_gmem_lu_may_change(struct inode *inode);
int kvm_gmem_lu_punch(struct inode *inode, pgoff_t start, pgoff_t end);

/* guest_memfd_lu_bind.c */
int kvm_gmem_lu_init_inode(struct inode *inode, struct kvm *kvm);
void kvm_gmem_lu_destroy_inode(struct inode *inode);
bool kvm_gmem_lu_type_crosses(u32 vm_type);
bool kvm_gmem_lu_may_bind(const struct gmem_file *f, struct kvm *kvm, struct inode *inode);
bool kvm_gmem_lu_encrypted(struct inode *inode);
void kvm_gmem_lu_bind(struct gmem_file *f, struct kvm *kvm);
int kvm_gmem_lu_release_unbound(struct inode *inode, struct gmem_file *f);

/* guest_memfd_lu.c */
void kvm_gmem_lu_show_fdinfo(struct seq_file *m, struct file *file);
void kvm_gmem_lu_gone(struct super_block *sb);

#else

static inline struct folio *kvm_gmem_lu_get_folio(struct inode *inode, pgoff_t index)
{
	return ERR_PTR(-EIO);
}

static inline int kvm_gmem_lu_migrate_folio(struct address_space *mapping, struct folio *dst,
					    struct folio *src, enum migrate_mode mode)
{
	return -EINVAL;
}

static inline long kvm_gmem_lu_fallocate(struct inode *inode, int mode, loff_t offset,
					 loff_t len)
{
	return -EOPNOTSUPP;
}

static inline int kvm_gmem_lu_may_change(struct inode *inode)
{
	return 0;
}

static inline int kvm_gmem_lu_punch(struct inode *inode, pgoff_t start, pgoff_t end)
{
	return 0;
}

static inline int kvm_gmem_lu_init_inode(struct inode *inode, struct kvm *kvm)
{
	return 0;
}

static inline void kvm_gmem_lu_destroy_inode(struct inode *inode)
{
}

static inline bool kvm_gmem_lu_may_bind(const struct gmem_file *f, struct kvm *kvm,
					struct inode *inode)
{
	return f->kvm == kvm;
}

static inline void kvm_gmem_lu_bind(struct gmem_file *f, struct kvm *kvm)
{
}

static inline int kvm_gmem_lu_release_unbound(struct inode *inode, struct gmem_file *f)
{
	return 0;
}

static inline void kvm_gmem_lu_gone(struct super_block *sb)
{
}

#define kvm_gmem_lu_show_fdinfo	NULL

#endif /* CONFIG_PRESERVE_GUEST_MEMFD */

#endif /* __KVM_GUEST_MEMFD_LU_H__ */
