// SPDX-License-Identifier: GPL-2.0-only
/*
 * Adoption: the blocks that the last kernel handed over become the pool's.
 *
 * The block table is read first, extent by extent, block by block. What cannot be
 * right is refused alone, and counted; its memory stays reserved and untouched until
 * the next kexec, and the kernel after this one does not hear of it. The blocks are
 * then taken from KHO, on all CPUs, and join the pool in order, with the live frames
 * marked as used and untaken.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/bitmap.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/log2.h>
#include <linux/memblock.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/padata.h>
#include <linux/preserve.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include <trace/events/preserve.h>

#include "../mm_init.h"
#include "pool.h"

/*
 * What KHO leaves in page->private of the first page of a key that it has
 * reserved: its magic in the upper half, the order in the lower.
 */
#define KHO_PRIVATE	(0x4b484f50UL << 32)

/* Blocks that one CPU takes in one go, at least: 128 MiB. */
#define TAKE_CHUNK	64

/* Frames of huge pages that one CPU takes in one go: 1 GiB, or a larger key. */
#define TAKE_FRAMES	(SZ_1G >> PAGE_SHIFT)

/* The blocks while they are being adopted, by pfn >> pageblock_order. */
static struct xarray incoming __initdata = XARRAY_INIT(incoming, 0);

/* Frames of huge pages that are yet to be taken: how many, as a value, by the first one. */
static struct xarray incoming_huge __initdata = XARRAY_INIT(incoming_huge, 0);

/**
 * struct adoption - What reading the table finds.
 * @end:     Behind the last frame that an extent has named.
 * @bitmaps: The page of bitmaps that was looked at last, and is good; or NULL.
 * @first:   Number of the first block.
 * @last:    Number of the last.
 * @nr_live: Live frames.
 * @refused: Blocks, or extents, that cannot be right.
 * @guessed: Blocks all of whose frames count as live, for want of a bitmap.
 * @copies:  Pages of the table that are good in one copy only.
 * @one_way: A block cannot be handed on.
 * @full:    A part of an extent is there: no memory for the rest. No huge pages follow.
 */
struct adoption {
	u64 end;
	struct preserve_bitmaps_ser *bitmaps;
	unsigned long first;
	unsigned long last;
	unsigned long nr_live;
	unsigned long refused;
	unsigned long guessed;
	unsigned long copies;
	bool one_way;
	bool full;
};

/* Has KHO reserved this as a key of its own, and no file taken it yet? */
static bool __init handed_over(u64 phys, unsigned int order)
{
	struct page *page;

	if (!IS_ALIGNED(phys, PAGE_SIZE << order) || PHYS_PFN(phys) >= max_pfn)
		return false;
	page = pfn_to_online_page(PHYS_PFN(phys));
	return page && page->private == (KHO_PRIVATE | order) &&
	       !kho_scratch_overlap(phys, PAGE_SIZE << order);
}

static struct preserve_bitmaps_ser *__init bitmaps_get(struct adoption *ad,
						       u64 phys)
{
	struct preserve_bitmaps_ser *bm;

	if (ad->bitmaps && virt_to_phys(ad->bitmaps) == phys)
		return ad->bitmaps;
	if (!handed_over(phys, 0))
		return NULL;
	bm = phys_to_virt(phys);
	if (!preserve_bitmaps_check(bm, phys))
		return NULL;
	ad->bitmaps = bm;
	return bm;
}

/* The bitmap of an extent's block number @i, or NULL if it is damaged. */
static const unsigned long *__init
extent_bitmap(struct adoption *ad, const struct preserve_extent_ser *extent,
	      unsigned long i)
{
	struct preserve_bitmaps_ser *bm = bitmaps_get(ad, extent->bitmaps);

	if (!bm || extent->slot + i >= bm->nr)
		return NULL;
	return preserve_bitmaps_at(bm, extent->slot + i);
}

static void __init block_set_live(struct adoption *ad,
				  const struct preserve_extent_ser *extent,
				  unsigned long i, struct preserve_block *block)
{
	const unsigned long *map = NULL;

	if (extent->kind == PRESERVE_EXTENT_FREE)
		return;
	if (extent->kind == PRESERVE_EXTENT_SOME) {
		map = extent_bitmap(ad, extent, i);
		ad->guessed += !map;
	}
	if (map)
		bitmap_copy(block->untaken, map, pageblock_nr_pages);
	else
		bitmap_fill(block->untaken, pageblock_nr_pages);
	bitmap_copy(block->used, block->untaken, pageblock_nr_pages);
}

static int __init block_read(struct adoption *ad,
			     const struct preserve_extent_ser *extent,
			     unsigned long i)
{
	unsigned long pfn = extent->pfn + i * pageblock_nr_pages;
	unsigned long index = pfn >> pageblock_order;
	struct preserve_block *block;
	int err;

	if (!handed_over(PFN_PHYS(pfn), pageblock_order))
		return -EBADMSG;
	block = preserve_block_alloc(pfn);
	if (!block)
		return -ENOMEM;
	block_set_live(ad, extent, i, block);
	err = xa_insert(&incoming, index, block, GFP_KERNEL);
	if (err) {
		preserve_block_free(block);
		return err;
	}
	ad->first = min(ad->first, index);
	ad->last = max(ad->last, index);
	return 0;
}

static int __init bad_read(struct adoption *ad,
			   const struct preserve_extent_ser *extent)
{
	struct preserve_block *block = xa_load(&incoming,
					       extent->pfn >> pageblock_order);
	const unsigned long *map = extent_bitmap(ad, extent, 0);

	if (!block || block->poisoned)
		return -EBADMSG;
	if (map)
		block->poisoned = bitmap_alloc(pageblock_nr_pages, GFP_KERNEL);
	if (!block->poisoned) {
		/* Any frame may be defective: none is given out. */
		bitmap_fill(block->used, pageblock_nr_pages);
		return map ? -ENOMEM : -EBADMSG;
	}
	bitmap_copy(block->poisoned, map, pageblock_nr_pages);
	bitmap_or(block->used, block->used, map, pageblock_nr_pages);
	return 0;
}

/* Is any of these frames in a block that the table has named? */
static bool __init names_block(unsigned long pfn, unsigned long end)
{
	unsigned long index = pfn >> pageblock_order;

	return xa_find(&incoming, &index, (end - 1) >> pageblock_order, XA_PRESENT);
}

/* The order of the key that KHO has reserved at @pfn, not trusted; -1 if there is none. */
static int __init key_order(unsigned long pfn)
{
	const struct page *page = pfn_to_online_page(pfn);

	if (!page || (page->private & ~(unsigned long)U32_MAX) != KHO_PRIVATE)
		return -1;
	return page->private & U32_MAX;
}

/* Has KHO reserved the frames as keys, whichever they are cut into? */
static bool __init keys_tile(unsigned long pfn, unsigned long end)
{
	int order;

	for (; pfn < end; pfn += 1UL << order) {
		order = key_order(pfn);
		if (order < 0 || order > ilog2(end - pfn) || !handed_over(PFN_PHYS(pfn), order))
			return false;
		cond_resched();
	}
	return true;
}

/* Takes the frames from KHO: they end with reference count zero, as those of blocks do. */
static void __init keys_take(unsigned long pfn, unsigned long end)
{
	unsigned long at;
	int order;

	for (at = pfn; at < end; at += 1UL << order) {
		order = key_order(at);
		/* Not with keys that keys_tile() has seen. */
		if (WARN_ON_ONCE(order < 0 || !kho_restore_pages(PFN_PHYS(at), 1UL << order)))
			return;
	}
	for (; pfn < end; pfn++) {
		set_page_count(pfn_to_page(pfn), 0);
		if (!((pfn + 1) % pageblock_nr_pages))
			cond_resched();
	}
}

/* Notes keys to be taken, in parts. What there is no memory for is taken at once. */
static void __init keys_note(unsigned long pfn, unsigned long end)
{
	unsigned long at = pfn;

	while (at < end) {
		at += 1UL << key_order(at);
		if (at < end && at - pfn < TAKE_FRAMES)
			continue;
		if (xa_err(xa_store(&incoming_huge, pfn, xa_mk_value(at - pfn), GFP_KERNEL)))
			keys_take(pfn, at);
		pfn = at;
	}
}

/* Takes the parts that begin in [@start, @end). */
static void __init take_huge(unsigned long start, unsigned long end, void *unused)
{
	unsigned long pfn;
	void *entry;

	xa_for_each_range(&incoming_huge, pfn, entry, start, end - 1)
		keys_take(pfn, pfn + xa_to_value(entry));
}

/* On all CPUs: each struct page is written. */
static void __init take_all_huge(void)
{
	struct padata_mt_job job = {
		.thread_fn = take_huge,
		.start = ULONG_MAX,
		.align = TAKE_FRAMES,
		.min_chunk = TAKE_FRAMES,
		.max_threads = num_online_cpus(),
	};
	unsigned long pfn;
	void *entry;

	xa_for_each(&incoming_huge, pfn, entry) {
		job.start = min(job.start, pfn);
		job.size = pfn + 1 - job.start;
	}
	padata_do_multithreaded(&job);
	xa_destroy(&incoming_huge);
}

/*
 * Zones may end elsewhere than in the last kernel. A page in two could not be freed; hugetlb
 * itself makes none.
 */
static bool __init in_two_zones(unsigned long pfn, unsigned int order)
{
	return order > MAX_PAGE_ORDER &&
	       pfn_range_intersects_zones(pfn_to_nid(pfn), pfn, 1UL << order);
}

/* Adds @nr pages of an extent, from its page @first on. */
static int __init huge_add_some(const struct preserve_extent_ser *extent, u32 first, u32 nr,
				bool lost)
{
	struct preserve_extent_ser some = *extent;

	some.pfn += (u64)first << extent->slot;
	some.nr_blocks = nr;
	return nr ? preserve_huge_add(&some, lost) : 0;
}

/* Adds the pages of an extent. Those in two zones are lost. On error some may have been added. */
static int __init huge_add(struct adoption *ad, const struct preserve_extent_ser *extent)
{
	unsigned long pfn = extent->pfn;
	u32 i, first = 0;
	int err = 0;

	for (i = 0; i < extent->nr_blocks && !err; i++, pfn += 1UL << extent->slot) {
		if (!in_two_zones(pfn, extent->slot))
			continue;
		pr_err("a huge page at %#llx is in two zones: it cannot be used, nor can a file that has it be retrieved\n",
		       PFN_PHYS(pfn));
		ad->refused++;
		err = huge_add_some(extent, first, i - first, false) ?:
		      huge_add_some(extent, i, 1, true);
		first = i + 1;
	}
	return err ?: huge_add_some(extent, first, i - first, false);
}

static int __init huge_read(struct adoption *ad, const struct preserve_extent_ser *extent)
{
	const unsigned long end = extent->pfn + ((u64)extent->nr_blocks << extent->slot);
	int err;

	/* No block may follow: it could name the same frames. */
	ad->end = U64_MAX;
	if (ad->full)
		return -ENOMEM;
	if (names_block(extent->pfn, end) || preserve_huge_names(extent->pfn, end) ||
	    !keys_tile(extent->pfn, end))
		return -EBADMSG;
	err = huge_add(ad, extent);
	/* Keys are taken whole; and nothing may name what there was no memory to add. */
	ad->full = err && preserve_huge_names(extent->pfn, end);
	if (!err || ad->full)
		keys_note(extent->pfn, end);
	return err;
}

static void __init extent_read(struct adoption *ad,
			       const struct preserve_extent_ser *extent)
{
	unsigned long i;

	if (!preserve_extent_check(extent, ad->end, max_pfn)) {
		ad->refused++;
		return;
	}
	if (extent->kind == PRESERVE_EXTENT_HUGE ||
	    extent->kind == PRESERVE_EXTENT_HUGE_FREE) {
		ad->refused += !!huge_read(ad, extent);
		return;
	}
	if (extent->kind == PRESERVE_EXTENT_HUGE_BAD) {
		ad->refused += !!preserve_huge_add_bad(extent->pfn, extent->nr_blocks);
		return;
	}
	if (extent->kind == PRESERVE_EXTENT_POISONED) {
		ad->refused += !!bad_read(ad, extent);
		return;
	}
	for (i = 0; i < extent->nr_blocks; i++) {
		ad->refused += !!block_read(ad, extent, i);
		cond_resched();
	}
	ad->end = extent->pfn + i * pageblock_nr_pages;
}

/* A copy of a page of the table that is good, or NULL; and how many there are. */
static const struct preserve_table_ser *__init
table_get(const u64 copies[PRESERVE_COPIES], u64 seq, unsigned int *nr_good)
{
	const struct preserve_table_ser *table, *good = NULL;
	unsigned int i;

	*nr_good = 0;
	for (i = 0; i < PRESERVE_COPIES; i++) {
		if (!handed_over(copies[i], 0))
			continue;
		table = phys_to_virt(copies[i]);
		if (!preserve_table_check(table, seq))
			continue;
		good = table;
		++*nr_good;
	}
	return good;
}

/* Calls @fn for all good pages of the table. Returns false if one is missing. */
static bool __init table_walk(const struct preserve_header_ser *hdr,
			      void (*fn)(struct adoption *ad,
					 const struct preserve_table_ser *table),
			      struct adoption *ad)
{
	const struct preserve_table_ser *table;
	u64 next[PRESERVE_COPIES];
	unsigned int nr_good;
	u64 seq = 0;

	memcpy(next, hdr->table, sizeof(next));
	while (next[0] || next[1]) {
		table = table_get(next, seq++, &nr_good);
		if (!table)
			return false;
		ad->copies += nr_good < PRESERVE_COPIES;
		memcpy(next, table->next, sizeof(next));
		fn(ad, table);
	}
	return true;
}

static void __init table_read(struct adoption *ad,
			      const struct preserve_table_ser *table)
{
	u32 i;

	for (i = 0; i < table->nr; i++)
		extent_read(ad, &table->extent[i]);
}

/*
 * Takes the blocks with a number in [@start, @end) from KHO. Their frames end with
 * reference count zero: the free ones as the pool keeps them, the live ones until
 * they are restored.
 */
static void __init take_blocks(unsigned long start, unsigned long end,
			       void *unused)
{
	struct preserve_block *block;
	unsigned long index, i;
	struct page *page;

	xa_for_each_range(&incoming, index, block, start, end - 1) {
		page = kho_restore_pages(PFN_PHYS(block->pfn),
					 pageblock_nr_pages);
		/* Not with a key that block_read() has seen. */
		if (WARN_ON_ONCE(!page))
			continue;
		for (i = 0; i < pageblock_nr_pages; i++)
			set_page_count(page + i, 0);
		cond_resched();
	}
}

/* All blocks, on all CPUs: each struct page is written. */
static void __init take_all_blocks(const struct adoption *ad)
{
	struct padata_mt_job job = {
		.thread_fn = take_blocks,
		.start = ad->first,
		.size = ad->last - ad->first + 1,
		.align = 1,
		.min_chunk = TAKE_CHUNK,
		.max_threads = num_online_cpus(),
	};

	if (ad->first <= ad->last)
		padata_do_multithreaded(&job);
}

#ifdef CONFIG_MEMORY_FAILURE
static void __init pages_mark_bad(const struct preserve_block *block)
{
	unsigned long bit;

	for_each_set_bit(bit, block->poisoned, pageblock_nr_pages)
		if (!TestSetPageHWPoison(pfn_to_page(block->pfn + bit)))
			num_poisoned_pages_inc(block->pfn + bit);
}
#else
static void __init pages_mark_bad(const struct preserve_block *block)
{
}
#endif

static void __init block_mark_bad(struct preserve_block *block)
{
	if (!block->poisoned)
		return;
	preserve_adopt_poisoned(block);
	pages_mark_bad(block);
}

/* In order, so that the lowest are used first. */
static void __init insert_blocks(struct adoption *ad)
{
	struct preserve_block *block;
	unsigned long index;

	xa_for_each(&incoming, index, block) {
		xa_erase(&incoming, index);
		ad->nr_live += preserve_adopt_live(block);
		block_mark_bad(block);
		if (!preserve_block_join(block))
			continue;
		/* It can be used here, but goes no further. */
		ad->one_way = true;
		preserve_block_insert(block);
	}
	xa_destroy(&incoming);
}

/* Is this a page of its own, outside of what has been adopted? */
static bool __init is_lone_page(u64 phys)
{
	return handed_over(phys, 0) && !preserve_pool_owns(PHYS_PFN(phys), 1);
}

/* A page of bitmaps may be that of several extents: it can be freed once. */
static void __init bitmaps_free(u64 phys)
{
	if (!is_lone_page(phys) ||
	    !preserve_bitmaps_check(phys_to_virt(phys), phys))
		return;
	kho_restore_free(phys_to_virt(phys));
}

static void __init table_free(struct adoption *ad,
			      const struct preserve_table_ser *table)
{
	u64 last = 0;
	u32 i;

	for (i = 0; i < table->nr; i++) {
		if (table->extent[i].bitmaps == last)
			continue;
		last = table->extent[i].bitmaps;
		if (last)
			bitmaps_free(last);
	}
}

/* Frees the copies of the table's pages, the good and the bad. */
static void __init table_free_all(const struct preserve_header_ser *hdr)
{
	u64 next[PRESERVE_COPIES], at[PRESERVE_COPIES];
	const struct preserve_table_ser *table;
	unsigned int i, nr_good;
	u64 seq = 0;

	memcpy(at, hdr->table, sizeof(at));
	while ((table = table_get(at, seq++, &nr_good))) {
		memcpy(next, table->next, sizeof(next));
		for (i = 0; i < PRESERVE_COPIES; i++) {
			if (is_lone_page(at[i]) &&
			    *(u64 *)phys_to_virt(at[i]) == PRESERVE_TABLE_MAGIC)
				kho_restore_free(phys_to_virt(at[i]));
		}
		memcpy(at, next, sizeof(at));
	}
}

static const struct preserve_header_ser *__init
header_get(const void *blob, size_t size, const char **reason)
{
	unsigned int i;

	*reason = "header truncated";
	for (i = 0; i < PRESERVE_COPIES && size >= (i + 1) * PAGE_SIZE; i++) {
		const char *why = NULL;

		if (!preserve_header_check(blob + i * PAGE_SIZE, PAGE_SIZE,
					   &why)) {
			if (i)
				pr_err("%s, but its copy is good\n", *reason);
			return blob + i * PAGE_SIZE;
		}
		*reason = i ? *reason : why;
	}
	return NULL;
}

static void __init adopt(const struct preserve_header_ser *hdr)
{
	struct adoption ad = { .first = ULONG_MAX };
	unsigned long nr_blocks;
	u64 most;
	bool whole;

	whole = table_walk(hdr, table_read, &ad);
	if (ad.copies)
		pr_err("%lu pages of the block table are damaged, but their copies are good\n",
		       ad.copies);
	take_all_blocks(&ad);
	take_all_huge();
	insert_blocks(&ad);
	nr_blocks = preserve_pool_size();

	table_walk(hdr, table_free, &ad);
	table_free_all(hdr);
	most = totalram_pages() >> pageblock_order;
	preserve_pool_want = min(hdr->want, most);
	if (hdr->max != PRESERVE_NO_MAX)
		preserve_max_set = min(hdr->max, most);
	if (ad.one_way)
		preserve_handover_give_up();
	if (!whole || nr_blocks < hdr->nr_blocks || ad.refused || ad.guessed)
		pr_err("handed-over pool damaged: %lu of %llu blocks found; %lu refused, their memory and what follows a lost page stays reserved until the next kexec; %lu kept whole for want of a bitmap\n",
		       nr_blocks, hdr->nr_blocks, ad.refused, ad.guessed);
	trace_preserve_adopt(nr_blocks, ad.nr_live, ad.one_way ? -ENOMEM : 0);
	pr_info("adopted %lu MiB of pool, %lu KiB of it live\n",
		nr_blocks << (PAGE_SHIFT + pageblock_order - 20),
		ad.nr_live << (PAGE_SHIFT - 10));
}

/**
 * preserve_adopt - Adopt what the last kernel has handed over, if it has.
 *
 * Context: Boot, the pool is empty.
 */
void __init preserve_adopt(void)
{
	const struct preserve_header_ser *hdr;
	const char *reason;
	phys_addr_t phys;
	size_t size;

	if (kho_retrieve_subtree(PRESERVE_KHO_NAME, &phys, &size))
		return;
	hdr = header_get(phys_to_virt(phys), size, &reason);
	if (hdr)
		adopt(hdr);
	else
		pr_err("handed-over pool refused: %s; its memory stays reserved until the next kexec\n",
		       reason);
	kho_restore_free(phys_to_virt(phys));
}
