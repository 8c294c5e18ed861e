/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data model of mm/preserve: who owns what, and which lock covers it.
 *
 *	pool.c    pool blocks: allocation and freeing of frames
 *	size.c    how large the pool is: target, limit, the worker
 *	gain.c    growth on demand, and allocations that wait for it
 *	evacuate.c  gaining blocks by moving other memory away
 *	lend.c    idle blocks that serve movable allocations meanwhile
 *	yield.c   lent blocks that leave for memory that they may not serve
 *	move.c    moving folios into the pool and within it
 *	compact.c packing the pool
 *	range.c   ranges of whole blocks
 *	poison.c  defective frames
 *	frames.c  which frames must survive, and which have survived
 *	record.c  validation of handed-over headers and records (pure)
 *	table.c   the pages of the block table (pure)
 *	file.c    the file map of a live file; preserve, unpreserve, seal
 *	user.c    whose locked memory a file is
 *	restore.c accepting a record
 *	demand.c  making folios of a retrieved file's frames
 *	early.c   struct pages of what the last kernel has preserved
 *	handover.c  blocks that join and leave, and the image for the next kernel
 *	adopt.c   adoption of the last kernel's pool
 *	boot.c    kernel parameters, and what happens at boot in which order
 *	offline.c memory that goes offline
 *	tree.c    the bytes of a tmpfs tree's book (pure)
 *	sysfs.c   /sys/kernel/mm/preserve
 *
 * Locks, outermost first:
 *
 *	mem_hotplug_lock (the kernel's): memory that goes offline
 *	inode lock (the kernel's): preserve, unpreserve
 *	preserve_size_lock (mutex, size.c): which blocks are the pool's; held while
 *		blocks are gained, lent, given back, and while the pool is packed
 *	  move_lock (mutex, compact.c): folios of files are on their way
 *	  preserve_files_lock (file.c): the list of files
 *	  preserve_header_lock (mutex, handover.c): blocks that join and leave, and the
 *		image of them all
 *	  a file's restore_sem, then one of its mutexes (demand.c): a folio is made;
 *		under the inode lock where a range is dropped or a file claimed
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
 * Moving folios takes folio locks under preserve_size_lock; nobody may allocate
 * from the pool with a folio locked.
 *
 * Locals: block is a struct preserve_block, pf a struct preserve_file, rec a
 * record, bit an index into a block's bitmap of used frames.
 */
#ifndef _MM_PRESERVE_INTERNAL_H
#define _MM_PRESERVE_INTERNAL_H

#include <linux/list.h>
#include <linux/mmzone.h>
#include <linux/pageblock-flags.h>
#include <linux/preserve.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>

/**
 * struct preserve_block - One pool block: a pageblock that the pool owns.
 * @pfn:     First frame.
 * @list:    On one list of its node ...
 * @idle:    ... or in its tree of idle blocks.
 * @nr_free: Frames not in use.
 * @pooled:  On its node: frames may be taken.
 * @metadata: Records and maps are allocated from it first, data last.
 * @target:  Set apart for compaction, see preserve_target_take().
 * @leaving: That, to be emptied, see preserve_leave_emptiest().
 * @handed:  The next kernel hears of it. Covered by preserve_header_lock.
 * @nr_claimed: Bits set in @claimed.
 * @nr_orphans: Frames that were freed while they were claimed: used, and nobody's.
 * @nr_untaken: Bits set in @untaken; covered as that is.
 * @rcu:     Who holds a pfn only may look a block up.
 * @bad:     A bit for each frame that is known to be defective; NULL if none is.
 * @used:    A bit for each frame that is handed out, live and not restored, or
 *           defective.
 * @claimed: A bit for each frame that the next kernel has to keep. All are used.
 * @untaken: A bit for each frame that was handed over and has no owner yet. All are
 *           used. Covered by take_lock (frames.c).
 *
 * Covered by the node's lock, where nothing else is said. Found by pfn in an xarray (pool.c).
 */
struct preserve_block {
	unsigned long pfn;
	union {
		struct list_head list;
		struct rb_node idle;
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
	struct rcu_head rcu;
	unsigned long *bad;
	DECLARE_BITMAP(used, pageblock_nr_pages);
	DECLARE_BITMAP(claimed, pageblock_nr_pages);
	DECLARE_BITMAP(untaken, pageblock_nr_pages);
};

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
 * @window:    Where it goes on to look for others.
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
	unsigned long window;
	unsigned int rounds;
	unsigned long not_before;
	unsigned long sweep;
	unsigned long nr_begun;
	unsigned long nr_ended;
	long nr_vain;
	atomic_t nr_waiting;
	unsigned long evacuated[PRESERVE_EVACUATE_NR];
	unsigned long moved;
};

extern struct preserve_node preserve_nodes[MAX_NUMNODES];

/* pool.c */
struct preserve_pool_stat {
	unsigned long nr_blocks;
	unsigned long nr_free;
	unsigned long nr_idle_blocks;
	unsigned long nr_lent;
	unsigned long nr_claimed;
};

extern const struct prmap_ops preserve_pool_map_ops;

void preserve_pool_init(void);
struct preserve_block *preserve_block_alloc(unsigned long pfn);
void preserve_block_free(struct preserve_block *block);
void preserve_block_insert(struct preserve_block *block);
struct preserve_block *preserve_block_find(unsigned long pfn);
struct preserve_block *preserve_block_next(unsigned long pfn);
int preserve_block_claim(struct preserve_block *block, unsigned long bit,
			 unsigned long nr);
void preserve_block_unclaim(struct preserve_block *block, unsigned long bit,
			    unsigned long nr);
int preserve_block_bad(struct preserve_block *block, unsigned long bit);
struct preserve_block *preserve_block_steal(int nid);
void preserve_block_unsteal(struct preserve_block *block);
void preserve_block_remove(struct preserve_block *block);
bool preserve_blocks_take(unsigned long pfn, unsigned long nr_blocks);
unsigned int preserve_block_fill(unsigned long pfn);
unsigned long preserve_node_reserve(const struct preserve_node *node);
bool preserve_pool_has_room(int nid, unsigned long nr);
unsigned long preserve_target_take(int nid, unsigned long after);
bool preserve_target_hold(unsigned long pfn);
void preserve_targets_put(int nid);
unsigned long preserve_leave_emptiest(int nid, unsigned int part);
bool preserve_block_leaves(unsigned long pfn);
void preserve_leave_end(int nid);
struct preserve_block *preserve_target_steal(unsigned long pfn);
struct folio *preserve_target_folio(unsigned long pfn, unsigned int order,
				    gfp_t gfp);
void preserve_pool_enable(void);
void preserve_pool_drain(void);
bool preserve_pool_owns(unsigned long pfn, unsigned long nr);
void *preserve_page_get(void);
void preserve_page_put(void *page);
void preserve_frames_put(unsigned long pfn, unsigned long nr);
unsigned long preserve_pool_at_hand(void);
void preserve_pool_stat(int nid, struct preserve_pool_stat *stat);
unsigned long preserve_pool_largest_free(int nid);
struct folio *preserve_frames_to_folio(unsigned long pfn, unsigned int order);
void preserve_folio_to_frames(struct folio *folio);

/* size.c */
extern struct mutex preserve_size_lock;
extern unsigned long preserve_pool_want;
extern unsigned long preserve_pool_max;
extern unsigned long preserve_max_set;
extern bool preserve_pool_lend;

unsigned long preserve_pool_size(void);
unsigned long preserve_pool_room(void);
int preserve_parse_size(const char *text, const char **end, unsigned long *nr);
unsigned long preserve_pool_add_blocks(unsigned long pfn,
				       unsigned long nr_blocks);
bool preserve_pool_drop(struct preserve_block *block);
int preserve_pool_set_max(unsigned long nr_blocks);
int preserve_pool_resize(unsigned long nr_blocks);
int preserve_pool_grow_node(int nid, unsigned long nr_blocks);
void preserve_pool_kick(unsigned long delay);
void preserve_pool_start(void);
void preserve_pool_regain(void);
int preserve_pool_set_lend(bool lend);
void preserve_pool_lend_now(void);

/* Blocks that growth on demand gains in one go, unless it needs more. */
#define PRESERVE_GAIN_BLOCKS	4UL

void preserve_node_set_marks(struct preserve_node *node);

/* gain.c */
bool preserve_pool_gain(int nid, unsigned long nr);
bool preserve_pool_more(int nid, gfp_t gfp, unsigned long nr_pages);
bool preserve_pool_insist(int nid, const nodemask_t *allowed, gfp_t gfp,
			  unsigned long begin);
void preserve_node_insist(int nid);
bool preserve_pool_waits(int nid);
void preserve_pool_serve(void);
bool preserve_pool_may_grow(int nid);

/* evacuate.c */
unsigned long preserve_evacuate(int nid, unsigned long nr_blocks);
unsigned long preserve_evacuate_some(int nid, unsigned long nr_blocks);

bool preserve_memory_left(unsigned long nr_pages);
bool preserve_can_evacuate(unsigned long pfn);
bool preserve_evacuate_at(unsigned long pfn);
void preserve_spare_range(unsigned long pfn, unsigned long end);
bool preserve_is_spared(unsigned long pfn);

/* lend.c */
int preserve_lend(struct preserve_block *block);
unsigned long preserve_lend_surplus(int nid, unsigned long keep);
unsigned long preserve_reclaim_lent(int nid, unsigned long nr_blocks,
				    unsigned int patience);
unsigned long preserve_reclaim_lent_from(int nid, unsigned long nr_blocks,
					 unsigned int patience,
					 unsigned long *from);
bool preserve_reclaim_at(unsigned long pfn);
bool preserve_is_lent(unsigned long pfn);
bool preserve_lent_claim(unsigned long pfn, unsigned long nr);
void preserve_lent_unclaim(unsigned long pfn, unsigned long nr);
void preserve_lent_end(unsigned long pfn, struct zone *zone);
unsigned long preserve_lent_next(unsigned long pfn, unsigned long end);
bool preserve_drop_lent(unsigned long pfn);
unsigned long preserve_drop_some_lent(int nid, unsigned long nr_blocks);

/* yield.c */
extern unsigned long preserve_nr_yielded;

/* move.c */
int preserve_move_pages(struct address_space *mapping, pgoff_t index,
			unsigned long nr, unsigned long pfn);

/* compact.c */
int preserve_compact(void);
void preserve_compact_pause(void);
void preserve_compact_resume(void);

/* frames.c */
int preserve_claim(unsigned long pfn, unsigned long nr);
void preserve_unclaim(unsigned long pfn, unsigned long nr);
bool preserve_untaken(unsigned long pfn, unsigned long nr);
bool preserve_take(unsigned long pfn, unsigned long nr);
void preserve_untake(unsigned long pfn, unsigned long nr);
unsigned long preserve_adopt_live(struct preserve_block *block);
unsigned long preserve_nr_untaken(void);
int preserve_note_bad(unsigned long pfn);
void preserve_adopt_bad(struct preserve_block *block);
unsigned long preserve_nr_bad(void);
unsigned long preserve_next_bad(unsigned long pfn, unsigned long end);

/* table.c */
#define PRESERVE_TABLE_EXTENTS						\
	((PAGE_SIZE - sizeof(struct preserve_table_ser)) /		\
	 sizeof(struct preserve_extent_ser))
#define PRESERVE_BITMAPS						\
	((PAGE_SIZE - sizeof(struct preserve_bitmaps_ser)) /		\
	 (BITS_TO_LONGS(pageblock_nr_pages) * sizeof(long)))

void preserve_table_init(struct preserve_table_ser *table);
void preserve_table_seal(struct preserve_table_ser *table, u64 seq);
bool preserve_table_check(const struct preserve_table_ser *table, u64 seq);
bool preserve_extent_check(const struct preserve_extent_ser *extent, u64 from,
			   u64 end);
void preserve_bitmaps_init(struct preserve_bitmaps_ser *bm);
void preserve_bitmaps_seal(struct preserve_bitmaps_ser *bm, u64 phys);
bool preserve_bitmaps_check(const struct preserve_bitmaps_ser *bm, u64 phys);
unsigned long *preserve_bitmaps_at(struct preserve_bitmaps_ser *bm,
				   unsigned int slot);

/* record.c */
void preserve_header_seal(struct preserve_header_ser *hdr);
int preserve_header_check(const struct preserve_header_ser *hdr, size_t size,
			  const char **reason);
void preserve_record_seal(struct preserve_file_ser *rec);
int preserve_record_check(const struct preserve_file_ser *rec, u32 kind,
			  const char **reason);

/* handover.c */
extern bool preserve_frozen;

int preserve_block_join(struct preserve_block *block);
int preserve_block_quit(struct preserve_block *block);
void preserve_handover_fill(void);
void preserve_handover_freeze(void);
int preserve_handover_init(void);
int preserve_handover_start(void);
void preserve_handover_give_up(void);

/* adopt.c */
void preserve_adopt(void);

/* offline.c */
void preserve_offline_init(void);
bool preserve_offline_lock(void);

/* file.c, restore.c */
void preserve_file_adopt(struct preserve_file *pf, struct prmap *map);

struct address_space *preserve_file_mapping(const struct preserve_file *pf);
struct preserve_file *preserve_file_next(struct preserve_file *pf);
bool preserve_file_used(const struct preserve_file *pf);

extern atomic_long_t preserve_nr_files;
extern atomic_long_t preserve_nr_retrieved;
extern atomic_long_t preserve_nr_refused;
extern atomic_long_t preserve_nr_rebuilt;

/* demand.c */
extern atomic_long_t preserve_nr_unrestored;
extern unsigned long preserve_restore_pace;

void preserve_file_end(struct preserve_file *pf);
int preserve_file_complete_range(struct preserve_file *pf, pgoff_t index,
				 pgoff_t end, gfp_t gfp);
void preserve_restore_kick(void);
int preserve_restore_all(void);
void preserve_demand_init(void);

/* sysfs.c */
int preserve_sysfs_init(void);

#endif /* _MM_PRESERVE_INTERNAL_H */
