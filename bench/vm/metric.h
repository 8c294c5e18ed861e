/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a benchmark in the VM reports. Under -icount a nanosecond of guest time is
 * an instruction, so differences of now() are instruction counts.
 */

#ifndef METRIC_H
#define METRIC_H

#include <stdio.h>
#include <time.h>
#include <linux/types.h>
#include <x86intrin.h>

#include "memory.h"

static inline __u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* A number for the table. */
static inline void metric(const char *name, long long value)
{
	printf("METRIC %s %lld\n", name, value);
	fflush(stdout);
}

/* A moment, which the host notes. */
static inline void mark(const char *name)
{
	printf("MARK %s\n", name);
	fflush(stdout);
}

/* Ties the clock of this kernel's log to the time stamp counter. */
static inline void tie_clocks(const char *name)
{
	char text[64];

	snprintf(text, sizeof(text), "<5>preserve-bench: %s\n", name);
	text_write("/dev/kmsg", text);
	metric(name, __rdtsc());
}

#endif /* METRIC_H */
