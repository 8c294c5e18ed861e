/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Files that survive kexec, from user space.
 *
 * The life of a file: create it with preserve_memfd_create(), open the device
 * with preserve_device_open(), make a session, add the file's descriptor to it
 * under a token, load the next kernel and enter it with the session still
 * open. The program in the next kernel retrieves the session by its name, gets
 * the file by its token, and finishes the session.
 *
 * A session's descriptor that is closed before the kexec takes back what it
 * preserved. After the kexec a descriptor that is closed finishes the session,
 * unless a signal has killed its holder, or getting a file has failed and can be
 * tried again: then the session can be retrieved again. Only one process at a
 * time has the device open; sessions stay usable after the device is closed.
 *
 * Every function that returns int gives 0 or a descriptor on success and a
 * negative errno on failure. Nothing here keeps state, so any thread may call
 * any function. Descriptors are opened with close-on-exec.
 */

#ifndef PRESERVE_H
#define PRESERVE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* memfd_create(2): place the file's memory so that preserving it is cheap. */
#ifndef MFD_PRESERVE
#define MFD_PRESERVE 0x0020U
#endif

/* On a memfd: preserve_memfd_enter(). */
#ifndef PRESERVE_IOCTL_ENTER
#define PRESERVE_IOCTL_ENTER _IO(0xba, 0x80)
#endif

/* Room for a session's name with its closing zero. */
#define PRESERVE_SESSION_NAME_SIZE 64

/**
 * preserve_memfd_create() - create a memory file that is made to be preserved
 * @name: shown in /proc/self/fd, as for memfd_create(2)
 * @flags: MFD_* flags; MFD_PRESERVE and MFD_CLOEXEC are added
 *
 * Return: a descriptor, or a negative errno: -EINVAL when the kernel does not
 * know the flag, -EOPNOTSUPP when it was started without handover, and what
 * memfd_create(2) gives.
 */
int preserve_memfd_create(const char *name, unsigned int flags);

/**
 * preserve_memfd_enter() - move a plain memfd's memory into the pool, for good
 * @fd: the memfd, open for writing
 *
 * What preserving it would do first, and takes long: call it ahead of time, and preserving
 * takes as little as for a file from preserve_memfd_create(). It cannot be swapped out then.
 *
 * Return: 0, or a negative errno: -ENOTTY when the kernel does not know it or this is no
 * memfd, -EBADF when @fd is not open for writing, -EPERM without CAP_IPC_LOCK, -EOPNOTSUPP
 * for a file with a name of its own and when the kernel was started without handover, -EBUSY
 * while the file is preserved, or a page is pinned or busy, -ENOSPC when the pool has no room.
 */
int preserve_memfd_enter(int fd);

/**
 * preserve_device_open() - open the live update device
 *
 * Return: a descriptor, or a negative errno: -EBUSY while another process has
 * the device open, -ENOENT without live update in the kernel.
 */
int preserve_device_open(void);

/**
 * preserve_session_create() - start a session whose files will be preserved
 * @device: from preserve_device_open()
 * @name: 1 to 63 bytes, unique among the sessions of this kernel
 *
 * Return: the session's descriptor, or a negative errno: -EEXIST for a name in
 * use, -ENAMETOOLONG, -EINVAL for an empty name.
 */
int preserve_session_create(int device, const char *name);

/**
 * preserve_session_retrieve() - open a session that the last kernel preserved
 * @device: from preserve_device_open()
 * @name: what it was created with
 *
 * Return: the session's descriptor, or a negative errno: -ENOENT for an unknown
 * name, -EINVAL for a session that was retrieved before.
 */
int preserve_session_retrieve(int device, const char *name);

/**
 * preserve_session_add_fd() - preserve a file
 * @session: from preserve_session_create()
 * @fd: the file; the session holds a reference of its own
 * @token: names the file within the session
 *
 * The file keeps its size and its set of pages from here on; bytes of existing
 * pages may still be written.
 *
 * Return: 0, or a negative errno: -EEXIST for a token in use, -EBUSY for a file
 * that is already preserved, -ENOENT for a kind of file that no handler knows.
 */
int preserve_session_add_fd(int session, int fd, uint64_t token);

/**
 * preserve_session_get_fd() - get a preserved file back
 * @session: from preserve_session_retrieve()
 * @token: what it was added with
 *
 * Return: a new descriptor of the file, or a negative errno: -ENOENT for an
 * unknown token. A token may be asked for again until the session finishes.
 */
int preserve_session_get_fd(int session, uint64_t token);

/**
 * preserve_session_finish() - end a retrieved session
 * @session: from preserve_session_retrieve()
 *
 * Files that nobody got are freed; those that were are like any other file
 * from here on. The descriptor stays open and is to be closed.
 *
 * Return: 0, or a negative errno.
 */
int preserve_session_finish(int session);

/**
 * preserve_session_name() - read a session's name
 * @session: any session
 * @name: where to write it, zero-terminated; untouched on failure
 * @size: room at @name, at least %PRESERVE_SESSION_NAME_SIZE
 *
 * Return: 0, or a negative errno: -ERANGE when @size is too small.
 */
int preserve_session_name(int session, char *name, size_t size);

/**
 * preserve_mount_open() - open a mount, to preserve all that is in it
 * @dir: the mount's root directory: of a tmpfs or a hugetlbfs
 *
 * What it gives is for preserve_session_add_fd(), which needs CAP_SYS_ADMIN for it. From
 * then on the tree stands still: names, sizes and attributes cannot change.
 *
 * Return: a descriptor, or a negative errno.
 */
int preserve_mount_open(const char *dir);

/**
 * preserve_mount_attach() - attach a mount that has come over
 * @fd: from preserve_session_get_fd()
 * @dir: an existing directory; what is in it is hidden meanwhile
 *
 * The mount stays when @fd is closed. Until it is attached it goes with its last
 * descriptor, once its session is finished.
 *
 * Return: 0, or a negative errno: -EINVAL when it is attached already, -EPERM without
 * CAP_SYS_ADMIN.
 */
int preserve_mount_attach(int fd, const char *dir);

/**
 * preserve_kexec_load() - load the kernel to be entered next
 * @kernel: path of the kernel image
 * @initrd: path of the initial file system, or NULL for none
 * @cmdline: its whole command line
 *
 * Return: 0, or a negative errno.
 */
int preserve_kexec_load(const char *kernel, const char *initrd,
			const char *cmdline);

/**
 * preserve_kexec_unload() - drop the loaded kernel
 *
 * Return: 0, or a negative errno.
 */
int preserve_kexec_unload(void);

/**
 * preserve_kexec_loaded() - is a kernel loaded?
 *
 * Return: 1 if one is, 0 if none is, or a negative errno: -ENOENT without kexec in the
 * kernel.
 */
int preserve_kexec_loaded(void);

/**
 * preserve_kexec_reboot() - enter the loaded kernel now
 *
 * Every open session is handed over; no file system is unmounted and no other
 * process is told.
 *
 * Return: only on failure, with a negative errno: -EINVAL without a loaded
 * kernel, or what the freeze of a preserved file gave. The system goes on and
 * sessions are as before.
 */
int preserve_kexec_reboot(void);

#ifdef __cplusplus
}
#endif

#endif /* PRESERVE_H */
