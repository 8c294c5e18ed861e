// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that holds files of the pool is taken offline, block by block: either it
 * goes and the files are elsewhere, or it stays and all is as before. The same
 * with a preserved file, which then goes through a kexec.
 *
 * With the argument "moves", one block at least has to go.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"offline"
#define MEMORY		"/sys/devices/system/memory/"
#define PIECES		16
#define PIECE		MIB(1)
#define SIZE		(PIECES * PIECE)
/* So there are some memory blocks from the first piece to the last. */
#define GAP		MIB(32)
#define NR_PAGES	(SIZE / PLACE_PAGE)
#define MAX_BLOCKS	64

enum { TOKEN = 1 };

/* Memory blocks, by number. */
struct blocks {
	unsigned int nr;
	__u64 numbers[MAX_BLOCKS];
};

static bool has_to_move;

static __u64 read_number(const char *path, int base)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	require(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0, "read %s",
		path);
	close(fd);
	return strtoull(text, NULL, base);
}

static __u64 block_of(__u64 pfn)
{
	static __u64 size;

	if (!size)
		size = read_number(MEMORY "block_size_bytes", 16);
	return pfn * PLACE_PAGE / size;
}

static unsigned int pages_in(const __u64 *pfns, __u64 number)
{
	unsigned int nr = 0;
	size_t i;

	for (i = 0; i < NR_PAGES; i++)
		nr += block_of(pfns[i]) == number;
	return nr;
}

static void find_blocks(int fd, struct blocks *blocks)
{
	static __u64 pfns[NR_PAGES];
	unsigned int known;
	size_t i;

	blocks->nr = 0;
	place_frames(fd, pfns, NR_PAGES);
	for (i = 0; i < NR_PAGES && blocks->nr < MAX_BLOCKS; i++) {
		__u64 number = block_of(pfns[i]);

		require(pfns[i], "page %zu has a frame", i);
		for (known = 0; known < blocks->nr; known++)
			if (blocks->numbers[known] == number)
				break;
		if (known == blocks->nr)
			blocks->numbers[blocks->nr++] = number;
	}
}

static unsigned int pages_of_file_in(int fd, __u64 number)
{
	static __u64 pfns[NR_PAGES];

	place_frames(fd, pfns, NR_PAGES);
	return pages_in(pfns, number);
}

static int set_state(__u64 number, const char *state)
{
	char path[128];

	snprintf(path, sizeof(path), MEMORY "memory%llu/state",
		 (unsigned long long)number);
	return text_write(path, state);
}

static bool is_online(__u64 number)
{
	char path[128];

	snprintf(path, sizeof(path), MEMORY "memory%llu/online",
		 (unsigned long long)number);
	return read_number(path, 10) == 1;
}

/* Takes one block offline and back. True if it went. */
static bool take_away(int fd, __u64 number)
{
	__s64 used = pool_counter("used"), size = pool_counter("size");
	int err = set_state(number, "offline");

	/* The first has holes, and no kernel takes such a one offline. */
	check(!err || err == -EBUSY || (!number && err == -EINVAL),
	      "block %llu goes or stays: %d", (unsigned long long)number, err);
	check(is_online(number) == !!err, "its state says the same");
	check(!pattern_check(fd, 1, 0, SIZE), "the file is intact");
	check(pool_counter("used") == used, "no page of the pool is lost");
	if (!err) {
		check(!pages_of_file_in(fd, number), "no page is in there");
		check(!set_state(number, "online"), "it comes back");
	} else {
		/* The pool gave up blocks on the way, and gets others. */
		pool_await("size", size);
	}
	check(is_online(number), "it is online");
	return !err;
}

/* Takes away each block that the file is in. */
static void take_all(int fd, const char *what)
{
	struct blocks blocks;
	unsigned int i, gone = 0;

	find_blocks(fd, &blocks);
	for (i = 0; i < blocks.nr; i++)
		gone += take_away(fd, blocks.numbers[i]);
	check(gone || !has_to_move, "%s: %u of %u blocks have gone", what,
	      gone, blocks.nr);
}

/* A file all over the pool, which is empty else. */
static int make(void)
{
	int filler = preserve_memfd_create("filler", 0);
	int fd = preserve_memfd_create("live", 0), i;

	require(filler >= 0 && fd >= 0, "two files");
	for (i = 0; i < PIECES; i++)
		require(!pattern_write(fd, 1, i * PIECE, PIECE) &&
			!fallocate(filler, 0, i * GAP, GAP), "piece %d", i);
	close(filler);
	return fd;
}

/* What is pinned cannot move. */
static void pinned_stays(void)
{
	int fd = make(), ring = place_pin(fd, SIZE);
	struct blocks blocks;
	unsigned int i;

	find_blocks(fd, &blocks);
	for (i = 0; i < blocks.nr; i++)
		check(!take_away(fd, blocks.numbers[i]), "pinned: it stays");
	close(ring);
	close(fd);
}

static void before(void)
{
	int session, fd = make(), other;

	take_all(fd, "live");
	close(fd);
	pinned_stays();

	other = preserve_memfd_create("other", 0);
	check(other >= 0 && !pattern_write(other, 2, 0, SIZE) &&
	      !pattern_check(other, 2, 0, SIZE), "the pool goes on");
	close(other);

	session = stage_session_create(SESSION);
	fd = make();
	check(!preserve_session_add_fd(session, fd, TOKEN), "preserve");
	take_all(fd, "preserved");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, TOKEN);

	require(fd >= 0, "retrieve: %d", fd);
	check(!pattern_check(fd, 1, 0, SIZE), "content");
	stage_session_finish(session);
	check(!pool_counter("incoming"), "nothing is left behind");
	/* The file map may be in the same memory: that cannot move. */
	has_to_move = false;
	take_all(fd, "retrieved");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	has_to_move = argc > 1 && !strcmp(argv[1], "moves");
	return stage_run(stages, STAGE_COUNT(stages));
}
