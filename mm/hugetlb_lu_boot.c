// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages that have crossed become those of hugetlb.
 *
 * hugepages=N asks for N in all: so hugetlb, which allocates them before anything is adopted,
 * is told how many it will get, and allocates the others. Adoption then makes folios of them,
 * which count as in use: on the active list, not migratable, with one reference, that of the
 * file that is to have them (see hugetlb_lu_demand.c). Those that are more than N are surplus
 * pages, as when N is written to nr_hugepages while more are in use.
 *
 * Free pages that were kept on request (hugetlb_lu_keep.c) are free pages again. Then the pool
 * as a whole is to stay as large: none that has come is surplus, and what is more than N makes
 * nr_hugepages larger. (hugetlb frees whichever page is given back first on a node that has
 * surplus pages: a kept one could go as well.)
 */
#define pr_fmt(fmt) "preserve: hugetlb: " fmt

#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/numa.h>
#include <linux/preserve.h>
#include <linux/vmstat.h>

#include "hugetlb_internal.h"
#include "hugetlb_vmemmap.h"
#include "internal.h"

/* How many pages were not allocated, as they would come: on any node, and by node. */
static unsigned long missing[HUGE_MAX_HSTATE] __initdata;
static unsigned long missing_on[HUGE_MAX_HSTATE][MAX_NUMNODES] __initdata;

/* How many of @want pages need not be allocated on one node, or on all. */
static unsigned long __init less(struct hstate *h, int nid, unsigned long want)
{
	return want ? min(want, preserve_huge_count(huge_page_order(h), nid)) : 0;
}

/**
 * hugetlb_lu_boot_less - Allocate fewer huge pages at boot: some will come.
 * @h: An hstate, with what the command line asks for.
 *
 * Context: Boot, before its pages are allocated.
 */
void __init hugetlb_lu_boot_less(struct hstate *h)
{
	const int nth = hstate_index(h);
	bool by_node = false;
	unsigned long nr;
	int nid;

	for_each_online_node(nid) {
		if (!h->max_huge_pages_node[nid])
			continue;
		by_node = true;
		nr = less(h, nid, h->max_huge_pages_node[nid]);
		h->max_huge_pages_node[nid] -= nr;
		h->max_huge_pages -= nr;
		missing_on[nth][nid] = nr;
	}
	if (by_node)
		return;
	missing[nth] = less(h, NUMA_NO_NODE, h->max_huge_pages);
	h->max_huge_pages -= missing[nth];
}

/* Is a page that has come one of those that were not allocated? */
static bool __init was_missing(struct hstate *h, int nid)
{
	const int nth = hstate_index(h);

	if (missing_on[nth][nid])
		missing_on[nth][nid]--;
	else if (missing[nth])
		missing[nth]--;
	else
		return false;
	return true;
}

/**
 * struct making - Huge pages of one size that are being made.
 * @maker: For the core.
 * @h:     Their hstate.
 * @fresh: Folios with reference count zero, to be in use.
 * @free:  The same, to be free.
 */
struct making {
	struct preserve_huge_maker maker;
	struct hstate *h;
	struct list_head fresh;
	struct list_head free;
};

static void __init page_make(const struct preserve_huge_maker *maker, unsigned long pfn)
{
	struct folio *folio = pfn_folio(pfn);

	prep_compound_page(&folio->page, maker->order);
	init_new_hugetlb_folio(folio);
}

static void __init page_add(const struct preserve_huge_maker *maker, unsigned long pfn, bool free)
{
	struct making *making = container_of(maker, struct making, maker);
	struct folio *folio = pfn_folio(pfn);

	hugetlb_lu_cma_adopt(folio);
	list_add_tail(&folio->lru, free ? &making->free : &making->fresh);
}

/* A page that is free. */
static void __init folio_account_free(struct hstate *h, struct folio *folio)
{
	const int nid = folio_nid(folio);

	guard(spinlock_irq)(&hugetlb_lock);
	h->nr_huge_pages++;
	h->nr_huge_pages_node[nid]++;
	was_missing(h, nid);
	h->max_huge_pages++;
	/* Neighbours are given out in ascending order. */
	list_move_tail(&folio->lru, &h->hugepage_freelists[nid]);
	h->free_huge_pages++;
	h->free_huge_pages_node[nid]++;
	folio_set_hugetlb_freed(folio);
}

/* A page that is in use, and what it counts as. */
static void __init folio_account(struct hstate *h, struct folio *folio, bool stays)
{
	const int nid = folio_nid(folio);

	guard(spinlock_irq)(&hugetlb_lock);
	h->nr_huge_pages++;
	h->nr_huge_pages_node[nid]++;
	if (was_missing(h, nid) || stays) {
		h->max_huge_pages++;
	} else {
		h->surplus_huge_pages++;
		h->surplus_huge_pages_node[nid]++;
	}
	folio_ref_unfreeze(folio, 1);
	list_move_tail(&folio->lru, &h->hugepage_activelist);
}

static void __init hstate_adopt(struct hstate *h)
{
	struct making making = {
		.maker = { .order = huge_page_order(h), .make = page_make, .add = page_add },
		.h = h, .fresh = LIST_HEAD_INIT(making.fresh), .free = LIST_HEAD_INIT(making.free),
	};
	struct folio *folio, *next;
	unsigned long nr, nr_free = 0;

	nr = preserve_huge_make(&making.maker);
	if (!nr)
		return;
	hugetlb_vmemmap_optimize_folios(h, &making.fresh);
	list_for_each_entry_safe(folio, next, &making.fresh, lru) {
		folio_account(h, folio, making.maker.stays);
		lruvec_stat_mod_folio(folio, NR_HUGETLB, folio_nr_pages(folio));
		cond_resched();
	}
	hugetlb_vmemmap_optimize_folios(h, &making.free);
	list_for_each_entry_safe(folio, next, &making.free, lru) {
		folio_account_free(h, folio);
		nr_free++;
		cond_resched();
	}
	pr_info("adopted %lu huge pages of %lu KiB, free %lu, surplus %lu\n", nr,
		huge_page_size(h) >> 10, nr_free, h->surplus_huge_pages);
}

/* Those that have not come are not allocated either: nr_hugepages can be written. */
static void __init report_missing(struct hstate *h)
{
	const int nth = hstate_index(h);
	unsigned long nr = missing[nth];
	int nid;

	for (nid = 0; nid < MAX_NUMNODES; nid++)
		nr += missing_on[nth][nid];
	if (nr)
		pr_err("%lu huge pages of %lu KiB were announced and have not come\n", nr,
		       huge_page_size(h) >> 10);
}

#ifdef CONFIG_MEMORY_FAILURE
static void __init folio_mark_bad(struct folio *folio, unsigned long pfn, unsigned long nr)
{
	unsigned long i;

	/* As memory failure does it: what is defective is never free again. */
	if (!folio_test_hwpoison(folio))
		folio_get(folio);
	/* The last kernel has lost count, or so would this one. */
	if (nr > PRESERVE_BAD_FRAMES) {
		folio_set_hwpoison(folio);
		folio_set_hugetlb_raw_hwp_unreliable(folio);
		return;
	}
	for (i = 0; i < nr; i++)
		hugetlb_update_hwpoison(folio, pfn_to_page(pfn + i));
}

static void __init frames_mark_bad(unsigned long pfn, unsigned long nr)
{
	struct folio *folio = pfn_folio(pfn);
	unsigned long i;

	if (folio_test_hugetlb(folio))
		folio_mark_bad(folio, pfn, nr);
	for (i = 0; i < nr; i++) {
		if (!folio_test_hugetlb(folio))
			SetPageHWPoison(pfn_to_page(pfn + i));
		num_poisoned_pages_inc(pfn + i);
	}
}
#else
static void __init frames_mark_bad(unsigned long pfn, unsigned long nr)
{
}
#endif

static int __init hugetlb_lu_adopt(void)
{
	unsigned long unmade, freed;
	struct hstate *h;

	for_each_hstate(h) {
		hstate_adopt(h);
		report_missing(h);
	}
	preserve_huge_bad_for_each(frames_mark_bad);
	unmade = preserve_huge_unmade(&freed);
	if (freed)
		pr_info("%lu KiB of free huge pages are of a size that this machine does not have, and freed\n",
			freed << (PAGE_SHIFT - 10));
	if (unmade)
		pr_err("%lu KiB are in huge pages of a size that this machine does not have: files of them cannot be retrieved, and are freed when their session is finished\n",
		       unmade << (PAGE_SHIFT - 10));
	return 0;
}
device_initcall_sync(hugetlb_lu_adopt);
