// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kexec at any moment: while blocks join and leave the pool, are lent, taken back
 * and packed, while other memory comes and goes, and while files of the pool are
 * written, preserved and dropped, the next kernel comes. What was preserved before is
 * whole in it, nothing is refused, and nothing is left behind.
 *
 * Arguments: the number of kernels, and a seed that takes the place of a random one.
 */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "liveupdate.h"
#include "load.h"
#include "memory.h"
#include "stage.h"

#define SESSION		"moment"
#define PAGE		KIB(4)
#define NR_FILES	12
#define LARGEST		MIB(640)
#define OTHER_MEMORY	MIB(384)

static unsigned int nr_rounds;

/* xorshift64*: each thread has its own. */
static __u64 next_random(__u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static __u64 below(__u64 *state, __u64 end)
{
	return (next_random(state) >> 11) % end;
}

/* --- what is preserved --- */

/* A file of up to 2 MiB, every second one with holes. */
static __u64 stride_of(unsigned int nr)
{
	return nr % 2 ? 3 * PAGE : PAGE;
}

static unsigned int pages_of(unsigned int round, unsigned int nr)
{
	return 1 + (round * 131 + nr * 97) % 512;
}

static __u64 seed_of(unsigned int round, unsigned int nr)
{
	return round * NR_FILES + nr + 1;
}

static int make(unsigned int round, unsigned int nr)
{
	int fd = preserve_memfd_create("moment", MFD_CLOEXEC);
	unsigned int page;

	require(fd >= 0, "create: %d", fd);
	for (page = 0; page < pages_of(round, nr); page++)
		require(!pattern_write(fd, seed_of(round, nr),
				       page * stride_of(nr), PAGE), "write");
	return fd;
}

static bool is_right(int fd, unsigned int round, unsigned int nr)
{
	unsigned int page, pages = pages_of(round, nr);

	for (page = 0; page < pages; page++)
		if (pattern_check(fd, seed_of(round, nr),
				  page * stride_of(nr), PAGE))
			return false;
	return file_allocated(fd) == (__s64)(pages * PAGE);
}

static void preserve_files(int session, unsigned int round)
{
	for (unsigned int nr = 0; nr < NR_FILES; nr++) {
		int fd = make(round, nr);
		int err = preserve_session_add_fd(session, fd, nr);

		require(!err, "preserve file %u: %d", nr, err);
		close(fd);
	}
}

/* A session of churn() may have been open at that moment, with or without its file. */
static void drop_session(const char *name)
{
	int device = preserve_device_open();
	int session = preserve_session_retrieve(device, name);

	close(device);
	if (session < 0)
		return;
	close(preserve_session_get_fd(session, 1));
	stage_session_finish(session);
}

static void check_files(unsigned int round)
{
	int session = stage_session_retrieve(SESSION);
	unsigned int wrong = 0;

	for (unsigned int nr = 0; nr < NR_FILES; nr++) {
		int fd = preserve_session_get_fd(session, nr);

		require(fd >= 0, "file %u is there: %d", nr, fd);
		wrong += !is_right(fd, round, nr);
		close(fd);
	}
	check(!wrong, "%u of %u files are wrong", wrong, NR_FILES);
	stage_session_finish(session);
	drop_session("churn 1");
	drop_session("churn 2");
	check(!pool_counter("refused"), "no record is refused");
	check(!pool_counter("unclaimed"), "nothing is left behind: %lld",
	      (long long)pool_counter("unclaimed"));
	check(!pool_counter("preserved"), "nothing is preserved: %lld",
	      (long long)pool_counter("preserved"));
	check(!pool_counter("used"), "nothing is leaked: %lld",
	      (long long)pool_counter("used"));
}

/* --- what goes on meanwhile --- */

static void resize(__u64 *random)
{
	/* What is in use cannot leave, and memory may be short. */
	pool_set("size", below(random, LARGEST));
}

static void lend(__u64 *random)
{
	pool_set("lend", below(random, 2));
}

static void pack(__u64 *random)
{
	pool_set("compact", 1);
	usleep(below(random, 50000));
}

/* Takes what is lent, and gives it back. */
static void other_memory(__u64 *random)
{
	size_t length = PAGE + below(random, OTHER_MEMORY);
	char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return;
	for (size_t at = 0; at < length; at += PAGE)
		memory[at] = 1;
	munmap(memory, length);
}

/* Makes a file, changes it, preserves it, and drops it. */
static void churn(const char *name, __u64 *random)
{
	int device = preserve_device_open(), session;
	int fd = preserve_memfd_create("churn", MFD_CLOEXEC);

	session = preserve_session_create(device, name);
	for (int i = 0; i < 64; i++)
		pattern_write(fd, 1, below(random, 2048) * PAGE, PAGE);
	if (session >= 0)
		preserve_session_add_fd(session, fd, 1);
	for (int i = 0; i < 16; i++)
		pattern_write(fd, 1, below(random, 2048) * PAGE, PAGE);
	close(session);
	close(fd);
	close(device);
}

static void churn_one(__u64 *random)
{
	churn("churn 1", random);
}

static void churn_two(__u64 *random)
{
	churn("churn 2", random);
}

static void (*const doings[])(__u64 *random) = {
	resize, lend, pack, other_memory, churn_one, churn_two,
};

struct doing {
	void (*what)(__u64 *random);
	__u64 random;
};

static void *keep_doing(void *arg)
{
	struct doing *doing = arg;

	for (;;)
		doing->what(&doing->random);
	return NULL;
}

static void start_all(__u64 *random)
{
	static struct doing all[STAGE_COUNT(doings)];
	pthread_t thread;

	for (size_t i = 0; i < STAGE_COUNT(doings); i++) {
		all[i].what = doings[i];
		all[i].random = next_random(random);
		require(!pthread_create(&thread, NULL, keep_doing, &all[i]),
			"start a thread");
	}
}

static __u64 seed_get(const char *text)
{
	__u64 seed = 0;

	if (text)
		seed = strtoull(text, NULL, 0);
	else
		require(getrandom(&seed, sizeof(seed), 0) == sizeof(seed),
			"a random seed");
	return seed | 1;
}

static __u64 seed;

static void round_run(void)
{
	unsigned int round = stage_number();
	__u64 random = seed ^ (round * 0x9e3779b97f4a7c15ULL);

	ksft_print_msg("seed %#llx\n", (unsigned long long)seed);
	if (round)
		check_files(round - 1);
	if (round + 1 == nr_rounds)
		return;
	preserve_files(stage_session_create(SESSION), round);
	start_all(&random);
	usleep(below(&random, 400000));
}

int main(int argc, char **argv)
{
	nr_rounds = argc > 1 ? atoi(argv[1]) : 21;
	seed = seed_get(argc > 2 ? argv[2] : NULL);
	return stage_run_rounds(round_run, nr_rounds);
}
