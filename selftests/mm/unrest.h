/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All that goes on in a machine while the next kernel may come: threads that change the
 * pool, take memory away, preserve and drop files and trees, and do to the memory of
 * preserved files what the kernel and its users do.
 */

#ifndef UNREST_H
#define UNREST_H

/*
 * Starts it, for good. @fds are @nr preserved files: they are read, mapped, collapsed and
 * moved, their content stays. Each thread goes on by a number of chance.h.
 */
void unrest_start(const int *fds, unsigned int nr);

/*
 * In the next kernel: retrieves and drops what the threads may have had preserved at that
 * moment.
 */
void unrest_drop(void);

#endif /* UNREST_H */
