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

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define PAGE		4096
#define SMALL		3
#define LARGE		24
#define NR_FILES	64	/* in each tree; the second half is for the thaw */
#define SESSION		"touch"
#define SLOW		"/slow"	/* many files before a few that are touched */
#define NR_SLOW		6000
#define NR_PUNCHED	40

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

static void make_slow(int session)
{
	int root = tree_mount(SLOW, "preserve"), fd;
	char path[64];
	unsigned int i;

	require(!mkdir(SLOW "/a", 0755) && !mkdir(SLOW "/z", 0755), "mkdir");
	for (i = 0; i < NR_SLOW + NR_PUNCHED; i++) {
		snprintf(path, sizeof(path), SLOW "/%c/%u", i < NR_SLOW ? 'a' : 'z',
			 i < NR_SLOW ? i : i - NR_SLOW);
		fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
		require(fd >= 0, "%s", path);
		if (i >= NR_SLOW)
			require(!pattern_write(fd, i - NR_SLOW, 0, size_of(1)), "write");
		close(fd);
	}
	require(!preserve_session_add_fd(session, root, 3), "preserve");
	close(root);
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
	make_slow(session);
	check(1, "the trees are preserved");
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
	fd = preserve_session_get_fd(session, 3);
	require(fd >= 0 && !tree_attach(fd, SLOW), SLOW);
	close(fd);
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

/* --- holes in what was touched first, while the tree is being preserved --- */

static atomic_int preserved;

static void *preserve_once(void *arg)
{
	int session = stage_session_create("punch"), root = (int)(long)arg;
	long err = preserve_session_add_fd(session, root, 1);

	atomic_store(&preserved, 1);
	close(session);
	return (void *)err;
}

/* A hole beside what was read: it is there, or refused, and the rest is as it was. */
static bool hole_is_good(int fd, unsigned int file)
{
	bool punched;
	char byte;

	require(pread(fd, &byte, 1, 2 * PAGE) == 1, "read");
	punched = !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE);
	require(punched || errno == EPERM, "punch: %s", strerror(errno));
	if (punched && !range_is_zero(fd, PAGE, 2 * PAGE))
		return false;
	return !pattern_check(fd, file, 0, PAGE) &&
	       !pattern_check(fd, file, (punched ? 3 : 1) * PAGE,
			      size_of(1) - (punched ? 3 : 1) * PAGE);
}

static void race_punch(void)
{
	int root = tree_open(SLOW), fds[NR_PUNCHED];
	unsigned int i, bad = 0, early = 0;
	pthread_t thread;
	char path[64];
	void *err;

	for (i = 0; i < NR_PUNCHED; i++) {
		snprintf(path, sizeof(path), SLOW "/z/%u", i);
		fds[i] = open(path, O_RDWR | O_CLOEXEC);
		require(fds[i] >= 0, "%s", path);
	}
	require(!pthread_create(&thread, NULL, preserve_once, (void *)(long)root), "a thread");
	for (i = 0; i < NR_PUNCHED; i++) {
		usleep(2000);
		early += !atomic_load(&preserved);
		bad += !hole_is_good(fds[i], i);
		close(fds[i]);
	}
	pthread_join(thread, &err);
	close(root);
	check(early, "%u files get holes while their tree is preserved", early);
	check(!err, "a tree with files that get holes is preserved: %ld", (long)err);
	check(!bad, "of %u files %u are not as they should be", NR_PUNCHED, bad);
}

/* --- what the kernel keeps --- */

static void check_small(void)
{
	__s64 before = slab_objects("preserve_file"), after, slack = 2 * NR_FILES;
	unsigned int i;
	int fd;

	for (i = 0; i < 10 * NR_FILES; i++) {
		fd = file_open(0, 1000 + i, O_CREAT);
		require(!pattern_write(fd, i, 0, 16 * PAGE), "write");
		close(fd);
	}
	after = slab_objects("preserve_file");
	/* CPUs have some at hand, which count as in use. */
	check(before >= 0 && after - before < slack, "%u files of 16 pages take %lld objects",
	      10 * NR_FILES, (long long)(after - before));
	for (i = 0; i < 10 * NR_FILES; i++) {
		fd = file_open(0, 1000 + i, 0);
		require(!pattern_write(fd, i, 16 * PAGE, PAGE), "a page more");
		close(fd);
	}
	after = slab_objects("preserve_file");
	check(after - before > 10 * NR_FILES - slack, "with a page more, %lld",
	      (long long)(after - before));
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
	race_punch();
	check_small();
	check(!pool_counter("incoming"), "nothing is left behind");
}

static const stage_fn stages[] = { make, touch_trees };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
