// SPDX-License-Identifier: GPL-2.0-only
/*
 * A retrieve that fails for want of memory, a right or a limit takes nothing: it works
 * the next time. What is in use already is refused for no limit at all, and a session
 * whose holder dies of such a failure is there for the next one. Memfds and trees.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "liveupdate.h"
#include "load.h"
#include "memory.h"
#include "stage.h"
#include "tree.h"

#define FULL		"/sys/fs/cgroup/full"
#define NAMESPACES	"/proc/sys/user/max_mnt_namespaces"
#define OVERCOMMIT	"/proc/sys/vm/overcommit_memory"
#define COMMIT_KIB	"/proc/sys/vm/overcommit_kbytes"
#define USER		1000
#define SEED		7
#define FILE_SIZE	KIB(64)
#define BIG_SIZE	MIB(16)
#define NR_MEMFDS	8
#define NR_DIRS		40
#define LONG_LINK	300	/* takes a page */

enum {
	TOKEN_BIG = 1, TOKEN_RIGHT, TOKEN_SPACE, TOKEN_QUOTA, TOKEN_FULL, TOKEN_PLAIN,
	TOKEN_POOL, TOKEN_MEMFD
};

static const char * const tree_dirs[] = {
	[TOKEN_RIGHT] = "/right", [TOKEN_SPACE] = "/space", [TOKEN_QUOTA] = "/quota",
	[TOKEN_FULL] = "/full", [TOKEN_PLAIN] = "/plain", [TOKEN_POOL] = "/pool",
};

static char *path_of(const char *dir, const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

/* --- before --- */

static void memfd_hand_over(int session, __u64 token, __u64 size)
{
	int fd = preserve_memfd_create("again", MFD_CLOEXEC);

	require(fd >= 0 && !pattern_write(fd, SEED, 0, size), "a memfd");
	require(!preserve_session_add_fd(session, fd, token), "hand it over");
	close(fd);
}

static void file_make(const char *path, __u64 size)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);

	require(fd >= 0 && !pattern_write(fd, SEED, 0, size), "write %s", path);
	close(fd);
}

static void tree_new(const char *dir, const char *options)
{
	int fd = tree_mount(dir, options);

	require(fd >= 0, "mount %s", dir);
	close(fd);
	require(!mkdir(path_of(dir, "sub"), 0755), "%s/sub", dir);
	file_make(path_of(dir, "sub/file"), FILE_SIZE);
}

static void tree_hand_over(int session, __u64 token, const char *dir)
{
	int fd = tree_open(dir);

	require(!preserve_session_add_fd(session, fd, token), "hand over %s", dir);
	close(fd);
}

/* A user has as many files as he may. */
static void quota_tree(void)
{
	char name[16];

	tree_new(tree_dirs[TOKEN_QUOTA], "usrquota,usrquota_inode_hardlimit=12");
	for (unsigned int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "sub/%u", i);
		file_make(path_of(tree_dirs[TOKEN_QUOTA], name), 1);
		require(!chown(path_of(tree_dirs[TOKEN_QUOTA], name), USER, USER),
			"owner");
	}
}

/* Directories with an entry that takes a page, no inode and no page left. */
static void full_tree(void)
{
	const char *dir = tree_dirs[TOKEN_FULL];
	char target[LONG_LINK + 1], name[32];
	struct statvfs st;
	unsigned int i;
	int fd;

	tree_new(dir, "size=1m,nr_inodes=200,mode=1777");
	memset(target, 't', LONG_LINK);
	target[LONG_LINK] = '\0';
	for (i = 0; i < NR_DIRS; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		require(!mkdir(path_of(dir, name), 0755), "%s", name);
		snprintf(name, sizeof(name), "d%u/link", i);
		require(!symlink(target, path_of(dir, name)), "%s", name);
	}
	for (i = 0; !mkdir(path_of(dir, "x"), 0755); i++) {
		snprintf(name, sizeof(name), "e%u", i);
		require(!rename(path_of(dir, "x"), path_of(dir, name)), "%s", name);
	}
	require(errno == ENOSPC, "no inode is left: %s", strerror(errno));
	fd = open(path_of(dir, "sub/file"), O_WRONLY | O_APPEND | O_CLOEXEC);
	while (write(fd, target, LONG_LINK) == LONG_LINK)
		;
	close(fd);
	require(!chmod(path_of(dir, "sub/file"), 0666), "mode");
	require(!statvfs(dir, &st) && !st.f_bfree && !st.f_ffree, "%s is full", dir);
}

static void before(void)
{
	int session = stage_session_create("again"), other;

	memfd_hand_over(session, TOKEN_BIG, BIG_SIZE);
	for (unsigned int i = 0; i < NR_MEMFDS; i++)
		memfd_hand_over(session, TOKEN_MEMFD + i, FILE_SIZE);
	tree_new(tree_dirs[TOKEN_RIGHT], "size=4m");
	tree_new(tree_dirs[TOKEN_SPACE], "size=4m,nr_inodes=50");
	quota_tree();
	full_tree();
	tree_new(tree_dirs[TOKEN_PLAIN], "size=4m");
	tree_new(tree_dirs[TOKEN_POOL], "preserve,size=4m");
	for (unsigned int t = TOKEN_RIGHT; t <= TOKEN_POOL; t++)
		tree_hand_over(session, t, tree_dirs[t]);

	other = stage_session_create("dead");
	for (unsigned int i = 0; i < NR_MEMFDS; i++)
		memfd_hand_over(other, TOKEN_MEMFD + i, FILE_SIZE);
	tree_new("/dead", "size=4m");
	tree_hand_over(other, TOKEN_PLAIN, "/dead");

	other = stage_session_create("over");
	tree_new("/over", "size=4m");
	tree_hand_over(other, TOKEN_PLAIN, "/over");
}

/* --- after --- */

/* A task that may not, or cannot. Its own memory is touched before. */
typedef void (*lack_fn)(void);

static void lack_right(void)
{
	require(!setgid(USER) && !setuid(USER), "become a user");
}

/* Nobody is to be killed, so what the task asks for is refused. */
static void lack_memory(void)
{
	require(!text_write("/proc/self/oom_score_adj", "-1000"), "not me");
	require(!mlockall(MCL_CURRENT), "its own memory");
	/* From the time before. */
	text_write(FULL "/memory.max", "max");
	load_join(FULL);
	require(!text_write(FULL "/memory.max", "0"), "a limit");
}

static void lack_resource_right(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	require(!syscall(SYS_capget, &head, data), "capget");
	data[0].effective &= ~(1U << CAP_SYS_RESOURCE);
	data[0].permitted = data[0].effective;
	data[0].inheritable = 0;
	require(!syscall(SYS_capset, &head, data), "capset");
}

static void lack_nothing(void)
{
}

/* shmem has ENOSPC for an inode that there is no memory for. */
static bool is_expected(int err, int expected)
{
	return err == expected || (expected == -ENOMEM && err == -ENOSPC);
}

/* How many of the tokens such a task does not get; -errno if it is not @expected. */
static int tries(int session, lack_fn lack, int expected, __u64 token, unsigned int nr)
{
	int status, fd, failed = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		lack();
		for (; nr--; token++) {
			fd = preserve_session_get_fd(session, token);
			if (fd < 0 && !is_expected(fd, expected))
				_exit(100 + -fd);
			failed += fd < 0;
		}
		_exit(failed);
	}
	require(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "a child: %#x",
		status);
	return WEXITSTATUS(status) < 100 ? WEXITSTATUS(status) :
					   100 - WEXITSTATUS(status);
}

static bool file_good(const char *path, __u64 size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && !pattern_check(fd, SEED, 0, size);

	close(fd);
	return good;
}

static bool memfd_comes(int session, __u64 token, __u64 size)
{
	int fd = preserve_session_get_fd(session, token);
	bool good = fd >= 0 && !pattern_check(fd, SEED, 0, size);

	if (!good)
		ksft_print_msg("memfd %llu: %d\n", (unsigned long long)token, fd);
	close(fd);
	return good;
}

static bool tree_comes(int session, __u64 token, const char *dir)
{
	int fd = preserve_session_get_fd(session, token), err;

	if (fd < 0) {
		ksft_print_msg("%s: %d\n", dir, fd);
		return false;
	}
	mkdir(dir, 0755);
	err = tree_attach(fd, dir);
	close(fd);
	require(!err, "attach %s: %d", dir, err);
	return file_good(path_of(dir, "sub/file"), FILE_SIZE) ||
	       token == TOKEN_FULL;
}

static void without_right(int session)
{
	int failed = tries(session, lack_right, -EPERM, TOKEN_RIGHT, 1);

	check(failed == 1, "a user may not have a tree: %d", failed);
	check(tree_comes(session, TOKEN_RIGHT, "/right"), "root gets it then");
}

static void without_memory(int session)
{
	int failed = tries(session, lack_memory, -ENOMEM, TOKEN_MEMFD, NR_MEMFDS);

	check(failed > 0, "in a full cgroup %d memfds do not come", failed);
	for (unsigned int i = 0; i < NR_MEMFDS; i++)
		require(memfd_comes(session, TOKEN_MEMFD + i, FILE_SIZE), "memfd %u", i);
	check(true, "they come then, whole");
	failed = tries(session, lack_memory, -ENOMEM, TOKEN_PLAIN, 2);
	check(failed > 0, "and %d of 2 trees do not come", failed);
	check(tree_comes(session, TOKEN_PLAIN, "/plain") &&
	      tree_comes(session, TOKEN_POOL, "/pool"), "they come then, whole");
}

static void without_namespaces(int session)
{
	int failed;

	require(!text_write(NAMESPACES, "0"), "%s", NAMESPACES);
	failed = tries(session, lack_nothing, -ENOSPC, TOKEN_SPACE, 1);
	require(!text_write(NAMESPACES, "1000"), "%s", NAMESPACES);
	check(failed == 1, "without a mount namespace no tree comes: %d", failed);
	check(tree_comes(session, TOKEN_SPACE, "/space"), "it comes then");
}

static void without_quota(int session)
{
	int failed = tries(session, lack_resource_right, 0, TOKEN_QUOTA, 1);
	unsigned int nr = 0;
	struct stat st;
	char name[16];

	check(!failed, "a task that obeys quotas gets the tree of a user at his limit: %d",
	      failed);
	require(tree_comes(session, TOKEN_QUOTA, "/quota"), "it");
	for (unsigned int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "sub/%u", i);
		nr += !stat(path_of("/quota", name), &st) && st.st_uid == USER;
	}
	check(nr == 12, "his files are there: %u", nr);
}

/* The memory of the file is in use, whatever is committed. */
static void without_commit(int session)
{
	bool good;

	require(!text_write(COMMIT_KIB, "1024") && !text_write(OVERCOMMIT, "2"),
		"no memory can be committed");
	good = memfd_comes(session, TOKEN_BIG, BIG_SIZE);
	require(!text_write(OVERCOMMIT, "0"), "it can again");
	check(good, "a memfd comes, and is read, where no memory can be committed");
}

/* Takes what becomes free of a file system. */
static void hog(const char *dir)
{
	int fd = open(path_of(dir, "sub/file"), O_WRONLY | O_APPEND);
	char byte = 1;

	require(!setgid(USER) && !setuid(USER), "become a user");
	for (;;) {
		mknod(path_of(dir, "hog"), S_IFREG | 0644, 0);
		if (write(fd, &byte, 1) < 0)
			continue;
	}
}

static void full_to_the_brim(int session)
{
	unsigned int i, good = 0;
	char name[32], target[512];
	struct statvfs st;
	pid_t pid;

	require(tree_comes(session, TOKEN_FULL, "/full"), "the full tree");
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid)
		hog("/full");
	for (i = 0; i < NR_DIRS; i++) {
		snprintf(name, sizeof(name), "d%u/link", i);
		good += readlink(path_of("/full", name), target, sizeof(target)) ==
			LONG_LINK;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(good == NR_DIRS, "a full file system can be read beside a user who fills it: %u",
	      good);
	require(!statvfs("/full", &st), "statvfs");
	check(!st.f_bfree && !st.f_ffree && access("/full/hog", F_OK),
	      "who got nothing of it: %lu pages, %lu inodes free",
	      (unsigned long)st.f_bfree, (unsigned long)st.f_ffree);
}

/* The holder of a session dies; it has not finished. */
static void holder_dies(void)
{
	int status, session, failed;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		session = stage_session_retrieve("dead");
		lack_memory();
		failed = 0;
		for (unsigned int i = 0; i < NR_MEMFDS; i++)
			failed += preserve_session_get_fd(session,
							  TOKEN_MEMFD + i) < 0;
		failed += preserve_session_get_fd(session, TOKEN_PLAIN) < 0;
		_exit(failed);
	}
	require(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "%#x", status);
	check(WEXITSTATUS(status), "a holder of a session dies, %d files do not come",
	      WEXITSTATUS(status));
	session = stage_session_retrieve("dead");
	for (unsigned int i = 0; i < NR_MEMFDS; i++)
		require(memfd_comes(session, TOKEN_MEMFD + i, FILE_SIZE), "memfd %u", i);
	check(tree_comes(session, TOKEN_PLAIN, "/dead"), "the next one gets them all");
	stage_session_finish(session);
	close(session);
}

static void finished_all_the_same(void)
{
	int session = stage_session_retrieve("over");
	__s64 kept = pool_counter("unclaimed");

	check(tries(session, lack_memory, -ENOMEM, TOKEN_PLAIN, 1) == 1,
	      "a tree does not come");
	stage_session_finish(session);
	check(pool_counter("unclaimed") < kept, "finishing gives its memory back: %lld, %lld",
	      (long long)kept, (long long)pool_counter("unclaimed"));
	close(session);
}

static void after(void)
{
	static const char * const dirs[] = {
		"/right", "/space", "/quota", "/full", "/plain", "/pool", "/dead",
	};
	int session = stage_session_retrieve("again");

	text_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	without_commit(session);
	without_right(session);
	without_memory(session);
	without_namespaces(session);
	without_quota(session);
	full_to_the_brim(session);
	holder_dies();
	finished_all_the_same();
	stage_session_finish(session);
	close(session);
	for (unsigned int i = 0; i < STAGE_COUNT(dirs); i++)
		require(!umount(dirs[i]), "unmount %s", dirs[i]);
	check(!pool_counter("unclaimed") && pool_counter("used") <= (__s64)KIB(64),
	      "nothing is set aside or leaked: %lld, %lld",
	      (long long)pool_counter("unclaimed"), (long long)pool_counter("used"));
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
