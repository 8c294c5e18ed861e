// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: leaves that split or change their form.
 *
 * What lives here:
 *  - a full run leaf that is mostly one window of equal attributes gives that
 *    part to a bitmap; any other full run leaf splits in two;
 *  - a bitmap with few runs turns into a run leaf, in place;
 *  - a bitmap that cannot hold a piece, because its attributes differ, gives
 *    the surroundings of the place to a run leaf ("carving"), and keeps what is
 *    left and right of that if it is worth a page.
 *
 * Turning into a bitmap and back have limits far apart, so that a map that
 * changes around one of them does not pay for a conversion each time.
 */
#include "piece.h"

static void runs_entry(struct prmap_entry *entry, u64 key, void *leaf)
{
	memset(entry, 0, sizeof(*entry));
	entry->key = key;
	entry->child = virt_to_phys(leaf);
	entry->type = PRMAP_RUNS;
	entry->dirty = 1;
}

static void bitmap_entry(struct prmap_entry *entry, u64 key, u64 *bits,
			 const struct prmap_piece *like)
{
	memset(entry, 0, sizeof(*entry));
	entry->key = key;
	entry->child = virt_to_phys(bits);
	entry->delta = like->delta;
	entry->order = prmap_attr_order(like->attr);
	entry->flags = like->attr;
	entry->type = PRMAP_BITMAP;
	entry->dirty = 1;
	prmap_bits_count(bits, 0, PRMAP_BITS, &entry->nr_keys, &entry->nr_runs);
}

static u32 path_slot(const struct prmap_path *path)
{
	return path->at[path->depth - 1].slot;
}

/* A new run leaf with the words from @pos on, next to the old one. */
static void leaf_cut(struct prmap *map, struct prmap_path *path, u32 pos,
		     u64 key)
{
	struct prmap_leaf *leaf = path->leaf, *right = prmap_page_take(map);
	struct prmap_entry entry;

	prmap_page_init(right, map->kind, 0);
	right->head.nr = leaf->head.nr - pos;
	memcpy(right->word, &leaf->word[pos], right->head.nr * sizeof(u64));
	leaf->head.nr = pos;
	runs_entry(&entry, key, right);
	prmap_tree_insert(map, path, path_slot(path) + 1, &entry);
}

/* The part of a run leaf that a bitmap can take over. */
struct dense {
	u64 window;
	u32 first;		/* positions */
	u32 end;
	struct prmap_piece like;
};

/* First position that is not before @x, by where pieces begin. */
static u32 leaf_pos(const struct prmap_leaf *leaf, u64 x)
{
	struct prmap_piece piece;
	int pos = x ? prmap_leaf_find(leaf, x - 1) : -1;

	return pos < 0 ? 0 : pos + prmap_leaf_piece(leaf, pos, &piece);
}

/*
 * Is the window around @new worth a bitmap? Pieces that reach into the window
 * from before it or out of it stay pieces.
 */
static bool leaf_is_dense(const struct prmap_leaf *leaf,
			  const struct prmap_piece *new, struct dense *dense)
{
	struct prmap_piece piece;
	u64 end, pos;

	dense->window = prmap_window(new->index);
	end = dense->window + PRMAP_BITS;
	dense->first = leaf_pos(leaf, dense->window);
	dense->end = leaf_pos(leaf, end);
	dense->like = *new;
	if (dense->end - dense->first < PRMAP_DENSE)
		return false;
	for (pos = dense->first; pos < dense->end;) {
		u32 words = prmap_leaf_piece(leaf, pos, &piece);

		if (piece.end > end) {
			dense->end = pos;
			break;
		}
		if (piece.attr != new->attr || piece.delta != new->delta)
			return false;
		pos += words;
	}
	return dense->end - dense->first >= PRMAP_DENSE;
}

static u64 *dense_bits(struct prmap *map, const struct prmap_leaf *leaf,
		       const struct dense *dense)
{
	u64 *bits = prmap_page_take(map);
	struct prmap_piece piece;
	u32 pos = dense->first;

	memset(bits, 0, PRMAP_PAGE_SIZE);
	while (pos < dense->end) {
		pos += prmap_leaf_piece(leaf, pos, &piece);
		prmap_bits_set(bits, piece.index - dense->window,
			       piece.end - dense->window);
	}
	return bits;
}

static void leaf_to_bitmap(struct prmap *map, struct prmap_path *path,
			   const struct dense *dense)
{
	struct prmap_leaf *leaf = path->leaf;
	struct prmap_piece piece;
	struct prmap_entry entry;
	u64 *bits, lo, index;

	prmap_leaf_piece(leaf, dense->first, &piece);
	index = piece.index;
	if (dense->end < leaf->head.nr) {
		prmap_leaf_piece(leaf, dense->end, &piece);
		leaf_cut(map, path, dense->end, piece.index);
		prmap_tree_find(map, index, path);
		prmap_tree_dirty(map, path);
	}
	bits = dense_bits(map, leaf, dense);
	lo = max(dense->window, path->lo);
	if (!dense->first) {
		bitmap_entry(path->entry, lo, bits, &dense->like);
		prmap_page_give(map, leaf);
		return;
	}
	leaf->head.nr = dense->first;
	/* A piece may reach into the window: the bitmap begins after it. */
	prmap_leaf_piece(leaf, prmap_leaf_find(leaf, index - 1), &piece);
	bitmap_entry(&entry, max(lo, piece.end), bits, &dense->like);
	prmap_tree_insert(map, path, path_slot(path) + 1, &entry);
}

/*
 * Where to split a full leaf: at an end if that is where the new piece goes,
 * else at a border between windows if there is one near the middle, so that a
 * dense window ends up in one leaf, else in the middle.
 */
static u32 split_pos(const struct prmap_leaf *leaf,
		     const struct prmap_piece *new)
{
	u32 nr = leaf->head.nr, half = nr / 2, at, next;
	struct prmap_piece piece;

	at = leaf_pos(leaf, new->index);
	if (at == nr || (!at && prmap_leaf_start(leaf, 0) > new->index))
		return at;
	if (leaf->head.kind == PRMAP_FILE)
		half &= ~1U;
	/* Position half may be the second word of a piece. */
	prmap_leaf_piece(leaf, half, &piece);
	half = leaf_pos(leaf, piece.index);
	at = leaf_pos(leaf, prmap_window(piece.index));
	next = leaf_pos(leaf, prmap_window(piece.index) + PRMAP_BITS);
	if (half - at > next - half)
		at = next;
	return at >= nr / 4 && at <= nr - nr / 4 ? at : half;
}

/*
 * Make room in a full run leaf for @piece, which belongs into it, or is in it
 * and about to be cut in two.
 */
void prmap_leaf_make_room(struct prmap *map, struct prmap_path *path,
			  const struct prmap_piece *piece)
{
	struct prmap_leaf *leaf = path->leaf;
	struct prmap_piece right;
	struct dense dense;
	u64 key;
	u32 pos;

	if (!path->depth) {
		prmap_tree_grow(map);
		prmap_tree_find(map, piece->index, path);
		prmap_tree_dirty(map, path);
	}
	if (leaf_is_dense(leaf, piece, &dense)) {
		leaf_to_bitmap(map, path, &dense);
		return;
	}
	pos = split_pos(leaf, piece);
	key = piece->index;
	if (pos < leaf->head.nr) {
		prmap_leaf_piece(leaf, pos, &right);
		key = right.index;
	}
	leaf_cut(map, path, pos, key);
}

/* Append the runs of set bits in [from, end) to a run leaf. */
static void bits_to_leaf(const u64 *bits, u32 from, u32 end,
			 const struct prmap_entry *entry,
			 struct prmap_leaf *leaf)
{
	u64 window = prmap_window(entry->key);
	struct prmap_piece piece = {
		.delta = entry->delta,
		.attr = prmap_entry_attr(entry),
	};

	while ((from = prmap_bits_next_set(bits, from)) < end) {
		piece.index = window + from;
		from = prmap_bits_next_clear(bits, from);
		piece.end = window + from;
		prmap_leaf_push(leaf, &piece);
	}
}

/* A bitmap with few runs becomes a run leaf in the same page. */
void prmap_bitmap_to_runs(struct prmap *map, struct prmap_path *path)
{
	struct prmap_entry *entry = path->entry, old = *entry;
	/* On the stack: no larger than pages of this size need. */
	struct {
		typeof(__builtin_choose_expr(PRMAP_BITS < 1 << 16, (u16)0, (u32)0)) from, end;
	} run[PRMAP_MAX_SPARSE];
	u32 nr = 0, i, from = 0;
	u64 *bits = path->leaf, window = prmap_window(old.key);
	struct prmap_piece piece = {
		.delta = old.delta,
		.attr = prmap_entry_attr(&old),
	};

	while ((from = prmap_bits_next_set(bits, from)) < PRMAP_BITS) {
		run[nr].from = from;
		from = prmap_bits_next_clear(bits, from);
		run[nr++].end = from;
	}
	prmap_page_init(bits, map->kind, 0);
	for (i = 0; i < nr; i++) {
		piece.index = window + run[i].from;
		piece.end = window + run[i].end;
		prmap_leaf_push(path->leaf, &piece);
	}
	runs_entry(entry, old.key, bits);
}

/*
 * Borders of what the run leaf takes over: some runs on either side of
 * [from, end), and the rest of a side that is not worth a bitmap.
 */
static void carve_range(const u64 *bits, u32 sparse, u32 *from, u32 *end)
{
	u32 take = max(sparse / 2, 1U), keys, runs, i, at;

	at = *from;
	for (i = 0; i < take && at; i++) {
		at = prmap_bits_prev_set(bits, at);
		if (at) {
			at = prmap_bits_run_start(bits, at - 1);
			*from = at;
		}
	}
	prmap_bits_count(bits, 0, *from, &keys, &runs);
	if (runs < sparse)
		*from = 0;
	at = *end;
	for (i = 0; i < take && at < PRMAP_BITS; i++) {
		at = prmap_bits_next_set(bits, at);
		if (at < PRMAP_BITS)
			at = prmap_bits_next_clear(bits, at);
	}
	at = prmap_bits_next_set(bits, at);
	prmap_bits_count(bits, at, PRMAP_BITS, &keys, &runs);
	*end = runs < sparse ? PRMAP_BITS : at;
}

/* What is from @end on moves to a bitmap of its own. */
static void carve_right(struct prmap *map, struct prmap_path *path, u32 end)
{
	u64 *bits = path->leaf, *right = prmap_page_take(map);
	struct prmap_piece like = {
		.delta = path->entry->delta,
		.attr = prmap_entry_attr(path->entry),
	};
	u64 key = prmap_window(path->entry->key) + end;
	struct prmap_entry entry;

	memcpy(right, bits, PRMAP_PAGE_SIZE);
	prmap_bits_clear(right, 0, end);
	prmap_bits_clear(bits, end, PRMAP_BITS);
	bitmap_entry(&entry, key, right, &like);
	prmap_tree_insert(map, path, path_slot(path) + 1, &entry);
}

/* Make a run leaf around the place of @piece, which the bitmap cannot hold. */
void prmap_bitmap_carve(struct prmap *map, struct prmap_path *path,
			const struct prmap_piece *piece)
{
	u64 window = prmap_window(path->entry->key), *bits = path->leaf;
	u32 from = piece->index - window, end = piece->end - window;
	struct prmap_entry entry;
	struct prmap_leaf *leaf;

	carve_range(bits, prmap_sparse(map->kind), &from, &end);
	if (end < PRMAP_BITS) {
		carve_right(map, path, end);
		prmap_tree_find(map, piece->index, path);
		prmap_tree_dirty(map, path);
	}
	leaf = prmap_page_take(map);
	prmap_page_init(leaf, map->kind, 0);
	bits_to_leaf(bits, from, end, path->entry, leaf);
	if (!from) {
		runs_entry(path->entry, path->entry->key, leaf);
		prmap_page_give(map, bits);
		return;
	}
	prmap_bits_clear(bits, from, PRMAP_BITS);
	prmap_bits_count(bits, 0, PRMAP_BITS, &path->entry->nr_keys,
			 &path->entry->nr_runs);
	runs_entry(&entry, window + from, leaf);
	prmap_tree_insert(map, path, path_slot(path) + 1, &entry);
}
