// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is claimed for the next kernel is what is preserved, whatever the pool is short
 * of; and a frame that turns out to be defective while it is free stays in the pool,
 * with its block. Both were ways to lose all that was preserved.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"claims"
#define PAGE		PLACE_PAGE
#define NR_SMALL	4000
#define KEPT		MIB(4)
#define HARD_OFFLINE	"/sys/devices/system/memory/hard_offline_page"

/*
 * Small files are preserved until the pool has no page left; then every second of them
 * is given up, so that what is claimed is cut in many places.
 */
static unsigned int preserve_until_full(const int *sessions, int *fds)
{
	unsigned int nr = 0;

	for (; nr < NR_SMALL; nr++) {
		fds[nr] = preserve_memfd_create("small", MFD_CLOEXEC);
		require(fds[nr] >= 0, "small file %u: %d", nr, fds[nr]);
		if (pattern_write(fds[nr], nr, 0, PAGE) ||
		    preserve_session_add_fd(sessions[nr % 2], fds[nr], nr))
			return nr + 1;
	}
	return nr;
}

static void full_pool(void)
{
	int sessions[] = {
		stage_session_create("even"), stage_session_create("odd"),
	};
	static int fds[NR_SMALL];
	unsigned int nr = preserve_until_full(sessions, fds);
	__s64 preserved = pool_counter("preserved");

	check(nr > 1000 && nr < NR_SMALL, "the pool is full with %u files", nr);
	close(sessions[0]);
	check(pool_counter("preserved") <= preserved / 2 + 3 * (__s64)PAGE,
	      "half of them are given up: %lld of %lld are claimed",
	      (long long)pool_counter("preserved"), (long long)preserved);
	close(sessions[1]);
	while (nr--)
		close(fds[nr]);
	check(pool_counter("preserved") == 0,
	      "nothing is claimed when nothing is preserved: %lld",
	      (long long)pool_counter("preserved"));
	check(pool_counter("used") == 0, "nothing is leaked: %lld",
	      (long long)pool_counter("used"));
}

/* A frame that the pool has, and nobody uses. */
static __u64 free_frame(void)
{
	int fd = preserve_memfd_create("for its frame", MFD_CLOEXEC);
	__u64 pfn;

	require(!pattern_write(fd, 1, 0, PAGE), "write");
	place_frames(fd, &pfn, 1);
	require(pfn, "its frame");
	close(fd);
	require(pool_counter("used") == 0, "nothing is in use");
	return pfn;
}

static void poison_free_frame(void)
{
	char text[32];

	snprintf(text, sizeof(text), "%#llx", (unsigned long long)
		 (free_frame() * PAGE));
	/* Nobody's page: the kernel says that it is busy, and has marked it. */
	text_write(HARD_OFFLINE, text);
	check(pool_counter("poisoned") == (__s64)PAGE, "the pool knows");
	check(pool_counter("used") == (__s64)PAGE, "it is free no more");
}

static void before(void)
{
	const struct rlimit files = { NR_SMALL + 100, NR_SMALL + 100 };
	int session, fd;

	require(!setrlimit(RLIMIT_NOFILE, &files), "allow for many files");
	full_pool();
	poison_free_frame();
	fd = preserve_memfd_create("kept", MFD_CLOEXEC);
	require(fd >= 0 && !pattern_write(fd, 7, 0, KEPT), "fill a file");
	session = stage_session_create(SESSION);
	require(!preserve_session_add_fd(session, fd, 1), "preserve it");
	/* Everything that is idle leaves. */
	pool_set("lend", 0);
	pool_set("lend", 1);
	pool_set("size", 0);
	check(pool_counter("size") >= (__s64)(KEPT + LOAD_BLOCK),
	      "the block with the defective frame stays: %lld",
	      (long long)pool_counter("size"));
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, 1);

	check(fd >= 0 && !pattern_check(fd, 7, 0, KEPT), "the file is whole: %d",
	      fd);
	check(pool_counter("poisoned") == (__s64)PAGE,
	      "the defective frame is known: %lld",
	      (long long)pool_counter("poisoned"));
	stage_session_finish(session);
	close(fd);
	check(pool_counter("used") == (__s64)PAGE, "it alone is not free: %lld",
	      (long long)pool_counter("used"));
	check(pool_counter("incoming") == 0, "nothing is left behind");
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
