// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl run: a program with memory that outlives it. A keeper has the list, and the
 * memfd; so the next run finds it, and so does save.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <preserve.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ctl.h"
#include "keeper.h"
#include "kernel.h"
#include "lock.h"
#include "mounts.h"
#include "place.h"
#include "saved.h"
#include "say.h"

#define RUN_DIR		"/run/preserve/"

/* The memfd's descriptor in the program. */
#define PROGRAM_FD	3

/**
 * struct run - What a program is to have.
 * @name:  What the user calls it.
 * @dir:   Where its tmpfs is, or NULL.
 * @tmpfs: The size of that.
 * @memfd: The size of its memfd, 0 for none.
 * @fd:    The memfd, or -1.
 * @state: Where it comes from, in a word.
 * @differs: It is not what was noted of it before the kexec.
 * @at:    The user has said where the tmpfs is.
 * @mounted: This command has mounted it.
 */
struct run {
	const char *name;
	char *dir;
	uint64_t tmpfs;
	uint64_t memfd;
	int fd;
	const char *state;
	bool differs;
	bool at;
	bool mounted;
};

/* --- what has come --- */

static int restore_what_has_come(struct run *run)
{
	bool come;

	return restore_name(run->name, false, &come);
}

/* --- what is there, or is made --- */

/*
 * A tmpfs that is there, and that no keeper of this name has: an empty one, or run's own, whose
 * keeper was killed.
 */
static int check_tmpfs(struct run *run)
{
	char other[SAVED_NAME_SIZE];

	if (keeper_of_path(run->dir, run->name, other))
		return fail(CTL_FAILED, "give another place: --at DIRECTORY",
			    "the tmpfs at %s is kept under the name %s", run->dir, other);
	if (place_is_empty(run->dir))
		return CTL_DONE;
	if (run->at)
		return fail(CTL_FAILED, "give another place: --at DIRECTORY",
			    "a tmpfs with something in it is at %s already, and no keeper knows it",
			    run->dir);
	run->state = "kept";
	return CTL_DONE;
}

static int make_tmpfs(struct run *run)
{
	char options[64];
	int err = 0;

	if (mount_can_cross_at(run->dir))
		return check_tmpfs(run);
	snprintf(options, sizeof(options), "preserve,mode=0755,size=%llu",
		 (unsigned long long)run->tmpfs);
	if (mount("tmpfs", run->dir, "tmpfs", MS_NOSUID | MS_NODEV, options))
		err = -errno;
	run->mounted = !err;
	return err ? fail(CTL_FAILED, err == -EPERM ? "become root" : "look into the kernel log",
			  "cannot mount a tmpfs at %s: %s", run->dir, errno_text(err)) : CTL_DONE;
}

static int make_memfd(struct run *run)
{
	int err = 0;

	run->fd = preserve_memfd_create(run->name, 0);
	if (run->fd < 0)
		err = run->fd;
	else if (ftruncate(run->fd, run->memfd))
		err = -errno;
	return err ? fail(CTL_FAILED, "look into the kernel log", "cannot make a memfd: %s",
			  errno_text(err)) : CTL_DONE;
}

/* What run has made, among what a keeper has; NULL if it is not there. */
static const struct item *find_item(const struct manifest *manifest, enum item_kind kind,
				    const char *label)
{
	for (unsigned int i = 0; i < manifest->nr; i++)
		if (manifest->items[i].kind == kind && !strcmp(manifest->items[i].label, label))
			return &manifest->items[i];
	return NULL;
}

/* A larger size than the last time: it grows. */
static int grow_memfd(const struct run *run)
{
	struct stat st;

	if (fstat(run->fd, &st) ||
	    ((uint64_t)st.st_size < run->memfd && ftruncate(run->fd, run->memfd)))
		return fail(CTL_FAILED, "ask for the size that it has",
			    "the memfd of %s cannot grow: %s", run->name, errno_text(-errno));
	return CTL_DONE;
}

static int use_memfd(struct run *run, pid_t keeper, const struct manifest *manifest)
{
	const struct item *item = find_item(manifest, ITEM_MEMFD, "memfd");

	if (!item)
		return fail(CTL_FAILED, "take another name", "%s is kept, and has no memfd of run's",
			    run->name);
	run->fd = borrow_fd(keeper, KEEPER_ITEM_FD + (item - manifest->items));
	return run->fd < 0 ? fail(CTL_FAILED, NULL, "cannot get the memfd of %s: %s", run->name,
				  errno_text(run->fd)) : grow_memfd(run);
}

static int grow_tmpfs(const struct run *run)
{
	struct statvfs fs;
	char options[32];

	if (statvfs(run->dir, &fs))
		return fail(CTL_FAILED, NULL, "%s: %s", run->dir, errno_text(-errno));
	if ((uint64_t)fs.f_blocks * fs.f_frsize >= run->tmpfs)
		return CTL_DONE;
	snprintf(options, sizeof(options), "size=%llu", (unsigned long long)run->tmpfs);
	if (mount("tmpfs", run->dir, "tmpfs", MS_REMOUNT | MS_NOSUID | MS_NODEV, options))
		return fail(CTL_FAILED, "ask for the size that it has",
			    "the tmpfs of %s cannot grow: %s", run->name, errno_text(-errno));
	return CTL_DONE;
}

/* Is what the keeper has what is at its place? */
static bool is_at(pid_t keeper, int fd, const char *dir)
{
	int root = borrow_fd(keeper, fd);
	bool same = root >= 0 && mount_is_at(root, dir);

	if (root >= 0)
		close(root);
	return same;
}

static int use_tmpfs(struct run *run, pid_t keeper, const struct manifest *manifest)
{
	const struct item *item = find_item(manifest, ITEM_MOUNT, "tmpfs");
	char next[128];
	int fd;

	if (!item)
		return fail(CTL_FAILED, "take another name", "%s is kept, and has no tmpfs of run's",
			    run->name);
	if (strcmp(item->path, run->dir))
		return fail(CTL_FAILED, "say --at as the first time, or take another name",
			    "the tmpfs of %s is at %s", run->name, item->path);
	fd = KEEPER_ITEM_FD + (item - manifest->items);
	if (is_at(keeper, fd, run->dir))
		return grow_tmpfs(run);
	snprintf(next, sizeof(next), "it is still in /proc/%d/fd/%d: copy what you need from there",
		 keeper, fd);
	return fail(CTL_FAILED, next, "the tmpfs of %s is not at %s any more", run->name,
		    run->dir);
}

static int use_kept(struct run *run, pid_t keeper)
{
	struct manifest manifest;
	int err = keeper < 0 ? keeper : keeper_manifest(keeper, &manifest);
	int status = CTL_DONE;

	if (err)
		return fail(CTL_FAILED, NULL, "cannot read what is kept of %s: %s", run->name,
			    errno_text(err));
	if (run->memfd)
		status = use_memfd(run, keeper, &manifest);
	if (!status && run->dir)
		status = use_tmpfs(run, keeper, &manifest);
	run->state = manifest.crossed ? "restored" : "kept";
	run->differs = manifest.differs;
	manifest_free(&manifest);
	return status;
}

static int make_new(struct run *run)
{
	int items[2], root = -1, err = 0, status = CTL_DONE;
	struct manifest manifest = {};

	snprintf(manifest.name, sizeof(manifest.name), "%s", run->name);
	if (run->dir) {
		status = make_tmpfs(run);
		if (!status)
			root = preserve_mount_open(run->dir);
		items[0] = root;
		err = root < 0 ? root : manifest_add(&manifest, ITEM_MOUNT, "tmpfs", run->dir);
	}
	if (!status && !err && run->memfd) {
		status = make_memfd(run);
		items[manifest.nr] = run->fd;
		err = manifest_add(&manifest, ITEM_MEMFD, "memfd", run->name);
	}
	if (!status) {
		err = err ?: keeper_keep(&manifest, items, -1, true);
		if (err)
			status = fail(CTL_FAILED, "try again", "%s cannot be kept: %s",
				      run->name, errno_text(err));
	}
	if (root >= 0)
		close(root);
	manifest_free(&manifest);
	return status;
}

/* The keeper has its path without symbolic links. */
static int resolve_dir(struct run *run)
{
	int err = place_make_directories(run->dir);
	char *path = err ? NULL : realpath(run->dir, NULL);

	if (!path)
		return fail(CTL_FAILED, NULL, "%s: %s", run->dir, errno_text(err ? err : -errno));
	free(run->dir);
	run->dir = path;
	return CTL_DONE;
}

static int prepare(struct run *run)
{
	int status = restore_what_has_come(run);
	pid_t keeper;

	/* What differs is there nevertheless, and the program is told. */
	if (status && status != CTL_DIFFERS)
		return status;
	if (run->dir) {
		status = resolve_dir(run);
		if (status)
			return status;
	}
	keeper = keeper_find(run->name, false);
	if (keeper)
		return use_kept(run, keeper);
	status = make_new(run);
	if (status && run->mounted)
		umount(run->dir);
	return status;
}

/* --- the program --- */

static int start(const struct run *run, char **argv)
{
	char number[16], names[SAVED_NAME_SIZE];
	struct rlimit limit;
	int err;

	/* ':' is between two names there. */
	snprintf(names, sizeof(names), "%s", run->name);
	for (char *c = names; *c; c++)
		if (*c == ':')
			*c = '_';

	setenv("PRESERVE_NAME", run->name, 1);
	setenv("PRESERVE_STATE", run->state, 1);
	if (run->differs)
		setenv("PRESERVE_DIFFERS", "1", 1);
	else
		unsetenv("PRESERVE_DIFFERS");
	if (run->dir)
		setenv("PRESERVE_DIR", run->dir, 1);
	if (run->fd >= 0) {
		/* As sd_listen_fds(3) has it. */
		snprintf(number, sizeof(number), "%d", getpid());
		setenv("LISTEN_PID", number, 1);
		setenv("LISTEN_FDS", "1", 1);
		setenv("LISTEN_FDNAMES", names, 1);
		if (run->fd == PROGRAM_FD)
			fcntl(run->fd, F_SETFD, 0);
		else if (dup2(run->fd, PROGRAM_FD) < 0)
			return fail(CTL_FAILED, NULL, "dup2: %s", errno_text(-errno));
	}
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = ctl.files;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	fflush(NULL);
	execvp(argv[0], argv);
	err = -errno;
	return fail(CTL_FAILED, "its memory is kept: run it again, or preservectl drop --free it",
		    "cannot start %s: %s", argv[0], errno_text(err));
}

static int size_option(const char *text, uint64_t *bytes)
{
	if (!size_parse(text, bytes) && *bytes)
		return CTL_DONE;
	return fail(CTL_USAGE, "give a number, perhaps with K, M, G or T", "%s is no size", text);
}

/* Without --at the tmpfs has a place of its own. */
static int choose_dir(struct run *run, const char *at)
{
	if (!run->tmpfs)
		return at ? ctl_usage("run") : CTL_DONE;
	if (at && *at != '/')
		return fail(CTL_USAGE, "give its whole path", "%s does not begin with /", at);
	run->at = at;
	if (asprintf(&run->dir, "%s%s", at ? at : RUN_DIR, at ? "" : run->name) < 0) {
		run->dir = NULL;
		return fail(CTL_FAILED, NULL, "out of memory");
	}
	return CTL_DONE;
}

int cmd_run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "tmpfs", required_argument, NULL, 't' },
		{ "memfd", required_argument, NULL, 'm' },
		{ "at", required_argument, NULL, 'a' },
		{},
	};
	const char *why, *next, *at = NULL;
	struct run run = { .fd = -1, .state = "fresh" };
	int c, status = CTL_DONE;

	/* The name stands before the options, as it does in systemctl and ip. */
	if (argc > 1 && argv[1][0] != '-') {
		run.name = argv[1];
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	while (!status && (c = ctl_getopt(argc, argv, options)) != -1) {
		if (c == 't')
			status = size_option(optarg, &run.tmpfs);
		else if (c == 'm')
			status = size_option(optarg, &run.memfd);
		else if (c == 'a')
			at = optarg;
		else
			return CTL_USAGE;
	}
	if (status)
		return status;
	if (!run.name || optind == argc || (!run.tmpfs && !run.memfd))
		return ctl_usage("run");
	if (manifest_check_name(run.name))
		return fail(CTL_USAGE, "take letters, digits, '.', '_', '-', '@', '+' and ':', at most 54, and no '.' or '-' first",
			    "it cannot be called that");
	why = kernel_why_not(&next);
	if (why)
		return fail(CTL_NO_SUPPORT, next, "%s", why);
	status = choose_dir(&run, at);
	if (status)
		return status;
	status = lock_take(LOCK_STATE) ?: prepare(&run);
	if (!status)
		status = start(&run, argv + optind);
	free(run.dir);
	return status;
}
