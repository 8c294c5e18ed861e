// SPDX-License-Identifier: GPL-2.0-only
/*
 * The header and the block table's pages: committing, and validation before any use.
 *
 * Pure: reads and writes the bytes it is given and nothing else, so that KUnit can
 * feed it anything. Whether blocks and pages that an extent names are the pool's is
 * for adopt.c to find out.
 */
#include <linux/errno.h>
#include <linux/kho/abi/preserve.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>
#include <linux/string.h>
#include <linux/xxhash.h>

#include "pool.h"

static u64 header_sum(const struct preserve_header_ser *hdr)
{
	return xxh64(hdr, offsetof(struct preserve_header_ser, csum), 0);
}

/**
 * preserve_header_commit - Fill in the fields that make a header valid.
 * @hdr: Everything else is filled in.
 */
void preserve_header_commit(struct preserve_header_ser *hdr)
{
	hdr->magic = PRESERVE_HEADER_MAGIC;
	hdr->version = PRESERVE_HEADER_VERSION;
	hdr->size = sizeof(*hdr);
	hdr->block_order = pageblock_order;
	hdr->page_shift = PAGE_SHIFT;
	hdr->csum = header_sum(hdr);
}

/**
 * preserve_header_check - Can this header be used?
 * @hdr:    The handed-over bytes.
 * @size:   How many there are.
 * @reason: Says why not, on error.
 *
 * Return: 0; -EPROTO for another version, geometry, or features that this kernel
 *         does not know; -EBADMSG for a damaged header.
 */
int preserve_header_check(const struct preserve_header_ser *hdr, size_t size,
			  const char **reason)
{
	if (size < sizeof(*hdr)) {
		*reason = "header truncated";
		return -EBADMSG;
	}
	if (hdr->magic != PRESERVE_HEADER_MAGIC) {
		*reason = "no header";
		return -EBADMSG;
	}
	if (hdr->version != PRESERVE_HEADER_VERSION ||
	    hdr->size != sizeof(*hdr)) {
		*reason = "header version unknown";
		return -EPROTO;
	}
	if (hdr->csum != header_sum(hdr)) {
		*reason = "header checksum wrong";
		return -EBADMSG;
	}
	if (hdr->incompat & ~(u64)PRESERVE_HEADER_INCOMPAT) {
		*reason = "header features unknown";
		return -EPROTO;
	}
	if (hdr->block_order != pageblock_order ||
	    hdr->page_shift != PAGE_SHIFT) {
		*reason = "page or block size differs";
		return -EPROTO;
	}
	return 0;
}

/* What the magic number and the checksum take, in either kind of page. */
#define BEHIND_CSUM	16

static_assert(offsetofend(struct preserve_table_ser, csum) == BEHIND_CSUM);
static_assert(offsetofend(struct preserve_bitmaps_ser, csum) == BEHIND_CSUM);

static u64 page_sum(const void *page, u64 seed)
{
	return xxh64(page + BEHIND_CSUM, PAGE_SIZE - BEHIND_CSUM, seed);
}

/**
 * preserve_table_init - Make a page an empty page of the table.
 * @table: The page.
 */
void preserve_table_init(struct preserve_table_ser *table)
{
	memset(table, 0, PAGE_SIZE);
	table->magic = PRESERVE_TABLE_MAGIC;
}

/**
 * preserve_table_commit - Fill in a table page's checksum.
 * @table: Everything else is filled in.
 * @seq:   Its number in the chain.
 */
void preserve_table_commit(struct preserve_table_ser *table, u64 seq)
{
	table->csum = page_sum(table, seq);
}

/**
 * preserve_table_check - Can this page of the table be used?
 * @table: The handed-over page.
 * @seq:   The number that it must have.
 *
 * Return: True if it can: its extents may still be wrong, see
 *         preserve_extent_check().
 */
bool preserve_table_check(const struct preserve_table_ser *table, u64 seq)
{
	return table->magic == PRESERVE_TABLE_MAGIC &&
	       table->csum == page_sum(table, seq) &&
	       table->nr && table->nr <= PRESERVE_TABLE_EXTENTS;
}

/* log2 of how many frames each of its @nr_blocks has. */
static unsigned int extent_order(const struct preserve_extent_ser *extent)
{
	switch (extent->kind) {
	case PRESERVE_EXTENT_HUGE:
	case PRESERVE_EXTENT_HUGE_FREE:
		return extent->slot;
	case PRESERVE_EXTENT_HUGE_BAD:
		return 0;
	}
	return pageblock_order;
}

/**
 * preserve_extent_check - Can this extent be right?
 * @extent: The handed-over bytes.
 * @from:   Behind the last frame of the blocks before it. Only blocks are in order.
 * @end:    Behind the last frame of the machine.
 *
 * Return: True if its kind is known and its blocks are where they can be.
 */
bool preserve_extent_check(const struct preserve_extent_ser *extent, u64 from,
			   u64 end)
{
	const unsigned int order = extent_order(extent);
	u64 nr = extent->nr_blocks;

	if (!nr || order > PRESERVE_HUGE_MAX_ORDER || !IS_ALIGNED(extent->pfn, 1ULL << order) ||
	    extent->pfn >= end || nr > (end - extent->pfn) >> order)
		return false;
	switch (extent->kind) {
	case PRESERVE_EXTENT_FREE:
	case PRESERVE_EXTENT_LIVE:
	case PRESERVE_EXTENT_SOME:
		return extent->pfn >= from;
	case PRESERVE_EXTENT_HUGE:
	case PRESERVE_EXTENT_HUGE_FREE:
		return order >= PRESERVE_HUGE_MIN_ORDER &&
		       !(extent->bitmaps & ~(u64)(PRESERVE_HUGE_STAYS | PRESERVE_HUGE_CMA));
	case PRESERVE_EXTENT_HUGE_BAD:
		return true;
	case PRESERVE_EXTENT_POISONED:
		return nr == 1;
	}
	return false;
}

/**
 * preserve_bitmaps_init - Make a page an empty page of bitmaps.
 * @bm: The page.
 */
void preserve_bitmaps_init(struct preserve_bitmaps_ser *bm)
{
	memset(bm, 0, PAGE_SIZE);
	bm->magic = PRESERVE_BITMAPS_MAGIC;
}

/**
 * preserve_bitmaps_commit - Fill in a bitmap page's checksum.
 * @bm:   Everything else is filled in.
 * @phys: Its physical address.
 */
void preserve_bitmaps_commit(struct preserve_bitmaps_ser *bm, u64 phys)
{
	bm->csum = page_sum(bm, phys);
}

/**
 * preserve_bitmaps_check - Can this page of bitmaps be used?
 * @bm:   The handed-over page.
 * @phys: Its physical address.
 *
 * Return: True if it can.
 */
bool preserve_bitmaps_check(const struct preserve_bitmaps_ser *bm, u64 phys)
{
	return bm->magic == PRESERVE_BITMAPS_MAGIC &&
	       bm->csum == page_sum(bm, phys) &&
	       bm->nr && bm->nr <= PRESERVE_BITMAPS;
}

/**
 * preserve_bitmaps_at - One of a page's bitmaps.
 * @bm:   The page.
 * @slot: Its number, below %PRESERVE_BITMAPS.
 *
 * Return: The bitmap, of pageblock_nr_pages bits.
 */
unsigned long *preserve_bitmaps_at(struct preserve_bitmaps_ser *bm,
				   unsigned int slot)
{
	return (unsigned long *)bm->bits +
	       slot * BITS_TO_LONGS(pageblock_nr_pages);
}
