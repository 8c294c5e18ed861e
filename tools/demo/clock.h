/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A clock that goes on over kexec: the processor's time stamp counter. Its rate
 * is measured against the kernel's clock before it is used.
 */

#ifndef DEMO_CLOCK_H
#define DEMO_CLOCK_H

#include <stdint.h>

/**
 * struct stamp - one moment on both clocks
 * @ticks: the time stamp counter
 * @ns:    CLOCK_MONOTONIC_RAW
 */
struct stamp {
	uint64_t ticks;
	uint64_t ns;
};

struct stamp clock_now(void);

/* Ticks a second, from two moments of one kernel that are well apart. */
double clock_rate(struct stamp from, struct stamp to);

/* Seconds between two moments of one kernel. */
double clock_seconds(struct stamp from, struct stamp to);

#endif /* DEMO_CLOCK_H */
