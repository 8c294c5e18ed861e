// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kexec that is aborted because one file cannot be frozen: the files that
 * were frozen before it are as they were, and the next try succeeds.
 *
 * The file that cannot be frozen is one whose map could not follow a write
 * for want of a page, and cannot be made anew for the same reason. Pages are
 * kept for that, so both are made to fail; this needs the debug kernel.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "guest.h"
#include "liveupdate.h"
#include "memory.h"
#include "stage.h"

#define PAGE	KIB(4)
#define SEED	11
#define SIZE	KIB(256)

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

static void before(void)
{
	int good_session = stage_session_create("good");
	int bad_session = stage_session_create("bad");
	int good = preserve_memfd_create("good", 0);
	int bad = preserve_memfd_create("bad", 0);
	int filler = preserve_memfd_create("filler", 0);
	__u64 far;
	int err;

	require(good >= 0 && bad >= 0 && filler >= 0, "create");
	require(!pattern_write(good, SEED, 0, SIZE), "fill");
	require(!pattern_write(bad, SEED, 0, PAGE), "fill");
	require(!ftruncate(bad, TIB(1)), "size");
	require(!preserve_session_add_fd(good_session, good, TOKEN_GOOD),
		"preserve");
	require(!preserve_session_add_fd(bad_session, bad, TOKEN_BAD),
		"preserve");
	require(!vm_load_next(), "load the next kernel");
	fault_setup();
	far = make_stale(bad);
	/* An idle block would help it over one failed allocation. */
	require(pattern_write(filler, SEED, 0, MIB(64)) == -ENOSPC, "fill all");

	fault_arm(1);
	err = preserve_kexec_reboot();
	check(fault_disarm(), "an allocation was made to fail");
	check(err == -ENOSPC || err == -ENOMEM, "kexec is aborted: %d", err);
	check(pool_counter("files") == 2, "both files are still preserved");
	check(!pattern_check(good, SEED, 0, SIZE) &&
	      !pattern_check(bad, SEED, far, PAGE), "content");
	check(ftruncate(good, PAGE) && errno == EPERM, "size is frozen");
	check(!pattern_write(good, SEED + 1, 0, PAGE), "pages can be written");
	check(lseek(good, 77, SEEK_SET) == 77, "position can be set");

	close(bad_session);
	check(pool_counter("files") == 1, "one file is taken back");
	check(!ftruncate(bad, PAGE), "it is not frozen");
	close(bad);
}

static void after(void)
{
	int session = stage_session_retrieve("good");
	int device = preserve_device_open();
	int good = preserve_session_get_fd(session, TOKEN_GOOD);

	require(good >= 0, "retrieve: %d", good);
	check(!pattern_check(good, SEED + 1, 0, PAGE) &&
	      !pattern_check(good, SEED, PAGE, SIZE - PAGE), "content");
	check(lseek(good, 0, SEEK_CUR) == 77, "position");
	check(preserve_session_retrieve(device, "bad") == -ENOENT,
	      "the other session did not come");
	stage_session_finish(session);
	check(!pool_counter("unclaimed"), "nothing is left behind");
	close(device);
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
