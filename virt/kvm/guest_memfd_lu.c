// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest_memfd backend of mm/preserve: memory of KVM guests that crosses a kexec.
 */

/**
 * DOC: guest_memfd files
 *
 * A file made with GUEST_MEMFD_FLAG_PRESERVE has its memory from the pool from the start, and a
 * file map; any other file enters the pool when it is preserved first, and stays there. What
 * crosses is contents, holes, size, flags, the VM's type, memory policies, the label and the
 * times of the file. Whether a page is private or shared is an attribute of the VM, which the
 * VMM sets again; the content is kept under both.
 *
 * Preserving does not stop the guest, nor the VMM: holes are filled and punched as before, and
 * the map follows. From freeze on, which is part of the kexec, fallocate() is EPERM, and a
 * fault into a hole waits: a vCPU with kvm->srcu held, until the thaw or a fatal signal. A guest
 * that still runs then may write to pages that it has; the VMM stops it before.
 *
 * Retrieving makes a file that is bound to no VM, see guest_memfd_lu_bind.c: it can be mapped
 * before there is a VM, and even if there never is one. Without KVM, retrieving is ENODEV, and
 * can be tried again.
 */
#define pr_fmt(fmt) "preserve: guest_memfd: " fmt

#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/kho/abi/preserve_tree.h>
#include <linux/kvm_host.h>
#include <linux/liveupdate.h>
#include <linux/magic.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/preserve_codec.h>
#include <linux/preserve_tree.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "guest_memfd.h"
#include "guest_memfd_lu.h"

/* Jiffies for what has invalidate_lock to let it go: a part of a fallocate(), a punch. */
#define LOCK_WAIT	(10 * HZ)

/* Covers @gmem_ready, until a file holds the module that it belongs to. */
static DEFINE_MUTEX(ready_lock);

/* Files can be made: there is KVM, and it is not about to go. */
static bool gmem_ready;

static struct preserve_file *inode_pf(const struct inode *inode)
{
	return preserve_file_of(inode->i_mapping);
}

/**
 * kvm_gmem_lu_ready - guest_memfd files can be made from now on.
 *
 * Context: Process context.
 */
void kvm_gmem_lu_ready(void)
{
	guard(mutex)(&ready_lock);
	gmem_ready = true;
}

/**
 * kvm_gmem_lu_gone - No files can be made any more, and none is left.
 * @sb: Their file system.
 *
 * Waits for tasks that walk over all files: they hold inodes of files that are closed.
 *
 * Context: Process context.
 */
void kvm_gmem_lu_gone(struct super_block *sb)
{
	scoped_guard(mutex, &ready_lock)
		gmem_ready = false;
	while (atomic_read(&sb->s_active) > 1)
		schedule_timeout_uninterruptible(1);
}

/**
 * kvm_gmem_lu_show_fdinfo - Show what mm/preserve knows of a file.
 * @m:    Where to.
 * @file: The file.
 *
 * Context: Process context.
 */
void kvm_gmem_lu_show_fdinfo(struct seq_file *m, struct file *file)
{
	preserve_show_fdinfo(m, file->f_mapping);
}

/* --- preserve --- */

static bool kvm_gmem_lu_can_preserve(struct liveupdate_file_handler *handler,
				     struct file *file)
{
	return file_inode(file)->i_sb->s_magic == GUEST_MEMFD_MAGIC;
}

static unsigned long kvm_gmem_lu_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
}

/* Flags of a file as a record has them, and back. The pool's own needs no bit. */
static const struct {
	u64 flag;
	u32 ser;
} flag_table[] = {
	{ GUEST_MEMFD_FLAG_MMAP, PRESERVE_GUEST_MMAP },
	{ GUEST_MEMFD_FLAG_INIT_SHARED, PRESERVE_GUEST_INIT_SHARED },
};

static bool flags_note(struct preserve_file_ser *rec, u64 flags)
{
	unsigned int i;

	flags &= ~GUEST_MEMFD_FLAG_PRESERVE;
	rec->guest_flags = 0;
	for (i = 0; i < ARRAY_SIZE(flag_table); i++) {
		if (flags & flag_table[i].flag)
			rec->guest_flags |= flag_table[i].ser;
		flags &= ~flag_table[i].flag;
	}
	return !flags;
}

static bool flags_noted(const struct preserve_file_ser *rec, u64 *flags)
{
	u32 left = rec->guest_flags;
	unsigned int i;

	*flags = GUEST_MEMFD_FLAG_PRESERVE;
	for (i = 0; i < ARRAY_SIZE(flag_table); i++) {
		if (left & flag_table[i].ser)
			*flags |= flag_table[i].flag;
		left &= ~flag_table[i].ser;
	}
	return !left;
}

/*
 * Labels, then memory policies: a task may change both at any time. Policies that there is no
 * room for are left out, as they say where new pages go. On error extras are as before.
 */
static int extras_update(struct preserve_file_ser *rec, struct inode *inode)
{
	struct preserve_tree_writer w = { .size = sizeof(rec->extras), .fixed = true };
	u32 nr = 0;
	int err;

	w.buf = kzalloc(w.size, GFP_KERNEL);
	if (!w.buf)
		return -ENOMEM;
	err = preserve_tree_labels_note(inode, NULL, &w, &nr);
	if (!err) {
		if (preserve_tree_policies_note(&GMEM_I(inode)->policy, &w, &nr))
			pr_warn_ratelimited("%s: not all of its memory policies cross\n",
					    rec->name);
		memcpy(rec->extras, w.buf, w.size);
		rec->extras_len = w.len;
	}
	kfree(w.buf);
	return err;
}

/* A record that is valid as it stands. Inode locked; the file is claimed. */
static int record_fill(struct preserve_file *pf, struct preserve_file_ser *rec,
		       const struct file *file)
{
	struct inode *inode = file_inode(file);
	int err;

	rec->kind = PRESERVE_FILE_GUEST;
	rec->guest_type = GMEM_I(inode)->vm_type;
	rec->user = PRESERVE_FILE_NOBODY;
	rec->memlock = U64_MAX;
	preserve_note_name(rec, file_dentry(file));
	preserve_note_state(rec, file);
	if (!flags_note(rec, GMEM_I(inode)->flags))
		return -EOPNOTSUPP;
	err = extras_update(rec, inode);
	return err ?: preserve_file_commit(pf);
}

/*
 * Locks out what makes holes, and allocates in bulk. Nothing is queued up for the lock: memory
 * failure waits for it with a folio locked, for which what has the lock now may wait. False
 * after LOCK_WAIT: they may wait for each other for good.
 */
static bool holes_lock(struct inode *inode)
{
	const unsigned long end = jiffies + LOCK_WAIT;

	while (!down_write_trylock(&inode->i_mapping->invalidate_lock)) {
		if (time_after(jiffies, end))
			return false;
		schedule_timeout_uninterruptible(1);
	}
	return true;
}

/*
 * The guest may fill holes faster than a map can be made of the page cache: then it waits for
 * that. Inode locked.
 */
static struct preserve_file_ser *claim_still(struct preserve_file *pf, struct inode *inode)
{
	struct preserve_file_ser *rec = ERR_PTR(-EBUSY);

	preserve_compact_pause();
	if (holes_lock(inode)) {
		preserve_file_hold(pf);
		rec = preserve_file_claim(pf);
		preserve_file_unfreeze(pf);
		filemap_invalidate_unlock(inode->i_mapping);
	}
	preserve_compact_resume();
	return rec;
}

/* Inode locked. */
static struct preserve_file_ser *file_claim(const struct file *file)
{
	struct preserve_file *pf = kvm_gmem_lu_enter(file_inode(file));
	struct preserve_file_ser *rec;
	int err;

	if (IS_ERR(pf)) {
		pr_err_ratelimited("%pD: not preserved: its memory does not get into the pool (%pe); a file made with GUEST_MEMFD_FLAG_PRESERVE has it there\n",
				   file, pf);
		return ERR_CAST(pf);
	}
	preserve_file_follow(pf);
	rec = preserve_file_claim(pf);
	if (rec == ERR_PTR(-EBUSY))
		rec = claim_still(pf, file_inode(file));
	if (IS_ERR(rec))
		return rec;
	err = record_fill(pf, rec, file);
	if (!err)
		return rec;
	preserve_file_unclaim(pf);
	return ERR_PTR(err);
}

static bool encrypted(struct inode *inode)
{
	bool is;

	filemap_invalidate_lock_shared(inode->i_mapping);
	is = kvm_gmem_lu_encrypted(inode);
	filemap_invalidate_unlock_shared(inode->i_mapping);
	return is;
}

static int kvm_gmem_lu_preserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct preserve_file_ser *rec;

	if (!preserve_can_hand_over())
		return -EOPNOTSUPP;
	if (!kvm_gmem_lu_type_crosses(GMEM_I(inode)->vm_type) || encrypted(inode)) {
		pr_err_ratelimited("%pD: not preserved: what a VM of type %u has in the keeping of hardware cannot be carried over\n",
				   args->file, GMEM_I(inode)->vm_type);
		return -EOPNOTSUPP;
	}
	if (inode_lock_killable(inode))
		return -EINTR;
	rec = file_claim(args->file);
	inode_unlock(inode);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	preserve_file_report_poisoned(inode_pf(inode), rec->name);
	args->serialized_data = virt_to_phys(rec);
	return 0;
}

static void kvm_gmem_lu_unpreserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);

	inode_lock(inode);
	preserve_file_unclaim(inode_pf(inode));
	inode_unlock(inode);
}

/* Holes stand still; also for faults, while the map is made anew if it has to be. */
static void file_seal(struct preserve_file *pf, const struct file *file)
{
	struct preserve_file_ser *rec = preserve_file_record(pf);
	struct inode *inode = file_inode(file);

	preserve_note_state(rec, file);
	/* One label must not hold up the kexec. */
	if (extras_update(rec, inode))
		pr_warn_ratelimited("%s: its label and memory policies cross as they were when it was preserved\n",
				    rec->name);
	if (kvm_gmem_lu_encrypted(inode)) {
		preserve_file_give_up(pf, "its memory is encrypted since it was preserved");
		return;
	}
	preserve_file_hold(pf);
	preserve_file_freeze(pf);
}

static int kvm_gmem_lu_freeze(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct preserve_file *pf = inode_pf(inode);

	if (preserve_freeze_fails())
		return -EIO;
	preserve_compact_pause();
	WRITE_ONCE(GMEM_I(inode)->lu_freezing, true);
	if (holes_lock(inode)) {
		file_seal(pf, args->file);
		filemap_invalidate_unlock(inode->i_mapping);
	} else {
		preserve_file_give_up(pf, "another task does not let go of it");
	}
	preserve_compact_resume();
	return 0;
}

static void kvm_gmem_lu_unfreeze(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);

	preserve_file_unfreeze(inode_pf(inode));
	WRITE_ONCE(GMEM_I(inode)->lu_freezing, false);
}

/* --- retrieve --- */

/* Is every run within the file, and made of folios of a size that this kernel has here? */
static int map_check(const struct preserve_file_ser *rec, const struct prmap *map)
{
	struct prmap_run run;
	bool large = false;
	u64 index = 0;

	while (prmap_next(map, index, &run)) {
		index = run.index + run.nr;
		if (index > rec->i_size >> PAGE_SHIFT)
			return -EBADMSG;
		large |= run.order;
		cond_resched();
	}
	if (!large)
		return 0;
	pr_err_ratelimited("%s: guest_memfd has no huge pages in this kernel; another one can take the file over, and finishing its session frees it\n",
			   rec->name);
	return -EOPNOTSUPP;
}

static int record_check(const struct preserve_file_ser *rec, const struct prmap *map, u64 *flags)
{
	if (!flags_noted(rec, flags) || !kvm_gmem_lu_type_crosses(rec->guest_type))
		return -EOPNOTSUPP;
	if (!rec->i_size || !PAGE_ALIGNED(rec->i_size))
		return -EBADMSG;
	return map_check(rec, map);
}

static int extras_give(struct inode *inode, const struct preserve_file_ser *rec)
{
	struct preserve_tree_reader r = {
		.at = rec->extras, .end = rec->extras + rec->extras_len,
	};
	struct preserve_tree_extra extra;
	int err = 0;

	while (!err && r.at < r.end) {
		if (!preserve_tree_get_extra(&r, &extra))
			return -EBADMSG;
		if (extra.kind == PRESERVE_EXTRA_LABEL)
			err = preserve_tree_label_load(inode, &extra);
		else if (extra.kind == PRESERVE_EXTRA_POLICY)
			err = preserve_tree_policy_load(&GMEM_I(inode)->policy, &extra);
		else if (!(extra.kind & PRESERVE_EXTRA_SKIP))
			err = -EOPNOTSUPP;
	}
	return err;
}

static struct file *file_new(const struct preserve_file_ser *rec, u64 flags)
{
	struct file *file = ERR_PTR(-ENODEV);

	guard(mutex)(&ready_lock);
	if (gmem_ready)
		file = kvm_gmem_create_file(NULL, rec->i_size, flags);
	/* KVM's module is about to go. */
	return file == ERR_PTR(-ENOENT) ? ERR_PTR(-ENODEV) : file;
}

static struct file *file_make(const struct preserve_file_ser *rec, const struct prmap *map)
{
	struct file *file;
	u64 flags;
	int err;

	err = record_check(rec, map, &flags);
	if (err)
		return ERR_PTR(err);
	file = file_new(rec, flags);
	if (IS_ERR(file))
		return file;
	GMEM_I(file_inode(file))->vm_type = rec->guest_type;
	scoped_with_kernel_creds()
		err = extras_give(file_inode(file), rec);
	if (err) {
		fput(file);
		return ERR_PTR(err);
	}
	preserve_give_inode(file_inode(file), rec);
	preserve_give_file(file, rec);
	return file;
}

/* Nothing is lost when it fails: the record stays as it is. */
static struct file *file_retrieve(u64 handle)
{
	struct preserve_file_ser *rec;
	struct preserve_file *pf;
	struct prmap map;
	struct file *file;

	rec = preserve_record_take(handle, PRESERVE_FILE_GUEST, &map);
	if (IS_ERR(rec))
		return ERR_CAST(rec);
	file = file_make(rec, &map);
	if (IS_ERR(file)) {
		preserve_record_failed(rec, &map, PTR_ERR(file));
		return file;
	}
	/* Nothing fails from here on. */
	pf = inode_pf(file_inode(file));
	preserve_file_restore(pf, &map);
	preserve_file_begin(pf);
	preserve_file_report_poisoned(pf, rec->name);
	preserve_record_free(rec);
	return file;
}

static int kvm_gmem_lu_retrieve(struct liveupdate_file_op_args *args)
{
	struct file *file = file_retrieve(args->serialized_data);

	if (IS_ERR(file)) {
		args->again = preserve_retrieve_again(PTR_ERR(file));
		return PTR_ERR(file);
	}
	args->file = file;
	return 0;
}

static void kvm_gmem_lu_finish(struct liveupdate_file_op_args *args)
{
	struct preserve_file_ser *rec;
	struct prmap map;

	/* Retrieved, or damaged. What this kernel has no such files for is whole, and free. */
	if (args->retrieve_status && args->retrieve_status != -EOPNOTSUPP)
		return;
	rec = preserve_record_take(args->serialized_data, PRESERVE_FILE_GUEST, &map);
	if (IS_ERR(rec))
		return;
	preserve_map_release(&map, PRESERVE_FILE_GUEST);
	preserve_record_free(rec);
}

static const struct liveupdate_file_ops kvm_gmem_lu_ops = {
	.can_preserve	= kvm_gmem_lu_can_preserve,
	.preserve	= kvm_gmem_lu_preserve,
	.unpreserve	= kvm_gmem_lu_unpreserve,
	.freeze		= kvm_gmem_lu_freeze,
	.unfreeze	= kvm_gmem_lu_unfreeze,
	.retrieve	= kvm_gmem_lu_retrieve,
	.finish		= kvm_gmem_lu_finish,
	.get_id		= kvm_gmem_lu_get_id,
	.owner		= THIS_MODULE,
};

static struct liveupdate_file_handler kvm_gmem_lu_handler = {
	.ops		= &kvm_gmem_lu_ops,
	.compatible	= PRESERVE_GUEST_COMPATIBLE,
};

/* Without KVM's hardware, too: what has come is freed when its session is finished. */
static int __init kvm_gmem_lu_init(void)
{
	int err;

	if (!preserve_has_pool())
		return 0;
	err = liveupdate_register_file_handler(&kvm_gmem_lu_handler);
	if (err)
		pr_err("cannot register with LUO (%pe)\n", ERR_PTR(err));
	return err;
}
device_initcall_sync(kvm_gmem_lu_init);
