// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of guests has no copy: where a frame is to be taken out of use (soft offline), its page
 * is not dropped as one of a file on a disk is. That is so for a guest_memfd of the pool, for
 * one that has moved there and for one that was retrieved, and also where it is mapped nowhere.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"

#define SESSION		"evict"
#define SOFT_OFFLINE	"/sys/devices/system/memory/soft_offline_page"
#define PAGE		PLACE_PAGE
#define SIZE		MIB(1)
#define PAGES		((__s64)(SIZE / PAGE))

/* The second half is allocated, and zeroes. */
static const struct {
	const char *name;
	__u64 flags;
} files[] = {
	{ "the pool's", VMM_SHARED | GUEST_MEMFD_FLAG_PRESERVE },
	{ "a plain one", VMM_SHARED },
};

#define NR_FILES	STAGE_COUNT(files)

/* The kernel may say that it cannot. */
static void take_away(int fd, __u64 at)
{
	char *map = place_map(fd, at, PAGE), text[32];
	__u64 pfn;

	place_touch(map);
	pfn = place_pfn(map);
	munmap(map, PAGE);
	require(pfn, "its frame");
	/* What is to come to the LRU lists is there then. */
	require(!text_write("/proc/sys/vm/drop_caches", "1"), "drop_caches");
	snprintf(text, sizeof(text), "%#llx", pfn * PAGE);
	ksft_print_msg("soft offline of %s: %d\n", text, text_write(SOFT_OFFLINE, text));
}

static bool whole(int fd)
{
	static const char zeroes[SIZE / 2];
	char *map = place_map(fd, 0, SIZE);
	bool good = pattern_is(map, 1, 0, SIZE / 2) && !memcmp(map + SIZE / 2, zeroes, SIZE / 2);

	munmap(map, SIZE);
	return good;
}

static void verify(int fd, const char *name)
{
	take_away(fd, 0);
	take_away(fd, SIZE / 4);
	take_away(fd, SIZE - PAGE);
	check(place_fdinfo(fd, "preserve-pages") == PAGES, "%s: %lld pages, of %lld", name,
	      (long long)place_fdinfo(fd, "preserve-pages"), (long long)PAGES);
	check(whole(fd), "%s: it is whole", name);
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd;
	struct vmm vmm;
	char *map;
	size_t i;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	for (i = 0; i < NR_FILES; i++) {
		fd = vmm_gmem(&vmm, SIZE, files[i].flags);
		require(fd >= 0, "make: %s", strerror(-fd));
		map = place_map(fd, 0, SIZE / 2);
		pattern_fill(map, 1, 0, SIZE / 2);
		munmap(map, SIZE / 2);
		require(!fallocate(fd, FALLOC_FL_KEEP_SIZE, SIZE / 2, SIZE / 2), "fallocate");
		require(!preserve_session_add_fd(session, fd, i), "preserve");
		verify(fd, files[i].name);
	}
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	size_t i;

	for (i = 0; i < NR_FILES; i++) {
		fd = preserve_session_get_fd(session, i);
		require(fd >= 0, "retrieve: %s", strerror(-fd));
		require(whole(fd), "%s: all of it is there", files[i].name);
		verify(fd, files[i].name);
		close(fd);
	}
	stage_session_finish(session);
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
