/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The record of a preserved file and its map in memory, for tests that damage them. The
 * layouts are those of <linux/kho/abi/preserve.h> and of the preserve map's pages; this
 * is for maps of a page.
 */

#ifndef RECORD_H
#define RECORD_H

#include <linux/types.h>

#define RECORD_MAGIC	0x4543455256535250ULL

struct root {
	__u32 magic;
	__u16 version;
	__u8 kind;
	__u8 height;
	__u64 top;
	__u64 top_sum;
	__u64 nr_keys;
	__u64 nr_runs;
	__u64 nr_pages;
	__u32 page_size;
	__u32 reserved;
	__u64 sum;
};

struct point {
	__s64 sec;
	__u32 nsec;
	__u32 reserved;
};

struct record {
	__u64 magic;
	__u32 version;
	__u32 size;
	__u32 kind;
	__u32 f_flags;
	__u64 i_size;
	__u64 pos;
	__u32 seals;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 name_len;
	__u32 fsflags;
	struct root map;
	struct point times[4];
	__u32 write_hint;
	__u32 extras_len;
	__u64 memlock;
	__u32 user;
	__u32 reserved;
	char name[256];
	__u8 extras[3400];
	__u64 csum;
};

#define LEAF_WORDS	510

/* A run leaf of a file map. */
struct leaf {
	__u32 magic;
	__u16 version;
	__u8 level;
	__u8 kind;
	__u32 nr;	/* words */
	__u32 reserved;
	__u64 word[LEAF_WORDS];
};

#define LEAF_PFN_SHIFT	24

/* Make checksums right: of the record; of its map's root as well; of the leaf as well. */
void record_seal(struct record *rec);
void root_seal(struct record *rec);
void leaf_seal(struct record *rec, struct leaf *leaf);

#endif /* RECORD_H */
