// SPDX-License-Identifier: GPL-2.0-only
/*
 * The next kernel has no huge pages of a file's size: the file is refused with a clear error,
 * other files of the session come, and the memory is free when the session is finished.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION	"absent"
#define SEED	3

#define TREE	"/giants"

enum { TOKEN_GIANT = 1, TOKEN_SMALL, TOKEN_TREE };

static const __u64 sizes[] = { [TOKEN_GIANT] = GIB(1), [TOKEN_SMALL] = MIB(2) };

static void run_before(void)
{
	int session = stage_session_create(SESSION), token, fd, err;

	for (token = TOKEN_GIANT; token <= TOKEN_SMALL; token++) {
		fd = huge_memfd("absent", sizes[token], MFD_PRESERVE);
		require(fd >= 0 && !ftruncate(fd, sizes[token]), "make: %d", fd);
		huge_fill(fd, SEED, 0, 1, sizes[token]);
		err = preserve_session_add_fd(session, fd, token);
		require(!err, "preserve: %d", err);
	}
	mkdir(TREE, 0755);
	require(!mount("giants", TREE, "hugetlbfs", 0, "pagesize=1G"), "mount");
	fd = open(TREE "/file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	require(fd >= 0 && !ftruncate(fd, GIB(1)), "make a file of the mount");
	huge_fill(fd, SEED, 0, 1, GIB(1));
	fd = tree_open(TREE);
	require(!preserve_session_add_fd(session, fd, TOKEN_TREE), "preserve the mount");
}

static void run_after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	__s64 free, had = meminfo_bytes("MemFree");

	check(huge_memfd("absent", GIB(1), 0) < 0, "there are no huge pages of 1 GiB");
	fd = preserve_session_get_fd(session, TOKEN_GIANT);
	check(fd == -EOPNOTSUPP, "a file of them is refused: %d", fd);
	fd = preserve_session_get_fd(session, TOKEN_SMALL);
	check(fd >= 0 && huge_check(fd, SEED, 0, 1, MIB(2)), "another file comes: %d", fd);
	close(fd);
	fd = preserve_session_get_fd(session, TOKEN_TREE);
	check(fd == -EOPNOTSUPP, "a mount of the former is refused: %d", fd);
	books_read(MIB(2), "retrieved");
	check(meminfo_bytes("MemFree") < had + (__s64)MIB(512), "the memory is kept");
	stage_session_finish(session);
	free = meminfo_bytes("MemFree");
	check(free > had + (__s64)MIB(2000), "and free when the session is finished: %lld MiB more",
	      (long long)(free - had) >> 20);
}

int main(void)
{
	static const stage_fn stages[] = { run_before, run_after };

	return stage_run(stages, STAGE_COUNT(stages));
}
