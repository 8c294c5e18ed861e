/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checksums of what is saved, noted before a kexec and compared after it: of each file of a
 * mount, and of memfds. They cross in a memfd of their own.
 *
 * Its text is a line SUMS_HEAD, for each file a line that ends with a zero byte, and SUMS_END:
 *
 *	DEPTH BAD MODE UID GID LINKS SIZE SECONDS NANOSECONDS CONTENT ATTRIBUTES NAME
 *
 * An item's own line has depth 0, and its label for a name. What is in a directory follows it,
 * one deeper, by the order of names, each with what is in it. BAD is an errno: the file could
 * not be read; EXDEV says that another mount hides it. MODE is octal. CONTENT and ATTRIBUTES are
 * hexadecimal: checksums of the pages that have something else than zeros in them, or of a
 * link's target; and of extended attributes, of files and directories only.
 *
 * So neither noting nor comparing has more in memory than the names of one directory and of
 * those above it, and files of which more names are to come.
 */
#ifndef SUMS_H
#define SUMS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SUMS_HEAD	"preserve sums 2\n"
#define SUMS_END	"end"		/* and a zero byte */

/* The memfd's name. */
#define SUMS_FILE	"preserve-sums"

/* What is deeper is not read: the directory that it is in counts as BAD. */
#define SUMS_DEPTH	256

/**
 * struct sum - What is noted of one file.
 * @depth:   How many directories it is in.
 * @bad:     Why it could not be read: an errno, or 0.
 * @mode:    Type and permissions.
 * @uid:     Owner.
 * @gid:     Group.
 * @links:   How many names it has; 0 of a directory, and of an item.
 * @size:    Bytes; 0 of a directory.
 * @mtime:   When it was modified, seconds.
 * @nsec:    The same, nanoseconds.
 * @content: Checksum of what is in it.
 * @attributes: Checksum of its extended attributes.
 * @name:    Its name, or the item's label.
 */
struct sum {
	uint32_t depth;
	uint32_t bad;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t links;
	uint64_t size;
	int64_t mtime;
	uint32_t nsec;
	uint64_t content;
	uint64_t attributes;
	char name[256];
};

/* How many bytes have been read; grows while sums_read_item() runs, for another thread. */
extern uint64_t sums_bytes;

/**
 * sums_read_item() - read all of an item
 * @label: its label
 * @fd: a mount's root, or a file; its position stays as it is
 * @see: called for the item, and for each file of a mount. Return: 0, or a negative errno to
 *       end.
 * @arg: for @see
 *
 * Mounts within the mount are left out. Takes as long as reading all of it; ends early if the
 * user interrupts.
 *
 * Return: 0, or a negative errno: of @see, -EINTR, -ENOMEM.
 */
int sums_read_item(const char *label, int fd, int (*see)(const struct sum *sum, void *arg),
		   void *arg);

/* Writes the head, a line, or the end. Return: 0, or a negative errno. */
int sums_print_head(FILE *stream);
int sums_print(const struct sum *sum, FILE *stream);
int sums_print_end(FILE *stream);

/**
 * struct sums_item - Where an item is in a text.
 * @label: Its label.
 * @at:    Where its line begins.
 */
struct sums_item {
	char label[64];
	long at;
};

/**
 * struct sums - A text that is read.
 * @stream: It.
 * @items:  Its items.
 * @nr:     How many.
 */
struct sums {
	FILE *stream;
	struct sums_item *items;
	unsigned int nr;
};

/**
 * sums_open() - look through a text, as if an enemy had written it
 * @sums: filled in; sums_close() it
 * @stream: the text; sums_close() closes it
 *
 * Return: 0, or a negative errno: -EBADMSG for what cannot be. @stream is closed then.
 */
int sums_open(struct sums *sums, FILE *stream);
void sums_close(struct sums *sums);

/**
 * sums_compare_item() - compare an item with what was noted of it
 * @sums: what was noted
 * @label: the item's label
 * @fd: the item
 * @tell: called for each file that differs, with its path in the item, "" for the item itself
 * @arg: for @tell
 *
 * Return: how many files there are now, or a negative errno: -ENODATA if nothing was noted of
 * it.
 */
int64_t sums_compare_item(struct sums *sums, const char *label, int fd,
			  void (*tell)(const char *path, const char *what, void *arg),
			  void *arg);

#endif /* SUMS_H */
