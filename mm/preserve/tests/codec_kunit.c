// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the bytes of an image: what is written is read again, and what
 * is cut off, changed at random or forged is refused, without a look behind its end.
 *
 * Bytes to be read are in an allocation of just their length, so that KASAN sees one
 * that is read too far.
 */
#include <kunit/test.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/prandom.h>
#include <linux/rw_hint.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/string.h>
#include <linux/xattr.h>

#include <linux/preserve_codec.h>

#define SEED		20260101
#define EPOCH		1700000000LL
#define NR_MUTATIONS	4000
#define MAX_INDEX	((MAX_LFS_FILESIZE >> PAGE_SHIFT) + 1)

/* A writer whose bytes the test frees. */
static void writer_free(void *w)
{
	kvfree(((struct preserve_tree_writer *)w)->buf);
}

static struct preserve_tree_writer *writer(struct kunit *test)
{
	struct preserve_tree_writer *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, writer_free, w));
	w->epoch = EPOCH;
	return w;
}

static struct preserve_tree_reader reader(const u8 *bytes, size_t len)
{
	return (struct preserve_tree_reader) {
		.at = bytes, .end = bytes + len, .epoch = EPOCH,
	};
}

static struct preserve_tree_reader reread(const struct preserve_tree_writer *w)
{
	return reader(w->buf, w->len);
}

/* A file of today, one run. */
static struct preserve_tree_inode file(void)
{
	const struct timespec64 now = { .tv_sec = EPOCH - 100, .tv_nsec = 123456789 };

	return (struct preserve_tree_inode) {
		.mode = S_IFREG | 0644, .nlink = 1, .seals = F_SEAL_SEAL,
		.ino = 4711, .generation = 0x89abcdef,
		.mtime = now, .ctime = now, .atime = now, .btime = now,
		.size = 5000, .nr_pages = 2, .nr_runs = 1,
	};
}

static const struct prmap_run one_run = { .pfn = 0x12345, .nr = 2 };

static struct preserve_tree_inode other(u32 type)
{
	struct preserve_tree_inode in = file();

	in.mode = type | 0755;
	in.nlink = S_ISDIR(type) ? 2 : 1;
	in.size = 0;
	in.nr_pages = 0;
	in.nr_runs = 0;
	return in;
}

static struct preserve_tree_inode good_inode(u32 type)
{
	return S_ISREG(type) ? file() : other(type);
}

static void put_file(struct preserve_tree_writer *w,
		     const struct preserve_tree_inode *in)
{
	struct preserve_tree_runs at = {};
	u64 i;

	preserve_tree_put_inode(w, in);
	for (i = 0; i < in->nr_runs; i++)
		preserve_tree_put_run(w, &at, &one_run);
}

static void put_name(struct preserve_tree_writer *w, const char *name, u64 pos)
{
	preserve_tree_put_text(w, name, strlen(name));
	preserve_tree_put(w, pos);
	preserve_tree_put(w, PRESERVE_ENTRY_INODE);
}

/* --- there and back --- */

static void numbers(struct kunit *test)
{
	static const u64 values[] = {
		0, 1, 127, 128, 16383, 16384, U32_MAX, 1ULL << 32, S64_MAX,
		1ULL << 63, U64_MAX - 1, U64_MAX,
	};
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_reader r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++)
		preserve_tree_put(w, values[i]);
	r = reread(w);
	for (i = 0; i < ARRAY_SIZE(values); i++)
		KUNIT_EXPECT_EQ(test, values[i], preserve_tree_get(&r));
	KUNIT_EXPECT_FALSE(test, r.bad);
	KUNIT_EXPECT_PTR_EQ(test, r.at, r.end);
	KUNIT_EXPECT_EQ(test, 0, preserve_tree_get(&r));
	KUNIT_EXPECT_TRUE(test, r.bad);
}

static void numbers_too_large(struct kunit *test)
{
	static const u8 longer[] = {
		0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00
	};
	static const u8 larger[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02
	};
	struct preserve_tree_reader r = reader(longer, sizeof(longer));

	KUNIT_EXPECT_EQ(test, 0, preserve_tree_get(&r));
	KUNIT_EXPECT_TRUE(test, r.bad);
	r = reader(larger, sizeof(larger));
	KUNIT_EXPECT_EQ(test, 0, preserve_tree_get(&r));
	KUNIT_EXPECT_TRUE(test, r.bad);
}

static void expect_time(struct kunit *test, const struct timespec64 *a,
			const struct timespec64 *b)
{
	KUNIT_EXPECT_EQ(test, a->tv_sec, b->tv_sec);
	KUNIT_EXPECT_EQ(test, a->tv_nsec, b->tv_nsec);
}

static void expect_inode(struct kunit *test, const struct preserve_tree_inode *a,
			 const struct preserve_tree_inode *b)
{
	KUNIT_EXPECT_EQ(test, a->mode, b->mode);
	KUNIT_EXPECT_EQ(test, a->uid, b->uid);
	KUNIT_EXPECT_EQ(test, a->gid, b->gid);
	KUNIT_EXPECT_EQ(test, a->nlink, b->nlink);
	KUNIT_EXPECT_EQ(test, a->rdev, b->rdev);
	KUNIT_EXPECT_EQ(test, a->fsflags, b->fsflags);
	KUNIT_EXPECT_EQ(test, a->seals, b->seals);
	KUNIT_EXPECT_EQ(test, a->version, b->version);
	KUNIT_EXPECT_EQ(test, a->write_hint, b->write_hint);
	KUNIT_EXPECT_EQ(test, a->record, b->record);
	KUNIT_EXPECT_EQ(test, a->ino, b->ino);
	KUNIT_EXPECT_EQ(test, a->generation, b->generation);
	expect_time(test, &a->mtime, &b->mtime);
	expect_time(test, &a->ctime, &b->ctime);
	expect_time(test, &a->atime, &b->atime);
	expect_time(test, &a->btime, &b->btime);
	KUNIT_EXPECT_EQ(test, a->size, b->size);
	KUNIT_EXPECT_EQ(test, a->nr_pages, b->nr_pages);
	KUNIT_EXPECT_EQ(test, a->nr_runs, b->nr_runs);
	KUNIT_EXPECT_EQ(test, a->dir, b->dir);
	KUNIT_EXPECT_EQ(test, a->next, b->next);
	KUNIT_EXPECT_EQ(test, a->nr_extras, b->nr_extras);
}

static void there_and_back(struct kunit *test, const struct preserve_tree_inode *in)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_reader r;
	struct preserve_tree_inode back;

	put_file(w, in);
	if (in->nr_extras)
		preserve_tree_put(w, in->nr_extras);
	KUNIT_ASSERT_EQ(test, 0, w->err);
	r = reread(w);
	KUNIT_EXPECT_TRUE(test, preserve_tree_get_inode(&r, &back));
	KUNIT_EXPECT_PTR_EQ(test, r.at, r.end);
	expect_inode(test, in, &back);
}

static struct preserve_tree_inode extreme(u32 type)
{
	struct preserve_tree_inode in = other(type);

	in.mode = type | 07777;
	in.uid = U32_MAX - 1;
	in.gid = U32_MAX - 1;
	in.nlink = U32_MAX;
	in.rdev = U32_MAX;
	in.fsflags = U32_MAX;
	in.seals = 0;
	in.ino = U64_MAX;
	in.generation = U32_MAX;
	in.mtime = (struct timespec64) { .tv_sec = S64_MAX, .tv_nsec = 999999999 };
	in.ctime = (struct timespec64) { .tv_sec = S64_MIN, .tv_nsec = 1 };
	in.atime = (struct timespec64) { .tv_sec = 0, .tv_nsec = 0 };
	in.btime = (struct timespec64) { .tv_sec = -1, .tv_nsec = 999999999 };
	in.nr_extras = U32_MAX;
	in.version = U64_MAX;
	in.write_hint = WRITE_LIFE_EXTREME;
	return in;
}

static void inodes(struct kunit *test)
{
	static const u32 types[] = {
		S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK
	};
	struct preserve_tree_inode in = file();
	size_t i;

	there_and_back(test, &in);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		in = other(types[i]);
		there_and_back(test, &in);
		in = extreme(types[i]);
		there_and_back(test, &in);
	}
	in = extreme(S_IFREG);
	in.size = MAX_LFS_FILESIZE;
	there_and_back(test, &in);
	in.record = U64_MAX;
	there_and_back(test, &in);
	in = extreme(S_IFDIR);
	in.dir = U64_MAX;
	in.size = LONG_MAX;
	in.next = LONG_MAX;
	there_and_back(test, &in);
}

static void targets(struct kunit *test)
{
	struct preserve_tree_inode in = extreme(S_IFLNK), back;
	u8 *target = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_reader r;

	KUNIT_ASSERT_NOT_NULL(test, target);
	memset(target, '/', PAGE_SIZE);
	in.target = target;
	in.target_len = PAGE_SIZE - 1;
	in.size = PAGE_SIZE - 1;
	preserve_tree_put_inode(w, &in);
	preserve_tree_put(w, in.nr_extras);
	r = reread(w);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_inode(&r, &back));
	expect_inode(test, &in, &back);
	KUNIT_ASSERT_EQ(test, in.target_len, back.target_len);
	KUNIT_EXPECT_MEMEQ(test, in.target, back.target, in.target_len);
}

static void runs(struct kunit *test)
{
	static const struct prmap_run list[] = {
		{ .index = 0, .pfn = PRMAP_PFN_END - 1, .nr = 1 },
		{ .index = 1, .pfn = 1, .nr = 1 },
		{ .index = 512, .pfn = 1024, .nr = 1536, .order = 9 },
		{ .index = 1ULL << 31, .pfn = 1ULL << 31, .nr = 1ULL << 31,
		  .order = 31 },
		{ .index = MAX_INDEX - 1, .pfn = 2, .nr = 1 },
	};
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_inode in = file(), back;
	struct preserve_tree_runs at = {};
	struct preserve_tree_reader r;
	struct prmap_run run;
	size_t i;

	in.nr_pages = 0;
	for (i = 0; i < ARRAY_SIZE(list); i++)
		in.nr_pages += list[i].nr;
	in.nr_runs = ARRAY_SIZE(list);
	preserve_tree_put_inode(w, &in);
	for (i = 0; i < ARRAY_SIZE(list); i++)
		preserve_tree_put_run(w, &at, &list[i]);
	r = reread(w);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_inode(&r, &back));
	expect_inode(test, &in, &back);
	r.at = back.runs;
	at = (struct preserve_tree_runs) {};
	for (i = 0; i < ARRAY_SIZE(list); i++) {
		KUNIT_ASSERT_TRUE(test, preserve_tree_get_run(&r, &at, &run));
		KUNIT_EXPECT_EQ(test, list[i].index, run.index);
		KUNIT_EXPECT_EQ(test, list[i].pfn, run.pfn);
		KUNIT_EXPECT_EQ(test, list[i].nr, run.nr);
		KUNIT_EXPECT_EQ(test, list[i].order, run.order);
	}
	KUNIT_EXPECT_PTR_EQ(test, r.at, r.end);
}

static void extras(struct kunit *test)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_extra extra;
	struct preserve_tree_reader r;
	char name[XATTR_NAME_MAX + 1];
	u8 *value = kunit_kzalloc(test, XATTR_SIZE_MAX, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, value);
	memset(name, 'n', XATTR_NAME_MAX);
	name[XATTR_NAME_MAX] = '\0';
	value[XATTR_SIZE_MAX - 1] = 0xff;
	preserve_tree_put_extra(w, PRESERVE_EXTRA_XATTR, name, value, XATTR_SIZE_MAX);
	preserve_tree_put_extra(w, PRESERVE_EXTRA_POLICY, "p", value, 0);
	r = reread(w);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_extra(&r, &extra));
	KUNIT_EXPECT_EQ(test, PRESERVE_EXTRA_XATTR, extra.kind);
	KUNIT_EXPECT_EQ(test, XATTR_NAME_MAX, extra.name_len);
	KUNIT_ASSERT_EQ(test, XATTR_SIZE_MAX, extra.value_len);
	KUNIT_EXPECT_MEMEQ(test, value, extra.value, XATTR_SIZE_MAX);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_extra(&r, &extra));
	KUNIT_EXPECT_EQ(test, 0, extra.value_len);
	KUNIT_EXPECT_PTR_EQ(test, r.at, r.end);
}

/* --- hostile bytes --- */

#define NR_SAMPLE	7

/* One entry of each kind. */
static struct preserve_tree_writer *sample(struct kunit *test)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_inode in = file();

	put_name(w, "file", 3);
	put_file(w, &in);
	in = extreme(S_IFREG);
	in.nr_extras = 2;
	put_name(w, "all", 4);
	put_file(w, &in);
	preserve_tree_put(w, 2);
	preserve_tree_put_extra(w, PRESERVE_EXTRA_XATTR, "user.one", "value", 5);
	preserve_tree_put_extra(w, PRESERVE_EXTRA_ACL, "system.posix_acl_access", "acl", 3);
	in = other(S_IFDIR);
	in.dir = 2;
	in.next = 100;
	put_name(w, "directory", 5);
	put_file(w, &in);
	in = other(S_IFLNK);
	in.target = "to/somewhere";
	in.target_len = strlen(in.target);
	put_name(w, "symbolic", 7);
	put_file(w, &in);
	in = other(S_IFCHR);
	in.rdev = 0x103;
	put_name(w, "device", LONG_MAX);
	put_file(w, &in);
	in = other(S_IFREG);
	put_name(w, "empty", 1000);
	put_file(w, &in);
	preserve_tree_put_text(w, "link", 4);
	preserve_tree_put(w, 8);
	preserve_tree_put(w, PRESERVE_ENTRY_LINK);
	preserve_tree_put(w, 1);
	KUNIT_ASSERT_EQ(test, 0, w->err);
	return w;
}

static void check_runs(struct kunit *test, const struct preserve_tree_inode *in,
		       const u8 *end)
{
	struct preserve_tree_reader r = { .at = in->runs, .end = end };
	struct preserve_tree_runs at = {};
	u64 i, pages = 0, last = 0;
	struct prmap_run run;

	for (i = 0; i < in->nr_runs; i++) {
		KUNIT_ASSERT_TRUE(test, preserve_tree_get_run(&r, &at, &run));
		KUNIT_EXPECT_GE(test, run.index, last);
		KUNIT_EXPECT_GT(test, run.nr, 0);
		KUNIT_EXPECT_GT(test, run.pfn, 0);
		KUNIT_EXPECT_LE(test, run.pfn + run.nr, PRMAP_PFN_END);
		KUNIT_EXPECT_LE(test, run.index + run.nr, MAX_INDEX);
		KUNIT_EXPECT_EQ(test, 0, (run.index | run.pfn | run.nr) &
					 ((1ULL << run.order) - 1));
		last = run.index + run.nr;
		pages += run.nr;
	}
	KUNIT_EXPECT_EQ(test, in->nr_pages, pages);
}

static void check_inode(struct kunit *test, const struct preserve_tree_inode *in,
			const u8 *end)
{
	KUNIT_EXPECT_NE(test, 0, in->ino);
	KUNIT_EXPECT_NE(test, 0, in->nlink);
	KUNIT_EXPECT_LT(test, in->mtime.tv_nsec, NSEC_PER_SEC);
	KUNIT_EXPECT_LE(test, in->size, MAX_LFS_FILESIZE);
	KUNIT_EXPECT_LE(test, in->write_hint, WRITE_LIFE_EXTREME);
	if (S_ISREG(in->mode))
		check_runs(test, in, end);
	if (S_ISLNK(in->mode)) {
		KUNIT_EXPECT_LT(test, in->target_len, PAGE_SIZE);
		KUNIT_EXPECT_NULL(test, memchr(in->target, 0, in->target_len));
	}
}

static void check_entry(struct kunit *test, const struct preserve_tree_entry *entry,
			const u8 *end)
{
	KUNIT_EXPECT_GT(test, entry->name_len, 0);
	KUNIT_EXPECT_LE(test, entry->name_len, NAME_MAX);
	KUNIT_EXPECT_NULL(test, memchr(entry->name, '/', entry->name_len));
	KUNIT_EXPECT_NULL(test, memchr(entry->name, 0, entry->name_len));
	KUNIT_EXPECT_LE(test, entry->pos, LONG_MAX);
	if (entry->kind == PRESERVE_ENTRY_INODE)
		check_inode(test, &entry->inode, end);
	else
		KUNIT_EXPECT_NE(test, 0, entry->link);
}

static bool check_extras(struct kunit *test, struct preserve_tree_reader *r, u32 nr)
{
	struct preserve_tree_extra extra;

	for (; nr && preserve_tree_get_extra(r, &extra); nr--) {
		KUNIT_EXPECT_LE(test, extra.name_len, XATTR_NAME_MAX);
		KUNIT_EXPECT_NULL(test, memchr(extra.name, 0, extra.name_len));
		KUNIT_EXPECT_TRUE(test, extra.value + extra.value_len <= r->end);
	}
	return !nr;
}

/* Reads entries and looks at what is given. Returns how many there were. */
static unsigned int read_all(struct kunit *test, const u8 *bytes, size_t len)
{
	struct preserve_tree_reader r = reader(bytes, len);
	struct preserve_tree_entry entry;
	unsigned int nr = 0;

	while (r.at != r.end && preserve_tree_get_entry(&r, &entry)) {
		check_entry(test, &entry, r.end);
		if (!check_extras(test, &r, entry.inode.nr_extras))
			break;
		nr++;
	}
	KUNIT_EXPECT_TRUE(test, r.at <= r.end);
	return nr;
}

static u8 *exact(struct kunit *test, const u8 *bytes, size_t len)
{
	u8 *copy = kmemdup(bytes, max(len, 1UL), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, copy);
	return copy;
}

static void truncation(struct kunit *test)
{
	struct preserve_tree_writer *w = sample(test);
	size_t len;
	u8 *bytes;

	KUNIT_EXPECT_EQ(test, NR_SAMPLE, read_all(test, w->buf, w->len));
	for (len = 0; len < w->len; len++) {
		bytes = exact(test, w->buf, len);
		KUNIT_EXPECT_LT_MSG(test, read_all(test, bytes, len), NR_SAMPLE,
				    "%zu of %zu bytes", len, w->len);
		kfree(bytes);
	}
}

/* A few bytes change, to anything or by a bit, or some are missing. */
static size_t mutate(struct rnd_state *rnd, u8 *bytes, size_t len)
{
	u32 nr = 1 + prandom_u32_state(rnd) % 4;
	u8 *at;

	while (nr--) {
		at = bytes + prandom_u32_state(rnd) % len;
		if (prandom_u32_state(rnd) % 2)
			*at = prandom_u32_state(rnd);
		else
			*at ^= 1 << prandom_u32_state(rnd) % 8;
	}
	if (prandom_u32_state(rnd) % 8)
		return len;
	nr = prandom_u32_state(rnd) % len;
	memmove(bytes + nr, bytes + nr + 1, len - nr - 1);
	return len - 1;
}

static void mutation(struct kunit *test)
{
	struct preserve_tree_writer *w = sample(test);
	unsigned int i, whole = 0;
	struct rnd_state rnd;
	u8 *bytes, *cut;
	size_t len;

	prandom_seed_state(&rnd, SEED);
	for (i = 0; i < NR_MUTATIONS; i++) {
		bytes = exact(test, w->buf, w->len);
		len = mutate(&rnd, bytes, w->len);
		cut = exact(test, bytes, len);
		whole += read_all(test, cut, len) == NR_SAMPLE;
		kfree(cut);
		kfree(bytes);
		cond_resched();
	}
	/* Most say something else now; some are nothing that can be read. */
	KUNIT_EXPECT_GT(test, whole, 0);
	KUNIT_EXPECT_LT(test, whole, NR_MUTATIONS);
}

static void noise(struct kunit *test)
{
	struct rnd_state rnd;
	unsigned int i;
	u8 bytes[200];

	prandom_seed_state(&rnd, SEED + 1);
	for (i = 0; i < NR_MUTATIONS; i++) {
		prandom_bytes_state(&rnd, bytes, sizeof(bytes));
		/* A name's length that lets it get on to the inode. */
		bytes[0] %= 16;
		read_all(test, bytes, sizeof(bytes));
	}
}

/* --- what an inode may not say --- */

/* Is this inode refused? */
static void refused(struct kunit *test, const struct preserve_tree_inode *in,
		    const char *what)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_inode back;
	struct preserve_tree_reader r;

	put_file(w, in);
	if (in->nr_extras)
		preserve_tree_put(w, in->nr_extras);
	KUNIT_ASSERT_EQ(test, 0, w->err);
	r = reread(w);
	KUNIT_EXPECT_FALSE_MSG(test, preserve_tree_get_inode(&r, &back), "%s", what);
	KUNIT_EXPECT_TRUE(test, r.bad);
}

#define REFUSES(_name, _type, _stmt)					\
static void inode_refuses_##_name(struct kunit *test)			\
{									\
	struct preserve_tree_inode in = good_inode(_type);		\
									\
	there_and_back(test, &in);					\
	_stmt;								\
	refused(test, &in, #_name);					\
}

REFUSES(type, S_IFIFO, in.mode = S_IFMT | 0644)
REFUSES(mode, S_IFIFO, in.mode |= S_IFMT + 1)
REFUSES(uid, S_IFREG, in.uid = -1)
REFUSES(gid, S_IFREG, in.gid = -1)
REFUSES(ino, S_IFREG, in.ino = 0)
REFUSES(nlink, S_IFREG, in.nlink = 0)
REFUSES(dir_nlink, S_IFDIR, in.nlink = 1)
REFUSES(nsec, S_IFREG, in.mtime.tv_nsec = NSEC_PER_SEC)
REFUSES(ctime, S_IFREG, in.ctime.tv_nsec = NSEC_PER_SEC)
REFUSES(btime, S_IFREG, in.btime.tv_nsec = -1)
REFUSES(size, S_IFREG, in.size = (u64)MAX_LFS_FILESIZE + 1)
REFUSES(pages, S_IFREG, in.nr_pages++)
REFUSES(no_run, S_IFREG, in.nr_runs = 0)
REFUSES(dir_size, S_IFDIR, in.size = (u64)LONG_MAX + 1)
REFUSES(dir_next, S_IFDIR, in.next = (u64)LONG_MAX + 1)
REFUSES(record_type, S_IFIFO, in.record = PAGE_SIZE)
REFUSES(record_pages, S_IFREG, in.record = PAGE_SIZE)
REFUSES(write_hint, S_IFREG, in.write_hint = WRITE_LIFE_EXTREME + 1)

static void inode_refuses_parts(struct kunit *test)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_inode in = file(), back;
	struct preserve_tree_reader r;

	put_file(w, &in);
	/* The first number is 0: it becomes one of two bytes. */
	KUNIT_ASSERT_EQ(test, 0, w->buf[0]);
	preserve_tree_put(w, 0);
	memmove(w->buf + 1, w->buf, w->len - 1);
	w->buf[0] = 0x80;
	w->buf[1] = (PRESERVE_INODE_PARTS + 1) >> 7;
	r = reread(w);
	KUNIT_EXPECT_FALSE(test, preserve_tree_get_inode(&r, &back));
}

static void link_target(struct kunit *test, const void *target, u32 len, bool good)
{
	struct preserve_tree_inode in = other(S_IFLNK), back;
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_reader r;

	in.target = target;
	in.target_len = len;
	preserve_tree_put_inode(w, &in);
	r = reread(w);
	KUNIT_EXPECT_EQ(test, good, preserve_tree_get_inode(&r, &back));
}

static void inode_refuses_target(struct kunit *test)
{
	u8 *target = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, target);
	memset(target, 'a', PAGE_SIZE);
	link_target(test, target, PAGE_SIZE - 1, true);
	link_target(test, target, PAGE_SIZE, false);
	link_target(test, target, 0, false);
	link_target(test, "a\0b", 3, false);
}

static void one_raw_run(struct kunit *test, u64 gap, u64 pfn, u64 count, bool good)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_runs at = {};
	struct preserve_tree_reader r;
	struct prmap_run run;

	preserve_tree_put(w, gap);
	preserve_tree_put(w, pfn);
	preserve_tree_put(w, count);
	r = reread(w);
	KUNIT_EXPECT_EQ_MSG(test, good, preserve_tree_get_run(&r, &at, &run),
			    "%llu %llu %llu", gap, pfn, count);
	KUNIT_EXPECT_EQ(test, !good, r.bad);
}

/* Frames are signed, (folios - 1) * 32 + order. */
static void run_refusals(struct kunit *test)
{
	one_raw_run(test, 0, 2, 0, true);
	one_raw_run(test, 0, 0, 0, false);
	one_raw_run(test, 0, 1, 0, false);
	one_raw_run(test, 0, 2 * (PRMAP_PFN_END - 1), 0, true);
	one_raw_run(test, 0, 2 * PRMAP_PFN_END, 0, false);
	one_raw_run(test, 0, U64_MAX - 1, 0, false);
	one_raw_run(test, 0, U64_MAX, 0, false);
	one_raw_run(test, 0, 2 * (PRMAP_PFN_END - 1), 32, false);
	one_raw_run(test, PRMAP_INDEX_END - 1, 2, 0, true);
	one_raw_run(test, PRMAP_INDEX_END - 1, 2, 32, false);
	one_raw_run(test, PRMAP_INDEX_END, 2, 0, false);
	one_raw_run(test, U64_MAX, 2, 0, false);
	one_raw_run(test, 0, 2, U64_MAX, false);
	one_raw_run(test, 0, 2, U64_MAX - 31, false);
	one_raw_run(test, 2, 4, 1, true);
	one_raw_run(test, 1, 4, 1, false);
	one_raw_run(test, 2, 2, 1, false);
	one_raw_run(test, 0, 2ULL << 31, 31, true);
	one_raw_run(test, 0, 2ULL << 30, 31, false);
}

static void behind_the_end(struct kunit *test)
{
	struct prmap_run run = { .index = MAX_INDEX - 1, .pfn = 1, .nr = 1 };
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_inode in = file(), back;
	struct preserve_tree_runs at = {};
	struct preserve_tree_reader r;

	in.nr_pages = 1;
	preserve_tree_put_inode(w, &in);
	preserve_tree_put_run(w, &at, &run);
	r = reread(w);
	KUNIT_EXPECT_TRUE(test, preserve_tree_get_inode(&r, &back));

	w->len = 0;
	at = (struct preserve_tree_runs) {};
	run.index++;
	preserve_tree_put_inode(w, &in);
	preserve_tree_put_run(w, &at, &run);
	r = reread(w);
	KUNIT_EXPECT_FALSE(test, preserve_tree_get_inode(&r, &back));
}

static void one_name(struct kunit *test, const char *name, u32 len, u64 pos,
		     bool good)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_entry entry;
	struct preserve_tree_reader r;

	preserve_tree_put_text(w, name, len);
	preserve_tree_put(w, pos);
	preserve_tree_put(w, PRESERVE_ENTRY_LINK);
	preserve_tree_put(w, 1);
	r = reread(w);
	KUNIT_EXPECT_EQ(test, good, preserve_tree_get_entry(&r, &entry));
}

static void name_refusals(struct kunit *test)
{
	char name[NAME_MAX + 1];

	memset(name, 0xff, sizeof(name));
	one_name(test, name, NAME_MAX, 0, true);
	one_name(test, name, NAME_MAX + 1, 0, false);
	one_name(test, "", 0, 0, false);
	one_name(test, ".", 1, 0, false);
	one_name(test, "..", 2, 0, false);
	one_name(test, "...", 3, 0, true);
	one_name(test, ".a", 2, 0, true);
	one_name(test, "a/b", 3, 0, false);
	one_name(test, "/", 1, 0, false);
	one_name(test, "a\0", 2, 0, false);
	one_name(test, "a", 1, LONG_MAX, true);
	one_name(test, "a", 1, (u64)LONG_MAX + 1, false);
}

static void one_kind(struct kunit *test, u64 kind, u64 link, bool good)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_entry entry;
	struct preserve_tree_reader r;

	preserve_tree_put_text(w, "a", 1);
	preserve_tree_put(w, 3);
	preserve_tree_put(w, kind);
	preserve_tree_put(w, link);
	r = reread(w);
	KUNIT_EXPECT_EQ(test, good, preserve_tree_get_entry(&r, &entry));
}

static void kind_refusals(struct kunit *test)
{
	one_kind(test, PRESERVE_ENTRY_LINK, 1, true);
	one_kind(test, PRESERVE_ENTRY_LINK, 0, false);
	one_kind(test, 0, 1, false);
	one_kind(test, PRESERVE_ENTRY_LINK + 1, 1, false);
	one_kind(test, (1ULL << 32) + PRESERVE_ENTRY_LINK, 1, false);
}

static void one_extra(struct kunit *test, u32 kind, const char *name, u32 name_len,
		      const void *value, u32 len, bool good)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_extra extra;
	struct preserve_tree_reader r;

	preserve_tree_put(w, kind);
	preserve_tree_put_text(w, name, name_len);
	preserve_tree_put_text(w, value, len);
	r = reread(w);
	KUNIT_EXPECT_EQ(test, good, preserve_tree_get_extra(&r, &extra));
}

static void extra_refusals(struct kunit *test)
{
	u8 *value = kunit_kzalloc(test, XATTR_SIZE_MAX + 1, GFP_KERNEL);
	char name[XATTR_NAME_MAX + 1];

	KUNIT_ASSERT_NOT_NULL(test, value);
	memset(name, 'n', sizeof(name));
	one_extra(test, PRESERVE_EXTRA_XATTR, name, XATTR_NAME_MAX, value, 0, true);
	/* Which kinds there are the file system says. */
	one_extra(test, PRESERVE_EXTRA_LABEL + 1, "a", 1, value, 1, true);
	one_extra(test, PRESERVE_EXTRA_SKIP | 77, "a", 1, value, 1, true);
	one_extra(test, PRESERVE_EXTRA_XATTR, "", 0, value, 1, false);
	one_extra(test, PRESERVE_EXTRA_XATTR, "a\0", 2, value, 1, false);
	one_extra(test, PRESERVE_EXTRA_XATTR, name, XATTR_NAME_MAX + 1, value, 1,
		  false);
	one_extra(test, PRESERVE_EXTRA_XATTR, "a", 1, value, XATTR_SIZE_MAX + 1,
		  false);
}

/* --- mount options --- */

static void options(struct kunit *test)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_option option;
	struct preserve_tree_reader r;
	u32 nr = 0;

	preserve_tree_put_option(w, &nr, 0, "nr_blocks", "%llu", 1ULL << 40);
	preserve_tree_put_option(w, &nr, PRESERVE_OPTION_SKIP, "noswap", NULL);
	KUNIT_ASSERT_EQ(test, 0, w->err);
	KUNIT_EXPECT_EQ(test, 2, nr);
	r = reread(w);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_option(&r, &option));
	KUNIT_EXPECT_EQ(test, 0, option.flags);
	KUNIT_ASSERT_EQ(test, 9, option.key_len);
	KUNIT_EXPECT_MEMEQ(test, "nr_blocks", option.key, 9);
	KUNIT_ASSERT_EQ(test, 13, option.value_len);
	KUNIT_EXPECT_MEMEQ(test, "1099511627776", option.value, 13);
	KUNIT_ASSERT_TRUE(test, preserve_tree_get_option(&r, &option));
	KUNIT_EXPECT_EQ(test, PRESERVE_OPTION_SKIP, option.flags);
	KUNIT_EXPECT_EQ(test, 0, option.value_len);
	KUNIT_EXPECT_FALSE(test, preserve_tree_get_option(&r, &option));
}

static void one_option(struct kunit *test, const char *key, u32 key_len, const char *value,
		       u32 len, bool good)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_option option;
	struct preserve_tree_reader r;

	preserve_tree_put(w, 0);
	preserve_tree_put_text(w, key, key_len);
	preserve_tree_put_text(w, value, len);
	r = reread(w);
	KUNIT_EXPECT_EQ(test, good, preserve_tree_get_option(&r, &option));
}

static void option_refusals(struct kunit *test)
{
	char *text = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, text);
	memset(text, 't', PAGE_SIZE);
	one_option(test, text, PAGE_SIZE - 1, text, PAGE_SIZE - 1, true);
	one_option(test, "", 0, "v", 1, false);
	one_option(test, text, PAGE_SIZE, "v", 1, false);
	one_option(test, "k", 1, text, PAGE_SIZE, false);
	one_option(test, "k\0", 2, "v", 1, false);
	one_option(test, "k", 1, "v\0", 2, false);
}

/* --- how much it takes --- */

#define NR_FILES	1000

/* Files of a directory, written one after the other within a second each. */
static void bytes_per_inode(struct kunit *test)
{
	struct preserve_tree_writer *w = writer(test);
	struct preserve_tree_inode in = file();
	struct prmap_run run = { .pfn = 0x40000, .nr = 3 };
	struct preserve_tree_runs at;
	struct rnd_state rnd;
	size_t names = 0;
	char name[16];
	u32 i;

	prandom_seed_state(&rnd, SEED);
	in.ino = 5000000;
	in.nr_pages = run.nr;
	for (i = 0; i < NR_FILES; i++) {
		in.ino++;
		in.generation = prandom_u32_state(&rnd);
		in.mtime.tv_sec = EPOCH - prandom_u32_state(&rnd) % 100000000;
		in.mtime.tv_nsec = prandom_u32_state(&rnd) % 1000000000;
		in.ctime.tv_sec = in.mtime.tv_sec;
		in.ctime.tv_nsec = prandom_u32_state(&rnd) % 1000000000;
		in.atime.tv_sec = in.mtime.tv_sec;
		in.atime.tv_nsec = prandom_u32_state(&rnd) % 1000000000;
		in.btime.tv_sec = in.mtime.tv_sec;
		in.btime.tv_nsec = prandom_u32_state(&rnd) % 1000000000;
		in.uid = 1000;
		in.gid = 1000;
		in.size = run.nr * PAGE_SIZE - 1;
		names += snprintf(name, sizeof(name), "file-%u", i);
		put_name(w, name, i + 3);
		preserve_tree_put_inode(w, &in);
		at = (struct preserve_tree_runs) {};
		preserve_tree_put_run(w, &at, &run);
		run.pfn += 1 + prandom_u32_state(&rnd) % 10000;
	}
	KUNIT_ASSERT_EQ(test, 0, w->err);
	kunit_info(test, "%zu bytes an inode", (w->len - names) / NR_FILES);
	KUNIT_EXPECT_LE(test, (w->len - names) / NR_FILES, 64);
}

static struct kunit_case codec_cases[] = {
	KUNIT_CASE(numbers),
	KUNIT_CASE(numbers_too_large),
	KUNIT_CASE(inodes),
	KUNIT_CASE(targets),
	KUNIT_CASE(runs),
	KUNIT_CASE(extras),
	KUNIT_CASE(truncation),
	KUNIT_CASE(mutation),
	KUNIT_CASE(noise),
	KUNIT_CASE(inode_refuses_type),
	KUNIT_CASE(inode_refuses_mode),
	KUNIT_CASE(inode_refuses_uid),
	KUNIT_CASE(inode_refuses_gid),
	KUNIT_CASE(inode_refuses_ino),
	KUNIT_CASE(inode_refuses_nlink),
	KUNIT_CASE(inode_refuses_dir_nlink),
	KUNIT_CASE(inode_refuses_nsec),
	KUNIT_CASE(inode_refuses_ctime),
	KUNIT_CASE(inode_refuses_btime),
	KUNIT_CASE(inode_refuses_size),
	KUNIT_CASE(inode_refuses_pages),
	KUNIT_CASE(inode_refuses_no_run),
	KUNIT_CASE(inode_refuses_dir_size),
	KUNIT_CASE(inode_refuses_dir_next),
	KUNIT_CASE(inode_refuses_record_type),
	KUNIT_CASE(inode_refuses_record_pages),
	KUNIT_CASE(inode_refuses_write_hint),
	KUNIT_CASE(inode_refuses_parts),
	KUNIT_CASE(inode_refuses_target),
	KUNIT_CASE(run_refusals),
	KUNIT_CASE(behind_the_end),
	KUNIT_CASE(name_refusals),
	KUNIT_CASE(kind_refusals),
	KUNIT_CASE(extra_refusals),
	KUNIT_CASE(options),
	KUNIT_CASE(option_refusals),
	KUNIT_CASE(bytes_per_inode),
	{}
};

static struct kunit_suite codec_suite = {
	.name = "preserve_codec",
	.test_cases = codec_cases,
};

kunit_test_suite(codec_suite);
