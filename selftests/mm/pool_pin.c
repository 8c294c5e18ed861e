// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory is pinned for long as far as without a pool, although a large part of it is lent:
 * what is there already, and what comes with the pin. Lent blocks leave the pool for that,
 * and nobody is killed; when the pins have ended, the pool gets its size back.
 *
 * As long as there is other memory, the pool keeps its blocks.
 *
 * With the argument "scratch", for a kernel without a pool: what KHO's scratch alone takes
 * from pins.
 */

#include <errno.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "stage.h"

#define POOL_SIZE	MIB(448)
#define PAGE		KIB(4)
#define PIECE		MIB(8)
#define LEFT		MIB(64)		/* for everybody else */
#define LITTLE		MIB(48)

struct pins {
	__u64 done;		/* bytes */
	__u64 cma;		/* bytes of CMA that were free then */
	bool whole;		/* the content is as it was written */
	int error;		/* of the pin that failed */
};

static struct pins *pins;	/* shared with the child */

static int ring_make(unsigned int nr)
{
	struct io_uring_params params = {};
	struct io_uring_rsrc_register table = {
		.nr = nr, .flags = IORING_RSRC_REGISTER_SPARSE,
	};
	int ring = syscall(SYS_io_uring_setup, 1, &params);

	require(ring >= 0, "io_uring_setup: %d", errno);
	require(!syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS2,
			 &table, sizeof(table)), "register: %d", errno);
	return ring;
}

/* A fixed buffer stays pinned until the ring goes. */
static bool ring_pin(int ring, unsigned int slot, void *memory)
{
	struct iovec iov = { memory, PIECE };
	struct io_uring_rsrc_update2 update = {
		.offset = slot, .data = (unsigned long)&iov, .nr = 1,
	};

	return syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS_UPDATE,
		       &update, sizeof(update)) == 1;
}

static void fill(char *memory, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		*(__u64 *)(memory + at) = at;
}

static bool is_whole(char *memory, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		if (*(__u64 *)(memory + at) != at)
			return false;
	return true;
}

static void child_pin(__u64 size, bool filled)
{
	unsigned int nr = size / PIECE;
	int ring = ring_make(nr);
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	text_write("/proc/self/oom_score_adj", "1000");
	if (memory == MAP_FAILED)
		return;
	if (filled)
		fill(memory, size);
	for (unsigned int slot = 0; slot < nr; slot++) {
		if (!ring_pin(ring, slot, memory + slot * PIECE)) {
			pins->error = errno;
			return;
		}
		pins->done += PIECE;
		pins->cma = meminfo_bytes("CmaFree");
	}
	pins->whole = !filled || is_whole(memory, size);
}

/* Pins as much in another process, which ends then. Returns how that ended. */
static int child_run(__u64 size, bool filled)
{
	int status;
	pid_t pid;

	*pins = (struct pins){};
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		child_pin(size, filled);
		_exit(0);
	}
	require(waitpid(pid, &status, 0) == pid, "wait");
	return status;
}

static void pin(__u64 size, bool filled, const char *what)
{
	int status;

	size -= size % PIECE;
	status = child_run(size, filled);
	check(!status && pins->done == size, "%s: %lld of %lld MiB are pinned%s %s", what,
	      (long long)(pins->done >> 20), (long long)(size >> 20),
	      status ? ", the task was killed" : "",
	      pins->error ? strerror(pins->error) : "in all");
	check(pins->whole, "%s: the content is whole", what);
}

/* The worker looks for memory now and then. */
static void regained(__u64 size)
{
	while (pool_counter("size") < (__s64)size) {
		ksft_print_msg("the pool has %lld of %lld MiB\n",
			       (long long)(pool_counter("size") >> 20),
			       (long long)(size >> 20));
		sleep(5);
	}
	check(true, "the pool has its size again");
}

/* On stock as well, a task that pins is killed while the scratch has free memory. */
static void run_scratch(void)
{
	__u64 most = meminfo_bytes("MemAvailable");
	int status = child_run(most - most % PIECE, false);

	check(status && pins->cma > PIECE,
	      "%lld of %lld MiB are pinned, then the task is killed beside %lld MiB of scratch",
	      (long long)(pins->done >> 20), (long long)(most >> 20),
	      (long long)(pins->cma >> 20));
}

static void run(void)
{
	__u64 most, yielded, wanted;

	/* What KHO's scratch has is for movable memory only, with a pool or without. */
	most = meminfo_bytes("MemAvailable") - meminfo_bytes("CmaFree") - LEFT;
	pin(most, true, "no pool, memory that is there");
	pin(most, false, "no pool, new memory");

	require(!pool_set("size", POOL_SIZE), "a pool");
	wanted = pool_counter("size");
	check(pool_counter("lent") > (__s64)(POOL_SIZE * 3 / 4), "most of it is lent");
	pin(LITTLE, true, "little, memory that is there");
	pin(LITTLE, false, "little, new memory");
	check(!pool_counter("yielded"), "for that no block has left the pool: %lld",
	      (long long)pool_counter("yielded"));

	pin(most, true, "pool, memory that is there");
	yielded = pool_counter("yielded");
	check(yielded, "blocks have left the pool: %lld MiB", (long long)(yielded >> 20));
	regained(wanted);
	pin(most, false, "pool, new memory");
	check(pool_counter("yielded") > (__s64)yielded, "blocks have left the pool again");
	regained(wanted);
	/* A page may be in use for a moment. */
	while (pool_set("size", 0))
		sleep(1);
	check(!pool_counter("lent"), "nothing is lent");
}

int main(int argc, char **argv)
{
	static stage_fn stages[] = { run };

	if (argc > 1 && !strcmp(argv[1], "scratch"))
		stages[0] = run_scratch;
	pins = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	require(pins != MAP_FAILED, "shared memory");
	return stage_run(stages, STAGE_COUNT(stages));
}
