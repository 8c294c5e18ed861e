// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many kexecs in a row with a set of memfds that grows and shrinks. In each
 * kernel every byte of every file is checked, some files are dropped, some are
 * changed, new ones are made. At the end the pool has all its pages.
 *
 * The argument is the number of kernels. What a file has to look like follows
 * from the round in which it was made, so nothing but the first kernel's count
 * of used bytes has to be remembered. "plain" as second argument uses plain
 * memfds, which any kernel with live update can preserve.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"soak"
#define PAGE		KIB(4)
#define TOKEN_STATE	1
#define TOKEN_FILES	100
#define PER_ROUND	4

static unsigned int nr_rounds;
static bool plain;

/* The rounds that a file made in @round lives for: 1 to 7. */
static unsigned int life(unsigned int round, unsigned int nr)
{
	return 1 + (round * 5 + nr * 3) % 7;
}

static bool lives(unsigned int made, unsigned int nr, unsigned int round)
{
	return made <= round && round < made + life(made, nr);
}

static __u64 seed_of(unsigned int made, unsigned int nr)
{
	return made * PER_ROUND + nr;
}

/* One dense, one of every second page, one sparse, one of a single byte. */
static __u64 stride_of(unsigned int nr)
{
	static const __u64 strides[PER_ROUND] = { PAGE, 2 * PAGE, MIB(1), PAGE };

	return strides[nr];
}

static unsigned int pages_of(unsigned int made, unsigned int nr)
{
	return nr == 3 ? 1 : 16 + (made * 37 + nr * 101) % 240;
}

/* A file gets one more page in each round that it sees. */
static unsigned int pages_at(unsigned int made, unsigned int nr,
			     unsigned int round)
{
	return pages_of(made, nr) + (round - made);
}

static int write_page(int fd, unsigned int made, unsigned int nr,
		      unsigned int page)
{
	return pattern_write(fd, seed_of(made, nr), page * stride_of(nr), PAGE);
}

static int make(unsigned int round, unsigned int nr)
{
	unsigned int page;
	int fd;

	fd = plain ? memfd_create("soak", MFD_CLOEXEC) :
	     preserve_memfd_create("soak", 0);
	require(fd >= 0, "create: %d", fd);
	for (page = 0; page < pages_of(round, nr); page++)
		require(!write_page(fd, round, nr, page), "write");
	return fd;
}

/* Holes of plain files are filled when they are preserved. */
static bool is_right(int fd, unsigned int made, unsigned int nr,
		     unsigned int pages)
{
	__u64 stride = stride_of(nr);
	unsigned int page;

	for (page = 0; page < pages; page++) {
		if (pattern_check(fd, seed_of(made, nr), page * stride, PAGE))
			return false;
		if (stride > PAGE && page + 1 < pages &&
		    !range_is_zero(fd, page * stride + PAGE, PAGE))
			return false;
	}
	if (lseek(fd, 0, SEEK_END) != (off_t)((pages - 1) * stride + PAGE))
		return false;
	return plain || file_allocated(fd) == (__s64)(pages * PAGE);
}

static unsigned int token_of(unsigned int made, unsigned int nr)
{
	return TOKEN_FILES + made * PER_ROUND + nr;
}

/* Checks the files of the last round; those that live on get one more page. */
static unsigned int carry_on(int incoming, unsigned int round)
{
	unsigned int made, nr, wrong = 0;

	for (made = 0; made < round; made++) {
		for (nr = 0; nr < PER_ROUND; nr++) {
			int fd;

			if (!lives(made, nr, round - 1))
				continue;
			fd = preserve_session_get_fd(incoming,
						     token_of(made, nr));
			require(fd >= 0, "file %u of round %u: %d", nr, made,
				fd);
			if (!is_right(fd, made, nr,
				      pages_at(made, nr, round - 1)))
				wrong++;
			if (lives(made, nr, round))
				require(!write_page(fd, made, nr,
						    pages_at(made, nr, round) -
						    1), "grow");
			close(fd);
		}
	}
	return wrong;
}

/*
 * A file belongs to its session until that finishes, so the files are opened
 * anew by a second pass over the descriptors that LUO still knows.
 */
static void preserve_living(int incoming, int session, unsigned int round)
{
	unsigned int made, nr, nr_files = 0;
	int fds[8 * PER_ROUND], tokens[8 * PER_ROUND];

	for (made = round > 7 ? round - 7 : 0; made <= round; made++) {
		for (nr = 0; nr < PER_ROUND; nr++) {
			if (!lives(made, nr, round))
				continue;
			tokens[nr_files] = token_of(made, nr);
			fds[nr_files] = made == round ? make(round, nr) :
				preserve_session_get_fd(incoming,
							tokens[nr_files]);
			require(fds[nr_files] >= 0, "open again");
			nr_files++;
		}
	}
	if (incoming >= 0)
		stage_session_finish(incoming);
	while (nr_files--) {
		int err = preserve_session_add_fd(session, fds[nr_files],
						  tokens[nr_files]);

		require(!err, "preserve: %d", err);
		close(fds[nr_files]);
	}
}

static __s64 used(void)
{
	return plain ? 0 : pool_counter("used");
}

/* What the later kernels have to know of the first. */
struct first {
	__s64 used;
	__s64 max;
};

static struct first first_get(void)
{
	struct first first = { .used = used() };

	require(first.used >= 0, "read the pool's counter: %lld",
		(long long)first.used);
	first.max = plain ? 0 : pool_counter("max");
	return first;
}

/* Memory of the kernel itself differs a little. */
static void check_max(__s64 max)
{
	if (!plain)
		check(llabs(pool_counter("max") - max) <= (__s64)MIB(16),
		      "the limit is as it was: %lld, was %lld",
		      (long long)pool_counter("max"), (long long)max);
}

static void round_run(void)
{
	unsigned int round = stage_number(), wrong = 0;
	int incoming = -1, session, state;
	bool last = round + 1 == nr_rounds;
	struct first first;

	if (!round && !plain)
		pool_used_at_rest();
	first = first_get();
	if (round) {
		incoming = stage_session_retrieve(SESSION);
		state = preserve_session_get_fd(incoming, TOKEN_STATE);
		require(pread(state, &first, sizeof(first), 0) ==
			sizeof(first), "read the state");
		check_max(first.max);
	} else {
		state = memfd_create("state", MFD_CLOEXEC |
				     (plain ? 0 : MFD_PRESERVE));
		require(pwrite(state, &first, sizeof(first), 0) ==
			sizeof(first), "write the state");
	}

	wrong = carry_on(incoming, round);
	check(!wrong, "round %u: all files are right (%u wrong)", round, wrong);
	if (last) {
		stage_session_finish(incoming);
		close(state);
		check(used() == first.used,
		      "the pool has all pages: %lld, was %lld",
		      (long long)used(), (long long)first.used);
		return;
	}
	session = stage_session_create(SESSION);
	preserve_living(incoming, session, round);
	require(!preserve_session_add_fd(session, state, TOKEN_STATE),
		"preserve the state");
	check(plain || !pool_counter("incoming"), "nothing is left behind");
}

int main(int argc, char **argv)
{
	nr_rounds = argc > 1 ? atoi(argv[1]) : 50;
	plain = argc > 2 && !strcmp(argv[2], "plain");
	return stage_run_rounds(round_run, nr_rounds);
}
