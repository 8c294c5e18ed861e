// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests that others have written for file systems pass on a tree that has crossed a
 * kexec as they do on a new tmpfs: the kernel's own selftests, and stress-ng, which
 * verifies what it does. They leave alone what was there, and all blocks and inodes
 * that they have used are free again.
 */

#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "preserve.h"
#include "program.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"selftests"
#define STRESS		"/usr/bin/stress-ng"
#define NR_INODES	200
#define MAX_WORDS	160
#define WORD_SIZE	32

/* The test of it is about three inodes, and finds a tmpfs that has no more. */
#define TEST_OF_FEW	"/kernel/tmpfs/bug-link-o-tmpfile"

static const char *const tests[] = {
	"/kernel/cachestat/test_cachestat",
	"/kernel/fchmodat2/fchmodat2_test",
	"/kernel/filesystems/openat2/emptypath_test",
	"/kernel/filesystems/openat2/openat2_test",
	"/kernel/filesystems/openat2/resolve_test",
	"/kernel/filesystems/rw_hint_test",
	"/kernel/mm/map_populate",
};

static const struct {
	const char *name;
	unsigned int ops;
} stressors[] = {
	{ "access", 50 },
	{ "chmod", 200 },
	{ "chown", 200 },
	{ "dentry", 500 },
	{ "dir", 500 },
	{ "dirdeep", 200 },
	{ "dirmany", 200 },
	{ "fallocate", 20 },
	{ "filename", 100 },
	{ "flock", 500 },
	{ "fstat", 50 },
	{ "getdent", 200 },
	{ "handle", 100 },
	{ "hdd", 50 },
	{ "inotify", 2 },
	{ "link", 2 },
	{ "locka", 200 },
	{ "mknod", 50 },
	{ "mmap", 5 },
	{ "open", 200 },
	{ "rename", 500 },
	{ "seek", 500 },
	{ "sendfile", 50 },
	{ "symlink", 2 },
	{ "sync-file", 5 },
	{ "utime", 500 },
	{ "xattr", 2 },
};

enum { TOKEN_PLAIN = 1, TOKEN_POOL, TOKEN_FEW_PLAIN, TOKEN_FEW_POOL, TOKEN_LIST };

/**
 * struct kind - a tmpfs to run the tests on, and one with few inodes
 * @dir:   where it is; what is old is in its directory "old"
 * @few:   where the other one is
 * @more:  what it has of mount options besides its limits
 * @token: of LUO; 0: it is made in the next kernel
 */
struct kind {
	const char *dir;
	const char *few;
	const char *more;
	int token;
};

static const struct kind fresh = { "/fresh", "/fresh-few", "", 0 };

static const struct kind kinds[] = {
	{ "/plain", "/plain-few", "", TOKEN_PLAIN },
	{ "/pool", "/pool-few", ",preserve", TOKEN_POOL },
};

/* What is old, as the last kernel has listed it. */
static struct tree_text lists[STAGE_COUNT(kinds)];

static void mount_one(const char *dir, const char *limit, const char *more)
{
	char options[64];
	int fd;

	snprintf(options, sizeof(options), "%s%s", limit, more);
	fd = tree_mount(dir, options);
	require(fd >= 0, "mount %s: %d", dir, fd);
	close(fd);
}

static void fill(const struct kind *kind)
{
	char old[64];

	mount_one(kind->dir, "size=128m", kind->more);
	mount_one(kind->few, "nr_inodes=3", kind->more);
	snprintf(old, sizeof(old), "%s/old", kind->dir);
	require(!mkdir(old, 0755), "make %s", old);
	tree_make(old, NR_INODES, 5);
}

static void list_old(struct tree_text *list, const struct kind *kind)
{
	char old[64];

	snprintf(old, sizeof(old), "%s/old", kind->dir);
	tree_list(list, old, true);
}

static void add(int session, const char *dir, int token)
{
	int fd = tree_open(dir), err;

	err = preserve_session_add_fd(session, fd, token);
	check(!err, "%s is preserved (%d)", dir, err);
	close(fd);
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd;
	struct tree_text list = {};
	unsigned int i;

	for (i = 0; i < STAGE_COUNT(kinds); i++) {
		fill(&kinds[i]);
		list_old(&list, &kinds[i]);
		add(session, kinds[i].dir, kinds[i].token);
		add(session, kinds[i].few, kinds[i].token + 2);
		fd = tree_text_keep(&list, "list");
		require(!preserve_session_add_fd(session, fd, TOKEN_LIST + i),
			"its list");
		tree_text_free(&list);
	}
}

static void attach(int session, const char *dir, int token)
{
	int fd = preserve_session_get_fd(session, token);

	require(fd >= 0, "no %s: %d", dir, fd);
	check(!tree_attach(fd, dir), "%s is attached", dir);
	close(fd);
}

/* Stress-ng leaves out what it thinks cannot work, and still succeeds. */
static bool skips(const struct program *program)
{
	const char *text = program_output(program);

	return strstr(text, "will be skipped") ||
	       (strstr(text, "skipped:") && !strstr(text, "skipped: 0"));
}

/* The program finds the tree at /tmp, and itself in it. */
static void run_on(const char *dir, const char *const *argv)
{
	struct program program;
	int status;

	program_use_tmp(dir);
	program_become(0, "/tmp");
	program = program_start(argv);
	status = program_wait(&program);
	program_use_tmp(NULL);
	program_become(0, "/");
	if (!check(!status && !skips(&program), "%s: %s passes (%d)", dir,
		   program.name, status))
		program_show(&program);
}

static void run_tests(const struct kind *kind)
{
	unsigned int i;
	char path[64];

	for (i = 0; i < STAGE_COUNT(tests); i++)
		run_on(kind->dir, PROGRAM_ARGV(tests[i]));
	run_on(kind->few, PROGRAM_ARGV(TEST_OF_FEW));
	snprintf(path, sizeof(path), "%s/1", kind->few);
	check(!access(path, F_OK), "%s: it has been there", kind->few);
}

/* All at the same time, for so many operations each. */
static void run_stress(const struct kind *kind)
{
	static char words[MAX_WORDS][WORD_SIZE];
	const char *argv[MAX_WORDS + 1] = {
		STRESS, "--verify", "--temp-path", "/tmp", "--no-rand-seed",
		"--timeout", "100", "--hdd-bytes", "4m", "--mmap-file",
		"--mmap-bytes", "1m", "--fallocate-bytes", "4m",
		"--seek-size", "4m",
		"--sync-file-bytes", "1m",
	};
	unsigned int n = 0, i, end;

	while (argv[n])
		n++;
	for (i = 0; i < STAGE_COUNT(stressors); i++) {
		require(n + 4 <= MAX_WORDS, "room for words");
		snprintf(words[n], WORD_SIZE, "--%s", stressors[i].name);
		snprintf(words[n + 1], WORD_SIZE, "1");
		snprintf(words[n + 2], WORD_SIZE, "--%s-ops",
			 stressors[i].name);
		snprintf(words[n + 3], WORD_SIZE, "%u", stressors[i].ops);
		for (end = n + 4; n < end; n++)
			argv[n] = words[n];
	}
	run_on(kind->dir, argv);
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	return remove(path);
}

/* What a test has left behind. */
static void remove_new(const char *dir)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	char path[PATH_MAX];

	require(d, "open %s", dir);
	while ((entry = readdir(d))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    !strcmp(entry->d_name, "old"))
			continue;
		ksft_print_msg("%s/%s is left behind\n", dir, entry->d_name);
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		require(!nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS),
			"remove %s", path);
	}
	closedir(d);
}

static void run_all(const struct kind *kind)
{
	struct statvfs was, is;

	require(!statvfs(kind->dir, &was), "limits of %s", kind->dir);
	run_tests(kind);
	run_stress(kind);
	remove_new(kind->dir);
	require(!statvfs(kind->dir, &is), "limits of %s", kind->dir);
	check(was.f_bfree == is.f_bfree && was.f_ffree == is.f_ffree,
	      "%s: %lu of %lu blocks and %lu of %lu inodes are free again",
	      kind->dir, is.f_bfree, was.f_bfree, is.f_ffree, was.f_ffree);
}

static void retrieve(void)
{
	int session = stage_session_retrieve(SESSION);
	unsigned int i;

	for (i = 0; i < STAGE_COUNT(kinds); i++) {
		attach(session, kinds[i].dir, kinds[i].token);
		attach(session, kinds[i].few, kinds[i].token + 2);
		tree_text_read(&lists[i],
			       preserve_session_get_fd(session, TOKEN_LIST + i));
	}
	stage_session_finish(session);
}

static void after(void)
{
	struct tree_text now = {};
	unsigned int i;

	program_prepare_system();
	retrieve();
	fill(&fresh);
	run_all(&fresh);
	for (i = 0; i < STAGE_COUNT(kinds); i++) {
		run_all(&kinds[i]);
		list_old(&now, &kinds[i]);
		check(tree_same(&lists[i], &now), "%s: what is old is the same",
		      kinds[i].dir);
		tree_text_free(&now);
		check(!umount(kinds[i].dir) && !umount(kinds[i].few),
		      "%s: can be unmounted", kinds[i].dir);
	}
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
