// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the way of a tree is made to fail in turn: of preserving,
 * unpreserving, retrieving, attaching, of the first look-up of a directory and of the
 * first touch of a file. After each failure the tree is as it was, what failed once
 * works the next time, and what the file system says of itself is exact.
 *
 * Uses the kernel's fault injection, so it runs on the debug kernel.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fault.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"
#include "writer.h"

#define SESSION		"faults"
#define MAX_NTH		2000
#define NR_TREES	48	/* of some kinds, and used in four ways */
#define NTH_STEP	2	/* retrieving has fewer allocations than both make */
#define OPTIONS		"size=4m,nr_inodes=100"
#define FILE_SIZE	KIB(24)
#define LONG_LINK	300	/* takes a page */

enum { TOKEN_BIG = 1000 };

static void make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);

	require(fd >= 0 && !pattern_write(fd, 5, 0, FILE_SIZE), "write %s",
		path);
	close(fd);
}

/* A directory with one of each kind. */
static void make_tree(const char *dir, const char *options)
{
	int fd = tree_mount(dir, options);
	char target[LONG_LINK + 1];

	memset(target, 't', LONG_LINK);
	target[LONG_LINK] = '\0';
	require(fd >= 0, "mount %s", dir);
	close(fd);
	require(!mkdir(path_in(dir, "sub"), 0755) &&
		!mkdir(path_in(dir, "sub/below"), 0755), "directories");
	make_file(path_in(dir, "sub/file"));
	make_file(path_in(dir, "sub/other"));
	require(!link(path_in(dir, "sub/file"), path_in(dir, "sub/name")) &&
		!link(path_in(dir, "sub/file"), path_in(dir, "sub/below/name")) &&
		!symlink("short", path_in(dir, "sub/short")) &&
		!symlink(target, path_in(dir, "sub/long")) &&
		!mkfifo(path_in(dir, "sub/pipe"), 0600), "one of each kind");
	require(!setxattr(path_in(dir, "sub/other"), "user.one", target, 200, 0),
		"an attribute");
}

struct state {
	struct statvfs st;
	struct tree_text list;
};

static struct state state_of(const char *dir)
{
	struct state state = {};

	tree_list(&state.list, dir, true);
	require(!statvfs(dir, &state.st), "space of %s", dir);
	return state;
}

static bool same_space(const struct state *a, const char *dir)
{
	struct statvfs st;

	require(!statvfs(dir, &st), "space of %s", dir);
	if (a->st.f_bfree == st.f_bfree && a->st.f_ffree == st.f_ffree)
		return true;
	ksft_print_msg("%s: blocks %lu, not %lu; inodes %lu, not %lu\n", dir,
		       (unsigned long)st.f_bfree,
		       (unsigned long)a->st.f_bfree, (unsigned long)st.f_ffree,
		       (unsigned long)a->st.f_ffree);
	return false;
}

static bool same_tree(const struct state *was, const char *dir)
{
	struct state now = state_of(dir);
	bool same = tree_same(&was->list, &now.list) && same_space(was, dir);

	tree_text_free(&now.list);
	return same;
}

static bool is_shortage(int err)
{
	return err == -ENOMEM || err == -ENOSPC || err == -EBUSY;
}

static void nothing_claimed(const char *what, unsigned int nth)
{
	require(!pool_counter("preserved") && !pool_counter("files"),
		"%s, allocation %u leaves %lld bytes in %lld files claimed", what,
		nth, (long long)pool_counter("preserved"),
		(long long)pool_counter("files"));
}

static void preserve_faults(const char *dir, const char *options)
{
	unsigned int nth, failed = 0;
	struct state was;
	int fd;

	make_tree(dir, options);
	was = state_of(dir);
	fd = tree_open(dir);
	for (nth = 1; nth < MAX_NTH; nth++) {
		int session = stage_session_create("preserve"), err;
		bool hit;

		fault_arm(nth);
		err = preserve_session_add_fd(session, fd, 1);
		hit = fault_disarm();
		failed += !!err;
		require(!err || is_shortage(err), "preserve %s, allocation %u: %d",
			dir, nth, err);
		close(session);
		nothing_claimed("preserve", nth);
		require(same_space(&was, dir), "allocation %u", nth);
		if (!hit)
			break;
	}
	check(nth < MAX_NTH && failed, "preserving %s: %u allocations, %u errors",
	      dir, nth - 1, failed);
	check(same_tree(&was, dir), "it is as it was");
	make_file(path_in(dir, "sub/new"));
	check(!unlink(path_in(dir, "sub/new")), "and is not frozen");
	tree_text_free(&was.list);
	close(fd);
	require(!umount(dir), "unmount %s", dir);
}

static void unpreserve_faults(void)
{
	unsigned int nth, hits = 0;
	struct state was;
	bool hit;
	int fd;

	make_tree("/undo", "preserve," OPTIONS);
	was = state_of("/undo");
	fd = tree_open("/undo");
	for (nth = 1; nth < MAX_NTH; nth++) {
		int session = stage_session_create("undo");

		require(!preserve_session_add_fd(session, fd, 1), "hand over");
		fault_arm(nth);
		close(session);
		hit = fault_disarm();
		nothing_claimed("unpreserve", nth);
		hits += hit;
		if (!hit)
			break;
	}
	check(nth < MAX_NTH && hits, "unpreserving: %u allocations", nth - 1);
	check(same_tree(&was, "/undo"), "the tree is as it was");
	tree_text_free(&was.list);
	close(fd);
	require(!umount("/undo"), "unmount");
}

/* With a quota all inodes are made when the tree is retrieved. */
static const char *options_of(unsigned int i)
{
	static const char * const options[] = {
		"preserve," OPTIONS, OPTIONS, "preserve,usrquota," OPTIONS, OPTIONS,
	};

	return options[i % 4];
}

static void trees_preserve(int session)
{
	char dir[32];
	unsigned int i;
	int fd;

	for (i = 0; i < NR_TREES; i++) {
		snprintf(dir, sizeof(dir), "/tree%u", i);
		make_tree(dir, options_of(i));
		fd = tree_open(dir);
		require(!preserve_session_add_fd(session, fd, i), "hand over %s",
			dir);
		close(fd);
	}
}

static void before(void)
{
	int session;

	fault_setup();
	preserve_faults("/plain", OPTIONS);
	preserve_faults("/pool", "preserve," OPTIONS);
	unpreserve_faults();
	session = stage_session_create(SESSION);
	trees_preserve(session);
}

/* --- after --- */

static int entries_of(const char *dir)
{
	DIR *d = opendir(dir);
	int nr = 0, err;

	if (!d)
		return -errno;
	for (errno = 0; readdir(d); errno = 0)
		nr++;
	err = errno;
	closedir(d);
	return err ? -err : nr;
}

/* The first look-up in a directory; every try fails one allocation later. */
static unsigned int look_up_faults(const char *dir, const char *name)
{
	struct state was = {};
	unsigned int nth;
	struct stat st;
	bool hit;
	int err;

	require(!statvfs(dir, &was.st), "space of %s", dir);
	for (nth = 1; nth < MAX_NTH; nth++) {
		fault_arm(nth);
		err = lstat(path_in(dir, name), &st) ? errno : 0;
		hit = fault_disarm();
		require(!err || (hit && err == ENOMEM),
			"look up %s in %s, allocation %u: %s", name, dir, nth,
			strerror(err));
		require(same_space(&was, dir), "allocation %u of %s", nth, name);
		if (!err)
			break;
	}
	require(nth < MAX_NTH, "%s is found", name);
	return nth - 1;
}

/* First reads: what fails once can be had the next time. */
static unsigned int touch_faults(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	unsigned int nth;
	char byte;
	bool hit;

	require(fd >= 0, "open %s", path);
	for (nth = 1; nth < MAX_NTH; nth++) {
		fault_arm(nth);
		err = pread(fd, &byte, 1, 0) == 1 ? 0 : errno;
		hit = fault_disarm();
		require(!err || (hit && err == ENOMEM),
			"read %s, allocation %u: %s", path, nth, strerror(err));
		if (!err)
			break;
	}
	require(!pattern_check(fd, 5, 0, FILE_SIZE), "content of %s", path);
	close(fd);
	return nth - 1;
}

/* A part is cut off that nobody has touched: that cannot fail half-way. */
static void cut_faults(const char *path, unsigned int nth)
{
	int fd, err;
	bool hit;

	fault_arm(nth);
	err = truncate(path, KIB(8)) ? errno : 0;
	hit = fault_disarm();
	require(!err || (hit && err == ENOMEM), "cut %s: %s", path,
		strerror(err));
	require(!truncate(path, KIB(8)) && !truncate(path, FILE_SIZE), "cut %s",
		path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	require(fd >= 0 && !pattern_check(fd, 5, 0, KIB(8)) &&
		range_is_zero(fd, KIB(8), FILE_SIZE - KIB(8)),
		"what is cut off %s does not come back (%u)", path, nth);
	close(fd);
}

static void whole(const char *dir)
{
	require(entries_of(path_in(dir, "sub")) == 2 + 7, "entries of %s: %d", dir,
		entries_of(path_in(dir, "sub")));
	require(entries_of(path_in(dir, "sub/below")) == 2 + 1, "and below");
}

/* Half of the trees only: the others are for unmounting untouched. */
static unsigned int use(const char *dir, unsigned int i)
{
	unsigned int faults = 0;

	if (i % 2)
		faults += look_up_faults(dir, "sub");
	if (i % 4 < 2)
		return faults;
	faults += look_up_faults(dir, "sub/file");
	faults += touch_faults(path_in(dir, "sub/file"));
	cut_faults(path_in(dir, "sub/other"), i);
	whole(dir);
	return faults;
}

/*
 * What a try has done is kept, so the next one begins with its own first allocation. One
 * that is spared ends it, so each tree begins with a later one.
 */
static int retrieve_faults(int session, unsigned int i, unsigned int *hits)
{
	unsigned int nth = 1 + i * NTH_STEP, tries;
	bool hit;
	int fd;

	for (tries = 0; tries < MAX_NTH; tries++) {
		fault_arm(nth);
		fd = preserve_session_get_fd(session, i);
		hit = fault_disarm();
		if (fd >= 0)
			return fd;
		require(hit && is_shortage(fd), "tree %u, allocation %u: %d", i, nth,
			fd);
		nth = tries + 1;
		++*hits;
	}
	require(false, "tree %u is never retrieved", i);
	return -1;
}

/* Some allocations are spared: those of a later number are tried with a later tree. */
static bool attach_faults(int fd, const char *dir, unsigned int nth)
{
	bool hit;
	int err;

	mkdir(dir, 0755);
	fault_arm(nth);
	err = tree_attach(fd, dir);
	hit = fault_disarm();
	require(!err || (hit && err == -ENOMEM), "attach %s: %d", dir, err);
	require(!err || !tree_attach(fd, dir), "attach %s then", dir);
	return hit;
}

static void after(void)
{
	unsigned int hits = 0, faults = 0, attach = 0, i;
	int session = stage_session_retrieve(SESSION), fd;
	pid_t dropper;
	char dir[32];

	require(!text_write("/sys/kernel/mm/preserve/restore_pace", "0"),
		"only on demand");
	fault_setup();
	/* A walk over all inodes may be the last to hold one that could not be made. */
	dropper = writer_loop("/proc/sys/vm/drop_caches", "5");
	for (i = 0; i < NR_TREES; i++) {
		snprintf(dir, sizeof(dir), "/tree%u", i);
		fd = retrieve_faults(session, i, &hits);
		attach += attach_faults(fd, dir, i + 1);
		close(fd);
		faults += use(dir, i);
	}
	writer_loop_stop(dropper);
	check(hits > 4, "retrieving: %u failures of %u trees, all of which come",
	      hits, NR_TREES);
	check(attach, "attaching: %u allocations", attach);
	check(faults, "first looks: %u allocations", faults);
	stage_session_finish(session);
	for (i = 0; i < NR_TREES; i++) {
		snprintf(dir, sizeof(dir), "/tree%u", i);
		require(!umount(dir), "unmount %s", dir);
	}
	check(!pool_counter("incoming"), "nothing is set aside: %lld",
	      (long long)pool_counter("incoming"));
	check(pool_counter("used") <= (__s64)KIB(64),
	      "no page is leaked: %lld bytes used",
	      (long long)pool_counter("used"));
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
