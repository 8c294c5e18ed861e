/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files with a known content, and the counters of the preserve pool.
 *
 * The content is a function of a seed and of the place in the file, so a check
 * needs nothing but the seed, also in another kernel.
 */

#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <sys/types.h>

#define KIB(n)	((__u64)(n) << 10)
#define MIB(n)	((__u64)(n) << 20)
#define GIB(n)	((__u64)(n) << 30)
#define TIB(n)	((__u64)(n) << 40)

/* Writes the pattern; the file grows when it has to. 0 or a negative errno. */
int pattern_write(int fd, __u64 seed, off_t offset, size_t length);

/* Looks at every byte. 0, -EILSEQ for a wrong one, or a negative errno. */
int pattern_check(int fd, __u64 seed, off_t offset, size_t length);

/* The same in memory that is mapped from @offset on. Both are multiples of eight. */
void pattern_fill(void *at, __u64 seed, off_t offset, size_t length);
bool pattern_is(const void *at, __u64 seed, off_t offset, size_t length);

/* True when the range reads as zeroes. */
bool range_is_zero(int fd, off_t offset, size_t length);

/* Bytes that the file has allocated, by fstat(2); negative errno on failure. */
__s64 file_allocated(int fd);

/* Reads a counter of /sys/kernel/mm/preserve/; negative errno on failure. */
__s64 pool_counter(const char *name);

/*
 * The bytes of the pool that are in use when no file is. The pool keeps pages
 * of its own from its first use on, so it is used once before. A negative errno
 * on failure.
 */
__s64 pool_used_at_rest(void);

/* Writes a text into a file of /sys or /proc. 0 or a negative errno. */
int text_write(const char *path, const char *text);

/* A number from a line "NAME: number" of /proc/meminfo, in bytes. */
__s64 meminfo_bytes(const char *name);

/* Objects of a slab cache that are in use, those that CPUs have at hand among them. */
__s64 slab_objects(const char *name);

/* A counter of /proc/vmstat. */
__s64 vmstat_count(const char *name);

#endif /* MEMORY_H */
