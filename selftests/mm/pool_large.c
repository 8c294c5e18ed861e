// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files nearly as large as the pool, and larger: what is kept for metadata, two
 * idle blocks and more in a pool of this size, is never taken for room.
 */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define HUGE		"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define SIZE		GIB(1)

static void allocate(const char *how, const char *huge)
{
	int fd, err;

	require(!text_write(HUGE, huge), "huge folios");
	fd = preserve_memfd_create("large", 0);
	require(fd >= 0, "a file");
	err = fallocate(fd, 0, 0, SIZE) ? -errno : 0;
	check(!err, "%s: %d, pool of %lld MiB", how, err,
	      (long long)pool_counter("size") >> 20);
	close(fd);
}

static void run(void)
{
	allocate("in huge folios, in the pool there is", "always");
	allocate("in small ones", "never");
	/* Down to what its own maps need. */
	pool_set("size", 0);
	allocate("in huge folios, in a pool that grows", "always");
	/* Down to what its own maps need. */
	pool_set("size", 0);
	allocate("in small ones", "never");
	check(pool_consistent(), "counters");
}

static const stage_fn stages[] = { run };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
