// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel lists its sessions in debugfs; which process has one open shows in
 * /proc/PID/fd.
 */

#include "sessions.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "device.h"
#include "kernel.h"

#define LIST		"/sys/kernel/debug/liveupdate/sessions"
#define FILES		"/sys/kernel/debug/liveupdate/files"
#define LINK		"anon_inode:[luo_session] "
#define DEVICE		"/dev/liveupdate"

static const char * const states[] = {
	[SESSION_OUTGOING] = "outgoing",
	[SESSION_INCOMING] = "incoming",
	[SESSION_RETRIEVED] = "retrieved",
	[SESSION_HELD] = "held",
};

const char *session_state_text(enum session_state state)
{
	return states[state];
}

const char *session_saved_name(const struct session *session)
{
	size_t len = sizeof(SESSION_PREFIX) - 1;

	return strncmp(session->name, SESSION_PREFIX, len) ? NULL : session->name + len;
}

const struct session *sessions_find(const struct sessions *sessions, const char *name)
{
	for (unsigned int i = 0; i < sessions->nr; i++)
		if (!strcmp(sessions->list[i].name, name))
			return &sessions->list[i];
	return NULL;
}

const struct session *sessions_find_saved(const struct sessions *sessions, const char *name)
{
	char full[PRESERVE_SESSION_NAME_SIZE];

	snprintf(full, sizeof(full), SESSION_PREFIX "%s", name);
	return sessions_find(sessions, full);
}

static struct session *add(struct sessions *sessions)
{
	struct session *list = reallocarray(sessions->list, sessions->nr + 1, sizeof(*list));

	if (!list)
		return NULL;
	sessions->list = list;
	memset(&list[sessions->nr], 0, sizeof(*list));
	return &list[sessions->nr++];
}

/* The kernel writes newlines and backslashes in octal. */
static void unescape(char *name, size_t size, const char *text)
{
	size_t out = 0;

	while (*text && *text != '\n' && out + 1 < size) {
		if (text[0] == '\\' && isdigit((unsigned char)text[1]) &&
		    isdigit((unsigned char)text[2]) && isdigit((unsigned char)text[3])) {
			name[out++] = (text[1] - '0') << 6 | (text[2] - '0') << 3 |
				      (text[3] - '0');
			text += 4;
		} else {
			name[out++] = *text++;
		}
	}
	name[out] = '\0';
}

static int parse_line(struct sessions *sessions, const char *line)
{
	unsigned long long files;
	struct session *session;
	char state[16];
	int at = 0;

	/* One space: a name may begin with another. */
	if (sscanf(line, "%15s %llu%n", state, &files, &at) != 2 || line[at] != ' ')
		return 0;
	/* One that is finished, and still open, is none any more. */
	if (!files && !strcmp(state, states[SESSION_RETRIEVED]))
		return 0;
	session = add(sessions);
	if (!session)
		return -ENOMEM;
	session->files = files;
	session->state = SESSION_HELD;
	for (unsigned int i = 0; i < SESSION_HELD; i++)
		if (!strcmp(states[i], state))
			session->state = i;
	unescape(session->name, sizeof(session->name), line + at + 1);
	return 0;
}

static int read_list(struct sessions *sessions)
{
	FILE *file = fopen(LIST, "re");
	char line[512];
	int err = 0;

	if (!file)
		return 0;
	sessions->listed = true;
	while (!err && fgets(line, sizeof(line), file))
		err = parse_line(sessions, line);
	fclose(file);
	return err;
}

/**
 * struct visitor - What is looked for in all processes.
 * @see:   Called for each descriptor, with what it is a link to. Not 0 ends the search.
 * @data:  For @see.
 */
struct visitor {
	int (*see)(pid_t pid, int fd, const char *link, void *data);
	void *data;
};

static int see_process(const struct visitor *visitor, pid_t pid)
{
	char path[32], link[512];
	struct dirent *entry;
	ssize_t len;
	int ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && !ret && (entry = readdir(dir))) {
		len = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		if (len < 0)
			continue;
		link[len] = '\0';
		ret = visitor->see(pid, atoi(entry->d_name), link, visitor->data);
	}
	if (dir)
		closedir(dir);
	return ret;
}

/* What cannot be looked at, because it has ended or is another user's, is passed over. */
static int see_all(const struct visitor *visitor)
{
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	int ret = 0;

	if (!proc)
		return -errno;
	while (!ret && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != getpid())
			ret = see_process(visitor, atoi(entry->d_name));
	closedir(proc);
	return ret;
}

static void read_comm(pid_t pid, char *comm)
{
	char path[32], text[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	kernel_text(path, text, sizeof(text));
	snprintf(comm, 16, "%.15s", text);
}

static int see_session(pid_t pid, int fd, const char *link, void *data)
{
	struct sessions *sessions = data;
	struct session *session = NULL;

	if (strncmp(link, LINK, sizeof(LINK) - 1))
		return 0;
	link += sizeof(LINK) - 1;
	/* One that has come and one that goes may have the same name: a process each. */
	for (unsigned int i = 0; i < sessions->nr && !session; i++)
		if (!strcmp(sessions->list[i].name, link) && !sessions->list[i].holder &&
		    sessions->list[i].state != SESSION_INCOMING)
			session = &sessions->list[i];
	if (!session && (sessions->listed || sessions_find(sessions, link)))
		return 0;
	if (!session) {
		session = add(sessions);
		if (!session)
			return -ENOMEM;
		session->state = SESSION_HELD;
		snprintf(session->name, sizeof(session->name), "%s", link);
	}
	session->holder = pid;
	session->fd = fd;
	read_comm(pid, session->comm);
	return 0;
}

int session_give_back(int session)
{
	pid_t parent = getpid(), pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid) {
		/* If this process is killed as well, that is as good. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent)
			pause();
		raise(SIGKILL);
	}
	/* The child is the last holder then. */
	close(session);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return 0;
}

void session_let_go(int session)
{
	if (session_give_back(session))
		ctl_end_killed();
}

/* An outgoing session gives no file back at all. */
static void ask(struct session *session)
{
	int fd = session_borrow(session), err, list;

	if (fd < 0)
		return;
	err = preserve_session_get_fd(fd, UINT64_MAX);
	list = err == -ENOENT ? preserve_session_get_fd(fd, 0) : err;
	if (list >= 0)
		close(list);
	/* One of ours without a list is finished: it is none any more. */
	if (list == -ENOENT && session_saved_name(session))
		*session->name = '\0';
	session_let_go(fd);
	session->state = err == -EINVAL ? SESSION_OUTGOING : SESSION_RETRIEVED;
}

int sessions_read(struct sessions *sessions, bool holders)
{
	struct visitor visitor = { see_session, sessions };
	int err = device_look();

	*sessions = (struct sessions){};
	/* While another process has the device, what it has read is good. */
	if (err && err != -EBUSY)
		return err;
	err = read_list(sessions);
	if (!err && (holders || !sessions->listed))
		err = see_all(&visitor);
	for (unsigned int i = 0; !err && i < sessions->nr; i++)
		if (sessions->list[i].state == SESSION_HELD)
			ask(&sessions->list[i]);
	if (err)
		sessions_free(sessions);
	return err;
}

bool sessions_are_listed(void)
{
	return !access(LIST, R_OK);
}

void sessions_free(struct sessions *sessions)
{
	free(sessions->list);
	*sessions = (struct sessions){};
}

int borrow_fd(pid_t pid, int fd)
{
	int process = syscall(SYS_pidfd_open, pid, 0), ours;

	if (process < 0)
		return -errno;
	ours = syscall(SYS_pidfd_getfd, process, fd, 0);
	if (ours < 0)
		ours = -errno;
	close(process);
	return ours;
}

int session_borrow(const struct session *session)
{
	return session->holder ? borrow_fd(session->holder, session->fd) : -ESRCH;
}

/* A descriptor that only names the device, as any user can have one, is none. */
static bool only_names(pid_t pid, int fd)
{
	char path[48], text[512];
	const char *flags;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	if (kernel_text(path, text, sizeof(text)))
		return true;
	flags = strstr(text, "flags:");
	return !flags || strtoul(flags + strlen("flags:"), NULL, 8) & O_PATH;
}

static int see_device(pid_t pid, int fd, const char *link, void *data)
{
	struct stat device, there;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	if (strcmp(link, DEVICE) || stat(DEVICE, &device) || stat(path, &there) ||
	    !S_ISCHR(there.st_mode) || device.st_rdev != there.st_rdev || only_names(pid, fd))
		return 0;
	*(pid_t *)data = pid;
	return 1;
}

pid_t device_holder(char *comm)
{
	pid_t pid = 0;
	struct visitor visitor = { see_device, &pid };

	see_all(&visitor);
	if (pid)
		read_comm(pid, comm);
	return pid;
}

/* --- files of sessions --- */

static int add_file(struct handed **files, unsigned int *nr, const char *line)
{
	struct handed *list, file;
	unsigned long long token, data;

	if (!strcmp(line, "\tbusy\n"))
		return -EBUSY;
	if (sscanf(line, " %llu %llx %47s", &token, &data, file.handler) != 3)
		return 0;
	list = reallocarray(*files, *nr + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	file.token = token;
	file.data = data;
	list[(*nr)++] = file;
	*files = list;
	return 0;
}

int session_files(const char *name, struct handed **files, unsigned int *nr)
{
	FILE *list = fopen(FILES, "re");
	char *line = NULL, own[PRESERVE_SESSION_NAME_SIZE];
	bool here = false, found = false;
	size_t size = 0;
	int at, err = list ? 0 : -errno;

	*files = NULL;
	*nr = 0;
	while (!err && getline(&line, &size, list) > 0) {
		if (*line == '\t') {
			err = here ? add_file(files, nr, line) : 0;
			continue;
		}
		/* Only one that has come can have the name of one that is to go. */
		if (found)
			break;
		at = 0;
		sscanf(line, "%*s %*u%n", &at);
		unescape(own, sizeof(own), at ? line + at + 1 : line);
		here = !strcmp(own, name);
		found |= here;
	}
	free(line);
	if (list)
		fclose(list);
	if (err) {
		free(*files);
		*files = NULL;
		*nr = 0;
	}
	return err ? err : found ? 0 : -ESRCH;
}
