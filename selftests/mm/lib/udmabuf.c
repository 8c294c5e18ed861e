// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "stage.h"
#include "udmabuf.h"

#define DEVICE	"/dev/udmabuf"

int udmabuf_make(int fd, off_t offset, size_t size)
{
	struct udmabuf_create create = {
		.memfd = fd, .flags = UDMABUF_FLAGS_CLOEXEC, .offset = offset, .size = size,
	};
	int dev = open(DEVICE, O_RDWR | O_CLOEXEC), buffer;

	require(dev >= 0, "open " DEVICE);
	buffer = ioctl(dev, UDMABUF_CREATE, &create);
	buffer = buffer < 0 ? -errno : buffer;
	close(dev);
	return buffer;
}
