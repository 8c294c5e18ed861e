// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a word of the command line means: a mount, a file, or a memfd of a process.
 */

#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "mounts.h"
#include "say.h"

#define MEMFD_LINK	"/memfd:"
#define DELETED		" (deleted)"

void target_close(struct target *target)
{
	if (target->fd >= 0)
		close(target->fd);
	free(target->label);
	free(target->path);
	*target = (struct target){ .fd = -1 };
}

static int no_memory(void)
{
	return fail(CTL_FAILED, "try again", "out of memory");
}

/* Is it the memfd of a process that is meant? */
static bool is_process_fd(const char *word, pid_t *pid, int *fd)
{
	int end = 0;

	return sscanf(word, "%d:%d%n", pid, fd, &end) == 2 && !word[end] && *pid > 0 &&
	       *fd >= 0 && *word != '+';
}

static int open_memfd(struct target *target, const char *word, pid_t pid, int fd)
{
	char link[64], text[512];
	size_t end;
	ssize_t len;

	target->kind = ITEM_MEMFD;
	target->fd = borrow_fd(pid, fd);
	if (target->fd == -ESRCH)
		return fail(CTL_FAILED, "look for it with ps, and its descriptors in /proc/PID/fd",
			    "%s: there is no process %d", word, pid);
	if (target->fd == -EBADF)
		return fail(CTL_FAILED, "look for its descriptors in /proc/PID/fd",
			    "%s: process %d has no descriptor %d", word, pid, fd);
	if (target->fd < 0)
		return fail(CTL_FAILED, target->fd == -EPERM ? "become root" : NULL,
			    "%s: cannot get it: %s", word, errno_text(target->fd));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", target->fd);
	len = readlink(link, text, sizeof(text) - 1);
	text[len < 0 ? 0 : len] = '\0';
	if (strncmp(text, MEMFD_LINK, strlen(MEMFD_LINK)))
		return fail(CTL_FAILED, "save the mount that the file is in",
			    "%s: %s is no memfd", word, text);
	end = strlen(text) - strlen(DELETED);
	if (end < strlen(text) && !strcmp(text + end, DELETED))
		text[end] = '\0';
	target->path = strdup(text[strlen(MEMFD_LINK)] ? text + strlen(MEMFD_LINK) : "memfd");
	return target->path ? CTL_DONE : no_memory();
}

static int not_mounted(const char *word, const struct mount_info *mount)
{
	if (mount_can_cross(mount->fstype))
		return fail(CTL_FAILED, "save the mount, or mount a tmpfs there",
			    "%s is not the root of a mount: it is in %s (%s)", word,
			    mount->dir, mount->fstype);
	return fail(CTL_FAILED, "mount a tmpfs with -o preserve there: mount -t tmpfs -o preserve,size=SIZE tmpfs DIRECTORY",
		    "%s is in %s, a %s: its content is not in memory", word, mount->dir,
		    mount->fstype);
}

static int open_path(struct target *target, const char *word, const char *path)
{
	struct mount_info mount;
	struct stat st;
	int err;

	target->path = realpath(path, NULL);
	if (!target->path || stat(target->path, &st))
		return fail(CTL_FAILED, NULL, "%s: %s", word, errno_text(-errno));
	err = mount_of(target->path, &mount);
	if (err)
		return fail(CTL_FAILED, err == -ENOENT ? "mount -t proc none /proc" : NULL,
			    "%s: cannot read the mount table: %s", word, errno_text(err));
	target->kind = S_ISDIR(st.st_mode) ? ITEM_MOUNT : ITEM_FILE;
	if (!mount_can_cross(mount.fstype) ||
	    (target->kind == ITEM_MOUNT && strcmp(mount.dir, target->path))) {
		err = not_mounted(word, &mount);
	} else if (target->kind == ITEM_FILE && strcmp(mount.fstype, "tmpfs")) {
		err = fail(CTL_FAILED, "save the mount that it is in",
			   "%s is in a %s, where files cannot be written back", word,
			   mount.fstype);
	} else if (target->kind == ITEM_FILE && !S_ISREG(st.st_mode)) {
		err = fail(CTL_FAILED, "save the mount that it is in",
			   "%s is no regular file", word);
	} else {
		target->fd = open(target->path, (target->kind == ITEM_MOUNT ?
				  O_RDONLY | O_DIRECTORY : O_RDWR) | O_CLOEXEC);
		if (target->fd < 0)
			err = fail(CTL_FAILED, NULL, "%s: cannot open it: %s", word,
				   errno_text(-errno));
	}
	mount_info_free(&mount);
	return err;
}

/* A label ends at the first '=', and has no '/' in it. */
static const char *split_label(const char *word)
{
	size_t len = strcspn(word, "=/");

	return word[len] == '=' && len ? word + len + 1 : word;
}

int target_open(const char *word, struct target *target)
{
	const char *what = split_label(word);
	int fd, status;
	pid_t pid;

	*target = (struct target){ .fd = -1 };
	if (what != word) {
		target->label = strndup(word, what - word - 1);
		if (!target->label)
			return no_memory();
	}
	status = is_process_fd(what, &pid, &fd) ? open_memfd(target, word, pid, fd) :
						  open_path(target, word, what);
	if (status)
		target_close(target);
	return status;
}

/* A mount that is kept may have been unmounted, or be under another one. */
static int reopen_mount(struct target *target, const struct item *item, pid_t keeper, int fd)
{
	struct stat kept, there;

	target->kind = ITEM_MOUNT;
	target->fd = borrow_fd(keeper, fd);
	if (target->fd < 0)
		return fail(CTL_FAILED, NULL, "%s: cannot get it: %s", item->path,
			    errno_text(target->fd));
	target->path = strdup(item->path);
	if (!target->path)
		return no_memory();
	if (!fstat(target->fd, &kept) && !stat(item->path, &there) &&
	    (kept.st_dev != there.st_dev || kept.st_ino != there.st_ino))
		warn("%s is saved as it was kept; something else is mounted there now", item->path);
	return CTL_DONE;
}

int target_reopen(const struct item *item, pid_t keeper, int fd, struct target *target)
{
	int status = CTL_FAILED;

	*target = (struct target){ .fd = -1, .label = strdup(item->label) };
	if (!target->label)
		return no_memory();
	switch (item->kind) {
	case ITEM_MEMFD:
		status = open_memfd(target, item->label, keeper, fd);
		break;
	case ITEM_MOUNT:
		status = reopen_mount(target, item, keeper, fd);
		break;
	case ITEM_FILE:
		status = open_path(target, item->path, item->path);
		break;
	}
	if (status)
		target_close(target);
	return status;
}

int target_absent(const struct item *item, struct target *target)
{
	*target = (struct target){
		.kind = item->kind, .label = strdup(item->label),
		.path = strdup(item->path ? item->path : item->label), .fd = -1,
	};
	return target->label && target->path ? CTL_DONE : no_memory();
}
