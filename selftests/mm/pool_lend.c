// SPDX-License-Identifier: GPL-2.0-only
/*
 * Idle blocks of the pool serve others meanwhile, and come back when files need
 * them: nobody's memory changes. What is pinned for long is not among it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"lend"
#define POOL_SIZE	MIB(256)
#define FILE_SIZE	MIB(200)

enum { SEED_LENT = 1, SEED_KEPT };
enum { TOKEN_KEPT = 1 };

static int make(const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0, "create %s: %d", name, fd);
	return fd;
}

/* All free memory, lent or not, but what others need. */
static struct load *load_everywhere(__s64 leave)
{
	const struct load_spec spec = {
		.anon = (meminfo_bytes("MemFree") - leave) / LOAD_BLOCK *
			LOAD_BLOCK,
	};

	return load_start(&spec);
}

/* Lent memory fills up, is taken back for a file, and is lent again. */
static void there_and_back(void)
{
	__s64 lent;
	struct load *load;
	int fd;

	check(!pool_set("size", POOL_SIZE), "a pool");
	lent = pool_counter("lent");
	check(lent >= (__s64)POOL_SIZE * 95 / 100, "most of it is lent: %lld",
	      (long long)lent);
	check(meminfo_bytes("PreserveLent") == lent, "as meminfo says");
	/* The OOM killer is near. */
	load = load_everywhere(MIB(120));
	check(meminfo_bytes("CmaFree") < lent / 2, "others use it: %lld free",
	      (long long)meminfo_bytes("CmaFree"));
	check(load_stop(load), "and find there what they put");

	load = load_fill(MIB(300));
	fd = make("lent");
	check(!pattern_write(fd, SEED_LENT, 0, FILE_SIZE), "a file needs it");
	check(pool_counter("lent") < lent, "it has come back");
	check(!pattern_check(fd, SEED_LENT, 0, FILE_SIZE), "the file is whole");
	check(load_stop(load), "so is others' memory");
	close(fd);
	pool_await("lent", lent);
	check(pool_consistent(), "counters");
}

static void switched(void)
{
	__s64 lent = pool_counter("lent");

	check(!pool_set("lend", 0) && !pool_counter("lent"), "nothing is lent");
	check(!pool_set("lend", 1), "lent again");
	pool_await("lent", lent);
}

/* A long-term pin moves a page out of lent memory first. */
static void pinned_elsewhere(void)
{
	const struct load_spec spec = {
		.anon = MIB(300), .pinned = MIB(300),
	};
	struct load *load = load_start(&spec);

	check(!pool_set("lend", 0), "all comes back from beside pinned memory");
	check(load_stop(load), "which is as it was");
	check(!pool_set("lend", 1), "lend");
}

static void before(void)
{
	int session, fd;

	there_and_back();
	switched();
	pinned_elsewhere();

	fd = make("kept");
	require(!pattern_write(fd, SEED_KEPT, 0, MIB(8)), "fill");
	session = stage_session_create(SESSION);
	check(!preserve_session_add_fd(session, fd, TOKEN_KEPT), "preserve");
	/* The next kernel has to be loaded. */
	load_everywhere(meminfo_bytes("MemFree") / 3);
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, TOKEN_KEPT);

	check(fd >= 0 && !pattern_check(fd, SEED_KEPT, 0, MIB(8)),
	      "the file is whole: %d", fd);
	pool_await("size", POOL_SIZE);
	stage_session_finish(session);
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
