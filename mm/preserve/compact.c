// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packing the pool: fewer blocks, and files that lie in fewer runs.
 *
 * The unit is a segment: a contiguous part of a file in folios of one order. It
 * is moved as a whole when it lies in several runs, or in a block that is mostly
 * empty. Targets are idle blocks, filled from the bottom one after the other, so
 * what is next to each other in a file is next to each other in memory, and the
 * blocks it leaves become targets themselves.
 *
 * The same moving empties blocks that have to leave the pool: memory that goes
 * offline.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>

#include <trace/events/preserve.h>

#include "file.h"

/* A block with fewer frames in use is emptied. */
#define FULL_ENOUGH	(pageblock_nr_pages * 15 / 16)

/* A segment whose runs have this length on average is left alone. */
#define RUN_LONG_ENOUGH	(8 * pageblock_nr_pages)

/* Frames that are left empty at the end of a target rather than cut a segment. */
#define GAP		32UL

/* Runs of one segment, and blocks: they are looked at with interrupts off. */
#define SEGMENT_RUNS	1024
#define SEGMENT_PAGES	(1024 * pageblock_nr_pages)

/*
 * Blocks that are emptied in one round, a part of those that are partly used, and
 * rounds in one pass. Each round looks at all runs of all files, so there are few,
 * whatever the number of blocks.
 */
#define LEAVE_PART	8
#define LEAVE_ROUNDS	16

/* Runs that are passed over with interrupts off in search of one. */
#define SEARCH_RUNS	(4 * SEGMENT_RUNS)

/* Blocks that are gained when there is no target. */
#define GAIN		4

/* Each pass finds what the one before has uncovered. */
#define PASSES		4

/* Pages that are restored, or moved, before waiting writers and pauses have their turn. */
#define STEP		pageblock_nr_pages

/* Held while folios of any file are on their way: one step. */
static DEFINE_MUTEX(move_lock);

/* Files are being frozen for the next kernel: stop. Written under move_lock. */
static int pauses;

/**
 * struct segment - A part of a file, as one glance under the lock has found it.
 * @index:   First page index.
 * @nr:      Pages.
 * @nr_runs: Runs of frames.
 * @pfn:     Where it begins.
 * @order:   Of its folios.
 * @move:    It lies in a block that should be emptied.
 */
struct segment {
	pgoff_t index;
	unsigned long nr;
	unsigned long nr_runs;
	unsigned long pfn;
	unsigned int order;
	bool move;
};

/**
 * struct packing - One round of moving.
 * @nid:   Node of the present target.
 * @pfn:   Next free frame of it; 0 for none.
 * @end:   Its end.
 * @lo:    If @hi is not zero, only what lies in frames from here ...
 * @hi:    ... to here is moved. Both are borders of blocks.
 * @moved: Pages that segments had which were moved, or tried to.
 */
struct packing {
	int nid;
	unsigned long pfn;
	unsigned long end;
	unsigned long lo;
	unsigned long hi;
	unsigned long moved;
};

/* 0, or why packing has to stop: -EINTR or -EBUSY. */
static int interrupted(void)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	return READ_ONCE(pauses) || READ_ONCE(preserve_frozen) ? -EBUSY : 0;
}

/* Is the file's memory the pool's, so that it can move within it? */
static bool file_packs(const struct preserve_file *pf)
{
	return pf->ops->place == &preserve_pool_place;
}

/* Is one of these frames in a block that should be emptied? */
static bool run_misplaced(const struct packing *p, unsigned long pfn,
			  unsigned long nr)
{
	unsigned long end = pfn + nr;

	if (p->hi)
		return true;
	for (; pfn < end; pfn = pageblock_end_pfn(pfn))
		if (preserve_block_fill(pfn) < FULL_ENOUGH)
			return true;
	return false;
}

/* Leaves the part of a run that @p is about; false if there is none. */
static bool run_clip(const struct packing *p, struct prmap_run *run)
{
	u64 pfn = max_t(u64, run->pfn, p->lo);
	u64 end = min_t(u64, run->pfn + run->nr, p->hi);

	if (!p->hi)
		return true;
	if (pfn >= end)
		return false;
	run->index += pfn - run->pfn;
	run->pfn = pfn;
	run->nr = end - pfn;
	return true;
}

/* Does @run go on where @seg ends? */
static bool segment_goes_on(const struct segment *seg,
			    const struct prmap_run *run)
{
	return run->index == seg->index + seg->nr && run->order == seg->order &&
	       pfn_to_nid(run->pfn) == pfn_to_nid(seg->pfn) &&
	       seg->nr_runs < SEGMENT_RUNS && seg->nr < SEGMENT_PAGES;
}

/*
 * The next segment, in what of the map begins at *from, which is then behind it. It is
 * empty if the next SEARCH_RUNS have none. False at the end of the map.
 * Context: xa_lock of i_pages held.
 */
static bool segment_find(struct packing *p, const struct preserve_file *pf,
			 pgoff_t *from, struct segment *seg)
{
	unsigned long next_pfn = 0;
	struct prmap_run run;
	unsigned int i;
	pgoff_t next;

	*seg = (struct segment) { };
	if (!file_packs(pf) || !preserve_map_current(pf) || preserve_file_frozen(pf))
		return false;
	for (i = 0; i < SEARCH_RUNS; i++) {
		if (!prmap_next(&pf->map, *from, &run))
			return seg->nr;
		next = run.index + run.nr;
		if (run_clip(p, &run)) {
			run.nr = min(run.nr, SEGMENT_PAGES - seg->nr);
			next = run.index + run.nr;
			if (!seg->nr)
				*seg = (struct segment) {
					.index = run.index,
					.pfn = run.pfn,
					.order = run.order,
				};
			if (!segment_goes_on(seg, &run))
				break;
			seg->nr_runs += run.pfn != next_pfn;
			seg->nr += run.nr;
			seg->move |= run_misplaced(p, run.pfn, run.nr);
			next_pfn = run.pfn + run.nr;
		} else if (seg->nr) {
			break;
		}
		*from = next;
	}
	return true;
}

static bool segment_next(struct packing *p, struct preserve_file *pf,
			 pgoff_t *from, struct segment *seg)
{
	bool found;

	xa_lock_irq(&pf->mapping->i_pages);
	found = segment_find(p, pf, from, seg);
	xa_unlock_irq(&pf->mapping->i_pages);
	return found;
}

static bool segment_scattered(const struct segment *seg)
{
	return seg->nr_runs > 1 && seg->nr / seg->nr_runs < RUN_LONG_ENOUGH;
}

/*
 * Moves some pages, unless there is a pause. The file may also have been frozen in one that
 * is over.
 */
static int step_move(struct preserve_file *pf, pgoff_t index, unsigned long nr,
		     unsigned long pfn)
{
	int err;

	guard(mutex)(&move_lock);
	err = interrupted();
	if (!err && preserve_file_frozen(pf))
		err = -EAGAIN;
	return err ?: preserve_move_pages(pf->mapping, index, nr,
					  pfn);
}

/*
 * Moves a range of a file in steps. Its folios are made before, without the lock: what
 * has none cannot move. @pfn is as for preserve_move_pages().
 */
static int range_move(struct preserve_file *pf, pgoff_t index,
		      unsigned long nr, unsigned long pfn)
{
	const pgoff_t end = index + nr;
	unsigned long part;
	int err = 0;

	for (; !err && index < end; index += part) {
		/* No folio is cut in two. */
		part = min(end, round_up(index + 1, STEP)) - index;
		err = preserve_file_restore_range(pf, index, index + part,
						  GFP_KERNEL | __GFP_NOWARN |
						   __GFP_RETRY_MAYFAIL);
		err = err ?: step_move(pf, index, part, pfn);
		pfn += pfn ? part : 0;
		preserve_pool_serve();
	}
	return err;
}

/* Moves what a run has in blocks that are to be emptied. */
static int run_leave(struct preserve_file *pf, const struct prmap_run *run)
{
	unsigned long pfn = run->pfn, end = run->pfn + run->nr, next;
	int err = 0;

	for (; !err && pfn < end && !interrupted(); pfn = next) {
		next = min(pageblock_end_pfn(pfn), end);
		if (preserve_block_leaves(pfn))
			err = range_move(pf, run->index + (pfn - run->pfn),
					 next - pfn, 0);
		cond_resched();
	}
	return err;
}

/* The same for a file. */
static void file_leave(struct preserve_file *pf)
{
	struct prmap_run run;
	u64 index = 0;
	bool found;

	do {
		xa_lock_irq(&pf->mapping->i_pages);
		found = file_packs(pf) && preserve_map_current(pf) &&
			!preserve_file_frozen(pf) && prmap_next(&pf->map, index, &run);
		xa_unlock_irq(&pf->mapping->i_pages);
		if (!found || interrupted())
			return;
		index = run.index + run.nr;
	} while (!run_leave(pf, &run));
}

/* Empties the emptiest blocks when none is idle, so that there are targets. */
static void targets_make(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];
	struct preserve_file *pf = NULL;

	/* Lent blocks cost less. */
	if (node->nr_lent || node->rounds >= LEAVE_ROUNDS)
		return;
	node->rounds++;
	if (!preserve_leave_emptiest(nid, LEAVE_PART))
		return;
	/* What CPUs have at hand of those blocks would be given out again. */
	preserve_pool_drain();
	while ((pf = preserve_file_next(pf)))
		file_leave(pf);
	preserve_pool_drain();
	preserve_leave_end(nid);
}

/* Lets the target reach @nr pages, as far as the blocks behind it are idle. */
static void target_stretch(struct packing *p, unsigned long nr)
{
	while (p->end - p->pfn < nr && preserve_target_take(p->nid, p->end))
		p->end += pageblock_nr_pages;
}

static bool target_open(struct packing *p)
{
	p->pfn = preserve_target_take(p->nid, 0);
	if (!p->pfn) {
		targets_make(p->nid);
		p->pfn = preserve_target_take(p->nid, 0);
	}
	if (!p->pfn && preserve_pool_gain(p->nid, GAIN))
		p->pfn = preserve_target_take(p->nid, 0);
	p->end = p->pfn + pageblock_nr_pages;
	return p->pfn;
}

/* A target for @seg; returns how many of its pages fit, 0 for no memory. */
static unsigned long target_for(struct packing *p, const struct segment *seg)
{
	unsigned long gap = seg->nr <= pageblock_nr_pages ? GAP : 0;
	unsigned long align = 1UL << seg->order, room = 0;

	if (p->nid != pfn_to_nid(seg->pfn)) {
		p->nid = pfn_to_nid(seg->pfn);
		p->pfn = 0;
	}
	if (p->pfn) {
		p->pfn = ALIGN(p->pfn, align);
		target_stretch(p, seg->nr);
		room = p->end - p->pfn;
	}
	if (room < seg->nr && room <= gap) {
		if (!target_open(p))
			return 0;
		target_stretch(p, seg->nr);
	}
	return min(round_down(p->end - p->pfn, align), seg->nr);
}

static int segment_move(struct packing *p, struct preserve_file *pf,
			struct segment *seg)
{
	unsigned long nr;
	int err;

	while (seg->nr) {
		nr = target_for(p, seg);
		if (!nr)
			return -ENOMEM;
		err = range_move(pf, seg->index, nr, p->pfn);
		if (err) {
			/* Some of the target may be taken. */
			p->pfn = 0;
			return err;
		}
		p->moved += nr;
		p->pfn += nr;
		seg->index += nr;
		seg->nr -= nr;
	}
	return 0;
}

/* Moves what is to be moved of one file. */
static int file_pack(struct packing *p, struct preserve_file *pf)
{
	struct segment seg;
	pgoff_t from = 0;
	int err = 0;

	/* A file that nobody else has goes as soon as this walk leaves it. */
	while (!err && preserve_file_used(pf) && segment_next(p, pf, &from, &seg)) {
		if (seg.move || (!p->hi && segment_scattered(&seg)))
			err = segment_move(p, pf, &seg);
		err = err ?: interrupted();
		cond_resched();
	}
	return err;
}

static int all_files_pack(struct packing *p)
{
	struct preserve_file *pf = NULL;
	int nid, err = 0, worst = 0;

	for_each_online_node(nid)
		preserve_nodes[nid].rounds = 0;
	while ((pf = preserve_file_next(pf))) {
		/* Once interrupted, the walk comes to its end and does no more. */
		if (err == -EINTR || err == -EBUSY)
			continue;
		err = interrupted() ?: file_pack(p, pf);
		/* A file that was frozen meanwhile stays as it is. */
		if (err && err != -EAGAIN)
			worst = err;
	}
	return worst;
}

static void all_targets_put(void)
{
	int nid;

	for_each_online_node(nid)
		preserve_targets_put(nid);
	preserve_pool_drain();
}

/**
 * preserve_compact - Pack the pool, then lend what has become idle.
 *
 * Files that are frozen for the next kernel stay as they are.
 *
 * Context: Process context, no folio locked; takes preserve_size_lock.
 * Return: 0; -ENOMEM if there was no block to move something to; -EINTR if killed;
 *         -EBUSY if it has given way to what is handed over.
 */
int preserve_compact(void)
{
	unsigned long moved = 0;
	int pass, err = 0;

	if (mutex_lock_killable(&preserve_size_lock))
		return -EINTR;
	lru_add_drain_all();
	for (pass = 0; pass < PASSES; pass++) {
		struct packing p = { .nid = NUMA_NO_NODE };

		preserve_pool_drain();
		err = all_files_pack(&p);
		all_targets_put();
		moved += p.moved;
		if (!p.moved || err == -EBUSY || err == -EINTR)
			break;
	}
	preserve_pool_lend_now();
	mutex_unlock(&preserve_size_lock);
	trace_preserve_compact(pass, moved, err);
	return fatal_signal_pending(current) ? -EINTR : err;
}

/**
 * preserve_compact_pause - Let no folio move for a while.
 *
 * Context: Process context, may sleep until what is on its way has arrived: one step.
 */
void preserve_compact_pause(void)
{
	guard(mutex)(&move_lock);
	WRITE_ONCE(pauses, pauses + 1);
}

/**
 * preserve_compact_resume - Undo preserve_compact_pause().
 *
 * Packing that goes on afterwards sees what the caller has done to files until now.
 *
 * Context: Process context.
 */
void preserve_compact_resume(void)
{
	guard(mutex)(&move_lock);
	WRITE_ONCE(pauses, pauses - 1);
}

/*
 * Lets lent blocks of a range leave, and sets the others apart: *held says if there are
 * some. Returns whether the pool has any block there.
 */
static bool range_hold(unsigned long pfn, unsigned long end, bool *held)
{
	bool any = false;

	*held = false;
	for (; pfn < end; pfn += pageblock_nr_pages) {
		if (preserve_is_lent(pfn)) {
			preserve_drop_lent(pfn);
			any = true;
		} else {
			*held |= preserve_target_hold(pfn);
		}
	}
	return any || *held;
}

/* Empties the blocks of a range that are set apart; those that are empty leave. */
static void range_leave(unsigned long pfn, unsigned long end)
{
	struct packing p = {
		.nid = NUMA_NO_NODE, .lo = pfn, .hi = end,
	};
	struct preserve_block *block;

	preserve_pool_drain();
	lru_add_drain_all();
	all_files_pack(&p);
	preserve_pool_drain();
	for (; pfn < end; pfn += pageblock_nr_pages) {
		block = preserve_target_isolate(pfn);
		if (block)
			preserve_pool_drop(block);
	}
	all_targets_put();
}

/**
 * preserve_offline_range - Leave a range of memory as far as possible.
 * @pfn: First frame, pageblock aligned.
 * @nr:  How many.
 *
 * Folios move to other blocks of the pool, blocks that are idle then leave it. Of what
 * is not restored yet, that is made which lies in the range. What cannot be moved
 * stays, and page isolation refuses the range.
 *
 * Context: Process context, no folio locked; takes preserve_size_lock.
 */
void preserve_offline_range(unsigned long pfn, unsigned long nr)
{
	bool held, any;

	if (!static_branch_unlikely(&preserve_pool_key))
		return;
	if (!preserve_offline_lock())
		return;
	preserve_spare_range(pfn, pfn + nr);
	any = range_hold(pfn, pfn + nr, &held);
	if (held)
		range_leave(pfn, pfn + nr);
	preserve_spare_range(0, 0);
	/* Last: until then the worker would take the very blocks that have left. */
	if (any)
		preserve_pool_regain();
	mutex_unlock(&preserve_size_lock);
}
