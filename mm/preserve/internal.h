/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data model of mm/preserve: who owns what, and which lock covers it.
 *
 *	pool.c    pool blocks: allocation and freeing of frames, growth, shrink
 *	frames.c  the frame maps: what must survive, what has survived
 *	record.c  validation of handed-over headers and records (pure)
 *	file.c    the file map of a live file; preserve, unpreserve, seal
 *	restore.c accepting a record, making folios of its frames
 *	boot.c    the header for the next kernel; adoption of the last one's pool
 *	sysfs.c   /sys/kernel/mm/preserve
 *
 * Locks, outermost first:
 *
 *	preserve_header_lock (mutex, boot.c): the outgoing header, the block map,
 *		growth, shrink and adoption
 *	  i_pages' xa_lock, interrupts off: a file's struct preserve_file
 *	    preserve_frames.lock, interrupts off: one frame map
 *	      preserve_node.lock, interrupts off: the blocks of one node
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
#include <linux/spinlock.h>
#include <linux/types.h>

/**
 * struct preserve_block - One pool block: a pageblock that the pool owns.
 * @pfn:     First frame.
 * @list:    On one list of its node: idle, partial or full.
 * @nr_free: Frames not in use.
 * @used:    A bit for each frame that is handed out, or live and not restored.
 *
 * Covered by the node's lock. Found by pfn in an xarray (pool.c).
 */
struct preserve_block {
	unsigned long pfn;
	struct list_head list;
	unsigned int nr_free;
	unsigned long used[];
};

/**
 * struct preserve_node - The pool's blocks on one NUMA node.
 * @lock:      Covers all fields, and all fields of its blocks.
 * @idle:      Blocks with no frame in use.
 * @partial:   Blocks with both.
 * @full:      Blocks with no free frame.
 * @nr_blocks: Blocks on the three lists.
 * @nr_idle:   Of those, on @idle.
 * @nr_free:   Frames not in use in those.
 */
struct preserve_node {
	spinlock_t lock;	/* covers the lists, the counts and the blocks */
	struct list_head idle;
	struct list_head partial;
	struct list_head full;
	unsigned long nr_blocks;
	unsigned long nr_idle;
	unsigned long nr_free;
};

/**
 * struct preserve_frames - A frame map and its lock.
 * @lock: Covers @map; taken with interrupts off.
 * @map:  Kind %PRMAP_SET, keyed by pfn, order 0. Folio orders stand in the file
 *        maps only, so that here neighbours always merge.
 */
struct preserve_frames {
	spinlock_t lock;	/* covers the map */
	struct prmap map;
};

/* pool.c */
struct preserve_pool_stat {
	unsigned long nr_blocks;
	unsigned long nr_free;
	unsigned long nr_idle_blocks;
};

extern const struct prmap_ops preserve_pool_map_ops;

void preserve_pool_init(void);
int preserve_pool_grow(unsigned long nr_blocks);
unsigned long preserve_pool_shrink(unsigned long nr_blocks);
struct preserve_block *preserve_block_alloc(unsigned long pfn);
void preserve_block_free(struct preserve_block *block);
void preserve_block_insert(struct preserve_block *block);
void preserve_pool_enable(void);
bool preserve_pool_owns(unsigned long pfn, unsigned long nr);
void *preserve_page_get(void);
void preserve_page_put(void *page);
void preserve_frames_put(unsigned long pfn, unsigned long nr);
void preserve_pool_stat(int nid, struct preserve_pool_stat *stat);
unsigned long preserve_pool_largest_free(int nid);
struct folio *preserve_frames_to_folio(unsigned long pfn, unsigned int order);

/* frames.c */
extern struct preserve_frames preserve_out;
extern struct preserve_frames preserve_in;

void preserve_frames_init(struct preserve_frames *frames);
int preserve_claim(struct preserve_frames *frames, unsigned long pfn,
		   unsigned long nr);
int preserve_unclaim(struct preserve_frames *frames, unsigned long pfn,
		     unsigned long nr);
int preserve_take(struct preserve_frames *frames, unsigned long pfn,
		  unsigned long nr);
bool preserve_claimed(struct preserve_frames *frames, unsigned long pfn,
		      unsigned long nr);
u64 preserve_nr_claimed(struct preserve_frames *frames);

/* record.c */
void preserve_header_seal(struct preserve_header_ser *hdr);
int preserve_header_check(const struct preserve_header_ser *hdr, size_t size,
			  const char **reason);
void preserve_record_seal(struct preserve_file_ser *rec);
int preserve_record_check(const struct preserve_file_ser *rec, u32 kind,
			  const char **reason);

/* boot.c */
int preserve_block_publish(unsigned long pfn);
int preserve_block_withdraw(unsigned long pfn);
void preserve_publish(void);

/* file.c, restore.c */
void preserve_file_adopt(struct preserve_file *pf, struct prmap *map);

extern atomic_long_t preserve_nr_files;
extern atomic_long_t preserve_nr_retrieved;
extern atomic_long_t preserve_nr_refused;
extern atomic_long_t preserve_nr_rebuilt;

/* sysfs.c */
int preserve_sysfs_init(void);

#endif /* _MM_PRESERVE_INTERNAL_H */
