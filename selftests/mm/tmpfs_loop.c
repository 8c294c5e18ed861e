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
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "stage.h"

#define DIR		"/tmp"
#define SIZE		MIB(96)
#define POOL_SIZE	MIB(160)
#define ROUNDS		3

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

static void all(void)
{
	struct load *load;
	unsigned int round;
	int backing, loop;

	require(!mount("none", DIR, "tmpfs", 0, "preserve,size=200m"), "mount");
	backing = open(DIR "/disk", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	require(backing >= 0 && !ftruncate(backing, SIZE), "a file");
	require(!pool_set("size", POOL_SIZE), "a pool");
	pool_await("lent", POOL_SIZE / 2);
	/* In lent memory as well. */
	load = load_fill(meminfo_bytes("MemFree") * 7 / 10);
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
	check(load_stop(load), "others' memory is as it was");
	close(backing);
	require(!umount(DIR), "unmount");
	check(pool_consistent(), "counters");
}

static const stage_fn stages[] = { all };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
