/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The book of a preserved tmpfs tree: every byte of it, versions, limits.
 */
#ifndef _LINUX_KHO_ABI_PRESERVE_TREE_H
#define _LINUX_KHO_ABI_PRESERVE_TREE_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/**
 * DOC: The book of a tree
 *
 * A preserved tmpfs is one record of kind %PRESERVE_FILE_TREE. The file that it
 * describes is the tree's *book*: names, attributes, and where the data is. The
 * data's frames are not part of the book's file map; each file's runs stand in the
 * book, and the frames are live frames like any other.
 *
 * The book begins with a &struct preserve_tree_ser. Everything else is in
 * *sections*, each a &struct preserve_section_ser with its own checksum and what it
 * vouches for behind it, so that a directory can be read without the others:
 *
 * - a directory: its entries, oldest first. Directories are numbered, the root is
 *   0; a table at @dirs says where each one is. Each has one entry that names it.
 *   One entry in no bytes: the directory was damaged when it was handed on.
 * - a link: one inode that has several names. They are numbered, too, with their
 *   table at @links.
 * - what the whole file system has besides: see &struct preserve_tree_ser.
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
 *	change counter, write hint; times (below); then by type
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
 * A change of any of this takes a new version.
 */

#define PRESERVE_TREE_MAGIC		0x4545525456525350ULL /* "PSRVTREE" */
#define PRESERVE_TREE_VERSION		2

/* Longest text of the default memory policy, and longest name of the source. */
#define PRESERVE_TREE_MAX_POLICY	112
#define PRESERVE_TREE_MAX_SOURCE	128

/* Bits of preserve_tree_ser.flags. */
#define PRESERVE_TREE_INODE64		0x01
#define PRESERVE_TREE_NOSWAP		0x02
#define PRESERVE_TREE_POOL		0x04	/* mounted with "preserve" */
#define PRESERVE_TREE_USRQUOTA		0x08
#define PRESERVE_TREE_GRPQUOTA		0x10
#define PRESERVE_TREE_STRICT		0x20	/* strict_encoding */
#define PRESERVE_TREE_RDONLY		0x40	/* the file system, not a mount */
#define PRESERVE_TREE_SYNC		0x80
#define PRESERVE_TREE_DIRSYNC		0x100
#define PRESERVE_TREE_LAZYTIME		0x200
#define PRESERVE_TREE_I_VERSION		0x400
#define PRESERVE_TREE_DEFAULT_SIZE	0x800	/* the limit of pages was not given */
#define PRESERVE_TREE_DEFAULT_INODES	0x1000	/* nor that of inodes */
#define PRESERVE_TREE_HANDLES		0x2000	/* file handles may exist */
#define PRESERVE_TREE_FLAGS		0x3fff	/* all of them */

/* The greatest section that is accepted, in bytes. */
#define PRESERVE_TREE_MAX_SECTION	0x40000000U

/**
 * struct preserve_tree_ser - The file system.
 * @magic:      %PRESERVE_TREE_MAGIC.
 * @version:    %PRESERVE_TREE_VERSION.
 * @size:       sizeof(struct preserve_tree_ser).
 * @length:     Of the book, bytes.
 * @dirs:       Where the table of directories is: a __u64 for each section.
 * @nr_dirs:    Its entries; 0 if the root is empty.
 * @links:      The same of links.
 * @nr_links:   Its entries; the first is the root directory's inode.
 * @quotas:     Section of quotas, 0 for none: entries of kind and ID; of kind 0 (a
 *              user) and 1 (a group) then bytes, inodes, soft bytes, soft inodes, and
 *              when the grace for bytes and inodes ends, seconds since 1970 or 0; of
 *              kind 2 and 3, ID 0, the grace times of users and groups for bytes and
 *              inodes, in seconds.
 * @nr_inodes:  Inodes besides the root.
 * @used_blocks: Pages of all files.
 * @used_ispace: Bytes of inode space in use; 0 without a limit.
 * @epoch:      Seconds that times are relative to.
 * @flags:      PRESERVE_TREE_*.
 * @max_blocks: Limit of pages, 0 for none.
 * @max_inodes: Limit of inodes, 0 for none.
 * @next_ino:   Next inode number.
 * @mode:       Of the mount options.
 * @uid:        Of the mount options, initial user namespace.
 * @gid:        The same.
 * @huge:       SHMEM_HUGE_*, as the mount option has it.
 * @encoding:   Version of UTF-8 for casefolding, 0 for none.
 * @mnt_flags:  MNT_* of the mount, of those that mount(2) sets.
 * @quota_limits: Default limits: user bytes, user inodes, group bytes, group inodes.
 * @uuid:       Of the file system.
 * @dev:        Minor number of its device, as stat() shows it.
 * @reserved:   0.
 * @policy:     The default memory policy as the mount option has it, or empty.
 * @source:     The mount's source, ends with a zero byte.
 * @csum:       xxh64, seed 0, of all bytes before this field.
 */
struct preserve_tree_ser {
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
	char policy[PRESERVE_TREE_MAX_POLICY];
	char source[PRESERVE_TREE_MAX_SOURCE];
	__u64 csum;
};

static_assert(offsetof(struct preserve_tree_ser, magic) == 0);
static_assert(offsetof(struct preserve_tree_ser, version) == 8);
static_assert(offsetof(struct preserve_tree_ser, size) == 12);
static_assert(offsetof(struct preserve_tree_ser, length) == 16);
static_assert(offsetof(struct preserve_tree_ser, dirs) == 24);
static_assert(offsetof(struct preserve_tree_ser, nr_dirs) == 32);
static_assert(offsetof(struct preserve_tree_ser, links) == 40);
static_assert(offsetof(struct preserve_tree_ser, nr_links) == 48);
static_assert(offsetof(struct preserve_tree_ser, quotas) == 56);
static_assert(offsetof(struct preserve_tree_ser, nr_inodes) == 64);
static_assert(offsetof(struct preserve_tree_ser, used_blocks) == 72);
static_assert(offsetof(struct preserve_tree_ser, used_ispace) == 80);
static_assert(offsetof(struct preserve_tree_ser, epoch) == 88);
static_assert(offsetof(struct preserve_tree_ser, flags) == 96);
static_assert(offsetof(struct preserve_tree_ser, max_blocks) == 104);
static_assert(offsetof(struct preserve_tree_ser, max_inodes) == 112);
static_assert(offsetof(struct preserve_tree_ser, next_ino) == 120);
static_assert(offsetof(struct preserve_tree_ser, mode) == 128);
static_assert(offsetof(struct preserve_tree_ser, uid) == 132);
static_assert(offsetof(struct preserve_tree_ser, gid) == 136);
static_assert(offsetof(struct preserve_tree_ser, huge) == 140);
static_assert(offsetof(struct preserve_tree_ser, encoding) == 144);
static_assert(offsetof(struct preserve_tree_ser, mnt_flags) == 148);
static_assert(offsetof(struct preserve_tree_ser, quota_limits) == 152);
static_assert(offsetof(struct preserve_tree_ser, uuid) == 184);
static_assert(offsetof(struct preserve_tree_ser, dev) == 200);
static_assert(offsetof(struct preserve_tree_ser, reserved) == 204);
static_assert(offsetof(struct preserve_tree_ser, policy) == 208);
static_assert(offsetof(struct preserve_tree_ser, source) == 320);
static_assert(offsetof(struct preserve_tree_ser, csum) == 448);
static_assert(sizeof(struct preserve_tree_ser) == 456);

#define PRESERVE_SECTION_MAGIC		0x54434553U	/* "SECT" */

/* What a section is. */
#define PRESERVE_SECTION_DIR		1
#define PRESERVE_SECTION_LINK		2
#define PRESERVE_SECTION_QUOTA		3

/**
 * struct preserve_section_ser - A part of the book.
 * @magic:  %PRESERVE_SECTION_MAGIC.
 * @kind:   PRESERVE_SECTION_*.
 * @no:     Number of the directory or link.
 * @nr:     Entries.
 * @length: Of what follows, bytes.
 * @csum:   xxh64 of what follows, seeded with xxh64 of all bytes before this field,
 *          seeded with the section's offset in the book.
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
#define PRESERVE_INODE_PARTS		0xfff

#define PRESERVE_EXTRA_XATTR		1	/* full name, value */
#define PRESERVE_EXTRA_ACL		2	/* the same, in the form of an xattr */
#define PRESERVE_EXTRA_POLICY		3	/* text; first page, behind the last */
#define PRESERVE_EXTRA_LABEL		4	/* as XATTR, of a security module alone */

/* Entries of the section of quotas: limits of USRQUOTA, GRPQUOTA, or, so much more: */
#define PRESERVE_QUOTA_GRACE		2	/* grace times */

/* LUO's name for the handler of tmpfs trees. */
#define PRESERVE_TREE_COMPATIBLE	"preserve-tmpfs-v2"

#endif /* _LINUX_KHO_ABI_PRESERVE_TREE_H */
