// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits of the pool and refusals of the flag. The argument names what the
 * kernel was started with: "small" has a pool of 4 MiB, "absent" has none,
 * "off" has no handover at all.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define PAGE	KIB(4)
#define SMALL	MIB(4)

/* Newer than some C libraries. */
#ifndef MFD_EXEC
#define MFD_NOEXEC_SEAL	0x0008U
#define MFD_EXEC	0x0010U
#endif

static const char *mode;

static bool out_of_space(int err)
{
	return err == -ENOSPC || err == -ENOMEM;
}

/* Unknown bits are refused, with and without ours. */
static void flags(void)
{
	static const unsigned int unknown[] = { 0x40, 0x80, 0x10000, 0x400000 };
	size_t i;

	for (i = 0; i < STAGE_COUNT(unknown); i++) {
		check(memfd_create("x", unknown[i]) < 0 && errno == EINVAL,
		      "flag %#x is refused", unknown[i]);
		check(preserve_memfd_create("x", unknown[i]) == -EINVAL,
		      "flag %#x is refused with MFD_PRESERVE", unknown[i]);
	}
	check(preserve_memfd_create("x", MFD_EXEC | MFD_NOEXEC_SEAL) ==
	      -EINVAL, "contradicting bits are refused");
}

/* Memory outside the pool works as ever. */
static void others_are_fine(void)
{
	int fd = memfd_create("plain", MFD_CLOEXEC);

	check(fd >= 0 && !pattern_write(fd, 1, 0, MIB(8)) &&
	      !pattern_check(fd, 1, 0, MIB(8)), "a plain memfd works");
	close(fd);
}

static int fill(int fd)
{
	__u64 offset;
	int err;

	for (offset = 0; offset < 4 * SMALL; offset += PAGE) {
		err = pattern_write(fd, 2, offset, PAGE);
		if (err)
			return err;
	}
	return 0;
}

/* A fault has no errno: what cannot be had is SIGBUS. */
static void fault_beyond(int fd)
{
	int status = 0;
	pid_t pid;

	require(!ftruncate(fd, 8 * SMALL), "size");
	pid = fork();
	if (!pid) {
		char *map = mmap(NULL, 8 * SMALL, PROT_READ | PROT_WRITE,
				 MAP_SHARED, fd, 0);

		memset(map, 1, 8 * SMALL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS,
	      "a fault is SIGBUS");
}

static void exhaust(void)
{
	__s64 size = pool_counter("size"), used = pool_used_at_rest();
	int fd = preserve_memfd_create("fill", 0);
	__s64 allocated;
	int err;

	check(size == (__s64)SMALL, "the pool has 4 MiB: %lld",
	      (long long)size);
	require(fd >= 0, "create: %d", fd);
	err = fill(fd);
	check(out_of_space(err), "write into an exhausted pool: %d", err);
	allocated = file_allocated(fd);
	check(allocated > size * 3 / 4 && allocated <= size,
	      "most of the pool went into the file: %lld",
	      (long long)allocated);
	check(!pattern_check(fd, 2, 0, allocated), "what got in is right");
	others_are_fine();
	fault_beyond(fd);
	check(fallocate(fd, 0, 4 * SMALL, PAGE) < 0 && out_of_space(-errno),
	      "fallocate in an exhausted pool");

	close(fd);
	check(pool_counter("used") == used, "all pages are back: %lld",
	      (long long)pool_counter("used"));
	fd = preserve_memfd_create("again", 0);
	check(fd >= 0 && !pattern_write(fd, 3, 0, MIB(2)) &&
	      !pattern_check(fd, 3, 0, MIB(2)), "the pool is usable again");
	close(fd);
}

/*
 * Data leaves the pool some pages for records; records take those. Preserves
 * empty files until the pool has nothing left. Gives the error.
 */
static int drain(int session, unsigned int *nr)
{
	int fd, err;

	for (*nr = 0; *nr < SMALL / PAGE; (*nr)++) {
		fd = preserve_memfd_create("empty", 0);
		if (fd < 0)
			return fd;
		err = preserve_session_add_fd(session, fd, *nr);
		close(fd);
		if (err)
			return err;
	}
	return 0;
}

/* A pool without a page for a record: preserve fails cleanly. */
static void preserve_without_room(void)
{
	__s64 used = pool_counter("used");
	int session = stage_session_create("drain");
	int fd = preserve_memfd_create("fill", 0);
	unsigned int nr;
	int err;

	require(out_of_space(fill(fd)), "fill the pool");
	err = drain(session, &nr);
	check(out_of_space(err), "preserve in an exhausted pool: %d", err);
	check(pool_counter("files") == nr, "the files before it are: %u", nr);
	err = preserve_session_add_fd(session, fd, nr + 1);
	check(out_of_space(err), "and no other one: %d", err);
	check(!ftruncate(fd, MIB(1)), "a refused file is not frozen");
	err = preserve_session_add_fd(session, fd, nr + 1);
	check(!err, "with room it works: %d", err);
	check(!pattern_check(fd, 2, 0, MIB(1)), "content");
	close(session);
	close(fd);
	check(!pool_counter("files") && !pool_counter("preserved"),
	      "nothing is preserved");
	check(pool_counter("used") == used,
	      "all pages are back: %lld", (long long)pool_counter("used"));
}

static void absent(void)
{
	int fd = preserve_memfd_create("none", 0);

	check(!pool_counter("size"), "there is no pool");
	check(fd >= 0 || out_of_space(fd), "create: %d", fd);
	if (fd >= 0) {
		int err = pattern_write(fd, 1, 0, PAGE);

		check(out_of_space(err), "write without a pool: %d", err);
		check(!file_allocated(fd), "nothing is allocated");
		close(fd);
	}
	others_are_fine();
}

static void off(void)
{
	int err = preserve_memfd_create("off", 0);

	check(err == -EOPNOTSUPP, "create without handover: %d", err);
	others_are_fine();
}

static void run(void)
{
	flags();
	if (!strcmp(mode, "small")) {
		exhaust();
		preserve_without_room();
	} else if (!strcmp(mode, "absent")) {
		absent();
	} else if (!strcmp(mode, "off")) {
		off();
	} else {
		require(false, "what is %s?", mode);
	}
}

int main(int argc, char **argv)
{
	mode = argc > 1 ? argv[1] : "";
	return stage_run_rounds(run, 1);
}
