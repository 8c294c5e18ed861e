// SPDX-License-Identifier: GPL-2.0-only
/*
 * Labels of a security module (Smack) cross with trees, with files by themselves and with
 * memfds, whose labels are no extended attributes, nor are those of files in huge pages; and
 * what they forbid stays forbidden.
 * File capabilities, ACLs and set-user-ID bits of a tree mean what they meant.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"labels"
#define USER		1000
#define LABEL		"security.SMACK64"
#define CURRENT		"/proc/self/attr/smack/current"

enum { TOKEN_TREE = 1, TOKEN_SET, TOKEN_BORN, TOKEN_PLAIN, TOKEN_HUGE, TOKEN_HUGETLBFS };

static int file_make(const char *name, mode_t mode, const char *label)
{
	int fd = open(path_in("/tree", name), O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	require(fd >= 0 && !fchmod(fd, mode) && write(fd, "data", 4) == 4, "%s", name);
	require(!label || !fsetxattr(fd, LABEL, label, strlen(label), 0), "label of %s: %d",
		name, errno);
	return fd;
}

static bool label_is(int fd, const char *label)
{
	char value[64] = "";
	ssize_t len = fgetxattr(fd, LABEL, value, sizeof(value) - 1);

	if (len == (ssize_t)strlen(label) && !strcmp(value, label))
		return true;
	ksft_print_msg("label: %s (%d)\n", value, errno);
	return false;
}

/* A memfd of a task with another label. */
static int memfd_born(const char *label)
{
	int fd;

	require(!text_write(CURRENT, label), "%s", CURRENT);
	fd = preserve_memfd_create("born", 0);
	require(!text_write(CURRENT, "_"), "%s", CURRENT);
	return fd;
}

/* Opens as a user with a label; 0 or an errno. */
static int user_opens(const char *name, const char *label, int flags)
{
	pid_t pid = fork();
	int status;

	require(pid >= 0, "fork");
	if (!pid) {
		if (text_write(CURRENT, label) || setgroups(0, NULL) ||
		    setresgid(USER, USER, USER) || setresuid(USER, USER, USER))
			_exit(200);
		_exit(open(path_in("/tree", name), flags | O_CLOEXEC) < 0 ? errno : 0);
	}
	require(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "wait");
	return WEXITSTATUS(status);
}

static void rights(const char *when)
{
	check(!user_opens("open", "_", O_RDONLY), "%s: a file can be read", when);
	check(user_opens("secret", "_", O_RDONLY) == EACCES &&
	      !user_opens("secret", "Secret", O_RDONLY),
	      "%s: one with another label only by its like", when);
	check(user_opens("acl", "_", O_RDONLY) == 0 &&
	      user_opens("acl", "_", O_RDWR) == EACCES &&
	      user_opens("private", "_", O_RDONLY) == EACCES,
	      "%s: ACLs and modes hold", when);
}

static const unsigned char acl[] = {
	2, 0, 0, 0,
	1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,	/* owner rw */
	2, 0, 4, 0, 0xe8, 3, 0, 0,		/* user 1000 r */
	4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,	/* group nothing */
	0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,	/* mask r */
	0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,	/* others nothing */
};

static void make_tree(void)
{
	struct vfs_cap_data cap = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data = { { .permitted = 1 << CAP_NET_RAW } },
	};
	int fd = tree_mount("/tree", "size=8m,mode=755");

	require(fd >= 0, "mount");
	close(fd);
	close(file_make("open", 0644, NULL));
	close(file_make("private", 0600, NULL));
	close(file_make("secret", 0644, "Secret"));
	close(file_make("setuid", 04755, NULL));
	fd = file_make("acl", 0600, NULL);
	require(!fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0), "ACL");
	close(fd);
	fd = file_make("capable", 0755, NULL);
	require(!fsetxattr(fd, "security.capability", &cap, sizeof(cap), 0), "capability");
	close(fd);
	require(!mkdir("/tree/dir", 0755) &&
		!setxattr("/tree/dir", LABEL, "Dir", 3, 0), "a directory");
}

static void label_set(int fd, const char *label)
{
	require(!fsetxattr(fd, LABEL, label, strlen(label), 0), "set label %s: %d", label, errno);
}

/* One whose label changes after preserve, and a mount. */
static void huge_preserve(int session)
{
	int fd = huge_memfd("huge", MIB(2), 0);

	require(fd >= 0 && !ftruncate(fd, MIB(2)), "a memfd in huge pages");
	label_set(fd, "Early");
	check(!preserve_session_add_fd(session, fd, TOKEN_HUGE), "a memfd in huge pages");
	label_set(fd, "Late");
	mkdir("/huge", 0755);
	require(!mount("huge", "/huge", "hugetlbfs", 0, NULL), "mount");
	fd = open("/huge/file", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	label_set(fd, "Huge");
	close(fd);
	fd = tree_open("/huge");
	label_set(fd, "HugeRoot");
	check(!preserve_session_add_fd(session, fd, TOKEN_HUGETLBFS), "a hugetlbfs");
	close(fd);
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd;

	make_tree();
	huge_preserve(session);
	rights("before");
	check(!preserve_session_add_fd(session, tree_open("/tree"), TOKEN_TREE), "a tree");
	fd = preserve_memfd_create("set", 0);
	require(fd >= 0 && !fsetxattr(fd, LABEL, "Set", 3, 0), "label a memfd");
	check(!preserve_session_add_fd(session, fd, TOKEN_SET), "a memfd");
	fd = memfd_born("Born");
	check(label_is(fd, "Born") && !preserve_session_add_fd(session, fd, TOKEN_BORN),
	      "one of a task with another label");
	fd = preserve_memfd_create("plain", 0);
	check(!preserve_session_add_fd(session, fd, TOKEN_PLAIN), "one with none");
}

static void look(int session, int token, const char *label)
{
	int fd = preserve_session_get_fd(session, token);

	check(fd >= 0 && label_is(fd, label), "memfd %d has label %s", token, label);
	close(fd);
}

static void huge_look(int session)
{
	int fd;

	look(session, TOKEN_HUGE, "Late");
	fd = preserve_session_get_fd(session, TOKEN_HUGETLBFS);
	require(fd >= 0 && !tree_attach(fd, "/huge"), "attach: %d", fd);
	check(label_is(fd, "HugeRoot"), "the root of a hugetlbfs");
	close(fd);
	fd = open("/huge/file", O_RDWR | O_CLOEXEC);
	check(label_is(fd, "Huge"), "a file of it");
	close(fd);
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	unsigned char value[64];
	struct stat st;

	/* The task that retrieves has a label, too. */
	require(!text_write(CURRENT, "Agent"), "%s", CURRENT);
	fd = preserve_session_get_fd(session, TOKEN_TREE);
	require(fd >= 0 && !tree_attach(fd, "/tree"), "attach: %d", fd);
	close(fd);
	look(session, TOKEN_SET, "Set");
	look(session, TOKEN_BORN, "Born");
	look(session, TOKEN_PLAIN, "_");
	huge_look(session);
	require(!text_write(CURRENT, "_"), "%s", CURRENT);
	rights("after");
	fd = tree_open("/tree/dir");
	check(label_is(fd, "Dir"), "the directory");
	close(fd);
	check(!stat("/tree/setuid", &st) && (st.st_mode & 07777) == 04755 && !st.st_uid &&
	      getxattr("/tree/capable", "security.capability", value, sizeof(value)) == 20,
	      "set-user-ID and capabilities");
	stage_session_finish(session);
	check(!umount("/tree") && !umount("/huge"), "unmounted");
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
