// SPDX-License-Identifier: GPL-2.0-only
/* See vmm_log.h. */

#include "vmm_log.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "stage.h"

static __u64 now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

struct vmm_log *vmm_log_map(int fd, __u64 offset)
{
	struct vmm_log *log;
	struct stat st;

	require(!fstat(fd, &st) && ((__u64)st.st_size >= offset + VMM_LOG_SIZE ||
				    !ftruncate(fd, offset + VMM_LOG_SIZE)), "room for a log");
	log = mmap(NULL, VMM_LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	require(log != MAP_FAILED, "map a log");
	return log;
}

void vmm_log_add(struct vmm_log *log, enum vmm_log_kind kind, __u32 number)
{
	log->entries[log->nr % VMM_LOG_ENTRIES] = (struct vmm_log_entry) {
		.tsc = __rdtsc(),
		.real = now(CLOCK_REALTIME),
		.raw = now(CLOCK_MONOTONIC_RAW),
		.kind = kind,
		.number = number,
	};
	log->nr++;
}

/* Goes back from entry @nr to one of these kinds; NULL without. */
static const struct vmm_log_entry *last(const struct vmm_log *log, __u64 *nr, bool words,
					enum vmm_log_kind kind)
{
	while (*nr && log->nr - *nr < VMM_LOG_ENTRIES) {
		const struct vmm_log_entry *entry = &log->entries[--*nr % VMM_LOG_ENTRIES];

		if (words ? entry->kind <= VMM_LOG_ROUND : entry->kind == kind)
			return entry;
	}
	return NULL;
}

bool vmm_log_pause(const struct vmm_log *log, struct vmm_pause *pause)
{
	const struct vmm_log_entry *before, *start, *stop, *after;
	__u64 nr = log->nr, at;

	start = last(log, &nr, false, VMM_LOG_START);
	if (!start || nr + 1 == log->nr || !log->khz)
		return false;
	after = &log->entries[(nr + 1) % VMM_LOG_ENTRIES];
	at = nr;
	before = last(log, &at, true, 0);
	stop = last(log, &nr, false, VMM_LOG_STOP);
	if (!before || !stop || after->kind > VMM_LOG_ROUND)
		return false;
	pause->tsc_us = (after->tsc - before->tsc) * 1000 / log->khz;
	pause->real_us = (__s64)(after->real - before->real) / 1000;
	pause->stop_us = (start->tsc - stop->tsc) * 1000 / log->khz;
	return true;
}
