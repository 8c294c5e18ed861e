// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of 1 GiB that are of hugetlb_cma= cross in their place, and each next kernel's area is
 * as large as its command line says, with them in it: freed, they go back there. A kernel whose
 * area is smaller has the others as ordinary pages, and so has one without an area.
 *
 * usage: hugetlb_cma [keep]	free pages cross as well
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "udmabuf.h"

#define SESSION		"cma"
#define AREAS		"/sys/kernel/mm/cma"
#define NR_HUGEPAGES	"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"
#define KEEP_FREE	"/sys/kernel/mm/preserve/hugepages-1048576kB/keep_free"
#define PAGE		GIB(1)
#define FILES		3

static bool keep;

/* Of all areas of hugetlb's, in GiB; -1 if there is none. */
static long area_number(const char *name)
{
	DIR *dir = opendir(AREAS);
	char path[400], text[32];
	struct dirent *entry;
	long nr = -1;
	FILE *file;

	while (dir && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "hugetlb", strlen("hugetlb")))
			continue;
		snprintf(path, sizeof(path), AREAS "/%s/%s", entry->d_name, name);
		file = fopen(path, "re");
		if (!file)
			continue;
		nr = nr < 0 ? 0 : nr;
		if (fgets(text, sizeof(text), file))
			nr += atol(text) / (GIB(1) / sysconf(_SC_PAGESIZE));
		fclose(file);
	}
	if (dir)
		closedir(dir);
	return nr;
}

static void area_check(long total, long available, const char *when)
{
	const long got = area_number("total_pages"), left = area_number("available_pages");

	check(got == total && left == available,
	      "%s: the areas have %ld GiB, %ld of them free; it is %ld and %ld", when, total,
	      available, got, left);
}

static void pool_set(long nr)
{
	char text[16];

	snprintf(text, sizeof(text), "%ld", nr);
	check(!text_write(NR_HUGEPAGES, text), "nr_hugepages is set to %ld", nr);
}

static int file_make(int nr, unsigned int flags)
{
	char name[16];
	int fd;

	snprintf(name, sizeof(name), "file %d", nr);
	fd = huge_memfd(name, PAGE, flags | MFD_ALLOW_SEALING);
	require(fd >= 0 && !ftruncate(fd, PAGE) && !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK),
		"make %s: %d", name, fd);
	huge_fill(fd, nr, 0, 1, PAGE);
	return fd;
}

static void file_preserve(int session, int fd, int nr)
{
	require(!preserve_session_add_fd(session, fd, nr), "preserve file %d", nr);
}

static int file_retrieve(int session, int nr)
{
	int fd = preserve_session_get_fd(session, nr);

	check(fd >= 0 && huge_check(fd, nr, 0, 1, PAGE), "file %d is as it was: %d", nr, fd);
	return fd;
}

/* There is no other page that it could move to. */
static void pin_check(int fd, const char *when)
{
	int buffer = udmabuf_make(fd, MIB(512), MIB(2));

	check(buffer >= 0, "%s: it can be pinned: %d", when, buffer);
	close(buffer);
}

static void run_first(void)
{
	int session = stage_session_create(SESSION), fds[FILES], i;

	area_check(4, 1, "a cold kernel");
	for (i = 0; i < FILES; i++)
		fds[i] = file_make(i, i ? MFD_PRESERVE : 0);
	/* What crosses has a free page in between. */
	close(fds[1]);
	file_preserve(session, fds[0], 0);
	file_preserve(session, fds[2], 2);
	pin_check(fds[0], "preserved");
	books_check(PAGE, (struct books){ .total = 3, .free = 1 }, "two files");
	area_check(4, 1, "they stay where they are");
	check(!keep || !text_write(KEEP_FREE, "max"), "the free page is to cross");
}

static void run_second(void)
{
	int session = stage_session_retrieve(SESSION), first, last, more;

	books_check(PAGE, (struct books){ .total = 3, .free = 1 }, "in all as many as asked for");
	area_check(4, 1, "the area is there again, around what has come");
	first = file_retrieve(session, 0);
	last = file_retrieve(session, 2);
	pin_check(last, "retrieved");
	stage_session_finish(session);
	close(last);
	books_check(PAGE, (struct books){ .total = 3, .free = 2 }, "a file is closed");
	pool_set(1);
	area_check(4, 3, "what has come goes back to the area");
	pool_set(5);
	books_check(PAGE, (struct books){ .total = 4, .free = 3 }, "no page is from elsewhere");
	area_check(4, 0, "all of the area can be used");

	session = stage_session_create(SESSION);
	more = file_make(1, 0);
	last = file_make(2, MFD_PRESERVE);
	file_preserve(session, first, 0);
	file_preserve(session, more, 1);
	file_preserve(session, last, 2);
	check(!keep || !text_write(KEEP_FREE, "max"), "the free page is to cross");
}

static void run_third(void)
{
	const long kept = keep ? 1 : 0;
	int session = stage_session_retrieve(SESSION), fds[FILES], i;

	books_check(PAGE, (struct books){ .total = 3 + kept, .free = kept },
		    "the area is full, and others are not allocated");
	area_check(2, 0, "a smaller area, wholly of what has come");
	for (i = 0; i < FILES; i++)
		fds[i] = file_retrieve(session, i);
	stage_session_finish(session);
	close(fds[0]);
	close(fds[1]);
	pool_set(0);
	books_check(PAGE, (struct books){ .total = 1, .surplus = 1 }, "one file is left");
	check(area_number("total_pages") == 2 && area_number("available_pages") >= 1,
	      "what was of the area is free there");
	session = stage_session_create(SESSION);
	file_preserve(session, fds[2], 2);
}

static void run_last(void)
{
	int session = stage_session_retrieve(SESSION), fd;

	check(area_number("total_pages") < 0, "there is no area");
	books_check(PAGE, (struct books){ .total = 1, .surplus = 1 }, "an ordinary page");
	fd = file_retrieve(session, 2);
	stage_session_finish(session);
	close(fd);
	books_check(PAGE, (struct books){}, "which is memory again");
}

int main(int argc, char **argv)
{
	static const stage_fn stages[] = { run_first, run_second, run_third, run_last };

	keep = argc > 1 && !strcmp(argv[1], "keep");
	return stage_run(stages, STAGE_COUNT(stages));
}
