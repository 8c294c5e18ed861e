// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The client side of /dev/liveupdate and kexec: one function per operation,
 * errors as negative errno. liveupdate.h tells how they fit together.
 */

#define _GNU_SOURCE

#include "liveupdate.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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

int preserve_memfd_create(const char *name, unsigned int flags)
{
	int fd = memfd_create(name, flags | MFD_PRESERVE | MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int preserve_memfd_enter(int fd)
{
	return ioctl(fd, PRESERVE_IOCTL_ENTER) ? -errno : 0;
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

static int kexec_file_load(int kernel, int initrd, const char *cmdline,
			   unsigned long flags)
{
	/* The length counts the closing zero. */
	return syscall(SYS_kexec_file_load, kernel, initrd,
		       strlen(cmdline) + 1, cmdline, flags) < 0 ? -errno : 0;
}

int preserve_kexec_load(const char *kernel, const char *initrd,
			const char *cmdline)
{
	int kernel_fd, initrd_fd = -1, err;

	kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
	if (kernel_fd < 0)
		return -errno;
	if (initrd) {
		initrd_fd = open(initrd, O_RDONLY | O_CLOEXEC);
		if (initrd_fd < 0) {
			err = -errno;
			goto out_kernel;
		}
	}
	err = kexec_file_load(kernel_fd, initrd_fd, cmdline,
			      initrd ? 0 : KEXEC_FILE_NO_INITRAMFS);
	if (initrd)
		close(initrd_fd);
out_kernel:
	close(kernel_fd);
	return err;
}

int preserve_kexec_unload(void)
{
	return kexec_file_load(-1, -1, "", KEXEC_FILE_UNLOAD);
}

int preserve_kexec_reboot(void)
{
	/* The C library's reboot() does not know the kexec command. */
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);
	return -errno;
}
