// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the checks on handed-over records: each field that can be wrong is made
 * wrong in a committed original, and has to be refused for that very reason.
 */
#include <kunit/test.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/rw_hint.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/time64.h>

#include "../file.h"

static struct preserve_file_ser *good_record(struct kunit *test)
{
	struct preserve_file_ser *rec = kunit_kzalloc(test, sizeof(*rec),
						      GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, rec);
	rec->kind = PRESERVE_FILE_MEMFD;
	rec->i_size = 12345;
	rec->pos = 77;
	rec->mode = 0777;
	rec->f_flags = O_APPEND;
	strscpy(rec->name, "memfd:test", sizeof(rec->name));
	rec->name_len = strlen(rec->name);
	preserve_record_commit(rec);
	return rec;
}

static void expect_record(struct kunit *test,
			  const struct preserve_file_ser *rec, int err,
			  const char *why)
{
	const char *reason = NULL;

	KUNIT_EXPECT_EQ(test, err, preserve_record_check(rec,
							 PRESERVE_FILE_MEMFD,
							 &reason));
	KUNIT_EXPECT_STREQ(test, why ?: "", reason ?: "");
}

static void record_accepts_committed(struct kunit *test)
{
	struct preserve_file_ser *rec = good_record(test);

	expect_record(test, rec, 0, NULL);

	/* A name may fill its field to the last byte but one. */
	memset(rec->name, 'n', PRESERVE_FILE_MAX_NAME);
	rec->name_len = PRESERVE_FILE_MAX_NAME;
	preserve_record_commit(rec);
	expect_record(test, rec, 0, NULL);
}

static void record_refuses_any_flipped_bit(struct kunit *test)
{
	struct preserve_file_ser *rec = good_record(test);
	const char *reason;
	u8 *bytes = (u8 *)rec;

	for (size_t i = 0; i < sizeof(*rec); i++) {
		bytes[i] ^= 0x10;
		KUNIT_EXPECT_NE_MSG(test, 0,
				    preserve_record_check(rec,
							  PRESERVE_FILE_MEMFD,
							  &reason),
				    "byte %zu", i);
		bytes[i] ^= 0x10;
	}
	expect_record(test, rec, 0, NULL);
}

static void record_knows_features(struct kunit *test)
{
	struct preserve_file_ser *rec = good_record(test);

	rec->compat = ~0ULL;
	preserve_record_commit(rec);
	expect_record(test, rec, 0, NULL);
	rec->incompat = 1ULL << 63;
	preserve_record_commit(rec);
	expect_record(test, rec, -EPROTO, "record features unknown");
}

static void record_refuses_version(struct kunit *test)
{
	struct preserve_file_ser *rec = good_record(test);

	rec->version++;
	expect_record(test, rec, -EPROTO, "record version unknown");
}

static void record_refuses_kind(struct kunit *test)
{
	struct preserve_file_ser *rec = good_record(test);

	rec->kind = 99;
	preserve_record_commit(rec);
	expect_record(test, rec, -EPROTO, "record of another kind");
}

static void record_refuses_given_up(struct kunit *test)
{
	struct preserve_file_ser *rec = good_record(test);

	rec->kind |= PRESERVE_FILE_GIVEN_UP;
	preserve_record_commit(rec);
	expect_record(test, rec, -EBADMSG, "given up by the last kernel");
}

/* Sealed again after the change, so that the check behind the sum is hit. */
#define REFUSES(_name, _stmt, _why)					\
static void record_refuses_##_name(struct kunit *test)			\
{									\
	struct preserve_file_ser *rec = good_record(test);		\
									\
	_stmt;								\
	preserve_record_commit(rec);					\
	expect_record(test, rec, -EBADMSG, _why);			\
}

REFUSES(size, rec->i_size = (u64)MAX_LFS_FILESIZE + 1,
	"file size out of range")
REFUSES(pos, rec->pos = U64_MAX, "file position out of range")
REFUSES(f_flags, rec->f_flags |= O_PATH, "file flags unknown")
REFUSES(mode, rec->mode |= S_IFDIR, "mode out of range")
REFUSES(name_len, rec->name_len++, "name broken")
REFUSES(name_end, memset(rec->name, 'n', sizeof(rec->name)), "name broken")
REFUSES(uid, rec->uid = (u32)-1, "owner out of range")
REFUSES(gid, rec->gid = (u32)-1, "owner out of range")
REFUSES(nsec, rec->times[PRESERVE_FILE_BTIME].nsec = NSEC_PER_SEC, "time out of range")
REFUSES(huge_order, rec->huge_order = 9, "page size out of range")
REFUSES(write_hint, rec->write_hint = WRITE_LIFE_EXTREME + 1, "write hint unknown")
REFUSES(extras, rec->extras_len = PRESERVE_FILE_EXTRAS + 1, "extras out of bounds")

static struct kunit_case record_cases[] = {
	KUNIT_CASE(record_accepts_committed),
	KUNIT_CASE(record_refuses_any_flipped_bit),
	KUNIT_CASE(record_knows_features),
	KUNIT_CASE(record_refuses_version),
	KUNIT_CASE(record_refuses_kind),
	KUNIT_CASE(record_refuses_given_up),
	KUNIT_CASE(record_refuses_size),
	KUNIT_CASE(record_refuses_pos),
	KUNIT_CASE(record_refuses_f_flags),
	KUNIT_CASE(record_refuses_mode),
	KUNIT_CASE(record_refuses_name_len),
	KUNIT_CASE(record_refuses_name_end),
	KUNIT_CASE(record_refuses_uid),
	KUNIT_CASE(record_refuses_gid),
	KUNIT_CASE(record_refuses_nsec),
	KUNIT_CASE(record_refuses_huge_order),
	KUNIT_CASE(record_refuses_write_hint),
	KUNIT_CASE(record_refuses_extras),
	{}
};

static struct kunit_suite record_suite = {
	.name = "preserve_record",
	.test_cases = record_cases,
};

kunit_test_suite(record_suite);
