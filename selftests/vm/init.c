// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first process of a test VM. It mounts what a test expects, runs the one
 * test that the kernel command line names, and says on a port of its own how
 * the test ended.
 *
 * The command line gives preserve.test=PATH, preserve.args=A,B,C,
 * preserve.stage=N, preserve.token=T, preserve.port=TTY, and preserve.kmemleak=1
 * where leaks are to be looked for. The test's standard output is the port, so
 * its TAP lines reach the host in order; its standard error is the console. A
 * test that enters the next kernel never returns here: each kernel runs this
 * program anew with the next stage.
 *
 * Modules in /modules are loaded first, in the order of their names.
 *
 * The verdict line carries the token, which no earlier run knows, and the last
 * line of the kernel log is a marker by which the host sees that it got it all.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "kselftest.h"

#define CONSOLE		"/dev/console"
#define MODULES		"/modules"
#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define MAX_ARGS	32

struct mount_entry {
	const char *type;
	const char *dir;
};

static const struct mount_entry mounts[] = {
	{ "proc", "/proc" },
	{ "sysfs", "/sys" },
	{ "devtmpfs", "/dev" },
	{ "debugfs", "/sys/kernel/debug" },
	{ "tracefs", "/sys/kernel/tracing" },
	{ "cgroup2", "/sys/fs/cgroup" },
	{ "tmpfs", "/tmp" },
	{ "tmpfs", "/dev/shm" },
};

struct run {
	char cmdline[4096];
	const char *test;
	const char *stage;
	const char *token;
	char *args;
	const char *port;
	bool kmemleak;
};

static int port = -1;

static void __printf(1, 2) say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vdprintf(port, fmt, args);
	va_end(args);
}

static void pause_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Power off, after both ports have sent what they hold. */
static void __noreturn end(void)
{
	int console = open(CONSOLE, O_WRONLY | O_NOCTTY);

	tcdrain(port);
	if (console >= 0)
		tcdrain(console);
	pause_ms(100);
	sync();
	reboot(LINUX_REBOOT_CMD_POWER_OFF);
	for (;;)
		pause();
}

static void set_raw(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t))
		return;
	cfmakeraw(&t);
	tcsetattr(fd, TCSANOW, &t);
}

static void mount_all(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mounts); i++) {
		const struct mount_entry *m = &mounts[i];

		mkdir(m->dir, 0755);
		/* What the kernel lacks is for the test to miss. */
		mount(m->type, m->dir, m->type, 0, NULL);
	}
}

static void open_ports(const char *name)
{
	int console = open(CONSOLE, O_RDWR | O_NOCTTY);
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s", name);
	port = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (port < 0)
		end();
	set_raw(port);
	if (console >= 0) {
		dup2(console, 0);
		dup2(console, 1);
		dup2(console, 2);
	}
}

static int read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	buf[n] = '\0';
	return 0;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -EIO : 0;
}

/* Cuts the command line into words; a word of ours is kept. */
static void parse(struct run *run)
{
	static const char prefix[] = "preserve.";
	static const char space[] = " \t\n";
	char *word, *save = NULL;

	if (read_file("/proc/cmdline", run->cmdline, sizeof(run->cmdline)))
		return;
	for (word = strtok_r(run->cmdline, space, &save); word;
	     word = strtok_r(NULL, space, &save)) {
		char *value = strchr(word, '=');

		if (!value || strncmp(word, prefix, sizeof(prefix) - 1))
			continue;
		*value++ = '\0';
		word += sizeof(prefix) - 1;
		if (!strcmp(word, "test"))
			run->test = value;
		else if (!strcmp(word, "stage"))
			run->stage = value;
		else if (!strcmp(word, "port"))
			run->port = value;
		else if (!strcmp(word, "token"))
			run->token = value;
		else if (!strcmp(word, "args"))
			run->args = value;
		else if (!strcmp(word, "kmemleak"))
			run->kmemleak = true;
	}
}

static void __noreturn exec_test(struct run *run)
{
	char *argv[MAX_ARGS + 2] = { (char *)run->test };
	char *save = NULL, *arg;
	int argc = 1;

	for (arg = run->args ? strtok_r(run->args, ",", &save) : NULL;
	     arg && argc <= MAX_ARGS; arg = strtok_r(NULL, ",", &save))
		argv[argc++] = arg;

	dup2(port, 1);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/", 1);
	setenv("PRESERVE_STAGE", run->stage, 1);
	setenv("PRESERVE_TOKEN", run->token, 1);
	execv(run->test, argv);
	dprintf(port, "# cannot run %s: %s\n", run->test, strerror(errno));
	_exit(127);
}

/* Orphans of the test are reaped on the way. */
static int wait_for(pid_t pid)
{
	int status;
	pid_t got;

	for (;;) {
		got = wait(&status);
		if (got == pid)
			return status;
		if (got < 0 && errno != EINTR)
			return -1;
	}
}

/*
 * A leak is an object that two scans find unreferenced; younger ones are not
 * reported, so the first scan waits for them to be old enough. Returns the
 * number of bytes of the report, which goes to the console, or -1 if the kernel
 * cannot tell.
 */
static long kmemleak_report(void)
{
	static char report[65536];

	if (write_file(KMEMLEAK, "scan"))
		return -1;
	pause_ms(5500);
	if (write_file(KMEMLEAK, "scan"))
		return -1;
	if (read_file(KMEMLEAK, report, sizeof(report)))
		return -1;
	dprintf(2, "%s", report);
	return strlen(report);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* False, with a line that says why, when one cannot be loaded. None is fine. */
static bool load_modules(void)
{
	struct dirent **names = NULL;
	int nr = scandir(MODULES, &names, visible, alphasort);
	char path[512];

	for (int i = 0; i < nr; i++) {
		int fd;

		snprintf(path, sizeof(path), MODULES "/%s", names[i]->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) {
			say("Bail out! module %s: %s\n", path, strerror(errno));
			return false;
		}
		close(fd);
		free(names[i]);
	}
	free(names);
	return true;
}

static void verdict(const struct run *run, int status)
{
	char mark[256];
	long leak;

	if (WIFEXITED(status))
		say("EXIT status %d\n", WEXITSTATUS(status));
	else
		say("EXIT signal %d\n", WTERMSIG(status));

	leak = run->kmemleak ? kmemleak_report() : 0;
	if (leak)
		say("Bail out! kmemleak reports %ld bytes\n", leak);

	snprintf(mark, sizeof(mark), "<5>preserve-vm: %s stage %s ends\n",
		 run->token, run->stage);
	write_file("/dev/kmsg", mark);
	say("VERDICT %s stage %s %s\n", run->token, run->stage,
	    !status && !leak ? "pass" : "fail");
}

int main(void)
{
	struct run run = { .stage = "0", .port = "ttyS1" };
	pid_t pid;

	mount_all();
	parse(&run);
	open_ports(run.port);
	if (!run.test || !run.token) {
		say("# the command line names no test or no token\n");
		end();
	}
	say("STAGE %s\n", run.stage);
	if (!load_modules())
		end();

	pid = fork();
	if (!pid)
		exec_test(&run);
	if (pid > 0)
		verdict(&run, wait_for(pid));
	end();
}
