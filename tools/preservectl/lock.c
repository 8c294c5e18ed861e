// SPDX-License-Identifier: GPL-2.0-only
/*
 * File locks between commands that change something.
 */

#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "ctl.h"
#include "say.h"

static const char * const files[] = {
	[LOCK_STATE] = "/run/preservectl.lock",
	[LOCK_KEXEC] = "/run/preservectl-kexec.lock",
};

static int locks[] = { -1, -1 };

void lock_release(enum lock which)
{
	if (locks[which] >= 0)
		close(locks[which]);
	locks[which] = -1;
}

int lock_take(enum lock which)
{
	int fd = open(files[which], O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	/* In a system without /run, or so early that it is not writable, there is no other. */
	if (fd < 0 && (errno == ENOENT || errno == EROFS))
		return CTL_DONE;
	if (fd < 0)
		return fail(CTL_FAILED, errno == EACCES ? "become root" :
			    "make room in /run, then try again", "%s: %s", files[which],
			    errno_text(-errno));
	locks[which] = fd;
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return CTL_DONE;
	note("waiting for another preservectl");
	while (flock(fd, LOCK_EX))
		if (errno != EINTR || ctl_interrupted())
			return fail(CTL_FAILED, NULL, "%s: %s", files[which],
				    errno_text(-errno));
	return CTL_DONE;
}
