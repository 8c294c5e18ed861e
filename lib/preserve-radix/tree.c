// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: the pages above the leaves.
 *
 * What lives here: finding a leaf for an update, adding and removing entries
 * with the splits and joins that follow, growing and shrinking the tree. Every
 * function that changes the shape invalidates the path it was given; callers
 * find their place again by index.
 *
 * Pages for splits come from the reserve, so nothing here can fail.
 */
#include "internal.h"

void prmap_tree_find(struct prmap *map, u64 x, struct prmap_path *path)
{
	void *page = map->top;
	u32 d;

	path->depth = map->height ? map->height - 1 : 0;
	path->entry = NULL;
	path->lo = 0;
	path->hi = prmap_index_end(map->kind);
	for (d = 0; d < path->depth; d++) {
		struct prmap_inner *node = page;
		u32 slot = prmap_inner_slot(node, x);

		if (slot)
			path->lo = node->entry[slot].key;
		if (slot + 1 < node->head.nr)
			path->hi = node->entry[slot + 1].key;
		path->at[d].node = node;
		path->at[d].slot = slot;
		path->entry = &node->entry[slot];
		page = phys_to_virt(path->entry->child);
	}
	path->leaf = page;
}

/* Every checksum on the way to the leaf is about to be out of date. */
void prmap_tree_dirty(struct prmap *map, const struct prmap_path *path)
{
	u32 d;

	map->top_dirty = 1;
	for (d = 0; d < path->depth; d++)
		path->at[d].node->entry[path->at[d].slot].dirty = 1;
}

/*
 * Extend the coverage of the leaf to @end. Everything from the current border
 * to @end is absent, so the next leaf loses nothing.
 */
void prmap_tree_raise(struct prmap_path *path, u64 end)
{
	struct prmap_entry *next;
	u32 d = path->depth;

	while (path->hi < end && d--) {
		u32 slot = path->at[d].slot + 1;

		if (slot == path->at[d].node->head.nr)
			continue;
		next = &path->at[d].node->entry[slot];
		if (next->type == PRMAP_BITMAP)
			end = max(end, prmap_window(next->key));
		next->key = end;
		path->hi = end;
	}
}

/*
 * Pages above the leaves that adding @extra leaves takes at most. Each of them can
 * split each page on the way that does not have room for all: a split at the end
 * leaves the left page full, and the next entry may belong there. What is above the
 * top then splits less often.
 */
u32 prmap_tree_need(const struct prmap_path *path, u32 extra)
{
	u32 need = 0, d = path->depth;

	while (d--) {
		if (path->at[d].node->head.nr + extra <= PRMAP_INNER_CAP)
			return need;
		need += extra;
	}
	return need + extra;
}

static void entry_init(struct prmap_entry *entry, u64 key, void *child,
		       enum prmap_type type)
{
	memset(entry, 0, sizeof(*entry));
	entry->key = key;
	entry->child = virt_to_phys(child);
	entry->type = type;
	entry->dirty = 1;
}

static void entry_add(struct prmap_inner *node, u32 slot,
		      const struct prmap_entry *entry)
{
	memmove(&node->entry[slot + 1], &node->entry[slot],
		(node->head.nr - slot) * sizeof(*entry));
	node->entry[slot] = *entry;
	node->head.nr++;
}

static void entry_del(struct prmap_inner *node, u32 slot)
{
	node->head.nr--;
	memmove(&node->entry[slot], &node->entry[slot + 1],
		(node->head.nr - slot) * sizeof(node->entry[0]));
}

/* Put a new top page above the old one. */
void prmap_tree_grow(struct prmap *map)
{
	struct prmap_inner *top = prmap_page_take(map);
	struct prmap_entry entry;

	prmap_page_init(top, map->kind, map->height);
	entry_init(&entry, 0, map->top,
		   map->height == 1 ? PRMAP_RUNS : PRMAP_INNER);
	entry_add(top, 0, &entry);
	map->top = top;
	map->top_dirty = 1;
	map->height++;
	WARN_ON_ONCE(map->height > PRMAP_MAX_HEIGHT);
}

/*
 * Split a full page and add @entry at @slot. @up is the entry for the new page
 * on the right. Adding at the end leaves the left page full: ascending updates
 * leave full pages behind.
 */
static void node_split(struct prmap *map, struct prmap_inner *node, u32 slot,
		       const struct prmap_entry *entry, struct prmap_entry *up)
{
	struct prmap_inner *right = prmap_page_take(map);
	u32 nr = node->head.nr;
	u32 mid = slot == nr ? nr : nr / 2;

	prmap_page_init(right, map->kind, node->head.level);
	memcpy(right->entry, &node->entry[mid],
	       (nr - mid) * sizeof(*entry));
	right->head.nr = nr - mid;
	node->head.nr = mid;
	if (slot > mid || mid == nr)
		entry_add(right, slot - mid, entry);
	else
		entry_add(node, slot, entry);
	entry_init(up, right->entry[0].key, right, PRMAP_INNER);
}

/* Add an entry at @slot of the page above the leaf. */
void prmap_tree_insert(struct prmap *map, struct prmap_path *path, u32 slot,
		       const struct prmap_entry *entry)
{
	struct prmap_entry add = *entry, up;
	u32 d = path->depth;

	while (d--) {
		struct prmap_inner *node = path->at[d].node;

		if (node->head.nr < PRMAP_INNER_CAP) {
			entry_add(node, slot, &add);
			return;
		}
		node_split(map, node, slot, &add, &up);
		add = up;
		if (d)
			slot = path->at[d - 1].slot + 1;
	}
	prmap_tree_grow(map);
	entry_add(map->top, 1, &add);
}

/* Remove the leaf, and the pages above it that are then empty. */
void prmap_tree_remove(struct prmap *map, struct prmap_path *path)
{
	u32 d = path->depth;

	prmap_page_give(map, path->leaf);
	while (d--) {
		struct prmap_inner *node = path->at[d].node;

		entry_del(node, path->at[d].slot);
		if (node->head.nr)
			return;
		prmap_page_give(map, node);
	}
	map->top = NULL;
	map->top_sum = 0;
	map->top_dirty = 0;
	map->height = 0;
}

static bool leaf_can_join(const struct prmap_inner *node, u32 slot)
{
	const struct prmap_entry *entry = &node->entry[slot];
	const struct prmap_leaf *left, *right;

	if (slot + 1 >= node->head.nr || entry[0].type != PRMAP_RUNS ||
	    entry[1].type != PRMAP_RUNS)
		return false;
	left = phys_to_virt(entry[0].child);
	right = phys_to_virt(entry[1].child);
	return left->head.nr + right->head.nr <= PRMAP_LEAF_JOIN;
}

/* Join a run leaf with little in it and a neighbour below the same page. */
static void leaf_join(struct prmap *map, struct prmap_path *path)
{
	struct prmap_leaf *leaf = path->leaf;
	struct prmap_inner *node;
	u32 slot;

	if (!path->depth || path->entry->type != PRMAP_RUNS ||
	    leaf->head.nr >= PRMAP_LEAF_LOW)
		return;
	node = path->at[path->depth - 1].node;
	slot = path->at[path->depth - 1].slot;
	if (!leaf_can_join(node, slot)) {
		if (!slot || !leaf_can_join(node, slot - 1))
			return;
		slot--;
	}
	leaf = phys_to_virt(node->entry[slot + 1].child);
	prmap_leaf_concat(phys_to_virt(node->entry[slot].child), leaf);
	node->entry[slot].dirty = 1;
	entry_del(node, slot + 1);
	prmap_page_give(map, leaf);
}

/* The first entry of a page is not bound to its key; elsewhere it is. */
static void node_concat(struct prmap_inner *left, struct prmap_inner *right,
			u64 key)
{
	struct prmap_entry *first = &right->entry[0];

	if (first->type == PRMAP_BITMAP)
		key = max(key, prmap_window(first->key));
	first->key = key;
	memcpy(&left->entry[left->head.nr], first,
	       right->head.nr * sizeof(*first));
	left->head.nr += right->head.nr;
}

/* Join pages with few entries and a neighbour below the same page. */
static bool node_join(struct prmap *map, struct prmap_inner *above, u32 slot)
{
	struct prmap_inner *left, *right;

	if (slot + 1 >= above->head.nr)
		return false;
	left = phys_to_virt(above->entry[slot].child);
	right = phys_to_virt(above->entry[slot + 1].child);
	if (left->head.nr + right->head.nr > PRMAP_INNER_JOIN)
		return false;
	node_concat(left, right, above->entry[slot + 1].key);
	above->entry[slot].dirty = 1;
	entry_del(above, slot + 1);
	prmap_page_give(map, right);
	return true;
}

/* Whether it joined a page on the way to @x and the way is to be found anew. */
static bool nodes_join(struct prmap *map, struct prmap_path *path)
{
	u32 d;

	for (d = path->depth; d > 1; d--) {
		struct prmap_inner *above = path->at[d - 2].node;
		u32 slot = path->at[d - 2].slot;

		if (path->at[d - 1].node->head.nr > PRMAP_INNER_LOW)
			continue;
		if (node_join(map, above, slot) ||
		    (slot && node_join(map, above, slot - 1)))
			return true;
	}
	return false;
}

/* Drop top pages with one entry. A bitmap needs a page above it. */
static void tree_shrink(struct prmap *map)
{
	while (map->height > 1) {
		struct prmap_inner *top = map->top;
		struct prmap_entry *entry = &top->entry[0];

		if (top->head.nr > 1 || entry->type == PRMAP_BITMAP)
			return;
		map->top = phys_to_virt(entry->child);
		map->top_sum = entry->sum;
		map->top_dirty = entry->dirty;
		map->height--;
		prmap_page_give(map, top);
	}
}

/* Restore the form of the tree around @x after something was removed there. */
void prmap_tree_settle(struct prmap *map, u64 x)
{
	struct prmap_path path;
	const struct prmap_head *head;

	prmap_tree_find(map, x, &path);
	prmap_tree_dirty(map, &path);
	head = path.leaf;
	if (path.entry && path.entry->type == PRMAP_BITMAP) {
		if (!path.entry->nr_keys)
			prmap_tree_remove(map, &path);
		else if (path.entry->nr_runs < prmap_sparse(map->kind))
			prmap_bitmap_to_runs(map, &path);
	} else if (!head->nr) {
		prmap_tree_remove(map, &path);
	}
	if (!map->top)
		return;
	do {
		prmap_tree_find(map, x, &path);
		prmap_tree_dirty(map, &path);
		leaf_join(map, &path);
	} while (nodes_join(map, &path));
	tree_shrink(map);
}
