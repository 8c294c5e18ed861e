// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "huge.h"
#include "memory.h"
#include "stage.h"

#define HUGE_SHIFT	26
#define CHUNK		MIB(1)

int huge_memfd(const char *name, __u64 page, unsigned int flags)
{
	int fd = memfd_create(name, flags | MFD_HUGETLB | MFD_CLOEXEC |
			      __builtin_ctzll(page) << HUGE_SHIFT);

	return fd < 0 ? -errno : fd;
}

static void *shared_map(int fd, off_t offset, size_t length, int flags)
{
	void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, offset);

	require(at != MAP_FAILED, "map %zu bytes at %lld: %s", length, (long long)offset,
		strerror(errno));
	return at;
}

void *huge_map(int fd, off_t offset, size_t length, __u64 page)
{
	return shared_map(fd, offset, length, 0);
}

void huge_unmap(void *at, size_t length)
{
	munmap(at, length);
}

__u64 huge_word(__u64 seed, __u64 offset)
{
	return (offset + 1) * 0x9e3779b97f4a7c15ULL ^ seed << 56;
}

/* Of pages that are very large one word in each 4 KiB is enough. */
static size_t step(__u64 page)
{
	return page > MIB(64) ? KIB(4) / sizeof(__u64) : 1;
}

static void fill(__u64 *at, __u64 seed, __u64 offset, size_t length, size_t step)
{
	size_t i;

	for (i = 0; i < length / sizeof(*at); i += step)
		at[i] = huge_word(seed, offset + i * sizeof(*at));
}

static bool filled(const __u64 *at, __u64 seed, __u64 offset, size_t length, size_t step)
{
	size_t i;

	for (i = 0; i < length / sizeof(*at); i += step)
		if (at[i] != huge_word(seed, offset + i * sizeof(*at)))
			return false;
	return true;
}

void huge_fill(int fd, __u64 seed, unsigned int from, unsigned int nr, __u64 page)
{
	void *at = shared_map(fd, from * page, nr * page, MAP_NORESERVE);

	fill(at, seed, from * page, nr * page, step(page));
	munmap(at, nr * page);
}

bool huge_check_mapped(int fd, __u64 seed, unsigned int from, unsigned int nr, __u64 page)
{
	void *at = shared_map(fd, from * page, nr * page, MAP_NORESERVE);
	bool good = filled(at, seed, from * page, nr * page, step(page));

	munmap(at, nr * page);
	return good;
}

bool huge_check(int fd, __u64 seed, unsigned int from, unsigned int nr, __u64 page)
{
	__u64 offset = from * page, end = offset + nr * page;
	__u64 *buf = malloc(CHUNK);
	bool good = buf;

	for (; good && offset < end; offset += CHUNK)
		good = pread(fd, buf, CHUNK, offset) == CHUNK &&
		       filled(buf, seed, offset, CHUNK, step(page));
	free(buf);
	return good;
}

bool huge_is_hole(int fd, unsigned int at, __u64 page)
{
	return range_is_zero(fd, at * page, page);
}

bool huge_name_is(int fd, const char *name)
{
	char link[64], want[128], got[128] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	snprintf(want, sizeof(want), "/memfd:%s (deleted)", name);
	return readlink(link, got, sizeof(got) - 1) > 0 && !strcmp(got, want);
}
