/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the library needs of the kernel's interface: the system's headers where
 * they have it, the same numbers and layouts where they are older than the
 * running kernel. Private to the library.
 */

#ifndef PRESERVE_ABI_H
#define PRESERVE_ABI_H

#include <assert.h>
#include <linux/types.h>
#include <sys/ioctl.h>

#if __has_include("linux/liveupdate.h")
#include <linux/liveupdate.h>
#endif

#ifndef LIVEUPDATE_IOCTL_TYPE
#define LIVEUPDATE_IOCTL_TYPE			0xBA
#define LIVEUPDATE_SESSION_NAME_LENGTH		64

/* CREATE_SESSION and RETRIEVE_SESSION have one layout. */
struct liveupdate_ioctl_create_session {
	__u32 size;
	__s32 fd;
	__u8 name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

/* SESSION_PRESERVE_FD and SESSION_RETRIEVE_FD have one layout. */
struct liveupdate_session_preserve_fd {
	__u32 size;
	__s32 fd;
	__aligned_u64 token;
};

struct liveupdate_session_finish {
	__u32 size;
	__u32 reserved;
};

struct liveupdate_session_get_name {
	__u32 size;
	__u32 reserved;
	__u8 name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

#define LIVEUPDATE_IOCTL_CREATE_SESSION		_IO(LIVEUPDATE_IOCTL_TYPE, 0x00)
#define LIVEUPDATE_IOCTL_RETRIEVE_SESSION	_IO(LIVEUPDATE_IOCTL_TYPE, 0x01)
#define LIVEUPDATE_SESSION_PRESERVE_FD		_IO(LIVEUPDATE_IOCTL_TYPE, 0x40)
#define LIVEUPDATE_SESSION_RETRIEVE_FD		_IO(LIVEUPDATE_IOCTL_TYPE, 0x41)
#define LIVEUPDATE_SESSION_FINISH		_IO(LIVEUPDATE_IOCTL_TYPE, 0x42)
#define LIVEUPDATE_SESSION_GET_NAME		_IO(LIVEUPDATE_IOCTL_TYPE, 0x43)
#endif /* LIVEUPDATE_IOCTL_TYPE */

static_assert(sizeof(struct liveupdate_ioctl_create_session) == 72,
	      "create_session is 72 bytes");
static_assert(sizeof(struct liveupdate_session_preserve_fd) == 16,
	      "preserve_fd is 16 bytes");
static_assert(sizeof(struct liveupdate_session_finish) == 8,
	      "finish is 8 bytes");
static_assert(sizeof(struct liveupdate_session_get_name) == 72,
	      "get_name is 72 bytes");

#endif /* PRESERVE_ABI_H */
