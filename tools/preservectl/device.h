/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/liveupdate can be open in one process at a time. It is opened for one call, and
 * closed at once: a process that keeps it makes systemd's own preserve fail.
 */
#ifndef DEVICE_H
#define DEVICE_H

/* Where to start a session, or to get one back. Return: its descriptor, or a negative errno. */
int device_create(const char *name);
int device_retrieve(const char *name);

/**
 * device_look() - have the kernel read what has been handed over
 *
 * Return: 0, or a negative errno: -EBUSY while another process has the device.
 */
int device_look(void);

#endif /* DEVICE_H */
