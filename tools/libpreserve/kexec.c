// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Loading the next kernel, and entering it.
 */

#include "preserve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOADED "/sys/kernel/kexec_loaded"

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

int preserve_kexec_loaded(void)
{
	int fd = open(LOADED, O_RDONLY | O_CLOEXEC), err;
	ssize_t size;
	char c;

	if (fd < 0)
		return -errno;
	size = read(fd, &c, 1);
	err = size < 0 ? -errno : size ? c == '1' : -EIO;
	close(fd);
	return err;
}
