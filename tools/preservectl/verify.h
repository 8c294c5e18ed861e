/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is what has come what was noted of it?
 */
#ifndef VERIFY_H
#define VERIFY_H

#include <json-c/json.h>

#include "manifest.h"
#include "sums.h"

/**
 * struct verification - What is compared, and the result.
 * @name:  What the user has called it.
 * @noted: What was noted.
 * @rows:  Gets a row for each difference; as many as a person may read.
 * @nr:    How many differences.
 * @files: How many files were compared.
 * @bytes: How much was read.
 */
struct verification {
	const char *name;
	struct sums noted;
	struct json_object *rows;
	uint64_t nr;
	uint64_t files;
	uint64_t bytes;
};

/**
 * verify_read() - checksums of an item, with progress
 * @sums: what they join
 * @item: the item
 * @fd: it
 *
 * Return: 0, or a negative errno.
 */
int verify_read(struct sums *sums, const struct item *item, int fd);

/**
 * verify_item() - compare an item
 * @verification: what was noted; gets the result
 * @item: the item
 * @fd: it
 *
 * Differences are told the user. Takes as long as reading all of it.
 *
 * Return: 0, or a negative errno: it cannot be read.
 */
int verify_item(struct verification *verification, const struct item *item, int fd);

#endif /* VERIFY_H */
