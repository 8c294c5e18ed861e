// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first touch of files of retrieved trees, while another task truncates them, or
 * preserves their tree and lets it go again; and what the kernel keeps for a file: nothing,
 * as long as it is small.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "liveupdate.h"
#include "memory.h"
#include "place.h"
#include "stage.h"
#include "tree.h"

#define PAGE		4096
#define SMALL		3
#define LARGE		24
#define NR_FILES	64	/* in each tree; the second half is for the thaw */
#define SESSION		"touch"

static const char * const trees[] = { "/pool", "/plain" };

static size_t size_of(unsigned int file)
{
	return (file % 2 ? LARGE : SMALL) * PAGE;
}

static int file_open(unsigned int tree, unsigned int file, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%u", trees[tree], file);
	fd = open(path, flags | O_RDWR | O_CLOEXEC, 0644);
	require(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

static void make(void)
{
	int session = stage_session_create(SESSION), root, fd;
	unsigned int t, i;

	for (t = 0; t < 2; t++) {
		root = tree_mount(trees[t], t ? "" : "preserve");
		require(root >= 0, "mount %s", trees[t]);
		for (i = 0; i < NR_FILES; i++) {
			fd = file_open(t, i, O_CREAT);
			require(!pattern_write(fd, i, 0, size_of(i)), "write");
			close(fd);
		}
		require(!preserve_session_add_fd(session, root, 1 + t), "preserve");
		close(root);
	}
	check(1, "two trees are preserved");
}

static void retrieve(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	unsigned int t;

	for (t = 0; t < 2; t++) {
		fd = preserve_session_get_fd(session, 1 + t);
		require(fd >= 0 && !tree_attach(fd, trees[t]), "%s", trees[t]);
		close(fd);
	}
	stage_session_finish(session);
}

/* --- the first touch against ftruncate(0) --- */

static pthread_barrier_t both;

static void *touch(void *arg)
{
	int fd = *(int *)arg;
	char byte;

	pthread_barrier_wait(&both);
	/* It is there, or the file is empty already. */
	return (void *)(long)pread(fd, &byte, 1, 0);
}

/* Does the file read as zeroes when it grows again? */
static bool truncated_for_good(unsigned int tree, unsigned int file)
{
	int fd = file_open(tree, file, 0);
	pthread_t thread;
	bool good;

	require(!pthread_create(&thread, NULL, touch, &fd), "a thread");
	pthread_barrier_wait(&both);
	/* The touch has to be under way, at one time or another. */
	usleep(file * 3);
	require(!ftruncate(fd, 0), "truncate");
	pthread_join(thread, NULL);
	require(!ftruncate(fd, size_of(file)), "grow");
	good = range_is_zero(fd, 0, size_of(file)) && !file_allocated(fd);
	close(fd);
	return good;
}

static void race_truncate(unsigned int tree)
{
	unsigned int i, bad = 0;

	for (i = 0; i < NR_FILES / 2; i++)
		bad += !truncated_for_good(tree, i);
	check(!bad, "%s: what was truncated at its first touch stays away: %u come back",
	      trees[tree], bad);
}

/* --- the first touch against preserve and unpreserve of the tree --- */

static atomic_int touched;

static void *touch_all(void *arg)
{
	unsigned int tree = (long)arg, i;
	long wrong = 0;
	int fd;

	for (i = NR_FILES / 2; i < NR_FILES; i++) {
		fd = file_open(tree, i, 0);
		wrong += !!pattern_check(fd, i, 0, PAGE);
		close(fd);
		usleep(300);
	}
	atomic_store(&touched, 1);
	return (void *)wrong;
}

/* Writes behind its end, where a file that stands still makes it wait. */
static bool can_grow(unsigned int tree, unsigned int file)
{
	int fd = file_open(tree, file, 0);
	size_t size = size_of(file);
	bool good;

	good = pwrite(fd, "x", 1, size + PAGE) == 1 && !pattern_check(fd, file, 0, size);
	/* All of it is there now: a plain file is out of the pool. */
	if (tree && good)
		good = !place_is_ours(fd);
	close(fd);
	return good;
}

static void race_thaw(unsigned int tree)
{
	int root = tree_open(trees[tree]), session, rounds = 0;
	unsigned int i, bad = 0;
	pthread_t thread;
	void *wrong;

	atomic_store(&touched, 0);
	require(!pthread_create(&thread, NULL, touch_all, (void *)(long)tree), "a thread");
	while (!atomic_load(&touched)) {
		session = stage_session_create("thaw");
		require(!preserve_session_add_fd(session, root, 1), "preserve");
		close(session);
		rounds++;
	}
	pthread_join(thread, &wrong);
	close(root);
	check(!wrong, "%s: all is read that was touched, beside %d times of preserve",
	      trees[tree], rounds);
	for (i = NR_FILES / 2; i < NR_FILES; i++)
		bad += !can_grow(tree, i);
	check(!bad, "%s: files go on behind it%s: %u do not", trees[tree],
	      tree ? ", out of the pool" : "", bad);
}

/* --- what the kernel keeps --- */

/* Objects of a slab cache that are in use. */
static long slab_objects(const char *name)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	char line[512], cache[64];
	long active, found = -1;

	require(f, "/proc/slabinfo");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", cache, &active) == 2 && !strcmp(cache, name))
			found = active;
	fclose(f);
	return found;
}

static void check_small(void)
{
	long before = slab_objects("preserve_file"), after, slack = 2 * NR_FILES;
	unsigned int i;
	int fd;

	for (i = 0; i < 10 * NR_FILES; i++) {
		fd = file_open(0, 1000 + i, O_CREAT);
		require(!pattern_write(fd, i, 0, 16 * PAGE), "write");
		close(fd);
	}
	after = slab_objects("preserve_file");
	/* CPUs have some at hand, which count as in use. */
	check(before >= 0 && after - before < slack,
	      "%u files of 16 pages take %ld objects", 10 * NR_FILES, after - before);
	for (i = 0; i < 10 * NR_FILES; i++) {
		fd = file_open(0, 1000 + i, 0);
		require(!pattern_write(fd, i, 16 * PAGE, PAGE), "a page more");
		close(fd);
	}
	after = slab_objects("preserve_file");
	check(after - before > 10 * NR_FILES - slack, "with a page more, %ld",
	      after - before);
}

static void touch_trees(void)
{
	unsigned int t;

	retrieve();
	pthread_barrier_init(&both, NULL, 2);
	for (t = 0; t < 2; t++) {
		race_truncate(t);
		race_thaw(t);
	}
	check_small();
	check(!pool_counter("incoming"), "nothing is left behind");
}

static const stage_fn stages[] = { make, touch_trees };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
