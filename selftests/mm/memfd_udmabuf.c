// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memfds whose pages a driver has pinned by memfd_pin_folios(), in small pages and in huge ones:
 * /dev/udmabuf makes a DMA buffer of them. They are preserved with the buffer in use; a hole is
 * filled by a pin while they are; and in the next kernel a buffer is the first that asks for
 * the content, and what goes through it is in the file, also one kernel later.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "books.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "udmabuf.h"

#define SESSION	"udmabuf"
#define UNIT	MIB(2)
#define UNITS	4
#define WORDS	(UNIT / sizeof(__u64))
#define ASKED	12		/* huge pages, as tests.list asks for them */

static const struct kind {
	const char *name;
	unsigned int flags;
} kinds[] = {
	{ "small pages", MFD_PRESERVE },
	{ "huge pages, plain", MFD_HUGETLB },
	{ "huge pages", MFD_PRESERVE | MFD_HUGETLB },
};

#define KINDS	STAGE_COUNT(kinds)

/* Of which kernel the content of each unit is; 0 for zeroes. */
static const int wrote[][UNITS] = {
	{ 1, 1, 0, 1 },		/* as the first kernel makes it */
	{ 1, 1, 1, 1 },		/* the hole is filled while it is preserved */
	{ 1, 2, 1, 1 },		/* by the second kernel */
};

static __u64 word(size_t kind, int unit, int kernel, size_t at)
{
	return kernel ? (kind + 1) << 56 | (__u64)unit << 48 | (__u64)kernel << 40 | at : 0;
}

static __u64 *map_of(int fd, int from, int nr)
{
	__u64 *map = mmap(NULL, nr * UNIT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, from * UNIT);

	require(map != MAP_FAILED, "map %d units: %d", nr, errno);
	return map;
}

static void unit_fill(__u64 *map, size_t kind, int unit, int kernel)
{
	size_t i;

	for (i = 0; i < WORDS; i++)
		map[i] = word(kind, unit, kernel, i);
}

static bool units_are(const __u64 *map, size_t kind, const int *kernels)
{
	size_t i;

	for (i = 0; i < UNITS * WORDS; i++)
		if (map[i] != word(kind, i / WORDS, kernels[i / WORDS], i % WORDS)) {
			ksft_print_msg("word %zu is %llx\n", i, (unsigned long long)map[i]);
			return false;
		}
	return true;
}

/* A buffer of so many units of a file; negative errno. */
static int buffer_make(int fd, int from, int nr)
{
	return udmabuf_make(fd, from * UNIT, nr * UNIT);
}

static void file_make(int session, size_t kind)
{
	const char *name = kinds[kind].name;
	int fd = memfd_create(name, kinds[kind].flags | MFD_ALLOW_SEALING | MFD_CLOEXEC);
	int buffer, hole, i;
	__u64 *map;

	require(fd >= 0 && !ftruncate(fd, UNITS * UNIT) && !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK),
		"%s: make: %d", name, errno);
	for (i = 0; i < UNITS; i++) {
		if (!wrote[0][i])
			continue;
		map = map_of(fd, i, 1);
		unit_fill(map, kind, i, wrote[0][i]);
		munmap(map, UNIT);
	}
	buffer = buffer_make(fd, 0, 2);
	check(buffer >= 0, "%s: a buffer of its first half: %d", name, buffer);
	require(!preserve_session_add_fd(session, fd, kind), "%s: preserve", name);
	map = map_of(fd, 0, UNITS);
	check(units_are(map, kind, wrote[0]), "%s: it is as it was", name);
	hole = buffer_make(fd, 2, 1);
	check(hole >= 0, "%s: a buffer of its hole, while it is preserved: %d", name, hole);
	if (hole >= 0) {
		__u64 *through = map_of(hole, 0, 1);

		unit_fill(through, kind, 2, 1);
		munmap(through, UNIT);
	}
	check(units_are(map, kind, wrote[1]), "%s: what it has is in the file", name);
}

static void run_first(void)
{
	int session = stage_session_create(SESSION);
	size_t kind;

	for (kind = 0; kind < KINDS; kind++)
		file_make(session, kind);
	books_check(UNIT, (struct books){ .total = ASKED, .free = ASKED - 2 * UNITS },
		    "pages are used");
}

/* In a kernel that has retrieved the file, before anything else has looked at it. */
static int file_again(int session, size_t kind, const int *kernels, int *buffer)
{
	int fd = preserve_session_get_fd(session, kind);
	const char *name = kinds[kind].name;
	__u64 *map;

	require(fd >= 0, "%s: retrieve: %d", name, fd);
	*buffer = buffer_make(fd, 0, UNITS);
	require(*buffer >= 0, "%s: a buffer of what has come: %d", name, *buffer);
	map = map_of(*buffer, 0, UNITS);
	check(units_are(map, kind, kernels), "%s: the buffer has the content", name);
	munmap(map, UNITS * UNIT);
	return fd;
}

static void run_second(void)
{
	int session = stage_session_retrieve(SESSION), fds[KINDS], buffers[KINDS];
	size_t kind;
	__u64 *map;

	for (kind = 0; kind < KINDS; kind++)
		fds[kind] = file_again(session, kind, wrote[1], &buffers[kind]);
	stage_session_finish(session);
	session = stage_session_create(SESSION);
	for (kind = 0; kind < KINDS; kind++) {
		require(!preserve_session_add_fd(session, fds[kind], kind), "%s: preserve again",
			kinds[kind].name);
		/* As a device does it, which knows nothing of this. */
		map = map_of(buffers[kind], 1, 1);
		unit_fill(map, kind, 1, 2);
		munmap(map, UNIT);
	}
}

static void run_last(void)
{
	int session = stage_session_retrieve(SESSION), fd, buffer;
	size_t kind;

	for (kind = 0; kind < KINDS; kind++) {
		fd = file_again(session, kind, wrote[2], &buffer);
		close(buffer);
		close(fd);
	}
	stage_session_finish(session);
	books_check(UNIT, (struct books){ .total = ASKED, .free = ASKED }, "nothing is left");
	check(!pool_counter("files"), "no file is left");
}

int main(void)
{
	static const stage_fn stages[] = { run_first, run_second, run_last };

	return stage_run(stages, STAGE_COUNT(stages));
}
