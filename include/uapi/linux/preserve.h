/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Preserved memory: what a file's owner can ask for.
 */
#ifndef _UAPI_LINUX_PRESERVE_H
#define _UAPI_LINUX_PRESERVE_H

#include <linux/ioctl.h>

/* Beside liveupdate's, which has 00-0F. */
#define PRESERVE_IOCTL_TYPE	0xBA

/*
 * Moves the memory of a plain memfd into the pool, for good, as if it had been made with
 * MFD_PRESERVE: what preserving it would do first, and takes long. The descriptor has to
 * be open for writing, the caller needs CAP_IPC_LOCK.
 */
#define PRESERVE_IOCTL_ENTER	_IO(PRESERVE_IOCTL_TYPE, 0x80)

#endif /* _UAPI_LINUX_PRESERVE_H */
