// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file map of a live file.
 *
 * The map follows the page cache: a backend reports each folio that comes and goes,
 * under the xa_lock of i_pages. So at preserve time nothing is collected: the runs of
 * the map are claimed, the map is committed, and the record points to it.
 *
 * Folios may still come while a file is preserved (a fault into a hole), so the
 * claimed part of the file is a window of page indices [lo, hi): preserve moves hi up
 * in steps, unpreserve moves lo up, and a folio inside the window is claimed as it
 * comes and unclaimed as it goes. The map's own pages follow the same rule, by the
 * flag "map_claimed".
 *
 * Updating the map can fail, when the pool has no page left to split a run with. The
 * page cache must not fail for that, so the map turns stale instead and preserve (or,
 * for a file that is preserved already, freeze) rebuilds it.
 *
 * A map takes a page. Files of which there may be many have none, and no struct
 * preserve_file, until they have more than %PRESERVE_SMALL_PAGES pages. Compaction leaves
 * them alone.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/xarray.h>

#include "file.h"

/* Runs, and blocks that they lie in, handled before the lock is let go. */
#define BATCH		64
#define BATCH_FRAMES	(BATCH * (u64)pageblock_nr_pages)

/* Pages of a map, claimed or summed up before the lock is let go. */
#define BATCH_PAGES	64

/* Runs that are copied with interrupts off, to be handed to a function that may sleep. */
#define COPY_RUNS	16

/* Folios that a map is made of with interrupts off, when a file begins to have one. */
#define FILL_FOLIOS	256

/* Walks over a map that keeps changing. */
#define WALK_TRIES	8

/* In page->private of a page of a map that is claimed. */
#define MAP_CLAIMED	0x4d43UL

/**
 * preserve_file_incomplete - Has the file memory that no folio stands for yet?
 * @pf: The file.
 *
 * Context: Any. It only becomes complete, never incomplete.
 * Return: True if it has.
 */
bool preserve_file_incomplete(const struct preserve_file *pf)
{
	/*
	 * Pairs with preserve_file_restored(): a reader of 0 sees every folio that came;
	 * and with preserve_demand_begin(): any other sees @restore.
	 */
	return smp_load_acquire(&pf->nr_unrestored);
}

/**
 * preserve_file_frozen - Does a file's memory stand still for the next kernel?
 * @pf: The file.
 *
 * Context: Any; lasting with the xa_lock of i_pages held.
 * Return: True if no folio may come.
 */
bool preserve_file_frozen(const struct preserve_file *pf)
{
	return READ_ONCE(pf->phase) == PRESERVE_FROZEN;
}

static unsigned long page_pfn(void *page)
{
	return PHYS_PFN(virt_to_phys(page));
}

/* Pages that are kept for a file that is incomplete. */
static void *spare_take(struct preserve_restore *restore)
{
	void *page = NULL;
	unsigned int i;

	for (i = 0; restore && !page && i < ARRAY_SIZE(restore->spare); i++)
		page = xchg(&restore->spare[i], NULL);
	return page;
}

static bool spare_keep(struct preserve_restore *restore, void *page)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(restore->spare); i++)
		if (!cmpxchg(&restore->spare[i], NULL, page))
			return true;
	return false;
}

/*
 * Claims a page of a map, once. What the map has is the file's own; a damaged image of a tree may
 * have claimed it as well. Context: xa_lock of i_pages held.
 */
static int map_page_claim(struct preserve_file *pf, void *page)
{
	if (virt_to_page(page)->private == MAP_CLAIMED)
		return 0;
	if (preserve_claim(page_pfn(page), 1))
		return -EBUSY;
	virt_to_page(page)->private = MAP_CLAIMED;
	pf->nr_map_claimed++;
	return 0;
}

/* Context: xa_lock of i_pages held, or no other task uses the map. */
static void map_page_unclaim(struct preserve_file *pf, void *page)
{
	if (virt_to_page(page)->private != MAP_CLAIMED)
		return;
	virt_to_page(page)->private = 0;
	pf->nr_map_claimed--;
	preserve_unclaim(page_pfn(page), 1);
}

static void *file_page_get(void *ctx)
{
	struct preserve_file *pf = ctx;
	void *page = preserve_map_page_get() ?: spare_take(pf->restore);

	if (page && pf->map_claimed)
		map_page_claim(pf, page);
	return page;
}

static void file_page_put(void *ctx, void *page)
{
	struct preserve_file *pf = ctx;

	map_page_unclaim(pf, page);
	if (!preserve_file_incomplete(pf) || !spare_keep(pf->restore, page))
		preserve_page_put(page);
}

static const struct prmap_ops file_map_ops = {
	.page_get = file_page_get,
	.page_put = file_page_put,
};

/**
 * preserve_file_map_init - Make an empty file map.
 * @pf:  The file that it is for.
 * @map: The map.
 *
 * Context: Any.
 */
void preserve_file_map_init(struct preserve_file *pf, struct prmap *map)
{
	prmap_init(map, PRMAP_FILE, &file_map_ops, pf);
}

static struct prmap_run folio_run(const struct folio *folio)
{
	return (struct prmap_run) {
		.index = folio->index,
		.pfn = folio_pfn(folio),
		.nr = folio_nr_pages(folio),
		.order = folio_order(folio),
	};
}

static bool in_window(const struct preserve_file *pf, u64 index)
{
	return index >= pf->lo && index < pf->hi;
}

/* What the map has is still the file's own, but it is not all. */
static void file_map_failed(struct preserve_file *pf)
{
	if (pf->map_state == PRESERVE_MAP_CURRENT)
		WRITE_ONCE(pf->map_state, PRESERVE_MAP_STALE);
	pf->changes++;
}

/* The same; if the file is incomplete, the map was the only one to know. */
static void file_map_lost(struct preserve_file *pf)
{
	file_map_failed(pf);
	if (preserve_file_incomplete(pf))
		WRITE_ONCE(pf->map_state, PRESERVE_MAP_LOST);
}

/* Behind the folio before @index, by the page cache: no lock is taken. 0 if none is there. */
static unsigned long cache_goal(struct address_space *mapping, pgoff_t index)
{
	const struct folio *folio;

	guard(rcu)();
	folio = xa_load(&mapping->i_pages, index - 1);
	/* It may go at any time: then this is a bad guess, no more. */
	if (!folio || xa_is_value(folio))
		return 0;
	return folio_pfn(folio) + (index - READ_ONCE(folio->index));
}

/* The same by the map, which also has what is unrestored. */
static unsigned long map_goal(struct preserve_file *pf, pgoff_t index)
{
	struct prmap_run run;

	guard(spinlock_irq)(&pf->mapping->i_pages.xa_lock);
	if (!prmap_nr_keys(&pf->map) && xa_empty(&pf->mapping->i_pages))
		return PRESERVE_GOAL_NEW;
	if (!index || pf->map_state != PRESERVE_MAP_CURRENT ||
	    prmap_lookup(&pf->map, index - 1, &run))
		return 0;
	return run.pfn + (index - run.index);
}

/**
 * preserve_goal - The pfn that would continue the run before @index.
 * @mapping: The file's.
 * @index:   Page index.
 *
 * Context: Any, but not with the xa_lock of i_pages held.
 * Return: A goal for struct preserve_request; if a pfn, it need not be free.
 */
unsigned long preserve_goal(struct address_space *mapping, pgoff_t index)
{
	struct preserve_file *pf = preserve_file_of(mapping);
	unsigned long goal = index ? cache_goal(mapping, index) : 0;

	/* Room to grow for each of many small files would be most of the pool. */
	if (goal || !pf)
		return goal;
	if (!preserve_file_incomplete(pf) && !xa_empty(&mapping->i_pages))
		return 0;
	return map_goal(pf, index);
}

/* Puts all of a small page cache into the map; false if that cannot be had at once. */
static bool map_fill(struct preserve_file *pf)
{
	unsigned long index, nr = 0;
	struct folio *folio;

	xa_for_each(&pf->mapping->i_pages, index, folio) {
		struct prmap_run run;

		/* What is left out is found by preserve. */
		if (xa_is_value(folio) || ++nr > FILL_FOLIOS)
			return false;
		run = folio_run(folio);
		if (prmap_set(&pf->map, &run))
			return false;
	}
	return true;
}

/**
 * preserve_file_follow - Begin to keep a file's map.
 * @pf: The file; its memory is the pool's, and its page cache has not much yet.
 *
 * Not for one that stands still for the next kernel.
 *
 * Context: Process context.
 */
void preserve_file_follow(struct preserve_file *pf)
{
	guard(spinlock_irq)(&pf->mapping->i_pages.xa_lock);
	/* Its runs may be noted by the page cache: compaction has to leave it alone. */
	if (pf->ops->frozen && pf->ops->frozen(pf->mapping))
		return;
	if (pf->map_state == PRESERVE_MAP_NONE)
		WRITE_ONCE(pf->map_state, map_fill(pf) ? PRESERVE_MAP_CURRENT :
							 PRESERVE_MAP_STALE);
}

/**
 * preserve_file_add - A folio has come into the page cache.
 * @pf:    The file.
 * @folio: The folio; its index is set.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 */
void preserve_file_add(struct preserve_file *pf, struct folio *folio)
{
	const struct prmap_run run = folio_run(folio);

	if (pf->map_state != PRESERVE_MAP_CURRENT ||
	    pf->phase == PRESERVE_FROZEN ||
	    (pf->plain && !pf->in_place && !pf->ops->place->has(folio)) ||
	    prmap_set(&pf->map, &run)) {
		file_map_failed(pf);
		return;
	}
	if (in_window(pf, run.index))
		preserve_claim(run.pfn, run.nr);
}

/*
 * The folio at @index has been split since it came: notes its part of the map
 * again as folios of @order.
 */
static int map_recut(struct preserve_file *pf, pgoff_t index, u8 order)
{
	struct prmap_run run, part;
	int err;

	if (prmap_lookup(&pf->map, index, &run) || run.order <= order)
		return -EINVAL;
	part.index = round_down(index, 1ULL << run.order);
	part.pfn = run.pfn + (part.index - run.index);
	part.nr = 1ULL << run.order;
	part.order = order;
	part.flags = 0;
	err = prmap_clear(&pf->map, part.index, part.nr);
	return err ?: prmap_set(&pf->map, &part);
}

/**
 * preserve_file_del - A folio leaves the page cache.
 * @pf:    The file.
 * @folio: The folio, or a part of one that was split; its index is still set.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 */
void preserve_file_del(struct preserve_file *pf, struct folio *folio)
{
	unsigned long nr = folio_nr_pages(folio);
	pgoff_t index = folio->index;
	int err;

	if (pf->phase == PRESERVE_FROZEN) {
		file_map_lost(pf);
		return;
	}
	/* Also while the map is stale: what it holds must be the file's own. */
	pf->changes++;
	err = prmap_clear(&pf->map, index, nr);
	if (err == -EINVAL) {
		err = map_recut(pf, index, folio_order(folio));
		if (!err)
			err = prmap_clear(&pf->map, index, nr);
	}
	if (err)
		/* Claims that the map still names are undone with it. */
		file_map_lost(pf);
	else if (in_window(pf, index))
		preserve_unclaim(folio_pfn(folio), nr);
}

/**
 * preserve_file_detach - Follow the page cache no more.
 * @pf:  A file that is not preserved.
 * @old: Set to its map, which the caller gives to prmap_destroy(): without the lock, as
 *       it may be large.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 */
void preserve_file_detach(struct preserve_file *pf, struct prmap *old)
{
	*old = pf->map;
	preserve_file_map_init(pf, &pf->map);
	if (pf->map_state != PRESERVE_MAP_LOST)
		WRITE_ONCE(pf->map_state, PRESERVE_MAP_NONE);
}

/**
 * preserve_file_map_destroy - Give a file's map back, and follow the page cache no more.
 * @pf: A file that is not preserved.
 *
 * Context: Process context.
 */
void preserve_file_map_destroy(struct preserve_file *pf)
{
	struct prmap old;

	xa_lock_irq(&pf->mapping->i_pages);
	preserve_file_detach(pf, &old);
	xa_unlock_irq(&pf->mapping->i_pages);
	prmap_destroy(&old);
}

/*
 * The next part of the window, which is to be claimed or unclaimed: a run, or a part of
 * one. False if there is none up to @end. Context: xa_lock of i_pages held.
 */
static bool window_next(struct preserve_file *pf, u64 edge, u64 end,
			struct prmap_run *run)
{
	if (!prmap_next(&pf->map, edge, run) || run->index >= end)
		return false;
	run->nr = min3(run->nr, end - run->index, BATCH_FRAMES);
	return true;
}

/*
 * Moves one edge of the window up to @end, claiming or unclaiming the runs it
 * passes. Stops at the first error.
 */
static int window_move(struct preserve_file *pf, u64 *edge, u64 end,
		       int (*pass)(unsigned long pfn, unsigned long nr))
{
	struct prmap_run run;
	unsigned long nr;
	int err = 0;

	while (!err && *edge < end) {
		xa_lock_irq(&pf->mapping->i_pages);
		/* What it names may be another's by now: see file_commit() in file.c. */
		if (pf->map_state != PRESERVE_MAP_CURRENT && edge == &pf->hi)
			end = *edge;
		for (nr = 0; nr < BATCH && *edge < end;
		     nr += 1 + (run.nr >> pageblock_order)) {
			if (!window_next(pf, *edge, end, &run)) {
				*edge = end;
				break;
			}
			err = pass(run.pfn, run.nr);
			if (err)
				break;
			*edge = run.index + run.nr;
		}
		xa_unlock_irq(&pf->mapping->i_pages);
		cond_resched();
	}
	return err;
}

/* What the map names is the file's own. A damaged image of a tree may have claimed it as well. */
static int map_claim_run(unsigned long pfn, unsigned long nr)
{
	return preserve_claim(pfn, nr) ? -EBUSY : 0;
}

static int map_unclaim_run(unsigned long pfn, unsigned long nr)
{
	preserve_unclaim(pfn, nr);
	return 0;
}

static int claim_map_page(void *pf, u64 phys)
{
	return map_page_claim(pf, phys_to_virt(phys));
}

static int unclaim_map_page(void *pf, u64 phys)
{
	map_page_unclaim(pf, phys_to_virt(phys));
	return 0;
}

/*
 * Claims each page of the map as it comes from now on, or none. What the map has already
 * is for map_walk().
 */
static void map_set_claimed(struct preserve_file *pf, bool claimed)
{
	xa_lock_irq(&pf->mapping->i_pages);
	pf->map_claimed = claimed;
	xa_unlock_irq(&pf->mapping->i_pages);
}

/*
 * Visits the map's pages, a batch of them at a time. Returns whether all are as @fn makes
 * them: some are missed if the map changes in between.
 */
static bool map_walk(struct preserve_file *pf, u32 batch,
		     int (*fn)(void *pf, u64 phys), int *err)
{
	u64 from = 0;
	bool all;

	do {
		xa_lock_irq(&pf->mapping->i_pages);
		*err = prmap_walk_some(&pf->map, &from, batch, fn, pf);
		all = pf->nr_map_claimed == (pf->map_claimed ?
					     prmap_nr_pages(&pf->map) : 0);
		xa_unlock_irq(&pf->mapping->i_pages);
		cond_resched();
	} while (!*err && from != U64_MAX);
	return all;
}

/* The same until all are; the last time in one go. */
static int map_walk_all(struct preserve_file *pf,
			int (*fn)(void *pf, u64 phys))
{
	int tries, err;

	for (tries = 0; tries < WALK_TRIES; tries++)
		if (map_walk(pf, BATCH_PAGES, fn, &err) || err)
			return err;
	map_walk(pf, U32_MAX, fn, &err);
	return err;
}

static void map_unclaim(struct preserve_file *pf)
{
	map_set_claimed(pf, false);
	map_walk_all(pf, unclaim_map_page);
}

/* On error no page is claimed. */
static int map_claim(struct preserve_file *pf)
{
	int err;

	map_set_claimed(pf, true);
	err = map_walk_all(pf, claim_map_page);
	if (err)
		map_unclaim(pf);
	return err;
}

/**
 * preserve_file_map_unclaim - Undo preserve_file_map_claim(), also a part of it.
 * @pf: The file.
 *
 * Context: Process context.
 */
void preserve_file_map_unclaim(struct preserve_file *pf)
{
	if (pf->ops->place->unclaim)
		pf->ops->place->unclaim(pf);
	else
		window_move(pf, &pf->lo, pf->hi, map_unclaim_run);
	map_unclaim(pf);
	xa_lock_irq(&pf->mapping->i_pages);
	pf->lo = 0;
	pf->hi = 0;
	xa_unlock_irq(&pf->mapping->i_pages);
}

/**
 * preserve_file_map_claim - Claim a file's map, and what is in it.
 * @pf: The file; its map is up to date and not claimed.
 *
 * Context: Process context.
 * Return: 0; -EBUSY if something else has claimed a part of it. On error nothing stays
 *         claimed.
 */
int preserve_file_map_claim(struct preserve_file *pf)
{
	int err = map_claim(pf);

	if (!err && pf->ops->place->claim)
		err = pf->ops->place->claim(pf);
	else if (!err)
		err = window_move(pf, &pf->hi, U64_MAX, map_claim_run);
	if (err)
		preserve_file_map_unclaim(pf);
	return err;
}

/* Fills @map from the page cache. The file may change meanwhile. */
static int map_collect(struct preserve_file *pf, struct prmap *map)
{
	XA_STATE(xas, &pf->mapping->i_pages, 0);
	struct folio *folio;
	int err = 0, nr = 0;

	xas_lock_irq(&xas);
	xas_for_each(&xas, folio, ULONG_MAX) {
		struct prmap_run run;

		if (xas_retry(&xas, folio))
			continue;
		/* Swapped out at the last moment, or not moved in. */
		if (xa_is_value(folio) || !pf->ops->place->has(folio)) {
			err = -EBUSY;
			break;
		}
		run = folio_run(folio);
		err = prmap_set(map, &run);
		if (err)
			break;
		if (++nr % XA_CHECK_SCHED)
			continue;
		xas_pause(&xas);
		xas_unlock_irq(&xas);
		cond_resched();
		xas_lock_irq(&xas);
	}
	xas_unlock_irq(&xas);
	return err;
}

/* Replaces the map by @fresh, which has all that was there @changes ago; then has the old. */
static int map_replace(struct preserve_file *pf, struct prmap *fresh, u32 changes)
{
	guard(spinlock_irq)(&pf->mapping->i_pages.xa_lock);
	if (pf->map_state == PRESERVE_MAP_LOST)
		return -EIO;
	if (pf->changes != changes)
		return -EAGAIN;
	swap(pf->map, *fresh);
	WRITE_ONCE(pf->map_state, PRESERVE_MAP_CURRENT);
	return 0;
}

/**
 * preserve_file_map_rebuild - Replace a stale map by one made from the page cache.
 * @pf: The file, complete; the window is empty and the map's pages are not claimed.
 *
 * Context: Process context.
 * Return: 0; -ENOMEM if the pool has no page for it; -EBUSY if the file keeps changing,
 *         or has something outside of the pool; -EIO for a map that is lost.
 */
int preserve_file_map_rebuild(struct preserve_file *pf)
{
	struct prmap fresh;
	int tries, err;
	u32 changes;

	for (tries = 0; tries < PRESERVE_REBUILD_TRIES; tries++) {
		changes = READ_ONCE(pf->changes);
		preserve_file_map_init(pf, &fresh);
		err = map_collect(pf, &fresh) ?: map_replace(pf, &fresh, changes);
		prmap_destroy(&fresh);
		if (!err) {
			atomic_long_inc(&preserve_nr_rebuilt);
			return 0;
		}
		if (err != -EAGAIN && READ_ONCE(pf->changes) == changes)
			return err;
	}
	return -EBUSY;
}

/**
 * preserve_map_run_for_each - Go through the runs of a file's map.
 * @pf:  The file; its map stays as it is.
 * @fn:  Called for each, in order, until it returns an error; may sleep.
 * @ctx: For @fn.
 *
 * Context: Process context.
 * Return: 0, or the error of @fn.
 */
int preserve_map_run_for_each(struct preserve_file *pf, preserve_run_fn *fn, void *ctx)
{
	struct prmap_run runs[COPY_RUNS];
	int i, nr, err = 0;
	u64 index = 0;

	do {
		xa_lock_irq(&pf->mapping->i_pages);
		for (nr = 0; nr < COPY_RUNS; nr++) {
			if (!prmap_next(&pf->map, index, &runs[nr]))
				break;
			index = runs[nr].index + runs[nr].nr;
		}
		xa_unlock_irq(&pf->mapping->i_pages);
		for (i = 0; i < nr && !err; i++)
			err = fn(ctx, &runs[i]);
		cond_resched();
	} while (nr == COPY_RUNS && !err);
	return err;
}

/**
 * preserve_file_has - Has a file memory for all of a range, by its map?
 * @pf:    The file; its map is kept.
 * @index: First page index.
 * @end:   Behind the last.
 *
 * Context: Any, but not with the xa_lock of i_pages held.
 * Return: False if there is a hole.
 */
bool preserve_file_has(struct preserve_file *pf, u64 index, u64 end)
{
	struct prmap_run run;
	bool hole = false;
	int nr;

	while (index < end && !hole) {
		guard(spinlock_irq)(&pf->mapping->i_pages.xa_lock);
		for (nr = 0; nr < BATCH && index < end && !hole; nr++) {
			hole = prmap_lookup(&pf->map, index, &run);
			if (!hole)
				index = run.index + run.nr;
		}
	}
	return !hole;
}

/* The next folio of a page cache from *index on, as a run. 0 if there is none. */
static int cache_next(struct address_space *mapping, pgoff_t *index,
		      struct prmap_run *run)
{
	XA_STATE(xas, &mapping->i_pages, *index);
	struct folio *folio;

	guard(rcu)();
	do {
		folio = xas_find(&xas, ULONG_MAX);
	} while (xas_retry(&xas, folio));
	if (!folio)
		return 0;
	if (xa_is_value(folio) || !preserve_pool_block(&folio->page))
		return -EBUSY;
	*run = folio_run(folio);
	*index = run->index + run->nr;
	return 1;
}

/* From the page cache. Context: it stays as it is. Neighbours are given as one. */
static int cache_run_for_each(struct address_space *mapping, preserve_run_fn *fn,
			      void *ctx)
{
	struct prmap_run last = {}, run;
	pgoff_t index = 0;
	int more, err = 0;

	while (!err && (more = cache_next(mapping, &index, &run)) > 0) {
		if (last.nr && run.index == last.index + last.nr &&
		    run.pfn == last.pfn + last.nr && run.order == last.order) {
			last.nr += run.nr;
		} else {
			err = last.nr ? fn(ctx, &last) : 0;
			last = run;
		}
		cond_resched();
	}
	if (!err && last.nr)
		err = fn(ctx, &last);
	return err ?: more;
}

/**
 * preserve_run_for_each - Go through a file's memory.
 * @mapping: The file's. Its memory is the pool's, and none comes or goes meanwhile.
 * @fn:      Called for each run, in order, until it returns an error; may sleep.
 * @ctx:     For @fn.
 *
 * By the file's map if that is frozen, otherwise by its page cache.
 *
 * Context: Process context.
 * Return: 0; -EBUSY if a page is not in the pool; or the error of @fn.
 */
int preserve_run_for_each(struct address_space *mapping, preserve_run_fn *fn,
			  void *ctx)
{
	struct preserve_file *pf = preserve_file_of(mapping);

	return pf && preserve_file_frozen(pf) ?
	       preserve_map_run_for_each(pf, fn, ctx) :
	       cache_run_for_each(mapping, fn, ctx);
}

/* Is the map claimed and up to date? If so it stays as it is when this is @final. */
static bool map_hold(struct preserve_file *pf, bool final)
{
	bool good;

	xa_lock_irq(&pf->mapping->i_pages);
	good = pf->map_claimed && pf->map_state == PRESERVE_MAP_CURRENT &&
	       pf->nr_map_claimed == prmap_nr_pages(&pf->map);
	if (good)
		WRITE_ONCE(pf->phase, final ? PRESERVE_FROZEN : PRESERVE_CLAIMED);
	xa_unlock_irq(&pf->mapping->i_pages);
	return good;
}

/*
 * Seals the map. One that may still change is given up on after as many batches as it has
 * pages: its root is made when it is committed for good.
 */
static void map_sum(struct preserve_file *pf, bool final)
{
	u32 batches = prmap_nr_pages(&pf->map) / BATCH_PAGES + 2;
	bool done;

	do {
		xa_lock_irq(&pf->mapping->i_pages);
		done = prmap_commit_some(&pf->map, BATCH_PAGES);
		if (done)
			prmap_commit(&pf->map, &pf->record->map);
		xa_unlock_irq(&pf->mapping->i_pages);
		cond_resched();
	} while (!done && (final || --batches));
}

/**
 * preserve_file_map_commit - Seal a map that is claimed and up to date.
 * @pf:    The file.
 * @final: It stays as it is from now on.
 *
 * Context: Process context.
 * Return: False if it is not claimed, or not up to date: nothing is changed.
 */
bool preserve_file_map_commit(struct preserve_file *pf, bool final)
{
	bool good = map_hold(pf, final);

	if (good)
		map_sum(pf, final);
	return good;
}

/**
 * preserve_file_adopt - Make a handed-over map the map of a new file.
 * @pf:  The file, its map empty.
 * @map: From preserve_record_take(). Its pages belong to @pf afterwards.
 *
 * Context: No other task uses the file; but a walk over all files may look at it.
 */
void preserve_file_adopt(struct preserve_file *pf, struct prmap *map)
{
	struct prmap old;

	xa_lock_irq(&pf->mapping->i_pages);
	old = pf->map;
	pf->map = *map;
	pf->map.ops = &file_map_ops;
	pf->map.ctx = pf;
	xa_unlock_irq(&pf->mapping->i_pages);
	prmap_destroy(&old);
}
