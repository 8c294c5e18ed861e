// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whole trees cross a kexec as they are: every kind of inode, attribute and hole, the
 * order of directories, options and limits, on a tmpfs that takes its memory from the
 * pool and on one that does not. Then once more without anybody having looked at them,
 * and once more after they have changed.
 *
 *	tmpfs_tree [INODES]
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION	"trees"

enum { TOKEN_PLAIN = 1, TOKEN_POOL, TOKEN_PLAIN_LIST, TOKEN_POOL_LIST };

static unsigned int nr_inodes = 600;

static const struct {
	const char *dir;
	const char *options;
	int token;
} trees[] = {
	{ "/plain", "mode=751,uid=7,gid=8,inode64", TOKEN_PLAIN },
	{ "/pool", "preserve,huge=within_size", TOKEN_POOL },
};

/*
 * Limits: more than enough, for extended attributes count as well; and not those of
 * the machine's memory.
 */
#define BYTES_PER_INODE	(128 << 10)
#define MORE_INODES	20000

/* What the file system says of itself. */
static void list_limits(struct tree_text *list, const char *dir)
{
	char line[1024], *text = list->text;
	struct statvfs st;
	FILE *mounts;
	int len;

	require(!statvfs(dir, &st), "limits of %s", dir);
	mounts = fopen("/proc/self/mounts", "re");
	require(mounts, "open the list of mounts");
	while (fgets(line, sizeof(line), mounts))
		if (strstr(line, dir) && strstr(line, " tmpfs "))
			break;
	fclose(mounts);
	text = realloc(text, list->size += 2048);
	require(text, "memory");
	len = snprintf(text + list->len, 2048, "%s%lu %lu %lu %lu\n", line,
		       st.f_blocks, st.f_bfree, st.f_files, st.f_ffree);
	list->text = text;
	list->len += len;
}

static void preserve(int session, unsigned int i, struct tree_text *list)
{
	int fd = tree_open(trees[i].dir);

	check(!preserve_session_add_fd(session, fd, trees[i].token),
	      "%s is preserved", trees[i].dir);
	fd = tree_text_keep(list, "list");
	require(!preserve_session_add_fd(session, fd, trees[i].token + 2),
		"its list");
}

/* Lists them, and preserves that. */
static void preserve_all(void)
{
	int session = stage_session_create(SESSION);
	struct tree_text list = {};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		tree_list(&list, trees[i].dir, true);
		list_limits(&list, trees[i].dir);
		preserve(session, i, &list);
		tree_text_free(&list);
	}
}

static void make(void)
{
	char options[128];
	unsigned int i;
	int fd;

	for (i = 0; i < 2; i++) {
		snprintf(options, sizeof(options), "%s,size=%llu,nr_inodes=%u",
			 trees[i].options,
			 (unsigned long long)nr_inodes * BYTES_PER_INODE,
			 2 * nr_inodes + MORE_INODES);
		fd = tree_mount(trees[i].dir, options);
		require(fd >= 0, "mount %s", options);
		close(fd);
		tree_make(trees[i].dir, nr_inodes, 1 + i);
	}
	preserve_all();
}

/* A descriptor of a retrieved mount is one of a directory, for whoever keeps such. */
static void check_descriptor(int mount)
{
	struct epoll_event event = { .events = EPOLLIN };
	int poll = epoll_create1(EPOLL_CLOEXEC), again;
	struct statfs st;

	check(epoll_ctl(poll, EPOLL_CTL_ADD, mount, &event) && errno == EPERM,
	      "it cannot be polled, as no directory can");
	check(!fstatfs(mount, &st) && st.f_type == TMPFS_MAGIC, "it is a tmpfs");
	again = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(again >= 0, "it can be opened");
	close(again);
	close(poll);
}

/* When its session has ended. */
static void check_preserve_again(int mount)
{
	int session = stage_session_create("again");
	int err = preserve_session_add_fd(session, mount, 1);

	check(!err, "it can be preserved as it is: %d", err);
	close(session);
	close(mount);
}

/* Retrieves both; gives their lists of before. */
static int retrieve(struct tree_text list[2])
{
	int session = stage_session_retrieve(SESSION), fds[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		fds[i] = preserve_session_get_fd(session, trees[i].token);
		require(fds[i] >= 0, "no %s: %d", trees[i].dir, fds[i]);
		check_descriptor(fds[i]);
		check(!tree_attach(fds[i], trees[i].dir), "%s is attached",
		      trees[i].dir);
		tree_text_read(&list[i], preserve_session_get_fd(session,
								 trees[i].token + 2));
	}
	stage_session_finish(session);
	for (i = 0; i < 2; i++)
		check_preserve_again(fds[i]);
	return session;
}

/* As they come, they go. */
static void pass_on(void)
{
	struct tree_text list[2] = {};
	unsigned int i;
	int session;

	retrieve(list);
	session = stage_session_create(SESSION);
	for (i = 0; i < 2; i++)
		preserve(session, i, &list[i]);
}

static void look(bool content)
{
	struct tree_text list[2] = {}, now = {};
	unsigned int i;

	retrieve(list);
	for (i = 0; i < 2; i++) {
		list_limits(&now, trees[i].dir);
		check(now.len < list[i].len &&
		      !strcmp(now.text, list[i].text + list[i].len - now.len),
		      "options and limits of %s are the same before anybody looks",
		      trees[i].dir);
		tree_text_free(&now);
		tree_list(&now, trees[i].dir, content);
		list_limits(&now, trees[i].dir);
		check(tree_same(&list[i], &now), "%s is the same",
		      trees[i].dir);
		tree_text_free(&now);
		tree_text_free(&list[i]);
	}
}

static void change(const char *dir)
{
	char path[64], more[64];
	int fd;

	snprintf(path, sizeof(path), "%s/new", dir);
	check(!mkdir(path, 0700), "a directory is made in %s", dir);
	tree_make(path, 50, 99);
	snprintf(more, sizeof(more), "%s/moved", dir);
	check(!rename(path, more), "and renamed");
	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	check(fd >= 0 && write(fd, path, sizeof(path)) == sizeof(path),
	      "a file is written");
	close(fd);
}

static void look_and_change(void)
{
	look(true);
	change("/plain");
	change("/pool");
	preserve_all();
}

static void look_again(void)
{
	look(true);
	check(!umount("/plain") && !umount("/pool"), "both are unmounted");
}

static const stage_fn stages[] = { make, pass_on, look_and_change, look_again };

int main(int argc, char **argv)
{
	if (argc > 1)
		nr_inodes = atoi(argv[1]);
	return stage_run(stages, STAGE_COUNT(stages));
}
