// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: the pages above the leaves.
 *
 * What lives here: finding a leaf for an update, and adding entries with the splits
 * that follow; removing them is in settle.c. Every function that changes the shape
 * invalidates the path it was given; callers find their place again by index.
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
