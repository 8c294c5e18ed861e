// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compaction of a pool that has reached its limit and has no idle block: many files
 * lie in all of its blocks, in small pieces, and what was between the pieces is gone.
 * The emptiest blocks are emptied first, so that there are targets; the files then
 * fill half of the blocks, and are intact.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define COMPACT		"/sys/kernel/mm/preserve/compact"
#define LEND		"/sys/kernel/mm/preserve/lend"
#define BLOCK		MIB(2)
#define PIECE		KIB(64)
#define NR_FILES	32

static int fds[NR_FILES];

/* Returns what each file has. */
static __u64 fill_pool(void)
{
	__u64 at, most = pool_counter("size") - 2 * BLOCK;
	int i;

	for (i = 0; i < NR_FILES; i++) {
		fds[i] = preserve_memfd_create("crowded", 0);
		require(fds[i] >= 0, "memfd");
	}
	for (at = 0; (at + PIECE) * NR_FILES <= most; at += PIECE)
		for (i = 0; i < NR_FILES; i++)
			require(!pattern_write(fds[i], i + 1, at, PIECE),
				"file %d at %llu", i, (unsigned long long)at);
	return at;
}

static unsigned int wrong_files(__u64 size)
{
	unsigned int wrong = 0;
	int i;

	for (i = 0; i < NR_FILES; i += 2)
		wrong += !!pattern_check(fds[i], i + 1, 0, size);
	return wrong;
}

static __s64 busy_blocks(void)
{
	return (pool_counter("size") - pool_counter("idle")) / (__s64)BLOCK;
}

static void run(void)
{
	__u64 size;
	__s64 was, busy;
	int err, i;

	require(!text_write(LEND, "0"), "nothing is lent");
	size = fill_pool();
	for (i = 1; i < NR_FILES; i += 2)
		close(fds[i]);
	was = busy_blocks();
	/* One may have had metadata only. */
	check(pool_counter("idle") <= (__s64)BLOCK, "all of %lld blocks are in use",
	      (long long)was);
	err = text_write(COMPACT, "1");
	check(!err, "the pool is packed: %d", err);
	busy = busy_blocks();
	/* A page that is in use for a moment keeps its block. */
	check(busy <= was * 5 / 8, "%lld blocks are in use then",
	      (long long)busy);
	check(!wrong_files(size), "the files are intact");
}

int main(void)
{
	static const stage_fn stages[] = { run };

	return stage_run(stages, STAGE_COUNT(stages));
}
