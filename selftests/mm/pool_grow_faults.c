// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the way of growing, shrinking, lending, packing and moving
 * a plain file into the pool is made to fail in turn. Each failure is a clean
 * error or is got over; the memory that was on its way is as it was.
 *
 * Uses the kernel's fault injection, so it runs on the debug kernel.
 */

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define PAGE		KIB(4)
#define SMALL		MIB(8)
#define LARGE		MIB(16)
#define EACH		25	/* from here on, not each allocation fails */
#define STEP		29
#define MAX_NTH		1500
#define FILES		4
#define FILE_SIZE	MIB(1)

static int fds[FILES];

static int grow(void)
{
	return pool_set("size", LARGE);
}

static int shrink(void)
{
	return pool_set("size", SMALL);
}

static int lend(void)
{
	return pool_set("lend", 1);
}

static int keep(void)
{
	return pool_set("lend", 0);
}

static int pack(void)
{
	return pool_set("compact", 1);
}

/* On demand: by a file that the pool, as small as it is, cannot hold. */
static int demand(void)
{
	int fd = preserve_memfd_create("demand", 0);
	int err = fd < 0 ? fd : pattern_write(fd, 9, 0, SMALL + MIB(2));

	close(fd);
	return err;
}

static int plain_fd = -1, plain_session = -1;

/* Its pages come from here and there. */
static int plain_make(void)
{
	close(plain_session);
	close(plain_fd);
	plain_fd = memfd_create("plain", MFD_CLOEXEC);
	plain_session = stage_session_create("plain");
	require(!pattern_write(plain_fd, 8, 0, KIB(256)), "plain file");
	return 0;
}

static int plain_preserve(void)
{
	int err = preserve_session_add_fd(plain_session, plain_fd, 1);

	require(!pattern_check(plain_fd, 8, 0, KIB(256)), "plain content");
	return err;
}

/* Files whose pages are not next to each other, so that there is work. */
static void files_make(void)
{
	unsigned int i;
	__u64 at;

	for (i = 0; i < FILES; i++) {
		fds[i] = preserve_memfd_create("file", 0);
		require(fds[i] >= 0, "create: %d", fds[i]);
	}
	for (at = 0; at < FILE_SIZE; at += PAGE)
		for (i = 0; i < FILES; i++)
			require(!pattern_write(fds[i], i, at, PAGE), "fill");
}

static bool files_good(void)
{
	unsigned int i;

	for (i = 0; i < FILES; i++)
		if (pattern_check(fds[i], i, 0, FILE_SIZE))
			return false;
	return true;
}

/**
 * struct op - Something to make fail.
 * @name:   For the report.
 * @before: Brings about where it begins; without faults.
 * @run:    Returns 0 or a negative errno.
 */
struct op {
	const char *name;
	int (*before)(void);
	int (*run)(void);
};

static const struct op ops[] = {
	{ "grow", shrink, grow },
	{ "shrink", grow, shrink },
	{ "lend", keep, lend },
	{ "take back", lend, keep },
	{ "grow on demand", shrink, demand },
	{ "pack", NULL, pack },
	{ "move a plain file in", plain_make, plain_preserve },
};

static bool clean(int err)
{
	return !err || err == -ENOMEM || err == -ENOSPC || err == -EBUSY;
}

static void run_op(const struct op *op, struct load *load)
{
	unsigned int nth, failed = 0, hits = 0, wrong = 0;
	bool hit = true;
	int err;

	for (nth = 1; hit && nth < MAX_NTH; nth += nth < EACH ? 1 : STEP) {
		if (op->before)
			op->before();
		fault_arm(nth);
		err = op->run();
		hit = fault_disarm();
		hits += hit;
		failed += !!err;
		if (clean(err))
			continue;
		wrong++;
		ksft_print_msg("%s, allocation %u: %d\n", op->name, nth, err);
	}
	check(hits && !wrong, "%s: %u faults, %u errors, %u of them wrong",
	      op->name, hits, failed, wrong);
	check(load_good(load) && files_good(), "  all memory is as it was");
	check(pool_consistent(), "  counters");
}

static void run(void)
{
	struct load *load;
	unsigned int i;
	__s64 used;

	require(!pool_set("size", SMALL), "size");
	files_make();
	load = load_fill(load_percent(40));
	fault_setup();
	used = pool_counter("used");
	for (i = 0; i < STAGE_COUNT(ops); i++)
		run_op(&ops[i], load);
	close(plain_session);
	close(plain_fd);
	check(pool_counter("used") <= used + (__s64)KIB(64),
	      "no page is leaked: %lld, %lld", (long long)pool_counter("used"),
	      (long long)used);
	check(load_stop(load), "others' memory");
}

static const stage_fn stages[] = { run };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
