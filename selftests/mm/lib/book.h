/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The book of a preserved tree in memory, for tests that damage it. Its layout is that
 * of <linux/kho/abi/preserve_tree.h>; this is for books of a page, whose numbers are
 * small.
 */

#ifndef BOOK_H
#define BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#define BOOK_PAGE	4096
#define BOOK_MAGIC	0x4545525456525350ULL

struct book {
	__u64 magic;
	__u32 version;
	__u32 size;
	__u64 length;
	__u64 dirs;
	__u64 nr_dirs;
	__u64 links;
	__u64 nr_links;
	__u64 quotas;
	__u64 nr_inodes;
	__u64 used_blocks;
	__u64 used_ispace;
	__s64 epoch;
	__u64 flags;
	__u64 max_blocks;
	__u64 max_inodes;
	__u64 next_ino;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 huge;
	__u32 encoding;
	__u32 mnt_flags;
	__u64 quota_limits[4];
	__u8 uuid[16];
	__u32 dev;
	__u32 reserved;
	char policy[112];
	char source[128];
	__u64 csum;
};

struct section {
	__u32 magic;
	__u32 kind;
	__u64 no;
	__u32 nr;
	__u32 length;
	__u64 csum;
	__u8 bytes[];
};

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
struct section *book_dir(struct book *book, unsigned int no);
struct section *book_link(struct book *book, unsigned int no);

/*
 * The same of a book of a page that may be damaged, with links behind directories; NULL
 * if the section is not whole within the page.
 */
struct section *book_section(struct book *book, unsigned int no);

/* The only entry of that name, and the section that it is in. */
struct entry book_entry(struct book *book, const char *name,
			struct section **sec);
struct entry book_link_entry(struct section *sec);

/* Makes checksums right. */
void book_seal(struct book *book);
void section_seal(struct book *book, struct section *sec);

/* How many bytes a number has. */
size_t number_len(const __u8 *at);

/* Puts a number where there is one of @len bytes, without changing its length. */
void number_set(__u8 *at, size_t len, __u64 value);

/*
 * Makes room for @nr bytes more at @at, which is in the entry of @name, by taking the
 * name's last ones away. Gives where the room begins.
 */
__u8 *entry_room(__u8 *name, __u8 *at, size_t nr);

#endif /* BOOK_H */
