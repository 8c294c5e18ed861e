// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files with a known content, and the counters of the preserve pool; see
 * memory.h.
 */

#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preserve.h"

#define CHUNK	65536
#define POOL	"/sys/kernel/mm/preserve/"

/* The finaliser of splitmix64: neighbours have nothing in common. */
static __u64 word_at(__u64 seed, __u64 index)
{
	__u64 x = seed * 0x9e3779b97f4a7c15ULL + index;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* @offset is a multiple of eight. */
static void fill(__u64 *words, __u64 seed, off_t offset, size_t length)
{
	size_t i;

	for (i = 0; i < (length + 7) / 8; i++)
		words[i] = word_at(seed, offset / 8 + i);
}

int pattern_write(int fd, __u64 seed, off_t offset, size_t length)
{
	static __thread __u64 words[CHUNK / 8];

	while (length) {
		size_t part = length < CHUNK ? length : CHUNK;
		ssize_t n;

		fill(words, seed, offset, part);
		n = pwrite(fd, words, part, offset);
		if (n < 0)
			return -errno;
		if ((size_t)n != part)
			return -ENOSPC;
		offset += part;
		length -= part;
	}
	return 0;
}

int pattern_check(int fd, __u64 seed, off_t offset, size_t length)
{
	static __thread __u64 want[CHUNK / 8], got[CHUNK / 8];

	while (length) {
		size_t part = length < CHUNK ? length : CHUNK;
		ssize_t n;

		fill(want, seed, offset, part);
		n = pread(fd, got, part, offset);
		if (n < 0)
			return -errno;
		if ((size_t)n != part || memcmp(want, got, part))
			return -EILSEQ;
		offset += part;
		length -= part;
	}
	return 0;
}

void pattern_fill(void *at, __u64 seed, off_t offset, size_t length)
{
	fill(at, seed, offset, length);
}

bool pattern_is(const void *at, __u64 seed, off_t offset, size_t length)
{
	const __u64 *words = at;
	size_t i;

	for (i = 0; i < length / 8; i++)
		if (words[i] != word_at(seed, offset / 8 + i))
			return false;
	return true;
}

bool range_is_zero(int fd, off_t offset, size_t length)
{
	static __thread char got[CHUNK];
	static const char zero[CHUNK];

	while (length) {
		size_t part = length < CHUNK ? length : CHUNK;

		if (pread(fd, got, part, offset) != (ssize_t)part ||
		    memcmp(zero, got, part))
			return false;
		offset += part;
		length -= part;
	}
	return true;
}

__s64 file_allocated(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -errno : st.st_blocks * 512LL;
}

__s64 pool_counter(const char *name)
{
	char path[128], text[64];
	ssize_t n;
	int fd;

	/* Freed folios wait in per-CPU lists of the LRU; this empties them. */
	if (!strcmp(name, "used"))
		text_write("/proc/sys/vm/drop_caches", "1");
	snprintf(path, sizeof(path), POOL "%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	text[n] = '\0';
	return strtoll(text, NULL, 10);
}

static int use_once(void)
{
	int device, session = -1, fd = -1, err;

	device = preserve_device_open();
	if (device < 0)
		return device;
	session = preserve_session_create(device, "use once");
	close(device);
	if (session < 0)
		return session;
	fd = preserve_memfd_create("use once", 0);
	err = fd < 0 ? fd : pattern_write(fd, 0, 0, 1);
	if (!err)
		err = preserve_session_add_fd(session, fd, 0);
	close(session);
	close(fd);
	return err;
}

__s64 pool_used_at_rest(void)
{
	int err = use_once();

	return err ? err : pool_counter("used");
}

int text_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;
	int err;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	err = n < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* The number in the line of @path that begins with @name and @end. */
static __s64 proc_number(const char *path, const char *name, char end)
{
	size_t length = strlen(name);
	__s64 number = -ENOENT;
	char line[128];
	FILE *file;

	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, name, length) && line[length] == end) {
			number = strtoll(line + length + 1, NULL, 10);
			break;
		}
	}
	fclose(file);
	return number;
}

__s64 meminfo_bytes(const char *name)
{
	__s64 kib = proc_number("/proc/meminfo", name, ':');

	return kib < 0 ? kib : kib * 1024;
}

__s64 slab_objects(const char *name)
{
	return proc_number("/proc/slabinfo", name, ' ');
}

__s64 vmstat_count(const char *name)
{
	return proc_number("/proc/vmstat", name, ' ');
}
