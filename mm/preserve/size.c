// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large the pool is: the size asked for, the limit, growth on demand, and a
 * worker that keeps a few idle blocks at hand and lends the others.
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

/* Blocks that growth on demand gains in one go, unless it needs more ... */
#define DEMAND_BLOCKS	4UL

/*
 * Lent blocks that the worker takes back ahead of need: many in one go cost less
 * each. To evacuate as many would hold up whoever needs one.
 */
#define AHEAD_BLOCKS	16UL

/* Runs of lent blocks that may be busy before it gives up. */
#define DEMAND_PATIENCE	4

/* Pauses: before lending, after a failure, between attempts to reach the size. */
#define LEND_DELAY	HZ
#define DEMAND_PAUSE	(HZ / 4)
#define WANT_PAUSE	(5 * HZ)

/*
 * How long growth on demand waits for somebody else who changes the size, before it asks
 * another node.
 */
#define DEMAND_WAIT	(HZ / 2)

/* Searches in vain, with DEMAND_PAUSE in between, before a writer fails. */
#define IN_VAIN		3

/*
 * A writer that may not wait for I/O gets his block from the worker. That may itself
 * wait for I/O, and that for this writer: so there is an end.
 */
#define NOIO_WAIT	(30 * HZ)

/* Attempts of the worker to reach preserve_pool_want. */
#define WANT_TRIES	6

/* Covers which blocks are the pool's, see internal.h. */
DEFINE_MUTEX(preserve_size_lock);

/* Blocks. All under preserve_size_lock. */
unsigned long preserve_pool_want;
unsigned long preserve_pool_max;

/* The limit as it was set at run time, here or before a kexec. */
unsigned long preserve_max_set = PRESERVE_NO_MAX;

bool preserve_pool_lend = true;

static unsigned int tries;

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

static unsigned long node_spare(const struct preserve_node *node)
{
	unsigned long nr = node_size(node);

	return nr ? clamp(nr / SPARE_PART, 1UL, SPARE_MAX) : 0;
}

/* Brings a node's marks up to date with its size. */
static void node_set_marks(struct preserve_node *node)
{
	unsigned long spare = node_spare(node);

	WRITE_ONCE(node->spare_low, DIV_ROUND_UP(spare, 2));
	WRITE_ONCE(node->spare_high, preserve_pool_lend ?
		   spare + DEMAND_BLOCKS : ULONG_MAX);
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

	node_set_marks(&preserve_nodes[nid]);
	trace_preserve_grow(nid, nr_blocks, done);
	if (done == nr_blocks)
		return 0;
	return fatal_signal_pending(current) ? -EINTR : -ENOMEM;
}

static unsigned long grow_node(int nid, unsigned long nr_blocks)
{
	unsigned long before = node_size(&preserve_nodes[nid]);

	preserve_pool_grow_node(nid, nr_blocks);
	return node_size(&preserve_nodes[nid]) - before;
}

/* Adds blocks, spread over the nodes by their memory. */
static int pool_grow(unsigned long nr_blocks)
{
	unsigned long total = 0, left = nr_blocks, share;
	int nid;

	for_each_node_state(nid, N_MEMORY)
		total += node_present_pages(nid);
	for_each_node_state(nid, N_MEMORY) {
		share = mult_frac(nr_blocks, node_present_pages(nid), total);
		if (share)
			left -= grow_node(nid, min(share, left));
	}
	/* What rounding or a small node left over. */
	for_each_node_state(nid, N_MEMORY)
		if (left)
			left -= grow_node(nid, left);
	if (!left)
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
	tries = 0;
}

static int pool_shrink(unsigned long nr_blocks)
{
	unsigned long left = nr_blocks, done;
	int nid;

	preserve_pool_drain();
	for_each_node_state(nid, N_MEMORY) {
		done = left;
		while (left && !fatal_signal_pending(current) && drop_idle(nid)) {
			left--;
			preserve_pool_serve();
		}
		left -= preserve_drop_some_lent(nid, left);
		node_set_marks(&preserve_nodes[nid]);
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
	unsigned long have;
	int err = 0;

	if (mutex_lock_killable(&preserve_size_lock))
		return -EINTR;
	have = preserve_pool_size();
	if (nr_blocks > have && nr_blocks > preserve_pool_max) {
		mutex_unlock(&preserve_size_lock);
		return -ENOSPC;
	}
	if (nr_blocks > have)
		err = pool_grow(nr_blocks - have);
	else if (nr_blocks < have)
		err = pool_shrink(have - nr_blocks);
	preserve_pool_want = err == -ENOMEM || err == -EINTR ?
			     preserve_pool_size() : nr_blocks;
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

/**
 * preserve_pool_gain - Take lent blocks back, or else evacuate some, in bounded time.
 * @nid: The node.
 * @nr:  How many blocks, within the limit.
 *
 * Context: Process context, preserve_size_lock held, no folio locked.
 * Return: Whether there are more now.
 */
bool preserve_pool_gain(int nid, unsigned long nr)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long have = preserve_pool_size();
	unsigned long got = preserve_reclaim_lent(nid, nr, DEMAND_PATIENCE);

	if (!got && have < preserve_pool_max) {
		nr = min(nr, preserve_pool_max - have);
		got = preserve_evacuate_some(nid, nr);
		trace_preserve_grow(nid, nr, got);
	}
	node_set_marks(node);
	return got;
}

/* False if it takes too long, if not needed any more, or if the task is killed. */
static bool lock_in_time(int nid, unsigned long nr_pages)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long end = jiffies + DEMAND_WAIT;
	bool locked;

	atomic_inc(&node->nr_waiting);
	while (!(locked = mutex_trylock(&preserve_size_lock))) {
		if (preserve_pool_has_room(nid, nr_pages) ||
		    time_after(jiffies, end) || fatal_signal_pending(current))
			break;
		schedule_timeout_killable(1);
	}
	atomic_dec(&node->nr_waiting);
	return locked;
}

/**
 * preserve_pool_more - Find more blocks for an allocation.
 * @nid:      The node.
 * @gfp:      The allocation's.
 * @nr_pages: What the caller is going to need.
 *
 * Takes lent blocks back, or else evacuates a few; tries in bounded time, and not
 * again at once after it has failed.
 *
 * Context: Process context, no folio locked.
 * Return: Whether it is worth trying again.
 */
bool preserve_pool_more(int nid, gfp_t gfp, unsigned long nr_pages)
{
	unsigned long nr = max(DIV_ROUND_UP(nr_pages, pageblock_nr_pages),
			       DEMAND_BLOCKS);
	struct preserve_node *node = &preserve_nodes[nid];
	bool got;

	if ((gfp & GFP_KERNEL) != GFP_KERNEL || current->flags & PF_MEMALLOC ||
	    !node_state(nid, N_MEMORY))
		return false;
	if (time_before(jiffies, READ_ONCE(node->not_before)))
		return false;
	if (!lock_in_time(nid, nr_pages))
		return preserve_pool_has_room(nid, nr_pages);
	got = preserve_pool_has_room(nid, nr_pages);
	if (!got && time_after_eq(jiffies, node->not_before)) {
		got = preserve_pool_gain(nid, nr);
		if (!got)
			WRITE_ONCE(node->not_before, jiffies + DEMAND_PAUSE);
	}
	mutex_unlock(&preserve_size_lock);
	return got;
}

/* All of the node's lent blocks, and all of its memory. */
static bool gain_any(int nid, unsigned long nr)
{
	unsigned long have, got;

	if (preserve_pool_gain(nid, nr))
		return true;
	got = preserve_reclaim_lent(nid, nr, UINT_MAX);
	have = preserve_pool_size();
	if (!got && have < preserve_pool_max)
		got = preserve_evacuate(nid, min(nr, preserve_pool_max - have));
	node_set_marks(&preserve_nodes[nid]);
	return got;
}

/*
 * Gains a few blocks for those who wait for one, at any price. Context:
 * preserve_size_lock held, no folio locked.
 */
static void node_insist(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];

	WRITE_ONCE(node->nr_tries, node->nr_tries + 1);
	if (gain_any(nid, DEMAND_BLOCKS))
		return;
	WRITE_ONCE(node->in_vain, node->nr_tries);
	WRITE_ONCE(node->not_before, jiffies + DEMAND_PAUSE);
}

/* A node that has no room: may it be searched by now? */
static bool may_insist(int nid)
{
	return time_after_eq(jiffies, READ_ONCE(preserve_nodes[nid].not_before)) ||
	       !preserve_pool_may_grow(nid);
}

/*
 * Has the node no more? Only what has been tried since this many searches says so: a
 * page that is in use for a moment keeps its block busy. With nothing to search one
 * look is enough.
 */
static bool has_no_more(int nid, unsigned long since)
{
	unsigned long nr = READ_ONCE(preserve_nodes[nid].in_vain) - since;

	return (long)nr >= (preserve_pool_may_grow(nid) ? IN_VAIN : 1);
}

/* One look, or a moment's wait. */
static void insist_once(int nid, bool search)
{
	if (search && may_insist(nid) && mutex_trylock(&preserve_size_lock)) {
		if (!preserve_pool_has_room(nid, 1))
			node_insist(nid);
		mutex_unlock(&preserve_size_lock);
		return;
	}
	if (!search)
		preserve_pool_kick(0);
	schedule_timeout_killable(1);
}

/**
 * preserve_pool_insist - Find more blocks for a page that nobody else has.
 * @nid: The node.
 * @gfp: The allocation's.
 *
 * Waits for whoever changes the size, as long as it takes, and tries everything.
 * Where I/O must not be waited for, the worker does it.
 *
 * Context: Process context, no folio locked.
 * Return: True if it is worth trying again. False if searches that began after the
 *         call have found nothing, or the task is killed.
 */
bool preserve_pool_insist(int nid, gfp_t gfp)
{
	const bool search = (gfp & GFP_KERNEL) == GFP_KERNEL;
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long since = READ_ONCE(node->nr_tries);
	unsigned long end = jiffies + NOIO_WAIT;
	bool room;

	if (current->flags & PF_MEMALLOC || !node_state(nid, N_MEMORY))
		return false;
	atomic_inc(&node->nr_waiting);
	while (!(room = preserve_pool_has_room(nid, 1))) {
		if (fatal_signal_pending(current) || has_no_more(nid, since) ||
		    (!search && time_after(jiffies, end)))
			break;
		insist_once(nid, search);
	}
	atomic_dec(&node->nr_waiting);
	return room;
}

/**
 * preserve_pool_serve - Gain blocks for those who wait, in the middle of something else.
 *
 * Who holds preserve_size_lock for long calls it now and then.
 *
 * Context: Process context, preserve_size_lock held, no folio locked.
 */
void preserve_pool_serve(void)
{
	struct preserve_node *node;
	int nid;

	for_each_online_node(nid) {
		node = &preserve_nodes[nid];
		if (likely(!atomic_read(&node->nr_waiting)) ||
		    preserve_pool_has_room(nid, 1) ||
		    time_before(jiffies, node->not_before))
			continue;
		if (!preserve_pool_gain(nid, DEMAND_BLOCKS))
			WRITE_ONCE(node->not_before, jiffies + DEMAND_PAUSE);
	}
}

/**
 * preserve_pool_may_grow - Can preserve_pool_more() succeed later, if not now?
 * @nid: The node.
 *
 * Context: Any; the answer may be out of date at once.
 * Return: False if the pool has reached its limit and nothing of the node is lent.
 */
bool preserve_pool_may_grow(int nid)
{
	return READ_ONCE(preserve_nodes[nid].nr_lent) ||
	       preserve_pool_size() < READ_ONCE(preserve_pool_max);
}

/* A node has few idle blocks, or many. */
static void node_balance(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long spare = node_spare(node);
	unsigned long idle = READ_ONCE(node->nr_idle);
	unsigned long least = clamp(node->nr_lent, DEMAND_BLOCKS, AHEAD_BLOCKS);

	if (atomic_read(&node->nr_waiting) && may_insist(nid) &&
	    !preserve_pool_has_room(nid, 1))
		node_insist(nid);
	if (idle < node->spare_low) {
		if (time_before(jiffies, node->not_before))
			return;
		if (preserve_pool_gain(nid, max(spare - idle, least)))
			preserve_pool_kick(LEND_DELAY);
		else
			WRITE_ONCE(node->not_before, jiffies + DEMAND_PAUSE);
	} else if (preserve_pool_lend) {
		preserve_lend_surplus(nid, spare);
	}
	node_set_marks(node);
}

static void pool_work(struct work_struct *work)
{
	unsigned long have;
	int nid;

	/* A page of a file that is gone may wait there, and keep a block in use. */
	if (!READ_ONCE(urgent))
		lru_add_drain_all();
	WRITE_ONCE(urgent, false);
	mutex_lock(&preserve_size_lock);
	preserve_pool_drain();
	have = preserve_pool_size();
	if (have < min(preserve_pool_want, preserve_pool_max)) {
		pool_grow(min(preserve_pool_want, preserve_pool_max) - have);
		if (preserve_pool_size() < preserve_pool_want &&
		    ++tries < WANT_TRIES)
			preserve_pool_kick(WANT_PAUSE);
	}
	for_each_online_node(nid)
		node_balance(nid);
	/* A frame may have turned defective. */
	preserve_handover_fill();
	mutex_unlock(&preserve_size_lock);
}

/**
 * preserve_pool_kick - Let the worker look after the pool.
 * @delay: Jiffies from now.
 *
 * Context: Any.
 */
void preserve_pool_kick(unsigned long delay)
{
	if (delay) {
		if (!delayed_work_pending(&worker))
			queue_delayed_work(system_dfl_wq, &worker, delay);
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

		node_set_marks(node);
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
		node_set_marks(&preserve_nodes[nid]);
	preserve_pool_kick(0);
}
