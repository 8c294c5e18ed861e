// SPDX-License-Identifier: GPL-2.0-only
/* Where the pages of a file are; see place.h. */

#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "stage.h"

#define PAGEMAP_PRESENT	(~(~0ULL >> 1))
#define PAGEMAP_PFN	(~0ULL >> 9)

void *place_map(int fd, off_t offset, size_t length)
{
	void *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 offset);

	require(map != MAP_FAILED, "map a file");
	return map;
}

void place_touch(const void *addr)
{
	__atomic_load_n((const char *)addr, __ATOMIC_RELAXED);
}

__u64 place_pfn(const void *addr)
{
	static int pagemap = -1;
	__u64 entry;

	if (pagemap < 0)
		pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	require(pread(pagemap, &entry, sizeof(entry),
		      (uintptr_t)addr / PLACE_PAGE * sizeof(entry)) ==
		sizeof(entry), "read pagemap");
	return entry & PAGEMAP_PRESENT ? entry & PAGEMAP_PFN : 0;
}

/* The stretch of data at or behind @from; false when there is none. */
static bool next_stretch(int fd, off_t from, off_t *start, off_t *end)
{
	*start = lseek(fd, from, SEEK_DATA);
	if (*start < 0)
		return false;
	*end = lseek(fd, *start, SEEK_HOLE);
	return *end > *start;
}

void place_frames(int fd, __u64 *pfns, size_t nr)
{
	off_t pos = lseek(fd, 0, SEEK_CUR), start, end = 0, limit, at;
	char *map = place_map(fd, 0, nr * PLACE_PAGE);

	memset(pfns, 0, nr * sizeof(*pfns));
	limit = nr * PLACE_PAGE;
	while (next_stretch(fd, end, &start, &end) && start < limit) {
		for (at = start / PLACE_PAGE * PLACE_PAGE;
		     at < end && at < limit; at += PLACE_PAGE) {
			/* No signal for a bad page. */
			madvise(map + at, PLACE_PAGE, MADV_POPULATE_READ);
			pfns[at / PLACE_PAGE] = place_pfn(map + at);
		}
	}
	munmap(map, nr * PLACE_PAGE);
	lseek(fd, pos, SEEK_SET);
}

int place_node(const void *addr)
{
	void *page = (void *)((uintptr_t)addr / PLACE_PAGE * PLACE_PAGE);
	int status = -1;

	if (syscall(SYS_move_pages, 0, 1UL, &page, NULL, &status, 0) < 0)
		return -errno;
	return status;
}

int place_pin(int fd, size_t length)
{
	struct io_uring_params params = {};
	struct iovec iov = {
		.iov_base = place_map(fd, 0, length),
		.iov_len = length,
	};
	int ring = syscall(SYS_io_uring_setup, 4, &params);

	require(ring >= 0, "io_uring_setup");
	require(!syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS,
			 &iov, 1), "register a buffer");
	munmap(iov.iov_base, length);
	return ring;
}

__s64 place_fdinfo(int fd, const char *name)
{
	size_t length = strlen(name);
	__s64 value = -ENOENT;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && line[length] == ':')
			value = strtoll(line + length + 1, NULL, 10);
	fclose(file);
	return value;
}

bool place_is_ours(int fd)
{
	return place_fdinfo(fd, "preserve") != -ENOENT;
}

unsigned int place_stretches(int fd)
{
	off_t pos = lseek(fd, 0, SEEK_CUR), start, end = 0;
	unsigned int nr = 0;

	while (next_stretch(fd, end, &start, &end))
		nr++;
	lseek(fd, pos, SEEK_SET);
	return nr;
}
