// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl is killed at each of its system calls, before and after the call. While it
 * saves: either all is saved or nothing is, and what was to be saved is as it was. While it
 * restores: the next restore goes on, and in the end all is there.
 *
 *	ctl_kill [all]
 *
 * Without "all" the calls are left out that only look at something.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "memory.h"
#include "preserve.h"
#include "program.h"
#include "stage.h"
#include "tree.h"

#define SEED		7
#define SIZE		KIB(100)

static bool all_calls;

static const char * const trees[] = { "/srv/pool", "/srv/plain" };

/* --- killing --- */

/* Calls that change nothing but what the process itself has. */
static bool only_looks(long nr)
{
	static const long calls[] = {
		SYS_access, SYS_arch_prctl, SYS_brk, SYS_clock_gettime, SYS_clock_nanosleep,
		SYS_close, SYS_faccessat, SYS_fadvise64, SYS_fcntl, SYS_futex, SYS_getdents64,
		SYS_getpid, SYS_getrandom, SYS_lseek, SYS_mmap,
		SYS_mprotect, SYS_munmap, SYS_newfstatat, SYS_openat, SYS_pread64,
		SYS_prlimit64, SYS_read, SYS_readlink, SYS_readlinkat, SYS_rseq,
		SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_set_robust_list,
		SYS_set_tid_address, SYS_statx, SYS_uname,
	};

	for (unsigned int i = 0; i < STAGE_COUNT(calls); i++)
		if (calls[i] == nr)
			return true;
	return false;
}

static bool counts(pid_t pid)
{
	struct user_regs_struct regs;

	if (all_calls)
		return true;
	require(!ptrace(PTRACE_GETREGS, pid, NULL, &regs), "registers");
	return !only_looks(regs.orig_rax);
}

static void __noreturn traced(const char *const *words)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	execv(words[0], (char **)words);
	_exit(126);
}

/*
 * Runs it until the @nr-th entry into a system call, or return from one. Gives its exit
 * status, or -1 if it was killed.
 */
static int kill_at(const char *const *words, unsigned int nr)
{
	pid_t pid = fork();
	int status;

	require(pid >= 0, "fork");
	if (!pid)
		traced(words);
	require(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status), "it starts");
	require(!ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD),
		"trace it");
	for (int sig = 0;;) {
		require(!ptrace(PTRACE_SYSCALL, pid, NULL, sig), "go on");
		require(waitpid(pid, &status, 0) == pid, "wait");
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		if (WIFSIGNALED(status))
			return -1;
		sig = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
		if (sig || !counts(pid) || nr--)
			continue;
		kill(pid, SIGKILL);
		do {
			require(waitpid(pid, &status, 0) == pid, "wait for its end");
		} while (!WIFSIGNALED(status));
		return -1;
	}
}

/* --- content --- */

static void make(const char *dir, const char *options)
{
	int fd = tree_mount(dir, options), file;

	require(fd >= 0, "mount %s", dir);
	close(fd);
	file = open(path_in(dir, "file"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	require(file >= 0 && !pattern_write(file, SEED, 0, SIZE), "a file");
	close(file);
}

static bool good(const char *dir)
{
	int fd = open(path_in(dir, "file"), O_RDONLY | O_CLOEXEC);
	bool is = fd >= 0 && !pattern_check(fd, SEED, 0, SIZE);

	close(fd);
	return is;
}

static bool can_change(const char *dir)
{
	return !mkdir(path_in(dir, "new"), 0755) && !rmdir(path_in(dir, "new"));
}

/* --- saving --- */

/* A keeper says by descriptor 5 that it has all; if it cannot, it takes itself back. */
static bool is_ready(pid_t keeper)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", keeper);
	if (access(path, F_OK))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fd/5", keeper);
	return access(path, F_OK);
}

/* Is it saved? A keeper that is not there yet may still come. */
static bool settle(void)
{
	pid_t keeper;

	while (pool_counter("files")) {
		keeper = command_keeper("it");
		if (keeper && is_ready(keeper))
			return true;
		program_pause();
	}
	return false;
}

static void save(int memfd)
{
	unsigned int nr, saved = 0, undone = 0;
	char guest[32];
	const char *const words[] = { COMMAND, "save", "it", trees[0], trees[1], guest, NULL };
	int status = -1;

	snprintf(guest, sizeof(guest), "guest=%d:%d", getpid(), memfd);
	for (nr = 0; status < 0; nr++) {
		status = kill_at(words, nr);
		if (settle()) {
			saved++;
			require(!command("drop it"), "drop it: %s", command_said());
		} else {
			undone++;
			require(status, "it is saved when it says so");
		}
		require(!pool_counter("files"), "nothing is preserved then");
		for (unsigned int i = 0; i < STAGE_COUNT(trees); i++)
			require(good(trees[i]) && can_change(trees[i]), "%s is as before, %u",
				trees[i], nr);
		require(!ftruncate(memfd, SIZE + nr), "the memfd is as before");
		if (!(nr % 10))
			ksft_print_msg("%u\n", nr);
	}
	check(!status, "killed %u times, it is done in the end: %d", nr - 1, status);
	check(saved && undone > 5, "saved %u times, and not saved %u times", saved, undone);
}

static void before(void)
{
	int memfd = preserve_memfd_create("guest", 0), other;

	require(!mkdir("/srv", 0755) && memfd >= 0 && !ftruncate(memfd, SIZE), "begin");
	make(trees[0], "preserve,size=4m");
	make(trees[1], "size=4m");
	save(memfd);
	require(!ftruncate(memfd, 0) && !pattern_write(memfd, SEED, 0, SIZE), "content");
	require(!command("save it %s %s guest=%d:%d", trees[0], trees[1], getpid(), memfd),
		"save it: %s", command_said());
	other = preserve_memfd_create("other", 0);
	require(other >= 0 && !pattern_write(other, SEED, 0, SIZE), "another memfd");
	require(!command("save other guest=%d:%d", getpid(), other), "save other: %s",
		command_said());
	stage_next();
}

/* --- restoring --- */

/* So that a keeper has the session from the beginning on. */
static void restore_a_part(void)
{
	int fd;

	require((!mkdir("/srv", 0755) || errno == EEXIST), "mkdir");
	fd = tree_mount(trees[1], "size=1m");
	require(fd >= 0 && !mkdir(path_in(trees[1], "other"), 0755), "in the way");
	close(fd);
	command_gives(COMMAND_PARTLY, "something else is there", "restore it");
	require(!umount(trees[1]), "unmount");
}

/* What an earlier command has left behind does not count as saved. */
static void can_be_saved(unsigned int nr)
{
	require(!command("save it"), "save it after %u: %s", nr, command_said());
	require(pool_counter("files") == 4, "all of it is saved after %u: %lld", nr,
		(long long)pool_counter("files"));
	require(!command("drop it"), "drop it after %u: %s", nr, command_said());
}

/* Has a name's keeper the memfd as this descriptor? */
static bool keeps(const char *name, int number)
{
	pid_t keeper = command_keeper(name);
	char path[64];
	bool is;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", keeper, number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	is = fd >= 0 && !pattern_check(fd, SEED, 0, SIZE);
	close(fd);
	return is;
}

static void after(void)
{
	static const char *const words[] = { COMMAND, "restore", "--all", NULL };
	unsigned int nr;
	int status = -1;

	restore_a_part();
	for (nr = 0; status < 0; nr++) {
		status = kill_at(words, nr);
		require(!command("list"), "list: %s", command_said());
		require(strstr(command_said(), "it ") && strstr(command_said(), "other "),
			"both are there, %u: %s", nr, command_said());
		if (strstr(command_said(), "it    kept"))
			can_be_saved(nr);
		if (!(nr % 10))
			ksft_print_msg("%u\n", nr);
	}
	check(!status && nr > 10, "killed %u times, it is done in the end: %d", nr - 1, status);
	command_gives(COMMAND_DONE, "is restored already", "restore it");
	for (unsigned int i = 0; i < STAGE_COUNT(trees); i++)
		check(good(trees[i]) && can_change(trees[i]), "%s is there", trees[i]);
	check(keeps("it", 12), "and so is the memfd");
	check(keeps("other", 10), "and that of the other name");
	command_gives(COMMAND_DONE, "let go", "drop --free it");
	command_gives(COMMAND_DONE, "let go", "drop --free other");
	check(!pool_counter("incoming"), "nothing is set aside");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	all_calls = argc > 1 && !strcmp(argv[1], "all");
	return stage_run(stages, STAGE_COUNT(stages));
}
