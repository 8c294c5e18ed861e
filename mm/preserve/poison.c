// SPDX-License-Identifier: GPL-2.0-only
/*
 * Defective frames of the pool.
 *
 * The page allocator's rule holds here, too: a defective frame is marked by
 * PageHWPoison and never allocated again. What this adds is that its block knows of
 * it and never leaves the pool, and that the next kernel is told, so that it neither
 * hands such a frame out nor shows its content as good.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/bitmap.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/preserve.h>

#include "pool.h"

static atomic_long_t nr_poisoned;

/*
 * Notes that a frame is defective, and counts it. Returns -ENOENT if it is not the pool's;
 * -EEXIST if that is known; -ENOMEM if the next kernel will not be told.
 */
static int note_poisoned(unsigned long pfn)
{
	struct preserve_block *block;
	int err;

	guard(rcu)();
	block = preserve_block_find(pfn);
	if (!block)
		return -ENOENT;
	err = preserve_block_poison(block, pfn - block->pfn);
	if (!err)
		atomic_long_inc(&nr_poisoned);
	return err;
}

/**
 * preserve_note_poison - A page has turned out to be defective.
 * @pfn: Any page's.
 *
 * Context: Any.
 */
void preserve_note_poison(unsigned long pfn)
{
	int err;

	if (!static_branch_unlikely(&preserve_pool_key))
		return;
	err = note_poisoned(pfn);
	/* There has to be room in the image for a huge page's, too. */
	if (err == -ENOENT && PageHuge(pfn_to_page(pfn)))
		preserve_pool_kick(0);
	if (err == -ENOENT || err == -EEXIST)
		return;
	pr_err("a page of the pool is defective: pfn %#lx%s\n", pfn,
	       err ? "; no memory to tell the next kernel" : "");
	preserve_pool_kick(0);
}

/**
 * preserve_adopt_poisoned - Count a block's frames that the last kernel found defective.
 * @block: Not in the pool yet; @block->poisoned says which they are.
 */
void __init preserve_adopt_poisoned(struct preserve_block *block)
{
	atomic_long_add(bitmap_weight(block->poisoned, pageblock_nr_pages), &nr_poisoned);
}

/**
 * preserve_nr_poisoned - Count the defective frames.
 *
 * Context: Any.
 * Return: How many the pool knows.
 */
unsigned long preserve_nr_poisoned(void)
{
	return atomic_long_read(&nr_poisoned);
}

/**
 * preserve_next_poisoned - Look for a defective frame.
 * @pfn: First frame to look at.
 * @end: Behind the last.
 *
 * Context: Any.
 * Return: The first one, or @end.
 */
unsigned long preserve_next_poisoned(unsigned long pfn, unsigned long end)
{
	const struct preserve_block *block;
	const unsigned long *poisoned;
	unsigned long stop, bit;

	guard(rcu)();
	for (; pfn < end; pfn = stop) {
		block = preserve_block_find(pfn);
		if (!block)
			return end;
		stop = min(end, block->pfn + pageblock_nr_pages);
		poisoned = READ_ONCE(block->poisoned);
		if (!poisoned)
			continue;
		bit = find_next_bit(poisoned, stop - block->pfn, pfn - block->pfn);
		if (block->pfn + bit < stop)
			return block->pfn + bit;
	}
	return end;
}
