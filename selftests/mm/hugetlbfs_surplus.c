// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a mount sets aside holds where most of its pages are surplus: those that its files give
 * back stay for it, and no mapping is promised a page that is not there.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"surplus"
#define MOUNT		"/huge"
#define PAGE		MIB(2)
#define ASIDE		10
#define ASKED		2	/* in the second kernel */
#define GONE		5

static int file_open(unsigned int i, int flags)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), MOUNT "/%u", i);
	fd = open(path, flags | O_RDWR | O_CLOEXEC, 0600);
	require(fd >= 0, "open %s: %s", path, strerror(errno));
	return fd;
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd;
	unsigned int i;

	mkdir(MOUNT, 0755);
	require(!mount("tree", MOUNT, "hugetlbfs", 0, "pagesize=2M,min_size=20M"), "mount");
	for (i = 0; i < ASIDE; i++) {
		fd = file_open(i, O_CREAT);
		require(!ftruncate(fd, PAGE), "size");
		huge_fill(fd, i, 0, 1, PAGE);
		close(fd);
	}
	fd = tree_open(MOUNT);
	require(!preserve_session_add_fd(session, fd, 1), "preserve");
	close(fd);
}

/* With so many pages in files. */
static struct books books_of(long used)
{
	return (struct books){
		.total = ASIDE, .free = ASIDE - used, .resv = ASIDE - used,
		.surplus = ASIDE - ASKED,
	};
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd = preserve_session_get_fd(session, 1);
	char path[32], *map;
	unsigned int i;

	require(fd >= 0 && !tree_attach(fd, MOUNT), "attach: %d", fd);
	close(fd);
	stage_session_finish(session);
	books_check(PAGE, books_of(ASIDE), "retrieved");
	for (i = 0; i < GONE; i++) {
		snprintf(path, sizeof(path), MOUNT "/%u", i);
		require(!unlink(path), "remove %s", path);
	}
	books_check(PAGE, books_of(ASIDE - GONE), "files are gone");
	fd = file_open(ASIDE, O_CREAT);
	require(!ftruncate(fd, GONE * PAGE), "size");
	map = huge_map(fd, 0, GONE * PAGE, PAGE);
	for (i = 0; i < GONE; i++)
		map[i * PAGE] = 1;
	check(map[0], "what a mapping is promised is there");
	huge_unmap(map, GONE * PAGE);
	close(fd);
	books_check(PAGE, books_of(ASIDE), "another file has them");
	check(!umount(MOUNT), "unmounted");
	books_check(PAGE, (struct books){ .total = ASKED, .free = ASKED }, "unmounted");
}

int main(void)
{
	static const stage_fn stages[] = { before, after };

	return stage_run(stages, STAGE_COUNT(stages));
}
