// SPDX-License-Identifier: GPL-2.0-only
/*
 * Struct pages of preserved pageblocks: initialised late, and by all CPUs.
 *
 * KHO reserves what was preserved while one CPU runs and the page allocator does
 * not, and has to initialise a struct page for each key then, because it leaves a
 * note there. With CONFIG_DEFERRED_STRUCT_PAGE_INIT only the first page of each
 * pageblock is initialised at that time; the others wait here until the deferred
 * ones of free memory are done. Early initcalls run before that, and look at no page
 * of a whole pageblock that is preserved; nothing walks pfns yet.
 *
 * The first page is enough for the page allocator meanwhile: the buddy of a free
 * page is in the same pageblock, or it is the first page of one.
 *
 * The blocks that wait are linked by the lru field of their first page, so there is
 * nothing to allocate.
 */
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/padata.h>
#include <linux/preserve.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "../internal.h"
#include "../mm_init.h"

/* Blocks that one CPU takes in one go, at least: 128 MiB. */
#define MIN_CHUNK	64

/* A kernel that changes this must have us looked at. */
static_assert(__same_type(__init_single_page,
			  void(struct page *, unsigned long, unsigned long,
			       int)));

/* First pages; covered by the lock once there are several CPUs. */
static struct list_head waiting __initdata = LIST_HEAD_INIT(waiting);
static unsigned long nr_waiting __initdata;
static DEFINE_SPINLOCK(waiting_lock);

/**
 * preserve_defer_pages - Initialise struct pages of preserved memory later?
 * @pfn:   First frame.
 * @order: Its order; less than a pageblock does not wait.
 * @nid:   Its node.
 *
 * Context: Early boot, one CPU.
 * Return: True if so: the first page of each pageblock is initialised. False if
 *         the caller has to do it.
 */
bool __init preserve_defer_pages(unsigned long pfn, unsigned int order, int nid)
{
	unsigned long end = pfn + (1UL << order);

	/* Below that, all of memory is initialised already. */
	if (order < pageblock_order || !node_online(nid) ||
	    pfn < NODE_DATA(nid)->first_deferred_pfn)
		return false;
	for (; pfn < end; pfn += pageblock_nr_pages) {
		init_deferred_page(pfn, nid);
		list_add_tail(&pfn_to_page(pfn)->lru, &waiting);
		nr_waiting++;
	}
	return true;
}

static struct page *__init take_waiting(void)
{
	struct page *page;

	guard(spinlock)(&waiting_lock);
	page = list_first_entry_or_null(&waiting, struct page, lru);
	if (page)
		list_del_init(&page->lru);
	return page;
}

/* Initialises as many blocks as @end - @start, whichever they are. */
static void __init init_some(unsigned long start, unsigned long end, void *arg)
{
	for (; start < end; start++) {
		struct page *page = take_waiting();
		unsigned long pfn, i;
		int zid, nid;

		if (!page)
			return;
		pfn = page_to_pfn(page);
		zid = page_zonenum(page);
		nid = page_to_nid(page);
		for (i = 1; i < pageblock_nr_pages; i++)
			__init_single_page(page + i, pfn + i, zid, nid);
		cond_resched();
	}
}

/**
 * preserve_init_deferred_pages - Initialise the struct pages that wait.
 *
 * Context: Boot, all CPUs up, nothing walks pfns yet.
 */
void __init preserve_init_deferred_pages(void)
{
	struct padata_mt_job job = {
		.thread_fn = init_some,
		.size = nr_waiting,
		.align = 1,
		.min_chunk = MIN_CHUNK,
		.max_threads = num_online_cpus(),
	};

	padata_do_multithreaded(&job);
}
