// SPDX-License-Identifier: GPL-2.0-only
/*
 * Running other programs.
 */

#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSTEMD		"/run/systemd/system"
#define SYSTEMCTL	"/usr/bin/systemctl"

bool systemd_runs(void)
{
	return !access(SYSTEMD, F_OK) && !access(SYSTEMCTL, X_OK);
}

static void read_all(int fd, char *output, size_t size)
{
	size_t have = 0;
	ssize_t got;
	char rest[512];

	while ((got = have + 1 < size ? read(fd, output + have, size - 1 - have) :
					read(fd, rest, sizeof(rest))) > 0)
		if (have + 1 < size)
			have += got;
	output[have] = '\0';
}

int spawn(char *const *argv, char *output, size_t size)
{
	int pipes[2] = { -1, -1 }, status;
	pid_t pid;

	if (output && pipe2(pipes, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0) {
		int err = -errno;

		if (output) {
			close(pipes[0]);
			close(pipes[1]);
		}
		return err;
	}
	if (!pid) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		dup2(null, STDIN_FILENO);
		if (output)
			dup2(pipes[1], STDOUT_FILENO);
		execv(argv[0], argv);
		/* See keeper.h: what the caller has may be a session. */
		raise(SIGKILL);
		_exit(127);
	}
	if (output) {
		close(pipes[1]);
		read_all(pipes[0], output, size);
		close(pipes[0]);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}

int systemctl(const char *verb, char *const *units, unsigned int nr)
{
	char **argv = calloc(nr + 3, sizeof(*argv));
	int ret;

	if (!argv)
		return -ENOMEM;
	argv[0] = SYSTEMCTL;
	argv[1] = (char *)verb;
	for (unsigned int i = 0; i < nr; i++)
		argv[i + 2] = units[i];
	ret = spawn(argv, NULL, 0);
	free(argv);
	return ret;
}

bool systemd_is_active(const char *unit)
{
	char *const argv[] = { SYSTEMCTL, "is-active", (char *)unit, NULL };
	char state[32];

	return !spawn(argv, state, sizeof(state));
}

int systemd_goes_to_kexec(void)
{
	static char *const argv[] = {
		SYSTEMCTL, "show", "--property=Job", "--value", "kexec.target", NULL
	};
	char job[32] = "";
	int err = spawn(argv, job, sizeof(job));

	return err < 0 ? err : err ? -EIO : !!atoi(job);
}
