// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool: whole pageblocks set apart, handed out folio by folio.
 *
 * A block comes from alloc_contig_frozen_pages() or, after a kexec, from the
 * previous kernel (boot.c). It is marked in the pageblock flags, so the page
 * allocator knows on freeing whose page it is, and stays with the pool until
 * shrinking gives it back as a whole. Inside a block a bitmap says which frames
 * are used; that is all the state a frame has while it is free.
 *
 * Allocation packs: it first looks behind the caller's goal, so that the
 * neighbours in a file become neighbours in memory, then in blocks that are
 * already partly used, and opens an idle block last.
 *
 * A few frames a block are kept for metadata (records, maps), so that a pool full
 * of data can still be preserved.
 *
 * Failing is cheap and touches nobody: an exhausted pool returns NULL, it never
 * reclaims and never waits.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/bitmap.h>
#include <linux/fault-inject.h>
#include <linux/gfp.h>
#include <linux/kasan.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/preserve.h>

/* Frames for metadata in even the smallest pool. */
#define MIN_RESERVE	8

/* How many partly used blocks a search for a large folio looks into. */
#define SEARCH_LIMIT	16

/* A kernel that changes one of these must have us looked at. */
static_assert(__same_type(post_alloc_hook,
			  void(struct page *, unsigned int, gfp_t,
			       unsigned int)));
static_assert(__same_type(free_contig_frozen_range,
			  void(unsigned long, unsigned long)));

DEFINE_STATIC_KEY_FALSE(preserve_pool_key);

static struct preserve_node nodes[MAX_NUMNODES];

/* struct preserve_block by pfn >> pageblock_order. */
static DEFINE_XARRAY(blocks);

static struct preserve_block *block_find(unsigned long pfn)
{
	return xa_load(&blocks, pfn >> pageblock_order);
}

static struct preserve_node *block_node(const struct preserve_block *block)
{
	return &nodes[pfn_to_nid(block->pfn)];
}

/* The list that fits @block's fill. Context: node lock held. */
static struct list_head *block_home(struct preserve_node *node,
				    const struct preserve_block *block)
{
	if (!block->nr_free)
		return &node->full;
	if (block->nr_free == pageblock_nr_pages)
		return &node->idle;
	return &node->partial;
}

/* Context: node lock held. */
static void block_mark(struct preserve_node *node, struct preserve_block *block,
		       unsigned long bit, unsigned long nr, bool used)
{
	struct list_head *was = block_home(node, block);
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

	now = block_home(node, block);
	if (now == was)
		return;
	list_move(&block->list, now);
	node->nr_idle += (now == &node->idle) - (was == &node->idle);
}

/* Puts @block on its node. Context: node lock held. */
static void block_enter(struct preserve_node *node,
			struct preserve_block *block)
{
	struct list_head *home = block_home(node, block);

	list_add_tail(&block->list, home);
	node->nr_idle += home == &node->idle;
	node->nr_blocks++;
	node->nr_free += block->nr_free;
}

/* Takes an idle block off its node. Context: node lock held. */
static void block_leave(struct preserve_node *node,
			struct preserve_block *block)
{
	list_del(&block->list);
	node->nr_idle--;
	node->nr_blocks--;
	node->nr_free -= pageblock_nr_pages;
}

static bool block_fits(const struct preserve_block *block, unsigned long bit,
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
static unsigned long node_take_goal(struct preserve_node *node,
				    unsigned long nr, unsigned long goal)
{
	struct preserve_block *block;
	unsigned long bit;

	if (!goal || !IS_ALIGNED(goal, nr))
		return 0;
	block = block_find(goal);
	if (!block || block_node(block) != node)
		return 0;
	bit = goal - block->pfn;
	if (!block_fits(block, bit, nr))
		return 0;
	block_mark(node, block, bit, nr, true);
	return goal;
}

/* Context: node lock held. Returns the first pfn, or 0. */
static unsigned long node_take(struct preserve_node *node, unsigned long nr)
{
	unsigned int looked = 0;
	struct preserve_block *block;
	long bit;

	if (nr < pageblock_nr_pages) {
		list_for_each_entry(block, &node->partial, list) {
			bit = block_search(block, nr);
			if (bit >= 0)
				goto found;
			if (++looked == SEARCH_LIMIT)
				break;
		}
	}

	block = list_first_entry_or_null(&node->idle, struct preserve_block,
					 list);
	if (!block)
		return 0;
	bit = 0;
found:
	block_mark(node, block, bit, nr, true);
	return block->pfn + bit;
}

/*
 * Frames that data may not use: a file map takes at most 16 bytes for a lone
 * frame, so two pages for a block of nothing but lone frames.
 */
static unsigned long node_reserve(const struct preserve_node *node)
{
	return min(2 * node->nr_blocks, 1024UL) + MIN_RESERVE;
}

static unsigned long node_alloc(int nid, unsigned int order, unsigned long goal,
				bool metadata)
{
	struct preserve_node *node = &nodes[nid];
	unsigned long nr = 1UL << order;
	unsigned long pfn;

	guard(spinlock_irqsave)(&node->lock);
	if (node->nr_free < nr + (metadata ? 0 : node_reserve(node)))
		return 0;
	pfn = node_take_goal(node, nr, goal);
	return pfn ?: node_take(node, nr);
}

/* Frames from @nid, or from the nodes nearest to it. Returns a pfn, or 0. */
static unsigned long frames_alloc(gfp_t gfp, unsigned int order, int nid,
				  unsigned long goal, bool metadata)
{
	struct zonelist *zonelist = node_zonelist(nid, gfp);
	struct zoneref *z;
	struct zone *zone;
	unsigned long pfn;
	int last = NUMA_NO_NODE;

	if (order > pageblock_order)
		return 0;

	for_each_zone_zonelist(zone, z, zonelist, gfp_zone(gfp)) {
		if (zone_to_nid(zone) == last)
			continue;
		last = zone_to_nid(zone);
		pfn = node_alloc(last, order, goal, metadata);
		if (pfn)
			return pfn;
	}
	return 0;
}

/*
 * Gives @nr frames of one block back. Whatever the frames were used as must be
 * undone by now.
 */
static void frames_free(unsigned long pfn, unsigned long nr)
{
	struct preserve_block *block = block_find(pfn);
	unsigned long bit = pfn - block->pfn;
	struct preserve_node *node = block_node(block);

	guard(spinlock_irqsave)(&node->lock);
	block_mark(node, block, bit, nr, false);
}

/* A defective page among them, behind a folio's first? */
static bool frames_poisoned(struct page *page, unsigned int order)
{
	unsigned long i;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		return false;
	for (i = 0; i < 1UL << order; i++)
		if (PageHWPoison(page + i))
			return true;
	return false;
}

/* Frees what is sound; a defective frame stays marked as used. */
static void frames_free_sound(struct page *page, unsigned int order)
{
	unsigned long i;

	for (i = 0; i < 1UL << order; i++)
		if (!PageHWPoison(page + i))
			frames_free(page_to_pfn(page + i), 1);
}

bool __preserve_pool_free(struct page *page, unsigned int order)
{
	unsigned long pfn = page_to_pfn(page);

	if (!get_pfnblock_bit(page, pfn, PB_preserve))
		return false;

	trace_preserve_free(pfn, order);
	if (unlikely(frames_poisoned(page, order)))
		frames_free_sound(page, order);
	else
		frames_free(pfn, 1UL << order);
	return true;
}

/* As frames_alloc(), but never a defective frame: those stay used for good. */
static unsigned long frames_alloc_sound(gfp_t gfp, unsigned int order, int nid,
					unsigned long goal, bool metadata)
{
	unsigned long pfn;

	for (;;) {
		pfn = frames_alloc(gfp, order, nid, goal, metadata);
		if (!pfn || likely(!frames_poisoned(pfn_to_page(pfn), order)))
			return pfn;
		frames_free_sound(pfn_to_page(pfn), order);
	}
}

static struct folio *pool_alloc(gfp_t gfp, unsigned int order, int nid,
				unsigned long goal, bool metadata)
{
	unsigned long pfn = 0;
	struct page *page;

	if (!should_fail_alloc_page(gfp, order))
		pfn = frames_alloc_sound(gfp, order, nid, goal, metadata);
	trace_preserve_alloc(pfn, order, nid);
	if (!pfn)
		return NULL;

	page = pfn_to_page(pfn);
	post_alloc_hook(page, order, gfp, ALLOC_DEFAULT);
	if (order)
		prep_compound_page(page, order);
	clear_page_pfmemalloc(page);
	set_page_refcounted(page);
	return page_rmappable_folio(page);
}

/**
 * preserve_alloc_folio - Allocate a folio from the pool.
 * @gfp:   Zone and node limits; the content is zeroed only if it says so.
 * @order: At most pageblock_order.
 * @nid:   Preferred node; its neighbours are used when it has none left.
 * @goal:  The pfn that would continue the caller's memory, or 0.
 *
 * Context: Any; never sleeps, never reclaims.
 * Return: A folio with one reference, freed by its last folio_put(); NULL if the
 *         pool has no such run of frames.
 */
struct folio *preserve_alloc_folio(gfp_t gfp, unsigned int order, int nid,
				   unsigned long goal)
{
	return pool_alloc(gfp, order, nid, goal, false);
}

/**
 * preserve_page_get - A zeroed page of the pool, for metadata.
 *
 * Context: Any.
 * Return: The page's address, or NULL.
 */
void *preserve_page_get(void)
{
	struct folio *folio = pool_alloc(GFP_NOWAIT | __GFP_ZERO, 0,
					 numa_mem_id(), 0, true);

	return folio ? folio_address(folio) : NULL;
}

/**
 * preserve_page_put - Give a metadata page back, also one handed over.
 * @page: Its address.
 *
 * Context: Any.
 */
void preserve_page_put(void *page)
{
	put_page(virt_to_page(page));
}

static void *map_page_get(void *ctx)
{
	return preserve_page_get();
}

static void map_page_put(void *ctx, void *page)
{
	preserve_page_put(page);
}

const struct prmap_ops preserve_pool_map_ops = {
	.page_get = map_page_get,
	.page_put = map_page_put,
};

/* Makes free frames look to the debugging aids as freed pages do. */
static void frames_poison(unsigned long pfn, unsigned long nr)
{
	for (; nr; nr--, pfn++) {
		struct page *page = pfn_to_page(pfn);

		kernel_poison_pages(page, 1);
		/* Who allocates with init_on_free relies on zeroed free pages. */
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
	while (nr) {
		unsigned long part = min(nr, pageblock_end_pfn(pfn) - pfn);

		frames_poison(pfn, part);
		frames_free(pfn, part);
		pfn += part;
		nr -= part;
	}
}

/**
 * preserve_frames_to_folio - Make a folio of live frames, content untouched.
 * @pfn:   First frame, aligned to @order, reference count zero.
 * @order: At most pageblock_order.
 *
 * The page allocator's own preparation would clear or check the content.
 *
 * Context: Any.
 * Return: A folio with one reference.
 */
struct folio *preserve_frames_to_folio(unsigned long pfn, unsigned int order)
{
	struct page *page = pfn_to_page(pfn);

	page->private = 0;
	clear_page_tag_ref(page);
	if (order)
		prep_compound_page(page, order);
	set_page_refcounted(page);
	return page_rmappable_folio(page);
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
		if (!block_find(pfn))
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

	block = kzalloc(struct_size(block, used,
				    BITS_TO_LONGS(pageblock_nr_pages)),
			GFP_KERNEL);
	if (!block)
		return NULL;
	if (xa_reserve(&blocks, pfn >> pageblock_order, GFP_KERNEL)) {
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
	xa_release(&blocks, block->pfn >> pageblock_order);
	kfree(block);
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
	struct preserve_node *node = block_node(block);
	unsigned long bit, end;

	/* The place is reserved: this allocates nothing. */
	xa_store(&blocks, block->pfn >> pageblock_order, block, GFP_KERNEL);

	for_each_clear_bitrange(bit, end, block->used, pageblock_nr_pages)
		frames_poison(block->pfn + bit, end - bit);
	block->nr_free = pageblock_nr_pages -
			 bitmap_weight(block->used, pageblock_nr_pages);
	set_pfnblock_bit(pfn_to_page(block->pfn), block->pfn, PB_preserve);

	guard(spinlock_irqsave)(&node->lock);
	block_enter(node, block);
}

/* Takes an idle block off its node; its frames are then the caller's. */
static struct preserve_block *node_steal_idle(struct preserve_node *node)
{
	struct preserve_block *block;

	guard(spinlock_irqsave)(&node->lock);
	block = list_first_entry_or_null(&node->idle, struct preserve_block,
					 list);
	if (block)
		block_leave(node, block);
	return block;
}

/*
 * Undoes preserve_block_insert() for a block that has left its node. Its frames
 * are ready for free_contig_frozen_range() afterwards.
 */
static void block_remove(struct preserve_block *block)
{
	struct page *page = pfn_to_page(block->pfn);

	xa_erase(&blocks, block->pfn >> pageblock_order);
	clear_pfnblock_bit(page, block->pfn, PB_preserve);
	debug_pagealloc_map_pages(page, pageblock_nr_pages);
	kfree(block);
}

/* One block from contiguous memory at @pfn: into the pool, and published. */
static int pool_add_block(unsigned long pfn)
{
	struct preserve_block *block;
	struct preserve_node *node;
	int err;

	if (kho_scratch_overlap(PFN_PHYS(pfn), PAGE_SIZE << pageblock_order))
		return -EINVAL;

	block = preserve_block_alloc(pfn);
	if (!block)
		return -ENOMEM;
	preserve_block_insert(block);
	err = preserve_block_publish(pfn);
	if (!err)
		return 0;

	/* Unless somebody uses it already: it then lives, and dies, here. */
	node = block_node(block);
	scoped_guard(spinlock_irqsave, &node->lock) {
		if (block->nr_free < pageblock_nr_pages)
			return 0;
		block_leave(node, block);
	}
	block_remove(block);
	return err;
}

/* Returns how many of the @nr blocks at @pfn joined the pool; frees the rest. */
static unsigned long pool_add_range(unsigned long pfn, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++, pfn += pageblock_nr_pages)
		if (pool_add_block(pfn))
			break;
	if (i < nr)
		free_contig_frozen_range(pfn, (nr - i) << pageblock_order);
	return i;
}

/* Contiguous memory for up to @nr blocks on @nid, the longest run first. */
static unsigned long node_grow(int nid, unsigned long nr)
{
	unsigned long run = rounddown_pow_of_two(nr);
	unsigned long added = 0, got;
	struct page *page;

	while (run && added < nr) {
		run = min(run, rounddown_pow_of_two(nr - added));
		page = alloc_contig_frozen_pages(run << pageblock_order,
						 GFP_KERNEL | __GFP_THISNODE |
						 __GFP_NOWARN |
						 __GFP_RETRY_MAYFAIL,
						 nid, NULL);
		if (!page) {
			run >>= 1;
			continue;
		}
		got = pool_add_range(page_to_pfn(page), run);
		added += got;
		if (got < run)
			break;
	}
	return added;
}

/**
 * preserve_pool_grow - Add blocks, spread over the nodes by their size.
 * @nr_blocks: How many.
 *
 * Context: Process context, preserve_header_lock held. May migrate pages.
 * Return: 0 if all were added; -ENOMEM if fewer (what was added stays).
 */
int preserve_pool_grow(unsigned long nr_blocks)
{
	unsigned long total = 0, left = nr_blocks, share;
	int nid;

	for_each_node_state(nid, N_MEMORY)
		total += node_present_pages(nid);

	for_each_node_state(nid, N_MEMORY) {
		share = mult_frac(nr_blocks, node_present_pages(nid), total);
		if (share)
			left -= node_grow(nid, min(share, left));
	}
	/* What rounding or a small node left over. */
	for_each_node_state(nid, N_MEMORY)
		if (left)
			left -= node_grow(nid, left);

	trace_preserve_resize(nr_blocks, nr_blocks - left);
	return left ? -ENOMEM : 0;
}

/**
 * preserve_pool_shrink - Give idle blocks back to the page allocator.
 * @nr_blocks: How many at most.
 *
 * Context: Process context, preserve_header_lock held.
 * Return: How many were given back.
 */
unsigned long preserve_pool_shrink(unsigned long nr_blocks)
{
	struct preserve_block *block;
	unsigned long done = 0, pfn;
	int nid;

	for_each_node_state(nid, N_MEMORY) {
		while (done < nr_blocks) {
			block = node_steal_idle(&nodes[nid]);
			if (!block)
				break;
			if (preserve_block_withdraw(block->pfn)) {
				guard(spinlock_irqsave)(&nodes[nid].lock);
				block_enter(&nodes[nid], block);
				return done;
			}
			pfn = block->pfn;
			block_remove(block);
			free_contig_frozen_range(pfn, pageblock_nr_pages);
			done++;
		}
	}
	trace_preserve_resize(-(long)nr_blocks, -(long)done);
	return done;
}

static unsigned long block_largest_free(const struct preserve_block *block)
{
	unsigned long bit, end, largest = 0;

	for_each_clear_bitrange(bit, end, block->used, pageblock_nr_pages)
		largest = max(largest, end - bit);
	return largest;
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
	struct preserve_node *node = &nodes[nid];

	guard(spinlock_irqsave)(&node->lock);
	stat->nr_blocks += node->nr_blocks;
	stat->nr_free += node->nr_free;
	stat->nr_idle_blocks += node->nr_idle;
}

/**
 * preserve_pool_largest_free - Look for the largest free run in one block.
 * @nid: The node.
 *
 * Looks at every partly used block with the node locked: for root.
 *
 * Context: Any.
 * Return: Its length in pages.
 */
unsigned long preserve_pool_largest_free(int nid)
{
	struct preserve_node *node = &nodes[nid];
	struct preserve_block *block;
	unsigned long largest = 0;

	guard(spinlock_irqsave)(&node->lock);
	if (node->nr_idle)
		return pageblock_nr_pages;
	list_for_each_entry(block, &node->partial, list)
		largest = max(largest, block_largest_free(block));
	return largest;
}

void preserve_pool_enable(void)
{
	static_branch_enable(&preserve_pool_key);
}

void __init preserve_pool_init(void)
{
	int nid;

	for (nid = 0; nid < MAX_NUMNODES; nid++) {
		spin_lock_init(&nodes[nid].lock);
		INIT_LIST_HEAD(&nodes[nid].idle);
		INIT_LIST_HEAD(&nodes[nid].partial);
		INIT_LIST_HEAD(&nodes[nid].full);
	}
}
