// SPDX-License-Identifier: GPL-2.0-only
/*
 * An image that kexec_load(2) has loaded takes nothing over: the reboot is refused while
 * something is preserved, and nothing is lost by the attempt.
 */

#include <errno.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION	"image"
#define PAGE	4096UL
#define SIZE	MIB(4)

/* Any image will do, as long as the reboot does not go through. */
static void load_image(void)
{
	struct kexec_segment segment = {
		.buf = aligned_alloc(PAGE, PAGE), .bufsz = PAGE,
		.mem = (void *)(16UL << 20), .memsz = PAGE,
	};

	require(segment.buf, "memory");
	memset((void *)segment.buf, 0xf4, PAGE);
	require(!syscall(SYS_kexec_load, segment.mem, 1UL, &segment, KEXEC_ARCH_DEFAULT),
		"kexec_load: %d", errno);
	free((void *)segment.buf);
}

static int reboot_into_image(void)
{
	return syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		       LINUX_REBOOT_CMD_KEXEC, NULL) ? errno : 0;
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd, err;

	fd = preserve_memfd_create("image", 0);
	require(fd >= 0 && !pattern_write(fd, 1, 0, SIZE) &&
		!preserve_session_add_fd(session, fd, 1), "preserve a file");
	load_image();
	err = reboot_into_image();
	check(err == EINVAL, "the reboot is refused: %d", err);
	check(!pattern_check(fd, 1, 0, SIZE) && !pattern_write(fd, 2, 0, SIZE),
	      "the file is there, and can be written");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, 1);

	check(fd >= 0 && !pattern_check(fd, 2, 0, SIZE), "it crosses with another image: %d",
	      fd);
	stage_session_finish(session);
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
