// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl run: a program finds its tmpfs and its memfd again when it is started again,
 * in the same kernel and in later ones, and nobody has to save or restore anything.
 *
 *	ctl_run STATE     the program: checks what it is given, see child()
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "command.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SEED		41
#define MEMFD_SIZE	MIB(2)
#define FILE_SIZE	KIB(500)
#define FD		3

/* What the program may find wrong: its exit status. */
enum { GOOD, BAD_STATE = 20, BAD_ENVIRONMENT, BAD_MEMFD, BAD_FILE };

static const char * const states[] = { "fresh", "kept", "restored" };

static bool has(const char *name, const char *value)
{
	const char *is = getenv(name);

	return is && !strcmp(is, value);
}

static int child(const char *state)
{
	char pid[16], path[64];
	struct stat st;
	int fd;

	snprintf(pid, sizeof(pid), "%d", getpid());
	snprintf(path, sizeof(path), "%s/file", getenv("PRESERVE_DIR"));
	if (!has("PRESERVE_STATE", state))
		return BAD_STATE;
	if (!has("PRESERVE_NAME", "db") || !has("PRESERVE_DIR", "/run/preserve/db") ||
	    !has("LISTEN_FDS", "1") || !has("LISTEN_FDNAMES", "db") || !has("LISTEN_PID", pid) ||
	    fstat(FD, &st) || st.st_size != MEMFD_SIZE)
		return BAD_ENVIRONMENT;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (!strcmp(state, "fresh"))
		return pattern_write(FD, SEED, 0, MEMFD_SIZE) ? BAD_MEMFD :
		       pattern_write(fd, SEED + 1, 0, FILE_SIZE) ? BAD_FILE : GOOD;
	if (pattern_check(FD, SEED, 0, MEMFD_SIZE))
		return BAD_MEMFD;
	return pattern_check(fd, SEED + 1, 0, FILE_SIZE) ? BAD_FILE : GOOD;
}

/* The program runs, and finds what it expects. */
static void runs(unsigned int state)
{
	command_gives(GOOD, NULL, "run db --tmpfs 8M --memfd 2M -- /test %s", states[state]);
}

static void first(void)
{
	command_gives(COMMAND_USAGE, NULL, "run");
	command_gives(COMMAND_USAGE, NULL, "run db");
	command_gives(COMMAND_USAGE, NULL, "run db -- /test");
	command_gives(COMMAND_USAGE, NULL, "run db --tmpfs 0 -- /test");
	command_gives(COMMAND_USAGE, NULL, "run db --tmpfs 8M");
	command_gives(COMMAND_USAGE, NULL, "run a/b --tmpfs 8M -- /test");
	command_gives(COMMAND_USAGE, NULL, "run db --at relative --tmpfs 8M -- /test");
	command_gives(COMMAND_USAGE, NULL, "run db --at /srv --memfd 8M -- /test");
	runs(0);
	runs(1);
	command_gives(COMMAND_DONE, "kept", "list");
	command_gives(COMMAND_FAILED, "cannot start /nowhere",
		      "run db --tmpfs 8M --memfd 2M -- /nowhere");
	command_gives(COMMAND_FAILED, "cannot start", "run other --tmpfs 1M -- /nowhere");
	command_gives(COMMAND_FAILED, "has no memfd of run's", "run other --memfd 1M -- /test");
	command_gives(COMMAND_DONE, "let go of", "drop --free other");
	command_kexec("");
}

static void again(void)
{
	command_gives(COMMAND_DONE, "to restore", "list");
	runs(2);
	runs(2);
	check(!pool_counter("incoming"), "nothing is set aside");
	/* Another tmpfs in its place is not taken for it. */
	require(!mount("tmpfs", "/run/preserve/db", "tmpfs", 0, NULL), "over it");
	command_gives(COMMAND_FAILED, "is not at /run/preserve/db any more",
		      "run db --tmpfs 8M --memfd 2M -- /test restored");
	require(!umount("/run/preserve/db"), "unmount");
	command_gives(COMMAND_FAILED, "is kept under the name db",
		      "run other --tmpfs 1M --at /run/preserve/db -- /test restored");
	check(umount("/run/preserve/db") && errno == EBUSY, "its tmpfs is kept from unmounting");
	command_gives(COMMAND_DONE, "saved db: 2 items", "save db");
	command_gives(COMMAND_FAILED, "is saved", "run db --tmpfs 8M --memfd 2M -- /test kept");
	command_gives(COMMAND_DONE, "does not cross", "drop db");
	runs(2);
	/* As a shutdown does with what it cannot unmount. */
	require(!umount2("/run/preserve/db", MNT_DETACH), "detach");
	command_kexec("");
}

static void last(void)
{
	runs(2);
	runs(2);
	command_gives(COMMAND_DONE, "let go of", "drop --free db");
	command_gives(COMMAND_FAILED, "nothing is called", "drop db");
}

static const stage_fn stages[] = { first, again, last };

int main(int argc, char **argv)
{
	return argc > 1 ? child(argv[1]) : stage_run(stages, STAGE_COUNT(stages));
}
