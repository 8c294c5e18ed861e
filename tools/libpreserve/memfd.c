// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Memory files of the pool.
 */

#include "preserve.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

int preserve_memfd_create(const char *name, unsigned int flags)
{
	int fd = memfd_create(name, flags | MFD_PRESERVE | MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int preserve_memfd_enter(int fd)
{
	return ioctl(fd, PRESERVE_IOCTL_ENTER) ? -errno : 0;
}
