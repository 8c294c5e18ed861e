// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client of memcached for make check-system.
 *
 *	system-memcache fill | check ITEMS
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memcache.h"

static void make(struct memcache_item *item, unsigned int no)
{
	memset(item, 0, sizeof(*item));
	snprintf(item->key, sizeof(item->key), "item:%u", no);
	item->len = snprintf(item->value, sizeof(item->value), "value %u of the item", no * 31);
}

static unsigned int fill(struct memcache *mc, unsigned int nr)
{
	static struct memcache_item item;

	for (unsigned int i = 0; i < nr; i++) {
		make(&item, i);
		if (memcache_set(mc, &item))
			return i;
	}
	return memcache_sync(mc) ? 0 : nr;
}

static unsigned int check(struct memcache *mc, unsigned int nr)
{
	static struct memcache_item item, got;
	unsigned int good = 0;

	for (unsigned int i = 0; i < nr; i++) {
		make(&item, i);
		if (memcache_ask(mc, item.key))
			return 0;
	}
	if (memcache_flush(mc))
		return 0;
	for (unsigned int i = 0; i < nr; i++) {
		make(&item, i);
		good += memcache_answer(mc, &got) == 1 && !strcmp(got.key, item.key) &&
			got.len == item.len && !memcmp(got.value, item.value, item.len);
	}
	return good;
}

int main(int argc, char **argv)
{
	unsigned int nr = argc > 2 ? atoi(argv[2]) : 0, good;
	struct memcache mc;

	if (!nr || memcache_connect(&mc, MEMCACHE_PORT))
		return 1;
	good = strcmp(argv[1], "fill") ? check(&mc, nr) : fill(&mc, nr);
	if (good != nr)
		printf("%u of %u\n", good, nr);
	return good != nr;
}
