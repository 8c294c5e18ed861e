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

#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/gfp_types.h>
#include <linux/kho/abi/preserve.h>
#include <linux/nodemask.h>
#include <linux/preserve_hooks.h>
#include <linux/preserve_radix.h>
#include <linux/types.h>

struct folio_batch;
struct mempolicy;
struct preserve_place;
struct preserve_file;
struct shared_policy;
struct ucounts;

#ifdef CONFIG_PRESERVE

/**
 * struct preserve_file_ops - What a backend does for the files that it gives to the core.
 * @place:     Where their memory is.
 * @insert:   Puts folios, neighbours from an index on, all of one order and not
 *            locked, into the page cache, tells preserve_file_restored() under its
 *            lock, and takes their references over. Returns how many, the first ones; or
 *            an error if none. The others are as before. Process context.
 * @all_restored: A file that crossed has all of its folios now. Called once, in process
 *            context, perhaps with the inode locked by another task that waits; may be
 *            NULL.
 * @move_begin: Folios that lie from one page index to another are about to move, and the
 *            caller has none locked. 0, or an error if they cannot now. Process context, may
 *            sleep, but not until a task has gone on that waits for moves to end. May be NULL,
 *            as @move_end.
 * @move_end: They have.
 * @frozen:   Does a file whose map begins stand still for the next kernel already? Asked under
 *            the xa_lock of i_pages; NULL: it does not.
 */
struct preserve_file_ops {
	const struct preserve_place *place;
	int (*insert)(struct address_space *mapping, struct folio_batch *batch,
		      pgoff_t index, gfp_t gfp);
	void (*all_restored)(struct address_space *mapping);
	int (*move_begin)(struct address_space *mapping, pgoff_t start, pgoff_t end);
	void (*move_end)(struct address_space *mapping, pgoff_t start, pgoff_t end);
	bool (*frozen)(const struct address_space *mapping);
};

extern const struct preserve_place preserve_pool_place;
extern const struct preserve_place preserve_huge_place;

/* See preserve_run_for_each(). */
typedef int preserve_run_fn(void *ctx, const struct prmap_run *run);

/* More pages than this are worth a map, and with it a struct preserve_file. */
#define PRESERVE_SMALL_PAGES	16

/**
 * preserve_file_of - What the core keeps for a file.
 * @mapping: The file's page cache.
 *
 * Context: Any. It stays until the inode is evicted.
 * Return: Its struct preserve_file; NULL if it has none.
 */
static inline struct preserve_file *
preserve_file_of(const struct address_space *mapping)
{
	return READ_ONCE(mapping->preserve);
}

/* Status flags of an open file that a record carries. */
#define PRESERVE_F_FLAGS	(O_APPEND | O_NONBLOCK | O_NOATIME | O_DIRECT | O_SYNC)

bool preserve_has_pool(void);
bool preserve_can_hand_over(void);

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
 * @kernel:   For bytes of the kernel's own, which never move: taken where metadata is, and
 *            the cpuset of the task at hand does not matter.
 */
struct preserve_request {
	gfp_t gfp;
	unsigned int order;
	int nid;
	nodemask_t *nodemask;
	unsigned long goal;
	bool metadata;
	bool kernel;
};

/* Room for the text of a memory policy, with its end. */
#define PRESERVE_POLICY_TEXT	256

/**
 * struct preserve_policy - The memory policy of a part of a file.
 * @start: First page index.
 * @end:   Page index behind the last.
 * @text:  The policy as tmpfs's mount option mpol= has it.
 */
struct preserve_policy {
	u64 start;
	u64 end;
	char text[PRESERVE_POLICY_TEXT];
};

struct folio *preserve_alloc_folio(const struct preserve_request *rq);

#ifdef CONFIG_NUMA
struct folio *preserve_alloc_mpol(struct preserve_request *rq,
				  struct mempolicy *mpol, pgoff_t ilx);
#else
static inline struct folio *preserve_alloc_mpol(struct preserve_request *rq,
						struct mempolicy *mpol, pgoff_t ilx)
{
	return preserve_alloc_folio(rq);
}
#endif

#if defined(CONFIG_NUMA) && defined(CONFIG_TMPFS)
int preserve_policy_next(struct shared_policy *sp, u64 index,
			 struct preserve_policy *part);
void preserve_policy_load(struct shared_policy *sp,
			  const struct preserve_policy *part);
#else
static inline int preserve_policy_next(struct shared_policy *sp, u64 index,
				       struct preserve_policy *part)
{
	return 0;
}

static inline void preserve_policy_load(struct shared_policy *sp,
					const struct preserve_policy *part)
{
}
#endif

bool preserve_pool_more(int nid, gfp_t gfp, unsigned long nr_pages);
unsigned long preserve_alloc_range(int nid, unsigned int order);
void preserve_free_range(unsigned long pfn, unsigned int order);

int preserve_claim(unsigned long pfn, unsigned long nr);
void preserve_unclaim(unsigned long pfn, unsigned long nr);
bool preserve_untaken(unsigned long pfn, unsigned long nr);
bool preserve_take(unsigned long pfn, unsigned long nr);
void preserve_untake(unsigned long pfn, unsigned long nr);
void preserve_frames_put(unsigned long pfn, unsigned long nr);
struct folio *preserve_frames_to_folio(unsigned long pfn, unsigned int order);
void preserve_folio_to_frames(struct folio *folio);
void preserve_compact_pause(void);
void preserve_compact_resume(void);

/* A file, from its first page to its end. */
struct preserve_file *preserve_file_new(struct address_space *mapping,
					const struct preserve_file_ops *ops);
void preserve_file_free(struct address_space *mapping);
void preserve_file_follow(struct preserve_file *pf);
unsigned long preserve_goal(struct address_space *mapping, pgoff_t index);
void preserve_show_fdinfo(struct seq_file *m, struct address_space *mapping);
void preserve_file_report_poisoned(struct preserve_file *pf, const char *name);
void preserve_run_report_poisoned(const struct prmap_run *run, const char *name);
int preserve_run_for_each(struct address_space *mapping, preserve_run_fn *fn,
			  void *ctx);

/* Memory that comes into the pool for a while, or for good. */
int preserve_enter(struct address_space *mapping);
void preserve_leave(struct address_space *mapping);
extern bool preserve_admit_plain;
int preserve_move_in(struct address_space *mapping);
int preserve_move_out(struct address_space *mapping);
bool preserve_any_in_pool(struct address_space *mapping);

/**
 * preserve_has_tags - Has a page of a file ever had memory tags (arm64's MTE)?
 * @mapping: The file's.
 *
 * They are lost in a kexec.
 *
 * Context: Any.
 * Return: True if so.
 */
static inline bool preserve_has_tags(const struct address_space *mapping)
{
	return test_bit(AS_PRESERVE_TAGS, &mapping->flags);
}

#ifdef CONFIG_ARM64_MTE
void preserve_report_tags(const struct address_space *mapping);
#else
static inline void preserve_report_tags(const struct address_space *mapping)
{
}
#endif

void preserve_file_set_plain(struct preserve_file *pf, bool plain);
bool preserve_file_is_plain(const struct preserve_file *pf);

/* More defective frames of a huge page than this are taken for all of it. */
#define PRESERVE_BAD_FRAMES	64

/* Files whose memory stays in its place. */
int preserve_in_place_init(struct preserve_file *pf);
bool preserve_file_in_place(const struct preserve_file *pf);
bool preserve_file_has(struct preserve_file *pf, u64 index, u64 end);
int preserve_in_place_enter(struct preserve_file *pf);
void preserve_in_place_keep(struct preserve_file *pf);
void preserve_huge_set_cma(unsigned int order);
bool preserve_folio_in_cma(const struct folio *folio);
bool preserve_folio_may_cross(const struct folio *folio);
bool preserve_huge_has_order(const struct prmap_run *run);
unsigned long preserve_huge_count(unsigned int order, int nid);

/**
 * struct preserve_huge_visitor - Is shown huge pages that have been handed over.
 * @visit: Called with the first frame of neighbouring pages, and how many pages there are.
 */
struct preserve_huge_visitor {
	void (*visit)(struct preserve_huge_visitor *visitor, unsigned long pfn, unsigned long nr);
};

void preserve_huge_for_each(unsigned int order, int nid, bool cma,
			    struct preserve_huge_visitor *visitor);

/**
 * struct preserve_huge_maker - Makes folios of huge pages of one size that have come.
 * @order: The size.
 * @make:  Makes a folio of frames with reference count zero. On several CPUs.
 * @add:   Takes one that is made: in ascending order, on one CPU. @free: it is no file's.
 * @stays: Set if the pool of that size is to stay as large.
 */
struct preserve_huge_maker {
	unsigned int order;
	void (*make)(const struct preserve_huge_maker *maker, unsigned long pfn);
	void (*add)(const struct preserve_huge_maker *maker, unsigned long pfn, bool free);
	bool stays;
};

unsigned long preserve_huge_make(struct preserve_huge_maker *maker);
void preserve_huge_stays(unsigned int order);
int preserve_huge_keep(unsigned long pfn, unsigned long nr, unsigned int order);
void preserve_at_handover(void (*fn)(void));
extern struct kobject *preserve_kobj;
void preserve_huge_bad_for_each(void (*fn)(unsigned long pfn, unsigned long nr));
unsigned long preserve_huge_unmade(unsigned long *freed);

/* Preserve, freeze. */
struct preserve_file_ser *preserve_file_claim(struct preserve_file *pf);
void preserve_file_unclaim(struct preserve_file *pf);
struct preserve_file_ser *preserve_file_record(const struct preserve_file *pf);
bool preserve_file_lost(const struct preserve_file *pf);
u64 preserve_file_nr_unrestored(const struct preserve_file *pf);
bool preserve_file_keeps_map(const struct preserve_file *pf);
int preserve_file_commit(struct preserve_file *pf);
void preserve_file_freeze(struct preserve_file *pf);
void preserve_file_give_up(struct preserve_file *pf, const char *why);
void preserve_file_hold(struct preserve_file *pf);
bool preserve_freeze_fails(void);
void preserve_file_unfreeze(struct preserve_file *pf);
bool preserve_file_frozen(const struct preserve_file *pf);
int preserve_file_wait(struct preserve_file *pf);
int preserve_file_freeze_map(struct preserve_file *pf);
int preserve_file_refresh(struct preserve_file *pf);

/* What a record keeps of an open file and its inode. */
void preserve_note_time(struct preserve_file_ser *rec, unsigned int which,
			struct timespec64 time);
struct timespec64 preserve_noted_time(const struct preserve_file_ser *rec, unsigned int which);
void preserve_note_state(struct preserve_file_ser *rec, const struct file *file);
void preserve_note_name(struct preserve_file_ser *rec, const struct dentry *dentry);
void preserve_give_inode(struct inode *inode, const struct preserve_file_ser *rec);
void preserve_give_file(struct file *file, const struct preserve_file_ser *rec);

/* Whose locked memory a file is. */
void preserve_file_set_user(struct preserve_file *pf, struct ucounts *ucounts,
			    unsigned long most);
void preserve_file_note_user(const struct preserve_file *pf,
			     struct preserve_file_ser *rec);
int preserve_file_restore_user(struct preserve_file *pf,
			       const struct preserve_file_ser *rec);
bool preserve_file_charge(struct preserve_file *pf, unsigned long nr);

/* What has crossed. */
bool preserve_retrieve_again(int err);
struct preserve_file_ser *preserve_record_take(u64 phys, u32 kind,
					       struct prmap *map);
void preserve_record_untake(struct preserve_file_ser *rec, struct prmap *map);
void preserve_record_failed(struct preserve_file_ser *rec, struct prmap *map, int err);
void preserve_record_free(struct preserve_file_ser *rec);
void preserve_note_refused(void);
void preserve_note_retrieved(void);
void preserve_map_release(struct prmap *map, u32 kind);
u64 preserve_file_restore(struct preserve_file *pf, struct prmap *map);
int preserve_file_set_runs(struct preserve_file *pf,
			   int (*next)(void *ctx, struct prmap_run *run), void *ctx);
void preserve_file_begin(struct preserve_file *pf);
void preserve_file_restored(struct preserve_file *pf, u64 nr);
bool preserve_file_incomplete(const struct preserve_file *pf);
int preserve_file_restore_at(struct preserve_file *pf, pgoff_t index, gfp_t gfp);
void preserve_insert_prepare(struct folio *folio, struct address_space *mapping,
			     pgoff_t index, bool swapbacked);
int preserve_insert(struct address_space *mapping, struct folio_batch *batch,
		    pgoff_t index, gfp_t gfp, bool swapbacked);
int preserve_file_restore_range(struct preserve_file *pf, pgoff_t index, pgoff_t end,
				gfp_t gfp);
int preserve_file_restore_all(struct preserve_file *pf, gfp_t gfp);
unsigned long preserve_file_drop(struct preserve_file *pf, pgoff_t start,
				 pgoff_t end);
unsigned long preserve_file_find_unrestored(struct preserve_file *pf,
					    pgoff_t *index, pgoff_t end);

/**
 * struct preserve_stream - Bytes of the kernel's own that cross a kexec.
 * @map:     Which pages it has, by their index.
 * @length:  Bytes.
 * @record:  While it is preserved: a page of the pool. Owned.
 * @crossed: The last kernel has made it: its frames are no folios.
 *
 * Fields are those of stream.c; the owner may read @length. One task writes, or any number
 * read.
 */
struct preserve_stream {
	struct prmap map;
	u64 length;
	struct preserve_file_ser *record;
	bool crossed;
};

void preserve_stream_init(struct preserve_stream *s);
int preserve_stream_write(struct preserve_stream *s, const void *bytes, size_t len, u64 *pos);
int preserve_stream_read(const struct preserve_stream *s, void *buf, size_t len, u64 pos);
int preserve_stream_preserve(struct preserve_stream *s, u32 kind, const char *name, u64 *handle);
void preserve_stream_unpreserve(struct preserve_stream *s);
int preserve_stream_retrieve(struct preserve_stream *s, u64 handle, u32 kind);
void preserve_stream_free(struct preserve_stream *s);

#endif /* CONFIG_PRESERVE */

#endif /* _LINUX_PRESERVE_H */
