// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packing the pool gives way to what is handed over: it brings in, and moves, no more
 * of a file than a step's worth before it does.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"way"
#define COMPACT		"/sys/kernel/mm/preserve/compact"
#define PACE		"/sys/kernel/mm/preserve/restore_pace"
/* Two files that grow in turn are in many runs. */
#define PIECE		KIB(256)
#define TREE		"/tree"

enum { TOKEN_FILE = 1, TOKEN_TREE };

static unsigned int size_mib = 384;

static void before(void)
{
	int session = stage_session_create(SESSION);
	int filler = preserve_memfd_create("filler", 0);
	int fd = preserve_memfd_create("large", 0);
	__u64 at;

	require(filler >= 0 && fd >= 0, "two files");
	for (at = 0; at < MIB(size_mib); at += PIECE)
		require(!pattern_write(fd, 1, at, PIECE) &&
			!pattern_write(filler, 2, at / 8, PIECE / 8), "fill");
	require(!preserve_session_add_fd(session, fd, TOKEN_FILE), "preserve");
}

static pid_t compact_start(void)
{
	pid_t pid = fork();

	require(pid >= 0, "fork");
	if (!pid)
		_exit(-text_write(COMPACT, "1"));
	return pid;
}

/* The child's errno, or -1 if a signal has ended it. */
static int result(pid_t pid)
{
	int status;

	require(waitpid(pid, &status, 0) == pid, "wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void after(void)
{
	int session, fd, root, err;
	__s64 all, left;
	pid_t pid;

	require(!text_write(PACE, "0"), "only on demand");
	session = stage_session_retrieve(SESSION);
	fd = preserve_session_get_fd(session, TOKEN_FILE);
	require(fd >= 0, "retrieve: %d", fd);
	stage_session_finish(session);
	root = tree_mount(TREE, "preserve");
	require(root >= 0, "mount a tree: %d", root);

	session = stage_session_create(SESSION);
	all = pool_counter("unrestored");
	pid = compact_start();
	while (pool_counter("unrestored") == all)
		;
	err = preserve_session_add_fd(session, root, TOKEN_TREE);
	left = pool_counter("unrestored");
	check(!err, "a tree is preserved meanwhile: %d", err);
	check(left, "%lld of %lld bytes were not brought in yet",
	      (long long)left, (long long)all);
	err = result(pid);
	/* It stops if it comes to a step while the tree is written, which takes a moment. */
	check(!err || err == EBUSY, "packing gives way, or goes on: %d", err);
	close(session);
	check(!text_write(COMPACT, "1"), "and is done later");
	check(!pattern_check(fd, 1, 0, MIB(size_mib)), "the file is whole");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	if (argc > 1)
		size_mib = atoi(argv[1]);
	return stage_run(stages, STAGE_COUNT(stages));
}
