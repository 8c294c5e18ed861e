// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: validation of a committed map.
 *
 * What lives here: everything that must hold before a map from another kernel
 * is used. The content is hostile: a page is read only after the caller agreed
 * to its address, an entry is followed only inside the coverage of the page it
 * is in, and depth, number of pages, keys and runs are those of the root. Since
 * coverages shrink on the way down and never overlap, and a page with a header
 * is never empty, no such page can be reached twice; for bitmaps the caller's
 * page_ok() has to tell.
 *
 * Nothing is allocated or changed. The recursion is as deep as the tree is
 * high, PRMAP_MAX_HEIGHT at most.
 */
#include "piece.h"

/**
 * struct check - A check under way.
 * @root:     The map's root.
 * @lim:      The caller's limits.
 * @reason:   Of a refusal.
 * @last:     The piece before.
 * @pfn:      First of the frames that pfn_ok() has yet to see: they follow each
 *            other in memory, wherever they are in the map.
 * @pfn_end:  Behind the last of them.
 * @nr_keys:  Found so far, to be compared with the root's.
 * @nr_runs:  The same.
 * @nr_pages: The same.
 */
struct check {
	const struct prmap_root_ser *root;
	const struct prmap_limits *lim;
	const char *reason;
	struct prmap_piece last;
	u64 pfn;
	u64 pfn_end;
	u64 nr_keys;
	u64 nr_runs;
	u64 nr_pages;
};

static int refuse(struct check *check, int err, const char *reason)
{
	check->reason = reason;
	return err;
}

/* Asks for the frames that wait. */
static int check_frames(struct check *check)
{
	const struct prmap_limits *lim = check->lim;

	if (check->pfn != check->pfn_end && lim->pfn_ok &&
	    !lim->pfn_ok(lim->ctx, check->pfn, check->pfn_end - check->pfn))
		return refuse(check, -EINVAL, "frame not allowed");
	return 0;
}

/* One piece, in ascending order, inside the coverage [lo, hi). */
static __always_inline int check_piece(struct check *check,
				       const struct prmap_piece *piece,
				       u64 lo, u64 hi)
{
	const struct prmap_limits *lim = check->lim;
	u64 pfn = piece->index + piece->delta, nr = piece->end - piece->index;
	u8 order = prmap_attr_order(piece->attr);

	if (piece->index < lo || piece->end > hi)
		return refuse(check, -EINVAL, "run outside of its leaf");
	if (piece->end - 1 > lim->max_index)
		return refuse(check, -EINVAL, "index out of bounds");
	if (order > lim->max_order)
		return refuse(check, -EINVAL, "order out of bounds");
	if ((piece->index | pfn | nr) & ((1ULL << order) - 1))
		return refuse(check, -EINVAL, "misaligned run");
	if (nr > PRMAP_PFN_END || pfn < lim->min_pfn || pfn > lim->max_pfn ||
	    nr - 1 > lim->max_pfn - pfn || pfn + nr > PRMAP_PFN_END)
		return refuse(check, -EINVAL, "frame out of bounds");
	if (pfn != check->pfn_end) {
		int err = check_frames(check);

		if (err)
			return err;
		check->pfn = pfn;
	}
	check->pfn_end = pfn + nr;
	check->nr_keys += nr;
	check->nr_runs += !prmap_joins(&check->last, piece);
	check->last = *piece;
	return 0;
}

/*
 * Decodes what is at @pos, if it is what encoding gives. Returns the number of
 * words, 0 if it is not.
 */
static __always_inline u32 decode(const struct prmap_leaf *leaf, u32 pos,
				  struct prmap_piece *piece)
{
	u64 end = prmap_index_end(leaf->head.kind), word[PRMAP_PIECE_WORDS];
	u32 nr = prmap_leaf_piece(leaf, pos, piece), i;

	if (piece->index >= end || piece->end <= piece->index ||
	    piece->end > end)
		return 0;
	/* There, each bit belongs to a field, and each value has one encoding. */
	if (leaf->head.kind == PRMAP_FILE)
		return nr;
	if (piece->end - piece->index >
	    prmap_piece_max(leaf->head.kind, piece->attr) ||
	    prmap_piece_encode(leaf->head.kind, piece, word) != nr)
		return 0;
	for (i = 0; i < nr; i++)
		if (leaf->word[pos + i] != word[i])
			return 0;
	return nr;
}

static int check_leaf(struct check *check, const struct prmap_leaf *leaf,
		      u64 lo, u64 hi)
{
	struct prmap_piece piece;
	u32 pos, nr;
	int err;

	if (leaf->head.kind == PRMAP_FILE && leaf->head.nr % 2)
		return refuse(check, -EINVAL, "half a run");
	for (pos = 0; pos < leaf->head.nr; pos += nr) {
		nr = decode(leaf, pos, &piece);
		if (!nr)
			return refuse(check, -EINVAL, "malformed run");
		if (piece.index < lo)
			return refuse(check, -EINVAL,
				      "runs overlap or are out of order");
		err = check_piece(check, &piece, lo, hi);
		if (err)
			return err;
		lo = piece.end;
	}
	return 0;
}

static int check_bitmap(struct check *check, const struct prmap_entry *entry,
			const u64 *bits, u64 lo, u64 hi)
{
	u64 window = prmap_window(entry->key);
	struct prmap_piece piece = {
		.delta = entry->delta,
		.attr = prmap_entry_attr(entry),
	};
	u32 at = 0, keys, runs;
	int err;

	prmap_bits_count(bits, 0, PRMAP_BITS, &keys, &runs);
	if (!keys || keys != entry->nr_keys || runs != entry->nr_runs)
		return refuse(check, -EINVAL, "wrong counts of a bitmap");
	if (check->root->kind == PRMAP_SET && entry->delta)
		return refuse(check, -EINVAL, "frame differs from index");
	lo = max(lo, window);
	hi = min(hi, window + PRMAP_BITS);
	while ((at = prmap_bits_next_set(bits, at)) < PRMAP_BITS) {
		piece.index = window + at;
		at = prmap_bits_next_clear(bits, at);
		piece.end = window + at;
		err = check_piece(check, &piece, lo, hi);
		if (err)
			return err;
	}
	return 0;
}

static int check_entry(struct check *check, const struct prmap_entry *entry,
		       u32 level)
{
	bool bitmap = entry->type == PRMAP_BITMAP;

	if (level > 1 ? entry->type != PRMAP_INNER :
			entry->type != PRMAP_RUNS && !bitmap)
		return refuse(check, -EINVAL, "unknown type of page");
	if (entry->dirty || entry->reserved)
		return refuse(check, -EINVAL, "reserved field in use");
	if (!bitmap && (entry->delta || entry->nr_keys || entry->nr_runs ||
			entry->order || entry->flags))
		return refuse(check, -EINVAL, "reserved field in use");
	if (bitmap && entry->order > PRMAP_MAX_ORDER)
		return refuse(check, -EINVAL, "order out of bounds");
	return 0;
}

static int check_head(struct check *check, const struct prmap_head *head,
		      u32 level)
{
	u32 cap = level ? PRMAP_INNER_CAP : PRMAP_LEAF_CAP;

	if (head->magic != PRMAP_PAGE_MAGIC)
		return refuse(check, -EINVAL, "not a map page");
	if (head->version != PRMAP_VERSION)
		return refuse(check, -EPROTO, "unknown version of a page");
	if (head->kind != check->root->kind || head->level != level ||
	    head->reserved)
		return refuse(check, -EINVAL, "page of another kind or level");
	if (!head->nr || head->nr > cap)
		return refuse(check, -EINVAL, "number of entries out of bounds");
	return 0;
}

/* What can be said of a page before its content is looked at. */
static int check_page(struct check *check, u64 phys, u64 sum, u32 level,
		      bool bitmap)
{
	const struct prmap_limits *lim = check->lim;
	void *page;
	int err;

	if (check->nr_pages++ >= check->root->nr_pages)
		return refuse(check, -EINVAL, "more pages than counted");
	if (!phys || phys % PRMAP_PAGE_SIZE)
		return refuse(check, -EINVAL, "misaligned page address");
	if (!lim->page_ok(lim->ctx, phys))
		return refuse(check, -EINVAL, "page address not allowed");
	page = phys_to_virt(phys);
	if (!bitmap) {
		err = check_head(check, page, level);
		if (err)
			return err;
	}
	if (prmap_page_sum(page, bitmap) != sum)
		return refuse(check, -EBADMSG, "wrong checksum of a page");
	return 0;
}

static int check_node(struct check *check, const struct prmap_inner *node,
		      u32 level, u64 lo, u64 hi);

static int check_child(struct check *check, const struct prmap_entry *entry,
		       u32 level, u64 lo, u64 hi)
{
	bool bitmap = entry->type == PRMAP_BITMAP;
	const void *page;
	int err;

	err = check_page(check, entry->child, entry->sum, level, bitmap);
	if (err)
		return err;
	page = phys_to_virt(entry->child);
	if (bitmap)
		return check_bitmap(check, entry, page, lo, hi);
	if (!level)
		return check_leaf(check, page, lo, hi);
	return check_node(check, page, level, lo, hi);
}

static int check_node(struct check *check, const struct prmap_inner *node,
		      u32 level, u64 lo, u64 hi)
{
	u32 nr = node->head.nr, i;
	int err;

	for (i = 0; i < nr; i++) {
		const struct prmap_entry *entry = &node->entry[i];
		u64 next = i + 1 < nr ? entry[1].key : hi;

		/* The key of the first entry is that of the page. */
		if (i)
			lo = entry->key;
		if (lo >= next || next > hi)
			return refuse(check, -EINVAL, "keys out of order");
		err = check_entry(check, entry, level);
		if (!err)
			err = check_child(check, entry, level - 1, lo, next);
		if (err)
			return err;
	}
	return 0;
}

static int check_root(struct check *check, enum prmap_kind kind)
{
	const struct prmap_root_ser *root = check->root;

	if (root->magic != PRMAP_MAGIC)
		return refuse(check, -EINVAL, "not a map");
	if (root->version != PRMAP_VERSION)
		return refuse(check, -EPROTO, "unknown version of the map");
	if (root->sum != prmap_root_sum(root))
		return refuse(check, -EBADMSG, "wrong checksum of the root");
	if (root->page_size != PRMAP_PAGE_SIZE)
		return refuse(check, -EPROTO, "unknown page size");
	if (root->kind != kind || (kind != PRMAP_SET && kind != PRMAP_FILE))
		return refuse(check, -EPROTO, "map of another kind");
	if (root->reserved)
		return refuse(check, -EINVAL, "reserved field in use");
	if (root->height > PRMAP_MAX_HEIGHT)
		return refuse(check, -EINVAL, "tree too high");
	if (!root->height && (root->top || root->top_sum))
		return refuse(check, -EINVAL, "empty map with a page");
	return 0;
}

static int check_map(struct check *check, enum prmap_kind kind)
{
	const struct prmap_root_ser *root = check->root;
	struct prmap_entry top = {
		.child = root->top,
		.sum = root->top_sum,
	};
	int err = check_root(check, kind);

	if (!err && root->height)
		err = check_child(check, &top, root->height - 1, 0,
				  prmap_index_end(kind));
	if (!err)
		err = check_frames(check);
	if (err)
		return err;
	if (check->nr_pages != root->nr_pages)
		return refuse(check, -EINVAL, "fewer pages than counted");
	if (check->nr_keys != root->nr_keys)
		return refuse(check, -EINVAL, "wrong number of keys");
	if (check->nr_runs != root->nr_runs)
		return refuse(check, -EINVAL, "wrong number of runs");
	return 0;
}

int prmap_check(const struct prmap_root_ser *root, enum prmap_kind kind,
		const struct prmap_limits *lim, const char **reason)
{
	struct check check = {
		.root = root,
		.lim = lim,
		.last.end = U64_MAX,
	};
	int err = check_map(&check, kind);

	if (err && reason)
		*reason = check.reason;
	return err;
}

int prmap_open(struct prmap *map, const struct prmap_root_ser *root,
	       enum prmap_kind kind, const struct prmap_ops *ops, void *ctx,
	       const struct prmap_limits *lim, const char **reason)
{
	int err = prmap_check(root, kind, lim, reason);

	if (err)
		return err;
	prmap_init(map, kind, ops, ctx);
	map->height = root->height;
	map->top = root->height ? phys_to_virt(root->top) : NULL;
	map->top_sum = root->top_sum;
	map->nr_keys = root->nr_keys;
	map->nr_runs = root->nr_runs;
	map->nr_pages = root->nr_pages;
	return 0;
}
