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
 * The rest of an area is chosen here as well, page by page: cma_declare_contiguous_multi()
 * would take KHO's scratch, which is free in memblock and from which the next kernel boots.
 * Memory that is no scratch, and that this kernel may allocate so early, has nothing in it
 * that the last one has handed over: see kho_extend_scratch().
 *
 * A range is of one zone, and an area has CMA_MAX_RANGES of them. What has come and finds no
 * range is an ordinary huge page, and the area smaller by as much.
 */
#define pr_fmt(fmt) "preserve: hugetlb: " fmt

#include <linux/cma.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/kexec_handover.h>
#include <linux/kmemleak.h>
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

/**
 * struct choice - The ranges of an area that is being chosen.
 * @step:   Frames of a page; all is in multiples of it.
 * @nid:    The node.
 * @left:   Frames that are wanted still.
 * @taken:  Frames that hold what has come.
 * @nr:     Ranges.
 * @ranges: The ranges.
 */
struct choice {
	unsigned long step;
	int nid;
	unsigned long left;
	unsigned long taken;
	int nr;
	struct cma_memrange ranges[CMA_MAX_RANGES];
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
	if (c->nr == CMA_MAX_RANGES || pfn_range_intersects_zones(c->nid, pfn, c->step))
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

/* Pages that have come from an area. */
static void __init pages_take(void *ctx, unsigned long pfn, unsigned long nr)
{
	struct choice *c = ctx;

	for (; nr && c->left; nr--, pfn += c->step) {
		const phys_addr_t at = PFN_PHYS(pfn), size = PFN_PHYS(c->step);

		if (memblock_is_region_memory(at, size) && !kho_scratch_overlap(at, size) &&
		    !memblock_is_region_reserved(at, size) && !memblock_reserve(at, size) &&
		    !page_add(c, pfn, true))
			memblock_phys_free(at, size);
	}
}

/* Reserves a free page in [@from, @to) where the next kernel does not boot. 0: there is none. */
static phys_addr_t __init page_reserve(const struct choice *c, phys_addr_t from, phys_addr_t to)
{
	const phys_addr_t size = PFN_PHYS(c->step);
	phys_addr_t at;

	for (; (at = memblock_alloc_range_nid(size, size, from, to, c->nid, true));
	     from = at + size) {
		if (!kho_scratch_overlap(at, size)) {
			/* As CMA does: nobody is to look for pointers in it. */
			kmemleak_ignore_phys(at);
			return at;
		}
		memblock_phys_free(at, size);
	}
	return 0;
}

/* Adds free pages behind what has come: no further range is needed for them. */
static void __init ranges_grow(struct choice *c)
{
	const phys_addr_t size = PFN_PHYS(c->step);
	phys_addr_t end;
	int i;

	for (i = 0; i < c->nr; i++) {
		while (c->left) {
			end = PFN_PHYS(c->ranges[i].base_pfn + c->ranges[i].count);
			if (!page_reserve(c, end, end + size))
				break;
			if (!page_add(c, PHYS_PFN(end), false)) {
				memblock_phys_free(end, size);
				break;
			}
		}
	}
}

/* Adds free pages at @from and above. */
static void __init pages_find(struct choice *c, phys_addr_t from)
{
	phys_addr_t at;

	while (c->left) {
		at = page_reserve(c, from, MEMBLOCK_ALLOC_ACCESSIBLE);
		if (!at)
			return;
		from = at + PFN_PHYS(c->step);
		if (!page_add(c, PHYS_PFN(at), false)) {
			memblock_phys_free(at, PFN_PHYS(c->step));
			return;
		}
	}
}

static void __init choose(struct choice *c)
{
	const bool bottom_up = memblock_bottom_up();

	preserve_huge_for_each_cma(ilog2(c->step), c->nid, pages_take, c);
	/* Ascending, and not in the low zones first: as CMA does it. */
	memblock_set_bottom_up(true);
	ranges_grow(c);
	pages_find(c, SZ_4G);
	pages_find(c, 0);
	memblock_set_bottom_up(bottom_up);
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

static int __init declare(phys_addr_t size, phys_addr_t align, unsigned int order_per_bit,
			  const char *name, struct cma **res_cma, int nid)
{
	struct choice c = { .step = PHYS_PFN(align), .nid = nid, .left = PHYS_PFN(size) };
	int err;

	choose(&c);
	if (!c.nr)
		return -ENOMEM;
	err = area_make(&c, order_per_bit, name, res_cma);
	if (err) {
		choice_drop(&c);
		return err;
	}
	areas[nid] = *res_cma;
	if (c.left)
		pr_warn("CMA area %s lacks %lu MiB: there is no place for them beside what was handed over\n",
			name, c.left >> (20 - PAGE_SHIFT));
	pr_info("CMA area %s has %lu MiB in %d ranges, %lu MiB of them handed over\n",
		name, cma_get_size(*res_cma) / SZ_1M, c.nr,
		c.taken >> (20 - PAGE_SHIFT));
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
		memblock_reserve(at, size);
	}
}

/**
 * hugetlb_lu_cma_declare - Make an area of CMA for huge pages.
 * @size:          Bytes, a multiple of @align.
 * @align:         Size of a gigantic page, bytes.
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

	if (is_kho_boot())
		return declare(size, align, order_per_bit, name, res_cma, nid);
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

	if (!cma || !test_bit(CMA_ACTIVATED, &cma->flags) || !area_has(cma, folio_pfn(folio)))
		return;
	folio_set_hugetlb_cma(folio);
	for (i = 0; i < nr; i += pageblock_nr_pages)
		init_pageblock_migratetype(folio_page(folio, i), MIGRATE_CMA, false);
	folio_zone(folio)->cma_pages += nr;
}
