// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory tags, arm64's MTE, do not cross a kexec. So files of the pool cannot be mapped with
 * them, and a plain memfd that has some is refused. With "tree": a tree is not, or one reader
 * of a file could forbid it. Content crosses in any case.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"tags"
#define SIZE		MIB(1)
/* HWCAP2_MTE and PROT_MTE, which the headers of other machines do not have. */
#define MTE_HWCAP2	0x40000UL
#define MTE_PROT	0x20
#define RW		(PROT_READ | PROT_WRITE)

enum { TOKEN_PLAIN, TOKEN_POOL, TOKEN_ENTERED, NR_FILES, TOKEN_TREE = NR_FILES };

static int new_file(int fd, __u64 seed)
{
	require(fd >= 0 && !pattern_write(fd, seed, 0, SIZE), "a file");
	return fd;
}

/* 0, or the errno of mapping a file so that it can have tags. */
static int map_with(int fd, int prot, int flags)
{
	char *at = mmap(NULL, SIZE, prot | MTE_PROT, flags, fd, 0);

	if (at == MAP_FAILED)
		return errno;
	/* A page that is mapped like this has tags from then on. */
	place_touch(at);
	munmap(at, SIZE);
	return 0;
}

static int map_tagged(int fd)
{
	return map_with(fd, RW, MAP_SHARED);
}

static void pool_files_have_none(int session)
{
	int fd = new_file(preserve_memfd_create("pool", MFD_CLOEXEC), TOKEN_POOL);
	char *at = mmap(NULL, SIZE, RW, MAP_SHARED, fd, 0);

	require(at != MAP_FAILED, "map it");
	check(map_tagged(fd) == EINVAL, "a file of the pool is not mapped with tags");
	check(mprotect(at, SIZE, RW | MTE_PROT) && errno == EINVAL,
	      "nor does it get some later");
	munmap(at, SIZE);
	require(!preserve_session_add_fd(session, fd, TOKEN_POOL), "preserve it");

	require(tree_mount("/tags", "preserve") >= 0, "a tmpfs");
	fd = new_file(open("/tags/file", O_CREAT | O_RDWR | O_CLOEXEC, 0600), 9);
	check(map_tagged(fd) == EINVAL, "nor is a file of a preserved tmpfs");
}

/* By a task that may only read the file. */
static void tagged_tree_is_preserved(int session)
{
	int dir = tree_mount("/tagged", NULL), fd, err;

	require(dir >= 0, "a tmpfs");
	close(new_file(open("/tagged/file", O_CREAT | O_RDWR | O_CLOEXEC, 0644), TOKEN_TREE));
	fd = open("/tagged/file", O_RDONLY | O_CLOEXEC);
	require(fd >= 0 && !map_with(fd, PROT_READ, MAP_PRIVATE), "a file there has tags");
	err = preserve_session_add_fd(session, dir, TOKEN_TREE);
	check(!err, "the tree is preserved: %d", err);
	check(!pattern_check(fd, TOKEN_TREE, 0, SIZE), "the file is as it was");
	close(fd);
	close(dir);
}

static void tree_has_come(int session)
{
	int mount = preserve_session_get_fd(session, TOKEN_TREE), fd;

	require(mount >= 0 && !tree_attach(mount, "/tagged"), "the tree");
	fd = open("/tagged/file", O_RDONLY | O_CLOEXEC);
	check(fd >= 0 && !pattern_check(fd, TOKEN_TREE, 0, SIZE), "its file's content");
	close(fd);
}

/* In the pool for good, and given tags by a mapping of before. */
static void entered_is_preserved(int session)
{
	int fd = new_file(memfd_create("entered", MFD_CLOEXEC), TOKEN_ENTERED), err;
	char *at = mmap(NULL, SIZE, RW | MTE_PROT, MAP_SHARED, fd, 0);

	require(at != MAP_FAILED && !preserve_memfd_enter(fd), "it comes into the pool");
	place_touch(at);
	err = preserve_session_add_fd(session, fd, TOKEN_ENTERED);
	check(!err, "it is preserved: %d", err);
	munmap(at, SIZE);
}

static void tagged_is_refused(int session)
{
	int fd = new_file(memfd_create("tagged", MFD_CLOEXEC), 7), err;

	require(!map_tagged(fd), "a plain memfd has tags");
	err = preserve_session_add_fd(session, fd, 7);
	check(err == -EOPNOTSUPP, "it is not preserved: %d", err);
	err = preserve_memfd_enter(fd);
	check(err == -EOPNOTSUPP, "it does not come into the pool: %d", err);
	check(!pattern_check(fd, 7, 0, SIZE) && !map_tagged(fd), "it is as it was");
	close(fd);
}

/* What is mapped already can be given tags: the kernel says that these are lost. */
static void tagged_late(int session)
{
	int fd = new_file(memfd_create("late", MFD_CLOEXEC), TOKEN_PLAIN);
	char *at = mmap(NULL, SIZE, RW, MAP_SHARED, fd, 0);

	require(at != MAP_FAILED, "map it");
	require(!preserve_session_add_fd(session, fd, TOKEN_PLAIN), "preserve it");
	require(!mprotect(at, SIZE, RW | MTE_PROT), "give it tags");
	place_touch(at);
	check(!pattern_check(fd, TOKEN_PLAIN, 0, SIZE), "its content is there");
}

static void before(void)
{
	int session = stage_session_create(SESSION);

	require(getauxval(AT_HWCAP2) & MTE_HWCAP2, "a machine with memory tags");
	pool_files_have_none(session);
	tagged_is_refused(session);
	entered_is_preserved(session);
	tagged_late(session);
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);

	for (__u64 token = 0; token < NR_FILES; token++) {
		int fd = preserve_session_get_fd(session, token);

		check(fd >= 0 && !pattern_check(fd, token, 0, SIZE), "content of file %llu",
		      token);
		check(map_tagged(fd) == EINVAL, "it has no tags");
		close(fd);
	}
	stage_session_finish(session);
}

static void before_tree(void)
{
	tagged_tree_is_preserved(stage_session_create(SESSION));
}

static void after_tree(void)
{
	int session = stage_session_retrieve(SESSION);

	tree_has_come(session);
	stage_session_finish(session);
}

int main(int argc, char **argv)
{
	static const stage_fn file[] = { before, after };
	static const stage_fn tree[] = { before_tree, after_tree };

	if (argc > 1 && !strcmp(argv[1], "tree"))
		return stage_run(tree, STAGE_COUNT(tree));
	return stage_run(file, STAGE_COUNT(file));
}
