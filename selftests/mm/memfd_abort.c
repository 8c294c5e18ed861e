// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kexec that is aborted because a handler fails to freeze a file: the files that were
 * frozen before it are as they were, and the next try succeeds.
 *
 * No file of the pool makes it fail. One that cannot be made consistent is given up: the
 * others cross, and the next kernel refuses it. Its map could not follow a write for
 * want of a page, and cannot be made anew for the same reason. Pages are kept for that,
 * so both are made to fail; this needs the debug kernel.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "guest.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define PAGE	KIB(4)
#define SEED	11
#define SIZE	KIB(256)
#define FAIL_FREEZE	"/sys/kernel/debug/preserve/fail_freeze"

enum { TOKEN_GOOD = 1, TOKEN_BAD };

#define MAX_RUNS	600	/* more than a page of the map holds */
#define MAX_NTH		60

static bool map_is_stale(int fd)
{
	char path[64], line[128];
	bool stale = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	require(file, "open %s", path);
	while (fgets(line, sizeof(line), file))
		stale |= !strcmp(line, "preserve-map-stale:\t1\n");
	fclose(file);
	return stale;
}

/* Is there a page at this offset? */
static bool file_has(int fd, __u64 offset)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	bool has = lseek(fd, offset, SEEK_DATA) == (off_t)offset;

	lseek(fd, at, SEEK_SET);
	return has;
}

/*
 * Writes every second page, each with every allocation failing in turn, until
 * the map misses one: when its page is full. Gives that one's offset. Pages near
 * each other, so that the page cache has its nodes: it tolerates a failure there
 * and would take the place of the one that matters.
 */
static __u64 make_stale(int fd)
{
	for (unsigned int run = 1; run < MAX_RUNS; run++) {
		__u64 offset = run * 2 * PAGE;
		bool hit = true;

		for (unsigned int nth = 1; hit && nth < MAX_NTH; nth++) {
			fault_arm(nth);
			pattern_write(fd, SEED, offset, PAGE);
			hit = fault_disarm();
			if (map_is_stale(fd))
				return offset;
			if (file_has(fd, offset))
				break;
		}
	}
	require(false, "no failed allocation makes the map stale");
	return 0;
}

/* The second file fails; the first one is frozen by then. */
static void abort_kexec(int good, int bad)
{
	int err;

	require(!text_write(FAIL_FREEZE, "2") && !vm_load_next(), "load the next kernel");
	err = preserve_kexec_reboot();
	check(err == -EIO, "a kexec is aborted: %d", err);
	check(pool_counter("files") == 2, "both files are still preserved");
	check(!pattern_check(good, SEED, 0, SIZE) && !pattern_check(bad, SEED, 0, PAGE),
	      "content");
	check(ftruncate(good, PAGE) && errno == EPERM, "size is frozen");
	check(!pattern_write(good, SEED + 1, 0, PAGE), "pages can be written");
	check(lseek(good, 77, SEEK_SET) == 77, "position can be set");
}

static void arm(void)
{
	fault_arm(1);
}

static void before(void)
{
	int good_session = stage_session_create("good");
	int bad_session = stage_session_create("bad");
	int good = preserve_memfd_create("good", 0);
	int bad = preserve_memfd_create("bad", 0);
	int filler = preserve_memfd_create("filler", 0);

	require(good >= 0 && bad >= 0 && filler >= 0, "create");
	require(!pattern_write(good, SEED, 0, SIZE), "fill");
	require(!pattern_write(bad, SEED, 0, PAGE), "fill");
	require(!ftruncate(bad, TIB(1)), "size");
	require(!preserve_session_add_fd(good_session, good, TOKEN_GOOD),
		"preserve");
	require(!preserve_session_add_fd(bad_session, bad, TOKEN_BAD),
		"preserve");
	abort_kexec(good, bad);
	fault_setup();
	make_stale(bad);
	/* An idle block would help it over one failed allocation. */
	require(pattern_write(filler, SEED, 0, MIB(64)) == -ENOSPC, "fill all");
	stage_next_after(arm);
}

static void after(void)
{
	int session = stage_session_retrieve("good");
	int good = preserve_session_get_fd(session, TOKEN_GOOD);

	require(good >= 0, "retrieve: %d", good);
	check(!pattern_check(good, SEED + 1, 0, PAGE) &&
	      !pattern_check(good, SEED, PAGE, SIZE - PAGE), "content");
	check(lseek(good, 0, SEEK_CUR) == 77, "position");
	stage_session_finish(session);
	session = stage_session_retrieve("bad");
	check(preserve_session_get_fd(session, TOKEN_BAD) == -EBADMSG,
	      "the other file is refused");
	stage_session_finish(session);
	check(pool_counter("incoming") == PAGE, "its record is set aside, and no more: %lld",
	      (long long)pool_counter("incoming"));
}

static void afterwards(void)
{
	check(!pool_counter("incoming") && !pool_counter("used"), "nothing is left behind");
}

static const stage_fn stages[] = { before, after, afterwards };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
