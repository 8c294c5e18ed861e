/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All that goes on in a machine while the next kernel may come: threads that change the
 * pool, take memory away, preserve and drop files and trees, and do to the memory of
 * preserved files what the kernel and its users do.
 */

#ifndef UNREST_H
#define UNREST_H

#include <linux/types.h>

#define UNREST_NR	12

/* What one thread has done as it is meant to, and what it could not. */
struct unrest_counter {
	__u64 done;
	__u64 failed;
};

/*
 * Starts it, for good. @fds are @nr preserved files: they are read, mapped, collapsed and
 * moved, their content stays. Each of the UNREST_NR threads goes on by a number of
 * chance.h, and has a counter.
 */
void unrest_start(const int *fds, unsigned int nr, struct unrest_counter *counters);

/* Prints the counters. Returns how many of the threads did nothing. */
unsigned int unrest_show(const struct unrest_counter *counters);

/*
 * In the next kernel: retrieves and drops what the threads may have had preserved at that
 * moment.
 */
void unrest_drop(void);

#endif /* UNREST_H */
