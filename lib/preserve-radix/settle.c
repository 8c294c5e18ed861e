// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: the form of the tree after something was removed.
 *
 * What lives here: empty pages leave, pages with little in them are joined, bitmaps with
 * few bits become run leaves, and the tree gets lower. None of it needs more than the
 * reserve holds, so nothing here can fail.
 */
#include "internal.h"

static void entry_del(struct prmap_inner *node, u32 slot)
{
	node->head.nr--;
	memmove(&node->entry[slot], &node->entry[slot + 1],
		(node->head.nr - slot) * sizeof(node->entry[0]));
}

/* Remove the leaf, and the pages above it that are then empty. */
static void leaf_remove(struct prmap *map, struct prmap_path *path)
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
			leaf_remove(map, &path);
		else if (path.entry->nr_runs < prmap_sparse(map->kind))
			prmap_bitmap_to_runs(map, &path);
	} else if (!head->nr) {
		leaf_remove(map, &path);
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
