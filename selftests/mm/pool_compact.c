// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compaction of the pool after a long churn over many files: they are intact,
 * also those that other processes write meanwhile; what is in use fills its
 * blocks; and files lie in few runs. Then once more with all files preserved,
 * through a kexec, and in the next kernel.
 *
 *	pool_compact STEPS [SEED]
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "writer.h"

#define SESSION		"compact"
#define COMPACT		"/sys/kernel/mm/preserve/compact"
#define PAGE		PLACE_PAGE
#define NR_FILES	64
#define FILE_PAGES	512
#define MAX_WRITE	8
#define NR_WRITERS	2
#define WRITER_SIZE	MIB(1)
#define WRITER_PAGES	(WRITER_SIZE / PAGE)

enum { TOKEN_STATE = 1, TOKEN_WRITER, TOKEN_FILES = 16 };

/* What is in the files: a page's seed, or 0 for a hole. */
struct state {
	__u64 random;
	__u32 next_seed;
	__u32 pages[NR_FILES][FILE_PAGES];
};

static struct state state;
static int fds[NR_FILES], writer_fds[NR_WRITERS];
static unsigned long steps = 100000;

static unsigned int random_below(unsigned int limit)
{
	/* xorshift64 */
	state.random ^= state.random << 13;
	state.random ^= state.random >> 7;
	state.random ^= state.random << 17;
	return (state.random >> 16) % limit;
}

static void step_write(unsigned int file, unsigned int page, unsigned int nr)
{
	unsigned int end = page + nr < FILE_PAGES ? page + nr : FILE_PAGES;
	__u32 seed = ++state.next_seed;

	require(!pattern_write(fds[file], seed, page * PAGE,
			       (end - page) * PAGE), "file %u: page %u", file,
		page);
	for (; page < end; page++)
		state.pages[file][page] = seed;
}

static void forget(unsigned int file, unsigned int page, unsigned int nr)
{
	for (; nr && page < FILE_PAGES; nr--, page++)
		state.pages[file][page] = 0;
}

static void step_punch(unsigned int file, unsigned int page, unsigned int nr)
{
	require(!fallocate(fds[file],
			   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   page * PAGE, nr * PAGE), "make a hole");
	forget(file, page, nr);
}

static void step_truncate(unsigned int file, unsigned int page)
{
	require(!ftruncate(fds[file], page * PAGE) &&
		!ftruncate(fds[file], FILE_PAGES * PAGE), "truncate");
	forget(file, page, FILE_PAGES);
}

static void step(void)
{
	unsigned int file = random_below(NR_FILES);
	unsigned int page = random_below(FILE_PAGES);
	unsigned int kind = random_below(1000);

	if (kind < 490)
		step_write(file, page, 1 + random_below(MAX_WRITE));
	else if (kind < 995)
		step_punch(file, page, 1 + random_below(MAX_WRITE));
	else
		step_truncate(file, page);
}

/* Pages of the writers' files come now and then, so they are scattered, too. */
static void place_writer_page(unsigned int index)
{
	static const char zero[PAGE];

	require(pwrite(writer_fds[index % NR_WRITERS], zero, PAGE,
		       index / NR_WRITERS * PAGE) == (ssize_t)PAGE,
		"a page of a writer's file");
}

/* Enough that a block more or less does not count. */
static void begin(void)
{
	unsigned int file, page;

	for (page = 0; page < FILE_PAGES / 2; page += MAX_WRITE)
		for (file = 0; file < NR_FILES; file++)
			step_write(file, page, MAX_WRITE);
}

static void churn(unsigned long nr, bool place)
{
	unsigned long every = nr / (NR_WRITERS * WRITER_PAGES) + 1, i;
	unsigned int placed = 0;

	for (i = 0; i < nr; i++) {
		step();
		if (place && !(i % every))
			place_writer_page(placed++);
	}
	while (place && placed < NR_WRITERS * WRITER_PAGES)
		place_writer_page(placed++);
}

/* The number of files with a wrong byte, or a page too many or too few. */
static unsigned int wrong_files(void)
{
	unsigned int file, page, wrong = 0;

	for (file = 0; file < NR_FILES; file++) {
		__s64 bytes = 0;
		bool good = true;

		for (page = 0; good && page < FILE_PAGES; page++) {
			__u32 seed = state.pages[file][page];

			if (!seed)
				continue;
			bytes += PAGE;
			good = !pattern_check(fds[file], seed, page * PAGE,
					      PAGE);
		}
		wrong += !good || file_allocated(fds[file]) != bytes;
	}
	return wrong;
}

static void files_are_good(const char *when)
{
	unsigned int wrong = wrong_files();

	check(!wrong, "%s: %u files are wrong", when, wrong);
}

/* Bytes in blocks that have a page in use. */
static __s64 busy_bytes(void)
{
	return pool_counter("size") - pool_counter("idle");
}

static void file_add_up(int fd, __u64 *runs, __u64 *stretches)
{
	__s64 nr = place_fdinfo(fd, "preserve-runs");

	require(nr >= 0, "fdinfo");
	*runs += nr;
	*stretches += place_stretches(fd);
}

static void add_up(__u64 *runs, __u64 *stretches)
{
	int i;

	*runs = 0;
	*stretches = 0;
	for (i = 0; i < NR_FILES; i++)
		file_add_up(fds[i], runs, stretches);
	for (i = 0; i < NR_WRITERS; i++)
		file_add_up(writer_fds[i], runs, stretches);
}

static void compact(const char *when)
{
	__u64 runs, was_runs, stretches;
	__s64 used, busy, was_busy = busy_bytes();
	int err;

	add_up(&was_runs, &stretches);
	err = text_write(COMPACT, "1");
	check(!err, "%s: the pool is packed: %d", when, err);
	used = pool_counter("used");
	busy = busy_bytes();
	/* A block or two for metadata, one that the last target leaves open. */
	check(used * 10 >= (busy - 3 * (2 << 20)) * 9,
	      "%s: %lld KiB in use fill %lld KiB, before it were %lld", when,
	      (long long)used >> 10, (long long)busy >> 10,
	      (long long)was_busy >> 10);
	add_up(&runs, &stretches);
	check(runs * 10 <= stretches * 11,
	      "%s: %llu runs for %llu stretches, before it were %llu", when,
	      (unsigned long long)runs, (unsigned long long)stretches,
	      (unsigned long long)was_runs);
	files_are_good(when);
}

static void writers_do(struct writer **writers, const char *when)
{
	int i;

	for (i = 0; i < NR_WRITERS; i++)
		check(writer_goes_on(writers[i], 2), "%s: writer %d", when, i);
}

static int make(const char *name, __u64 size)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0 && !ftruncate(fd, size), "create %s", name);
	return fd;
}

static void make_all(void)
{
	int i;

	require(!text_write("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
			    "never"), "shmem_enabled");
	for (i = 0; i < NR_FILES; i++)
		fds[i] = make("churn", FILE_PAGES * PAGE);
	for (i = 0; i < NR_WRITERS; i++)
		writer_fds[i] = make("written", WRITER_SIZE);
}

static void add(int session, int fd, __u64 token)
{
	int err = preserve_session_add_fd(session, fd, token);

	require(!err, "preserve file %llu: %d", (unsigned long long)token, err);
}

static void preserve_all(int session)
{
	int fd = make("state", 0), i;

	require(write(fd, &state, sizeof(state)) == sizeof(state),
		"write the state");
	add(session, fd, TOKEN_STATE);
	for (i = 0; i < NR_FILES; i++)
		add(session, fds[i], TOKEN_FILES + i);
	for (i = 0; i < NR_WRITERS; i++)
		add(session, writer_fds[i], TOKEN_WRITER + i);
}

static void before(void)
{
	struct writer *writers[NR_WRITERS];
	int i, session;

	ksft_print_msg("%lu steps, seed %llu\n", steps,
		       (unsigned long long)state.random);
	make_all();
	begin();
	churn(steps / 2, true);
	files_are_good("churn");
	for (i = 0; i < NR_WRITERS; i++)
		writers[i] = writer_start(writer_fds[i], WRITER_SIZE);
	writers_do(writers, "churn");
	compact("live");
	writers_do(writers, "live");

	churn(steps / 2, false);
	files_are_good("churn again");
	session = stage_session_create(SESSION);
	preserve_all(session);
	compact("preserved");
	writers_do(writers, "preserved");
	/* The writers go on until the kexec. */
}

static int get(int session, __u64 token)
{
	int fd = preserve_session_get_fd(session, token);

	require(fd >= 0, "file %llu is there: %d", (unsigned long long)token,
		fd);
	return fd;
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), i, fd;

	fd = get(session, TOKEN_STATE);
	require(pread(fd, &state, sizeof(state), 0) == sizeof(state),
		"read the state");
	for (i = 0; i < NR_FILES; i++)
		fds[i] = get(session, TOKEN_FILES + i);
	for (i = 0; i < NR_WRITERS; i++) {
		writer_fds[i] = get(session, TOKEN_WRITER + i);
		check(writer_left(writer_fds[i], WRITER_SIZE),
		      "as writer %d left it", i);
	}
	files_are_good("retrieved");
	stage_session_finish(session);
	churn(steps / 4, false);
	compact("next kernel");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	state.random = argc > 2 ? strtoull(argv[2], NULL, 0) : 20261123;
	if (argc > 1)
		steps = strtoul(argv[1], NULL, 0);
	return stage_run(stages, STAGE_COUNT(stages));
}
