/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The record of a preserved file and its map in memory, for tests that damage them; for
 * maps of a page.
 */

#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/kho/abi/preserve.h>
#include <preserve-radix/piece.h>

/* In the second word of a file map's run; above it is the frame. */
#define LEAF_PFN_SHIFT	SET_SHIFT

/* Make checksums right: of the record; of its map's root as well; of the leaf as well. */
void record_commit(struct preserve_file_ser *rec);
void root_commit(struct preserve_file_ser *rec);
void leaf_commit(struct preserve_file_ser *rec, struct prmap_leaf *leaf);

/* Changes a bit, a byte or a word, as chance.h has it. */
void random_hurt(void *where, size_t length);

/*
 * The same of a record, its map's root or its leaf, with checksums made right or not. False if
 * there is no leaf: what an earlier kernel has left in free memory.
 */
bool record_hurt(struct preserve_file_ser *rec, bool commit);

#endif /* RECORD_H */
