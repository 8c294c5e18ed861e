/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The image of a preserved tree of files: every byte of it, versions, limits.
 */
#ifndef _LINUX_KHO_ABI_PRESERVE_TREE_H
#define _LINUX_KHO_ABI_PRESERVE_TREE_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/**
 * DOC: The image of a tree
 *
 * A preserved mount is one record of kind %PRESERVE_FILE_TREE. The stream that it
 * describes is the tree's *image*: names, attributes, and where the data is. The
 * data's frames are not part of the record's map; each file's runs stand in the
 * image, and the frames are live frames like any other.
 *
 * The image begins with a &struct preserve_tree_ser. Everything else is in
 * *sections*, each a &struct preserve_section_ser with its own checksum and what it
 * vouches for behind it, so that a directory can be read without the others:
 *
 * - a directory: its entries, oldest first. Directories are numbered, the root is
 *   0; a table at @dirs says where each one is. Each has one entry that names it.
 *   One entry in no bytes: the directory was damaged when it was handed on.
 * - a link: one inode that has several names. They are numbered, too, with their
 *   table at @links.
 * - what the file system has besides. A table at @others says where these are; at most
 *   one of each kind, in any order.
 *
 * In the sections numbers are varints, seven bits in a byte, the lowest first;
 * signed ones are folded (0, -1, 1, -2, ...). Text is its length and its bytes.
 *
 * entry:
 *	name, position in the directory, PRESERVE_ENTRY_INODE and an inode, or
 *	PRESERVE_ENTRY_LINK and the number of a link
 *
 * inode:
 *	which of the optional parts there are (PRESERVE_INODE_*), mode, inode number,
 *	generation, the optional ones of: owner, group, links, device, flags, seals,
 *	change counter, write hint, record; times (below); then by type
 *	file: size, pages, number of runs, runs (below)
 *	symbolic link: its target
 *	directory: its number plus one, or 0 if it is empty, size, next position;
 *	then, if there are any, the number of extras and these: PRESERVE_EXTRA_*, name,
 *	value
 *
 * times: of the last modification, then those of change, access and birth that
 *	differ from it; signed seconds since @epoch, or since that of modification,
 *	and nanoseconds
 *
 * run: pages since the end of the last one, signed frames since the end of the last
 *	one, (folios - 1) * 32 + order
 *
 * option: PRESERVE_OPTION_*, key and value as mount(8) gives them; no value if that is
 *	empty
 *
 * quota: kind and ID. Of kind 0 (a user) and 1 (a group): bytes, inodes, soft bytes, soft
 *	inodes, and when the grace for bytes and inodes ends, seconds since 1970 or 0. Of
 *	kind 2 and 3, ID 0: the grace times of users and groups for bytes and inodes, in
 *	seconds
 *
 * How it may change: what a kernel that does not know it may leave out, without more harm
 * than that it is gone, is a section or an extra whose kind has the bit
 * PRESERVE_SECTION_SKIP or PRESERVE_EXTRA_SKIP, and perhaps a bit of @compat. A mount
 * option of a new name is refused by the file system that does not know it, unless it
 * has PRESERVE_OPTION_SKIP. Anything else takes a bit of @incompat: a kernel that does not
 * know it refuses the image. Only another layout of the beginning takes a new version.
 */

#define PRESERVE_TREE_MAGIC		0x4545525456525350ULL /* "PSRVTREE" */
#define PRESERVE_TREE_VERSION		3

/* @incompat: files have records of their own (PRESERVE_INODE_RECORD). */
#define PRESERVE_TREE_RECORDS		0x1

/* Features that this kernel knows, whether it uses them or not. */
#define PRESERVE_TREE_COMPAT		0x0
#define PRESERVE_TREE_INCOMPAT		0x1

/* Longest name of a file system and of a mount's source, with its end. */
#define PRESERVE_TREE_MAX_TYPE		32
#define PRESERVE_TREE_MAX_SOURCE	128

/* Bits of preserve_tree_ser.flags: of the file system, not of a mount. */
#define PRESERVE_TREE_RDONLY		0x01
#define PRESERVE_TREE_SYNC		0x02
#define PRESERVE_TREE_DIRSYNC		0x04
#define PRESERVE_TREE_LAZYTIME		0x08
#define PRESERVE_TREE_I_VERSION		0x10
#define PRESERVE_TREE_HANDLES		0x20	/* file handles may exist */
#define PRESERVE_TREE_FLAGS		0x3f	/* all of them */

/* The greatest section that is accepted, in bytes. */
#define PRESERVE_TREE_MAX_SECTION	0x40000000U

/* The most sections besides directories and links. */
#define PRESERVE_TREE_MAX_OTHERS	64

/* The most mount options. */
#define PRESERVE_TREE_MAX_OPTIONS	256

/**
 * struct preserve_tree_ser - The file system.
 * @magic:      %PRESERVE_TREE_MAGIC.
 * @version:    %PRESERVE_TREE_VERSION.
 * @size:       sizeof(struct preserve_tree_ser).
 * @compat:     Features; those that are not known do not matter.
 * @incompat:   Features; all of them have to be known.
 * @length:     Of the image, bytes.
 * @dirs:       Where the table of directories is: a __u64 for each section.
 * @nr_dirs:    Its entries; 0 if the root is empty.
 * @links:      The same of links.
 * @nr_links:   Its entries; the first is the root directory's inode.
 * @others:     The same of the sections besides.
 * @nr_others:  Its entries.
 * @nr_inodes:  Inodes besides the root.
 * @used_pages: Of all files, as the file system's limit counts them.
 * @used_ispace: Bytes of inode space in use, as the file system's limit counts it.
 * @own_pages:  Limit of pages that was the file system's own, because none was given; 0 if
 *              one was. It holds where the next kernel's own is too low for @used_pages.
 * @own_inodes: The same of inodes, for @used_ispace.
 * @epoch:      Seconds that times are relative to.
 * @next_ino:   Next inode number.
 * @flags:      PRESERVE_TREE_*.
 * @mnt_attr:   MOUNT_ATTR_* of the mount.
 * @dev:        Minor number of its device, as stat() shows it.
 * @reserved:   0.
 * @uuid:       Of the file system.
 * @fs_type:    The file system's name, as in /proc/filesystems.
 * @source:     The mount's source.
 * @csum:       xxh64, seed 0, of all bytes before this field.
 *
 * Texts end with a zero byte.
 */
struct preserve_tree_ser {
	__u64 magic;
	__u32 version;
	__u32 size;
	__u64 compat;
	__u64 incompat;
	__u64 length;
	__u64 dirs;
	__u64 nr_dirs;
	__u64 links;
	__u64 nr_links;
	__u64 others;
	__u64 nr_others;
	__u64 nr_inodes;
	__u64 used_pages;
	__u64 used_ispace;
	__u64 own_pages;
	__u64 own_inodes;
	__s64 epoch;
	__u64 next_ino;
	__u64 flags;
	__u64 mnt_attr;
	__u32 dev;
	__u32 reserved;
	__u8 uuid[16];
	char fs_type[PRESERVE_TREE_MAX_TYPE];
	char source[PRESERVE_TREE_MAX_SOURCE];
	__u64 csum;
};

static_assert(offsetof(struct preserve_tree_ser, magic) == 0);
static_assert(offsetof(struct preserve_tree_ser, version) == 8);
static_assert(offsetof(struct preserve_tree_ser, size) == 12);
static_assert(offsetof(struct preserve_tree_ser, compat) == 16);
static_assert(offsetof(struct preserve_tree_ser, incompat) == 24);
static_assert(offsetof(struct preserve_tree_ser, length) == 32);
static_assert(offsetof(struct preserve_tree_ser, dirs) == 40);
static_assert(offsetof(struct preserve_tree_ser, nr_dirs) == 48);
static_assert(offsetof(struct preserve_tree_ser, links) == 56);
static_assert(offsetof(struct preserve_tree_ser, nr_links) == 64);
static_assert(offsetof(struct preserve_tree_ser, others) == 72);
static_assert(offsetof(struct preserve_tree_ser, nr_others) == 80);
static_assert(offsetof(struct preserve_tree_ser, nr_inodes) == 88);
static_assert(offsetof(struct preserve_tree_ser, used_pages) == 96);
static_assert(offsetof(struct preserve_tree_ser, used_ispace) == 104);
static_assert(offsetof(struct preserve_tree_ser, own_pages) == 112);
static_assert(offsetof(struct preserve_tree_ser, own_inodes) == 120);
static_assert(offsetof(struct preserve_tree_ser, epoch) == 128);
static_assert(offsetof(struct preserve_tree_ser, next_ino) == 136);
static_assert(offsetof(struct preserve_tree_ser, flags) == 144);
static_assert(offsetof(struct preserve_tree_ser, mnt_attr) == 152);
static_assert(offsetof(struct preserve_tree_ser, dev) == 160);
static_assert(offsetof(struct preserve_tree_ser, reserved) == 164);
static_assert(offsetof(struct preserve_tree_ser, uuid) == 168);
static_assert(offsetof(struct preserve_tree_ser, fs_type) == 184);
static_assert(offsetof(struct preserve_tree_ser, source) == 216);
static_assert(offsetof(struct preserve_tree_ser, csum) == 344);
static_assert(sizeof(struct preserve_tree_ser) == 352);

#define PRESERVE_SECTION_MAGIC		0x54434553U	/* "SECT" */

/* What a section is. */
#define PRESERVE_SECTION_DIR		1
#define PRESERVE_SECTION_LINK		2
#define PRESERVE_SECTION_QUOTA		3
#define PRESERVE_SECTION_OPTIONS	4

/* With a kind: a kernel that does not know it leaves the section out. */
#define PRESERVE_SECTION_SKIP		0x80000000U

/**
 * struct preserve_section_ser - A part of the image.
 * @magic:  %PRESERVE_SECTION_MAGIC.
 * @kind:   PRESERVE_SECTION_*.
 * @no:     Number of the directory or link; otherwise 0.
 * @nr:     Entries.
 * @length: Of what follows, bytes.
 * @csum:   xxh64 of what follows, seeded with xxh64 of all bytes before this field,
 *          seeded with the section's offset in the image.
 */
struct preserve_section_ser {
	__u32 magic;
	__u32 kind;
	__u64 no;
	__u32 nr;
	__u32 length;
	__u64 csum;
};

static_assert(offsetof(struct preserve_section_ser, magic) == 0);
static_assert(offsetof(struct preserve_section_ser, kind) == 4);
static_assert(offsetof(struct preserve_section_ser, no) == 8);
static_assert(offsetof(struct preserve_section_ser, nr) == 16);
static_assert(offsetof(struct preserve_section_ser, length) == 20);
static_assert(offsetof(struct preserve_section_ser, csum) == 24);
static_assert(sizeof(struct preserve_section_ser) == 32);

#define PRESERVE_ENTRY_INODE		1
#define PRESERVE_ENTRY_LINK		2

#define PRESERVE_INODE_UID		0x001
#define PRESERVE_INODE_GID		0x002
#define PRESERVE_INODE_NLINK		0x004	/* more than 1, for a directory 2 */
#define PRESERVE_INODE_RDEV		0x008
#define PRESERVE_INODE_FSFLAGS		0x010
#define PRESERVE_INODE_SEALS		0x020	/* other than F_SEAL_SEAL */
#define PRESERVE_INODE_CTIME		0x040
#define PRESERVE_INODE_ATIME		0x080
#define PRESERVE_INODE_BTIME		0x100
#define PRESERVE_INODE_EXTRAS		0x200
#define PRESERVE_INODE_VERSION		0x400	/* i_version, as the inode has it */
#define PRESERVE_INODE_HINT		0x800	/* WRITE_LIFE_* */
#define PRESERVE_INODE_RECORD		0x1000	/* where a file's record is; it has no runs then */
#define PRESERVE_INODE_PARTS		0x1fff

/* In place of where a record is: it was damaged when the file was handed on. */
#define PRESERVE_RECORD_DAMAGED		1

#define PRESERVE_EXTRA_XATTR		1	/* full name, value */
#define PRESERVE_EXTRA_ACL		2	/* the same, in the form of an xattr */
#define PRESERVE_EXTRA_POLICY		3	/* text; first page, behind the last */
#define PRESERVE_EXTRA_LABEL		4	/* as XATTR, of a security module alone */
#define PRESERVE_EXTRA_SUBPOOL		5	/* a struct preserve_subpool_ser; the root's */
#define PRESERVE_EXTRA_REGION		6	/* a struct preserve_region_ser; of a record */

/* With a kind: a kernel that does not know it leaves the extra out. */
#define PRESERVE_EXTRA_SKIP		0x80000000U

/**
 * struct preserve_subpool_ser - Limits of a hugetlbfs, in huge pages.
 * @max: The most that it may have; -1: no limit.
 * @min: What is set aside for it; -1: nothing.
 */
struct preserve_subpool_ser {
	__s64 max;
	__s64 min;
};

static_assert(sizeof(struct preserve_subpool_ser) == 16);

/**
 * struct preserve_region_ser - A part of a file for which huge pages are reserved.
 * @from: First huge page.
 * @to:   Behind the last.
 */
struct preserve_region_ser {
	__s64 from;
	__s64 to;
};

static_assert(sizeof(struct preserve_region_ser) == 16);

/* An option that a kernel leaves out when it cannot do as it says. */
#define PRESERVE_OPTION_SKIP		0x01

/* Entries of the section of quotas: limits of USRQUOTA, GRPQUOTA, or, so much more: */
#define PRESERVE_QUOTA_GRACE		2	/* grace times */

/* LUO's names for the handlers of trees. */
#define PRESERVE_TREE_COMPATIBLE	"preserve-tmpfs-v3"
#define PRESERVE_HUGETLBFS_COMPATIBLE	"preserve-hugetlbfs-v1"

#endif /* _LINUX_KHO_ABI_PRESERVE_TREE_H */
