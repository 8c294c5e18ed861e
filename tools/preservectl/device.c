// SPDX-License-Identifier: GPL-2.0-only
/*
 * The live update device, for one call at a time.
 */

#include "device.h"

#include <errno.h>
#include <preserve.h>
#include <time.h>
#include <unistd.h>

/* Another process may have it for a moment. */
#define TRIES		50
#define PAUSE_NS	100000000

static int open_device(void)
{
	struct timespec pause = { .tv_nsec = PAUSE_NS };
	int fd;

	for (int i = 0; i < TRIES; i++) {
		fd = preserve_device_open();
		if (fd != -EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	return fd;
}

int device_create(const char *name)
{
	int device = open_device(), session;

	if (device < 0)
		return device;
	session = preserve_session_create(device, name);
	close(device);
	return session;
}

int device_retrieve(const char *name)
{
	int device = open_device(), session;

	if (device < 0)
		return device;
	session = preserve_session_retrieve(device, name);
	close(device);
	return session;
}

int device_look(void)
{
	int device = open_device();

	if (device < 0)
		return device;
	close(device);
	return 0;
}
