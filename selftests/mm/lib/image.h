/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The image of a preserved tree in memory, for tests that damage it; for images of a page,
 * whose numbers are small.
 */

#ifndef IMAGE_H
#define IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/kho/abi/preserve_tree.h>
#include <linux/types.h>

#define IMAGE_PAGE	4096

/**
 * struct entry - places in the bytes of an entry, or of a link's inode
 * @name:  its name; NULL of a link's
 * @pos:   its position
 * @parts: what follows in the inode
 * @nlink: where its number of names is, or would be
 * @size:  of a file
 * @pages: of a file
 * @run:   of a file: pages, frames and count of its first run
 * @dir:   of a directory: its number plus one
 */
struct entry {
	__u8 *name;
	__u8 *pos;
	__u8 *parts;
	__u8 *nlink;
	__u8 *size;
	__u8 *pages;
	__u8 *run[3];
	__u8 *dir;
};

/* Sections by number; the first link is the root directory. */
struct preserve_section_ser *image_dir(struct preserve_tree_ser *image, unsigned int no);
struct preserve_section_ser *image_link(struct preserve_tree_ser *image, unsigned int no);
struct preserve_section_ser *image_other(struct preserve_tree_ser *image, unsigned int kind);

/*
 * The same of an image of a page that may be damaged, with links behind directories, and the
 * others behind these; NULL if the section is not whole within the page.
 */
struct preserve_section_ser *image_section(struct preserve_tree_ser *image, unsigned int no);

/* The only entry of that name, and the section that it is in. */
struct entry image_entry(struct preserve_tree_ser *image, const char *name,
			 struct preserve_section_ser **sec);
struct entry image_link_entry(struct preserve_section_ser *sec);

/* What a section vouches for. */
static inline __u8 *section_bytes(struct preserve_section_ser *sec)
{
	return (__u8 *)(sec + 1);
}

/* Makes checksums right. */
void image_commit(struct preserve_tree_ser *image);
void section_commit(struct preserve_tree_ser *image, struct preserve_section_ser *sec);

/* How many bytes a number has. */
size_t number_len(const __u8 *at);

/* Puts a number where there is one of @len bytes, without changing its length. */
void number_set(__u8 *at, size_t len, __u64 value);

/*
 * Makes room for @nr bytes more at @at, which is in the entry of @name, by taking the
 * name's last ones away. Gives where the room begins.
 */
__u8 *entry_room(__u8 *name, __u8 *at, size_t nr);

#endif /* IMAGE_H */
