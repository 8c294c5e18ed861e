// SPDX-License-Identifier: GPL-2.0-only
/*
 * MADV_COLLAPSE puts a huge folio in the place of small ones while a file, or the tree
 * that it is in, is being preserved: it has looked at the file before, and stores the
 * folio behind. What is preserved has to be what is there after the kexec.
 *
 * Each round has a plain memfd and a plain tmpfs with a file; both are in the pool
 * already, from an earlier preserve.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"collapse"
#define SIZE		MIB(2)
#define PAGE		KIB(4)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

static unsigned int nr_rounds = 24;

static char *area;
static atomic_uint round_go, round_done;
static atomic_long delay_ns;

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void *collapser(void *arg)
{
	unsigned int seen = 0;

	for (;;) {
		long until;

		while (round_go == seen)
			sched_yield();
		seen = round_go;
		until = now_ns() + delay_ns;
		while (now_ns() < until)
			;
		madvise(area, SIZE, MADV_COLLAPSE);
		round_done = seen;
	}
	return arg;
}

static void map_area(int fd)
{
	require(mmap(area, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		     fd, 0) == area, "map the file");
}

static void make_area(void)
{
	char *memory = mmap(NULL, 2 * SIZE, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	require(memory != MAP_FAILED, "room for a mapping");
	area = (char *)(((unsigned long)memory + SIZE - 1) & ~(SIZE - 1));
}

/* Into the pool, and out of the session again. */
static void preserve_once(int fd)
{
	int session = stage_session_create("once");
	int err = preserve_session_add_fd(session, fd, 1);

	require(!err, "preserve once: %d", err);
	close(session);
}

/* Preserves @fd beside a collapse of @file. It may fail, and is tried again then. */
static void race(int session, int fd, int file, __u64 token)
{
	int err;

	map_area(file);
	preserve_once(fd);
	delay_ns = random() % 600 * 10000;
	round_go++;
	err = preserve_session_add_fd(session, fd, token);
	while (round_done != round_go)
		sched_yield();
	if (err)
		err = preserve_session_add_fd(session, fd, token);
	require(!err, "preserve %llu: %d", (unsigned long long)token, err);
}

static int make_file(const char *path, __u64 seed)
{
	int fd = path ? open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600) :
			memfd_create("collapse", MFD_CLOEXEC);

	require(fd >= 0 && !pattern_write(fd, seed, 0, SIZE), "a file");
	return fd;
}

static void tree_path(char *path, size_t size, unsigned int nr)
{
	snprintf(path, size, "/t%u", nr);
}

static void race_tree(int session, unsigned int nr)
{
	char dir[16], path[32];
	int root, fd;

	tree_path(dir, sizeof(dir), nr);
	root = tree_mount(dir, "size=4m");
	snprintf(path, sizeof(path), "%s/f", dir);
	fd = make_file(path, 2 * nr);
	race(session, root, fd, 2 * nr);
	close(fd);
	close(root);
}

static void race_memfd(int session, unsigned int nr)
{
	int fd = make_file(NULL, 2 * nr + 1);

	race(session, fd, fd, 2 * nr + 1);
	close(fd);
}

/* Whoever gets a frame that was given up by mistake writes into it. */
static void use_frames(void)
{
	int fd = preserve_memfd_create("other", MFD_CLOEXEC);

	for (__u64 at = 0; !pattern_write(fd, 99, at, PAGE); at += PAGE)
		;
	close(fd);
}

static void before(void)
{
	int session = stage_session_create(SESSION);
	pthread_t thread;

	srandom(now_ns());
	make_area();
	require(!pthread_create(&thread, NULL, collapser, NULL), "a thread");
	for (unsigned int nr = 0; nr < nr_rounds; nr++) {
		race_tree(session, nr);
		race_memfd(session, nr);
	}
	use_frames();
	check(true, "%u trees and memfds are preserved", nr_rounds);
}

static bool tree_right(int mount, unsigned int nr)
{
	int fd = openat(mount, "f", O_RDONLY | O_CLOEXEC);
	bool right = fd >= 0 && !pattern_check(fd, 2 * nr, 0, SIZE);

	close(fd);
	return right;
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	unsigned int trees = 0, memfds = 0;

	for (unsigned int nr = 0; nr < nr_rounds; nr++) {
		int mount = preserve_session_get_fd(session, 2 * nr);
		int fd = preserve_session_get_fd(session, 2 * nr + 1);

		trees += mount < 0 || !tree_right(mount, nr);
		memfds += fd < 0 || pattern_check(fd, 2 * nr + 1, 0, SIZE);
		close(mount);
		close(fd);
	}
	check(!trees, "%u of %u trees are wrong", trees, nr_rounds);
	check(!memfds, "%u of %u memfds are wrong", memfds, nr_rounds);
	stage_session_finish(session);
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	if (argc > 1)
		nr_rounds = atoi(argv[1]);
	return stage_run(stages, STAGE_COUNT(stages));
}
