// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that share blocks, of which only one is preserved: what happens to the
 * others in the same blocks, before the kexec and after it, leaves it as it is.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"shared"
#define TOKEN		1
#define PAGE		KIB(4)
#define NR_PAGES	1024
#define SIZE		(NR_PAGES * PAGE)
#define POOL_SIZE	MIB(16)	/* all that the command line allows */

enum { SEED_KEPT = 1, SEED_OTHER, SEED_LATER };

static int make(const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0, "create %s: %d", name, fd);
	return fd;
}

/* Writes until the pool has no more, so also into gaps. */
static size_t fill_up(int fd, __u64 seed)
{
	size_t at = 0;
	int err = 0;

	while (!err) {
		err = pattern_write(fd, seed, at, PAGE);
		at += PAGE;
		require(at <= POOL_SIZE, "no limit");
	}
	require(err == -ENOSPC, "full: %d", err);
	return at - PAGE;
}

/* How many blocks have frames of both? */
static unsigned int shared_blocks(int a, int b)
{
	static __u64 frames[2][POOL_SIZE / PAGE];
	unsigned int i, k, nr = 0;
	__u64 last = 0;

	place_frames(a, frames[0], STAGE_COUNT(frames[0]));
	place_frames(b, frames[1], STAGE_COUNT(frames[1]));
	for (i = 0; i < NR_PAGES; i++) {
		__u64 block = frames[0][i] / (LOAD_BLOCK / PAGE);

		if (!block || block == last)
			continue;
		for (k = 0; k < STAGE_COUNT(frames[1]); k++)
			if (frames[1][k] / (LOAD_BLOCK / PAGE) == block)
				break;
		nr += k < STAGE_COUNT(frames[1]);
		last = block;
	}
	return nr;
}

static void before(void)
{
	int kept = make("kept"), other = make("other"), later, session, err;
	size_t size;
	__u64 at;

	for (at = 0; at < SIZE; at += PAGE)
		require(!pattern_write(kept, SEED_KEPT, at, PAGE) &&
			!pattern_write(other, SEED_OTHER, at, PAGE), "fill");
	check(shared_blocks(kept, other), "%u blocks have pages of both files",
	      shared_blocks(kept, other));
	session = stage_session_create(SESSION);
	require(!preserve_session_add_fd(session, kept, TOKEN), "preserve");

	/* The other's half goes, somebody else comes to where it was. */
	require(!fallocate(other, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   SIZE / 2, SIZE / 2), "punch");
	later = make("later");
	size = fill_up(later, SEED_LATER);
	check(shared_blocks(kept, later), "%u blocks with a later file",
	      shared_blocks(kept, later));
	close(other);
	check(!pattern_check(kept, SEED_KEPT, 0, SIZE) &&
	      !pattern_check(later, SEED_LATER, 0, size),
	      "both are as they were");

	/* Blocks of a frozen file neither leave nor are lent. */
	err = pool_set("size", 0);
	check(err == -EBUSY, "a pool in use cannot go: %d", err);
	check(pool_counter("size") - pool_counter("idle") >= (__s64)SIZE,
	      "the blocks are there");
	/* It goes with this kernel, after a last write. */
	require(!pattern_write(later, SEED_OTHER, 0, size), "write");
}

static void after(void)
{
	__s64 used = pool_counter("used");
	int session, fd, later;

	check(used >= (__s64)SIZE && used < (__s64)(SIZE + SIZE / 8),
	      "the preserved file's pages are used, no others: %lld kB",
	      (long long)used >> 10);
	later = make("later");
	fill_up(later, SEED_LATER);
	session = stage_session_retrieve(SESSION);
	fd = preserve_session_get_fd(session, TOKEN);
	check(fd >= 0 && !pattern_check(fd, SEED_KEPT, 0, SIZE),
	      "the file is as it was: %d", fd);
	check(shared_blocks(fd, later), "%u blocks with a new file",
	      shared_blocks(fd, later));
	close(later);
	stage_session_finish(session);
	check(!pattern_check(fd, SEED_KEPT, 0, SIZE), "still is");
	close(fd);
	check(pool_consistent(), "counters");
	check(!pool_set("size", 2 * LOAD_BLOCK), "its blocks can go");
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
