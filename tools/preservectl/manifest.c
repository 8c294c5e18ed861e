// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of what a session has: made, written, read and checked.
 */

#include "manifest.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "report.h"

static const char * const kinds[] = {
	[ITEM_MOUNT] = "mount",
	[ITEM_FILE] = "file",
	[ITEM_MEMFD] = "memfd",
};

#define NR_KINDS	ARRAY_SIZE(kinds)

/* What names and labels are made of. */
#define LETTERS		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

const char *item_kind_text(enum item_kind kind)
{
	return kinds[kind];
}

int manifest_check_name(const char *name)
{
	size_t len = strlen(name);

	if (!len || *name == '.' || *name == '-' || strspn(name, LETTERS "@+:") != len)
		return -EINVAL;
	return len < SAVED_NAME_SIZE ? 0 : -ENAMETOOLONG;
}

static int check_label(const struct manifest *manifest, const char *label)
{
	size_t len = strlen(label);

	if (!len || len >= ITEM_LABEL_SIZE || strspn(label, LETTERS) != len)
		return -EINVAL;
	for (unsigned int i = 0; i < manifest->nr; i++)
		if (!strcmp(manifest->items[i].label, label))
			return -EEXIST;
	return 0;
}

/* From the last part of a path; other characters become '_'. */
static void make_label(char *label, const char *path)
{
	const char *last = strrchr(path, '/');
	size_t len;

	last = last && last[1] ? last + 1 : path;
	snprintf(label, ITEM_LABEL_SIZE, "%s", last);
	for (len = strspn(label, LETTERS); label[len]; len += strspn(label + len, LETTERS))
		label[len] = '_';
	if (!*label || !strcmp(last, "/"))
		strcpy(label, "root");
}

/* A label that is not taken: a number is put behind it. */
static void make_unique(const struct manifest *manifest, char *label)
{
	char stem[ITEM_LABEL_SIZE - 11];

	snprintf(stem, sizeof(stem), "%.*s", (int)sizeof(stem) - 1, label);
	for (unsigned int i = manifest->nr + 1; check_label(manifest, label) == -EEXIST; i++)
		snprintf(label, ITEM_LABEL_SIZE, "%s-%u", stem, i);
}

static struct item *add_item(struct manifest *manifest)
{
	struct item *items;

	if (manifest->nr == MANIFEST_MAX_ITEMS)
		return NULL;
	items = reallocarray(manifest->items, manifest->nr + 1, sizeof(*items));
	if (!items)
		return NULL;
	manifest->items = items;
	items[manifest->nr] = (struct item){};
	return &items[manifest->nr];
}

/* Some may have gone meanwhile. */
static uint64_t next_token(const struct manifest *manifest)
{
	uint64_t token = manifest->sums > MANIFEST_TOKEN ? manifest->sums : MANIFEST_TOKEN;

	for (unsigned int i = 0; i < manifest->nr; i++)
		if (manifest->items[i].token > token)
			token = manifest->items[i].token;
	return token + 1;
}

int manifest_add(struct manifest *manifest, enum item_kind kind, const char *label,
		 const char *path)
{
	char made[ITEM_LABEL_SIZE];
	struct item *item;
	int err;

	if (!label) {
		make_label(made, path);
		make_unique(manifest, made);
		label = made;
	}
	err = check_label(manifest, label);
	if (err)
		return err;
	item = add_item(manifest);
	if (!item)
		return manifest->nr == MANIFEST_MAX_ITEMS ? -E2BIG : -ENOMEM;
	item->token = next_token(manifest);
	item->kind = kind;
	snprintf(item->label, sizeof(item->label), "%s", label);
	if (kind != ITEM_MEMFD) {
		item->path = strdup(path);
		if (!item->path)
			return -ENOMEM;
	}
	manifest->nr++;
	return 0;
}

static void manifest_now(char text[MANIFEST_TIME])
{
	time_t now = time(NULL);

	strftime(text, MANIFEST_TIME, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
}

void manifest_note(struct manifest *manifest)
{
	manifest_now(manifest->noted);
	manifest->sums = next_token(manifest);
}

void manifest_forget_sums(struct manifest *manifest)
{
	*manifest->noted = '\0';
	manifest->sums = 0;
}

static struct json_object *to_json(const struct manifest *manifest)
{
	struct json_object *document = json_object_new_object();
	struct json_object *items = json_object_new_array();
	char saved[MANIFEST_TIME];
	struct utsname host;

	uname(&host);
	manifest_now(saved);
	report_number(document, "version", MANIFEST_VERSION);
	report_text(document, "name", manifest->name);
	report_text(document, "saved", saved);
	report_text(document, "kernel", host.release);
	report_bool(document, "crossed", manifest->crossed);
	report_bool(document, "verify", manifest->verify);
	if (manifest->sums) {
		report_number(document, "sums", manifest->sums);
		report_text(document, "noted", manifest->noted);
	}
	if (manifest->differs)
		report_bool(document, "differs", true);
	if (manifest->unread)
		report_bool(document, "unread", true);
	for (unsigned int i = 0; i < manifest->nr; i++) {
		const struct item *item = &manifest->items[i];
		struct json_object *entry = json_object_new_object();

		report_number(entry, "token", item->token);
		report_text(entry, "kind", kinds[item->kind]);
		report_text(entry, "label", item->label);
		if (item->placed)
			report_bool(entry, "placed", true);
		if (item->missing)
			report_bool(entry, "missing", true);
		/* Any bytes, as they are: not report_text(). */
		report_add(entry, "path", item->path ? json_object_new_string(item->path) :
						       NULL);
		json_object_array_add(items, entry);
	}
	report_add(document, "items", items);
	return document;
}

static int write_all(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t got = write(fd, text, left);

		if (got < 0)
			return -errno;
		text += got;
		left -= got;
	}
	return 0;
}

char *manifest_text(const struct manifest *manifest)
{
	struct json_object *document = to_json(manifest);
	char *text;

	text = strdup(json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN));
	json_object_put(document);
	return text;
}

/* Is what the next kernel's preservectl will read all that there is? */
static int check_written(const struct manifest *manifest, int fd)
{
	struct manifest back;
	int err = manifest_read(&back, fd);

	if (!err && back.nr != manifest->nr)
		err = -EBADMSG;
	for (unsigned int i = 0; !err && i < back.nr; i++)
		if (strcmp(back.items[i].label, manifest->items[i].label) ||
		    (back.items[i].path && strcmp(back.items[i].path, manifest->items[i].path)))
			err = -EBADMSG;
	manifest_free(&back);
	return err == -EBADMSG ? -E2BIG : err;
}

int manifest_write(const struct manifest *manifest)
{
	char *text = manifest_text(manifest);
	int fd, err;

	if (!text)
		return -ENOMEM;
	fd = preserve_memfd_create(MANIFEST_FILE, 0);
	if (fd >= 0) {
		err = write_all(fd, text) ?: check_written(manifest, fd);
		if (err) {
			close(fd);
			fd = err;
		}
	}
	free(text);
	return fd;
}

static int parse_kind(const char *text, enum item_kind *kind)
{
	for (unsigned int i = 0; text && i < NR_KINDS; i++) {
		if (!strcmp(kinds[i], text)) {
			*kind = i;
			return 0;
		}
	}
	return -EBADMSG;
}

static int check_path(const char *path)
{
	return path && *path == '/' && strlen(path) < PATH_MAX ? 0 : -EBADMSG;
}

static const char *get_string(struct json_object *entry, const char *key)
{
	struct json_object *value = json_object_object_get(entry, key);
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	/* A zero byte in the middle would hide what follows. */
	return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

static int parse_item(struct manifest *manifest, struct json_object *entry)
{
	struct json_object *token = json_object_object_get(entry, "token");
	const char *label, *path;
	enum item_kind kind;
	struct item *item;
	int err;

	if (!json_object_is_type(entry, json_type_object) ||
	    !json_object_is_type(token, json_type_int))
		return -EBADMSG;
	label = get_string(entry, "label");
	path = get_string(entry, "path");
	err = parse_kind(get_string(entry, "kind"), &kind);
	if (err || !label || check_label(manifest, label))
		return -EBADMSG;
	if (kind != ITEM_MEMFD && check_path(path))
		return -EBADMSG;
	err = manifest_add(manifest, kind, label, path);
	if (err)
		return err == -ENOMEM ? err : -EBADMSG;
	item = &manifest->items[manifest->nr - 1];
	item->token = json_object_get_uint64(token);
	item->missing = json_object_get_boolean(json_object_object_get(entry, "missing"));
	item->placed = json_object_get_boolean(json_object_object_get(entry, "placed"));
	if (item->token == MANIFEST_TOKEN || item->token == UINT64_MAX)
		return -EBADMSG;
	for (unsigned int i = 0; i + 1 < manifest->nr; i++)
		if (manifest->items[i].token == item->token)
			return -EBADMSG;
	return 0;
}

/* After the items: it has a token of its own. */
static int parse_sums(struct manifest *manifest, struct json_object *document)
{
	struct json_object *token = json_object_object_get(document, "sums");
	const char *text = get_string(document, "noted");

	manifest->unread = json_object_get_boolean(json_object_object_get(document, "unread"));
	manifest->differs = json_object_get_boolean(json_object_object_get(document, "differs"));
	if (!json_object_is_type(token, json_type_int))
		return 0;
	manifest->sums = json_object_get_uint64(token);
	if (manifest->sums == MANIFEST_TOKEN || manifest->sums == UINT64_MAX)
		return -EBADMSG;
	for (unsigned int i = 0; i < manifest->nr; i++)
		if (manifest->items[i].token == manifest->sums)
			return -EBADMSG;
	snprintf(manifest->noted, sizeof(manifest->noted), "%.31s", text ? text : "");
	return 0;
}

static int parse_document(struct manifest *manifest, struct json_object *document)
{
	struct json_object *version, *items;
	const char *name, *text;
	int err = 0;

	if (!json_object_is_type(document, json_type_object))
		return -EBADMSG;
	version = json_object_object_get(document, "version");
	if (!json_object_is_type(version, json_type_int))
		return -EBADMSG;
	if (json_object_get_int64(version) != MANIFEST_VERSION)
		return -EPROTO;
	name = get_string(document, "name");
	items = json_object_object_get(document, "items");
	if (!name || manifest_check_name(name) ||
	    !json_object_is_type(items, json_type_array))
		return -EBADMSG;
	snprintf(manifest->name, sizeof(manifest->name), "%s", name);
	text = get_string(document, "saved");
	snprintf(manifest->saved, sizeof(manifest->saved), "%.31s", text ? text : "");
	text = get_string(document, "kernel");
	snprintf(manifest->kernel, sizeof(manifest->kernel), "%.64s", text ? text : "");
	manifest->crossed = json_object_get_boolean(json_object_object_get(document, "crossed"));
	manifest->verify = json_object_get_boolean(json_object_object_get(document, "verify"));
	for (size_t i = 0; !err && i < json_object_array_length(items); i++)
		err = parse_item(manifest, json_object_array_get_idx(items, i));
	return err ? err : parse_sums(manifest, document);
}

int manifest_parse(struct manifest *manifest, const char *text)
{
	struct json_tokener *tokener = json_tokener_new_ex(8);
	struct json_object *document;
	int err;

	*manifest = (struct manifest){};
	if (!tokener)
		return -ENOMEM;
	document = json_tokener_parse_ex(tokener, text, strlen(text) + 1);
	err = parse_document(manifest, document);
	json_object_put(document);
	json_tokener_free(tokener);
	if (err)
		manifest_free(manifest);
	return err;
}

int manifest_read(struct manifest *manifest, int fd)
{
	struct stat st;
	ssize_t got;
	char *text;
	int err;

	*manifest = (struct manifest){};
	if (fstat(fd, &st))
		return -errno;
	if (st.st_size <= 0 || st.st_size > MANIFEST_MAX_SIZE)
		return -EBADMSG;
	text = malloc(st.st_size + 1);
	if (!text)
		return -ENOMEM;
	got = pread(fd, text, st.st_size, 0);
	if (got < 0) {
		err = -errno;
	} else {
		text[got] = '\0';
		err = manifest_parse(manifest, text);
	}
	free(text);
	return err;
}

void manifest_free(struct manifest *manifest)
{
	for (unsigned int i = 0; i < manifest->nr; i++)
		free(manifest->items[i].path);
	free(manifest->items);
	*manifest = (struct manifest){};
}
