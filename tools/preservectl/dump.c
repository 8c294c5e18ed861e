// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl dump: what the kernel hands over of a file, as bytes or decoded: its record, the
 * map of its memory, and of a mount the image of its tree. For those who look for faults.
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "device.h"
#include "kernel.h"
#include "manifest.h"
#include "physical.h"
#include "record.h"
#include "report.h"
#include "say.h"
#include "sessions.h"
#include "tree.h"

/* The largest image of a tree that is read. */
#define IMAGE_MAX	(4ULL << 30)

/**
 * struct dump - What is dumped.
 * @session: The session's whole name.
 * @physical: The machine's memory.
 * @record:  The file's record.
 * @at:      Its physical address.
 * @map:     Show the map, too.
 * @raw:     "record", "map" or "image": write that as it is; NULL: decode.
 * @runs:    Rows of the map.
 * @names:   Rows of the tree.
 * @image:   Of a tree; NULL before it is read.
 * @size:    Its length.
 * @filled:  How much of it has been read.
 */
struct dump {
	char session[PRESERVE_SESSION_NAME_SIZE];
	struct physical physical;
	struct preserve_file_ser *record;
	uint64_t at;
	bool map;
	const char *raw;
	struct json_object *runs;
	struct json_object *names;
	unsigned char *image;
	size_t size;
	size_t filled;
};

/* --- map --- */

static int read_memory(uint64_t address, void *to, size_t size, void *arg)
{
	const struct dump *dump = arg;

	return physical_read(&dump->physical, address, to, size);
}

static int show_run(uint64_t index, uint64_t pfn, uint64_t nr, unsigned int order, void *arg)
{
	struct dump *dump = arg;
	struct json_object *row;

	if (!ctl.json)
		return printf("%16llu %12llu %#14llx %6u\n", (unsigned long long)index,
			      (unsigned long long)nr, (unsigned long long)pfn, order) < 0 ?
		       -EIO : 0;
	row = json_object_new_object();
	report_number(row, "index", index);
	report_number(row, "pages", nr);
	report_number(row, "pfn", pfn);
	report_number(row, "order", order);
	json_object_array_add(dump->runs, row);
	return 0;
}

static int write_page(const void *page, size_t size, void *arg)
{
	(void)arg;
	return fwrite(page, size, 1, stdout) == 1 ? 0 : -EIO;
}

static int pass_run(uint64_t index, uint64_t pfn, uint64_t nr, unsigned int order, void *arg)
{
	(void)index;
	(void)pfn;
	(void)nr;
	(void)order;
	(void)arg;
	return 0;
}

/* Pages of a stream follow each other, without holes. */
static int fill_image(uint64_t index, uint64_t pfn, uint64_t nr, unsigned int order, void *arg)
{
	struct dump *dump = arg;
	uint64_t at = index * RECORD_SIZE, size = nr * RECORD_SIZE;

	(void)order;
	if (index >= dump->size / RECORD_SIZE + 1 || at != dump->filled || at >= dump->size)
		return -EBADMSG;
	if (size > dump->size - at)
		size = dump->size - at;
	dump->filled += size;
	return physical_read(&dump->physical, pfn * RECORD_SIZE, dump->image + at, size);
}

static int walk_map(struct dump *dump,
		    int (*run)(uint64_t index, uint64_t pfn, uint64_t nr, unsigned int order,
			       void *arg),
		    int (*page)(const void *page, size_t size, void *arg))
{
	struct map_reader reader = {
		.read = read_memory, .run = run, .page = page, .arg = dump,
	};
	int err = map_walk(&reader, &dump->record->map);

	if (err)
		return fail(CTL_FAILED, NULL, "the map of the record at %#llx: %s",
			    (unsigned long long)dump->at,
			    reader.why ? reader.why : errno_text(err));
	return CTL_DONE;
}

/* --- tree --- */

static int read_image(struct dump *dump)
{
	uint64_t size = dump->record->i_size;
	int status;

	if (dump->record->kind != PRESERVE_FILE_TREE)
		return fail(CTL_FAILED, "dump its record, or its map",
			    "it is no mount, and has no image");
	if (!size || size > IMAGE_MAX)
		return fail(CTL_FAILED, NULL, "its image cannot have %llu bytes",
			    (unsigned long long)size);
	dump->size = size;
	dump->image = calloc(1, dump->size);
	if (!dump->image)
		return fail(CTL_FAILED, "free some memory", "out of memory");
	status = walk_map(dump, fill_image, NULL);
	if (!status && dump->filled != dump->size)
		status = fail(CTL_FAILED, NULL, "its image ends early");
	return status;
}

static void print_entry(const struct tree_entry *entry)
{
	static const char types[] = "?pc?d?b?-?l?s???";

	printf("%c%04o %5u:%-5u %12llu %8llu %6llu ", types[entry->mode >> 12 & 15],
	       entry->mode & 07777, entry->uid, entry->gid, (unsigned long long)entry->size,
	       (unsigned long long)entry->pages, (unsigned long long)entry->runs);
	printf(entry->pfn ? "%#12llx " : "%12.0llx ", (unsigned long long)entry->pfn);
	print_safely(stdout, entry->path, strlen(entry->path));
	if (entry->target) {
		printf(" -> ");
		print_safely(stdout, entry->target, entry->target_len);
	}
	if (entry->record)
		printf(" (record %#llx)", (unsigned long long)entry->record);
	putchar('\n');
}

static int show_entry(const struct tree_entry *entry, void *arg)
{
	struct dump *dump = arg;
	struct json_object *row;
	char *target;

	if (!ctl.json) {
		print_entry(entry);
		return 0;
	}
	row = json_object_new_object();
	target = entry->target ? strndup(entry->target, entry->target_len) : NULL;
	report_text(row, "path", entry->path);
	report_number(row, "mode", entry->mode);
	report_number(row, "uid", entry->uid);
	report_number(row, "gid", entry->gid);
	report_number(row, "ino", entry->ino);
	report_number(row, "size", entry->size);
	report_time(row, "mtime", entry->mtime, 0);
	report_number(row, "pages", entry->pages);
	report_number(row, "runs", entry->runs);
	report_number(row, "pfn", entry->pfn);
	report_number(row, "record", entry->record);
	report_number(row, "extras", entry->extras);
	report_number(row, "link", entry->link);
	report_text(row, "target", target);
	json_object_array_add(dump->names, row);
	free(target);
	return 0;
}

static int show_tree(struct dump *dump, struct json_object *document)
{
	struct tree tree = { .entry = show_entry, .arg = dump };
	int status = read_image(dump), err;
	const char *why;

	if (status)
		return status;
	tree.bytes = dump->image;
	tree.size = dump->size;
	why = tree_check(&tree);
	if (why)
		return fail(CTL_FAILED, NULL, "the image: %s", why);
	report_add(document, "tree", tree_document(&tree));
	if (!ctl.json) {
		report_lines(json_object_object_get(document, "tree"));
		printf("\n MODE    UID:GID           SIZE    PAGES   RUNS    FIRST PFN PATH\n");
	}
	err = tree_walk(&tree);
	if (err)
		return fail(CTL_FAILED, "free some memory", "the image: %s", errno_text(err));
	report_number(document, "damaged_sections", tree.bad);
	report_number(document, "too_deep", tree.deep);
	if (tree.deep)
		warn("%llu names are left out: their paths are too long",
		     (unsigned long long)tree.deep);
	return tree.bad ? fail(CTL_FAILED, NULL, "%llu sections of the image are damaged",
			       (unsigned long long)tree.bad) : CTL_DONE;
}

/* --- the whole --- */

static int show_map(struct dump *dump)
{
	if (!ctl.json)
		printf("\n           INDEX        PAGES            PFN  ORDER\n");
	return walk_map(dump, show_run, NULL);
}

static int show_decoded(struct dump *dump)
{
	struct json_object *document = json_object_new_object();
	bool tree = dump->record->kind == PRESERVE_FILE_TREE;
	int status = CTL_DONE;

	dump->runs = json_object_new_array();
	dump->names = json_object_new_array();
	report_hex(document, "address", dump->at);
	report_add(document, "record", record_document(dump->record));
	if (!ctl.json)
		report_lines(document);
	if (tree && !dump->map)
		status = show_tree(dump, document);
	if (!status && (!tree || dump->map))
		status = show_map(dump);
	report_add(document, "runs", dump->runs);
	report_add(document, "names", dump->names);
	if (ctl.json)
		report_json(document);
	json_object_put(document);
	return status;
}

static int write_raw(struct dump *dump)
{
	int status = CTL_DONE;

	if (isatty(STDOUT_FILENO))
		return fail(CTL_USAGE, "write it to a file: > FILE", "these are bytes, not text");
	if (!strcmp(dump->raw, "record"))
		write_page(dump->record, RECORD_SIZE, NULL);
	else if (!strcmp(dump->raw, "map"))
		status = walk_map(dump, pass_run, write_page);
	else
		status = read_image(dump);
	if (!status && dump->image)
		fwrite(dump->image, dump->size, 1, stdout);
	return status;
}

static int no_memory_file(int err)
{
	if (err == -ENOENT)
		return fail(CTL_NO_SUPPORT, "take a kernel with CONFIG_PROC_KCORE",
			    "/proc/kcore is not there");
	return fail(CTL_FAILED, err == -EPERM || err == -EACCES ?
		    "become root; a locked-down kernel lets nobody read its memory" : NULL,
		    "/proc/kcore: %s", errno_text(err));
}

static int dump_record(struct dump *dump)
{
	const char *why;
	int err, status;

	err = physical_open(&dump->physical);
	if (err)
		return no_memory_file(err);
	dump->record = malloc(RECORD_SIZE);
	err = dump->record ? physical_read(&dump->physical, dump->at, dump->record,
					   RECORD_SIZE) : -ENOMEM;
	why = err ? errno_text(err) : record_check(dump->record);
	if (why)
		status = fail(CTL_FAILED, "what is restored, or not saved any more, has none",
			      "the record at %#llx: %s", (unsigned long long)dump->at, why);
	else
		status = dump->raw ? write_raw(dump) : show_decoded(dump);
	free(dump->image);
	free(dump->record);
	physical_close(&dump->physical);
	return status;
}

/* --- which file --- */

static int list_files(const struct dump *dump, const struct handed *files, unsigned int nr)
{
	static const struct report_column columns[] = {
		{ "TOKEN", "token", false, true },
		{ "HANDLER", "handler", false, false },
		{ "RECORD", "record", false, true },
	};
	struct json_object *rows = json_object_new_array();

	for (unsigned int i = 0; i < nr; i++) {
		struct json_object *row = json_object_new_object();

		report_number(row, "token", files[i].token);
		report_text(row, "handler", files[i].handler);
		report_hex(row, "record", files[i].data);
		json_object_array_add(rows, row);
	}
	if (ctl.json)
		report_json(rows);
	else if (nr)
		report_table(rows, columns, ARRAY_SIZE(columns));
	else
		note("session %s has no files", dump->session);
	json_object_put(rows);
	return CTL_DONE;
}

static bool parse_number(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 0);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static int find_file(struct dump *dump, const char *token)
{
	struct handed *files;
	unsigned int nr;
	uint64_t wanted = 0;
	int err = device_look(), status = CTL_FAILED;

	if (!err || err == -EBUSY)
		err = session_files(dump->session, &files, &nr);
	if (err == -ENOENT)
		return fail(CTL_FAILED, "mount -t debugfs none /sys/kernel/debug",
			    "the kernel's list of files is not there");
	if (err == -EBUSY)
		return fail(CTL_FAILED, "try again: one of its files is being saved or restored",
			    "session %s is busy", dump->session);
	if (err == -ESRCH)
		return fail(CTL_FAILED, "preservectl list --json shows the names of sessions",
			    "there is no session %s", dump->session);
	if (err)
		return fail(CTL_FAILED, err == -EACCES ? "become root" : NULL,
			    "cannot look for files: %s", errno_text(err));
	if (!token) {
		status = list_files(dump, files, nr);
	} else if (!parse_number(token, &wanted)) {
		fail(0, "without a token dump lists them", "%s is no token", token);
	} else {
		for (unsigned int i = 0; i < nr; i++)
			if (files[i].token == wanted)
				dump->at = files[i].data;
		status = dump->at ? dump_record(dump) :
			 fail(CTL_FAILED, "without a token dump lists them",
			      "session %s has no file %s", dump->session, token);
	}
	free(files);
	return status;
}

/* What --raw writes. */
static bool is_part(const char *word)
{
	return !strcmp(word, "record") || !strcmp(word, "map") || !strcmp(word, "image");
}

static int dump_words(struct dump *dump, bool session, int nr, char **words)
{
	const char *prefix = session ? "" : SESSION_PREFIX;

	if (snprintf(dump->session, sizeof(dump->session), "%s%s", prefix, words[0]) >=
	    (int)sizeof(dump->session))
		return fail(CTL_USAGE, "preservectl list", "nothing can be called that");
	return find_file(dump, nr == 2 ? words[1] : NULL);
}

int cmd_dump(int argc, char **argv)
{
	static const struct option options[] = {
		{ "at", required_argument, NULL, 'a' },
		{ "map", no_argument, NULL, 'm' },
		{ "raw", required_argument, NULL, 'r' },
		{ "session", no_argument, NULL, 's' },
		{},
	};
	struct dump dump = {};
	const char *why, *next;
	bool session = false;
	int c, nr;

	while ((c = ctl_getopt(argc, argv, options)) != -1) {
		if (c == 'a' && parse_number(optarg, &dump.at))
			continue;
		if (c == 'm')
			dump.map = true;
		else if (c == 's')
			session = true;
		else if (c == 'r')
			dump.raw = optarg;
		else
			return c == '?' ? CTL_USAGE : ctl_usage("dump");
	}
	nr = argc - optind;
	if (dump.at ? nr || session : nr < 1 || nr > 2)
		return ctl_usage("dump");
	if (dump.raw && ((nr != 2 && !dump.at) || !is_part(dump.raw)))
		return ctl_usage("dump");
	why = kernel_why_not(&next);
	if (why)
		return fail(CTL_NO_SUPPORT, next, "%s", why);
	return dump.at ? dump_record(&dump) : dump_words(&dump, session, nr, argv + optind);
}
