// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests that read what earlier kernels have handed over: a header, a record, and an
 * image of a small tree, as bytes. They say what these bytes mean; a change that lets one of
 * them fail is a change of the format.
 */
#include <kunit/test.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/preserve_codec.h>
#include <linux/stat.h>
#include <linux/string.h>
#include <uapi/linux/mount.h>

#include "../file.h"
#include "fixtures.h"

static void *copy(struct kunit *test, const void *bytes, size_t len, size_t size)
{
	u8 *room = kunit_kzalloc(test, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, room);
	memcpy(room, bytes, len);
	return room;
}

static void header_4(struct kunit *test)
{
	struct preserve_header_ser *hdr = copy(test, fixture_header, sizeof(fixture_header),
					       sizeof(*hdr));
	const char *reason = NULL;
	int err = preserve_header_check(hdr, sizeof(*hdr), &reason);

	if (pageblock_order == 9 && PAGE_SHIFT == 12)
		KUNIT_EXPECT_EQ_MSG(test, 0, err, "%s", reason);
	else
		KUNIT_EXPECT_EQ(test, -EPROTO, err);
	KUNIT_EXPECT_EQ(test, 0x101000, hdr->table[0]);
	KUNIT_EXPECT_EQ(test, 0x202000, hdr->table[1]);
	KUNIT_EXPECT_EQ(test, 7, hdr->nr_blocks);
	KUNIT_EXPECT_EQ(test, 8, hdr->want);
	KUNIT_EXPECT_EQ(test, PRESERVE_NO_MAX, hdr->max);
}

static void record_5(struct kunit *test)
{
	struct preserve_file_ser *rec = copy(test, fixture_record_begin,
					     sizeof(fixture_record_begin), sizeof(*rec));
	struct preserve_tree_extra extra;
	struct preserve_tree_reader r;
	const char *reason = NULL;

	rec->csum = FIXTURE_RECORD_CSUM;
	KUNIT_EXPECT_EQ_MSG(test, 0, preserve_record_check(rec, PRESERVE_FILE_MEMFD, &reason),
			    "%s", reason);
	KUNIT_EXPECT_STREQ(test, "memfd:fixture", rec->name);
	KUNIT_EXPECT_EQ(test, O_APPEND, rec->f_flags);
	KUNIT_EXPECT_EQ(test, 12345, rec->i_size);
	KUNIT_EXPECT_EQ(test, 77, rec->pos);
	KUNIT_EXPECT_EQ(test, F_SEAL_SEAL, rec->seals);
	KUNIT_EXPECT_EQ(test, 0640, rec->mode);
	KUNIT_EXPECT_EQ(test, 1000, rec->uid);
	KUNIT_EXPECT_EQ(test, 100, rec->gid);
	KUNIT_EXPECT_EQ(test, FS_NOATIME_FL, rec->fsflags);
	KUNIT_EXPECT_EQ(test, 1700000003, rec->times[PRESERVE_FILE_BTIME].sec);
	KUNIT_EXPECT_EQ(test, PRESERVE_FILE_NOBODY, rec->user);
	r = (struct preserve_tree_reader) {
		.at = rec->extras, .end = rec->extras + rec->extras_len,
	};
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_extra(&r, &extra));
	KUNIT_EXPECT_EQ(test, PRESERVE_EXTRA_XATTR, extra.kind);
	KUNIT_ASSERT_EQ(test, 10, extra.name_len);
	KUNIT_EXPECT_MEMEQ(test, "user.color", extra.name, 10);
	KUNIT_ASSERT_EQ(test, 4, extra.value_len);
	KUNIT_EXPECT_MEMEQ(test, "blue", extra.value, 4);
	KUNIT_EXPECT_PTR_EQ(test, r.at, r.end);
}

/* A section of the image, as a reader. */
static struct preserve_tree_reader section(struct kunit *test, u64 table, u64 no, u32 kind, u32 nr)
{
	struct preserve_section_ser head;
	const u8 *bytes;
	u64 pos;

	memcpy(&pos, fixture_image + table + no * sizeof(pos), sizeof(pos));
	KUNIT_ASSERT_LE(test, pos + sizeof(head), sizeof(fixture_image));
	memcpy(&head, fixture_image + pos, sizeof(head));
	bytes = fixture_image + pos + sizeof(head);
	KUNIT_ASSERT_TRUE(test, preserve_section_ok(&head, bytes, pos));
	KUNIT_ASSERT_EQ(test, kind, head.kind);
	KUNIT_ASSERT_EQ(test, nr, head.nr);
	return (struct preserve_tree_reader) {
		.at = bytes, .end = bytes + head.length, .epoch = 1700000000,
	};
}

static struct preserve_tree_ser *image_head(struct kunit *test)
{
	struct preserve_tree_ser *ser = copy(test, fixture_image, sizeof(*ser), sizeof(*ser));
	const char *reason = NULL;

	KUNIT_ASSERT_EQ_MSG(test, 0, preserve_tree_check(ser, sizeof(fixture_image), &reason),
			    "%s", reason);
	return ser;
}

static void image_3_beginning(struct kunit *test)
{
	const struct preserve_tree_ser *ser = image_head(test);

	KUNIT_EXPECT_EQ(test, 1, ser->nr_dirs);
	KUNIT_EXPECT_EQ(test, 1, ser->nr_links);
	KUNIT_EXPECT_EQ(test, 2, ser->nr_others);
	KUNIT_EXPECT_EQ(test, 3, ser->nr_inodes);
	KUNIT_EXPECT_EQ(test, 2, ser->used_pages);
	KUNIT_EXPECT_EQ(test, 4096, ser->used_ispace);
	KUNIT_EXPECT_EQ(test, 1000, ser->own_pages);
	KUNIT_EXPECT_EQ(test, 0, ser->own_inodes);
	KUNIT_EXPECT_EQ(test, 5, ser->next_ino);
	KUNIT_EXPECT_EQ(test, PRESERVE_TREE_LAZYTIME, ser->flags);
	KUNIT_EXPECT_EQ(test, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME, ser->mnt_attr);
	KUNIT_EXPECT_EQ(test, 33, ser->dev);
	KUNIT_EXPECT_STREQ(test, "tmpfs", ser->fs_type);
	KUNIT_EXPECT_STREQ(test, "fixture", ser->source);
}

static void image_3_root(struct kunit *test)
{
	const struct preserve_tree_ser *ser = image_head(test);
	struct preserve_tree_reader r = section(test, ser->links, 0, PRESERVE_SECTION_LINK, 1);
	struct preserve_tree_inode in;

	KUNIT_ASSERT_TRUE(test, preserve_tree_get_inode(&r, &in));
	KUNIT_EXPECT_PTR_EQ(test, r.at, r.end);
	KUNIT_EXPECT_EQ(test, S_IFDIR | 01777, in.mode);
	KUNIT_EXPECT_EQ(test, 1, in.ino);
	KUNIT_EXPECT_EQ(test, 7, in.generation);
	KUNIT_EXPECT_EQ(test, 3, in.nlink);
	KUNIT_EXPECT_EQ(test, 1, in.dir);
	KUNIT_EXPECT_EQ(test, 60, in.size);
	KUNIT_EXPECT_EQ(test, 6, in.next);
	KUNIT_EXPECT_EQ(test, 1699999990, in.mtime.tv_sec);
}

static void expect_name(struct kunit *test, const struct preserve_tree_entry *entry,
			const char *name, u64 pos)
{
	KUNIT_ASSERT_EQ(test, strlen(name), entry->name_len);
	KUNIT_EXPECT_MEMEQ(test, name, entry->name, entry->name_len);
	KUNIT_EXPECT_EQ(test, pos, entry->pos);
}

static void expect_file(struct kunit *test, struct preserve_tree_reader *r,
			const struct preserve_tree_inode *in)
{
	struct preserve_tree_reader runs = { .at = in->runs, .end = r->end };
	struct preserve_tree_runs at = {};
	struct preserve_tree_extra extra;
	struct prmap_run run;

	KUNIT_EXPECT_EQ(test, S_IFREG | 0644, in->mode);
	KUNIT_EXPECT_EQ(test, 1000, in->uid);
	KUNIT_EXPECT_EQ(test, 5000, in->size);
	KUNIT_ASSERT_EQ(test, 1, in->nr_runs);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_run(&runs, &at, &run));
	KUNIT_EXPECT_EQ(test, 0, run.index);
	KUNIT_EXPECT_EQ(test, 0x240203, run.pfn);
	KUNIT_EXPECT_EQ(test, 2, run.nr);
	KUNIT_ASSERT_EQ(test, 2, in->nr_extras);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_extra(r, &extra));
	KUNIT_EXPECT_EQ(test, PRESERVE_EXTRA_XATTR, extra.kind);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_extra(r, &extra));
	KUNIT_EXPECT_TRUE(test, extra.kind & PRESERVE_EXTRA_SKIP);
}

static void image_3_entries(struct kunit *test)
{
	const struct preserve_tree_ser *ser = image_head(test);
	struct preserve_tree_reader r = section(test, ser->dirs, 0, PRESERVE_SECTION_DIR, 3);
	struct preserve_tree_entry entry;

	KUNIT_ASSERT_TRUE(test, preserve_tree_get_entry(&r, &entry));
	expect_name(test, &entry, "hi", 3);
	expect_file(test, &r, &entry.inode);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_entry(&r, &entry));
	expect_name(test, &entry, "link", 4);
	KUNIT_EXPECT_EQ(test, S_IFLNK | 0777, entry.inode.mode);
	KUNIT_ASSERT_EQ(test, 2, entry.inode.target_len);
	KUNIT_EXPECT_MEMEQ(test, "hi", entry.inode.target, 2);
	KUNIT_EXPECT_EQ(test, 1700000001, entry.inode.ctime.tv_sec);
	KUNIT_EXPECT_EQ(test, 6, entry.inode.ctime.tv_nsec);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_entry(&r, &entry));
	expect_name(test, &entry, "dir", 5);
	KUNIT_EXPECT_EQ(test, 0, entry.inode.dir);
	KUNIT_EXPECT_EQ(test, 3, entry.inode.next);
	KUNIT_EXPECT_PTR_EQ(test, r.at, r.end);
}

static void image_3_options(struct kunit *test)
{
	const struct preserve_tree_ser *ser = image_head(test);
	struct preserve_tree_reader r = section(test, ser->others, 0,
						PRESERVE_SECTION_OPTIONS, 3);
	struct preserve_tree_option option;

	KUNIT_ASSERT_TRUE(test, preserve_tree_get_option(&r, &option));
	KUNIT_ASSERT_EQ(test, 9, option.key_len);
	KUNIT_EXPECT_MEMEQ(test, "nr_blocks", option.key, 9);
	KUNIT_ASSERT_EQ(test, 3, option.value_len);
	KUNIT_EXPECT_MEMEQ(test, "256", option.value, 3);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_option(&r, &option));
	KUNIT_EXPECT_EQ(test, PRESERVE_OPTION_SKIP, option.flags);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_option(&r, &option));
	KUNIT_EXPECT_EQ(test, 0, option.value_len);
	KUNIT_EXPECT_PTR_EQ(test, r.at, r.end);
	section(test, ser->others, 1, PRESERVE_SECTION_SKIP | 77, 1);
}

static struct kunit_case fixture_cases[] = {
	KUNIT_CASE(header_4),
	KUNIT_CASE(record_5),
	KUNIT_CASE(image_3_beginning),
	KUNIT_CASE(image_3_root),
	KUNIT_CASE(image_3_entries),
	KUNIT_CASE(image_3_options),
	{}
};

static struct kunit_suite fixture_suite = {
	.name = "preserve_fixtures",
	.test_cases = fixture_cases,
};

kunit_test_suite(fixture_suite);
