// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the page cache tells of files whose memory is the pool's, and how a file's page
 * cache becomes one of the pool, or leaves it.
 *
 * AS_PRESERVE in the flags of a page cache says that its folios come from the pool and stay
 * there. Reclaim, migration and collapse ask for it under a lock that they hold until they
 * have acted: the folio's, or that of i_pages. So preserve_enter() sets it under the latter
 * and then takes the former once for each folio.
 */
#include <linux/folio_batch.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

#include "file.h"

/* Whether files that were not made for the pool come into it when they are preserved. */
bool preserve_admit_plain __read_mostly = true;

void __preserve_folio_added(struct address_space *mapping, struct folio *folio)
{
	struct preserve_file *pf = preserve_file_of(mapping);

	if (pf)
		preserve_file_add(pf, folio);
}

void __preserve_folio_removed(struct address_space *mapping,
			      struct folio *folio)
{
	struct preserve_file *pf = preserve_file_of(mapping);

	if (!pf)
		return;
	preserve_file_del(pf, folio);
	preserve_file_uncharge(pf, folio_nr_pages(folio));
}

void __preserve_folio_moved(struct address_space *mapping, struct folio *new,
			    struct folio *old)
{
	struct preserve_file *pf = preserve_file_of(mapping);

	if (!pf)
		return;
	preserve_file_del(pf, old);
	preserve_file_add(pf, new);
}

bool __preserve_may_add(struct address_space *mapping, const struct folio *folio)
{
	const struct preserve_file *pf = preserve_file_of(mapping);

	/* What comes into a file whose memory is elsewhere is asked for in in_place_add.c. */
	if (!pf || pf->in_place)
		return true;
	return pf->phase != PRESERVE_FROZEN && preserve_pool_block(&folio->page);
}

unsigned char __preserve_incore(struct address_space *mapping, pgoff_t index)
{
	struct preserve_file *pf = preserve_file_of(mapping);

	/* To read the image takes sleeping, and most files have no holes. */
	if (test_bit(AS_PRESERVE_LATENT, &mapping->flags))
		return 1;
	return pf && preserve_file_find_unrestored(pf, &index, index + 1);
}

/*
 * Waits for reclaim and migration that have looked at a folio before AS_PRESERVE was set,
 * and go on with its lock held. What locks a folio later sees the flag.
 */
static int wait_for_locks(struct address_space *mapping)
{
	struct folio_batch batch;
	pgoff_t index = 0;
	unsigned int i;
	int err = 0;

	folio_batch_init(&batch);
	while (!err && filemap_get_folios(mapping, &index, ULONG_MAX, &batch)) {
		for (i = 0; i < folio_batch_count(&batch) && !err; i++) {
			err = folio_lock_killable(batch.folios[i]);
			if (!err)
				folio_unlock(batch.folios[i]);
		}
		folio_batch_release(&batch);
		cond_resched();
	}
	return err;
}

/**
 * preserve_enter - From now on a file's memory is the pool's.
 * @mapping: The file's.
 *
 * New folios come from the pool, and none leaves it. Those that are there are moved by
 * preserve_move_in(), for which this is called once more if folios have come from
 * elsewhere since.
 *
 * A caller that does not want memory tags to be lost asks preserve_has_tags() behind it.
 *
 * Context: Process context, no folio locked.
 * Return: 0; -EINTR if the task is killed: preserve_leave() is next.
 */
int preserve_enter(struct address_space *mapping)
{
	xa_lock_irq(&mapping->i_pages);
	set_bit(AS_PRESERVE, &mapping->flags);
	/* Paired with __preserve_folio_tagged(). */
	smp_mb__after_atomic();
	xa_unlock_irq(&mapping->i_pages);
	mapping_set_unevictable(mapping);
	return wait_for_locks(mapping);
}

/**
 * preserve_leave - A file's memory is no more the pool's than any other.
 * @mapping: The file's: complete, and neither preserved nor frozen.
 *
 * What lies in the pool stays there until it is moved, swapped out or freed. The caller
 * clears AS_UNEVICTABLE where nothing else has set it.
 *
 * Context: Process context.
 */
void preserve_leave(struct address_space *mapping)
{
	struct preserve_file *pf = preserve_file_of(mapping);
	struct prmap old;

	xa_lock_irq(&mapping->i_pages);
	clear_bit(AS_PRESERVE, &mapping->flags);
	if (pf) {
		preserve_file_detach(pf, &old);
		pf->plain = false;
		WRITE_ONCE(pf->phase, PRESERVE_LIVE);
	}
	xa_unlock_irq(&mapping->i_pages);
	if (pf)
		prmap_destroy(&old);
}

/**
 * preserve_file_set_plain - Is a file in the pool for as long as it is preserved?
 * @pf:    The file.
 * @plain: Whether it is. Its folios are moved in then, some may not be yet.
 *
 * Context: Process context, the inode locked.
 */
void preserve_file_set_plain(struct preserve_file *pf, bool plain)
{
	guard(spinlock_irq)(&pf->mapping->i_pages.xa_lock);
	WRITE_ONCE(pf->plain, plain);
}

/**
 * preserve_file_is_plain - Is a file in the pool for as long as it is preserved?
 * @pf: The file.
 *
 * Context: Any; lasting with the inode locked.
 * Return: True if it is.
 */
bool preserve_file_is_plain(const struct preserve_file *pf)
{
	return READ_ONCE(pf->plain);
}

static void folio_clear(struct address_space *mapping, struct folio *folio)
{
	folio_lock(folio);
	if (folio->mapping == mapping && !folio_test_uptodate(folio)) {
		folio_zero_range(folio, 0, folio_size(folio));
		flush_dcache_folio(folio);
		folio_mark_uptodate(folio);
	}
	folio_unlock(folio);
}

/**
 * preserve_clear - Zero folios that are there, but have no content yet.
 * @mapping: Their file's.
 * @start:   First page index; what a large folio has before it is zeroed as well.
 * @end:     Behind the last.
 * @killable: Stop if the task is killed.
 *
 * Context: Process context, no folio locked.
 * Return: 0 or -EINTR.
 */
int preserve_clear(struct address_space *mapping, pgoff_t start, pgoff_t end, bool killable)
{
	struct folio_batch fbatch;
	unsigned int i;

	/* A large folio may begin before the range. */
	start = round_down(start, pageblock_nr_pages);
	folio_batch_init(&fbatch);
	while (start < end &&
	       filemap_get_folios(mapping, &start, end - 1, &fbatch)) {
		for (i = 0; i < folio_batch_count(&fbatch); i++)
			if (!folio_test_uptodate(fbatch.folios[i]))
				folio_clear(mapping, fbatch.folios[i]);
		folio_batch_release(&fbatch);
		if (killable && fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * preserve_show_fdinfo - Show what the core knows of a file.
 * @m:       Where to.
 * @mapping: The file's.
 *
 * Context: Process context.
 */
void preserve_show_fdinfo(struct seq_file *m, struct address_space *mapping)
{
	struct preserve_file *pf = preserve_file_of(mapping);
	static const struct prmap none;
	const struct prmap *map = pf ? &pf->map : &none;
	u64 nr_pages;

	if (!preserve_mapping(mapping))
		return;
	xa_lock_irq(&mapping->i_pages);
	nr_pages = pf && pf->map_state != PRESERVE_MAP_NONE ?
		   prmap_nr_keys(map) : mapping->nrpages;
	seq_printf(m, "preserve:\t%s\n", pf && pf->record ? "preserved" : "live");
	seq_printf(m, "preserve-pages:\t%llu\n", nr_pages);
	seq_printf(m, "preserve-unrestored:\t%llu\n", pf ? pf->nr_unrestored : 0);
	seq_printf(m, "preserve-runs:\t%llu\n", prmap_nr_runs(map));
	seq_printf(m, "preserve-map-pages:\t%llu\n", prmap_nr_pages(map));
	seq_printf(m, "preserve-map-stale:\t%d\n", !pf || !preserve_map_current(pf));
	xa_unlock_irq(&mapping->i_pages);
}
