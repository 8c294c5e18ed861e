// SPDX-License-Identifier: GPL-2.0-only
/*
 * An agent preserves what belongs to others. Where its own memory may come from does not
 * matter: records and maps lie in the pool, wherever the pool is.
 */

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define CGROUP	"/sys/fs/cgroup/"
#define AGENT	CGROUP "agent"
#define SEED	5

/* The pool is on node 0 only. */
static void before(void)
{
	int session = stage_session_create("cpuset"), err;
	int fd = preserve_memfd_create("file", MFD_CLOEXEC);

	/* With every second page, the map takes pages of its own. */
	require(fd >= 0, "memfd_create");
	for (off_t at = 0; at < (off_t)MIB(4); at += KIB(8))
		require(!pattern_write(fd, SEED, at, KIB(4)), "fill");
	require(!text_write(CGROUP "cgroup.subtree_control", "+cpuset") &&
		!mkdir(AGENT, 0755) && !text_write(AGENT "/cpuset.mems", "1"),
		"a cpuset without the node of the pool");
	load_join(AGENT);
	err = preserve_session_add_fd(session, fd, 1);
	check(!err, "an agent in it preserves a file: %d", err);
}

static void after(void)
{
	int session = stage_session_retrieve("cpuset"), fd;

	require(!text_write(CGROUP "cgroup.subtree_control", "+cpuset") &&
		!mkdir(AGENT, 0755) && !text_write(AGENT "/cpuset.mems", "1"),
		"the same cpuset");
	load_join(AGENT);
	fd = preserve_session_get_fd(session, 1);
	check(fd >= 0, "and retrieves it: %d", fd);
	check(!pattern_check(fd, SEED, 0, KIB(4)), "content");
	close(fd);
	stage_session_finish(session);
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
