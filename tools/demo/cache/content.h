/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The demo's data set in a cache: a text with one item a line, key and value with
 * a tab in between.
 *
 * Every function that returns int gives a negative errno on failure.
 */

#ifndef DEMO_CONTENT_H
#define DEMO_CONTENT_H

#include <stdint.h>

#include "memcache.h"

/**
 * struct content - what a cache has of the data set
 * @items:    asked for
 * @hits:     of these, there with the value that the text has
 * @bytes:    of their values
 * @checksum: over their keys and values, in the order of the text
 */
struct content {
	uint64_t items;
	uint64_t hits;
	uint64_t bytes;
	uint64_t checksum;
};

/* Puts all of it into the cache, at once; @progress hears of the number of items. */
int content_fill(struct memcache *mc, const char *path,
		 void (*progress)(unsigned int items));

/* Asks for the first @limit items, 0 for all, and compares. */
int content_check(struct memcache *mc, const char *path, uint64_t limit,
		  struct content *content);

/* The first field of the item under a key, or "-". */
int content_ask(struct memcache *mc, const char *key, char *text, size_t size);

#endif /* DEMO_CONTENT_H */
