// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl, run as a user would; see command.h.
 */

#include "stage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "guest.h"

#define MAX_WORDS	24

static char said[1 << 16];

/* Runs argv; what it says is in said. */
static int run(char **argv)
{
	int fd = memfd_create("output", 0), status;
	ssize_t len;
	pid_t pid;

	require(fd >= 0, "a file for what it says");
	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		close(fd);
		execv(argv[0], argv);
		_exit(126);
	}
	require(waitpid(pid, &status, 0) == pid, "wait for it");
	len = pread(fd, said, sizeof(said) - 1, 0);
	close(fd);
	said[len < 0 ? 0 : len] = '\0';
	require(!WIFSIGNALED(status), "%s: signal %d: %s", argv[1], WTERMSIG(status), said);
	return WEXITSTATUS(status);
}

static int __printf(1, 0) command_with(const char *fmt, va_list args)
{
	char words[2048], *argv[MAX_WORDS + 2] = { COMMAND }, *save;
	unsigned int nr = 1;

	vsnprintf(words, sizeof(words), fmt, args);
	for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		require(nr <= MAX_WORDS, "too many words");
		argv[nr++] = word;
	}
	return run(argv);
}

int command(const char *fmt, ...)
{
	va_list args;
	int status;

	va_start(args, fmt);
	status = command_with(fmt, args);
	va_end(args);
	return status;
}

bool command_gives(int want, const char *text, const char *fmt, ...)
{
	char words[256];
	va_list args;
	int status;
	bool good;

	va_start(args, fmt);
	vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	va_start(args, fmt);
	status = command_with(fmt, args);
	va_end(args);
	good = check(status == want && (!text || strstr(said, text)),
		     "preservectl %s: exit status %d%s%s", words, want,
		     text ? ", says " : "", text ? text : "");
	if (!good)
		ksft_print_msg("exit status %d: %s\n", status, said);
	return good;
}

const char *command_said(void)
{
	return said;
}

pid_t command_keeper(const char *name)
{
	char start[128];
	const char *at;

	snprintf(start, sizeof(start), "\"name\": \"%s\"", name);
	require(!command("list --json"), "list: %s", said);
	at = strstr(said, start);
	at = at ? strstr(at, "\"pid\": ") : NULL;
	return at ? atoi(at + strlen("\"pid\": ")) : 0;
}

static const char *kexec_options;

static void enter(void)
{
	char kernel[VM_KERNEL_SIZE], cmdline[VM_CMDLINE_SIZE], more[256], *save;
	char *argv[MAX_WORDS] = { COMMAND, "kexec", "--kernel", kernel, "--initrd", VM_INITRD,
				  "--cmdline", cmdline };
	unsigned int nr = 8;

	require(!vm_next(kernel, cmdline), "the next kernel");
	snprintf(more, sizeof(more), "%s", kexec_options);
	for (char *word = strtok_r(more, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[nr++] = word;
	fflush(stdout);
	execv(argv[0], argv);
	_exit(126);
}

void command_kexec(const char *options)
{
	kexec_options = options;
	stage_next_after(enter);
}
