// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl show: all that is known of a name: its items, how large they are, where they are.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ctl.h"
#include "device.h"
#include "keeper.h"
#include "kernel.h"
#include "list.h"
#include "lock.h"
#include "mounts.h"
#include "report.h"
#include "say.h"
#include "sessions.h"

/**
 * struct shown - What is shown.
 * @name:     The name.
 * @session:  Its session, or NULL.
 * @keeper:   The keeper of the session, or 0.
 * @kept:     The keeper of what is kept, or 0.
 * @manifest: Its list.
 * @kept_items: The list of what is kept; empty if nothing is.
 */
struct shown {
	const char *name;
	const struct session *session;
	pid_t keeper;
	pid_t kept;
	struct manifest manifest;
	struct manifest kept_items;
};

/* --- its list --- */

/* From a session that no process holds; it is given back. */
static int read_incoming(struct shown *shown)
{
	int session = device_retrieve(shown->session->name), list, err;

	if (session < 0)
		return session;
	list = preserve_session_get_fd(session, MANIFEST_TOKEN);
	err = list < 0 ? list : manifest_read(&shown->manifest, list);
	if (list >= 0)
		close(list);
	session_let_go(session);
	return err;
}

static int read_list(struct shown *shown)
{
	if (shown->keeper)
		return keeper_manifest(shown->keeper, &shown->manifest);
	if (shown->session && shown->session->state == SESSION_INCOMING)
		return read_incoming(shown);
	if (shown->session)
		return -ENODATA;
	return keeper_manifest(shown->kept, &shown->manifest);
}

/* --- its items --- */

/* What is kept has descriptors, in the order of the list that its keeper has. */
static int open_kept(const struct shown *shown, const struct item *item)
{
	const struct manifest *kept = &shown->kept_items;

	for (unsigned int i = 0; item->kind != ITEM_FILE && i < kept->nr; i++)
		if (kept->items[i].kind == item->kind && !strcmp(kept->items[i].label, item->label))
			return borrow_fd(shown->kept, KEEPER_ITEM_FD + i);
	return -ENOENT;
}

/* What is at an item's place: what is to be restored is not there yet. */
static int open_place(const struct shown *shown, const struct item *item)
{
	if (!item->path || (shown->session && shown->session->state != SESSION_OUTGOING &&
			    !item->placed))
		return -ENOENT;
	if (item->kind == ITEM_MOUNT && !mount_can_cross_at(item->path))
		return -ENOENT;
	return open(item->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

static const char *where(const struct shown *shown, const struct item *item, int kept, int there)
{
	if (item->missing)
		return "not saved";
	if (kept >= 0 && item->kind == ITEM_MEMFD)
		return "in memory";
	if (kept >= 0)
		return mount_is_at(kept, item->path) ? "mounted" : "not mounted there";
	if (there >= 0)
		return "there";
	return shown->session && (item->kind == ITEM_MEMFD || !item->placed) ? "in its session" :
									      "not there";
}

static void add_sizes(struct json_object *row, const struct item *item, int fd)
{
	struct statvfs fs;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return;
	if (item->kind != ITEM_MOUNT) {
		report_number(row, "size", st.st_size);
		report_number(row, "used", (uint64_t)st.st_blocks * 512);
	} else if (!fstatvfs(fd, &fs)) {
		report_number(row, "size", (uint64_t)fs.f_blocks * fs.f_frsize);
		report_number(row, "used", (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize);
		report_number(row, "inodes", fs.f_files - fs.f_ffree);
	}
}

static void add_mount_options(struct json_object *row, const struct item *item, int fd)
{
	struct mount_info mount;

	if (item->kind != ITEM_MOUNT || fd < 0 || !mount_is_at(fd, item->path) ||
	    mount_of(item->path, &mount))
		return;
	report_text(row, "fstype", mount.fstype);
	report_text(row, "options", mount.options);
	mount_info_free(&mount);
}

static struct json_object *item_row(const struct shown *shown, const struct item *item)
{
	struct json_object *row = json_object_new_object();
	int kept = open_kept(shown, item);
	int there = kept < 0 ? open_place(shown, item) : -1;
	int fd = kept < 0 ? there : kept;

	report_text(row, "label", item->label);
	report_text(row, "kind", item_kind_text(item->kind));
	report_text(row, "path", item->path);
	report_number(row, "token", item->token);
	report_text(row, "where", where(shown, item, kept, there));
	add_sizes(row, item, fd);
	add_mount_options(row, item, fd);
	if (fd >= 0)
		close(fd);
	return row;
}

/* --- all of it --- */

static const char *state_text(const struct shown *shown)
{
	if (!shown->session)
		return "kept: the next kexec saves it";
	switch (shown->session->state) {
	case SESSION_OUTGOING:
	case SESSION_HELD:
		return "saved: it crosses the next kexec";
	case SESSION_INCOMING:
		return "to restore: it has come from the last kernel";
	case SESSION_RETRIEVED:
		return "partly restored: restore it again";
	}
	return NULL;
}

static struct json_object *make_document(const struct shown *shown)
{
	const struct manifest *manifest = &shown->manifest;
	struct json_object *document = json_object_new_object();
	struct json_object *items = json_object_new_array();
	pid_t holder = shown->session ? shown->session->holder : shown->kept;

	report_text(document, "name", shown->name);
	report_text(document, "state", state_text(shown));
	report_text(document, "since", manifest->saved);
	report_text(document, "kernel", manifest->kernel);
	report_bool(document, "crossed", manifest->crossed);
	report_bool(document, "verify", manifest->verify);
	report_text(document, "noted", manifest->sums ? manifest->noted : NULL);
	report_bool(document, "differs", manifest->differs);
	report_add(document, "holder", holder ? json_object_new_int(holder) : NULL);
	for (unsigned int i = 0; i < manifest->nr; i++)
		json_object_array_add(items, item_row(shown, &manifest->items[i]));
	report_add(document, "items", items);
	return document;
}

static void print_line(const char *title, const char *text)
{
	if (text && *text)
		printf("%-10s %s\n", title, text);
}

static void print(struct json_object *document)
{
	static const struct report_column columns[] = {
		{ "LABEL", "label", false, false },
		{ "TOKEN", "token", false, true },
		{ "KIND", "kind", false, false },
		{ "SIZE", "size", true, true },
		{ "USED", "used", true, true },
		{ "WHERE", "where", false, false },
		{ "PATH", "path", false, false },
		{ "OPTIONS", "options", false, false },
	};
	const char *noted = report_get_text(document, "noted");

	print_line("name", report_get_text(document, "name"));
	print_line("state", report_get_text(document, "state"));
	print_line("since", report_get_text(document, "since"));
	print_line("by kernel", report_get_text(document, "kernel"));
	print_line("held by", report_get_text(document, "holder"));
	print_line("checksums", noted ? noted : "none: save --verify notes them");
	if (json_object_get_boolean(json_object_object_get(document, "differs")))
		print_line("", "something was not as noted when it was restored");
	putchar('\n');
	report_table(json_object_object_get(document, "items"), columns, ARRAY_SIZE(columns));
}

static int show(struct shown *shown)
{
	struct json_object *document;
	int err = read_list(shown);

	if (err == -ENODATA)
		return fail(CTL_FAILED, "end that process, or ask it",
			    "%s is held by process %d (%s), which is no keeper", shown->name,
			    shown->session->holder, shown->session->comm);
	if (err)
		return fail(CTL_FAILED, "preservectl restore it: what has no list goes to a place of its own",
			    "cannot read the list of %s: %s", shown->name, errno_text(err));
	if (shown->kept)
		keeper_manifest(shown->kept, &shown->kept_items);
	document = make_document(shown);
	if (ctl.json)
		report_json(document);
	else
		print(document);
	json_object_put(document);
	manifest_free(&shown->kept_items);
	manifest_free(&shown->manifest);
	return CTL_DONE;
}

static int find(const char *name)
{
	struct shown shown = { .name = name };
	const struct keeper *keeper;
	struct sessions sessions;
	struct keepers keepers;
	int status, err = sessions_read(&sessions, true);

	if (!err) {
		err = keepers_read(&keepers);
		if (err)
			sessions_free(&sessions);
	}
	if (err)
		return fail(CTL_FAILED, err == -EACCES ? "become root" : "look into the kernel log",
			    "cannot look for sessions: %s", errno_text(err));
	shown.session = sessions_find_saved(&sessions, name);
	keeper = keepers_find(&keepers, name, true);
	shown.keeper = keeper ? keeper->pid : 0;
	keeper = keepers_find(&keepers, name, false);
	shown.kept = keeper ? keeper->pid : 0;
	if (shown.session || shown.kept)
		status = show(&shown);
	else
		status = fail(CTL_FAILED, sessions.listed ? "preservectl list" :
			      "mount -t debugfs none /sys/kernel/debug, which lists what has come",
			      "nothing is called %s", name);
	free(keepers.list);
	sessions_free(&sessions);
	return status;
}

int cmd_show(int argc, char **argv)
{
	const char *why, *next;
	int c;

	while ((c = ctl_getopt(argc, argv, NULL)) != -1)
		return CTL_USAGE;
	if (argc - optind != 1)
		return ctl_usage("show");
	if (manifest_check_name(argv[optind]))
		return fail(CTL_USAGE, "preservectl list", "nothing can be called that");
	why = kernel_why_not(&next);
	if (why)
		return fail(CTL_NO_SUPPORT, next, "%s", why);
	if (geteuid())
		return fail(CTL_FAILED, "become root", "what is kept shows to root only");
	/* It may have a session for a moment. */
	return lock_take(LOCK_STATE) ?: find(argv[optind]);
}
