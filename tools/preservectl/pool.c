// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl pool: the pool, shown and changed.
 */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "kernel.h"
#include "progress.h"
#include "report.h"
#include "say.h"

#define POOL	"/sys/kernel/mm/preserve"

/* --- show --- */

static const char * const shown[] = { "size", "used", "idle", "lent", "largest_free" };

static struct json_object *row_of(int node)
{
	struct json_object *row = json_object_new_object();
	char name[24];
	uint64_t value;

	snprintf(name, sizeof(name), "node%d", node);
	report_text(row, "node", node == KERNEL_ALL_NODES ? "all" : name);
	for (unsigned int i = 0; i < ARRAY_SIZE(shown); i++)
		if (!kernel_pool(node, shown[i], &value))
			report_number(row, shown[i], value);
	return row;
}

static int by_node(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static struct json_object *rows_of_all(void)
{
	struct json_object *rows = json_object_new_array();
	DIR *dir = opendir(POOL);
	int nodes[1024], nr = 0;
	struct dirent *entry;

	while (dir && nr < 1024 && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "node", 4) &&
		    isdigit((unsigned char)entry->d_name[4]))
			nodes[nr++] = atoi(entry->d_name + 4);
	if (dir)
		closedir(dir);
	qsort(nodes, nr, sizeof(*nodes), by_node);
	json_object_array_add(rows, row_of(KERNEL_ALL_NODES));
	for (int i = 0; i < nr; i++)
		json_object_array_add(rows, row_of(nodes[i]));
	return rows;
}

static int show(void)
{
	static const struct report_column columns[] = {
		{ "NODE", "node", false, false },
		{ "SIZE", "size", true, true },
		{ "USED", "used", true, true },
		{ "IDLE", "idle", true, true },
		{ "LENT", "lent", true, true },
		{ "LARGEST FREE", "largest_free", true, true },
	};
	struct json_object *rows = rows_of_all();
	uint64_t max;
	char text[SIZE_TEXT];

	if (ctl.json) {
		report_json(rows);
	} else {
		report_table(rows, columns, ARRAY_SIZE(columns));
		kernel_pool(KERNEL_ALL_NODES, "max", &max);
		note("may grow to %s", size_text(max, text));
	}
	json_object_put(rows);
	return CTL_DONE;
}

/* --- change --- */

static uint64_t grown(const struct progress *progress)
{
	uint64_t size = kernel_pool_number("size");

	return size > progress->start ? size - progress->start : progress->start - size;
}

static int cannot_resize(int err, uint64_t wanted)
{
	char want[SIZE_TEXT], have[SIZE_TEXT], max[SIZE_TEXT];

	size_text(wanted, want);
	size_text(kernel_pool_number("size"), have);
	size_text(kernel_pool_number("max"), max);
	switch (err) {
	case -ENOSPC:
		return fail(CTL_FAILED, "preservectl pool limit SIZE",
			    "the pool may not have %s: its limit is %s", want, max);
	case -ENOMEM:
		return fail(CTL_PARTLY, "free some memory, and try again; it keeps what it has gained",
			    "the pool has %s, not %s: no more memory could be moved away",
			    have, want);
	case -EBUSY:
		return fail(CTL_PARTLY, "preservectl pool compact, and try again",
			    "the pool has %s, not %s: blocks are in use", have, want);
	case -EACCES:
		return fail(CTL_FAILED, "become root", "the pool's size: %s", errno_text(err));
	default:
		return fail(CTL_FAILED, "look into the kernel log", "the pool's size: %s",
			    errno_text(err));
	}
}

static int resize(uint64_t wanted)
{
	uint64_t have = kernel_pool_number("size");
	struct progress progress = {
		.what = wanted > have ? "growing" : "shrinking", .done = grown,
		.total = wanted > have ? wanted - have : have - wanted, .start = have,
	};
	char text[32], size[SIZE_TEXT];
	int err;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)wanted);
	progress_begin(&progress);
	err = kernel_pool_write("size", text);
	progress_end();
	if (err)
		return cannot_resize(err, wanted);
	note("the pool has %s", size_text(kernel_pool_number("size"), size));
	return ctl.json ? show() : CTL_DONE;
}

/* "grow" and "shrink" take how much, "size" takes how large. */
static int change_size(const char *how, const char *text)
{
	uint64_t bytes, have;
	int err = kernel_pool(KERNEL_ALL_NODES, "size", &have);

	if (err)
		return cannot_resize(err, 0);
	if (size_parse(text, &bytes))
		return fail(CTL_USAGE, "give a number, perhaps with K, M, G or T",
			    "%s is no size", text);
	if (!strcmp(how, "grow"))
		bytes = have + bytes < have ? UINT64_MAX : have + bytes;
	else if (!strcmp(how, "shrink"))
		bytes = bytes > have ? 0 : have - bytes;
	return resize(bytes);
}

/**
 * struct setting - A file of the pool's that a word is written to.
 * @name:  What the user calls it.
 * @file:  The file.
 * @size:  The word is a size.
 * @other: A word that is not, or NULL.
 * @value: What that means to the kernel.
 */
struct setting {
	const char *name;
	const char *file;
	bool size;
	const char *other;
	const char *value;
};

static const struct setting settings[] = {
	{ "limit", "max", true, NULL, NULL },
	{ "lend", "lend", false, NULL, NULL },
	{ "pace", "restore_pace", true, "max", "max" },
	{ "admit-plain", "admit_plain", false, NULL, NULL },
};

static int set(const struct setting *setting, const char *text)
{
	uint64_t bytes;
	char number[32];
	int err;

	if (setting->other && !strcmp(text, setting->other)) {
		text = setting->value;
	} else if (setting->size) {
		if (size_parse(text, &bytes))
			return fail(CTL_USAGE, "give a number, perhaps with K, M, G or T",
				    "%s is no size", text);
		snprintf(number, sizeof(number), "%llu", (unsigned long long)bytes);
		text = number;
	} else if (strcmp(text, "on") && strcmp(text, "off")) {
		return fail(CTL_USAGE, "say on or off", "%s is neither", text);
	}
	err = kernel_pool_write(setting->file, text);
	if (err)
		return fail(err == -EBUSY ? CTL_PARTLY : CTL_FAILED,
			    err == -EACCES ? "become root" : "look into the kernel log",
			    "pool %s: %s", setting->name, errno_text(err));
	return CTL_DONE;
}

static int compact(void)
{
	int err = kernel_pool_write("compact", "1");
	char idle[SIZE_TEXT];

	if (err == -EBUSY)
		return fail(CTL_PARTLY, "try again when that is done",
			    "packing has given way to a save, or to a kexec");
	if (err)
		return fail(CTL_FAILED, err == -EACCES ? "become root" : NULL,
			    "pool compact: %s", errno_text(err));
	note("packed; %s are in blocks that nothing uses",
	     size_text(kernel_pool_number("idle"), idle));
	return CTL_DONE;
}

static uint64_t brought_in(const struct progress *progress)
{
	uint64_t left = kernel_pool_number("unrestored");

	return left < progress->total ? progress->total - left : 0;
}

/* Everything that has been retrieved comes in now. */
static int bring_in(void)
{
	struct progress progress = {
		.what = "bringing in", .done = brought_in,
		.total = kernel_pool_number("unrestored"),
	};
	char size[SIZE_TEXT];
	int err;

	progress_begin(&progress);
	err = kernel_pool_write("restore", "1");
	progress_end();
	if (err)
		return fail(CTL_PARTLY, err == -EACCES ? "become root" :
			    "free some memory, and try again", "bringing in: %s",
			    errno_text(err));
	note("every file that has been opened is in memory; %s of others come when they are read",
	     size_text(kernel_pool_number("incoming"), size));
	return CTL_DONE;
}

int cmd_pool(int argc, char **argv)
{
	const char *why, *next, *verb, *word;
	int c;

	while ((c = ctl_getopt(argc, argv, NULL)) != -1)
		return CTL_USAGE;
	why = kernel_why_not(&next);
	if (why)
		return fail(CTL_NO_SUPPORT, next, "%s", why);
	verb = optind < argc ? argv[optind] : "show";
	word = optind + 1 < argc ? argv[optind + 1] : NULL;
	if (argc - optind > 2)
		return ctl_usage("pool");
	if (!word && !strcmp(verb, "show"))
		return show();
	if (!word && !strcmp(verb, "compact"))
		return compact();
	if (!word && !strcmp(verb, "bring-in"))
		return bring_in();
	if (word && (!strcmp(verb, "grow") || !strcmp(verb, "shrink") || !strcmp(verb, "size")))
		return change_size(verb, word);
	for (unsigned int i = 0; word && i < ARRAY_SIZE(settings); i++)
		if (!strcmp(verb, settings[i].name))
			return set(&settings[i], word);
	return ctl_usage("pool");
}
