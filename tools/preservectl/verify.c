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
#include "sessions.h"

/* In a result for programs. */
#define ROWS	1000

/* --- what was noted --- */

/* With a position of its own: others may read it as well. */
static int open_sums(struct sums *sums, int fd)
{
	char path[32];
	FILE *stream;

	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	stream = fopen(path, "re");
	return stream ? sums_open(sums, stream) : -errno;
}

void verify_begin(struct verification *verification, const char *name, int fd)
{
	int err;

	*verification = (struct verification){ .name = name, .rows = json_object_new_array() };
	err = open_sums(&verification->noted, fd);
	if (!err)
		return;
	verification->unread++;
	fail(0, "journalctl -b -1 may say why", "the checksums of %s cannot be read: %s", name,
	     errno_text(err));
}

void verify_end(struct verification *verification)
{
	json_object_put(verification->rows);
	sums_close(&verification->noted);
}

static const char *item_text(const struct item *item)
{
	return item->path ? item->path : item->label;
}

/* --- one item --- */

static uint64_t read_bytes(const struct progress *progress)
{
	return __atomic_load_n(&sums_bytes, __ATOMIC_RELAXED) - progress->start;
}

static void begin_progress(const struct item *item, int fd)
{
	struct progress progress = {
		.what = item_text(item), .done = read_bytes, .total = mount_bytes(fd),
		.start = sums_bytes,
	};

	progress_begin(&progress);
}

/* Where lines go, and how many say that a file cannot be read. */
struct noting {
	FILE *stream;
	uint64_t bad;
};

static int note_sum(const struct sum *sum, void *arg)
{
	struct noting *noting = arg;

	noting->bad += sum->bad && sum->bad != EXDEV;
	return sums_print(sum, noting->stream);
}

int verify_note(FILE *stream, const struct item *item, int fd)
{
	struct noting noting = { .stream = stream };
	int err;

	begin_progress(item, fd);
	err = sums_read_item(item->label, fd, note_sum, &noting);
	progress_end();
	if (noting.bad)
		warn("%s: %llu files cannot be read, or are too deep, and are not compared later",
		     item_text(item), (unsigned long long)noting.bad);
	return err;
}

/* Where a difference is. */
struct difference {
	struct verification *verification;
	const struct item *item;
};

static void tell(const char *path, const char *what, void *arg)
{
	const struct difference *difference = arg;
	struct verification *verification = difference->verification;
	struct json_object *row;
	char *whole;

	if (asprintf(&whole, "%s%s", item_text(difference->item), path) < 0)
		return;
	if (verification->nr < VERIFY_SHOWN)
		fail(0, NULL, "%s: %s %s", verification->name, whole, what);
	if (verification->nr++ < ROWS) {
		row = json_object_new_object();
		report_text(row, "path", whole);
		report_text(row, "difference", what);
		json_object_array_add(verification->rows, row);
	}
	free(whole);
}

void verify_item(struct verification *verification, const struct item *item, int fd)
{
	struct difference difference = { verification, item };
	int64_t files;

	begin_progress(item, fd);
	files = sums_compare_item(&verification->noted, item->label, fd, tell, &difference);
	progress_end();
	if (files == -ENODATA) {
		verification->passed++;
		return;
	}
	verification->items++;
	if (files >= 0) {
		verification->files += files;
		return;
	}
	verification->unread++;
	fail(0, NULL, "%s: %s cannot be compared: %s", verification->name, item_text(item),
	     errno_text(files));
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

static void verify_items(struct verification *verification, const struct manifest *manifest,
			 pid_t keeper)
{
	for (unsigned int i = 0; i < manifest->nr; i++) {
		const struct item *item = &manifest->items[i];
		int fd = open_item(keeper, i, item);

		if (fd >= 0) {
			verify_item(verification, item, fd);
			close(fd);
			continue;
		}
		verification->unread++;
		fail(0, NULL, "%s: cannot open %s: %s", verification->name, item_text(item),
		     errno_text(fd));
	}
}

static void add_result(struct json_object *document, const struct verification *verification)
{
	struct json_object *row = json_object_new_object();

	report_text(row, "name", verification->name);
	report_number(row, "files", verification->files);
	report_number(row, "differences", verification->nr);
	report_number(row, "unread", verification->unread);
	report_add(row, "differ", json_object_get(verification->rows));
	json_object_array_add(document, row);
}

static int tell_result(const struct verification *verification, const char *noted,
		       uint64_t bytes)
{
	char size[SIZE_TEXT];

	if (verification->nr > VERIFY_SHOWN)
		note("and %llu more", (unsigned long long)verification->nr - VERIFY_SHOWN);
	if (verification->nr)
		return fail(CTL_DIFFERS, "if its programs have run since it was restored, they may have changed it",
			    "%s: %llu %s from what was noted at %s", verification->name,
			    (unsigned long long)verification->nr,
			    verification->nr == 1 ? "difference" : "differences", noted);
	if (verification->unread)
		return CTL_DIFFERS;
	if (verification->passed)
		note("%s: %u items were not noted", verification->name, verification->passed);
	note("%s: %llu files, %s, as noted at %s", verification->name,
	     (unsigned long long)verification->files, size_text(bytes, size), noted);
	return CTL_DONE;
}

static int verify_keeper(const char *name, pid_t keeper, struct json_object *document)
{
	struct verification verification = {};
	uint64_t before = sums_bytes;
	struct manifest manifest;
	int err = keeper_manifest(keeper, &manifest), fd, status;

	if (err)
		return fail(CTL_FAILED, "preservectl list", "cannot read the list of %s: %s",
			    name, errno_text(err));
	if (!manifest.sums) {
		manifest_free(&manifest);
		return fail(CTL_FAILED, "preservectl save --verify notes them before the next kexec",
			    "no checksums of %s were noted", name);
	}
	fd = borrow_fd(keeper, KEEPER_SUMS_FD);
	verify_begin(&verification, name, fd);
	if (fd >= 0)
		close(fd);
	if (!verification.unread)
		verify_items(&verification, &manifest, keeper);
	add_result(document, &verification);
	status = tell_result(&verification, manifest.noted, sums_bytes - before);
	verify_end(&verification);
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
		return fail(CTL_FAILED, "preservectl list shows its state; restore compares by itself",
			    "%s has not been restored", name);
	return fail(CTL_FAILED, "preservectl list shows what there is",
		    "nothing that is called %s has been restored", name);
}

/* Has a keeper checksums? If its list cannot be read, that is to be told. */
static bool has_sums(const struct keeper *keeper)
{
	struct manifest manifest;
	bool has;

	if (keeper->session)
		return false;
	if (keeper_manifest(keeper->pid, &manifest))
		return true;
	has = manifest.sums;
	manifest_free(&manifest);
	return has;
}

static int verify_all(const struct keepers *keepers, struct json_object *document)
{
	unsigned int nr = 0;
	int status = CTL_DONE;

	for (unsigned int i = 0; i < keepers->nr; i++) {
		const struct keeper *keeper = &keepers->list[i];

		if (!has_sums(keeper))
			continue;
		nr++;
		status = worse_of(status, verify_keeper(keeper->name, keeper->pid, document));
	}
	if (!nr)
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
	int c, err, status = CTL_DONE;

	while ((c = ctl_getopt(argc, argv, options)) != -1) {
		if (c != 'a')
			return CTL_USAGE;
		all = true;
	}
	if (all ? optind < argc : optind == argc)
		return ctl_usage("verify");
	for (int i = optind; i < argc; i++)
		if (manifest_check_name(argv[i]))
			return fail(CTL_USAGE, "preservectl list", "nothing can be called that");
	why = kernel_why_not(&next);
	if (why)
		return fail(CTL_NO_SUPPORT, next, "%s", why);
	if (geteuid())
		return fail(CTL_FAILED, "become root", "what is kept shows to root only");
	err = keepers_read(&keepers);
	if (err)
		return fail(CTL_FAILED, NULL, "cannot look for what is kept: %s",
			    errno_text(err));
	document = json_object_new_array();
	if (all)
		status = verify_all(&keepers, document);
	for (int i = optind; i < argc; i++)
		status = worse_of(status, verify_name(&keepers, argv[i], document));
	if (ctl.json)
		report_json(document);
	json_object_put(document);
	free(keepers.list);
	return status;
}
