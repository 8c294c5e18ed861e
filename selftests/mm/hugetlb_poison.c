// SPDX-License-Identifier: GPL-2.0-only
/*
 * Defective memory in huge pages: a page of 4 KiB that turns bad before or after its file is
 * preserved fails in two kernels after that, and what is beside it in the same huge page can
 * be read.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"poison"
#define PAGE		MIB(2)
#define SMALL		KIB(4)
#define NR		5
#define ASKED		16	/* as tests.list has it */
#define SEED		3

/* Places of bad memory, in small pages. */
#define BEFORE		(512 + 5)
#define AFTER		(3 * 512 + 100)
#define NR_BAD		2

static const unsigned int bad[NR_BAD] = { BEFORE, AFTER };

static sigjmp_buf on_bus_error;
static atomic_bool touching, poisoning;

static void bus_error(int signal)
{
	if (touching)
		siglongjmp(on_bus_error, 1);
	/* A task that has a page mapped which turns bad is told so by the same signal. */
	if (!poisoning)
		_exit(2);
}

static bool touch_fails(int fd, unsigned int at)
{
	void *const map = huge_map(fd, at / 512 * PAGE, PAGE, PAGE);
	volatile bool failed = true;

	touching = true;
	if (!sigsetjmp(on_bus_error, 1)) {
		place_touch((char *)map + at % 512 * SMALL);
		failed = false;
	}
	touching = false;
	munmap(map, PAGE);
	return failed;
}

static void page_poison(int fd, unsigned int at)
{
	char *map = huge_map(fd, at / 512 * PAGE, PAGE, PAGE);

	poisoning = true;
	require(!madvise(map + at % 512 * SMALL, SMALL, MADV_HWPOISON), "poison %u: %s", at,
		strerror(errno));
	poisoning = false;
	munmap(map, PAGE);
}

static bool is_bad(unsigned int at)
{
	int i;

	for (i = 0; i < NR_BAD; i++)
		if (bad[i] == at)
			return true;
	return false;
}

/* Reads the file in small pages: which fail, and is the rest right? */
static void verify(int fd, unsigned int nr_bad, const char *when)
{
	static __u64 got[SMALL / sizeof(__u64)];
	unsigned int at, failed = 0, wrong = 0;
	ssize_t len;

	for (at = 0; at < NR * 512; at++) {
		len = pread(fd, got, SMALL, at * SMALL);
		if (len == SMALL)
			wrong += is_bad(at) || got[1] != huge_word(SEED, at * SMALL + 8);
		else if (len < 0 && errno == EIO && is_bad(at))
			failed++;
		else
			wrong++;
	}
	check(failed == nr_bad && !wrong, "%s: %u small pages fail, %u are wrong", when, failed,
	      wrong);
	check(touch_fails(fd, BEFORE), "%s: a mapping of the bad page fails", when);
	check(!touch_fails(fd, 0) && huge_check(fd, SEED, 0, 1, PAGE) &&
	      huge_check(fd, SEED, 2, 1, PAGE) && huge_check(fd, SEED, 4, 1, PAGE),
	      "%s: the other huge pages are whole", when);
	check(meminfo_bytes("HardwareCorrupted") == (__s64)(nr_bad * SMALL),
	      "%s: %lld bytes are corrupted", when,
	      (long long)meminfo_bytes("HardwareCorrupted"));
	books_read(PAGE, when);
}

static void file_preserve(int fd)
{
	int err = preserve_session_add_fd(stage_session_create(SESSION), fd, 1);

	require(!err, "preserve: %d", err);
}

static void run_first(void)
{
	int fd = huge_memfd("poison", PAGE, MFD_PRESERVE);

	signal(SIGBUS, bus_error);
	require(fd >= 0 && !ftruncate(fd, NR * PAGE), "make");
	huge_fill(fd, SEED, 0, NR, PAGE);
	page_poison(fd, BEFORE);
	file_preserve(fd);
	page_poison(fd, AFTER);
	verify(fd, NR_BAD, "poisoned");
}

static int file_retrieve(void)
{
	int session = stage_session_retrieve(SESSION), fd;

	signal(SIGBUS, bus_error);
	fd = preserve_session_get_fd(session, 1);
	require(fd >= 0, "retrieve: %d", fd);
	stage_session_finish(session);
	return fd;
}

static void run_next(void)
{
	int fd = file_retrieve();

	verify(fd, NR_BAD, "retrieved");
	file_preserve(fd);
}

static void run_last(void)
{
	int fd = file_retrieve(), other;

	verify(fd, NR_BAD, "again");
	close(fd);
	check(books_read(PAGE, "closed").free == ASKED - NR_BAD,
	      "closed: pages with defective memory are not free");
	/* All that is good can be had, and nothing else. */
	other = huge_memfd("other", PAGE, 0);
	require(other >= 0 && !ftruncate(other, 14 * PAGE), "make");
	huge_fill(other, SEED, 0, 14, PAGE);
	check(huge_check(other, SEED, 0, 14, PAGE), "the good pages are used again");
	check(meminfo_bytes("HardwareCorrupted") == (__s64)(NR_BAD * SMALL),
	      "the bad ones are not");
}

int main(void)
{
	static const stage_fn stages[] = { run_first, run_next, run_last };

	return stage_run(stages, STAGE_COUNT(stages));
}
