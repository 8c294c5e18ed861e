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

/* Waits for preserve_file_unseal(). */
static DECLARE_WAIT_QUEUE_HEAD(unsealed);

/**
 * preserve_file_init - Start to keep a file map.
 * @pf:      Zeroed.
 * @i_pages: The page cache it follows, empty.
 *
 * Context: Before the file has a user.
 */
void preserve_file_init(struct preserve_file *pf, struct xarray *i_pages)
{
	pf->i_pages = i_pages;
	preserve_file_map_init(pf, &pf->map);
	init_rwsem(&pf->restore_sem);
	preserve_file_list_add(pf);
}

/**
 * preserve_file_destroy - Give the map's pages back.
 * @pf: Its file is going away and is not preserved.
 */
void preserve_file_destroy(struct preserve_file *pf)
{
	preserve_file_list_del(pf);
	preserve_file_drop(pf, 0, ULONG_MAX);
	preserve_file_end(pf);
	preserve_file_set_user(pf, NULL, ULONG_MAX);
	prmap_destroy(&pf->map);
	kfree(pf->locks);
}

/**
 * preserve_file_refresh - Make a file's map now, if it is stale.
 * @pf: A file that is not preserved.
 *
 * Otherwise preserve does it.
 *
 * Context: Process context, the inode locked.
 * Return: 0; -EIO, -ENOMEM or -EBUSY if there is none for now.
 */
int preserve_file_refresh(struct preserve_file *pf)
{
	int err = pf->broken ? -EIO : 0;

	if (!READ_ONCE(pf->stale))
		return 0;
	err = err ?: preserve_file_complete(pf, GFP_KERNEL | __GFP_NOFAIL);
	return err ?: preserve_file_map_rebuild(pf);
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
 *         calls preserve_file_seal(); or an ERR_PTR: -ENOSPC if the pool has no
 *         page for the metadata, -EBUSY if the file keeps changing, -EOPNOTSUPP
 *         if this kernel cannot hand over. On error the file is as it was.
 */
struct preserve_file_ser *preserve_file_claim(struct preserve_file *pf)
{
	struct preserve_file_ser *rec = NULL;
	int err = -EOPNOTSUPP;

	if (!preserve_available())
		goto out;
	err = -ENOSPC;
	rec = preserve_page_get();
	if (!rec && preserve_pool_more(numa_mem_id(), GFP_KERNEL, 1))
		rec = preserve_page_get();
	if (!rec)
		goto out;
	err = claim_all(pf);
	if (err)
		goto free;
	preserve_claim(PHYS_PFN(virt_to_phys(rec)), 1);

	pf->record = rec;
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
	preserve_file_map_unclaim(pf);
	preserve_unclaim(PHYS_PFN(virt_to_phys(rec)), 1);
	preserve_page_put(rec);
	pf->record = NULL;
	atomic_long_dec(&preserve_nr_files);
	preserve_restore_kick();
}

/* Seals, after a rebuild if the map is stale. */
static int file_seal(struct preserve_file *pf, bool final)
{
	int tries, err;

	for (tries = 0; tries < PRESERVE_REBUILD_TRIES; tries++) {
		if (preserve_file_map_seal(pf, final)) {
			pf->record->kind &= ~PRESERVE_FILE_GIVEN_UP;
			preserve_record_seal(pf->record);
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
	preserve_record_seal(pf->record);
}

/**
 * preserve_file_seal - Make record and file map valid as they stand.
 * @pf: A claimed file; the backend has filled in its record.
 *
 * Context: Process context.
 * Return: 0, or as preserve_file_claim() if the map was stale and cannot be
 *         rebuilt: the file must then not be handed over.
 */
int preserve_file_seal(struct preserve_file *pf)
{
	int err = file_seal(pf, false);

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
	err = file_seal(pf, true);
	preserve_compact_resume();
	if (!err)
		return;
	give_up(pf);
	pr_err_ratelimited("%s is given up: no map can be made for it (%pe), the next kernel has nothing of it\n",
			   pf->record->name, ERR_PTR(err));
}

/**
 * preserve_file_unseal - Let the map follow the file again: no kexec came.
 * @pf: From preserve_file_freeze(), or preserve_file_settle().
 *
 * Context: Process context.
 */
void preserve_file_unseal(struct preserve_file *pf)
{
	xa_lock_irq(pf->i_pages);
	WRITE_ONCE(pf->sealed, false);
	xa_unlock_irq(pf->i_pages);
	wake_up_all(&unsealed);
}

/**
 * preserve_file_settle - Let a file's map stay as it is, for who notes its runs.
 * @pf: A file that is not preserved by itself, and whose memory is fixed.
 *
 * Context: Process context, the inode locked; compaction pauses.
 * Return: 0; -EIO, -ENOMEM or -EBUSY if the map is stale and cannot be made anew.
 *         preserve_file_unseal() undoes it.
 */
int preserve_file_settle(struct preserve_file *pf)
{
	int tries, err;
	bool good;

	for (tries = 0; tries < PRESERVE_REBUILD_TRIES; tries++) {
		xa_lock_irq(pf->i_pages);
		good = !pf->stale;
		if (good)
			WRITE_ONCE(pf->sealed, true);
		xa_unlock_irq(pf->i_pages);
		if (good)
			return 0;
		err = preserve_file_refresh(pf);
		if (err)
			return err;
	}
	return -EBUSY;
}

/**
 * preserve_file_wait - Wait while a file is sealed for the next kernel.
 * @pf: The file.
 *
 * A page written into a hole now would be missing after the kexec, while one
 * written over data would be there: who wants to fill a hole has to wait, and
 * for most the next kernel comes first.
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EINTR if the task is being killed.
 */
int preserve_file_wait(struct preserve_file *pf)
{
	if (likely(!READ_ONCE(pf->sealed)))
		return 0;
	return wait_event_killable(unsealed, !READ_ONCE(pf->sealed)) ?
	       -EINTR : 0;
}

/*
 * The next defective page of a file from *index on, in a few runs of its map.
 * Returns false when there is no further run.
 */
static bool next_bad(struct preserve_file *pf, u64 *index, bool *found)
{
	struct prmap_run run;
	bool more = true;
	u64 bad;
	int i;

	guard(spinlock_irq)(&pf->i_pages->xa_lock);
	*found = false;
	for (i = 0; i < BAD_RUNS && more && !*found; i++) {
		more = prmap_next(&pf->map, *index, &run);
		if (!more)
			break;
		run.nr = min(run.nr, BAD_FRAMES);
		bad = preserve_next_bad(run.pfn, run.pfn + run.nr);
		*found = bad < run.pfn + run.nr;
		*index = run.index + (bad - run.pfn);
	}
	return more;
}

/**
 * preserve_file_report_bad - Tell which pages of a file are defective.
 * @pf:   The file.
 * @name: For the message.
 *
 * Looks at the whole file map, but only if there is a defective page somewhere.
 *
 * Context: Process context.
 */
void preserve_file_report_bad(struct preserve_file *pf, const char *name)
{
	u64 index = 0;
	bool found;

	if (!preserve_nr_bad())
		return;
	while (next_bad(pf, &index, &found)) {
		if (found)
			pr_err_ratelimited("%s: page %llu is defective: reading it fails, also after the kexec\n",
					   name, index++);
		cond_resched();
	}
}
