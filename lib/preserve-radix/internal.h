/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The preserve map: format of the pages, and what its files offer each other.
 *
 * A map is a tree of pages. All leaves are at the same depth. A page is one of
 *
 * run leaf, the stored parts of runs ("pieces") in ascending order:
 *
 *   0        4    6   7   8    12   16      24
 *   +--------+----+---+---+----+----+-------+-------+--   --+-------+
 *   | magic  |ver |lvl|knd| nr | 0  | word  | word  |  ...  | word  |  unused
 *   +--------+----+---+---+----+----+-------+-------+--   --+-------+
 *                  0         words
 *
 *   PRMAP_SET, one word, and a second one when more than 1,024 folios:
 *
 *    63                                 24 23 22       13 12   8 7     0
 *   +-------------------------------------+--+-----------+------+-------+
 *   | pfn                                 | 0| folios-1, | order| flags |
 *   |                                     |  | low bits  |      |       |
 *   +-------------------------------------+--+-----------+------+-------+
 *   | the same pfn                        | 1| folios-1, 23 high bits   |
 *   +-------------------------------------+--+--------------------------+
 *
 *   PRMAP_FILE, two words:
 *
 *    63                                              12 11   7 6        0
 *   +--------------------------------------------------+------+----------+
 *   | index                                            | order| folios-1,|
 *   |                                                  |      | 7 high b.|
 *   +-------------------------------------+------------+---+--+----------+
 *   | pfn                                 | folios-1, 16 low | flags     |
 *   +-------------------------------------+------------------+-----------+
 *    63                                 24 23               8 7         0
 *
 * bitmap leaf, a whole page of bits: one aligned window of PRMAP_BITS indexes,
 * all of the same order, flags and difference between pfn and index, which are
 * in the entry above. It has no room for a header.
 *
 * inner page, level 1 and up:
 *
 *   0        4    6   7   8    12   16        64        112
 *   +--------+----+---+---+----+----+---------+---------+--   --+
 *   | magic  |ver |lvl|knd| nr | 0  | entry   | entry   |  ...  |  unused
 *   +--------+----+---+---+----+----+---------+---------+--   --+
 *                          entries
 *   entry:
 *   0       8       16      24      32   36   40   41  42  43  44   48
 *   +-------+-------+-------+-------+----+----+----+---+---+---+----+
 *   | key   | child | sum   | delta |keys|runs|type|ord|flg|drt| 0  |
 *   +-------+-------+-------+-------+----+----+----+---+---+---+----+
 *            phys            bitmap only: ---------      ------
 *
 * The checksum of a page is in the entry above it, because a bitmap leaf has
 * no room for it; a root record thus vouches for the whole map. It is xxh64
 * over the bytes in use, seeded with the physical address of the page, so that
 * a page in a wrong place is noticed. "drt" marks checksums that are out of
 * date; a committed map has none.
 *
 * Coverage. An entry is responsible for the indexes from its key to the key of
 * the next one, the last for all up to where its page's responsibility ends.
 * The first entry of a page begins where its page begins, whatever its key
 * says; of its key only the window of a bitmap counts. What a leaf stores lies
 * inside its coverage, a bitmap also inside the window that its key is in, so a
 * run that crosses the border between leaves is stored in pieces. No leaf and
 * no inner page is ever empty.
 *
 * Locals: @x an index, @pos a position in words of a run leaf, @path the way
 * from the top to a leaf, @lo and @hi a coverage, @end one past the last.
 */
#ifndef _PRMAP_INTERNAL_H
#define _PRMAP_INTERNAL_H

#include "env.h"
#include <linux/preserve_radix.h>

#define PRMAP_PAGE_SIZE		((size_t)1 << PRMAP_SHIFT)
#define PRMAP_BITS		(PRMAP_PAGE_SIZE * 8)
#define PRMAP_BIT_WORDS		(PRMAP_PAGE_SIZE / 8)

#define PRMAP_PAGE_MAGIC	0x67704d50U	/* "PMpg" in memory */
#define PRMAP_MAX_HEIGHT	16

enum prmap_type {
	PRMAP_RUNS = 1,
	PRMAP_BITMAP = 2,
	PRMAP_INNER = 3,
};

struct prmap_head {
	u32 magic;
	u16 version;
	u8 level;		/* 0: run leaf */
	u8 kind;
	u32 nr;			/* words or entries */
	u32 reserved;
};

struct prmap_leaf {
	struct prmap_head head;
	u64 word[];
};

struct prmap_entry {
	u64 key;
	u64 child;
	u64 sum;
	u64 delta;		/* pfn - index, modulo 2^64 */
	u32 nr_keys;
	u32 nr_runs;
	u8 type;
	u8 order;
	u8 flags;
	u8 dirty;
	u32 reserved;
};

struct prmap_inner {
	struct prmap_head head;
	struct prmap_entry entry[];
};

static_assert(sizeof(struct prmap_head) == 16);
static_assert(offsetof(struct prmap_head, version) == 4);
static_assert(offsetof(struct prmap_head, level) == 6);
static_assert(offsetof(struct prmap_head, kind) == 7);
static_assert(offsetof(struct prmap_head, nr) == 8);
static_assert(sizeof(struct prmap_entry) == 48);
static_assert(offsetof(struct prmap_entry, child) == 8);
static_assert(offsetof(struct prmap_entry, sum) == 16);
static_assert(offsetof(struct prmap_entry, delta) == 24);
static_assert(offsetof(struct prmap_entry, nr_keys) == 32);
static_assert(offsetof(struct prmap_entry, nr_runs) == 36);
static_assert(offsetof(struct prmap_entry, type) == 40);
static_assert(offsetof(struct prmap_entry, dirty) == 43);
static_assert(offsetof(struct prmap_leaf, word) == 16);
static_assert(offsetof(struct prmap_inner, entry) == 16);

#define PRMAP_LEAF_CAP	((PRMAP_PAGE_SIZE - sizeof(struct prmap_head)) / 8)
#define PRMAP_INNER_CAP	((PRMAP_PAGE_SIZE - sizeof(struct prmap_head)) / \
			 sizeof(struct prmap_entry))

/* A run leaf turns into a bitmap when so many of its words would fit in one. */
#define PRMAP_DENSE		(PRMAP_LEAF_CAP * 3 / 4)
/* A page with less than this tries to join a neighbour ... */
#define PRMAP_LEAF_LOW		(PRMAP_LEAF_CAP / 4)
#define PRMAP_INNER_LOW		(PRMAP_INNER_CAP / 4)
/* ... if both together have no more than this: room for the next updates. */
#define PRMAP_LEAF_JOIN		(PRMAP_LEAF_CAP * 3 / 4)
#define PRMAP_INNER_JOIN	(PRMAP_INNER_CAP * 3 / 4)
/* Upper limit of prmap_sparse(), which sizes an array on the stack. */
#define PRMAP_MAX_SPARSE	127

/* Words that one piece takes at most, so also what an update adds to a leaf. */
#define PRMAP_PIECE_WORDS	2

/* A stored part of a run: the unit of all internal work. */
struct prmap_piece {
	u64 index;
	u64 end;
	u64 delta;		/* pfn - index, modulo 2^64 */
	u32 attr;		/* order << 8 | flags */
};

/* The way to a leaf, for updates; at[depth - 1] is the page above the leaf. */
struct prmap_path {
	struct {
		struct prmap_inner *node;
		u32 slot;
	} at[PRMAP_MAX_HEIGHT];
	u32 depth;
	void *leaf;
	struct prmap_entry *entry;	/* NULL when the leaf is the top page */
	u64 lo;				/* coverage, a bitmap's window aside */
	u64 hi;
};

/* A leaf found for reading. */
struct prmap_view {
	void *leaf;			/* NULL: the map is empty */
	const struct prmap_entry *entry;
	u64 lo;				/* coverage, inside a bitmap's window */
	u64 hi;
	u64 next;			/* where the next leaf's coverage begins */
	bool bitmap;
};

static inline u32 prmap_attr(u8 order, u8 flags)
{
	return (u32)order << 8 | flags;
}

static inline u8 prmap_attr_order(u32 attr)
{
	return attr >> 8;
}

static inline bool prmap_joins(const struct prmap_piece *a,
			       const struct prmap_piece *b)
{
	return a->end == b->index && a->attr == b->attr && a->delta == b->delta;
}

static inline u64 prmap_index_end(enum prmap_kind kind)
{
	return kind == PRMAP_SET ? PRMAP_PFN_END : PRMAP_INDEX_END;
}

static inline u64 prmap_window(u64 x)
{
	return x & ~(u64)(PRMAP_BITS - 1);
}

static inline u32 prmap_entry_attr(const struct prmap_entry *entry)
{
	return prmap_attr(entry->order, entry->flags);
}

/* A bitmap with fewer runs than this turns into a run leaf. */
static inline u32 prmap_sparse(enum prmap_kind kind)
{
	u32 runs = PRMAP_LEAF_CAP / (kind == PRMAP_SET ? 4 : 8);

	return runs < PRMAP_MAX_SPARSE ? runs : PRMAP_MAX_SPARSE;
}

static inline void prmap_finger_drop(struct prmap *map)
{
	map->finger.lo = 1;
	map->finger.hi = 0;
}

/* page.c: pages, checksums */
void prmap_page_init(void *page, enum prmap_kind kind, u32 level);
int prmap_pages_reserve(struct prmap *map, u32 nr);
void prmap_pages_unreserve(struct prmap *map);
void *prmap_page_take(struct prmap *map);
void prmap_page_give(struct prmap *map, void *page);
size_t prmap_page_used(const void *page, bool bitmap);
u64 prmap_page_sum(void *page, bool bitmap);

/* leaf.c: run leaves */
u64 prmap_piece_max(enum prmap_kind kind, u32 attr);
u32 prmap_piece_encode(enum prmap_kind kind, const struct prmap_piece *piece,
		       u64 *word);
int prmap_leaf_find(const struct prmap_leaf *leaf, u64 x);
u32 prmap_leaf_find_from(const struct prmap_leaf *leaf, u64 x);
int prmap_leaf_add(struct prmap_leaf *leaf, const struct prmap_piece *piece);
void prmap_leaf_push(struct prmap_leaf *leaf, const struct prmap_piece *piece);
int prmap_leaf_del(struct prmap_leaf *leaf, u64 from, u64 end, u64 *keys,
		   u64 *runs);
void prmap_leaf_concat(struct prmap_leaf *leaf, const struct prmap_leaf *right);

/* bitmap.c: bitmap leaves; positions are relative to the window */
void prmap_bits_set(u64 *bits, u32 from, u32 end);
void prmap_bits_clear(u64 *bits, u32 from, u32 end);
bool prmap_bits_any(const u64 *bits, u32 from, u32 end);
u32 prmap_bits_next_set(const u64 *bits, u32 from);
u32 prmap_bits_next_clear(const u64 *bits, u32 from);
u32 prmap_bits_run_start(const u64 *bits, u32 at);
u32 prmap_bits_prev_set(const u64 *bits, u32 end);
void prmap_bits_count(const u64 *bits, u32 from, u32 end, u32 *keys, u32 *runs);

static inline bool prmap_bits_test(const u64 *bits, u32 at)
{
	return bits[at / 64] >> (at % 64) & 1;
}

/* Slot of the entry that covers @x, which the page covers. */
static __always_inline u32 prmap_inner_slot(const struct prmap_inner *node,
					    u64 x)
{
	const struct prmap_entry *base = node->entry;
	u32 nr = node->head.nr;
	u64 guess = (x - base->key) >> (PRMAP_SHIFT + 3);

	/* Often all children are bitmaps, one window after the other. */
	if (guess < nr && (!guess || base[guess].key <= x) &&
	    (guess + 1 == nr || base[guess + 1].key > x))
		return guess;
	while (nr > 1) {
		u32 half = nr / 2;

		base = base[half].key <= x ? base + half : base;
		nr -= half;
	}
	return base - node->entry;
}

/* tree.c: the pages above the leaves */
void prmap_tree_find(struct prmap *map, u64 x, struct prmap_path *path);
void prmap_tree_dirty(struct prmap *map, const struct prmap_path *path);
void prmap_tree_raise(struct prmap_path *path, u64 end);
u32 prmap_tree_need(const struct prmap_path *path, u32 extra);
void prmap_tree_grow(struct prmap *map);
void prmap_tree_insert(struct prmap *map, struct prmap_path *path, u32 slot,
		       const struct prmap_entry *entry);

/* convert.c: leaves that split or change their form */
void prmap_leaf_make_room(struct prmap *map, struct prmap_path *path,
			  const struct prmap_piece *piece);
void prmap_bitmap_carve(struct prmap *map, struct prmap_path *path,
			const struct prmap_piece *piece);
void prmap_bitmap_to_runs(struct prmap *map, struct prmap_path *path);

/* settle.c: the form of the tree after something was removed */
void prmap_tree_settle(struct prmap *map, u64 x);

/* read.c */
bool prmap_view_find(const struct prmap *map, u64 x, struct prmap_view *view);
bool prmap_piece_at(const struct prmap *map, u64 x, struct prmap_piece *piece);
bool prmap_piece_from(const struct prmap *map, u64 x,
		      struct prmap_piece *piece);
void prmap_count(const struct prmap *map, u64 from, u64 end, u64 *keys,
		 u64 *runs);

/* commit.c */
u64 prmap_root_sum(const struct prmap_root_ser *root);

#endif /* _PRMAP_INTERNAL_H */
