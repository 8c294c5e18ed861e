// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of a plain memfd is moved into the pool ahead of time. Then preserving it moves
 * nothing, and it stays in the pool without being preserved.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "swap.h"
#include "writer.h"

#define SESSION		"enter"
#define SIZE		MIB(8)
#define SMALL		MIB(1)
#define USER		1000

enum { TOKEN_MOVED, TOKEN_WRITTEN, TOKEN_NOT_MOVED };

static int new_file(const char *name, __u64 size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	require(fd >= 0 && !pattern_write(fd, 1, 0, size), "make %s", name);
	return fd;
}

/* Pages that have been moved while @fd was preserved. */
static __s64 moved_by_preserve(int session, int fd, __u64 token)
{
	__s64 before = vmstat_count("pgmigrate_success");

	require(!preserve_session_add_fd(session, fd, token), "preserve");
	return vmstat_count("pgmigrate_success") - before;
}

static void enter_then_preserve(int session)
{
	int fd = new_file("moved", SIZE), other = new_file("not moved", SIZE), err;
	__s64 used = pool_used_at_rest(), moved;

	require(swap_out(fd, SIZE, SIZE / 2), "swap a part of it out");
	err = preserve_memfd_enter(fd);
	check(!err && place_is_ours(fd), "its memory moves into the pool: %d", err);
	check(!pattern_check(fd, 1, 0, SIZE), "nothing of it is lost");
	check(pool_counter("used") >= used + (__s64)SIZE, "all of it is there: %lld",
	      (long long)pool_counter("used"));
	check(!preserve_memfd_enter(fd), "it is there: nothing to do");
	check(!pattern_write(fd, 1, SIZE, SIZE) &&
	      pool_counter("used") >= used + (__s64)(2 * SIZE), "so is what comes later");

	moved = moved_by_preserve(session, other, TOKEN_NOT_MOVED);
	check(moved >= (__s64)(SIZE / KIB(4)), "preserve moves another: %lld pages",
	      (long long)moved);
	check(preserve_memfd_enter(other) == -EBUSY, "which cannot enter meanwhile");
	moved = moved_by_preserve(session, fd, TOKEN_MOVED);
	check(moved < 16, "preserve moves nothing of this one: %lld pages",
	      (long long)moved);
}

static void preserve_then_drop(void)
{
	int fd = new_file("stays", SIZE), session = stage_session_create("stays");

	require(!preserve_memfd_enter(fd), "enter");
	require(!preserve_session_add_fd(session, fd, 1), "preserve");
	close(session);
	check(place_is_ours(fd), "it stays in the pool when it is preserved no more");
	check(!pattern_check(fd, 1, 0, SIZE), "as it is");
	close(fd);
}

static void beside_a_writer(int session)
{
	int fd = memfd_create("written", MFD_CLOEXEC), err;
	struct writer *writer;

	require(fd >= 0 && !ftruncate(fd, SMALL), "make a file");
	writer = writer_start(fd, SMALL);
	require(writer_goes_on(writer, 2), "write");
	err = preserve_memfd_enter(fd);
	check(!err && place_is_ours(fd), "it moves while it is written: %d", err);
	check(writer_goes_on(writer, 3), "no write is lost");
	require(!preserve_session_add_fd(session, fd, TOKEN_WRITTEN), "preserve");
	check(writer_stop(writer), "nor behind preserve");
}

static void refused(void)
{
	int fd = new_file("pinned", SIZE), pin = place_pin(fd, KIB(64)), other, err;
	char path[32];

	err = preserve_memfd_enter(fd);
	check(err == -EBUSY && !place_is_ours(fd), "pinned: it stays as it is: %d", err);
	check(!pattern_check(fd, 1, 0, SIZE), "and whole");
	close(pin);
	check(ioctl(fd, _IO(0xba, 0x81)) && errno == ENOTTY, "another ioctl");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDONLY);
	check(other >= 0 && preserve_memfd_enter(other) == -EBADF, "open for reading only");
	close(other);
	close(fd);

	require(!mount("none", "/tmp", "tmpfs", 0, ""), "a tmpfs");
	fd = open("/tmp/file", O_RDWR | O_CREAT, 0600);
	check(fd >= 0 && preserve_memfd_enter(fd) == -EOPNOTSUPP, "a file of a tmpfs");
	close(fd);
	umount("/tmp");

	fd = preserve_memfd_create("its own", 0);
	check(!preserve_memfd_enter(fd), "one that was made there");
	close(fd);
}

/* In a child, as a user. Returns what is wrong. */
static int as_user(int fd)
{
	if (setresgid(USER, USER, USER) || setresuid(USER, USER, USER))
		return 1;
	if (preserve_memfd_enter(fd) != -EPERM || place_is_ours(fd))
		return 2;
	return pattern_check(fd, 1, 0, SMALL) ? 3 : 0;
}

static void of_a_user(void)
{
	int fd = new_file("a user's", SMALL), status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid)
		_exit(as_user(fd));
	require(waitpid(pid, &status, 0) == pid, "wait");
	check(!status, "it is not for a user without privilege: %#x", status);
	close(fd);
}

static void before(void)
{
	int session = stage_session_create(SESSION);

	swap_on();
	enter_then_preserve(session);
	beside_a_writer(session);
	swap_off();
	preserve_then_drop();
	refused();
	of_a_user();
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int moved = preserve_session_get_fd(session, TOKEN_MOVED);
	int written = preserve_session_get_fd(session, TOKEN_WRITTEN);
	int other = preserve_session_get_fd(session, TOKEN_NOT_MOVED);

	check(moved >= 0 && !pattern_check(moved, 1, 0, 2 * SIZE), "the moved one crosses");
	check(other >= 0 && !pattern_check(other, 1, 0, SIZE), "so does the other");
	check(written >= 0 && writer_left(written, SMALL), "and the written one");
	stage_session_finish(session);
	check(!pool_counter("incoming"), "nothing is left behind");
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
