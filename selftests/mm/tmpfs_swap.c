// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trees whose files are partly in swap cross a kexec: preserving brings all of it back
 * and fills no hole, nothing of them is swapped out before the kexec, and after it, in
 * less memory, all is right. Plain ones are then swapped out again and cross once more.
 * One belongs to a memory cgroup that has no room for it; one takes its memory from
 * the pool, and of that nothing is ever swapped.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "swap.h"
#include "tree.h"

#define SESSION		"swap"
#define PAGE		KIB(4)
#define NR_FILES	4
#define FULL_SIZE	(MIB(2) + 100)
#define HOLE_SIZE	MIB(4)
/* How much of a tree is in swap at least, where no limit has a say. */
#define SWAPPED		MIB(2)
/* What may be left when all of a cgroup is to go. */
#define LEFT		KIB(128)
#define CGROUP_ROOT	"/sys/fs/cgroup"
#define TIGHT		CGROUP_ROOT "/tight"
#define TIGHT_LIMIT	"4194304"

enum kind { PLAIN, HUGE_ALWAYS, HUGE_WITHIN, MEMCG, POOL, NR_KINDS };

static const struct {
	const char *dir;
	const char *options;
} trees[NR_KINDS] = {
	[PLAIN]		= { "/plain", "size=16m" },
	[HUGE_ALWAYS]	= { "/always", "size=32m,huge=always" },
	[HUGE_WITHIN]	= { "/within", "size=32m,huge=within_size" },
	[MEMCG]		= { "/memcg", "size=16m" },
	[POOL]		= { "/pool", "size=16m,preserve" },
};

static int open_file(enum kind kind, unsigned int no)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/dir/file%u", trees[kind].dir, no);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	require(fd >= 0, "open %s", path);
	return fd;
}

static __u64 seed(enum kind kind, unsigned int no)
{
	return 100 * kind + no;
}

/* Every second file has data at its ends only, and in the middle. */
static bool has_holes(unsigned int no)
{
	return no % 2;
}

static void write_file(enum kind kind, unsigned int no)
{
	int fd = open_file(kind, no), err;

	if (has_holes(no)) {
		err = ftruncate(fd, HOLE_SIZE);
		err = err ?: pattern_write(fd, seed(kind, no), 0, KIB(256));
		err = err ?: pattern_write(fd, seed(kind, no), MIB(2) + 3 * PAGE,
					   KIB(64));
		err = err ?: pattern_write(fd, seed(kind, no), HOLE_SIZE - PAGE,
					   PAGE);
		/* Behind the end: nobody can map these. */
		if (!err && fallocate(fd, FALLOC_FL_KEEP_SIZE, HOLE_SIZE + PAGE,
				      3 * PAGE))
			err = -errno;
	} else {
		err = pattern_write(fd, seed(kind, no), 0, FULL_SIZE);
	}
	require(!err, "%s: write: %d", trees[kind].dir, err);
	close(fd);
}

static bool file_good(enum kind kind, unsigned int no)
{
	int fd = open_file(kind, no);
	bool good;

	if (has_holes(no))
		good = !pattern_check(fd, seed(kind, no), 0, KIB(256)) &&
		       !pattern_check(fd, seed(kind, no), MIB(2) + 3 * PAGE,
				      KIB(64)) &&
		       !pattern_check(fd, seed(kind, no), HOLE_SIZE - PAGE,
				      PAGE) &&
		       range_is_zero(fd, MIB(1), MIB(1)) &&
		       lseek(fd, 0, SEEK_END) == (off_t)HOLE_SIZE;
	else
		good = !pattern_check(fd, seed(kind, no), 0, FULL_SIZE) &&
		       lseek(fd, 0, SEEK_END) == (off_t)FULL_SIZE;
	close(fd);
	return good;
}

static void verify(enum kind kind, const char *when)
{
	unsigned int no, good = 0;

	for (no = 0; no < NR_FILES; no++)
		good += file_good(kind, no);
	check(good == NR_FILES, "%s: %s: all is right in %u files",
	      trees[kind].dir, when, good);
}

static __s64 allocated(enum kind kind)
{
	unsigned int no;
	__s64 sum = 0;
	int fd;

	for (no = 0; no < NR_FILES; no++) {
		fd = open_file(kind, no);
		sum += file_allocated(fd);
		close(fd);
	}
	return sum;
}

static void write_all(enum kind kind)
{
	unsigned int no;

	for (no = 0; no < NR_FILES; no++)
		write_file(kind, no);
}

/* A task of a cgroup that has less memory than it writes. */
static void write_in_cgroup(enum kind kind)
{
	int status;
	pid_t pid;

	require(!text_write(CGROUP_ROOT "/cgroup.subtree_control", "+memory"),
		"memory cgroups");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		load_join(TIGHT);
		if (text_write(TIGHT "/memory.max", TIGHT_LIMIT))
			_exit(1);
		write_all(kind);
		/* Gives up what it cannot find; that is an error. */
		text_write(TIGHT "/memory.reclaim", TIGHT_LIMIT);
		_exit(0);
	}
	require(waitpid(pid, &status, 0) == pid && !status,
		"write in a cgroup: %#x", status);
}

static void fill(enum kind kind)
{
	char dir[64];
	int fd = tree_mount(trees[kind].dir, trees[kind].options);

	require(fd >= 0, "mount %s: %d", trees[kind].dir, fd);
	close(fd);
	snprintf(dir, sizeof(dir), "%s/dir", trees[kind].dir);
	require(!mkdir(dir, 0755), "make %s", dir);
	if (kind == MEMCG)
		write_in_cgroup(kind);
	else
		write_all(kind);
}

/* Swaps out a part of what its first files have. Gives how much more swap is used. */
static __s64 swap_tree(enum kind kind, unsigned int nr)
{
	__s64 before = swap_used();
	unsigned int no;
	int fd;

	for (no = 0; no < nr; no++) {
		fd = open_file(kind, no);
		swap_out(fd, has_holes(no) ? KIB(128) : MIB(2),
			 has_holes(no) ? KIB(64) : MIB(1));
		close(fd);
	}
	return swap_used() - before;
}

static int try_add(int session, enum kind kind)
{
	int fd = tree_open(trees[kind].dir), err;

	err = preserve_session_add_fd(session, fd, kind);
	close(fd);
	return err;
}

static void add(int session, enum kind kind, __s64 was)
{
	int err = try_add(session, kind);

	check(!err, "%s: preserved (%d)", trees[kind].dir, err);
	check(allocated(kind) == was, "%s: no hole is filled: %lld bytes, were %lld",
	      trees[kind].dir, (long long)allocated(kind), (long long)was);
}

/* What its cgroup has no room for is not preserved, and not lost. */
static void fail_in_cgroup(int session)
{
	int err = try_add(session, MEMCG);

	check(err, "%s: not preserved beyond a limit (%d)", trees[MEMCG].dir,
	      err);
	verify(MEMCG, "not preserved");
	require(!text_write(TIGHT "/memory.max", "max"), "no limit");
}

/* All trees, with much of them in swap. */
static void preserve(int session, bool first)
{
	__s64 was[NR_KINDS], swapped;
	enum kind kind;

	for (kind = 0; kind < NR_KINDS; kind++) {
		was[kind] = allocated(kind);
		/* In vain takes long. */
		swapped = swap_tree(kind, kind == POOL ? 1 : NR_FILES);
		if (kind == POOL)
			check(!swapped, "/pool: nothing of it is in swap: %lld bytes",
			      (long long)swapped);
		else
			check(kind == MEMCG || swapped >= (__s64)SWAPPED,
			      "%s: %lld bytes are in swap", trees[kind].dir,
			      (long long)swapped);
	}
	for (kind = 0; kind < NR_KINDS; kind++) {
		if (first && kind == MEMCG)
			fail_in_cgroup(session);
		add(session, kind, was[kind]);
	}
	check(!swap_used(), "nothing of them is in swap now: %lld bytes",
	      (long long)swap_used());
	for (kind = 0; kind < NR_KINDS; kind++) {
		swapped = swap_tree(kind, 1);
		check(swapped <= 0, "%s: nothing of it can be swapped out now: %lld bytes",
		      trees[kind].dir, (long long)swapped);
		verify(kind, "preserved");
	}
	swap_off();
}

static void before(void)
{
	enum kind kind;

	swap_on();
	for (kind = 0; kind < NR_KINDS; kind++)
		fill(kind);
	check(swap_used() >= allocated(MEMCG) - (__s64)LEFT,
	      "/memcg: %lld of %lld bytes are in swap", (long long)swap_used(),
	      (long long)allocated(MEMCG));
	preserve(stage_session_create(SESSION), true);
}

static void attach_all(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	enum kind kind;

	for (kind = 0; kind < NR_KINDS; kind++) {
		fd = preserve_session_get_fd(session, kind);
		require(fd >= 0, "%s: retrieve: %d", trees[kind].dir, fd);
		check(!tree_attach(fd, trees[kind].dir), "%s is attached",
		      trees[kind].dir);
		close(fd);
	}
	stage_session_finish(session);
	ksft_print_msg("%lld MiB of memory\n", meminfo_bytes("MemTotal") >> 20);
}

static void go_on(void)
{
	enum kind kind;

	attach_all();
	swap_on();
	/* The others are swapped out before anybody has looked at them. */
	verify(HUGE_ALWAYS, "retrieved");
	verify(MEMCG, "retrieved");
	preserve(stage_session_create(SESSION), false);
	for (kind = 0; kind < NR_KINDS; kind++)
		verify(kind, "preserved again");
}

static void end(void)
{
	enum kind kind;

	attach_all();
	swap_on();
	for (kind = 0; kind < NR_KINDS; kind++) {
		verify(kind, "at last");
		swap_tree(kind, kind == POOL ? 1 : NR_FILES);
		verify(kind, "swapped out at last");
		check(!umount(trees[kind].dir), "%s: can be unmounted",
		      trees[kind].dir);
	}
	check(!swap_used(), "swap is empty: %lld bytes", (long long)swap_used());
}

static const stage_fn stages[] = { before, go_on, end };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
