// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl verify: is what has come what was noted of it before the kexec?
 */

#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "keeper.h"
#include "kernel.h"
#include "mounts.h"
#include "progress.h"
#include "report.h"
#include "say.h"

/* More differences than these are counted, and not shown. */
#define SHOWN	20
#define ROWS	1000

/* --- one item --- */

/* What is read just now, for the line that shows progress. */
static const struct sums *reading;

static uint64_t read_bytes(const struct progress *progress)
{
	return reading->bytes - progress->start;
}

int verify_read(struct sums *sums, const struct item *item, int fd)
{
	struct progress progress = {
		.what = item->path ? item->path : item->label, .done = read_bytes,
		.total = mount_bytes(fd), .start = sums->bytes,
	};
	int err;

	reading = sums;
	progress_begin(&progress);
	err = sums_add(sums, item->label, fd);
	progress_end();
	return err;
}

/* The first in a sorted list that is not before this path. */
static size_t find_first(const struct sums *all, const char *path)
{
	size_t from = 0, to = all->nr;

	while (from < to) {
		size_t half = from + (to - from) / 2;

		if (strcmp(all->list[half].path, path) < 0)
			from = half + 1;
		else
			to = half;
	}
	return from;
}

/* What was noted of an item: its own line, and what is below it. The texts stay the list's. */
static int noted_of(const struct sums *all, const char *label, struct sums *part)
{
	size_t len = strlen(label), first = find_first(all, label), end = first;

	while (end < all->nr && !strncmp(all->list[end].path, label, len))
		end++;
	*part = (struct sums){ .list = calloc(end - first + 1, sizeof(*part->list)) };
	if (!part->list)
		return -ENOMEM;
	for (size_t i = first; i < end; i++) {
		const char *path = all->list[i].path;

		/* Another label may begin like this one. */
		if (!path[len] || path[len] == '/')
			part->list[part->nr++] = all->list[i];
	}
	return 0;
}

/* Where a difference is, as the user knows it. */
struct difference {
	struct verification *verification;
	const struct item *item;
};

static void tell(const char *path, const char *what, void *arg)
{
	const struct difference *difference = arg;
	struct verification *verification = difference->verification;
	const struct item *item = difference->item;
	struct json_object *row;
	char *whole;

	if (asprintf(&whole, "%s%s", item->path ? item->path : item->label,
		     path + strlen(item->label)) < 0)
		whole = NULL;
	if (verification->nr < SHOWN)
		fail(0, NULL, "%s: %s: %s", verification->name, whole ? whole : path, what);
	if (verification->nr++ < ROWS) {
		row = json_object_new_object();
		report_text(row, "path", whole);
		report_text(row, "difference", what);
		json_object_array_add(verification->rows, row);
	}
	free(whole);
}

int verify_item(struct verification *verification, const struct item *item, int fd)
{
	struct difference difference = { verification, item };
	struct sums noted, now = {};
	int err = noted_of(&verification->noted, item->label, &noted);

	if (!err)
		err = verify_read(&now, item, fd);
	if (!err) {
		sums_sort(&now);
		sums_compare(&noted, &now, tell, &difference);
	}
	verification->files += now.nr;
	verification->bytes += now.bytes;
	sums_free(&now);
	free(noted.list);
	return err;
}

/* --- the command --- */

static int open_item(pid_t keeper, unsigned int i, const struct item *item)
{
	int fd;

	if (item->kind != ITEM_FILE)
		return borrow_fd(keeper, KEEPER_ITEM_FD + i);
	fd = open(item->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Return: how many items could not be read. */
static unsigned int verify_items(struct verification *verification,
				 const struct manifest *manifest, pid_t keeper)
{
	unsigned int unread = 0;
	int fd, err;

	for (unsigned int i = 0; i < manifest->nr; i++) {
		const struct item *item = &manifest->items[i];

		if (item->kind == ITEM_SUMS)
			continue;
		fd = open_item(keeper, i, item);
		err = fd < 0 ? fd : verify_item(verification, item, fd);
		if (fd >= 0)
			close(fd);
		if (err)
			fail(0, NULL, "%s: cannot read %s: %s", verification->name,
			     item->path ? item->path : item->label, errno_text(err));
		unread += !!err;
	}
	return unread;
}

static void add_result(struct json_object *document, const struct verification *verification,
		       unsigned int unread)
{
	struct json_object *row = json_object_new_object();

	report_text(row, "name", verification->name);
	report_number(row, "files", verification->files);
	report_number(row, "bytes", verification->bytes);
	report_number(row, "differences", verification->nr);
	report_number(row, "unread", unread);
	report_add(row, "differ", json_object_get(verification->rows));
	json_object_array_add(document, row);
}

static int compare(struct verification *verification, const struct manifest *manifest,
		   pid_t keeper, struct json_object *document)
{
	unsigned int unread = verify_items(verification, manifest, keeper);
	char size[SIZE_TEXT];

	add_result(document, verification, unread);
	if (verification->nr > SHOWN)
		note("and %llu more", (unsigned long long)verification->nr - SHOWN);
	if (unread)
		return CTL_FAILED;
	if (verification->nr)
		return fail(CTL_DIFFERS, "if its programs have run since it was restored, they may have changed it",
			    "%s: %llu of %llu files differ from what was noted at %s",
			    verification->name, (unsigned long long)verification->nr,
			    (unsigned long long)verification->files, manifest->noted);
	note("%s: %llu files, %s, as noted at %s", verification->name,
	     (unsigned long long)verification->files,
	     size_text(verification->bytes, size), manifest->noted);
	return CTL_DONE;
}

static int verify_keeper(const char *name, pid_t keeper, struct json_object *document)
{
	struct verification verification = { .name = name };
	const struct item *item;
	struct manifest manifest;
	int err = keeper_manifest(keeper, &manifest), fd, status;

	if (err)
		return fail(CTL_FAILED, "preservectl list", "cannot read the list of %s: %s",
			    name, errno_text(err));
	item = manifest_sums(&manifest);
	if (!item) {
		manifest_free(&manifest);
		return fail(CTL_FAILED, "preservectl save --verify notes them before the next kexec",
			    "no checksums of %s were noted", name);
	}
	fd = borrow_fd(keeper, KEEPER_ITEM_FD + (item - manifest.items));
	err = fd < 0 ? fd : sums_read(&verification.noted, fd);
	if (fd >= 0)
		close(fd);
	verification.rows = json_object_new_array();
	status = err ? fail(CTL_FAILED, NULL, "the checksums of %s cannot be read: %s", name,
			    errno_text(err)) :
		       compare(&verification, &manifest, keeper, document);
	json_object_put(verification.rows);
	sums_free(&verification.noted);
	manifest_free(&manifest);
	return status;
}

static int verify_name(const struct keepers *keepers, const char *name,
		       struct json_object *document)
{
	const struct keeper *keeper = keepers_find(keepers, name, false);

	if (keeper)
		return verify_keeper(name, keeper->pid, document);
	if (keepers_find(keepers, name, true))
		return fail(CTL_FAILED, "preservectl kexec, restore it, then verify it",
			    "%s is saved, and has not been restored", name);
	return fail(CTL_FAILED, "preservectl list shows what there is",
		    "nothing that is called %s has been restored", name);
}

/* All that have checksums. */
static int verify_all(const struct keepers *keepers, struct json_object *document)
{
	struct manifest manifest;
	int status = CTL_DONE, one;
	bool has;

	for (unsigned int i = 0; i < keepers->nr; i++) {
		const struct keeper *keeper = &keepers->list[i];

		if (keeper->session || keeper_manifest(keeper->pid, &manifest))
			continue;
		has = manifest_sums(&manifest);
		manifest_free(&manifest);
		one = has ? verify_keeper(keeper->name, keeper->pid, document) : CTL_DONE;
		status = status ? status : one;
	}
	if (!json_object_array_length(document) && !status)
		note("nothing has checksums: preservectl save --verify notes them");
	return status;
}

int cmd_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{},
	};
	struct json_object *document;
	struct keepers keepers;
	const char *why, *next;
	bool all = false;
	int c, err, one, status = CTL_DONE;

	while ((c = ctl_getopt(argc, argv, options)) != -1) {
		if (c != 'a')
			return CTL_USAGE;
		all = true;
	}
	if (all ? optind < argc : optind == argc)
		return ctl_usage("verify");
	why = kernel_why_not(&next);
	if (why)
		return fail(CTL_NO_SUPPORT, next, "%s", why);
	err = keepers_read(&keepers);
	if (err)
		return fail(CTL_FAILED, NULL, "cannot look for what is kept: %s",
			    errno_text(err));
	document = json_object_new_array();
	if (all)
		status = verify_all(&keepers, document);
	for (int i = optind; i < argc; i++) {
		one = verify_name(&keepers, argv[i], document);
		status = status ? status : one;
	}
	if (ctl.json)
		report_json(document);
	json_object_put(document);
	free(keepers.list);
	return status;
}
