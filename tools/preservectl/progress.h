/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Progress of one call that takes long: a thread looks how far it is, twice a second, and
 * shows share, rate and time left on a terminal.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdint.h>

/**
 * struct progress - What is watched.
 * @what:  A word for it.
 * @done:  How many bytes are done; called by the thread.
 * @total: How many there are.
 */
struct progress {
	const char *what;
	uint64_t (*done)(const struct progress *progress);
	uint64_t total;
	uint64_t start;		/* for @done */
};

/* Starts watching. Nothing happens if standard error is no terminal. One at a time. */
void progress_begin(const struct progress *progress);

/* Ends it, and removes the line. */
void progress_end(void);

#endif /* PROGRESS_H */
