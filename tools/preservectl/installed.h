/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernels that the machine can boot: entries of the Boot Loader Specification, or files in
 * /boot as Debian names them.
 */
#ifndef INSTALLED_H
#define INSTALLED_H

#include <stdbool.h>

/**
 * struct installed - One of them.
 * @name:    The entry's name, or the release.
 * @version: By which the newest is found.
 * @kernel:  The image's path.
 * @initrds: Its initial file systems', in their order.
 * @nr:      How many.
 * @options: Its command line, or NULL: that of the running kernel.
 * @broken:  Why it cannot be taken as it is, or NULL.
 * @foreign: It is another machine's.
 */
struct installed {
	char *name;
	char *version;
	char *kernel;
	char **initrds;
	unsigned int nr;
	char *options;
	char *broken;
	bool foreign;
};

/**
 * installed_find() - a kernel by its name, or the newest
 * @root: where the file system is; "" for the machine's own
 * @name: NULL for the newest
 * @found: filled in; free it with installed_free()
 *
 * Entries of another machine's, on a disk that both use, are passed over.
 *
 * Return: 0, or a negative errno: -ENOENT if there is none.
 */
int installed_find(const char *root, const char *name, struct installed *found);

/* The initial file system that belongs to an image by its name, to be freed; or NULL. */
char *installed_initrd_of(const char *kernel);

void installed_free(struct installed *installed);

/* As dpkg compares versions: "7.10" is newer than "7.9", "7.3-rc1" is older than "7.3". */
int version_compare(const char *a, const char *b);

#endif /* INSTALLED_H */
