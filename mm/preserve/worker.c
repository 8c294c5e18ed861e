// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bringing the pool to a size; and the worker, which tries to reach the size that is
 * wanted, keeps a few idle blocks at hand and lends the others.
 */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/workqueue.h>

#include <trace/events/preserve.h>

#include "pool.h"

/*
 * Lent blocks that the worker takes back ahead of need: many in one go cost less
 * each. To evacuate as many would hold up the tasks that need one.
 */
#define AHEAD_BLOCKS	16UL

/* Pauses: before lending, after a failure, between attempts to reach the size. */
#define LEND_DELAY	HZ
#define AHEAD_PAUSE	(HZ / 4)
#define WANT_PAUSE	(5 * HZ)

/* Attempts of the worker to reach preserve_pool_want, and the pause after that many. */
#define WANT_TRIES	6U
#define WANT_LONG_PAUSE	(300 * HZ)

/* The pause before another look whether there is memory for an attempt. */
#define WANT_LOOK_PAUSE	(15 * HZ)

/*
 * How often the worker has tried to reach the size, and when it may again; how many blocks
 * had yielded (yield.c) when it was there last.
 */
static unsigned int tries;
static unsigned long want_not_before;
static unsigned long reached_yielded;

/**
 * preserve_pool_grow_node - Add blocks to a node.
 * @nid:       The node.
 * @nr_blocks: How many.
 *
 * Context: Process context, preserve_size_lock held, no folio locked.
 * Return: 0; -ENOMEM if not all could be gained; -EINTR.
 */
int preserve_pool_grow_node(int nid, unsigned long nr_blocks)
{
	unsigned long done = preserve_pool_evacuate(nid, nr_blocks);

	preserve_node_set_marks(&preserve_nodes[nid]);
	trace_preserve_grow(nid, nr_blocks, done);
	if (done == nr_blocks)
		return 0;
	return fatal_signal_pending(current) ? -EINTR : -ENOMEM;
}

/* Grows a node by @nr_blocks at most, until the pool has @target of them. */
static void grow_node(int nid, unsigned long nr_blocks, unsigned long target)
{
	unsigned long have = preserve_pool_size();

	/* Waiting tasks are served meanwhile, on any node. */
	nr_blocks = have < target ? min(nr_blocks, target - have) : 0;
	if (nr_blocks)
		preserve_pool_grow_node(nid, nr_blocks);
}

/* Adds blocks, spread over the nodes by their memory. */
static int pool_grow(unsigned long nr_blocks)
{
	unsigned long target = preserve_pool_size() + nr_blocks, total = 0;
	int nid;

	for_each_node_state(nid, N_MEMORY)
		total += node_present_pages(nid);
	for_each_node_state(nid, N_MEMORY)
		grow_node(nid, mult_frac(nr_blocks, node_present_pages(nid),
					 total), target);
	/* What rounding or a small node left over. */
	for_each_node_state(nid, N_MEMORY)
		grow_node(nid, nr_blocks, target);
	if (preserve_pool_size() >= target)
		return 0;
	return fatal_signal_pending(current) ? -EINTR : -ENOMEM;
}

static bool drop_idle(int nid)
{
	struct preserve_block *block = preserve_block_isolate(nid);

	return block && preserve_pool_drop(block);
}

/* What growth on demand may do has changed. */
static void forget_failures(void)
{
	int nid;

	for_each_online_node(nid)
		WRITE_ONCE(preserve_nodes[nid].not_before, jiffies);
	want_not_before = jiffies;
	tries = 0;
}

static int pool_shrink(unsigned long nr_blocks)
{
	unsigned long left = nr_blocks, done;
	int nid;

	preserve_pool_drain();
	for_each_node_state(nid, N_MEMORY) {
		done = left;
		while (left && !fatal_signal_pending(current) && drop_idle(nid))
			left--;
		left -= preserve_pool_drop_lent(nid, left);
		preserve_node_set_marks(&preserve_nodes[nid]);
		trace_preserve_shrink(nid, done, done - left);
	}
	if (!left)
		return 0;
	return fatal_signal_pending(current) ? -EINTR : -EBUSY;
}

/**
 * preserve_pool_lend_now - Lend out what no node needs soon.
 *
 * Context: Process context, preserve_size_lock held.
 */
void preserve_pool_lend_now(void)
{
	int nid;

	if (!READ_ONCE(preserve_pool_lend))
		return;
	for_each_online_node(nid)
		preserve_lend_surplus(nid, preserve_node_spare(&preserve_nodes[nid]));
}

/**
 * preserve_pool_resize - Bring the pool to a size.
 * @nr_blocks: Blocks.
 *
 * Context: Process context, no folio locked; takes preserve_size_lock.
 * Return: 0; -ENOSPC above the limit; -ENOMEM if not all could be gained; -EBUSY
 *         if too many blocks are in use to shrink so far; -EINTR. What could be
 *         done is done in the last three cases.
 */
int preserve_pool_resize(unsigned long nr_blocks)
{
	unsigned long have, yielded;
	int err = 0;

	if (mutex_lock_killable(&preserve_size_lock))
		return -EINTR;
	yielded = READ_ONCE(preserve_nr_yielded);
	have = preserve_pool_size();
	if (nr_blocks > have && nr_blocks > preserve_pool_max) {
		mutex_unlock(&preserve_size_lock);
		return -ENOSPC;
	}
	if (nr_blocks > have)
		err = pool_grow(nr_blocks - have);
	else if (nr_blocks < have)
		err = pool_shrink(have - nr_blocks);
	yielded = READ_ONCE(preserve_nr_yielded) - yielded;
	preserve_pool_want = err == -ENOMEM || err == -EINTR ?
			     min(preserve_pool_size() + yielded, nr_blocks) :
			     nr_blocks;
	forget_failures();
	preserve_pool_lend_now();
	mutex_unlock(&preserve_size_lock);
	return err;
}

/**
 * preserve_pool_set_max - Set the limit of the pool's size.
 * @nr_blocks: Blocks; more than all of memory is all of memory.
 *
 * Context: Process context, takes preserve_size_lock.
 * Return: 0 or -EINTR.
 */
int preserve_pool_set_max(unsigned long nr_blocks)
{
	if (mutex_lock_killable(&preserve_size_lock))
		return -EINTR;
	WRITE_ONCE(preserve_pool_max,
		   min(nr_blocks, totalram_pages() >> pageblock_order));
	WRITE_ONCE(preserve_max_set, preserve_pool_max);
	forget_failures();
	mutex_unlock(&preserve_size_lock);
	return 0;
}

/* A node has few idle blocks, or many. */
static void node_balance(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long spare = preserve_node_spare(node);
	unsigned long idle = READ_ONCE(node->nr_idle);
	unsigned long least = clamp(node->nr_lent, PRESERVE_GAIN_BLOCKS,
				    AHEAD_BLOCKS);

	if (preserve_pool_waits(nid))
		preserve_node_insist(nid);
	if (idle < node->spare_low) {
		if (time_before(jiffies, node->not_before))
			return;
		if (preserve_pool_gain(nid, max(spare - idle, least)))
			preserve_pool_kick(LEND_DELAY);
		else
			WRITE_ONCE(node->not_before, jiffies + AHEAD_PAUSE);
	} else if (preserve_pool_lend) {
		preserve_lend_surplus(nid, spare);
	}
	preserve_node_set_marks(node);
}

/*
 * What the pool lacks that the worker may try to gain. After some attempts that is only what
 * has yielded: it may be had again after hours, when pins have ended; the rest will not.
 */
static unsigned long want_lacks(unsigned long have)
{
	unsigned long want = min(preserve_pool_want, preserve_pool_max);
	unsigned long lacks = have < want ? want - have : 0;

	if (tries < WANT_TRIES)
		return lacks;
	return min(lacks, READ_ONCE(preserve_nr_yielded) - reached_yielded);
}

/* One attempt. As long as there is no memory for what has yielded, it does not count. */
static void want_try(unsigned long have)
{
	unsigned long before = preserve_pool_size(), after;

	if (preserve_memory_left(pageblock_nr_pages)) {
		pool_grow(want_lacks(have));
	} else if (READ_ONCE(preserve_nr_yielded) != reached_yielded) {
		want_not_before = jiffies + WANT_LOOK_PAUSE;
		return;
	}
	after = preserve_pool_size();
	if (after > before)
		reached_yielded += min(after - before,
				       READ_ONCE(preserve_nr_yielded) - reached_yielded);
	tries = min(tries + 1, WANT_TRIES);
	want_not_before = jiffies + (tries < WANT_TRIES ? WANT_PAUSE :
							  WANT_LONG_PAUSE);
}

/* Tries to reach the size, now or, if it has just failed, later. */
static void want_reach(void)
{
	/* Before the size: a block that yields leaves the pool before it counts here. */
	unsigned long yielded = smp_load_acquire(&preserve_nr_yielded);
	unsigned long have = preserve_pool_size();
	long delay;

	if (have >= min(preserve_pool_want, preserve_pool_max)) {
		reached_yielded = yielded;
		tries = 0;
		return;
	}
	if (time_after_eq(jiffies, want_not_before))
		want_try(have);
	delay = want_not_before - jiffies;
	if (want_lacks(preserve_pool_size()))
		preserve_pool_kick(max(delay, 1L));
}

static void pool_work(struct work_struct *work)
{
	int nid;

	/* A page of a file that is gone may wait there, and keep a block in use. */
	if (!READ_ONCE(preserve_worker_urgent))
		lru_add_drain_all();
	WRITE_ONCE(preserve_worker_urgent, false);
	mutex_lock(&preserve_size_lock);
	preserve_pool_drain();
	want_reach();
	for_each_online_node(nid)
		node_balance(nid);
	/* A frame may have turned defective. */
	preserve_handover_fill();
	mutex_unlock(&preserve_size_lock);
}

/**
 * preserve_pool_set_lend - Lend idle blocks or not.
 * @lend: Whether.
 *
 * Context: Process context, no folio locked; takes preserve_size_lock.
 * Return: 0; -EBUSY if a block could not be taken back; -EINTR.
 */
int preserve_pool_set_lend(bool lend)
{
	int nid, err = 0;

	if (mutex_lock_killable(&preserve_size_lock))
		return -EINTR;
	preserve_pool_lend = lend;
	forget_failures();
	preserve_pool_drain();
	if (lend)
		preserve_pool_lend_now();
	for_each_online_node(nid) {
		struct preserve_node *node = &preserve_nodes[nid];

		preserve_node_set_marks(node);
		if (lend || !node->nr_lent)
			continue;
		preserve_pool_recall_lent(nid, node->nr_lent, UINT_MAX);
		if (node->nr_lent)
			err = -EBUSY;
	}
	mutex_unlock(&preserve_size_lock);
	return err;
}

/**
 * preserve_pool_regain - Let the worker make up for blocks that had to leave.
 *
 * Context: Process context, preserve_size_lock held.
 */
void preserve_pool_regain(void)
{
	forget_failures();
	preserve_pool_kick(LEND_DELAY);
}

/**
 * preserve_worker_init - Make the worker known to preserve_pool_kick().
 *
 * Context: Boot, before the first preserve_pool_kick().
 */
void __init preserve_worker_init(void)
{
	INIT_DELAYED_WORK(&preserve_worker, pool_work);
}

/**
 * preserve_pool_start - Let the worker bring the pool to its size.
 *
 * Context: Process context.
 */
void __init preserve_pool_start(void)
{
	int nid;

	guard(mutex)(&preserve_size_lock);
	for_each_online_node(nid)
		preserve_node_set_marks(&preserve_nodes[nid]);
	preserve_pool_kick(0);
}
