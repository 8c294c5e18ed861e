// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the pool's allocator, on the real pool: orders, goals, counters,
 * and what one folio costs beside the page allocator's.
 */
#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/preserve.h>

#include "../pool.h"

#define BENCH_PAIRS	4000

static struct preserve_request request(unsigned int order, unsigned long goal)
{
	return (struct preserve_request) {
		.gfp = GFP_NOWAIT,
		.order = order,
		.nid = numa_mem_id(),
		.goal = goal,
	};
}

static unsigned long pool_free_pages(void)
{
	struct preserve_pool_stat stat = {};
	int nid;

	preserve_pool_drain();
	for_each_online_node(nid)
		preserve_pool_stat(nid, &stat);
	return stat.nr_free;
}

static int pool_test_init(struct kunit *test)
{
	struct preserve_request rq = request(0, 0);
	struct folio *folio;

	if (!preserve_has_pool())
		kunit_skip(test, "no KHO or no LUO");
	/* Needs preserve_pool=; growing it would disturb what else is tested. */
	folio = preserve_alloc_folio(&rq);
	if (!folio)
		kunit_skip(test, "no pool");
	folio_put(folio);
	return 0;
}

static void pool_orders(struct kunit *test)
{
	unsigned int order;

	for (order = 0; order <= pageblock_order; order++) {
		struct preserve_request rq = request(order, 0);
		struct folio *folio = preserve_alloc_folio(&rq);

		if (!folio && order == pageblock_order)
			kunit_skip(test, "no idle block");
		KUNIT_ASSERT_NOT_NULL(test, folio);
		KUNIT_EXPECT_EQ(test, folio_order(folio), order);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED(folio_pfn(folio),
						   1UL << order));
		KUNIT_EXPECT_TRUE(test, preserve_pool_block(&folio->page));
		folio_put(folio);
	}
}

static void pool_refuses_order(struct kunit *test)
{
	struct preserve_request rq = request(pageblock_order + 1, 0);

	KUNIT_EXPECT_NULL(test, preserve_alloc_folio(&rq));
}

/* In blocks of 2 MiB; 64 bits of bytes are 2^43 of them. */
static void pool_parses_size(struct kunit *test)
{
	static const struct {
		const char *text;
		const char *rest;
		unsigned long nr;
	} good[] = {
		{ "0", "", 0 },
		{ "1", "", 1 },
		{ "2M\n", "\n", 1 },
		{ "2049k", "", 2 },
		{ "3G,", ",", 1536 },
		{ "12x", "x", 1 },
		{ "18446744073709551615", "", 1UL << 43 },
		{ "99999999999999999999", "", 1UL << 43 },
		{ "16E", "", 1UL << 43 },
	};
	const char *end;
	unsigned long nr;
	int i;

	if (PAGE_SHIFT + pageblock_order != 21)
		kunit_skip(test, "other pageblocks");
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		KUNIT_EXPECT_EQ(test, preserve_parse_size(good[i].text, &end,
							  &nr), 0);
		KUNIT_EXPECT_EQ(test, nr, good[i].nr);
		KUNIT_EXPECT_STREQ(test, end, good[i].rest);
	}
	KUNIT_EXPECT_EQ(test, preserve_parse_size("", &end, &nr), -EINVAL);
	KUNIT_EXPECT_EQ(test, preserve_parse_size("M", &end, &nr), -EINVAL);
	KUNIT_EXPECT_EQ(test, preserve_parse_size("-1", &end, &nr), -EINVAL);
}

static void pool_follows_goal(struct kunit *test)
{
	struct preserve_request rq = request(0, PRESERVE_GOAL_NEW);
	struct folio *folio[8];
	int i, nr;

	/* What follows a goal is in the cache of one CPU. */
	migrate_disable();
	for (nr = 0; nr < ARRAY_SIZE(folio); nr++) {
		folio[nr] = preserve_alloc_folio(&rq);
		if (!folio[nr])
			break;
		if (nr)
			KUNIT_EXPECT_EQ(test, folio_pfn(folio[nr]), rq.goal);
		rq.goal = folio_pfn(folio[nr]) + 1;
	}
	migrate_enable();
	KUNIT_EXPECT_EQ(test, nr, ARRAY_SIZE(folio));
	for (i = 0; i < nr; i++)
		folio_put(folio[i]);
}

static void pool_counts(struct kunit *test)
{
	struct preserve_request rq = request(3, 0);
	unsigned long before, with = 0, after = 0;
	struct folio *folio;

	/* No block may be lent meanwhile. */
	scoped_guard(mutex, &preserve_size_lock) {
		before = pool_free_pages();
		folio = preserve_alloc_folio(&rq);
		if (folio) {
			with = pool_free_pages();
			folio_put(folio);
			after = pool_free_pages();
		}
	}
	KUNIT_ASSERT_NOT_NULL(test, folio);
	KUNIT_EXPECT_EQ(test, with, before - 8);
	KUNIT_EXPECT_EQ(test, after, before);
}

static void pool_range(struct kunit *test)
{
	unsigned int order = pageblock_order + 1;
	unsigned long pfn = preserve_alloc_range(numa_mem_id(), order);

	if (!pfn)
		kunit_skip(test, "no two blocks side by side");
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(pfn, 1UL << order));
	KUNIT_EXPECT_TRUE(test, preserve_pool_owns(pfn, 1UL << order));
	KUNIT_EXPECT_EQ(test, preserve_block_fill(pfn), pageblock_nr_pages);
	KUNIT_EXPECT_EQ(test, page_count(pfn_to_page(pfn)), 0);
	preserve_free_range(pfn, order);
	KUNIT_EXPECT_EQ(test, preserve_block_fill(pfn), 0);
}

/* A page that is larger than a block, as the page allocator frees it. */
static void pool_free_large(struct kunit *test)
{
	unsigned int order = pageblock_order + 1;
	unsigned long pfn = preserve_alloc_range(numa_mem_id(), order);

	if (!pfn)
		kunit_skip(test, "no two blocks side by side");
	KUNIT_EXPECT_TRUE(test, preserve_pool_free(pfn_to_page(pfn), order));
	KUNIT_EXPECT_EQ(test, preserve_block_fill(pfn), 0);
	KUNIT_EXPECT_EQ(test, preserve_block_fill(pfn + pageblock_nr_pages), 0);
}

/* Context: preserve_size_lock held, so nothing here may end the test. */
static void target_is_apart(struct kunit *test, int nid, unsigned long pfn)
{
	struct preserve_request rq = request(0, pfn + 6);
	struct folio *folio, *other;

	folio = preserve_target_folio(pfn + 5, 0, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, folio);
	KUNIT_EXPECT_NULL(test, preserve_target_folio(pfn + 5, 0, GFP_KERNEL));
	other = preserve_alloc_folio(&rq);
	if (other) {
		KUNIT_EXPECT_NE(test, folio_pfn(other), rq.goal);
		folio_put(other);
	}
	if (folio)
		folio_put(folio);
}

static void pool_target_is_apart(struct kunit *test)
{
	int nid = numa_mem_id();
	unsigned long pfn;

	scoped_guard(mutex, &preserve_size_lock) {
		pfn = preserve_target_take(nid, 0);
		if (pfn)
			target_is_apart(test, nid, pfn);
		preserve_pool_drain();
		preserve_targets_put(nid);
	}
	if (!pfn)
		kunit_skip(test, "no idle block");
}

/* Targets are the lowest idle blocks, what leaves the pool is the highest. */
static void pool_idle_is_ordered(struct kunit *test)
{
	unsigned long first, second = 0, last = 0;
	struct preserve_block *block;
	int nid = numa_mem_id();

	scoped_guard(mutex, &preserve_size_lock) {
		preserve_pool_recall_lent(nid, 3, 1);
		first = preserve_target_take(nid, 0);
		if (first)
			second = preserve_target_take(nid, 0);
		block = preserve_block_isolate(nid);
		if (block) {
			last = block->pfn;
			KUNIT_EXPECT_EQ(test, preserve_target_take(nid, last), 0);
			preserve_block_putback(block);
			KUNIT_EXPECT_EQ(test, preserve_target_take(nid, last),
					last);
		}
		preserve_targets_put(nid);
	}
	if (!last)
		kunit_skip(test, "no three idle blocks");
	KUNIT_EXPECT_LT(test, first, second);
	KUNIT_EXPECT_LT(test, second, last);
}

/* Under -icount a nanosecond is an instruction. */
static void pool_bench(struct kunit *test)
{
	struct preserve_request rq = request(0, 0);
	u64 start, pool, buddy;
	int i;

	start = ktime_get_raw_ns();
	for (i = 0; i < BENCH_PAIRS; i++)
		folio_put(preserve_alloc_folio(&rq));
	pool = ktime_get_raw_ns() - start;

	start = ktime_get_raw_ns();
	for (i = 0; i < BENCH_PAIRS; i++)
		folio_put(folio_alloc(GFP_KERNEL, 0));
	buddy = ktime_get_raw_ns() - start;

	kunit_log(KERN_INFO, test, KUNIT_SUBTEST_INDENT "# bench: pool_alloc_free %llu",
		  pool / BENCH_PAIRS);
	kunit_log(KERN_INFO, test, KUNIT_SUBTEST_INDENT "# bench: folio_alloc_free %llu",
		  buddy / BENCH_PAIRS);
}

static struct kunit_case pool_cases[] = {
	KUNIT_CASE(pool_orders),
	KUNIT_CASE(pool_refuses_order),
	KUNIT_CASE(pool_parses_size),
	KUNIT_CASE(pool_follows_goal),
	KUNIT_CASE(pool_counts),
	KUNIT_CASE(pool_target_is_apart),
	KUNIT_CASE(pool_idle_is_ordered),
	KUNIT_CASE(pool_range),
	KUNIT_CASE(pool_free_large),
	KUNIT_CASE(pool_bench),
	{ }
};

static struct kunit_suite pool_suite = {
	.name = "preserve-pool",
	.init = pool_test_init,
	.test_cases = pool_cases,
};

kunit_test_suite(pool_suite);
