// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several processes touch a retrieved file at random, all at once and beside the
 * workers that restore it: every byte is right. The arguments are the file's size
 * in MiB, a power of two, and the number of processes.
 */

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"crowd"
#define SEED		77

static size_t nr_pages;
static unsigned int nr_processes;

static void before(void)
{
	int fd = preserve_memfd_create("crowd", 0);
	int session = stage_session_create(SESSION);

	require(fd >= 0, "create: %d", fd);
	require(!pattern_write(fd, SEED, 0, nr_pages * PLACE_PAGE), "fill");
	check(!preserve_session_add_fd(session, fd, 1), "preserve");
}

/*
 * Reads each page of its share, a number of pages everywhere in the file, and looks
 * at as many of everybody's.
 */
static void visit(int fd, unsigned int nth)
{
	char *map = place_map(fd, 0, nr_pages * PLACE_PAGE);
	unsigned int seed = nth;
	size_t i, at;

	for (i = nth; i < nr_pages; i += nr_processes) {
		/* An odd factor: each page comes once. */
		at = i * 2654435761U % nr_pages;
		place_touch(map + at * PLACE_PAGE);
		if (pattern_check(fd, SEED, at * PLACE_PAGE, PLACE_PAGE))
			_exit(1);
		place_touch(map + rand_r(&seed) % nr_pages * PLACE_PAGE);
	}
	_exit(0);
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, 1);
	unsigned int i, wrong = 0;
	int status;

	require(fd >= 0, "retrieve: %d", fd);
	check(place_fdinfo(fd, "preserve-unrestored") > 0, "nothing is there");
	fflush(stdout);
	for (i = 0; i < nr_processes; i++) {
		pid_t pid = fork();

		require(pid >= 0, "fork");
		if (!pid)
			visit(fd, i);
	}
	for (i = 0; i < nr_processes; i++) {
		require(wait(&status) > 0, "wait");
		wrong += status != 0;
	}
	check(!wrong, "%u of %u processes found something wrong", wrong,
	      nr_processes);
	check(!place_fdinfo(fd, "preserve-unrestored"), "all is there");
	stage_session_finish(session);
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	require(argc == 3, "how much, how many?");
	nr_pages = MIB(atoi(argv[1])) / PLACE_PAGE;
	nr_processes = atoi(argv[2]);
	return stage_run(stages, STAGE_COUNT(stages));
}
