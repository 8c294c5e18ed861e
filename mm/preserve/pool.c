// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool: whole pageblocks set apart. Blocks come and go, frames are taken and given
 * back.
 *
 * A block comes from evacuation (evacuate.c), from the blocks that are lent out
 * (lend.c) or, after a kexec, from the previous kernel (adopt.c). It is marked in the
 * pageblock flags, so the page allocator knows on freeing whose page it is.
 *
 * Single frames pass through a cache per CPU: it holds the runs that follow the last
 * goals, and what was freed here last.
 */
#include <linux/bitmap.h>
#include <linux/kasan.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/rbtree.h>
#include <linux/xarray.h>

#include <trace/events/preserve.h>

#include "../internal.h"
#include "pool.h"

/* Goals that a CPU can go on behind, in turn; and one run for requests without a goal. */
#define CACHE_RUNS	5

/* Freed frames that a CPU keeps at most. */
#define CACHE_SIZE	64

/**
 * struct frame_run - Free frames of one block.
 * @pfn: The next.
 * @end: Behind the last.
 */
struct frame_run {
	unsigned long pfn;
	unsigned long end;
};

/**
 * struct frame_cache - Free frames that a CPU has at hand.
 * @lock: Covers the other fields; interrupts off. Another CPU takes it to drain.
 * @nid:  The node that all of them are of.
 * @nr:   How many frames were freed here.
 * @next: The run that makes room for the next goal.
 * @pfn:  The freed ones, a stack.
 * @runs: What follows the last goals; the first is for requests without one.
 *
 * The frames are marked as used in their blocks.
 */
struct frame_cache {
	spinlock_t lock;	/* covers all below */
	int nid;
	unsigned int nr;
	unsigned int next;
	unsigned long pfn[CACHE_SIZE];
	struct frame_run runs[CACHE_RUNS];
};

static DEFINE_PER_CPU(struct frame_cache, frame_cache);

/* Context: cache lock and the node's held. */
static void run_drain(struct preserve_node *node, struct frame_run *run)
{
	if (run->pfn < run->end)
		preserve_node_free(node, run->pfn, run->end - run->pfn);
	run->pfn = run->end;
}

static bool cache_empty(const struct frame_cache *cache)
{
	unsigned int i;

	for (i = 0; i < CACHE_RUNS; i++)
		if (cache->runs[i].pfn < cache->runs[i].end)
			return false;
	return !cache->nr;
}

/* Gives all back. Context: cache lock held. */
static void cache_drain(struct frame_cache *cache)
{
	struct preserve_node *node = &preserve_nodes[cache->nid];
	unsigned int i;

	guard(spinlock)(&node->lock);
	while (cache->nr)
		preserve_node_free(node, cache->pfn[--cache->nr], 1);
	for (i = 0; i < CACHE_RUNS; i++)
		run_drain(node, &cache->runs[i]);
}

/*
 * Makes @run what follows @pfn in its block. Context: cache lock and the node's
 * held.
 */
static void run_follow(struct preserve_node *node, struct frame_run *run,
		       unsigned long pfn)
{
	struct preserve_block *block = preserve_block_find(pfn);
	unsigned long first = pfn + 1 - block->pfn, end;

	if (node->nr_free < preserve_node_reserve(node) + PRESERVE_CACHE_RUN)
		return;
	end = min(first + PRESERVE_CACHE_RUN - 1, pageblock_nr_pages);
	end = find_next_bit(block->used, end, first);
	if (first >= end)
		return;
	preserve_block_mark(node, block, first, end - first, true);
	run->pfn = pfn + 1;
	run->end = block->pfn + end;
}

/* A frame that is at hand, or 0. Context: cache lock held. */
static unsigned long cache_take(struct frame_cache *cache, unsigned long goal)
{
	struct frame_run *run = cache->runs;
	unsigned int i;

	if (cache->nr && (!goal || cache->pfn[cache->nr - 1] == goal))
		return cache->pfn[--cache->nr];
	if (!goal)
		return run->pfn < run->end ? run->pfn++ : 0;
	for (i = 1; i < CACHE_RUNS; i++)
		if (run[i].pfn == goal && run[i].pfn < run[i].end)
			return run[i].pfn++;
	return 0;
}

/* The run to refill for @goal. Context: cache lock held. */
static struct frame_run *cache_victim(struct frame_cache *cache,
				      unsigned long goal)
{
	if (!goal)
		return &cache->runs[0];
	cache->next = cache->next % (CACHE_RUNS - 1) + 1;
	return &cache->runs[cache->next];
}

/* A frame of @nid by way of this CPU's cache. */
static unsigned long cache_alloc(int nid, const struct preserve_request *rq)
{
	struct preserve_node *node = &preserve_nodes[nid];
	struct frame_cache *cache;
	unsigned long flags, pfn;
	struct frame_run *run;

	/* Any CPU's will do; most often it is this one's. */
	cache = raw_cpu_ptr(&frame_cache);
	spin_lock_irqsave(&cache->lock, flags);
	if (unlikely(cache->nid != nid)) {
		cache_drain(cache);
		cache->nid = nid;
	}
	pfn = cache_take(cache, rq->goal);
	if (!pfn) {
		run = cache_victim(cache, rq->goal);
		spin_lock(&node->lock);
		run_drain(node, run);
		pfn = preserve_node_alloc(node, rq);
		if (pfn)
			run_follow(node, run, pfn);
		spin_unlock(&node->lock);
	}
	spin_unlock_irqrestore(&cache->lock, flags);
	return pfn;
}

/* Keeps a frame at hand; false if it is of another node than the others. */
static bool cache_free(unsigned long pfn, int nid)
{
	struct frame_cache *cache;
	unsigned long flags;
	bool kept;

	/* Any CPU's will do; most often it is this one's. */
	cache = raw_cpu_ptr(&frame_cache);
	spin_lock_irqsave(&cache->lock, flags);
	if (cache->nr == CACHE_SIZE)
		cache_drain(cache);
	kept = cache->nid == nid;
	if (kept)
		cache->pfn[cache->nr++] = pfn;
	spin_unlock_irqrestore(&cache->lock, flags);
	return kept;
}

/**
 * preserve_pool_drain - Put the frames that CPUs have at hand into their blocks.
 *
 * Context: Any.
 */
void preserve_pool_drain(void)
{
	struct frame_cache *cache;
	int cpu;

	for_each_possible_cpu(cpu) {
		cache = per_cpu_ptr(&frame_cache, cpu);
		guard(spinlock_irqsave)(&cache->lock);
		if (!cache_empty(cache))
			cache_drain(cache);
	}
}

/**
 * preserve_pool_at_hand - Count the frames that CPUs have at hand.
 *
 * They are marked as used in their blocks, and are free.
 *
 * Context: Any. A glance: no CPU is disturbed.
 * Return: How many, of all nodes.
 */
unsigned long preserve_pool_at_hand(void)
{
	const struct frame_cache *cache;
	unsigned long nr = 0, pfn, end;
	unsigned int i;
	int cpu;

	for_each_possible_cpu(cpu) {
		cache = per_cpu_ptr(&frame_cache, cpu);
		nr += READ_ONCE(cache->nr);
		for (i = 0; i < CACHE_RUNS; i++) {
			pfn = READ_ONCE(cache->runs[i].pfn);
			end = READ_ONCE(cache->runs[i].end);
			if (end > pfn && end - pfn <= PRESERVE_CACHE_RUN)
				nr += end - pfn;
		}
	}
	return nr;
}

/**
 * preserve_frames_alloc_on - Take frames of one node.
 * @nid: The node.
 * @rq:  What is asked for.
 *
 * Context: Any.
 * Return: The first pfn, or 0.
 */
unsigned long preserve_frames_alloc_on(int nid, const struct preserve_request *rq)
{
	struct preserve_node *node = &preserve_nodes[nid];
	unsigned long pfn;

	if (!rq->order && !rq->metadata && !rq->kernel) {
		pfn = cache_alloc(nid, rq);
	} else {
		guard(spinlock_irqsave)(&node->lock);
		pfn = preserve_node_alloc(node, rq);
	}
	if (unlikely(node->nr_idle < READ_ONCE(node->spare_low)) &&
	    time_after_eq(jiffies, READ_ONCE(node->not_before)))
		preserve_pool_kick(0);
	return pfn;
}

/*
 * Gives @nr frames of one block back. Whatever the frames were used as must be
 * undone by now.
 */
static void frames_free(unsigned long pfn, unsigned long nr)
{
	struct preserve_node *node = &preserve_nodes[pfn_to_nid(pfn)];
	const struct preserve_block *block = preserve_block_find(pfn);

	/*
	 * Data that took the place of metadata would scatter, and keep the block in
	 * use; so would what comes into a block that is being emptied. The caller that frees a
	 * frame owns its bit in @claimed.
	 */
	if (nr > 1 || READ_ONCE(block->metadata) || READ_ONCE(block->target) ||
	    READ_ONCE(block->poisoned) || test_bit(pfn - block->pfn, block->claimed) ||
	    !cache_free(pfn, pfn_to_nid(pfn))) {
		guard(spinlock_irqsave)(&node->lock);
		preserve_node_free(node, pfn, nr);
	}
	if (unlikely(node->nr_idle > READ_ONCE(node->spare_high)))
		preserve_pool_kick(HZ);
}

/**
 * preserve_frames_defective - Is a defective frame among these?
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Context: Any.
 * Return: True if one is.
 */
bool preserve_frames_defective(unsigned long pfn, unsigned long nr)
{
	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE) ||
	    likely(!atomic_long_read(&num_poisoned_pages)))
		return false;
	for (; nr; nr--, pfn++)
		if (PageHWPoison(pfn_to_page(pfn)))
			return true;
	return false;
}

/**
 * preserve_frames_free_sound - Free frames, but not those that are defective.
 * @page: The first one's.
 * @nr:   How many, of one block.
 *
 * A defective frame stays marked as used.
 *
 * Context: Any.
 */
void preserve_frames_free_sound(struct page *page, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		if (!PageHWPoison(page + i))
			frames_free(page_to_pfn(page + i), 1);
}

/* Frees frames, which may span blocks; a defective one stays marked as used. */
static void parts_free(unsigned long pfn, unsigned long nr)
{
	while (nr) {
		unsigned long part = min(nr, pageblock_end_pfn(pfn) - pfn);

		if (unlikely(preserve_frames_defective(pfn, part)))
			preserve_frames_free_sound(pfn_to_page(pfn), part);
		else
			frames_free(pfn, part);
		pfn += part;
		nr -= part;
	}
}

bool __preserve_pool_free(struct page *page, unsigned int order)
{
	unsigned long pfn = page_to_pfn(page);

	if (!get_pfnblock_bit(page, pfn, PB_preserve))
		return false;

	trace_preserve_free(pfn, order);
	parts_free(pfn, 1UL << order);
	return true;
}

/* Makes free frames look to the debugging aids as freed pages do. */
static void frames_poison(unsigned long pfn, unsigned long nr)
{
	for (; nr; nr--, pfn++) {
		struct page *page = pfn_to_page(pfn);

		kernel_poison_pages(page, 1);
		/* Allocations with init_on_free rely on zeroed free pages. */
		if (want_init_on_free())
			clear_highpage(page);
		kasan_poison_pages(page, 0, false);
		debug_pagealloc_unmap_pages(page, 1);
	}
}

/**
 * preserve_frames_put - Free frames that are live but have not become folios.
 * @pfn: First frame, reference count zero.
 * @nr:  How many; they may span blocks.
 *
 * Context: Any.
 */
void preserve_frames_put(unsigned long pfn, unsigned long nr)
{
	frames_poison(pfn, nr);
	parts_free(pfn, nr);
}

/**
 * preserve_blocks_take - Take all frames of neighbouring idle blocks.
 * @pfn:       First frame of the first.
 * @nr_blocks: How many, on one node.
 *
 * Context: Process context, preserve_size_lock held.
 * Return: False if one is not idle: none is taken then.
 */
bool preserve_blocks_take(unsigned long pfn, unsigned long nr_blocks)
{
	struct preserve_node *node = &preserve_nodes[pfn_to_nid(pfn)];
	unsigned long i, at;

	guard(spinlock_irqsave)(&node->lock);
	for (i = 0, at = pfn; i < nr_blocks; i++, at += pageblock_nr_pages) {
		const struct preserve_block *block = preserve_block_find(at);

		if (!block || !block->pooled || block->target ||
		    block->nr_free < pageblock_nr_pages)
			return false;
	}
	for (i = 0, at = pfn; i < nr_blocks; i++, at += pageblock_nr_pages)
		preserve_block_mark(node, preserve_block_find(at), 0, pageblock_nr_pages, true);
	return true;
}

/* What has turned defective while the block was on no node. */
static void block_note_missed(const struct preserve_block *block)
{
	unsigned long i;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE) ||
	    likely(!atomic_long_read(&num_poisoned_pages)))
		return;
	for (i = 0; i < pageblock_nr_pages; i++)
		if (PageHWPoison(pfn_to_page(block->pfn + i)))
			preserve_note_poison(block->pfn + i);
}

/**
 * preserve_block_insert - Put a block into the pool.
 * @block: Its frames have reference count zero and belong to the caller; bits
 *         in @block->used mark live ones. The pool owns it afterwards.
 *
 * Context: May sleep.
 */
void preserve_block_insert(struct preserve_block *block)
{
	struct preserve_node *node = preserve_block_node(block);
	unsigned long bit, end;

	/* The place is reserved: this allocates nothing. */
	xa_store(&preserve_blocks, block->pfn >> pageblock_order, block, GFP_KERNEL);

	for_each_clear_bitrange(bit, end, block->used, pageblock_nr_pages)
		frames_poison(block->pfn + bit, end - bit);
	block->nr_free = pageblock_nr_pages -
			 bitmap_weight(block->used, pageblock_nr_pages);
	set_pfnblock_bit(pfn_to_page(block->pfn), block->pfn, PB_preserve);

	scoped_guard(spinlock_irqsave, &node->lock)
		preserve_block_enter(node, block);
	block_note_missed(block);
}

/**
 * preserve_block_isolate - Take a node's highest idle block off it.
 * @nid: The node.
 *
 * The highest, so that the pool stays packed low.
 *
 * Context: Process context.
 * Return: The block, whose frames are then the caller's, or NULL.
 */
struct preserve_block *preserve_block_isolate(int nid)
{
	struct preserve_node *node = &preserve_nodes[nid];
	struct preserve_block *block;

	guard(spinlock_irqsave)(&node->lock);
	block = preserve_highest_idle(node);
	if (block)
		preserve_block_leave(node, block);
	return block;
}

/**
 * preserve_block_putback - Undo preserve_block_isolate().
 * @block: The block.
 *
 * Context: Process context.
 */
void preserve_block_putback(struct preserve_block *block)
{
	struct preserve_node *node = preserve_block_node(block);

	scoped_guard(spinlock_irqsave, &node->lock)
		preserve_block_enter(node, block);
	block_note_missed(block);
}

/**
 * preserve_block_remove - Undo preserve_block_insert().
 * @block: Off its node. Freed.
 *
 * Its frames are ready for preserve_release() afterwards.
 *
 * Context: Process context.
 */
void preserve_block_remove(struct preserve_block *block)
{
	struct page *page = pfn_to_page(block->pfn);

	xa_erase(&preserve_blocks, block->pfn >> pageblock_order);
	clear_pfnblock_bit(page, block->pfn, PB_preserve);
	debug_pagealloc_map_pages(page, pageblock_nr_pages);
	kfree_rcu(block, rcu);
}

void preserve_pool_enable(void)
{
	static_branch_enable(&preserve_pool_key);
}

static void __init node_init(struct preserve_node *node)
{
	spin_lock_init(&node->lock);
	node->idle = RB_ROOT_CACHED;
	INIT_LIST_HEAD(&node->partial);
	INIT_LIST_HEAD(&node->full);
	INIT_LIST_HEAD(&node->metadata);
	INIT_LIST_HEAD(&node->target);
	INIT_LIST_HEAD(&node->leaving);
}

int __init preserve_pool_init(void)
{
	int nid, cpu;

	preserve_nodes = kcalloc(nr_node_ids, sizeof(*preserve_nodes), GFP_KERNEL);
	if (!preserve_nodes)
		return -ENOMEM;
	for (nid = 0; nid < nr_node_ids; nid++)
		node_init(&preserve_nodes[nid]);
	for_each_possible_cpu(cpu)
		spin_lock_init(&per_cpu_ptr(&frame_cache, cpu)->lock);
	return 0;
}
