// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain memfds go through a kexec: content, size, position, seals, and zeroes in
 * holes. What a kernel without our code can do, a kernel with it can, too, and
 * what the one preserves the other retrieves: an update to a kernel with our code,
 * and the way back.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION	"stock-basic"
#define SEED	7
#define SIZE	(MIB(4) + 100)
#define POS	12345
#define SEALS	(F_SEAL_SHRINK | F_SEAL_GROW)
#define HOLES	MIB(1)
#define DATA	KIB(400)
#define PAGE	KIB(4)
#define ALL	(SEALS | F_SEAL_WRITE | F_SEAL_SEAL)

enum { TOKEN_FULL = 1, TOKEN_EMPTY, TOKEN_HOLES, TOKEN_COMMITTED, NR_TOKENS };

static const char *const names[NR_TOKENS] = {
	[TOKEN_FULL] = "full",
	[TOKEN_EMPTY] = "empty",
	[TOKEN_HOLES] = "sparse",
	[TOKEN_COMMITTED] = "sealed",
};

/* The kernels are one with our code and one without by turns. */
static bool is_back;

static void add(int session, int fd, __u64 token)
{
	int err = preserve_session_add_fd(session, fd, token);

	check(!err, "the %s file is preserved: %d", names[token], err);
}

/* Its only data is one page in the middle. */
static int make_holes(void)
{
	int fd = memfd_create("holes", MFD_CLOEXEC);

	require(fd >= 0 && !ftruncate(fd, HOLES), "create a file with holes");
	require(!pattern_write(fd, SEED, DATA, PAGE), "write a page");
	return fd;
}

/* Nothing may change it, and its position is past its end. */
static int make_committed(void)
{
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	require(fd >= 0 && !pattern_write(fd, SEED, 0, PAGE + 1),
		"create a file to be sealed");
	check(!fcntl(fd, F_ADD_SEALS, ALL), "all seals are set");
	check(lseek(fd, HOLES, SEEK_SET) == (off_t)HOLES, "past its end");
	return fd;
}

/* The pool has the memory of a file for a while, and gives it back for the next kernel. */
static void in_and_out(int fd)
{
	int session = stage_session_create("in-and-out");

	add(session, fd, TOKEN_FULL);
	check(pool_counter("files") == 1, "it is in the pool");
	close(session);
	check(!pool_set("admit_plain", 0), "plain files stay out from now on");
}

static void before(void)
{
	int full, empty, session;

	full = memfd_create("full", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	empty = memfd_create("empty", MFD_CLOEXEC);
	require(full >= 0 && empty >= 0, "memfd_create");
	require(!pattern_write(full, SEED, 0, SIZE), "write the pattern");
	check(!fcntl(full, F_ADD_SEALS, SEALS), "seals are set");
	check(lseek(full, POS, SEEK_SET) == POS, "position is set");
	if (is_back && pool_counter("size") >= 0)
		in_and_out(full);
	session = stage_session_create(SESSION);
	add(session, full, TOKEN_FULL);
	add(session, empty, TOKEN_EMPTY);
	add(session, make_holes(), TOKEN_HOLES);
	add(session, make_committed(), TOKEN_COMMITTED);
	if (is_back)
		check(pool_counter("files") <= 0, "no file is the pool's");
}

static int get(int session, __u64 token)
{
	int fd = preserve_session_get_fd(session, token);

	require(fd >= 0, "the %s file is there: %d", names[token], fd);
	return fd;
}

static off_t size_of(int fd)
{
	struct stat st;

	require(!fstat(fd, &st), "fstat");
	return st.st_size;
}

static void verify_full(int fd)
{
	check(lseek(fd, 0, SEEK_CUR) == POS, "position");
	check(size_of(fd) == (off_t)SIZE, "size");
	check(fcntl(fd, F_GET_SEALS) == SEALS, "seals");
	check(!pattern_check(fd, SEED, 0, SIZE), "content");
}

static void verify_holes(int fd)
{
	check(size_of(fd) == (off_t)HOLES, "size with holes");
	check(!pattern_check(fd, SEED, DATA, PAGE), "content between holes");
	check(range_is_zero(fd, 0, DATA) &&
	      range_is_zero(fd, DATA + PAGE, HOLES - DATA - PAGE),
	      "holes are zero");
}

static void verify_committed(int fd)
{
	check(lseek(fd, 0, SEEK_CUR) == (off_t)HOLES, "position past the end");
	check(fcntl(fd, F_GET_SEALS) == ALL, "all seals: %#x",
	      fcntl(fd, F_GET_SEALS));
	check(!pattern_check(fd, SEED, 0, PAGE + 1), "sealed content");
	check(pattern_write(fd, SEED, 0, 1) == -EPERM, "it stays sealed");
}

/* The four files, looked at, and past the end of the session that brought them. */
static void retrieve(int fds[NR_TOKENS])
{
	int session = stage_session_retrieve(SESSION);

	for (__u64 token = TOKEN_FULL; token < NR_TOKENS; token++)
		fds[token] = get(session, token);
	verify_full(fds[TOKEN_FULL]);
	check(!size_of(fds[TOKEN_EMPTY]), "the empty file is empty");
	verify_holes(fds[TOKEN_HOLES]);
	verify_committed(fds[TOKEN_COMMITTED]);
	stage_session_finish(session);
	check(!pattern_check(fds[TOKEN_FULL], SEED, 0, SIZE),
	      "content past the session");
}

/* The next kernel gets what this one got. */
static void between(void)
{
	int fds[NR_TOKENS], session;

	retrieve(fds);
	if (pool_counter("size") >= 0)
		check(!pool_set("admit_plain", 0), "plain files stay out");
	session = stage_session_create(SESSION);
	for (__u64 token = TOKEN_FULL; token < NR_TOKENS; token++)
		add(session, fds[token], token);
	check(pool_counter("files") <= 0, "no file is the pool's");
}

static void after(void)
{
	int fds[NR_TOKENS], holes;

	retrieve(fds);
	holes = fds[TOKEN_HOLES];
	check(!pattern_write(holes, SEED + 1, 0, HOLES) &&
	      !pattern_check(holes, SEED + 1, 0, HOLES), "holes can be filled");
}

static const stage_fn there[] = { before, after };
static const stage_fn there_and_back[] = { before, between, after };

/* memfd_stock [back] */
int main(int argc, char **argv)
{
	is_back = argc > 1 && !strcmp(argv[1], "back");
	if (is_back)
		return stage_run(there_and_back, STAGE_COUNT(there_and_back));
	return stage_run(there, STAGE_COUNT(there));
}
