// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the kernel has reserved for 1 GiB pages at boot is not looked at as if it
 * were free: the pool finds its blocks elsewhere, at boot, when a size is written and
 * on demand, and the huge pages stay. Free huge pages of 2 MiB, which only others of
 * their kind can replace, come last.
 */
#include <stdio.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define HUGE(size)	"/sys/kernel/mm/hugepages/hugepages-" size "kB/free_hugepages"
#define SIZE		"/sys/kernel/mm/preserve/size"
#define POOL_MIB	64
#define FILE_SIZE	MIB(200)

static long number(const char *path)
{
	FILE *file = fopen(path, "r");
	long value = -1;

	require(file && fscanf(file, "%ld", &value) == 1, "%s", path);
	fclose(file);
	return value;
}

static void huge_pages_are_there(long large, long small)
{
	check(number(HUGE("1048576")) == large, "%ld pages of 1 GiB are free",
	      large);
	check(number(HUGE("2048")) == small, "%ld pages of 2 MiB are free",
	      small);
}

static void run(void)
{
	long large = number(HUGE("1048576")), small = number(HUGE("2048"));
	__s64 size = pool_counter("size") >> 20;
	int fd;

	require(large > 0 && small > 0, "huge pages");
	check(size == POOL_MIB, "the pool has %lld MiB from boot on",
	      (long long)size);
	fd = preserve_memfd_create("demand", 0);
	check(!pattern_write(fd, 1, 0, FILE_SIZE), "it grows on demand");
	check(!pattern_check(fd, 1, 0, FILE_SIZE), "what was written is there");
	check(!text_write(SIZE, "512M"), "it grows to a size");
	huge_pages_are_there(large, small);
	close(fd);
}

int main(void)
{
	static const stage_fn stages[] = { run };

	return stage_run(stages, STAGE_COUNT(stages));
}
