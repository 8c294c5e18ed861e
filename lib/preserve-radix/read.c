// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: reading.
 *
 * What lives here: look-ups, iteration, counting, and visiting the pages. They
 * use the leaf that the last update left in the map if it fits, and store
 * nothing there, so that readers may run beside each other.
 */
#include "piece.h"

/* Find the leaf that covers @x. Returns false for an empty map. */
static __always_inline bool view_find(const struct prmap *map, u64 x,
				      struct prmap_view *view)
{
	const struct prmap_finger *finger = &map->finger;
	const struct prmap_inner *node = map->top;
	const struct prmap_entry *entry = NULL;
	u32 slot, level;

	if (x >= finger->lo && x < finger->hi) {
		view->leaf = finger->leaf;
		view->entry = finger->entry;
		view->lo = finger->lo;
		view->hi = finger->hi;
		view->next = finger->hi;
		view->bitmap = finger->bitmap;
		return true;
	}
	if (!node)
		return false;
	view->lo = 0;
	view->next = prmap_index_end(map->kind);
	for (level = map->height; level > 1; level--) {
		slot = prmap_inner_slot(node, x);
		entry = &node->entry[slot];
		if (slot)
			view->lo = entry->key;
		if (slot + 1 < node->head.nr)
			view->next = entry[1].key;
		node = phys_to_virt(entry->child);
	}
	view->leaf = (void *)node;
	view->entry = entry;
	view->hi = view->next;
	view->bitmap = entry && entry->type == PRMAP_BITMAP;
	if (view->bitmap) {
		u64 window = prmap_window(entry->key);

		view->lo = max(view->lo, window);
		view->hi = min(view->hi, window + PRMAP_BITS);
	}
	return true;
}

/*
 * First piece of a leaf that ends after @x, in full. @border tells whether the
 * run may go on before (1) or after (2) the piece.
 */
static __always_inline bool view_piece_from(const struct prmap_view *view,
					    u64 x, struct prmap_piece *piece,
					    u32 *border)
{
	const struct prmap_leaf *leaf = view->leaf;
	u32 pos, at, from;
	u64 window;

	if (view->bitmap) {
		if (x >= view->hi)
			return false;
		window = prmap_window(view->entry->key);
		from = max(x, view->lo) - window;
		at = prmap_bits_next_set(view->leaf, from);
		if (at == PRMAP_BITS)
			return false;
		piece->end = window + prmap_bits_next_clear(view->leaf, at);
		if (at == from)
			at = prmap_bits_run_start(view->leaf, at);
		piece->index = window + at;
		piece->delta = view->entry->delta;
		piece->attr = prmap_entry_attr(view->entry);
		*border = (piece->index == view->lo) |
			  (piece->end == view->hi) << 1;
		return true;
	}
	pos = prmap_leaf_find_from(leaf, x);
	if (pos == leaf->head.nr)
		return false;
	pos += prmap_leaf_piece(leaf, pos, piece);
	/* Inside a leaf only pieces of the greatest length do not merge. */
	*border = (piece->index == view->lo) | (piece->end == view->hi) << 1;
	if (piece->end > prmap_piece_max(leaf->head.kind, piece->attr))
		*border = 3;
	else if (pos < leaf->head.nr && prmap_leaf_start(leaf, pos) == piece->end)
		*border |= 2;
	return true;
}

static bool piece_from(const struct prmap *map, u64 x,
		       struct prmap_piece *piece, u32 *border)
{
	struct prmap_view view;

	while (x < prmap_index_end(map->kind) && view_find(map, x, &view)) {
		if (view_piece_from(&view, x, piece, border))
			return true;
		x = view.next;
	}
	return false;
}

/* First piece that ends after @x, in full. */
bool prmap_piece_from(const struct prmap *map, u64 x, struct prmap_piece *piece)
{
	u32 border;

	return piece_from(map, x, piece, &border);
}

static bool piece_at(const struct prmap *map, u64 x, struct prmap_piece *piece,
		     u32 *border)
{
	struct prmap_view view;

	return x < prmap_index_end(map->kind) && view_find(map, x, &view) &&
	       view_piece_from(&view, x, piece, border) && piece->index <= x;
}

/* The piece that contains @x, in full. */
bool prmap_piece_at(const struct prmap *map, u64 x, struct prmap_piece *piece)
{
	u32 border;

	return piece_at(map, x, piece, &border);
}

static void extend_left(const struct prmap *map, struct prmap_piece *piece)
{
	struct prmap_piece left;
	u32 border = 1;

	while (border & 1 && piece->index &&
	       piece_at(map, piece->index - 1, &left, &border) &&
	       prmap_joins(&left, piece))
		piece->index = left.index;
}

static void extend_right(const struct prmap *map, struct prmap_piece *piece)
{
	struct prmap_piece right;
	u32 border = 2;

	while (border & 2 && piece_at(map, piece->end, &right, &border) &&
	       prmap_joins(piece, &right))
		piece->end = right.end;
}

static __always_inline void piece_to_run(const struct prmap_piece *piece,
					 struct prmap_run *run)
{
	run->index = piece->index;
	run->pfn = piece->index + piece->delta;
	run->nr = piece->end - piece->index;
	run->order = prmap_attr_order(piece->attr);
	run->flags = piece->attr;
}

bool prmap_test(const struct prmap *map, u64 index)
{
	struct prmap_view view;
	struct prmap_piece piece;
	const u64 *bits;
	u32 border;

	if (!view_find(map, index, &view) || index >= view.hi)
		return false;
	if (!view.bitmap)
		return view_piece_from(&view, index, &piece, &border) &&
		       piece.index <= index;
	bits = view.leaf;
	return index >= view.lo &&
	       prmap_bits_test(bits, index & (PRMAP_BITS - 1));
}

bool prmap_test_range(const struct prmap *map, u64 index, u64 nr)
{
	u64 end = index + nr, stop = prmap_index_end(map->kind);
	struct prmap_view view;
	struct prmap_piece piece;
	u32 border, at;

	if (end < index || end > stop)
		return false;
	for (; index < end; index = stop) {
		if (!view_find(map, index, &view))
			return false;
		if (view.bitmap) {
			stop = min(end, view.hi);
			at = index & (PRMAP_BITS - 1);
			if (index < view.lo || index >= stop ||
			    prmap_bits_next_clear(view.leaf, at) - at < stop - index)
				return false;
			continue;
		}
		if (!view_piece_from(&view, index, &piece, &border) ||
		    piece.index > index)
			return false;
		stop = piece.end;
	}
	return true;
}

int prmap_lookup(const struct prmap *map, u64 index, struct prmap_run *run)
{
	struct prmap_piece piece;
	u32 border;

	if (!piece_at(map, index, &piece, &border))
		return -ENOENT;
	if (border & 1)
		extend_left(map, &piece);
	if (border & 2)
		extend_right(map, &piece);
	piece_to_run(&piece, run);
	return 0;
}

bool prmap_next(const struct prmap *map, u64 from, struct prmap_run *run)
{
	struct prmap_piece piece;
	u32 border;

	if (!piece_from(map, from, &piece, &border))
		return false;
	piece.index = max(piece.index, from);
	if (border & 2)
		extend_right(map, &piece);
	piece_to_run(&piece, run);
	return true;
}

bool prmap_next_absent(const struct prmap *map, u64 from, u64 *index, u64 *nr)
{
	u64 end = prmap_index_end(map->kind);
	struct prmap_piece piece;

	for (; from < end; from = piece.end) {
		if (!prmap_piece_from(map, from, &piece))
			piece.index = end;
		if (piece.index > from) {
			*index = from;
			*nr = piece.index - from;
			return true;
		}
	}
	return false;
}

/* Count one more piece. */
static void count_piece(struct prmap_piece *last,
			const struct prmap_piece *piece, u64 *keys, u64 *runs)
{
	*keys += piece->end - piece->index;
	*runs += !prmap_joins(last, piece);
	*last = *piece;
}

static void count_bitmap(const struct prmap_view *view, u64 from, u64 end,
			 struct prmap_piece *last, u64 *keys, u64 *runs)
{
	const struct prmap_entry *entry = view->entry;
	u64 window = prmap_window(entry->key);
	u32 keys_here = entry->nr_keys, runs_here = entry->nr_runs, border;
	struct prmap_piece piece;

	if (!view_piece_from(view, from, &piece, &border) || piece.index >= end)
		return;
	if (from > view->lo || end < view->hi) {
		from = max(from, view->lo);
		end = min(end, view->hi);
		prmap_bits_count(view->leaf, from - window, end - window,
				 &keys_here, &runs_here);
	}
	piece.index = max(piece.index, from);
	*keys += keys_here;
	*runs += runs_here - prmap_joins(last, &piece);
	piece.end = window + prmap_bits_prev_set(view->leaf,
						 min(end, view->hi) - window);
	*last = piece;
}

/* Count keys and runs of one leaf in [from, end); @last is where it got to. */
static void count_leaf(const struct prmap_view *view, u64 from, u64 end,
		       struct prmap_piece *last, u64 *keys, u64 *runs)
{
	const struct prmap_leaf *leaf = view->leaf;
	struct prmap_piece piece;
	u32 pos;

	if (view->bitmap) {
		count_bitmap(view, from, end, last, keys, runs);
		return;
	}
	for (pos = prmap_leaf_find_from(leaf, from); pos < leaf->head.nr;) {
		pos += prmap_leaf_piece(leaf, pos, &piece);
		if (piece.index >= end)
			return;
		piece.index = max(piece.index, from);
		piece.end = min(piece.end, end);
		count_piece(last, &piece, keys, runs);
	}
}

/* Indexes present in [from, end), and the runs they form there. */
void prmap_count(const struct prmap *map, u64 from, u64 end, u64 *keys,
		 u64 *runs)
{
	struct prmap_piece last = { .end = U64_MAX };
	struct prmap_view view;

	*keys = 0;
	*runs = 0;
	while (from < end && view_find(map, from, &view)) {
		count_leaf(&view, from, end, &last, keys, runs);
		from = view.next;
	}
}

/* The pages below come first: @fn may give a page away. */
static int walk(const struct prmap *map, void *page, u32 level, bool bitmap,
		int (*fn)(void *ctx, u64 phys), void *ctx)
{
	struct prmap_inner *node = page;
	struct prmap_entry *entry;
	int err = 0;
	u32 i;

	for (i = 0; !err && level && i < node->head.nr; i++) {
		entry = &node->entry[i];
		err = walk(map, phys_to_virt(entry->child), level - 1,
			   entry->type == PRMAP_BITMAP, fn, ctx);
	}
	return err ?: fn(ctx, virt_to_phys(page));
}

int prmap_walk_pages(const struct prmap *map, int (*fn)(void *ctx, u64 phys),
		     void *ctx)
{
	if (!map->top)
		return 0;
	return walk(map, map->top, map->height - 1, false, fn, ctx);
}

/* A page above the leaves is visited with the first leaf below it. */
static int walk_path(const struct prmap_path *path,
		     int (*fn)(void *ctx, u64 phys), void *ctx)
{
	int err = fn(ctx, virt_to_phys(path->leaf));
	u32 d = path->depth;

	while (!err && d-- && !path->at[d].slot)
		err = fn(ctx, virt_to_phys(path->at[d].node));
	return err;
}

int prmap_walk_some(struct prmap *map, u64 *from, u32 nr,
		    int (*fn)(void *ctx, u64 phys), void *ctx)
{
	const u64 end = prmap_index_end(map->kind);
	struct prmap_path path;
	int err;

	while (map->top && *from < end) {
		if (!nr--)
			return 0;
		prmap_tree_find(map, *from, &path);
		err = walk_path(&path, fn, ctx);
		if (err)
			return err;
		*from = path.hi;
	}
	*from = U64_MAX;
	return 0;
}

static u64 bytes_below(const void *page, u32 level, bool bitmap)
{
	const struct prmap_inner *node = page;
	u64 bytes = prmap_page_used(page, bitmap);
	u32 i;

	for (i = 0; level && i < node->head.nr; i++)
		bytes += bytes_below(phys_to_virt(node->entry[i].child),
				     level - 1,
				     node->entry[i].type == PRMAP_BITMAP);
	return bytes;
}

u64 prmap_bytes(const struct prmap *map)
{
	u64 bytes = sizeof(struct prmap_root_ser);

	if (map->top)
		bytes += bytes_below(map->top, map->height - 1, false);
	return bytes;
}

void prmap_iter_init(struct prmap_iter *it, const struct prmap *map, u64 from)
{
	it->map = map;
	it->from = from;
	it->word = 0;
	it->leaf = NULL;
}

static bool iter_load(struct prmap_iter *it)
{
	struct prmap_view view;
	u64 at;

	if (it->from >= prmap_index_end(it->map->kind) ||
	    !view_find(it->map, it->from, &view))
		return false;
	it->generation = it->map->generation;
	it->leaf = view.leaf;
	it->entry = view.entry;
	it->bitmap = view.bitmap;
	it->hi = view.next;
	if (!view.bitmap) {
		it->pos = prmap_leaf_find_from(view.leaf, it->from);
		return true;
	}
	at = max(it->from, view.lo) - prmap_window(view.entry->key);
	it->pos = at / 64;
	it->word = 0;
	if (at < PRMAP_BITS)
		it->word = ((u64 *)view.leaf)[it->pos] & ~0ULL << (at % 64);
	return true;
}

/* A run that reaches the end of its word: find where it ends. */
static u32 iter_cross(struct prmap_iter *it, u32 at)
{
	const u64 *bits = it->leaf;
	u32 end = prmap_bits_next_clear(bits, at);

	it->pos = end / 64;
	it->word = end < PRMAP_BITS ? bits[it->pos] & ~0ULL << (end % 64) : 0;
	return end;
}

static __always_inline void bits_to_run(u64 delta, u16 attr, u64 index,
					u64 nr, struct prmap_run *run)
{
	run->index = index;
	run->pfn = index + delta;
	run->nr = nr;
	run->order = attr >> 8;
	run->flags = attr;
}

/* Runs of a bitmap. Returns less than @max at its end. */
static size_t iter_bits(struct prmap_iter *it, struct prmap_run *runs,
			size_t max)
{
	const struct prmap_entry *entry = it->entry;
	u64 window = prmap_window(entry->key), delta = entry->delta;
	u64 begin, end, base, word;
	struct prmap_run *run = runs, *stop = runs + max;
	const u64 *bits = it->leaf;
	u16 attr = prmap_entry_attr(entry);
	u32 at, past;

	while (run < stop) {
		for (word = it->word; !word; word = bits[++it->pos])
			if (it->pos + 1 >= PRMAP_BIT_WORDS)
				goto out;
		/* Where runs begin and end in this word. */
		begin = word & ~(word << 1);
		end = ~word & word << 1;
		base = window + (u64)it->pos * 64;
		for (; end && run < stop; run++) {
			at = __ffs64(begin);
			past = __ffs64(end);
			bits_to_run(delta, attr, base + at, past - at, run);
			begin &= begin - 1;
			end &= end - 1;
		}
		it->word = begin ? word & ~0ULL << __ffs64(begin) : 0;
		if (begin && !end && run < stop) {
			at = it->pos * 64 + __ffs64(begin);
			bits_to_run(delta, attr, window + at,
				    iter_cross(it, at) - at, run++);
		}
	}
out:
	it->word = run < stop ? 0 : it->word;
	if (run != runs)
		it->from = run[-1].index + run[-1].nr;
	return run - runs;
}

static size_t iter_runs(struct prmap_iter *it, struct prmap_run *runs,
			size_t max)
{
	const struct prmap_leaf *leaf = it->leaf;
	struct prmap_piece piece;
	size_t nr;

	for (nr = 0; nr < max && it->pos < leaf->head.nr; nr++) {
		it->pos += prmap_leaf_piece(leaf, it->pos, &piece);
		piece.index = max(piece.index, it->from);
		it->from = piece.end;
		piece_to_run(&piece, &runs[nr]);
	}
	return nr;
}

static bool runs_join(const struct prmap_run *a, const struct prmap_run *b)
{
	return a->index + a->nr == b->index && a->pfn + a->nr == b->pfn &&
	       a->order == b->order && a->flags == b->flags;
}

/*
 * Merge pieces that belong together among the @new ones behind the first @old
 * ones. Only the first of a leaf and very long ones do. Returns the new number.
 */
static size_t iter_merge(struct prmap_run *runs, size_t old, size_t new,
			 bool bitmap)
{
	size_t i, nr = old;

	if (bitmap && !(old && new && runs_join(&runs[old - 1], &runs[old])))
		return old + new;
	for (i = old; i < old + new; i++) {
		if (nr && runs_join(&runs[nr - 1], &runs[i]))
			runs[nr - 1].nr += runs[i].nr;
		else
			runs[nr++] = runs[i];
	}
	return nr;
}

/* May a run that ends at @end go on outside of what was read of the leaf? */
static bool iter_at_border(const struct prmap_iter *it, u64 end)
{
	const struct prmap_leaf *leaf = it->leaf;

	if (end == it->hi)
		return true;
	if (it->bitmap)
		return !(end & (PRMAP_BITS - 1));
	return it->pos < leaf->head.nr && prmap_leaf_start(leaf, it->pos) == end;
}

/* One run that lies inside a word of the bitmap at hand: no border in sight. */
static __always_inline bool iter_one(struct prmap_iter *it,
				     struct prmap_run *run)
{
	const struct prmap_entry *entry = it->entry;
	u64 word = it->word, carry = word + (word & -word), index, end;

	if (!it->leaf || !it->bitmap || !carry ||
	    it->generation != it->map->generation)
		return false;
	index = prmap_window(entry->key) + (u64)it->pos * 64;
	end = index + __ffs64(carry);
	if (end == it->hi)
		return false;
	index += __ffs64(word);
	bits_to_run(entry->delta, prmap_entry_attr(entry), index, end - index,
		    run);
	it->word = word & carry;
	it->from = end;
	return true;
}

/* The same for a run leaf. */
static bool iter_one_piece(struct prmap_iter *it, struct prmap_run *run)
{
	const struct prmap_leaf *leaf = it->leaf;
	struct prmap_piece piece;
	u32 pos = it->pos;

	if (!leaf || it->bitmap || it->generation != it->map->generation ||
	    pos >= leaf->head.nr)
		return false;
	pos += prmap_leaf_piece(leaf, pos, &piece);
	if (piece.index < it->from || piece.end == it->hi ||
	    (pos < leaf->head.nr && prmap_leaf_start(leaf, pos) == piece.end))
		return false;
	piece_to_run(&piece, run);
	it->pos = pos;
	it->from = piece.end;
	return true;
}

/* Kept apart so that reading one run needs no stack. */
static noinline size_t iter_read(struct prmap_iter *it, struct prmap_run *runs,
				 size_t max)
{
	struct prmap_piece piece;
	size_t nr = 0, new;

	while (nr < max) {
		bool fresh = !it->leaf || it->generation != it->map->generation;

		if (fresh && !iter_load(it))
			break;
		new = it->bitmap ? iter_bits(it, runs + nr, max - nr) :
				   iter_runs(it, runs + nr, max - nr);
		if (new < max - nr) {
			it->leaf = NULL;
			it->from = max(it->from, it->hi);
		}
		nr = iter_merge(runs, nr, new, it->bitmap);
	}
	/* The last run may go on beyond the leaf. */
	if (nr && it->leaf) {
		struct prmap_run *last = &runs[nr - 1];

		piece.index = last->index;
		piece.end = last->index + last->nr;
		piece.delta = last->pfn - last->index;
		piece.attr = prmap_attr(last->order, last->flags);
		if (iter_at_border(it, piece.end))
			extend_right(it->map, &piece);
		if (piece.end != it->from) {
			last->nr = piece.end - piece.index;
			it->from = piece.end;
			it->leaf = NULL;
		}
	}
	return nr;
}

size_t prmap_iter_read(struct prmap_iter *it, struct prmap_run *runs,
		       size_t max)
{
	if (max == 1 && (iter_one(it, runs) || iter_one_piece(it, runs)))
		return 1;
	return iter_read(it, runs, max);
}
