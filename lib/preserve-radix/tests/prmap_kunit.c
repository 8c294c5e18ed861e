// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the preserve map.
 *
 * What lives here: one test for each promise of the interface, sizes of the
 * shapes that matter, running out of pages at every point. Maps from a hostile
 * kernel are in prmap_hostile.c. Runs as KUnit and, with other page sizes too,
 * natively.
 */
#include <kunit/test.h>
#include "prmap_test.h"

#ifdef __KERNEL__
#include <linux/gfp.h>
#include <linux/kasan.h>
#include <linux/module.h>
#include <linux/slab.h>

/* Without KASAN's tag, as phys_to_virt() gives it to the map. */
static void *page_alloc(void)
{
	return kasan_reset_tag((void *)__get_free_page(GFP_KERNEL));
}

static void page_free(void *page)
{
	free_page((unsigned long)page);
}
#else
static void *page_alloc(void)
{
	void *page;

	return posix_memalign(&page, PRMAP_PAGE_SIZE, PRMAP_PAGE_SIZE) ? NULL :
									  page;
}

static void page_free(void *page)
{
	free(page);
}
#endif

struct test_pages used;

static void *test_get(void *ctx)
{
	if (used.fail_at && !--used.fail_at)
		return NULL;
	if (used.nr == MAX_PAGES)
		return NULL;
	used.page[used.nr] = page_alloc();
	if (used.page[used.nr])
		memset(used.page[used.nr], 0x5a, PRMAP_PAGE_SIZE);
	return used.page[used.nr++];
}

void test_put(void *ctx, void *page)
{
	u32 i;

	for (i = 0; i < used.nr && used.page[i] != page; i++)
		;
	if (WARN_ON_ONCE(i == used.nr))
		return;
	used.page[i] = used.page[--used.nr];
	page_free(page);
}

const struct prmap_ops test_ops = {
	.page_get = test_get,
	.page_put = test_put,
};

static bool test_page_ok(void *ctx, u64 phys)
{
	u32 i;

	for (i = 0; i < used.nr; i++) {
		if (virt_to_phys(used.page[i]) != phys || used.claimed[i])
			continue;
		used.claimed[i] = true;
		return true;
	}
	return false;
}

static bool test_pfn_ok(void *ctx, u64 pfn, u64 nr)
{
	return pfn != BAD_PFN;
}

struct prmap_limits test_limits(void)
{
	memset(used.claimed, 0, sizeof(used.claimed));
	return (struct prmap_limits){
		.max_index = PRMAP_INDEX_END - 1,
		.max_pfn = PRMAP_PFN_END - 1,
		.max_order = PRMAP_MAX_ORDER,
		.pfn_ok = test_pfn_ok,
		.page_ok = test_page_ok,
	};
}

static int set_run(struct prmap *map, u64 index, u64 pfn, u64 nr, u8 order,
		   u8 flags)
{
	struct prmap_run run = {
		.index = index,
		.pfn = pfn,
		.nr = nr,
		.order = order,
		.flags = flags,
	};

	return prmap_set(map, &run);
}

static int set(struct prmap *map, u64 index, u64 nr)
{
	return set_run(map, index, index, nr, 0, 0);
}

static void expect_empty(struct kunit *test, struct prmap *map)
{
	struct prmap_run run;

	KUNIT_EXPECT_EQ(test, prmap_nr_keys(map), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_runs(map), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_pages(map), 0);
	KUNIT_EXPECT_EQ(test, used.nr, 0);
	KUNIT_EXPECT_FALSE(test, prmap_next(map, 0, &run));
}

static void set_and_clear(struct kunit *test)
{
	struct prmap_run run;
	struct prmap map;
	u64 index, nr;

	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	expect_empty(test, &map);
	KUNIT_EXPECT_EQ(test, set(&map, 100, 50), 0);
	KUNIT_EXPECT_EQ(test, set(&map, 150, 50), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_runs(&map), 1);
	KUNIT_EXPECT_EQ(test, set(&map, 199, 2), -EEXIST);
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, 120, 10), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_runs(&map), 2);
	KUNIT_EXPECT_EQ(test, prmap_nr_keys(&map), 90);
	KUNIT_ASSERT_EQ(test, prmap_lookup(&map, 199, &run), 0);
	KUNIT_EXPECT_EQ(test, run.index, 130);
	KUNIT_EXPECT_EQ(test, run.nr, 70);
	KUNIT_EXPECT_EQ(test, run.pfn, 130);
	KUNIT_EXPECT_EQ(test, prmap_lookup(&map, 125, &run), -ENOENT);
	KUNIT_EXPECT_TRUE(test, prmap_next_absent(&map, 110, &index, &nr));
	KUNIT_EXPECT_EQ(test, index, 120);
	KUNIT_EXPECT_EQ(test, nr, 10);
	KUNIT_EXPECT_TRUE(test, prmap_test_range(&map, 130, 70));
	KUNIT_EXPECT_FALSE(test, prmap_test_range(&map, 130, 71));
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, 0, PRMAP_PFN_END), 0);
	expect_empty(test, &map);
}

static void bad_arguments(struct kunit *test)
{
	struct prmap map;

	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	KUNIT_EXPECT_EQ(test, set(&map, 1, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, set(&map, PRMAP_PFN_END, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, set(&map, PRMAP_PFN_END - 1, 2), -EINVAL);
	KUNIT_EXPECT_EQ(test, set(&map, 1, U64_MAX), -EINVAL);
	KUNIT_EXPECT_EQ(test, set_run(&map, 1, 2, 1, 0, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, set_run(&map, 1, 1, 2, 1, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, set_run(&map, 2, 2, 3, 1, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, set_run(&map, 0, 0, 1ULL << 32, 32, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, U64_MAX, 2), -EINVAL);
	expect_empty(test, &map);
	prmap_init(&map, PRMAP_FILE, &test_ops, NULL);
	KUNIT_EXPECT_EQ(test, set_run(&map, 0, PRMAP_PFN_END, 1, 0, 0),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, set_run(&map, PRMAP_INDEX_END, 0, 1, 0, 0),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, set_run(&map, 2, 3, 2, 1, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, set_run(&map, PRMAP_INDEX_END - 1, 7, 1, 0, 0), 0);
	KUNIT_EXPECT_TRUE(test, prmap_test(&map, PRMAP_INDEX_END - 1));
	prmap_destroy(&map);
	expect_empty(test, &map);
}

static void folios_stay_whole(struct kunit *test)
{
	struct prmap map;

	prmap_init(&map, PRMAP_FILE, &test_ops, NULL);
	KUNIT_EXPECT_EQ(test, set_run(&map, 512, 1024, 2048, 9, 3), 0);
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, 600, 10), -EINVAL);
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, 600, 5000), -EINVAL);
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, 0, 600), -EINVAL);
	KUNIT_EXPECT_EQ(test, prmap_nr_keys(&map), 2048);
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, 1024, 512), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_runs(&map), 2);
	KUNIT_EXPECT_EQ(test, set_run(&map, 1024, 1536, 512, 8, 3), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_runs(&map), 3);
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, 1024, 256), 0);
	KUNIT_EXPECT_EQ(test, set_run(&map, 1024, 9216, 256, 8, 3), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_runs(&map), 4);
	prmap_destroy(&map);
	expect_empty(test, &map);
}

/* Runs longer than a piece, in both kinds; several leaves of tiny pages. */
static void huge_runs(struct kunit *test)
{
	u64 nr = PRMAP_PFN_END / 4;
	struct prmap_run run;
	struct prmap map;

	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	KUNIT_EXPECT_EQ(test, set(&map, 0, PRMAP_PFN_END), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_runs(&map), 1);
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, nr, 1), 0);
	KUNIT_ASSERT_EQ(test, prmap_lookup(&map, nr + 1, &run), 0);
	KUNIT_EXPECT_EQ(test, run.index, nr + 1);
	KUNIT_EXPECT_EQ(test, run.nr, PRMAP_PFN_END - nr - 1);
	KUNIT_ASSERT_EQ(test, prmap_lookup(&map, 1, &run), 0);
	KUNIT_EXPECT_EQ(test, run.nr, nr);
	prmap_destroy(&map);
	prmap_init(&map, PRMAP_FILE, &test_ops, NULL);
	nr = 1ULL << 30;
	KUNIT_EXPECT_EQ(test, set_run(&map, 77, 99, nr, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_runs(&map), 1);
	KUNIT_ASSERT_EQ(test, prmap_lookup(&map, nr / 2, &run), 0);
	KUNIT_EXPECT_EQ(test, run.index, 77);
	KUNIT_EXPECT_EQ(test, run.nr, nr);
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, nr / 2, 1), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_runs(&map), 2);
	KUNIT_EXPECT_EQ(test, prmap_nr_keys(&map), nr - 1);
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, 77, nr), 0);
	expect_empty(test, &map);
}

static void iterate(struct kunit *test)
{
	struct prmap_run runs[3];
	struct prmap_iter it;
	struct prmap map;
	u64 i;

	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_EQ(test, set(&map, 10 * i, 3), 0);
	prmap_iter_init(&it, &map, 1);
	KUNIT_ASSERT_EQ(test, prmap_iter_read(&it, runs, 3), 3);
	KUNIT_EXPECT_EQ(test, runs[0].index, 1);
	KUNIT_EXPECT_EQ(test, runs[0].nr, 2);
	/* What changes ahead of the iterator is seen. */
	KUNIT_EXPECT_EQ(test, prmap_clear(&map, 30, 1), 0);
	KUNIT_ASSERT_EQ(test, prmap_iter_read(&it, runs, 3), 2);
	KUNIT_EXPECT_EQ(test, runs[0].index, 31);
	KUNIT_EXPECT_EQ(test, runs[1].index, 40);
	KUNIT_EXPECT_EQ(test, prmap_iter_read(&it, runs, 3), 0);
	prmap_destroy(&map);
}

/* What the issue asks of sizes, where the page is the kernel's. */
static void sizes(struct kunit *test)
{
	struct prmap map;
	u64 i;

	if (PRMAP_SHIFT != 12)
		return;
	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	KUNIT_EXPECT_EQ(test, set(&map, 0, 1ULL << 28), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_pages(&map), 1);
	prmap_destroy(&map);
	for (i = 0; i < 1ULL << 18; i += 2)
		KUNIT_EXPECT_EQ(test, set(&map, i, 1), 0);
	KUNIT_EXPECT_EQ(test, prmap_nr_pages(&map), 9);
	KUNIT_EXPECT_LE(test, prmap_bytes(&map), 8 * 4096 + 512);
	prmap_destroy(&map);
	for (i = 0; i < 1000; i++)
		KUNIT_EXPECT_EQ(test, set(&map, i * 268435, 1), 0);
	KUNIT_EXPECT_LE(test, prmap_nr_pages(&map), 3);
	KUNIT_EXPECT_LE(test, prmap_bytes(&map), 8300);
	prmap_destroy(&map);
}

#define SCATTER	977

void fill_scattered(struct prmap *map, u64 nr)
{
	u64 i;

	for (i = 0; i < nr; i++)
		set_run(map, i * SCATTER, i * SCATTER, 1, 0, i & 1);
}

void fill_dense(struct prmap *map, u64 nr)
{
	u64 i;

	for (i = 0; i < nr; i++)
		set_run(map, 2 * i, 2 * i, 1, 0, 0);
}

static u64 digest(const struct prmap *map)
{
	u64 sum = prmap_nr_keys(map) ^ prmap_nr_runs(map) << 32, from = 0;
	struct prmap_run run;

	for (; prmap_next(map, from, &run); from = run.index + run.nr) {
		u64 part[4] = { run.index, run.pfn, run.nr,
				prmap_attr(run.order, run.flags) };

		sum = xxh64(part, sizeof(part), sum);
	}
	return sum;
}

/* Updates that need pages: a split, a carve, a cut, a run over many pieces. */
static int update(struct prmap *map, int which)
{
	switch (which) {
	case 0:
		return set(map, 20 * 977 + 5, 1);
	case 1:
		return set_run(map, 3 * PRMAP_BITS / 4 + 1,
			       3 * PRMAP_BITS / 4 + 1, 1, 0, 9);
	case 2:
		return prmap_clear(map, 1ULL << 36, 1);
	case 3:
		return set(map, 1ULL << 37, 1ULL << 39);
	}
	return -ENOENT;
}

static void no_pages_left(struct kunit *test)
{
	u32 caps[] = { PRMAP_LEAF_CAP, PRMAP_BITS / 2 }, nr_used, n, i;
	struct prmap map;
	int which, err;
	u64 before;

	for (i = 0; i < ARRAY_SIZE(caps) * 4; i++) {
		which = i % 4;
		prmap_init(&map, PRMAP_SET, &test_ops, NULL);
		set(&map, (1ULL << 36) - 5000, 10000);
		if (i < 4)
			fill_scattered(&map, caps[0] - 2);
		else
			fill_dense(&map, caps[1]);
		before = digest(&map);
		nr_used = used.nr;
		for (n = 1;; n++) {
			used.fail_at = n;
			err = update(&map, which);
			used.fail_at = 0;
			if (err != -ENOMEM)
				break;
			KUNIT_EXPECT_EQ(test, digest(&map), before);
			KUNIT_EXPECT_EQ(test, used.nr, nr_used);
		}
		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_EQ(test, prmap_nr_pages(&map), used.nr);
		prmap_destroy(&map);
	}
	expect_empty(test, &map);
}

static void commit_and_open(struct kunit *test)
{
	struct prmap_limits lim;
	struct prmap_root_ser root, again;
	struct prmap map, other;
	const char *reason = "";
	u64 before;

	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	prmap_commit(&map, &root);
	lim = test_limits();
	KUNIT_EXPECT_EQ(test, prmap_check(&root, PRMAP_SET, &lim, &reason), 0);
	fill_dense(&map, PRMAP_BITS);
	fill_scattered(&map, 4 * PRMAP_LEAF_CAP);
	before = digest(&map);
	prmap_commit(&map, &root);
	prmap_commit(&map, &again);
	KUNIT_EXPECT_EQ(test, memcmp(&root, &again, sizeof(root)), 0);
	lim = test_limits();
	KUNIT_ASSERT_EQ(test, prmap_open(&other, &root, PRMAP_SET, &test_ops,
					 NULL, &lim, &reason), 0);
	KUNIT_EXPECT_EQ(test, digest(&other), before);
	/* A change makes the old root stale and shows in the new one. */
	KUNIT_EXPECT_EQ(test, prmap_clear(&other, 2, 1), 0);
	lim = test_limits();
	KUNIT_EXPECT_TRUE(test, prmap_check(&root, PRMAP_SET, &lim, NULL));
	prmap_commit(&other, &root);
	lim = test_limits();
	KUNIT_EXPECT_EQ(test, prmap_check(&root, PRMAP_SET, &lim, NULL), 0);
	prmap_destroy(&other);
	expect_empty(test, &other);
}

static void refused_frame(struct kunit *test)
{
	struct prmap_root_ser root;
	struct prmap_limits lim;
	const char *reason = "";
	struct prmap map;

	prmap_init(&map, PRMAP_FILE, &test_ops, NULL);
	KUNIT_EXPECT_EQ(test, set_run(&map, 5, BAD_PFN, 1, 0, 0), 0);
	prmap_commit(&map, &root);
	lim = test_limits();
	KUNIT_EXPECT_EQ(test, prmap_check(&root, PRMAP_FILE, &lim, &reason),
			-EINVAL);
	KUNIT_EXPECT_STREQ(test, reason, "frame not allowed");
	lim = test_limits();
	lim.pfn_ok = NULL;
	KUNIT_EXPECT_EQ(test, prmap_check(&root, PRMAP_FILE, &lim, &reason), 0);
	prmap_destroy(&map);
}

static void half_a_run(struct kunit *test)
{
	struct prmap_root_ser root;
	struct prmap_limits lim;
	const char *reason = "";
	struct prmap_leaf *leaf;
	struct prmap map;

	prmap_init(&map, PRMAP_FILE, &test_ops, NULL);
	KUNIT_EXPECT_EQ(test, set_run(&map, 5, 50, 1, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, set_run(&map, 7, 70, 1, 0, 0), 0);
	prmap_commit(&map, &root);
	leaf = phys_to_virt(root.top);
	leaf->head.nr = 3;
	root.top_sum = prmap_page_sum(leaf, false);
	root.sum = prmap_root_sum(&root);
	lim = test_limits();
	KUNIT_EXPECT_EQ(test, prmap_check(&root, PRMAP_FILE, &lim, &reason),
			-EINVAL);
	KUNIT_EXPECT_STREQ(test, reason, "half a run");
	prmap_destroy(&map);
}

static int count_page(void *ctx, u64 phys)
{
	u32 *left = ctx;

	return --*left ? 0 : -EINTR;
}

static void walk_pages(struct kunit *test)
{
	struct prmap map;
	u32 left = MAX_PAGES;

	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	fill_scattered(&map, 4 * PRMAP_LEAF_CAP);
	KUNIT_EXPECT_EQ(test, prmap_walk_pages(&map, count_page, &left), 0);
	KUNIT_EXPECT_EQ(test, MAX_PAGES - left, prmap_nr_pages(&map));
	left = 2;
	KUNIT_EXPECT_EQ(test, prmap_walk_pages(&map, count_page, &left),
			-EINTR);
	prmap_destroy(&map);
}

static u64 visited[MAX_PAGES];
static u32 nr_visited;

static int note_page(void *ctx, u64 phys)
{
	u32 i;

	for (i = 0; i < nr_visited; i++)
		if (visited[i] == phys)
			return -EEXIST;
	visited[nr_visited++] = phys;
	return 0;
}

static int find_page(void *ctx, u64 phys)
{
	u32 i;

	for (i = 0; i < nr_visited; i++)
		if (visited[i] == phys)
			return 0;
	return -ENOENT;
}

/* Each page once, in parts of any size. */
static void walk_some(struct kunit *test)
{
	struct prmap map;
	u32 nr;
	u64 from;

	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	fill_scattered(&map, 4 * PRMAP_LEAF_CAP);
	for (nr = 1; nr < 100; nr *= 3) {
		nr_visited = 0;
		for (from = 0; from != U64_MAX;) {
			u32 before = nr_visited;

			KUNIT_ASSERT_EQ(test, prmap_walk_some(&map, &from, nr,
							      note_page, NULL), 0);
			KUNIT_EXPECT_LE(test, nr_visited - before,
					nr * PRMAP_MAX_HEIGHT);
		}
		KUNIT_EXPECT_EQ(test, nr_visited, prmap_nr_pages(&map));
		KUNIT_EXPECT_EQ(test, prmap_walk_pages(&map, find_page, NULL), 0);
	}
	from = 0;
	KUNIT_EXPECT_EQ(test, prmap_walk_some(&map, &from, 1, note_page, NULL),
			-EEXIST);
	prmap_destroy(&map);
	from = 0;
	KUNIT_EXPECT_EQ(test, prmap_walk_some(&map, &from, 1, note_page, NULL), 0);
	KUNIT_EXPECT_EQ(test, from, U64_MAX);
}

static int note_again(void *ctx, u64 phys)
{
	note_page(ctx, phys);
	return 0;
}

/* Notes what comes and goes during a walk, as a caller that claims the pages of a map does. */
static void *noting_get(void *ctx)
{
	void *page = test_get(NULL);

	if (page)
		note_again(NULL, virt_to_phys(page));
	return page;
}

static void noting_put(void *ctx, void *page)
{
	u64 phys = virt_to_phys(page);
	u32 i;

	for (i = 0; i < nr_visited && visited[i] != phys; i++)
		;
	if (i < nr_visited)
		visited[i] = visited[--nr_visited];
	test_put(NULL, page);
}

static const struct prmap_ops noting_ops = {
	.page_get = noting_get,
	.page_put = noting_put,
};

/* A stretch of what fill_scattered() has made goes, or gets twice as dense. */
static void change_stretch(struct prmap *map, u32 seed)
{
	u64 at = (u64)(seed * 7919 % (4 * PRMAP_LEAF_CAP)) * SCATTER;
	u32 i;

	if (seed % 3) {
		prmap_clear(map, at, (u64)PRMAP_LEAF_CAP * SCATTER);
		return;
	}
	for (i = 0; i < PRMAP_LEAF_CAP / 2; i++)
		set_run(map, at + i * SCATTER + 2, 5 + 3 * i, 1, 0, 0);
}

/*
 * Pages may be missed while the map changes, and a caller that counts knows: another walk finds
 * them, and none that went is among them.
 */
static void walk_some_beside_changes(struct kunit *test)
{
	u32 seed = 0, round, change;
	struct prmap map;
	u64 from;

	for (round = 0; round < 50; round++) {
		prmap_init(&map, PRMAP_FILE, &test_ops, NULL);
		fill_scattered(&map, 4 * PRMAP_LEAF_CAP);
		nr_visited = 0;
		map.ops = &noting_ops;
		for (from = 0; from != U64_MAX;) {
			KUNIT_ASSERT_EQ(test, prmap_walk_some(&map, &from, 1,
							      note_again, NULL), 0);
			for (change = 0; change < round; change++)
				change_stretch(&map, seed++);
		}
		KUNIT_EXPECT_LE(test, nr_visited, prmap_nr_pages(&map));
		for (from = 0; from != U64_MAX;)
			KUNIT_ASSERT_EQ(test, prmap_walk_some(&map, &from, 3,
							      note_again, NULL), 0);
		KUNIT_EXPECT_EQ(test, prmap_walk_pages(&map, find_page, NULL), 0);
		KUNIT_EXPECT_EQ(test, nr_visited, prmap_nr_pages(&map));
		prmap_destroy(&map);
		KUNIT_EXPECT_EQ(test, nr_visited, 0);
	}
}

/*
 * A leaf that the walk comes to next grows to the left, is full and is split there: its page
 * is behind the walk then.
 */
static void walk_some_misses(struct kunit *test)
{
	const u64 gap = PRMAP_BITS;
	bool changed = false;
	struct prmap map;
	u64 i, from = 0;

	prmap_init(&map, PRMAP_FILE, &test_ops, NULL);
	for (i = 0; i < 3; i++)
		set_run(&map, gap + 100 + 2 * i, 56 * i + 5, 1, 0, 0);
	/* A bitmap, then a gap, then leaves that are full. */
	for (i = 0; i < PRMAP_BITS; i += 2)
		set_run(&map, i, i + 7, 1, 0, 0);
	for (i = 3; i < 4 * PRMAP_LEAF_CAP; i++)
		set_run(&map, gap + 100 + 2 * i, 56 * i + 5, 1, 0, 0);
	nr_visited = 0;
	map.ops = &noting_ops;
	while (from != U64_MAX) {
		KUNIT_ASSERT_EQ(test, prmap_walk_some(&map, &from, 1, note_again,
						      NULL), 0);
		if (from >= gap && !changed)
			set_run(&map, gap + 50, 3, 1, 0, 0);
		changed |= from >= gap;
	}
	KUNIT_EXPECT_EQ(test, nr_visited, prmap_nr_pages(&map) - 1);
	for (from = 0; from != U64_MAX;)
		KUNIT_ASSERT_EQ(test, prmap_walk_some(&map, &from, 1, note_again,
						      NULL), 0);
	KUNIT_EXPECT_EQ(test, nr_visited, prmap_nr_pages(&map));
	prmap_destroy(&map);
}

/* A map that is committed in parts of any size is as good, and no page is summed up twice. */
static void commit_some(struct kunit *test)
{
	struct prmap_root_ser root;
	struct prmap_limits lim;
	const char *reason = "";
	struct prmap map;
	u32 nr, calls;

	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	for (nr = 1; nr < 100; nr *= 3) {
		fill_scattered(&map, 4 * PRMAP_LEAF_CAP);
		for (calls = 1; !prmap_commit_some(&map, nr); calls++)
			KUNIT_ASSERT_EQ(test, calls < MAX_PAGES, true);
		KUNIT_EXPECT_EQ(test, calls,
				(prmap_nr_pages(&map) + nr - 1) / nr);
		prmap_commit(&map, &root);
		lim = test_limits();
		KUNIT_EXPECT_EQ(test, prmap_check(&root, PRMAP_SET, &lim, &reason),
				0);
		prmap_destroy(&map);
	}
	KUNIT_EXPECT_TRUE(test, prmap_commit_some(&map, 1));
}

static void batches(struct kunit *test)
{
	struct prmap_run runs[3] = {
		{ .index = 5, .pfn = 5, .nr = 1 },
		{ .index = 9, .pfn = 9, .nr = 2 },
		{ .index = 10, .pfn = 10, .nr = 1 },
	};
	struct prmap map;
	size_t done;

	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	KUNIT_EXPECT_EQ(test, prmap_set_many(&map, runs, 3, &done), -EEXIST);
	KUNIT_EXPECT_EQ(test, done, 2);
	KUNIT_EXPECT_EQ(test, prmap_nr_keys(&map), 3);
	KUNIT_EXPECT_EQ(test, prmap_clear_many(&map, runs, 2, &done), 0);
	KUNIT_EXPECT_EQ(test, done, 2);
	expect_empty(test, &map);
}

static struct kunit_case prmap_cases[] = {
	KUNIT_CASE(set_and_clear),
	KUNIT_CASE(bad_arguments),
	KUNIT_CASE(folios_stay_whole),
	KUNIT_CASE(huge_runs),
	KUNIT_CASE(iterate),
	KUNIT_CASE(batches),
	KUNIT_CASE(walk_pages),
	KUNIT_CASE(walk_some),
	KUNIT_CASE(walk_some_beside_changes),
	KUNIT_CASE(walk_some_misses),
	KUNIT_CASE(commit_some),
	KUNIT_CASE(sizes),
	KUNIT_CASE(no_pages_left),
	KUNIT_CASE(commit_and_open),
	KUNIT_CASE(hostile_maps),
	KUNIT_CASE(refused_frame),
	KUNIT_CASE(half_a_run),
	{}
};

static struct kunit_suite prmap_suite = {
	.name = "prmap",
	.test_cases = prmap_cases,
};

kunit_test_suites(&prmap_suite);
