/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Preserved files: struct preserve_file, and what the files about it offer each other. The
 * locks are in pool.h.
 *
 *	policy.c  memory policies: allocating by them, and as text
 *	record.c  validation of handed-over records (pure)
 *	place.c   files whose memory is the pool's
 *	file_list.c  all files that have a struct preserve_file, and counters
 *	user.c    whose locked memory a file is
 *	file_map.c  the file map of a live file
 *	in_place.c  files whose memory is elsewhere, and stays there
 *	accept.c  accepting a handed-over record
 *	demand.c  making folios of a retrieved file's frames
 *	insert.c  putting them into the page cache, for backends
 *	background.c  making those that no task asks for
 *	move.c    moving folios into the pool and within it
 *	compact.c packing the pool
 *	file.c    preserve, unpreserve, freeze
 *	tags.c    memory tags
 *	mapping.c what the page cache tells, and files that enter and leave the pool
 *	in_place_add.c  folios that come into files whose memory is elsewhere
 *	stream.c  bytes of the kernel's own
 *	state.c   what a record keeps of an open file and its inode
 *
 * A file calls those above it in this list, and none below.
 *
 * Locals: pf is a struct preserve_file, rec a record.
 */
#ifndef _MM_PRESERVE_FILE_H
#define _MM_PRESERVE_FILE_H

#include <linux/mutex.h>
#include <linux/preserve.h>
#include <linux/rwsem.h>

#include "pool.h"

struct mem_cgroup;

/* Attempts to rebuild a map whose file keeps changing. */
#define PRESERVE_REBUILD_TRIES	3

/* Map pages that an incomplete file keeps, so that its map can lose an index. */
#define PRESERVE_SPARE_PAGES	4

/**
 * struct preserve_place - Where files of a kind have their memory: the pool, or elsewhere.
 * @max_order: Of a folio.
 * @untaken:   As preserve_untaken(): are these frames handed over, and no file's yet?
 * @take:      As preserve_take().
 * @untake:    As preserve_untake(). Cannot fail.
 * @put:       As preserve_frames_put(): frees frames that no folio stands for.
 * @to_folio:  As preserve_frames_to_folio().
 * @to_frames: As preserve_folio_to_frames().
 * @has:       May a folio that is there cross?
 * @claim:     Lets the next kernel keep all that a file's map has. NULL: a window over the
 *             map does it run by run, see file_map.c. Process context, the inode locked.
 * @unclaim:   Undoes it, or a part of it. Cannot fail.
 *
 * Frames of a run are next to each other, and of one order.
 */
struct preserve_place {
	unsigned int max_order;
	bool (*untaken)(unsigned long pfn, unsigned long nr);
	bool (*take)(unsigned long pfn, unsigned long nr);
	void (*untake)(unsigned long pfn, unsigned long nr);
	void (*put)(unsigned long pfn, unsigned long nr);
	struct folio *(*to_folio)(unsigned long pfn, unsigned int order);
	void (*to_frames)(struct folio *folio);
	bool (*has)(const struct folio *folio);
	int (*claim)(struct preserve_file *pf);
	void (*unclaim)(struct preserve_file *pf);
};

/**
 * enum preserve_map_state - Does the file map say where the file's memory is?
 * @PRESERVE_MAP_NONE:    It does not follow the page cache: it is empty, or being made of
 *                        handed-over runs.
 * @PRESERVE_MAP_CURRENT: It has what the page cache has, and what is unrestored.
 * @PRESERVE_MAP_STALE:   An update has failed for want of a page. What the map has is the
 *                        file's own.
 * @PRESERVE_MAP_LOST:    So has one of a file that was incomplete: what is unrestored is
 *                        not told from holes any more. Never seen; refused.
 *
 *	          follow, begin,
 *	          rebuild                     an update fails
 *	   NONE ---------------------> CURRENT --------------> STALE   (or follow fails)
 *	    ^                          |  |  ^ <---------------  |
 *	    |          leave           |  |  |     rebuild       |
 *	    +--------------------------+--|--|-------------------+
 *	                                  +--+--> LOST, for good
 *	                an update fails that only the map has known of
 */
enum preserve_map_state {
	PRESERVE_MAP_NONE,
	PRESERVE_MAP_CURRENT,
	PRESERVE_MAP_STALE,
	PRESERVE_MAP_LOST,
} __packed;

/**
 * enum preserve_phase - How far the file is on its way to the next kernel.
 * @PRESERVE_LIVE:    It is not preserved by itself.
 * @PRESERVE_CLAIMED: It is: it has a record, its frames and those of its map are claimed,
 *                    and the map follows it.
 * @PRESERVE_FROZEN:  The map stays as it is, and what would fill a hole waits: the kernel
 *                    is about to be replaced, or the file's tree is preserved. A folio that
 *                    comes or goes all the same makes the map stale.
 *
 *	            claim                      freeze
 *	   LIVE ---------------> CLAIMED -----------------> FROZEN, with a record
 *	    | ^ <---------------         <-----------------
 *	    | |     unclaim                   unfreeze
 *	    | +------------------- unfreeze -------------+
 *	    +--------------- freeze_map, begin ----------+> FROZEN, without one (trees)
 */
enum preserve_phase {
	PRESERVE_LIVE,
	PRESERVE_CLAIMED,
	PRESERVE_FROZEN,
} __packed;

/**
 * struct preserve_restore - What a file keeps that has crossed with memory.
 * @sem:     Held for reading to make a folio, for writing to drop a range.
 * @next:    Behind the index that was asked for last: a hint.
 * @spare:   Map pages, while the file is incomplete.
 * @memcg:   Of the task that retrieved the file; workers charge it. Owned; gone when the
 *           file is complete.
 * @nr_crossed: Pages that it had when it was retrieved, if a user is charged for it.
 * @ended:   The file is complete, and the backend knows.
 * @shift:   Of a stretch, in pages.
 * @nr_locks: A power of two.
 * @locks:   While a folio is made: one for each stretch of the file; see demand.c.
 *
 * There until the file goes: tasks may hold @sem when it is complete.
 */
struct preserve_restore {
	struct rw_semaphore sem;
	pgoff_t next;
	void *spare[PRESERVE_SPARE_PAGES];
	struct mem_cgroup *memcg;
	unsigned long nr_crossed;
	atomic_t ended;
	unsigned int shift;
	unsigned int nr_locks;
	struct mutex locks[];	/* each while a folio is made */
};

/**
 * struct preserve_file - What mm/preserve keeps for one file.
 * @map:      The file map.
 * @mapping:  The page cache that @map follows. The xa_lock of its i_pages, interrupts
 *            off, covers every field here, where nothing else is said.
 * @ops:      The backend's. Constant.
 * @lo:       With @hi, the window of page indices whose frames are claimed:
 *            empty while the file is not preserved, everything while it is, and
 *            moving while preserve or unpreserve walk the map.
 * @hi:       End of the window, exclusive.
 * @map_state: Whether @map is up to date. Read without the lock.
 * @phase:    How far the file is. Read without the lock.
 * @map_claimed: The map's own pages are claimed as they come.
 * @plain:    The file is in the pool for as long as it is preserved: its folios are moved
 *            in, and folios from elsewhere are no error.
 * @changes:  Counts folios added and removed, for a rebuild of the map.
 * @nr_map_claimed: Pages of the map that are claimed.
 * @nr_walkers: References to the inode by tasks that walk over @list, under
 *            preserve_files_lock (file_list.c).
 * @nr_unrestored: Indices of the map without a folio, see demand.c. Read without
 *            the lock.
 * @restore:  NULL for a file that has not crossed. Set before other tasks know the file.
 * @record:   The record, while preserved. A page of the pool. Under the inode lock; read
 *            without.
 * @list:     All of these, under preserve_files_lock.
 * @ucounts:  Whose locked memory it counts as, see user.c; NULL: no user's. Owned.
 * @most:     Pages that this user may have locked.
 * @nr_charged: Pages that count for this file.
 * @in_place: NULL for a file whose memory is the pool's; see in_place.c. Owned.
 *
 * A file has one from preserve_file_new() on until its inode is evicted, whatever
 * becomes of it. One whose memory is the pool's, but which has few pages and is not
 * preserved by itself, needs none: its page cache says where they are.
 */
struct preserve_file {
	struct prmap map;
	struct address_space *mapping;
	const struct preserve_file_ops *ops;
	u64 lo;
	u64 hi;
	enum preserve_map_state map_state;
	enum preserve_phase phase;
	bool map_claimed;
	bool plain;
	u32 changes;
	u32 nr_map_claimed;
	int nr_walkers;
	u64 nr_unrestored;
	struct preserve_restore *restore;
	struct preserve_file_ser *record;
	struct list_head list;
	struct ucounts *ucounts;
	unsigned long most;
	unsigned long nr_charged;
	struct preserve_in_place *in_place;
};

/**
 * struct preserve_in_place - What a file whose memory stays in its place has besides.
 * @adding: Held for reading while a folio comes; for writing by what claims, unclaims or
 *          freezes the file.
 * @ranges: struct preserve_range: what has joined. Empty while the file is not claimed.
 *          Under @adding: for writing, or for reading with @lock.
 * @lock:   Covers @ranges among tasks that bring folios.
 * @unfit:  A folio may lie where it cannot cross. Set at any time; cleared with @adding held for
 *          writing, before the page cache is looked through.
 */
struct preserve_in_place {
	struct rw_semaphore adding;
	struct list_head ranges;
	spinlock_t lock;	/* @ranges */
	bool unfit;
};

/* There may be millions. */
static_assert(sizeof(struct preserve_file) <= 256);

/* Is what the map says all that there is? */
static inline bool preserve_map_current(const struct preserve_file *pf)
{
	return READ_ONCE(pf->map_state) == PRESERVE_MAP_CURRENT;
}

/* record.c */
void preserve_record_commit(struct preserve_file_ser *rec);
int preserve_record_check(const struct preserve_file_ser *rec, u32 kind,
			  const char **reason);

/* file_list.c */
extern atomic_long_t preserve_nr_files;
extern atomic_long_t preserve_nr_rebuilt;
extern atomic_long_t preserve_nr_retrieved;
extern atomic_long_t preserve_nr_refused;
extern atomic_long_t preserve_nr_unrestored;

void preserve_file_list_add(struct preserve_file *pf);
void preserve_file_list_del(struct preserve_file *pf);
struct preserve_file *preserve_file_next(struct preserve_file *pf);
bool preserve_file_used(const struct preserve_file *pf);

/* user.c */
void preserve_file_charge_crossed(struct preserve_file *pf, unsigned long nr);
void preserve_file_uncharge(struct preserve_file *pf, unsigned long nr);

/* file_map.c */
void preserve_file_map_init(struct preserve_file *pf, struct prmap *map);
void preserve_file_map_destroy(struct preserve_file *pf);
void preserve_file_add(struct preserve_file *pf, struct folio *folio);
void preserve_file_del(struct preserve_file *pf, struct folio *folio);
void preserve_file_detach(struct preserve_file *pf, struct prmap *old);
void preserve_file_adopt(struct preserve_file *pf, struct prmap *map);
int preserve_file_map_rebuild(struct preserve_file *pf);
int preserve_map_run_for_each(struct preserve_file *pf, preserve_run_fn *fn, void *ctx);
int preserve_file_map_claim(struct preserve_file *pf);
void preserve_file_map_unclaim(struct preserve_file *pf);
bool preserve_file_map_commit(struct preserve_file *pf, bool final);

/* demand.c */
void preserve_demand_begin(struct preserve_file *pf);
bool preserve_file_find(struct preserve_file *pf, u64 from, u64 end,
			struct prmap_run *run);
s64 preserve_file_restore_run(struct preserve_file *pf,
			      const struct prmap_run *run, gfp_t gfp);
void preserve_file_end(struct preserve_file *pf);
void preserve_file_end_if_complete(struct preserve_file *pf);

/* background.c */
extern unsigned long preserve_restore_pace;

void preserve_restore_kick(void);
int preserve_restore_all(void);
void preserve_restore_init(void);

/* in_place.c */
#ifdef CONFIG_PRESERVE_HUGETLB
int preserve_in_place_join(struct preserve_file *pf, const struct folio *folio);
void preserve_in_place_quit(struct preserve_file *pf, const struct folio *folio);
void preserve_in_place_doubt(struct preserve_file *pf);
void preserve_in_place_lock(struct preserve_file *pf);
void preserve_in_place_unlock(struct preserve_file *pf);
#else
static inline void preserve_in_place_doubt(struct preserve_file *pf)
{
}

static inline void preserve_in_place_lock(struct preserve_file *pf)
{
}

static inline void preserve_in_place_unlock(struct preserve_file *pf)
{
}
#endif

/* move.c */
int preserve_move_pages(struct address_space *mapping, pgoff_t index,
			unsigned long nr, unsigned long pfn);

/* compact.c */
int preserve_compact(void);

/* file.c */
void preserve_file_cache_init(void);

/* abi.c */
const char *preserve_abi(void);

/* sysfs.c */
int preserve_sysfs_init(void);

#endif /* _MM_PRESERVE_FILE_H */
