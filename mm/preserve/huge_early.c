// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many huge pages the last kernel has handed over: hugetlb wants to know before the page
 * allocator runs, and so before anything can be adopted. Only checksums are looked at here,
 * and nothing is taken; adopt.c does that, and may refuse some.
 */
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/numa.h>
#include <linux/preserve.h>

#include "pool.h"

/* A page of the last kernel's, if it can be read. */
static const void *__init page_at(u64 phys)
{
	if (!phys || !PAGE_ALIGNED(phys) || !memblock_is_memory(phys))
		return NULL;
	return phys_to_virt(phys);
}

static const struct preserve_table_ser *__init table_at(const u64 copies[PRESERVE_COPIES],
							u64 seq)
{
	const struct preserve_table_ser *table;
	unsigned int i;

	for (i = 0; i < PRESERVE_COPIES; i++) {
		table = page_at(copies[i]);
		if (table && preserve_table_check(table, seq))
			return table;
	}
	return NULL;
}

static const struct preserve_header_ser *__init header_find(void)
{
	const char *reason;
	phys_addr_t phys;
	unsigned int i;
	size_t size;

	if (kho_retrieve_subtree(PRESERVE_KHO_NAME, &phys, &size) ||
	    size < PRESERVE_COPIES * PAGE_SIZE)
		return NULL;
	for (i = 0; i < PRESERVE_COPIES; i++, phys += PAGE_SIZE)
		if (page_at(phys) &&
		    !preserve_header_check(phys_to_virt(phys), PAGE_SIZE, &reason))
			return phys_to_virt(phys);
	return NULL;
}

static bool __init has_huge(const struct preserve_extent_ser *extent, unsigned int order)
{
	return (extent->kind == PRESERVE_EXTENT_HUGE ||
		extent->kind == PRESERVE_EXTENT_HUGE_FREE) && extent->slot == order;
}

/* The block table of the last kernel, its first page. NULL: nothing will be adopted. */
static const struct preserve_table_ser *__init table_first(void)
{
	const struct preserve_header_ser *hdr;

	if (!kho_is_enabled() || !liveupdate_enabled())
		return NULL;
	hdr = header_find();
	return hdr ? table_at(hdr->table, 0) : NULL;
}

/**
 * preserve_huge_for_each - Go through the huge pages of one size that have been handed over.
 * @order:   The size.
 * @nid:     A node; NUMA_NO_NODE for all of them.
 * @cma:     Only those that the last kernel had of hugetlb_cma=.
 * @visitor: Is shown each extent.
 *
 * Goes through the block table. Checksums say that the last kernel has written this, and nothing
 * else was checked.
 *
 * Context: Boot, until adoption.
 */
void __init preserve_huge_for_each(unsigned int order, int nid, bool cma,
				   struct preserve_huge_visitor *visitor)
{
	const struct preserve_extent_ser *extent;
	const struct preserve_table_ser *table;
	u64 seq = 0;

	for (table = table_first(); table; table = table_at(table->next, ++seq))
		for (extent = table->extent; extent < table->extent + table->nr; extent++)
			if (has_huge(extent, order) && preserve_extent_check(extent, 0, max_pfn) &&
			    (nid == NUMA_NO_NODE || early_pfn_to_nid(extent->pfn) == nid) &&
			    (!cma || extent->bitmaps & PRESERVE_HUGE_CMA))
				visitor->visit(visitor, extent->pfn, extent->nr_blocks);
}

/**
 * struct counting - Pages that are being counted.
 * @visitor: For preserve_huge_for_each().
 * @nr:      So many.
 */
struct counting {
	struct preserve_huge_visitor visitor;
	unsigned long nr;
};

static void __init count(struct preserve_huge_visitor *visitor, unsigned long pfn,
			 unsigned long nr)
{
	container_of(visitor, struct counting, visitor)->nr += nr;
}

/**
 * preserve_huge_count - Count the huge pages that the last kernel has handed over.
 * @order: Their size.
 * @nid:   A node; NUMA_NO_NODE for all of them.
 *
 * Context: Boot, until adoption.
 * Return: How many; 0 if none, or if it cannot be read.
 */
unsigned long __init preserve_huge_count(unsigned int order, int nid)
{
	struct counting counting = { .visitor.visit = count };

	preserve_huge_for_each(order, nid, false, &counting.visitor);
	return counting.nr;
}
