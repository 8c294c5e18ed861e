// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records and maps, decoded.
 */

#include "record.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <preserve-radix/piece.h>
#include <xxhash.h>

#include "report.h"

/* --- the record --- */

const char *record_check(const struct preserve_file_ser *record)
{
	if (record->magic != PRESERVE_FILE_MAGIC)
		return "no record is there";
	if (record->version != PRESERVE_FILE_VERSION || record->size != sizeof(*record))
		return "its version is not known to this preservectl";
	if (record->csum != XXH64(record, offsetof(struct preserve_file_ser, csum), 0))
		return "its checksum is wrong";
	if (strnlen(record->name, sizeof(record->name)) == sizeof(record->name))
		return "its name does not end";
	return NULL;
}

static const char *kind_text(uint32_t kind)
{
	switch (kind & ~PRESERVE_FILE_GIVEN_UP) {
	case PRESERVE_FILE_MEMFD:
		return "memfd";
	case PRESERVE_FILE_TREE:
		return "tree";
	case PRESERVE_FILE_HUGETLB:
		return "hugetlb";
	case PRESERVE_FILE_GUEST:
		return "guest_memfd";
	default:
		return "unknown";
	}
}

static void add_octal(struct json_object *document, const char *key, uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%#o", value);
	report_text(document, key, text);
}

static struct json_object *root_document(const struct prmap_root_ser *root)
{
	struct json_object *document = json_object_new_object();

	report_number(document, "version", root->version);
	report_hex(document, "top", root->top);
	report_number(document, "height", root->height);
	report_number(document, "keys", root->nr_keys);
	report_number(document, "runs", root->nr_runs);
	report_number(document, "pages", root->nr_pages);
	return document;
}

static void add_times(struct json_object *document, const struct preserve_file_ser *record)
{
	static const char * const keys[] = {
		[PRESERVE_FILE_MTIME] = "mtime", [PRESERVE_FILE_CTIME] = "ctime",
		[PRESERVE_FILE_ATIME] = "atime", [PRESERVE_FILE_BTIME] = "btime",
	};

	for (unsigned int i = 0; i < PRESERVE_FILE_TIMES; i++)
		report_time(document, keys[i], record->times[i].sec, record->times[i].nsec);
}

struct json_object *record_document(const struct preserve_file_ser *record)
{
	struct json_object *document = json_object_new_object();

	report_text(document, "kind", kind_text(record->kind));
	report_bool(document, "given_up", record->kind & PRESERVE_FILE_GIVEN_UP);
	report_text(document, "name", record->name);
	report_number(document, "version", record->version);
	report_hex(document, "compat", record->compat);
	report_hex(document, "incompat", record->incompat);
	report_number(document, "size", record->i_size);
	report_number(document, "position", record->pos);
	add_octal(document, "mode", record->mode);
	report_number(document, "uid", record->uid);
	report_number(document, "gid", record->gid);
	report_hex(document, "open_flags", record->f_flags);
	if ((record->kind & ~PRESERVE_FILE_GIVEN_UP) == PRESERVE_FILE_GUEST) {
		report_number(document, "guest_type", record->guest_type);
		report_hex(document, "guest_flags", record->guest_flags);
	} else {
		report_hex(document, "seals", record->seals);
		report_hex(document, "fsflags", record->fsflags);
	}
	report_number(document, "write_hint", record->write_hint);
	report_number(document, "extras_bytes", record->extras_len);
	report_number(document, "huge_order", record->huge_order);
	add_times(document, record);
	report_add(document, "map", root_document(&record->map));
	return document;
}

/* --- the map --- */

static int damaged(struct map_reader *reader, const char *why)
{
	reader->why = why;
	return -EBADMSG;
}

static int map_page(struct map_reader *reader, uint64_t address, uint64_t sum, bool bitmap,
		    unsigned int level, void *page)
{
	const struct prmap_head *head = page;
	size_t used = RECORD_SIZE;
	int err;

	if (!reader->pages--)
		return damaged(reader, "it has more pages than its root says");
	err = reader->read(address, page, RECORD_SIZE, reader->arg);
	if (err)
		return err;
	if (!bitmap) {
		if (head->magic != PRMAP_PAGE_MAGIC || head->version != PRMAP_VERSION ||
		    head->level != level || head->kind != PRMAP_FILE || !head->nr ||
		    head->nr > (level ? PRMAP_INNER_CAP : PRMAP_LEAF_CAP))
			return damaged(reader, "a page of it is none");
		used = sizeof(*head) + head->nr *
		       (level ? sizeof(struct prmap_entry) : sizeof(uint64_t));
	}
	if (XXH64(page, used, address) != sum)
		return damaged(reader, "the checksum of a page is wrong");
	return reader->page ? reader->page(page, RECORD_SIZE, reader->arg) : 0;
}

static int walk_leaf(struct map_reader *reader, const struct prmap_leaf *leaf)
{
	struct prmap_piece piece;
	int err = 0;

	if (leaf->head.nr % 2)
		return damaged(reader, "a run of it is cut off");
	for (uint32_t at = 0; !err && at < leaf->head.nr; at += 2) {
		prmap_leaf_piece(leaf, at, &piece);
		err = reader->run(piece.index, piece.index + piece.delta,
				  piece.end - piece.index, prmap_attr_order(piece.attr),
				  reader->arg);
	}
	return err;
}

static bool is_set(const uint64_t *bits, uint32_t at)
{
	return bits[at / 64] >> at % 64 & 1;
}

static int walk_bitmap(struct map_reader *reader, const struct prmap_entry *entry,
		       const uint64_t *bits)
{
	uint64_t window = prmap_window(entry->key);
	uint32_t from, at = 0;
	int err = 0;

	while (!err && at < PRMAP_BITS) {
		if (!is_set(bits, at)) {
			at++;
			continue;
		}
		for (from = at; at < PRMAP_BITS && is_set(bits, at); at++)
			;
		err = reader->run(window + from, window + from + entry->delta, at - from,
				  entry->order, reader->arg);
	}
	return err;
}

static int walk_page(struct map_reader *reader, uint64_t address, uint64_t sum,
		     const struct prmap_entry *above, unsigned int level)
{
	bool bitmap = above && above->type == PRMAP_BITMAP;
	void *page = malloc(RECORD_SIZE);
	const struct prmap_inner *inner = page;
	int err;

	if (!page)
		return -ENOMEM;
	if (bitmap && level) {
		free(page);
		return damaged(reader, "bits are where pages have to be");
	}
	err = map_page(reader, address, sum, bitmap, level, page);
	if (!err && bitmap)
		err = walk_bitmap(reader, above, page);
	else if (!err && !level)
		err = walk_leaf(reader, page);
	for (uint32_t i = 0; !err && level && i < inner->head.nr; i++)
		err = walk_page(reader, inner->entry[i].child, inner->entry[i].sum,
				&inner->entry[i], level - 1);
	free(page);
	return err;
}

int map_walk(struct map_reader *reader, const struct prmap_root_ser *root)
{
	if (root->magic != PRMAP_MAGIC || root->version != PRMAP_VERSION ||
	    root->kind != PRMAP_FILE || root->height > PRMAP_MAX_HEIGHT)
		return damaged(reader, "its root is none");
	if (root->sum != XXH64(root, offsetof(struct prmap_root_ser, sum), 0))
		return damaged(reader, "the checksum of its root is wrong");
	if (root->page_size != RECORD_SIZE)
		return damaged(reader, "its pages have another size");
	reader->pages = root->nr_pages;
	return root->height ? walk_page(reader, root->top, root->top_sum, NULL,
					root->height - 1) : 0;
}
