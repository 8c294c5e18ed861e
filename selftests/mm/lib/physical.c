// SPDX-License-Identifier: GPL-2.0-only
/* Memory by its physical address; see physical.h. */

#include "physical.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"
#include "stage.h"

/* Looked at in pieces of this size. */
#define WINDOW	MIB(2)

void *physical_map(__u64 phys, size_t size)
{
	static int mem = -1;
	void *map;

	if (mem < 0)
		mem = open("/dev/mem", O_RDWR | O_CLOEXEC);
	require(mem >= 0, "/dev/mem: %s", strerror(errno));
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, mem, phys);
	return map == MAP_FAILED ? NULL : map;
}

static void range_look(__u64 start, __u64 end, physical_look_fn look)
{
	for (__u64 phys = start; phys < end; phys += WINDOW) {
		size_t size = end - phys < WINDOW ? end - phys : WINDOW;
		char *window = physical_map(phys, size);

		if (!window)
			continue;
		for (size_t at = 0; at < size; at += PHYSICAL_PAGE)
			look(window + at, phys + at);
		munmap(window, size);
	}
}

void physical_look(physical_look_fn look)
{
	FILE *iomem = fopen("/proc/iomem", "re");
	unsigned long long start, end;
	unsigned int ranges = 0;
	char line[256];

	require(iomem, "/proc/iomem: %s", strerror(errno));
	while (fgets(line, sizeof(line), iomem)) {
		/* What a range has in it is indented. */
		if (line[0] == ' ' || !strstr(line, " : System RAM") ||
		    sscanf(line, "%llx-%llx", &start, &end) != 2)
			continue;
		start = (start + PHYSICAL_PAGE - 1) & ~(PHYSICAL_PAGE - 1);
		end = (end + 1) & ~(PHYSICAL_PAGE - 1);
		range_look(start, end, look);
		ranges++;
	}
	fclose(iomem);
	require(ranges, "memory in /proc/iomem");
}
