// SPDX-License-Identifier: GPL-2.0-only
/*
 * Swap on a disk in memory; see swap.h.
 */

#include "swap.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "stage.h"

#define SWAP_DEVICE	"/dev/ram0"
/* At the end of the first page; words of it, behind a kilobyte. */
#define SWAP_MAGIC	"SWAPSPACE2"
#define SWAP_VERSION	(1024 / 4)
#define SWAP_LAST_PAGE	(1024 / 4 + 1)

void swap_on(void)
{
	__u32 header[PLACE_PAGE / sizeof(__u32)] = { [SWAP_VERSION] = 1 };
	int fd = open(SWAP_DEVICE, O_RDWR | O_CLOEXEC);
	off_t size;

	require(fd >= 0, SWAP_DEVICE);
	size = lseek(fd, 0, SEEK_END);
	header[SWAP_LAST_PAGE] = size / PLACE_PAGE - 1;
	memcpy((char *)header + PLACE_PAGE - strlen(SWAP_MAGIC), SWAP_MAGIC,
	       strlen(SWAP_MAGIC));
	require(pwrite(fd, header, sizeof(header), 0) == sizeof(header) &&
		!fsync(fd), "write the swap header");
	close(fd);
	require(!swapon(SWAP_DEVICE, 0), "swapon");
}

void swap_off(void)
{
	require(!swapoff(SWAP_DEVICE), "swapoff");
}

__s64 swap_used(void)
{
	return meminfo_bytes("SwapTotal") - meminfo_bytes("SwapFree");
}

/*
 * Maps the file's data, and no hole: that would get a page, which reclaim drops unless it
 * still waits in a list of the CPU that the task has just left.
 */
static void populate_data(int fd, char *map, off_t size)
{
	off_t position = lseek(fd, 0, SEEK_CUR), at = 0, end;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0 && at < size) {
		end = lseek(fd, at, SEEK_HOLE);
		madvise(map + at, (end < size ? end : size) - at,
			MADV_POPULATE_READ);
		at = end;
	}
	lseek(fd, position, SEEK_SET);
}

/* Pages that another task looks at just then stay, so it tries several times. */
bool swap_out(int fd, __u64 size, __u64 want)
{
	void *map = place_map(fd, 0, size);
	__s64 before = swap_used();
	int tries;

	for (tries = 0; tries < 50 && swap_used() < before + (__s64)want;
	     tries++) {
		/* Empties the per-CPU lists that hide folios from reclaim. */
		text_write("/proc/sys/vm/drop_caches", "1");
		populate_data(fd, map, size);
		madvise(map, size, MADV_PAGEOUT);
	}
	munmap(map, size);
	return swap_used() >= before + (__s64)want;
}
