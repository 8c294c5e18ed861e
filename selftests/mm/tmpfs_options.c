// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a tmpfs can have besides files crosses with it: quotas with their limits and
 * usage, names without case, a memory policy, huge folios. And single files of a tmpfs:
 * one with a name, and one without that belongs to a tree which is preserved as well.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/quota.h>
#include <stdio.h>
#include <string.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"options"
#define USER		1234
#define BLOCK		1024
#define LIMIT		(64 * 4096 / BLOCK)	/* in blocks of a quota */
#define PAGE		4096

enum { TOKEN_QUOTA = 1, TOKEN_CASE, TOKEN_POLICY, TOKEN_SYNC, TOKEN_NAMED, TOKEN_UNNAMED };

static const struct {
	const char *dir;
	const char *options;
} trees[] = {
	[TOKEN_QUOTA] = { "/quota", "size=16m,usrquota,grpquota,grpquota_inode_hardlimit=1000" },
	[TOKEN_CASE] = { "/case", "size=16m,casefold,strict_encoding" },
	[TOKEN_POLICY] = { "/policy", "size=16m,mpol=prefer:0,huge=always,noswap" },
};

static int quota(const char *dir, int cmd, struct if_dqblk *dq)
{
	int fd = tree_open(dir), err;

	err = syscall(SYS_quotactl_fd, fd, QCMD(cmd, USRQUOTA), USER, dq) ?
	      -errno : 0;
	close(fd);
	return err;
}

/* Writes pages as that user; 0 or an errno. */
static int write_as_user(const char *path, unsigned int nr)
{
	char page[PAGE] = "data";
	int status;
	pid_t pid = fork();

	if (!pid) {
		int fd;

		if (setgid(USER) || setuid(USER))
			_exit(100);
		fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
		if (fd < 0)
			_exit(errno);
		while (nr--)
			if (write(fd, page, PAGE) != PAGE)
				_exit(errno);
		_exit(0);
	}
	require(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "wait");
	return WEXITSTATUS(status);
}

static void make_quota(void)
{
	struct if_dqblk dq = {
		.dqb_bhardlimit = LIMIT, .dqb_ihardlimit = 10,
		.dqb_valid = QIF_LIMITS,
	};
	int err = quota("/quota", Q_SETQUOTA, &dq);

	require(!err, "a limit: %d", err);
	check(!write_as_user("/quota/file", 60), "within the limit");
	check(write_as_user("/quota/file", 8) == EDQUOT, "beyond is EDQUOT");
}

static void look_quota(void)
{
	struct if_dqblk dq = {};

	check(!quota("/quota", Q_GETQUOTA, &dq) &&
	      dq.dqb_bhardlimit == LIMIT && dq.dqb_ihardlimit == 10,
	      "the limits are the same");
	check(dq.dqb_curspace == 64 * PAGE && dq.dqb_curinodes == 1,
	      "and the usage: %llu bytes, %llu inodes",
	      (unsigned long long)dq.dqb_curspace,
	      (unsigned long long)dq.dqb_curinodes);
	check(write_as_user("/quota/file", 1) == EDQUOT, "beyond is EDQUOT");
	check(!truncate("/quota/file", 0) && !write_as_user("/quota/file", 60),
	      "what is freed can be used");
}

static void make_case(void)
{
	int flags = FS_CASEFOLD_FL, fd;

	require(!mkdir("/case/dir", 0755), "directory");
	fd = tree_open("/case/dir");
	require(!ioctl(fd, FS_IOC_SETFLAGS, &flags), "names without case");
	close(fd);
	fd = open("/case/dir/Stra\303\237e", O_CREAT | O_CLOEXEC, 0600);
	require(fd >= 0, "a file");
	close(fd);
	require(!mkdir("/case/plain", 0755) && !mkdir("/case/plain/Name", 0755), "directories");
}

static void look_case(void)
{
	int flags = FS_CASEFOLD_FL, fd = tree_open("/case/plain"), err;
	struct stat st;

	/* Nobody has looked into it. */
	err = ioctl(fd, FS_IOC_SETFLAGS, &flags) ? errno : 0;
	close(fd);
	check(err == ENOTEMPTY && !stat("/case/plain/Name", &st),
	      "a directory that has names keeps how it compares them: %d", err);
	check(!stat("/case/dir/STRASSE", &st), "a name is found without case");
	check(mkdir("/case/dir/strasse", 0755) == -1 && errno == EEXIST,
	      "and is taken");
	check(mkdir("/case/dir/\377", 0755) == -1 && errno == EINVAL,
	      "a name that is not UTF-8 is refused");
}

static void make_policy(void)
{
	int fd = open("/policy/file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	require(fd >= 0 && write(fd, "data", 4) == 4, "a file");
	close(fd);
}

static void look_policy(void)
{
	char line[512], found[512] = "", data[4];
	FILE *mounts = fopen("/proc/self/mounts", "re");
	int fd = open("/policy/file", O_RDONLY | O_CLOEXEC);

	while (mounts && fgets(line, sizeof(line), mounts))
		if (strstr(line, "/policy"))
			snprintf(found, sizeof(found), "%s", line);
	fclose(mounts);
	check(strstr(found, "huge=always") && strstr(found, "mpol=prefer:0") &&
	      strstr(found, "noswap"), "options: %s", found);
	check(fd >= 0 && read(fd, data, 4) == 4 && !memcmp(data, "data", 4),
	      "its file is there");
	close(fd);
}

#define SYNC_FLAGS	(MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME)

static void make_sync(int session)
{
	require(!mkdir("/sync", 0755) &&
		!mount("tree", "/sync", "tmpfs", SYNC_FLAGS, "size=1m"), "mount /sync");
	check(!preserve_session_add_fd(session, tree_open("/sync"), TOKEN_SYNC),
	      "/sync is preserved");
}

static void look_sync(int session)
{
	int fd = preserve_session_get_fd(session, TOKEN_SYNC);
	char line[512], found[512] = "";
	FILE *mounts;

	require(fd >= 0 && !tree_attach(fd, "/sync"), "/sync: %d", fd);
	close(fd);
	mounts = fopen("/proc/self/mounts", "re");
	while (mounts && fgets(line, sizeof(line), mounts))
		if (strstr(line, " /sync "))
			snprintf(found, sizeof(found), "%s", line);
	fclose(mounts);
	check(strstr(found, ",sync") && strstr(found, ",dirsync") &&
	      strstr(found, ",lazytime"), "flags: %s", found);
}

/* A user namespace that maps 0 to @USER. Returns its descriptor. */
static int map_make(void)
{
	char path[64], done;
	int ready[2], go[2], fd;
	pid_t pid;

	require(!pipe(ready) && !pipe(go), "pipes");
	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		if (unshare(CLONE_NEWUSER) || write(ready[1], "x", 1) != 1)
			_exit(1);
		_exit(read(go[0], &done, 1) != 1);
	}
	require(read(ready[0], &done, 1) == 1, "a user namespace");
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	require(!text_write(path, "0 1234 1"), "%s", path);
	snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	require(!text_write(path, "0 1234 1"), "%s", path);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	require(fd >= 0 && write(go[1], "x", 1) == 1, "%s", path);
	waitpid(pid, NULL, 0);
	return fd;
}

/* Owners are others there than on the file system itself. */
static void refuse_mapped(int session)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = map_make() };
	int fd = syscall(SYS_open_tree, AT_FDCWD, "/policy", OPEN_TREE_CLONE | O_CLOEXEC);
	int root, err;

	require(fd >= 0 && !syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr,
				    sizeof(attr)), "map the mount");
	root = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(root >= 0, "its root");
	err = preserve_session_add_fd(session, root, TOKEN_POLICY);
	check(err == -EOPNOTSUPP, "an id-mapped mount is refused: %d", err);
	close(root);
	close(fd);
	close(attr.userns_fd);
}

/* A file of a tree by itself: what it holds crosses. */
static void preserve_named(int session)
{
	int fd = open("/tmp/named", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	require(fd >= 0 && write(fd, "named", 5) == 5, "a file");
	check(!preserve_session_add_fd(session, fd, TOKEN_NAMED),
	      "a file with a name is preserved by itself");
}

/* A file without a name, while its tree is preserved. */
static void preserve_unnamed(int session)
{
	int fd = open("/policy", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	require(fd >= 0 && write(fd, "unnamed", 7) == 7, "a file");
	check(!preserve_session_add_fd(session, tree_open("/policy"),
				       TOKEN_POLICY), "a tree is preserved");
	check(!preserve_session_add_fd(session, fd, TOKEN_UNNAMED),
	      "and an open file that was in it");
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd, i;

	for (i = TOKEN_QUOTA; i <= TOKEN_POLICY; i++) {
		fd = tree_mount(trees[i].dir, trees[i].options);
		require(fd >= 0, "mount %s: %d", trees[i].options, fd);
		close(fd);
	}
	require(!chmod("/quota", 0777), "mode");
	make_quota();
	make_case();
	make_policy();
	for (i = TOKEN_QUOTA; i <= TOKEN_CASE; i++)
		check(!preserve_session_add_fd(session, tree_open(trees[i].dir), i),
		      "%s is preserved", trees[i].dir);
	make_sync(session);
	preserve_named(session);
	refuse_mapped(session);
	preserve_unnamed(session);
}

static void look_file(int session, int token, const char *content)
{
	int fd = preserve_session_get_fd(session, token);
	char data[16] = "";
	struct stat st;

	check(fd >= 0 && pread(fd, data, sizeof(data), 0) ==
	      (ssize_t)strlen(content) && !strcmp(data, content),
	      "the file holds: %s", data);
	check(!fstat(fd, &st) && !st.st_nlink, "it has no name");
	close(fd);
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd, i;

	for (i = TOKEN_QUOTA; i <= TOKEN_POLICY; i++) {
		fd = preserve_session_get_fd(session, i);
		check(fd >= 0 && !tree_attach(fd, trees[i].dir),
		      "%s is attached (%d)", trees[i].dir, fd);
		close(fd);
	}
	look_quota();
	look_case();
	look_policy();
	look_sync(session);
	look_file(session, TOKEN_NAMED, "named");
	look_file(session, TOKEN_UNNAMED, "unnamed");
	stage_session_finish(session);
	for (i = TOKEN_QUOTA; i <= TOKEN_POLICY; i++)
		check(!umount(trees[i].dir), "%s is unmounted", trees[i].dir);
	check(!umount("/sync"), "/sync is unmounted");
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
