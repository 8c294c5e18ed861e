/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When a guest has said something: a ring in a file, which crosses a kexec if the file does.
 *
 * The time stamp counter goes on over a kexec. So does CLOCK_REALTIME, but the next kernel takes
 * it from the clock of the board, which knows of seconds. CLOCK_MONOTONIC_RAW begins anew.
 */

#ifndef VMM_LOG_H
#define VMM_LOG_H

#include <stdbool.h>
#include <linux/types.h>

#define VMM_LOG_ENTRIES	2047

/* What an entry is about: the guest's own words; a CPU is started, or has stopped. */
enum vmm_log_kind { VMM_LOG_BEAT = 1, VMM_LOG_ROUND, VMM_LOG_START, VMM_LOG_STOP };

/**
 * struct vmm_log_entry - one of them
 * @tsc:    the time stamp counter
 * @real:   CLOCK_REALTIME, in ns
 * @raw:    CLOCK_MONOTONIC_RAW, in ns
 * @kind:   enum vmm_log_kind
 * @number: of the heartbeat or round; otherwise of the CPU
 */
struct vmm_log_entry {
	__u64 tsc;
	__u64 real;
	__u64 raw;
	__u32 kind;
	__u32 number;
};

/**
 * struct vmm_log - the ring; zeroes are an empty one
 * @nr:      entries that there have been; the last VMM_LOG_ENTRIES of them are there
 * @khz:     the time stamp counter's rate, as the last machine that used it has told
 * @entries: entry n is at n % VMM_LOG_ENTRIES
 */
struct vmm_log {
	__u64 nr;
	__u64 khz;
	__u64 reserved[2];
	struct vmm_log_entry entries[VMM_LOG_ENTRIES];
};

#define VMM_LOG_SIZE	sizeof(struct vmm_log)

/**
 * struct vmm_pause - how long a guest was away
 * @tsc_us:  from its last word before the last start to its first one after it, by the counter
 * @real_us: the same by CLOCK_REALTIME
 * @stop_us: from the last stop to the last start, by the counter
 */
struct vmm_pause {
	__u64 tsc_us;
	__s64 real_us;
	__u64 stop_us;
};

/* Maps the log that is at an offset of a file, which grows if it is shorter. */
struct vmm_log *vmm_log_map(int fd, __u64 offset);

/* Only the CPU's thread writes to it. */
void vmm_log_add(struct vmm_log *log, enum vmm_log_kind kind, __u32 number);

/* False if the log has not all of it. */
bool vmm_log_pause(const struct vmm_log *log, struct vmm_pause *pause);

#endif /* VMM_LOG_H */
