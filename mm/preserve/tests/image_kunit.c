// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the checks on an image's beginning and on sections: each field that can
 * be wrong is made wrong in a committed original, and has to be refused for that very
 * reason.
 */
#include <kunit/test.h>
#include <linux/limits.h>
#include <linux/stat.h>
#include <linux/string.h>
#include <uapi/linux/mount.h>

#include <linux/preserve_codec.h>

#define LENGTH	4096

static struct preserve_tree_ser *good_tree(struct kunit *test)
{
	struct preserve_tree_ser *tree = kunit_kzalloc(test, sizeof(*tree),
						       GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, tree);
	tree->length = LENGTH;
	tree->dirs = LENGTH - 24;
	tree->nr_dirs = 2;
	tree->links = LENGTH - 8;
	tree->nr_links = 1;
	tree->others = LENGTH - 32;
	tree->nr_others = 1;
	tree->nr_inodes = 3;
	tree->used_pages = 10;
	tree->used_ispace = 4096;
	tree->mnt_attr = MOUNT_ATTR_NOSUID;
	strscpy(tree->fs_type, "tmpfs", sizeof(tree->fs_type));
	strscpy(tree->source, "tmpfs", sizeof(tree->source));
	preserve_tree_commit(tree);
	return tree;
}

static void expect_tree(struct kunit *test, const struct preserve_tree_ser *tree,
			int err, const char *why)
{
	const char *reason = NULL;

	KUNIT_EXPECT_EQ(test, err, preserve_tree_check(tree, LENGTH, &reason));
	KUNIT_EXPECT_STREQ(test, why ?: "", reason ?: "");
}

static void tree_refuses_any_flipped_bit(struct kunit *test)
{
	struct preserve_tree_ser *tree = good_tree(test);
	u8 *bytes = (u8 *)tree;
	const char *reason;
	size_t i;

	expect_tree(test, tree, 0, NULL);
	for (i = 0; i < sizeof(*tree); i++) {
		bytes[i] ^= 0x10;
		KUNIT_EXPECT_NE_MSG(test, 0,
				    preserve_tree_check(tree, LENGTH, &reason),
				    "byte %zu", i);
		bytes[i] ^= 0x10;
	}
	expect_tree(test, tree, 0, NULL);
}

static void tree_refuses_version(struct kunit *test)
{
	struct preserve_tree_ser *tree = good_tree(test);

	tree->version++;
	expect_tree(test, tree, -EPROTO, "version of the tree unknown");
	tree->version--;
	tree->size++;
	expect_tree(test, tree, -EPROTO, "version of the tree unknown");
	tree->magic++;
	expect_tree(test, tree, -EBADMSG, "no tree");
}

/* Sealed again after the change, so that the check behind the sum is hit. */
#define TREE_REFUSES(_name, _stmt, _why)				\
static void tree_refuses_##_name(struct kunit *test)			\
{									\
	struct preserve_tree_ser *tree = good_tree(test);		\
									\
	_stmt;								\
	preserve_tree_commit(tree);					\
	expect_tree(test, tree, -EBADMSG, _why);			\
}

TREE_REFUSES(length, tree->length++, "image truncated")
TREE_REFUSES(dirs, tree->dirs = sizeof(*tree) - 1, "table out of bounds")
TREE_REFUSES(dirs_end, tree->dirs = U64_MAX, "table out of bounds")
TREE_REFUSES(nr_dirs, tree->nr_dirs = 4, "table out of bounds")
TREE_REFUSES(nr_dirs_large, tree->nr_dirs = U64_MAX, "table out of bounds")
TREE_REFUSES(links, tree->links = LENGTH - 7, "table out of bounds")
TREE_REFUSES(nr_links, tree->nr_links = 1ULL << 61, "table out of bounds")
TREE_REFUSES(no_links, tree->nr_links = 0, "table out of bounds")
TREE_REFUSES(others, tree->others = LENGTH + 1, "table out of bounds")
TREE_REFUSES(nr_others, tree->nr_others = 5, "table out of bounds")
TREE_REFUSES(many_others, {
	tree->others = sizeof(*tree);
	tree->nr_others = PRESERVE_TREE_MAX_OTHERS + 1;
}, "table out of bounds")
TREE_REFUSES(used_pages, tree->used_pages = (u64)LONG_MAX + 1, "usage out of bounds")
TREE_REFUSES(used_ispace, tree->used_ispace = U64_MAX, "usage out of bounds")
TREE_REFUSES(nr_inodes, tree->nr_inodes = LENGTH + 1,
	     "number of inodes out of bounds")
TREE_REFUSES(dev, tree->dev = 1U << 20, "device number out of range")
TREE_REFUSES(reserved, tree->reserved = 1, "device number out of range")
TREE_REFUSES(fs_type, memset(tree->fs_type, 't', sizeof(tree->fs_type)),
	     "text without an end")
TREE_REFUSES(source, memset(tree->source, 's', sizeof(tree->source)),
	     "text without an end")

static void tree_refuses_flags(struct kunit *test)
{
	struct preserve_tree_ser *tree = good_tree(test);

	tree->flags = PRESERVE_TREE_FLAGS + 1;
	preserve_tree_commit(tree);
	expect_tree(test, tree, -EPROTO, "flags unknown");
	tree->flags = 0;
	tree->mnt_attr = MOUNT_ATTR_IDMAP;
	preserve_tree_commit(tree);
	expect_tree(test, tree, -EPROTO, "flags unknown");
}

/* What is not known does not matter, or does. */
static void tree_knows_features(struct kunit *test)
{
	struct preserve_tree_ser *tree = good_tree(test);
	unsigned int bit;
	bool known;

	for (bit = 0; bit < 64; bit++) {
		tree->compat = 1ULL << bit;
		preserve_tree_commit(tree);
		expect_tree(test, tree, 0, NULL);
		tree->compat = 0;
		tree->incompat = 1ULL << bit;
		known = tree->incompat & PRESERVE_TREE_INCOMPAT;
		preserve_tree_commit(tree);
		expect_tree(test, tree, known ? 0 : -EPROTO, known ? NULL : "features unknown");
		tree->incompat = 0;
	}
}

static void section_refuses_any_flipped_bit(struct kunit *test)
{
	struct {
		struct preserve_section_ser sec;
		u8 bytes[24];
	} s = { .sec = { .kind = PRESERVE_SECTION_DIR, .no = 7, .nr = 1,
			 .length = sizeof(s.bytes) } };
	u8 *all = (u8 *)&s;
	size_t i;

	preserve_section_commit(&s.sec, s.bytes, 448);
	KUNIT_EXPECT_TRUE(test, preserve_section_ok(&s.sec, s.bytes, 448));
	KUNIT_EXPECT_FALSE(test, preserve_section_ok(&s.sec, s.bytes, 449));
	for (i = 0; i < sizeof(s); i++) {
		/* The caller has looked at the length. */
		if (i >= offsetof(struct preserve_section_ser, length) &&
		    i < offsetofend(struct preserve_section_ser, length))
			continue;
		all[i] ^= 1;
		KUNIT_EXPECT_FALSE_MSG(test,
				       preserve_section_ok(&s.sec, s.bytes, 448),
				       "byte %zu", i);
		all[i] ^= 1;
	}
	s.sec.length--;
	KUNIT_EXPECT_FALSE(test, preserve_section_ok(&s.sec, s.bytes, 448));
}

static struct kunit_case image_cases[] = {
	KUNIT_CASE(tree_refuses_any_flipped_bit),
	KUNIT_CASE(tree_refuses_version),
	KUNIT_CASE(tree_refuses_length),
	KUNIT_CASE(tree_refuses_dirs),
	KUNIT_CASE(tree_refuses_dirs_end),
	KUNIT_CASE(tree_refuses_nr_dirs),
	KUNIT_CASE(tree_refuses_nr_dirs_large),
	KUNIT_CASE(tree_refuses_links),
	KUNIT_CASE(tree_refuses_nr_links),
	KUNIT_CASE(tree_refuses_no_links),
	KUNIT_CASE(tree_refuses_others),
	KUNIT_CASE(tree_refuses_nr_others),
	KUNIT_CASE(tree_refuses_many_others),
	KUNIT_CASE(tree_refuses_flags),
	KUNIT_CASE(tree_refuses_used_pages),
	KUNIT_CASE(tree_refuses_used_ispace),
	KUNIT_CASE(tree_refuses_nr_inodes),
	KUNIT_CASE(tree_refuses_dev),
	KUNIT_CASE(tree_refuses_reserved),
	KUNIT_CASE(tree_refuses_fs_type),
	KUNIT_CASE(tree_refuses_source),
	KUNIT_CASE(tree_knows_features),
	KUNIT_CASE(section_refuses_any_flipped_bit),
	{}
};

static struct kunit_suite image_suite = {
	.name = "preserve_image",
	.test_cases = image_cases,
};

kunit_test_suite(image_suite);
