// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs as the distribution ships them; see program.h.
 */

#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stage.h"

#define PAUSE_MS	50
#define OUTPUT_SIZE	65536
#define LINES_SHOWN	15

static uid_t become;
static const char *become_dir = "/";
static const char *tmp_dir;

const char *program_path(const char *pattern)
{
	char *path;
	glob_t found;

	require(!glob(pattern, 0, NULL, &found) && found.gl_pathc == 1,
		"one program %s", pattern);
	path = strdup(found.gl_pathv[0]);
	globfree(&found);
	require(path, "memory");
	return path;
}

void program_become(uid_t user, const char *dir)
{
	become = user;
	become_dir = dir;
}

void program_use_tmp(const char *dir)
{
	tmp_dir = dir;
}

static int change_tmp(void)
{
	if (!tmp_dir)
		return 0;
	return unshare(CLONE_NEWNS) ||
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	       mount(tmp_dir, "/tmp", NULL, MS_BIND, NULL);
}

static int change_user(void)
{
	if (!become)
		return 0;
	umask(077);
	return setgid(become) || setuid(become);
}

static void __noreturn run_child(int out, const char *const *argv)
{
	int null = open("/dev/null", O_RDONLY);

	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(out, 2) < 0 || change_tmp() || chdir(become_dir) ||
	    change_user()) {
		dprintf(2, "prepare: %m\n");
		_exit(126);
	}
	setenv("LC_ALL", "C", 1);
	execv(argv[0], (char *const *)argv);
	dprintf(2, "%s: %m\n", argv[0]);
	_exit(127);
}

struct program program_start(const char *const *argv)
{
	const char *slash = strrchr(argv[0], '/');
	struct program program;
	int out;

	snprintf(program.name, sizeof(program.name), "%s",
		 slash ? slash + 1 : argv[0]);
	snprintf(program.output, sizeof(program.output), "/tmp/%s.out",
		 program.name);
	out = open(program.output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		   0644);
	require(out >= 0, "make %s", program.output);
	fflush(stdout);
	program.pid = fork();
	require(program.pid >= 0, "fork");
	if (!program.pid)
		run_child(out, argv);
	close(out);
	return program;
}

void program_pause(void)
{
	struct timespec pause = { 0, PAUSE_MS * 1000000L };

	nanosleep(&pause, NULL);
}

int program_wait(const struct program *program)
{
	int status;

	require(waitpid(program->pid, &status, 0) == program->pid,
		"wait for %s", program->name);
	if (WIFSIGNALED(status))
		return PROGRAM_SIGNAL(WTERMSIG(status));
	return WEXITSTATUS(status);
}

bool program_runs(const struct program *program)
{
	siginfo_t info = {};

	return !waitid(P_PID, program->pid, &info,
		       WEXITED | WNOHANG | WNOWAIT) && !info.si_pid;
}

int program_stop(const struct program *program, int sig)
{
	require(!kill(program->pid, sig), "signal %s", program->name);
	return program_wait(program);
}

const char *program_output(const struct program *program)
{
	static char text[OUTPUT_SIZE];
	int fd = open(program->output, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	off_t start = size > OUTPUT_SIZE - 1 ? size - (OUTPUT_SIZE - 1) : 0;
	ssize_t n;

	require(size >= 0, "output of %s", program->name);
	n = pread(fd, text, sizeof(text) - 1, start);
	require(n >= 0, "read the output of %s", program->name);
	text[n] = '\0';
	close(fd);
	return text;
}

void program_show(const struct program *program)
{
	const char *text = program_output(program);
	const char *start = text + strlen(text);
	unsigned int lines = 0;

	while (start > text && lines <= LINES_SHOWN)
		lines += *--start == '\n';
	while (*start) {
		size_t len = strcspn(start, "\n");

		if (len)
			ksft_print_msg("%s: %.*s\n", program->name, (int)len,
				       start);
		start += len + !!start[len];
	}
}

int program_run(const char *const *argv)
{
	struct program program = program_start(argv);

	return program_wait(&program);
}

const char *program_output_of(const char *const *argv)
{
	struct program program = program_start(argv);
	int status = program_wait(&program);

	if (status)
		program_show(&program);
	require(!status, "%s ends with %#x", program.name, status);
	return program_output(&program);
}

static void bring_loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	require(fd >= 0 && !ioctl(fd, SIOCSIFFLAGS, &ifr), "loopback");
	close(fd);
}

static void write_users(void)
{
	FILE *file = fopen("/etc/passwd", "we");

	require(file, "make /etc/passwd");
	fputs("root:x:0:0:root:/:/bin/sh\n"
	      "postgres:x:100:100:PostgreSQL:/tmp:/bin/sh\n", file);
	require(!fclose(file), "write /etc/passwd");
}

void program_prepare_system(void)
{
	require(!chmod("/tmp", 01777) && !chmod("/dev/shm", 01777),
		"open /tmp and /dev/shm for users");
	bring_loopback_up();
	write_users();
}
