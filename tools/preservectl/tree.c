// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images of mounts, decoded: directories from the root on, each once.
 */

#include "tree.h"

#include <errno.h>
#include <linux/kho/abi/preserve_tree.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "report.h"

/* What has a longer path is left out. */
#define MAX_PATH	65536

/* --- bytes --- */

/**
 * struct reader - Bytes that are read one after the other.
 * @at:    The next.
 * @end:   Behind the last.
 * @bad:   They are not what they should be; what is read from then on is 0.
 * @epoch: What times are relative to.
 */
struct reader {
	const unsigned char *at;
	const unsigned char *end;
	bool bad;
	int64_t epoch;
};

static uint64_t get(struct reader *r)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; !r->bad && shift < 64 && r->at < r->end; shift += 7) {
		unsigned char byte = *r->at++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	r->bad = true;
	return 0;
}

static int64_t get_signed(struct reader *r)
{
	uint64_t value = get(r);

	return value >> 1 ^ -(value & 1);
}

static const char *get_text(struct reader *r, size_t *len)
{
	const unsigned char *text;
	uint64_t want = get(r);

	if (want > (uint64_t)(r->end - r->at)) {
		r->bad = true;
		want = 0;
	}
	text = r->at;
	r->at += want;
	*len = want;
	return (const char *)text;
}

static int64_t get_time(struct reader *r, int64_t since)
{
	int64_t sec = (uint64_t)since + (uint64_t)get_signed(r);

	get(r);
	return sec;
}

/* --- the beginning, sections --- */

static const struct preserve_tree_ser *head(const struct tree *tree)
{
	return (const struct preserve_tree_ser *)tree->bytes;
}

static bool fits(const struct tree *tree, uint64_t at, uint64_t nr)
{
	return at <= tree->size && nr <= (tree->size - at) / sizeof(uint64_t);
}

const char *tree_check(const struct tree *tree)
{
	const struct preserve_tree_ser *ser = head(tree);

	if (tree->size < sizeof(*ser) || ser->magic != PRESERVE_TREE_MAGIC)
		return "no image is there";
	if (ser->version != PRESERVE_TREE_VERSION || ser->size != sizeof(*ser))
		return "its version is not known to this preservectl";
	if (ser->csum != XXH64(ser, offsetof(struct preserve_tree_ser, csum), 0))
		return "its checksum is wrong";
	if (ser->length != tree->size || !fits(tree, ser->dirs, ser->nr_dirs) ||
	    !fits(tree, ser->links, ser->nr_links) ||
	    !fits(tree, ser->others, ser->nr_others))
		return "a table of it is out of bounds";
	if (strnlen(ser->fs_type, sizeof(ser->fs_type)) == sizeof(ser->fs_type) ||
	    strnlen(ser->source, sizeof(ser->source)) == sizeof(ser->source))
		return "a text of it does not end";
	return NULL;
}

struct json_object *tree_document(const struct tree *tree)
{
	struct json_object *document = json_object_new_object();
	const struct preserve_tree_ser *ser = head(tree);

	report_text(document, "fstype", ser->fs_type);
	report_text(document, "source", ser->source);
	report_number(document, "version", ser->version);
	report_hex(document, "compat", ser->compat);
	report_hex(document, "incompat", ser->incompat);
	report_number(document, "length", ser->length);
	report_number(document, "directories", ser->nr_dirs);
	report_number(document, "links", ser->nr_links);
	report_number(document, "others", ser->nr_others);
	report_number(document, "inodes", ser->nr_inodes);
	report_number(document, "used_pages", ser->used_pages);
	report_number(document, "used_ispace", ser->used_ispace);
	report_number(document, "next_ino", ser->next_ino);
	report_hex(document, "flags", ser->flags);
	report_hex(document, "mount_attributes", ser->mnt_attr);
	report_number(document, "device", ser->dev);
	return document;
}

/* The section of that number, from the table at @table. */
static bool open_section(struct tree *tree, uint64_t table, uint64_t nr, uint64_t no,
			 uint32_t kind, struct preserve_section_ser *section, struct reader *r)
{
	const unsigned char *bytes;
	uint64_t at, sum;

	if (no >= nr)
		goto bad;
	memcpy(&at, tree->bytes + table + no * sizeof(at), sizeof(at));
	if (at > tree->size || tree->size - at < sizeof(*section))
		goto bad;
	memcpy(section, tree->bytes + at, sizeof(*section));
	bytes = tree->bytes + at + sizeof(*section);
	if (section->magic != PRESERVE_SECTION_MAGIC || section->kind != kind ||
	    section->length > tree->size - at - sizeof(*section))
		goto bad;
	sum = XXH64(section, offsetof(struct preserve_section_ser, csum), at);
	if (XXH64(bytes, section->length, sum) != section->csum)
		goto bad;
	*r = (struct reader){
		.at = bytes, .end = bytes + section->length, .epoch = head(tree)->epoch,
	};
	return true;
bad:
	tree->bad++;
	return false;
}

/* --- inodes --- */

static void get_runs(struct reader *r, struct tree_entry *entry)
{
	int64_t pfn;

	entry->size = get(r);
	entry->pages = get(r);
	entry->runs = get(r);
	for (uint64_t i = 0; !r->bad && i < entry->runs; i++) {
		get(r);
		pfn = get_signed(r);
		get(r);
		if (!i)
			entry->pfn = pfn;
	}
}

static void get_times(struct reader *r, uint64_t parts, struct tree_entry *entry)
{
	static const unsigned int others[] = {
		PRESERVE_INODE_CTIME, PRESERVE_INODE_ATIME, PRESERVE_INODE_BTIME,
	};

	entry->mtime = get_time(r, r->epoch);
	for (unsigned int i = 0; i < 3; i++)
		if (parts & others[i])
			get_time(r, entry->mtime);
}

static void get_extras(struct reader *r, struct tree_entry *entry)
{
	size_t len;

	entry->extras = get(r);
	for (uint32_t i = 0; !r->bad && i < entry->extras; i++) {
		get(r);
		get_text(r, &len);
		get_text(r, &len);
	}
}

/* Return: of a directory its number plus one, if it is not empty; otherwise 0. */
static uint64_t get_inode(struct reader *r, struct tree_entry *entry)
{
	static const unsigned int passed[] = {
		PRESERVE_INODE_NLINK, PRESERVE_INODE_RDEV, PRESERVE_INODE_FSFLAGS,
		PRESERVE_INODE_SEALS, PRESERVE_INODE_VERSION, PRESERVE_INODE_HINT,
	};
	uint64_t parts = get(r), dir = 0;

	entry->mode = get(r);
	entry->ino = get(r);
	get(r);
	entry->uid = parts & PRESERVE_INODE_UID ? get(r) : 0;
	entry->gid = parts & PRESERVE_INODE_GID ? get(r) : 0;
	for (unsigned int i = 0; i < 6; i++)
		if (parts & passed[i])
			get(r);
	entry->record = parts & PRESERVE_INODE_RECORD ? get(r) : 0;
	get_times(r, parts, entry);
	if (S_ISREG(entry->mode)) {
		get_runs(r, entry);
	} else if (S_ISLNK(entry->mode)) {
		entry->target = get_text(r, &entry->target_len);
		entry->size = entry->target_len;
	} else if (S_ISDIR(entry->mode)) {
		dir = get(r);
		entry->size = get(r);
		get(r);
	}
	if (parts & PRESERVE_INODE_EXTRAS)
		get_extras(r, entry);
	return dir;
}

/* --- directories --- */

/**
 * struct walk - Directories that are known and still to be read.
 * @tree:  The image.
 * @paths: Of each directory by its number, once it is named.
 * @queue: Numbers of those, in the order in which they were.
 * @nr:    How many.
 */
struct walk {
	struct tree *tree;
	char **paths;
	uint64_t *queue;
	uint64_t nr;
};

static bool name_directory(struct walk *walk, uint64_t no, const char *path)
{
	if (no >= head(walk->tree)->nr_dirs || walk->paths[no]) {
		walk->tree->bad++;
		return true;
	}
	walk->paths[no] = strdup(path);
	walk->queue[walk->nr++] = no;
	return walk->paths[no];
}

/* An inode with several names has a section of its own. */
static void get_link(struct walk *walk, struct tree_entry *entry)
{
	const struct preserve_tree_ser *ser = head(walk->tree);
	struct preserve_section_ser section;
	struct reader r;

	if (open_section(walk->tree, ser->links, ser->nr_links, entry->link,
			 PRESERVE_SECTION_LINK, &section, &r))
		get_inode(&r, entry);
}

static int walk_entry(struct walk *walk, struct reader *r, const char *parent)
{
	struct tree_entry entry = {};
	uint64_t dir = 0, kind;
	const char *name;
	char *path;
	size_t len;
	int err;

	name = get_text(r, &len);
	get(r);
	kind = get(r);
	if (kind == PRESERVE_ENTRY_INODE)
		dir = get_inode(r, &entry);
	else if (kind == PRESERVE_ENTRY_LINK)
		entry.link = get(r);
	else
		r->bad = true;
	if (r->bad)
		return 0;
	if (strlen(parent) + len + 2 > MAX_PATH) {
		walk->tree->deep++;
		return 0;
	}
	if (entry.link)
		get_link(walk, &entry);
	if (asprintf(&path, "%s/%.*s", parent, (int)len, name) < 0)
		return -ENOMEM;
	entry.path = path;
	err = walk->tree->entry(&entry, walk->tree->arg);
	if (!err && dir && !name_directory(walk, dir - 1, path))
		err = -ENOMEM;
	free(path);
	return err;
}

static int walk_directory(struct walk *walk, uint64_t no)
{
	const struct preserve_tree_ser *ser = head(walk->tree);
	struct preserve_section_ser section;
	struct reader r;
	int err = 0;

	if (!open_section(walk->tree, ser->dirs, ser->nr_dirs, no, PRESERVE_SECTION_DIR,
			  &section, &r))
		return 0;
	for (uint32_t i = 0; !err && !r.bad && i < section.nr; i++)
		err = walk_entry(walk, &r, walk->paths[no]);
	walk->tree->bad += r.bad;
	return err;
}

/* The first link is the root directory's inode. */
static int walk_root(struct walk *walk)
{
	const struct preserve_tree_ser *ser = head(walk->tree);
	struct tree_entry entry = { .path = "/" };
	struct preserve_section_ser section;
	struct reader r;
	uint64_t dir = 0;
	int err;

	if (open_section(walk->tree, ser->links, ser->nr_links, 0, PRESERVE_SECTION_LINK,
			 &section, &r))
		dir = get_inode(&r, &entry);
	err = walk->tree->entry(&entry, walk->tree->arg);
	if (!err && (dir || ser->nr_dirs) && !name_directory(walk, 0, ""))
		err = -ENOMEM;
	return err;
}

int tree_walk(struct tree *tree)
{
	uint64_t nr = head(tree)->nr_dirs;
	struct walk walk = {
		.tree = tree, .paths = calloc(nr + 1, sizeof(char *)),
		.queue = calloc(nr + 1, sizeof(uint64_t)),
	};
	int err = walk.paths && walk.queue ? walk_root(&walk) : -ENOMEM;

	for (uint64_t i = 0; !err && i < walk.nr; i++)
		err = walk_directory(&walk, walk.queue[i]);
	for (uint64_t i = 0; walk.paths && i < nr; i++)
		free(walk.paths[i]);
	free(walk.paths);
	free(walk.queue);
	return err;
}
