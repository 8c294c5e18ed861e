// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ordinary users of a tmpfs cannot keep it from being preserved, whatever they do there
 * meanwhile; and a look into a large directory behind the kexec costs the memory cgroup
 * of the task that looks nothing.
 *
 * Arguments: how often it is preserved, the entries of the large directory.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"users"
#define USER		1000
#define PAGE		4096
#define NR_XATTRS	5000
#define NR_POLICIES	60
#define NR_NAMES	300
#define TIGHT		"/sys/fs/cgroup/tight"

enum { TOKEN_TREE = 1, TOKEN_TEXT };

static unsigned int rounds, nr_large;

/* --- what users do --- */

/* As many as the limit of the inode allows, or more than there was room for once. */
static void many_xattrs(void)
{
	int fd = open("/users/xattrs", O_CREAT | O_RDWR | O_CLOEXEC, 0644), i;
	char name[32];

	require(fd >= 0, "a file of the user");
	for (i = 0; i < NR_XATTRS; i++) {
		snprintf(name, sizeof(name), "user.%d", i);
		if (fsetxattr(fd, name, "", 0, 0))
			break;
	}
	require(i > 100, "many attributes: %d", i);
	close(fd);
}

static void many_policies(void)
{
	int fd = open("/users/policies", O_CREAT | O_RDWR | O_CLOEXEC, 0644), i;
	unsigned long mask = 1;
	char *map;

	require(fd >= 0 && !ftruncate(fd, 2 * NR_POLICIES * PAGE), "a file of the user");
	map = mmap(NULL, 2 * NR_POLICIES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	require(map != MAP_FAILED, "map it");
	for (i = 0; i < NR_POLICIES; i++)
		require(!syscall(SYS_mbind, map + 2 * i * PAGE, PAGE, MPOL_BIND, &mask,
				 64, 0), "a policy");
	munmap(map, 2 * NR_POLICIES * PAGE);
	close(fd);
}

static void name_of(char *path, const char *dir, int i)
{
	snprintf(path, 64, "/users/%s/%d", dir, i);
}

static void many_names(void)
{
	char path[64];
	int i;

	require(!mkdir("/users/a", 0755) && !mkdir("/users/b", 0755) &&
		!mkdir("/users/b/deep", 0755), "directories");
	for (i = 0; i < NR_NAMES; i++) {
		name_of(path, "a", i);
		close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644));
		name_of(path, "b/deep", i);
		close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	}
}

/* Names come and go as fast as can be, in directories that are noted late and early. */
static void __noreturn churn(void)
{
	char from[64], to[64], over[64];
	int i;

	for (i = 0;; i = (i + 1) % NR_NAMES) {
		name_of(from, "a", i);
		snprintf(to, sizeof(to), "/users/b/deep/link-%d-%d", getpid(), i);
		if (!link(from, to)) {
			unlink(to);
		} else {
			/* Frozen: wait for the thaw. */
			usleep(100);
		}
		snprintf(to, sizeof(to), "/users/a/moved-%d", getpid());
		name_of(from, "b/deep", i);
		if (!rename(from, to))
			rename(to, from);
		mkdir("/users/b/new", 0755);
		rmdir("/users/b/new");
		/* In place of a name, and of an empty directory. */
		snprintf(to, sizeof(to), "/users/a/over-%d", getpid());
		if (!link(from, to)) {
			snprintf(over, sizeof(over), "/users/a/more-%d", getpid());
			if (!mknod(over, S_IFREG | 0644, 0) && rename(over, to))
				unlink(over);
			unlink(to);
		}
		snprintf(to, sizeof(to), "/users/a/dir-%d", getpid());
		snprintf(over, sizeof(over), "/users/b/dir-%d", getpid());
		mkdir(to, 0755);
		mkdir(over, 0755);
		if (rename(over, to))
			rmdir(over);
		rmdir(to);
		if (!symlink("x", to))
			unlink(to);
	}
}

static pid_t as_user(void (*fn)(void))
{
	pid_t pid = fork();

	require(pid >= 0, "fork");
	if (pid)
		return pid;
	if (setgroups(0, NULL) || setresgid(USER, USER, USER) ||
	    setresuid(USER, USER, USER))
		_exit(1);
	fn();
	_exit(0);
}

static void do_as_user(void (*fn)(void))
{
	int status;
	pid_t pid = as_user(fn);

	require(waitpid(pid, &status, 0) == pid && !status, "what the user does");
}

/* --- stages --- */

static void make(void)
{
	char path[64];
	unsigned int i;
	int fd;

	fd = tree_mount("/users", "size=64m,nr_inodes=40000,mode=1777");
	require(fd >= 0, "mount");
	close(fd);
	do_as_user(many_xattrs);
	do_as_user(many_policies);
	do_as_user(many_names);
	require(!mkdir("/users/large", 0755), "a directory");
	for (i = 0; i < nr_large; i++) {
		name_of(path, "large", i);
		require(!mknod(path, S_IFREG | 0644, 0), "%s", path);
	}
}

static unsigned int preserve_often(void)
{
	unsigned int good = 0, i;
	int session, fd, err;

	for (i = 0; i < rounds; i++) {
		session = stage_session_create("often");
		fd = tree_open("/users");
		err = preserve_session_add_fd(session, fd, 1);
		if (err)
			ksft_print_msg("round %u: %d\n", i, err);
		good += !err;
		close(fd);
		close(session);
		usleep(1000);
	}
	return good;
}

/* Directories whose link count is not that of the directories in it. */
static unsigned int wrong_counts(const char *dir)
{
	unsigned int wrong = 0, dirs = 0;
	struct dirent *entry;
	DIR *d = opendir(dir);
	struct stat st;

	require(d, "open %s", dir);
	while ((entry = readdir(d))) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (entry->d_name[0] == '.' || lstat(path, &st) || !S_ISDIR(st.st_mode))
			continue;
		dirs++;
		wrong += wrong_counts(path);
	}
	closedir(d);
	require(!lstat(dir, &st), "stat %s", dir);
	if (st.st_nlink != 2 + dirs)
		ksft_print_msg("%s: %lu links, %u directories\n", dir,
			       (unsigned long)st.st_nlink, dirs);
	return wrong + (st.st_nlink != 2 + dirs);
}

static void before(void)
{
	struct tree_text text = {};
	unsigned int good, i;
	int session, fd;
	pid_t pids[3];

	make();
	for (i = 0; i < 3; i++)
		pids[i] = as_user(churn);
	usleep(10000);
	good = preserve_often();
	check(good == rounds, "preserve is good in %u of %u rounds", good, rounds);
	for (i = 0; i < 3; i++)
		require(!waitpid(pids[i], NULL, WNOHANG), "the users go on");
	session = stage_session_create(SESSION);
	check(!preserve_session_add_fd(session, tree_open("/users"), TOKEN_TREE),
	      "and once more");
	tree_list(&text, "/users", false);
	fd = tree_text_keep(&text, "text");
	require(!preserve_session_add_fd(session, fd, TOKEN_TEXT), "keep a list");
	for (i = 0; i < 3; i++)
		kill(pids[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	check(!wrong_counts("/users"), "link counts are right");
}

/* Reads a directory in a memory cgroup that has no room for its entries. */
static int look_tight(void)
{
	unsigned int nr = 0;
	int status;
	pid_t pid;

	text_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	require((!mkdir(TIGHT, 0755) || errno == EEXIST) &&
		!text_write(TIGHT "/memory.max", "2M"), "cgroup");
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		DIR *dir;

		load_join(TIGHT);
		dir = opendir("/users/large");
		while (dir && readdir(dir))
			nr++;
		_exit(nr != nr_large + 2);
	}
	require(waitpid(pid, &status, 0) == pid, "wait");
	return status;
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	struct tree_text was = {}, is = {};

	fd = preserve_session_get_fd(session, TOKEN_TREE);
	require(fd >= 0 && !tree_attach(fd, "/users"), "attach: %d", fd);
	close(fd);
	check(!look_tight(), "a large directory is read in a small memory cgroup");
	tree_text_read(&was, preserve_session_get_fd(session, TOKEN_TEXT));
	tree_list(&is, "/users", false);
	check(tree_same(&was, &is), "all is as it was");
	stage_session_finish(session);
	check(!umount("/users"), "unmounted");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 10;
	nr_large = argc > 2 ? strtoul(argv[2], NULL, 0) : 12000;
	return stage_run(stages, STAGE_COUNT(stages));
}
