// SPDX-License-Identifier: GPL-2.0-only
/*
 * What users without privilege get of the pool: memory that cannot be swapped out, so
 * as much as they may lock (RLIMIT_MEMLOCK), in all of their files, in any user
 * namespace that they make, and whoever writes; no tmpfs of it. Containers that root makes
 * count by themselves. After a kexec what is in use counts for the same user, and nothing
 * of it is refused, but what comes later is. That the pool has grown on demand has no effect in
 * the next kernel.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"user"
#define PAGE		PLACE_PAGE
#define LIMIT		MIB(1)
#define USER		1000
#define POOL_SIZE	MIB(64)

enum { TOKEN = 1 };

static sigjmp_buf fault;

static void on_bus(int sig)
{
	siglongjmp(fault, sig);
}

/* True if the page cannot be had. */
static bool faults(int fd, off_t offset)
{
	static bool failed;
	static void *map;

	map = place_map(fd, offset, PAGE);
	failed = true;
	signal(SIGBUS, on_bus);
	if (!sigsetjmp(fault, 1)) {
		place_touch(map);
		failed = false;
	}
	munmap(map, PAGE);
	return failed;
}

static int make(const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0 && !ftruncate(fd, 4 * LIMIT), "create %s: %d", name, fd);
	return fd;
}

static void set_limit(rlim_t limit)
{
	const struct rlimit r = { limit, limit };

	require(!setrlimit(RLIMIT_MEMLOCK, &r), "a limit");
}

/* Runs in a child: a task cannot become root again. */
static void as_user(void (*what)(int fd), int fd)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		set_limit(LIMIT);
		require(!setresgid(USER, USER, USER) &&
			!setresuid(USER, USER, USER), "become a user");
		what(fd);
		fflush(stdout);
		_exit(0);
	}
	require(waitpid(pid, &status, 0) == pid && !status, "the user's task: %#x",
		status);
}

/* One line for the child, another counts nothing. */
#define say(ok, ...)							\
	do {								\
		if (!(ok)) {						\
			ksft_print_msg(__VA_ARGS__);			\
			_exit(1);					\
		}							\
	} while (0)

static void has_a_limit(int unused)
{
	int fd = make("own"), other = make("other");

	say(!pattern_write(fd, 1, 0, LIMIT), "as much as is allowed\n");
	say(pattern_write(fd, 1, LIMIT, PAGE) == -EDQUOT, "a page more\n");
	say(fallocate(fd, 0, LIMIT, PAGE) && errno == EDQUOT, "allocated\n");
	say(faults(fd, LIMIT), "a page fault more\n");
	say(pattern_write(other, 2, 0, PAGE) == -EDQUOT, "another file\n");
	say(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) &&
	    !pattern_write(other, 2, 0, PAGE), "what is given back counts no more\n");
	close(fd);
	say(!pattern_write(other, 2, 0, LIMIT), "nor does what is closed\n");
	say(!unshare(CLONE_NEWUSER), "a user namespace\n");
	fd = make("inside");
	say(pattern_write(fd, 1, 0, PAGE) == -EDQUOT, "the limit is that outside\n");
}

/* The file is root's, so it has no limit. */
static void writes_for_root(int fd)
{
	say(!pattern_write(fd, 1, 0, 2 * LIMIT), "root's file has no limit\n");
}

/* A user namespace that root has made, with users of its own. */
static void contained(int unused)
{
	int fd, map;

	set_limit(LIMIT);
	require(!unshare(CLONE_NEWUSER), "a user namespace");
	map = open("/proc/self/uid_map", O_WRONLY);
	require(write(map, "0 0 1", 5) == 5, "map a user");
	close(map);
	fd = make("in a container");
	say(!pattern_write(fd, 1, 0, LIMIT), "a container has its share\n");
	say(pattern_write(fd, 1, LIMIT, PAGE) == -EDQUOT, "and no more\n");
}

/* Two containers at the same time do not take each other's share. */
static void containers(void)
{
	pid_t pid[2];
	int i, status;

	fflush(stdout);
	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		require(pid[i] >= 0, "fork");
		if (!pid[i]) {
			contained(-1);
			fflush(stdout);
			/* It keeps what it has until the other has seen its limit. */
			if (!i)
				pause();
			_exit(0);
		}
		if (!i)
			sleep(1);
	}
	require(waitpid(pid[1], &status, 0) == pid[1], "wait for the second");
	check(!status, "a second container has its own share: %#x", status);
	kill(pid[0], SIGKILL);
	check(waitpid(pid[0], &status, 0) == pid[0] && WIFSIGNALED(status),
	      "so had the first: %#x", status);
}

static void mounts(int unused)
{
	say(!unshare(CLONE_NEWUSER | CLONE_NEWNS), "namespaces\n");
	say(mount("none", "/tmp", "tmpfs", 0, "size=1m") == 0, "a plain tmpfs\n");
	say(mount("none", "/tmp", "tmpfs", 0, "noswap") && errno == EINVAL,
	    "noswap is refused\n");
	say(mount("none", "/tmp", "tmpfs", 0, "preserve") && errno == EINVAL,
	    "so is preserve\n");
}

static void fills(int channel)
{
	char text[64];
	int fd = make("kept");

	say(!pattern_write(fd, 1, 0, LIMIT), "a full file\n");
	snprintf(text, sizeof(text), "/proc/%d/fd/%d", getpid(), fd);
	say(write(channel, text, sizeof(text)) == sizeof(text), "name it\n");
	/* Until the next kernel comes. */
	for (;;)
		pause();
}

/* A user's file, in the hands of the task that preserves. */
static int kept(void)
{
	char text[64] = "";
	int channel[2], fd;
	pid_t pid;

	require(!pipe(channel), "pipe");
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid)
		as_user(fills, channel[1]);
	require(read(channel[0], text, sizeof(text)) == sizeof(text), "which");
	fd = open(text, O_RDWR | O_CLOEXEC);
	require(fd >= 0, "open %s", text);
	return fd;
}

/* The pool grows, and its size is what was asked for all the same. */
static void grows(void)
{
	int fd = make("large");

	check(!fallocate(fd, 0, 0, 3 * POOL_SIZE) &&
	      pool_counter("size") > (__s64)(2 * POOL_SIZE), "the pool grows");
	close(fd);
}

static void before(void)
{
	int session, fd;

	grows();
	as_user(has_a_limit, -1);
	check(true, "a user has a limit");
	fd = make("root's");
	set_limit(PAGE);
	check(!pattern_write(fd, 1, 0, LIMIT), "root has none");
	as_user(writes_for_root, fd);
	check(true, "also when a user writes");
	close(fd);
	containers();
	as_user(mounts, -1);
	check(true, "a user mounts no preserved tmpfs");

	session = stage_session_create(SESSION);
	check(!preserve_session_add_fd(session, kept(), TOKEN), "preserve");
}

static void still_has_it(int fd)
{
	int other = make("other");

	say(pattern_write(other, 1, 0, PAGE) == -EDQUOT,
	    "what has crossed counts for its user\n");
	say(pattern_write(fd, 1, LIMIT, PAGE) == -EDQUOT, "and has its limit\n");
	say(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) &&
	    !pattern_write(fd, 1, 0, PAGE), "within which it changes\n");
}

static void has_room(int unused)
{
	say(!pattern_write(make("other"), 1, 0, LIMIT), "it counts no more\n");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd;

	set_limit(0);
	fd = preserve_session_get_fd(session, TOKEN);
	require(fd >= 0, "retrieve: %d", fd);
	stage_session_finish(session);
	as_user(still_has_it, fd);
	check(true, "a file that has crossed counts for the same user");
	check(!pattern_check(fd, 1, 0, LIMIT), "and is whole");
	close(fd);
	as_user(has_room, -1);
	check(true, "until it goes");
	pool_await("size", POOL_SIZE);
	check(pool_counter("size") < (__s64)(2 * POOL_SIZE),
	      "the pool has the size that was asked for: %lld",
	      (long long)pool_counter("size"));
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
