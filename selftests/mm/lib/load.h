/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory of other programs, and the knobs of the preserve pool.
 *
 * A load is a process that holds memory with a known content: anonymous, and of
 * a plain memfd. It looks at every byte when it is asked, and may have some of
 * the memory pinned, as a device would. It dies with the test.
 */

#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <sys/types.h>

/* The unit of the pool, a pageblock. */
#define LOAD_BLOCK	(2ULL << 20)

struct load;

struct load_spec {
	size_t anon;		/* bytes of anonymous memory */
	size_t cache;		/* bytes of a plain memfd */
	size_t pinned;		/* so much of anon is pinned for long */
	bool scattered;		/* anon has been larger: pages of it are free */
	bool pin_blocks;	/* one page of each pageblock that anon is in */
	const char *cgroup;	/* directory of the cgroup to be in */
};

/* Returns when all is filled and pinned. A failure ends the test. */
struct load *load_start(const struct load_spec *spec);

/*
 * Shorthand for a load that is three quarters anonymous, with free pages in
 * between: they are more than pageblocks that are free as a whole.
 */
struct load *load_fill(size_t bytes);

/* Is every byte as it was? False also if somebody killed the process. */
bool load_good(struct load *load);

/* The same, and the process ends. */
bool load_stop(struct load *load);

/* Pages that pin_blocks has pinned: as many pageblocks have one. */
unsigned int load_nr_pinned(const struct load *load);

/* Enters a cgroup, which is made if it is not there. Ends the test on failure. */
void load_join(const char *cgroup);

/* Bytes of memory, in whole pageblocks: a part of what the machine has. */
size_t load_percent(unsigned int percent);

/* Writes a knob of /sys/kernel/mm/preserve/. 0 or a negative errno. */
int pool_set(const char *knob, __u64 value);

/*
 * Sets the size while others still give memory up: what the kernel unpins for a
 * task that has ended, it unpins some time later.
 */
int pool_grow_in_time(__u64 size);

/* Waits for the worker, as long as it takes: the harness ends a test that waits in vain. */
void pool_await(const char *counter, __s64 least);

/* A counter of nodeN/, all nodes together; a negative errno on failure. */
__s64 pool_node_counter(const char *name);

/*
 * Do the pool's counters fit each other? Waits for one state to last a moment;
 * nobody may use the pool meanwhile. Shows them when they do not.
 */
bool pool_consistent(void);

#endif /* LOAD_H */
