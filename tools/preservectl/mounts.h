/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mount table.
 */
#ifndef MOUNTS_H
#define MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct mount_info - A mount.
 * @dir:    Its mount point.
 * @fstype: Its file system.
 * @options: Of the mount and its file system, as /proc/mounts has them.
 */
struct mount_info {
	char *dir;
	char *fstype;
	char *options;
};

/**
 * mount_of() - the mount that a path is in
 * @path: without symbolic links
 * @mount: filled in; free it with mount_info_free()
 *
 * Return: 0, or a negative errno.
 */
int mount_of(const char *path, struct mount_info *mount);

/* Is one that can cross mounted right there? */
bool mount_can_cross_at(const char *dir);

/**
 * mount_split_options() - options as /etc/fstab has them
 * @options: the text
 * @flags: MS_* flags that it has
 * @data: the rest, for the file system; to be freed
 *
 * Return: 0, or a negative errno.
 */
int mount_split_options(const char *options, unsigned long *flags, char **data);

/* Is there a mount below this directory? Also true if that cannot be known. */
bool mount_is_below(const char *dir);

void mount_info_free(struct mount_info *mount);

/* Can a mount of this file system cross? */
bool mount_can_cross(const char *fstype);

/* Is it the root of what is mounted there? */
bool mount_is_at(int fd, const char *dir);

/* How many bytes a mount, or a file, has in memory; 0 if that cannot be known. */
uint64_t mount_bytes(int fd);

#endif /* MOUNTS_H */
