// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the preserve map: maps from a hostile kernel.
 *
 * What lives here: a table. Each case damages one thing in a committed map,
 * repairs all checksums where it says so, and names the error and the reason
 * for which the map must be refused. A refusal leaves the outputs untouched.
 */
#include "prmap_test.h"

/* Compute all checksums anew, whatever the pages say. */
static u64 repair(u64 phys, u32 level, bool bitmap, int depth)
{
	struct prmap_inner *node = phys_to_virt(phys);
	u32 i;

	if (depth > 8 || (!bitmap && node->head.nr > PRMAP_LEAF_CAP))
		return 0;
	for (i = 0; level && i < min_t(size_t, node->head.nr, PRMAP_INNER_CAP); i++) {
		struct prmap_entry *entry = &node->entry[i];
		u64 own = entry->child;

		if (own && own % PRMAP_PAGE_SIZE == 0)
			entry->sum = repair(own, level - 1,
					    entry->type == PRMAP_BITMAP,
					    depth + 1);
	}
	if (!bitmap && level && node->head.nr > PRMAP_INNER_CAP)
		return 0;
	return prmap_page_sum(node, bitmap);
}

static void repair_root(struct prmap_root_ser *root)
{
	if (root->height && root->height <= PRMAP_MAX_HEIGHT && root->top &&
	    root->top % PRMAP_PAGE_SIZE == 0)
		root->top_sum = repair(root->top, root->height - 1, false, 0);
	root->sum = prmap_root_sum(root);
}

static struct prmap_inner *top_of(struct prmap_root_ser *root)
{
	return phys_to_virt(root->top);
}

/* First leaf of a type. */
static void *leaf_of(struct prmap_root_ser *root, u8 type)
{
	struct prmap_inner *node = top_of(root);
	u32 level, i;

	for (level = root->height - 1; level > 1; level--)
		node = phys_to_virt(node->entry[0].child);
	for (i = 0; level && i < node->head.nr; i++)
		if (node->entry[i].type == type)
			return phys_to_virt(node->entry[i].child);
	return node;
}

static struct prmap_entry *entry_of(struct prmap_root_ser *root, u8 type)
{
	struct prmap_inner *node = top_of(root);
	u32 level, i;

	for (level = root->height - 1; level > 1; level--)
		node = phys_to_virt(node->entry[0].child);
	for (i = 0; i < node->head.nr; i++)
		if (node->entry[i].type == type)
			return &node->entry[i];
	return &node->entry[0];
}

static void bad_magic(struct prmap_root_ser *root)
{
	root->magic++;
}

static void bad_version(struct prmap_root_ser *root)
{
	root->version++;
}

static void bad_kind(struct prmap_root_ser *root)
{
	root->kind = PRMAP_FILE;
}

static void bad_page_size(struct prmap_root_ser *root)
{
	root->page_size *= 2;
}

static void bad_root_sum(struct prmap_root_ser *root)
{
	root->nr_keys++;
}

static void bad_height(struct prmap_root_ser *root)
{
	root->height = 255;
}

static void bad_root_reserved(struct prmap_root_ser *root)
{
	root->reserved = 1;
}

static void bad_empty(struct prmap_root_ser *root)
{
	root->height = 0;
}

static void bad_level(struct prmap_root_ser *root)
{
	root->height--;
}

static void bad_keys(struct prmap_root_ser *root)
{
	root->nr_keys++;
}

static void bad_runs(struct prmap_root_ser *root)
{
	root->nr_runs--;
}

static void bad_more_pages(struct prmap_root_ser *root)
{
	root->nr_pages--;
}

static void bad_fewer_pages(struct prmap_root_ser *root)
{
	root->nr_pages++;
}

static void bad_top(struct prmap_root_ser *root)
{
	root->top = 0;
}

static void bad_alignment(struct prmap_root_ser *root)
{
	entry_of(root, PRMAP_RUNS)->child += 8;
}

static void bad_address(struct prmap_root_ser *root)
{
	static u64 page[2 * PRMAP_PAGE_SIZE / 8];
	u64 phys = virt_to_phys(page) + PRMAP_PAGE_SIZE - 1;

	root->top = phys & ~(u64)(PRMAP_PAGE_SIZE - 1);
}

static void bad_bit(struct prmap_root_ser *root)
{
	u64 *bits = leaf_of(root, PRMAP_BITMAP);

	bits[3] ^= 2;
}

static void bad_word(struct prmap_root_ser *root)
{
	struct prmap_leaf *leaf = leaf_of(root, PRMAP_RUNS);

	leaf->word[0] ^= 1;
}

static void bad_page_version(struct prmap_root_ser *root)
{
	struct prmap_leaf *leaf = leaf_of(root, PRMAP_RUNS);

	leaf->head.version = 7;
}

static void bad_page_magic(struct prmap_root_ser *root)
{
	top_of(root)->head.magic = 0;
}

static void bad_page_level(struct prmap_root_ser *root)
{
	top_of(root)->head.level = 5;
}

static void bad_nr_zero(struct prmap_root_ser *root)
{
	struct prmap_leaf *leaf = leaf_of(root, PRMAP_RUNS);

	leaf->head.nr = 0;
}

static void bad_nr_many(struct prmap_root_ser *root)
{
	struct prmap_leaf *leaf = leaf_of(root, PRMAP_RUNS);

	leaf->head.nr = 0x10000000;
}

static void bad_loop(struct prmap_root_ser *root)
{
	top_of(root)->entry[0].child = root->top;
}

static void bad_shared_bitmap(struct prmap_root_ser *root)
{
	struct prmap_entry *entry = entry_of(root, PRMAP_BITMAP);

	entry[1].child = entry[0].child;
	entry[1].nr_keys = entry[0].nr_keys;
	entry[1].nr_runs = entry[0].nr_runs;
}

static void bad_order_of_runs(struct prmap_root_ser *root)
{
	struct prmap_leaf *leaf = leaf_of(root, PRMAP_RUNS);
	u64 word = leaf->word[1];

	leaf->word[1] = leaf->word[2];
	leaf->word[2] = word;
}

static void bad_overlap(struct prmap_root_ser *root)
{
	struct prmap_leaf *leaf = leaf_of(root, PRMAP_RUNS);

	leaf->word[0] |= 0x3ffULL << 13;
}

static void bad_extension(struct prmap_root_ser *root)
{
	struct prmap_leaf *leaf = leaf_of(root, PRMAP_RUNS);

	leaf->word[0] |= 1ULL << 23;
}

static void bad_length(struct prmap_root_ser *root)
{
	struct prmap_leaf *leaf = leaf_of(root, PRMAP_RUNS);
	u32 last = leaf->head.nr - 1;

	/* Order 31 and all the length there is: more than 64 bits. */
	leaf->word[last - 1] |= 0x3ffULL << 13 | 31 << 8;
	leaf->word[last] = (leaf->word[last - 1] & ~0xffffffULL) | 0xffffff;
}

static void bad_misaligned(struct prmap_root_ser *root)
{
	struct prmap_leaf *leaf = leaf_of(root, PRMAP_RUNS);

	leaf->word[1] |= 1 << 8;
}

static void bad_coverage(struct prmap_root_ser *root)
{
	struct prmap_inner *node = top_of(root);

	node->entry[1].key = node->entry[0].key + 1;
}

static void bad_key_order(struct prmap_root_ser *root)
{
	struct prmap_inner *node = top_of(root);

	node->entry[1].key = U64_MAX;
}

static void bad_type(struct prmap_root_ser *root)
{
	top_of(root)->entry[0].type = 9;
}

static void bad_dirty(struct prmap_root_ser *root)
{
	top_of(root)->entry[0].dirty = 1;
}

static void bad_bitmap_counts(struct prmap_root_ser *root)
{
	entry_of(root, PRMAP_BITMAP)->nr_keys++;
}

static void bad_bitmap_delta(struct prmap_root_ser *root)
{
	entry_of(root, PRMAP_BITMAP)->delta = 5;
}

static void bad_bitmap_order(struct prmap_root_ser *root)
{
	entry_of(root, PRMAP_BITMAP)->order = 3;
}

static void bad_bitmap_order_width(struct prmap_root_ser *root)
{
	entry_of(root, PRMAP_BITMAP)->order = 200;
}

static void bad_entry_reserved(struct prmap_root_ser *root)
{
	entry_of(root, PRMAP_RUNS)->nr_runs = 1;
}

/* The same bytes at another address, with all checksums but the page's own. */
static void bad_place(struct prmap_root_ser *root)
{
	struct prmap_entry *entry = entry_of(root, PRMAP_RUNS);
	void *page = test_ops.page_get(NULL);

	memcpy(page, phys_to_virt(entry->child), PRMAP_PAGE_SIZE);
	entry->child = virt_to_phys(page);
	root->top_sum = prmap_page_sum(top_of(root), false);
	root->sum = prmap_root_sum(root);
}

static void limit_order(struct prmap_limits *lim)
{
	lim->max_order = 2;
}

static void limit_index(struct prmap_limits *lim)
{
	lim->max_index = 40;
}

static void limit_max_pfn(struct prmap_limits *lim)
{
	lim->max_pfn = 40;
}

static void limit_min_pfn(struct prmap_limits *lim)
{
	lim->min_pfn = 1;
}

/* One leaf, several run leaves, two bitmaps. */
enum shape { ONE, RUNS, BITS };

static void fill(struct prmap *map, enum shape shape)
{
	if (shape == BITS)
		fill_dense(map, 2 * PRMAP_BITS);
	else
		fill_scattered(map, shape == ONE ? PRMAP_LEAF_CAP / 2 :
						   2 * PRMAP_LEAF_CAP);
}

struct hostile {
	const char *name;
	enum shape shape;
	void (*damage)(struct prmap_root_ser *root);
	void (*limit)(struct prmap_limits *lim);
	bool repair;
	int err;
	const char *reason;
};

static const struct hostile hostile[] = {
	{ "magic", RUNS, bad_magic, NULL, true, -EINVAL, "not a map" },
	{ "version", RUNS, bad_version, NULL, true, -EPROTO,
	  "unknown version of the map" },
	{ "kind", RUNS, bad_kind, NULL, true, -EPROTO, "map of another kind" },
	{ "page size", RUNS, bad_page_size, NULL, true, -EPROTO,
	  "unknown page size" },
	{ "root sum", RUNS, bad_root_sum, NULL, false, -EBADMSG,
	  "wrong checksum of the root" },
	{ "height", RUNS, bad_height, NULL, true, -EINVAL, "tree too high" },
	{ "root reserved", RUNS, bad_root_reserved, NULL, true, -EINVAL,
	  "reserved field in use" },
	{ "empty", RUNS, bad_empty, NULL, true, -EINVAL,
	  "empty map with a page" },
	{ "level", RUNS, bad_level, NULL, true, -EINVAL,
	  "page of another kind or level" },
	{ "keys", RUNS, bad_keys, NULL, true, -EINVAL, "wrong number of keys" },
	{ "runs", RUNS, bad_runs, NULL, true, -EINVAL, "wrong number of runs" },
	{ "more pages", RUNS, bad_more_pages, NULL, true, -EINVAL,
	  "more pages than counted" },
	{ "fewer pages", RUNS, bad_fewer_pages, NULL, true, -EINVAL,
	  "fewer pages than counted" },
	{ "no top", RUNS, bad_top, NULL, true, -EINVAL,
	  "misaligned page address" },
	{ "alignment", RUNS, bad_alignment, NULL, true, -EINVAL,
	  "misaligned page address" },
	{ "address", ONE, bad_address, NULL, true, -EINVAL,
	  "page address not allowed" },
	{ "bit", BITS, bad_bit, NULL, false, -EBADMSG,
	  "wrong checksum of a page" },
	{ "word", RUNS, bad_word, NULL, false, -EBADMSG,
	  "wrong checksum of a page" },
	{ "page version", RUNS, bad_page_version, NULL, true, -EPROTO,
	  "unknown version of a page" },
	{ "page magic", RUNS, bad_page_magic, NULL, true, -EINVAL,
	  "not a map page" },
	{ "page level", RUNS, bad_page_level, NULL, true, -EINVAL,
	  "page of another kind or level" },
	{ "no words", ONE, bad_nr_zero, NULL, true, -EINVAL,
	  "number of entries out of bounds" },
	{ "truncated", RUNS, bad_nr_many, NULL, true, -EINVAL,
	  "number of entries out of bounds" },
	{ "loop", RUNS, bad_loop, NULL, true, -EINVAL,
	  "page address not allowed" },
	{ "shared bitmap", BITS, bad_shared_bitmap, NULL, true, -EINVAL,
	  "page address not allowed" },
	{ "order of runs", ONE, bad_order_of_runs, NULL, true, -EINVAL,
	  "runs overlap or are out of order" },
	{ "overlap", ONE, bad_overlap, NULL, true, -EINVAL,
	  "runs overlap or are out of order" },
	{ "extension", ONE, bad_extension, NULL, true, -EINVAL,
	  "malformed run" },
	{ "length", ONE, bad_length, NULL, true, -EINVAL, "malformed run" },
	{ "misaligned", ONE, bad_misaligned, NULL, true, -EINVAL,
	  "misaligned run" },
	{ "coverage", BITS, bad_coverage, NULL, true, -EINVAL,
	  "run outside of its leaf" },
	{ "key order", RUNS, bad_key_order, NULL, true, -EINVAL,
	  "keys out of order" },
	{ "type", RUNS, bad_type, NULL, true, -EINVAL, "unknown type of page" },
	{ "dirty", RUNS, bad_dirty, NULL, true, -EINVAL,
	  "reserved field in use" },
	{ "bitmap counts", BITS, bad_bitmap_counts, NULL, true, -EINVAL,
	  "wrong counts of a bitmap" },
	{ "bitmap delta", BITS, bad_bitmap_delta, NULL, true, -EINVAL,
	  "frame differs from index" },
	{ "bitmap order", BITS, bad_bitmap_order, NULL, true, -EINVAL,
	  "misaligned run" },
	{ "bitmap order width", BITS, bad_bitmap_order_width, NULL, true,
	  -EINVAL, "order out of bounds" },
	{ "entry reserved", RUNS, bad_entry_reserved, NULL, true, -EINVAL,
	  "reserved field in use" },
	{ "place", RUNS, bad_place, NULL, false, -EBADMSG,
	  "wrong checksum of a page" },
	{ "order", BITS, bad_bitmap_order, limit_order, true, -EINVAL,
	  "order out of bounds" },
	{ "index", RUNS, NULL, limit_index, true, -EINVAL,
	  "index out of bounds" },
	{ "frame above", RUNS, NULL, limit_max_pfn, true, -EINVAL,
	  "frame out of bounds" },
	{ "frame below", BITS, NULL, limit_min_pfn, true, -EINVAL,
	  "frame out of bounds" },
};

static void run_hostile(struct kunit *test, const struct hostile *h)
{
	struct prmap_root_ser root;
	struct prmap_limits lim;
	struct prmap map, other;
	const char *reason = "";
	u32 i;
	int err;

	prmap_init(&map, PRMAP_SET, &test_ops, NULL);
	fill(&map, h->shape);
	prmap_commit(&map, &root);
	if (h->damage)
		h->damage(&root);
	if (h->repair)
		repair_root(&root);
	lim = test_limits();
	if (h->limit)
		h->limit(&lim);
	memset(&other, 0x77, sizeof(other));
	err = prmap_open(&other, &root, PRMAP_SET, &test_ops, NULL, &lim,
			 &reason);
	if (err != h->err || strcmp(reason, h->reason))
		kunit_info(test, "%s: %d %s", h->name, err, reason);
	KUNIT_EXPECT_EQ(test, err, h->err);
	KUNIT_EXPECT_STREQ(test, reason, h->reason);
	for (i = 0; i < sizeof(other); i++)
		KUNIT_EXPECT_EQ(test, ((u8 *)&other)[i], 0x77);
	while (used.nr)
		test_put(NULL, used.page[0]);
}

void hostile_maps(struct kunit *test)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(hostile); i++)
		run_hostile(test, &hostile[i]);
}
