// SPDX-License-Identifier: GPL-2.0-only
/*
 * Folios are made when they are needed: whatever a program does first to memory
 * that crossed a kexec finds it as it was, and brings in no more than it needs.
 * What nobody has touched crosses the next kexecs as it is; the argument is their
 * number.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"demand"
#define PAGE		KIB(4)
#define SIZE		MIB(4)
#define NR_PAGES	(SIZE / PAGE)
#define THP		"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define TIGHT		"/sys/fs/cgroup/tight"
#define NR_TOUCHERS	8

/* Each file is for one kind of access; also the seed of its content. */
enum {
	F_READ = 1, F_WRITE, F_MAP_READ, F_MAP_WRITE, F_ALLOCATE, F_PUNCH,
	F_TRUNCATE, F_SEEK, F_CORE, F_SEND, F_PIN, F_UNTOUCHED, F_LIMITED,
	F_DROPPED, F_WORKER, F_MANY, F_RACE, F_END
};

static int fds[F_END];

/* Kexecs from the first access to the last check. */
static unsigned int nr_chain = 10;

/*
 * Every second page has data, so that each page is a run of its own; one file is
 * a single run.
 */
static void make(unsigned int f)
{
	__u64 step = f == F_RACE ? PAGE : 2 * PAGE, at;

	fds[f] = preserve_memfd_create("demand", 0);
	require(fds[f] >= 0 && !ftruncate(fds[f], SIZE), "create: %d", fds[f]);
	for (at = 0; at < SIZE; at += step)
		require(!pattern_write(fds[f], f, at, PAGE), "fill");
}

static bool page_good(unsigned int f, __u64 page)
{
	return page % 2 ? range_is_zero(fds[f], page * PAGE, PAGE) :
	       !pattern_check(fds[f], f, page * PAGE, PAGE);
}

static bool pages_good(unsigned int f, __u64 first, __u64 nr)
{
	for (; nr; nr--, first++)
		if (!page_good(f, first))
			return false;
	return true;
}

static __s64 missing(unsigned int f)
{
	return place_fdinfo(fds[f], "preserve-unrestored");
}

static void bring(int session, unsigned int f)
{
	fds[f] = preserve_session_get_fd(session, f);
	require(fds[f] >= 0, "retrieve %u: %d", f, fds[f]);
}

/* Retrieves all files in a kernel where no worker does anything. */
static int bring_all(void)
{
	unsigned int f;
	int session;

	require(!text_write("/sys/kernel/mm/preserve/restore_pace", "0"),
		"only on demand");
	session = stage_session_retrieve(SESSION);
	for (f = 1; f < F_END; f++)
		bring(session, f);
	return session;
}

static void keep_all(void)
{
	int session = stage_session_create(SESSION);
	unsigned int f;

	for (f = 1; f < F_END; f++)
		require(!preserve_session_add_fd(session, fds[f], f),
			"preserve %u", f);
}

static int huge_make(void)
{
	int fd;

	text_write(THP, "always");
	fd = preserve_memfd_create("huge", 0);
	require(fd >= 0 && !pattern_write(fd, F_END, 0, SIZE), "huge");
	text_write(THP, "never");
	return fd;
}

/* Pages that are only allocated, where others have left something. */
static int allocated_make(void)
{
	const size_t size = MIB(16);
	char *dirt = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("allocated", 0);

	require(dirt != MAP_FAILED, "memory");
	memset(dirt, 0xaa, size);
	munmap(dirt, size);
	require(fd >= 0 && !fallocate(fd, 0, 0, SIZE), "allocate");
	return fd;
}

static void before(void)
{
	int session = stage_session_create(SESSION);
	unsigned int f;

	for (f = 1; f < F_END; f++) {
		make(f);
		require(!preserve_session_add_fd(session, fds[f], f),
			"preserve %u", f);
	}
	require(!preserve_session_add_fd(session, huge_make(), F_END),
		"preserve");
	require(!preserve_session_add_fd(session, allocated_make(), F_END + 1),
		"preserve a plain file");
	check(true, "files are made");
}

static void reads(void)
{
	char *map;

	check(missing(F_READ) == NR_PAGES / 2, "no page is there yet: %lld",
	      (long long)missing(F_READ));
	check(page_good(F_READ, 10) && page_good(F_READ, 11) &&
	      missing(F_READ) == NR_PAGES / 2 - 1, "read brings in one page");

	map = place_map(fds[F_MAP_READ], 0, SIZE);
	place_touch(map + 10 * PAGE);
	place_touch(map + 11 * PAGE);
	check(missing(F_MAP_READ) == NR_PAGES / 2 - 1,
	      "a mapping, too: %lld", (long long)missing(F_MAP_READ));
	munmap(map, SIZE);
	check(pages_good(F_MAP_READ, 0, NR_PAGES), "content");
	check(!missing(F_MAP_READ), "all is there");
}

static void writes(void)
{
	char byte = 'x', *map;

	require(pwrite(fds[F_WRITE], &byte, 1, 10 * PAGE + 7) == 1, "write");
	require(pwrite(fds[F_WRITE], &byte, 1, 11 * PAGE + 7) == 1, "write");
	check(missing(F_WRITE) == NR_PAGES / 2 - 1, "a write brings in one");
	map = place_map(fds[F_WRITE], 0, SIZE);
	check(map[10 * PAGE + 7] == 'x' && map[11 * PAGE + 7] == 'x' &&
	      !map[11 * PAGE + 8], "the byte is written");
	map[10 * PAGE + 7] = 0;
	munmap(map, SIZE);
	/* The one byte is not what it was; all around it is. */
	require(!pattern_write(fds[F_WRITE], F_WRITE, 10 * PAGE, 16), "write");
	check(page_good(F_WRITE, 10), "the rest of the page is as it was");

	map = place_map(fds[F_MAP_WRITE], 0, SIZE);
	map[20 * PAGE] ^= 1;
	map[21 * PAGE] = 1;
	/* Somebody looks, so it has to be written. */
	place_touch(map + 20 * PAGE);
	map[20 * PAGE] ^= 1;
	map[21 * PAGE] = 0;
	munmap(map, SIZE);
	check(missing(F_MAP_WRITE) == NR_PAGES / 2 - 1 &&
	      pages_good(F_MAP_WRITE, 18, 6), "a mapping, too");
}

static void changes(void)
{
	int fd = fds[F_ALLOCATE];
	__s64 allocated;

	require(!fallocate(fd, 0, 0, 8 * PAGE), "fallocate: %d", -errno);
	check(missing(F_ALLOCATE) == NR_PAGES / 2 - 4 &&
	      pages_good(F_ALLOCATE, 0, NR_PAGES),
	      "fallocate keeps what is there");

	fd = fds[F_PUNCH];
	allocated = file_allocated(fd);
	require(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   10 * PAGE + 100, 20 * PAGE), "punch: %d", -errno);
	check(file_allocated(fd) == allocated - 9 * (__s64)PAGE,
	      "a hole frees what is in it: %lld, was %lld",
	      (long long)file_allocated(fd), (long long)allocated);
	check(range_is_zero(fd, 10 * PAGE + 100, 20 * PAGE), "it is a hole");
	check(pages_good(F_PUNCH, 0, 10) && pages_good(F_PUNCH, 31, 100) &&
	      !pattern_check(fd, F_PUNCH, 10 * PAGE, 96),
	      "what is around it is not");
	require(!pattern_write(fd, F_PUNCH, 10 * PAGE, PAGE), "write");

	fd = fds[F_TRUNCATE];
	require(!ftruncate(fd, SIZE / 2 + 100) && !ftruncate(fd, SIZE),
		"truncate");
	check(range_is_zero(fd, SIZE / 2 + 100, SIZE / 2 - 100),
	      "what is cut off is gone");
	check(!pattern_check(fd, F_TRUNCATE, SIZE / 2, 96) &&
	      pages_good(F_TRUNCATE, 0, NR_PAGES / 2), "the rest is not");
	check(file_allocated(fd) == (__s64)(SIZE / 4 + PAGE), "blocks: %lld",
	      (long long)file_allocated(fd));
}

static bool walks(int fd, __s64 expected)
{
	off_t at = 0;
	__u64 nr = 0;

	for (;;) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (data != (off_t)(nr * 2 * PAGE) ||
		    hole != data + (off_t)PAGE)
			return false;
		nr++;
		at = hole;
	}
	return nr == NR_PAGES / 2 &&
	       place_fdinfo(fd, "preserve-unrestored") == expected;
}

static void looks(void)
{
	unsigned char vec[NR_PAGES];
	unsigned int i, wrong = 0;
	char *map;

	check(walks(fds[F_SEEK], NR_PAGES / 2),
	      "data and holes are where they were");
	require(page_good(F_SEEK, 0) && page_good(F_SEEK, 100), "read");
	check(walks(fds[F_SEEK], NR_PAGES / 2 - 2), "also with some pages in");

	map = place_map(fds[F_CORE], 0, SIZE);
	require(!mincore(map, SIZE, vec), "mincore");
	for (i = 0; i < NR_PAGES; i++)
		wrong += (vec[i] & 1) != !(i % 2);
	check(!wrong && missing(F_CORE) == NR_PAGES / 2,
	      "mincore sees memory (%u wrong)", wrong);
	munmap(map, SIZE);
}

/* Pages 2 and 3, by way of a pipe. */
static void sends(void)
{
	static char got[2 * PAGE], want[PAGE];
	off_t at = 2 * PAGE;
	int pipes[2];

	require(!pipe(pipes), "pipe");
	require(sendfile(pipes[1], fds[F_SEND], &at, 2 * PAGE) == 2 * PAGE,
		"sendfile: %d", -errno);
	require(read(pipes[0], got, sizeof(got)) == sizeof(got), "read");
	require(pread(fds[F_SEND], want, PAGE, 2 * PAGE) == PAGE, "read");
	check(!memcmp(got, want, PAGE) && page_good(F_SEND, 2) &&
	      missing(F_SEND) == NR_PAGES / 2 - 1, "sendfile");
	close(pipes[0]);
	close(pipes[1]);
}

static void pin_some(void)
{
	int ring = place_pin(fds[F_PIN], 8 * PAGE);

	check(ring >= 0 && missing(F_PIN) == NR_PAGES / 2 - 4,
	      "pinning brings in what it pins: %lld",
	      (long long)missing(F_PIN));
	close(ring);
	check(pages_good(F_PIN, 0, NR_PAGES), "content");
}

static void large_one(int session)
{
	int fd = preserve_session_get_fd(session, F_END);
	__s64 left;

	require(fd >= 0, "huge: %d", fd);
	require(!pattern_check(fd, F_END, MIB(2), PAGE), "content");
	left = place_fdinfo(fd, "preserve-unrestored");
	check(left == (__s64)NR_PAGES - 512 || left == (__s64)NR_PAGES - 1,
	      "a large folio comes as a whole: %lld", (long long)left);
	require(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   PAGE, 2 * PAGE), "punch");
	check(range_is_zero(fd, PAGE, 2 * PAGE) &&
	      !pattern_check(fd, F_END, 0, PAGE) &&
	      !pattern_check(fd, F_END, 3 * PAGE, SIZE - 3 * PAGE),
	      "a hole in one that nobody has touched");
	close(fd);
}

static void access_all(void)
{
	int session = bring_all(), fd;

	check(pool_counter("unrestored") == F_END * SIZE / 2,
	      "nothing is restored: %lld",
	      (long long)pool_counter("unrestored"));
	reads();
	writes();
	changes();
	looks();
	sends();
	pin_some();
	large_one(session);
	fd = preserve_session_get_fd(session, F_END + 1);
	check(fd >= 0 && range_is_zero(fd, 0, SIZE),
	      "what was only allocated is zero");
	close(fd);
	stage_session_finish(session);

	keep_all();
	check(missing(F_UNTOUCHED) == NR_PAGES / 2 &&
	      missing(F_PUNCH), "preserving touches nothing");
}

/* Nobody touches anything. */
static void pass_on(void)
{
	stage_session_finish(bring_all());
	keep_all();
	check(pool_counter("unrestored") > 0, "passed on");
}

static bool is_as_left(unsigned int f)
{
	switch (f) {
	case F_PUNCH:
		return pages_good(f, 0, 11) &&
		       range_is_zero(fds[f], 11 * PAGE, 19 * PAGE) &&
		       pages_good(f, 31, NR_PAGES - 31);
	case F_TRUNCATE:
		return pages_good(f, 0, NR_PAGES / 2) &&
		       range_is_zero(fds[f], SIZE / 2 + PAGE, SIZE / 2 - PAGE);
	case F_WRITE:
		return pages_good(f, 0, 11) &&
		       pages_good(f, 12, NR_PAGES - 12);
	default:
		return pages_good(f, 0, NR_PAGES);
	}
}

static void carried(void)
{
	unsigned int f, wrong = 0;

	for (f = F_READ; f <= F_UNTOUCHED; f++) {
		if (is_as_left(f))
			continue;
		ksft_print_msg("file %u is not as it was left\n", f);
		wrong++;
	}
	check(!wrong, "after %u kexecs all is as it was left", nr_chain);
}

/* A child that may not have so much memory. */
static void limited(void)
{
	int status = -1;
	pid_t pid;

	text_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	require(!mkdir(TIGHT, 0755) &&
		!text_write(TIGHT "/memory.max", "1M"), "cgroup");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		load_join(TIGHT);
		_exit(!pages_good(F_LIMITED, 0, NR_PAGES));
	}
	require(waitpid(pid, &status, 0) == pid, "wait");
	check(WIFSIGNALED(status) || WEXITSTATUS(status),
	      "more than a memcg may have is not to be had: %#x", status);
	check(missing(F_LIMITED) > 0, "it stays where it is: %lld",
	      (long long)missing(F_LIMITED));
	check(pages_good(F_LIMITED, 0, NR_PAGES), "for who may have it");
}

/* Many processes, all pages, in an order of their own. */
static void touch_all(unsigned int seed)
{
	char *map = place_map(fds[F_MANY], 0, SIZE);
	unsigned int i, at;

	for (i = 0; i < NR_PAGES; i++) {
		at = (i * 2654435761U + seed * 977) % NR_PAGES;
		place_touch(map + at * PAGE);
	}
	_exit(!pages_good(F_MANY, 0, NR_PAGES));
}

static void together(void)
{
	unsigned int i, wrong = 0;
	int status;

	fflush(stdout);
	for (i = 0; i < NR_TOUCHERS; i++) {
		pid_t pid = fork();

		require(pid >= 0, "fork");
		if (!pid)
			touch_all(i);
	}
	for (i = 0; i < NR_TOUCHERS; i++) {
		require(wait(&status) > 0, "wait");
		wrong += status != 0;
	}
	check(!wrong && !missing(F_MANY), "%u processes at a time (%u wrong)",
	      NR_TOUCHERS, wrong);
}

/* What is there is right, or punched. */
static void race_read(unsigned int seed)
{
	unsigned int i, k, at;

	for (i = 0; i < 64; i++) {
		at = rand_r(&seed) % (NR_PAGES - 64);
		for (k = at; k < at + 64; k++)
			if (pattern_check(fds[F_RACE], F_RACE, k * PAGE, PAGE) &&
			    !range_is_zero(fds[F_RACE], k * PAGE, PAGE))
				_exit(1);
	}
	_exit(0);
}

static void race_punch(unsigned int seed)
{
	unsigned int i;

	for (i = 0; i < 200; i++)
		if (fallocate(fds[F_RACE],
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      rand_r(&seed) % (NR_PAGES - 32) * PAGE,
			      (1 + rand_r(&seed) % 32) * PAGE))
			_exit(1);
	_exit(0);
}

/* Takes the frames that are freed meanwhile. */
static void race_fill(unsigned int seed)
{
	int fd = preserve_memfd_create("fill", 0);
	unsigned int i;

	for (i = 0; i < 16; i++)
		if (pattern_write(fd, seed, i * MIB(1), MIB(1)) ||
		    pattern_check(fd, seed, 0, (i + 1) * MIB(1)))
			_exit(1);
	_exit(0);
}

/* Readers, a worker, and somebody who punches. */
static void race(void)
{
	static void (* const parts[])(unsigned int seed) = {
		race_read, race_punch, race_fill, race_read, race_punch,
	};
	unsigned int i, wrong = 0;
	int status;

	require(missing(F_RACE) == NR_PAGES, "untouched: %lld",
		(long long)missing(F_RACE));
	fflush(stdout);
	for (i = 0; i < STAGE_COUNT(parts); i++) {
		pid_t pid = fork();

		require(pid >= 0, "fork");
		if (!pid)
			parts[i](100 + i);
	}
	require(!text_write("/sys/kernel/mm/preserve/restore_pace", "max"),
		"pace");
	for (i = 0; i < STAGE_COUNT(parts); i++) {
		require(wait(&status) > 0, "wait");
		wrong += status != 0;
	}
	check(!wrong, "punched while it is brought in (%u wrong)", wrong);
}

static void the_rest(void)
{
	__s64 used = pool_counter("used");
	unsigned int f;

	close(fds[F_DROPPED]);
	check(pool_counter("used") <= used - (__s64)SIZE / 2,
	      "closing frees what nobody has touched: %lld, was %lld",
	      (long long)pool_counter("used"), (long long)used);
	require(missing(F_WORKER) == NR_PAGES / 2, "untouched");
	race();
	while (pool_counter("unrestored"))
		usleep(10000);
	check(!missing(F_WORKER) && pages_good(F_WORKER, 0, NR_PAGES),
	      "a worker does the rest");
	for (f = 1; f < F_END; f++)
		if (f != F_DROPPED)
			close(fds[f]);
	check(pool_counter("used") <= (__s64)KIB(64), "nothing is left: %lld",
	      (long long)pool_counter("used"));
	check(pool_consistent(), "counters");
}

static void last(void)
{
	stage_session_finish(bring_all());
	carried();
	limited();
	together();
	the_rest();
}

static void run(void)
{
	if (!stage_number())
		before();
	else if (stage_number() == 1)
		access_all();
	else if (stage_number() <= nr_chain)
		pass_on();
	else
		last();
}

int main(int argc, char **argv)
{
	if (argc > 1)
		nr_chain = atoi(argv[1]);
	return stage_run_rounds(run, nr_chain + 2);
}
