// SPDX-License-Identifier: GPL-2.0-only
/*
 * Corners that are easy to get wrong: seals of a file that is not executable,
 * names with slashes, descriptors for reading only, a huge folio that is split
 * while its file is preserved, and holes that are filled while it is.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"

/* Newer than Debian 12's headers. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	0x0008U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC	0x0020
#endif

#define SESSION		"corners"
#define SHMEM_HUGE	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define SPLIT_SIZE	(MIB(3) + KIB(4))
#define HOLES_SIZE	MIB(4)

enum { TOKEN_NOEXEC = 1, TOKEN_NAME, TOKEN_HOLES, TOKEN_SPLIT };

static int make(const char *name, unsigned int flags, __u64 size)
{
	int fd = preserve_memfd_create(name, flags | MFD_CLOEXEC);

	require(fd >= 0, "create %s: %d", name, fd);
	require(!ftruncate(fd, size), "size of %s", name);
	return fd;
}

static void add(int session, int fd, __u64 token, const char *what)
{
	int err = preserve_session_add_fd(session, fd, token);

	check(!err, "preserve %s: %d", what, err);
}

static void read_only(int session)
{
	int fd = make("read-only", 0, KIB(4));
	char path[64];
	int reader;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	require(reader >= 0, "open for reading");
	check(preserve_session_add_fd(session, reader, 99) == -EINVAL,
	      "a descriptor for reading only is refused");
	close(reader);
	close(fd);
}

static void before(void)
{
	int session = stage_session_create(SESSION);
	int noexec, name, holes, split;

	read_only(session);

	noexec = make("noexec", MFD_NOEXEC_SEAL, MIB(1));
	add(session, noexec, TOKEN_NOEXEC, "a file that is not executable");
	name = make("a/b/../c", 0, MIB(1));
	require(!pattern_write(name, 1, 0, KIB(4)), "fill");
	add(session, name, TOKEN_NAME, "a file with slashes in its name");

	holes = make("holes", 0, HOLES_SIZE);
	require(!pattern_write(holes, 2, 0, KIB(4)), "fill");
	add(session, holes, TOKEN_HOLES, "a file with holes");

	require(!text_write(SHMEM_HUGE, "always"), SHMEM_HUGE);
	split = make("split", 0, SPLIT_SIZE);
	require(!pattern_write(split, 3, 0, SPLIT_SIZE), "fill");
	require(!text_write(SHMEM_HUGE, "never"), SHMEM_HUGE);
	check(file_allocated(split) > (__s64)SPLIT_SIZE,
	      "its last folio reaches past its end");
	add(session, split, TOKEN_SPLIT, "a file of huge folios");

	/* Splits the last folio and frees what lies past the end ... */
	check(!ftruncate(split, SPLIT_SIZE), "the same size again");
	check(file_allocated(split) == (__s64)SPLIT_SIZE, "it is split");
	/* ... which another preserved file then gets for its holes. */
	check(!pattern_write(holes, 2, KIB(4), HOLES_SIZE - KIB(4)),
	      "holes are filled");
}

static int get(int session, __u64 token, const char *what)
{
	int fd = preserve_session_get_fd(session, token);

	check(fd >= 0, "%s is there: %d", what, fd);
	return fd;
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int noexec = get(session, TOKEN_NOEXEC, "the file without exec");
	int name = get(session, TOKEN_NAME, "the file with slashes");
	int holes = get(session, TOKEN_HOLES, "the file with filled holes");
	int split = get(session, TOKEN_SPLIT, "the file with a split folio");

	check(fcntl(noexec, F_GET_SEALS) == F_SEAL_EXEC, "seals: %#x",
	      fcntl(noexec, F_GET_SEALS));
	check(!pattern_write(noexec, 5, 0, MIB(1) / 2), "it can be written");
	check(!pattern_check(name, 1, 0, KIB(4)), "content");
	check(!pattern_check(holes, 2, 0, HOLES_SIZE), "content of the holes");
	check(!pattern_check(split, 3, 0, SPLIT_SIZE), "content of the split");
	check(!pool_counter("incoming"), "nothing else was handed over");
	stage_session_finish(session);
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
