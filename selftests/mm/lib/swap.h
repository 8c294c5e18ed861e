/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Swap on a disk in memory, and files whose pages are in it.
 */

#ifndef SWAP_H
#define SWAP_H

#include <stdbool.h>
#include <linux/types.h>

/* mkswap and swapon. The disk has brd.rd_size KiB, 4096 without. */
void swap_on(void);

/* All that is in swap comes back. */
void swap_off(void);

/* Bytes in swap, of all that there is. */
__s64 swap_used(void);

/* Swaps so much of a file out that swap has @want bytes more at least. Does it? */
bool swap_out(int fd, __u64 size, __u64 want);

#endif /* SWAP_H */
