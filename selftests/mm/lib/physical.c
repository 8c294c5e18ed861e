// SPDX-License-Identifier: GPL-2.0-only
/* Memory by its physical address; see physical.h. */

#include "physical.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "stage.h"

/* Looked at in pieces of this size. */
#define WINDOW		MIB(2)
#define MOST_RANGES	64

/* What /proc/iomem calls "System RAM", in whole pages: the end is behind it. */
static struct range {
	__u64 start;
	__u64 end;
} ranges[MOST_RANGES];
static unsigned int nr_ranges;

static void ranges_read(void)
{
	const __u64 page = sysconf(_SC_PAGESIZE);
	FILE *iomem = fopen("/proc/iomem", "re");
	unsigned long long start, end;
	char line[256];

	require(iomem, "/proc/iomem: %s", strerror(errno));
	while (fgets(line, sizeof(line), iomem)) {
		/* What a range has in it is indented. */
		if (line[0] == ' ' || !strstr(line, " : System RAM") ||
		    sscanf(line, "%llx-%llx", &start, &end) != 2)
			continue;
		start = (start + page - 1) & ~(page - 1);
		end = (end + 1) & ~(page - 1);
		if (end <= start)
			continue;
		require(nr_ranges < MOST_RANGES, "memory in %u ranges at most", MOST_RANGES);
		ranges[nr_ranges++] = (struct range) { start, end };
	}
	fclose(iomem);
	require(nr_ranges, "memory in /proc/iomem");
}

static bool is_memory(__u64 phys, size_t size)
{
	if (!nr_ranges)
		ranges_read();
	for (unsigned int i = 0; i < nr_ranges; i++)
		if (phys >= ranges[i].start && phys < ranges[i].end &&
		    size <= ranges[i].end - phys)
			return true;
	return false;
}

void *physical_map(__u64 phys, size_t size)
{
	static int mem = -1;
	void *map;

	if (!is_memory(phys, size))
		return NULL;
	if (mem < 0)
		mem = open("/dev/mem", O_RDWR | O_CLOEXEC);
	require(mem >= 0, "/dev/mem: %s", strerror(errno));
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, mem, phys);
	return map == MAP_FAILED ? NULL : map;
}

static void range_look(const struct range *range, physical_look_fn look)
{
	for (__u64 phys = range->start; phys < range->end; phys += WINDOW) {
		__u64 left = range->end - phys;
		size_t size = left < WINDOW ? left : WINDOW;
		char *window = physical_map(phys, size);

		require(window, "memory at %#llx: %s", phys, strerror(errno));
		for (size_t at = 0; at < size; at += PHYSICAL_PAGE)
			look(window + at, phys + at);
		munmap(window, size);
	}
}

void physical_look(physical_look_fn look)
{
	if (!nr_ranges)
		ranges_read();
	for (unsigned int i = 0; i < nr_ranges; i++)
		range_look(&ranges[i], look);
}
