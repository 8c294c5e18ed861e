/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a kernel hands over of a file: its record, and the map that is in it
 * (<linux/kho/abi/preserve.h>, lib/preserve-radix/internal.h). Anything may be in there.
 */
#ifndef RECORD_H
#define RECORD_H

#include <json-c/json.h>
#include <linux/kho/abi/preserve.h>
#include <stddef.h>
#include <stdint.h>

/* A record's page, and a map's on x86-64. */
#define RECORD_SIZE	4096

/**
 * record_check() - is it a record that is understood?
 * @record: the bytes
 *
 * Return: NULL, or why not.
 */
const char *record_check(const struct preserve_file_ser *record);

/* All that it says, besides its map. It has been checked. */
struct json_object *record_document(const struct preserve_file_ser *record);

/**
 * struct map_reader - How a map's pages are read, and who is told of what is in them.
 * @read:   Reads bytes at a physical address. Return: 0, or a negative errno.
 * @run:    Called for each stored part of a run. Return: 0, or a negative errno to end.
 * @page:   Called for each page; may be NULL.
 * @arg:    For all of them.
 * @why:    Set when the map is damaged.
 * @pages:  How many more it may have.
 */
struct map_reader {
	int (*read)(uint64_t address, void *to, size_t size, void *arg);
	int (*run)(uint64_t index, uint64_t pfn, uint64_t nr, unsigned int order, void *arg);
	int (*page)(const void *page, size_t size, void *arg);
	void *arg;
	const char *why;
	uint64_t pages;
};

/**
 * map_walk() - read a map
 * @reader: how
 * @root: its root
 *
 * In the order of the file's pages.
 *
 * Return: 0, or a negative errno: -EBADMSG for what cannot be.
 */
int map_walk(struct map_reader *reader, const struct prmap_root_ser *root);

#endif /* RECORD_H */
