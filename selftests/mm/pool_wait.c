// SPDX-License-Identifier: GPL-2.0-only
/*
 * No writer fails because of house-keeping: while the pool shrinks and grows, is
 * packed, or takes all back that it has lent, the pages that it may have are to be had.
 * Also for those that must not wait for I/O.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define POOL_SIZE	MIB(700)
#define POOL_MAX	MIB(1024)
#define FILE_SIZE	MIB(128)
#define PIECE		MIB(4)

static unsigned int rounds = 2;

/* A child that does something over and over. */
static pid_t start(void (*what)(void))
{
	pid_t pid = fork();

	require(pid >= 0, "fork");
	while (!pid) {
		what();
		if (getppid() == 1)
			_exit(0);
	}
	return pid;
}

static void stop(pid_t pid)
{
	require(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid, "stop");
}

static void resize(void)
{
	pool_set("size", 0);
	pool_set("size", POOL_SIZE);
}

static void lend(void)
{
	pool_set("lend", 0);
	pool_set("lend", 1);
}

static void pack(void)
{
	pool_set("compact", 1);
}

/* Fills a file, and frees it. The first error, or 0. */
static int fill_once(bool mapped)
{
	int fd = preserve_memfd_create("filled", 0), err = 0;
	__u64 at, page;
	char *map;

	require(fd >= 0 && !ftruncate(fd, FILE_SIZE), "a file");
	if (!mapped) {
		for (at = 0; !err && at < FILE_SIZE; at += PIECE)
			err = pattern_write(fd, 1, at, PIECE);
	} else {
		/* An error is SIGBUS. */
		map = place_map(fd, 0, FILE_SIZE);
		for (page = 0; page < FILE_SIZE; page += PLACE_PAGE)
			map[page] = 1;
		munmap(map, FILE_SIZE);
	}
	close(fd);
	return err;
}

/* In a child: how it ends. */
static int fill(unsigned int nr, bool mapped, bool flusher)
{
	pid_t pid = fork();
	int status, err = 0;

	require(pid >= 0, "fork");
	if (!pid) {
		if (flusher)
			require(!prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0),
				"be one who serves I/O");
		while (!err && nr--)
			err = fill_once(mapped);
		_exit(-err);
	}
	require(waitpid(pid, &status, 0) == pid, "wait");
	return status;
}

static void beside(const char *name, void (*what)(void))
{
	pid_t pid = start(what);
	int status;

	status = fill(rounds, false, false);
	check(!status, "%s: write(2) gets its pages: %#x", name, status);
	status = fill(rounds, true, false);
	check(!status, "%s: page faults get theirs: %#x", name, status);
	status = fill(rounds, false, true);
	check(!status, "%s: who serves I/O gets them: %#x", name, status);
	stop(pid);
	pool_set("lend", 1);
	require(!pool_grow_in_time(POOL_SIZE), "the size as before");
}

static void all(void)
{
	struct load *load;
	int status;

	require(!pool_set("max", POOL_MAX) && !pool_set("size", POOL_SIZE),
		"a pool");
	status = fill(rounds, false, true);
	check(!status, "who serves I/O gets lent pages: %#x", status);
	/* Lent memory is in use, and whoever takes it back moves it. */
	load = load_fill(meminfo_bytes("MemFree") * 6 / 10);
	beside("resize", resize);
	beside("lend", lend);
	beside("pack", pack);
	check(load_stop(load), "others' memory is as it was");
	check(pool_consistent(), "counters");
}

static const stage_fn stages[] = { all };

int main(int argc, char **argv)
{
	if (argc > 1)
		rounds = atoi(argv[1]);
	return stage_run(stages, STAGE_COUNT(stages));
}
