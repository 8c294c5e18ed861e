// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a preserved file in huge pages allows until the kexec, and that taking it back by
 * closing the session leaves everything as it was. One kernel only.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "books.h"
#include "huge.h"
#include "preserve.h"
#include "memory.h"

#define PAGE	MIB(2)
#define NR	8
#define SEED	3
#define TOKEN	1

FIXTURE(frozen) {
	int device;
	int session;
	int fd;
	struct books books;
	__s64 used;
};

/* Whether it is fixed for good. */
FIXTURE_VARIANT(frozen) {
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(frozen, plain) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(frozen, made_for_it) {
	.flags = MFD_PRESERVE,
};

FIXTURE_SETUP(frozen)
{
	self->used = pool_used_at_rest();
	ASSERT_EQ(NULL, books_get(PAGE, &self->books));
	ASSERT_LE(0, self->used);
	self->device = preserve_device_open();
	ASSERT_LE(0, self->device);
	self->session = preserve_session_create(self->device, "frozen");
	ASSERT_LE(0, self->session);
	self->fd = huge_memfd("frozen", PAGE, variant->flags | MFD_ALLOW_SEALING);
	ASSERT_LE(0, self->fd);

	/* Pages 0 to 3 are there, 4 to 7 are a hole. */
	ASSERT_EQ(0, ftruncate(self->fd, NR * PAGE));
	huge_fill(self->fd, SEED, 0, NR / 2, PAGE);
	ASSERT_EQ(0, preserve_session_add_fd(self->session, self->fd, TOKEN));
}

FIXTURE_TEARDOWN(frozen)
{
	struct books books;

	close(self->session);
	close(self->fd);
	close(self->device);
	EXPECT_EQ(NULL, books_get(PAGE, &books));
	EXPECT_EQ(0, memcmp(&books, &self->books, sizeof(books)));
	EXPECT_EQ(self->used, pool_counter("used"));
	EXPECT_EQ(0, pool_counter("preserved"));
	EXPECT_EQ(0, pool_counter("files"));
}

static __s64 size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

TEST_F(frozen, size_stays)
{
	EXPECT_EQ(-1, ftruncate(self->fd, (NR + 1) * PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(NR * PAGE, size_of(self->fd));
}

TEST_F(frozen, no_mapping_makes_it_grow)
{
	void *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, NR * PAGE);

	EXPECT_EQ(MAP_FAILED, map);
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(NR * PAGE, size_of(self->fd));
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_NORESERVE, self->fd, NR * PAGE);
	EXPECT_NE(MAP_FAILED, map);
	munmap(map, PAGE);
	EXPECT_EQ(NR * PAGE, size_of(self->fd));
}

TEST_F(frozen, fallocate_is_refused)
{
	EXPECT_EQ(-1, fallocate(self->fd, 0, NR / 2 * PAGE, PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				PAGE));
	EXPECT_EQ(EPERM, errno);
	/* What lies within a page is zeroed otherwise. */
	EXPECT_EQ(-1, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096,
				4096));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(NR / 2 * PAGE, file_allocated(self->fd));
	EXPECT_TRUE(huge_check(self->fd, SEED, 0, NR / 2, PAGE));
}

TEST_F(frozen, existing_pages_can_be_written)
{
	huge_fill(self->fd, SEED + 1, 1, 1, PAGE);
	EXPECT_TRUE(huge_check(self->fd, SEED + 1, 1, 1, PAGE));
}

TEST_F(frozen, hole_can_be_read_and_written)
{
	EXPECT_TRUE(huge_is_hole(self->fd, NR / 2, PAGE));
	huge_fill(self->fd, SEED, NR / 2, 1, PAGE);
	EXPECT_TRUE(huge_check(self->fd, SEED, 0, NR / 2 + 1, PAGE));
	EXPECT_EQ((NR / 2 + 1) * PAGE, file_allocated(self->fd));
}

TEST_F(frozen, seals_can_be_added)
{
	EXPECT_EQ(0, fcntl(self->fd, F_ADD_SEALS, F_SEAL_GROW));
	EXPECT_EQ(F_SEAL_GROW, fcntl(self->fd, F_GET_SEALS));
}

TEST_F(frozen, twice_is_refused)
{
	char path[32];
	int again;

	EXPECT_EQ(-EBUSY, preserve_session_add_fd(self->session, self->fd, TOKEN + 1));
	/* Also through another open file of it. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, again);
	EXPECT_EQ(-EBUSY, preserve_session_add_fd(self->session, again, TOKEN + 1));
	close(again);
	EXPECT_EQ(1, pool_counter("files"));
}

TEST_F(frozen, reading_alone_is_refused)
{
	char path[32];
	int other = huge_memfd("other", PAGE, 0), again;

	ASSERT_LE(0, other);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", other);
	again = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, again);
	EXPECT_EQ(-EINVAL, preserve_session_add_fd(self->session, again, TOKEN + 1));
	close(again);
	close(other);
}

TEST_F(frozen, closed_session_takes_all_back)
{
	close(self->session);
	self->session = -1;
	EXPECT_EQ(0, pool_counter("files"));
	EXPECT_EQ(0, pool_counter("preserved"));
	EXPECT_TRUE(huge_check(self->fd, SEED, 0, NR / 2, PAGE));

	EXPECT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	EXPECT_EQ((NR / 2 - 1) * PAGE, file_allocated(self->fd));
	EXPECT_EQ(0, fallocate(self->fd, 0, NR * PAGE, PAGE));
	EXPECT_EQ((NR + 1) * PAGE, size_of(self->fd));
	EXPECT_EQ(0, ftruncate(self->fd, 3 * PAGE));
	EXPECT_EQ(2 * PAGE, file_allocated(self->fd));
	EXPECT_TRUE(huge_check(self->fd, SEED, 1, 2, PAGE));
}

TEST_F(frozen, again_after_the_session)
{
	int i;

	for (i = 0; i < 5; i++) {
		close(self->session);
		self->session = preserve_session_create(self->device, "frozen");
		ASSERT_LE(0, self->session);
		EXPECT_EQ(0, preserve_session_add_fd(self->session, self->fd, TOKEN));
		EXPECT_EQ(1, pool_counter("files"));
		huge_fill(self->fd, SEED, NR / 2 + (i & 1), 1, PAGE);
	}
	EXPECT_TRUE(huge_check(self->fd, SEED, 0, NR / 2 + 2, PAGE));
}

TEST_F(frozen, file_outlives_its_descriptor)
{
	struct books books;

	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(1, pool_counter("files"));
	EXPECT_EQ(NULL, books_get(PAGE, &books));
	EXPECT_EQ(self->books.free - NR / 2, books.free);
}

/* A file with a name, of a file system with limits. */
TEST_F(frozen, file_with_a_name)
{
	struct books before, behind;
	int fd;

	EXPECT_EQ(NULL, books_get(PAGE, &before));
	mkdir("/huge", 0700);
	ASSERT_EQ(0, mount("none", "/huge", "hugetlbfs", 0, "pagesize=2M,size=8M,min_size=4M"));
	fd = open("/huge/file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 3 * PAGE));
	huge_fill(fd, SEED, 1, 1, PAGE);
	EXPECT_EQ(0, preserve_session_add_fd(self->session, fd, TOKEN + 1));
	EXPECT_EQ(2, pool_counter("files"));
	EXPECT_EQ(-1, ftruncate(fd, PAGE));
	EXPECT_TRUE(huge_check(fd, SEED, 1, 1, PAGE));
	close(self->session);
	self->session = -1;
	EXPECT_EQ(0, ftruncate(fd, 0));
	close(fd);
	EXPECT_EQ(0, umount("/huge"));
	rmdir("/huge");
	EXPECT_EQ(NULL, books_get(PAGE, &behind));
	EXPECT_EQ(0, memcmp(&before, &behind, sizeof(before)));
}

TEST_HARNESS_MAIN
