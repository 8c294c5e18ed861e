// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which frames of the pool matter across a kexec: two bitmaps in each block.
 *
 * @claimed says what the next kernel must keep: the frames of preserved files, of
 * their records and of their file maps. It starts empty at each boot, so a file that
 * is not preserved again is free memory in the next kernel.
 *
 * @untaken says what the last kernel handed over and no record has taken yet. Taking
 * is how a record proves that its frames are its own.
 *
 * Bits are there as long as the block is, so that neither claiming nor undoing it can
 * fail, and nothing that has been undone is left behind.
 *
 * A claimed frame that its owner frees all the same (a file that is frozen for the
 * next kernel loses a page) is not used again while it is claimed: it waits as an
 * orphan, see preserve_unclaim().
 */
#include <linux/bitmap.h>
#include <linux/mutex.h>
#include <linux/preserve.h>

#include "pool.h"

/* Covers @untaken of all blocks: taking is all or nothing. */
static DEFINE_MUTEX(take_lock);

static atomic_long_t nr_untaken;

/* A part of a run of frames that lies in one block. */
struct part {
	struct preserve_block *block;
	unsigned long bit;
	unsigned long nr;
};

/* The part at *@pfn, of at most *@nr frames; moves both on. NULL: not the pool's. */
static struct preserve_block *part_next(unsigned long *pfn, unsigned long *nr,
					struct part *part)
{
	part->block = preserve_block_find(*pfn);
	if (!part->block)
		return NULL;
	part->bit = *pfn - part->block->pfn;
	part->nr = min(*nr, pageblock_nr_pages - part->bit);
	*pfn += part->nr;
	*nr -= part->nr;
	return part->block;
}

static bool part_untaken(const struct part *part)
{
	const struct preserve_block *block = part->block;
	unsigned long end = part->bit + part->nr;

	if (READ_ONCE(block->nr_untaken) == pageblock_nr_pages)
		return true;
	return find_next_zero_bit(block->untaken, end, part->bit) >= end;
}

/**
 * preserve_claim - Let the next kernel keep frames.
 * @pfn: First frame.
 * @nr:  How many; the caller owns them.
 *
 * Cannot fail for a caller that is right. Once the image for the next kernel is
 * written, this does nothing.
 *
 * Context: Any; takes the lock of the blocks' node.
 * Return: 0; -ENXIO if a frame is not in use, or not the pool's; -EEXIST if one is
 *         claimed already.
 *         On error none is claimed that was not before.
 */
int preserve_claim(unsigned long pfn, unsigned long nr)
{
	unsigned long at = pfn, left = nr;
	struct part part;
	int err = 0;

	while (left && !err) {
		guard(rcu)();
		if (!part_next(&at, &left, &part))
			err = -ENXIO;
		else
			err = preserve_block_claim(part.block, part.bit, part.nr);
	}
	/* The part that failed, if there is a block, has been passed. */
	if (err && part.block)
		at -= part.nr;
	if (err && at > pfn)
		preserve_unclaim(pfn, at - pfn);
	return err;
}

/**
 * preserve_unclaim - Undo preserve_claim().
 * @pfn: First frame.
 * @nr:  How many; those that are not claimed are passed over.
 *
 * Frees those among them that lost their owner while they were claimed. Once the
 * image for the next kernel is written, this does nothing.
 *
 * Context: Any; takes the lock of the blocks' node.
 */
void preserve_unclaim(unsigned long pfn, unsigned long nr)
{
	struct part part;

	while (nr) {
		guard(rcu)();
		if (!part_next(&pfn, &nr, &part))
			return;
		/* A caller that undoes claims has seen them made. */
		if (READ_ONCE(part.block->nr_claimed))
			preserve_block_unclaim(part.block, part.bit, part.nr);
	}
}

/**
 * preserve_untaken - Are all these frames handed over, and no file's yet?
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Context: May sleep. The answer lasts only with preserve_take().
 * Return: True if they are.
 */
bool preserve_untaken(unsigned long pfn, unsigned long nr)
{
	struct part part;

	while (nr) {
		scoped_guard(rcu)
			if (!part_next(&pfn, &nr, &part) ||
			    !part_untaken(&part))
				return false;
		cond_resched();
	}
	return true;
}

static void untaken_clear(unsigned long pfn, unsigned long nr)
{
	struct part part;

	atomic_long_sub(nr, &nr_untaken);
	/* A block that has such a frame stays. */
	while (nr && part_next(&pfn, &nr, &part)) {
		bitmap_clear(part.block->untaken, part.bit, part.nr);
		part.block->nr_untaken -= part.nr;
		cond_resched();
	}
}

/**
 * preserve_take - Become the owner of handed-over frames, of all or of none.
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Context: May sleep.
 * Return: False if not all of them are handed over and without an owner.
 */
bool preserve_take(unsigned long pfn, unsigned long nr)
{
	guard(mutex)(&take_lock);
	if (!preserve_untaken(pfn, nr))
		return false;
	untaken_clear(pfn, nr);
	return true;
}

/**
 * preserve_untake - Undo preserve_take().
 * @pfn: First frame.
 * @nr:  How many; all of them were taken by the caller, and are as they were.
 *
 * Context: May sleep.
 */
void preserve_untake(unsigned long pfn, unsigned long nr)
{
	struct part part;

	guard(mutex)(&take_lock);
	atomic_long_add(nr, &nr_untaken);
	while (nr && part_next(&pfn, &nr, &part)) {
		bitmap_set(part.block->untaken, part.bit, part.nr);
		part.block->nr_untaken += part.nr;
		cond_resched();
	}
}

/**
 * preserve_adopt_live - Count a block's frames that were handed over.
 * @block: Not in the pool yet; @block->untaken says which they are.
 *
 * Return: How many.
 */
unsigned long __init preserve_adopt_live(struct preserve_block *block)
{
	block->nr_untaken = bitmap_weight(block->untaken, pageblock_nr_pages);
	atomic_long_add(block->nr_untaken, &nr_untaken);
	return block->nr_untaken;
}

/**
 * preserve_nr_untaken - Count the frames that no file has taken.
 *
 * Context: Any.
 * Return: How many.
 */
unsigned long preserve_nr_untaken(void)
{
	return atomic_long_read(&nr_untaken);
}
