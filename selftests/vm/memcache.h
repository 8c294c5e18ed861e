/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client side of memcached's text protocol, over the loopback interface.
 *
 * Requests are collected and sent together: under emulation a round trip costs
 * more than a hundred items. Every function that returns int gives a negative
 * errno on failure, after which the connection is of no use any more.
 */

#ifndef VM_MEMCACHE_H
#define VM_MEMCACHE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MEMCACHE_PORT		11211
#define MEMCACHE_KEY_SIZE	251
#define MEMCACHE_VALUE_SIZE	65536

/**
 * struct memcache - a connection
 * @to:   requests
 * @from: answers
 */
struct memcache {
	FILE *to;
	FILE *from;
};

/**
 * struct memcache_item - what the server has under a key
 * @key:     zero-terminated
 * @flags:   the client's own
 * @exptime: seconds to live, 0 for ever; not told by the server
 * @cas:     the server's number of this version; not sent to it
 * @value:   bytes, and room for a zero
 * @len:     their number
 */
struct memcache_item {
	char key[MEMCACHE_KEY_SIZE];
	unsigned int flags;
	unsigned int exptime;
	uint64_t cas;
	char value[MEMCACHE_VALUE_SIZE + 1];
	size_t len;
};

int memcache_connect(struct memcache *mc, unsigned short port);
void memcache_close(struct memcache *mc);

/* Sends an item some time, without an answer; memcache_sync() is the end. */
int memcache_set(struct memcache *mc, const struct memcache_item *item);

/* The same for taking an item away. */
int memcache_delete(struct memcache *mc, const char *key);

/* Returns when the server has done all that was sent. */
int memcache_sync(struct memcache *mc);

/* Asks for an item some time; the answers come in this order. */
int memcache_ask(struct memcache *mc, const char *key);

/* Sends what was collected. */
int memcache_flush(struct memcache *mc);

/* The next answer: 1, or 0 if there is no such item, which leaves @item alone. */
int memcache_answer(struct memcache *mc, struct memcache_item *item);

/* A number of the server's statistics. */
int64_t memcache_stat(struct memcache *mc, const char *name);

#endif /* VM_MEMCACHE_H */
