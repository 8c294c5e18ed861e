/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a saved session has in it: a memfd with JSON text, the session's file with token 0.
 * It crosses the kexec with the rest, and says to the next kernel's preservectl what goes
 * where.
 *
 *	{ "version": 1, "name": "cache", "saved": "2026-11-30T12:00:00Z", "kernel": "7.3.4",
 *	  "items": [ { "token": 1, "kind": "mount", "label": "cache", "path": "/srv/cache" },
 *	             { "token": 2, "kind": "memfd", "label": "guest", "path": null } ] }
 *
 * "verify": true has checksums noted whenever it is saved; "sums" is then the token of the memfd
 * that has them (sums.h), and "noted" says when that was.
 *
 * A member that is not known is passed over; another version is refused.
 */
#ifndef MANIFEST_H
#define MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sessions.h"

#define MANIFEST_VERSION	1
#define MANIFEST_TOKEN		0

/* The memfd's name, as /proc/PID/fd shows it. */
#define MANIFEST_FILE		"preserve-manifest"

/* Limits of what is accepted. */
#define MANIFEST_MAX_ITEMS	4096
#define MANIFEST_MAX_SIZE	(4U << 20)

/* What an item is. */
enum item_kind {
	ITEM_MOUNT,	/* a whole tmpfs or hugetlbfs, attached at its path */
	ITEM_FILE,	/* a file of such a file system, copied to its path */
	ITEM_MEMFD,	/* a memory file, handed to a program */
};

/* Room for a point in time as text. */
#define MANIFEST_TIME		32

/* Room for a label with its closing zero. */
#define ITEM_LABEL_SIZE		64

/**
 * struct item - One thing that is saved.
 * @token: Its number in the session; not 0.
 * @kind:  What it is.
 * @label: What the user calls it: letters, digits, '.', '_', '-'.
 * @path:  Where it is to be again; NULL for %ITEM_MEMFD.
 * @missing: It could not be saved: said by the list that a keeper has, not by the one that
 *         crosses.
 * @placed: It has been put there, and may have changed since: an item of a session that is
 *         partly restored, or is no more.
 */
struct item {
	uint64_t token;
	enum item_kind kind;
	char label[ITEM_LABEL_SIZE];
	char *path;
	bool missing;
	bool placed;
};

/**
 * struct manifest - All of a session.
 * @name:   What the user has called it.
 * @saved:  When, as text.
 * @kernel: The release of the kernel that saved it.
 * @crossed: It has come from an earlier kernel.
 * @verify: Checksums are noted when it is saved.
 * @noted:  When they were, as text; empty if there are none.
 * @sums:   The token of what was noted; 0 if there is none.
 * @differs: A part of it was not as noted when it was restored.
 * @unread: A part of it could not be compared then.
 * @items:  What it has; no two have one token or one label.
 * @nr:     How many.
 */
struct manifest {
	char name[SAVED_NAME_SIZE];
	char saved[MANIFEST_TIME];
	char kernel[65];
	bool crossed;
	bool verify;
	char noted[MANIFEST_TIME];
	uint64_t sums;
	bool differs;
	bool unread;
	struct item *items;
	unsigned int nr;
};

/* A name that the user may give: letters, digits, '.', '_', '-', '@', '+', ':'. */
int manifest_check_name(const char *name);

/**
 * manifest_add() - one more item
 * @manifest: what it joins; gives it its token
 * @kind: what it is
 * @label: what the user has called it, or NULL: then it is made from @path
 * @path: where it is, or for a memfd what it is called; copied
 *
 * Return: 0, or a negative errno: -EEXIST for a label that is there, -EINVAL for one with
 * other characters, -E2BIG for too many.
 */
int manifest_add(struct manifest *manifest, enum item_kind kind, const char *label,
		 const char *path);

/* The text, to be freed; NULL without memory. */
char *manifest_text(const struct manifest *manifest);

/* A memfd with the text, read back. Return: its descriptor, or a negative errno. */
int manifest_write(const struct manifest *manifest);

/**
 * manifest_parse() - a text, as if an enemy had written it
 * @manifest: filled in; empty on failure; free it with manifest_free()
 * @text: the text, with a closing zero
 *
 * Return: 0, or a negative errno: -EPROTO for another version, -EBADMSG for what cannot be.
 */
int manifest_parse(struct manifest *manifest, const char *text);

/* The same with what is in a memfd. */
int manifest_read(struct manifest *manifest, int fd);

void manifest_free(struct manifest *manifest);

/* There are checksums from now on; gives their token. Or there are none any more. */
void manifest_note(struct manifest *manifest);
void manifest_forget_sums(struct manifest *manifest);

/* "mount" and so on. */
const char *item_kind_text(enum item_kind kind);

#endif /* MANIFEST_H */
