/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The preserve map: the words of a run leaf.
 *
 * What lives here: field widths of the two encodings that internal.h draws, and
 * what reads or grows a piece where every nanosecond counts.
 */
#ifndef _PRMAP_PIECE_H
#define _PRMAP_PIECE_H

#include "internal.h"

#define SET_SHIFT	24
#define SET_EXT		0x800000ULL
#define SET_LO_BITS	10
#define SET_HI_BITS	23
#define FILE_SHIFT	12
#define FILE_LO_BITS	16
#define FILE_HI_BITS	7

#define BITS(nr)	((1ULL << (nr)) - 1)

/* Decode what is at @pos. Returns how many words it takes. */
static __always_inline u32 prmap_leaf_piece(const struct prmap_leaf *leaf,
					    u32 pos, struct prmap_piece *piece)
{
	u64 w0 = leaf->word[pos], w1, order, more;

	if (leaf->head.kind == PRMAP_FILE) {
		w1 = leaf->word[pos + 1];
		order = w0 >> FILE_HI_BITS & BITS(5);
		more = (w0 & BITS(FILE_HI_BITS)) << FILE_LO_BITS |
		       (w1 >> 8 & BITS(FILE_LO_BITS));
		piece->index = w0 >> FILE_SHIFT;
		piece->end = piece->index + ((more + 1) << order);
		piece->delta = (w1 >> SET_SHIFT) - piece->index;
		piece->attr = order << 8 | (w1 & 0xff);
		return 2;
	}
	order = w0 >> 8 & BITS(5);
	more = w0 >> 13 & BITS(SET_LO_BITS);
	piece->index = w0 >> SET_SHIFT;
	piece->delta = 0;
	piece->attr = order << 8 | (w0 & 0xff);
	if (pos + 1 < leaf->head.nr) {
		w1 = leaf->word[pos + 1];
		if (w1 & SET_EXT) {
			more |= (w1 & BITS(SET_HI_BITS)) << SET_LO_BITS;
			piece->end = piece->index + ((more + 1) << order);
			return 2;
		}
	}
	piece->end = piece->index + ((more + 1) << order);
	return 1;
}

/* Index of the piece that the word at @pos belongs to. */
static inline u64 prmap_leaf_start(const struct prmap_leaf *leaf, u32 pos)
{
	return leaf->word[pos] >>
	       (leaf->head.kind == PRMAP_FILE ? FILE_SHIFT : SET_SHIFT);
}

/*
 * Make the last piece of a leaf longer if [index, end) continues it, the most
 * frequent update of all, and if its first word has room for the length.
 */
static __always_inline bool prmap_leaf_append(struct prmap_leaf *leaf,
					      u64 index, u64 end, u32 attr)
{
	u32 pos = leaf->head.nr - 1, order = prmap_attr_order(attr);
	u64 word, more, ext = 0, add = (end - index) >> order;

	if (leaf->head.kind != PRMAP_SET || !leaf->head.nr)
		return false;
	word = leaf->word[pos];
	if (word & SET_EXT) {
		ext = (word & BITS(SET_HI_BITS)) << SET_LO_BITS;
		word = leaf->word[--pos];
	}
	more = word >> 13 & BITS(SET_LO_BITS);
	if ((word & BITS(13)) != attr || more + add > BITS(SET_LO_BITS) ||
	    (word >> SET_SHIFT) + ((ext + more + 1) << order) != index)
		return false;
	leaf->word[pos] = word + (add << 13);
	return true;
}

#endif /* _PRMAP_PIECE_H */
