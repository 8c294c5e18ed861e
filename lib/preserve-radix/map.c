// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: updates.
 *
 * What lives here: making and destroying maps, setting and clearing runs.
 *
 * An update first tries the leaf of the last update (the finger), which is all
 * it needs as long as the run neither touches nor crosses the border of that
 * leaf. If the leaf is another one, the finger moves there. Everything else
 * takes the slow way: it checks, counts, takes the pages it may need, and then
 * cannot fail.
 */
#include "piece.h"

#define FAST_NO		1	/* the slow way decides */

void prmap_init(struct prmap *map, enum prmap_kind kind,
		const struct prmap_ops *ops, void *ctx)
{
	memset(map, 0, sizeof(*map));
	map->kind = kind;
	map->ops = ops;
	map->ctx = ctx;
	prmap_finger_drop(map);
}

static void destroy_below(struct prmap *map, void *page, u32 level)
{
	struct prmap_inner *node = page;
	u32 i;

	for (i = 0; level && i < node->head.nr; i++)
		destroy_below(map, phys_to_virt(node->entry[i].child),
			      level - 1);
	prmap_page_give(map, page);
}

void prmap_destroy(struct prmap *map)
{
	if (map->top)
		destroy_below(map, map->top, map->height - 1);
	prmap_init(map, map->kind, map->ops, map->ctx);
}

/* Move the finger to the leaf that covers @x. */
static bool finger_seek(struct prmap *map, u64 x)
{
	struct prmap_finger *finger = &map->finger;
	struct prmap_path path;
	u64 window;

	if (!map->top)
		return false;
	prmap_tree_find(map, x, &path);
	prmap_tree_dirty(map, &path);
	finger->leaf = path.leaf;
	finger->entry = path.entry;
	finger->lo = path.lo;
	finger->hi = path.hi;
	finger->bitmap = path.entry && path.entry->type == PRMAP_BITMAP;
	if (finger->bitmap) {
		window = prmap_window(path.entry->key);
		finger->lo = max(path.lo, window);
		finger->hi = min(path.hi, window + PRMAP_BITS);
		finger->attr = prmap_entry_attr(path.entry);
		finger->delta = path.entry->delta;
	}
	return finger->lo < finger->hi && x >= finger->lo && x < finger->hi;
}

static int set_fast_bits(struct prmap *map, const struct prmap_piece *piece)
{
	struct prmap_entry *entry = map->finger.entry;
	u64 *bits = map->finger.leaf, mask;
	u32 from = piece->index & (PRMAP_BITS - 1);
	u32 end = from + (piece->end - piece->index);
	int runs;

	if (piece->attr != map->finger.attr || piece->delta != map->finger.delta)
		return FAST_NO;
	if (end == from + 1) {
		mask = 1ULL << (from % 64);
		if (bits[from / 64] & mask)
			return -EEXIST;
		bits[from / 64] |= mask;
	} else {
		if (prmap_bits_any(bits, from, end))
			return -EEXIST;
		prmap_bits_set(bits, from, end);
	}
	/* The bits on either side are in the same bitmap: see set_fast(). */
	runs = 1 - prmap_bits_test(bits, from - 1) - prmap_bits_test(bits, end);
	entry->nr_keys += end - from;
	entry->nr_runs += runs;
	map->nr_keys += end - from;
	map->nr_runs += runs;
	map->generation++;
	if (unlikely(runs < 0 && entry->nr_runs < prmap_sparse(map->kind))) {
		prmap_finger_drop(map);
		prmap_tree_settle(map, piece->index);
	}
	return 0;
}

static int set_fast_runs(struct prmap *map, const struct prmap_piece *piece)
{
	int joined = prmap_leaf_add(map->finger.leaf, piece);

	if (joined < 0)
		return joined == -ENOSPC ? FAST_NO : joined;
	map->nr_keys += piece->end - piece->index;
	map->nr_runs += 1 - joined;
	map->generation++;
	return 0;
}

static __always_inline int set_fast(struct prmap *map,
				    const struct prmap_piece *piece)
{
	const struct prmap_finger *finger = &map->finger;

	if (piece->index <= finger->lo || piece->end >= finger->hi)
		return FAST_NO;
	if (finger->bitmap)
		return set_fast_bits(map, piece);
	return set_fast_runs(map, piece);
}

/* Pages that setting @piece takes at most. */
static u32 set_need(struct prmap *map, const struct prmap_piece *piece)
{
	u64 window = prmap_window(piece->index);
	u64 max_nr = prmap_piece_max(map->kind, piece->attr);
	u64 pieces = (piece->end - piece->index - 1) / max_nr + 1;
	struct prmap_leaf *leaf;
	struct prmap_path path;
	u32 leaves, need, d;

	if (!map->top && pieces == 1)
		return 1;
	prmap_tree_find(map, piece->index, &path);
	leaf = path.leaf;
	if (pieces == 1 && !(path.entry && path.entry->type == PRMAP_BITMAP)) {
		if (leaf->head.nr + PRMAP_PIECE_WORDS <= PRMAP_LEAF_CAP)
			return 0;
		/*
		 * The full leaf may become a bitmap first, and the piece then
		 * lie beside its window, or need a leaf cut out of it.
		 */
		return 6 + prmap_tree_need(&path, 6);
	}
	if (pieces == 1 && window == prmap_window(piece->end - 1) &&
	    window == prmap_window(path.entry->key) &&
	    prmap_entry_attr(path.entry) == piece->attr &&
	    path.entry->delta == piece->delta)
		return 0;
	/* Two places, or many pieces, each half of a leaf at worst. */
	leaves = 6 + pieces * PRMAP_PIECE_WORDS * 2 / (PRMAP_LEAF_CAP / 2);
	need = leaves;
	for (d = 0; d <= path.depth + 1; d++) {
		leaves = leaves / (PRMAP_INNER_CAP / 2) + 2;
		need += leaves;
	}
	return need;
}

/*
 * A place for indexes outside of the window of the bitmap that covers them: the
 * next leaf if it can be had, or a new one.
 */
static void set_beside(struct prmap *map, struct prmap_path *path, u64 index)
{
	struct prmap_inner *node = path->at[path->depth - 1].node;
	u32 slot = path->at[path->depth - 1].slot;
	struct prmap_entry *next = &node->entry[slot + 1];
	u64 window = prmap_window(path->entry->key);
	struct prmap_entry entry = {
		.key = window + PRMAP_BITS,
		.type = PRMAP_RUNS,
		.dirty = 1,
	};
	void *leaf;

	if (index >= window && slot + 1 < node->head.nr &&
	    next->type == PRMAP_RUNS) {
		next->key = entry.key;
		return;
	}
	leaf = prmap_page_take(map);
	prmap_page_init(leaf, map->kind, 0);
	entry.child = virt_to_phys(leaf);
	if (index < window) {
		/* Only the first entry of a page begins before its window. */
		path->entry->key = window;
		entry.key = path->lo;
		prmap_tree_insert(map, path, slot, &entry);
	} else {
		prmap_tree_insert(map, path, slot + 1, &entry);
	}
}

static void set_bits(struct prmap_path *path, struct prmap_piece *piece)
{
	struct prmap_entry *entry = path->entry;
	u64 window = prmap_window(entry->key);
	u32 from = piece->index - window, end = piece->end - window;

	prmap_bits_set(path->leaf, from, end);
	entry->nr_keys += end - from;
	entry->nr_runs++;
	if (from && prmap_bits_test(path->leaf, from - 1))
		entry->nr_runs--;
	if (end < PRMAP_BITS && prmap_bits_test(path->leaf, end))
		entry->nr_runs--;
}

/*
 * Set the beginning of @piece, or only make room for it. Moves piece->index to
 * what is still to be set.
 */
static void set_part(struct prmap *map, struct prmap_piece *piece)
{
	struct prmap_piece part = *piece;
	struct prmap_path path;
	u64 window, nr;

	if (!map->top) {
		map->top = prmap_page_take(map);
		prmap_page_init(map->top, map->kind, 0);
		map->height = 1;
	}
	prmap_tree_find(map, part.index, &path);
	prmap_tree_dirty(map, &path);
	if (!path.entry || path.entry->type != PRMAP_BITMAP) {
		nr = prmap_piece_max(map->kind, part.attr);
		part.end = part.index + min(nr, part.end - part.index);
		prmap_tree_raise(&path, part.end);
		if (prmap_leaf_add(path.leaf, &part) < 0)
			prmap_leaf_make_room(map, &path, &part);
		else
			piece->index = part.end;
		return;
	}
	window = prmap_window(path.entry->key);
	if (part.index - window >= PRMAP_BITS) {
		set_beside(map, &path, part.index);
		return;
	}
	part.end = min(part.end, window + PRMAP_BITS);
	prmap_tree_raise(&path, part.end);
	if (prmap_entry_attr(path.entry) != part.attr ||
	    path.entry->delta != part.delta) {
		prmap_bitmap_carve(map, &path, &part);
		return;
	}
	set_bits(&path, &part);
	piece->index = part.end;
	if (path.entry->nr_runs < prmap_sparse(map->kind))
		prmap_tree_settle(map, part.index);
}

static int set_slow(struct prmap *map, const struct prmap_piece *new)
{
	struct prmap_piece piece = *new, other;
	u64 runs = 1;

	if (prmap_piece_from(map, piece.index, &other) &&
	    other.index < piece.end)
		return -EEXIST;
	if (piece.index && prmap_piece_at(map, piece.index - 1, &other) &&
	    prmap_joins(&other, &piece))
		runs--;
	if (prmap_piece_at(map, piece.end, &other) &&
	    prmap_joins(&piece, &other))
		runs--;
	if (prmap_pages_reserve(map, set_need(map, &piece)))
		return -ENOMEM;
	prmap_finger_drop(map);
	map->generation++;
	map->nr_keys += piece.end - piece.index;
	map->nr_runs += runs;
	while (piece.index < piece.end)
		set_part(map, &piece);
	prmap_pages_unreserve(map);
	finger_seek(map, new->index);
	return 0;
}

static bool run_is_valid(const struct prmap *map, const struct prmap_run *run)
{
	u64 end = prmap_index_end(map->kind), mask;

	if (!run->nr || run->nr > PRMAP_PFN_END || run->index >= end ||
	    run->nr > end - run->index || run->pfn >= PRMAP_PFN_END ||
	    run->nr > PRMAP_PFN_END - run->pfn)
		return false;
	if (map->kind == PRMAP_SET && run->pfn != run->index)
		return false;
	if (likely(!run->order))
		return true;
	if (run->order > PRMAP_MAX_ORDER)
		return false;
	mask = (1ULL << run->order) - 1;
	return !((run->index | run->pfn | run->nr) & mask);
}

/* A run of order 0 that fits into a word of the bitmap of the last update. */
static __always_inline bool set_word(struct prmap *map,
				     const struct prmap_run *run)
{
	struct prmap_finger *finger = &map->finger;
	struct prmap_entry *entry = finger->entry;
	u32 from = run->index & (PRMAP_BITS - 1), nr = run->nr;
	u64 *bits = finger->leaf, mask, word;
	int runs;

	if (finger->attr != run->flags || from % 64 + nr > 64 ||
	    run->pfn - run->index != finger->delta ||
	    entry->nr_runs <= PRMAP_MAX_SPARSE)
		return false;
	mask = ~0ULL >> (64 - nr) << (from % 64);
	word = bits[from / 64];
	if (word & mask)
		return false;
	runs = 1 - prmap_bits_test(bits, from - 1) -
	       prmap_bits_test(bits, from + nr);
	bits[from / 64] = word | mask;
	entry->nr_keys += nr;
	entry->nr_runs += runs;
	map->nr_keys += nr;
	map->nr_runs += runs;
	map->generation++;
	return true;
}

/*
 * The two cases that have to be fast: some pages of order 0 among others when
 * memory is fragmented, or right behind the last ones when it is not. What the
 * leaf can hold, next to what is in it, is valid.
 */
static __always_inline bool set_fastest(struct prmap *map,
					const struct prmap_run *run)
{
	const struct prmap_finger *finger = &map->finger;

	if (run->order || run->nr - 1 >= 64 || run->index <= finger->lo ||
	    run->index >= finger->hi || run->nr >= finger->hi - run->index)
		return false;
	if (finger->bitmap)
		return set_word(map, run);
	if (run->pfn != run->index ||
	    !prmap_leaf_append(finger->leaf, run->index, run->index + run->nr,
			       run->flags))
		return false;
	map->nr_keys += run->nr;
	map->generation++;
	return true;
}

/* Kept apart so that the fastest way needs no stack. */
static noinline int set_any(struct prmap *map, const struct prmap_run *run)
{
	struct prmap_piece piece;
	int ret;

	if (unlikely(!run_is_valid(map, run)))
		return -EINVAL;
	piece.index = run->index;
	piece.end = run->index + run->nr;
	piece.delta = run->pfn - run->index;
	piece.attr = prmap_attr(run->order, run->flags);
	ret = set_fast(map, &piece);
	if (likely(ret != FAST_NO))
		return ret;
	if (finger_seek(map, piece.index)) {
		ret = set_fast(map, &piece);
		if (ret != FAST_NO)
			return ret;
	}
	return set_slow(map, &piece);
}

static __always_inline int set_one(struct prmap *map,
				   const struct prmap_run *run)
{
	if (likely(set_fastest(map, run)))
		return 0;
	return set_any(map, run);
}

int prmap_set(struct prmap *map, const struct prmap_run *run)
{
	return set_one(map, run);
}

int prmap_set_many(struct prmap *map, const struct prmap_run *runs, size_t nr,
		   size_t *done)
{
	size_t i;
	int err = 0;

	for (i = 0; i < nr; i++) {
		err = set_one(map, &runs[i]);
		if (err)
			break;
	}
	if (done)
		*done = i;
	return err;
}

static int clear_fast_bits(struct prmap *map, u32 from, u32 end)
{
	struct prmap_entry *entry = map->finger.entry;
	u64 *bits = map->finger.leaf;
	u32 keys = 1, runs = 1;

	/* Whether a folio is cut is a question for the slow way. */
	if (entry->order)
		return FAST_NO;
	if (end != from + 1)
		prmap_bits_count(bits, from, end, &keys, &runs);
	else if (!prmap_bits_test(bits, from))
		return 0;
	/* What is left of the first and of the last run stays a run. */
	runs -= prmap_bits_test(bits, from - 1) && prmap_bits_test(bits, from);
	runs -= prmap_bits_test(bits, end - 1) && prmap_bits_test(bits, end);
	prmap_bits_clear(bits, from, end);
	entry->nr_keys -= keys;
	entry->nr_runs -= runs;
	map->nr_keys -= keys;
	map->nr_runs -= (int)runs;
	map->generation++;
	if (entry->nr_runs < prmap_sparse(map->kind)) {
		prmap_finger_drop(map);
		prmap_tree_settle(map, prmap_window(entry->key) + from);
	}
	return 0;
}

static int clear_fast_runs(struct prmap *map, u64 index, u64 end)
{
	struct prmap_leaf *leaf = map->finger.leaf;
	u64 keys, runs;
	int err = prmap_leaf_del(leaf, index, end, &keys, &runs);
	u32 nr = leaf->head.nr;

	if (err)
		return err == -ENOSPC ? FAST_NO : err;
	map->nr_keys -= keys;
	map->nr_runs -= runs;
	map->generation++;
	/* Trying to join at each removal would cost more than it gains. */
	if (!nr || (nr < PRMAP_LEAF_LOW && !(nr % 16))) {
		prmap_finger_drop(map);
		prmap_tree_settle(map, index);
	}
	return 0;
}

static __always_inline int clear_fast(struct prmap *map, u64 index, u64 end)
{
	const struct prmap_finger *finger = &map->finger;

	if (index <= finger->lo || end >= finger->hi)
		return FAST_NO;
	if (finger->bitmap)
		return clear_fast_bits(map, index & (PRMAP_BITS - 1),
				       (index & (PRMAP_BITS - 1)) + end - index);
	return clear_fast_runs(map, index, end);
}

static void clear_bits(struct prmap_path *path, u64 from, u64 end)
{
	struct prmap_entry *entry = path->entry;
	u64 window = prmap_window(entry->key);

	/* What is dropped as a whole is not worth clearing. */
	if (from <= max(path->lo, window) &&
	    end >= min(path->hi, window + PRMAP_BITS)) {
		entry->nr_keys = 0;
		return;
	}
	from = max(from, window);
	end = min(end, window + PRMAP_BITS);
	if (from >= end)
		return;
	prmap_bits_clear(path->leaf, from - window, end - window);
	prmap_bits_count(path->leaf, 0, PRMAP_BITS, &entry->nr_keys,
			 &entry->nr_runs);
}

/* Clear [from, end) in one leaf. Returns where the next leaf begins. */
static u64 clear_part(struct prmap *map, u64 from, u64 end)
{
	struct prmap_path path;
	u64 keys, runs, next;

	prmap_tree_find(map, from, &path);
	prmap_tree_dirty(map, &path);
	next = path.hi;
	if (path.entry && path.entry->type == PRMAP_BITMAP) {
		clear_bits(&path, from, end);
	} else if (from <= path.lo && end >= path.hi) {
		((struct prmap_head *)path.leaf)->nr = 0;
	} else if (prmap_leaf_del(path.leaf, from, end, &keys, &runs)) {
		struct prmap_piece piece;

		/* The second half of what is cut in two takes room. */
		prmap_piece_at(map, from, &piece);
		prmap_leaf_make_room(map, &path, &piece);
		return from;
	}
	prmap_tree_settle(map, from);
	return next;
}

/* Pages that clearing [index, end) takes at most. */
static u32 clear_need(struct prmap *map, u64 index, u64 end)
{
	struct prmap_path path;
	struct prmap_leaf *leaf;

	prmap_tree_find(map, index, &path);
	leaf = path.leaf;
	if ((path.entry && path.entry->type == PRMAP_BITMAP) || end >= path.hi ||
	    leaf->head.nr + PRMAP_PIECE_WORDS <= PRMAP_LEAF_CAP)
		return 0;
	/* What is left and right of the window of a new bitmap, or half of the leaf. */
	return 2 + prmap_tree_need(&path, 2);
}

/* Does the border of a range at @x cut a folio? */
static bool cuts_folio(const struct prmap *map, u64 x, bool *cuts_run)
{
	struct prmap_piece left, right;

	*cuts_run = false;
	if (!x || !prmap_piece_at(map, x, &right))
		return false;
	left = right;
	if (right.index == x && !prmap_piece_at(map, x - 1, &left))
		return false;
	*cuts_run = right.index < x || prmap_joins(&left, &right);
	return right.index < x &&
	       x & ((1ULL << prmap_attr_order(right.attr)) - 1);
}

static int clear_slow(struct prmap *map, u64 index, u64 end)
{
	bool before, after;
	u64 keys, runs;

	if (cuts_folio(map, index, &before) || cuts_folio(map, end, &after))
		return -EINVAL;
	prmap_count(map, index, end, &keys, &runs);
	if (!keys)
		return 0;
	if (prmap_pages_reserve(map, clear_need(map, index, end)))
		return -ENOMEM;
	prmap_finger_drop(map);
	map->generation++;
	map->nr_keys -= keys;
	map->nr_runs += before + after - runs;
	while (map->top && index < end)
		index = clear_part(map, index, end);
	prmap_pages_unreserve(map);
	return 0;
}

static __always_inline int clear_one(struct prmap *map, u64 index, u64 nr)
{
	u64 end = index + nr;
	int ret;

	if (unlikely(end < index))
		return -EINVAL;
	if (unlikely(end > prmap_index_end(map->kind)))
		end = prmap_index_end(map->kind);
	if (unlikely(index >= end))
		return 0;
	ret = clear_fast(map, index, end);
	if (likely(ret != FAST_NO))
		return ret;
	if (finger_seek(map, index)) {
		ret = clear_fast(map, index, end);
		if (ret != FAST_NO)
			return ret;
	}
	return clear_slow(map, index, end);
}

int prmap_clear(struct prmap *map, u64 index, u64 nr)
{
	return clear_one(map, index, nr);
}

int prmap_clear_many(struct prmap *map, const struct prmap_run *runs,
		     size_t nr, size_t *done)
{
	size_t i;
	int err = 0;

	for (i = 0; i < nr; i++) {
		err = clear_one(map, runs[i].index, runs[i].nr);
		if (err)
			break;
	}
	if (done)
		*done = i;
	return err;
}
