// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of guest_memfd files that can cross a kexec: folios of the pool, for faults of the
 * guest and of the VMM; those that have crossed, made when they are needed; and folios that
 * move.
 *
 * Folios of guest_memfd do not migrate otherwise: a guest has them in its page tables without
 * a reference. Here they do, into the pool and within it. kvm_gmem_invalidate_start() takes
 * them away from the guest, and while it is under way no vCPU installs a page that it has
 * looked up before; one that is at it holds a reference, and then the folio stays where it
 * is. So a file that was not made for the pool enters it by the same migrate_pages() as a
 * memfd does, beside running vCPUs, and the pool can be packed and go offline. Folios are taken
 * away by the batch, before they are locked: a vCPU that waited for a folio's lock with a
 * reference would keep it where it is.
 *
 * What has no content yet (fallocate) would show what was in the frame before: folios of the
 * pool are zeroed as they come.
 *
 * Those are dirty as well. A clean folio has a copy elsewhere, and mm drops it where that helps:
 * mapping_evict_folio(), for a page that is defective or about to be.
 */
#include <linux/folio_batch.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <linux/kvm_host.h>
#include <linux/mempolicy.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#include "guest_memfd.h"
#include "guest_memfd_lu.h"

/* Freezing a file for the next kernel waits for no more than this being punched or allocated. */
#define FALLOCATE_PART	SZ_16M

/* Jiffies that a task which moves folios waits for invalidate_lock. */
#define LOCK_TRIES	25

/* Counts folios that have come into the page cache, and lets them go on like any other. */
static void folio_finish(struct folio *folio)
{
	lruvec_stat_mod_folio(folio, NR_FILE_PAGES, folio_nr_pages(folio));
	folio_mark_dirty(folio);
	folio_add_lru(folio);
	folio_unlock(folio);
	folio_put(folio);
}

/* See struct preserve_file_ops. */
static int insert(struct address_space *mapping, struct folio_batch *batch, pgoff_t index,
		  gfp_t gfp)
{
	int i, done = preserve_insert(mapping, batch, index, gfp, false);

	for (i = 0; i < done; i++)
		folio_finish(batch->folios[i]);
	return done;
}

/*
 * Takes a range away from the guest, whose vCPUs try again until move_end(). Bindings must be
 * stable in between. The lock is only tried, for some time: a guest that has holes punched all
 * the while lets go of it now and then, and what holds it longer may be memory failure's.
 */
static int move_begin(struct address_space *mapping, pgoff_t start, pgoff_t end)
{
	int tries;

	for (tries = 0; !filemap_invalidate_trylock_shared(mapping); tries++) {
		if (tries == LOCK_TRIES)
			return -EAGAIN;
		schedule_timeout_uninterruptible(1);
	}
	/* Content is bound to its place. */
	if (kvm_gmem_lu_encrypted(mapping->host)) {
		filemap_invalidate_unlock_shared(mapping);
		return -EBUSY;
	}
	kvm_gmem_invalidate_start(mapping->host, start, end);
	return 0;
}

static void move_end(struct address_space *mapping, pgoff_t start, pgoff_t end)
{
	kvm_gmem_invalidate_end(mapping->host, start, end);
	filemap_invalidate_unlock_shared(mapping);
}

/* What the core calls for guest_memfd files. */
const struct preserve_file_ops kvm_gmem_lu_file_ops = {
	.place = &preserve_pool_place,
	.insert = insert,
	.move_begin = move_begin,
	.move_end = move_end,
};

/* A folio of the pool, zeroed, where the file's policy or the task's wants it. */
static struct folio *folio_new(struct inode *inode, pgoff_t index)
{
	struct mempolicy *mpol = mpol_shared_policy_lookup(&GMEM_I(inode)->policy, index);
	struct preserve_request rq = {
		.gfp = current_gfp_context(mapping_gfp_mask(inode->i_mapping)) | __GFP_ZERO,
		.nid = numa_node_id(),
		.goal = preserve_goal(inode->i_mapping, index),
	};
	struct folio *folio = preserve_alloc_mpol(&rq, mpol ?: get_task_policy(current),
						  NO_INTERLEAVE_INDEX);

	mpol_cond_put(mpol);
	if (folio)
		folio_mark_uptodate(folio);
	return folio;
}

/* Fills a hole. The folio, locked, is in the page cache; ERR_PTR(-EAGAIN) to look again. */
static struct folio *fill_hole(struct inode *inode, pgoff_t index)
{
	struct folio *folio;
	int err;

	/* For most, the next kernel comes first. */
	err = preserve_file_wait(preserve_file_of(inode->i_mapping));
	if (err)
		return ERR_PTR(err);
	folio = folio_new(inode, index);
	if (!folio)
		return ERR_PTR(-ENOSPC);
	err = filemap_add_folio(inode->i_mapping, folio, index,
				mapping_gfp_mask(inode->i_mapping));
	if (!err) {
		folio_mark_dirty(folio);
		return folio;
	}
	folio_put(folio);
	return ERR_PTR(err == -EEXIST ? -EAGAIN : err);
}

/* The same for an index where the page cache has nothing: what has crossed, or a new one. */
static struct folio *make(struct inode *inode, pgoff_t index)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);
	int err;

	if (!preserve_file_incomplete(pf))
		return fill_hole(inode, index);
	err = preserve_file_restore_at(pf, index, mapping_gfp_mask(inode->i_mapping));
	return err == -ENOENT ? fill_hole(inode, index) : ERR_PTR(err ?: -EAGAIN);
}

/**
 * kvm_gmem_lu_get_folio - The folio of an index, of a file whose memory is the pool's.
 * @inode: The file's.
 * @index: Page index; the page cache has just had nothing there.
 *
 * A file that has not got into the pool as a whole may get one of the pool as well.
 *
 * Context: Process context, may sleep; no folio of the file locked.
 * Return: The folio, locked, with a reference; an ERR_PTR: -ENOMEM, -ENOSPC if the pool has
 *         none, -EIO if what should be there is lost, -EINTR if the task is killed.
 */
struct folio *kvm_gmem_lu_get_folio(struct inode *inode, pgoff_t index)
{
	struct folio *folio = make(inode, index);

	while (folio == ERR_PTR(-EAGAIN)) {
		folio = filemap_lock_folio(inode->i_mapping, index);
		if (IS_ERR(folio))
			folio = make(inode, index);
	}
	return folio;
}

/**
 * kvm_gmem_lu_migrate_folio - Move a folio into the pool or within it.
 * @mapping: The file's.
 * @dst:     Its new place, locked.
 * @src:     The folio, locked; user space has it mapped no more.
 * @mode:    How.
 *
 * Only mm/preserve moves folios there, between move_begin() and move_end().
 *
 * Context: Process context, may sleep.
 * Return: 0; -EAGAIN if it is busy now.
 */
int kvm_gmem_lu_migrate_folio(struct address_space *mapping, struct folio *dst,
			      struct folio *src, enum migrate_mode mode)
{
	int err;

	if (WARN_ON_ONCE(!rwsem_is_locked(&mapping->invalidate_lock)))
		return -EAGAIN;
	err = migrate_folio(mapping, dst, src, mode);
	if (!err)
		folio_mark_dirty(dst);
	return err;
}

/**
 * kvm_gmem_lu_enter - Make a file's memory the pool's, if it is not.
 * @inode: The file's; locked.
 *
 * It stays so: its folios cannot leave.
 *
 * Context: Process context.
 * Return: The file's struct preserve_file; an ERR_PTR: -EBUSY if a page is pinned or busy,
 *         -EHWPOISON if one is defective, -ENOSPC if the pool cannot take it, -EOPNOTSUPP if
 *         such files are not admitted, -ENOMEM, -EINTR. The file is as it was then, but for the
 *         places of some of its pages.
 */
struct preserve_file *kvm_gmem_lu_enter(struct inode *inode)
{
	struct address_space *mapping = inode->i_mapping;
	struct preserve_file *pf = preserve_file_of(mapping);
	int err;

	if (preserve_mapping(mapping))
		return pf;
	/* The administrator wants the next kernel to be one without our code. */
	if (!READ_ONCE(preserve_admit_plain))
		return ERR_PTR(-EOPNOTSUPP);
	pf = preserve_file_new(mapping, &kvm_gmem_lu_file_ops);
	if (!pf)
		return ERR_PTR(-ENOMEM);
	preserve_file_set_plain(pf, true);
	err = preserve_enter(mapping);
	err = err ?: preserve_move_in(mapping);
	err = err ?: preserve_clear(mapping, 0, ULONG_MAX, true);
	if (err) {
		preserve_leave(mapping);
		return ERR_PTR(err);
	}
	preserve_file_set_plain(pf, false);
	return pf;
}

/**
 * kvm_gmem_lu_fallocate - Punch a hole into a file, or fill it, in parts.
 * @inode:  The file's, any guest_memfd: it may enter the pool meanwhile.
 * @mode:   As for fallocate(), checked.
 * @offset: Of the range.
 * @len:    Its length.
 *
 * Context: Process context.
 * Return: 0; -EINVAL; -EINTR; -EPERM while the file stands still for the next kernel; or
 *         another negative errno.
 */
long kvm_gmem_lu_fallocate(struct inode *inode, int mode, loff_t offset, loff_t len)
{
	const bool punch = mode & FALLOC_FL_PUNCH_HOLE;
	loff_t at, part, end = offset + len;
	long err = 0;

	if (!punch && end > i_size_read(inode))
		return -EINVAL;
	end = min(end, i_size_read(inode));
	for (at = offset; at < end && !err; at += part) {
		part = min_t(loff_t, end - at, FALLOCATE_PART);
		if (fatal_signal_pending(current))
			return -EINTR;
		err = punch ? kvm_gmem_punch_hole(inode, at, part) :
			      kvm_gmem_allocate(inode, at, part);
		cond_resched();
	}
	return err;
}

/**
 * kvm_gmem_lu_may_change - May holes of a file be filled or made?
 * @inode: The file's.
 *
 * Context: Process context, invalidate_lock held: freezing waits for it.
 * Return: 0; -EPERM if the file stands still for the next kernel.
 */
int kvm_gmem_lu_may_change(struct inode *inode)
{
	return READ_ONCE(GMEM_I(inode)->lu_freezing) ? -EPERM : 0;
}

/**
 * kvm_gmem_lu_punch - A hole is about to be punched: free what has crossed, and has no folio.
 * @inode: The file's.
 * @start: First page index.
 * @end:   Behind the last.
 *
 * Context: Process context, invalidate_lock held exclusively.
 * Return: 0, or -EPERM as kvm_gmem_lu_may_change().
 */
int kvm_gmem_lu_punch(struct inode *inode, pgoff_t start, pgoff_t end)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);
	int err = kvm_gmem_lu_may_change(inode);

	if (!err && pf)
		preserve_file_drop(pf, start, end);
	return err;
}
