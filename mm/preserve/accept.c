// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accepting a handed-over record; its folios are made later (demand.c).
 *
 * Acceptance is one decision: the record's bytes are checked, then its file map
 * as a whole, with every frame and every map page required to be live and
 * untaken, and then all of them are taken. A record that fails is refused with one
 * message; its frames stay set aside, untouched, until the next kexec, so that a
 * mistake in the check loses nothing.
 *
 * An accepted record's map becomes the new file's map as it is.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/io.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>

#include <trace/events/preserve.h>

#include "file.h"

/* Runs of a file map that are looked at together. */
#define BATCH	24

/* Stretches of memory that are noted while a map is checked. */
#define STRETCHES	32

/**
 * struct stretches - What the check of a map has seen of memory.
 * @place: Where it has to be.
 * @nr:   Stretches; more than %STRETCHES if not all are here.
 * @pfn:  First frame of each.
 * @end:  Behind its last.
 */
struct stretches {
	const struct preserve_place *place;
	unsigned int nr;
	u64 pfn[STRETCHES];
	u64 end[STRETCHES];
};

/* Where the memory of a record's file is. */
static const struct preserve_place *place_of(u32 kind)
{
	return IS_ENABLED(CONFIG_PRESERVE_HUGETLB) && kind == PRESERVE_FILE_HUGETLB ?
	       &preserve_huge_place : &preserve_pool_place;
}

/* Are these frames live and not taken? Notes them. */
static bool frames_untaken(void *ctx, u64 pfn, u64 nr)
{
	struct stretches *seen = ctx;

	if (!seen->place->untaken(pfn, nr))
		return false;
	if (seen->nr < STRETCHES) {
		seen->pfn[seen->nr] = pfn;
		seen->end[seen->nr] = pfn + nr;
	}
	seen->nr = min(seen->nr, STRETCHES) + 1;
	return true;
}

static bool page_untaken(void *ctx, u64 phys)
{
	return PAGE_ALIGNED(phys) && preserve_untaken(PHYS_PFN(phys), 1);
}

/* Takes a run of frames, or undoes it. What it is called for comes in one order. */
typedef int frames_fn(const struct preserve_place *place, u64 *taken, unsigned long pfn,
		      unsigned long nr);

static int seen_for_each(const struct stretches *seen, frames_fn *fn, u64 *taken)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < seen->nr && !err; i++)
		err = fn(seen->place, taken, seen->pfn[i], seen->end[i] - seen->pfn[i]);
	return err;
}

/*
 * Calls @fn for the frames that belong to the record. Runs whose frames are next
 * to each other count as one, wherever they are in the file.
 */
static int record_for_each(u64 phys, const struct prmap *map,
			   const struct stretches *seen, frames_fn *fn,
			   u64 *taken)
{
	int err = fn(&preserve_pool_place, taken, PHYS_PFN(phys), 1);
	struct prmap_run runs[BATCH];
	u64 pfn = 0, nr_frames = 0;
	struct prmap_iter it;
	size_t i, nr;

	if (err)
		return err;
	if (seen->nr <= STRETCHES)
		return seen_for_each(seen, fn, taken);

	prmap_iter_init(&it, map, 0);
	do {
		nr = prmap_iter_read(&it, runs, BATCH);
		for (i = 0; i < nr && !err; i++) {
			if (runs[i].pfn == pfn + nr_frames) {
				nr_frames += runs[i].nr;
				continue;
			}
			if (nr_frames)
				err = fn(seen->place, taken, pfn, nr_frames);
			pfn = runs[i].pfn;
			nr_frames = runs[i].nr;
		}
		cond_resched();
	} while (nr == BATCH && !err);
	if (!err && nr_frames)
		err = fn(seen->place, taken, pfn, nr_frames);
	return err;
}

static int take_run(const struct preserve_place *place, u64 *taken, unsigned long pfn,
		    unsigned long nr)
{
	if (!place->take(pfn, nr))
		return -EBADMSG;
	++*taken;
	return 0;
}

static int take_page(void *taken, u64 phys)
{
	return take_run(&preserve_pool_place, taken, PHYS_PFN(phys), 1);
}

static int untake_run(const struct preserve_place *place, u64 *taken, unsigned long pfn,
		      unsigned long nr)
{
	if (!*taken)
		return -ENOENT;
	--*taken;
	place->untake(pfn, nr);
	return 0;
}

static int untake_page(void *taken, u64 phys)
{
	return untake_run(&preserve_pool_place, taken, PHYS_PFN(phys), 1);
}

/* Takes the frames that a record says are its own, all or none. */
static int record_take_frames(u64 phys, const struct prmap *map,
			      const struct stretches *seen,
			      const char **reason)
{
	u64 runs = 0, pages = 0;

	/*
	 * The open checked that the map's pages are live and visited once; only one
	 * that is data as well can be missing now.
	 */
	if (!record_for_each(phys, map, seen, take_run, &runs) &&
	    !prmap_walk_pages(map, take_page, &pages))
		return 0;
	record_for_each(phys, map, seen, untake_run, &runs);
	prmap_walk_pages(map, untake_page, &pages);
	*reason = "frame with two owners";
	return -EBADMSG;
}

static int unclaim_run(const struct preserve_place *place, u64 *unused, unsigned long pfn,
		       unsigned long nr)
{
	/* The image of a tree claims what is in the pool only. */
	if (place == &preserve_pool_place)
		preserve_unclaim(pfn, nr);
	return 0;
}

static int unclaim_page(void *unused, u64 phys)
{
	preserve_unclaim(PHYS_PFN(phys), 1);
	return 0;
}

static bool any_claimed(void)
{
	int nid;

	for_each_online_node(nid)
		if (READ_ONCE(preserve_nodes[nid].nr_claimed))
			return true;
	return false;
}

/*
 * What is claimed of frames that are the record's own is so by the image of a damaged tree,
 * which names them as well: see preserve_run_claim(). Only of a record that is accepted: one
 * that is refused costs no other its claims.
 */
static void record_disown_others(u64 phys, const struct prmap *map,
				 const struct stretches *seen)
{
	if (!any_claimed())
		return;
	record_for_each(phys, map, seen, unclaim_run, NULL);
	prmap_walk_pages(map, unclaim_page, NULL);
}

/* Pages without holes, as many as the bytes need: no length is more than there is memory. */
static bool stream_whole(const struct prmap *map, u64 length)
{
	u64 nr = prmap_nr_keys(map);

	return nr == DIV_ROUND_UP_ULL(length, PAGE_SIZE) && prmap_test_range(map, 0, nr);
}

static int record_accept(u64 phys, struct preserve_file_ser *rec, u32 kind,
			 struct prmap *map, const char **reason)
{
	struct stretches seen = { .place = place_of(kind) };
	const struct prmap_limits lim = {
		.max_index = MAX_LFS_FILESIZE >> PAGE_SHIFT,
		.min_pfn = 1,
		.max_pfn = max_pfn - 1,
		.max_order = seen.place->max_order,
		.pfn_ok = frames_untaken,
		.page_ok = page_untaken,
		.ctx = &seen,
	};
	int err;

	err = preserve_record_check(rec, kind, reason);
	if (err)
		return err;
	err = prmap_open(map, &rec->map, PRMAP_FILE, &preserve_pool_map_ops,
			 NULL, &lim, reason);
	if (err)
		return err;
	if (kind == PRESERVE_FILE_TREE && !stream_whole(map, rec->i_size)) {
		*reason = "a stream has holes, or another length";
		return -EBADMSG;
	}
	err = record_take_frames(phys, map, &seen, reason);
	if (!err)
		record_disown_others(phys, map, &seen);
	return err;
}

/**
 * preserve_retrieve_again - Can a retrieve that failed be tried again?
 * @err: Its error.
 *
 * Context: Any.
 * Return: True if it is about the task that tried, or the moment. What is about the
 *         handed-over state, or this kernel, is final.
 */
bool preserve_retrieve_again(int err)
{
	switch (err) {
	case -ENOMEM:
	case -ENOSPC:
	case -EDQUOT:
	case -ENFILE:
	case -EMFILE:
	case -EPERM:
	case -EACCES:
	case -EBUSY:
	case -EAGAIN:
	case -EINTR:
	case -ENODEV:
		return true;
	default:
		return false;
	}
}

/**
 * preserve_record_take - Accept a handed-over record.
 * @phys: LUO's data handle: the record's physical address, not trusted.
 * @kind: PRESERVE_FILE_*.
 * @map:  On success, the file map; its pages belong to the caller.
 *
 * Context: Process context.
 * Return: The record, to be freed with preserve_record_free(); ERR_PTR(-EBADMSG)
 *         or ERR_PTR(-EPROTO) for a record that is refused, with a message that
 *         says why.
 */
struct preserve_file_ser *preserve_record_take(u64 phys, u32 kind,
					       struct prmap *map)
{
	const char *reason = "not a live page of the pool";
	struct preserve_file_ser *rec;
	int err = -EBADMSG;

	if (!page_untaken(NULL, phys))
		goto refuse;
	rec = phys_to_virt(phys);
	err = record_accept(phys, rec, kind, map, &reason);
	if (err)
		goto refuse;
	return rec;

refuse:
	preserve_note_refused();
	trace_preserve_restore(phys, 0, 0, err);
	pr_err_ratelimited("record at %#llx refused: %s (%pe); its memory stays set aside until the next kexec\n",
			   phys, reason, ERR_PTR(err));
	return ERR_PTR(err);
}

/**
 * preserve_record_untake - Undo preserve_record_take(): it can be taken again.
 * @rec: The record.
 * @map: Its file map, as it was given.
 *
 * Context: Process context.
 */
void preserve_record_untake(struct preserve_file_ser *rec, struct prmap *map)
{
	/* A page of the map is not read again once it is untaken. */
	const struct stretches unknown = {
		.place = place_of(rec->kind), .nr = STRETCHES + 1,
	};
	u64 runs = U64_MAX, pages = U64_MAX;

	record_for_each(virt_to_phys(rec), map, &unknown, untake_run, &runs);
	prmap_walk_pages(map, untake_page, &pages);
}

/**
 * preserve_record_failed - A backend makes no file of a record.
 * @rec: From preserve_record_take(); as it was, if it can be tried again.
 * @map: The same.
 * @err: Why.
 *
 * Context: Process context.
 */
void preserve_record_failed(struct preserve_file_ser *rec, struct prmap *map, int err)
{
	const bool again = preserve_retrieve_again(err);

	pr_err_ratelimited("%s is not retrieved (%pe)%s\n", rec->name, ERR_PTR(err),
			   again ? "; it can be tried again" : "");
	if (!again)
		preserve_note_refused();
	preserve_record_untake(rec, map);
}

/**
 * preserve_record_free - Give an accepted record's page back to the pool.
 * @rec: From preserve_record_take().
 */
void preserve_record_free(struct preserve_file_ser *rec)
{
	preserve_frames_put(PHYS_PFN(virt_to_phys(rec)), 1);
}

/* Frees all frames of @map. */
static void map_put_frames(struct prmap *map, const struct preserve_place *place)
{
	struct prmap_run run;
	u64 index = 0;

	while (prmap_next(map, index, &run)) {
		place->put(run.pfn, run.nr);
		index = run.index + run.nr;
		cond_resched();
	}
}

static int page_to_refcounted(void *ctx, u64 phys)
{
	preserve_frames_to_folio(PHYS_PFN(phys), 0);
	return 0;
}

/**
 * preserve_map_release - Free an accepted map and all that it points to.
 * @map:  From preserve_record_take().
 * @kind: That of its record.
 */
void preserve_map_release(struct prmap *map, u32 kind)
{
	map_put_frames(map, place_of(kind));
	prmap_walk_pages(map, page_to_refcounted, NULL);
	prmap_destroy(map);
}

/**
 * preserve_file_restore - Make an accepted map the map of a new file.
 * @pf:     The file's, fresh.
 * @map:    From preserve_record_take(); belongs to @pf afterwards.
 *
 * No folio is made: preserve_file_begin() is next.
 *
 * Context: Process context; no other task knows the file.
 * Return: Pages that it has.
 */
u64 preserve_file_restore(struct preserve_file *pf, struct prmap *map)
{
	prmap_walk_pages(map, page_to_refcounted, NULL);
	preserve_file_adopt(pf, map);
	trace_preserve_restore(0, prmap_nr_keys(&pf->map),
			       prmap_nr_runs(&pf->map), 0);
	return prmap_nr_keys(&pf->map);
}

/* Takes a run's frames and puts it into the map, or neither. */
static int file_take_run(struct preserve_file *pf, const struct prmap_run *run)
{
	const struct preserve_place *place = pf->ops->place;
	int err;

	if (run->order > place->max_order || !place->take(run->pfn, run->nr))
		return -EIO;
	xa_lock_irq(&pf->mapping->i_pages);
	err = prmap_set(&pf->map, run);
	xa_unlock_irq(&pf->mapping->i_pages);
	if (err)
		place->untake(run->pfn, run->nr);
	cond_resched();
	return err;
}

/* Context: no other task changes the map. */
static void file_untake_runs(struct preserve_file *pf)
{
	struct prmap_run run;
	u64 index = 0;

	while (prmap_next(&pf->map, index, &run)) {
		pf->ops->place->untake(run.pfn, run.nr);
		index = run.index + run.nr;
		cond_resched();
	}
	preserve_file_map_destroy(pf);
}

/**
 * preserve_file_set_runs - Make handed-over runs the map of a new file.
 * @pf:   The file's, without a map.
 * @next: Gives the next run and returns 1, 0 behind the last, or a negative errno. Runs are
 *        not trusted.
 * @ctx:  For @next.
 *
 * No folio is made: preserve_file_begin() is next. All or nothing: on error the frames
 * are as they were.
 *
 * Context: Process context; no other task uses the file's memory.
 * Return: 0; -EIO if a frame is not live, or taken; -ENOMEM; or the error of @next.
 */
int preserve_file_set_runs(struct preserve_file *pf,
			   int (*next)(void *ctx, struct prmap_run *run), void *ctx)
{
	struct prmap_run run;
	int err;

	while ((err = next(ctx, &run)) > 0) {
		err = file_take_run(pf, &run);
		if (err)
			break;
	}
	if (!err)
		return 0;
	file_untake_runs(pf);
	return err == -ENOMEM ? err : -EIO;
}
