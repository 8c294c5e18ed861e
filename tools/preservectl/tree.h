/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The image of a mount, decoded (<linux/kho/abi/preserve_tree.h>). Anything may be in it.
 */
#ifndef TREE_H
#define TREE_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct tree_entry - A name in the tree.
 * @path:   From the root.
 * @mode:   Type and permissions.
 * @uid:    Owner.
 * @gid:    Group.
 * @ino:    Inode number.
 * @size:   Bytes.
 * @mtime:  When it was modified, seconds.
 * @pages:  That it has, of a file.
 * @runs:   In so many runs.
 * @pfn:    Frame of the first; 0 for none.
 * @record: Of a file with a record of its own: where that is; otherwise 0.
 * @extras: Extended attributes and the like.
 * @link:   Number of the inode, if it has several names; otherwise 0.
 * @target: Of a symbolic link; NULL of others. Not terminated.
 * @target_len: Its length.
 */
struct tree_entry {
	const char *path;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint64_t ino;
	uint64_t size;
	int64_t mtime;
	uint64_t pages;
	uint64_t runs;
	uint64_t pfn;
	uint64_t record;
	uint32_t extras;
	uint64_t link;
	const char *target;
	size_t target_len;
};

/**
 * struct tree - An image that is read.
 * @bytes: The image.
 * @size:  How long it is.
 * @entry: Called for each name. Return: 0, or a negative errno to end.
 * @arg:   For it.
 * @bad:   Sections that are damaged.
 * @deep:  Names that are left out, as their paths are too long.
 */
struct tree {
	const unsigned char *bytes;
	size_t size;
	int (*entry)(const struct tree_entry *entry, void *arg);
	void *arg;
	uint64_t bad;
	uint64_t deep;
};

/* Is it an image that is understood? Return: NULL, or why not. */
const char *tree_check(const struct tree *tree);

/* The file system. It has been checked. */
struct json_object *tree_document(const struct tree *tree);

/**
 * tree_walk() - show all names
 * @tree: an image that has been checked
 *
 * A damaged section costs itself, and what is below it.
 *
 * Return: 0, or a negative errno.
 */
int tree_walk(struct tree *tree);

#endif /* TREE_H */
