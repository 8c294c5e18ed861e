// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memfds in huge pages go through three kernels: content, holes, size, position, seals, mode,
 * owner, name and reservations are as they were, and the counters of huge pages are right
 * before, during and after. The kernels ask for huge pages enough, for more than there are,
 * and for fewer.
 *
 * usage: hugetlb_memfd [SIZE]	of a page in MiB (2); fewer pages then
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"hugetlb"
#define MAX_PARTS	6

/* In huge pages. */
struct part {
	unsigned int from;
	unsigned int nr;
};

struct shape {
	const char *name;
	unsigned int flags;
	unsigned int size;
	unsigned int resv;
	off_t pos;
	int seals;
	mode_t mode;
	uid_t owner;
	struct part parts[MAX_PARTS];
};

static const struct shape usual_shapes[] = {
	{
		.name = "empty",
		.flags = MFD_PRESERVE,
	}, {
		.name = "full",
		.flags = MFD_PRESERVE,
		.size = 3,
		.pos = 4711,
		.seals = F_SEAL_SHRINK | F_SEAL_GROW,
		.mode = 0640,
		.owner = 1000,
		.parts = { { 0, 3 } },
	}, {
		.name = "holes",
		.flags = MFD_PRESERVE,
		.size = 9,
		.parts = { { 0, 1 }, { 3, 2 }, { 8, 1 } },
	}, {
		.name = "plain",
		.size = 2,
		.parts = { { 0, 2 } },
	}, {
		.name = "plain with holes",
		.size = 5,
		.seals = F_SEAL_SEAL,
		.parts = { { 1, 1 }, { 4, 1 } },
	}, {
		.name = "nothing but a hole",
		.size = 100,
	}, {
		.name = "reserved",
		.size = 4,
		.resv = 3,
		.parts = { { 2, 1 } },
	},
};

/* Few pages, for those of 1 GiB. */
static const struct shape few_shapes[] = {
	{
		.name = "full",
		.flags = MFD_PRESERVE,
		.size = 1,
		.parts = { { 0, 1 } },
	}, {
		.name = "holes",
		.flags = MFD_PRESERVE,
		.size = 3,
		.parts = { { 1, 1 } },
	}, {
		.name = "plain",
		.size = 2,
		.seals = F_SEAL_SEAL,
		.parts = { { 0, 1 } },
	},
};

/* Pages of the machine, by the stage, as tests.list asks for them. */
static const long usual_asked[] = { 24, 24, 4 };
static const long few_asked[] = { 3, 3, 1 };

static const struct shape *shapes = usual_shapes;
static size_t nr_shapes = STAGE_COUNT(usual_shapes);
static const long *asked = usual_asked;
static __u64 page = MIB(2);

#define MAX_SHAPES	STAGE_COUNT(usual_shapes)

enum { TOKEN_FILES = 1 };

static unsigned int shape_pages(const struct shape *shape)
{
	const struct part *part;
	unsigned int nr = 0;

	for (part = shape->parts; part->nr; part++)
		nr += part->nr;
	return nr;
}

static struct books books_of(long want, bool files)
{
	struct books books = { .total = want };
	size_t i;

	for (i = 0; files && i < nr_shapes; i++) {
		books.free -= shape_pages(&shapes[i]);
		books.resv += shapes[i].resv;
	}
	books.total = want > -books.free ? want : -books.free;
	books.surplus = books.total - want;
	books.free += books.total;
	return books;
}

static int make(const struct shape *shape, int index)
{
	int fd = huge_memfd(shape->name, page, shape->flags | MFD_ALLOW_SEALING);
	const struct part *part;

	require(fd >= 0, "%s: create: %d", shape->name, fd);
	require(!ftruncate(fd, shape->size * page), "%s: size", shape->name);
	/* A mapping reserves what it covers. */
	if (shape->resv)
		huge_unmap(huge_map(fd, 0, shape->size * page, page), shape->size * page);
	for (part = shape->parts; part->nr; part++)
		huge_fill(fd, index, part->from, part->nr, page);
	require(!shape->mode || !fchmod(fd, shape->mode), "mode");
	require(!shape->owner || !fchown(fd, shape->owner, shape->owner), "owner");
	require(!shape->seals || !fcntl(fd, F_ADD_SEALS, shape->seals), "%s: seals",
		shape->name);
	require(lseek(fd, shape->pos, SEEK_SET) == shape->pos, "%s: position", shape->name);
	return fd;
}

static bool content_is(int fd, const struct shape *shape, int index)
{
	const struct part *part = shape->parts;
	unsigned int at = 0;

	for (; part->nr; part++) {
		for (; at < part->from; at++)
			if (!huge_is_hole(fd, at, page))
				return false;
		if (!huge_check(fd, index, part->from, part->nr, page))
			return false;
		at = part->from + part->nr;
	}
	return at == shape->size || huge_is_hole(fd, shape->size - 1, page);
}

static void verify(int fd, const struct shape *shape, int index)
{
	const char *name = shape->name;
	struct stat st = {};

	check(lseek(fd, 0, SEEK_CUR) == shape->pos, "%s: position", name);
	check(!fstat(fd, &st) && (__u64)st.st_size == shape->size * page, "%s: size", name);
	check(st.st_blocks == (blkcnt_t)(shape_pages(shape) * (page >> 9)),
	      "%s: %lld blocks", name, (long long)st.st_blocks);
	check((!shape->mode || (st.st_mode & 07777) == shape->mode) &&
	      st.st_uid == shape->owner, "%s: mode and owner", name);
	check(fcntl(fd, F_GET_SEALS) == shape->seals, "%s: seals", name);
	check(huge_name_is(fd, name), "%s: name", name);
	check(content_is(fd, shape, index), "%s: content and holes", name);
	lseek(fd, shape->pos, SEEK_SET);
}

static void preserve_all(const int *fds)
{
	int session = stage_session_create(SESSION);
	size_t i;

	for (i = 0; i < nr_shapes; i++) {
		int err = preserve_session_add_fd(session, fds[i], TOKEN_FILES + i);

		require(!err, "%s: preserve: %d", shapes[i].name, err);
	}
	check(pool_counter("files") == (__s64)nr_shapes, "the pool counts the files");
}

static void make_all(void)
{
	int fds[MAX_SHAPES];
	size_t i;

	books_check(page, books_of(asked[0], false), "at boot");
	for (i = 0; i < nr_shapes; i++) {
		fds[i] = make(&shapes[i], i);
		verify(fds[i], &shapes[i], i);
	}
	books_check(page, books_of(asked[0], true), "made");
	preserve_all(fds);
	books_check(page, books_of(asked[0], true), "preserved");
}

static void retrieve_all(int *fds, long want)
{
	struct books books = books_of(want, true);
	int session = stage_session_retrieve(SESSION);
	size_t i;

	/* Reservations come with their files. */
	books.resv = 0;
	books_check(page, books, "before retrieve");
	for (i = 0; i < nr_shapes; i++) {
		fds[i] = preserve_session_get_fd(session, TOKEN_FILES + i);
		require(fds[i] >= 0, "%s: retrieve: %d", shapes[i].name, fds[i]);
	}
	books = books_of(want, true);
	if (books.free < books.resv)
		books.resv = 0;
	books_check(page, books, "retrieved");
	for (i = 0; i < nr_shapes; i++)
		verify(fds[i], &shapes[i], i);
	books_check(page, books, "restored");
	stage_session_finish(session);
	check(!pool_counter("incoming"), "nothing is left behind");
}

static void go_on(void)
{
	int fds[MAX_SHAPES];

	retrieve_all(fds, asked[1]);
	preserve_all(fds);
	books_check(page, books_of(asked[1], true), "preserved again");
}

static void end(void)
{
	int fds[MAX_SHAPES], fd;
	size_t i;

	retrieve_all(fds, asked[2]);
	fd = fds[page > MIB(2) ? 2 : 3];
	huge_fill(fd, 99, 0, 1, page);
	check(huge_check(fd, 99, 0, 1, page), "a retrieved file can be written");
	check(!ftruncate(fd, page) && huge_check(fd, 99, 0, 1, page), "and made smaller");
	for (i = 0; i < nr_shapes; i++)
		close(fds[i]);
	books_check(page, books_of(asked[2], false), "closed");
}

int main(int argc, char **argv)
{
	static const stage_fn stages[] = { make_all, go_on, end };

	if (argc > 1) {
		page = MIB(atoi(argv[1]));
		shapes = few_shapes;
		nr_shapes = STAGE_COUNT(few_shapes);
		asked = few_asked;
	}
	return stage_run(stages, STAGE_COUNT(stages));
}
