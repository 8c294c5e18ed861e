// SPDX-License-Identifier: GPL-2.0-only
/* A clock that goes on over kexec; see clock.h. */

#include "clock.h"

#include <time.h>
#include <x86intrin.h>

struct stamp clock_now(void)
{
	struct timespec now;
	unsigned int cpu;
	struct stamp stamp;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	stamp.ticks = __rdtscp(&cpu);
	stamp.ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
	return stamp;
}

double clock_rate(struct stamp from, struct stamp to)
{
	return (to.ticks - from.ticks) / clock_seconds(from, to);
}

double clock_seconds(struct stamp from, struct stamp to)
{
	return (to.ns - from.ns) / 1e9;
}
