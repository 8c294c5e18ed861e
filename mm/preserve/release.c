// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames go back to the page allocator: of blocks that are lent, or leave the pool.
 *
 * free_contig_frozen_range() prepares each page by itself, which is most of what lending or
 * shrinking costs. As pages of half a block they are prepared together; whole blocks would
 * be kept on lists of CPUs, if huge pages have that size. A defective frame is kept back only
 * if it is prepared by itself.
 */
#include <linux/align.h>
#include <linux/alloc_tag.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/page_ext.h>
#include <linux/page_owner.h>

#include "../page_alloc.h"
#include "pool.h"

/* If these prototypes change, review their callers in mm/preserve. */
static_assert(__same_type(free_contig_frozen_range, void(unsigned long, unsigned long)));
static_assert(__same_type(free_frozen_pages, void(struct page *, unsigned int)));

#ifdef CONFIG_PAGE_OWNER
static bool owners_are_noted(void)
{
	return static_branch_unlikely(&page_owner_inited);
}

/*
 * page_owner counts the pages of each owner. It has heard that a frame is free when a file gave
 * it back to the pool, and is told of another owner, which then frees it.
 */
static void owner_note(struct page *page)
{
	struct page_ext *ext = page_ext_get(page);
	const bool owned = !ext || test_bit(PAGE_EXT_OWNER_ALLOCATED, &ext->flags);

	if (ext)
		page_ext_put(ext);
	if (!owned)
		set_page_owner(page, 0, GFP_NOWAIT);
}
#else
static bool owners_are_noted(void)
{
	return false;
}

static void owner_note(struct page *page)
{
}
#endif

/* Page by page, for what has noted of each where it was allocated. */
static void release_noted(unsigned long pfn, unsigned long nr)
{
	unsigned long i;

	for (i = 0; owners_are_noted() && i < nr; i++)
		owner_note(pfn_to_page(pfn + i));
	free_contig_frozen_range(pfn, nr);
}

/*
 * Sees to it that frames can be prepared as one page: the page allocator leaves @private as it
 * finds it where it splits pages, and looks only at the first one. False: one is defective.
 */
static bool frames_join(unsigned long pfn, unsigned long nr)
{
	struct page *page;

	for (; nr; nr--, pfn++) {
		page = pfn_to_page(pfn);
		if (PageHWPoison(page))
			return false;
		set_page_private(page, 0);
	}
	return true;
}

/**
 * preserve_release - Give neighbouring frames to the page allocator.
 * @pfn: First frame.
 * @nr:  How many. The caller's, with reference count zero, no part of a folio.
 *
 * Those that are defective stay out of it.
 *
 * Context: Any that free_contig_frozen_range() may be called in.
 */
void preserve_release(unsigned long pfn, unsigned long nr)
{
	const unsigned int order = pageblock_order - 1;
	const unsigned long end = pfn + nr;

	if (owners_are_noted() || mem_alloc_profiling_enabled() ||
	    !IS_ALIGNED(pfn | nr, 1UL << order)) {
		release_noted(pfn, nr);
		return;
	}
	for (; pfn < end; pfn += 1UL << order) {
		if (frames_join(pfn, 1UL << order))
			free_frozen_pages(pfn_to_page(pfn), order);
		else
			free_contig_frozen_range(pfn, 1UL << order);
	}
}
