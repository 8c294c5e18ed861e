// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaching mounts, copying files.
 */

#include "place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "mounts.h"
#include "say.h"

int place_make_directories(const char *dir)
{
	char *path = strdup(dir);
	int err = path ? 0 : -ENOMEM;

	for (char *at = path; !err && at; ) {
		at = strchr(at + 1, '/');
		if (at)
			*at = '\0';
		if (mkdir(path, 0755) && errno != EEXIST && errno != EROFS)
			err = -errno;
		if (at)
			*at = '/';
	}
	free(path);
	return err;
}

bool place_is_empty(const char *dir)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;
	bool empty = stream;

	while (empty && (entry = readdir(stream)))
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	if (stream)
		closedir(stream);
	return empty;
}

static bool is_mount_point(const char *dir)
{
	struct mount_info mount;
	bool is;

	/* If that is not known, it may be one. */
	if (mount_of(dir, &mount))
		return true;
	is = !strcmp(mount.dir, dir);
	mount_info_free(&mount);
	return is;
}

/*
 * The path was saved without symbolic links. One that is there now may be of a user's making,
 * in a directory that all can write.
 */
static int open_directory(const char *dir)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd = syscall(SYS_openat2, AT_FDCWD, dir, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static int attach(int fd, int at)
{
	return syscall(SYS_move_mount, fd, "", at, "", MOVE_MOUNT_F_EMPTY_PATH |
		       MOVE_MOUNT_T_EMPTY_PATH) ? -errno : 0;
}

static int attach_over(int fd, int at, const char *dir)
{
	if (!place_is_empty(dir))
		warn("what is in %s is hidden by what is restored there", dir);
	return attach(fd, at);
}

int place_mount(int fd, const char *dir, bool over)
{
	struct stat come, there;
	int err, at;

	err = place_make_directories(dir);
	if (err)
		return err;
	at = open_directory(dir);
	if (at < 0)
		return at;
	if (fstat(fd, &come) || fstat(at, &there))
		err = -errno;
	else if (come.st_dev == there.st_dev && come.st_ino == there.st_ino)
		err = 0;
	else if (!over && (mount_is_below(dir) ||
			   (is_mount_point(dir) && !place_is_empty(dir))))
		err = -EEXIST;
	else
		err = attach_over(fd, at, dir);
	close(at);
	return err;
}

/* Copies @len bytes at @at. */
static int copy_range(int from, int to, off_t at, off_t len)
{
	static char buffer[1 << 20];

	while (len) {
		size_t want = len < (off_t)sizeof(buffer) ? len : (off_t)sizeof(buffer);
		ssize_t got = pread(from, buffer, want, at);

		if (got > 0)
			got = pwrite(to, buffer, got, at);
		if (got <= 0)
			return got ? -errno : -EIO;
		at += got;
		len -= got;
	}
	return 0;
}

/* Data only; what lies between is a hole in the copy as well. */
static int copy_data(int from, int to, off_t size)
{
	off_t data = 0, hole;
	int err;

	if (ftruncate(to, size))
		return -errno;
	while (data < size) {
		data = lseek(from, data, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		err = copy_range(from, to, data, hole - data);
		if (err)
			return err;
		data = hole;
	}
	return 0;
}

static int copy_xattr(int from, int to, const char *name)
{
	ssize_t len = fgetxattr(from, name, NULL, 0);
	char *value;
	int err = 0;

	if (len < 0)
		return -errno;
	value = malloc(len + 1);
	if (!value)
		return -ENOMEM;
	len = fgetxattr(from, name, value, len);
	if (len < 0 || fsetxattr(to, name, value, len, 0))
		err = -errno;
	free(value);
	return err;
}

static int copy_xattrs(int from, int to)
{
	ssize_t len = flistxattr(from, NULL, 0);
	char *names;
	int err = 0;

	if (len <= 0)
		return !len || errno == EOPNOTSUPP ? 0 : -errno;
	names = malloc(len);
	if (!names)
		return -ENOMEM;
	len = flistxattr(from, names, len);
	if (len < 0)
		err = -errno;
	for (ssize_t at = 0; !err && at < len; at += strlen(names + at) + 1)
		err = copy_xattr(from, to, names + at);
	free(names);
	return err;
}

/* The owner first: it takes set-user-ID bits away. Times last. */
static int copy_state(int from, int to, const struct stat *st)
{
	struct timespec times[] = { st->st_atim, st->st_mtim };
	int err;

	if (fchown(to, st->st_uid, st->st_gid) || fchmod(to, st->st_mode & 07777))
		return -errno;
	err = copy_xattrs(from, to);
	if (!err && futimens(to, times))
		err = -errno;
	return err;
}

static bool same_content(int a, int b, off_t size)
{
	static char x[1 << 16], y[1 << 16];
	ssize_t got;

	for (off_t at = 0; at < size; at += got) {
		got = pread(a, x, sizeof(x), at);
		if (got <= 0 || pread(b, y, got, at) != got || memcmp(x, y, got))
			return false;
	}
	return true;
}

/* Has an earlier try put it there? */
static bool is_there(int fd, const char *path, const struct stat *st)
{
	/* A FIFO would wait for a writer. */
	int other = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat there;
	bool same;

	same = other >= 0 && !fstat(other, &there) && S_ISREG(there.st_mode) &&
	       there.st_size == st->st_size &&
	       there.st_mtim.tv_sec == st->st_mtim.tv_sec &&
	       there.st_mtim.tv_nsec == st->st_mtim.tv_nsec &&
	       same_content(fd, other, st->st_size);
	if (other >= 0)
		close(other);
	return same;
}

/* Gives the copy, which has no name yet, its name. */
static int name_it(int copy, int dir, const char *name, bool over)
{
	char from[32], temporary[32];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", copy);
	if (!linkat(AT_FDCWD, from, dir, name, AT_SYMLINK_FOLLOW))
		return 0;
	if (errno != EEXIST || !over)
		return -errno;
	snprintf(temporary, sizeof(temporary), ".preserve-%d", getpid());
	unlinkat(dir, temporary, 0);
	if (linkat(AT_FDCWD, from, dir, temporary, AT_SYMLINK_FOLLOW))
		return -errno;
	if (renameat(dir, temporary, dir, name)) {
		int err = -errno;

		unlinkat(dir, temporary, 0);
		return err;
	}
	return 0;
}

/* Until it has its name, whatever ends this process frees the copy. */
static int copy_to(int fd, int dir, const char *name, const struct stat *st, bool over)
{
	int copy = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600), err;

	if (copy < 0)
		return -errno;
	err = copy_data(fd, copy, st->st_size) ?: copy_state(fd, copy, st);
	/* What it is a copy of goes when the session is finished. */
	if (!err && fsync(copy))
		err = -errno;
	if (!err)
		err = name_it(copy, dir, name, over);
	close(copy);
	return err;
}

int place_file(int fd, const char *path, bool over)
{
	const char *slash = strrchr(path, '/');
	struct stat st;
	int dir, err;
	char *parent;

	if (fstat(fd, &st))
		return -errno;
	if (is_there(fd, path, &st))
		return 0;
	parent = strndup(path, slash == path ? 1 : slash - path);
	if (!parent)
		return -ENOMEM;
	err = place_make_directories(parent);
	dir = err ? err : open_directory(parent);
	err = dir < 0 ? dir : copy_to(fd, dir, slash + 1, &st, over);
	if (dir >= 0)
		close(dir);
	free(parent);
	return err;
}
