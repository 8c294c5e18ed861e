// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving a file's folios: within the pool, into it, and out of it.
 *
 * migrate_pages() does the work, with targets that the pool gives. The page cache
 * tells the file map of each folio as it changes hands. migrate_pages() asks for
 * targets with folios locked, so none of them may wait for the pool to grow.
 */
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>

#include "../internal.h"
#include "file.h"

/* Folios on their way at a time. */
#define BATCH		512U

/* Page indices that they lie in at most: a backend may take all of those away meanwhile. */
#define SPREAD		(4 * BATCH)

/*
 * Rounds over a file that other tasks use, and the pauses before the later ones: from
 * 1 ms on, each is twice as long as the last, 383 ms in all. A page fault holds a
 * reference to its folio for some microseconds, but for longer where a hypervisor has
 * taken its CPU away; and growth on demand pauses when it has failed once (gain.c).
 */
#define ROUNDS		11
#define MAX_PAUSE_MS	128U

/* Times that the pool may grow for one batch of folios, of any order. */
#define GROWTHS		1024

/* Never sleeps. */
#define TARGET_GFP	(GFP_NOWAIT | __GFP_NOWARN)

/**
 * struct move - Where folios go.
 * @index: Page index that has its place at @pfn.
 * @pfn:   First frame of a run in targets of compaction; or, for folios that come
 *         into the pool, the goal of the next.
 * @is_short: The pool had no frames for a folio ...
 * @nid:   ... that is of this node.
 * @done:  Pages that the pool has given.
 * @is_out: Folios move out of the pool, rather than into it.
 * @left:  Folios that have stayed where they were in this round.
 * @first: Page index of the first of them.
 * @is_bad: One of them has a defective page, and stays for good.
 */
struct move {
	pgoff_t index;
	unsigned long pfn;
	bool is_short;
	int nid;
	unsigned long done;
	bool is_out;
	unsigned long left;
	pgoff_t first;
	bool is_bad;
};

static struct folio *target_in_run(struct folio *src, unsigned long private)
{
	const struct move *m = (struct move *)private;
	unsigned int order = folio_order(src);
	unsigned long pfn = m->pfn + (src->index - m->index);

	if (!IS_ALIGNED(pfn, 1UL << order))
		return NULL;
	return preserve_target_folio(pfn, order, TARGET_GFP);
}

static struct folio *target_in_pool(struct folio *src, unsigned long private)
{
	struct move *m = (struct move *)private;
	const struct preserve_request rq = {
		.gfp = TARGET_GFP | __GFP_HIGHMEM,
		.order = folio_order(src),
		.nid = folio_nid(src),
		.goal = m->pfn,
	};
	struct folio *dst = preserve_alloc_folio(&rq);

	if (dst) {
		m->pfn = folio_pfn(dst) + folio_nr_pages(dst);
		m->done += folio_nr_pages(dst);
	} else {
		m->is_short = true;
		m->nid = rq.nid;
	}
	return dst;
}

/*
 * A page that cannot be read is not copied; preserve_may_move() says so last. Here a backend's
 * locks are not to be held while memory_failure() has the folio locked, and waits for them: it
 * finds the folio isolated, or is seen by the second look.
 */
static bool isolate(struct folio *folio, struct list_head *list)
{
	LIST_HEAD(one);

	if (folio_contain_hwpoisoned_page(folio) || !isolate_folio_to_list(folio, &one))
		return false;
	if (folio_contain_hwpoisoned_page(folio)) {
		putback_movable_pages(&one);
		return false;
	}
	list_splice_tail(&one, list);
	return true;
}

/* Puts the file's folios of a range on a list, all that can be had. */
static unsigned int isolate_range(struct address_space *mapping, pgoff_t index,
				  pgoff_t end, struct list_head *list)
{
	unsigned int nr = 0;
	struct folio *folio;

	while (index < end) {
		folio = filemap_get_folio(mapping, index);
		if (IS_ERR(folio)) {
			index++;
			continue;
		}
		index = folio_next_index(folio);
		nr += isolate(folio, list);
		folio_put(folio);
	}
	return nr;
}

/*
 * Moves what is isolated, as far as that works; the rest stays on the list. Who else has the
 * folios in page tables, if anyone, is asked once for all of them.
 */
static int migrate_list(struct address_space *mapping, struct list_head *list,
			new_folio_t *target, struct move *m)
{
	const struct preserve_file *pf = preserve_file_of(mapping);
	const struct preserve_file_ops *ops = pf ? pf->ops : NULL;
	pgoff_t start = ULONG_MAX, end = 0;
	const struct folio *folio;
	int err = 0;

	if (list_empty(list))
		return 0;
	list_for_each_entry(folio, list, lru) {
		start = min(start, folio->index);
		end = max(end, folio_next_index(folio));
	}
	if (ops && ops->move_begin)
		err = ops->move_begin(mapping, start, end);
	if (err)
		return err;
	migrate_pages(list, target, NULL, (unsigned long)m, MIGRATE_SYNC, MR_COMPACTION, NULL);
	if (ops && ops->move_end)
		ops->move_end(mapping, start, end);
	return 0;
}

/**
 * preserve_move_pages - Move a range of a file to a run of frames.
 * @mapping: The file's.
 * @index:   First page index of the range.
 * @nr:      Pages.
 * @pfn:     The run, free frames in blocks that preserve_target_take() gave out;
 *           0 for frames anywhere in the pool.
 *
 * Folios that are busy stay where they are.
 *
 * Context: Process context, preserve_size_lock held, no folio locked.
 * Return: 0, or a negative errno if it is better to stop.
 */
int preserve_move_pages(struct address_space *mapping, pgoff_t index,
			unsigned long nr, unsigned long pfn)
{
	struct move m = { .index = index, .pfn = pfn };
	new_folio_t *target = pfn ? target_in_run : target_in_pool;
	pgoff_t from, end = index + nr;
	LIST_HEAD(list);

	for (from = index; from < end; from += BATCH) {
		if (!isolate_range(mapping, from, min(from + BATCH, end),
				   &list))
			continue;
		migrate_list(mapping, &list, target, &m);
		putback_movable_pages(&list);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static void stays(struct move *m, struct folio *folio)
{
	m->left++;
	m->is_bad |= folio_contain_hwpoisoned_page(folio);
	m->first = min(m->first, folio->index);
}

/* What migrate_pages() has left on its list. */
static void put_back(struct move *m, struct list_head *list)
{
	struct folio *folio;

	list_for_each_entry(folio, list, lru)
		stays(m, folio);
	putback_movable_pages(list);
}

/*
 * Collects what of @fbatch is on the wrong side, and not too far behind *first, which is set to
 * where the first of all lies. Returns how many it has seen; *index is where it has stopped short.
 */
static unsigned int isolate_some(struct move *m, const struct folio_batch *fbatch,
				 pgoff_t *first, pgoff_t *index, struct list_head *list,
				 unsigned int *pages)
{
	unsigned int i, seen = 0;

	for (i = 0; i < folio_batch_count(fbatch); i++) {
		struct folio *folio = fbatch->folios[i];

		if (!preserve_pool_block(&folio->page) == m->is_out)
			continue;
		*first = min(*first, folio->index);
		if (folio->index - *first >= SPREAD) {
			*index = folio->index;
			*pages = BATCH;
			break;
		}
		seen++;
		if (isolate(folio, list))
			*pages += folio_nr_pages(folio);
		else
			stays(m, folio);
	}
	return seen;
}

/*
 * Collects up to BATCH pages' worth of folios that are on the wrong side, from
 * *index on. Returns how many of them it has seen: 0 if there are no more.
 */
static unsigned int isolate_misplaced(struct address_space *mapping,
				      struct move *m, pgoff_t *index,
				      struct list_head *list)
{
	unsigned int seen = 0, pages = 0;
	struct folio_batch fbatch;
	pgoff_t first = ULONG_MAX;

	folio_batch_init(&fbatch);
	while (pages < BATCH && !fatal_signal_pending(current) &&
	       filemap_get_folios(mapping, index, ULONG_MAX, &fbatch)) {
		seen += isolate_some(m, &fbatch, &first, index, list, &pages);
		folio_batch_release(&fbatch);
		cond_resched();
	}
	return seen;
}

/*
 * Moves what isolate_misplaced() collects from *index on into the pool. Isolated folios are
 * put back before the pool grows: a task that isolates to evacuate waits for them.
 * Returns how many folios were found outside.
 */
static int move_in_batch(struct address_space *mapping, struct move *m,
			 pgoff_t *index)
{
	unsigned long left = m->left;
	pgoff_t start = *index;
	unsigned int seen;
	LIST_HEAD(list);
	int i;

	/* Each time the pool has a block more, so the batch is soon through. */
	for (i = 0; i < GROWTHS; i++) {
		*index = start;
		m->is_short = false;
		m->left = left;
		seen = isolate_misplaced(mapping, m, index, &list);
		migrate_list(mapping, &list, target_in_pool, m);
		put_back(m, &list);
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!m->is_short)
			return seen;
		/* At most: some of the file may have been in the pool before. */
		if (!preserve_pool_more(m->nid, GFP_KERNEL,
					max(mapping->nrpages, m->done + 1) -
					m->done))
			break;
	}
	return -ENOSPC;
}

/* The same as move_in_batch(), out of the pool; -ENOMEM if there is no room elsewhere. */
static int move_out_batch(struct address_space *mapping, struct move *m,
			  pgoff_t *index)
{
	struct migration_target_control mtc = {
		.nid = NUMA_NO_NODE,
		.gfp_mask = GFP_USER | __GFP_RETRY_MAYFAIL | __GFP_NOWARN,
		.reason = MR_LONGTERM_PIN,
	};
	LIST_HEAD(list);
	int seen, err = 0;

	seen = isolate_misplaced(mapping, m, index, &list);
	if (!list_empty(&list))
		err = migrate_pages(&list, alloc_migration_target, NULL,
				    (unsigned long)&mtc, MIGRATE_SYNC,
				    MR_LONGTERM_PIN, NULL);
	put_back(m, &list);
	if (fatal_signal_pending(current))
		return -EINTR;
	return err == -ENOMEM ? err : seen;
}

/*
 * One round over the file, from a page index on. Where many folios stay outside, the
 * rest of the file is not worth a look before they move. Returns how many folios were
 * found on the wrong side.
 */
static long move_round(struct address_space *mapping, struct move *m,
		       pgoff_t index)
{
	long all = 0;
	int seen;

	m->pfn = PRESERVE_GOAL_NEW;
	m->first = ULONG_MAX;
	m->left = 0;
	do {
		seen = m->is_out ? move_out_batch(mapping, m, &index) :
				   move_in_batch(mapping, m, &index);
		all += seen;
	} while (seen > 0 && m->left < BATCH);
	return seen < 0 ? seen : all;
}

/* Most folios are on the LRU lists before the first round; waiting costs. */
static int wait_for_others(unsigned int round)
{
	lru_add_drain_all();
	if (round > 1)
		schedule_timeout_killable(msecs_to_jiffies(min(1U << (round - 2),
							       MAX_PAUSE_MS)));
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/* All of the file, in as many rounds as it takes. */
static int move_all(struct address_space *mapping, struct move *m)
{
	unsigned int round;
	pgoff_t from = 0;
	long seen = 0;

	for (round = 0; round < ROUNDS; round++) {
		if (round && wait_for_others(round))
			return -EINTR;
		seen = move_round(mapping, m, from);
		if (seen == -EINTR || seen == -ENOMEM || (!seen && !from))
			return seen;
		if (m->is_bad)
			return -EHWPOISON;
		if (seen == -ENOSPC && !preserve_pool_may_grow(m->nid))
			break;
		from = m->left ? m->first : 0;
	}
	return seen < 0 ? seen : -EBUSY;
}

/**
 * preserve_move_in - Move all folios of a file into the pool.
 * @mapping: The file's; new folios already come from the pool.
 *
 * Context: Process context, no folio locked.
 * Return: 0 when a look at the whole file finds all of them there; -ENOSPC if the pool
 *         cannot take them; -EBUSY if one cannot be moved, because it is pinned or
 *         busy; -EHWPOISON if one is defective; -EINTR.
 */
int preserve_move_in(struct address_space *mapping)
{
	struct move m = {};

	return move_all(mapping, &m);
}

/**
 * preserve_move_out - Move all folios of a file out of the pool.
 * @mapping: The file's, for which preserve_leave() has been called.
 *
 * They go where they can be pinned for long: neither to lent blocks nor to KHO's scratch.
 *
 * Context: Process context, no folio locked.
 * Return: 0 when a look at the whole file finds none of them there; -ENOMEM if there is
 *         no room elsewhere; -EBUSY if one cannot be moved, because it is pinned or
 *         busy; -EHWPOISON if one is defective; -EINTR.
 */
int preserve_move_out(struct address_space *mapping)
{
	struct move m = { .is_out = true };
	unsigned int flags = memalloc_pin_save();
	int err = move_all(mapping, &m);

	memalloc_pin_restore(flags);
	return err;
}

/**
 * preserve_any_in_pool - Does a file have a folio in the pool?
 * @mapping: The file's.
 *
 * Such a file must not be handed over page by page: its frames lie in blocks that the
 * pool hands over as a whole.
 *
 * Context: Process context.
 * Return: True if it has, or if the caller is killed before that is known.
 */
bool preserve_any_in_pool(struct address_space *mapping)
{
	struct folio_batch fbatch;
	pgoff_t index = 0;
	bool any = false;
	unsigned int i;

	folio_batch_init(&fbatch);
	while (!any && !fatal_signal_pending(current) &&
	       filemap_get_folios(mapping, &index, ULONG_MAX, &fbatch)) {
		for (i = 0; i < folio_batch_count(&fbatch); i++)
			any |= !!preserve_pool_block(&fbatch.folios[i]->page);
		folio_batch_release(&fbatch);
		cond_resched();
	}
	return any || fatal_signal_pending(current);
}
