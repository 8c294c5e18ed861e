// SPDX-License-Identifier: GPL-2.0-only
/*
 * The keys of KHO's that a range of huge pages is.
 *
 * kho_preserve_pages() cuts frames into the largest aligned pieces that fit, which for a range
 * that is not aligned are of each order in turn. Each order has a branch of its own in KHO's
 * tree, three or four pages that have to be cleared: that is most of what preserving a GiB
 * costs. So a range is cut into pieces of a few orders only, the coarse ones where there are
 * many. Huge pages of the size of a pageblock have a branch already, that of the pool's blocks.
 *
 * The next kernel takes any keys that cover a range, see adopt.c.
 */
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/sizes.h>

#include "pool.h"

/* So many pieces of an order are worth a branch. */
#define MANY	4

/* Larger ones would hold one CPU of the next kernel too long: 16 GiB. */
#define KEY_MAX_ORDER	(get_order(SZ_1G) + 4)

/* How much coarser than a huge page: a key of 2 MiB pages has 1, 16 or 512 of them. */
static const unsigned int coarser[] = { 9, 4 };

/* The order of the key at @pfn, whichever keys are before it. */
static unsigned int key_order(const struct preserve_range *range, unsigned long pfn)
{
	const unsigned long end = range->frames.last + 1;
	unsigned long nr;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(coarser); i++) {
		if (range->order + coarser[i] > KEY_MAX_ORDER)
			continue;
		nr = 1UL << (range->order + coarser[i]);
		if (IS_ALIGNED(pfn, nr) && end - pfn >= nr &&
		    round_up(range->frames.start, nr) + MANY * nr <= end)
			return range->order + coarser[i];
	}
	return range->order;
}

/* Removes the keys from the first one up to @end. */
static void keys_remove(const struct preserve_range *range, unsigned long end)
{
	unsigned long pfn = range->frames.start, nr;

	for (; pfn < end; pfn += nr) {
		nr = 1UL << key_order(range, pfn);
		kho_unpreserve_pages(pfn_to_page(pfn), nr);
	}
}

/**
 * preserve_keys_add - Make a range keys of KHO's.
 * @range: The range: whole huge pages of one node.
 *
 * Context: Process context, may sleep.
 * Return: 0; -ENOMEM; or as kho_preserve_pages().
 */
int preserve_keys_add(const struct preserve_range *range)
{
	unsigned long pfn = range->frames.start, nr;
	int err;

	for (; pfn <= range->frames.last; pfn += nr) {
		nr = 1UL << key_order(range, pfn);
		/* Aligned, and a power of two: one key. */
		err = kho_preserve_pages(pfn_to_page(pfn), nr);
		if (err) {
			keys_remove(range, pfn);
			return err;
		}
	}
	return 0;
}

/**
 * preserve_keys_remove - Undo preserve_keys_add(). Cannot fail.
 * @range: The range, as it was.
 *
 * Context: Process context, may sleep.
 */
void preserve_keys_remove(const struct preserve_range *range)
{
	keys_remove(range, range->frames.last + 1);
}
