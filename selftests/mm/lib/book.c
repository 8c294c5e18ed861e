// SPDX-License-Identifier: GPL-2.0-only
/* The book of a preserved tree in memory; see book.h. */

#include "book.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "stage.h"

#define PART_NLINK	0x004
#define PARTS_OWNER	0x003
#define PARTS_NUMBERS	0xc38	/* device, flags, seals, change counter, write hint */
#define PARTS_TIMES	0x1c0

static struct section *section_at(struct book *book, __u64 table, unsigned int no)
{
	__u64 pos;

	memcpy(&pos, (char *)book + table + no * sizeof(pos), sizeof(pos));
	require(pos < book->length, "a section's place");
	return (struct section *)((char *)book + pos);
}

struct section *book_dir(struct book *book, unsigned int no)
{
	require(no < book->nr_dirs, "directory %u", no);
	return section_at(book, book->dirs, no);
}

struct section *book_link(struct book *book, unsigned int no)
{
	require(no < book->nr_links, "link %u", no);
	return section_at(book, book->links, no);
}

struct section *book_section(struct book *book, unsigned int no)
{
	__u64 table = no < book->nr_dirs ? book->dirs : book->links, pos;
	struct section *sec;

	no -= no < book->nr_dirs ? 0 : book->nr_dirs;
	if (table >= BOOK_PAGE || no >= (BOOK_PAGE - table) / sizeof(pos))
		return NULL;
	memcpy(&pos, (char *)book + table + no * sizeof(pos), sizeof(pos));
	if (pos > BOOK_PAGE - sizeof(*sec))
		return NULL;
	sec = (struct section *)((char *)book + pos);
	return sec->length <= BOOK_PAGE - sizeof(*sec) - pos ? sec : NULL;
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
	at = skip(at, bits(parts & (PART_NLINK | PARTS_NUMBERS)));
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

struct entry book_entry(struct book *book, const char *name, struct section **sec)
{
	struct entry entry = {};
	unsigned int no;

	for (no = 0; no < book->nr_dirs && !entry.name; no++) {
		*sec = book_dir(book, no);
		entry.name = memmem((*sec)->bytes, (*sec)->length, name,
				    strlen(name));
	}
	require(entry.name && entry.name[-1] == strlen(name), "the entry %s", name);
	entry.pos = entry.name + strlen(name);
	/* Position, kind. */
	inode_places(skip(entry.pos, 2), &entry);
	return entry;
}

struct entry book_link_entry(struct section *sec)
{
	struct entry entry = {};

	inode_places(sec->bytes, &entry);
	return entry;
}

void book_seal(struct book *book)
{
	book->csum = XXH64(book, offsetof(struct book, csum), 0);
}

void section_seal(struct book *book, struct section *sec)
{
	__u64 pos = (char *)sec - (char *)book;

	sec->csum = XXH64(sec->bytes, sec->length,
			  XXH64(sec, offsetof(struct section, csum), pos));
}

__u8 *entry_room(__u8 *name, __u8 *at, size_t nr)
{
	__u8 *end = name + name[-1];

	require(name[-1] > nr, "a name that is long enough");
	memmove(end - nr, end, at - end);
	name[-1] -= nr;
	return at - nr;
}
