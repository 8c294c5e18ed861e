/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What existing kernel files call of mm/preserve. Every call is empty when PRESERVE is off.
 * When it is on, a call costs a patched jump until there is a pool, or a bit test for a
 * file whose memory is not the pool's.
 *
 * Nothing here depends on the kind of file: a page cache (struct address_space) with
 * AS_PRESERVE has its folios from the pool, and its @preserve is what follows them. What a
 * file system calls of its own backend is in that backend's header (mm/shmem_lu.h).
 */
#ifndef _LINUX_PRESERVE_HOOKS_H
#define _LINUX_PRESERVE_HOOKS_H

#include <linux/jump_label.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>
#include <linux/pagemap.h>
#include <linux/types.h>

struct oom_control;
struct preserve_file;
struct seq_file;

#if defined(CONFIG_PRESERVE) && defined(CONFIG_DEFERRED_STRUCT_PAGE_INIT)

bool preserve_defer_pages(unsigned long pfn, unsigned int order, int nid);
void preserve_init_deferred_pages(void);

#else

static inline bool preserve_defer_pages(unsigned long pfn, unsigned int order,
					int nid)
{
	return false;
}

static inline void preserve_init_deferred_pages(void)
{
}

#endif

#ifdef CONFIG_PRESERVE

DECLARE_STATIC_KEY_FALSE(preserve_pool_key);

bool __preserve_pool_free(struct page *page, unsigned int order);

/**
 * preserve_pool_free - Take a freed page back into the pool if it came from it.
 * @page:  First page, reference count zero, prepared for freeing.
 * @order: Its order.
 *
 * Context: Any. The page allocator calls it last, in place of its free lists.
 * Return: True if the pool has taken the page.
 */
static inline bool preserve_pool_free(struct page *page, unsigned int order)
{
	return static_branch_unlikely(&preserve_pool_key) &&
	       __preserve_pool_free(page, order);
}

/**
 * preserve_pool_block - Does this page's block belong to the pool?
 * @page: Any page.
 *
 * Context: Any.
 * Return: True if it does.
 */
static inline bool preserve_pool_block(const struct page *page)
{
	return static_branch_unlikely(&preserve_pool_key) &&
	       get_pfnblock_bit(page, page_to_pfn(page), PB_preserve);
}

bool __preserve_yield_folio(struct folio *folio, unsigned long *moving);
bool __preserve_yield_free(const struct oom_control *oc);

/**
 * preserve_yield_folio - Let a folio be pinned for long where it is.
 * @folio:  Pinned by the caller, and in a place from which it would have to move.
 * @moving: Pages that the caller is about to move. Those of @folio are added if it is to
 *          move, too.
 *
 * As long as there is enough memory to move to, it moves, and the pool keeps its block.
 *
 * Context: Process context, may sleep.
 * Return: True if the folio may be pinned now: its block has left the pool, maybe for
 *         another task; or it is a page of hugetlb_cma= that cannot move.
 */
static inline bool preserve_yield_folio(struct folio *folio,
					unsigned long *moving)
{
	return static_branch_unlikely(&preserve_pool_key) &&
	       __preserve_yield_folio(folio, moving);
}

/**
 * preserve_yield_free - Let free memory in lent blocks be found by an allocation.
 * @oc: The allocation: its zones, nodes and flags.
 *
 * The page allocator calls it before the OOM killer.
 *
 * Context: Process context, oom_lock held; allocates nothing.
 * Return: True if a block has left the pool, so that it is worth trying again.
 */
static inline bool preserve_yield_free(const struct oom_control *oc)
{
	return static_branch_unlikely(&preserve_pool_key) &&
	       __preserve_yield_free(oc);
}

void preserve_report_meminfo(struct seq_file *m);
void preserve_report_pagetypes(struct seq_file *m, int nid);
void preserve_note_poison(unsigned long pfn);
void preserve_offline_range(unsigned long pfn, unsigned long nr);

void __preserve_folio_added(struct address_space *mapping, struct folio *folio);
void __preserve_folio_removed(struct address_space *mapping,
			      struct folio *folio);
void __preserve_folio_moved(struct address_space *mapping, struct folio *new,
			    struct folio *old);
unsigned char __preserve_incore(struct address_space *mapping, pgoff_t index);
bool __preserve_may_add(struct address_space *mapping, const struct folio *folio);
int preserve_clear(struct address_space *mapping, pgoff_t start, pgoff_t end, bool killable);
void __preserve_folio_tagged(struct folio *folio);

/**
 * preserve_folio_tagged - Note that a file has memory tags (arm64's MTE).
 * @folio: Any folio: a page of it has got tags.
 *
 * Context: Any.
 */
static inline void preserve_folio_tagged(struct folio *folio)
{
	if (IS_ENABLED(CONFIG_ARM64_MTE) &&
	    static_branch_unlikely(&preserve_pool_key))
		__preserve_folio_tagged(folio);
}

/**
 * preserve_mapping - Does this file's memory come from the pool?
 * @mapping: Any file's.
 *
 * Context: Any; lasting with the xa_lock of i_pages held.
 * Return: True if it does: no folio of it may come from anywhere else, or leave the pool.
 */
static inline bool preserve_mapping(const struct address_space *mapping)
{
	return unlikely(test_bit(AS_PRESERVE, &mapping->flags));
}

#else /* !CONFIG_PRESERVE */

static inline void preserve_folio_tagged(struct folio *folio)
{
}

static inline bool preserve_yield_folio(struct folio *folio,
					unsigned long *moving)
{
	return false;
}

static inline bool preserve_yield_free(const struct oom_control *oc)
{
	return false;
}

static inline bool preserve_pool_free(struct page *page, unsigned int order)
{
	return false;
}

static inline bool preserve_pool_block(const struct page *page)
{
	return false;
}

static inline void preserve_report_meminfo(struct seq_file *m)
{
}

static inline void preserve_report_pagetypes(struct seq_file *m, int nid)
{
}

static inline void preserve_note_poison(unsigned long pfn)
{
}

static inline void preserve_offline_range(unsigned long pfn, unsigned long nr)
{
}

static inline bool preserve_mapping(const struct address_space *mapping)
{
	return false;
}

static inline void __preserve_folio_added(struct address_space *mapping,
					  struct folio *folio)
{
}

static inline void __preserve_folio_removed(struct address_space *mapping,
					    struct folio *folio)
{
}

static inline void __preserve_folio_moved(struct address_space *mapping,
					  struct folio *new, struct folio *old)
{
}

static inline unsigned char __preserve_incore(struct address_space *mapping,
					      pgoff_t index)
{
	return 0;
}

static inline bool __preserve_may_add(struct address_space *mapping,
				      const struct folio *folio)
{
	return true;
}

static inline int preserve_clear(struct address_space *mapping, pgoff_t start, pgoff_t end,
				 bool killable)
{
	return 0;
}

#endif /* CONFIG_PRESERVE */

#ifdef CONFIG_PRESERVE_HUGETLB

struct preserve_file *preserve_in_place_begin(struct address_space *mapping,
					      struct folio *folio);
void preserve_in_place_end(struct preserve_file *pf, struct folio *folio, int err);
struct folio *__preserve_lock_folio(struct address_space *mapping, pgoff_t index);
bool __preserve_folio_fixed(const struct folio *folio);

#else

static inline bool __preserve_folio_fixed(const struct folio *folio)
{
	return false;
}

static inline struct preserve_file *
preserve_in_place_begin(struct address_space *mapping, struct folio *folio)
{
	return NULL;
}

static inline void preserve_in_place_end(struct preserve_file *pf, struct folio *folio,
					 int err)
{
}

static inline struct folio *__preserve_lock_folio(struct address_space *mapping,
						  pgoff_t index)
{
	return ERR_PTR(-ENOENT);
}

#endif /* CONFIG_PRESERVE_HUGETLB */

/**
 * preserve_lock_folio - Find and lock a folio; make it if it has crossed and is not made yet.
 * @mapping: The file's.
 * @index:   Page index, of a folio's beginning.
 *
 * Context: Process context, may sleep.
 * Return: The folio, locked, with a reference; ERR_PTR(-ENOENT) for a hole; ERR_PTR(-EIO)
 *         if what should be there is lost.
 */
static inline struct folio *preserve_lock_folio(struct address_space *mapping,
						pgoff_t index)
{
	struct folio *folio = filemap_lock_folio(mapping, index);

	if (!IS_ERR(folio) || !preserve_mapping(mapping))
		return folio;
	return __preserve_lock_folio(mapping, index);
}

/**
 * preserve_page_stays - Is it in vain to try to move what is in a page?
 * @page: Any page; the caller need not hold it.
 *
 * Context: Any.
 * Return: True if its block is the pool's, or if it is a huge page of a file that is preserved,
 *         or made for it.
 */
static inline bool preserve_page_stays(struct page *page)
{
	return preserve_pool_block(page) ||
	       (IS_ENABLED(CONFIG_PRESERVE_HUGETLB) && PageHuge(page) &&
		__preserve_folio_fixed(page_folio(page)));
}

/**
 * preserve_folio_added - Keep the file map: a folio has come into a page cache.
 * @mapping: Its file's.
 * @folio:   The folio; mapping and index are set.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 */
static inline void preserve_folio_added(struct address_space *mapping,
					struct folio *folio)
{
	if (preserve_mapping(mapping))
		__preserve_folio_added(mapping, folio);
}

/**
 * preserve_folio_removed - Keep the file map: a folio leaves a page cache.
 * @mapping: Its file's.
 * @folio:   The folio; mapping and index are still set.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 */
static inline void preserve_folio_removed(struct address_space *mapping,
					  struct folio *folio)
{
	if (preserve_mapping(mapping))
		__preserve_folio_removed(mapping, folio);
}

/**
 * preserve_folio_moved - Keep the file map: a folio takes another's place.
 * @mapping: Their file's.
 * @new:     The new one; mapping and index are set.
 * @old:     The old one; mapping and index are still set.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 */
static inline void preserve_folio_moved(struct address_space *mapping,
					struct folio *new, struct folio *old)
{
	if (preserve_mapping(mapping))
		__preserve_folio_moved(mapping, new, old);
}

/**
 * preserve_may_add - May a folio come into the page cache of this file?
 * @mapping: The file's; shmem asks in a way of its own.
 * @folio:   The folio.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 * Return: False if it is not of the pool, and the file's memory is; or if the file stands still
 *         for the next kernel.
 */
static inline bool preserve_may_add(struct address_space *mapping, const struct folio *folio)
{
	return !preserve_mapping(mapping) || __preserve_may_add(mapping, folio);
}

/**
 * preserve_may_move - May a folio of this file move there?
 * @mapping: The file's.
 * @dst:     The target.
 * @src:     The folio.
 *
 * What nobody but its owner may reach does not move, except within the pool: that is up to
 * its file system's migrate_folio().
 *
 * A defective page stays, too: its copy would pass for a good one. memory_failure() takes it
 * off the LRU lists, but a folio that is made of what has crossed is on them.
 *
 * Context: Any.
 * Return: True, unless it would leave the pool, is a huge page that stays where it is, has a
 *         defective page, or belongs to an inaccessible file that is not the pool's.
 */
static inline bool preserve_may_move(const struct address_space *mapping,
				     const struct folio *dst, struct folio *src)
{
	if (!preserve_mapping(mapping))
		return !mapping_inaccessible(mapping);
	return !folio_test_hugetlb(src) && !folio_contain_hwpoisoned_page(src) &&
	       preserve_pool_block(&dst->page);
}

/**
 * preserve_folios_in_pool - Is one of some folios the pool's?
 * @folios: The folios; the caller holds a reference to each.
 * @nr:     How many.
 *
 * LUO's own handler of memfds must not hand such a one over: its frames lie in a block that
 * the pool hands over as a whole.
 *
 * Context: Any.
 * Return: True if so.
 */
static inline bool preserve_folios_in_pool(struct folio *const *folios,
					   unsigned long nr)
{
	while (nr--)
		if (preserve_pool_block(&folios[nr]->page))
			return true;
	return false;
}

/**
 * preserve_incore - Is memory there, where the page cache has none?
 * @mapping: Any file's.
 * @index:   Page index.
 *
 * Context: Any; a spinlock may be held.
 * Return: 1 or 0, as mincore(2) wants it.
 */
static inline unsigned char preserve_incore(struct address_space *mapping,
					    pgoff_t index)
{
	return preserve_mapping(mapping) ? __preserve_incore(mapping, index) : 0;
}

#endif /* _LINUX_PRESERVE_HOOKS_H */
