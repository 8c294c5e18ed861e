// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hugetlb cgroup of files that cross: their reservations and pages are charged to the
 * cgroup of the task that retrieves them, whatever its limit, and page by page; a cgroup that
 * goes meanwhile can be removed, and its parent has the rest; nothing stays charged when the
 * files are gone.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

#define SESSION		"cgroup"
#define TOP		"/cgroup"
#define UPPER		TOP "/upper"
#define LOWER		UPPER "/lower"
#define PAGE		MIB(2)
#define PAGES		4
#define SIZE		6

enum { TOKEN_FILE = 1 };

static void put(const char *dir, const char *file, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	require(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s to %s: %s",
		text, path, strerror(errno));
	close(fd);
}

/* In pages. */
static long charged(const char *dir, const char *what)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/hugetlb.2MB.%scurrent", dir, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	require(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0, "read %s", path);
	close(fd);
	return atoll(text) / PAGE;
}

static void check_charged(const char *dir, long used, long reserved, const char *when)
{
	long now = charged(dir, ""), rsvd = charged(dir, "rsvd.");

	check(now == used && rsvd == reserved, "%s: %s has %ld of %ld pages, %ld of %ld reserved",
	      when, dir + sizeof(TOP), now, used, rsvd, reserved);
}

static void enter(const char *dir)
{
	put(dir, "cgroup.procs", "0");
}

static void cgroups_make(void)
{
	mkdir(TOP, 0755);
	require(!mount("cgroup", TOP, "cgroup2", 0, NULL), "mount cgroups");
	put(TOP, "cgroup.subtree_control", "+hugetlb");
	require(!mkdir(UPPER, 0755), "upper");
	put(UPPER, "cgroup.subtree_control", "+hugetlb");
	require(!mkdir(LOWER, 0755), "lower");
}

static void make(void)
{
	int session, fd;

	cgroups_make();
	enter(LOWER);
	fd = huge_memfd("file", PAGE, MFD_PRESERVE);
	require(fd >= 0 && !ftruncate(fd, SIZE * PAGE), "create a file");
	huge_unmap(huge_map(fd, 0, SIZE * PAGE, PAGE), SIZE * PAGE);
	huge_fill(fd, 1, 0, PAGES, PAGE);
	check_charged(LOWER, PAGES, SIZE, "made");
	session = stage_session_create(SESSION);
	require(!preserve_session_add_fd(session, fd, TOKEN_FILE), "preserve");
	check_charged(LOWER, PAGES, SIZE, "preserved");
}

static sigjmp_buf escape;

static void bus(int sig)
{
	siglongjmp(escape, 1);
}

/* Does a task that has too much get a page more? */
static bool gets_more(int fd)
{
	volatile char *map = huge_map(fd, 0, SIZE * PAGE, PAGE);
	volatile bool more = false;

	signal(SIGBUS, bus);
	if (!sigsetjmp(escape, 1)) {
		map[(SIZE - 1) * PAGE] = 1;
		more = true;
	}
	signal(SIGBUS, SIG_DFL);
	huge_unmap((void *)map, SIZE * PAGE);
	return more;
}

static int retrieve(void)
{
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, TOKEN_FILE);

	require(fd >= 0, "get the file: %d", fd);
	check_charged(LOWER, 0, SIZE, "retrieved");
	stage_session_finish(session);
	return fd;
}

static void after(void)
{
	int fd;

	require(!text_write("/sys/kernel/mm/preserve/restore_pace", "0"), "only on demand");
	cgroups_make();
	put(LOWER, "hugetlb.2MB.max", "2097152");
	enter(LOWER);
	fd = retrieve();
	check(huge_check(fd, 1, 0, 2, PAGE), "two pages have their content");
	check_charged(LOWER, 2, SIZE, "two pages are there");
	check(!gets_more(fd), "the limit holds for what is new");
	check_charged(LOWER, 2, SIZE, "nothing is new");
	enter(TOP);
	check(!rmdir(LOWER), "a cgroup with charges can be removed");
	check_charged(UPPER, 2, SIZE, "it is removed");
	check(huge_check(fd, 1, 2, 2, PAGE), "the others have their content");
	check_charged(UPPER, PAGES, SIZE, "all pages are there");
	close(fd);
	check_charged(UPPER, 0, 0, "closed");
	check(!rmdir(UPPER), "the other can be removed");
	books_check(PAGE, (struct books){ .total = 16, .free = 16 }, "closed");
}

int main(void)
{
	static const stage_fn stages[] = { make, after };

	return stage_run(stages, STAGE_COUNT(stages));
}
