// SPDX-License-Identifier: GPL-2.0-only
/*
 * Growth on demand: blocks for an allocation that finds no room.
 *
 * A first look at a node, preserve_pool_more(), takes bounded time: another node may
 * have room, and a large folio can be smaller ones. A single page that no node has at
 * hand waits in preserve_pool_insist(): for the holder of preserve_size_lock, and until
 * searches of everything have found nothing. A task that holds the lock for long serves
 * waiting allocations now and then, by preserve_pool_serve().
 *
 * A search of everything looks at all lent blocks, a part of them at a time, then at all
 * of the node's memory. It takes a fifth of the time at most, however often it is asked
 * for: not_before says when the next one may begin.
 *
 * The wait ends when neither the lock's holder nor a search has got on for long. The holder
 * may wait for I/O or for a file system in user space, and that for the very page.
 */
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/sched/signal.h>

#include <trace/events/preserve.h>

#include "pool.h"

/* Runs of lent blocks that may be busy before it gives up: in a first look ... */
#define PATIENCE	4

/* ... and before a search of everything lets others have the lock. */
#define SEARCH_PATIENCE	32

/* After a search in vain: so long, or so many times as long as it took. */
#define PAUSE		(HZ / 4UL)
#define PAUSE_PART	4
#define LONGEST_PAUSE	(10UL * HZ)

/* How long a first look waits for preserve_size_lock. */
#define LOCK_WAIT	(HZ / 2)

/* Searches of everything in vain, one after the other, before a page is refused. */
#define IN_VAIN		3

/* A wait ends when for so long neither the lock's holder nor a search has got on. */
#define STUCK		(30 * HZ)

/* When a search ended, or the lock's holder had done a step. */
static unsigned long alive;

/* The lock's holder serves; it gains for this node. Under preserve_size_lock. */
static bool serving;
static int gaining = NUMA_NO_NODE;

/* A search that began at @begin has found nothing, or a part of one, with @least 0. */
static void pause_after(struct preserve_node *node, unsigned long begin,
			unsigned long least)
{
	unsigned long took = jiffies - begin;

	/* A task that is killed stops in the middle, which says nothing. */
	if (!fatal_signal_pending(current))
		WRITE_ONCE(node->not_before, jiffies +
			   max(least, min(PAUSE_PART * took, LONGEST_PAUSE)));
}

/* Takes a step after the other, and serves others in between. Returns how many blocks. */
static unsigned long lent_take(struct preserve_taking *t,
			       unsigned long nr_blocks, unsigned int patience)
{
	unsigned long done = 0, got;
	bool more;

	while (done < nr_blocks) {
		more = preserve_taking_step(t, nr_blocks - done, &got);
		done += got;
		if (!more || (!got && !--patience))
			break;
		preserve_pool_serve();
		cond_resched();
	}
	return done;
}

/*
 * Takes lent blocks back, a part of them at a time: lowest first, from *@from on, which is
 * set to where it goes on; to 0 if none is left, there is no memory to move their content
 * to, or the task is being killed.
 * @patience is how many runs of blocks may turn out to be busy before it gives up.
 */
static unsigned long recall_lent_from(int nid, unsigned long nr_blocks,
				      unsigned int patience, unsigned long *from)
{
	struct preserve_taking t = { .nid = nid, .from = *from };
	unsigned long done;

	done = lent_take(&t, nr_blocks, patience);
	*from = t.from;
	if (nr_blocks)
		trace_preserve_recall(nid, nr_blocks, done);
	return done;
}

/**
 * preserve_pool_recall_lent - Take lent blocks back.
 * @nid:       The node.
 * @nr_blocks: How many.
 * @patience:  Runs of blocks that may turn out to be busy before it gives up.
 *
 * Lowest first, so that the pool stays packed. Blocks that are busy stay lent.
 *
 * Context: As preserve_taking_step().
 * Return: How many came back.
 */
unsigned long preserve_pool_recall_lent(int nid, unsigned long nr_blocks,
					unsigned int patience)
{
	unsigned long from = 0;

	return recall_lent_from(nid, nr_blocks, patience, &from);
}

/**
 * preserve_pool_drop_lent - Let lent blocks of a node leave the pool.
 * @nid:       The node.
 * @nr_blocks: How many at most.
 *
 * Context: As preserve_taking_step().
 * Return: How many left.
 */
unsigned long preserve_pool_drop_lent(int nid, unsigned long nr_blocks)
{
	struct preserve_taking t = { .nid = nid, .drop = true };

	return lent_take(&t, nr_blocks, UINT_MAX);
}

/**
 * preserve_pool_evacuate - Gain blocks on a node from all of its memory.
 * @nid:       The node.
 * @nr_blocks: How many.
 *
 * Context: Process context, preserve_size_lock held, no folio locked.
 * Return: How many it has gained itself. It looks for fewer by what has been gained for
 *         others meanwhile.
 */
unsigned long preserve_pool_evacuate(int nid, unsigned long nr_blocks)
{
	struct preserve_evacuation *ev = preserve_evacuation_begin(nid, nr_blocks);
	unsigned long before;

	if (!ev)
		return 0;
	while (preserve_evacuation_step(ev)) {
		before = preserve_pool_size();
		preserve_pool_serve();
		preserve_evacuation_lacks(ev, max(preserve_pool_size(), before) -
					      before);
	}
	return preserve_evacuation_end(ev);
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
	int outer = gaining;
	unsigned long got;

	gaining = nid;
	got = preserve_pool_recall_lent(nid, nr, PATIENCE);
	nr = min(nr, preserve_pool_room());
	if (!got && nr) {
		got = preserve_evacuate_some(nid, nr);
		trace_preserve_grow(nid, nr, got);
	}
	gaining = outer;
	if (got)
		WRITE_ONCE(node->nr_vain, 0);
	preserve_node_set_marks(node);
	return got;
}

/**
 * preserve_pool_waits - Does a task wait for a block of this node that may be searched for?
 * @nid: The node.
 *
 * Context: Any. A glance.
 * Return: True if so.
 */
bool preserve_pool_waits(int nid)
{
	const struct preserve_node *node = &preserve_nodes[nid];

	return atomic_read(&node->nr_waiting) &&
	       !preserve_pool_has_room(nid, 1) &&
	       time_after_eq(jiffies, READ_ONCE(node->not_before));
}

/**
 * preserve_pool_serve - Gain blocks for waiting allocations, in the middle of something else.
 *
 * A task that holds preserve_size_lock for long calls it now and then.
 *
 * Context: Process context, preserve_size_lock held, no folio locked.
 */
void preserve_pool_serve(void)
{
	unsigned long begin;
	int nid;

	WRITE_ONCE(alive, jiffies);
	/* What gains blocks comes through here again. */
	if (serving)
		return;
	serving = true;
	for_each_online_node(nid) {
		if (likely(!preserve_pool_waits(nid)) || nid == gaining)
			continue;
		begin = jiffies;
		if (!preserve_pool_gain(nid, PRESERVE_GAIN_BLOCKS))
			pause_after(&preserve_nodes[nid], begin, PAUSE);
	}
	serving = false;
}

/* False if it takes too long, if not needed any more, or if the task is killed. */
static bool lock_in_time(int nid, unsigned long nr_pages)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long end = jiffies + LOCK_WAIT;
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

/* Is there a reason not even to try? Blocks cannot join any more once the pool is frozen. */
static bool no_use(int nid)
{
	return current->flags & PF_MEMALLOC || !node_state(nid, N_MEMORY) ||
	       READ_ONCE(preserve_frozen);
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
			       PRESERVE_GAIN_BLOCKS);
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long begin;
	bool got;

	if ((gfp & GFP_KERNEL) != GFP_KERNEL || no_use(nid))
		return false;
	if (time_before(jiffies, READ_ONCE(node->not_before)))
		return false;
	if (!lock_in_time(nid, nr_pages))
		return preserve_pool_has_room(nid, nr_pages);
	got = preserve_pool_has_room(nid, nr_pages);
	if (!got && time_after_eq(jiffies, node->not_before)) {
		begin = jiffies;
		got = preserve_pool_gain(nid, nr);
		if (!got)
			pause_after(node, begin, PAUSE);
	}
	mutex_unlock(&preserve_size_lock);
	return got;
}

/*
 * A part of a search of everything. Returns whether it is over; *got says if it has
 * found something.
 */
static bool search_on(int nid, unsigned long nr, bool *got)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long before;

	*got = preserve_pool_gain(nid, nr) ||
	       recall_lent_from(nid, nr, SEARCH_PATIENCE,
				&node->sweep);
	if (*got || node->sweep)
		return *got;
	nr = min(nr, preserve_pool_room());
	before = preserve_pool_size();
	if (nr && preserve_memory_left(pageblock_nr_pages))
		*got = preserve_pool_evacuate(nid, nr);
	/* One that has ended early, because it served another node, says nothing. */
	return *got || preserve_pool_size() == before;
}

static void search_end(struct preserve_node *node, unsigned long begin, bool got)
{
	node->sweep = 0;
	WRITE_ONCE(node->nr_vain, got ? 0 : node->nr_vain + 1);
	WRITE_ONCE(node->nr_ended, node->nr_begun);
	if (!got)
		pause_after(node, begin, PAUSE);
}

/**
 * preserve_node_insist - Search everything for a few blocks, or go on with that.
 * @nid: The node, which has no room and for which a task waits.
 *
 * Context: Process context, preserve_size_lock held, no folio locked.
 */
void preserve_node_insist(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long begin = jiffies;
	bool over, got;

	if (!node->sweep)
		WRITE_ONCE(node->nr_begun, node->nr_begun + 1);
	gaining = nid;
	over = search_on(nid, PRESERVE_GAIN_BLOCKS, &got);
	gaining = NUMA_NO_NODE;
	preserve_node_set_marks(node);
	WRITE_ONCE(alive, jiffies);
	if (!got && fatal_signal_pending(current)) {
		/* Stopped in the middle: as if it had not begun. */
		WRITE_ONCE(node->nr_begun, node->nr_begun - 1);
		node->sweep = 0;
	} else if (over) {
		search_end(node, begin, got);
	} else {
		pause_after(node, begin, 0);
	}
}

/*
 * Has the node no more? Only searches since this one say so, all in vain: a page that is
 * in use for a moment keeps its block busy. With nothing to search one look is enough.
 */
static bool has_no_more(int nid, unsigned long since)
{
	const struct preserve_node *node = &preserve_nodes[nid];
	long nr = preserve_pool_may_grow(nid) ? IN_VAIN : 1;

	return (long)(READ_ONCE(node->nr_ended) - since) >= nr &&
	       READ_ONCE(node->nr_vain) >= nr;
}

/* One look, or a moment's wait. */
static void insist_once(int nid, bool search)
{
	const unsigned long not_before = READ_ONCE(preserve_nodes[nid].not_before);
	bool now = time_after_eq(jiffies, not_before) ||
		   !preserve_pool_may_grow(nid);

	if (search && now && mutex_trylock(&preserve_size_lock)) {
		if (!preserve_pool_has_room(nid, 1))
			preserve_node_insist(nid);
		mutex_unlock(&preserve_size_lock);
		return;
	}
	if (!search && now)
		preserve_pool_kick(0);
	schedule_timeout_killable(1);
}

/* The last sign of life since @begin. A pause between two searches is no standstill. */
static unsigned long last_alive(const struct preserve_node *node,
				unsigned long begin)
{
	unsigned long last = READ_ONCE(alive);
	unsigned long not_before = READ_ONCE(node->not_before);

	if (time_before(last, begin))
		last = begin;
	return time_after(not_before, last) ? not_before : last;
}

static bool any_has_room(const nodemask_t *nodes)
{
	int nid;

	for_each_node_mask(nid, *nodes)
		if (preserve_pool_has_room(nid, 1))
			return true;
	return false;
}

/**
 * preserve_pool_insist - Find more blocks for a page that no node has.
 * @nid:     The node to search.
 * @allowed: Nodes that the page may come from; @nid is one.
 * @gfp:     The allocation's.
 * @begin:   Since when it insists, in jiffies, maybe with other nodes.
 *
 * Waits for the task that changes the size, as long as that gets on, and tries everything.
 * Where I/O must not be waited for, the worker does it.
 *
 * Context: Process context, no folio locked.
 * Return: True if it is worth trying again. False if searches that began after the
 *         call have found nothing, neither the lock's holder nor a search has got on for
 *         long, or the task is killed.
 */
bool preserve_pool_insist(int nid, const nodemask_t *allowed, gfp_t gfp,
			  unsigned long begin)
{
	const bool search = (gfp & GFP_KERNEL) == GFP_KERNEL;
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long since = READ_ONCE(node->nr_begun);
	unsigned long free = READ_ONCE(node->nr_free);
	bool room = false, tried = false;

	if (no_use(nid))
		return false;
	atomic_inc(&node->nr_waiting);
	while (!READ_ONCE(preserve_frozen) && !fatal_signal_pending(current)) {
		/* Frames of blocks that are partly used do as well. */
		room = any_has_room(allowed) ||
		       READ_ONCE(node->nr_free) >
		       max(free, preserve_node_reserve(node));
		if (room || has_no_more(nid, since) ||
		    (tried && time_after(jiffies, last_alive(node, begin) + STUCK)))
			break;
		insist_once(nid, search);
		tried = true;
	}
	atomic_dec(&node->nr_waiting);
	return room;
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
