// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl restore: what has crossed goes to where it was.
 *
 * The session is finished when everything is in its place. If something is not, a keeper gets
 * the session, and the next restore goes on from there. If a signal kills this process, the
 * kernel has the session as before, with all that is in it.
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "device.h"
#include "keeper.h"
#include "kernel.h"
#include "lock.h"
#include "place.h"
#include "report.h"
#include "saved.h"
#include "say.h"
#include "verify.h"

/* Where things go whose list is damaged: by name and token. */
#define LOST_DIR	"/run/preserve/lost"

/**
 * struct restoring - A restore that is under way.
 * @name:     What the user has called it.
 * @over:     Also over what is there.
 * @service:  The caller is a service of ours, in which keepers may stay.
 * @session:  The session, -1 if there is none, or no more.
 * @keeper:   The keeper that it was borrowed from, or 0.
 * @come:     There is something to restore.
 * @refused:  It cannot be had; that has been told the user.
 * @ready:    Its list has been read.
 * @files:    How many files the session has; 0 if that is not known.
 * @list_fd:  The list's memfd, or -1 if it is damaged.
 * @sums_fd:  The checksums' memfd, or -1 if there is none.
 * @manifest: The list.
 * @fds:      What has come, in the list's order; -1 for what has not.
 * @placed:   How many are where they were, or ready for a program.
 * @lost:     How many the kernel cannot give back, now or later.
 * @verification: Compares them with what was noted; its rows are NULL if nothing was.
 * @seconds:  How long it took.
 * @results:  A row for each item.
 */
struct restoring {
	const char *name;
	bool over;
	bool service;
	int session;
	pid_t keeper;
	bool come;
	bool refused;
	bool ready;
	uint64_t files;
	int list_fd;
	int sums_fd;
	struct manifest manifest;
	int *fds;
	unsigned int placed;
	unsigned int lost;
	struct verification verification;
	double seconds;
	struct json_object *results;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* --- the session --- */

static int no_session(const char *name, int err)
{
	char comm[16];
	pid_t holder;

	switch (err) {
	case -ENOENT:
		return fail(CTL_FAILED, "preservectl list shows what has come",
			    "nothing that is called %s has come from the last kernel", name);
	case -EINVAL:
		return fail(CTL_FAILED, "wait for it, then try again",
			    "another process is restoring %s", name);
	case -EBUSY:
		holder = device_holder(comm);
		return fail(CTL_FAILED, "end that process", "/dev/liveupdate is open in process %d (%s)",
			    holder, holder ? comm : "unknown");
	case -EIO:
		return fail(CTL_FAILED, "look into the kernel log; kexec once more to get the memory back",
			    "the kernel cannot read what has been handed over");
	case -EPERM:
	case -EACCES:
		return fail(CTL_FAILED, "become root", "cannot get %s: %s", name,
			    errno_text(err));
	default:
		return fail(CTL_FAILED, "look into the kernel log", "cannot get %s: %s", name,
			    errno_text(err));
	}
}

/* Other memory under the same name would be in the way of what has come. */
static int check_kept(const char *name)
{
	pid_t kept = keeper_find(name, false);

	if (!kept)
		return CTL_DONE;
	if (kept < 0)
		return fail(CTL_FAILED, NULL, "cannot look for what is kept: %s",
			    errno_text(kept));
	return fail(CTL_FAILED, "preservectl save it under another name (its descriptors are in /proc/PID/fd), then drop --free it",
		    "%s has come from the last kernel, and process %d keeps other memory under this name",
		    name, kept);
}

/* Without the kernel's list only an attempt says whether there is something. */
static int retrieve(struct restoring *restoring, const char *full)
{
	int fd = device_retrieve(full);

	if (fd == -ENOENT)
		return CTL_DONE;
	restoring->come = true;
	if (fd < 0)
		return no_session(restoring->name, fd);
	restoring->session = fd;
	if (!check_kept(restoring->name))
		return CTL_DONE;
	session_let_go(fd);
	restoring->session = -1;
	return CTL_FAILED;
}

/* From the keeper of an earlier try. */
static int borrow(struct restoring *restoring, const struct session *session)
{
	pid_t keeper = keeper_find(restoring->name, true);
	int fd = keeper > 0 && session->holder == keeper ? session_borrow(session) : -EINVAL;

	restoring->come = true;
	if (fd < 0)
		return no_session(restoring->name, fd);
	restoring->keeper = keeper;
	restoring->session = fd;
	return CTL_DONE;
}

/* Leaves the session -1 if there is nothing to do. */
static int get_session(struct restoring *restoring)
{
	char full[PRESERVE_SESSION_NAME_SIZE];
	const struct session *session;
	struct sessions sessions;
	int status, err;

	snprintf(full, sizeof(full), SESSION_PREFIX "%s", restoring->name);
	err = sessions_read(&sessions, false);
	session = err ? NULL : sessions_find(&sessions, full);
	if (session && session->state == SESSION_RETRIEVED && !session->holder) {
		/* Only then it matters who has it. */
		sessions_free(&sessions);
		err = sessions_read(&sessions, true);
		session = err ? NULL : sessions_find(&sessions, full);
	}
	if (err)
		return no_session(restoring->name, err);
	restoring->files = session ? session->files : 0;
	if (session && (session->state == SESSION_OUTGOING || session->state == SESSION_HELD))
		status = fail(CTL_FAILED, "preservectl kexec, then restore it; or preservectl drop it",
			      "%s is saved, and has not crossed a kexec yet", restoring->name);
	else if (session && session->state == SESSION_RETRIEVED)
		status = borrow(restoring, session);
	else if (session)
		status = retrieve(restoring, full);
	else if (!sessions.listed)
		status = retrieve(restoring, full);
	else
		status = CTL_DONE;
	sessions_free(&sessions);
	return status;
}

/* --- the list --- */

static bool is_final(int err);
static int get_sums(struct restoring *restoring);

/* Closes it, if it has checksums. */
static bool is_sums(int fd)
{
	char head[sizeof(SUMS_HEAD) - 1];

	if (fd < 0 || pread(fd, head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head, SUMS_HEAD, sizeof(head)))
		return false;
	close(fd);
	return true;
}

/* Without a list each file goes to a place of its own, so that a person can sort them. */
static int list_by_tokens(struct restoring *restoring)
{
	char path[128];
	struct stat st;
	int fd, err = 0;

	manifest_free(&restoring->manifest);
	snprintf(restoring->manifest.name, sizeof(restoring->manifest.name), "%s",
		 restoring->name);
	for (uint64_t token = 1; !err && token <= MANIFEST_MAX_ITEMS &&
	     restoring->manifest.nr + 1 < restoring->files; token++) {
		fd = preserve_session_get_fd(restoring->session, token);
		/* One that could not be saved has left its token; checksums are no item. */
		if (fd == -ENOENT || is_sums(fd))
			continue;
		snprintf(path, sizeof(path), LOST_DIR "/%s/%llu", restoring->name,
			 (unsigned long long)token);
		err = manifest_add(&restoring->manifest, fd >= 0 && !fstat(fd, &st) &&
				   S_ISDIR(st.st_mode) ? ITEM_MOUNT : ITEM_MEMFD, NULL, path);
		if (!err)
			restoring->manifest.items[restoring->manifest.nr - 1].token = token;
		if (fd >= 0)
			close(fd);
	}
	return err;
}

static int without_list(struct restoring *restoring)
{
	if (!restoring->files)
		return fail(CTL_PARTLY, "mount -t debugfs none /sys/kernel/debug, and restore it again",
			    "the list of %s is damaged, and how many files it has is not known",
			    restoring->name);
	warn("the list of %s is damaged: its mounts go to " LOST_DIR "/%s, and its files are kept",
	     restoring->name, restoring->name);
	return 0;
}

/* What an earlier try has placed: the list of the keeper that it has left says so. */
static void get_placed(struct restoring *restoring)
{
	struct manifest earlier;

	if (!restoring->keeper || keeper_manifest(restoring->keeper, &earlier))
		return;
	for (unsigned int i = 0; i < restoring->manifest.nr; i++)
		for (unsigned int e = 0; e < earlier.nr; e++)
			if (earlier.items[e].token == restoring->manifest.items[i].token)
				restoring->manifest.items[i].placed = earlier.items[e].placed;
	restoring->manifest.differs = earlier.differs;
	restoring->manifest.unread = earlier.unread;
	manifest_free(&earlier);
}

static int get_list(struct restoring *restoring)
{
	int err, status;

	restoring->list_fd = preserve_session_get_fd(restoring->session, MANIFEST_TOKEN);
	err = restoring->list_fd < 0 ? restoring->list_fd :
	      manifest_read(&restoring->manifest, restoring->list_fd);
	if (err == -EPROTO)
		return fail(CTL_PARTLY, "install a newer preservectl, then restore it",
			    "%s was saved by a newer preservectl", restoring->name);
	if (err && !is_final(err))
		return fail(CTL_PARTLY, "remove the reason, and restore it again",
			    "cannot get the list of %s: %s", restoring->name, errno_text(err));
	if (err) {
		status = without_list(restoring);
		if (status)
			return status;
		err = list_by_tokens(restoring);
	}
	if (!err)
		restoring->fds = calloc(restoring->manifest.nr + 1, sizeof(int));
	if (err || !restoring->fds)
		return fail(CTL_PARTLY, "restore it again", "%s: %s", restoring->name,
			    errno_text(err ? err : -ENOMEM));
	for (unsigned int i = 0; i < restoring->manifest.nr; i++)
		restoring->fds[i] = -1;
	get_placed(restoring);
	return get_sums(restoring);
}

/* --- items --- */

/* Not about this process or this moment: the kernel cannot give it back, whatever is tried. */
static bool is_final(int err)
{
	static const int passing[] = {
		-ENOMEM, -ENOSPC, -EDQUOT, -ENFILE, -EMFILE, -EPERM, -EACCES, -EBUSY, -EAGAIN,
		-EINTR,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(passing); i++)
		if (err == passing[i])
			return false;
	return true;
}

static const char *why_not_got(int err)
{
	switch (err) {
	case -EBADMSG:
	case -EUCLEAN:
	case -EIO:
		return "it is damaged, or was given up by the last kernel: see the kernel log";
	case -ENOENT:
		return "it could not be saved, or was given up: journalctl -b -1 says why";
	case -EPROTO:
	case -EINVAL:
		return "this kernel does not know its format, or lacks an option that it has";
	case -EOPNOTSUPP:
		return "this kernel lacks something that it needs, such as huge pages of its size";
	case -ENOMEM:
		return "there is not enough memory: free some, and restore again";
	case -EPERM:
		return "it takes CAP_SYS_ADMIN: become root";
	default:
		return "remove the reason, and restore again";
	}
}

static const char *why_not_placed(int err)
{
	switch (err) {
	case -EEXIST:
		return "something else is there: move it away, or restore with --over";
	case -ENXIO:
		return "the mount that it is in is not there yet: that comes first";
	case -ELOOP:
		return "a symbolic link is on the way: remove it, and restore again";
	case -EROFS:
		return "the file system there is read-only: remount it, and restore again";
	case -ENOSPC:
	case -EDQUOT:
		return "there is no room: make some, and restore again";
	default:
		return "remove the reason, and restore again";
	}
}

static int place(const struct restoring *restoring, const struct item *item, int fd)
{
	switch (item->kind) {
	case ITEM_MOUNT:
		return place_mount(fd, item->path, restoring->over);
	case ITEM_FILE:
		/* Its program may have written it since. */
		return item->placed ? 0 : place_file(fd, item->path, restoring->over);
	case ITEM_MEMFD:
		return 0;
	}
	return -EINVAL;
}

static void add_result(struct restoring *restoring, const struct item *item, int err, bool lost)
{
	struct json_object *row = json_object_new_object();

	report_text(row, "label", item->label);
	report_text(row, "kind", item_kind_text(item->kind));
	report_text(row, "path", item->path);
	report_bool(row, "restored", !err);
	report_bool(row, "lost", lost);
	report_text(row, "error", err ? errno_text(err) : NULL);
	json_object_array_add(restoring->results, row);
}

/**
 * struct entry - An item among those of all names.
 * @restoring: Its name's.
 * @i:         Its place in the list.
 */
struct entry {
	struct restoring *restoring;
	unsigned int i;
};

/* The checksums, if some were noted. */
static int get_sums(struct restoring *restoring)
{
	int fd;

	if (!restoring->manifest.sums)
		return CTL_DONE;
	fd = preserve_session_get_fd(restoring->session, restoring->manifest.sums);
	if (fd < 0 && !is_final(fd))
		return fail(CTL_PARTLY, "remove the reason, and restore it again",
			    "cannot get the checksums of %s: %s", restoring->name, errno_text(fd));
	restoring->sums_fd = fd;
	verify_begin(&restoring->verification, restoring->name, fd);
	return CTL_DONE;
}

/* What an earlier try has placed may have changed since. */
static void verify(struct restoring *restoring, const struct item *item, int fd)
{
	if (restoring->verification.noted.stream && !item->placed)
		verify_item(&restoring->verification, item, fd);
}

/* Return: it is settled: placed or lost. */
static bool restore_item(struct restoring *restoring, unsigned int i, bool outer_failed)
{
	const struct item *item = &restoring->manifest.items[i];
	const char *path = item->path ? item->path : item->label;
	double start = now();
	int fd = preserve_session_get_fd(restoring->session, item->token);
	bool lost = fd < 0 && is_final(fd);
	int err;

	/* Before any program can change it. */
	if (fd >= 0 && !outer_failed)
		verify(restoring, item, fd);
	err = fd < 0 ? fd : outer_failed ? -ENXIO : place(restoring, item, fd);

	if (err) {
		fail(0, fd < 0 ? why_not_got(err) : why_not_placed(err),
		     "%s: cannot restore %s: %s", restoring->name, path, errno_text(err));
		if (fd >= 0)
			close(fd);
		restoring->lost += lost;
	} else {
		restoring->fds[i] = fd;
		restoring->placed++;
		/* For the next try, if there has to be one. */
		restoring->manifest.items[i].placed = true;
	}
	add_result(restoring, item, err, lost);
	restoring->seconds += now() - start;
	return !err || lost;
}

static const struct item *item_of(const struct entry *entry)
{
	return &entry->restoring->manifest.items[entry->i];
}

/* Mounts in the order of their paths: one may be in another. The others come after them. */
static int by_path(const void *a, const void *b)
{
	const struct item *x = item_of(a), *y = item_of(b);

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return strcmp(x->path ? x->path : "", y->path ? y->path : "");
}

static unsigned int add_entries(struct restoring *restoring, struct entry *entries)
{
	for (unsigned int i = 0; i < restoring->manifest.nr; i++)
		entries[i] = (struct entry){ restoring, i };
	return restoring->manifest.nr;
}

/* Is it in a mount that is still to come? One that is lost is not waited for. */
static bool is_in_failed(const struct entry *failed, unsigned int nr, const struct entry *entry)
{
	const char *path = item_of(entry)->path;

	for (unsigned int i = 0; path && i < nr; i++) {
		const char *outer = item_of(&failed[i])->path;
		size_t len = strlen(outer);

		if (!strncmp(path, outer, len) && (path[len] == '/' || !strcmp(outer, "/")))
			return true;
	}
	return false;
}

/* Mounts that are still to come move to the front, as far as the rest is done. */
static void restore_entries(struct entry *entries, unsigned int nr)
{
	unsigned int failed = 0;

	for (unsigned int i = 0; i < nr; i++) {
		struct entry entry = entries[i];
		bool in_failed = is_in_failed(entries, failed, &entry);

		if (!restore_item(entry.restoring, entry.i, in_failed) &&
		    item_of(&entry)->kind == ITEM_MOUNT)
			entries[failed++] = entry;
	}
}

/* All names' at once: a mount of one may be in a mount of another. Return: 0 or -ENOMEM. */
static int restore_items(struct restoring *restorings, unsigned int nr)
{
	unsigned int all = 0, at = 0;
	struct entry *entries;

	for (unsigned int i = 0; i < nr; i++)
		all += restorings[i].ready ? restorings[i].manifest.nr : 0;
	entries = calloc(all + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (unsigned int i = 0; i < nr; i++)
		if (restorings[i].ready)
			at += add_entries(&restorings[i], entries + at);
	qsort(entries, all, sizeof(*entries), by_path);
	restore_entries(entries, all);
	free(entries);
	return 0;
}

/* --- the end --- */

static int start_session_keeper(struct restoring *restoring)
{
	struct keeper_load load = {
		.name = restoring->name, .manifest = restoring->list_fd,
		.session = restoring->session, .sums = -1,
	};
	struct keeper_start start;
	int made = -1, err;

	/* The next try is to know what this one has placed. */
	if (restoring->manifest.nr || load.manifest < 0) {
		made = manifest_write(&restoring->manifest);
		load.manifest = made;
	}
	err = load.manifest < 0 ? load.manifest :
	      keeper_start(&load, !restoring->service, &start);
	if (made >= 0)
		close(made);
	return err ? err : keeper_commit(&start);
}

/* A keeper has what is not done; if none can be started, the kernel has it again. */
static void keep_session(struct restoring *restoring)
{
	int err = start_session_keeper(restoring);

	if (err)
		warn("no process can be started that holds %s: %s; it is where it was",
		     restoring->name, errno_text(err));
	else if (restoring->keeper)
		keeper_stop(restoring->keeper);
}

/*
 * What has come is kept for programs, and for the next save: memfds, the roots of mounts, the
 * list. The keeper has the session as well until it is finished: whichever process is killed
 * in between, nothing is lost.
 */
static int keep_items(struct restoring *restoring, struct keeper_start *start)
{
	struct keeper_load load = {
		.name = restoring->name, .session = restoring->session,
		.sums = restoring->sums_fd, .items = restoring->fds,
		.nr = restoring->manifest.nr, .finish = true,
	};
	int err;

	if (load.sums < 0)
		manifest_forget_sums(&restoring->manifest);

	restoring->manifest.crossed = true;
	load.manifest = manifest_write(&restoring->manifest);
	if (load.manifest < 0)
		return load.manifest;
	err = keeper_start(&load, !restoring->service, start);
	close(load.manifest);
	return err;
}

/* What is lost is not on the list any more, nor is a file kept open. */
static void forget(struct restoring *restoring)
{
	struct manifest *manifest = &restoring->manifest;
	unsigned int out = 0;

	for (unsigned int i = 0; i < manifest->nr; i++) {
		if (restoring->fds[i] < 0) {
			free(manifest->items[i].path);
			continue;
		}
		if (manifest->items[i].kind == ITEM_FILE) {
			close(restoring->fds[i]);
			restoring->fds[i] = -1;
		}
		manifest->items[out] = manifest->items[i];
		restoring->fds[out++] = restoring->fds[i];
	}
	manifest->nr = out;
}

/* What has come is in this process alone, for a moment. */
static void keep_again(struct restoring *restoring)
{
	int err = keeper_keep(&restoring->manifest, restoring->fds, restoring->sums_fd,
			      !restoring->service);

	if (err)
		fail(0, "its mounts are where they were; its memfds are lost",
		     "what kept %s was killed, and no other process can be started: %s",
		     restoring->name, errno_text(err));
}

/* Return: the session is finished. */
static bool finish(struct restoring *restoring)
{
	struct keeper_start start = { .starter = -1 };
	int err = 0;

	forget(restoring);
	if (restoring->manifest.nr)
		err = keep_items(restoring, &start);
	if (err) {
		fail(0, "restore it again", "no process can be started that keeps what %s has: %s",
		     restoring->name, errno_text(err));
		return false;
	}
	err = preserve_session_finish(restoring->session);
	if (err) {
		if (start.starter >= 0)
			keeper_cancel(&start);
		fail(0, "restore it again", "%s cannot be finished: %s", restoring->name,
		     errno_text(err));
		return false;
	}
	if (restoring->manifest.nr && keeper_commit(&start))
		keep_again(restoring);
	if (restoring->keeper)
		keeper_stop(restoring->keeper);
	return true;
}

/* Also what an earlier try has found. */
static void tell_differences(const struct restoring *restoring, bool finished)
{
	const struct verification *verification = &restoring->verification;
	const char *noted = restoring->manifest.noted;

	if (verification->nr > VERIFY_SHOWN)
		note("and %llu more", (unsigned long long)verification->nr - VERIFY_SHOWN);
	if (verification->nr)
		fail(0, "keep a copy before its programs run; the kernel log may say more",
		     "%s: %llu %s from what was noted at %s", restoring->name,
		     (unsigned long long)verification->nr,
		     verification->nr == 1 ? "difference" : "differences", noted);
	else if (restoring->manifest.differs)
		fail(0, NULL, "%s: something differed when an earlier try restored it",
		     restoring->name);
	else if (finished && verification->items && !restoring->manifest.unread)
		note("%s is as it was noted at %s", restoring->name, noted);
	if (finished && verification->passed)
		note("%u of its items were not noted", verification->passed);
}

static void tell(const struct restoring *restoring, bool finished, struct json_object *document)
{
	struct json_object *entry = json_object_new_object();
	unsigned int all = json_object_array_length(restoring->results);

	if (!finished)
		note("restored %u of %u items of %s; the others stay in its session: restore it again, or preservectl drop --free %s",
		     restoring->placed, all, restoring->name, restoring->name);
	else if (restoring->lost)
		note("restored %u of %u items of %s; the others are lost", restoring->placed,
		     all, restoring->name);
	else
		note("restored %s: %u %s, in %.0f ms", restoring->name, restoring->placed,
		     restoring->placed == 1 ? "item" : "items", restoring->seconds * 1000);
	tell_differences(restoring, finished);
	report_text(entry, "name", restoring->name);
	report_text(entry, "saved", restoring->manifest.saved);
	report_text(entry, "kernel", restoring->manifest.kernel);
	report_bool(entry, "finished", finished);
	report_add(entry, "seconds", json_object_new_double(restoring->seconds));
	report_add(entry, "items", json_object_get(restoring->results));
	report_bool(entry, "differs", restoring->manifest.differs);
	report_add(entry, "differ", json_object_get(restoring->verification.rows));
	json_object_array_add(document, entry);
}

static void end(struct restoring *restoring)
{
	for (unsigned int i = 0; restoring->fds && i < restoring->manifest.nr; i++)
		if (restoring->fds[i] >= 0)
			close(restoring->fds[i]);
	free(restoring->fds);
	manifest_free(&restoring->manifest);
	if (restoring->list_fd >= 0)
		close(restoring->list_fd);
	/* If it is not finished, this must not be what finishes it. */
	if (restoring->session >= 0)
		session_let_go(restoring->session);
	json_object_put(restoring->results);
	if (restoring->sums_fd >= 0)
		close(restoring->sums_fd);
	verify_end(&restoring->verification);
}

/* Its session and its list. */
static int begin(struct restoring *restoring)
{
	int status;

	restoring->session = -1;
	restoring->list_fd = -1;
	restoring->sums_fd = -1;
	restoring->results = json_object_new_array();
	snprintf(restoring->manifest.name, sizeof(restoring->manifest.name), "%s",
		 restoring->name);
	status = get_session(restoring);
	restoring->refused = status;
	if (restoring->session >= 0)
		restoring->ready = !get_list(restoring);
	return status;
}

/* What is done, what is not. */
static int complete(struct restoring *restoring, bool tried, struct json_object *document)
{
	bool finished = restoring->ready && tried &&
			restoring->placed + restoring->lost == restoring->manifest.nr;

	restoring->manifest.differs |= restoring->verification.nr;
	restoring->manifest.unread |= restoring->verification.unread;
	finished = finished && finish(restoring);
	if (!finished)
		keep_session(restoring);
	tell(restoring, finished, document);
	if (!finished || restoring->lost)
		return CTL_PARTLY;
	return restoring->manifest.differs || restoring->manifest.unread ? CTL_DIFFERS : CTL_DONE;
}

static int restore_many(struct restoring *restorings, unsigned int nr,
			struct json_object *document)
{
	int status = CTL_DONE, one;
	bool done = false, tried;

	for (unsigned int i = 0; i < nr; i++) {
		one = begin(&restorings[i]);
		status = worse_of(status, one);
	}
	tried = !restore_items(restorings, nr);
	for (unsigned int i = 0; i < nr; i++) {
		if (restorings[i].session >= 0) {
			one = complete(&restorings[i], tried, document);
			status = worse_of(status, one);
			done = true;
		}
		end(&restorings[i]);
	}
	return status && status != CTL_DIFFERS && done ? CTL_PARTLY : status;
}

int restore_name(const char *name, bool service, bool *come)
{
	struct restoring restoring = { .name = name, .service = service };
	struct json_object *document = json_object_new_array();
	int status = restore_many(&restoring, 1, document);

	*come = restoring.come;
	json_object_put(document);
	return status;
}

/* All that has come, and what is left of earlier tries. One does not stop the others. */
static int restore_sessions(const struct sessions *sessions, bool over, bool service,
			    struct json_object *document)
{
	struct restoring *restorings = calloc(sessions->nr + 1, sizeof(*restorings));
	int status = CTL_DONE, one;
	unsigned int nr = 0;

	if (!restorings)
		return fail(CTL_FAILED, NULL, "out of memory");
	for (unsigned int i = 0; i < sessions->nr; i++) {
		const struct session *session = &sessions->list[i];
		const char *name = session_saved_name(session);

		if (!name || (session->state != SESSION_INCOMING &&
			      session->state != SESSION_RETRIEVED))
			continue;
		if (manifest_check_name(name))
			status = fail(CTL_PARTLY, "it was not saved by preservectl: have its program retrieve it",
				      "nothing can be called %s", name);
		else
			restorings[nr++] = (struct restoring){
				.name = name, .over = over, .service = service,
			};
	}
	one = restore_many(restorings, nr, document);
	free(restorings);
	return worse_of(one, status);
}

static int restore_all(bool over, bool service, struct json_object *document)
{
	struct sessions sessions;
	int status, err;

	err = sessions_read(&sessions, false);
	if (err)
		return fail(CTL_FAILED, err == -EACCES ? "become root" : "look into the kernel log",
			    "/dev/liveupdate: %s", errno_text(err));
	if (!sessions.listed)
		status = fail(CTL_FAILED, "mount -t debugfs none /sys/kernel/debug, or give names",
			      "the kernel's list of sessions cannot be read");
	else
		status = restore_sessions(&sessions, over, service, document);
	sessions_free(&sessions);
	return status;
}

int restore_everything(bool service)
{
	struct json_object *document = json_object_new_array();
	int status = restore_all(false, service, document);

	json_object_put(document);
	return status;
}

/* A name that is given has to be there. */
static int is_already(const struct restoring *restoring)
{
	pid_t kept = keeper_find(restoring->name, false);

	if (kept <= 0)
		return no_session(restoring->name, kept ? kept : -ENOENT);
	note("%s is restored already", restoring->name);
	return CTL_DONE;
}

static int restore_given(char **names, unsigned int nr, bool over, struct json_object *document)
{
	struct restoring *restorings = calloc(nr, sizeof(*restorings));
	int status, one;

	if (!restorings)
		return fail(CTL_FAILED, NULL, "out of memory");
	for (unsigned int i = 0; i < nr; i++)
		restorings[i] = (struct restoring){ .name = names[i], .over = over };
	status = restore_many(restorings, nr, document);
	for (unsigned int i = 0; i < nr; i++) {
		one = restorings[i].come || restorings[i].refused ? CTL_DONE :
		      is_already(&restorings[i]);
		status = worse_of(status, one && i ? CTL_PARTLY : one);
	}
	free(restorings);
	return status;
}

int cmd_restore(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "over", no_argument, NULL, 'o' },
		{},
	};
	bool all = false, over = false;
	struct json_object *document;
	const char *why, *next;
	int c, status;

	while ((c = ctl_getopt(argc, argv, options)) != -1) {
		if (c == 'a')
			all = true;
		else if (c == 'o')
			over = true;
		else
			return CTL_USAGE;
	}
	if (all ? optind < argc : optind == argc)
		return ctl_usage("restore");
	for (int i = optind; i < argc; i++)
		if (manifest_check_name(argv[i]))
			return fail(CTL_USAGE, "preservectl list", "nothing can be called that");
	why = kernel_why_not(&next);
	if (why)
		return fail(CTL_NO_SUPPORT, next, "%s", why);
	status = lock_take(LOCK_STATE);
	if (status)
		return status;
	document = json_object_new_array();
	status = all ? restore_all(over, false, document) :
		       restore_given(argv + optind, argc - optind, over, document);
	if (ctl.json)
		report_json(document);
	json_object_put(document);
	return status;
}
