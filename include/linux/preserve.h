/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The in-kernel interface of mm/preserve: memory that survives kexec.
 *
 * Backends (mm/shmem_lu.c and its like) allocate folios from the pool, keep a
 * file map with a struct preserve_file, and turn it into a record that the next
 * kernel accepts. Nothing here knows what kind of file a backend serves.
 */
#ifndef _LINUX_PRESERVE_H
#define _LINUX_PRESERVE_H

#include <linux/bits.h>
#include <linux/fcntl.h>
#include <linux/gfp_types.h>
#include <linux/jump_label.h>
#include <linux/kho/abi/preserve.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/pageblock-flags.h>
#include <linux/preserve_radix.h>
#include <linux/rwsem.h>
#include <linux/types.h>

struct address_space;
struct folio;
struct folio_batch;
struct mem_cgroup;
struct oom_control;
struct page;
struct seq_file;
struct ucounts;
struct xarray;

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
 *         another task.
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
void preserve_vacate(unsigned long pfn, unsigned long nr);

#define PRESERVE_HINT_BITS	3
#define PRESERVE_HINTS		BIT(PRESERVE_HINT_BITS)

/**
 * struct preserve_hint - Where a file may go on.
 * @index: Behind the folio that came last.
 * @pfn:   Behind its last frame.
 */
struct preserve_hint {
	pgoff_t index;
	unsigned long pfn;
};

/* More pages than this are worth a map from the start. */
#define PRESERVE_SMALL_PAGES	16

/* See preserve_file_begin(). */
typedef int preserve_insert_fn(struct address_space *mapping,
			       struct folio_batch *batch, pgoff_t index,
			       gfp_t gfp);

/**
 * struct preserve_file - What mm/preserve keeps for one file.
 * @map:      The file map, kept as folios come and go.
 * @i_pages:  The page cache that @map follows. Its xa_lock, interrupts off,
 *            covers every field here.
 * @lo:       With @hi, the window of page indices whose frames are claimed:
 *            empty while the file is not preserved, everything while it is, and
 *            moving while preserve or unpreserve walk the map.
 * @hi:       End of the window, exclusive.
 * @hints:    Where folios came last, by their place in the file: read without the
 *            lock, so that tasks which fill different places do not wait there.
 * @changes:  Counts folios added and removed while the map is stale.
 * @claimed:  The map's own pages are claimed as they come.
 * @nr_map_claimed: Those that are.
 * @stale:    An update of the map failed for want of a page. Preserve rebuilds
 *            the map from the page cache.
 * @sealed:   The kernel is about to be replaced: the map may not change. A change
 *            of the file makes it stale.
 * @small:    The file has no map yet, and is stale: it gets one with its page number
 *            %PRESERVE_SMALL_PAGES, because a map takes a page.
 * @plain:    The file is not made for preserving: its folios are moved in.
 * @broken:   The map has lost an index that the page cache had not: what is
 *            unrestored is not told from holes any more. Never seen; refused.
 * @nr_unrestored: Indices of the map without a folio, see demand.c. Read without
 *            the lock.
 * @restored: Behind the index that was asked for last: a hint.
 * @spare:    Map pages, while there are such: so that the map can lose an index.
 * @locks:    While a folio is made: one for each stretch of the file; see demand.c. Owned.
 * @nr_locks: How many, a power of two.
 * @restore_sem: Held for reading to make a folio, for writing to drop a range.
 * @insert:   Makes folios part of the file.
 * @complete: If set, called when the last unrestored folio has been made.
 * @memcg:    Of the task that retrieved the file; workers charge it. Owned.
 * @record:   The record, while preserved. A page of the pool.
 * @list:     All files with a file map, under preserve_files_lock (file_list.c).
 * @nr_walkers: References to the inode by who walks over @list, under the same.
 * @ucounts:  Whose locked memory it counts as, see user.c; NULL: nobody's. Owned.
 * @most:     Pages that this user may have locked.
 * @nr_charged: Pages that count for this file.
 * @nr_crossed: Pages that it had when it was retrieved.
 *
 * Owned by the backend's inode.
 */
struct preserve_file {
	struct prmap map;
	struct xarray *i_pages;
	u64 lo;
	u64 hi;
	struct preserve_hint hints[PRESERVE_HINTS];
	unsigned long changes;
	bool claimed;
	u64 nr_map_claimed;
	bool stale;
	bool sealed;
	bool small;
	bool plain;
	bool broken;
	u64 nr_unrestored;
	pgoff_t restored;
	void *spare[4];
	struct mutex *locks;		/* each while a folio is made */
	unsigned int nr_locks;
	struct rw_semaphore restore_sem;
	preserve_insert_fn *insert;
	void (*complete)(struct preserve_file *pf);
	struct mem_cgroup *memcg;
	struct preserve_file_ser *record;
	struct list_head list;
	int nr_walkers;
	struct ucounts *ucounts;
	unsigned long most;
	unsigned long nr_charged;
	unsigned long nr_crossed;
};

/**
 * preserve_file_incomplete - Has the file memory that no folio stands for yet?
 * @pf: The file.
 *
 * Context: Any. It only becomes complete, never incomplete.
 * Return: True if it has.
 */
static inline bool preserve_file_incomplete(const struct preserve_file *pf)
{
	/* Pairs with preserve_file_restored(): a reader of 0 sees every folio that came. */
	return smp_load_acquire(&pf->nr_unrestored);
}

/* Status flags of an open file that a record carries. */
#define PRESERVE_F_FLAGS	(O_APPEND | O_NONBLOCK | O_NOATIME | O_DIRECT | O_SYNC)

bool preserve_ready(void);
bool preserve_available(void);

/* A goal: the start of a run, for the first page of a file. */
#define PRESERVE_GOAL_NEW	(~0UL)

/**
 * struct preserve_request - What is asked of the pool.
 * @gfp:      Zone limits, and whether it may sleep; the content is zeroed only if
 *            this says so.
 * @order:    At most pageblock_order.
 * @nid:      Preferred node; nodes near to it are used when it has none left.
 * @nodemask: No other nodes than these; NULL for no such limit.
 * @goal:     The pfn that would continue the caller's memory, %PRESERVE_GOAL_NEW,
 *            or 0.
 * @metadata: For records and maps: may use what is kept for them, never sleeps.
 */
struct preserve_request {
	gfp_t gfp;
	unsigned int order;
	int nid;
	nodemask_t *nodemask;
	unsigned long goal;
	bool metadata;
};

struct folio *preserve_alloc_folio(const struct preserve_request *rq);
bool preserve_pool_more(int nid, gfp_t gfp, unsigned long nr_pages);
unsigned long preserve_alloc_range(int nid, unsigned int order);
void preserve_free_range(unsigned long pfn, unsigned int order);

int preserve_claim(unsigned long pfn, unsigned long nr);
void preserve_unclaim(unsigned long pfn, unsigned long nr);
bool preserve_untaken(unsigned long pfn, unsigned long nr);
bool preserve_take(unsigned long pfn, unsigned long nr);
void preserve_untake(unsigned long pfn, unsigned long nr);
void preserve_frames_put(unsigned long pfn, unsigned long nr);
void preserve_compact_pause(void);
void preserve_compact_resume(void);

void preserve_file_init(struct preserve_file *pf, struct xarray *i_pages);
void preserve_file_destroy(struct preserve_file *pf);
struct address_space *preserve_file_mapping(const struct preserve_file *pf);
void preserve_file_set_small(struct preserve_file *pf);
unsigned long preserve_file_goal(struct preserve_file *pf, pgoff_t index);
void preserve_file_add(struct preserve_file *pf, pgoff_t index,
		       struct folio *folio);
void preserve_file_del(struct preserve_file *pf, pgoff_t index,
		       struct folio *folio);
void preserve_file_replace(struct preserve_file *pf, struct folio *new,
			   struct folio *old);
void preserve_file_detach(struct preserve_file *pf, struct prmap *old);
void preserve_file_report_bad(struct preserve_file *pf, const char *name);
int preserve_move_in(struct address_space *mapping);
bool preserve_any_in_pool(struct address_space *mapping);
struct preserve_file_ser *preserve_file_claim(struct preserve_file *pf);
void preserve_file_unclaim(struct preserve_file *pf);
int preserve_file_seal(struct preserve_file *pf);
void preserve_file_freeze(struct preserve_file *pf);
bool preserve_freeze_fails(void);
void preserve_file_unseal(struct preserve_file *pf);
int preserve_file_wait(struct preserve_file *pf);
int preserve_file_settle(struct preserve_file *pf);
int preserve_file_refresh(struct preserve_file *pf);

void preserve_file_set_user(struct preserve_file *pf, struct ucounts *ucounts,
			    unsigned long most);
void preserve_file_note_user(const struct preserve_file *pf,
			     struct preserve_file_ser *rec);
int preserve_file_restore_user(struct preserve_file *pf,
			       const struct preserve_file_ser *rec);
bool preserve_file_charge(struct preserve_file *pf, unsigned long nr);
void preserve_file_charge_crossed(struct preserve_file *pf, unsigned long nr);
void preserve_file_uncharge(struct preserve_file *pf, unsigned long nr);

struct preserve_file_ser *preserve_record_take(u64 phys, u32 kind,
					       struct prmap *map);
void preserve_record_untake(struct preserve_file_ser *rec, struct prmap *map);
void preserve_record_free(struct preserve_file_ser *rec);
void preserve_note_refused(void);
void preserve_file_restore(struct preserve_file *pf, struct prmap *map);
void preserve_file_begin(struct preserve_file *pf, preserve_insert_fn *insert);
void preserve_file_restored(struct preserve_file *pf, u64 nr);
int preserve_file_restore_at(struct preserve_file *pf, pgoff_t index, gfp_t gfp);
int preserve_file_complete(struct preserve_file *pf, gfp_t gfp);
unsigned long preserve_file_drop(struct preserve_file *pf, pgoff_t start,
				 pgoff_t end);
unsigned long preserve_file_find_unrestored(struct preserve_file *pf,
					    pgoff_t *index, pgoff_t end);
void preserve_map_release(struct prmap *map);

#else /* !CONFIG_PRESERVE */

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

static inline void preserve_vacate(unsigned long pfn, unsigned long nr)
{
}

#endif /* CONFIG_PRESERVE */

#endif /* _LINUX_PRESERVE_H */
