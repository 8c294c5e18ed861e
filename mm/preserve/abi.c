// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this kernel hands over and takes over, as text: in sysfs, and in a note of the
 * kernel's image that a program can read before it loads it.
 */
#include <linux/elfnote.h>
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
	MEMFD_LINE TMPFS_LINE HUGETLB_LINE

ELFNOTE32(PRESERVE_ABI_NOTE, PRESERVE_ABI_NOTE_TYPE, ABI_TEXT);

const char preserve_abi_text[] = ABI_TEXT;
