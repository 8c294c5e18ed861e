// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kexec costs with memory that is preserved: runs in a VM, on our kernel
 * with MFD_PRESERVE and on the stock kernel with plain memfds. Prints METRIC
 * lines for bench/parts/restore.py and blackout.py.
 *
 *   restore_bench LAYOUT MIB [first|background]
 *
 * LAYOUT is dense (one write after the other), huge (the same in huge folios),
 * holes (every second page of the file has data) or alternate (written in turn
 * with a file that is thrown away, so that its pages alternate with other memory).
 * MIB is that of the data. With "first" it ends at the first byte; "background"
 * measures how long the workers take.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include "memory.h"
#include "metric.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"bench"
#define PAGE		4096UL
#define PACE		"/sys/kernel/mm/preserve/restore_pace"
#define HUGE		"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

static const char *layout, *part = "";
static size_t nr_pages;

static int make(const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	if (fd < 0)
		fd = memfd_create(name, MFD_CLOEXEC);
	require(fd >= 0, "memfd");
	return fd;
}

static off_t place_of(size_t i)
{
	return i * PAGE * (1 + !strcmp(layout, "holes"));
}

static void put(int fd, size_t i)
{
	static char page[PAGE];

	memset(page, 1 + i % 255, PAGE);
	require(pwrite(fd, page, PAGE, place_of(i)) == (ssize_t)PAGE, "write");
}

static void before(void)
{
	int fd, other = -1, session;
	__u64 start;
	size_t i;

	if (!strcmp(layout, "huge"))
		require(!text_write(HUGE, "always"), "huge folios");
	fd = make("data");
	/* What is written page by page would not come as huge folios. */
	if (!strcmp(layout, "huge"))
		require(!fallocate(fd, 0, 0, nr_pages * PAGE), "allocate");
	if (!strcmp(layout, "alternate"))
		other = make("other");
	for (i = 0; i < nr_pages; i++) {
		put(fd, i);
		if (other >= 0)
			put(other, i);
	}
	session = stage_session_create(SESSION);
	start = now();
	require(!preserve_session_add_fd(session, fd, 1), "preserve");
	metric("preserve", now() - start);
	tie_clocks("reboot_tsc");
}

/* Writes a byte into each page of data, by way of a mapping. */
static __u64 touch(int fd)
{
	size_t size = place_of(nr_pages - 1) + PAGE, i;
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	__u64 start = now();

	require(mem != MAP_FAILED, "mapping");
	for (i = 0; i < nr_pages; i++)
		mem[place_of(i) + 1] = 7;
	start = now() - start;
	for (i = 0; i < nr_pages && mem[0]; i++)
		require(mem[place_of(i)] == (char)(1 + i % 255), "page %zu", i);
	munmap(mem, size);
	return start;
}

static void measure_touch(int session, int fd)
{
	int fresh;

	metric("touch", touch(fd));
	stage_session_finish(session);
	close(fd);
	fresh = make("fresh");
	require(!ftruncate(fresh, place_of(nr_pages)), "size");
	metric("fresh", touch(fresh));
}

static void measure_background(void)
{
	__u64 start = now();

	text_write(PACE, "max");
	while (pool_counter("unrestored"))
		usleep(1000);
	metric("background", now() - start);
}

static void after(void)
{
	__u64 start, retrieved;
	char byte = 0;
	int session, fd;

	tie_clocks("up_tsc");
	/* What a worker does meanwhile would be counted. */
	text_write(PACE, "0");
	session = stage_session_retrieve(SESSION);
	metric("retrieve_tsc", __rdtsc());
	start = now();
	fd = preserve_session_get_fd(session, 1);
	start = now() - start;
	retrieved = __rdtsc();
	require(fd >= 0 && pread(fd, &byte, 1, 0) == 1 && byte == 1,
		"retrieve: %d", fd);
	metric("first_tsc", __rdtsc());
	metric("retrieved_tsc", retrieved);
	metric("retrieve", start);
	if (!strcmp(part, "background"))
		measure_background();
	else if (strcmp(part, "first"))
		measure_touch(session, fd);
	check(true, "measured");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	require(argc >= 3, "which layout, how much?");
	layout = argv[1];
	nr_pages = MIB(atoi(argv[2])) / PAGE;
	if (argc > 3)
		part = argv[3];
	return stage_run(stages, STAGE_COUNT(stages));
}
