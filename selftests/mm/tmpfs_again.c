// SPDX-License-Identifier: GPL-2.0-only
/*
 * A retrieve that fails for want of memory, a right or a limit takes nothing: it works
 * the next time. What is in use already is refused for no limit at all, and a session
 * whose holder dies of such a failure, or is killed, is there for the next one. Memfds and
 * trees.
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
#include <sys/xattr.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"
#include "writer.h"

#define FULL		"/sys/fs/cgroup/full"
#define NAMESPACES	"/proc/sys/user/max_mnt_namespaces"
#define OVERCOMMIT	"/proc/sys/vm/overcommit_memory"
#define COMMIT_KIB	"/proc/sys/vm/overcommit_kbytes"
#define SESSIONS	"/sys/kernel/debug/liveupdate/sessions"
#define USER		1000
#define SEED		7
#define FILE_SIZE	KIB(64)
#define BIG_SIZE	MIB(16)
#define NR_MEMFDS	8
#define NR_DIRS		40
#define NR_OWNED	20	/* more than the quota, which root may ignore */
#define NR_MANY		300
#define LIMIT_STEP	KIB(64)
#define LONG_LINK	300	/* takes a page */

enum {
	TOKEN_BIG = 1, TOKEN_RIGHT, TOKEN_SPACE, TOKEN_QUOTA, TOKEN_FULL, TOKEN_PLAIN,
	TOKEN_POOL, TOKEN_MANY, TOKEN_EMPTY, TOKEN_MEMFD
};

static const char * const tree_dirs[] = {
	[TOKEN_RIGHT] = "/right", [TOKEN_SPACE] = "/space", [TOKEN_QUOTA] = "/quota",
	[TOKEN_FULL] = "/full", [TOKEN_PLAIN] = "/plain", [TOKEN_POOL] = "/pool",
	[TOKEN_MANY] = "/many", [TOKEN_EMPTY] = "/empty",
};

/* Is there a session of this state, with so many files, and name? */
static bool session_is(const char *line)
{
	FILE *file = fopen(SESSIONS, "re");
	char text[128];
	bool found = false;

	require(file, "%s: %s", SESSIONS, strerror(errno));
	while (!found && fgets(text, sizeof(text), file)) {
		text[strcspn(text, "\n")] = '\0';
		found = !strcmp(text, line);
	}
	fclose(file);
	return found;
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
	require(!mkdir(path_in(dir, "sub"), 0755), "%s/sub", dir);
	file_make(path_in(dir, "sub/file"), FILE_SIZE);
}

static void tree_hand_over(int session, __u64 token, const char *dir)
{
	int fd = tree_open(dir);

	require(!preserve_session_add_fd(session, fd, token), "hand over %s", dir);
	close(fd);
}

/* A user has more files than he may: root has given them to him. */
static void quota_tree(void)
{
	char name[16];

	tree_new(tree_dirs[TOKEN_QUOTA], "usrquota,usrquota_inode_hardlimit=12");
	for (unsigned int i = 0; i < NR_OWNED; i++) {
		snprintf(name, sizeof(name), "sub/%u", i);
		file_make(path_in(tree_dirs[TOKEN_QUOTA], name), 1);
		require(!chown(path_in(tree_dirs[TOKEN_QUOTA], name), USER, USER),
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
		require(!mkdir(path_in(dir, name), 0755), "%s", name);
		snprintf(name, sizeof(name), "d%u/link", i);
		require(!symlink(target, path_in(dir, name)), "%s", name);
	}
	for (i = 0; !mkdir(path_in(dir, "x"), 0755); i++) {
		snprintf(name, sizeof(name), "e%u", i);
		require(!rename(path_in(dir, "x"), path_in(dir, name)), "%s", name);
	}
	require(errno == ENOSPC, "no inode is left: %s", strerror(errno));
	fd = open(path_in(dir, "sub/file"), O_WRONLY | O_APPEND | O_CLOEXEC);
	while (write(fd, target, LONG_LINK) == LONG_LINK)
		;
	close(fd);
	require(!chmod(path_in(dir, "sub/file"), 0666), "mode");
	require(!statvfs(dir, &st) && !st.f_bfree && !st.f_ffree, "%s is full", dir);
}

/* All of its inodes are made when it is retrieved; links, data and attributes. */
static void many_tree(void)
{
	const char *dir = tree_dirs[TOKEN_MANY];
	char name[32], other[32];

	tree_new(dir, "preserve,usrquota");
	for (unsigned int i = 0; i < NR_MANY; i++) {
		snprintf(name, sizeof(name), "sub/%u", i);
		file_make(path_in(dir, name), KIB(4));
		require(!setxattr(path_in(dir, name), "user.a", name, 8, 0), "attribute");
		snprintf(other, sizeof(other), "d%u", i % 10);
		mkdir(path_in(dir, other), 0755);
		snprintf(other, sizeof(other), "d%u/%u", i % 10, i);
		require(!link(path_in(dir, name), path_in(dir, other)), "%s", other);
	}
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
	many_tree();
	require((other = tree_mount(tree_dirs[TOKEN_EMPTY], "usrquota")) >= 0, "mount");
	close(other);
	for (unsigned int t = TOKEN_RIGHT; t <= TOKEN_EMPTY; t++)
		tree_hand_over(session, t, tree_dirs[t]);

	other = stage_session_create("dead");
	for (unsigned int i = 0; i < NR_MEMFDS; i++)
		memfd_hand_over(other, TOKEN_MEMFD + i, FILE_SIZE);
	tree_new("/dead", "size=4m");
	tree_hand_over(other, TOKEN_PLAIN, "/dead");

	other = stage_session_create("killed");
	for (unsigned int i = 0; i < NR_MEMFDS; i++)
		memfd_hand_over(other, TOKEN_MEMFD + i, FILE_SIZE);
	tree_new("/killed", "size=4m");
	tree_hand_over(other, TOKEN_PLAIN, "/killed");

	other = stage_session_create("leaves");
	memfd_hand_over(other, TOKEN_MEMFD, FILE_SIZE);

	other = stage_session_create("over");
	tree_new("/over", "size=4m");
	tree_hand_over(other, TOKEN_PLAIN, "/over");
	check(session_is("outgoing 9 killed") && session_is("outgoing 1 over"),
	      "the sessions are listed");
}

/* --- after --- */

/* A task that may not, or cannot. Its own memory is touched before. */
typedef void (*lack_fn)(void);

static void lack_right(void)
{
	require(!setgid(USER) && !setuid(USER), "become a user");
}

static char memory_max[32] = "0";

/* Nobody is to be killed, so what the task asks for is refused. */
static void lack_memory(void)
{
	require(!text_write("/proc/self/oom_score_adj", "-1000"), "not me");
	require(!mlockall(MCL_CURRENT), "its own memory");
	/* From the time before. */
	text_write(FULL "/memory.max", "max");
	load_join(FULL);
	require(!text_write(FULL "/memory.max", memory_max), "a limit");
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
	return token == TOKEN_FULL || token == TOKEN_EMPTY ||
	       file_good(path_in(dir, "sub/file"), FILE_SIZE);
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
	failed += tries(session, lack_nothing, -ENOSPC, TOKEN_EMPTY, 1);
	require(!text_write(NAMESPACES, "1000"), "%s", NAMESPACES);
	check(failed == 2, "without a mount namespace no tree comes: %d", failed);
	check(tree_comes(session, TOKEN_SPACE, "/space"), "it comes then");
	check(tree_comes(session, TOKEN_EMPTY, "/empty"), "and one of which nothing is left");
}

static unsigned int many_good(void)
{
	unsigned int good = 0;
	struct stat st, other;
	char name[32];

	for (unsigned int i = 0; i < NR_MANY; i++) {
		snprintf(name, sizeof(name), "sub/%u", i);
		if (stat(path_in("/many", name), &st) || st.st_nlink != 2 ||
		    !file_good(path_in("/many", name), KIB(4)))
			continue;
		snprintf(name, sizeof(name), "d%u/%u", i % 10, i);
		good += !stat(path_in("/many", name), &other) &&
			st.st_ino == other.st_ino;
	}
	return good;
}

/* All inodes are made at once; what is in use already is charged to no memory cgroup. */
static void with_more_memory(int session)
{
	/* Walks over all files hold inodes and file systems for a moment. */
	pid_t walker = writer_loop("/sys/kernel/mm/preserve/compact", "1");
	__u64 max;

	for (max = 0; max < MIB(16); max += LIMIT_STEP) {
		snprintf(memory_max, sizeof(memory_max), "%llu", (unsigned long long)max);
		if (!tries(session, lack_memory, -ENOMEM, TOKEN_MANY, 1))
			break;
	}
	snprintf(memory_max, sizeof(memory_max), "0");
	check(max <= NR_MANY * KIB(1) / 2, "a tree with quotas comes with %llu bytes",
	      (unsigned long long)max);
	check(tree_comes(session, TOKEN_MANY, "/many"), "its file");
	check(many_good() == NR_MANY, "all of its files and links: %u", many_good());
	writer_loop_stop(walker);
}

static void without_quota(int session)
{
	int failed = tries(session, lack_resource_right, 0, TOKEN_QUOTA, 1);
	unsigned int nr = 0;
	struct stat st;
	char name[16];

	check(!failed, "a task that obeys quotas gets the tree of a user beyond his limit: %d",
	      failed);
	require(tree_comes(session, TOKEN_QUOTA, "/quota"), "it");
	for (unsigned int i = 0; i < NR_OWNED; i++) {
		snprintf(name, sizeof(name), "sub/%u", i);
		nr += !stat(path_in("/quota", name), &st) && st.st_uid == USER;
	}
	check(nr == NR_OWNED, "his files are there: %u", nr);
}

/* The memory of the file is in use, whatever is committed. */
static void without_commit(int session)
{
	bool good, full;

	require(!text_write(COMMIT_KIB, "1024") && !text_write(OVERCOMMIT, "2"),
		"no memory can be committed");
	full = mmap(NULL, BIG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0) == MAP_FAILED;
	good = memfd_comes(session, TOKEN_BIG, BIG_SIZE);
	require(!text_write(OVERCOMMIT, "0"), "it can again");
	check(full, "as much as a memfd has cannot be committed");
	check(good, "a memfd comes, and is read, where no memory can be committed");
}

/* Takes what becomes free of a file system; says when it has begun. */
static void hog(const char *dir, int ready)
{
	int fd = open(path_in(dir, "sub/file"), O_WRONLY | O_APPEND);
	char byte = 1;

	require(fd >= 0 && !setgid(USER) && !setuid(USER), "become a user");
	for (unsigned int round = 0;; round++) {
		mknod(path_in(dir, "hog"), S_IFREG | 0644, 0);
		if (write(fd, &byte, 1) > 0)
			_exit(1);
		if (round == 1)
			require(write(ready, &byte, 1) == 1, "say so");
	}
}

static void full_to_the_brim(int session)
{
	unsigned int i, good = 0;
	int ready[2], status;
	char name[32], target[512];
	struct statvfs st;
	pid_t pid;

	require(tree_comes(session, TOKEN_FULL, "/full") && !pipe(ready), "the full tree");
	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid)
		hog("/full", ready[1]);
	require(read(ready[0], target, 1) == 1, "a user writes");
	for (i = 0; i < NR_DIRS; i++) {
		snprintf(name, sizeof(name), "d%u/link", i);
		good += readlink(path_in("/full", name), target, sizeof(target)) ==
			LONG_LINK;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	check(WIFSIGNALED(status), "a user tried to write all the time");
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
	int *result = mmap(NULL, KIB(4), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1, 0);
	pid_t pid;

	fflush(stdout);
	require(result != MAP_FAILED, "memory to share");
	*result = 0;
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		session = stage_session_retrieve("dead");
		lack_memory();
		for (unsigned int i = 0; i < NR_MEMFDS; i++)
			*result += preserve_session_get_fd(session,
							   TOKEN_MEMFD + i) < 0;
		*result += preserve_session_get_fd(session, TOKEN_PLAIN) < 0;
		raise(SIGKILL);
	}
	require(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "%#x", status);
	failed = *result;
	munmap(result, KIB(4));
	check(failed, "a holder of a session is killed, %d files did not come", failed);
	session = stage_session_retrieve("dead");
	for (unsigned int i = 0; i < NR_MEMFDS; i++)
		require(memfd_comes(session, TOKEN_MEMFD + i, FILE_SIZE), "memfd %u", i);
	check(tree_comes(session, TOKEN_PLAIN, "/dead"), "the next one gets them all");
	stage_session_finish(session);
	close(session);
}

/* What a holder does, who then ends: by SIGKILL, or of its own accord. */
static void holder_ends(const char *name, unsigned int nr_memfds, bool tree, bool killed)
{
	int status, session;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		session = stage_session_retrieve(name);
		for (unsigned int i = 0; i < nr_memfds; i++)
			require(memfd_comes(session, TOKEN_MEMFD + i, FILE_SIZE), "it");
		if (tree)
			require(preserve_session_get_fd(session, TOKEN_PLAIN) >= 0, "it");
		if (killed)
			raise(SIGKILL);
		_exit(0);
	}
	require(waitpid(pid, &status, 0) == pid && killed == WIFSIGNALED(status), "%#x",
		status);
}

/* Killed before it has asked for anything, in the middle, and before it finishes. */
static void holder_is_killed(void)
{
	int session;

	holder_ends("killed", 0, false, true);
	check(session_is("incoming 9 killed"), "a killed holder has not finished");
	holder_ends("killed", NR_MEMFDS / 2, false, true);
	holder_ends("killed", NR_MEMFDS, true, true);
	session = stage_session_retrieve("killed");
	for (unsigned int i = 0; i < NR_MEMFDS; i++)
		require(memfd_comes(session, TOKEN_MEMFD + i, FILE_SIZE), "memfd %u", i);
	check(tree_comes(session, TOKEN_PLAIN, "/killed"), "the next one gets all there is");
	stage_session_finish(session);
	close(session);
	check(!session_is("incoming 0 killed"), "and finishes it");

	holder_ends("leaves", 0, false, false);
	check(!session_is("incoming 1 leaves"), "one that exits has finished");
}

static void finished_all_the_same(void)
{
	int session = stage_session_retrieve("over"), status;
	__s64 kept = pool_counter("incoming");
	pid_t pid;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		lack_memory();
		preserve_session_get_fd(session, TOKEN_PLAIN);
		_exit(-preserve_session_finish(session));
	}
	require(waitpid(pid, &status, 0) == pid, "a child");
	check(!status, "a task without memory can finish: %#x", status);
	check(pool_counter("incoming") < kept, "finishing gives its memory back: %lld, %lld",
	      (long long)kept, (long long)pool_counter("incoming"));
	close(session);
}

static void after(void)
{
	static const char * const dirs[] = {
		"/right", "/space", "/quota", "/full", "/plain", "/pool", "/many", "/empty",
		"/dead", "/killed",
	};
	int session = stage_session_retrieve("again");

	text_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	without_commit(session);
	without_right(session);
	without_memory(session);
	without_namespaces(session);
	without_quota(session);
	with_more_memory(session);
	full_to_the_brim(session);
	holder_dies();
	holder_is_killed();
	finished_all_the_same();
	stage_session_finish(session);
	close(session);
	for (unsigned int i = 0; i < STAGE_COUNT(dirs); i++)
		require(!umount(dirs[i]), "unmount %s", dirs[i]);
	check(!pool_counter("incoming") && pool_counter("used") <= (__s64)KIB(64),
	      "nothing is set aside or leaked: %lld, %lld",
	      (long long)pool_counter("incoming"), (long long)pool_counter("used"));
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
