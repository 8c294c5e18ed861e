/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checksums of what is saved, noted before a kexec and compared after it: of each file,
 * directory and link of a mount, and of memfds. They cross in a memfd of their own.
 *
 * The text is a line SUMS_HEAD, and for each file, ended by a zero byte,
 *
 *	MODE UID GID SIZE SECONDS NANOSECONDS CONTENT ATTRIBUTES LABEL[/PATH]
 *
 * MODE octal, CONTENT and ATTRIBUTES hexadecimal: of its pages that have something else than
 * zeros in them, and of its extended attributes.
 */
#ifndef SUMS_H
#define SUMS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define SUMS_HEAD	"preserve sums 1\n"

/* The memfd's name. */
#define SUMS_FILE	"preserve-sums"

/**
 * struct sum - What is noted of one file.
 * @path:    Its item's label; of a file of a mount with its path behind it.
 * @content: Checksum of what is in it, or of a link's target.
 * @attributes: Checksum of its extended attributes.
 * @size:    Bytes; 0 of a directory.
 * @mtime:   When it was modified.
 * @nsec:    The same, nanoseconds.
 * @mode:    Type and permissions.
 * @uid:     Owner.
 * @gid:     Group.
 */
struct sum {
	char *path;
	uint64_t content;
	uint64_t attributes;
	uint64_t size;
	int64_t mtime;
	uint32_t nsec;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
};

/**
 * struct sums - All of a name.
 * @list:  In the order of their paths, when sums_sort() has been called.
 * @nr:    How many.
 * @bytes: How much content has been read.
 */
struct sums {
	struct sum *list;
	size_t nr;
	uint64_t bytes;
};

/**
 * sums_add() - read an item
 * @sums: what it joins
 * @label: the item's label
 * @fd: a mount's root, or a file; its position does not change
 *
 * Mounts within the mount are left out. Takes as long as reading all of it; ends early if the
 * user interrupts (%-EINTR).
 *
 * Return: 0, or a negative errno.
 */
int sums_add(struct sums *sums, const char *label, int fd);

void sums_sort(struct sums *sums);
void sums_free(struct sums *sums);

/* Writes the text. Return: 0, or a negative errno. */
int sums_print(const struct sums *sums, FILE *stream);

/* A memfd with the text. Return: its descriptor, or a negative errno. */
int sums_write(const struct sums *sums);

/**
 * sums_parse() - a text, as if an enemy had written it
 * @sums: filled in, sorted; empty on failure; free it with sums_free()
 * @text: the text
 * @size: its length
 *
 * Return: 0, or a negative errno: -EBADMSG for what cannot be.
 */
int sums_parse(struct sums *sums, const char *text, size_t size);

/* The same with what is in a memfd. */
int sums_read(struct sums *sums, int fd);

/* What is different: "content", or "is missing", and so on; NULL if nothing is. */
const char *sum_difference(const struct sum *noted, const struct sum *now);

/**
 * sums_compare() - compare two lists, both sorted
 * @noted: what was noted
 * @now: what there is
 * @tell: called for each path that differs
 * @arg: for @tell
 *
 * Return: how many differ.
 */
size_t sums_compare(const struct sums *noted, const struct sums *now,
		    void (*tell)(const char *path, const char *what, void *arg), void *arg);

#endif /* SUMS_H */
