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
 * KHO's root names one blob, %PRESERVE_KHO_NAME: two pages, each with the same
 * &struct preserve_header_ser. It points to the *block table*, a chain of pages of
 * which there are two copies as well. The table lists the pool's blocks as extents:
 * neighbouring blocks with no live frame, with nothing but live frames, or with a
 * bitmap of live frames each, in a page of bitmaps. A frame is live if its content
 * matters; everything else in a block is free memory of the pool. Defective frames
 * follow at the end, as bitmaps of the blocks that they are in; they may be frames
 * of a file as well, their content is lost.
 *
 * Each pool block is a key of KHO's own radix tree, so that the next kernel's early
 * boot keeps away from it without knowing anything of this format. So is each page
 * of the table and of bitmaps; they are not in pool blocks.
 *
 * Header and table are written once, when the kernel is about to be replaced and no
 * block can join or leave any more.
 *
 * A preserved file is one &struct preserve_file_ser in a page of the pool. LUO
 * carries the page's physical address as the file's data handle. The record
 * holds the root of the file map. Records and the pages of file maps are live
 * frames like the data is.
 *
 * Damage costs what is damaged. One copy of a header or a table page stands in for
 * the other. Where a page of bitmaps is damaged, all frames of its blocks count as
 * live: what no file asks for is set aside until the next kexec. An extent that
 * cannot be right is refused alone, and so is a record. A frame belongs to one
 * owner: taking a record's frames is part of its acceptance, so that two records
 * which claim the same frame cannot both be accepted. The one that is retrieved first
 * is: where both have right checksums, nothing says which of them was forged.
 *
 * How it may change: header, record and tree image have a version, which is new for another
 * layout, and two words of features. What a kernel that does not know it may pass over has a
 * bit of @compat; anything else has one of @incompat, and is refused by a kernel that does
 * not know it. The ELF note %PRESERVE_ABI_NOTE says what a kernel writes, which is what
 * it reads.
 */

#define PRESERVE_KHO_NAME		"preserve"

#define PRESERVE_HEADER_MAGIC		0x524448565253504dULL /* "MPSRVHDR" */
#define PRESERVE_HEADER_VERSION		4

/*
 * @compat: the table has huge pages, in keys of KHO's of any size. A kernel that passes over them
 * leaves them reserved. (0x1 is of kernels that take only what kho_preserve_pages() cuts.)
 */
#define PRESERVE_FEATURE_HUGE		0x4
/* @compat: some of them are free pages. The same. */
#define PRESERVE_FEATURE_HUGE_FREE	0x2
/* @compat: some of them are of hugetlb_cma=. The same. */
#define PRESERVE_FEATURE_HUGE_CMA	0x8

/* Features of header and table that this kernel knows, whether it uses them or not. */
#define PRESERVE_HEADER_COMPAT		0xf
#define PRESERVE_HEADER_INCOMPAT	0x0

/* No limit of the pool's size was set. */
#define PRESERVE_NO_MAX			(~0ULL)

/* Headers, pages of the table: so many of each, with the same content. */
#define PRESERVE_COPIES			2

/**
 * struct preserve_header_ser - The pool as the next kernel finds it.
 * @magic:       %PRESERVE_HEADER_MAGIC.
 * @version:     %PRESERVE_HEADER_VERSION.
 * @size:        sizeof(struct preserve_header_ser).
 * @compat:      Features; those that are not known do not matter.
 * @incompat:    Features; all of them have to be known.
 * @block_order: log2 of a pool block's size in pages.
 * @page_shift:  log2 of the page size in bytes.
 * @table:       Physical addresses of the table's first page; 0 for no block.
 * @nr_blocks:   Blocks that the table lists.
 * @want:        Size of the pool in blocks, those included that are lent out and
 *               do not cross.
 * @max:         Limit of that size as it was set at run time, or %PRESERVE_NO_MAX.
 * @csum:        xxh64, seed 0, of all bytes before this field.
 */
struct preserve_header_ser {
	__u64 magic;
	__u32 version;
	__u32 size;
	__u64 compat;
	__u64 incompat;
	__u32 block_order;
	__u32 page_shift;
	__u64 table[PRESERVE_COPIES];
	__u64 nr_blocks;
	__u64 want;
	__u64 max;
	__u64 csum;
};

static_assert(offsetof(struct preserve_header_ser, magic) == 0);
static_assert(offsetof(struct preserve_header_ser, version) == 8);
static_assert(offsetof(struct preserve_header_ser, size) == 12);
static_assert(offsetof(struct preserve_header_ser, compat) == 16);
static_assert(offsetof(struct preserve_header_ser, incompat) == 24);
static_assert(offsetof(struct preserve_header_ser, block_order) == 32);
static_assert(offsetof(struct preserve_header_ser, page_shift) == 36);
static_assert(offsetof(struct preserve_header_ser, table) == 40);
static_assert(offsetof(struct preserve_header_ser, nr_blocks) == 56);
static_assert(offsetof(struct preserve_header_ser, want) == 64);
static_assert(offsetof(struct preserve_header_ser, max) == 72);
static_assert(offsetof(struct preserve_header_ser, csum) == 80);
static_assert(sizeof(struct preserve_header_ser) == 88);

/* What the blocks of an extent have in common. */
#define PRESERVE_EXTENT_FREE		1	/* no live frame */
#define PRESERVE_EXTENT_LIVE		2	/* nothing but live frames */
#define PRESERVE_EXTENT_SOME		3	/* a bitmap each says which */
#define PRESERVE_EXTENT_POISONED		4	/* one block's defective frames */
#define PRESERVE_EXTENT_HUGE		5	/* huge pages outside of blocks */
#define PRESERVE_EXTENT_HUGE_BAD		6	/* defective frames of such pages */
#define PRESERVE_EXTENT_HUGE_FREE		7	/* huge pages that are no file's */

/* In preserve_extent_ser.bitmaps, for huge pages. */
#define PRESERVE_HUGE_STAYS		0x1	/* the pool of that size stays as large */
#define PRESERVE_HUGE_CMA		0x2	/* of an area of hugetlb_cma= */

/**
 * struct preserve_extent_ser - Neighbouring blocks of the pool, or huge pages outside of it.
 * @pfn:       First frame of the first block.
 * @bitmaps:   Physical address of the page that has their bitmaps, or 0. For huge pages
 *             PRESERVE_HUGE_*: the pool stays as large if free ones were to cross as well.
 * @nr_blocks: How many blocks; 1 for %PRESERVE_EXTENT_POISONED. Huge pages for
 *             %PRESERVE_EXTENT_HUGE and %PRESERVE_EXTENT_HUGE_FREE, frames for
 *             %PRESERVE_EXTENT_HUGE_BAD.
 * @kind:      PRESERVE_EXTENT_*.
 * @slot:      Number of the first bitmap in that page; the others follow. For
 *             huge pages log2 of a page's size in pages.
 *
 * In ascending order, without overlap; huge pages come behind all blocks, in an order of their
 * own, and what is defective comes last: %PRESERVE_EXTENT_HUGE_BAD within huge pages,
 * %PRESERVE_EXTENT_POISONED for a block that one of the others has.
 */
struct preserve_extent_ser {
	__u64 pfn;
	__u64 bitmaps;
	__u32 nr_blocks;
	__u16 kind;
	__u16 slot;
};

static_assert(offsetof(struct preserve_extent_ser, pfn) == 0);
static_assert(offsetof(struct preserve_extent_ser, bitmaps) == 8);
static_assert(offsetof(struct preserve_extent_ser, nr_blocks) == 16);
static_assert(offsetof(struct preserve_extent_ser, kind) == 20);
static_assert(offsetof(struct preserve_extent_ser, slot) == 22);
static_assert(sizeof(struct preserve_extent_ser) == 24);

#define PRESERVE_TABLE_MAGIC		0x4c42545652535250ULL /* "PRSRVTBL" */

/**
 * struct preserve_table_ser - A page of the block table.
 * @magic:  %PRESERVE_TABLE_MAGIC.
 * @csum:   xxh64 of the page behind this field, seeded with the number of the page
 *          in the chain, from 0.
 * @next:   Physical addresses of the next page's copies; 0 at the end.
 * @nr:     Extents in use.
 * @reserved: 0.
 * @extent: The extents.
 */
struct preserve_table_ser {
	__u64 magic;
	__u64 csum;
	__u64 next[PRESERVE_COPIES];
	__u32 nr;
	__u32 reserved;
	struct preserve_extent_ser extent[];
};

static_assert(offsetof(struct preserve_table_ser, magic) == 0);
static_assert(offsetof(struct preserve_table_ser, csum) == 8);
static_assert(offsetof(struct preserve_table_ser, next) == 16);
static_assert(offsetof(struct preserve_table_ser, nr) == 32);
static_assert(offsetof(struct preserve_table_ser, reserved) == 36);
static_assert(offsetof(struct preserve_table_ser, extent) == 40);
static_assert(sizeof(struct preserve_table_ser) == 40);

#define PRESERVE_BITMAPS_MAGIC		0x4d54425652535250ULL /* "PRSRVBTM" */

/**
 * struct preserve_bitmaps_ser - A page of bitmaps, one bit for each frame of a block.
 * @magic:  %PRESERVE_BITMAPS_MAGIC.
 * @csum:   xxh64 of the page behind this field, seeded with its physical address.
 * @nr:     Bitmaps in use.
 * @reserved: 0.
 * @bits:   The bitmaps, each as long as a block needs: bit n of word w, in this
 *          machine's byte order, is frame 64 * w + n.
 */
struct preserve_bitmaps_ser {
	__u64 magic;
	__u64 csum;
	__u32 nr;
	__u32 reserved;
	__u64 bits[];
};

static_assert(offsetof(struct preserve_bitmaps_ser, magic) == 0);
static_assert(offsetof(struct preserve_bitmaps_ser, csum) == 8);
static_assert(offsetof(struct preserve_bitmaps_ser, nr) == 16);
static_assert(offsetof(struct preserve_bitmaps_ser, reserved) == 20);
static_assert(offsetof(struct preserve_bitmaps_ser, bits) == 24);
static_assert(sizeof(struct preserve_bitmaps_ser) == 24);

#define PRESERVE_FILE_MAGIC		0x4543455256535250ULL /* "PRSVRECE" */
#define PRESERVE_FILE_VERSION		5

/* Features of records that this kernel knows, whether it uses them or not: none. */
#define PRESERVE_FILE_COMPAT		0x0
#define PRESERVE_FILE_INCOMPAT		0x0

/* The kinds of file that a record can describe. */
#define PRESERVE_FILE_MEMFD		1
#define PRESERVE_FILE_TREE		2	/* the image of a tree */
#define PRESERVE_FILE_HUGETLB		3	/* its memory is huge pages outside of the pool */
#define PRESERVE_FILE_GUEST		4	/* guest_memfd */

/* With a kind: the file could not be made consistent in time, and nothing of it crosses. */
#define PRESERVE_FILE_GIVEN_UP		0x80000000U

/* Longest name of a file, in bytes. */
#define PRESERVE_FILE_MAX_NAME		NAME_MAX

/* Room for what only few files have. */
#define PRESERVE_FILE_EXTRAS		3400

/**
 * struct preserve_time_ser - A point in time.
 * @sec:  Seconds since 1970.
 * @nsec: Nanoseconds, less than a second.
 * @reserved: 0.
 */
struct preserve_time_ser {
	__s64 sec;
	__u32 nsec;
	__u32 reserved;
};

static_assert(offsetof(struct preserve_time_ser, sec) == 0);
static_assert(offsetof(struct preserve_time_ser, nsec) == 8);
static_assert(offsetof(struct preserve_time_ser, reserved) == 12);
static_assert(sizeof(struct preserve_time_ser) == 16);

/* Which time of a file stands where in preserve_file_ser.times. */
#define PRESERVE_FILE_MTIME		0
#define PRESERVE_FILE_CTIME		1
#define PRESERVE_FILE_ATIME		2
#define PRESERVE_FILE_BTIME		3
#define PRESERVE_FILE_TIMES		4

/* In preserve_file_ser.guest_flags. A file with one that is not known is refused. */
#define PRESERVE_GUEST_MMAP		0x1	/* user space may map it */
#define PRESERVE_GUEST_INIT_SHARED	0x2	/* its memory begins as shared */

/*
 * In preserve_file_ser.guest_type: the machine that the memory belongs to. Of others the
 * memory cannot be carried over.
 */
#define PRESERVE_GUEST_TYPE_DEFAULT	0
#define PRESERVE_GUEST_TYPE_SW_PROTECTED	1	/* x86: KVM_X86_SW_PROTECTED_VM */

/* In preserve_file_ser.user. */
#define PRESERVE_FILE_NOBODY		0xffffffffU

/**
 * struct preserve_file_ser - One preserved file.
 * @magic:    %PRESERVE_FILE_MAGIC.
 * @version:  %PRESERVE_FILE_VERSION.
 * @size:     sizeof(struct preserve_file_ser).
 * @compat:   Features; those that are not known do not matter.
 * @incompat: Features; all of them have to be known.
 * @kind:     PRESERVE_FILE_*, perhaps with %PRESERVE_FILE_GIVEN_UP.
 * @f_flags:  The open file's status flags that cross: O_APPEND, O_NONBLOCK, O_NOATIME,
 *            O_DIRECT, O_SYNC, O_DSYNC.
 * @i_size:   File size, bytes.
 * @pos:      File position, bytes.
 * @seals:    F_SEAL_* as F_GET_SEALS shows them.
 * @guest_type: For %PRESERVE_FILE_GUEST in its place: PRESERVE_GUEST_TYPE_*.
 * @mode:     Permission bits of the inode.
 * @uid:      Owner, in the initial user namespace.
 * @gid:      Group, in the initial user namespace.
 * @name_len: Length of @name, bytes, without its end.
 * @fsflags:  FS_*_FL as FS_IOC_GETFLAGS shows them.
 * @guest_flags: For %PRESERVE_FILE_GUEST in its place: PRESERVE_GUEST_*.
 * @map:      The file map: kind %PRMAP_FILE, page index to frame.
 * @times:    Of the last modification, change and access, and of birth.
 * @write_hint: As F_GET_RW_HINT shows it.
 * @extras_len: Bytes of @extras in use.
 * @memlock:  Pages that @user may have locked, all in all; all ones for no limit.
 * @user:     Whose locked memory the file is, in the initial user namespace;
 *            %PRESERVE_FILE_NOBODY for no user's.
 * @huge_order: For %PRESERVE_FILE_HUGETLB log2 of its pages' size in base pages; otherwise 0.
 * @name:     The file's name, ends with a zero byte.
 * @extras:   Extended attributes, labels, ACLs and memory policies, each as a tree's image
 *            (<linux/kho/abi/preserve_tree.h>) has it. For %PRESERVE_FILE_HUGETLB labels, then
 *            parts of the file for which huge pages are reserved. For %PRESERVE_FILE_GUEST labels,
 *            then memory policies.
 * @csum:     xxh64, seed 0, of all bytes before this field.
 */
struct preserve_file_ser {
	__u64 magic;
	__u32 version;
	__u32 size;
	__u64 compat;
	__u64 incompat;
	__u32 kind;
	__u32 f_flags;
	__u64 i_size;
	__u64 pos;
	union {
		__u32 seals;
		__u32 guest_type;
	};
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 name_len;
	union {
		__u32 fsflags;
		__u32 guest_flags;
	};
	struct prmap_root_ser map;
	struct preserve_time_ser times[PRESERVE_FILE_TIMES];
	__u32 write_hint;
	__u32 extras_len;
	__u64 memlock;
	__u32 user;
	__u32 huge_order;
	char name[PRESERVE_FILE_MAX_NAME + 1];
	__u8 extras[PRESERVE_FILE_EXTRAS];
	__u64 csum;
};

static_assert(offsetof(struct preserve_file_ser, magic) == 0);
static_assert(offsetof(struct preserve_file_ser, version) == 8);
static_assert(offsetof(struct preserve_file_ser, size) == 12);
static_assert(offsetof(struct preserve_file_ser, compat) == 16);
static_assert(offsetof(struct preserve_file_ser, incompat) == 24);
static_assert(offsetof(struct preserve_file_ser, kind) == 32);
static_assert(offsetof(struct preserve_file_ser, f_flags) == 36);
static_assert(offsetof(struct preserve_file_ser, i_size) == 40);
static_assert(offsetof(struct preserve_file_ser, pos) == 48);
static_assert(offsetof(struct preserve_file_ser, seals) == 56);
static_assert(offsetof(struct preserve_file_ser, mode) == 60);
static_assert(offsetof(struct preserve_file_ser, uid) == 64);
static_assert(offsetof(struct preserve_file_ser, gid) == 68);
static_assert(offsetof(struct preserve_file_ser, name_len) == 72);
static_assert(offsetof(struct preserve_file_ser, fsflags) == 76);
static_assert(offsetof(struct preserve_file_ser, map) == 80);
static_assert(offsetof(struct preserve_file_ser, times) == 144);
static_assert(offsetof(struct preserve_file_ser, write_hint) == 208);
static_assert(offsetof(struct preserve_file_ser, extras_len) == 212);
static_assert(offsetof(struct preserve_file_ser, memlock) == 216);
static_assert(offsetof(struct preserve_file_ser, user) == 224);
static_assert(offsetof(struct preserve_file_ser, huge_order) == 228);
static_assert(offsetof(struct preserve_file_ser, name) == 232);
static_assert(offsetof(struct preserve_file_ser, extras) == 488);
static_assert(offsetof(struct preserve_file_ser, csum) == 3888);
static_assert(sizeof(struct preserve_file_ser) == 3896);

/* LUO's name for the handler of memfds made with MFD_PRESERVE. */
#define PRESERVE_MEMFD_COMPATIBLE	"preserve-memfd-v3"

/* The same for files of hugetlb. */
#define PRESERVE_HUGETLB_COMPATIBLE	"preserve-hugetlb-v2"

/* The same for guest_memfd. */
#define PRESERVE_GUEST_COMPATIBLE	"preserve-guest-memfd-v1"

/**
 * DOC: What a kernel writes and reads
 *
 * A text of lines "what version compat incompat", the words being the features that the
 * kernel knows; one without words for the map and the page size, one for each of LUO's
 * handlers, and one for the size of pageblocks (log2 of pages, decimal). It is the file abi
 * in sysfs, and an ELF note of the kernel's image: name
 * %PRESERVE_ABI_NOTE, type %PRESERVE_ABI_NOTE_TYPE. A program that loads the next kernel
 * compares the two. A kernel takes over what another one hands over if for each line of the
 * other's it has one with the same version, and knows all bits of incompat.
 */

/* The name of the ELF note that says what a kernel can take over, and its type. */
#define PRESERVE_ABI_NOTE		"Preserve"
#define PRESERVE_ABI_NOTE_TYPE		1

#endif /* _LINUX_KHO_ABI_PRESERVE_H */
