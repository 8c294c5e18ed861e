// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool's size, from small to as much as there is: by sysfs and on demand, in
 * memory that others have filled, within its limit, and into the next kernel.
 * Nobody else's memory changes, nobody is killed, and what is given back is free.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"grow"
#define PAGE		KIB(4)
#define SIZE		"/sys/kernel/mm/preserve/size"
#define MAX		"/sys/kernel/mm/preserve/max"

#define FULL_PERCENT	72
#define LOW_SIZE	MIB(8)
#define KEPT_SIZE	MIB(24)
#define LAST_SIZE	MIB(96)
#define LAST_MAX	(LAST_SIZE + MIB(6))

enum { SEED_USED = 1, SEED_DEMAND, SEED_KEPT };
enum { TOKEN_KEPT = 1 };

static unsigned int rounds = 4;

/* What free memory changes by itself: a debug kernel frees late. */
static __u64 slack = MIB(10);

static int make(const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0, "create %s: %d", name, fd);
	return fd;
}

static bool answers(const char *path, const char *text, int err)
{
	int got = text_write(path, text);

	return check(got == err, "\"%s\" gives %d: %d", text, err, got);
}

/* Nothing changes by what is no size, or too large a one. */
static void refusals(void)
{
	static const char * const rubbish[] = {
		"x", "-1", "12x", "1M 2M", "M", ",", "\n",
	};
	__s64 size = pool_counter("size"), max = pool_counter("max");
	size_t i;

	for (i = 0; i < STAGE_COUNT(rubbish); i++) {
		check(text_write(SIZE, rubbish[i]) == -EINVAL &&
		      text_write(MAX, rubbish[i]) == -EINVAL,
		      "rubbish %zu is refused", i);
	}
	answers(SIZE, "1000T", -ENOSPC);
	answers(SIZE, "18446744073709551614", -ENOSPC);
	check(pool_set("size", max + LOAD_BLOCK) == -ENOSPC,
	      "a block more than the limit");
	check(pool_counter("size") == size && pool_counter("max") == max,
	      "size and limit are as before");
	check(!text_write(MAX, "18446744073709551615") &&
	      pool_counter("max") >= max, "no limit: %lld",
	      (long long)pool_counter("max"));
	require(!pool_set("max", max), "limit");
}

static bool resized(__s64 size)
{
	int err = pool_set("size", size);
	__s64 now = pool_counter("size");

	if (!err && now == size)
		return pool_consistent();
	ksft_print_msg("to %lld: %d, it is %lld; %lld blocks without memory\n",
		       (long long)size, err, (long long)now,
		       (long long)pool_node_counter("evacuate_nomem"));
	return false;
}

/* Up and down in full memory. */
static void up_and_down(struct load *load)
{
	unsigned int i, wrong = 0;
	__s64 high;

	/* What is left to the kernel, too: it does not count free CMA memory. */
	high = (meminfo_bytes("MemAvailable") - meminfo_bytes("CmaFree")) * 2 /
	       3 / LOAD_BLOCK * LOAD_BLOCK;
	for (i = 0; i < rounds; i++)
		wrong += !resized(high) + !resized(LOW_SIZE);
	check(high > (__s64)LOW_SIZE && !wrong,
	      "%u times to %lld MiB, in memory full to %u %% (%u wrong)",
	      rounds, (long long)high >> 20, FULL_PERCENT, wrong);
	check(load_good(load), "others' memory is as it was");
}

/* More than there is: what can be had is, and nobody is killed. */
static void too_much(struct load *load)
{
	__s64 before = pool_counter("size"), gained;
	int err;

	require(!pool_set("max", load_percent(98)), "limit");
	err = pool_set("size", load_percent(95));
	gained = pool_counter("size");
	check(err == -ENOMEM, "more than there is: %d", err);
	check(gained > before, "what was gained stays: %lld",
	      (long long)gained);
	check(pool_consistent(), "counters");
	err = pool_set("size", load_percent(95));
	check(err == -ENOMEM && pool_counter("size") >= gained,
	      "once more: %d", err);
	check(load_good(load),
	      "the process with most memory is alive, its memory as it was");
	check(pool_node_counter("evacuate_moved") > 0, "pages were moved");
}

/* Blocks with data stay. */
static void shrink_below_used(void)
{
	int fd = make("used");

	require(!pool_set("size", MIB(64)), "size");
	require(!pattern_write(fd, SEED_USED, 0, MIB(20)), "fill");
	check(pool_set("size", MIB(8)) == -EBUSY, "less than what is used");
	/*
	 * The worker lends or takes back: a block may count twice meanwhile. If the
	 * fill has woken it, it gains four blocks that are idle.
	 */
	check(pool_consistent(), "counters");
	check(pool_counter("size") >= (__s64)MIB(20) &&
	      pool_counter("size") <= (__s64)MIB(32), "what could go is gone: %lld",
	      (long long)pool_counter("size"));
	check(!pattern_check(fd, SEED_USED, 0, MIB(20)), "data is as it was");
	close(fd);
}

/* Writes pages until there is an error. Gives it. */
static int fill(int fd, __u64 limit)
{
	__u64 offset;
	int err = 0;

	for (offset = 0; !err && offset < limit; offset += PAGE)
		err = pattern_write(fd, SEED_DEMAND, offset, PAGE);
	return err;
}

/* A process that writes into a mapping: how does it end? */
static int touch(int fd, size_t size)
{
	int status = -1;
	pid_t pid;

	require(!ftruncate(fd, size), "truncate");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
				 fd, 0);

		memset(map, 1, size);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

/* Up to the limit, then ENOSPC and SIGBUS; and again with what is freed. */
static void on_demand(__s64 at_rest)
{
	const size_t max = MIB(24);
	int fd = make("demand"), err, status;
	__s64 allocated;

	pool_set("size", 0);
	require(!pool_set("max", max), "limit");
	status = touch(fd, MIB(16));
	check(!status, "faults make the pool grow: %#x", status);
	check(pool_counter("size") >= (__s64)MIB(16), "it has grown: %lld",
	      (long long)pool_counter("size"));
	err = fill(fd, 2 * max);
	allocated = file_allocated(fd);
	check(err == -ENOSPC, "a write beyond the limit: %d", err);
	check(pool_counter("size") == (__s64)max, "the size is the limit: %lld",
	      (long long)pool_counter("size"));
	check(allocated > (__s64)max * 9 / 10, "most of it is in the file: %lld",
	      (long long)allocated);
	check(!pattern_check(fd, SEED_DEMAND, 0, allocated), "content");
	status = touch(fd, 2 * max);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS,
	      "a fault beyond it is SIGBUS: %#x", status);
	check(pool_set("size", max + LOAD_BLOCK) == -ENOSPC, "sysfs says so, too");

	require(!ftruncate(fd, 0), "truncate");
	check(pool_counter("used") == at_rest, "all is free: %lld",
	      (long long)pool_counter("used"));
	check(!fill(fd, max / 2) &&
	      !pattern_check(fd, SEED_DEMAND, 0, max / 2),
	      "what is freed is used again");
	close(fd);
	check(pool_counter("used") == at_rest && pool_consistent(), "counters");
}

/* Without a limit above zero, the pool can shrink, and no file can grow. */
static void no_growth(__s64 max)
{
	int fd = make("none"), err, status;

	pool_set("size", 0);
	require(!pool_set("max", 0), "limit");
	check(pool_set("size", MIB(16)) == -ENOSPC, "no growth by sysfs");
	err = fill(fd, MIB(16));
	check(err == -ENOSPC, "no write: %d", err);
	check(file_allocated(fd) <= (__s64)LOAD_BLOCK, "at most a block: %lld",
	      (long long)file_allocated(fd));
	status = touch(fd, MIB(16));
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS,
	      "no fault: %#x", status);
	require(!pool_set("max", max) && !pool_set("size", MIB(32)), "grow");
	err = fill(fd, MIB(16));
	check(!err, "there is room at once when the pool has grown: %d", err);
	close(fd);
	pool_set("size", 0);
}

/* Growth brings in the free pages that wait in lists of CPUs. */
static __s64 free_at_rest(const char *name)
{
	text_write("/proc/sys/vm/drop_caches", "3");
	require(!pool_set("size", MIB(16)), "a pool for a moment");
	pool_set("size", 0);
	return meminfo_bytes(name);
}

static bool as_before(const char *name, __s64 before)
{
	__s64 now = free_at_rest(name);

	return check(llabs(now - before) < (__s64)slack,
		     "%s: %lld kB, was %lld kB", name, (long long)now / 1024,
		     (long long)before / 1024);
}

static void before(void)
{
	__s64 max = pool_counter("max"), free, available, at_rest;
	struct load *load;
	int session, fd;

	check(!pool_counter("size") && max > 0, "no pool, but a limit: %lld",
	      (long long)max);
	at_rest = pool_used_at_rest();
	require(at_rest >= 0, "use once: %lld", (long long)at_rest);
	pool_set("size", 0);
	free = free_at_rest("MemFree");
	available = free_at_rest("MemAvailable");

	refusals();
	load = load_fill(load_percent(FULL_PERCENT));
	up_and_down(load);
	too_much(load);
	load_stop(load);
	require(!pool_set("max", max), "limit");
	shrink_below_used();
	on_demand(at_rest);
	no_growth(max);
	check(pool_counter("size") <= (__s64)LOAD_BLOCK, "the pool is gone: %lld",
	      (long long)pool_counter("size"));
	require(!pool_set("max", max), "limit");
	as_before("MemFree", free);
	as_before("MemAvailable", available);

	require(!pool_set("max", LAST_MAX) && !pool_set("size", LAST_SIZE),
		"limit, and grow");
	fd = make("kept");
	require(!pattern_write(fd, SEED_KEPT, 0, KEPT_SIZE), "fill");
	session = stage_session_create(SESSION);
	check(!preserve_session_add_fd(session, fd, TOKEN_KEPT), "preserve");
}

static void after(void)
{
	int session, fd;

	check(pool_counter("size") >= (__s64)KEPT_SIZE, "the pool has the data");
	check(pool_counter("max") == LAST_MAX, "the limit is what was set: %lld",
	      (long long)pool_counter("max"));
	session = stage_session_retrieve(SESSION);
	fd = preserve_session_get_fd(session, TOKEN_KEPT);
	check(fd >= 0 && !pattern_check(fd, SEED_KEPT, 0, KEPT_SIZE),
	      "the file is as it was: %d", fd);
	pool_await("size", LAST_SIZE);
	stage_session_finish(session);
	check(!pattern_check(fd, SEED_KEPT, 0, KEPT_SIZE), "still is");
	check(pool_consistent(), "counters");
	close(fd);
	check(!pool_set("size", 2 * LOAD_BLOCK), "shrink");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	if (argc > 1)
		rounds = atoi(argv[1]);
	if (argc > 2)
		slack = MIB(atoi(argv[2]));
	return stage_run(stages, STAGE_COUNT(stages));
}
