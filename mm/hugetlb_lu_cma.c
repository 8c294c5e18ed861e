// SPDX-License-Identifier: GPL-2.0-only
/*
 * hugetlb_cma= in a kernel to which memory has been handed over.
 *
 * Gigantic pages that the last kernel had in its areas cross in their place, and are part of
 * this kernel's areas again: freed, they go back there, and what hugetlb has of the machine is
 * as large as the command line says, however often the kernel is replaced. CMA knows of frames
 * at the beginning of each range that are allocated before the page allocator runs
 * (cma_memrange.early_pfn): what has come is that, so its struct pages are left alone until
 * it is adopted.
 *
 * The rest of an area is chosen here as well: cma_declare_contiguous_multi() would take KHO's
 * scratch, which is free in memblock and from which the next kernel boots; or, if the area is
 * in several ranges, what has been handed over, which KHO reserves later. What memblock has
 * marked as scratch and is none holds nothing of the last kernel's: see kho_extend_scratch().
 *
 * A range is of one zone, and an area has CMA_MAX_RANGES of them, so the longest are taken.
 * What has come and finds no range is an ordinary huge page, and the area smaller by as much.
 */
#define pr_fmt(fmt) "preserve: hugetlb: " fmt

#include <linux/cma.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/kexec_handover.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/preserve.h>
#include <linux/sizes.h>

#include "cma.h"
#include "hugetlb_internal.h"
#include "internal.h"
#include "mm_init.h"

/* Areas that were made here, by node. They stay. */
static struct cma *areas[MAX_NUMNODES] __initdata;

/* Frames of a page of theirs. */
static unsigned long area_step __initdata;

/**
 * struct choice - The ranges of an area that is being chosen.
 * @visitor: For what has come.
 * @step:   Frames of a page; all is in multiples of it.
 * @nid:    The node.
 * @left:   Frames that are wanted still.
 * @taken:  Frames that hold what has come.
 * @others: Frames that hold what has come, and found no range.
 * @nr:     Ranges.
 * @ranges: The ranges.
 */
struct choice {
	struct preserve_huge_visitor visitor;
	unsigned long step;
	int nid;
	unsigned long left;
	unsigned long taken;
	unsigned long others;
	int nr;
	struct cma_memrange ranges[CMA_MAX_RANGES];
};

/* Neighbouring free frames. */
struct run {
	unsigned long pfn;
	unsigned long nr;
};

/* The range that goes on at @pfn, or a new one; NULL if there can be none. */
static struct cma_memrange *__init range_at(struct choice *c, unsigned long pfn, bool taken)
{
	struct cma_memrange *range;

	for (range = c->ranges; range < c->ranges + c->nr; range++)
		if (range->base_pfn + range->count == pfn &&
		    (!taken || range->early_pfn == pfn) &&
		    !pfn_range_intersects_zones(c->nid, range->base_pfn, range->count + c->step))
			return range;
	/* The last one is for free memory. */
	if (c->nr >= CMA_MAX_RANGES - taken || pfn_range_intersects_zones(c->nid, pfn, c->step))
		return NULL;
	c->nr++;
	range->base_pfn = pfn;
	range->early_pfn = pfn;
	range->count = 0;
	return range;
}

/* Adds a page that is reserved in memblock. */
static bool __init page_add(struct choice *c, unsigned long pfn, bool taken)
{
	struct cma_memrange *range = range_at(c, pfn, taken);

	if (!range)
		return false;
	range->count += c->step;
	c->left -= c->step;
	if (taken) {
		range->early_pfn += c->step;
		c->taken += c->step;
	}
	return true;
}

/* A page that has come, or so its extent says. */
static void __init page_take(struct choice *c, unsigned long pfn)
{
	const phys_addr_t at = PFN_PHYS(pfn), size = PFN_PHYS(c->step);

	if (!memblock_is_region_memory(at, size) || early_pfn_to_nid(pfn) != c->nid ||
	    pfn_range_intersects_zones(c->nid, pfn, c->step) ||
	    kho_scratch_overlap(at, size) || memblock_is_region_reserved(at, size) ||
	    memblock_reserve(at, size))
		return;
	if (page_add(c, pfn, true))
		return;
	memblock_phys_free(at, size);
	c->left -= c->step;
	c->others += c->step;
}

static void __init pages_take(struct preserve_huge_visitor *visitor, unsigned long pfn,
			      unsigned long nr)
{
	struct choice *c = container_of(visitor, struct choice, visitor);

	for (; nr && c->left; nr--, pfn += c->step)
		page_take(c, pfn);
}

static bool __init run_goes_on(const struct choice *c, const struct run *run, unsigned long pfn)
{
	return run->nr && run->pfn + run->nr == pfn &&
	       !pfn_range_intersects_zones(c->nid, run->pfn, run->nr + c->step);
}

/* The longest run of free pages at @from and above; the first that is long enough. */
static struct run __init run_find(const struct choice *c, phys_addr_t from)
{
	const phys_addr_t size = PFN_PHYS(c->step);
	struct run best = {}, run = {};
	phys_addr_t at, end;
	u64 i;

	for_each_free_mem_range(i, c->nid, MEMBLOCK_KHO_SCRATCH, &at, &end, NULL) {
		for (at = ALIGN(max(at, from), size); at + size <= end; at += size) {
			const unsigned long pfn = PHYS_PFN(at);

			if (kho_scratch_overlap(at, size) ||
			    pfn_range_intersects_zones(c->nid, pfn, c->step))
				continue;
			if (!run_goes_on(c, &run, pfn))
				run = (struct run){ .pfn = pfn };
			run.nr += c->step;
			if (run.nr > best.nr)
				best = run;
			if (best.nr >= c->left)
				return best;
		}
	}
	return best;
}

/* Adds free pages at @from and above. */
static void __init pages_find(struct choice *c, phys_addr_t from)
{
	struct run run;

	while (c->left && c->nr < CMA_MAX_RANGES) {
		run = run_find(c, from);
		if (!run.nr || memblock_reserve(PFN_PHYS(run.pfn), PFN_PHYS(run.nr)))
			return;
		accept_memory(PFN_PHYS(run.pfn), PFN_PHYS(run.nr));
		for (; run.nr; run.pfn += c->step, run.nr -= c->step)
			page_add(c, run.pfn, false);
	}
}

static void __init choose(struct choice *c)
{
	preserve_huge_for_each(ilog2(c->step), c->nid, true, &c->visitor);
	/* Not in the low zones first: as CMA does it. */
	pages_find(c, SZ_4G);
	pages_find(c, 0);
}

static int __init area_make(const struct choice *c, unsigned int order_per_bit,
			    const char *name, struct cma **res_cma)
{
	const struct cma_memrange *first = c->ranges;
	unsigned long nr = first->count;
	struct cma *cma;
	int err, i;

	err = cma_init_reserved_mem(PFN_PHYS(first->base_pfn), PFN_PHYS(nr), order_per_bit, name,
				    &cma);
	if (err)
		return err;
	for (i = 1; i < c->nr; i++)
		nr += c->ranges[i].count;
	memcpy(cma->ranges, c->ranges, c->nr * sizeof(*first));
	cma->nranges = c->nr;
	cma->nid = c->nid;
	totalcma_pages += nr - cma->count;
	cma->count = nr;
	cma->available_count = nr - c->taken;
	*res_cma = cma;
	return 0;
}

static void __init choice_drop(const struct choice *c)
{
	int i;

	for (i = 0; i < c->nr; i++)
		memblock_phys_free(PFN_PHYS(c->ranges[i].base_pfn), PFN_PHYS(c->ranges[i].count));
}

static void __init report(const struct choice *c, const struct cma *cma)
{
	const unsigned int shift = 20 - PAGE_SHIFT;

	pr_info("CMA area %s has %lu MiB in %d ranges, %lu MiB of them handed over\n", cma->name,
		cma->count >> shift, c->nr, c->taken >> shift);
	if (c->others)
		pr_info("CMA area %s: %lu MiB more were handed over, and are not in it, as they are in too many pieces\n",
			cma->name, c->others >> shift);
	if (c->left)
		pr_warn("CMA area %s lacks %lu MiB: there is no place for them beside what was handed over\n",
			cma->name, c->left >> shift);
}

static int __init declare(phys_addr_t size, unsigned int order_per_bit, const char *name,
			  struct cma **res_cma, int nid)
{
	static struct choice c __initdata;
	int err;

	memset(&c, 0, sizeof(c));
	c.visitor.visit = pages_take;
	c.step = area_step;
	c.nid = nid;
	c.left = PHYS_PFN(size);
	choose(&c);
	if (!c.nr)
		return -ENOMEM;
	err = area_make(&c, order_per_bit, name, res_cma);
	if (err) {
		choice_drop(&c);
		return err;
	}
	areas[nid] = *res_cma;
	report(&c, *res_cma);
	return 0;
}

/*
 * KHO's scratch is as large as twice what the kernel has reserved for itself so far: huge pages
 * are no part of that, and neither is memory for them.
 */
static void __init area_uncount(const struct cma *cma)
{
	const struct cma_memrange *range;
	phys_addr_t at, size;

	for (range = cma->ranges; range < cma->ranges + cma->nranges; range++) {
		at = PFN_PHYS(range->base_pfn);
		size = PFN_PHYS(range->count);
		/* What is reserved like this is not called the kernel's. */
		memblock_phys_free(at, size);
		if (memblock_reserve(at, size))
			panic("no memory to reserve CMA area %s\n", cma->name);
	}
}

/**
 * hugetlb_lu_cma_declare - Make an area of CMA for huge pages.
 * @size:          Bytes, a multiple of @align.
 * @align:         Size of a gigantic page, bytes: always the same.
 * @order_per_bit: As CMA wants it.
 * @name:          Of the area.
 * @res_cma:       Set to the area.
 * @nid:           Its node.
 *
 * As cma_declare_contiguous_multi(), which does it unless memory has been handed over. Then
 * the area may be smaller, which is said.
 *
 * Context: Boot, before the page allocator runs, and before KHO reserves in memblock what has
 *          been handed over.
 * Return: 0, or a negative errno.
 */
int __init hugetlb_lu_cma_declare(phys_addr_t size, phys_addr_t align,
				  unsigned int order_per_bit, const char *name,
				  struct cma **res_cma, int nid)
{
	int err;

	area_step = PHYS_PFN(align);
	preserve_huge_set_cma(ilog2(area_step));
	if (is_kho_boot())
		return declare(size, order_per_bit, name, res_cma, nid);
	err = cma_declare_contiguous_multi(size, align, order_per_bit, name, res_cma, nid);
	if (!err && kho_is_enabled())
		area_uncount(*res_cma);
	return err;
}

static bool __init area_has(const struct cma *cma, unsigned long pfn)
{
	const struct cma_memrange *range;

	for (range = cma->ranges; range < cma->ranges + cma->nranges; range++)
		if (pfn >= range->base_pfn && pfn < range->base_pfn + range->count)
			return true;
	return false;
}

/**
 * hugetlb_lu_cma_adopt - Let a huge page that has come be one of CMA's, if it lies in an area.
 * @folio: The page, fresh, with all of its struct pages.
 *
 * Context: Boot, when CMA's areas are active.
 */
void __init hugetlb_lu_cma_adopt(struct folio *folio)
{
	const struct cma *cma = areas[folio_nid(folio)];
	const unsigned long nr = folio_nr_pages(folio);
	unsigned long i;

	if (nr != area_step || !cma || !test_bit(CMA_ACTIVATED, &cma->flags) ||
	    !area_has(cma, folio_pfn(folio)))
		return;
	folio_set_hugetlb_cma(folio);
	for (i = 0; i < nr; i += pageblock_nr_pages)
		init_pageblock_migratetype(folio_page(folio, i), MIGRATE_CMA, false);
	folio_zone(folio)->cma_pages += nr;
}
