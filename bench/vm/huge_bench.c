// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kexec costs with memory in huge pages that is preserved: runs in a VM. Prints METRIC
 * lines for bench/parts/huge.py.
 *
 *   huge_bench SIZE NR [plain]
 *
 * NR pages of SIZE MiB; none for a kernel that gets nothing.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "huge.h"
#include "memory.h"
#include "metric.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION	"bench"
#define PACE	"/sys/kernel/mm/preserve/restore_pace"
#define LEND	"/sys/kernel/mm/preserve/lend"

static __u64 page;
static size_t nr_pages;
static unsigned int flags = MFD_PRESERVE;

/* Something in each page, which is enough for it to be there. */
static void fill(int fd)
{
	char *map = mmap(NULL, nr_pages * page, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE, fd, 0);
	size_t i;

	require(map != MAP_FAILED, "map");
	for (i = 0; i < nr_pages; i++)
		map[i * page] = 1 + i % 255;
	munmap(map, nr_pages * page);
}

static void preserve(int session, int token, const char *what)
{
	int fd = huge_memfd("bench", page, flags);
	__u64 start;

	require(fd >= 0 && !ftruncate(fd, nr_pages * page), "memfd: %d", fd);
	fill(fd);
	start = now();
	require(!preserve_session_add_fd(session, fd, token), "preserve");
	metric(what, now() - start);
	if (flags)
		metric("runs", place_fdinfo(fd, "preserve-runs"));
}

/* A session's first file has costs of its own, LUO's among them. */
static void before(void)
{
	int session;

	text_write(LEND, "0");
	if (nr_pages) {
		session = stage_session_create(SESSION);
		preserve(session, 1, "preserve");
	}
	tie_clocks("reboot_tsc");
}

static void retrieve(int session)
{
	__u64 start = now();
	int fd = preserve_session_get_fd(session, 1);
	char byte = 0;
	size_t i;

	start = now() - start;
	metric("retrieve", start);
	start = now();
	for (i = 0; i < nr_pages; i++)
		require(pread(fd, &byte, 1, i * page) == 1 && byte == (char)(1 + i % 255),
			"page %zu", i);
	metric("touch", now() - start);
}

static void after(void)
{
	tie_clocks("up_tsc");
	/* What workers do meanwhile would be counted. */
	text_write(PACE, "0");
	text_write(LEND, "0");
	if (nr_pages)
		retrieve(stage_session_retrieve(SESSION));
	check(true, "measured");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	require(argc >= 3, "usage: huge_bench SIZE NR [plain]");
	page = MIB(atoi(argv[1]));
	nr_pages = atoi(argv[2]);
	if (argc > 3)
		flags = 0;
	return stage_run(stages, STAGE_COUNT(stages));
}
