// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory goes offline while a retrieved file is not brought in: only what lies in that
 * memory is, and nothing where the pool has no block.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"vacate"
#define MEMORY		"/sys/devices/system/memory/"
#define PACE		"/sys/kernel/mm/preserve/restore_pace"
#define PIECES		4
#define PIECE		MIB(2)
#define SIZE		(PIECES * PIECE)
/* More than a memory block: each piece is in another. */
#define GAP		MIB(130)
#define MAX_BLOCKS	64
/* A CPU goes on where it was: pages of the next piece that lie with the one before. */
#define AHEAD		KIB(64)

enum { TOKEN = 1 };

static __u64 block_of(__u64 pfn)
{
	static __u64 size;
	char text[64] = "";
	int fd;

	if (!size) {
		fd = open(MEMORY "block_size_bytes", O_RDONLY | O_CLOEXEC);
		require(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0,
			"size of a memory block");
		close(fd);
		size = strtoull(text, NULL, 16);
	}
	return pfn * PLACE_PAGE / size;
}

static int set_state(__u64 number, const char *state)
{
	char path[80];

	snprintf(path, sizeof(path), MEMORY "memory%llu/state",
		 (unsigned long long)number);
	return access(path, F_OK) ? -ENOENT : text_write(path, state);
}

static void before(void)
{
	int filler = preserve_memfd_create("filler", 0);
	int fd = preserve_memfd_create("live", 0), i;
	int session = stage_session_create(SESSION);

	require(filler >= 0 && fd >= 0, "two files");
	for (i = 0; i < PIECES; i++)
		require(!pattern_write(fd, 1, i * PIECE, PIECE) &&
			!fallocate(filler, 0, i * GAP, GAP), "piece %d", i);
	require(!preserve_session_add_fd(session, fd, TOKEN), "preserve");
}

/* Touches one page of each piece: so the blocks that they are in are known. */
static void find(int fd, __u64 *blocks)
{
	unsigned int i;
	char *map;

	for (i = 0; i < PIECES; i++) {
		map = place_map(fd, i * PIECE + PIECE / 2, PLACE_PAGE);
		place_touch(map);
		blocks[i] = block_of(place_pfn(map));
		ksft_print_msg("piece %u is in block %llu\n", i,
			       (unsigned long long)blocks[i]);
	}
}

static bool is_among(__u64 number, const __u64 *blocks)
{
	unsigned int i;

	for (i = 0; i < PIECES; i++)
		if (blocks[i] == number)
			return true;
	return false;
}

/* Takes a block away and back. True if it went; *came: bytes that were brought in. */
static bool take_away(__u64 number, __s64 *came)
{
	__s64 was = pool_counter("unrestored");
	int err = set_state(number, "offline");

	*came = was - pool_counter("unrestored");
	if (!err)
		require(!set_state(number, "online"), "it comes back");
	return !err;
}

/* All blocks, the first of which no kernel takes offline, because it has holes. */
static void elsewhere(const __u64 *blocks)
{
	unsigned int gone = 0;
	__s64 all = 0, came;
	__u64 number;

	for (number = 1; number < MAX_BLOCKS; number++) {
		if (is_among(number, blocks))
			continue;
		gone += take_away(number, &came);
		all += came;
	}
	check(gone, "%u blocks without the file have gone", gone);
	check(!all, "nothing is brought in for them: %lld", (long long)all);
}

/* Large folios, if there are such, are one piece each. */
static void piecewise(const __u64 *blocks)
{
	unsigned int i;
	__s64 came;

	for (i = 0; i < PIECES; i++) {
		if (!blocks[i] || is_among(blocks[i], blocks + i + 1))
			continue;
		take_away(blocks[i], &came);
		check(came <= (__s64)(PIECE + AHEAD), "block %llu: %lld bytes are brought in",
		      (unsigned long long)blocks[i], (long long)came);
	}
}

static void after(void)
{
	/* One more: is_among() looks at as many from any place on. */
	__u64 blocks[2 * PIECES] = {};
	int session, fd;

	require(!text_write(PACE, "0"), "only on demand");
	session = stage_session_retrieve(SESSION);
	fd = preserve_session_get_fd(session, TOKEN);
	require(fd >= 0, "retrieve: %d", fd);
	stage_session_finish(session);
	find(fd, blocks);
	elsewhere(blocks);
	piecewise(blocks);
	check(!pattern_check(fd, 1, 0, SIZE), "the file is whole");
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
