/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trees of files of every kind, and lists of all that can be seen of them.
 */

#ifndef TREE_H
#define TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct tree_text - text that grows
 * @text: zero-terminated; NULL at first, to be freed
 * @len:  without the end
 * @size: room
 */
struct tree_text {
	char *text;
	size_t len;
	size_t size;
};

/* Mounts a tmpfs at @dir, which it makes. Gives a descriptor of its root. */
int tree_mount(const char *dir, const char *options);

/* "@dir/@name", until the fourth call from now. */
char *path_in(const char *dir, const char *name);

/* A descriptor of a directory, as a tree is preserved by; not of a mount. */
int tree_open(const char *dir);

/* Attaches a detached mount at @dir, which it makes. Gives 0 or -errno. */
int tree_attach(int mount, const char *dir);

/*
 * Makes @nr inodes or some more below @dir, of every kind that tmpfs knows, as @seed
 * has it.
 */
void tree_make(const char *dir, unsigned int nr, uint64_t seed);

/*
 * Adds all that can be seen below @dir, in the order of readdir, with content if
 * @content.
 */
void tree_list(struct tree_text *out, const char *dir, bool content);

/* Are both lists the same? Shows the first line that differs. */
bool tree_same(const struct tree_text *a, const struct tree_text *b);

/* A list into a preserved file of that name, and back. */
int tree_text_keep(const struct tree_text *text, const char *name);
void tree_text_read(struct tree_text *text, int fd);
void tree_text_free(struct tree_text *text);

#endif /* TREE_H */
