// SPDX-License-Identifier: GPL-2.0-only
/*
 * The frame maps: which frames of the pool matter across a kexec.
 *
 * preserve_out holds what the next kernel must keep: the frames of preserved
 * files, of their records and of their file maps. It starts empty at each boot,
 * so a file that nobody preserves again is free memory in the next kernel.
 *
 * preserve_in holds what the last kernel handed over and no record has taken
 * yet. Taking is how a record proves that its frames are its own.
 *
 * The pages of preserve_out itself are not in it; who opens the map walks them.
 */
#include <linux/preserve.h>

#include "internal.h"

struct preserve_frames preserve_out;
struct preserve_frames preserve_in;

/**
 * preserve_frames_init - Make a frame map empty.
 * @frames: The map.
 *
 * Context: Before anybody else can use it.
 */
void __init preserve_frames_init(struct preserve_frames *frames)
{
	spin_lock_init(&frames->lock);
	prmap_init(&frames->map, PRMAP_SET, &preserve_pool_map_ops, NULL);
}

/**
 * preserve_claim - Add frames to a frame map.
 * @frames: The map.
 * @pfn:    First frame.
 * @nr:     How many.
 *
 * Context: Any; takes @frames->lock.
 * Return: 0; -ENOMEM if the pool has no page for the map; -EEXIST if one of them
 *         is in preserve_in (in preserve_out, the caller is right). On error the
 *         map holds no more than before.
 */
int preserve_claim(struct preserve_frames *frames, unsigned long pfn,
		   unsigned long nr)
{
	const struct prmap_run run = { .index = pfn, .pfn = pfn, .nr = nr };

	int err;

	guard(spinlock_irqsave)(&frames->lock);
	err = prmap_set(&frames->map, &run);
	if (err != -EEXIST || frames != &preserve_out)
		return err;
	/* The caller owns the frames: an older claim was left behind. */
	return prmap_clear(&frames->map, pfn, nr) ?:
	       prmap_set(&frames->map, &run);
}

/**
 * preserve_unclaim - Take frames out of a frame map.
 * @frames: The map.
 * @pfn:    First frame.
 * @nr:     How many.
 *
 * Context: Any; takes @frames->lock.
 * Frames that are not in the map are passed over.
 *
 * Return: 0; -ENOMEM if splitting a run needs a page that the pool does not
 *         have: the map is then as it was.
 */
int preserve_unclaim(struct preserve_frames *frames, unsigned long pfn,
		     unsigned long nr)
{
	guard(spinlock_irqsave)(&frames->lock);
	return prmap_clear(&frames->map, pfn, nr);
}

/**
 * preserve_take - Take frames out of a frame map, all of them or none.
 * @frames: The map.
 * @pfn:    First frame.
 * @nr:     How many.
 *
 * Context: Any; takes @frames->lock.
 * Return: 0; -ENOENT if not all of them are in the map; -ENOMEM as above.
 */
int preserve_take(struct preserve_frames *frames, unsigned long pfn,
		  unsigned long nr)
{
	guard(spinlock_irqsave)(&frames->lock);
	if (!prmap_test_range(&frames->map, pfn, nr))
		return -ENOENT;
	return prmap_clear(&frames->map, pfn, nr);
}

/**
 * preserve_claimed - Are all these frames in the map?
 * @frames: The map.
 * @pfn:    First frame.
 * @nr:     How many.
 *
 * Context: Any; takes @frames->lock.
 * Return: True if they are.
 */
bool preserve_claimed(struct preserve_frames *frames, unsigned long pfn,
		      unsigned long nr)
{
	guard(spinlock_irqsave)(&frames->lock);
	return prmap_test_range(&frames->map, pfn, nr);
}

/**
 * preserve_nr_claimed - Count a frame map's frames.
 * @frames: The map.
 *
 * Context: Any; takes @frames->lock.
 * Return: How many it holds.
 */
u64 preserve_nr_claimed(struct preserve_frames *frames)
{
	guard(spinlock_irqsave)(&frames->lock);
	return prmap_nr_keys(&frames->map);
}
