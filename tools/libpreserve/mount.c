// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Mounts that cross as trees.
 */

#include "preserve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

int preserve_mount_open(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int preserve_mount_attach(int fd, const char *dir)
{
	/* Called by its number: older C libraries do not have it. */
	return syscall(SYS_move_mount, fd, "", AT_FDCWD, dir,
		       MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}
