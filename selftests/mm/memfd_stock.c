// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain memfds go through a kexec: content, size, position, seals, and zeroes in
 * holes. What a kernel without our code can do, a kernel with it can, too.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "liveupdate.h"
#include "memory.h"
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

enum { TOKEN_FULL = 1, TOKEN_EMPTY, TOKEN_HOLES, TOKEN_COMMITTED };

static void add(int session, int fd, __u64 token, const char *what)
{
	int err = preserve_session_add_fd(session, fd, token);

	check(!err, "the %s file is preserved: %d", what, err);
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

static void before(void)
{
	int session = stage_session_create(SESSION);
	int full, empty;

	full = memfd_create("full", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	empty = memfd_create("empty", MFD_CLOEXEC);
	require(full >= 0 && empty >= 0, "memfd_create");
	require(!pattern_write(full, SEED, 0, SIZE), "write the pattern");
	check(!fcntl(full, F_ADD_SEALS, SEALS), "seals are set");
	check(lseek(full, POS, SEEK_SET) == POS, "position is set");
	add(session, full, TOKEN_FULL, "full");
	add(session, empty, TOKEN_EMPTY, "empty");
	add(session, make_holes(), TOKEN_HOLES, "sparse");
	add(session, make_committed(), TOKEN_COMMITTED, "sealed");
}

static int get(int session, __u64 token, const char *what)
{
	int fd = preserve_session_get_fd(session, token);

	require(fd >= 0, "the %s file is there: %d", what, fd);
	return fd;
}

static void verify_holes(int fd)
{
	check(lseek(fd, 0, SEEK_END) == (off_t)HOLES, "size with holes");
	check(!pattern_check(fd, SEED, DATA, PAGE), "content between holes");
	check(range_is_zero(fd, 0, DATA) &&
	      range_is_zero(fd, DATA + PAGE, HOLES - DATA - PAGE),
	      "holes are zero");
	check(!pattern_write(fd, SEED + 1, 0, HOLES) &&
	      !pattern_check(fd, SEED + 1, 0, HOLES), "they can be filled");
}

static void verify_committed(int fd)
{
	check(lseek(fd, 0, SEEK_CUR) == (off_t)HOLES, "position past the end");
	check(fcntl(fd, F_GET_SEALS) == ALL, "all seals: %#x",
	      fcntl(fd, F_GET_SEALS));
	check(!pattern_check(fd, SEED, 0, PAGE + 1), "sealed content");
	check(pattern_write(fd, SEED, 0, 1) == -EPERM, "it stays sealed");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	int full = get(session, TOKEN_FULL, "full");
	int empty = get(session, TOKEN_EMPTY, "empty");

	check(lseek(full, 0, SEEK_CUR) == POS, "position");
	check(lseek(full, 0, SEEK_END) == (off_t)SIZE, "size");
	check(fcntl(full, F_GET_SEALS) == SEALS, "seals");
	check(!pattern_check(full, SEED, 0, SIZE), "content");
	check(!lseek(empty, 0, SEEK_END), "the empty file is empty");
	verify_holes(get(session, TOKEN_HOLES, "sparse"));
	verify_committed(get(session, TOKEN_COMMITTED, "sealed"));
	stage_session_finish(session);
	check(!pattern_check(full, SEED, 0, SIZE),
	      "content past the session");
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
