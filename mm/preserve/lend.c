// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lending: idle pool blocks serve movable allocations until the pool needs them.
 *
 * A lent block is an ordinary pageblock of type MIGRATE_CMA. The page allocator
 * already keeps everything out of those that could not be moved away again:
 * only movable allocations go there, and a long-term pin moves a page out first.
 * So taking a block back is alloc_contig_frozen_range(), as CMA does it.
 *
 * Where other memory is short, a lent block leaves the pool instead: yield.c.
 *
 * KHO does not know of lent blocks, the next kernel finds free memory there. It
 * learns the pool's size from the header and gains as many blocks again.
 */
#include <linux/cma.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/sched/signal.h>
#include <linux/xarray.h>

#include <trace/events/preserve.h>

#include "pool.h"

/* Longest run that is taken back in one go. */
#define RUN_BLOCKS	16

/* Blocks in a row that there is no memory to empty, before it gives up. */
#define NOMEM_PATIENCE	8

/*
 * What is lent, by pfn >> pageblock_order. Blocks come under preserve_size_lock, and go
 * under it or by yielding. A task that begins or ends the lending of a block makes it BUSY
 * first, and alone decides what becomes of it. The xa_lock, never taken from interrupts,
 * covers the marks and the numbers of lent blocks.
 */
static DEFINE_XARRAY(lent);

#define LENT	1
#define BUSY	2

/**
 * preserve_is_lent - Is this block lent out?
 * @pfn: Its first frame.
 *
 * Context: Any. With preserve_size_lock held none becomes lent, but one may yield at any
 *          time.
 * Return: True if it is.
 */
bool preserve_is_lent(unsigned long pfn)
{
	return xa_load(&lent, pfn >> pageblock_order);
}

/* Context: xa_lock of lent held. */
static void lent_set(unsigned long pfn, unsigned long state)
{
	/* There is an entry: this allocates nothing. */
	__xa_store(&lent, pfn >> pageblock_order, xa_mk_value(state), 0);
}

/* Context: xa_lock of lent held. */
static void lent_count(struct zone *zone, long nr_blocks)
{
	struct preserve_node *node = &preserve_nodes[zone_to_nid(zone)];
	long nr = nr_blocks * (long)pageblock_nr_pages;

	zone->cma_pages += nr;
	totalcma_pages += nr;
	WRITE_ONCE(node->nr_lent, node->nr_lent + nr_blocks);
}

/* A block that is BUSY is lent, with all of its frames in the caller's hands. */
static void lent_begin(unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	init_pageblock_migratetype(page, MIGRATE_CMA, false);
	xa_lock(&lent);
	lent_count(page_zone(page), 1);
	xa_unlock(&lent);
	preserve_release(pfn, pageblock_nr_pages);
	preserve_lent_unclaim(pfn, 1);
}

/**
 * preserve_lent_claim - Claim lent blocks, to end that they are lent.
 * @pfn: First frame of the first.
 * @nr:  How many, neighbours.
 *
 * Context: Not from interrupts.
 * Return: False if one of them is not lent, or another task's: nothing is changed.
 */
bool preserve_lent_claim(unsigned long pfn, unsigned long nr)
{
	unsigned long i;

	xa_lock(&lent);
	for (i = 0; i < nr; i++)
		if (xa_load(&lent, (pfn >> pageblock_order) + i) !=
		    xa_mk_value(LENT))
			break;
	if (i == nr)
		for (i = 0; i < nr; i++)
			lent_set(pfn + (i << pageblock_order), BUSY);
	else
		nr = 0;
	xa_unlock(&lent);
	return nr;
}

/**
 * preserve_lent_unclaim - Undo preserve_lent_claim().
 * @pfn: First frame of the first.
 * @nr:  How many, neighbours.
 *
 * Context: As there.
 */
void preserve_lent_unclaim(unsigned long pfn, unsigned long nr)
{
	xa_lock(&lent);
	for (; nr; nr--, pfn += pageblock_nr_pages)
		lent_set(pfn, LENT);
	xa_unlock(&lent);
}

/**
 * preserve_lent_end - A block is not lent any more.
 * @pfn:  Its first frame; from preserve_lent_claim(). The caller changes its type.
 * @zone: Its zone.
 *
 * Context: As there.
 */
void preserve_lent_end(unsigned long pfn, struct zone *zone)
{
	xa_lock(&lent);
	lent_count(zone, -1);
	__xa_erase(&lent, pfn >> pageblock_order);
	xa_unlock(&lent);
}

/**
 * preserve_lent_next - Walk over lent blocks.
 * @pfn: Where to begin.
 * @end: Where to end.
 *
 * Context: Any. A glance: what is found may not be lent any more.
 * Return: The first frame of the first block at or behind @pfn; @end if there is none.
 */
unsigned long preserve_lent_next(unsigned long pfn, unsigned long end)
{
	unsigned long index = pfn >> pageblock_order;

	if (pfn >= end || !xa_find(&lent, &index, (end - 1) >> pageblock_order,
				   XA_PRESENT))
		return end;
	return index << pageblock_order;
}

/* Lends a block out that is off its node, and frees it; on error it is as it was. */
static int block_lend(struct preserve_block *block)
{
	unsigned long pfn = block->pfn;
	unsigned long index = pfn >> pageblock_order;
	int err;

	err = xa_err(xa_store(&lent, index, xa_mk_value(BUSY), GFP_KERNEL));
	if (err)
		return err;
	err = preserve_block_quit(block);
	if (err) {
		xa_erase(&lent, index);
		return err;
	}
	lent_begin(pfn);
	return 0;
}

/**
 * preserve_lend_surplus - Lend out what a node does not need soon.
 * @nid:  The node.
 * @keep: Idle blocks to keep at hand.
 *
 * Context: Process context, preserve_size_lock held.
 * Return: How many blocks were lent.
 */
unsigned long preserve_lend_surplus(int nid, unsigned long keep)
{
	struct preserve_node *node = &preserve_nodes[nid];
	struct preserve_block *block;
	unsigned long nr = 0;

	while (READ_ONCE(node->nr_idle) > keep) {
		block = preserve_block_isolate(nid);
		if (!block)
			break;
		if (block_lend(block)) {
			preserve_block_putback(block);
			break;
		}
		nr++;
		cond_resched();
	}
	if (nr)
		trace_preserve_lend(nid, nr);
	return nr;
}

/* Takes the frames of @nr lent blocks out of the page allocator. */
static int run_take(unsigned long pfn, unsigned long nr)
{
	struct page *page;
	unsigned long i;
	int err;

	if (!preserve_lent_claim(pfn, nr))
		return -EBUSY;
	err = alloc_contig_frozen_range(pfn, pfn + (nr << pageblock_order),
					ACR_FLAGS_CMA, GFP_KERNEL |
					__GFP_NOWARN | __GFP_RETRY_MAYFAIL);
	if (err) {
		preserve_lent_unclaim(pfn, nr);
		return err;
	}
	for (i = 0; i < nr; i++, pfn += pageblock_nr_pages) {
		page = pfn_to_page(pfn);
		init_pageblock_migratetype(page, MIGRATE_MOVABLE, false);
		preserve_lent_end(pfn, page_zone(page));
	}
	return 0;
}

static unsigned long run_drop(unsigned long pfn, unsigned long nr)
{
	preserve_release(pfn, nr << pageblock_order);
	return nr;
}

/* No sense in going on. */
static bool taking_over(const struct preserve_taking *t)
{
	return fatal_signal_pending(current) || t->nomem >= NOMEM_PATIENCE;
}

/*
 * Takes back what it can of a run, in halves if not as a whole; returns how many blocks
 * have been accepted.
 */
static unsigned long run_recall(struct preserve_taking *t, unsigned long pfn,
				unsigned long nr)
{
	unsigned long half = nr / 2;
	int err;

	if (taking_over(t))
		return 0;
	err = run_take(pfn, nr);
	if (err != -ENOMEM)
		t->nomem = 0;
	if (!err)
		return t->drop ? run_drop(pfn, nr) :
				 preserve_pool_add_blocks(pfn, nr);
	/* One block without memory to move it to does not stand for its neighbours. */
	if (nr == 1)
		t->nomem += err == -ENOMEM;
	if (nr == 1 || err == -EINTR)
		return 0;
	return run_recall(t, pfn, half) +
	       run_recall(t, pfn + (half << pageblock_order), nr - half);
}

/* How many neighbours from block number @index on are lent, in one zone; 0 if none is. */
static unsigned long run_length(unsigned long index, unsigned long most)
{
	const struct zone *zone = page_zone(pfn_to_page(index << pageblock_order));
	unsigned long nr = 0;

	while (nr < most && xa_load(&lent, index + nr) &&
	       !preserve_is_spared((index + nr) << pageblock_order) &&
	       page_zone(pfn_to_page((index + nr) << pageblock_order)) == zone)
		nr++;
	return nr;
}

/*
 * The next run of blocks of @nid that are lent, from block number *@from on; that is
 * then where it begins. What other nodes have lent is not looked at, as far as nodes
 * do not interleave.
 */
static unsigned long run_find(int nid, unsigned long *from, unsigned long most)
{
	unsigned long end = node_end_pfn(nid) >> pageblock_order;
	unsigned long index, nr = 0;

	index = max(*from, node_start_pfn(nid) >> pageblock_order);
	while (xa_find(&lent, &index, end, XA_PRESENT)) {
		/* One that has just yielded makes no run. */
		if (pfn_to_nid(index << pageblock_order) == nid)
			nr = run_length(index, most);
		if (nr)
			break;
		index++;
		cond_resched();
	}
	*from = index;
	return nr;
}

/**
 * preserve_taking_step - Take a run of lent blocks back, of those that are next to each other.
 * @t:         Goes on where the last step has stopped.
 * @nr_blocks: How many at most.
 * @got:       Set to how many came back, or left.
 *
 * Blocks that are busy stay lent.
 *
 * Context: Process context, preserve_size_lock held, no folio locked.
 * Return: False if none is left, there is no memory to move their content to, or the task
 *         is being killed. A next step begins anew.
 */
bool preserve_taking_step(struct preserve_taking *t, unsigned long nr_blocks,
			  unsigned long *got)
{
	unsigned long nr;

	*got = 0;
	nr = run_find(t->nid, &t->from, min(nr_blocks, RUN_BLOCKS));
	if (nr) {
		*got = run_recall(t, t->from << pageblock_order, nr);
		t->from += nr;
	}
	if (nr && !taking_over(t))
		return true;
	t->from = 0;
	return false;
}

/**
 * preserve_recall_at - Take this lent block back.
 * @pfn: Its first frame.
 *
 * Context: As preserve_taking_step().
 * Return: Whether it worked.
 */
bool preserve_recall_at(unsigned long pfn)
{
	struct preserve_taking t = {};

	return run_recall(&t, pfn, 1);
}

/**
 * preserve_drop_lent - Let a lent block leave the pool.
 * @pfn: Its first frame.
 *
 * Context: As preserve_taking_step().
 * Return: False if it is busy and stays.
 */
bool preserve_drop_lent(unsigned long pfn)
{
	struct preserve_taking t = { .drop = true };

	return run_recall(&t, pfn, 1);
}
