// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserve map: bitmap leaves.
 *
 * What lives here: bits, a word at a time. Positions are relative to the
 * window; @end is one past the last bit and may be PRMAP_BITS. Nothing here
 * knows what a bit stands for.
 */
#include "internal.h"

static u64 mask_from(u32 bit)
{
	return ~0ULL << (bit % 64);
}

/* Bits below @end in the word that holds the last of them. */
static u64 mask_until(u32 end)
{
	return ~0ULL >> (-end % 64);
}

void prmap_bits_set(u64 *bits, u32 from, u32 end)
{
	u32 w = from / 64, last = (end - 1) / 64;
	u64 mask = mask_from(from);

	for (; w < last; w++, mask = ~0ULL)
		bits[w] |= mask;
	bits[w] |= mask & mask_until(end);
}

void prmap_bits_clear(u64 *bits, u32 from, u32 end)
{
	u32 w = from / 64, last = (end - 1) / 64;
	u64 mask = mask_from(from);

	for (; w < last; w++, mask = ~0ULL)
		bits[w] &= ~mask;
	bits[w] &= ~(mask & mask_until(end));
}

/* Is any bit in [from, end) set? */
bool prmap_bits_any(const u64 *bits, u32 from, u32 end)
{
	u32 w = from / 64, last = (end - 1) / 64;
	u64 mask = mask_from(from);

	for (; w < last; w++, mask = ~0ULL)
		if (bits[w] & mask)
			return true;
	return bits[w] & mask & mask_until(end);
}

/* First bit at or after @from that differs from @invert's bits, or PRMAP_BITS. */
static __always_inline u32 next_bit(const u64 *bits, u32 from, u64 invert)
{
	u32 w = from / 64;
	u64 word;

	if (from >= PRMAP_BITS)
		return PRMAP_BITS;
	word = (bits[w] ^ invert) & mask_from(from);
	while (!word) {
		if (++w == PRMAP_BIT_WORDS)
			return PRMAP_BITS;
		word = bits[w] ^ invert;
	}
	return w * 64 + __ffs64(word);
}

u32 prmap_bits_next_set(const u64 *bits, u32 from)
{
	return next_bit(bits, from, 0);
}

u32 prmap_bits_next_clear(const u64 *bits, u32 from)
{
	return next_bit(bits, from, ~0ULL);
}

/* One past the last bit below @end that differs from @invert's bits, or 0. */
static __always_inline u32 prev_bit(const u64 *bits, u32 end, u64 invert)
{
	u32 w = (end - 1) / 64;
	u64 word;

	if (!end)
		return 0;
	word = (bits[w] ^ invert) & mask_until(end);
	while (!word) {
		if (!w--)
			return 0;
		word = bits[w] ^ invert;
	}
	return w * 64 + fls64(word);
}

/* First bit of the run of set bits that contains the set bit @at. */
u32 prmap_bits_run_start(const u64 *bits, u32 at)
{
	return prev_bit(bits, at, ~0ULL);
}

/* One past the last set bit below @end, or 0. */
u32 prmap_bits_prev_set(const u64 *bits, u32 end)
{
	return prev_bit(bits, end, 0);
}

/* Set bits in [from, end), and the runs they form there. */
void prmap_bits_count(const u64 *bits, u32 from, u32 end, u32 *keys, u32 *runs)
{
	u32 w = from / 64, last = (end - 1) / 64;
	u64 mask = mask_from(from), carry = 0;

	*keys = 0;
	*runs = 0;
	if (from >= end)
		return;
	for (; w <= last; w++, mask = ~0ULL) {
		u64 word = bits[w] & mask;

		if (w == last)
			word &= mask_until(end);
		*keys += hweight64(word);
		*runs += hweight64(word & ~(word << 1 | carry));
		carry = word >> 63;
	}
}
