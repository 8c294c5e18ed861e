// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the way of a hugetlbfs is made to fail in turn: of preserving it, and of
 * retrieving it. A failure is a clean error, all is as it was, and what failed once works the
 * next time. A retrieved tree has all of its files, though one may have had no memory to begin
 * with, and the counters of huge pages are right at every step.
 *
 * Uses the kernel's fault injection, so it runs on the debug kernel.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "books.h"
#include "fault.h"
#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"faults"
#define PAGE		MIB(2)
#define ASKED		64
#define NR_TREES	8
#define TREE_PAGES	5
#define ASIDE		8	/* of the last tree alone */
#define MAX_NTH		3000

static const struct file {
	const char *name;
	unsigned int size;
	unsigned int parts[2][2];
} files[] = {
	{ "a", 2, { { 0, 2 } } },
	{ "d/b", 1, { { 0, 1 } } },
	{ "d/c", 4, { { 0, 1 }, { 3, 1 } } },
};

static const char *place(unsigned int tree)
{
	static char dir[16];

	snprintf(dir, sizeof(dir), "/tree-%u", tree);
	return dir;
}

static int file_open(unsigned int tree, unsigned int i, int flags)
{
	return open(path_in(place(tree), files[i].name), flags | O_RDWR | O_CLOEXEC, 0600);
}

static void tree_fill(unsigned int tree)
{
	const char *options = tree == NR_TREES - 1 ?
			      "pagesize=2M,size=32M,min_size=16M,nr_inodes=20" : "pagesize=2M";
	unsigned int i, p;
	int fd;

	mkdir(place(tree), 0755);
	require(!mount("tree", place(tree), "hugetlbfs", 0, options), "mount");
	require(!mkdir(path_in(place(tree), "d"), 0700), "directory");
	for (i = 0; i < STAGE_COUNT(files); i++) {
		fd = file_open(tree, i, O_CREAT | O_EXCL);
		require(fd >= 0 && !ftruncate(fd, files[i].size * PAGE), "make a file");
		for (p = 0; p < 2 && files[i].parts[p][1]; p++)
			huge_fill(fd, tree, files[i].parts[p][0], files[i].parts[p][1], PAGE);
		close(fd);
	}
}

static bool tree_good(unsigned int tree)
{
	bool good = true;
	unsigned int i, p;
	int fd;

	for (i = 0; i < STAGE_COUNT(files); i++) {
		fd = file_open(tree, i, 0);
		good &= fd >= 0;
		for (p = 0; p < 2 && fd >= 0 && files[i].parts[p][1]; p++)
			good &= huge_check(fd, tree, files[i].parts[p][0], files[i].parts[p][1],
					   PAGE);
		close(fd);
	}
	return good && huge_is_hole(fd = file_open(tree, 2, 0), 1, PAGE) && !close(fd);
}

/* With @attached trees of the first ones retrieved, or all of them made. */
static struct books books_of(unsigned int attached)
{
	struct books books = { .total = ASKED, .free = ASKED - NR_TREES * TREE_PAGES };

	books.resv = attached == NR_TREES ? ASIDE - TREE_PAGES : 0;
	return books;
}

static bool books_are(struct books want)
{
	struct books now;

	return !books_get(PAGE, &now) && now.total == want.total && now.free == want.free &&
	       now.resv == want.resv && now.surplus == want.surplus;
}

static void preserve_faults(unsigned int tree)
{
	__s64 used = pool_counter("used");
	unsigned int nth, failed = 0;

	for (nth = 1; nth < MAX_NTH; nth++) {
		int session = stage_session_create("preserve-faults"), fd = tree_open(place(tree));
		bool hit;
		int err;

		fault_arm(nth);
		err = preserve_session_add_fd(session, fd, 1);
		hit = fault_disarm();
		failed += !!err;
		require(!err || err == -ENOMEM || err == -ENOSPC, "preserve, allocation %u: %d",
			nth, err);
		close(fd);
		close(session);
		require(!pool_counter("preserved") && !pool_counter("files"),
			"allocation %u leaves something claimed", nth);
		require(books_are(books_of(NR_TREES)), "allocation %u: the books are wrong", nth);
		if (!hit)
			break;
	}
	check(nth < MAX_NTH && failed, "preserving: %u allocations, %u errors", nth - 1, failed);
	check(pool_counter("used") <= used + (__s64)KIB(8), "no page is leaked: %lld, %lld",
	      (long long)pool_counter("used"), (long long)used);
	check(tree_good(tree) && !mkdir(path_in(place(tree), "new"), 0700) &&
	      !rmdir(path_in(place(tree), "new")) && !chmod(path_in(place(tree), "a"), 0640),
	      "the tree is intact, and does not stand still");
}

static void before(void)
{
	unsigned int i;
	int session, fd;

	fault_setup();
	for (i = 0; i < NR_TREES; i++)
		tree_fill(i);
	preserve_faults(0);
	preserve_faults(NR_TREES - 1);
	session = stage_session_create(SESSION);
	for (i = 0; i < NR_TREES; i++) {
		fd = tree_open(place(i));
		require(!preserve_session_add_fd(session, fd, i), "preserve tree %u", i);
		close(fd);
	}
	books_check(PAGE, books_of(NR_TREES), "preserved");
}

/*
 * Every try fails one allocation later. The first that only a file has missed ends it, so each
 * tree begins with a later one.
 */
static int retrieve_faults(int session, unsigned int tree, unsigned int *nth, unsigned int *hits)
{
	bool hit;
	int fd;

	for (; *nth < MAX_NTH; ++*nth) {
		fault_arm(*nth);
		fd = preserve_session_get_fd(session, tree);
		hit = fault_disarm();
		*hits += hit;
		if (fd >= 0)
			return fd;
		require(hit && (fd == -ENOMEM || fd == -ENOSPC), "retrieve, allocation %u: %d",
			*nth, fd);
		require(books_are(books_of(tree)), "allocation %u: the books are wrong", *nth);
	}
	require(false, "tree %u is never retrieved", tree);
	return -1;
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	unsigned int i, nth = 1, hits = 0;

	require(!text_write("/sys/kernel/mm/preserve/restore_pace", "0"), "only on demand");
	fault_setup();
	for (i = 0; i < NR_TREES; i++) {
		/* The last has limits, and so more that may fail. */
		if (i == NR_TREES - 1)
			nth = 1;
		fd = retrieve_faults(session, i, &nth, &hits);
		check(!tree_attach(fd, place(i)), "tree %u comes, allocation %u", i, nth);
		close(fd);
		nth += i < NR_TREES / 2 ? 1 : 7;
	}
	check(hits > NR_TREES, "retrieving: %u failures", hits);
	books_check(PAGE, books_of(NR_TREES), "retrieved");
	for (i = 0; i < NR_TREES; i++)
		check(tree_good(i), "tree %u is good", i);
	stage_session_finish(session);
	for (i = 0; i < NR_TREES; i++)
		require(!umount(place(i)), "unmount tree %u", i);
	books_check(PAGE, (struct books){ ASKED, ASKED, 0, 0 }, "unmounted");
	check(!pool_counter("incoming"), "nothing stays set aside: %lld",
	      (long long)pool_counter("incoming"));
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
