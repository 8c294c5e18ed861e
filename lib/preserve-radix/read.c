// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: reading.
 *
 * What lives here: look-ups, iteration, counting, and visiting the pages. They
 * use the leaf that the last update left in the map if it fits, and store
 * nothing there, so that readers may run beside each other.
 */
#include "internal.h"

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
	u64 end = index + nr;
	struct prmap_piece piece;

	if (end < index)
		return false;
	while (index < end) {
		if (!prmap_piece_at(map, index, &piece))
			return false;
		index = piece.end;
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

/* Count keys and runs of one leaf in [from, end); @last is where it got to. */
static void count_leaf(const struct prmap_view *view, u64 from, u64 end,
		       struct prmap_piece *last, u64 *keys, u64 *runs)
{
	struct prmap_piece piece;
	u32 border, k, r;

	if (view->bitmap && view_piece_from(view, from, &piece, &border) &&
	    piece.index < end) {
		u64 window = prmap_window(view->entry->key);
		u64 stop = min(end, view->hi);

		prmap_bits_count(view->leaf, max(from, view->lo) - window,
				 stop - window, &k, &r);
		piece.index = max(piece.index, from);
		*keys += k;
		*runs += r - prmap_joins(last, &piece);
		piece.end = window + prmap_bits_prev_set(view->leaf,
							 stop - window);
		*last = piece;
		return;
	}
	while (!view->bitmap && from < end &&
	       view_piece_from(view, from, &piece, &border) &&
	       piece.index < end) {
		piece.index = max(piece.index, from);
		piece.end = min(piece.end, end);
		*keys += piece.end - piece.index;
		*runs += !prmap_joins(last, &piece);
		*last = piece;
		from = piece.end;
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

static int walk(const struct prmap *map, void *page, u32 level, bool bitmap,
		int (*fn)(void *ctx, u64 phys), void *ctx)
{
	struct prmap_inner *node = page;
	struct prmap_entry *entry;
	int err = fn(ctx, virt_to_phys(page));
	u32 i;

	for (i = 0; !err && level && i < node->head.nr; i++) {
		entry = &node->entry[i];
		err = walk(map, phys_to_virt(entry->child), level - 1,
			   entry->type == PRMAP_BITMAP, fn, ctx);
	}
	return err;
}

int prmap_walk_pages(const struct prmap *map, int (*fn)(void *ctx, u64 phys),
		     void *ctx)
{
	if (!map->top)
		return 0;
	return walk(map, map->top, map->height - 1, false, fn, ctx);
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
	it->leaf = NULL;
}

static bool iter_load(struct prmap_iter *it)
{
	struct prmap_view view;

	if (it->from >= prmap_index_end(it->map->kind) ||
	    !view_find(it->map, it->from, &view))
		return false;
	it->generation = it->map->generation;
	it->leaf = view.leaf;
	it->entry = view.entry;
	it->bitmap = view.bitmap;
	it->lo = view.lo;
	it->hi = view.next;
	it->pos = 0;
	if (!view.bitmap)
		it->pos = prmap_leaf_find_from(view.leaf, it->from);
	return true;
}

/* Runs of a bitmap from it->from on. Returns less than @max at its end. */
static size_t iter_bits(struct prmap_iter *it, struct prmap_run *runs,
			size_t max)
{
	const struct prmap_entry *entry = it->entry;
	u64 window = prmap_window(entry->key), delta = entry->delta;
	const u64 *bits = it->leaf;
	u8 order = entry->order, flags = entry->flags;
	u64 from = max(it->from, window) - window, word, carry;
	size_t nr = 0;
	u32 w;

	if (from >= PRMAP_BITS)
		return 0;
	w = from / 64;
	word = bits[w] & ~0ULL << (from % 64);
	for (;;) {
		u64 base = window + (u64)w * 64;

		for (; word && nr < max; nr++, runs++) {
			u32 at = __ffs64(word);

			runs->index = base + at;
			runs->pfn = base + at + delta;
			runs->order = order;
			runs->flags = flags;
			/* Adding the lowest bit carries through the run. */
			carry = word + (word & -word);
			if (unlikely(!carry)) {
				from = prmap_bits_next_clear(bits, w * 64 + at);
				runs->nr = window + from - runs->index;
				w = from / 64;
				word = w < PRMAP_BIT_WORDS ?
				       bits[w] & ~0ULL << (from % 64) : 0;
				base = window + (u64)w * 64;
				continue;
			}
			runs->nr = __ffs64(carry) - at;
			word &= carry;
		}
		if (nr == max || ++w >= PRMAP_BIT_WORDS)
			break;
		word = bits[w];
	}
	if (nr)
		it->from = runs[-1].index + runs[-1].nr;
	return nr;
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

size_t prmap_iter_read(struct prmap_iter *it, struct prmap_run *runs,
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
