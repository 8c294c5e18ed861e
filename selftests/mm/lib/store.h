/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The file system that programs keep their files in, and its way through a kexec.
 *
 * Notes are text that one kernel's part of a test writes down for the next one's.
 * They cross in a memfd, so they are no part of what is tested.
 */

#ifndef STORE_H
#define STORE_H

#include <stdbool.h>

#define STORE		"/mnt/preserve"
#define STORE_NOTES	4096

/* Mounts a tmpfs. With @pool its memory comes from the pool from the start. */
void store_make(bool pool);

/* Mounts a hugetlbfs in its place. */
void store_make_huge(const char *options);

/* Hands it over with less than STORE_NOTES bytes of notes; next comes the kexec. */
void store_preserve(const char *notes);

/* Attaches what the last kernel has handed over, and lets time go on. Gives its notes. */
const char *store_restore(void);

/* Inverts a byte of a file. */
void store_flip(const char *path, long offset);

#endif /* STORE_H */
