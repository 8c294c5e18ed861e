// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel in the middle does not know our code: it boots, leaves the memory
 * that was handed over alone, and says no to whoever asks for the file. The
 * kernel after it starts with a fresh pool.
 */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"foreign"
#define FILE_SIZE	MIB(8)
#define PLAIN_SIZE	MIB(256)

static void ours(void)
{
	int session = stage_session_create(SESSION);
	int fd = preserve_memfd_create("foreign", MFD_CLOEXEC);

	require(fd >= 0, "memfd_create: %d", fd);
	require(!pattern_write(fd, 1, 0, FILE_SIZE), "fill");
	check(!preserve_session_add_fd(session, fd, 1), "preserve");
}

static void foreign(void)
{
	int device = preserve_device_open();
	int session = device < 0 ? device :
		preserve_session_retrieve(device, SESSION);
	int fd = session < 0 ? session : preserve_session_get_fd(session, 1);
	char *memory = mmap(NULL, PLAIN_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	check(pool_counter("size") < 0, "a kernel without our code");
	check(fd < 0, "the file is not to be had: %s", strerror(-fd));
	check(memory != MAP_FAILED, "memory for others");
	if (memory != MAP_FAILED)
		memset(memory, 0x5a, PLAIN_SIZE);
}

static void ours_again(void)
{
	int fd = preserve_memfd_create("again", MFD_CLOEXEC);

	check(pool_counter("size") == (__s64)MIB(64), "a pool of its own");
	check(!pool_counter("incoming"), "nothing was handed over");
	require(fd >= 0, "memfd_create: %d", fd);
	check(!pattern_write(fd, 2, 0, FILE_SIZE) &&
	      !pattern_check(fd, 2, 0, FILE_SIZE), "it works");
}

static const stage_fn stages[] = { ours, foreign, ours_again };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
