// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes of a tree's image: writing them, and reading them as hostile input.
 *
 * Pure: reads and writes the bytes it is given and nothing else, so that KUnit can
 * feed it anything. A reader that comes upon something wrong is marked as bad and
 * gives zeroes from then on, so that its callers look once, at the end.
 */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/rw_hint.h>
#include <linux/overflow.h>
#include <linux/preserve_codec.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/xxhash.h>

#include <uapi/linux/fcntl.h>
#include <uapi/linux/mount.h>

#define VARINT_MAX	10
#define NSEC_PER_SECOND	1000000000ULL
#define ORDER_BITS	5

/* Of a mount, that mount(2) and mount_setattr(2) set and that cross. */
#define MOUNT_ATTRS	(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | \
			 MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME | MOUNT_ATTR_STRICTATIME | \
			 MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW)

/* --- writing --- */

static u8 *writer_room(struct preserve_tree_writer *w, size_t nr)
{
	size_t size;
	u8 *buf;

	if (w->err)
		return NULL;
	if (w->size - w->len >= nr)
		return w->buf + w->len;
	if (w->fixed) {
		w->err = -E2BIG;
		return NULL;
	}
	if (nr > PRESERVE_TREE_MAX_SECTION - w->len) {
		w->err = -EFBIG;
		return NULL;
	}
	size = max3(2 * w->size, w->len + nr, (size_t)PAGE_SIZE);
	buf = kvrealloc(w->buf, size, GFP_KERNEL);
	if (!buf) {
		w->err = -ENOMEM;
		return NULL;
	}
	w->buf = buf;
	w->size = size;
	return w->buf + w->len;
}

/**
 * preserve_tree_put - Add a number.
 * @w:     The writer.
 * @value: The number.
 */
void preserve_tree_put(struct preserve_tree_writer *w, u64 value)
{
	u8 *at = writer_room(w, VARINT_MAX);

	if (!at)
		return;
	for (; value >= 0x80; value >>= 7)
		*at++ = value | 0x80;
	*at++ = value;
	w->len = at - w->buf;
}

static void put_signed(struct preserve_tree_writer *w, s64 value)
{
	preserve_tree_put(w, (u64)value << 1 ^ (u64)(value >> 63));
}

/**
 * preserve_tree_put_bytes - Add bytes as they are.
 * @w:     The writer.
 * @bytes: The bytes.
 * @len:   How many.
 */
void preserve_tree_put_bytes(struct preserve_tree_writer *w, const void *bytes,
			     size_t len)
{
	u8 *at = writer_room(w, len);

	if (!at)
		return;
	memcpy(at, bytes, len);
	w->len += len;
}

/**
 * preserve_tree_put_text - Add a length and bytes.
 * @w:    The writer.
 * @text: The bytes.
 * @len:  How many.
 */
void preserve_tree_put_text(struct preserve_tree_writer *w, const void *text,
			    size_t len)
{
	preserve_tree_put(w, len);
	preserve_tree_put_bytes(w, text, len);
}

static void put_time(struct preserve_tree_writer *w, const struct timespec64 *t,
		     s64 since)
{
	/* Wraps for what is not a time, and back again in get_time(). */
	put_signed(w, (u64)t->tv_sec - (u64)since);
	preserve_tree_put(w, t->tv_nsec);
}

static u32 parts_of(const struct preserve_tree_inode *in)
{
	u32 parts = in->nr_extras ? PRESERVE_INODE_EXTRAS : 0;

	if (in->version)
		parts |= PRESERVE_INODE_VERSION;
	if (in->write_hint)
		parts |= PRESERVE_INODE_HINT;
	if (in->uid)
		parts |= PRESERVE_INODE_UID;
	if (in->gid)
		parts |= PRESERVE_INODE_GID;
	if (in->nlink != (S_ISDIR(in->mode) ? 2 : 1))
		parts |= PRESERVE_INODE_NLINK;
	if (in->rdev)
		parts |= PRESERVE_INODE_RDEV;
	if (in->fsflags)
		parts |= PRESERVE_INODE_FSFLAGS;
	if (in->seals != F_SEAL_SEAL)
		parts |= PRESERVE_INODE_SEALS;
	if (in->record)
		parts |= PRESERVE_INODE_RECORD;
	if (!timespec64_equal(&in->ctime, &in->mtime))
		parts |= PRESERVE_INODE_CTIME;
	if (!timespec64_equal(&in->atime, &in->mtime))
		parts |= PRESERVE_INODE_ATIME;
	if (!timespec64_equal(&in->btime, &in->mtime))
		parts |= PRESERVE_INODE_BTIME;
	return parts;
}

/**
 * preserve_tree_put_inode - Add an inode.
 * @w:  The writer.
 * @in: The inode. Its runs (a file) or extras come next.
 */
void preserve_tree_put_inode(struct preserve_tree_writer *w,
			     const struct preserve_tree_inode *in)
{
	u32 parts = parts_of(in);

	preserve_tree_put(w, parts);
	preserve_tree_put(w, in->mode);
	preserve_tree_put(w, in->ino);
	preserve_tree_put(w, in->generation);
	if (parts & PRESERVE_INODE_UID)
		preserve_tree_put(w, in->uid);
	if (parts & PRESERVE_INODE_GID)
		preserve_tree_put(w, in->gid);
	if (parts & PRESERVE_INODE_NLINK)
		preserve_tree_put(w, in->nlink);
	if (parts & PRESERVE_INODE_RDEV)
		preserve_tree_put(w, in->rdev);
	if (parts & PRESERVE_INODE_FSFLAGS)
		preserve_tree_put(w, in->fsflags);
	if (parts & PRESERVE_INODE_SEALS)
		preserve_tree_put(w, in->seals);
	if (parts & PRESERVE_INODE_VERSION)
		preserve_tree_put(w, in->version);
	if (parts & PRESERVE_INODE_HINT)
		preserve_tree_put(w, in->write_hint);
	if (parts & PRESERVE_INODE_RECORD)
		preserve_tree_put(w, in->record);
	put_time(w, &in->mtime, w->epoch);
	if (parts & PRESERVE_INODE_CTIME)
		put_time(w, &in->ctime, in->mtime.tv_sec);
	if (parts & PRESERVE_INODE_ATIME)
		put_time(w, &in->atime, in->mtime.tv_sec);
	if (parts & PRESERVE_INODE_BTIME)
		put_time(w, &in->btime, in->mtime.tv_sec);
	if (S_ISREG(in->mode)) {
		preserve_tree_put(w, in->size);
		preserve_tree_put(w, in->nr_pages);
		preserve_tree_put(w, in->nr_runs);
	} else if (S_ISLNK(in->mode)) {
		preserve_tree_put_text(w, in->target, in->target_len);
	} else if (S_ISDIR(in->mode)) {
		preserve_tree_put(w, in->dir);
		preserve_tree_put(w, in->size);
		preserve_tree_put(w, in->next);
	}
}

/**
 * preserve_tree_put_run - Add a run of a file.
 * @w:   The writer.
 * @at:  Zero for the first run of a file.
 * @run: The run, behind the last one; whole folios.
 */
void preserve_tree_put_run(struct preserve_tree_writer *w,
			   struct preserve_tree_runs *at,
			   const struct prmap_run *run)
{
	preserve_tree_put(w, run->index - at->index);
	put_signed(w, run->pfn - at->pfn);
	preserve_tree_put(w, ((run->nr >> run->order) - 1) << ORDER_BITS |
			     run->order);
	at->index = run->index + run->nr;
	at->pfn = run->pfn + run->nr;
}

/**
 * preserve_tree_put_extra - Add one of an inode's extras.
 * @w:     The writer.
 * @kind:  PRESERVE_EXTRA_*.
 * @name:  Its name.
 * @value: Its value.
 * @size:  Size of that, bytes.
 */
void preserve_tree_put_extra(struct preserve_tree_writer *w, u32 kind, const char *name,
			     const void *value, size_t size)
{
	preserve_tree_put(w, kind);
	preserve_tree_put_text(w, name, strlen(name));
	preserve_tree_put_text(w, value, size);
}

/**
 * preserve_tree_put_option - Add a mount option.
 * @w:     The writer.
 * @nr:    Counted up.
 * @flags: PRESERVE_OPTION_*.
 * @key:   Its name.
 * @fmt:   Its value; NULL: it has none.
 *
 * Context: May sleep.
 */
void preserve_tree_put_option(struct preserve_tree_writer *w, u32 *nr, u32 flags,
			      const char *key, const char *fmt, ...)
{
	char *value = NULL;
	va_list args;

	if (fmt) {
		va_start(args, fmt);
		value = kvasprintf(GFP_KERNEL, fmt, args);
		va_end(args);
		if (!value) {
			w->err = w->err ?: -ENOMEM;
			return;
		}
	}
	preserve_tree_put(w, flags);
	preserve_tree_put_text(w, key, strlen(key));
	preserve_tree_put_text(w, value, value ? strlen(value) : 0);
	++*nr;
	kfree(value);
}

/* --- reading --- */

/**
 * preserve_tree_get - Read a number.
 * @r: The reader.
 *
 * Return: The number; 0 if there is none.
 */
u64 preserve_tree_get(struct preserve_tree_reader *r)
{
	unsigned int shift;
	u64 value = 0;
	u8 byte;

	for (shift = 0; !r->bad && shift < 64; shift += 7) {
		if (r->at == r->end)
			break;
		byte = *r->at++;
		if (shift == 63 && byte > 1)
			break;
		value |= (u64)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	r->bad = true;
	return 0;
}

/* A number that has to fit into 32 bits. */
static u32 get_u32(struct preserve_tree_reader *r)
{
	u64 value = preserve_tree_get(r);

	if (value <= U32_MAX)
		return value;
	r->bad = true;
	return 0;
}

static s64 get_signed(struct preserve_tree_reader *r)
{
	u64 value = preserve_tree_get(r);

	return value >> 1 ^ -(value & 1);
}

/**
 * preserve_tree_get_text - Read a length and bytes.
 * @r:   The reader.
 * @len: How many.
 *
 * Return: The bytes, where the reader has them; an empty text if there are less.
 */
const u8 *preserve_tree_get_text(struct preserve_tree_reader *r, u32 *len)
{
	const u8 *text;

	*len = get_u32(r);
	if (r->bad || *len > r->end - r->at) {
		r->bad = true;
		*len = 0;
	}
	text = r->at;
	r->at += *len;
	return text;
}

static void get_time(struct preserve_tree_reader *r, struct timespec64 *t,
		     s64 since)
{
	u64 nsec;

	t->tv_sec = (u64)since + (u64)get_signed(r);
	nsec = preserve_tree_get(r);
	if (nsec >= NSEC_PER_SECOND) {
		r->bad = true;
		nsec = 0;
	}
	t->tv_nsec = nsec;
}

static void get_times(struct preserve_tree_reader *r,
		      struct preserve_tree_inode *in)
{
	get_time(r, &in->mtime, r->epoch);
	in->ctime = in->mtime;
	in->atime = in->mtime;
	in->btime = in->mtime;
	if (in->parts & PRESERVE_INODE_CTIME)
		get_time(r, &in->ctime, in->mtime.tv_sec);
	if (in->parts & PRESERVE_INODE_ATIME)
		get_time(r, &in->atime, in->mtime.tv_sec);
	if (in->parts & PRESERVE_INODE_BTIME)
		get_time(r, &in->btime, in->mtime.tv_sec);
}

/**
 * preserve_tree_get_run - Read the next run of a file.
 * @r:   The reader.
 * @at:  Zero for the first run of a file.
 * @run: The run: not empty, behind the last one, within the bounds of a map.
 *
 * Return: False if it is none.
 */
bool preserve_tree_get_run(struct preserve_tree_reader *r,
			   struct preserve_tree_runs *at,
			   struct prmap_run *run)
{
	u64 gap = preserve_tree_get(r);
	s64 pfn = (u64)at->pfn + (u64)get_signed(r);
	u64 count = preserve_tree_get(r);
	u64 folios = (count >> ORDER_BITS) + 1, mask;

	run->order = count & ((1 << ORDER_BITS) - 1);
	run->flags = 0;
	mask = (1ULL << run->order) - 1;
	if (r->bad || pfn <= 0 || pfn >= PRMAP_PFN_END ||
	    folios > PRMAP_PFN_END >> run->order ||
	    check_add_overflow(at->index, gap, &run->index) ||
	    run->index >= PRMAP_INDEX_END)
		goto bad;
	run->pfn = pfn;
	run->nr = folios << run->order;
	if (run->nr > PRMAP_INDEX_END - run->index ||
	    run->nr > PRMAP_PFN_END - run->pfn ||
	    (run->index | run->pfn) & mask)
		goto bad;
	at->index = run->index + run->nr;
	at->pfn = run->pfn + run->nr;
	return true;
bad:
	r->bad = true;
	return false;
}

/* Passes over the runs, looking at each. */
static void get_runs(struct preserve_tree_reader *r,
		     struct preserve_tree_inode *in)
{
	struct preserve_tree_runs at = {};
	struct prmap_run run;
	u64 i, pages = 0;

	in->size = preserve_tree_get(r);
	in->nr_pages = preserve_tree_get(r);
	in->nr_runs = preserve_tree_get(r);
	in->runs = r->at;
	for (i = 0; i < in->nr_runs && preserve_tree_get_run(r, &at, &run); i++)
		pages += run.nr;
	in->end = at.index;
	if (pages != in->nr_pages || in->size > MAX_LFS_FILESIZE ||
	    at.index > (MAX_LFS_FILESIZE >> PAGE_SHIFT) + 1)
		r->bad = true;
}

static bool type_ok(const struct preserve_tree_inode *in)
{
	if (in->mode & ~(S_IFMT | 07777) || in->uid == (u32)-1 ||
	    in->gid == (u32)-1 || !in->ino || !in->nlink ||
	    in->parts & ~PRESERVE_INODE_PARTS || in->write_hint > WRITE_LIFE_EXTREME)
		return false;
	if (in->parts & PRESERVE_INODE_RECORD && (!S_ISREG(in->mode) || in->nr_pages))
		return false;
	switch (in->mode & S_IFMT) {
	case S_IFDIR:
		return in->nlink >= 2;
	case S_IFREG:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return false;
	}
}

/**
 * preserve_tree_get_inode - Read an inode.
 * @r:  The reader; on success it stands at the extras, which are left to the caller.
 * @in: The inode.
 *
 * Return: False if it is none.
 */
bool preserve_tree_get_inode(struct preserve_tree_reader *r,
			     struct preserve_tree_inode *in)
{
	u32 parts = get_u32(r);

	memset(in, 0, sizeof(*in));
	in->parts = parts;
	in->mode = get_u32(r);
	in->ino = preserve_tree_get(r);
	in->generation = get_u32(r);
	in->uid = parts & PRESERVE_INODE_UID ? get_u32(r) : 0;
	in->gid = parts & PRESERVE_INODE_GID ? get_u32(r) : 0;
	in->nlink = S_ISDIR(in->mode) ? 2 : 1;
	if (parts & PRESERVE_INODE_NLINK)
		in->nlink = get_u32(r);
	in->rdev = parts & PRESERVE_INODE_RDEV ? get_u32(r) : 0;
	in->fsflags = parts & PRESERVE_INODE_FSFLAGS ? get_u32(r) : 0;
	in->seals = parts & PRESERVE_INODE_SEALS ? get_u32(r) : F_SEAL_SEAL;
	in->version = parts & PRESERVE_INODE_VERSION ? preserve_tree_get(r) : 0;
	in->write_hint = parts & PRESERVE_INODE_HINT ? get_u32(r) : 0;
	in->record = parts & PRESERVE_INODE_RECORD ? preserve_tree_get(r) : 0;
	get_times(r, in);
	if (S_ISREG(in->mode)) {
		get_runs(r, in);
	} else if (S_ISLNK(in->mode)) {
		in->target = preserve_tree_get_text(r, &in->target_len);
		in->size = in->target_len;
		if (!in->target_len || in->target_len >= PAGE_SIZE ||
		    memchr(in->target, 0, in->target_len))
			r->bad = true;
	} else if (S_ISDIR(in->mode)) {
		in->dir = preserve_tree_get(r);
		in->size = preserve_tree_get(r);
		in->next = preserve_tree_get(r);
		if (in->size > LONG_MAX || in->next > LONG_MAX)
			r->bad = true;
	}
	if (parts & PRESERVE_INODE_EXTRAS)
		in->nr_extras = get_u32(r);
	if (!type_ok(in))
		r->bad = true;
	return !r->bad;
}

static bool extra_name_ok(const struct preserve_tree_extra *extra)
{
	return extra->name_len && extra->name_len <= XATTR_NAME_MAX &&
	       !memchr(extra->name, 0, extra->name_len) &&
	       extra->value_len <= XATTR_SIZE_MAX;
}

/**
 * preserve_tree_get_extra - Read one of an inode's extras.
 * @r:     The reader.
 * @extra: The extra; its name is not terminated.
 *
 * Return: False if it is none.
 */
bool preserve_tree_get_extra(struct preserve_tree_reader *r,
			     struct preserve_tree_extra *extra)
{
	extra->kind = get_u32(r);
	extra->name = preserve_tree_get_text(r, &extra->name_len);
	extra->value = preserve_tree_get_text(r, &extra->value_len);
	if (!extra_name_ok(extra))
		r->bad = true;
	return !r->bad;
}

/**
 * preserve_tree_get_option - Read a mount option.
 * @r:      The reader.
 * @option: The option; neither text is terminated, and neither has a zero byte.
 *
 * Return: False if it is none.
 */
bool preserve_tree_get_option(struct preserve_tree_reader *r,
			      struct preserve_tree_option *option)
{
	option->flags = get_u32(r);
	option->key = preserve_tree_get_text(r, &option->key_len);
	option->value = preserve_tree_get_text(r, &option->value_len);
	if (!option->key_len || option->key_len >= PAGE_SIZE ||
	    option->value_len >= PAGE_SIZE ||
	    memchr(option->key, 0, option->key_len) ||
	    memchr(option->value, 0, option->value_len))
		r->bad = true;
	return !r->bad;
}

static bool name_ok(const u8 *name, u32 len)
{
	if (!len || len > NAME_MAX || memchr(name, '/', len) ||
	    memchr(name, 0, len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/**
 * preserve_tree_get_entry - Read one name of a directory.
 * @r:     The reader; on success it stands at the inode's extras, if any.
 * @entry: The entry.
 *
 * Return: False if it is none.
 */
bool preserve_tree_get_entry(struct preserve_tree_reader *r,
			     struct preserve_tree_entry *entry)
{
	entry->name = preserve_tree_get_text(r, &entry->name_len);
	entry->pos = preserve_tree_get(r);
	entry->kind = get_u32(r);
	entry->link = 0;
	entry->start = r->at;
	entry->inode.nr_extras = 0;
	if (!name_ok(entry->name, entry->name_len) || entry->pos > LONG_MAX)
		r->bad = true;
	if (entry->kind == PRESERVE_ENTRY_INODE)
		return preserve_tree_get_inode(r, &entry->inode);
	if (entry->kind == PRESERVE_ENTRY_LINK)
		entry->link = preserve_tree_get(r);
	if (!entry->link)
		r->bad = true;
	return !r->bad;
}

/* --- the image's beginning, and sections --- */

static u64 tree_sum(const struct preserve_tree_ser *tree)
{
	return xxh64(tree, offsetof(struct preserve_tree_ser, csum), 0);
}

/**
 * preserve_tree_commit - Fill in the fields that make the beginning of an image valid.
 * @tree: Everything else is filled in.
 */
void preserve_tree_commit(struct preserve_tree_ser *tree)
{
	tree->magic = PRESERVE_TREE_MAGIC;
	tree->version = PRESERVE_TREE_VERSION;
	tree->size = sizeof(*tree);
	tree->csum = tree_sum(tree);
}

/* Does a table of @nr offsets fit there? */
static bool table_ok(u64 at, u64 nr, u64 length)
{
	return at >= sizeof(struct preserve_tree_ser) && at <= length &&
	       nr <= (length - at) / sizeof(u64);
}

static bool text_ends(const char *text, size_t size)
{
	return strnlen(text, size) < size;
}

static const char *tree_fields_bad(const struct preserve_tree_ser *tree)
{
	if (!table_ok(tree->dirs, tree->nr_dirs, tree->length) ||
	    !table_ok(tree->links, tree->nr_links, tree->length) ||
	    !table_ok(tree->others, tree->nr_others, tree->length) ||
	    !tree->nr_links || tree->nr_others > PRESERVE_TREE_MAX_OTHERS)
		return "table out of bounds";
	if (tree->used_pages > LONG_MAX || tree->used_ispace > LONG_MAX)
		return "usage out of bounds";
	if (tree->nr_inodes > tree->length)
		return "number of inodes out of bounds";
	if (tree->dev >= 1U << MINORBITS || tree->reserved)
		return "device number out of range";
	if (!text_ends(tree->fs_type, sizeof(tree->fs_type)) ||
	    !text_ends(tree->source, sizeof(tree->source)))
		return "text without an end";
	return NULL;
}

/**
 * preserve_tree_check - Can this image be used?
 * @tree:   Its beginning.
 * @size:   Of the image, bytes.
 * @reason: Says why not, on error.
 *
 * Return: 0; -EPROTO for another version, or features that this kernel does not know;
 *         -EBADMSG for damage.
 */
int preserve_tree_check(const struct preserve_tree_ser *tree, u64 size,
			const char **reason)
{
	if (tree->magic != PRESERVE_TREE_MAGIC) {
		*reason = "no tree";
		return -EBADMSG;
	}
	if (tree->version != PRESERVE_TREE_VERSION ||
	    tree->size != sizeof(*tree)) {
		*reason = "version of the tree unknown";
		return -EPROTO;
	}
	if (tree->csum != tree_sum(tree)) {
		*reason = "checksum of the tree wrong";
		return -EBADMSG;
	}
	if (tree->incompat & ~(u64)PRESERVE_TREE_INCOMPAT) {
		*reason = "features unknown";
		return -EPROTO;
	}
	if (tree->flags & ~(u64)PRESERVE_TREE_FLAGS || tree->mnt_attr & ~MOUNT_ATTRS) {
		*reason = "flags unknown";
		return -EPROTO;
	}
	*reason = tree->length == size ? tree_fields_bad(tree) :
					 "image truncated";
	return *reason ? -EBADMSG : 0;
}

static u64 section_sum(const struct preserve_section_ser *sec,
		       const void *bytes, u64 offset)
{
	u64 seed = xxh64(sec, offsetof(struct preserve_section_ser, csum), offset);

	return xxh64(bytes, sec->length, seed);
}

/**
 * preserve_section_commit - Fill in the fields that make a section valid.
 * @sec:    Everything else is filled in.
 * @bytes:  What follows it.
 * @offset: Where it will be in the image.
 */
void preserve_section_commit(struct preserve_section_ser *sec, const void *bytes,
			     u64 offset)
{
	sec->magic = PRESERVE_SECTION_MAGIC;
	sec->csum = section_sum(sec, bytes, offset);
}

/**
 * preserve_section_ok - Is this section as it was written?
 * @sec:    Its header; the length has been checked.
 * @bytes:  What follows it.
 * @offset: Where it is in the image.
 *
 * Return: True if it is.
 */
bool preserve_section_ok(const struct preserve_section_ser *sec,
			 const void *bytes, u64 offset)
{
	return sec->magic == PRESERVE_SECTION_MAGIC &&
	       sec->csum == section_sum(sec, bytes, offset);
}
