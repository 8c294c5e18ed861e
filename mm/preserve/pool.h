/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data model of the pool: who owns what, and which lock covers it. Nothing here knows
 * of files; they are in file.h.
 *
 *	block.c   blocks, and the lists of a node
 *	frames.c  which frames must survive, and which have survived
 *	table.c   the header and the pages of the block table (pure)
 *	huge_early.c  how many huge pages have crossed, before the page allocator runs
 *	fixed.c   huge folios that stay where they are
 *	size.c    how large the pool is, may be and is to be; memory that it spares
 *	poison.c  defective frames
 *	pool.c    blocks that come and go, frames taken and given back
 *	release.c frames that go back to the page allocator
 *	keys.c    what a range of huge pages is for KHO
 *	handover.c  blocks that join and leave, and the image for the next kernel
 *	lend.c    idle blocks that serve movable allocations meanwhile
 *	yield.c   lent blocks that leave for memory that they may not serve
 *	evacuate.c  gaining blocks by moving other memory away
 *	gain.c    growth on demand, and allocations that wait for it
 *	alloc.c   folios
 *	target.c  blocks that are set apart for compaction
 *	range.c   ranges of whole blocks
 *	worker.c  bringing the pool to a size
 *	huge.c    huge pages that have crossed outside of the pool
 *	offline.c memory that goes offline
 *	early.c   struct pages of what the last kernel has preserved
 *	adopt.c   adoption of the last kernel's pool
 *
 * and above both halves:
 *
 *	abi.c     which formats this kernel writes and reads
 *	sessions.c  sessions of the Live Update Orchestrator, in debugfs
 *	sysfs.c   /sys/kernel/mm/preserve
 *	boot.c    kernel parameters, and what happens at boot in which order
 *
 * A file calls those above it in this list, and none below.
 *
 * Locks, outermost first:
 *
 *	mem_hotplug_lock (the kernel's): memory that goes offline
 *	inode lock (the kernel's): preserve, unpreserve
 *	invalidate_lock of a guest_memfd (the kernel's): punching, fallocate, freezing, moving;
 *		only tried, by those that memory failure may wait for
 *	hugetlb's fault mutexes: folios that come into files in huge pages
 *	a file's in_place->adding (rwsem, in_place.c): no folio comes into the file
 *	preserve_size_lock (mutex, size.c): which blocks are the pool's; held while
 *		blocks are gained, lent, given back, and while the pool is packed
 *	  move_lock (mutex, compact.c): folios of files are on their way
 *	  preserve_files_lock (file_list.c): the list of files
 *	  preserve_header_lock (mutex, handover.c): blocks that join and leave, and the
 *		image of them all
 *	  a file's restore->sem, then one of its mutexes (demand.c): a folio is made;
 *		under the inode lock where a file is claimed, and under that or a guest_memfd's
 *		invalidate_lock where a range is dropped
 *	    take_lock (mutex, frames.c): handed-over frames that find an owner
 *	    i_pages' xa_lock, interrupts off: a file's struct preserve_file
 *	      frame_cache.lock, interrupts off: the frames one CPU has at hand
 *	        preserve_node.lock, interrupts off: the blocks of one node
 *	the kernel's oom_lock: lent blocks are searched for free memory
 *	  yield_lock (mutex, yield.c): a lent block leaves; nothing is allocated under it,
 *		and it may be taken under any lock that an allocation is made with
 *	    a zone's lock (the kernel's)
 *	xa_lock of lent (lend.c): which blocks are lent; innermost
 *
 * Moving folios takes folio locks under preserve_size_lock; no task may allocate
 * from the pool with a folio locked.
 *
 * Locals: block is a struct preserve_block, bit an index into its bitmap of used frames.
 */
#ifndef _MM_PRESERVE_POOL_H
#define _MM_PRESERVE_POOL_H

#include <linux/interval_tree.h>
#include <linux/list.h>
#include <linux/mmzone.h>
#include <linux/pageblock-flags.h>
#include <linux/preserve.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

/**
 * struct preserve_block - One pool block: a pageblock that the pool owns.
 * @pfn:     First frame.
 * @list:    On one list of its node ...
 * @idle:    ... or in its tree of idle blocks ...
 * @rcu:     ... or off it for good: what holds a pfn only may still look it up, and then
 *           asks @pooled, with the node's lock held, before anything else.
 * @nr_free: Frames not in use.
 * @pooled:  On its node: frames may be taken.
 * @metadata: Records and maps are allocated from it first, data last.
 * @target:  Set apart for compaction, see preserve_target_take().
 * @leaving: That, to be emptied, see preserve_leave_emptiest().
 * @handed:  The next kernel hears of it. Covered by preserve_header_lock.
 * @nr_claimed: Bits set in @claimed.
 * @nr_orphans: Frames that were freed while they were claimed: used, and of no owner.
 * @nr_untaken: Bits set in @untaken; covered as that is.
 * @poisoned: A bit for each frame that is known to be defective; NULL if none is.
 * @used:    A bit for each frame that is handed out, live and not restored, or
 *           defective.
 * @claimed: A bit for each frame that the next kernel has to keep. All are used.
 * @untaken: A bit for each frame that was handed over and has no owner yet. All are
 *           used. Covered by take_lock (frames.c).
 *
 * Covered by the node's lock, where nothing else is said. Found by pfn in preserve_blocks.
 */
struct preserve_block {
	unsigned long pfn;
	union {
		struct list_head list;
		struct rb_node idle;
		struct rcu_head rcu;
	};
	unsigned int nr_free;
	bool pooled;
	bool metadata;
	bool target;
	bool leaving;
	bool handed;
	u16 nr_claimed;
	u16 nr_orphans;
	u16 nr_untaken;
	unsigned long *poisoned;
	DECLARE_BITMAP(used, pageblock_nr_pages);
	DECLARE_BITMAP(claimed, pageblock_nr_pages);
	DECLARE_BITMAP(untaken, pageblock_nr_pages);
};

/* One for each 2 MiB: a slab object of 256 bytes. */
static_assert(pageblock_nr_pages != 512 || sizeof(struct preserve_block) <= 256);

/* Why a pageblock was not gained; the order of the counters in sysfs. */
enum preserve_evacuate_result {
	PRESERVE_EVACUATE_DONE,
	PRESERVE_EVACUATE_PINNED,
	PRESERVE_EVACUATE_UNMOVABLE,
	PRESERVE_EVACUATE_BUSY,
	PRESERVE_EVACUATE_NOMEM,
	PRESERVE_EVACUATE_NR
};

/**
 * struct preserve_yield_search - Where yield.c goes on to look for free memory in a zone's
 *                                lent blocks.
 * @pfn:   The next block; 0 for the zone's first.
 * @worth: Free pages that make a block worth it: half as many, or fewer, in each pass over
 *         the zone. 0: the last search has found nothing.
 * @when:  When it ended, in jiffies.
 * @pause: In that case, how long it is not repeated ...
 * @order: ... for pieces of this order or more ...
 * @free:  ... as long as hardly more than this is free in all of the zone's CMA memory.
 *
 * So searches go on where the last one has stopped, and look at a block a few times in
 * all, not each time. Covered by oom_lock.
 */
struct preserve_yield_search {
	unsigned long pfn;
	unsigned int worth;
	unsigned long when;
	unsigned long pause;
	unsigned int order;
	unsigned long free;
};

/**
 * struct preserve_node - The pool's blocks on one NUMA node.
 * @lock:      Covers the tree and lists, the first four counts and the blocks.
 * @idle:      Blocks with no frame in use, by pfn: the lowest are used first, the
 *             highest leave first, whatever their number.
 * @partial:   Blocks with both, for data.
 * @metadata:  Blocks with both, for records and maps.
 * @full:      Blocks with no free frame.
 * @target:    Blocks set apart for compaction, to be filled.
 * @leaving:   Blocks set apart for compaction, to be emptied.
 * @nr_blocks: Blocks there.
 * @nr_idle:   Of those, in @idle.
 * @nr_free:   Frames not in use in those.
 * @nr_claimed: Frames that the next kernel has to keep.
 * @spare_low: Fewer idle blocks than this wake the worker. preserve_size_lock
 *             covers this and what follows.
 * @spare_high: More of them wake it, too, to lend some.
 * @nr_lent:   Blocks that are lent out: in the pool, on no list here. The xa_lock of lent
 *             (lend.c) covers it.
 * @search:    Where growth on demand goes on to look for blocks that cost little,
 *             a pfn.
 * @area:      Where it goes on to look for others.
 * @rounds:    Of emptying blocks, in one pass over all files (compact.c).
 * @not_before: Growth on demand is not tried again before this, in jiffies.
 * @sweep: Where the present search of everything goes on among the lent blocks; 0 if none
 *         has begun. See gain.c.
 * @nr_begun: Such searches that have begun, ...
 * @nr_ended: ... what that was when the last of them ended that came to an end, ...
 * @nr_vain: ... and how many of these, one after the other up to it, have found nothing.
 * @nr_waiting: Allocations that wait for a block. Covered by nothing.
 * @evacuated: Pageblocks by outcome.
 * @moved:     Pages that were migrated away to gain them.
 * @yield:     Searches for what the page allocator lacks, by zone. Covered by oom_lock.
 */
struct preserve_node {
	spinlock_t lock;	/* covers the tree and lists, four counts, the blocks */
	struct rb_root_cached idle;
	struct list_head partial;
	struct list_head metadata;
	struct list_head full;
	struct list_head target;
	struct list_head leaving;
	unsigned long nr_blocks;
	unsigned long nr_idle;
	unsigned long nr_free;
	unsigned long nr_claimed;
	unsigned long spare_low;
	unsigned long spare_high;
	unsigned long nr_lent;
	unsigned long search;
	unsigned long area;
	unsigned int rounds;
	unsigned long not_before;
	unsigned long sweep;
	unsigned long nr_begun;
	unsigned long nr_ended;
	long nr_vain;
	atomic_t nr_waiting;
	unsigned long evacuated[PRESERVE_EVACUATE_NR];
	unsigned long moved;
	struct preserve_yield_search yield[MAX_NR_ZONES];
};

/* block.c */
extern struct preserve_node *preserve_nodes;

/* struct preserve_block by pfn >> pageblock_order. */
extern struct xarray preserve_blocks;

/* The image is written, or about to be: read under the locks of the nodes, too. */
extern bool preserve_frozen;

/* Frames that a CPU takes in one go, to go on behind a goal. */
#define PRESERVE_CACHE_RUN	16

/**
 * struct preserve_pool_stat - Sums over nodes.
 * @nr_blocks: Blocks.
 * @nr_free: Frames not in use.
 * @nr_idle_blocks: Blocks with no frame in use.
 * @nr_lent: Blocks that are lent.
 * @nr_claimed: Frames that the next kernel has to keep.
 */
struct preserve_pool_stat {
	unsigned long nr_blocks;
	unsigned long nr_free;
	unsigned long nr_idle_blocks;
	unsigned long nr_lent;
	unsigned long nr_claimed;
};

/**
 * preserve_block_find - The block that has a frame.
 * @pfn: The frame.
 *
 * Context: Any; RCU, or something that keeps the block in the pool.
 * Return: The block; NULL if the pool has none there.
 */
static inline struct preserve_block *preserve_block_find(unsigned long pfn)
{
	return xa_load(&preserve_blocks, pfn >> pageblock_order);
}

/**
 * preserve_block_node - The node of a block.
 * @block: The block.
 *
 * Context: Any.
 * Return: The node.
 */
static inline struct preserve_node *
preserve_block_node(const struct preserve_block *block)
{
	return &preserve_nodes[pfn_to_nid(block->pfn)];
}

/**
 * preserve_block_is_idle - Is a block in its node's tree of idle blocks?
 * @block: The block, on its node.
 *
 * Context: The node's lock held; without it, a glance.
 * Return: True if it is.
 */
static inline bool preserve_block_is_idle(const struct preserve_block *block)
{
	return block->nr_free == pageblock_nr_pages && !block->target;
}

struct preserve_block *preserve_block_next(unsigned long pfn);
struct preserve_block *preserve_lowest_idle(struct preserve_node *node);
struct preserve_block *preserve_highest_idle(struct preserve_node *node);
struct list_head *preserve_block_home(struct preserve_node *node,
				      const struct preserve_block *block);
void preserve_block_set_target(struct preserve_node *node,
			       struct preserve_block *block, bool target);
void preserve_block_mark(struct preserve_node *node, struct preserve_block *block,
			 unsigned long bit, unsigned long nr, bool used);
void preserve_block_enter(struct preserve_node *node,
			  struct preserve_block *block);
void preserve_block_leave(struct preserve_node *node,
			  struct preserve_block *block);
bool preserve_block_fits(const struct preserve_block *block, unsigned long bit,
			 unsigned long nr);
unsigned long preserve_node_reserve(const struct preserve_node *node);
bool preserve_pool_has_room(int nid, unsigned long nr);
void preserve_node_free(struct preserve_node *node, unsigned long pfn,
			unsigned long nr);
unsigned long preserve_node_alloc(struct preserve_node *node,
				  const struct preserve_request *rq);
int preserve_block_claim(struct preserve_block *block, unsigned long bit,
			 unsigned long nr);
void preserve_block_unclaim(struct preserve_block *block, unsigned long bit,
			    unsigned long nr);
int preserve_block_poison(struct preserve_block *block, unsigned long bit);
unsigned int preserve_block_fill(unsigned long pfn);
bool preserve_pool_owns(unsigned long pfn, unsigned long nr);
struct preserve_block *preserve_block_alloc(unsigned long pfn);
void preserve_block_free(struct preserve_block *block);
void preserve_pool_stat(int nid, struct preserve_pool_stat *stat);
unsigned long preserve_pool_largest_free(int nid);

/* huge.c */
#ifdef CONFIG_PRESERVE_HUGETLB
bool preserve_huge_names(unsigned long pfn, unsigned long end);
int preserve_huge_add(const struct preserve_extent_ser *extent, bool lost);
int preserve_huge_add_bad(unsigned long pfn, unsigned long nr);
#else
static inline bool preserve_huge_names(unsigned long pfn, unsigned long end)
{
	return false;
}

static inline int preserve_huge_add(const struct preserve_extent_ser *extent, bool lost)
{
	return -EOPNOTSUPP;
}

static inline int preserve_huge_add_bad(unsigned long pfn, unsigned long nr)
{
	return -EOPNOTSUPP;
}
#endif

bool preserve_huge_untaken(unsigned long pfn, unsigned long nr);
bool preserve_huge_take(unsigned long pfn, unsigned long nr);
void preserve_huge_untake(unsigned long pfn, unsigned long nr);
void preserve_huge_put(unsigned long pfn, unsigned long nr);
struct preserve_range *preserve_range_new(unsigned long pfn, unsigned long nr,
					  unsigned int order, bool free);
void preserve_range_drop(struct preserve_range *range);

/* frames.c */
unsigned long preserve_adopt_live(struct preserve_block *block);
unsigned long preserve_nr_untaken(void);

/* table.c */
#define PRESERVE_TABLE_EXTENTS						\
	((PAGE_SIZE - sizeof(struct preserve_table_ser)) /		\
	 sizeof(struct preserve_extent_ser))
#define PRESERVE_BITMAPS						\
	((PAGE_SIZE - sizeof(struct preserve_bitmaps_ser)) /		\
	 (BITS_TO_LONGS(pageblock_nr_pages) * sizeof(long)))

/* Sizes of huge pages, as log2 of pages: the smallest are arm64's of contiguous entries. */
#ifdef CONT_PTE_SHIFT
#define PRESERVE_HUGE_MIN_ORDER	min_t(unsigned int, pageblock_order, CONT_PTE_SHIFT - PAGE_SHIFT)
#else
#define PRESERVE_HUGE_MIN_ORDER	((unsigned int)pageblock_order)
#endif
#define PRESERVE_HUGE_MAX_ORDER	30U

void preserve_header_commit(struct preserve_header_ser *hdr);
int preserve_header_check(const struct preserve_header_ser *hdr, size_t size,
			  const char **reason);
void preserve_table_init(struct preserve_table_ser *table);
void preserve_table_commit(struct preserve_table_ser *table, u64 seq);
bool preserve_table_check(const struct preserve_table_ser *table, u64 seq);
bool preserve_extent_check(const struct preserve_extent_ser *extent, u64 from,
			   u64 end);
void preserve_bitmaps_init(struct preserve_bitmaps_ser *bm);
void preserve_bitmaps_commit(struct preserve_bitmaps_ser *bm, u64 phys);
bool preserve_bitmaps_check(const struct preserve_bitmaps_ser *bm, u64 phys);
unsigned long *preserve_bitmaps_at(struct preserve_bitmaps_ser *bm,
				   unsigned int slot);

/* fixed.c */
#ifdef CONFIG_PRESERVE_HUGETLB
bool preserve_folio_stays(const struct folio *folio);
#else
static inline bool preserve_folio_stays(const struct folio *folio)
{
	return false;
}
#endif

/* size.c */
extern struct mutex preserve_size_lock;
extern unsigned long preserve_pool_want;
extern unsigned long preserve_pool_max;
extern unsigned long preserve_max_set;
extern bool preserve_pool_lend;
extern bool preserve_worker_urgent;
extern struct delayed_work preserve_worker;

/* Blocks that growth on demand gains in one go, unless it needs more. */
#define PRESERVE_GAIN_BLOCKS	4UL

int preserve_parse_size(const char *text, const char **end, unsigned long *nr);
unsigned long preserve_pool_size(void);
unsigned long preserve_pool_room(void);
unsigned long preserve_node_spare(const struct preserve_node *node);
void preserve_node_set_marks(struct preserve_node *node);
void preserve_spare_range(unsigned long pfn, unsigned long end);
bool preserve_is_spared(unsigned long pfn);
void preserve_pool_kick(unsigned long delay);

/* poison.c */
void preserve_adopt_poisoned(struct preserve_block *block);
unsigned long preserve_nr_poisoned(void);
unsigned long preserve_next_poisoned(unsigned long pfn, unsigned long end);

/* pool.c */
void preserve_pool_drain(void);
unsigned long preserve_pool_at_hand(void);
unsigned long preserve_frames_alloc_on(int nid, const struct preserve_request *rq);
bool preserve_frames_defective(unsigned long pfn, unsigned long nr);
void preserve_frames_free_sound(struct page *page, unsigned long nr);
bool preserve_blocks_take(unsigned long pfn, unsigned long nr_blocks);
void preserve_block_insert(struct preserve_block *block);
struct preserve_block *preserve_block_isolate(int nid);
void preserve_block_putback(struct preserve_block *block);
void preserve_block_remove(struct preserve_block *block);
void preserve_pool_enable(void);
int preserve_pool_init(void);

/**
 * struct preserve_range - Huge pages next to each other that the next kernel gets.
 * @frames: The first and the last, all of one node. By them it is found.
 * @order:  Of a page. All are folios.
 * @free:   They are no file's, and stay until the kernel is replaced.
 * @cma:    They are of hugetlb_cma=.
 * @list:   The owner's.
 *
 * The owner allocates it, fills it in, and lets it join and quit (handover.c). Nothing of
 * it changes in between.
 */
struct preserve_range {
	struct interval_tree_node frames;
	unsigned int order;
	bool free;
	bool cma;
	struct list_head list;
};

static inline unsigned long preserve_range_nr(const struct preserve_range *range)
{
	return range->frames.last - range->frames.start + 1;
}

/* release.c */
void preserve_release(unsigned long pfn, unsigned long nr);

/* keys.c */
#ifdef CONFIG_PRESERVE_HUGETLB
int preserve_keys_add(const struct preserve_range *range);
void preserve_keys_remove(const struct preserve_range *range);
#else
static inline int preserve_keys_add(const struct preserve_range *range)
{
	return -EOPNOTSUPP;
}

static inline void preserve_keys_remove(const struct preserve_range *range)
{
}
#endif

/* handover.c */
int preserve_range_join(struct preserve_range *range);
void preserve_range_quit(struct preserve_range *range);
int preserve_block_join(struct preserve_block *block);
int preserve_block_quit(struct preserve_block *block);
unsigned long preserve_pool_add_blocks(unsigned long pfn,
				       unsigned long nr_blocks);
bool preserve_pool_drop(struct preserve_block *block);
void preserve_handover_fill(void);
int preserve_handover_init(void);
int preserve_handover_start(void);
void preserve_handover_give_up(void);

/**
 * struct preserve_taking - Lent blocks that are being taken back, run by run.
 * @nid:   The node.
 * @drop:  They leave the pool, rather than being idle blocks of it.
 * @from:  Where the next step begins, pfn >> pageblock_order; 0 to begin with the lowest.
 * @nomem: Blocks in a row that there was no memory to empty.
 */
struct preserve_taking {
	int nid;
	bool drop;
	unsigned long from;
	unsigned int nomem;
};

/* lend.c */
bool preserve_is_lent(unsigned long pfn);
bool preserve_lent_claim(unsigned long pfn, unsigned long nr);
void preserve_lent_unclaim(unsigned long pfn, unsigned long nr);
void preserve_lent_end(unsigned long pfn, struct zone *zone);
unsigned long preserve_lent_next(unsigned long pfn, unsigned long end);
unsigned long preserve_lend_surplus(int nid, unsigned long keep);
bool preserve_taking_step(struct preserve_taking *t, unsigned long nr_blocks,
			  unsigned long *got);
bool preserve_recall_at(unsigned long pfn);
bool preserve_drop_lent(unsigned long pfn);

/* yield.c */
extern unsigned long preserve_nr_yielded;

/* evacuate.c */
struct preserve_evacuation;

bool preserve_memory_left(unsigned long nr_pages);
bool preserve_can_evacuate(unsigned long pfn);
bool preserve_evacuate_at(unsigned long pfn);
struct preserve_evacuation *preserve_evacuation_begin(int nid,
						      unsigned long nr_blocks);
bool preserve_evacuation_step(struct preserve_evacuation *ev);
void preserve_evacuation_lacks(struct preserve_evacuation *ev, unsigned long nr);
unsigned long preserve_evacuation_end(struct preserve_evacuation *ev);
unsigned long preserve_evacuate_some(int nid, unsigned long nr_blocks);

/* gain.c */
unsigned long preserve_pool_recall_lent(int nid, unsigned long nr_blocks,
					unsigned int patience);
unsigned long preserve_pool_drop_lent(int nid, unsigned long nr_blocks);
unsigned long preserve_pool_evacuate(int nid, unsigned long nr_blocks);
bool preserve_pool_gain(int nid, unsigned long nr);
bool preserve_pool_insist(int nid, const nodemask_t *allowed, gfp_t gfp,
			  unsigned long begin);
void preserve_node_insist(int nid);
bool preserve_pool_waits(int nid);
void preserve_pool_serve(void);
bool preserve_pool_may_grow(int nid);

/* alloc.c */
extern const struct prmap_ops preserve_pool_map_ops;

struct folio *preserve_frames_prepare(unsigned long pfn, unsigned int order,
				      gfp_t gfp);
void *preserve_page_get(void);
void *preserve_map_page_get(void);
void preserve_page_put(void *page);

/* target.c */
unsigned long preserve_target_take(int nid, unsigned long after);
bool preserve_target_hold(unsigned long pfn);
void preserve_targets_put(int nid);
unsigned long preserve_leave_emptiest(int nid, unsigned int part);
bool preserve_block_leaves(unsigned long pfn);
void preserve_leave_end(int nid);
struct preserve_block *preserve_target_isolate(unsigned long pfn);
struct folio *preserve_target_folio(unsigned long pfn, unsigned int order,
				    gfp_t gfp);

/* worker.c */
int preserve_pool_set_max(unsigned long nr_blocks);
int preserve_pool_resize(unsigned long nr_blocks);
int preserve_pool_grow_node(int nid, unsigned long nr_blocks);
int preserve_pool_set_lend(bool lend);
void preserve_pool_lend_now(void);
void preserve_pool_regain(void);
void preserve_worker_init(void);
void preserve_pool_start(void);

/* offline.c */
void preserve_offline_init(void);
bool preserve_offline_lock(void);

/* adopt.c */
void preserve_adopt(void);

#endif /* _MM_PRESERVE_POOL_H */
