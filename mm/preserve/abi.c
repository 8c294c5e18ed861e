// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this kernel hands over and takes over, as text: in sysfs, and in a note of the
 * kernel's image that a program can read before it loads it.
 */
#include <linux/align.h>
#include <linux/elf.h>
#include <linux/kho/abi/preserve.h>
#include <linux/kho/abi/preserve_tree.h>
#include <linux/mm.h>
#include <linux/preserve_radix.h>
#include <linux/stringify.h>

#include "file.h"

#define LINE(what, version, compat, incompat)				\
	what " " __stringify(version) " compat " __stringify(compat)	\
	" incompat " __stringify(incompat) "\n"

#ifdef CONFIG_PRESERVE_MEMFD
#define MEMFD_LINE	"\nhandler " PRESERVE_MEMFD_COMPATIBLE
#define TMPFS_LINE	"\nhandler " PRESERVE_TREE_COMPATIBLE
#else
#define MEMFD_LINE
#define TMPFS_LINE
#endif

#ifdef CONFIG_PRESERVE_HUGETLB
#define HUGETLB_LINE	"\nhandler " PRESERVE_HUGETLB_COMPATIBLE	\
			"\nhandler " PRESERVE_HUGETLBFS_COMPATIBLE
#else
#define HUGETLB_LINE
#endif

#ifdef CONFIG_PRESERVE_GUEST_MEMFD
#define GUEST_LINE	"\nhandler " PRESERVE_GUEST_COMPATIBLE
#else
#define GUEST_LINE
#endif

/* Without huge pages what has come in them stays reserved. */
#ifdef CONFIG_PRESERVE_HUGETLB
#define HEADER_COMPAT	PRESERVE_HEADER_COMPAT
#else
#define HEADER_COMPAT	0x0
#endif

#define ABI_TEXT							\
	LINE("header", PRESERVE_HEADER_VERSION, HEADER_COMPAT,		\
	     PRESERVE_HEADER_INCOMPAT)					\
	"map " __stringify(PRMAP_VERSION) "\n"				\
	LINE("record", PRESERVE_FILE_VERSION, PRESERVE_FILE_COMPAT,	\
	     PRESERVE_FILE_INCOMPAT)					\
	LINE("image", PRESERVE_TREE_VERSION, PRESERVE_TREE_COMPAT,	\
	     PRESERVE_TREE_INCOMPAT)					\
	"page_shift " __stringify(PAGE_SHIFT)				\
	MEMFD_LINE TMPFS_LINE HUGETLB_LINE GUEST_LINE "\nblock_order "

/* What the preprocessor cannot make text of. */
static_assert(pageblock_order < 100);
#define BLOCK_ORDER	{ '0' + pageblock_order / 10, '0' + pageblock_order % 10 }

/**
 * struct abi_text - The text, as it stands in the note.
 * @lines: All of it but the last number.
 * @block_order: Two digits: log2 of a pageblock's size in pages.
 * @end: A zero byte.
 */
struct abi_text {
	char lines[sizeof(ABI_TEXT) - 1] __nonstring;
	char block_order[2] __nonstring;
	char end;
};

/* ELFNOTE32() takes nothing but a literal. */
static const struct {
	struct elf32_note head;
	char name[ALIGN(sizeof(PRESERVE_ABI_NOTE), 4)];
	struct abi_text text;
} abi_note __used __section(".note." PRESERVE_ABI_NOTE) __aligned(4) = {
	.head = {
		.n_namesz = sizeof(PRESERVE_ABI_NOTE),
		.n_descsz = sizeof(struct abi_text),
		.n_type = PRESERVE_ABI_NOTE_TYPE,
	},
	.name = PRESERVE_ABI_NOTE,
	.text = { .lines = ABI_TEXT, .block_order = BLOCK_ORDER },
};

static_assert(offsetof(typeof(abi_note), text) == sizeof(struct elf32_note) +
	      ALIGN(sizeof(PRESERVE_ABI_NOTE), 4));

/**
 * preserve_abi - What this kernel writes and reads, as text.
 *
 * Return: Lines, without a newline after the last.
 */
const char *preserve_abi(void)
{
	return abi_note.text.lines;
}
