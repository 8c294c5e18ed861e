// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: its pages.
 *
 * What lives here: taking and giving pages, and their checksums. An update that
 * may need pages takes all of them first, so that running out of memory leaves
 * the map as it was; what it did not need goes back when it is done.
 */
#include "internal.h"

/* A page that waits to be used holds the pointer to the next one. */
struct prmap_spare {
	struct prmap_spare *next;
};

void prmap_page_init(void *page, enum prmap_kind kind, u32 level)
{
	struct prmap_head *head = page;

	head->magic = PRMAP_PAGE_MAGIC;
	head->version = PRMAP_VERSION;
	head->level = level;
	head->kind = kind;
	head->nr = 0;
	head->reserved = 0;
}

void prmap_pages_unreserve(struct prmap *map)
{
	while (map->spare) {
		struct prmap_spare *page = map->spare;

		map->spare = page->next;
		map->nr_spare--;
		map->ops->page_put(map->ctx, page);
	}
}

int prmap_pages_reserve(struct prmap *map, u32 nr)
{
	while (map->nr_spare < nr) {
		struct prmap_spare *page = map->ops->page_get(map->ctx);

		if (!page) {
			prmap_pages_unreserve(map);
			return -ENOMEM;
		}
		page->next = map->spare;
		map->spare = page;
		map->nr_spare++;
	}
	return 0;
}

/* A reserved page, with any content. The caller reserves enough of them. */
void *prmap_page_take(struct prmap *map)
{
	struct prmap_spare *page = map->spare;

	map->spare = page->next;
	map->nr_spare--;
	map->nr_pages++;
	return page;
}

void prmap_page_give(struct prmap *map, void *page)
{
	map->nr_pages--;
	map->ops->page_put(map->ctx, page);
}

/* The header has been checked, or is our own. */
size_t prmap_page_used(const void *page, bool bitmap)
{
	const struct prmap_head *head = page;

	if (bitmap)
		return PRMAP_PAGE_SIZE;
	if (head->level)
		return sizeof(*head) + head->nr * sizeof(struct prmap_entry);
	return sizeof(*head) + head->nr * sizeof(u64);
}

u64 prmap_page_sum(void *page, bool bitmap)
{
	return xxh64(page, prmap_page_used(page, bitmap), virt_to_phys(page));
}
