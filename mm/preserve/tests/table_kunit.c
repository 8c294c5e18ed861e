// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the checks on the header and the block table's pages: no flipped bit
 * passes, and no extent that cannot be right does.
 */
#include <kunit/test.h>
#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "../pool.h"

#define SEQ	3
#define PHYS	0x12345000ULL
#define BLOCK	pageblock_nr_pages
#define END	(64 * BLOCK)

static void *page_get(struct kunit *test)
{
	void *page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	return page;
}

static struct preserve_table_ser *good_table(struct kunit *test)
{
	struct preserve_table_ser *table = page_get(test);

	preserve_table_init(table);
	table->nr = PRESERVE_TABLE_EXTENTS;
	memset(table->extent, 'x', table->nr * sizeof(table->extent[0]));
	preserve_table_commit(table, SEQ);
	return table;
}

static void table_accepts_committed(struct kunit *test)
{
	struct preserve_table_ser *table = good_table(test);

	KUNIT_EXPECT_TRUE(test, preserve_table_check(table, SEQ));
	KUNIT_EXPECT_FALSE(test, preserve_table_check(table, SEQ + 1));
}

static void table_refuses_any_flipped_bit(struct kunit *test)
{
	struct preserve_table_ser *table = good_table(test);
	unsigned long bit, passed = 0;

	for (bit = 0; bit < PAGE_SIZE * 8; bit++) {
		change_bit(bit, (unsigned long *)table);
		passed += preserve_table_check(table, SEQ);
		change_bit(bit, (unsigned long *)table);
	}
	KUNIT_EXPECT_EQ(test, passed, 0);
}

/* What a wrong number of extents would read lies behind the page. */
static void table_refuses_counts(struct kunit *test)
{
	struct preserve_table_ser *table = good_table(test);

	table->nr = 0;
	preserve_table_commit(table, SEQ);
	KUNIT_EXPECT_FALSE(test, preserve_table_check(table, SEQ));
	table->nr = PRESERVE_TABLE_EXTENTS + 1;
	preserve_table_commit(table, SEQ);
	KUNIT_EXPECT_FALSE(test, preserve_table_check(table, SEQ));
}

static void bitmaps_checks(struct kunit *test)
{
	struct preserve_bitmaps_ser *bm = page_get(test);
	unsigned long bit, passed = 0;

	preserve_bitmaps_init(bm);
	bm->nr = PRESERVE_BITMAPS;
	bitmap_fill(preserve_bitmaps_at(bm, bm->nr - 1), pageblock_nr_pages);
	preserve_bitmaps_commit(bm, PHYS);
	KUNIT_EXPECT_TRUE(test, preserve_bitmaps_check(bm, PHYS));
	KUNIT_EXPECT_FALSE(test, preserve_bitmaps_check(bm, PHYS + PAGE_SIZE));
	KUNIT_EXPECT_LE(test, (unsigned long)(preserve_bitmaps_at(bm, bm->nr)) -
			      (unsigned long)bm, PAGE_SIZE);
	for (bit = 0; bit < PAGE_SIZE * 8; bit++) {
		change_bit(bit, (unsigned long *)bm);
		passed += preserve_bitmaps_check(bm, PHYS);
		change_bit(bit, (unsigned long *)bm);
	}
	KUNIT_EXPECT_EQ(test, passed, 0);
	bm->nr = PRESERVE_BITMAPS + 1;
	preserve_bitmaps_commit(bm, PHYS);
	KUNIT_EXPECT_FALSE(test, preserve_bitmaps_check(bm, PHYS));
}

struct extent_case {
	const char *name;
	struct preserve_extent_ser extent;
	bool good;
};

static const struct extent_case extent_cases[] = {
	{ "one", { 8 * BLOCK, 0, 1, PRESERVE_EXTENT_FREE }, true },
	{ "up to the end", { 8 * BLOCK, 0, 56, PRESERVE_EXTENT_LIVE }, true },
	{ "bitmaps", { 9 * BLOCK, PHYS, 2, PRESERVE_EXTENT_SOME, 7 }, true },
	{ "bad, before", { 2 * BLOCK, PHYS, 1, PRESERVE_EXTENT_POISONED }, true },
	{ "kind 0", { 8 * BLOCK, 0, 1, 0 }, false },
	{ "kind 8", { 8 * BLOCK, 0, 1, 8 }, false },
	{ "none", { 8 * BLOCK, 0, 0, PRESERVE_EXTENT_FREE }, false },
	{ "order", { 7 * BLOCK, 0, 1, PRESERVE_EXTENT_FREE }, false },
	{ "misaligned", { 8 * BLOCK + 1, 0, 1, PRESERVE_EXTENT_LIVE }, false },
	{ "too many", { 8 * BLOCK, 0, 57, PRESERVE_EXTENT_FREE }, false },
	{ "far too many", { 8 * BLOCK, 0, U32_MAX, PRESERVE_EXTENT_FREE }, false },
	{ "behind", { END, 0, 1, PRESERVE_EXTENT_FREE }, false },
	{ "far behind", { -(u64)BLOCK, 0, 1, PRESERVE_EXTENT_FREE }, false },
	{ "two bad", { 2 * BLOCK, PHYS, 2, PRESERVE_EXTENT_POISONED }, false },
	{ "huge", { 2 * BLOCK, 0, 3, PRESERVE_EXTENT_HUGE, pageblock_order }, true },
	{ "larger", { 2 * BLOCK, 0, 31, PRESERVE_EXTENT_HUGE, pageblock_order + 1 }, true },
	{ "huge, too many", { 2 * BLOCK, 0, 32, PRESERVE_EXTENT_HUGE, pageblock_order + 1 },
	  false },
	{ "huge, misaligned", { BLOCK, 0, 1, PRESERVE_EXTENT_HUGE, pageblock_order + 1 }, false },
	{ "huge, small", { 2 * BLOCK, 0, 1, PRESERVE_EXTENT_HUGE, 1 }, false },
	{ "huge, too large", { 0, 0, 1, PRESERVE_EXTENT_HUGE, PRESERVE_HUGE_MAX_ORDER + 1 },
	  false },
	{ "huge, beyond 64 bits", { 0, 0, 1, PRESERVE_EXTENT_HUGE, U16_MAX }, false },
	{ "huge, stays", { 2 * BLOCK, 1, 3, PRESERVE_EXTENT_HUGE, pageblock_order }, true },
	{ "huge, of CMA", { 2 * BLOCK, 3, 3, PRESERVE_EXTENT_HUGE, pageblock_order }, true },
	{ "huge, bitmaps", { 2 * BLOCK, 4, 3, PRESERVE_EXTENT_HUGE, pageblock_order }, false },
	{ "huge, free", { 2 * BLOCK, 0, 3, PRESERVE_EXTENT_HUGE_FREE, pageblock_order }, true },
	{ "huge, free, small", { 2 * BLOCK, 0, 1, PRESERVE_EXTENT_HUGE_FREE, 1 }, false },
	{ "bad in huge", { 2 * BLOCK + 5, 0, 7, PRESERVE_EXTENT_HUGE_BAD }, true },
	{ "bad, behind", { END - 1, 0, 2, PRESERVE_EXTENT_HUGE_BAD }, false },
};

static void extent_checks(struct kunit *test)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(extent_cases); i++) {
		const struct extent_case *c = &extent_cases[i];

		KUNIT_EXPECT_EQ_MSG(test, c->good,
				    preserve_extent_check(&c->extent, 8 * BLOCK,
							  END), "%s", c->name);
	}
}

static struct preserve_header_ser *good_header(struct kunit *test)
{
	struct preserve_header_ser *hdr = kunit_kzalloc(test, sizeof(*hdr),
							GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, hdr);
	preserve_header_commit(hdr);
	return hdr;
}

static void expect_header(struct kunit *test,
			  const struct preserve_header_ser *hdr, size_t size,
			  int err, const char *why)
{
	const char *reason = NULL;

	KUNIT_EXPECT_EQ(test, err, preserve_header_check(hdr, size, &reason));
	KUNIT_EXPECT_STREQ(test, why ?: "", reason ?: "");
}

static void header_checks(struct kunit *test)
{
	struct preserve_header_ser *hdr = good_header(test);

	expect_header(test, hdr, sizeof(*hdr), 0, NULL);
	expect_header(test, hdr, sizeof(*hdr) - 1, -EBADMSG,
		      "header truncated");

	hdr->csum ^= 1;
	expect_header(test, hdr, sizeof(*hdr), -EBADMSG,
		      "header checksum wrong");
	hdr->csum ^= 1;

	hdr->version++;
	expect_header(test, hdr, sizeof(*hdr), -EPROTO,
		      "header version unknown");
	hdr->version--;

	hdr->compat = ~0ULL;
	preserve_header_commit(hdr);
	expect_header(test, hdr, sizeof(*hdr), 0, NULL);
	hdr->incompat = 1;
	preserve_header_commit(hdr);
	expect_header(test, hdr, sizeof(*hdr), -EPROTO, "header features unknown");

	hdr->magic = 0;
	expect_header(test, hdr, sizeof(*hdr), -EBADMSG, "no header");
}

static struct kunit_case table_cases[] = {
	KUNIT_CASE(header_checks),
	KUNIT_CASE(table_accepts_committed),
	KUNIT_CASE(table_refuses_any_flipped_bit),
	KUNIT_CASE(table_refuses_counts),
	KUNIT_CASE(bitmaps_checks),
	KUNIT_CASE(extent_checks),
	{}
};

static struct kunit_suite table_suite = {
	.name = "preserve_table",
	.test_cases = table_cases,
};

kunit_test_suite(table_suite);
