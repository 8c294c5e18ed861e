// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages that cross where they are: those of hugetlb, which lie outside of the pool's
 * blocks.
 *
 * This kernel's are ranges: the owner of a range lets it join, and quit, see handover.c. The
 * last kernel's are extents: of each page a bit says whether it has found an owner. Bits are
 * there as long as the extent is, so that neither taking nor undoing it can fail.
 *
 * Adoption takes an extent's frames from KHO; they have reference count zero then, until
 * hugetlb makes folios of them, which hold one reference, and are on no free list. An extent
 * of a size that this kernel does not have keeps its frames: they are freed when the session
 * that knows of them is finished.
 *
 * Pages that were free in the last kernel are no file's: nothing can take them, and frames that
 * cannot be huge pages are freed at once.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/bitmap.h>
#include <linux/cleanup.h>
#include <linux/gfp.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/padata.h>
#include <linux/preserve.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "pool.h"

/**
 * struct preserve_huge - Huge pages next to each other that the last kernel has handed over.
 * @pfn:   First frame.
 * @nr:    Pages.
 * @order: Of a page.
 * @free:  They were free pages: no bit of @untaken is ever set.
 * @stays: The pool of that size stays as large.
 * @folios: They are folios of hugetlb's; otherwise frames.
 * @lost:  They cannot be used: set aside, and nothing can take them.
 * @nr_untaken: Bits set in @untaken.
 * @untaken: A bit for each page that no file has taken yet.
 *
 * Covered by take_lock. Stays for good.
 */
struct preserve_huge {
	unsigned long pfn;
	unsigned long nr;
	unsigned int order;
	bool free;
	bool stays;
	bool folios;
	bool lost;
	unsigned long nr_untaken;
	unsigned long untaken[];
};

/* By their frames. Nothing leaves it. */
static DEFINE_MTREE(extents);

/*
 * Defective frames among theirs, in stretches within a page: the number of frames, as a value,
 * by the first one. Nothing comes after boot.
 */
static DEFINE_XARRAY(bad_frames);

/* Taking is all or nothing. */
static DEFINE_MUTEX(take_lock);

/* A part of a stretch of frames that lies in one extent: whole pages. */
struct part {
	struct preserve_huge *huge;
	unsigned long first;
	unsigned long nr;
};

/* The part at *@pfn, of at most *@nr frames; moves both on. False: there is none. */
static bool part_next(unsigned long *pfn, unsigned long *nr, struct part *part)
{
	struct preserve_huge *huge = mtree_load(&extents, *pfn);
	unsigned long frames;

	if (!huge || huge->lost)
		return false;
	frames = min(*nr, (huge->nr << huge->order) - (*pfn - huge->pfn));
	if (!IS_ALIGNED(*pfn | frames, 1UL << huge->order))
		return false;
	part->huge = huge;
	part->first = (*pfn - huge->pfn) >> huge->order;
	part->nr = frames >> huge->order;
	*pfn += frames;
	*nr -= frames;
	return true;
}

static bool part_untaken(const struct part *part)
{
	unsigned long end = part->first + part->nr;

	return part->huge->nr_untaken == part->huge->nr ||
	       find_next_zero_bit(part->huge->untaken, end, part->first) >= end;
}

static bool all_untaken(unsigned long pfn, unsigned long nr)
{
	struct part part;

	while (nr)
		if (!part_next(&pfn, &nr, &part) || !part_untaken(&part))
			return false;
	return true;
}

/* Context: take_lock held; the frames are those of extents. */
static void set_untaken(unsigned long pfn, unsigned long nr, bool untaken)
{
	struct part part;

	while (nr && part_next(&pfn, &nr, &part)) {
		if (untaken)
			bitmap_set(part.huge->untaken, part.first, part.nr);
		else
			bitmap_clear(part.huge->untaken, part.first, part.nr);
		part.huge->nr_untaken += untaken ? part.nr : -part.nr;
	}
}

/**
 * preserve_huge_untaken - As preserve_untaken(), for huge pages.
 * @pfn: First frame.
 * @nr:  How many; whole pages.
 *
 * Context: May sleep. The answer lasts only with preserve_huge_take().
 * Return: True if all of them are handed over, and no file's yet.
 */
bool preserve_huge_untaken(unsigned long pfn, unsigned long nr)
{
	guard(mutex)(&take_lock);
	return all_untaken(pfn, nr);
}

/**
 * preserve_huge_take - Become the owner of handed-over huge pages, of all or of none.
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Context: May sleep.
 * Return: False if not all of them are handed over and without an owner.
 */
bool preserve_huge_take(unsigned long pfn, unsigned long nr)
{
	guard(mutex)(&take_lock);
	if (!all_untaken(pfn, nr))
		return false;
	set_untaken(pfn, nr, false);
	return true;
}

/**
 * preserve_huge_untake - Undo preserve_huge_take(). Cannot fail.
 * @pfn: First frame.
 * @nr:  How many; all of them were taken by the caller, and are as they were.
 *
 * Context: May sleep.
 */
void preserve_huge_untake(unsigned long pfn, unsigned long nr)
{
	guard(mutex)(&take_lock);
	set_untaken(pfn, nr, true);
}

static bool any_bad(unsigned long pfn, unsigned long nr)
{
	return xa_find(&bad_frames, &pfn, pfn + nr - 1, XA_PRESENT);
}

/* Frees the frames of a page that is no folio; not the defective ones. */
static void frames_free(unsigned long pfn, unsigned long nr)
{
	const unsigned long end = pfn + nr;
	unsigned long bad;
	void *entry;

	xa_for_each_range(&bad_frames, bad, entry, pfn, end - 1) {
		if (bad > pfn)
			preserve_release(pfn, bad - pfn);
		pfn = bad + xa_to_value(entry);
	}
	if (pfn < end)
		preserve_release(pfn, end - pfn);
}

/**
 * preserve_huge_put - Free huge pages that have been taken.
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Those that are folios go back to hugetlb: free pages of their size, or freed if they are
 * more than were asked for.
 *
 * Context: Process context, may sleep.
 */
void preserve_huge_put(unsigned long pfn, unsigned long nr)
{
	struct part part;
	unsigned long i;

	while (nr && part_next(&pfn, &nr, &part)) {
		const struct preserve_huge *huge = part.huge;
		unsigned long first = huge->pfn + (part.first << huge->order);

		for (i = 0; i < part.nr; i++, first += 1UL << huge->order) {
			if (huge->folios)
				folio_put(pfn_folio(first));
			else
				frames_free(first, 1UL << huge->order);
			cond_resched();
		}
	}
}

/**
 * preserve_huge_has_order - Is a run made of huge pages of its folios' size?
 * @run: Of a map that was accepted.
 *
 * Context: May sleep.
 * Return: False if not: its map is damaged.
 */
bool preserve_huge_has_order(const struct prmap_run *run)
{
	unsigned long pfn = run->pfn, nr = run->nr;
	struct part part;

	while (nr)
		if (!part_next(&pfn, &nr, &part) || part.huge->order != run->order)
			return false;
	return true;
}

/**
 * preserve_huge_names - Is any of these frames in an extent that has been noted?
 * @pfn: The first.
 * @end: Behind the last.
 *
 * Context: Boot.
 * Return: True if one is.
 */
bool __init preserve_huge_names(unsigned long pfn, unsigned long end)
{
	return mt_find(&extents, &pfn, end - 1);
}

/**
 * preserve_huge_add - Note an extent of huge pages that the last kernel has handed over.
 * @extent: Checked.
 * @lost:   It cannot be used.
 *
 * Context: Boot.
 * Return: 0; -EEXIST if another extent has a part of it; -ENOMEM.
 */
int __init preserve_huge_add(const struct preserve_extent_ser *extent, bool lost)
{
	const unsigned long pfn = extent->pfn, nr = extent->nr_blocks;
	const unsigned int order = extent->slot;
	struct preserve_huge *huge;
	int err;

	huge = kvzalloc_flex(*huge, untaken, BITS_TO_LONGS(nr), GFP_KERNEL);
	if (!huge)
		return -ENOMEM;
	huge->pfn = pfn;
	huge->nr = nr;
	huge->order = order;
	huge->free = extent->kind == PRESERVE_EXTENT_HUGE_FREE;
	huge->stays = extent->bitmaps & PRESERVE_HUGE_STAYS;
	huge->lost = lost;
	if (!huge->free && !lost) {
		huge->nr_untaken = nr;
		bitmap_fill(huge->untaken, nr);
	}
	err = mtree_insert_range(&extents, pfn, pfn + (nr << order) - 1, huge, GFP_KERNEL);
	if (err)
		kvfree(huge);
	return err;
}

static bool __init is_made_by(const struct preserve_huge *huge,
			      const struct preserve_huge_maker *maker)
{
	return huge->order == maker->order && !huge->lost;
}

/* Makes folios of the huge pages that begin in [@start, @end). */
static void __init make_some(unsigned long start, unsigned long end, void *arg)
{
	const struct preserve_huge_maker *maker = arg;
	const unsigned long step = 1UL << maker->order;
	struct preserve_huge *huge;
	unsigned long at = start, pfn, behind;

	mt_for_each(&extents, huge, at, end - 1) {
		if (!is_made_by(huge, maker))
			continue;
		pfn = max(huge->pfn, round_up(start, step));
		behind = min(huge->pfn + huge->nr * step, end);
		for (; pfn < behind; pfn += step) {
			maker->make(maker, pfn);
			cond_resched();
		}
	}
}

static void __init add_all(const struct preserve_huge_maker *maker,
			   const struct preserve_huge *huge)
{
	const unsigned long step = 1UL << maker->order;
	unsigned long i, pfn = huge->pfn;

	for (i = 0; i < huge->nr; i++, pfn += step) {
		/* What is defective is never free again. */
		maker->add(maker, pfn, huge->free && !any_bad(pfn, step));
		cond_resched();
	}
}

/**
 * preserve_huge_make - Make folios of what has come in huge pages of one size.
 * @maker: How.
 *
 * Context: Boot, once for each size, before any file of theirs is retrieved.
 * Return: How many.
 */
unsigned long __init preserve_huge_make(struct preserve_huge_maker *maker)
{
	const unsigned long step = 1UL << maker->order;
	struct padata_mt_job job = {
		.thread_fn = make_some,
		.fn_arg = maker,
		.start = ULONG_MAX,
		.align = step,
		.min_chunk = max(SZ_1G >> PAGE_SHIFT, step),
		.max_threads = num_online_cpus(),
	};
	struct preserve_huge *huge;
	unsigned long at = 0, nr = 0;

	mt_for_each(&extents, huge, at, ULONG_MAX) {
		if (!is_made_by(huge, maker))
			continue;
		job.start = min(job.start, huge->pfn);
		job.size = huge->pfn + huge->nr * step - job.start;
	}
	padata_do_multithreaded(&job);
	at = 0;
	mt_for_each(&extents, huge, at, ULONG_MAX) {
		if (!is_made_by(huge, maker))
			continue;
		add_all(maker, huge);
		huge->folios = true;
		maker->stays |= huge->stays;
		nr += huge->nr;
	}
	return nr;
}

/**
 * preserve_huge_add_bad - Note neighbouring frames that the last kernel has found defective.
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Context: Boot; in ascending order.
 * Return: 0; -EBADMSG if they are not those of one huge page, or come again; -ENOMEM.
 */
int __init preserve_huge_add_bad(unsigned long pfn, unsigned long nr)
{
	const struct preserve_huge *huge = mtree_load(&extents, pfn);
	static unsigned long behind __initdata;
	const unsigned long last = pfn + nr - 1;

	if (!huge || last >= huge->pfn + (huge->nr << huge->order) || pfn < behind ||
	    (pfn - huge->pfn) >> huge->order != (last - huge->pfn) >> huge->order)
		return -EBADMSG;
	behind = last + 1;
	return xa_err(xa_store(&bad_frames, pfn, xa_mk_value(nr), GFP_KERNEL));
}

/**
 * preserve_huge_bad_for_each - Go through the frames that the last kernel has found defective.
 * @fn: Called for each stretch of them, within a huge page.
 *
 * Context: Boot.
 */
void __init preserve_huge_bad_for_each(void (*fn)(unsigned long pfn, unsigned long nr))
{
	unsigned long pfn;
	void *entry;

	xa_for_each(&bad_frames, pfn, entry)
		fn(pfn, xa_to_value(entry));
}

/* In use for good: they cannot be moved, nor taken offline. */
static void __init extent_set_aside(const struct preserve_huge *huge)
{
	unsigned long i, nr = huge->nr << huge->order;

	for (i = 0; i < nr; i++) {
		set_page_count(pfn_to_page(huge->pfn + i), 1);
		if (!(i % pageblock_nr_pages))
			cond_resched();
	}
}

static void __init extent_free(const struct preserve_huge *huge)
{
	unsigned long i;

	for (i = 0; i < huge->nr; i++) {
		frames_free(huge->pfn + (i << huge->order), 1UL << huge->order);
		cond_resched();
	}
}

/**
 * preserve_huge_unmade - Count what has come in huge pages of a size that is unknown here.
 * @freed: Set to how many were free pages, in pages of the base size. They are freed.
 *
 * Context: Boot, behind preserve_huge_make() for each size.
 * Return: Pages of the base size that files have.
 */
unsigned long __init preserve_huge_unmade(unsigned long *freed)
{
	struct preserve_huge *huge;
	unsigned long at = 0, nr = 0;

	*freed = 0;
	mt_for_each(&extents, huge, at, ULONG_MAX) {
		if (huge->folios)
			continue;
		if (huge->lost) {
			extent_set_aside(huge);
		} else if (huge->free) {
			extent_free(huge);
			*freed += huge->nr << huge->order;
		} else {
			nr += huge->nr << huge->order;
		}
	}
	return nr;
}

/**
 * preserve_range_new - Let the next kernel have huge pages next to each other.
 * @pfn:   First frame.
 * @nr:    How many, all of one node, and all or none of hugetlb_cma=.
 * @order: Of a page.
 * @free:  They are free pages, which no task can allocate any more.
 *
 * Context: Process context, may sleep.
 * Return: The range, which the caller owns until preserve_range_drop(); -ENOMEM; or as
 *         preserve_range_join().
 */
struct preserve_range *preserve_range_new(unsigned long pfn, unsigned long nr,
					  unsigned int order, bool free)
{
	struct preserve_range *range = kmalloc_obj(*range, GFP_KERNEL);
	int err;

	if (!range)
		return ERR_PTR(-ENOMEM);
	*range = (struct preserve_range) {
		.frames.start = pfn, .frames.last = pfn + nr - 1, .order = order, .free = free,
		.cma = preserve_folio_in_cma(pfn_folio(pfn)),
	};
	err = preserve_range_join(range);
	if (!err)
		return range;
	kfree(range);
	return ERR_PTR(err);
}

/**
 * preserve_range_drop - Undo preserve_range_new().
 * @range: The range.
 *
 * Context: Process context, may sleep.
 */
void preserve_range_drop(struct preserve_range *range)
{
	preserve_range_quit(range);
	kfree(range);
}

/**
 * preserve_huge_keep - Let the next kernel have free huge pages next to each other.
 * @pfn:   First frame.
 * @nr:    How many, all of one node, and all or none of hugetlb_cma=.
 * @order: Of a page.
 *
 * It cannot be undone: the kernel is about to be replaced.
 *
 * Context: In what preserve_at_handover() has been told; may sleep.
 * Return: 0; -ENOMEM; or as preserve_range_join().
 */
int preserve_huge_keep(unsigned long pfn, unsigned long nr, unsigned int order)
{
	return PTR_ERR_OR_ZERO(preserve_range_new(pfn, nr, order, true));
}
