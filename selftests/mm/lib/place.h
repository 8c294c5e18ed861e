/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the pages of a file are: frames, nodes, and what fdinfo tells.
 */

#ifndef PLACE_H
#define PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <sys/types.h>

#define PLACE_PAGE	4096ULL

/* Maps a range of a file, shared, for reading and writing; for good. */
void *place_map(int fd, off_t offset, size_t length);

/* Reads a byte of mapped memory, so that its page is there. */
void place_touch(const void *addr);

/* The frame of a page that this process has mapped; 0 for none. */
__u64 place_pfn(const void *addr);

/*
 * The frames of a file's first @nr pages; 0 where it has none, or a bad one.
 * Fills no hole. Ends the test on failure.
 */
void place_frames(int fd, __u64 *pfns, size_t nr);

/* The node of a page, by move_pages(2); a negative errno without one. */
int place_node(const void *addr);

/*
 * Pins a file's first @length bytes for long, as a buffer of io_uring, until the
 * descriptor it returns is closed.
 */
int place_pin(int fd, size_t length);

/* A number of a line "NAME: number" of the file's fdinfo; -ENOENT without. */
__s64 place_fdinfo(int fd, const char *name);

/* Is the line "preserve:" there? */
bool place_is_ours(int fd);

/* Contiguous stretches of data in a file. */
unsigned int place_stretches(int fd);

#endif /* PLACE_H */
