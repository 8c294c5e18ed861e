// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl list: sessions, what is in them, and who holds them.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "keeper.h"
#include "kernel.h"
#include "list.h"
#include "report.h"
#include "say.h"

/* What a user calls the states of what is saved. */
static const char *saved_state(const struct session *session)
{
	switch (session->state) {
	case SESSION_OUTGOING:
		return "saved";
	case SESSION_HELD:
		return "held";
	case SESSION_INCOMING:
		return "to restore";
	case SESSION_RETRIEVED:
		return "partly restored";
	}
	return NULL;
}

/* What a keeper's list has: to the row, as a list and as a text. */
static void add_items(struct json_object *row, pid_t keeper)
{
	struct json_object *items = json_object_new_array();
	struct manifest manifest;
	char text[1024] = "";
	size_t len = 0;

	if (keeper && !keeper_manifest(keeper, &manifest)) {
		for (unsigned int i = 0; i < manifest.nr; i++) {
			const struct item *item = &manifest.items[i];
			struct json_object *entry = json_object_new_object();

			report_text(entry, "label", item->label);
			report_text(entry, "kind", item_kind_text(item->kind));
			report_text(entry, "path", item->path);
			report_bool(entry, "missing", item->missing);
			json_object_array_add(items, entry);
			if (len < sizeof(text))
				len += snprintf(text + len, sizeof(text) - len, "%s%s%s",
						i ? ", " : "",
						item->path ? item->path : item->label,
						item->missing ? " (not saved)" : "");
		}
		report_text(row, "saved", manifest.saved);
		manifest_free(&manifest);
	}
	report_text(row, "what", len ? text : NULL);
	report_add(row, "items", items);
}

static void add_holder(struct json_object *row, pid_t pid, const char *comm)
{
	char text[48];

	snprintf(text, sizeof(text), "%d %s", pid, comm);
	report_text(row, "holder", pid ? text : NULL);
	report_add(row, "pid", pid ? json_object_new_int(pid) : NULL);
}

/* The list is one of the files, and so are the checksums. */
static void add_files(struct json_object *row, const struct session *session,
		      const struct keeper *keeper)
{
	uint64_t own = session_saved_name(session) ? 1 : 0;
	struct manifest manifest;
	uint64_t items = 0;

	if (keeper && !keeper_manifest(keeper->pid, &manifest)) {
		for (unsigned int i = 0; i < manifest.nr; i++)
			items += !manifest.items[i].missing;
		own += manifest.sums && session->files > items + 1;
		manifest_free(&manifest);
	}
	report_add(row, "files", session->state == SESSION_HELD ? NULL :
		   json_object_new_uint64(session->files > own ? session->files - own : 0));
}

static struct json_object *session_row(const struct session *session,
				       const struct keepers *keepers)
{
	struct json_object *row = json_object_new_object();
	const char *name = session_saved_name(session);
	const struct keeper *keeper = name ? keepers_find(keepers, name, true) : NULL;

	report_text(row, "name", name ? name : session->name);
	report_text(row, "session", session->name);
	report_text(row, "state", name ? saved_state(session) :
					 session_state_text(session->state));
	add_holder(row, session->holder, session->comm);
	add_items(row, keeper ? keeper->pid : 0);
	add_files(row, session, keeper);
	return row;
}

static struct json_object *kept_row(const struct keeper *keeper)
{
	struct json_object *row = json_object_new_object();

	report_text(row, "name", keeper->name);
	report_text(row, "session", NULL);
	report_text(row, "state", "kept");
	report_add(row, "files", NULL);
	add_holder(row, keeper->pid, "preservectl");
	add_items(row, keeper->pid);
	return row;
}

int list_sessions(struct json_object **rows, bool *listed)
{
	struct sessions sessions;
	struct keepers keepers;
	int err = sessions_read(&sessions, true);

	if (err)
		return err;
	err = keepers_read(&keepers);
	if (err) {
		sessions_free(&sessions);
		return err;
	}
	*rows = json_object_new_array();
	*listed = sessions.listed;
	for (unsigned int i = 0; i < sessions.nr; i++)
		if (*sessions.list[i].name)
			json_object_array_add(*rows, session_row(&sessions.list[i], &keepers));
	for (unsigned int i = 0; i < keepers.nr; i++)
		if (!keepers.list[i].session &&
		    !keepers_find(&keepers, keepers.list[i].name, true))
			json_object_array_add(*rows, kept_row(&keepers.list[i]));
	free(keepers.list);
	sessions_free(&sessions);
	return 0;
}

void list_table(struct json_object *rows)
{
	static const struct report_column columns[] = {
		{ "NAME", "name", false, false },
		{ "STATE", "state", false, false },
		{ "FILES", "files", false, true },
		{ "HELD BY", "holder", false, false },
		{ "WHAT", "what", false, false },
	};

	report_table(rows, columns, ARRAY_SIZE(columns));
}

int cmd_list(int argc, char **argv)
{
	const char *why, *next;
	struct json_object *rows;
	bool listed;
	int c, err;

	while ((c = ctl_getopt(argc, argv, NULL)) != -1)
		return CTL_USAGE;
	if (optind != argc)
		return ctl_usage("list");
	why = kernel_why_not(&next);
	if (why)
		return fail(CTL_NO_SUPPORT, next, "%s", why);
	err = list_sessions(&rows, &listed);
	if (err)
		return fail(CTL_FAILED, err == -EACCES ? "become root" : "look into the kernel log",
			    "cannot look for sessions: %s", errno_text(err));
	if (!listed)
		warn("what has come and no process holds is not shown: %s", geteuid() ?
		     "become root" : "mount -t debugfs none /sys/kernel/debug");
	if (ctl.json)
		report_json(rows);
	else if (json_object_array_length(rows))
		list_table(rows);
	else
		note("no sessions");
	json_object_put(rows);
	return CTL_DONE;
}
