// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large the pool is: the size asked for, the limit, and a worker that keeps a few
 * idle blocks at hand and lends the others. Growth on demand is in gain.c.
 *
 * The pool's size counts lent blocks. Someone who writes a size, the kernel
 * parameter and the previous kernel set preserve_pool_want; the worker tries to get
 * there when the size is short of it. Growth on demand does not: any user can bring it
 * about, and it is to have no effect in the kernels that follow.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/ctype.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/workqueue.h>

#include <trace/events/preserve.h>

#include "internal.h"

/* Idle blocks that a node keeps at hand: a part of its blocks, within limits. */
#define SPARE_PART	64
#define SPARE_MAX	64UL

/*
 * Lent blocks that the worker takes back ahead of need: many in one go cost less
 * each. To evacuate as many would hold up whoever needs one.
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

/* Covers which blocks are the pool's, see internal.h. */
DEFINE_MUTEX(preserve_size_lock);

/* Blocks. All under preserve_size_lock. */
unsigned long preserve_pool_want;
unsigned long preserve_pool_max;

/* The limit as it was set at run time, here or before a kexec. */
unsigned long preserve_max_set = PRESERVE_NO_MAX;

bool preserve_pool_lend = true;

/*
 * How often the worker has tried to reach the size, and when it may again; how many blocks
 * had yielded (yield.c) when it was there last.
 */
static unsigned int tries;
static unsigned long want_not_before;
static unsigned long reached_yielded;

/* The worker is to run at once, and has not begun. */
static bool urgent;

static void pool_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(worker, pool_work);

/**
 * preserve_parse_size - Read a size as operators write it.
 * @text: Decimal digits, then one of K, M, G, T, P, E or nothing.
 * @end:  On success, what follows it.
 * @nr:   On success, blocks, rounded up. More than 64 bits of bytes are the most
 *        there is, where memparse() would begin again at zero.
 *
 * Context: Any.
 * Return: 0 or -EINVAL.
 */
int preserve_parse_size(const char *text, const char **end, unsigned long *nr)
{
	static const char units[] = "KMGTPE";
	size_t len = strspn(text, "0123456789");
	char digits[24];
	const char *unit;
	u64 bytes;

	if (!len || len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (kstrtoull(digits, 10, &bytes))
		bytes = U64_MAX;
	unit = text[len] ? strchr(units, toupper(text[len])) : NULL;
	if (unit && check_shl_overflow(bytes, 10 * (unit - units + 1), &bytes))
		bytes = U64_MAX;
	*end = text + len + !!unit;
	*nr = (bytes >> (PAGE_SHIFT + pageblock_order)) +
	      !!(bytes & ((PAGE_SIZE << pageblock_order) - 1));
	return 0;
}

static unsigned long node_size(const struct preserve_node *node)
{
	return READ_ONCE(node->nr_blocks) + READ_ONCE(node->nr_lent);
}

/**
 * preserve_pool_size - The pool's size.
 *
 * Context: Any; lasting only with preserve_size_lock held.
 * Return: Blocks, lent ones among them.
 */
unsigned long preserve_pool_size(void)
{
	unsigned long nr = 0;
	int nid;

	for_each_online_node(nid)
		nr += node_size(&preserve_nodes[nid]);
	return nr;
}

/* Blocks for what data may not use: with one more there is room for data. */
static unsigned long node_reserved(const struct preserve_node *node)
{
	return preserve_node_reserve(node) >> pageblock_order;
}

/**
 * preserve_pool_room - How much the pool may grow.
 *
 * Context: preserve_size_lock held.
 * Return: Blocks.
 */
unsigned long preserve_pool_room(void)
{
	unsigned long have = preserve_pool_size();

	return have < preserve_pool_max ? preserve_pool_max - have : 0;
}

static unsigned long node_spare(const struct preserve_node *node)
{
	unsigned long nr = node_size(node);

	return nr ? clamp(nr / SPARE_PART, 1UL, SPARE_MAX) + node_reserved(node) :
		    0;
}

/**
 * preserve_node_set_marks - Bring a node's marks up to date with its size.
 * @node: The node.
 *
 * Context: preserve_size_lock held.
 */
void preserve_node_set_marks(struct preserve_node *node)
{
	unsigned long reserved = node_reserved(node);
	unsigned long spare = node_spare(node);

	WRITE_ONCE(node->spare_low, spare ? DIV_ROUND_UP(spare - reserved, 2) +
					    reserved : 0);
	WRITE_ONCE(node->spare_high, preserve_pool_lend ?
		   spare + PRESERVE_GAIN_BLOCKS : ULONG_MAX);
}

/* On error the frames are still the caller's. */
static int add_block(unsigned long pfn)
{
	struct preserve_block *block;
	int err;

	block = preserve_block_alloc(pfn);
	if (!block)
		return -ENOMEM;
	err = preserve_block_join(block);
	if (err)
		preserve_block_free(block);
	return err;
}

/**
 * preserve_pool_add_blocks - Put neighbouring blocks into the pool.
 * @pfn:       Their first frame; all are the caller's, with reference count zero.
 * @nr_blocks: How many.
 *
 * What the pool has no memory to note goes to the page allocator.
 *
 * Context: Process context, preserve_size_lock held.
 * Return: How many have joined.
 */
unsigned long preserve_pool_add_blocks(unsigned long pfn,
				       unsigned long nr_blocks)
{
	unsigned long i;

	for (i = 0; i < nr_blocks; i++, pfn += pageblock_nr_pages)
		if (add_block(pfn))
			break;
	if (i < nr_blocks)
		free_contig_frozen_range(pfn, (nr_blocks - i) << pageblock_order);
	return i;
}

/**
 * preserve_pool_drop - Give an idle block back to the page allocator.
 * @block: Off its node, as preserve_block_steal() leaves it.
 *
 * Context: Process context, preserve_size_lock held.
 * Return: False if the kernel is about to be replaced: the block is in the pool again.
 */
bool preserve_pool_drop(struct preserve_block *block)
{
	unsigned long pfn = block->pfn;

	if (preserve_block_quit(block)) {
		preserve_block_unsteal(block);
		return false;
	}
	free_contig_frozen_range(pfn, pageblock_nr_pages);
	return true;
}

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
	unsigned long done = preserve_evacuate(nid, nr_blocks);

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

	/* Whoever waits is served meanwhile, on any node. */
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
	struct preserve_block *block = preserve_block_steal(nid);

	return block && preserve_pool_drop(block);
}

/* Somebody has changed what growth on demand may do. */
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
		left -= preserve_drop_some_lent(nid, left);
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
		preserve_lend_surplus(nid, node_spare(&preserve_nodes[nid]));
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
	unsigned long spare = node_spare(node);
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
	if (!READ_ONCE(urgent))
		lru_add_drain_all();
	WRITE_ONCE(urgent, false);
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
 * preserve_pool_kick - Let the worker look after the pool.
 * @delay: Jiffies from now, at the latest.
 *
 * Context: Any.
 */
void preserve_pool_kick(unsigned long delay)
{
	if (delay) {
		if (READ_ONCE(urgent))
			return;
		/* Without a timer it is about to run. */
		if (!queue_delayed_work(system_dfl_wq, &worker, delay) &&
		    timer_pending(&worker.timer) &&
		    time_before(jiffies + delay, READ_ONCE(worker.timer.expires)))
			mod_delayed_work(system_dfl_wq, &worker, delay);
		/* If it has become urgent meanwhile. */
		if (READ_ONCE(urgent))
			mod_delayed_work(system_dfl_wq, &worker, 0);
	} else if (!READ_ONCE(urgent)) {
		WRITE_ONCE(urgent, true);
		mod_delayed_work(system_dfl_wq, &worker, 0);
	}
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
		preserve_reclaim_lent(nid, node->nr_lent, UINT_MAX);
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
