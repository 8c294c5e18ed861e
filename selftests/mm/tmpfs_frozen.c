// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be done to a tree from preserve to unpreserve, and what cannot; that it goes
 * on afterwards as if nothing had been; and what is no tree to preserve.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define PAGE	4096

static sigjmp_buf fault;

static void on_fault(int signal)
{
	siglongjmp(fault, signal);
}

/* Does touching that page end in SIGBUS? */
static bool faults(char *page)
{
	bool bad;

	signal(SIGBUS, on_fault);
	bad = sigsetjmp(fault, 1);
	if (!bad)
		__atomic_store_n(page, 1, __ATOMIC_RELAXED);
	signal(SIGBUS, SIG_DFL);
	return bad;
}

static void make_dir(const char *path)
{
	require(!mkdir(path, 0755) || errno == EEXIST, "directory %s", path);
}

/* What the tree has to begin with. */
static void make(const char *options)
{
	char page[PAGE];
	int fd = tree_mount("/t", options);

	require(fd >= 0, "mount");
	close(fd);
	make_dir("/t/dir");
	make_dir("/t/empty");
	fd = open("/t/file", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	memset(page, 'x', sizeof(page));
	require(fd >= 0 && pwrite(fd, page, PAGE, 0) == PAGE &&
		!ftruncate(fd, 16 * PAGE), "a file");
	close(fd);
	require(!symlink("target", "/t/link"), "a link");
	require(!setxattr("/t/file", "user.a", "1", 1, 0), "an attribute");
}

#define refused(call, what) \
	check((call) == -1 && errno == EPERM, "%s: %s is EPERM", options, what)

static void check_shape(const char *options)
{
	int fd;

	fd = open("/t/new", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	refused(fd, "making a file");
	refused(mkdir("/t/dir/new", 0755), "making a directory");
	refused(mknod("/t/dir/new", S_IFIFO | 0600, 0), "making a pipe");
	refused(symlink("a", "/t/new"), "making a symbolic link");
	refused(link("/t/file", "/t/new"), "making a link");
	refused(unlink("/t/file"), "removing a file");
	refused(rmdir("/t/empty"), "removing a directory");
	refused(rename("/t/file", "/t/other"), "renaming");
	refused(rename("/t/file", "/t/dir/file"), "moving");
	fd = open("/t", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	refused(fd, "making a file without a name");
}

static void check_attributes(const char *options)
{
	const struct timespec times[2] = {};
	int flags = FS_NODUMP_FL, fd;

	refused(chmod("/t/file", 0600), "chmod of a file");
	refused(chmod("/t/dir", 0700), "chmod of a directory");
	refused(chown("/t/file", 1, 1), "chown");
	refused(lchown("/t/link", 1, 1), "chown of a link");
	refused(utimensat(AT_FDCWD, "/t/file", times, 0), "setting times");
	refused(setxattr("/t/file", "user.b", "1", 1, 0), "setting an attribute");
	refused(removexattr("/t/file", "user.a"), "removing an attribute");
	fd = open("/t/file", O_RDONLY | O_CLOEXEC);
	refused(ioctl(fd, FS_IOC_SETFLAGS, &flags), "setting flags");
	close(fd);
}

/* Content can be written where there is some, by who has it open and who opens it. */
static void check_content(const char *options, int old, char *map)
{
	struct stat before, after;
	char byte = 'y', page[PAGE] = {};
	int fd = open("/t/file", O_RDWR | O_CLOEXEC);

	check(fd >= 0, "%s: a file can be opened for writing", options);
	stat("/t/file", &before);
	check(pwrite(old, &byte, 1, 1) == 1 && pwrite(fd, &byte, 1, 2) == 1,
	      "%s: its content can be written", options);
	map[3] = byte;
	check(pread(fd, page, 5, 0) == 5 && !memcmp(page, "xyyyx", 5),
	      "%s: and is there", options);
	stat("/t/file", &after);
	check(!memcmp(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim)),
	      "%s: its times stand still", options);
	refused(ftruncate(fd, PAGE), "making it shorter");
	refused(ftruncate(fd, 17 * PAGE), "making it longer");
	refused(fallocate(fd, 0, 4 * PAGE, PAGE), "filling a hole");
	refused(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0,
			  PAGE), "punching one");
	refused(pwrite(fd, &byte, 1, 8 * PAGE), "writing into a hole");
	refused(pwrite(fd, &byte, 1, 20 * PAGE), "writing behind the end");
	check(pread(fd, &byte, 1, 8 * PAGE) == 1 && !byte,
	      "%s: a hole can be read", options);
	check(faults(map + 8 * PAGE), "%s: a fault into a hole is SIGBUS",
	      options);
	close(fd);
}

/* Between preserve and unpreserve, and afterwards. */
static void freeze_and_thaw(const char *options)
{
	struct tree_text before = {}, after = {};
	int session, fd, dir;
	char *map;

	make(options);
	fd = open("/t/file", O_RDWR | O_CLOEXEC);
	map = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	require(fd >= 0 && map != MAP_FAILED, "map the file");
	tree_list(&before, "/t", false);
	dir = tree_open("/t");
	session = stage_session_create("frozen");
	check(!preserve_session_add_fd(session, dir, 1), "%s: preserved",
	      options);
	check(preserve_session_add_fd(session, dir, 2) == -EBUSY,
	      "%s: twice is EBUSY", options);
	check_shape(options);
	check_attributes(options);
	check_content(options, fd, map);
	check(umount("/t") == -1 && errno == EBUSY, "%s: it stays mounted",
	      options);
	close(session);

	tree_list(&after, "/t", false);
	check(tree_same(&before, &after), "%s: it is as before", options);
	check(!unlink("/t/link") && !rmdir("/t/empty") &&
	      !mkdir("/t/new", 0755) && !chmod("/t/file", 0600) &&
	      !setxattr("/t/file", "user.b", "1", 1, 0) &&
	      !ftruncate(fd, PAGE) && !ftruncate(fd, 16 * PAGE) &&
	      pwrite(fd, "z", 1, 8 * PAGE) == 1 && !faults(map + 9 * PAGE),
	      "%s: everything goes on", options);
	munmap(map, 16 * PAGE);
	close(fd);
	close(dir);
	check(!umount("/t"), "%s: unmounted", options);
	tree_text_free(&before);
	tree_text_free(&after);
}

static int try_preserve(const char *path)
{
	int session = stage_session_create("try"), dir = tree_open(path), err;

	require(dir >= 0, "open %s", path);
	err = preserve_session_add_fd(session, dir, 1);
	close(dir);
	close(session);
	return err;
}

static void no_trees(void)
{
	int fd, session;

	check(try_preserve("/proc") == -ENOENT, "another file system is ENOENT");
	make("size=16m");
	check(try_preserve("/t/dir") == -EINVAL, "a subdirectory is EINVAL");
	make_dir("/bind");
	require(!mount("/t/dir", "/bind", NULL, MS_BIND, NULL), "bind");
	check(try_preserve("/bind") == -EINVAL, "a part that is bound is EINVAL");
	umount("/bind");
	require(!mount("/t", "/bind", NULL, MS_BIND, NULL), "bind all of it");
	check(!try_preserve("/bind"), "all of it, bound elsewhere, is good");
	umount("/bind");

	/* A file that is preserved by itself. */
	fd = open("/t/file", O_RDWR | O_CLOEXEC);
	session = stage_session_create("file");
	check(!preserve_session_add_fd(session, fd, 1), "a file with a name");
	check(try_preserve("/t") == -EBUSY, "and its tree at once is EBUSY");
	close(session);
	check(!try_preserve("/t"), "its tree afterwards is good");

	/* Somebody looks on. */
	check(inotify_add_watch(inotify_init1(IN_CLOEXEC), "/t", IN_ALL_EVENTS) >= 0 &&
	      !try_preserve("/t"), "a tree that is watched is good");
	check(!lockf(fd, F_LOCK, 0) && !try_preserve("/t"),
	      "one with a locked file is good");
	close(fd);

	/* Overlay on top. */
	make_dir("/t/upper");
	make_dir("/t/work");
	make_dir("/merged");
	require(!mount("o", "/merged", "overlay", 0,
		       "lowerdir=/t/dir,upperdir=/t/upper,workdir=/t/work"),
		"overlay");
	check(!try_preserve("/t"), "one with an overlay on top is good");
	check(!mkdir("/merged/new", 0755), "and can be written through it");
	umount("/merged");
	check(!umount("/t"), "unmounted");
}

/* In a user namespace of its own a task can mount, but not preserve. */
static void other_namespace(void)
{
	int status, session = stage_session_create("namespace");
	pid_t pid = fork();

	if (!pid) {
		int dir;

		if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
			_exit(2);
		mkdir("/tmp/t", 0755);
		if (mount("t", "/tmp/t", "tmpfs", 0, ""))
			_exit(3);
		dir = tree_open("/tmp/t");
		_exit(preserve_session_add_fd(session, dir, 1) == -EPERM ? 0 : 4);
	}
	require(waitpid(pid, &status, 0) == pid, "wait");
	check(WIFEXITED(status) && !WEXITSTATUS(status),
	      "a mount of another user namespace is EPERM (%x)", status);
	close(session);
}

static void test(void)
{
	freeze_and_thaw("size=16m");
	freeze_and_thaw("preserve,size=16m");
	no_trees();
	other_namespace();
}

static const stage_fn stages[] = { test };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
