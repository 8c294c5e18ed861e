// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preserving a file: its map and its memory are claimed, and its record is written.
 * How the map follows the file is in file_map.c.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include <trace/events/preserve.h>

#include "file.h"

/* Runs of a file map looked at before the locks are let go. */
#define BAD_RUNS	64
#define BAD_FRAMES	(4 * (u64)pageblock_nr_pages)

/* Waits for preserve_file_unfreeze(). */
static DECLARE_WAIT_QUEUE_HEAD(thawed);

static struct kmem_cache *file_cache __ro_after_init;

void __init preserve_file_cache_init(void)
{
	file_cache = KMEM_CACHE(preserve_file, SLAB_ACCOUNT | SLAB_PANIC);
}

/* Makes @pf the file's; false if another task has given it one meanwhile. */
static bool file_publish(struct address_space *mapping, struct preserve_file *pf)
{
	guard(spinlock_irq)(&mapping->i_pages.xa_lock);
	if (mapping->preserve)
		return false;
	/* Pairs with preserve_file_of(): what is seen is initialised. */
	smp_store_release(&mapping->preserve, pf);
	return true;
}

/**
 * preserve_file_new - What the core keeps for a file from now on.
 * @mapping: The file's.
 * @ops:     The backend's.
 *
 * It has no map, until preserve_file_follow() or what else makes one.
 *
 * Context: Process context; the caller has a reference to the inode.
 * Return: That of the file, an older one if there is one; NULL without memory.
 */
struct preserve_file *preserve_file_new(struct address_space *mapping,
					const struct preserve_file_ops *ops)
{
	struct preserve_file *pf = preserve_file_of(mapping);

	if (pf)
		return pf;
	pf = kmem_cache_zalloc(file_cache, GFP_KERNEL);
	if (!pf)
		return NULL;
	pf->mapping = mapping;
	pf->ops = ops;
	preserve_file_map_init(pf, &pf->map);
	if (!file_publish(mapping, pf)) {
		kmem_cache_free(file_cache, pf);
		return preserve_file_of(mapping);
	}
	preserve_file_list_add(pf);
	return pf;
}

/**
 * preserve_file_free - A file goes away.
 * @mapping: Its page cache, which is empty. The file is not preserved.
 *
 * What it has of memory that is unrestored is freed.
 *
 * Context: Process context, the inode is being evicted.
 */
void preserve_file_free(struct address_space *mapping)
{
	struct preserve_file *pf = preserve_file_of(mapping);

	if (!pf)
		return;
	preserve_file_list_del(pf);
	preserve_file_drop(pf, 0, ULONG_MAX);
	preserve_file_end(pf);
	preserve_file_set_user(pf, NULL, ULONG_MAX);
	prmap_destroy(&pf->map);
	WRITE_ONCE(mapping->preserve, NULL);
	kfree(pf->restore);
	kfree(pf->in_place);
	kmem_cache_free(file_cache, pf);
}

/**
 * preserve_file_refresh - Make a file's map now, if it has none or a stale one.
 * @pf: A file that is not preserved.
 *
 * Otherwise preserve does it.
 *
 * Context: Process context, the inode locked.
 * Return: 0; -EIO, -ENOMEM or -EBUSY if there is none for now.
 */
int preserve_file_refresh(struct preserve_file *pf)
{
	int err;

	switch (READ_ONCE(pf->map_state)) {
	case PRESERVE_MAP_CURRENT:
		return 0;
	case PRESERVE_MAP_LOST:
		return -EIO;
	default:
		err = preserve_file_restore_all(pf, GFP_KERNEL | __GFP_NOFAIL);
		return err ?: preserve_file_map_rebuild(pf);
	}
}

/* Claims data and map. On error nothing stays claimed. */
static int try_claim_all(struct preserve_file *pf)
{
	return preserve_file_refresh(pf) ?: preserve_file_map_claim(pf);
}

/* The same; a pool that has no page for metadata left may grow. */
static int claim_all(struct preserve_file *pf)
{
	int err = try_claim_all(pf);

	if (err == -ENOMEM && preserve_pool_more(numa_mem_id(), GFP_KERNEL, 1))
		err = try_claim_all(pf);
	return err == -ENOMEM ? -ENOSPC : err;
}

static void file_set_record(struct preserve_file *pf,
			    struct preserve_file_ser *rec)
{
	guard(spinlock_irq)(&pf->mapping->i_pages.xa_lock);
	WRITE_ONCE(pf->record, rec);
	WRITE_ONCE(pf->phase, rec ? PRESERVE_CLAIMED : PRESERVE_LIVE);
}

/**
 * preserve_file_claim - Make a file's memory part of what the next kernel keeps.
 * @pf: The file; the backend has frozen its size and its holes are final but for
 *      faults.
 *
 * Work is proportional to the runs of the file map and the blocks that they lie in, not
 * to its pages.
 *
 * Context: Process context, the inode locked.
 * Return: A zeroed record, owned by @pf, for the backend to fill in before it
 *         calls preserve_file_commit(); or an ERR_PTR: -ENOSPC if the pool has no
 *         page for the metadata, -EBUSY if the file keeps changing, -EOPNOTSUPP
 *         if this kernel cannot hand over. On error the file is as it was.
 */
struct preserve_file_ser *preserve_file_claim(struct preserve_file *pf)
{
	struct preserve_file_ser *rec = NULL;
	int err = -EOPNOTSUPP;

	if (!preserve_can_hand_over())
		goto out;
	err = -ENOSPC;
	rec = preserve_page_get();
	if (!rec && preserve_pool_more(numa_mem_id(), GFP_KERNEL, 1))
		rec = preserve_page_get();
	if (!rec)
		goto out;
	preserve_in_place_lock(pf);
	err = claim_all(pf);
	if (!err)
		file_set_record(pf, rec);
	else if (err == -EBUSY)
		preserve_in_place_doubt(pf);
	preserve_in_place_unlock(pf);
	if (err)
		goto free;
	preserve_claim(PHYS_PFN(virt_to_phys(rec)), 1);
	atomic_long_inc(&preserve_nr_files);
	trace_preserve_claim(virt_to_phys(rec), prmap_nr_keys(&pf->map),
			     prmap_nr_runs(&pf->map), 0);
	return rec;

free:
	preserve_page_put(rec);
out:
	trace_preserve_claim(0, prmap_nr_keys(&pf->map),
			     prmap_nr_runs(&pf->map), err);
	return ERR_PTR(err);
}

/**
 * preserve_file_unclaim - Undo preserve_file_claim().
 * @pf: The file. Its record is gone afterwards.
 *
 * Context: Process context, the inode locked.
 */
void preserve_file_unclaim(struct preserve_file *pf)
{
	struct preserve_file_ser *rec = pf->record;

	trace_preserve_unclaim(virt_to_phys(rec), prmap_nr_keys(&pf->map),
			       prmap_nr_runs(&pf->map), 0);
	preserve_in_place_lock(pf);
	preserve_file_map_unclaim(pf);
	file_set_record(pf, NULL);
	preserve_in_place_unlock(pf);
	preserve_unclaim(PHYS_PFN(virt_to_phys(rec)), 1);
	preserve_page_put(rec);
	atomic_long_dec(&preserve_nr_files);
	preserve_restore_kick();
}

/* Seals, after a rebuild if the map is stale. */
static int file_commit(struct preserve_file *pf, bool final)
{
	int tries, err;

	for (tries = 0; tries < PRESERVE_REBUILD_TRIES; tries++) {
		if (preserve_file_map_commit(pf, final)) {
			pf->record->kind &= ~PRESERVE_FILE_GIVEN_UP;
			preserve_record_commit(pf->record);
			return 0;
		}
		preserve_file_map_unclaim(pf);
		err = claim_all(pf);
		if (err)
			break;
	}
	return tries == PRESERVE_REBUILD_TRIES ? -EBUSY : err;
}

/* Nothing of the file crosses but the record, which says so. */
static void give_up(struct preserve_file *pf)
{
	preserve_file_map_unclaim(pf);
	pf->record->kind |= PRESERVE_FILE_GIVEN_UP;
	preserve_record_commit(pf->record);
	/* What came would cross without a record. Nothing goes: the map stays what it is. */
	if (pf->in_place)
		WRITE_ONCE(pf->phase, PRESERVE_FROZEN);
}

/**
 * preserve_file_commit - Make record and file map valid as they stand.
 * @pf: A claimed file; the backend has filled in its record.
 *
 * Context: Process context.
 * Return: 0, or as preserve_file_claim() if the map was stale and cannot be
 *         rebuilt: the file must then not be handed over.
 */
int preserve_file_commit(struct preserve_file *pf)
{
	int err;

	preserve_in_place_lock(pf);
	err = file_commit(pf, false);
	preserve_in_place_unlock(pf);
	if (err)
		pr_warn_ratelimited("a file cannot be handed over: no map can be made for it (%pe); grow the pool or drop the file\n",
				    ERR_PTR(err));
	return err;
}

/**
 * preserve_file_freeze - Seal a file: the kernel is about to be replaced.
 * @pf: A claimed file; the backend has filled in its record.
 *
 * From now on the map stays as it is, whatever other CPUs still do to the file.
 *
 * Cheap when nothing has changed: only pages of maps that were written since the last
 * time are looked at. One file must not hold up the others, or the kexec: one that keeps
 * changing, or for whose map there is no room, is given up alone, and the next kernel
 * refuses it.
 *
 * Context: Process context, in the reboot path.
 */
void preserve_file_freeze(struct preserve_file *pf)
{
	int err;

	preserve_compact_pause();
	preserve_in_place_lock(pf);
	err = file_commit(pf, true);
	if (err)
		give_up(pf);
	preserve_in_place_unlock(pf);
	preserve_compact_resume();
	if (!err)
		return;
	pr_err_ratelimited("%s is given up: no map can be made for it (%pe), the next kernel has nothing of it\n",
			   pf->record->name, ERR_PTR(err));
}

/**
 * preserve_file_give_up - In place of preserve_file_freeze(): nothing of a file may cross.
 * @pf:  A claimed file.
 * @why: For the message.
 *
 * Context: Process context, in the reboot path.
 */
void preserve_file_give_up(struct preserve_file *pf, const char *why)
{
	preserve_in_place_lock(pf);
	give_up(pf);
	preserve_in_place_unlock(pf);
	pr_err_ratelimited("%s is given up: %s, the next kernel has nothing of it\n",
			   pf->record->name, why);
}

/**
 * preserve_file_hold - Let what would fill a hole wait, until preserve_file_unfreeze().
 * @pf: A file; nothing leaves its page cache, and compaction pauses.
 *
 * For a file that changes faster than a map can be made of its page cache, before
 * preserve_file_claim() or preserve_file_freeze().
 *
 * Context: Process context, the inode locked.
 */
void preserve_file_hold(struct preserve_file *pf)
{
	guard(spinlock_irq)(&pf->mapping->i_pages.xa_lock);
	WRITE_ONCE(pf->phase, PRESERVE_FROZEN);
}

/**
 * preserve_file_unfreeze - Let the map follow the file again: no kexec came.
 * @pf: From preserve_file_freeze(), preserve_file_freeze_map() or preserve_file_hold().
 *
 * Context: Process context.
 */
void preserve_file_unfreeze(struct preserve_file *pf)
{
	xa_lock_irq(&pf->mapping->i_pages);
	WRITE_ONCE(pf->phase, pf->record ? PRESERVE_CLAIMED : PRESERVE_LIVE);
	xa_unlock_irq(&pf->mapping->i_pages);
	wake_up_all(&thawed);
}

/**
 * preserve_file_freeze_map - Let a file's map stay as it is, for a caller that notes its runs.
 * @pf: A file that is not preserved by itself, and whose memory is fixed.
 *
 * Context: Process context, the inode locked; compaction pauses.
 * Return: 0; -EIO, -ENOMEM or -EBUSY if the map is stale and cannot be made anew.
 *         preserve_file_unfreeze() undoes it.
 */
int preserve_file_freeze_map(struct preserve_file *pf)
{
	int tries, err;
	bool good;

	for (tries = 0; tries < PRESERVE_REBUILD_TRIES; tries++) {
		xa_lock_irq(&pf->mapping->i_pages);
		good = pf->map_state == PRESERVE_MAP_CURRENT;
		if (good)
			WRITE_ONCE(pf->phase, PRESERVE_FROZEN);
		xa_unlock_irq(&pf->mapping->i_pages);
		if (good)
			return 0;
		err = preserve_file_refresh(pf);
		if (err)
			return err;
	}
	return -EBUSY;
}

/**
 * preserve_file_wait - Wait while a file is frozen for the next kernel.
 * @pf: The file.
 *
 * A page written into a hole now would be missing after the kexec, while one
 * written over data would be there: a task that wants to fill a hole has to wait, and
 * for most the next kernel comes first.
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EINTR if the task is being killed.
 */
int preserve_file_wait(struct preserve_file *pf)
{
	if (likely(!preserve_file_frozen(pf)))
		return 0;
	return wait_event_killable(thawed, !preserve_file_frozen(pf)) ?
	       -EINTR : 0;
}

/**
 * preserve_file_record - The record of a file.
 * @pf: The file.
 *
 * Context: Any; lasting with the inode locked.
 * Return: The record, while the file is preserved by itself; otherwise NULL.
 */
struct preserve_file_ser *preserve_file_record(const struct preserve_file *pf)
{
	return READ_ONCE(pf->record);
}

/**
 * preserve_file_lost - Is it unknown for good what of a file is unrestored?
 * @pf: The file.
 *
 * Context: Any.
 * Return: True if its map is lost.
 */
bool preserve_file_lost(const struct preserve_file *pf)
{
	return READ_ONCE(pf->map_state) == PRESERVE_MAP_LOST;
}

/**
 * preserve_file_nr_unrestored - Count the pages of a file that no folio stands for yet.
 * @pf: The file.
 *
 * Context: Any.
 * Return: How many.
 */
u64 preserve_file_nr_unrestored(const struct preserve_file *pf)
{
	return READ_ONCE(pf->nr_unrestored);
}

/**
 * preserve_file_keeps_map - Is a file one whose map is kept?
 * @pf: The file.
 *
 * Context: The inode locked.
 * Return: False if its page cache alone says where its memory is.
 */
bool preserve_file_keeps_map(const struct preserve_file *pf)
{
	return READ_ONCE(pf->map_state) != PRESERVE_MAP_NONE && !pf->plain;
}

static void page_report_poisoned(const char *name, u64 index)
{
	pr_err_ratelimited("%s: page %llu is defective: reading it fails, also after the kexec\n",
			   name, index);
}

/**
 * preserve_run_report_poisoned - Tell which pages of a run are defective.
 * @run:  The run.
 * @name: The file's, for the message.
 *
 * Context: Process context.
 */
void preserve_run_report_poisoned(const struct prmap_run *run, const char *name)
{
	const u64 end = run->pfn + run->nr;
	u64 bad = run->pfn;

	if (!preserve_nr_poisoned())
		return;
	while ((bad = preserve_next_poisoned(bad, end)) < end) {
		page_report_poisoned(name, run->index + (bad - run->pfn));
		bad++;
	}
}

/*
 * The next defective page of a file from *index on, in a few runs of its map.
 * Returns false when there is no further run.
 */
static bool next_poisoned(struct preserve_file *pf, u64 *index, bool *found)
{
	struct prmap_run run;
	bool more = true;
	u64 bad;
	int i;

	guard(spinlock_irq)(&pf->mapping->i_pages.xa_lock);
	*found = false;
	for (i = 0; i < BAD_RUNS && more && !*found; i++) {
		more = prmap_next(&pf->map, *index, &run);
		if (!more)
			break;
		run.nr = min(run.nr, BAD_FRAMES);
		bad = preserve_next_poisoned(run.pfn, run.pfn + run.nr);
		*found = bad < run.pfn + run.nr;
		*index = run.index + (bad - run.pfn);
	}
	return more;
}

/**
 * preserve_file_report_poisoned - Tell which pages of a file are defective.
 * @pf:   The file.
 * @name: For the message.
 *
 * Looks at the whole file map, but only if there is a defective page somewhere.
 *
 * Context: Process context.
 */
void preserve_file_report_poisoned(struct preserve_file *pf, const char *name)
{
	u64 index = 0;
	bool found;

	if (!preserve_nr_poisoned())
		return;
	while (next_poisoned(pf, &index, &found)) {
		if (found)
			page_report_poisoned(name, index++);
		cond_resched();
	}
}
