// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own tests of hugetlb pass as on a stock kernel: on fresh huge pages, and on those
 * that have crossed.
 *
 *	hugetlb_selftests [fresh]	the first part alone, as on a stock kernel
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "program.h"
#include "stage.h"

#define SESSION		"selftests"
#define PAGE		MIB(2)
#define NR_PAGES	190	/* all but what a test may have poisoned */

enum { TOKEN_FILE = 1 };

static const char *const tests[] = {
	"/kernel/mm/hugetlb-madvise",
	"/kernel/mm/hugetlb-mmap",
	"/kernel/mm/hugetlb-mremap",
	"/kernel/mm/hugetlb-read-hwpoison",
	"/kernel/mm/hugetlb-shm",
};

static void run_all(const char *where)
{
	unsigned int i;

	program_prepare_system();
	for (i = 0; i < STAGE_COUNT(tests); i++) {
		struct program test = program_start(PROGRAM_ARGV(tests[i]));
		int status = program_wait(&test);

		if (status)
			program_show(&test);
		check(!status, "%s, %s: %d", strrchr(tests[i], '/') + 1, where, status);
	}
}

static void fresh(void)
{
	run_all("fresh");
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd;

	fresh();
	fd = huge_memfd("selftests", PAGE, MFD_PRESERVE);
	require(fd >= 0 && !ftruncate(fd, NR_PAGES * PAGE), "create a file");
	huge_fill(fd, 1, 0, NR_PAGES, PAGE);
	require(!preserve_session_add_fd(session, fd, TOKEN_FILE), "preserve");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	struct books books;

	fd = preserve_session_get_fd(session, TOKEN_FILE);
	require(fd >= 0, "retrieve: %d", fd);
	stage_session_finish(session);
	check(huge_check(fd, 1, 0, NR_PAGES, PAGE), "a file has its content");
	close(fd);
	books = books_read(PAGE, "closed");
	check(books.free >= NR_PAGES, "its pages are free: %ld", books.free);
	run_all("crossed");
}

int main(int argc, char **argv)
{
	static const stage_fn stages[] = { before, after }, alone[] = { fresh };

	if (argc > 1)
		return stage_run(alone, STAGE_COUNT(alone));
	return stage_run(stages, STAGE_COUNT(stages));
}
