/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Preserved files: what their files offer each other. struct preserve_file is in
 * linux/preserve.h; the locks are in pool.h.
 *
 *	record.c  validation of handed-over records (pure)
 *	file_list.c  all files that have a map, and counters
 *	user.c    whose locked memory a file is
 *	file_map.c  the file map of a live file
 *	accept.c  accepting a handed-over record
 *	demand.c  making folios of a retrieved file's frames
 *	background.c  making those that nobody asks for
 *	move.c    moving folios into the pool and within it
 *	compact.c packing the pool
 *	file.c    preserve, unpreserve, freeze
 *	tree.c    the bytes of a tmpfs tree's book (pure)
 *
 * A file calls those above it in this list, and none below.
 *
 * Locals: pf is a struct preserve_file, rec a record.
 */
#ifndef _MM_PRESERVE_FILE_H
#define _MM_PRESERVE_FILE_H

#include <linux/preserve.h>

#include "pool.h"

/* Attempts to rebuild a map whose file keeps changing. */
#define PRESERVE_REBUILD_TRIES	3

/* record.c */
void preserve_record_seal(struct preserve_file_ser *rec);
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

/* file_map.c */
void preserve_file_map_init(struct preserve_file *pf, struct prmap *map);
void preserve_file_adopt(struct preserve_file *pf, struct prmap *map);
int preserve_file_map_rebuild(struct preserve_file *pf);
int preserve_file_map_claim(struct preserve_file *pf);
void preserve_file_map_unclaim(struct preserve_file *pf);
bool preserve_file_map_seal(struct preserve_file *pf, bool final);

/* demand.c */
void preserve_demand_begin(struct preserve_file *pf, preserve_insert_fn *insert);
bool preserve_file_find(struct preserve_file *pf, u64 from, u64 end,
			struct prmap_run *run);
s64 preserve_file_restore_run(struct preserve_file *pf,
			      const struct prmap_run *run, gfp_t gfp);
void preserve_file_end(struct preserve_file *pf);
void preserve_file_end_if_complete(struct preserve_file *pf);
int preserve_file_complete_range(struct preserve_file *pf, pgoff_t index,
				 pgoff_t end, gfp_t gfp);

/* background.c */
extern unsigned long preserve_restore_pace;

void preserve_restore_kick(void);
int preserve_restore_all(void);
void preserve_restore_init(void);

/* move.c */
int preserve_move_pages(struct address_space *mapping, pgoff_t index,
			unsigned long nr, unsigned long pfn);

/* compact.c */
int preserve_compact(void);

/* sysfs.c */
int preserve_sysfs_init(void);

#endif /* _MM_PRESERVE_FILE_H */
