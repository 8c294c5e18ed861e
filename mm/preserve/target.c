// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks that are set apart for compaction: idle ones to be filled, and nearly empty
 * ones to be emptied. No other allocation is made from either.
 */
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/sched.h>

#include "pool.h"

/* Blocks that are let go of in one go, with interrupts off. */
#define BATCH		64

/**
 * preserve_target_folio - Make a folio of frames in a compaction target.
 * @pfn:   First frame, free, in a block that preserve_target_take() gave out.
 * @order: At most pageblock_order; @pfn is aligned to it.
 * @gfp:   As for the page allocator.
 *
 * Context: Any.
 * Return: A folio with one reference, or NULL if one of the frames is in use or
 *         defective.
 */
struct folio *preserve_target_folio(unsigned long pfn, unsigned int order,
				    gfp_t gfp)
{
	struct preserve_block *block = preserve_block_find(pfn);
	struct preserve_node *node = preserve_block_node(block);

	if (preserve_frames_defective(pfn, 1UL << order))
		return NULL;
	scoped_guard(spinlock_irqsave, &node->lock) {
		if (!preserve_block_fits(block, pfn - block->pfn, 1UL << order))
			return NULL;
		preserve_block_mark(node, block, pfn - block->pfn, 1UL << order, true);
	}
	return preserve_frames_prepare(pfn, order, gfp);
}

/**
 * preserve_target_take - Set an idle block apart as a target of compaction.
 * @nid:   Its node.
 * @after: Take the block at this pfn if it is idle; 0 for any, lowest first.
 *
 * Only preserve_target_folio() allocates from it until preserve_targets_put().
 *
 * Context: Process context.
 * Return: Its first pfn, or 0.
 */
unsigned long preserve_target_take(int nid, unsigned long after)
{
	struct preserve_node *node = &preserve_nodes[nid];
	struct preserve_block *block;

	guard(spinlock_irqsave)(&node->lock);
	block = after ? preserve_block_find(after) :
			preserve_lowest_idle(node);
	if (!block || preserve_block_node(block) != node || !block->pooled ||
	    !preserve_block_is_idle(block))
		return 0;
	preserve_block_set_target(node, block, true);
	return block->pfn;
}

/* Blocks by how many of their frames are free. */
#define FILLS	64

/**
 * struct emptiest - Blocks of a node that are to be emptied.
 * @node:    The node.
 * @nr:      How many blocks for data have free frames.
 * @room:    Those free frames.
 * @by_fill: Blocks by fill, the emptiest last.
 * @fill:    Those that are emptier are taken ...
 * @rest:    ... and so many of these.
 * @most:    How many may be.
 * @taken:   How many are.
 */
struct emptiest {
	struct preserve_node *node;
	unsigned long nr;
	unsigned long room;
	unsigned long by_fill[FILLS];
	unsigned int fill;
	unsigned long rest;
	unsigned long most;
	unsigned long taken;
};

static unsigned int block_fill(const struct preserve_block *block)
{
	return READ_ONCE(block->nr_free) * FILLS / (pageblock_nr_pages + 1);
}

/* Does it have data, and free frames? A glance without the node's lock. */
static bool block_is_partial(const struct emptiest *em,
			     const struct preserve_block *block)
{
	return preserve_block_node(block) == em->node && READ_ONCE(block->pooled) &&
	       preserve_block_home(em->node, block) == &em->node->partial;
}

static void emptiest_count(struct emptiest *em, struct preserve_block *block)
{
	if (!block_is_partial(em, block))
		return;
	em->nr++;
	em->room += READ_ONCE(block->nr_free);
	em->by_fill[block_fill(block)]++;
}

static void emptiest_take(struct emptiest *em, struct preserve_block *block)
{
	unsigned int fill = block_fill(block);

	if (em->taken == em->most || !block_is_partial(em, block) ||
	    fill < em->fill || (fill == em->fill && !em->rest))
		return;
	guard(spinlock_irqsave)(&em->node->lock);
	if (!block_is_partial(em, block))
		return;
	em->rest -= fill == em->fill;
	block->leaving = true;
	preserve_block_set_target(em->node, block, true);
	em->taken++;
}

static void emptiest_walk(struct emptiest *em, int nid,
			  void (*fn)(struct emptiest *em,
				     struct preserve_block *block))
{
	unsigned long pfn = node_start_pfn(nid), end = node_end_pfn(nid);
	struct preserve_block *block;

	while (pfn < end && (block = preserve_block_next(pfn))) {
		fn(em, block);
		pfn = block->pfn + pageblock_nr_pages;
		cond_resched();
	}
}

/* Which ones are the @nr emptiest? */
static void emptiest_choose(struct emptiest *em, unsigned long nr)
{
	em->most = nr;
	em->fill = FILLS - 1;
	while (em->fill && em->by_fill[em->fill] < nr)
		nr -= em->by_fill[em->fill--];
	em->rest = nr;
}

/**
 * preserve_leave_emptiest - Set blocks apart that have few frames in use.
 * @nid:  Its node.
 * @part: One of so many that are partly used, at least one in all.
 *
 * They take at most half of the room that the others have: the rest is for writers.
 * Nothing is allocated from them until preserve_leave_end().
 *
 * Context: Process context, preserve_size_lock held.
 * Return: How many there are.
 */
unsigned long preserve_leave_emptiest(int nid, unsigned int part)
{
	struct emptiest em = { .node = &preserve_nodes[nid] };
	unsigned long reserve = preserve_node_reserve(em.node), most;

	emptiest_walk(&em, nid, emptiest_count);
	/* One that is emptied takes its own room with it. */
	most = em.room > reserve ? (em.room - reserve) >> pageblock_order : 0;
	if (!most)
		return 0;
	emptiest_choose(&em, min(max(em.nr / part, 1UL), max(most / 2, 1UL)));
	emptiest_walk(&em, nid, emptiest_take);
	return em.taken;
}

/**
 * preserve_block_leaves - Has preserve_leave_emptiest() set this block apart?
 * @pfn: Any frame of it.
 *
 * Context: Any; the answer lasts with preserve_size_lock held.
 * Return: True if it has.
 */
bool preserve_block_leaves(unsigned long pfn)
{
	struct preserve_block *block;

	guard(rcu)();
	block = preserve_block_find(pfn);
	return block && READ_ONCE(block->leaving);
}

/**
 * preserve_target_hold - Set a block apart that is not idle.
 * @pfn: Its first frame.
 *
 * Nothing is allocated from it until preserve_targets_put().
 *
 * Context: Process context.
 * Return: False if there is no such block.
 */
bool preserve_target_hold(unsigned long pfn)
{
	struct preserve_block *block = preserve_block_find(pfn);
	struct preserve_node *node;

	if (!block)
		return false;
	node = preserve_block_node(block);
	guard(spinlock_irqsave)(&node->lock);
	if (!block->pooled)
		return false;
	preserve_block_set_target(node, block, true);
	return true;
}

/* Lets go of some blocks of a list; false when none is left. */
static bool targets_put_some(struct preserve_node *node, struct list_head *list)
{
	struct preserve_block *block;
	unsigned int i;

	guard(spinlock_irqsave)(&node->lock);
	for (i = 0; i < BATCH; i++) {
		block = list_first_entry_or_null(list, struct preserve_block,
						 list);
		if (!block)
			return false;
		preserve_block_set_target(node, block, false);
		block->leaving = false;
	}
	return true;
}

/**
 * preserve_targets_put - Let everybody allocate again from all that was set apart.
 * @nid: The node.
 *
 * Context: Process context, preserve_size_lock held.
 */
void preserve_targets_put(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];

	while (targets_put_some(node, &node->target))
		cond_resched();
}

/**
 * preserve_leave_end - Undo preserve_leave_emptiest().
 * @nid: The node.
 *
 * Context: Process context, preserve_size_lock held.
 */
void preserve_leave_end(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];

	while (targets_put_some(node, &node->leaving))
		cond_resched();
}

/**
 * preserve_target_isolate - Take a block that was set apart off its node.
 * @pfn: Its first frame.
 *
 * Context: Process context.
 * Return: As preserve_block_isolate(); NULL if there is none, or it is not idle.
 */
struct preserve_block *preserve_target_isolate(unsigned long pfn)
{
	struct preserve_block *block = preserve_block_find(pfn);
	struct preserve_node *node;

	if (!block)
		return NULL;
	node = preserve_block_node(block);
	guard(spinlock_irqsave)(&node->lock);
	if (!block->target || block->nr_free < pageblock_nr_pages)
		return NULL;
	preserve_block_set_target(node, block, false);
	preserve_block_leave(node, block);
	return block;
}
