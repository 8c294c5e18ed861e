// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that hold descriptors: started, found, ended.
 */

#include "keeper.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <preserve.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "kernel.h"
#include "scope.h"

#define ARGV0		"@preservectl"
#define SELF		"/proc/self/exe"
#define FINISH		"finish"
#define COMMIT		'c'
#define COMMITTED	'k'

#define MANIFEST_LINK	"/memfd:" MANIFEST_FILE " (deleted)"
#define SESSION_LINK	"anon_inode:[luo_session] "

/* How long a keeper may take to be killed: it gives memory back. */
#define STOP_MS		600000

/* --- inside --- */

/* The kernel keeps a retrieved session of which a killed process was the last holder. */
static void __attribute__((noreturn)) give_back(void)
{
	raise(SIGKILL);
	_exit(127);
}

/* A finished session has no files any more. */
static bool is_finished(int session)
{
	int list = preserve_session_get_fd(session, MANIFEST_TOKEN);

	if (list >= 0)
		close(list);
	return list == -ENOENT;
}

/* Stays only if it is told to, or if nothing else has what it holds. */
static void wait_for_starter(bool finish)
{
	char byte = 0;

	while (read(KEEPER_STARTER_FD, &byte, 1) < 0 && errno == EINTR)
		;
	if (byte != COMMIT && !is_finished(KEEPER_SESSION_FD))
		give_back();
	if (finish || byte != COMMIT)
		close(KEEPER_SESSION_FD);
	byte = COMMITTED;
	send(KEEPER_STARTER_FD, &byte, 1, MSG_NOSIGNAL);
	close(KEEPER_STARTER_FD);
}

/* Only SIGKILL ends it. */
static bool prepare(void)
{
	pid_t self = getpid();
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	umask(077);
	prctl(PR_SET_NAME, "preservectl");
	kernel_write("/proc/self/oom_score_adj", "-1000");
	return !chdir("/") && write(KEEPER_STARTER_FD, &self, sizeof(self)) == sizeof(self);
}

int cmd_keep(int argc, char **argv)
{
	bool finish = argc == 3 && !strcmp(argv[2], FINISH);

	if ((argc != 2 && !finish) || manifest_check_name(argv[1]))
		return CTL_USAGE;
	if (!prepare())
		give_back();
	wait_for_starter(finish);
	for (;;)
		pause();
}

/* --- starting --- */

/* Descriptors out of the way of those that a keeper has. Return: 0 or a negative errno. */
static int lift(int *fd, unsigned int above)
{
	int high;

	if (*fd < 0)
		return 0;
	high = fcntl(*fd, F_DUPFD, above);
	if (high < 0)
		return -errno;
	*fd = high;
	return 0;
}

/* @fd: -1 for none. */
static bool put(int fd, int at)
{
	return fd < 0 || dup2(fd, at) == at;
}

/* In the child: descriptors as a keeper has them, and no others. */
static int arrange(const struct keeper_load *load, int starter, int executed)
{
	unsigned int above = KEEPER_ITEM_FD + load->nr;
	int manifest = load->manifest, session = load->session, sums = load->sums, null;
	int *items = calloc(load->nr + 1, sizeof(*items));
	int err = items ? 0 : -ENOMEM;

	null = open("/dev/null", O_RDWR);
	if (!err && null < 0)
		err = -errno;
	if (!err)
		err = lift(&null, above) ?: lift(&manifest, above) ?: lift(&session, above) ?:
		      lift(&sums, above) ?: lift(&starter, above) ?: lift(&executed, above);
	for (unsigned int i = 0; !err && i < load->nr; i++) {
		items[i] = load->items ? load->items[i] : -1;
		err = lift(&items[i], above);
	}
	if (err)
		goto out;
	/* Nothing but these is open below. */
	close_range(0, above - 1, 0);
	if (!put(null, 0) || !put(null, 1) || !put(null, 2) ||
	    !put(manifest, KEEPER_MANIFEST_FD) || !put(session, KEEPER_SESSION_FD) ||
	    !put(starter, KEEPER_STARTER_FD) || !put(sums, KEEPER_SUMS_FD) ||
	    dup3(executed, KEEPER_EXECUTED_FD, O_CLOEXEC) < 0)
		err = -errno;
	for (unsigned int i = 0; !err && i < load->nr; i++)
		if (!put(items[i], KEEPER_ITEM_FD + i))
			err = -errno;
	close_range(above, ~0U, 0);
out:
	free(items);
	return err;
}

/*
 * A grandchild: the caller may become another program, which has no child of ours. It closes
 * what is not its own, sessions of other names among it; this process has them all until that is
 * done, and is killed then.
 */
static void __attribute__((noreturn)) child(const struct keeper_load *load, int starter)
{
	int executed[2];
	char byte;

	if (pipe2(executed, O_CLOEXEC))
		give_back();
	if (fork()) {
		close(executed[1]);
		while (read(executed[0], &byte, 1) < 0 && errno == EINTR)
			;
		give_back();
	}
	if (!arrange(load, starter, executed[1]))
		execl(SELF, ARGV0, KEEPER_COMMAND, load->name, load->finish ? FINISH : NULL,
		      NULL);
	give_back();
}

static int fork_keeper(const struct keeper_load *load, struct keeper_start *start)
{
	int pair[2], status;
	ssize_t got;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		int err = -errno;

		close(pair[0]);
		close(pair[1]);
		return err;
	}
	if (!pid)
		child(load, pair[1]);
	close(pair[1]);
	waitpid(pid, &status, 0);
	do {
		got = read(pair[0], &start->pid, sizeof(start->pid));
	} while (got < 0 && errno == EINTR);
	if (got != sizeof(start->pid)) {
		/* It has ended without a word. */
		close(pair[0]);
		return -ECHILD;
	}
	start->starter = pair[0];
	return 0;
}

int keeper_start(const struct keeper_load *load, bool scope, struct keeper_start *start)
{
	int err = fork_keeper(load, start);

	if (err || !scope)
		return err;
	err = scope_make(start->pid, load->name);
	if (err)
		keeper_cancel(start);
	return err;
}

int keeper_commit(struct keeper_start *start)
{
	char byte = COMMIT;
	ssize_t got = send(start->starter, &byte, 1, MSG_NOSIGNAL);

	/* If there is no answer, a signal has killed it. */
	while (got == 1 && (got = read(start->starter, &byte, 1)) < 0 && errno == EINTR)
		got = 1;
	close(start->starter);
	return got == 1 && byte == COMMITTED ? 0 : -ESRCH;
}

void keeper_cancel(struct keeper_start *start)
{
	close(start->starter);
}

int keeper_keep(const struct manifest *manifest, const int *items, int sums, bool scope)
{
	struct keeper_load load = {
		.name = manifest->name, .manifest = manifest_write(manifest), .session = -1,
		.sums = sums, .items = items, .nr = manifest->nr,
	};
	struct keeper_start start;
	int err;

	if (load.manifest < 0)
		return load.manifest;
	err = keeper_start(&load, scope, &start);
	close(load.manifest);
	return err ? err : keeper_commit(&start);
}

/* --- finding --- */

/* What a descriptor of a process is a link to; empty if there is none. */
static const char *fd_link(pid_t pid, int fd, char *text, size_t size)
{
	char path[40];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	len = readlink(path, text, size - 1);
	text[len < 0 ? 0 : len] = '\0';
	return text;
}

/* Are all user ids of a process root's? One of a set-user-ID program's are not. */
static bool is_roots(pid_t pid)
{
	char path[32], text[4096];
	unsigned int ids[4];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (kernel_text(path, text, sizeof(text)))
		return false;
	line = strstr(text, "\nUid:");
	return line && sscanf(line, "\nUid: %u %u %u %u", &ids[0], &ids[1], &ids[2],
			      &ids[3]) == 4 && !ids[0] && !ids[1] && !ids[2] && !ids[3];
}

/* The list is a memfd that root has made: a memfd is its maker's. */
static bool has_list(pid_t pid)
{
	char path[40], text[128];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, KEEPER_MANIFEST_FD);
	return !strcmp(fd_link(pid, KEEPER_MANIFEST_FD, text, sizeof(text)), MANIFEST_LINK) &&
	       !stat(path, &st) && !st.st_uid;
}

/* Which of a keeper's descriptors is open. */
static bool has_fd(pid_t pid, int fd)
{
	char text[8];

	return *fd_link(pid, fd, text, sizeof(text));
}

/*
 * A keeper whose session is finished has nothing in it any more. If it is the one that is to
 * stay, and its starter has not come to tell it, it has the rest.
 */
static bool is_left_over(pid_t pid, bool *session)
{
	int fd = borrow_fd(pid, KEEPER_SESSION_FD);
	bool finished;

	if (fd < 0)
		return false;
	finished = is_finished(fd);
	/* It is another holder's, whatever happens to that one meanwhile. */
	session_let_go(fd);
	if (!finished)
		return false;
	*session = false;
	return !has_fd(pid, KEEPER_STARTER_FD);
}

/* False if this is no keeper. Any process can call itself so. */
static bool read_keeper(pid_t pid, struct keeper *keeper)
{
	static const char start[] = ARGV0 "\0" KEEPER_COMMAND;
	char path[32], text[256];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= (ssize_t)sizeof(start) || memcmp(text, start, sizeof(start)))
		return false;
	text[len] = '\0';
	if (manifest_check_name(text + sizeof(start)) || !is_roots(pid) || !has_list(pid))
		return false;
	keeper->pid = pid;
	snprintf(keeper->name, sizeof(keeper->name), "%.*s",
		 (int)sizeof(keeper->name) - 1, text + sizeof(start));
	keeper->session = !strncmp(fd_link(pid, KEEPER_SESSION_FD, text, sizeof(text)),
				   SESSION_LINK, sizeof(SESSION_LINK) - 1);
	return true;
}

/* Those that have something: what is left over is passed over. */
static bool read_live_keeper(pid_t pid, struct keeper *keeper)
{
	return read_keeper(pid, keeper) &&
	       !(keeper->session && is_left_over(pid, &keeper->session));
}

int keepers_read(struct keepers *keepers)
{
	DIR *proc = opendir("/proc");
	struct keeper keeper, *list;
	struct dirent *entry;

	*keepers = (struct keepers){};
	if (!proc)
		return -errno;
	while ((entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !read_live_keeper(atoi(entry->d_name), &keeper))
			continue;
		list = reallocarray(keepers->list, keepers->nr + 1, sizeof(*list));
		if (!list)
			break;
		keepers->list = list;
		list[keepers->nr++] = keeper;
	}
	closedir(proc);
	if (!entry)
		return 0;
	free(keepers->list);
	*keepers = (struct keepers){};
	return -ENOMEM;
}

const struct keeper *keepers_find(const struct keepers *keepers, const char *name, bool session)
{
	for (unsigned int i = 0; i < keepers->nr; i++)
		if (!strcmp(keepers->list[i].name, name) &&
		    keepers->list[i].session == session)
			return &keepers->list[i];
	return NULL;
}

pid_t keeper_find(const char *name, bool session)
{
	const struct keeper *keeper;
	struct keepers keepers;
	pid_t pid;
	int err = keepers_read(&keepers);

	if (err)
		return err;
	keeper = keepers_find(&keepers, name, session);
	pid = keeper ? keeper->pid : 0;
	free(keepers.list);
	return pid;
}

int keeper_manifest(pid_t pid, struct manifest *manifest)
{
	char path[32];
	int fd, err;

	*manifest = (struct manifest){};
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, KEEPER_MANIFEST_FD);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = manifest_read(manifest, fd);
	close(fd);
	return err;
}

bool keeper_is_partly(const struct keeper *keeper)
{
	struct manifest manifest;
	bool partly = false;

	if (!keeper->session || keeper_manifest(keeper->pid, &manifest))
		return false;
	for (unsigned int i = 0; i < manifest.nr; i++)
		partly |= manifest.items[i].missing;
	manifest_free(&manifest);
	return partly;
}

static bool has_path(pid_t pid, const char *path)
{
	struct manifest manifest;
	bool has = false;

	if (keeper_manifest(pid, &manifest))
		return false;
	for (unsigned int i = 0; i < manifest.nr && !has; i++)
		has = manifest.items[i].path && !strcmp(manifest.items[i].path, path);
	manifest_free(&manifest);
	return has;
}

bool keeper_of_path(const char *path, const char *name, char *other)
{
	struct keepers keepers;
	bool found = false;

	if (keepers_read(&keepers))
		return false;
	for (unsigned int i = 0; i < keepers.nr && !found; i++) {
		if (!strcmp(keepers.list[i].name, name) || !has_path(keepers.list[i].pid, path))
			continue;
		snprintf(other, SAVED_NAME_SIZE, "%s", keepers.list[i].name);
		found = true;
	}
	free(keepers.list);
	return found;
}

/* --- ending --- */

int keeper_stop(pid_t pid)
{
	struct pollfd process = { .events = POLLIN };
	struct keeper keeper;
	int err = 0;

	process.fd = syscall(SYS_pidfd_open, pid, 0);
	if (process.fd < 0)
		return errno == ESRCH ? 0 : -errno;
	/* It may have gone, and another process may have its number. */
	if (!read_keeper(pid, &keeper))
		err = 0;
	else if (syscall(SYS_pidfd_send_signal, process.fd, SIGKILL, NULL, 0) && errno != ESRCH)
		err = -errno;
	else if (poll(&process, 1, STOP_MS) != 1)
		err = -ETIMEDOUT;
	close(process.fd);
	return err;
}
