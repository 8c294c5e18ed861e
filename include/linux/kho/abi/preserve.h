/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every byte that mm/preserve hands from one kernel to the next: layouts,
 * versions, limits. The preserve map's own pages are described beside the map,
 * in <linux/preserve_radix.h>.
 */
#ifndef _LINUX_KHO_ABI_PRESERVE_H
#define _LINUX_KHO_ABI_PRESERVE_H

#include <linux/build_bug.h>
#include <linux/limits.h>
#include <linux/preserve_radix.h>
#include <linux/stddef.h>
#include <linux/types.h>

/**
 * DOC: What crosses the kexec
 *
 * KHO's root names one blob, %PRESERVE_KHO_NAME: a &struct preserve_header_ser
 * in a page of its own. The header holds the roots of three preserve maps:
 *
 * - *blocks*, keyed by pfn: the pool blocks. Each of them is also a key of
 *   KHO's own radix tree, so that the next kernel's early boot keeps away from
 *   them without knowing anything of this format.
 * - *frames*, keyed by pfn: the frames inside those blocks whose content
 *   matters. Everything else in a block is free memory of the pool.
 * - *bad*, keyed by pfn: frames of those blocks that are defective. They may be
 *   frames of a file as well; their content is lost.
 *
 * A preserved file is one &struct preserve_file_ser in a page of the pool. LUO
 * carries the page's physical address as the file's data handle. The record
 * holds the root of the file map. Records and the pages of file maps are frames
 * like the data is, the pages of the header's maps are not: who opens
 * those maps finds them by walking.
 *
 * The next kernel accepts a header, and later each record, as a whole or not at
 * all. A frame belongs to one owner: taking a record's frames out of the frame
 * map is part of its acceptance, so that two records which claim the same frame
 * cannot both be accepted.
 *
 * A change of any layout here takes a new version.
 */

#define PRESERVE_KHO_NAME		"preserve"

#define PRESERVE_HEADER_MAGIC		0x524448565253504dULL /* "MPSRVHDR" */
#define PRESERVE_HEADER_VERSION		2

/**
 * struct preserve_header_ser - The pool as the next kernel finds it.
 * @magic:       %PRESERVE_HEADER_MAGIC.
 * @version:     %PRESERVE_HEADER_VERSION.
 * @size:        sizeof(struct preserve_header_ser).
 * @block_order: log2 of a pool block's size in pages.
 * @page_shift:  log2 of the page size in bytes.
 * @blocks:      Map of the pool blocks: kind %PRMAP_SET, order @block_order.
 * @frames:      Map of the live frames: kind %PRMAP_SET, order 0.
 * @bad:         Map of the defective frames: kind %PRMAP_SET, order 0.
 * @want:        Size of the pool in blocks, those included that are lent out and
 *               do not cross.
 * @csum:        xxh64, seed 0, of all bytes before this field.
 */
struct preserve_header_ser {
	__u64 magic;
	__u32 version;
	__u32 size;
	__u32 block_order;
	__u32 page_shift;
	struct prmap_root_ser blocks;
	struct prmap_root_ser frames;
	struct prmap_root_ser bad;
	__u64 want;
	__u64 csum;
};

static_assert(offsetof(struct preserve_header_ser, blocks) == 24);
static_assert(sizeof(struct preserve_header_ser) ==
	      40 + 3 * sizeof(struct prmap_root_ser));

#define PRESERVE_FILE_MAGIC		0x4543455256535250ULL /* "PRSVRECE" */
#define PRESERVE_FILE_VERSION		2

/* The kinds of file that a record can describe. */
#define PRESERVE_FILE_MEMFD		1
#define PRESERVE_FILE_TREE		2	/* the book of a tmpfs tree */

/* Longest name of a file, in bytes. */
#define PRESERVE_FILE_MAX_NAME		NAME_MAX

/* The most memory policies of one file, and the longest text of one. */
#define PRESERVE_FILE_MAX_POLICIES	24
#define PRESERVE_POLICY_MAX_TEXT	112

/**
 * struct preserve_policy_ser - The memory policy of a part of a file.
 * @start: First page index.
 * @end:   Page index behind the last.
 * @text:  The policy as tmpfs's mount option mpol= has it, ends with a zero byte.
 */
struct preserve_policy_ser {
	__u64 start;
	__u64 end;
	char text[PRESERVE_POLICY_MAX_TEXT];
};

/**
 * struct preserve_file_ser - One preserved file.
 * @magic:    %PRESERVE_FILE_MAGIC.
 * @version:  %PRESERVE_FILE_VERSION.
 * @size:     sizeof(struct preserve_file_ser).
 * @kind:     PRESERVE_FILE_*.
 * @f_flags:  The open file's status flags, of those that fcntl(F_SETFL) sets.
 * @i_size:   File size, bytes.
 * @pos:      File position, bytes.
 * @seals:    F_SEAL_* as F_GET_SEALS shows them.
 * @mode:     Permission bits of the inode.
 * @uid:      Owner, in the initial user namespace.
 * @gid:      Group, in the initial user namespace.
 * @name_len: Length of @name, bytes, without its end.
 * @nr_policies: Entries of @policies in use.
 * @map:      The file map: kind %PRMAP_FILE, page index to frame.
 * @name:     The file's name, ends with a zero byte.
 * @policies: Memory policies, in the order of their parts, which do not overlap.
 * @csum:     xxh64, seed 0, of all bytes before this field.
 */
struct preserve_file_ser {
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
	__u32 nr_policies;
	struct prmap_root_ser map;
	char name[PRESERVE_FILE_MAX_NAME + 1];
	struct preserve_policy_ser policies[PRESERVE_FILE_MAX_POLICIES];
	__u64 csum;
};

static_assert(offsetof(struct preserve_file_ser, map) == 64);
static_assert(offsetof(struct preserve_file_ser, csum) ==
	      64 + sizeof(struct prmap_root_ser) + PRESERVE_FILE_MAX_NAME + 1 +
	      PRESERVE_FILE_MAX_POLICIES * sizeof(struct preserve_policy_ser));
static_assert(sizeof(struct preserve_file_ser) <= 4096);

/* LUO's name for the handler of memfds made with MFD_PRESERVE. */
#define PRESERVE_MEMFD_COMPATIBLE	"preserve-memfd-v1"

#endif /* _LINUX_KHO_ABI_PRESERVE_H */
