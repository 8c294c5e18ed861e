// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: run leaves.
 *
 * What lives here: encoding pieces, and finding, adding and removing them in
 * one leaf. An operation that does not fit fails without a change; splitting
 * leaves is done in convert.c.
 */
#include "piece.h"

/* Longest piece, in pages. A longer run is stored in several. */
u64 prmap_piece_max(enum prmap_kind kind, u32 attr)
{
	u32 bits = kind == PRMAP_SET ? SET_LO_BITS + SET_HI_BITS :
				       FILE_LO_BITS + FILE_HI_BITS;

	return 1ULL << min(bits + prmap_attr_order(attr), 63U);
}

u32 prmap_piece_encode(enum prmap_kind kind, const struct prmap_piece *piece,
		       u64 *word)
{
	u64 order = prmap_attr_order(piece->attr);
	u64 more = ((piece->end - piece->index) >> order) - 1;
	u64 flags = (u8)piece->attr;

	if (kind == PRMAP_FILE) {
		word[0] = piece->index << FILE_SHIFT | order << FILE_HI_BITS |
			  more >> FILE_LO_BITS;
		word[1] = (piece->index + piece->delta) << SET_SHIFT |
			  (more & BITS(FILE_LO_BITS)) << 8 | flags;
		return 2;
	}
	word[0] = piece->index << SET_SHIFT | order << 8 | flags |
		  (more & BITS(SET_LO_BITS)) << 13;
	if (more <= BITS(SET_LO_BITS))
		return 1;
	word[1] = piece->index << SET_SHIFT | SET_EXT | more >> SET_LO_BITS;
	return 2;
}

/* Last of @nr words, @stride apart, that is not above @key, or -1. */
static __always_inline int search(const u64 *word, u32 nr, u32 stride, u64 key)
{
	const u64 *base = word;

	if (!nr || word[0] > key)
		return -1;
	while (nr > 1) {
		u32 half = nr / 2;

		base = base[half * stride] <= key ? base + half * stride : base;
		nr -= half;
	}
	return base - word;
}

/* Position of the last piece that begins at or before @x, or -1. */
int prmap_leaf_find(const struct prmap_leaf *leaf, u64 x)
{
	u32 nr = leaf->head.nr;
	int pos;

	if (leaf->head.kind == PRMAP_FILE)
		return search(leaf->word, nr / 2, 2,
			      x << FILE_SHIFT | BITS(FILE_SHIFT));
	/* Appending in order is common: look at the end first. */
	if (nr && leaf->word[nr - 1] >> SET_SHIFT <= x)
		pos = nr - 1;
	else
		pos = search(leaf->word, nr, 1, x << SET_SHIFT |
						BITS(SET_SHIFT));
	if (pos > 0 && leaf->word[pos] & SET_EXT)
		pos--;
	return pos;
}

/* Position of the first piece that ends after @x, or the end of the leaf. */
u32 prmap_leaf_find_from(const struct prmap_leaf *leaf, u64 x)
{
	struct prmap_piece piece;
	int pos = prmap_leaf_find(leaf, x);
	u32 words;

	if (pos < 0)
		return 0;
	words = prmap_leaf_piece(leaf, pos, &piece);
	return piece.end > x ? pos : pos + words;
}

/* Replace the words in [pos, end) by @nr others; the caller checks the room. */
static void splice(struct prmap_leaf *leaf, u32 pos, u32 end, const u64 *word,
		   u32 nr)
{
	u32 i;

	if (pos + nr != end && end != leaf->head.nr)
		memmove(&leaf->word[pos + nr], &leaf->word[end],
			(leaf->head.nr - end) * sizeof(u64));
	for (i = 0; i < nr; i++)
		leaf->word[pos + i] = word[i];
	leaf->head.nr += pos + nr - end;
}

static bool joins(enum prmap_kind kind, const struct prmap_piece *a,
		  const struct prmap_piece *b)
{
	return prmap_joins(a, b) &&
	       b->end - a->index <= prmap_piece_max(kind, a->attr);
}

/*
 * Add a piece. Returns how many neighbours in the leaf belong to the same run,
 * -EEXIST when an index of it is present, -ENOSPC when it does not fit.
 */
int prmap_leaf_add(struct prmap_leaf *leaf, const struct prmap_piece *piece)
{
	enum prmap_kind kind = leaf->head.kind;
	struct prmap_piece new = *piece, other;
	u32 from = 0, end = 0, words, nr;
	u64 word[PRMAP_PIECE_WORDS];
	int pos, joined = 0;

	if (prmap_leaf_append(leaf, piece->index, piece->end, piece->attr))
		return 1;
	pos = prmap_leaf_find(leaf, piece->index);
	if (pos >= 0) {
		from = pos + prmap_leaf_piece(leaf, pos, &other);
		end = from;
		if (other.end > piece->index)
			return -EEXIST;
		joined += prmap_joins(&other, &new);
		if (joins(kind, &other, &new)) {
			new.index = other.index;
			from = pos;
		}
	}
	if (end < leaf->head.nr) {
		words = prmap_leaf_piece(leaf, end, &other);
		if (other.index < piece->end)
			return -EEXIST;
		joined += prmap_joins(&new, &other);
		if (joins(kind, &new, &other)) {
			new.end = other.end;
			end += words;
		}
	}
	nr = prmap_piece_encode(kind, &new, word);
	if (leaf->head.nr + nr + from - end > PRMAP_LEAF_CAP)
		return -ENOSPC;
	splice(leaf, from, end, word, nr);
	return joined;
}

/* Append a piece that joins nothing; the caller checks the room. */
void prmap_leaf_push(struct prmap_leaf *leaf, const struct prmap_piece *piece)
{
	leaf->head.nr += prmap_piece_encode(leaf->head.kind, piece,
					    &leaf->word[leaf->head.nr]);
}

static bool cuts_folio(const struct prmap_piece *piece, u64 x)
{
	return x & ((1ULL << prmap_attr_order(piece->attr)) - 1);
}

/*
 * Remove what is present in [from, end). @keys tells how many indexes that are,
 * @runs how many runs that makes less, modulo 2^64. Returns -EINVAL when a
 * folio would be cut, -ENOSPC when a piece would be cut in two and the second
 * half does not fit.
 */
int prmap_leaf_del(struct prmap_leaf *leaf, u64 from, u64 end, u64 *keys,
		   u64 *runs)
{
	enum prmap_kind kind = leaf->head.kind;
	struct prmap_piece prev = { .end = U64_MAX }, piece, half;
	int pos = from ? prmap_leaf_find(leaf, from - 1) : -1;
	u32 first = 0, last, nr = 0, words;
	u64 word[2 * PRMAP_PIECE_WORDS];

	*keys = 0;
	*runs = 0;
	if (pos >= 0) {
		first = pos + prmap_leaf_piece(leaf, pos, &prev);
		if (prev.end > from) {
			if (cuts_folio(&prev, from))
				return -EINVAL;
			half = prev;
			half.end = from;
			nr = prmap_piece_encode(kind, &half, word);
			first = pos;
		}
	}
	for (last = first; last < leaf->head.nr; last += words) {
		words = prmap_leaf_piece(leaf, last, &piece);
		if (piece.index >= end) {
			/* A run that goes on right behind the range stays. */
			if (last != first && prmap_joins(&prev, &piece))
				--*runs;
			break;
		}
		/* What stays of the first run is still a run. */
		if (piece.index >= from && !prmap_joins(&prev, &piece))
			++*runs;
		prev = piece;
		if (piece.end > end) {
			if (cuts_folio(&piece, end))
				return -EINVAL;
			half = piece;
			half.index = end;
			nr += prmap_piece_encode(kind, &half, &word[nr]);
			piece.end = end;
			prev.end = U64_MAX;
			--*runs;
		}
		*keys += piece.end - max(piece.index, from);
	}
	if (leaf->head.nr + nr + first - last > PRMAP_LEAF_CAP)
		return -ENOSPC;
	splice(leaf, first, last, word, nr);
	return 0;
}

/* Append the pieces of the leaf to the right; the caller checks the room. */
void prmap_leaf_concat(struct prmap_leaf *leaf, const struct prmap_leaf *right)
{
	struct prmap_piece piece;
	u32 words = prmap_leaf_piece(right, 0, &piece);

	/* Neither does that grow the sum, nor can it fail. */
	prmap_leaf_add(leaf, &piece);
	memcpy(&leaf->word[leaf->head.nr], &right->word[words],
	       (right->head.nr - words) * sizeof(u64));
	leaf->head.nr += right->head.nr - words;
}
