// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool's size while the system runs: growing and shrinking by sysfs, the
 * limit, growth on demand, lending, packing, and what the next kernel makes of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "liveupdate.h"
#include "memory.h"
#include "stage.h"

#define SESSION		"resize"
#define PAGE		4096UL
#define BLOCK		MIB(2)
#define NR_FILES	8
#define FILE_PAGES	2048

enum { SEED_BIG = 11, SEED_KEPT };

static int knob(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/mm/preserve/%s", name);
	return text_write(path, text);
}

static int make(const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0, "memfd %s: %s", name, strerror(errno));
	return fd;
}

/* Waits for the worker; it acts within seconds. */
static bool counter_reaches(const char *name, __s64 least)
{
	int i;

	for (i = 0; i < 600 && pool_counter(name) < least; i++)
		usleep(100000);
	return pool_counter(name) >= least;
}

static unsigned long *anon_fill(size_t size)
{
	unsigned long *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	require(p != MAP_FAILED, "anonymous memory");
	for (i = 0; i < size / sizeof(*p); i += PAGE / sizeof(*p))
		p[i] = ~i;
	return p;
}

static bool anon_good(const unsigned long *p, size_t size)
{
	size_t i;

	for (i = 0; i < size / sizeof(*p); i += PAGE / sizeof(*p))
		if (p[i] != ~i)
			return false;
	return true;
}

/* Rubbish and too much are refused, and nothing changes. */
static void refusals(void)
{
	__s64 size = pool_counter("size");

	check(knob("size", "some") == -EINVAL, "no number is no size");
	check(knob("max", "12x") == -EINVAL, "rubbish behind a number");
	check(knob("compact", "2") == -EINVAL, "compact takes 1");
	check(knob("size", "100G") == -ENOSPC, "above the limit");
	check(pool_counter("size") == size, "the size is as before");
}

/* Other memory is moved away, whole; idle blocks are lent and come back. */
static void grow_and_lend(void)
{
	size_t size = MIB(400);
	unsigned long *anon = anon_fill(size);
	__s64 lent;
	int fd;

	check(!knob("size", "256M"), "grow to 256 MiB");
	check(pool_counter("size") == MIB(256), "the size is 256 MiB");
	check(anon_good(anon, size), "memory that was moved is whole");
	lent = pool_counter("lent");
	check(lent >= (__s64)MIB(256) * 95 / 100, "95 %% is lent: %lld",
	      (long long)lent);
	check(meminfo_bytes("PreserveLent") == lent, "as meminfo says");
	munmap(anon, size);

	/* More than there is beside what is lent. */
	size = meminfo_bytes("MemFree") - MIB(120);
	anon = anon_fill(size);
	check(meminfo_bytes("CmaFree") < lent / 2, "lent memory is in use");
	check(anon_good(anon, size), "and holds what was put there");
	munmap(anon, size);
	size = MIB(400);
	anon = anon_fill(size);

	fd = make("big");
	check(!pattern_write(fd, SEED_BIG, 0, MIB(200)), "200 MiB of a file");
	check(pool_counter("lent") < lent, "lent blocks have come back");
	check(!pattern_check(fd, SEED_BIG, 0, MIB(200)), "the file is whole");
	check(anon_good(anon, size), "so is other memory");
	munmap(anon, size);
	close(fd);
	check(counter_reaches("lent", lent), "lent again when idle");

	check(!knob("lend", "0"), "stop lending");
	check(!pool_counter("lent"), "nothing is lent");
	check(!knob("lend", "1"), "lend");
	check(counter_reaches("lent", lent), "lent as before");
}

/* The limit holds for growth on demand, too. */
static void demand(void)
{
	int fd = make("demand");

	check(!knob("size", "16M"), "shrink to 16 MiB");
	check(!knob("max", "64M"), "the limit is 64 MiB");
	check(!pattern_write(fd, SEED_BIG, 0, MIB(40)), "40 MiB of a file");
	check(pool_counter("size") > (__s64)MIB(40), "the pool has grown");
	check(pattern_write(fd, SEED_BIG, MIB(40), MIB(60)) == -ENOSPC,
	      "not beyond the limit");
	check(pool_counter("size") == MIB(64), "the size is the limit");
	check(!pattern_check(fd, SEED_BIG, 0, MIB(40)), "what was written is whole");
	check(knob("size", "0") == -EBUSY, "blocks in use cannot go");
	check(!pattern_check(fd, SEED_BIG, 0, MIB(40)), "and stay whole");
	close(fd);
	check(!knob("max", "512M"), "the limit is 512 MiB");
}

static long field(int fd, const char *name)
{
	char path[64], text[4096];
	ssize_t n;
	char *at;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY);
	n = read(info, text, sizeof(text) - 1);
	close(info);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, name);
	return at ? atol(at + strlen(name)) : -1;
}

static long stretches(int fd)
{
	off_t at = 0;
	long nr = 0;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		nr++;
		at = lseek(fd, at, SEEK_HOLE);
	}
	return nr;
}

/* Page @i of file @f holds its number and the round it was written in. */
static void churn(const int *fd, unsigned short (*round)[FILE_PAGES],
		  unsigned int steps)
{
	static unsigned long page[PAGE / sizeof(long)];
	unsigned int k, f, i;

	for (k = 1; k <= steps; k++) {
		f = random() % NR_FILES;
		i = random() % FILE_PAGES;
		if (random() % 3) {
			round[f][i] = k % 60000 + 1;
			page[0] = (f * FILE_PAGES + i) * 65536UL + round[f][i];
			page[PAGE / sizeof(long) - 1] = page[0];
			pwrite(fd[f], page, PAGE, i * PAGE);
		} else {
			round[f][i] = 0;
			fallocate(fd[f], FALLOC_FL_PUNCH_HOLE |
				  FALLOC_FL_KEEP_SIZE, i * PAGE, PAGE);
		}
	}
}

static bool churn_good(const int *fd, unsigned short (*round)[FILE_PAGES])
{
	unsigned long page[PAGE / sizeof(long)], want;
	unsigned int f, i;

	for (f = 0; f < NR_FILES; f++) {
		for (i = 0; i < FILE_PAGES; i++) {
			memset(page, 0, sizeof(page));
			pread(fd[f], page, PAGE, i * PAGE);
			want = round[f][i] ? (f * FILE_PAGES + i) * 65536UL +
					     round[f][i] : 0;
			if (page[0] != want ||
			    page[PAGE / sizeof(long) - 1] != want)
				return false;
		}
	}
	return true;
}

/* A few files, churned, take few blocks and few runs when packed. */
static void pack(void)
{
	static unsigned short round[NR_FILES][FILE_PAGES];
	long runs = 0, nr = 0;
	int fd[NR_FILES], i;
	__s64 used, blocks;

	srandom(20);
	for (i = 0; i < NR_FILES; i++)
		fd[i] = make("churned");
	churn(fd, round, 30000);
	check(!knob("compact", "1"), "pack");
	check(churn_good(fd, round), "every page is in its place");

	used = pool_counter("used");
	blocks = pool_counter("size") - pool_counter("idle");
	/* One more for metadata, one that the last target leaves open. */
	check(used >= (blocks - 2 * (__s64)BLOCK) * 9 / 10,
	      "blocks in use are full: %lld of %lld", (long long)used,
	      (long long)blocks);
	for (i = 0; i < NR_FILES; i++) {
		runs += field(fd[i], "preserve-runs:");
		nr += stretches(fd[i]);
	}
	check(runs * 10 <= nr * 11, "%ld runs for %ld stretches", runs, nr);
	for (i = 0; i < NR_FILES; i++)
		close(fd[i]);
}

static void before(void)
{
	int session, fd;

	check(!knob("max", "512M"), "the limit is 512 MiB");
	refusals();
	grow_and_lend();
	demand();
	pack();

	check(!knob("size", "96M"), "the size is 96 MiB");
	fd = make("kept");
	check(!pattern_write(fd, SEED_KEPT, 0, MIB(30)), "a file of 30 MiB");
	session = stage_session_create(SESSION);
	check(!preserve_session_add_fd(session, fd, 1), "is preserved");
	check(!knob("compact", "1"), "packing while it is preserved");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, 1);

	check(fd >= 0, "the file is back");
	check(!pattern_check(fd, SEED_KEPT, 0, MIB(30)), "and whole");
	check(counter_reaches("size", MIB(96)), "the pool has its size again");
	stage_session_finish(session);
	check(!knob("compact", "1"), "pack");
	check(!pattern_check(fd, SEED_KEPT, 0, MIB(30)), "still whole");
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
