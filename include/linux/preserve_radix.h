/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The preserve map: u64 index -> run of (pfn, length, order, flags).
 *
 * What lives here: the public interface of lib/preserve-radix/. A map is live
 * and serialised at once: it is a tree of pages that hold physical addresses,
 * so saving it is only prmap_commit(), which brings the checksums up to date, and
 * loading it is only prmap_open(), which validates every byte. The format of
 * the pages is drawn in lib/preserve-radix/internal.h.
 *
 * Life of a map: prmap_init(), any number of updates and look-ups, then either
 * prmap_destroy(), which gives every page back, or prmap_commit(), after which
 * the pages and the root record cross the kexec and prmap_open() continues with
 * them in the next kernel. A committed map may be changed and committed again.
 *
 * Context of everything here: any. The map never sleeps, takes no lock,
 * disables nothing, and uses less than 2 KiB of stack. Its caller serialises:
 * functions that take a const map may run beside each other, anything else
 * needs the map for itself. No function keeps state in the map on behalf of a
 * reader, so a reader-writer lock, or none while there is no writer, is enough.
 *
 * Units: an index is a page number (a frame number in a PRMAP_SET, a page of
 * the file in a PRMAP_FILE), @nr counts pages of PAGE_SIZE, an order is that of
 * a folio. Addresses of map pages are physical, in bytes.
 *
 * What the map does not do: it knows no struct page, allocates nothing, and
 * does not notice that two runs of a PRMAP_FILE name the same frame.
 */
#ifndef _LINUX_PRESERVE_RADIX_H
#define _LINUX_PRESERVE_RADIX_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/* Version of the page format and of struct prmap_root_ser. */
#define PRMAP_VERSION		1
#define PRMAP_MAGIC		0x50414d50U	/* "PMAP" in memory */

/* First index that a PRMAP_FILE cannot hold, first frame number that no map can. */
#define PRMAP_INDEX_END		0x10000000000000ULL	/* 2^52 */
#define PRMAP_PFN_END		0x10000000000ULL	/* 2^40 */
#define PRMAP_MAX_ORDER		31

/**
 * enum prmap_kind - what a map is keyed by
 * @PRMAP_SET: keyed by frame number; every run has pfn == index
 * @PRMAP_FILE: keyed by page index of a file; a run also stores its pfn
 */
enum prmap_kind {
	PRMAP_SET = 1,
	PRMAP_FILE = 2,
};

/**
 * struct prmap_run - consecutive pages with consecutive frames and equal folios
 * @index: first index, a multiple of 1 << @order
 * @pfn: frame number of the first page, a multiple of 1 << @order
 * @nr: pages, a multiple of 1 << @order
 * @order: order of each of the nr >> order folios
 * @flags: eight bits that belong to the caller
 *
 * Neighbours merge when index and pfn continue and order and flags are equal;
 * what the map reports and counts as a run is always as long as it can be.
 */
struct prmap_run {
	u64 index;
	u64 pfn;
	u64 nr;
	u8 order;
	u8 flags;
};

/**
 * struct prmap_ops - where the pages of a map come from
 * @page_get: one page, aligned to its size and in the direct map, with any
 *            content; NULL when there is none. Must not sleep when the map is
 *            used in atomic context.
 * @page_put: takes back a page that @page_get gave
 */
struct prmap_ops {
	void *(*page_get)(void *ctx);
	void (*page_put)(void *ctx, void *page);
};

/*
 * The leaf that the last update touched, and the bounds between which an
 * update needs to look at no other leaf. Written by updates only. Valid when
 * lo < hi; every entry above the leaf is then already marked dirty.
 */
struct prmap_finger {
	u64 lo;
	u64 hi;
	void *leaf;
	void *entry;		/* NULL when the leaf is the top page */
	u64 delta;		/* of a bitmap: pfn - index */
	u32 bitmap;
	u32 attr;
};

/**
 * struct prmap - a map at run time
 *
 * Embed it; all fields are private to lib/preserve-radix/.
 */
struct prmap {
	/* private: the caller's lock covers all of it */
	struct prmap_finger finger;
	u64 nr_keys;
	u64 nr_runs;
	u64 generation;		/* counts updates, for iterators */
	void *top;		/* NULL: the map is empty */
	u64 top_sum;
	u64 nr_pages;
	const struct prmap_ops *ops;
	void *ctx;
	void *spare;		/* pages taken before an update needs them */
	u32 nr_spare;
	u8 kind;
	u8 height;		/* levels of pages; 1: the top page is a leaf */
	u8 top_dirty;
};

/**
 * struct prmap_root_ser - root of a committed map, to be embedded in a record
 * @magic: %PRMAP_MAGIC
 * @version: %PRMAP_VERSION
 * @kind: enum prmap_kind
 * @height: levels of pages, 0 for an empty map
 * @top: physical address of the top page, 0 for an empty map
 * @top_sum: checksum of the top page
 * @nr_keys: indexes present
 * @nr_runs: runs, each counted once however it is stored
 * @nr_pages: pages the map occupies
 * @page_size: bytes of a map page
 * @reserved: 0
 * @sum: checksum of everything above
 */
struct prmap_root_ser {
	u32 magic;
	u16 version;
	u8 kind;
	u8 height;
	u64 top;
	u64 top_sum;
	u64 nr_keys;
	u64 nr_runs;
	u64 nr_pages;
	u32 page_size;
	u32 reserved;
	u64 sum;
};

static_assert(sizeof(struct prmap_root_ser) == 64);
static_assert(offsetof(struct prmap_root_ser, magic) == 0);
static_assert(offsetof(struct prmap_root_ser, version) == 4);
static_assert(offsetof(struct prmap_root_ser, kind) == 6);
static_assert(offsetof(struct prmap_root_ser, height) == 7);
static_assert(offsetof(struct prmap_root_ser, top) == 8);
static_assert(offsetof(struct prmap_root_ser, top_sum) == 16);
static_assert(offsetof(struct prmap_root_ser, nr_keys) == 24);
static_assert(offsetof(struct prmap_root_ser, nr_runs) == 32);
static_assert(offsetof(struct prmap_root_ser, nr_pages) == 40);
static_assert(offsetof(struct prmap_root_ser, page_size) == 48);
static_assert(offsetof(struct prmap_root_ser, reserved) == 52);
static_assert(offsetof(struct prmap_root_ser, sum) == 56);

/**
 * struct prmap_limits - what a committed map may contain
 * @max_index: highest index allowed
 * @min_pfn: lowest frame number allowed
 * @max_pfn: highest frame number allowed
 * @max_order: highest folio order allowed
 * @pfn_ok: may be NULL; asked once for each frame whether it may belong to the map,
 *          together for those that follow each other in memory
 * @page_ok: asked once for each page of the map, before the first byte of it is
 *           read, whether @phys is memory that can hold a map page. A page that
 *           two parents share is asked about twice: answering false to the
 *           second call is how the caller refuses shared bitmap pages, which
 *           have no header of their own to tell them apart.
 * @ctx: handed to @pfn_ok and @page_ok
 */
struct prmap_limits {
	u64 max_index;
	u64 min_pfn;
	u64 max_pfn;
	u8 max_order;
	bool (*pfn_ok)(void *ctx, u64 pfn, u64 nr);
	bool (*page_ok)(void *ctx, u64 phys);
	void *ctx;
};

/**
 * struct prmap_iter - a place in a map
 *
 * All fields are private. The map may change between two reads: the iterator
 * then finds its place again by index.
 */
struct prmap_iter {
	/* private: */
	const struct prmap *map;
	u64 from;		/* everything below is already reported */
	u64 generation;
	u64 hi;
	u64 word;		/* what is left of the word at pos of a bitmap */
	void *leaf;		/* NULL: descend from the top */
	const void *entry;
	u32 bitmap;
	u32 pos;
};

/**
 * prmap_init - make an empty map
 * @map: the map, not in use
 * @kind: what it is keyed by
 * @ops: where its pages come from; stays in use
 * @ctx: handed to @ops
 *
 * An empty map occupies no page.
 */
void prmap_init(struct prmap *map, enum prmap_kind kind,
		const struct prmap_ops *ops, void *ctx);

/**
 * prmap_destroy - give every page back
 * @map: the map; empty afterwards and ready for use
 */
void prmap_destroy(struct prmap *map);

/**
 * prmap_set - add a run
 * @map: the map
 * @run: the run; for a PRMAP_SET @run->pfn must equal @run->index
 *
 * Takes the pages it may need before it changes anything.
 *
 * Return: 0; -EEXIST when any index of the run is present; -EINVAL for a length
 * of 0, a bad order, a misaligned or overflowing run; -ENOMEM. The map is
 * unchanged after an error.
 */
int prmap_set(struct prmap *map, const struct prmap_run *run);

/**
 * prmap_clear - remove a range of indexes
 * @map: the map
 * @index: first index
 * @nr: number of indexes; what is absent among them does not matter
 *
 * Return: 0; -EINVAL when the range overflows or would cut a folio; -ENOMEM
 * when cutting a run in two needs a page and there is none. The map is
 * unchanged after an error.
 */
int prmap_clear(struct prmap *map, u64 index, u64 nr);

/**
 * prmap_set_many - add several runs
 * @map: the map
 * @runs: the runs; ascending order is fastest, any order works
 * @nr: how many
 * @done: how many were added, also after an error; may be NULL
 *
 * Return: 0, or the error that prmap_set() gives for @runs[*@done]. Runs before
 * that one stay.
 */
int prmap_set_many(struct prmap *map, const struct prmap_run *runs, size_t nr,
		   size_t *done);

/**
 * prmap_clear_many - remove several ranges
 * @map: the map
 * @runs: the ranges; only index and nr are read
 * @nr: how many
 * @done: how many were removed, also after an error; may be NULL
 *
 * Return: 0, or the error that prmap_clear() gives for @runs[*@done]. Ranges
 * before that one stay removed.
 */
int prmap_clear_many(struct prmap *map, const struct prmap_run *runs,
		     size_t nr, size_t *done);

/**
 * prmap_test - is an index present?
 * @map: the map
 * @index: the index
 *
 * Cheaper than prmap_lookup(), which also finds where the run begins and ends.
 *
 * Return: true when it is.
 */
bool prmap_test(const struct prmap *map, u64 index);

/**
 * prmap_test_range - are all indexes of a range present?
 * @map: the map
 * @index: first index
 * @nr: number of indexes
 *
 * Return: true when they are; also for a range of length 0.
 */
bool prmap_test_range(const struct prmap *map, u64 index, u64 nr);

/**
 * prmap_lookup - find the run that contains an index
 * @map: the map
 * @index: the index
 * @run: the whole run, from its first index on; untouched on error
 *
 * Return: 0, or -ENOENT when the index is absent.
 */
int prmap_lookup(const struct prmap *map, u64 index, struct prmap_run *run);

/**
 * prmap_next - find the first present index at or after another
 * @map: the map
 * @from: where to begin
 * @run: the run found, without the part before @from; untouched when none
 *
 * A run whose folios begin before @from starts at @from all the same: its first
 * index is then not a multiple of 1 << order.
 *
 * Return: false when nothing is present at or after @from.
 */
bool prmap_next(const struct prmap *map, u64 from, struct prmap_run *run);

/**
 * prmap_next_absent - find the first absent range at or after an index
 * @map: the map
 * @from: where to begin
 * @index: first absent index, at or after @from
 * @nr: number of absent indexes up to the next present one, or to the end of
 *      what the kind of map can hold
 *
 * Return: false, with the outputs untouched, when nothing is absent.
 */
bool prmap_next_absent(const struct prmap *map, u64 from, u64 *index, u64 *nr);

/**
 * prmap_iter_init - begin to iterate
 * @it: the iterator
 * @map: the map
 * @from: first index of interest
 */
void prmap_iter_init(struct prmap_iter *it, const struct prmap *map, u64 from);

/**
 * prmap_iter_read - read the next runs in ascending order
 * @it: the iterator
 * @runs: where to store them; the first is clipped as by prmap_next()
 * @max: room in @runs, at least 1
 *
 * Return: how many were stored; less than @max only at the end of the map.
 */
size_t prmap_iter_read(struct prmap_iter *it, struct prmap_run *runs,
		       size_t max);

/**
 * prmap_nr_keys - count the indexes present
 * @map: the map
 *
 * Return: the number, kept up to date by every update.
 */
static inline u64 prmap_nr_keys(const struct prmap *map)
{
	return map->nr_keys;
}

/**
 * prmap_nr_runs - count the runs
 * @map: the map
 *
 * Return: the number, kept up to date by every update.
 */
static inline u64 prmap_nr_runs(const struct prmap *map)
{
	return map->nr_runs;
}

/**
 * prmap_nr_pages - count the pages the map occupies
 * @map: the map
 *
 * Return: the number, kept up to date by every update.
 */
static inline u64 prmap_nr_pages(const struct prmap *map)
{
	return map->nr_pages;
}

/**
 * prmap_bytes - count the bytes in use
 * @map: the map
 *
 * Walks the pages above the leaves and the headers of the leaves.
 *
 * Return: bytes in use inside the pages plus the size of the root record; what
 * is free inside the pages is not counted, prmap_nr_pages() tells that.
 */
u64 prmap_bytes(const struct prmap *map);

/**
 * prmap_walk_pages - visit every page the map occupies
 * @map: the map
 * @fn: called with the physical address of each page, parents last; must not
 *      change the map. A page is not read any more when it is called. A result other
 *      than 0 ends the walk.
 * @ctx: handed to @fn
 *
 * Return: 0, or what @fn returned last.
 */
int prmap_walk_pages(const struct prmap *map, int (*fn)(void *ctx, u64 phys),
		     void *ctx);

/**
 * prmap_walk_some - visit the pages that a map occupies, a part at a time
 * @map: the map
 * @from: 0 to begin; where to go on next time; U64_MAX when nothing is left
 * @nr: leaves to visit, with the pages above them
 * @fn: as for prmap_walk_pages(), but in any order and a page may be read afterwards
 * @ctx: handed to @fn
 *
 * The map may change in between. Then a page can be visited twice, or be missed, when a leaf
 * comes to cover what lies before @from: the caller counts.
 *
 * Return: 0, or what @fn returned last.
 */
int prmap_walk_some(struct prmap *map, u64 *from, u32 nr,
		    int (*fn)(void *ctx, u64 phys), void *ctx);

/**
 * prmap_commit_some - bring some checksums up to date
 * @map: the map
 * @nr: how many at most
 *
 * What it does prmap_commit() has not to do, if the map does not change meanwhile.
 *
 * Return: true if none is left.
 */
bool prmap_commit_some(struct prmap *map, u32 nr);

/**
 * prmap_commit - bring the checksums up to date and write the root
 * @map: the map; may be used and committed again afterwards
 * @root: the root record; valid until the next update of @map
 *
 * Costs one checksum for each page changed since the last commit. Never fails,
 * takes no page.
 */
void prmap_commit(struct prmap *map, struct prmap_root_ser *root);

/**
 * prmap_check - validate a committed map without changing anything
 * @root: the root record, which may be any 64 bytes
 * @kind: the kind that is expected
 * @lim: what the map may contain
 * @reason: where to store a short constant text when the map is refused; may
 *          be NULL
 *
 * Needs the direct map and no allocator, so it works in early boot. Reads a
 * page only after @lim->page_ok agreed to it, and each page twice at most.
 *
 * Return: 0; -EPROTO for an unknown version, page size or kind; -EBADMSG for a
 * wrong checksum; -EINVAL for anything else that is wrong.
 */
int prmap_check(const struct prmap_root_ser *root, enum prmap_kind kind,
		const struct prmap_limits *lim, const char **reason);

/**
 * prmap_open - validate a committed map and take it over
 * @map: the map to fill in, not in use; untouched on error
 * @root: the root record, which may be any 64 bytes
 * @kind: the kind that is expected
 * @ops: where further pages come from and where pages go; stays in use
 * @ctx: handed to @ops
 * @lim: what the map may contain
 * @reason: as in prmap_check()
 *
 * On success the map owns the pages and can be read and changed. On error no
 * page is given back: they still belong to the caller.
 *
 * Return: as prmap_check().
 */
int prmap_open(struct prmap *map, const struct prmap_root_ser *root,
	       enum prmap_kind kind, const struct prmap_ops *ops, void *ctx,
	       const struct prmap_limits *lim, const char **reason);

#endif /* _LINUX_PRESERVE_RADIX_H */
