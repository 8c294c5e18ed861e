// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ranges of whole blocks: what is larger than a pageblock, such as the 1 GiB pages
 * of hugetlb.
 *
 * A range is made of blocks that are idle in the pool already, lent ones that come
 * back, and others that are evacuated. Places that need the fewest blocks from
 * outside are tried first.
 */
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/preserve.h>
#include <linux/sched/signal.h>

#include "pool.h"

/* How many blocks of the place at @pfn the pool lacks, or -1: it cannot be. */
static long place_lacks(unsigned long pfn, unsigned long nr_blocks)
{
	long lacks = 0;
	unsigned long i;

	for (i = 0; i < nr_blocks; i++, pfn += pageblock_nr_pages) {
		if (preserve_block_find(pfn)) {
			if (preserve_block_fill(pfn))
				return -1;
		} else if (!preserve_is_lent(pfn)) {
			if (!preserve_can_evacuate(pfn))
				return -1;
			lacks++;
		}
	}
	return lacks;
}

/* Makes all blocks of a place idle blocks of the pool. */
static bool place_gain(unsigned long pfn, unsigned long nr_blocks)
{
	unsigned long i;

	for (i = 0; i < nr_blocks; i++, pfn += pageblock_nr_pages) {
		if (fatal_signal_pending(current))
			return false;
		if (preserve_block_find(pfn))
			continue;
		if (preserve_is_lent(pfn) ? !preserve_recall_at(pfn) :
					    !preserve_evacuate_at(pfn))
			return false;
		cond_resched();
	}
	return true;
}

/*
 * The place on @nid that lacks the fewest blocks, at most @room, and is behind @last,
 * which lacks *least, in this order: so each call finds the next choice.
 */
static unsigned long place_find(int nid, unsigned long nr_pages, long *least,
				unsigned long last, unsigned long room)
{
	unsigned long pfn = ALIGN(node_start_pfn(nid), nr_pages), best = 0;
	unsigned long nr_blocks = nr_pages >> pageblock_order;
	long lacks, best_lacks = LONG_MAX;

	for (; pfn + nr_pages <= node_end_pfn(nid); pfn += nr_pages) {
		lacks = place_lacks(pfn, nr_blocks);
		if (lacks < *least || (lacks == *least && pfn <= last))
			continue;
		if (lacks <= room && lacks < best_lacks) {
			best = pfn;
			best_lacks = lacks;
		}
		cond_resched();
	}
	*least = best_lacks;
	return best;
}

/**
 * preserve_alloc_range - Allocate an aligned range of whole blocks.
 * @nid:   Its node; no other is tried.
 * @order: Above pageblock_order; the range is aligned to it.
 *
 * Context: Process context, no folio locked; takes preserve_size_lock. Migrates
 *          pages.
 * Return: The first pfn of frames with reference count zero, which are the
 *         caller's until preserve_free_range(); 0 if there is no such range.
 */
unsigned long preserve_alloc_range(int nid, unsigned int order)
{
	unsigned long nr_blocks = 1UL << (order - pageblock_order);
	unsigned long pfn = 0;
	long least = 0;
	bool got = false;

	if (WARN_ON_ONCE(order <= pageblock_order) || !preserve_has_pool())
		return 0;
	if (mutex_lock_killable(&preserve_size_lock))
		return 0;
	preserve_pool_drain();
	do {
		pfn = place_find(nid, 1UL << order, &least, pfn,
				 preserve_pool_room());
		if (pfn)
			got = place_gain(pfn, nr_blocks) &&
			      preserve_blocks_take(pfn, nr_blocks);
	} while (pfn && !got && !fatal_signal_pending(current));
	mutex_unlock(&preserve_size_lock);
	return got ? pfn : 0;
}

/**
 * preserve_free_range - Give a range back to the pool.
 * @pfn:   From preserve_alloc_range().
 * @order: The same.
 *
 * Context: Any; the frames have reference count zero again.
 */
void preserve_free_range(unsigned long pfn, unsigned int order)
{
	preserve_frames_put(pfn, 1UL << order);
}
