// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kexec at any moment: while blocks join and leave the pool, are lent, taken back
 * and packed, while memory comes and goes, also offline, while the memory of preserved
 * files is collapsed, moved and reclaimed, and while files and trees are written, preserved
 * and dropped, the next kernel comes. What was preserved before is whole in it, nothing is
 * refused, and nothing is left behind.
 *
 * Arguments: the number of kernels, and a seed that takes the place of a random one.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chance.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"
#include "unrest.h"

#define SESSION		"moment"
#define PAGE		KIB(4)
#define TREE		"/tmp/moment"
#define TREE_FILE	"file"

/*
 * Memfds of the pool, plain ones, one for a file of the tree; the tree has a token as well,
 * and a memfd in which the threads count what they do, over all kernels.
 */
enum {
	NR_POOL = 10, NR_PLAIN = 2, NR_FILES = NR_POOL + NR_PLAIN, TREE_TOKEN,
	COUNTERS_TOKEN,
};

/* In fewer rounds, a thread may never be done before the next kernel comes. */
#define MANY_ROUNDS	100

static unsigned int nr_rounds;

/* Of unrest.h, over all kernels until now. */
static struct unrest_counter counters[UNREST_NR];

/* A file of up to 2 MiB, every second one with holes. */
static __u64 stride_of(unsigned int nr)
{
	return nr % 2 ? 3 * PAGE : PAGE;
}

static unsigned int pages_of(unsigned int round, unsigned int nr)
{
	return 1 + (round * 131 + nr * 97) % 512;
}

static __u64 seed_of(unsigned int round, unsigned int nr)
{
	return round * (TREE_TOKEN + 1) + nr + 1;
}

static void fill(int fd, unsigned int round, unsigned int nr)
{
	unsigned int page;

	require(fd >= 0, "create: %d", fd);
	for (page = 0; page < pages_of(round, nr); page++)
		require(!pattern_write(fd, seed_of(round, nr),
				       page * stride_of(nr), PAGE), "write");
}

static bool is_right(int fd, unsigned int round, unsigned int nr)
{
	unsigned int page, pages = pages_of(round, nr);

	for (page = 0; page < pages; page++)
		if (pattern_check(fd, seed_of(round, nr),
				  page * stride_of(nr), PAGE))
			return false;
	/* Reading a mapping may have filled holes. */
	return file_allocated(fd) >= (__s64)(pages * PAGE);
}

static void session_add(int session, int fd, unsigned int token)
{
	int err = preserve_session_add_fd(session, fd, token);

	require(!err, "preserve file %u: %d", token, err);
}

static void preserve_files(int session, unsigned int round, int *fds)
{
	unsigned int nr;

	for (nr = 0; nr < NR_FILES; nr++) {
		fds[nr] = nr < NR_POOL ?
			  preserve_memfd_create("moment", MFD_CLOEXEC) :
			  memfd_create("moment", MFD_CLOEXEC);
		fill(fds[nr], round, nr);
		session_add(session, fds[nr], nr);
	}
}

static void preserve_tree(int session, unsigned int round, int *file)
{
	int root = tree_mount(TREE, "preserve");

	*file = open(path_in(TREE, TREE_FILE), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	fill(*file, round, TREE_TOKEN);
	session_add(session, root, TREE_TOKEN);
	close(root);
}

/* Mapped, so that the threads count on until the very end. */
static struct unrest_counter *preserve_counters(int session)
{
	int fd = preserve_memfd_create("counters", MFD_CLOEXEC);
	struct unrest_counter *map;

	require(fd >= 0 && !ftruncate(fd, PAGE), "create the counters");
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	require(map != MAP_FAILED, "map the counters");
	memcpy(map, counters, sizeof(counters));
	session_add(session, fd, COUNTERS_TOKEN);
	close(fd);
	return map;
}

static void read_counters(int session)
{
	int fd = preserve_session_get_fd(session, COUNTERS_TOKEN);

	require(pread(fd, counters, sizeof(counters), 0) == sizeof(counters),
		"read the counters");
	close(fd);
}

static void check_tree(int session, unsigned int round)
{
	int mount = preserve_session_get_fd(session, TREE_TOKEN), fd;

	require(mount >= 0, "the tree is there: %d", mount);
	fd = openat(mount, TREE_FILE, O_RDWR | O_CLOEXEC);
	check(fd >= 0 && is_right(fd, round, TREE_TOKEN), "the tree's file is right");
	close(fd);
	close(mount);
}

/* A worker that restores a file may be the last to let go of it, a moment later. */
static __s64 used_at_rest(void)
{
	__s64 used = pool_counter("used");
	unsigned int i;

	for (i = 0; i < 1000 && used; i++) {
		usleep(10000);
		used = pool_counter("used");
	}
	if (i)
		ksft_print_msg("memory was in use for %u ms more\n", i * 10);
	return used;
}

static void check_files(unsigned int round)
{
	int session = stage_session_retrieve(SESSION);
	unsigned int wrong = 0, nr;
	__s64 used;

	for (nr = 0; nr < NR_FILES; nr++) {
		int fd = preserve_session_get_fd(session, nr);

		require(fd >= 0, "file %u is there: %d", nr, fd);
		wrong += !is_right(fd, round, nr);
		close(fd);
	}
	check(!wrong, "%u of %u files are wrong", wrong, NR_FILES);
	check_tree(session, round);
	read_counters(session);
	stage_session_finish(session);
	unrest_drop();
	check(!pool_counter("refused"), "no record is refused");
	check(!pool_counter("incoming"), "nothing is left behind: %lld",
	      (long long)pool_counter("incoming"));
	check(!pool_counter("preserved"), "nothing is preserved: %lld",
	      (long long)pool_counter("preserved"));
	used = used_at_rest();
	check(!used, "nothing is leaked: %lld", (long long)used);
}

static __u64 seed;

static void round_run(void)
{
	static int fds[NR_FILES + 1];
	unsigned int round = stage_number();
	struct unrest_counter *counting;
	unsigned int idle;
	int session;

	ksft_print_msg("seed %#llx\n", (unsigned long long)seed);
	chance_go_on(seed ^ (round * 0x9e3779b97f4a7c15ULL));
	if (round)
		check_files(round - 1);
	if (round + 1 == nr_rounds) {
		idle = unrest_show(counters);
		if (nr_rounds > MANY_ROUNDS)
			check(!idle, "%u threads have done nothing", idle);
		return;
	}
	session = stage_session_create(SESSION);
	preserve_files(session, round, fds);
	preserve_tree(session, round, &fds[NR_FILES]);
	counting = preserve_counters(session);
	stage_load_next();
	unrest_start(fds, NR_FILES + 1, counting);
	usleep(below(below(4) ? 200000 : 4000000));
}

int main(int argc, char **argv)
{
	nr_rounds = argc > 1 ? atoi(argv[1]) : 21;
	chance_start(argc > 2 ? argv[2] : NULL);
	seed = chance_seed();
	return stage_run_rounds(round_run, nr_rounds);
}
