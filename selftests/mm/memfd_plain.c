// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain memfds of many kinds are preserved, taken back, preserved again and go
 * through a kexec: what is mapped and written meanwhile, what is in swap, in huge
 * folios, pinned, sealed or a hole. Nothing is lost, no hole is filled, and a
 * file that is taken back is as plain as before.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "swap.h"
#include "writer.h"

#define SESSION		"plain"
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define PAGE		KIB(4)
#define MAX_PARTS	11
#define SEALS		(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | \
			 F_SEAL_SEAL)
/* What preserving a file may take for its map and its record. */
#define OVERHEAD	KIB(256)

/* How often the file that is written all the time is preserved: the argument. */
static unsigned int rounds = 3;

enum kind {
	KIND_FULL, KIND_EMPTY, KIND_GIB, KIND_TIB, KIND_COMMITTED, KIND_HUGE,
	KIND_SWAPPED, KIND_AGAIN, KIND_PINNED, KIND_WRITTEN, NR_KINDS,
};

struct part {
	__u64 offset;
	__u64 length;
};

struct shape {
	const char *name;
	__u64 size;
	__u64 pos;
	int seals;
	struct part parts[MAX_PARTS];
};

static const struct shape shapes[NR_KINDS] = {
	[KIND_FULL] = {
		.name = "full",
		.size = MIB(3) + 100,
		.pos = 12345,
		.parts = { { 0, MIB(3) + 100 } },
	},
	[KIND_EMPTY] = {
		.name = "empty",
		.pos = 7,
	},
	[KIND_GIB] = {
		.name = "1 GiB with two pages",
		.size = GIB(1),
		.parts = { { 0, PAGE }, { GIB(1) - PAGE, PAGE } },
	},
	[KIND_TIB] = {
		.name = "1 TiB with ten pages",
		.size = TIB(1),
		.parts = {
			{ 0, PAGE }, { GIB(1), PAGE }, { GIB(3), PAGE },
			{ GIB(64), PAGE }, { GIB(200) + PAGE, PAGE },
			{ GIB(400), PAGE }, { GIB(512) - PAGE, PAGE },
			{ GIB(512), PAGE }, { GIB(800), PAGE },
			{ TIB(1) - PAGE, PAGE },
		},
	},
	[KIND_COMMITTED] = {
		.name = "sealed",
		.size = MIB(1) + PAGE,
		.seals = SEALS,
		.parts = { { 0, KIB(64) }, { MIB(1), PAGE } },
	},
	[KIND_HUGE] = {
		.name = "huge",
		.size = MIB(8),
		.parts = { { 0, MIB(2) }, { MIB(4), MIB(4) } },
	},
	[KIND_SWAPPED] = {
		.name = "swapped",
		.size = MIB(2),
		.parts = { { 0, MIB(1) }, { MIB(1) + 7 * PAGE, KIB(64) } },
	},
	[KIND_AGAIN] = {
		.name = "again",
		.size = MIB(1),
		.parts = { { PAGE, KIB(512) } },
	},
	[KIND_PINNED] = {
		.name = "pinned",
		.size = KIB(64),
		.parts = { { 0, KIB(64) } },
	},
	/* Its writer fills it. */
	[KIND_WRITTEN] = {
		.name = "written",
		.size = MIB(1),
	},
};

static __u64 parts_bytes(const struct shape *shape)
{
	__u64 bytes = 0;
	int i;

	for (i = 0; i < MAX_PARTS; i++)
		bytes += (shape->parts[i].length + PAGE - 1) / PAGE * PAGE;
	return bytes;
}

static bool content_is(int fd, const struct shape *shape, __u64 seed)
{
	const struct part *part;
	__u64 end = 0;

	for (part = shape->parts; part->length; part++) {
		if (pattern_check(fd, seed, part->offset, part->length))
			return false;
		end = (end + PAGE - 1) / PAGE * PAGE;
		if (part->offset > end &&
		    lseek(fd, end, SEEK_DATA) != (off_t)part->offset)
			return false;
		end = part->offset + part->length;
	}
	return true;
}

static void verify(int fd, enum kind kind, const char *when)
{
	const struct shape *shape = &shapes[kind];
	struct stat st = {};

	check(lseek(fd, 0, SEEK_CUR) == (off_t)shape->pos, "%s: %s: position",
	      shape->name, when);
	check(!fstat(fd, &st) && (__u64)st.st_size == shape->size,
	      "%s: %s: size", shape->name, when);
	check(fcntl(fd, F_GET_SEALS) == shape->seals, "%s: %s: seals",
	      shape->name, when);
	if (kind != KIND_WRITTEN) {
		check(content_is(fd, shape, kind), "%s: %s: content and holes",
		      shape->name, when);
		check(file_allocated(fd) == (__s64)parts_bytes(shape),
		      "%s: %s: no hole is filled: %lld", shape->name, when,
		      (long long)file_allocated(fd));
	}
	lseek(fd, shape->pos, SEEK_SET);
}

static int make(enum kind kind)
{
	const struct shape *shape = &shapes[kind];
	const struct part *part;
	int fd;

	require(!text_write(SHMEM_ENABLED,
			    kind == KIND_HUGE ? "always" : "never"),
		SHMEM_ENABLED);
	fd = memfd_create(shape->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	require(fd >= 0 && !ftruncate(fd, shape->size), "create %s",
		shape->name);
	for (part = shape->parts; part->length; part++)
		require(!pattern_write(fd, kind, part->offset, part->length),
			"fill %s", shape->name);
	require(!shape->seals || !fcntl(fd, F_ADD_SEALS, shape->seals),
		"seal %s", shape->name);
	lseek(fd, shape->pos, SEEK_SET);
	return fd;
}

static void add(int session, int fd, enum kind kind)
{
	int err = preserve_session_add_fd(session, fd, kind);

	check(!err, "%s: preserve: %d", shapes[kind].name, err);
	check(place_is_ours(fd) == (kind != KIND_PINNED),
	      "%s: the right handler takes it", shapes[kind].name);
	verify(fd, kind, "preserved");
}

/* Preserving a file and taking it back leaves nothing behind. */
static void there_and_back(enum kind kind)
{
	__s64 rest = pool_used_at_rest(), used;
	int session = stage_session_create("back"), fd = make(kind);

	add(session, fd, kind);
	used = pool_counter("used") - rest;
	check(used >= (__s64)parts_bytes(&shapes[kind]) &&
	      used <= (__s64)(parts_bytes(&shapes[kind]) + OVERHEAD),
	      "%s: takes %lld bytes of the pool", shapes[kind].name,
	      (long long)used);
	close(session);
	check(!place_is_ours(fd), "%s: plain again", shapes[kind].name);
	verify(fd, kind, "taken back");
	close(fd);
	check(pool_counter("used") == rest,
	      "%s: the pool has all back: %lld, was %lld", shapes[kind].name,
	      (long long)pool_counter("used"), (long long)rest);
}

/* A file that was taken back can be swapped out; then it is preserved again. */
static int preserve_again(int session)
{
	int fd = make(KIND_AGAIN), round, other;

	for (round = 0; round < 3; round++) {
		other = stage_session_create("other");
		add(other, fd, KIND_AGAIN);
		close(other);
		check(!place_is_ours(fd), "again: plain, round %d", round);
		check(swap_out(fd, shapes[KIND_AGAIN].size, KIB(256)),
		      "again: can be swapped out, round %d", round);
		verify(fd, KIND_AGAIN, "taken back");
	}
	add(session, fd, KIND_AGAIN);
	return fd;
}

static void preserve_swapped(int session)
{
	int fd = make(KIND_SWAPPED);
	__s64 before = swap_used();

	check(swap_out(fd, shapes[KIND_SWAPPED].size, MIB(1)),
	      "swapped: %lld bytes are in swap",
	      (long long)(swap_used() - before));
	add(session, fd, KIND_SWAPPED);
	check(swap_used() <= before, "swapped: none of it is in swap now");
	check(!swap_out(fd, shapes[KIND_SWAPPED].size, PAGE),
	      "swapped: nothing of it can be swapped out now");
}

/* What the pool has had of it, and is in swap, is none of the pool's when LUO has it. */
static void swapped_out_of_pool(void)
{
	int fd = make(KIND_FULL), other = stage_session_create("other");

	add(other, fd, KIND_FULL);
	close(other);
	check(swap_out(fd, shapes[KIND_FULL].size, KIB(256)),
	      "out: some of it is in swap");
	check(!pool_set("admit_plain", 0), "out: plain files are LUO's");
	other = stage_session_create("other");
	check(!preserve_session_add_fd(other, fd, KIND_FULL),
	      "out: it is preserved");
	check(!pool_counter("files"), "out: the pool has no file");
	close(other);
	check(!pool_set("admit_plain", 1), "out: the pool's again");
	verify(fd, KIND_FULL, "out");
}

static void preserve_huge(int session)
{
	int fd = make(KIND_HUGE);
	__s64 huge = meminfo_bytes("ShmemHugePages");

	check(huge >= (__s64)MIB(2), "huge: %lld bytes are",
	      (long long)huge);
	add(session, fd, KIND_HUGE);
}

static void preserve_written(int session)
{
	struct writer *writer;
	unsigned int round;
	int fd = make(KIND_WRITTEN), other;

	writer = writer_start(fd, MIB(1));
	for (round = 0; round < rounds; round++) {
		check(writer_goes_on(writer, 2), "written: before");
		other = stage_session_create("other");
		add(other, fd, KIND_WRITTEN);
		check(writer_goes_on(writer, 2), "written: preserved");
		close(other);
	}
	check(writer_goes_on(writer, 2), "written: taken back");
	add(session, fd, KIND_WRITTEN);
	check(writer_goes_on(writer, 2), "written: preserved for good");
	check(file_allocated(fd) == (__s64)MIB(1), "written: all of it");
	/* It goes on until the kexec. */
}

static void preserve_pinned(int session)
{
	int fd = make(KIND_PINNED);

	place_pin(fd, shapes[KIND_PINNED].size);
	add(session, fd, KIND_PINNED);
}

/*
 * A file that is partly in the pool is ours or nobody's: if LUO's own handler took it,
 * the next kernel would refuse the pool, and all other files with it.
 */
static void refuse_half(int session)
{
	int fd = make(KIND_FULL), err;

	place_pin(fd, PAGE);
	err = preserve_session_add_fd(session, fd, NR_KINDS);
	check(err == -EBUSY, "half: a page is pinned, others have moved: %d",
	      err);
	check(!place_is_ours(fd), "half: plain as before");
	verify(fd, KIND_FULL, "half");
}

/*
 * Where plain files are to be LUO's, one leaves the pool as a whole or is not preserved; and
 * the pool can still have it later.
 */
static void refuse_pinned_in_pool(int session)
{
	int fd = make(KIND_FULL), other = stage_session_create("other"), err;

	add(other, fd, KIND_FULL);
	close(other);
	place_pin(fd, PAGE);
	check(!pool_set("admit_plain", 0), "plain files are LUO's");
	err = preserve_session_add_fd(session, fd, NR_KINDS);
	check(err == -EAGAIN, "a pinned page cannot leave the pool: %d", err);
	verify(fd, KIND_FULL, "pinned in the pool");
	check(!pool_set("admit_plain", 1), "plain files are the pool's again");
	other = stage_session_create("other");
	add(other, fd, KIND_FULL);
	close(other);
	verify(fd, KIND_FULL, "preserved in the pool again");
}

static void refuse_readonly(int session)
{
	int fd = make(KIND_FULL), other = stage_session_create("other"), err;
	char path[64];
	int readonly;

	add(other, fd, KIND_FULL);
	close(other);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readonly = open(path, O_RDONLY | O_CLOEXEC);
	require(readonly >= 0, "open it again");
	err = preserve_session_add_fd(session, readonly, NR_KINDS);
	check(err == -EINVAL, "read-only, its pages in the pool: %d", err);
	verify(fd, KIND_FULL, "read-only");
}

static void before(void)
{
	static const enum kind simple[] = {
		KIND_FULL, KIND_EMPTY, KIND_GIB, KIND_TIB, KIND_COMMITTED,
		KIND_HUGE,
	};
	int session = stage_session_create(SESSION);
	size_t i;

	swap_on();
	swapped_out_of_pool();
	for (i = 0; i < STAGE_COUNT(simple); i++)
		there_and_back(simple[i]);
	for (i = 0; i < STAGE_COUNT(simple) - 1; i++)
		add(session, make(simple[i]), simple[i]);
	preserve_huge(session);
	preserve_swapped(session);
	preserve_again(session);
	preserve_pinned(session);
	refuse_half(session);
	refuse_pinned_in_pool(session);
	refuse_readonly(session);
	preserve_written(session);
	check(pool_counter("files") == NR_KINDS - 1,
	      "the pool counts all but the pinned file");
	swap_off();
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int fds[NR_KINDS], kind;

	for (kind = 0; kind < NR_KINDS; kind++) {
		int fd = preserve_session_get_fd(session, kind);

		require(fd >= 0, "%s: retrieve: %d", shapes[kind].name, fd);
		check(place_is_ours(fd) == (kind != KIND_PINNED),
		      "%s: the right handler gives it back",
		      shapes[kind].name);
		verify(fd, kind, "retrieved");
		fds[kind] = fd;
	}
	check(writer_left(fds[KIND_WRITTEN], MIB(1)),
	      "written: as its writer left it");
	stage_session_finish(session);
	check(!pool_counter("incoming"), "nothing is left behind");
	check(!pattern_write(fds[KIND_FULL], 99, 0, MIB(4)) &&
	      !pattern_check(fds[KIND_FULL], 99, 0, MIB(4)),
	      "full: can be written and grows");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	if (argc > 1)
		rounds = atoi(argv[1]);
	return stage_run(stages, STAGE_COUNT(stages));
}
