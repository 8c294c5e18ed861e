// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a preserved file allows until the kexec, and that taking it back by
 * closing the session leaves everything as it was. One kernel only.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "memory.h"
#include "preserve.h"

#define PAGE	4096
#define SIZE	(16 * PAGE)
#define SEED	3
#define TOKEN	1

FIXTURE(frozen) {
	int device;
	int session;
	int fd;
	__s64 used;
};

FIXTURE_SETUP(frozen)
{
	self->used = pool_used_at_rest();
	ASSERT_LE(0, self->used);
	self->device = preserve_device_open();
	ASSERT_LE(0, self->device);
	self->session = preserve_session_create(self->device, "frozen");
	ASSERT_LE(0, self->session);
	self->fd = preserve_memfd_create("frozen", MFD_ALLOW_SEALING);
	ASSERT_LE(0, self->fd);

	/* Pages 0 to 7 are there, 8 to 15 are a hole. */
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	ASSERT_EQ(0, pattern_write(self->fd, SEED, 0, SIZE / 2));
	ASSERT_EQ(0, preserve_session_add_fd(self->session, self->fd, TOKEN));
}

FIXTURE_TEARDOWN(frozen)
{
	close(self->session);
	close(self->fd);
	close(self->device);
	EXPECT_EQ(self->used, pool_counter("used"));
	EXPECT_EQ(0, pool_counter("preserved"));
	EXPECT_EQ(0, pool_counter("files"));
}

TEST_F(frozen, size_stays)
{
	EXPECT_EQ(-1, ftruncate(self->fd, SIZE + PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(0, ftruncate(self->fd, SIZE));
	EXPECT_EQ(SIZE, lseek(self->fd, 0, SEEK_END));
}

TEST_F(frozen, write_past_the_end_is_refused)
{
	char byte = 1;

	EXPECT_EQ(-1, pwrite(self->fd, &byte, 1, SIZE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(SIZE, lseek(self->fd, 0, SEEK_END));
}

TEST_F(frozen, fallocate_is_refused)
{
	EXPECT_EQ(-1, fallocate(self->fd, 0, SIZE / 2, PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE |
				FALLOC_FL_KEEP_SIZE, 0, PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(SIZE / 2, file_allocated(self->fd));
	EXPECT_EQ(0, pattern_check(self->fd, SEED, 0, SIZE / 2));
}

TEST_F(frozen, existing_pages_can_be_written)
{
	char *map;

	EXPECT_EQ(0, pattern_write(self->fd, SEED + 1, PAGE, PAGE));
	EXPECT_EQ(0, pattern_check(self->fd, SEED + 1, PAGE, PAGE));

	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	map[2 * PAGE] = 77;
	EXPECT_EQ(77, map[2 * PAGE]);
	munmap(map, SIZE);
}

TEST_F(frozen, hole_can_be_read_and_written)
{
	EXPECT_TRUE(range_is_zero(self->fd, SIZE / 2, SIZE / 2));
	EXPECT_EQ(0, pattern_write(self->fd, SEED, SIZE / 2, PAGE));
	EXPECT_EQ(0, pattern_check(self->fd, SEED, 0, SIZE / 2 + PAGE));
	EXPECT_EQ(SIZE / 2 + PAGE, file_allocated(self->fd));
}

TEST_F(frozen, seals_can_be_added)
{
	EXPECT_EQ(0, fcntl(self->fd, F_ADD_SEALS, F_SEAL_WRITE));
	EXPECT_EQ(F_SEAL_WRITE, fcntl(self->fd, F_GET_SEALS));
	EXPECT_EQ(-EPERM, pattern_write(self->fd, SEED, 0, PAGE));
}

TEST_F(frozen, counted)
{
	EXPECT_EQ(1, pool_counter("files"));
	EXPECT_LE(SIZE / 2, pool_counter("preserved"));
}

TEST_F(frozen, twice_is_refused)
{
	int other = preserve_memfd_create("other", 0);

	ASSERT_LE(0, other);
	EXPECT_EQ(-EBUSY,
		  preserve_session_add_fd(self->session, self->fd, TOKEN + 1));
	EXPECT_EQ(-EEXIST,
		  preserve_session_add_fd(self->session, other, TOKEN));
	EXPECT_EQ(1, pool_counter("files"));
	close(other);
}

TEST_F(frozen, closed_session_takes_all_back)
{
	__s64 used = pool_counter("used");

	close(self->session);
	self->session = -1;
	EXPECT_EQ(0, pool_counter("files"));
	EXPECT_EQ(0, pool_counter("preserved"));
	EXPECT_GE(used, pool_counter("used"));
	EXPECT_EQ(0, pattern_check(self->fd, SEED, 0, SIZE / 2));

	EXPECT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, 0, PAGE));
	EXPECT_EQ(SIZE / 2 - PAGE, file_allocated(self->fd));
	EXPECT_EQ(0, pattern_write(self->fd, SEED, SIZE, PAGE));
	EXPECT_EQ(0, ftruncate(self->fd, 3 * PAGE));
	EXPECT_EQ(2 * PAGE, file_allocated(self->fd));
}

TEST_F(frozen, again_after_the_session)
{
	close(self->session);
	self->session = preserve_session_create(self->device, "frozen");
	ASSERT_LE(0, self->session);
	EXPECT_EQ(0, preserve_session_add_fd(self->session, self->fd, TOKEN));
	EXPECT_EQ(1, pool_counter("files"));
}

TEST_F(frozen, file_outlives_its_descriptor)
{
	close(self->fd);
	self->fd = -1;
	EXPECT_LE(SIZE / 2, pool_counter("preserved"));
	EXPECT_EQ(1, pool_counter("files"));
}

TEST_F(frozen, reboot_without_a_loaded_kernel)
{
	EXPECT_EQ(-EINVAL, preserve_kexec_reboot());
	EXPECT_EQ(0, pattern_check(self->fd, SEED, 0, SIZE / 2));
	EXPECT_EQ(0, pattern_write(self->fd, SEED, 0, PAGE));
	EXPECT_EQ(1, pool_counter("files"));
}

TEST_F(frozen, outgoing_session_gives_nothing_back)
{
	EXPECT_EQ(-EINVAL, preserve_session_get_fd(self->session, TOKEN));
	EXPECT_EQ(-EINVAL, preserve_session_finish(self->session));
}

TEST_HARNESS_MAIN
