/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes of a tree's image, and of what a record has of extras: written, and read as
 * hostile input. See <linux/kho/abi/preserve_tree.h> for the format,
 * mm/preserve/tree/codec.c for how.
 *
 * Locals: w a writer, r a reader, in an inode.
 */
#ifndef _LINUX_PRESERVE_CODEC_H
#define _LINUX_PRESERVE_CODEC_H

#include <linux/kho/abi/preserve_tree.h>
#include <linux/preserve_radix.h>
#include <linux/time64.h>
#include <linux/types.h>

/**
 * struct preserve_tree_writer - Bytes that grow.
 * @buf:   The bytes; NULL at first. Freed by its owner with kvfree().
 * @len:   How many.
 * @size:  Room for so many.
 * @err:   The first error; nothing is added after it.
 * @fixed: @buf cannot grow: what it has no room for is -E2BIG.
 * @epoch: What times are relative to.
 */
struct preserve_tree_writer {
	u8 *buf;
	size_t len;
	size_t size;
	int err;
	bool fixed;
	s64 epoch;
};

/**
 * struct preserve_tree_reader - Bytes that are read, and not trusted.
 * @at:    The next.
 * @end:   Behind the last.
 * @bad:   They are not what they should be; all that is read afterwards is 0.
 * @epoch: As for the writer.
 */
struct preserve_tree_reader {
	const u8 *at;
	const u8 *end;
	bool bad;
	s64 epoch;
};

/**
 * struct preserve_tree_inode - What the image says of an inode.
 * @parts:      PRESERVE_INODE_*, of what is read.
 * @mode:       Type and permissions.
 * @uid:        Owner, initial user namespace.
 * @gid:        Group, the same.
 * @nlink:      Names.
 * @rdev:       Of a device, as new_encode_dev() has it.
 * @fsflags:    FS_*_FL.
 * @seals:      F_SEAL_*.
 * @write_hint: WRITE_LIFE_*.
 * @version:    i_version.
 * @record:     Of a file that has a record of its own: where that is; 0 otherwise.
 * @ino:        Inode number.
 * @generation: i_generation.
 * @mtime:      Times.
 * @ctime:      ...
 * @atime:      ...
 * @btime:      ...
 * @size:       Of a file or directory, bytes.
 * @nr_pages:   Of a file: pages that it has.
 * @nr_runs:    In so many runs.
 * @end:        Page index behind the last, of what is read.
 * @runs:       Where these are in the bytes that are read.
 * @dir:        Of a directory: its number plus one, or 0 for an empty one.
 * @next:       Of a directory: next position.
 * @target:     Of a symbolic link; not terminated.
 * @target_len: Its length.
 * @nr_extras:  Extras that follow.
 * @used_pages: Pages that a symbolic link counts against a limit. Not in the bytes.
 */
struct preserve_tree_inode {
	u32 parts;
	u32 mode;
	u32 uid;
	u32 gid;
	u32 nlink;
	u32 rdev;
	u32 fsflags;
	u32 seals;
	u32 write_hint;
	u64 version;
	u64 record;
	u64 ino;
	u32 generation;
	struct timespec64 mtime;
	struct timespec64 ctime;
	struct timespec64 atime;
	struct timespec64 btime;
	u64 size;
	u64 nr_pages;
	u64 nr_runs;
	u64 end;
	const u8 *runs;
	u64 dir;
	u64 next;
	const u8 *target;
	u32 target_len;
	u32 nr_extras;
	u64 used_pages;
};

/**
 * struct preserve_tree_runs - Place in a list of runs.
 * @index: Where the last one ended.
 * @pfn:   Behind its last frame.
 */
struct preserve_tree_runs {
	u64 index;
	u64 pfn;
};

/**
 * struct preserve_tree_entry - One name in a directory.
 * @name:     The name, not terminated.
 * @name_len: Its length.
 * @pos:      Its position in the directory.
 * @kind:     PRESERVE_ENTRY_*.
 * @link:     Number of the link; 0 if it is none.
 * @start:    Where its inode begins in the bytes that are read.
 * @inode:    The inode, if it is no link.
 */
struct preserve_tree_entry {
	const u8 *name;
	u32 name_len;
	u64 pos;
	u32 kind;
	u64 link;
	const u8 *start;
	struct preserve_tree_inode inode;
};

/**
 * struct preserve_tree_extra - One of an inode's extras.
 * @kind:      PRESERVE_EXTRA_*.
 * @name:      Its name, not terminated.
 * @name_len:  Length of that.
 * @value:     Its value.
 * @value_len: Length of that.
 */
struct preserve_tree_extra {
	u32 kind;
	const u8 *name;
	u32 name_len;
	const u8 *value;
	u32 value_len;
};

/**
 * struct preserve_tree_option - One mount option.
 * @flags:     PRESERVE_OPTION_*.
 * @key:       Its name, not terminated.
 * @key_len:   Length of that.
 * @value:     Its value, not terminated.
 * @value_len: Length of that; 0: it has none.
 */
struct preserve_tree_option {
	u32 flags;
	const u8 *key;
	u32 key_len;
	const u8 *value;
	u32 value_len;
};

void preserve_tree_put(struct preserve_tree_writer *w, u64 value);
void preserve_tree_put_bytes(struct preserve_tree_writer *w, const void *bytes,
			     size_t len);
void preserve_tree_put_text(struct preserve_tree_writer *w, const void *text,
			    size_t len);
void preserve_tree_put_inode(struct preserve_tree_writer *w,
			     const struct preserve_tree_inode *in);
void preserve_tree_put_run(struct preserve_tree_writer *w,
			   struct preserve_tree_runs *at,
			   const struct prmap_run *run);
void preserve_tree_put_extra(struct preserve_tree_writer *w, u32 kind, const char *name,
			     const void *value, size_t size);
__printf(5, 6)
void preserve_tree_put_option(struct preserve_tree_writer *w, u32 *nr, u32 flags,
			      const char *key, const char *fmt, ...);

u64 preserve_tree_get(struct preserve_tree_reader *r);
const u8 *preserve_tree_get_text(struct preserve_tree_reader *r, u32 *len);
bool preserve_tree_get_entry(struct preserve_tree_reader *r,
			     struct preserve_tree_entry *entry);
bool preserve_tree_get_inode(struct preserve_tree_reader *r,
			     struct preserve_tree_inode *in);
bool preserve_tree_get_run(struct preserve_tree_reader *r,
			   struct preserve_tree_runs *at,
			   struct prmap_run *run);
bool preserve_tree_get_extra(struct preserve_tree_reader *r,
			     struct preserve_tree_extra *extra);
bool preserve_tree_get_option(struct preserve_tree_reader *r,
			      struct preserve_tree_option *option);

void preserve_tree_commit(struct preserve_tree_ser *tree);
int preserve_tree_check(const struct preserve_tree_ser *tree, u64 size,
			const char **reason);
void preserve_section_commit(struct preserve_section_ser *sec, const void *bytes,
			     u64 offset);
bool preserve_section_ok(const struct preserve_section_ser *sec,
			 const void *bytes, u64 offset);

#endif /* _LINUX_PRESERVE_CODEC_H */
