// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the way of a file in huge pages is made to fail in turn: of preserving
 * it, of filling a hole while it is preserved, of retrieving and reading it. Each failure is a
 * clean error, the file is as it was, what failed once works the next time, and the counters
 * of huge pages and of the pool are right in the end.
 *
 * Uses the kernel's fault injection, so it runs on the debug kernel.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "books.h"
#include "fault.h"
#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"faults"
#define PAGE		MIB(2)
#define NR_PAGES	4
#define NR_RETRIEVE	10
#define MAX_NTH		400
#define ASKED		64

enum { TOKEN_FIRST = 1000 };

/* Every second page, so that the map has something to hold. */
static int file_make(unsigned int flags, __u64 seed)
{
	int fd = huge_memfd("faults", PAGE, flags), i;

	require(fd >= 0 && !ftruncate(fd, NR_PAGES * PAGE), "make: %d", fd);
	for (i = 0; i < NR_PAGES; i += 2)
		huge_fill(fd, seed, i, 1, PAGE);
	return fd;
}

static bool intact(int fd, __u64 seed)
{
	return huge_check(fd, seed, 0, 1, PAGE) && huge_check(fd, seed, 2, 1, PAGE);
}

static void preserve_faults(unsigned int flags)
{
	int fd = file_make(flags, 4);
	__s64 used = pool_counter("used");
	unsigned int nth, failed = 0;

	for (nth = 1; nth < MAX_NTH; nth++) {
		int session = stage_session_create("preserve-faults");
		bool hit;
		int err;

		fault_arm(nth);
		err = preserve_session_add_fd(session, fd, 1);
		hit = fault_disarm();
		failed += !!err;
		require(!err || err == -ENOMEM || err == -ENOSPC,
			"preserve, allocation %u: %d", nth, err);
		close(session);
		require(!pool_counter("preserved") && !pool_counter("files"),
			"allocation %u leaves something claimed", nth);
		if (!hit)
			break;
	}
	check(nth < MAX_NTH && failed, "preserving: %u allocations, %u errors", nth - 1, failed);
	check(pool_counter("used") <= used + (__s64)KIB(4), "no page is leaked: %lld, %lld",
	      (long long)pool_counter("used"), (long long)used);
	check(intact(fd, 4) && !ftruncate(fd, 2 * NR_PAGES * PAGE),
	      "the file is intact, and is not frozen");
	close(fd);
}

/* In a process of its own, which a failed fault ends. */
static int fill(int fd, unsigned int at, unsigned int nth, bool *hit)
{
	volatile char *map = huge_map(fd, at * PAGE, PAGE, PAGE);
	int status;
	pid_t pid;

	*hit = false;
	pid = fork();
	if (!pid) {
		fault_arm(nth);
		*map = 1;
		_exit(fault_disarm());
	}
	require(waitpid(pid, &status, 0) == pid, "wait");
	huge_unmap((void *)map, PAGE);
	if (WIFSIGNALED(status)) {
		*hit = true;
		return WTERMSIG(status);
	}
	*hit = WEXITSTATUS(status);
	return 0;
}

/* Holes of a file that is preserved. */
static void hole_faults(void)
{
	int session = stage_session_create("hole-faults");
	unsigned int nth, failed = 0;
	int fd, sig;
	bool hit;

	for (nth = 1; nth < MAX_NTH; nth++) {
		fd = file_make(MFD_PRESERVE, 5);
		require(!preserve_session_add_fd(session, fd, nth), "preserve");
		sig = fill(fd, 1, nth, &hit);
		require(!sig || sig == SIGBUS, "fill, allocation %u: signal %d", nth, sig);
		failed += !!sig;
		huge_fill(fd, 5, 1, 1, PAGE);
		require(intact(fd, 5) && huge_check(fd, 5, 1, 1, PAGE) &&
			huge_is_hole(fd, 3, PAGE), "content after allocation %u", nth);
		close(fd);
		if (!hit)
			break;
		/* All of them would be too many. */
		if (!(nth % 8)) {
			close(session);
			session = stage_session_create("hole-faults");
		}
	}
	close(session);
	check(nth < MAX_NTH, "filling holes: %u allocations, %u errors", nth - 1, failed);
}

static void before(void)
{
	int session, fd, i;

	fault_setup();
	preserve_faults(0);
	preserve_faults(MFD_PRESERVE);
	hole_faults();
	books_check(PAGE, (struct books){ ASKED, ASKED, 0, 0 }, "faults");

	session = stage_session_create(SESSION);
	for (i = 0; i < NR_RETRIEVE; i++) {
		fd = file_make(i % 2 ? MFD_PRESERVE : 0, i);
		require(!preserve_session_add_fd(session, fd, TOKEN_FIRST + i),
			"preserve file %d", i);
		close(fd);
	}
}

/*
 * Every try fails one allocation later. One that is spared ends it, so each file begins
 * with a later one.
 */
static int retrieve_faults(int session, unsigned int i, unsigned int *hits)
{
	unsigned int nth;
	bool hit;
	int fd;

	for (nth = 1 + 3 * i; nth < MAX_NTH; nth++) {
		fault_arm(nth);
		fd = preserve_session_get_fd(session, TOKEN_FIRST + i);
		hit = fault_disarm();
		if (fd >= 0)
			return fd;
		require(hit && (fd == -ENOMEM || fd == -ENOSPC),
			"retrieve, allocation %u: %d", nth, fd);
		++*hits;
	}
	require(false, "a file is never retrieved");
	return -1;
}

/* Reading what has crossed must not fail: there would be a hole. */
static void read_faults(int fd, __u64 seed)
{
	unsigned int nth;
	bool hit = true;
	char byte;

	for (nth = 1; hit && nth < MAX_NTH; nth++) {
		fault_arm(nth);
		require(pread(fd, &byte, 1, nth % 2 * 2 * PAGE) == 1, "read, allocation %u: %s",
			nth, strerror(errno));
		hit = fault_disarm();
	}
	require(intact(fd, seed), "content");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd, i;
	unsigned int hits = 0;

	require(!text_write("/sys/kernel/mm/preserve/restore_pace", "0"), "only on demand");
	fault_setup();
	for (i = 0; i < NR_RETRIEVE; i++) {
		fd = retrieve_faults(session, i, &hits);
		read_faults(fd, i);
		require(intact(fd, i), "content of file %d", i);
		close(fd);
	}
	check(hits, "retrieving: %u failures of %u files, all of which come", hits, NR_RETRIEVE);
	stage_session_finish(session);
	close(session);
	books_check(PAGE, (struct books){ ASKED, ASKED, 0, 0 }, "closed");
	check(!pool_counter("incoming"), "nothing stays set aside: %lld",
	      (long long)pool_counter("incoming"));
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
