// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of streams: what is written is read again, over the ends of pages and blocks,
 * and what is not there is refused. Over a kexec they are tested with trees.
 */
#include <kunit/test.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../file.h"

#define LENGTH	(SZ_4M + 12345)
#define CHUNK	7777

static void stream_end(void *s)
{
	preserve_stream_free(s);
}

static struct preserve_stream *stream(struct kunit *test)
{
	struct preserve_stream *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);

	if (!preserve_has_pool())
		kunit_skip(test, "no pool");
	KUNIT_ASSERT_NOT_NULL(test, s);
	preserve_stream_init(s);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, stream_end, s));
	return s;
}

static void chunk_fill(u8 *chunk, u64 pos, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		chunk[i] = (pos + i) * 2654435761U >> 24;
}

static void write_all(struct kunit *test, struct preserve_stream *s, u8 *chunk)
{
	u64 pos = 0, at;
	size_t len;

	while (pos < LENGTH) {
		len = min_t(u64, CHUNK, LENGTH - pos);
		chunk_fill(chunk, pos, len);
		at = pos;
		KUNIT_ASSERT_EQ(test, 0, preserve_stream_write(s, chunk, len, &pos));
		KUNIT_ASSERT_EQ(test, at + len, pos);
	}
}

static void there_and_back(struct kunit *test)
{
	struct preserve_stream *s = stream(test);
	u8 *chunk = kunit_kzalloc(test, 2 * CHUNK, GFP_KERNEL);
	u64 pos;

	KUNIT_ASSERT_NOT_NULL(test, chunk);
	write_all(test, s, chunk);
	KUNIT_EXPECT_EQ(test, LENGTH, s->length);
	for (pos = 0; pos + CHUNK <= LENGTH; pos += CHUNK / 3) {
		chunk_fill(chunk, pos, CHUNK);
		KUNIT_ASSERT_EQ(test, 0, preserve_stream_read(s, chunk + CHUNK, CHUNK, pos));
		KUNIT_ASSERT_MEMEQ(test, chunk, chunk + CHUNK, CHUNK);
	}
	/* What is overwritten changes nothing else. */
	pos = SZ_1M - 3;
	KUNIT_EXPECT_EQ(test, 0, preserve_stream_write(s, "changed", 7, &pos));
	KUNIT_EXPECT_EQ(test, LENGTH, s->length);
	chunk_fill(chunk, SZ_1M - 10, 20);
	memcpy(chunk + 7, "changed", 7);
	KUNIT_ASSERT_EQ(test, 0, preserve_stream_read(s, chunk + CHUNK, 20, SZ_1M - 10));
	KUNIT_EXPECT_MEMEQ(test, chunk, chunk + CHUNK, 20);
}

static void ends(struct kunit *test)
{
	struct preserve_stream *s = stream(test);
	u64 pos = 0;
	u8 byte;

	KUNIT_EXPECT_EQ(test, 0, preserve_stream_read(s, &byte, 0, 0));
	KUNIT_EXPECT_EQ(test, -EUCLEAN, preserve_stream_read(s, &byte, 1, 0));
	KUNIT_ASSERT_EQ(test, 0, preserve_stream_write(s, "four", 4, &pos));
	KUNIT_EXPECT_EQ(test, 0, preserve_stream_read(s, &byte, 1, 3));
	KUNIT_EXPECT_EQ(test, 'r', byte);
	KUNIT_EXPECT_EQ(test, -EUCLEAN, preserve_stream_read(s, &byte, 1, 4));
	KUNIT_EXPECT_EQ(test, -EUCLEAN, preserve_stream_read(s, &byte, 1, U64_MAX));
	KUNIT_EXPECT_EQ(test, -EUCLEAN, preserve_stream_read(s, &byte, SIZE_MAX, 3));
	/* Behind the end of the bytes the page is zeroed: all of it crosses. */
	s->length = PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, 0, preserve_stream_read(s, &byte, 1, PAGE_SIZE - 1));
	KUNIT_EXPECT_EQ(test, 0, byte);
	/* A length that is not true does not lead anywhere. */
	s->length = U64_MAX;
	KUNIT_EXPECT_EQ(test, -EUCLEAN, preserve_stream_read(s, &byte, 1, PAGE_SIZE));
	s->length = 4;
}

static void few_runs(struct kunit *test)
{
	struct preserve_stream *s = stream(test);
	u8 *chunk = kunit_kzalloc(test, CHUNK, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, chunk);
	write_all(test, s, chunk);
	KUNIT_EXPECT_EQ(test, DIV_ROUND_UP(LENGTH, PAGE_SIZE), prmap_nr_keys(&s->map));
	/* Not one for each page: some for what was in use in between. */
	KUNIT_EXPECT_LE(test, prmap_nr_runs(&s->map), 16);
}

static struct kunit_case stream_cases[] = {
	KUNIT_CASE(there_and_back),
	KUNIT_CASE(ends),
	KUNIT_CASE(few_runs),
	{}
};

static struct kunit_suite stream_suite = {
	.name = "preserve_stream",
	.test_cases = stream_cases,
};

kunit_test_suite(stream_suite);
