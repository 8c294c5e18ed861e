/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DMA buffers of memfds: the one driver without hardware that pins a memfd's folios for long.
 */

#ifndef UDMABUF_H
#define UDMABUF_H

#include <stddef.h>
#include <sys/types.h>

/*
 * A DMA buffer of a part of a memfd that is sealed against shrinking. Its memory is pinned
 * until the buffer is closed and unmapped. Returns a descriptor that can be mapped, or a
 * negative errno; ends the test if there is no such driver.
 */
int udmabuf_make(int fd, off_t offset, size_t size);

#endif /* UDMABUF_H */
