// SPDX-License-Identifier: GPL-2.0-only
/*
 * Defective memory: a poisoned page of a file fails, before and after a kexec,
 * and no other page does, also when memory moves; a poisoned frame is never used
 * again, whether it is still in a file, was punched out of it, or its file is closed.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"poison"
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define COMPACT		"/sys/kernel/mm/preserve/compact"
#define PAGE		PLACE_PAGE
#define NR_PAGES	64
#define HUGE_PAGES	512
#define POOL		MIB(16)
#define SEED		3

/* Where the poison goes: before and after the file is preserved, and a hole. */
enum { BEFORE = 7, PRESERVED = 21, PUNCHED = 40 };
#define HUGE_BAD	100

enum { TOKEN_STATE = 1, TOKEN_SMALL, TOKEN_HUGE, TOKEN_FREED, TOKEN_APART, TOKEN_BETWEEN };

#define MAX_BAD		8

/* What the later stages have to know. */
struct state {
	unsigned int nr;
	__u64 pfns[MAX_BAD];
};

static sigjmp_buf on_bus_error;
static atomic_bool touching, touch_failed, poisoning;

static void bus_error(int signal)
{
	if (touching)
		siglongjmp(on_bus_error, 1);
	/* Who has a page mapped that turns bad is told so by the same signal. */
	if (!poisoning)
		_exit(2);
}

static bool touch_fails(int fd, unsigned int page)
{
	/* Not changed behind sigsetjmp(), so it is still there after it. */
	void *const map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd,
			       page * PAGE);

	require(map != MAP_FAILED, "map a page");
	touch_failed = true;
	touching = true;
	if (!sigsetjmp(on_bus_error, 1)) {
		place_touch(map);
		touch_failed = false;
	}
	touching = false;
	munmap(map, PAGE);
	return touch_failed;
}

static bool is_bad(int fd, unsigned int page)
{
	char byte;

	return pread(fd, &byte, 1, page * PAGE) == -1 && errno == EIO &&
	       touch_fails(fd, page);
}

/* All pages but those of the set @bad, by number, closed by -1. */
static void others_are_good(int fd, unsigned int nr, const int *bad,
			    const char *when)
{
	unsigned int page, wrong = 0;

	for (page = 0; page < nr; page++) {
		if (page == (unsigned int)*bad) {
			bad++;
			continue;
		}
		if (pattern_check(fd, SEED, page * PAGE, PAGE) ||
		    touch_fails(fd, page))
			wrong++;
	}
	check(!wrong, "%s: %u other pages are wrong", when, wrong);
}

static void poison(int fd, unsigned int page, struct state *state)
{
	char *map = place_map(fd, page * PAGE, PAGE);

	place_touch(map);
	state->pfns[state->nr++] = place_pfn(map);
	require(state->pfns[state->nr - 1], "the frame of page %u", page);
	poisoning = true;
	check(!madvise(map, PAGE, MADV_HWPOISON), "page %u is made bad", page);
	poisoning = false;
	munmap(map, PAGE);
	check(is_bad(fd, page), "page %u fails", page);
}

static int make(const char *name, unsigned int nr)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0 && !pattern_write(fd, SEED, 0, nr * PAGE),
		"fill a file");
	return fd;
}

static bool frames_have(const __u64 *pfns, size_t nr, const struct state *bad)
{
	unsigned int i;
	size_t page;

	for (page = 0; page < nr; page++)
		for (i = 0; i < bad->nr; i++)
			if (pfns[page] == bad->pfns[i])
				return true;
	return false;
}

/* Takes all there is, so a frame that is free would show up. */
static void pool_never_has(const struct state *bad)
{
	static __u64 pfns[POOL / PAGE];
	static const char page[PAGE];
	int fd = preserve_memfd_create("all", 0);
	size_t nr = 0;

	while (nr < POOL / PAGE &&
	       pwrite(fd, page, PAGE, nr * PAGE) == (ssize_t)PAGE)
		nr++;
	check(nr > POOL / PAGE / 2 && nr < POOL / PAGE,
	      "all of the pool is taken: %zu pages", nr);
	place_frames(fd, pfns, nr);
	check(pfns[0] && pfns[nr - 1], "its frames can be told");
	check(!frames_have(pfns, nr, bad), "no bad frame among them");
	close(fd);
}

/* Looks at this kernel's log alone. */
static bool log_has(const char *text)
{
	static char log[1 << 20];
	int length = klogctl(3, log, sizeof(log) - 1);

	require(length >= 0, "read the kernel log");
	log[length] = '\0';
	return strstr(log, text);
}

static void poisoned_is(const struct state *state)
{
	__s64 bytes = pool_counter("poisoned");

	check(bytes == (__s64)(state->nr * PAGE),
	      "the pool knows of %lld bad bytes, for %u pages",
	      (long long)bytes, state->nr);
}

static int make_huge(struct state *state)
{
	static const int bad[] = { HUGE_BAD, -1 };
	int fd;

	require(!text_write(SHMEM_ENABLED, "always"), SHMEM_ENABLED);
	fd = make("huge", HUGE_PAGES);
	require(!text_write(SHMEM_ENABLED, "never"), SHMEM_ENABLED);
	poison(fd, HUGE_BAD, state);
	others_are_good(fd, HUGE_PAGES, bad, "huge");
	return fd;
}

/* A hole where the bad page was; filling it takes a good one. */
static void punch(int fd, unsigned int page, struct state *state)
{
	__u64 frames[NR_PAGES];

	poison(fd, page, state);
	check(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 page * PAGE, PAGE), "it is taken away");
	check(range_is_zero(fd, page * PAGE, PAGE), "a hole is there");
	check(!pattern_write(fd, SEED, page * PAGE, PAGE), "and filled");
	place_frames(fd, frames, NR_PAGES);
	check(frames[page] && !frames_have(&frames[page], 1, state),
	      "with another frame");
}

static void add(int session, int fd, __u64 token)
{
	int err = preserve_session_add_fd(session, fd, token);

	check(!err, "preserve file %llu: %d", (unsigned long long)token, err);
}

static void add_state(int session, const struct state *state)
{
	int fd = preserve_memfd_create("state", 0);

	require(fd >= 0 && pwrite(fd, state, sizeof(*state), 0) ==
		(ssize_t)sizeof(*state), "write the state");
	add(session, fd, TOKEN_STATE);
}

/* A page of one, a page of the other: what moves when one of them is gone. */
static void make_apart(int session, struct state *state)
{
	int between = preserve_memfd_create("between", 0);
	int apart = preserve_memfd_create("apart", 0);
	unsigned int page;

	require(apart >= 0 && between >= 0, "two files");
	for (page = 0; page < NR_PAGES; page++)
		require(!pattern_write(apart, SEED, page * PAGE, PAGE) &&
			!pattern_write(between, SEED, page * PAGE, PAGE), "fill them");
	poison(apart, BEFORE, state);
	add(session, apart, TOKEN_APART);
	add(session, between, TOKEN_BETWEEN);
}

static const int small_bad[] = { BEFORE, PRESERVED, -1 };
static const int huge_bad[] = { HUGE_BAD, -1 };

static void before(void)
{
	int session = stage_session_create(SESSION), small, huge, freed;
	struct state state = {};

	small = make("small", NR_PAGES);
	poison(small, BEFORE, &state);
	others_are_good(small, NR_PAGES, small_bad, "poisoned");
	punch(small, PUNCHED, &state);
	huge = make_huge(&state);
	freed = make("freed", NR_PAGES);
	poison(freed, 0, &state);
	close(freed);
	poisoned_is(&state);
	pool_never_has(&state);

	add(session, small, TOKEN_SMALL);
	check(log_has("small: page 7 is defective"), "the log tells of it");
	add(session, huge, TOKEN_HUGE);
	freed = make("freed later", NR_PAGES);
	add(session, freed, TOKEN_FREED);
	poison(small, PRESERVED, &state);
	poison(freed, 1, &state);
	make_apart(session, &state);
	others_are_good(small, NR_PAGES, small_bad, "preserved");
	poisoned_is(&state);
	add_state(session, &state);
}

static int get(int session, __u64 token)
{
	int fd = preserve_session_get_fd(session, token);

	require(fd >= 0, "file %llu is there: %d", (unsigned long long)token,
		fd);
	return fd;
}

static void move(int session)
{
	static const int bad[] = { BEFORE, -1 };
	int apart = get(session, TOKEN_APART);
	__s64 runs = place_fdinfo(apart, "preserve-runs");

	check(is_bad(apart, BEFORE), "a page of a file in many pieces is bad");
	others_are_good(apart, NR_PAGES, bad, "in pieces");
	close(get(session, TOKEN_BETWEEN));
	require(!text_write(COMPACT, "1"), "compact");
	check(place_fdinfo(apart, "preserve-runs") < runs, "it moves: %lld runs, of %lld",
	      (long long)place_fdinfo(apart, "preserve-runs"), (long long)runs);
	check(is_bad(apart, BEFORE), "the page is still bad");
	others_are_good(apart, NR_PAGES, bad, "moved");
	close(apart);
}

static int get_files(int session, int *small, int *huge, struct state *state)
{
	int fd = get(session, TOKEN_STATE);

	require(pread(fd, state, sizeof(*state), 0) == sizeof(*state),
		"read the state");
	close(fd);
	poisoned_is(state);
	*small = get(session, TOKEN_SMALL);
	check(log_has("small: page 7 is defective") &&
	      log_has("small: page 21 is defective"), "the log tells of both");
	check(is_bad(*small, BEFORE), "it is still bad");
	check(is_bad(*small, PRESERVED), "also what broke later");
	others_are_good(*small, NR_PAGES, small_bad, "retrieved");
	*huge = get(session, TOKEN_HUGE);
	check(is_bad(*huge, HUGE_BAD), "the page of the huge folio is bad");
	others_are_good(*huge, HUGE_PAGES, huge_bad, "retrieved, huge");
	return session;
}

/* Retrieves all, drops one file, and hands the others on. */
static void go_on(void)
{
	int session = stage_session_retrieve(SESSION), small, huge;
	struct state state;

	get_files(session, &small, &huge, &state);
	close(get(session, TOKEN_FREED));
	move(session);
	stage_session_finish(session);
	pool_never_has(&state);

	session = stage_session_create(SESSION);
	add(session, small, TOKEN_SMALL);
	add(session, huge, TOKEN_HUGE);
	add_state(session, &state);
}

static void end(void)
{
	int session = stage_session_retrieve(SESSION), small, huge;
	struct state state;

	get_files(session, &small, &huge, &state);
	stage_session_finish(session);
	close(small);
	close(huge);
	poisoned_is(&state);
	pool_never_has(&state);
}

static const stage_fn stages[] = { before, go_on, end };

int main(void)
{
	signal(SIGBUS, bus_error);
	return stage_run(stages, STAGE_COUNT(stages));
}
