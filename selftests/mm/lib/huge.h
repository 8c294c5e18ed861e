/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files in huge pages, which cannot be written but through a mapping. Places and lengths are
 * in huge pages of @page bytes each.
 */

#ifndef HUGE_H
#define HUGE_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <sys/types.h>

/* A memfd in huge pages of that size. Returns it, or a negative errno. */
int huge_memfd(const char *name, __u64 page, unsigned int flags);

/* Maps a part of a file, given in bytes, shared. Ends the test on failure. */
void *huge_map(int fd, off_t offset, size_t length, __u64 page);
void huge_unmap(void *map, size_t length);

/* What huge_fill() writes at an offset: every word of a file is another one. */
__u64 huge_word(__u64 seed, __u64 offset);

/* Fills pages with what depends on @seed and the place, and takes no reservation. */
void huge_fill(int fd, __u64 seed, unsigned int from, unsigned int nr, __u64 page);

/* Is it there, by read()? */
bool huge_check(int fd, __u64 seed, unsigned int from, unsigned int nr, __u64 page);

/* The same by a mapping. */
bool huge_check_mapped(int fd, __u64 seed, unsigned int from, unsigned int nr, __u64 page);

/* Does reading a page give nothing but zeroes? */
bool huge_is_hole(int fd, unsigned int at, __u64 page);

/* Is this a memfd of that name? */
bool huge_name_is(int fd, const char *name);

#endif /* HUGE_H */
