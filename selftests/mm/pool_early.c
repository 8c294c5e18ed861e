// SPDX-License-Identifier: GPL-2.0-only
/*
 * Struct pages of preserved memory that are initialised late: everybody who walks
 * pfns finds all of them sane, and they are what they were, over two kexecs. The
 * second stage's kernel is told to initialise all of them early.
 *
 * Needs memory above 4 GiB: below, nothing is initialised late. The arguments are
 * the size of the file in MiB and the node of the pool.
 */

#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"early"
#define SEED		5
#define LOW_END		GIB(4)
#define PAGE		KIB(4)
#define SKIPPED		MIB(192)

#define BIT_OF(n)	(1ULL << (n))

static size_t size = MIB(256);
static int node;

/* Every struct page, of memory there is and of holes. Returns how many were read. */
static unsigned long walk(const char *path, unsigned long *nr_set, __u64 mask)
{
	static __u64 words[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned long nr = 0, i;
	ssize_t got;

	require(fd >= 0, "%s", path);
	*nr_set = 0;
	while ((got = read(fd, words, sizeof(words))) > 0) {
		for (i = 0; i < got / sizeof(*words); i++)
			*nr_set += !!(words[i] & mask);
		nr += got / sizeof(*words);
	}
	close(fd);
	return nr;
}

static void walk_all(void)
{
	unsigned long pages = meminfo_bytes("MemTotal") / PAGE, nr, free, counted;

	nr = walk("/proc/kpageflags", &free, BIT_OF(KPF_BUDDY) |
		  BIT_OF(KPF_SLAB));
	check(nr >= pages && free && free <= nr, "%lu pages, %lu free or slab",
	      nr, free);
	nr = walk("/proc/kpagecount", &counted, ~0ULL);
	check(nr >= pages && counted && counted < nr, "%lu pages, %lu mapped",
	      nr, counted);
	check(!text_write("/proc/sys/vm/compact_memory", "1"), "compaction");
}

/* Samples, one a pageblock, and not its first page. */
static bool in_place(int fd)
{
	char *map = place_map(fd, 0, size);
	bool good = true;
	size_t at;

	for (at = PAGE; at < size; at += LOAD_BLOCK) {
		place_touch(map + at);
		good &= place_pfn(map + at) >= LOW_END / PAGE;
		/* What says where a page is comes from its struct page. */
		good &= place_node(map + at) == node;
	}
	munmap(map, size);
	return good;
}

static void keep(int fd)
{
	int session = stage_session_create(SESSION);

	require(!preserve_session_add_fd(session, fd, 1), "preserve");
}

static int get(void)
{
	int session = stage_session_retrieve(SESSION), fd;

	fd = preserve_session_get_fd(session, 1);
	require(fd >= 0, "retrieve: %d", fd);
	check(!pattern_check(fd, SEED, 0, size), "content");
	check(in_place(fd), "it is where it was");
	stage_session_finish(session);
	return fd;
}

static void before(void)
{
	int before = preserve_memfd_create("before", 0), fd;

	/* The first section of a node is initialised early in any case. */
	require(before >= 0 && !fallocate(before, 0, 0, SKIPPED), "space");
	fd = preserve_memfd_create("early", 0);
	require(fd >= 0 && !pattern_write(fd, SEED, 0, size), "a file");
	check(in_place(fd), "its memory is above 4 GiB, on node %d", node);
	keep(fd);
	close(before);
}

static void between(void)
{
	walk_all();
	keep(get());
}

static void after(void)
{
	int fd;

	walk_all();
	fd = get();
	close(fd);
	check(pool_consistent(), "counters");
}

static const stage_fn stages[] = { before, between, after };

int main(int argc, char **argv)
{
	if (argc > 1)
		size = MIB(atoi(argv[1]));
	if (argc > 2)
		node = atoi(argv[2]);
	return stage_run(stages, STAGE_COUNT(stages));
}
