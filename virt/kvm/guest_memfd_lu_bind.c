// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest_memfd files and the virtual machines that they belong to: which memory can cross a
 * kexec, and which VM a file binds to that has crossed.
 *
 * A struct kvm belongs to the mm that has made it, so an agent cannot retrieve one for the
 * VMM. What the kernel knows of a VM the VMM sets again anyway; what ties memory to its
 * machine is the VM's type and the file's flags. These are in the record, and a VM that differs
 * in them gets EINVAL.
 */
#define pr_fmt(fmt) "preserve: guest_memfd: " fmt

#include <linux/kho/abi/preserve.h>
#include <linux/kvm_host.h>
#include <linux/preserve.h>
#include <linux/slab.h>

#include "guest_memfd.h"
#include "guest_memfd_lu.h"

/* If one of these prototypes changes, review these files. */
static_assert(__same_type(kvm_gmem_create_file,
			  struct file *(struct kvm *, loff_t, u64)));
static_assert(__same_type(kvm_gmem_get_supported_flags, u64(struct kvm *)));

#ifdef CONFIG_X86
static_assert(KVM_X86_DEFAULT_VM == PRESERVE_GUEST_TYPE_DEFAULT);
static_assert(KVM_X86_SW_PROTECTED_VM == PRESERVE_GUEST_TYPE_SW_PROTECTED);

static u32 vm_type_of(struct kvm *kvm)
{
	return kvm->arch.vm_type;
}

/* SEV began as something that a default VM can be made later. */
static bool vm_encrypted(struct kvm *kvm)
{
	return READ_ONCE(kvm->arch.has_encrypted_mem);
}
#else
/* A type that no record has. */
#define VM_TYPE_OTHER	U32_MAX

static bool vm_encrypted(struct kvm *kvm)
{
	return false;
}

static u32 vm_type_of(struct kvm *kvm)
{
	return kvm_vm_is_protected(kvm) ? VM_TYPE_OTHER : PRESERVE_GUEST_TYPE_DEFAULT;
}
#endif

/**
 * kvm_gmem_lu_type_crosses - Can memory of a VM of this type be carried over?
 * @vm_type: The type.
 *
 * Context: Any.
 * Return: False if the memory, or what it can be read with, is in the keeping of hardware.
 */
bool kvm_gmem_lu_type_crosses(u32 vm_type)
{
	return vm_type == PRESERVE_GUEST_TYPE_DEFAULT ||
	       (IS_ENABLED(CONFIG_KVM_SW_PROTECTED_VM) &&
		vm_type == PRESERVE_GUEST_TYPE_SW_PROTECTED);
}

/**
 * kvm_gmem_lu_encrypted - Has hardware encrypted a file's memory?
 * @inode: The file's.
 *
 * Context: Process context, invalidate_lock held.
 * Return: True if its VM is one whose memory can be, whatever its type.
 */
bool kvm_gmem_lu_encrypted(struct inode *inode)
{
	const struct gmem_file *f;

	list_for_each_entry(f, &GMEM_I(inode)->gmem_file_list, entry) {
		struct kvm *kvm = READ_ONCE(f->kvm);

		if (kvm && vm_encrypted(kvm))
			return true;
	}
	return false;
}

/**
 * kvm_gmem_lu_supported - Is there GUEST_MEMFD_FLAG_PRESERVE?
 * @kvm: The VM that asks; NULL: any.
 *
 * Context: Any.
 * Return: True if so.
 */
bool kvm_gmem_lu_supported(struct kvm *kvm)
{
	return preserve_has_pool() && (!kvm || kvm_gmem_lu_type_crosses(vm_type_of(kvm)));
}

/**
 * kvm_gmem_lu_init_inode - A guest_memfd inode is made.
 * @inode: The inode; size and flags are set.
 * @kvm:   The VM that it is made for; NULL for one that is retrieved: the caller sets vm_type.
 *
 * Context: Process context, no other task knows the inode.
 * Return: 0 or -ENOMEM.
 */
int kvm_gmem_lu_init_inode(struct inode *inode, struct kvm *kvm)
{
	struct preserve_file *pf;

	GMEM_I(inode)->lu_freezing = false;
	GMEM_I(inode)->vm_type = kvm ? vm_type_of(kvm) : PRESERVE_GUEST_TYPE_DEFAULT;
	if (!(GMEM_I(inode)->flags & GUEST_MEMFD_FLAG_PRESERVE))
		return 0;
	pf = preserve_file_new(inode->i_mapping, &kvm_gmem_lu_file_ops);
	if (!pf)
		return -ENOMEM;
	preserve_file_follow(pf);
	set_bit(AS_PRESERVE, &inode->i_mapping->flags);
	return 0;
}

/**
 * kvm_gmem_lu_destroy_inode - A guest_memfd inode goes away.
 * @inode: The inode; its page cache is empty.
 *
 * Context: Process context.
 */
void kvm_gmem_lu_destroy_inode(struct inode *inode)
{
	preserve_file_free(inode->i_mapping);
}

static bool fits(struct kvm *kvm, const struct gmem_inode *gi)
{
	return vm_type_of(kvm) == gi->vm_type && !vm_encrypted(kvm) &&
	       !(gi->flags & ~kvm_gmem_get_supported_flags(kvm));
}

/**
 * kvm_gmem_lu_may_bind - May a VM make a memory slot of a file?
 * @f:     The file's view.
 * @kvm:   The VM.
 * @inode: The file's.
 *
 * Context: Process context; lasting with invalidate_lock held.
 * Return: True if it is bound to this VM; or to none, and this one fits.
 */
bool kvm_gmem_lu_may_bind(const struct gmem_file *f, struct kvm *kvm, struct inode *inode)
{
	const struct kvm *owner = READ_ONCE(f->kvm);

	if (owner)
		return owner == kvm;
	if (fits(kvm, GMEM_I(inode)))
		return true;
	pr_err_ratelimited("memory of a VM of type %u, with flags %#llx, cannot be that of a VM of type %u\n",
			   GMEM_I(inode)->vm_type, GMEM_I(inode)->flags, vm_type_of(kvm));
	return false;
}

/**
 * kvm_gmem_lu_bind - Make a file this VM's, if it is no VM's yet.
 * @f:   The file's view; kvm_gmem_lu_may_bind() was true under the same hold of the lock.
 * @kvm: The VM; the file has a reference to it from then on.
 *
 * Context: Process context, invalidate_lock held exclusively.
 */
void kvm_gmem_lu_bind(struct gmem_file *f, struct kvm *kvm)
{
	if (f->kvm)
		return;
	kvm_get_kvm(kvm);
	WRITE_ONCE(f->kvm, kvm);
}

/**
 * kvm_gmem_lu_release_unbound - A file that is no VM's is closed.
 * @inode: Its.
 * @f:     Its view; freed.
 *
 * Context: Process context; no other task has the file.
 * Return: 0.
 */
int kvm_gmem_lu_release_unbound(struct inode *inode, struct gmem_file *f)
{
	filemap_invalidate_lock(inode->i_mapping);
	list_del(&f->entry);
	filemap_invalidate_unlock(inode->i_mapping);
	xa_destroy(&f->bindings);
	kfree(f);
	return 0;
}
