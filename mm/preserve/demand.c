// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restoring on demand: the folios of a retrieved file are made when they are
 * needed first.
 *
 * A retrieved file has its file map from the start, and an empty page cache. An
 * index that the map holds and the page cache does not is unrestored: its frames
 * have the content, no folio stands for them yet. That is the only mark there is.
 * So retrieving costs nothing for a page, a file that was not touched can be
 * preserved again as it is, and a folio that is made changes no map.
 *
 * The mark needs the map to lose an index when the page cache does. Losing one can
 * take a page, to cut a run in two; a file that is not complete keeps some for it.
 */
#include <linux/folio_batch.h>
#include <linux/log2.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "file.h"

/* Mutexes of a file at most: two tasks that need the same folio, one makes it. */
#define MAX_LOCKS	64UL

/* Folios that are passed over with interrupts off, in search of what is missing. */
#define SCAN		1024U

/* Pages made together for a task that goes through a file: what a fault maps at most. */
#define AHEAD		16UL

static struct mutex *lock_of(const struct preserve_file *pf, pgoff_t index)
{
	struct preserve_restore *restore = pf->restore;

	return &restore->locks[(index >> restore->shift) &
			       (restore->nr_locks - 1)];
}

/* A stretch is a pageblock's worth of the file, or one folio if that is larger. */
static unsigned int stretch_order(const struct preserve_file *pf)
{
	struct prmap_run run;

	if (pf->ops->place->max_order <= pageblock_order || !prmap_next(&pf->map, 0, &run))
		return pageblock_order;
	return max_t(unsigned int, pageblock_order, run.order);
}

/* One mutex is enough where there is no memory for more. */
static struct preserve_restore *restore_alloc(u64 nr_pages, unsigned int shift)
{
	unsigned long nr = clamp(nr_pages >> shift, 1UL, MAX_LOCKS);
	struct preserve_restore *restore;

	nr = rounddown_pow_of_two(nr);
	restore = kzalloc_flex(*restore, locks, nr, GFP_KERNEL | __GFP_NOWARN);
	if (!restore) {
		nr = 1;
		restore = kzalloc_flex(*restore, locks, nr,
				       GFP_KERNEL | __GFP_NOFAIL);
	}
	restore->nr_locks = nr;
	restore->shift = shift;
	return restore;
}

/* No file waits for another's: its owner may be slow, or short of memory. */
static struct preserve_restore *restore_new(const struct preserve_file *pf)
{
	struct preserve_restore *restore = restore_alloc(prmap_nr_keys(&pf->map),
							 stretch_order(pf));
	unsigned int i;

	init_rwsem(&restore->sem);
	for (i = 0; i < restore->nr_locks; i++)
		mutex_init(&restore->locks[i]);
	for (i = 0; i < ARRAY_SIZE(restore->spare); i++)
		restore->spare[i] = preserve_map_page_get();
	restore->memcg = get_mem_cgroup_from_current();
	return restore;
}

/**
 * preserve_file_restored - Folios that were missing have come.
 * @pf: The file.
 * @nr: Their pages: the map has them already.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 */
void preserve_file_restored(struct preserve_file *pf, u64 nr)
{
	/*
	 * Pairs with smp_load_acquire() in preserve_file_incomplete(): a reader that sees
	 * 0 also sees every folio inserted before.
	 */
	smp_store_release(&pf->nr_unrestored, pf->nr_unrestored - nr);
	atomic_long_sub(nr, &preserve_nr_unrestored);
}

/*
 * Cuts off the part of @run from its beginning on that the page cache has; *left is how
 * many entries to look at. Context: xa_lock of i_pages held.
 */
static void skip_restored(const struct preserve_file *pf, struct prmap_run *run,
			  unsigned int *left)
{
	const u64 end = run->index + run->nr;
	XA_STATE(xas, &pf->mapping->i_pages, run->index);
	u64 at = run->index, next = end, size;
	void *entry;

	xas_for_each(&xas, entry, end - 1) {
		next = xas.xa_index;
		if (next > at)
			break;
		size = 1UL << xas_get_order(&xas);
		at = round_down(next, size) + size;
		next = end;
		if (!--*left || at >= end)
			break;
	}
	at = min(at, end);
	run->pfn += at - run->index;
	run->index = at;
	run->nr = next - at;
}

/*
 * The first stretch in [*from, @end) that the map has and the page cache has not.
 * If false, *from is where to go on: @end, or behind SCAN entries that are there.
 * Context: xa_lock of i_pages held.
 */
static bool next_unrestored(const struct preserve_file *pf, u64 *from, u64 end,
			    struct prmap_run *run)
{
	unsigned int left = SCAN;

	while (*from < end && left) {
		if (!prmap_next(&pf->map, *from, run) || run->index >= end) {
			*from = end;
			break;
		}
		run->nr = min(run->nr, end - run->index);
		skip_restored(pf, run, &left);
		if (run->nr && left)
			return true;
		*from = run->index;
	}
	return false;
}

/**
 * preserve_file_find - Find the next stretch that the map has and the page cache has not.
 * @pf:   The file.
 * @from: Where to begin.
 * @end:  Where to end.
 * @run:  On success, the stretch.
 *
 * Context: Not with the xa_lock of i_pages held; it is taken, and not held for long.
 * Return: False if there is none.
 */
bool preserve_file_find(struct preserve_file *pf, u64 from, u64 end,
			struct prmap_run *run)
{
	bool found;

	do {
		xa_lock_irq(&pf->mapping->i_pages);
		found = next_unrestored(pf, &from, end, run);
		xa_unlock_irq(&pf->mapping->i_pages);
	} while (!found && from < end);
	return found;
}

/**
 * preserve_file_find_unrestored - Find memory that no folio stands for yet.
 * @pf:    The file.
 * @index: Where to begin; on success, where it is.
 * @end:   Where to end.
 *
 * Context: Any, but not with the xa_lock of i_pages held.
 * Return: The number of pages, 0 if there are none.
 */
unsigned long preserve_file_find_unrestored(struct preserve_file *pf,
					    pgoff_t *index, pgoff_t end)
{
	struct prmap_run run;

	if (!preserve_file_incomplete(pf) ||
	    !preserve_file_find(pf, *index, end, &run))
		return 0;
	*index = run.index;
	return run.nr;
}

/*
 * Looks @index and its run up. Returns 0 if a folio is there, 1 if not yet, or
 * -ENOENT. Both under one lock: what was restored may be truncated at any time, and is
 * then in neither.
 */
static int look_up(struct preserve_file *pf, pgoff_t index,
		   struct prmap_run *run)
{
	int err;

	xa_lock_irq(&pf->mapping->i_pages);
	if (xa_load(&pf->mapping->i_pages, index))
		err = 0;
	else if (prmap_lookup(&pf->map, index, run))
		err = -ENOENT;
	else
		err = pf->map_state == PRESERVE_MAP_LOST ? -EIO : 1;
	xa_unlock_irq(&pf->mapping->i_pages);
	return err;
}

/*
 * Makes the folios of @run from the one that has @index on, to @end or until a batch
 * is full. Returns the index behind them, or a negative errno if there is none.
 * Context: their mutex held.
 */
static s64 restore_folios(struct preserve_file *pf, const struct prmap_run *run,
			  pgoff_t index, pgoff_t end, gfp_t gfp)
{
	const pgoff_t first = round_down(index, 1UL << run->order);
	const struct preserve_place *place = pf->ops->place;
	unsigned long pfn = run->pfn + (first - run->index);
	struct folio_batch batch;
	unsigned int i;
	int done;

	folio_batch_init(&batch);
	for (index = first; index < end && folio_batch_space(&batch);
	     index += 1UL << run->order, pfn += 1UL << run->order)
		folio_batch_add(&batch, place->to_folio(pfn, run->order));
	done = pf->ops->insert(pf->mapping, &batch, first, gfp);
	for (i = max(done, 0); i < folio_batch_count(&batch); i++)
		place->to_frames(batch.folios[i]);
	return done < 0 ? done : first + ((pgoff_t)done << run->order);
}

/*
 * Makes the folios that are missing in a range, as far as that works at once. Looks
 * once for each stretch: no other task makes one of its folios meanwhile. Returns where
 * it has stopped, @end if nowhere. Context: the mutex of the range held.
 */
static pgoff_t restore_more(struct preserve_file *pf, pgoff_t index,
			    pgoff_t end, gfp_t gfp)
{
	struct prmap_run run;
	s64 next;

	while (preserve_file_find(pf, index, end, &run)) {
		index = run.index;
		/* The stretch may be a hole that the map did not hear of. */
		if (READ_ONCE(pf->map_state) == PRESERVE_MAP_LOST)
			return index;
		do {
			next = restore_folios(pf, &run, index,
					      run.index + run.nr, gfp);
			if (next < 0)
				return index;
			index = next;
		} while (index < run.index + run.nr);
	}
	return end;
}

/*
 * Makes the folio of @index and, if that works at once, those that follow in its run
 * to @end. Returns the index up to which nothing is missing, behind @index; or a
 * negative errno. Context: restore->sem held: nothing unrestored leaves the map.
 */
static s64 restore_at(struct preserve_file *pf, pgoff_t index, pgoff_t end,
		      gfp_t gfp)
{
	struct prmap_run run;
	s64 next;
	int err;

	guard(mutex)(lock_of(pf, index));
	err = look_up(pf, index, &run);
	if (err < 0)
		return err;
	if (!err)
		return index + 1;
	next = restore_folios(pf, &run, index, index + 1, gfp);
	if (next < 0)
		return next;
	/* One mutex covers a stretch. */
	end = min3(end, (pgoff_t)(run.index + run.nr),
		   round_up(index + 1, 1UL << pf->restore->shift));
	if (next >= end)
		return next;
	return restore_more(pf, next, end, (gfp & ~__GFP_NOFAIL) |
			    __GFP_NORETRY | __GFP_NOWARN);
}

/**
 * preserve_file_end - Give back what an incomplete file has kept.
 * @pf: The file: complete, or about to go.
 *
 * Context: Process context; no other task uses the file, or nothing is missing.
 */
void preserve_file_end(struct preserve_file *pf)
{
	struct preserve_restore *restore = pf->restore;
	unsigned int i;
	void *page;

	if (!restore)
		return;
	for (i = 0; i < ARRAY_SIZE(restore->spare); i++) {
		page = xchg(&restore->spare[i], NULL);
		if (page)
			preserve_page_put(page);
	}
	mem_cgroup_put(xchg(&restore->memcg, NULL));
}

/**
 * preserve_file_end_if_complete - Give back what a file has kept, if it is complete now.
 * @pf: The file.
 *
 * A task that is still at it charges nothing any more: there is nothing left to make.
 *
 * Context: Process context.
 */
void preserve_file_end_if_complete(struct preserve_file *pf)
{
	if (preserve_file_incomplete(pf))
		return;
	preserve_file_end(pf);
	if (!atomic_xchg(&pf->restore->ended, 1) && pf->ops->all_restored)
		pf->ops->all_restored(pf->mapping);
}

/**
 * preserve_file_restore_run - Make the folios of a run, as far as that works at once.
 * @pf:  The file.
 * @run: From preserve_file_find().
 * @gfp: For the memory that it takes.
 *
 * The caller calls preserve_file_end_if_complete() when it has done with the file.
 *
 * Context: Process context, may sleep; no folio of the file locked.
 * Return: The index up to which nothing is missing, behind the run's first; or a negative
 *         errno.
 */
s64 preserve_file_restore_run(struct preserve_file *pf,
			      const struct prmap_run *run, gfp_t gfp)
{
	s64 next;

	down_read(&pf->restore->sem);
	next = restore_at(pf, run->index, run->index + run->nr, gfp);
	up_read(&pf->restore->sem);
	return next;
}

/**
 * preserve_file_restore_at - Make the folio of an index that is unrestored.
 * @pf:    The file.
 * @index: Page index.
 * @gfp:   For the memory that it takes: a node of the page cache, memcg charge.
 *
 * Context: Process context, may sleep; no folio of the file locked.
 * Return: 0: there is a folio in the page cache; -ENOENT: the index is a hole;
 *         -ENOMEM: it cannot be had now, and is as it was.
 */
int preserve_file_restore_at(struct preserve_file *pf, pgoff_t index, gfp_t gfp)
{
	pgoff_t end = index + 1;
	s64 next;

	down_read(&pf->restore->sem);
	if (index == READ_ONCE(pf->restore->next))
		end = round_up(end, AHEAD);
	next = restore_at(pf, index, end, gfp);
	if (next >= 0)
		WRITE_ONCE(pf->restore->next, end);
	up_read(&pf->restore->sem);
	preserve_file_end_if_complete(pf);
	return min(next, 0);
}

/* Context: restore->sem held. */
static int restore_range(struct preserve_file *pf, u64 index, u64 end,
			 gfp_t gfp)
{
	struct prmap_run run;
	s64 next;

	while (preserve_file_find(pf, index, end, &run)) {
		if (fatal_signal_pending(current) && !(gfp & __GFP_NOFAIL))
			return -EINTR;
		next = restore_at(pf, run.index, run.index + run.nr, gfp);
		if (next < 0 && next != -ENOENT)
			return next;
		/* What did not work at once is next, as the first folio. */
		index = next < 0 ? run.index + 1 : next;
		cond_resched();
	}
	return 0;
}

/**
 * preserve_file_restore_range - Make the folios of a range that are missing.
 * @pf:    The file.
 * @index: First page index.
 * @end:   Behind the last; ULONG_MAX for everything.
 * @gfp:   With __GFP_NOFAIL if there is no way without them.
 *
 * They are charged to the cgroup of the task that retrieved the file.
 *
 * Context: Process context, may sleep; no folio of the file locked.
 * Return: 0, -ENOMEM, or -EINTR.
 */
int preserve_file_restore_range(struct preserve_file *pf, pgoff_t index,
				pgoff_t end, gfp_t gfp)
{
	struct mem_cgroup *old;
	int err;

	if (!preserve_file_incomplete(pf))
		return 0;
	old = set_active_memcg(pf->restore->memcg);
	down_read(&pf->restore->sem);
	err = restore_range(pf, index, end, gfp);
	up_read(&pf->restore->sem);
	set_active_memcg(old);
	preserve_file_end_if_complete(pf);
	return err;
}

/**
 * preserve_file_restore_all - Make all folios of a file that are missing.
 * @pf:  The file.
 * @gfp: With __GFP_NOFAIL if there is no way without them.
 *
 * Context: As preserve_file_restore_range().
 * Return: The same.
 */
int preserve_file_restore_all(struct preserve_file *pf, gfp_t gfp)
{
	return preserve_file_restore_range(pf, 0, ULONG_MAX, gfp);
}

/*
 * Takes the next stretch of whole folios in [*index, @end) out of the map.
 * Returns its length, 0 at the end, or a negative errno. Context: restore->sem held
 * for writing: what is unrestored stays so.
 */
static long drop_next(struct preserve_file *pf, pgoff_t *index, pgoff_t end,
		      unsigned long *pfn)
{
	struct prmap_run run;
	int err;

	if (!preserve_file_find(pf, *index, end, &run))
		return 0;
	xa_lock_irq(&pf->mapping->i_pages);
	err = prmap_clear(&pf->map, run.index, run.nr);
	if (!err) {
		pf->changes++;
		if (run.index < pf->hi)
			preserve_unclaim(run.pfn, run.nr);
		preserve_file_restored(pf, run.nr);
		preserve_file_uncharge(pf, run.nr);
	}
	xa_unlock_irq(&pf->mapping->i_pages);
	if (err)
		return err;
	*index = run.index + run.nr;
	*pfn = run.pfn;
	return run.nr;
}

/* Context: restore->sem held for writing. */
static unsigned long drop(struct preserve_file *pf, pgoff_t index, pgoff_t end)
{
	unsigned long pfn, dropped = 0;
	long nr;

	while ((nr = drop_next(pf, &index, end, &pfn)) > 0) {
		/* Frames that may be another file's are better lost. */
		if (pf->map_state != PRESERVE_MAP_LOST)
			pf->ops->place->put(pfn, nr);
		dropped += nr;
		cond_resched();
	}
	/* A truncating task takes folios away next: so these have to be some. */
	if (nr < 0)
		restore_range(pf, index, end, GFP_KERNEL | __GFP_NOFAIL);
	return dropped;
}

/**
 * preserve_file_drop - Free the part of a range that is unrestored.
 * @pf:    The file.
 * @start: First page index of the range.
 * @end:   Its end, exclusive; ULONG_MAX for everything.
 *
 * Folios that are partly in the range are made, for the caller to handle.
 *
 * Context: Process context, may sleep; no folio of the file locked. The caller
 *          sees to it that nothing in the range is asked for afterwards.
 * Return: Pages freed.
 */
unsigned long preserve_file_drop(struct preserve_file *pf, pgoff_t start,
				 pgoff_t end)
{
	const gfp_t gfp = GFP_KERNEL | __GFP_NOFAIL;
	unsigned long dropped = 0;

	if (!preserve_file_incomplete(pf))
		return 0;
	down_write(&pf->restore->sem);
	if (start)
		restore_at(pf, start - 1, 0, gfp);
	if (end < ULONG_MAX)
		restore_at(pf, end, 0, gfp);
	if (start < end)
		dropped = drop(pf, start, end);
	up_write(&pf->restore->sem);
	preserve_file_end_if_complete(pf);
	return dropped;
}

/**
 * preserve_demand_begin - Let a file's folios be made when they are asked for.
 * @pf: The file, as for preserve_file_begin().
 *
 * Context: Process context; no other task uses the file's memory.
 */
void preserve_demand_begin(struct preserve_file *pf)
{
	u64 nr = prmap_nr_keys(&pf->map);

	preserve_note_retrieved();
	if (nr)
		pf->restore = restore_new(pf);
	guard(spinlock_irq)(&pf->mapping->i_pages.xa_lock);
	WRITE_ONCE(pf->map_state, PRESERVE_MAP_CURRENT);
	/* Under the lock under which the backend lets it go on again. */
	if (pf->ops->frozen && pf->ops->frozen(pf->mapping))
		WRITE_ONCE(pf->phase, PRESERVE_FROZEN);
	if (!nr)
		return;
	preserve_file_charge_crossed(pf, nr);
	atomic_long_add(nr, &preserve_nr_unrestored);
	/* From here on a worker may find it, and be done with it at once. */
	smp_store_release(&pf->nr_unrestored, nr);
}
