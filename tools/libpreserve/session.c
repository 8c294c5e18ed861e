// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Sessions of /dev/liveupdate: one function per operation, errors as negative errno.
 * preserve.h tells how they fit together.
 */

#include "preserve.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "abi.h"

static_assert(PRESERVE_SESSION_NAME_SIZE == LIVEUPDATE_SESSION_NAME_LENGTH,
	      "the session name has the kernel's size");

#define DEVICE "/dev/liveupdate"

static int session_open(int device, unsigned long request, const char *name)
{
	struct liveupdate_ioctl_create_session arg = { .size = sizeof(arg) };
	size_t len = strlen(name);

	if (len >= sizeof(arg.name))
		return -ENAMETOOLONG;
	memcpy(arg.name, name, len);
	if (ioctl(device, request, &arg) < 0)
		return -errno;
	return arg.fd;
}

int preserve_device_open(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int preserve_session_create(int device, const char *name)
{
	return session_open(device, LIVEUPDATE_IOCTL_CREATE_SESSION, name);
}

int preserve_session_retrieve(int device, const char *name)
{
	return session_open(device, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, name);
}

int preserve_session_add_fd(int session, int fd, uint64_t token)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.token = token,
	};

	return ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &arg) < 0 ?
	       -errno : 0;
}

int preserve_session_get_fd(int session, uint64_t token)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg),
		.token = token,
	};

	if (ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg) < 0)
		return -errno;
	return arg.fd;
}

int preserve_session_finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	return ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg) < 0 ? -errno : 0;
}

int preserve_session_name(int session, char *name, size_t size)
{
	struct liveupdate_session_get_name arg = { .size = sizeof(arg) };

	if (size < sizeof(arg.name))
		return -ERANGE;
	if (ioctl(session, LIVEUPDATE_SESSION_GET_NAME, &arg) < 0)
		return -errno;
	memcpy(name, arg.name, sizeof(arg.name));
	return 0;
}
