/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The counters of huge pages, and whether they add up.
 */

#ifndef BOOKS_H
#define BOOKS_H

#include <linux/types.h>

/**
 * struct books - one size of huge pages
 * @total:   pages
 * @free:    in use by nothing
 * @resv:    of those, reserved
 * @surplus: more than were asked for
 */
struct books {
	long total;
	long free;
	long resv;
	long surplus;
};

/*
 * Reads the counters of pages of @size bytes in /sys/kernel/mm/hugepages. Returns NULL if the
 * nodes' add up to them, /proc/meminfo says the same if it is the default size, and none is
 * impossible; otherwise what is wrong.
 */
const char *books_get(__u64 size, struct books *books);

/* The same, and checks it. @when is for the messages. */
struct books books_read(__u64 size, const char *when);

/* The same, and checks that they are as expected, after some seconds at the latest. */
void books_check(__u64 size, struct books want, const char *when);

#endif /* BOOKS_H */
