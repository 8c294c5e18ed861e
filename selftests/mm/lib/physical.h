/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine's memory by its physical address, through /dev/mem: how a test finds and
 * damages what a kexec hands over.
 */

#ifndef PHYSICAL_H
#define PHYSICAL_H

#include <stddef.h>
#include <linux/types.h>

/* Records lie at multiples of this, whatever the size of pages. */
#define PHYSICAL_PAGE	4096ULL

/**
 * typedef physical_look_fn - is shown a page
 * @page: the page, mapped while the function runs
 * @phys: its physical address
 */
typedef void (*physical_look_fn)(void *page, __u64 phys);

/*
 * Maps memory for reading and writing, and nothing of a device: NULL when that cannot be.
 * munmap() ends it.
 */
void *physical_map(__u64 phys, size_t size);

/*
 * Shows each page of memory, in the order of their addresses, and none of a device. Ends
 * the test on failure.
 */
void physical_look(physical_look_fn look);

#endif /* PHYSICAL_H */
