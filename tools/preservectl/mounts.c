// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mount table, read by libmount.
 */

#include "mounts.h"

#include <errno.h>
#include <libmount/libmount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

bool mount_can_cross(const char *fstype)
{
	return !strcmp(fstype, "tmpfs") || !strcmp(fstype, "hugetlbfs");
}

static int copy(const char *text, char **to)
{
	*to = strdup(text ? text : "");
	return *to ? 0 : -ENOMEM;
}

int mount_of(const char *path, struct mount_info *mount)
{
	struct libmnt_table *table;
	struct libmnt_fs *fs = NULL;
	int err;

	*mount = (struct mount_info){};
	errno = 0;
	table = mnt_new_table_from_file("/proc/self/mountinfo");
	if (!table)
		return errno ? -errno : -ENOMEM;
	/* The last one at a place is the one that is seen there. */
	fs = mnt_table_find_mountpoint(table, path, MNT_ITER_BACKWARD);
	err = !fs ? -ENOENT :
	      copy(mnt_fs_get_target(fs), &mount->dir) ?:
	      copy(mnt_fs_get_fstype(fs), &mount->fstype) ?:
	      copy(mnt_fs_get_options(fs), &mount->options);
	if (err)
		mount_info_free(mount);
	mnt_unref_table(table);
	return err;
}

bool mount_can_cross_at(const char *dir)
{
	struct mount_info mount;
	bool can;

	if (mount_of(dir, &mount))
		return false;
	can = !strcmp(mount.dir, dir) && mount_can_cross(mount.fstype);
	mount_info_free(&mount);
	return can;
}

void mount_info_free(struct mount_info *mount)
{
	free(mount->dir);
	free(mount->fstype);
	free(mount->options);
	*mount = (struct mount_info){};
}

int mount_split_options(const char *options, unsigned long *flags, char **data)
{
	int err = mnt_split_optstr(options, NULL, NULL, data, 0, 0);

	*flags = 0;
	if (!err)
		err = mnt_optstr_get_flags(options, flags,
					   mnt_get_builtin_optmap(MNT_LINUX_MAP));
	if (!err && !*data) {
		*data = strdup("");
		err = *data ? 0 : -ENOMEM;
	}
	return err;
}

bool mount_is_below(const char *dir)
{
	struct libmnt_table *table = mnt_new_table_from_file("/proc/self/mountinfo");
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	size_t len = strlen(dir);
	struct libmnt_fs *fs;
	bool found = !table || !iter;

	while (!found && !mnt_table_next_fs(table, iter, &fs)) {
		const char *at = mnt_fs_get_target(fs);

		found = at && !strncmp(at, dir, len) && at[len] == '/' && at[len + 1];
	}
	mnt_free_iter(iter);
	mnt_unref_table(table);
	return found;
}

uint64_t mount_bytes(int fd)
{
	struct statvfs fs;
	struct stat st;

	if (fstat(fd, &st))
		return 0;
	if (!S_ISDIR(st.st_mode))
		return (uint64_t)st.st_blocks * 512;
	return fstatvfs(fd, &fs) ? 0 : (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
}

bool mount_is_at(int fd, const char *dir)
{
	struct stat st, there;

	return !fstat(fd, &st) && !stat(dir, &there) && st.st_dev == there.st_dev &&
	       st.st_ino == there.st_ino;
}
