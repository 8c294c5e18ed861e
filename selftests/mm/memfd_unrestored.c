// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may happen to memory of a retrieved file before a folio stands for it: it
 * turns out to be defective, its block is taken offline, userfaultfd watches for
 * missing pages, the task that brings it in is killed, the file is closed or
 * preserved again while a worker is at it.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"unrestored"
#define PAGE		PLACE_PAGE
#define SIZE		MIB(4)
#define NR_PAGES	(SIZE / PAGE)
#define LARGE		MIB(64)
#define MEMORY		"/sys/devices/system/memory/"
#define PACE		"/sys/kernel/mm/preserve/restore_pace"
#define BAD_PAGE	77
#define SLOW_MIB	2		/* a second: half a minute for a LARGE file */
#define SLOW		"2M"

/* Also the seeds of the content. */
enum {
	F_STATE = 1, F_BAD, F_WATCHED, F_KILLED, F_CLOSED, F_AGAIN, F_MOVED,
	F_END
};

static int fds[F_END];

static __s64 missing(unsigned int f)
{
	return place_fdinfo(fds[f], "preserve-unrestored");
}

/* A worker takes some time for these. */
static size_t size_of(unsigned int f)
{
	return f == F_CLOSED || f == F_AGAIN ? LARGE : SIZE;
}

static bool good(unsigned int f)
{
	return !pattern_check(fds[f], f, 0, size_of(f));
}

/* The next stages have to know which frame it is. */
static void note_frame(void)
{
	char *map = place_map(fds[F_BAD], BAD_PAGE * PAGE, PAGE);
	__u64 pfn;

	place_touch(map);
	pfn = place_pfn(map);
	munmap(map, PAGE);
	fds[F_STATE] = preserve_memfd_create("state", 0);
	require(pfn && pwrite(fds[F_STATE], &pfn, sizeof(pfn), 0) ==
		sizeof(pfn), "note a frame");
}

static void before(void)
{
	int session = stage_session_create(SESSION);
	unsigned int f;

	for (f = F_BAD; f < F_END; f++) {
		fds[f] = preserve_memfd_create("unrestored", 0);
		require(fds[f] >= 0, "create: %d", fds[f]);
		require(!pattern_write(fds[f], f, 0, size_of(f)), "fill");
	}
	note_frame();
	for (f = F_STATE; f < F_END; f++)
		require(!preserve_session_add_fd(session, fds[f], f),
			"preserve");
}

/* --- defective --- */

static void turns_bad(void)
{
	__u64 pfn = 0, page;
	unsigned int wrong = 0;
	char text[32], byte;

	require(pread(fds[F_STATE], &pfn, sizeof(pfn), 0) == sizeof(pfn),
		"which frame");
	snprintf(text, sizeof(text), "%#llx", (unsigned long long)(pfn * PAGE));
	/* Nobody can do anything about it now: the kernel says so. */
	text_write(MEMORY "hard_offline_page", text);
	check(pool_counter("poisoned") == PAGE, "it is noted: %lld",
	      (long long)pool_counter("poisoned"));
	check(missing(F_BAD) == NR_PAGES, "and nothing else happens to it");
	for (page = 0; page < NR_PAGES; page++)
		if (page != BAD_PAGE)
			wrong += !!pattern_check(fds[F_BAD], F_BAD, page * PAGE,
						 PAGE);
	check(!wrong, "%u other pages are wrong", wrong);
	check(pread(fds[F_BAD], &byte, 1, BAD_PAGE * PAGE) == -1 && errno == EIO,
	      "it cannot be read");
}

/* --- userfaultfd --- */

static void is_watched(void)
{
	static char text[PAGE] __attribute__((aligned(4096))) = "other";
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_MISSING_SHMEM };
	char *map = place_map(fds[F_WATCHED], 0, SIZE);
	struct uffdio_register reg = {
		.range = { (unsigned long)map, SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_copy copy = {
		.dst = (unsigned long)map + PAGE,
		.src = (unsigned long)text,
		.len = PAGE,
	};
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffd_msg message;

	require(uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api) &&
		!ioctl(uffd, UFFDIO_REGISTER, &reg), "userfaultfd: %d", errno);
	check(ioctl(uffd, UFFDIO_COPY, &copy) && errno == EEXIST,
	      "no page may come in place of what is there");
	place_touch(map);
	place_touch(map + 2 * PAGE);
	check(read(uffd, &message, sizeof(message)) == -1 && errno == EAGAIN,
	      "what crossed is not missing");
	close(uffd);
	munmap(map, SIZE);
	check(good(F_WATCHED), "content");
}

/* --- killed --- */

static void is_killed(void)
{
	unsigned int i;
	pid_t pid;

	for (i = 1; missing(F_KILLED) && i < 200; i++) {
		fflush(stdout);
		pid = fork();
		require(pid >= 0, "fork");
		if (!pid)
			_exit(!good(F_KILLED));
		usleep(i * 50);
		kill(pid, SIGKILL);
		require(waitpid(pid, NULL, 0) == pid, "wait");
	}
	check(i > 2, "%u tasks were killed on the way", i - 1);
	check(good(F_KILLED), "content");
}

/* --- offline --- */

static int set_state(unsigned int number, const char *state)
{
	char path[80];

	snprintf(path, sizeof(path), MEMORY "memory%u/state", number);
	return text_write(path, state);
}

/*
 * The first block has holes: no kernel takes such a one offline. On arm64, none that was
 * there at boot.
 */
static void goes_offline(void)
{
	unsigned int number, gone = 0;
	bool bad = false;
	char path[80];

#ifdef __aarch64__
	return;
#endif
	for (number = 1; number < 64; number++) {
		snprintf(path, sizeof(path), MEMORY "memory%u/state", number);
		if (access(path, F_OK) || set_state(number, "offline"))
			continue;
		gone++;
		bad |= set_state(number, "online") != 0;
	}
	check(gone && !bad, "%u blocks leave and come back", gone);
	check(good(F_MOVED), "content");
}

/* --- a slow worker --- */

/* Waits until closing a file has freed its memory. Returns the seconds. */
static time_t frees(unsigned int f)
{
	__s64 used = pool_counter("used");
	time_t start = time(NULL);

	close(fds[f]);
	while (pool_counter("used") > used - (__s64)LARGE)
		usleep(20000);
	return time(NULL) - start;
}

/* Waits until a worker has brought in some of a file. */
static void gets_on(unsigned int f)
{
	__s64 was = missing(f);

	while (missing(f) == was)
		usleep(20000);
}

/* Waits until a worker has ended what it is at. */
static __s64 settles(unsigned int f)
{
	__s64 was;

	do {
		was = missing(f);
		sleep(2);
	} while (missing(f) != was);
	return was;
}

/* The worker takes one file after the other. */
static void is_slow(void)
{
	__s64 left, took;
	int next;

	require(!text_write(PACE, SLOW), "pace");
	gets_on(F_CLOSED);
	check(missing(F_CLOSED) > (__s64)(LARGE / PAGE / 2), "it is slow: %lld",
	      (long long)missing(F_CLOSED));
	/* No faster than its pace, however fast or slow the machine is. */
	left = missing(F_CLOSED) * (__s64)PAGE / (__s64)MIB(SLOW_MIB);
	took = frees(F_CLOSED);
	check(took < left / 2,
	      "a file that is closed does not wait for it: %lld s, not %lld s",
	      (long long)took, (long long)left);
	gets_on(F_AGAIN);
	next = stage_session_create(SESSION);
	require(!preserve_session_add_fd(next, fds[F_AGAIN], F_AGAIN),
		"preserve");
	left = settles(F_AGAIN);
	sleep(5);
	check(missing(F_AGAIN) == left, "no worker disturbs a preserved file");
	check(left > 0, "it crosses as it is: %lld", (long long)left);
	require(!text_write(PACE, "0"), "pace");
}

static void between(void)
{
	int session;
	unsigned int f;

	require(!text_write(PACE, "0"), "only on demand");
	session = stage_session_retrieve(SESSION);
	for (f = F_STATE; f < F_END; f++) {
		fds[f] = preserve_session_get_fd(session, f);
		require(fds[f] >= 0, "retrieve %u: %d", f, fds[f]);
	}
	stage_session_finish(session);
	turns_bad();
	is_watched();
	is_killed();
	is_slow();
	/* Makes the folios of all files that are there, also of others. */
	goes_offline();
	check(pool_consistent(), "counters");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);

	fds[F_AGAIN] = preserve_session_get_fd(session, F_AGAIN);
	require(fds[F_AGAIN] >= 0, "retrieve: %d", fds[F_AGAIN]);
	check(good(F_AGAIN), "content");
	check(pool_counter("poisoned") == PAGE, "the bad frame is known");
	stage_session_finish(session);
	close(fds[F_AGAIN]);
	check(pool_consistent(), "counters");
}

static const stage_fn stages[] = { before, between, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
