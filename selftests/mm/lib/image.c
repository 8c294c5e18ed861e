// SPDX-License-Identifier: GPL-2.0-only
/* The image of a preserved tree in memory; see image.h. */

#include "image.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "stage.h"

#define PARTS_OWNER	(PRESERVE_INODE_UID | PRESERVE_INODE_GID)
#define PARTS_NUMBERS	(PRESERVE_INODE_RDEV | PRESERVE_INODE_FSFLAGS | PRESERVE_INODE_SEALS | \
			 PRESERVE_INODE_VERSION | PRESERVE_INODE_HINT)
#define PARTS_TIMES	(PRESERVE_INODE_CTIME | PRESERVE_INODE_ATIME | PRESERVE_INODE_BTIME)

static struct preserve_section_ser *section_at(struct preserve_tree_ser *image, __u64 table,
					       unsigned int no)
{
	__u64 pos;

	memcpy(&pos, (char *)image + table + no * sizeof(pos), sizeof(pos));
	require(pos < image->length, "a section's place");
	return (struct preserve_section_ser *)((char *)image + pos);
}

struct preserve_section_ser *image_dir(struct preserve_tree_ser *image, unsigned int no)
{
	require(no < image->nr_dirs, "directory %u", no);
	return section_at(image, image->dirs, no);
}

struct preserve_section_ser *image_link(struct preserve_tree_ser *image, unsigned int no)
{
	require(no < image->nr_links, "link %u", no);
	return section_at(image, image->links, no);
}

struct preserve_section_ser *image_other(struct preserve_tree_ser *image, unsigned int kind)
{
	struct preserve_section_ser *sec;

	for (unsigned int no = 0; no < image->nr_others; no++) {
		sec = section_at(image, image->others, no);
		if (sec->kind == kind)
			return sec;
	}
	return NULL;
}

struct preserve_section_ser *image_section(struct preserve_tree_ser *image, unsigned int no)
{
	const struct {
		__u64 at;
		__u64 nr;
	} tables[] = {
		{ image->dirs, image->nr_dirs }, { image->links, image->nr_links },
		{ image->others, image->nr_others },
	};
	struct preserve_section_ser *sec;
	unsigned int t = 0;
	__u64 pos;

	while (t < STAGE_COUNT(tables) - 1 && no >= tables[t].nr)
		no -= tables[t++].nr;
	if (tables[t].at >= IMAGE_PAGE || no >= (IMAGE_PAGE - tables[t].at) / sizeof(pos))
		return NULL;
	memcpy(&pos, (char *)image + tables[t].at + no * sizeof(pos), sizeof(pos));
	if (pos > IMAGE_PAGE - sizeof(*sec))
		return NULL;
	sec = (struct preserve_section_ser *)((char *)image + pos);
	return sec->length <= IMAGE_PAGE - sizeof(*sec) - pos ? sec : NULL;
}

size_t number_len(const __u8 *at)
{
	size_t len = 1;

	while (*at++ & 0x80)
		len++;
	return len;
}

static __u64 number_get(const __u8 *at)
{
	__u64 value = 0;
	size_t i, len = number_len(at);

	for (i = 0; i < len; i++)
		value |= (__u64)(at[i] & 0x7f) << (7 * i);
	return value;
}

void number_set(__u8 *at, size_t len, __u64 value)
{
	size_t i;

	for (i = 0; i < len; i++, value >>= 7)
		at[i] = (value & 0x7f) | (i + 1 < len ? 0x80 : 0);
	require(!value, "room for a number");
}

static __u8 *skip(__u8 *at, unsigned int nr)
{
	while (nr--)
		at += number_len(at);
	return at;
}

static unsigned int bits(__u64 parts)
{
	return __builtin_popcountll(parts);
}

static void inode_places(__u8 *at, struct entry *entry)
{
	__u64 parts = number_get(at);
	__u32 mode;
	int i;

	entry->parts = at;
	at = skip(at, 1);
	mode = number_get(at);
	/* Mode, inode number, generation. */
	at = skip(at, 3 + bits(parts & PARTS_OWNER));
	entry->nlink = at;
	at = skip(at, bits(parts & (PRESERVE_INODE_NLINK | PARTS_NUMBERS)));
	at = skip(at, 2 + 2 * bits(parts & PARTS_TIMES));
	if (S_ISDIR(mode))
		entry->dir = at;
	if (!S_ISREG(mode))
		return;
	entry->size = at;
	entry->pages = skip(at, 1);
	for (i = 0; i < 3; i++)
		entry->run[i] = skip(at, 3 + i);
}

struct entry image_entry(struct preserve_tree_ser *image, const char *name,
			 struct preserve_section_ser **sec)
{
	struct entry entry = {};
	unsigned int no;

	for (no = 0; no < image->nr_dirs && !entry.name; no++) {
		*sec = image_dir(image, no);
		entry.name = memmem(section_bytes(*sec), (*sec)->length, name,
				    strlen(name));
	}
	require(entry.name && entry.name[-1] == strlen(name), "the entry %s", name);
	entry.pos = entry.name + strlen(name);
	/* Position, kind. */
	inode_places(skip(entry.pos, 2), &entry);
	return entry;
}

struct entry image_link_entry(struct preserve_section_ser *sec)
{
	struct entry entry = {};

	inode_places(section_bytes(sec), &entry);
	return entry;
}

void image_commit(struct preserve_tree_ser *image)
{
	image->csum = XXH64(image, offsetof(struct preserve_tree_ser, csum), 0);
}

void section_commit(struct preserve_tree_ser *image, struct preserve_section_ser *sec)
{
	__u64 pos = (char *)sec - (char *)image;

	sec->csum = XXH64(section_bytes(sec), sec->length,
			  XXH64(sec, offsetof(struct preserve_section_ser, csum), pos));
}

__u8 *entry_room(__u8 *name, __u8 *at, size_t nr)
{
	__u8 *end = name + name[-1];

	require(name[-1] > nr, "a name that is long enough");
	memmove(end - nr, end, at - end);
	name[-1] -= nr;
	return at - nr;
}
