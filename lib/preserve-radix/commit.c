// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: committing.
 *
 * What lives here: bringing the checksums up to date, from the leaves to the
 * root. Only pages changed since the last time are read.
 */
#include "internal.h"

u64 prmap_root_sum(const struct prmap_root_ser *root)
{
	return xxh64(root, offsetof(struct prmap_root_ser, sum), 0);
}

/*
 * Makes the checksum of a page, after those below it; false if that takes more than
 * *@nr. A page is dirty when any page below it is. Recursion ends with @level.
 */
static bool page_commit(void *page, u32 level, bool bitmap, u64 *sum, u32 *nr)
{
	struct prmap_inner *node = page;
	struct prmap_entry *entry;
	u32 i;

	for (i = 0; level && i < node->head.nr; i++) {
		entry = &node->entry[i];
		if (!entry->dirty)
			continue;
		if (!page_commit(phys_to_virt(entry->child), level - 1,
				 entry->type == PRMAP_BITMAP, &entry->sum, nr))
			return false;
		entry->dirty = 0;
	}
	if (!*nr)
		return false;
	--*nr;
	*sum = prmap_page_sum(page, bitmap);
	return true;
}

bool prmap_commit_some(struct prmap *map, u32 nr)
{
	prmap_finger_drop(map);
	if (!map->top_dirty)
		return true;
	if (!page_commit(map->top, map->height - 1, false, &map->top_sum, &nr))
		return false;
	map->top_dirty = 0;
	return true;
}

void prmap_commit(struct prmap *map, struct prmap_root_ser *root)
{
	prmap_commit_some(map, U32_MAX);
	memset(root, 0, sizeof(*root));
	root->magic = PRMAP_MAGIC;
	root->version = PRMAP_VERSION;
	root->kind = map->kind;
	root->height = map->height;
	root->top = map->top ? virt_to_phys(map->top) : 0;
	root->top_sum = map->top_sum;
	root->nr_keys = map->nr_keys;
	root->nr_runs = map->nr_runs;
	root->nr_pages = map->nr_pages;
	root->page_size = PRMAP_PAGE_SIZE;
	root->sum = prmap_root_sum(root);
}
