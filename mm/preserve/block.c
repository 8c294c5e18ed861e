// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks, and the lists of a node.
 *
 * Inside a block a bitmap says which frames are used; that is all the state a frame
 * has while it is free. A block is on the list that fits its fill, or in the tree of
 * idle blocks.
 *
 * Allocation packs: it first looks behind the caller's goal, so that the neighbours in
 * a file become neighbours in memory, then in blocks that are already partly used, and
 * opens an idle block last. Metadata (records, maps) has blocks of its own as long as
 * there is room, so that compaction, which moves folios only, can empty the others. A
 * few frames a block are kept for it, so that a pool full of data can still be
 * preserved.
 */
#include <linux/bitmap.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/rbtree.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "pool.h"

#define CREATE_TRACE_POINTS
#include <trace/events/preserve.h>

/* Frames for metadata in even the smallest pool. */
#define MIN_RESERVE	8

/* How many partly used blocks a search for a large folio looks into. */
#define SEARCH_LIMIT	16

/* In page->private of a frame that is free, but claimed for the next kernel. */
#define ORPHAN		0x4f525048UL

DEFINE_STATIC_KEY_FALSE(preserve_pool_key);

DEFINE_XARRAY(preserve_blocks);

/* By node, of all that there can be. There when there is a pool. */
struct preserve_node *preserve_nodes __ro_after_init;

/* The image is written, or about to be: read under the locks of the nodes, too. */
bool preserve_frozen;

/**
 * preserve_block_next - Walk over all blocks, in the order of their frames.
 * @pfn: Where to begin.
 *
 * Context: preserve_header_lock or preserve_size_lock held, so that none leaves; or
 *          RCU, to look at it only.
 * Return: The first block at or behind @pfn, or NULL.
 */
struct preserve_block *preserve_block_next(unsigned long pfn)
{
	unsigned long index = pfn >> pageblock_order;

	return xa_find(&preserve_blocks, &index, ULONG_MAX, XA_PRESENT);
}

static struct preserve_block *idle_block(struct rb_node *rb)
{
	return rb_entry_safe(rb, struct preserve_block, idle);
}

/**
 * preserve_lowest_idle - A node's lowest idle block: the one to use first.
 * @node: The node.
 *
 * Context: The node's lock held.
 * Return: The block, or NULL.
 */
struct preserve_block *preserve_lowest_idle(struct preserve_node *node)
{
	return idle_block(rb_first_cached(&node->idle));
}

/**
 * preserve_highest_idle - A node's highest idle block: the one to leave first.
 * @node: The node.
 *
 * Context: The node's lock held.
 * Return: The block, or NULL.
 */
struct preserve_block *preserve_highest_idle(struct preserve_node *node)
{
	return idle_block(rb_last(&node->idle.rb_root));
}

static bool idle_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct preserve_block, idle)->pfn <
	       rb_entry(b, struct preserve_block, idle)->pfn;
}

/**
 * preserve_block_home - The list that fits a block's fill.
 * @node:  Its node.
 * @block: The block.
 *
 * Context: The node's lock held; without it, a glance.
 * Return: The list; NULL for the tree of idle blocks.
 */
struct list_head *preserve_block_home(struct preserve_node *node,
				      const struct preserve_block *block)
{
	if (block->target)
		return block->leaving ? &node->leaving : &node->target;
	if (!block->nr_free)
		return &node->full;
	if (preserve_block_is_idle(block))
		return NULL;
	return block->metadata ? &node->metadata : &node->partial;
}

/* Context: node lock held. */
static void block_link(struct preserve_node *node, struct preserve_block *block,
		       struct list_head *home)
{
	if (home) {
		list_add(&block->list, home);
		return;
	}
	/* What it is used for next is not known yet. */
	block->metadata = false;
	rb_add_cached(&block->idle, &node->idle, idle_less);
	node->nr_idle++;
}

/* Context: node lock held; @home is where it is. */
static void block_unlink(struct preserve_node *node,
			 struct preserve_block *block, struct list_head *home)
{
	if (home) {
		list_del(&block->list);
		return;
	}
	rb_erase_cached(&block->idle, &node->idle);
	node->nr_idle--;
}

/**
 * preserve_block_set_target - Set a block apart for compaction, or end that.
 * @node:   Its node.
 * @block:  The block.
 * @target: Whether.
 *
 * Context: The node's lock held.
 */
void preserve_block_set_target(struct preserve_node *node,
			       struct preserve_block *block, bool target)
{
	block_unlink(node, block, preserve_block_home(node, block));
	block->target = target;
	block_link(node, block, preserve_block_home(node, block));
}

/**
 * preserve_block_mark - Note that frames are used, or free.
 * @node:  The block's node.
 * @block: The block.
 * @bit:   First frame.
 * @nr:    How many; none of them is so yet.
 * @used:  What they are now.
 *
 * Context: The node's lock held.
 */
void preserve_block_mark(struct preserve_node *node, struct preserve_block *block,
			 unsigned long bit, unsigned long nr, bool used)
{
	struct list_head *was = preserve_block_home(node, block);
	struct list_head *now;

	if (used) {
		bitmap_set(block->used, bit, nr);
		block->nr_free -= nr;
		node->nr_free -= nr;
	} else {
		bitmap_clear(block->used, bit, nr);
		block->nr_free += nr;
		node->nr_free += nr;
	}

	now = preserve_block_home(node, block);
	if (now == was)
		return;
	block_unlink(node, block, was);
	block_link(node, block, now);
}

/**
 * preserve_block_enter - Put a block on its node.
 * @node:  The node.
 * @block: The block.
 *
 * Context: The node's lock held.
 */
void preserve_block_enter(struct preserve_node *node,
			  struct preserve_block *block)
{
	struct list_head *home = preserve_block_home(node, block);

	block->pooled = true;
	/* Behind the others: what is adopted comes in order, lowest first. */
	block_link(node, block, home);
	if (home)
		list_move_tail(&block->list, home);
	node->nr_blocks++;
	node->nr_free += block->nr_free;
}

/**
 * preserve_block_leave - Take an idle block off its node.
 * @node:  The node.
 * @block: The block.
 *
 * Context: The node's lock held.
 */
void preserve_block_leave(struct preserve_node *node,
			  struct preserve_block *block)
{
	block->pooled = false;
	block_unlink(node, block, NULL);
	node->nr_blocks--;
	node->nr_free -= pageblock_nr_pages;
}

/**
 * preserve_block_fits - Are these frames of a block free?
 * @block: The block.
 * @bit:   First frame.
 * @nr:    How many.
 *
 * Context: The node's lock held.
 * Return: False if one is not, or not the block's.
 */
bool preserve_block_fits(const struct preserve_block *block, unsigned long bit,
			 unsigned long nr)
{
	if (bit + nr > pageblock_nr_pages)
		return false;
	return find_next_bit(block->used, bit + nr, bit) >= bit + nr;
}

/* An aligned free run of @nr frames in @block, or -1. */
static long block_search(struct preserve_block *block, unsigned long nr)
{
	unsigned long bit;

	if (block->nr_free < nr)
		return -1;
	if (nr == 1)
		return find_first_zero_bit(block->used, pageblock_nr_pages);

	bit = bitmap_find_next_zero_area(block->used, pageblock_nr_pages, 0,
					 nr, nr - 1);
	return bit < pageblock_nr_pages ? (long)bit : -1;
}

/* Context: node lock held. Returns the first pfn, or 0. */
static unsigned long node_take_goal(struct preserve_node *node, unsigned long nr,
				    const struct preserve_request *rq)
{
	unsigned long goal = rq->goal;
	struct preserve_block *block;
	unsigned long bit;

	if (!goal || !IS_ALIGNED(goal, nr))
		return 0;
	block = preserve_block_find(goal);
	if (!block || preserve_block_node(block) != node || !block->pooled ||
	    block->target)
		return 0;
	bit = goal - block->pfn;
	if (!preserve_block_fits(block, bit, nr))
		return 0;
	if (rq->kernel) {
		/* What never moves would keep a block of data in use. */
		if (!block->metadata && !preserve_block_is_idle(block))
			return 0;
		block->metadata = true;
	}
	preserve_block_mark(node, block, bit, nr, true);
	return goal;
}

/*
 * Takes @nr frames from the blocks of one list, at the start of a free run of
 * @run. Context: node lock held.
 */
static unsigned long list_take(struct preserve_node *node,
			       struct list_head *list, unsigned long nr,
			       unsigned long run)
{
	unsigned int looked = 0;
	struct preserve_block *block;
	long bit;

	list_for_each_entry(block, list, list) {
		bit = block_search(block, run);
		if (bit >= 0) {
			preserve_block_mark(node, block, bit, nr, true);
			return block->pfn + bit;
		}
		if (++looked == SEARCH_LIMIT)
			break;
	}
	return 0;
}

static unsigned long idle_take(struct preserve_node *node, unsigned long nr,
			       bool metadata)
{
	struct preserve_block *block = preserve_lowest_idle(node);

	if (!block)
		return 0;
	block->metadata = metadata;
	preserve_block_mark(node, block, 0, nr, true);
	return block->pfn;
}

/* Context: node lock held. Returns the first pfn, or 0. */
static unsigned long node_take(struct preserve_node *node, unsigned long nr,
			       bool metadata)
{
	struct list_head *own = metadata ? &node->metadata : &node->partial;
	struct list_head *other = metadata ? &node->partial : &node->metadata;
	unsigned long pfn = 0;

	if (nr < pageblock_nr_pages)
		pfn = list_take(node, own, nr, nr);
	if (!pfn)
		pfn = idle_take(node, nr, metadata);
	if (!pfn && nr < pageblock_nr_pages)
		pfn = list_take(node, other, nr, nr);
	return pfn;
}

/* The start of a run for a new file. Context: node lock held. */
static unsigned long node_take_new(struct preserve_node *node)
{
	unsigned long pfn = list_take(node, &node->partial, 1, PRESERVE_CACHE_RUN);

	return pfn ?: idle_take(node, 1, false);
}

/**
 * preserve_node_reserve - Count the frames that data may not use.
 * @node: The node.
 *
 * A file map takes at most 16 bytes for a lone frame, so two pages for a block of nothing
 * but lone frames.
 *
 * Context: Any.
 * Return: Frames.
 */
unsigned long preserve_node_reserve(const struct preserve_node *node)
{
	return 2 * READ_ONCE(node->nr_blocks) + MIN_RESERVE;
}

/**
 * preserve_pool_has_room - Is there room for data in idle blocks?
 * @nid: The node.
 * @nr:  Frames.
 *
 * Context: Any. A glance.
 * Return: False if an allocation would find too little, or only what is kept for
 *         metadata.
 */
bool preserve_pool_has_room(int nid, unsigned long nr)
{
	const struct preserve_node *node = &preserve_nodes[nid];

	return READ_ONCE(node->nr_idle) >= max(nr >> pageblock_order, 1UL) &&
	       READ_ONCE(node->nr_free) >= nr + preserve_node_reserve(node);
}

static bool any_set(const unsigned long *map, unsigned long bit,
		    unsigned long nr)
{
	return find_next_bit(map, bit + nr, bit) < bit + nr;
}

/* Frees what may be used again. Context: node lock held. */
static void node_free_some(struct preserve_node *node,
			   struct preserve_block *block, unsigned long bit,
			   unsigned long nr)
{
	for (; nr; nr--, bit++) {
		if (block->poisoned && test_bit(bit, block->poisoned))
			continue;
		if (test_bit(bit, block->claimed)) {
			pfn_to_page(block->pfn + bit)->private = ORPHAN;
			block->nr_orphans++;
			continue;
		}
		preserve_block_mark(node, block, bit, 1, false);
	}
}

/**
 * preserve_node_free - Give frames of one block back.
 * @node: The node.
 * @pfn:  First frame.
 * @nr:   How many.
 *
 * Those that are claimed become orphans; those that are defective stay used.
 *
 * Context: The node's lock held.
 */
void preserve_node_free(struct preserve_node *node, unsigned long pfn,
			unsigned long nr)
{
	struct preserve_block *block = preserve_block_find(pfn);
	unsigned long bit = pfn - block->pfn;

	if (unlikely(block->poisoned) ||
	    (block->nr_claimed && any_set(block->claimed, bit, nr)))
		node_free_some(node, block, bit, nr);
	else
		preserve_block_mark(node, block, bit, nr, false);
}

/**
 * preserve_node_alloc - Take frames of a node.
 * @node: The node.
 * @rq:   Its order, goal, and what it is for.
 *
 * Context: The node's lock held.
 * Return: The first pfn, or 0.
 */
unsigned long preserve_node_alloc(struct preserve_node *node,
				  const struct preserve_request *rq)
{
	unsigned long keep = rq->metadata ? 0 : preserve_node_reserve(node);
	unsigned long nr = 1UL << rq->order;
	unsigned long pfn;

	if (node->nr_free < nr + keep)
		return 0;
	if (rq->goal == PRESERVE_GOAL_NEW)
		pfn = rq->order ? 0 : node_take_new(node);
	else
		pfn = node_take_goal(node, nr, rq);
	return pfn ?: node_take(node, nr, rq->metadata || rq->kernel);
}

/* Context: node lock held. */
static bool all_used(const struct preserve_block *block, unsigned long bit,
		     unsigned long nr)
{
	if (!block->nr_free)
		return true;
	return find_next_zero_bit(block->used, bit + nr, bit) >= bit + nr;
}

/**
 * preserve_block_claim - Claim frames of one block, see preserve_claim().
 * @block: The block, in the pool.
 * @bit:   First frame.
 * @nr:    How many.
 *
 * Context: Any; takes the node's lock.
 * Return: 0; -EEXIST if one of them is claimed already, -ENXIO if one is not in use:
 *         nothing is changed then.
 */
int preserve_block_claim(struct preserve_block *block, unsigned long bit,
			 unsigned long nr)
{
	struct preserve_node *node = preserve_block_node(block);

	guard(spinlock_irqsave)(&node->lock);
	if (preserve_frozen)
		return 0;
	if (!block->pooled || !all_used(block, bit, nr))
		return -ENXIO;
	if (block->nr_claimed && any_set(block->claimed, bit, nr))
		return -EEXIST;
	bitmap_set(block->claimed, bit, nr);
	block->nr_claimed += nr;
	node->nr_claimed += nr;
	return 0;
}

/* Frees a frame if it was to be freed while it was claimed. */
static void orphan_free(struct preserve_node *node, struct preserve_block *block,
			unsigned long bit)
{
	struct page *page = pfn_to_page(block->pfn + bit);

	/* Any owner's page is counted, or part of a folio. */
	if (page->private != ORPHAN || page_count(page) || PageCompound(page))
		return;
	page->private = 0;
	block->nr_orphans--;
	if (!block->poisoned || !test_bit(bit, block->poisoned))
		preserve_block_mark(node, block, bit, 1, false);
}

/**
 * preserve_block_unclaim - Undo preserve_block_claim(), see preserve_unclaim().
 * @block: The block, in the pool.
 * @bit:   First frame.
 * @nr:    How many.
 *
 * Context: Any; takes the node's lock.
 */
void preserve_block_unclaim(struct preserve_block *block, unsigned long bit,
			    unsigned long nr)
{
	struct preserve_node *node = preserve_block_node(block);
	unsigned long end = bit + nr, at = bit, cleared = 0;

	guard(spinlock_irqsave)(&node->lock);
	if (preserve_frozen)
		return;
	if (nr == pageblock_nr_pages)
		cleared = block->nr_claimed;
	else
		for_each_set_bit_from(at, block->claimed, end)
			cleared++;
	block->nr_claimed -= cleared;
	node->nr_claimed -= cleared;
	if (unlikely(block->nr_orphans))
		for_each_set_bit_from(bit, block->claimed, end)
			orphan_free(node, block, bit);
	bitmap_clear(block->claimed, end - nr, nr);
}

/**
 * preserve_block_poison - Note that a frame of a block is defective.
 * @block: The block.
 * @bit:   The frame. If it is free it is taken away, so that the block is never idle
 *         again.
 *
 * Context: Any; takes the node's lock.
 * Return: 0; -EEXIST if that is known; -ENOENT if the block has left the pool;
 *         -ENOMEM if there is no memory to note it.
 */
int preserve_block_poison(struct preserve_block *block, unsigned long bit)
{
	struct preserve_node *node = preserve_block_node(block);
	unsigned long *map = NULL;
	int err = 0;

	if (!READ_ONCE(block->poisoned))
		map = bitmap_zalloc(pageblock_nr_pages, GFP_ATOMIC);
	scoped_guard(spinlock_irqsave, &node->lock) {
		if (!block->pooled) {
			err = -ENOENT;
			break;
		}
		if (!test_bit(bit, block->used))
			preserve_block_mark(node, block, bit, 1, true);
		if (!block->poisoned)
			swap(block->poisoned, map);
		if (!block->poisoned)
			err = -ENOMEM;
		else if (__test_and_set_bit(bit, block->poisoned))
			err = -EEXIST;
	}
	bitmap_free(map);
	return err;
}

/**
 * preserve_block_fill - How many frames of a block are in use?
 * @pfn: Any frame of it.
 *
 * Context: Any. A glance: the answer may be outdated.
 * Return: A number of pages.
 */
unsigned int preserve_block_fill(unsigned long pfn)
{
	struct preserve_block *block;

	guard(rcu)();
	block = preserve_block_find(pfn);
	return block ? pageblock_nr_pages - READ_ONCE(block->nr_free) : 0;
}

/**
 * preserve_pool_owns - Are all these frames in blocks of the pool?
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Context: Any.
 * Return: True if they are.
 */
bool preserve_pool_owns(unsigned long pfn, unsigned long nr)
{
	unsigned long end = pfn + nr;

	for (; pfn < end; pfn = pageblock_end_pfn(pfn))
		if (!preserve_block_find(pfn))
			return false;
	return true;
}

/**
 * preserve_block_alloc - Allocate the description of a block, and its place.
 * @pfn: First frame, pageblock aligned.
 *
 * Context: May sleep.
 * Return: A block with no frame used, owned by the caller, whose insertion cannot
 *         fail; NULL without memory.
 */
struct preserve_block *preserve_block_alloc(unsigned long pfn)
{
	struct preserve_block *block;

	block = kzalloc_obj(*block);
	if (!block)
		return NULL;
	if (xa_reserve(&preserve_blocks, pfn >> pageblock_order, GFP_KERNEL)) {
		kfree(block);
		return NULL;
	}
	block->pfn = pfn;
	block->nr_free = pageblock_nr_pages;
	return block;
}

/**
 * preserve_block_free - Undo preserve_block_alloc().
 * @block: Not in the pool.
 */
void preserve_block_free(struct preserve_block *block)
{
	xa_release(&preserve_blocks, block->pfn >> pageblock_order);
	bitmap_free(block->poisoned);
	kfree(block);
}

/**
 * preserve_pool_stat - Add one node's state to @stat.
 * @nid:  The node.
 * @stat: Sums.
 *
 * Context: Any.
 */
void preserve_pool_stat(int nid, struct preserve_pool_stat *stat)
{
	struct preserve_node *node = &preserve_nodes[nid];

	guard(spinlock_irqsave)(&node->lock);
	stat->nr_blocks += node->nr_blocks;
	stat->nr_free += node->nr_free;
	stat->nr_idle_blocks += node->nr_idle;
	stat->nr_lent += node->nr_lent;
	stat->nr_claimed += node->nr_claimed;
}

static unsigned long bitmap_largest_free(const unsigned long *used)
{
	unsigned long bit, end, largest = 0;

	for_each_clear_bitrange(bit, end, used, pageblock_nr_pages)
		largest = max(largest, end - bit);
	return largest;
}

/*
 * The longest free run of the block at or behind *@pfn, if it is @node's; moves *@pfn
 * behind it. False behind the last block.
 */
static bool largest_free_next(struct preserve_node *node, unsigned long *pfn,
			      unsigned long *largest)
{
	struct preserve_block *block;

	guard(rcu)();
	block = preserve_block_next(*pfn);
	if (!block)
		return false;
	*pfn = block->pfn + pageblock_nr_pages;
	if (preserve_block_node(block) != node || READ_ONCE(block->nr_free) <= *largest)
		return true;
	guard(spinlock_irqsave)(&node->lock);
	if (block->pooled)
		*largest = max(*largest, bitmap_largest_free(block->used));
	return true;
}

/**
 * preserve_pool_largest_free - Look for the largest free run in one block.
 * @nid: The node.
 *
 * Looks at one block after the other, while they may change: for root.
 *
 * Context: Process context.
 * Return: Its length in pages.
 */
unsigned long preserve_pool_largest_free(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long largest = 0, pfn = node_start_pfn(nid);

	if (READ_ONCE(node->nr_idle))
		return pageblock_nr_pages;
	while (pfn < node_end_pfn(nid) &&
	       largest_free_next(node, &pfn, &largest))
		cond_resched();
	return largest;
}
