// SPDX-License-Identifier: GPL-2.0-only
/*
 * A loop device on a file of a preserved tmpfs, under dirty pressure, while the pool has
 * lent what it has and others use it: whoever writes for the loop device must not wait for
 * I/O, and gets its pages all the same.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "stage.h"

#define DIR		"/tmp"
#define SIZE		MIB(48)
#define POOL_SIZE	MIB(96)
#define ROUNDS		2

static int loop_start(int backing)
{
	int fd = open("/dev/loop0", O_RDWR | O_CLOEXEC);

	require(fd >= 0, "a loop device");
	require(!ioctl(fd, LOOP_SET_FD, backing), "set it up");
	return fd;
}

/* All of the device is dirty, far more than may be: the writer itself waits for it. */
static void fill(int loop, unsigned int round)
{
	int err = pattern_write(loop, round, 0, SIZE);

	check(!err && !fsync(loop), "%u: the loop device takes all: %d, errno %d", round,
	      err, errno);
}

/* Most of what is free, in lent memory as well. Its content does not matter. */
static void *others_memory(__u64 *size)
{
	void *memory;

	*size = meminfo_bytes("MemFree") * 7 / 10;
	memory = mmap(NULL, *size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	require(memory != MAP_FAILED, "occupy the rest");
	return memory;
}

static void all(void)
{
	void *memory;
	__u64 size;
	unsigned int round;
	int backing, loop;

	require(!mount("none", DIR, "tmpfs", 0, "preserve,size=100m"), "mount");
	backing = open(DIR "/disk", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	require(backing >= 0 && !ftruncate(backing, SIZE), "a file");
	require(!pool_set("size", POOL_SIZE), "a pool");
	pool_await("lent", POOL_SIZE / 2);
	memory = others_memory(&size);
	text_write("/proc/sys/vm/dirty_bytes", "4194304");
	for (round = 0; round < ROUNDS; round++) {
		loop = loop_start(backing);
		fill(loop, round);
		require(!ioctl(loop, LOOP_CLR_FD), "take it down");
		close(loop);
		check(!pattern_check(backing, round, 0, SIZE), "%u: the file has it", round);
		require(!ftruncate(backing, 0) && !ftruncate(backing, SIZE), "empty it");
		pool_await("lent", POOL_SIZE / 2);
	}
	munmap(memory, size);
	close(backing);
	require(!umount(DIR), "unmount");
	check(pool_consistent(), "counters");
}

static const stage_fn stages[] = { all };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
