/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is what has come what was noted of it?
 */
#ifndef VERIFY_H
#define VERIFY_H

#include <json-c/json.h>

#include "manifest.h"
#include "sums.h"

/* More differences than these are counted, and not shown. */
#define VERIFY_SHOWN	20

/**
 * struct verification - What is compared, and the result.
 * @name:  What the user has called it.
 * @noted: What was noted.
 * @rows:  Gets a row for each difference; as many as a person may read.
 * @nr:    How many differences.
 * @files: How many files were compared.
 * @items: How many items were.
 * @passed: Of how many nothing was noted.
 * @unread: How many items could not be, or the whole.
 */
struct verification {
	const char *name;
	struct sums noted;
	struct json_object *rows;
	uint64_t nr;
	uint64_t files;
	unsigned int items;
	unsigned int passed;
	unsigned int unread;
};

/**
 * verify_begin() - get what was noted
 * @verification: filled in; verify_end() it
 * @name: what the user has called it
 * @fd: the memfd with the checksums, which the caller closes; or a negative errno
 *
 * If it cannot be read that is told the user, and counts as unread.
 */
void verify_begin(struct verification *verification, const char *name, int fd);
void verify_end(struct verification *verification);

/**
 * verify_note() - note checksums of an item, with progress
 * @stream: where
 * @item: the item
 * @fd: it
 *
 * Return: 0, or a negative errno.
 */
int verify_note(FILE *stream, const struct item *item, int fd);

/**
 * verify_item() - compare an item
 * @verification: what was noted; gets the result
 * @item: the item
 * @fd: it
 *
 * Differences are told the user, and what cannot be read. An item of which nothing was noted is
 * passed over. Takes as long as reading all of it.
 */
void verify_item(struct verification *verification, const struct item *item, int fd);

#endif /* VERIFY_H */
