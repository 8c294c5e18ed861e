// SPDX-License-Identifier: GPL-2.0-only
/*
 * Retrieved trees of which nobody has looked at all: they are unmounted, or never
 * retrieved, and their memory is free again; what nobody has touched is truncated,
 * removed and renamed over; a full file system stays full; a memory cgroup has its
 * limit; half of a tree goes on to a third kernel.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"limits"
#define NR_SMALL	3000U
#define TIGHT		"/sys/fs/cgroup/tight"
#define NR_DIRS		4
#define NR_FILES	5
#define FILE_SIZE	KIB(64)
#define TREE_SIZE	(NR_DIRS * NR_FILES * FILE_SIZE)
#define LARGE_SIZE	MIB(6)

enum { UNRETRIEVED, NOTHING, HALF, CHANGE, LINKS, BLOCKS, INODES, MEMCG, NR_TREES };

static const struct {
	const char *dir;
	const char *options;
} trees[NR_TREES] = {
	[UNRETRIEVED]	= { "/unretrieved", "preserve,size=8m" },
	[NOTHING]	= { "/nothing", "preserve,size=8m" },
	[HALF]		= { "/half", "size=8m" },
	[CHANGE]	= { "/change", "preserve,size=8m,nr_inodes=200" },
	[LINKS]		= { "/links", "preserve,size=8m,nr_inodes=200" },
	[BLOCKS]	= { "/blocks", "preserve,size=2m,nr_inodes=200" },
	[INODES]	= { "/inodes", "preserve,size=8m,nr_inodes=40" },
	[MEMCG]		= { "/memcg", "preserve,size=16m" },
};

static __u64 seed(unsigned int d, unsigned int f)
{
	return d * 100 + f;
}

static int write_file(const char *path, __u64 file_seed, size_t size)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644), err;

	if (fd < 0)
		return -errno;
	err = pattern_write(fd, file_seed, 0, size);
	close(fd);
	return err;
}

static int check_file(const char *path, __u64 file_seed, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = pattern_check(fd, file_seed, 0, size);
	close(fd);
	return err;
}

static const char *name_of(unsigned int d, unsigned int f)
{
	static char name[32];

	snprintf(name, sizeof(name), "dir%u/file%u", d, f);
	return name;
}

static bool half_good(const char *dir, unsigned int from, unsigned int to)
{
	unsigned int d, f;

	for (d = from; d < to; d++)
		for (f = 0; f < NR_FILES; f++)
			if (check_file(path_in(dir, name_of(d, f)), seed(d, f),
				       FILE_SIZE))
				return false;
	return true;
}

static void make_tree(const char *dir)
{
	unsigned int d, f;
	char name[16];

	for (d = 0; d < NR_DIRS; d++) {
		snprintf(name, sizeof(name), "dir%u", d);
		require(!mkdir(path_in(dir, name), 0755), "make %s", name);
		for (f = 0; f < NR_FILES; f++)
			require(!write_file(path_in(dir, name_of(d, f)),
					    seed(d, f), FILE_SIZE), "write");
	}
	require(!mkdir(path_in(dir, "empty"), 0755) &&
		!mkdir(path_in(dir, "empty2"), 0755), "empty directories");
}

static void fill_blocks(void)
{
	int err;

	err = write_file(path_in("/blocks", "all"), 1, MIB(4));
	require(err == -ENOSPC, "fill a file system: %d", err);
}

static void fill_inodes(void)
{
	char name[16];
	unsigned int i;
	int err = 0;

	for (i = 0; !err; i++) {
		snprintf(name, sizeof(name), "more%u", i);
		err = write_file(path_in("/inodes", name), 0, 1);
	}
	require(err == -ENOSPC, "use all inodes: %d", err);
}

static void make_links(void)
{
	require(!link("/links/dir0/file0", "/links/dir1/name") &&
		!link("/links/dir0/file0", "/links/dir2/name") &&
		!link("/links/dir1/file0", "/links/dir3/name"), "links");
}

static void preserve(int session, unsigned int i)
{
	int fd = tree_open(trees[i].dir);

	require(!preserve_session_add_fd(session, fd, i), "hand over %s",
		trees[i].dir);
	close(fd);
}

/* Many files of a page take little more of the pool than they have pages. */
static void pack_small_files(void)
{
	__s64 size = pool_counter("size");
	int fd = tree_mount("/packed", "preserve,size=64m,nr_inodes=10000");
	unsigned int i;
	char name[16];

	require(fd >= 0, "mount");
	close(fd);
	for (i = 0; i < NR_SMALL; i++) {
		snprintf(name, sizeof(name), "%u", i);
		require(!write_file(path_in("/packed", name), i, KIB(4)), "write");
	}
	size = pool_counter("size") - size;
	check(size <= (__s64)(NR_SMALL * KIB(4)), "the pool has grown by %lld bytes for %u pages",
	      (long long)size, NR_SMALL);
	require(!umount("/packed"), "unmount");
}

static void before(void)
{
	int session, fd;
	unsigned int i;

	pack_small_files();
	session = stage_session_create(SESSION);
	for (i = 0; i < NR_TREES; i++) {
		fd = tree_mount(trees[i].dir, trees[i].options);
		require(fd >= 0, "mount %s", trees[i].dir);
		close(fd);
		make_tree(trees[i].dir);
	}
	fill_blocks();
	fill_inodes();
	make_links();
	require(!write_file("/memcg/large", 9, LARGE_SIZE), "a large file");
	for (i = 0; i < NR_TREES; i++)
		preserve(session, i);
}

/* --- after --- */

static struct statvfs space_of(const char *dir)
{
	struct statvfs st;

	require(!statvfs(dir, &st), "space of %s", dir);
	return st;
}

/* Unmounts; all of its memory, @size or more, has to be free then. */
static void leave(unsigned int i, __s64 size, const char *what)
{
	__s64 used = pool_counter("used");

	require(!umount(trees[i].dir), "unmount %s", trees[i].dir);
	used -= pool_counter("used");
	check(used >= size, "%s of %lld bytes: unmounting frees %lld", what,
	      (long long)size, (long long)used);
}

static void retrieve(int session, unsigned int i)
{
	int fd = preserve_session_get_fd(session, i);

	require(fd >= 0 && !tree_attach(fd, trees[i].dir), "get back %s: %d",
		trees[i].dir, fd);
	close(fd);
}

static void truncate_untouched(void)
{
	struct statvfs was = space_of("/change"), now;

	check(!truncate("/change/dir0/file0", 0), "cut off all");
	now = space_of("/change");
	check(now.f_bfree == was.f_bfree + FILE_SIZE / 4096, "space is back");
	check(!truncate("/change/dir0/file1", KIB(10)), "cut off a part");
	now = space_of("/change");
	check(now.f_bfree == was.f_bfree + (2 * FILE_SIZE - KIB(12)) / 4096,
	      "and is back: %lu", (unsigned long)(now.f_bfree - was.f_bfree));
	check(!truncate("/change/dir0/file1", KIB(64)), "make it longer");
	check(!check_file("/change/dir0/file1", seed(0, 1), KIB(8)), "its start");
}

/* On a mount that takes no memory from the pool the file is a plain one then. */
static void cut_plain(void)
{
	const char *path = "/half/dir0/file0";

	check(!truncate(path, 0) && !write_file(path, seed(0, 0), FILE_SIZE) &&
	      !check_file(path, seed(0, 0), FILE_SIZE),
	      "a plain file is cut off and written again");
}

/* What is cut off does not come back. */
static void cut_is_zero(void)
{
	int fd = open("/change/dir0/file1", O_RDONLY | O_CLOEXEC);

	require(fd >= 0, "open what was cut");
	check(range_is_zero(fd, KIB(10), KIB(54)), "what was cut off is zero");
	close(fd);
}

static void remove_untouched(void)
{
	struct statvfs was = space_of("/change"), now;

	check(!unlink("/change/dir0/file2"), "remove a file");
	now = space_of("/change");
	check(now.f_bfree == was.f_bfree + FILE_SIZE / 4096 &&
	      now.f_ffree == was.f_ffree + 1, "its space is back");
	check(rmdir("/change/dir1") && errno == ENOTEMPTY,
	      "a directory with files is not empty");
	check(!rmdir("/change/empty"), "an empty one is");
	check(rename("/change/empty2", "/change/dir2") && errno == ENOTEMPTY,
	      "nothing is renamed over one with files");
	check(!rename("/change/dir3", "/change/empty2"),
	      "one with files over an empty one");
	check(!check_file("/change/empty2/file1", seed(3, 1), FILE_SIZE),
	      "has its files");
	check(!rename("/change/dir1/file0", "/change/dir2/file0") &&
	      !check_file("/change/dir2/file0", seed(1, 0), FILE_SIZE),
	      "a file over a file");
	now = space_of("/change");
	check(now.f_bfree == was.f_bfree + 2 * FILE_SIZE / 4096 &&
	      now.f_ffree == was.f_ffree + 4, "the space of all is back");
}

static unsigned int names_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_nlink;
}

/* The other names are in directories that are not made yet. */
static void change_links(void)
{
	struct statvfs was = space_of("/links"), now;

	check(names_of("/links/dir0/file0") == 3, "a link has three names");
	check(!unlink("/links/dir0/file0"), "one goes");
	check(names_of("/links/dir1/name") == 2 &&
	      !check_file("/links/dir2/name", seed(0, 0), FILE_SIZE),
	      "two are left");
	check(!unlink("/links/dir1/name") && !unlink("/links/dir2/name"),
	      "they go");
	now = space_of("/links");
	check(now.f_bfree == was.f_bfree + FILE_SIZE / 4096 &&
	      now.f_ffree == was.f_ffree + 3, "the space of all is back");
	check(!truncate("/links/dir3/name", 0) &&
	      names_of("/links/dir1/file0") == 2, "another link is cut off");
}

static void use_full_blocks(void)
{
	struct statvfs st = space_of("/blocks");
	__u64 size;
	struct stat all;
	int err;

	check(!st.f_bfree, "no block is free: %lu", (unsigned long)st.f_bfree);
	require(!stat("/blocks/all", &all), "a file");
	size = all.st_size;
	check(half_good("/blocks", 0, NR_DIRS) &&
	      !check_file("/blocks/all", 1, size), "all can be read");
	err = write_file("/blocks/new", 0, KIB(4));
	check(err == -ENOSPC, "nothing can be written: %d", err);
	st = space_of("/blocks");
	check(!st.f_bfree, "no block has become free");
	check(!unlink("/blocks/dir0/file0") &&
	      !write_file("/blocks/new", 5, FILE_SIZE), "until one goes");
	err = write_file("/blocks/dir1/file0", 5, FILE_SIZE + KIB(4));
	check(err == -ENOSPC, "then it is full again: %d", err);
}

static void use_full_inodes(void)
{
	struct statvfs st = space_of("/inodes");
	int err;

	check(!st.f_ffree, "no inode is free: %lu", (unsigned long)st.f_ffree);
	check(half_good("/inodes", 0, NR_DIRS), "all can be read");
	err = write_file("/inodes/new", 0, 1);
	check(err == -ENOSPC, "nothing can be made: %d", err);
	check(link("/inodes/dir0/file0", "/inodes/new") && errno == ENOSPC,
	      "not even a link");
	st = space_of("/inodes");
	check(!st.f_ffree, "no inode has become free");
	check(!unlink("/inodes/dir0/file0") &&
	      !link("/inodes/dir0/file1", "/inodes/new"), "until one goes");
	st = space_of("/inodes");
	check(!st.f_ffree, "then none is free again");
}

/* In a child: who is killed is not the test. */
static void touch_in_memcg(void)
{
	int status, pid;

	text_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	require(!mkdir(TIGHT, 0755) &&
		!text_write(TIGHT "/memory.max", "2M"), "cgroup");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		load_join(TIGHT);
		_exit(!!check_file("/memcg/large", 9, LARGE_SIZE));
	}
	require(waitpid(pid, &status, 0) == pid, "wait");
	check(WIFSIGNALED(status) || WEXITSTATUS(status),
	      "more than a memcg may have is not to be had: %#x", status);
	check(!check_file("/memcg/large", 9, LARGE_SIZE), "for who may have it");
	check(half_good("/memcg", 0, NR_DIRS), "the rest is there");
}

static void unretrieved(int session)
{
	__s64 used = pool_counter("used"), aside = pool_counter("incoming");

	stage_session_finish(session);
	used -= pool_counter("used");
	check(used >= (__s64)TREE_SIZE, "what nobody retrieves is freed: %lld",
	      (long long)used);
	aside -= pool_counter("incoming");
	check(aside >= (__s64)TREE_SIZE, "and not set aside: %lld",
	      (long long)aside);
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	unsigned int i;

	/* What is touched is touched by the test only. */
	require(!text_write("/sys/kernel/mm/preserve/restore_pace", "0"),
		"only on demand");
	for (i = UNRETRIEVED + 1; i < NR_TREES; i++)
		retrieve(session, i);
	cut_plain();
	check(half_good("/half", 0, NR_DIRS / 2), "half of a tree is looked at");
	truncate_untouched();
	cut_is_zero();
	remove_untouched();
	change_links();
	use_full_blocks();
	use_full_inodes();
	touch_in_memcg();

	unretrieved(session);
	session = stage_session_create(SESSION);
	leave(NOTHING, TREE_SIZE, "a tree that nobody has looked at");
	leave(CHANGE, TREE_SIZE / 2, "a tree that has changed");
	leave(LINKS, TREE_SIZE - 2 * FILE_SIZE, "a tree with links");
	leave(BLOCKS, MIB(2) - FILE_SIZE, "a full one");
	leave(INODES, TREE_SIZE - FILE_SIZE, "one without inodes");
	preserve(session, HALF);
	preserve(session, MEMCG);
}

static void afterwards(void)
{
	int session = stage_session_retrieve(SESSION);

	require(!text_write("/sys/kernel/mm/preserve/restore_pace", "0"),
		"only on demand");
	retrieve(session, HALF);
	retrieve(session, MEMCG);
	stage_session_finish(session);
	check(half_good("/half", NR_DIRS / 2, NR_DIRS), "the other half is there");
	check(!check_file("/memcg/large", 9, LARGE_SIZE), "and what was large");
	leave(HALF, TREE_SIZE, "a tree half looked at");
	leave(MEMCG, TREE_SIZE + LARGE_SIZE, "another");
	check(!pool_counter("incoming"), "nothing is set aside");
	check(pool_counter("used") <= (__s64)KIB(64), "nothing is leaked: %lld",
	      (long long)pool_counter("used"));
}

static const stage_fn stages[] = { before, after, afterwards };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
