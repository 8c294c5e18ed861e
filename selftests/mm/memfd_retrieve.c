// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ways to retrieve: twice, by a wrong token, by a wrong session, not at all.
 * Files that nobody wants give their pages back.
 */

#include <errno.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define WANTED		"wanted"
#define UNWANTED	"unwanted"
#define UNOPENED	"unopened"
#define SEED		5
#define SIZE		MIB(2)

enum { TOKEN_STATE = 1, TOKEN_FILE, TOKEN_OTHER, TOKEN_NONE };

static int make(const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0, "create %s: %d", name, fd);
	require(!pattern_write(fd, SEED, 0, SIZE), "fill %s", name);
	return fd;
}

static void add(int session, int fd, int token)
{
	int err = preserve_session_add_fd(session, fd, token);

	require(!err, "preserve: %d", err);
}

static void before(void)
{
	__s64 used = pool_used_at_rest();
	int wanted = stage_session_create(WANTED);
	int unwanted = stage_session_create(UNWANTED);
	int unopened = stage_session_create(UNOPENED);
	int state = preserve_memfd_create("state", 0);
	int lost = make("not preserved");

	require(used >= 0, "read the pool's counter");
	require(pwrite(state, &used, sizeof(used), 0) == sizeof(used),
		"write the state");
	add(wanted, state, TOKEN_STATE);
	add(wanted, make("wanted"), TOKEN_FILE);
	add(wanted, make("ignored"), TOKEN_OTHER);
	add(unwanted, make("unwanted"), TOKEN_FILE);
	add(unopened, make("unopened"), TOKEN_FILE);
	check(lost >= 0, "a file is not preserved");
}

static void retrieve_twice(int session)
{
	int first = preserve_session_get_fd(session, TOKEN_FILE);
	int second = preserve_session_get_fd(session, TOKEN_FILE);
	char byte = 42, got = 0;

	require(first >= 0, "retrieve: %d", first);
	require(second >= 0, "retrieve again: %d", second);
	check(!pattern_check(second, SEED, 0, SIZE), "content");
	check(pwrite(first, &byte, 1, 100) == 1 &&
	      pread(second, &got, 1, 100) == 1 && got == byte,
	      "both descriptors are one file");
	close(first);
	close(second);
}

static void after(void)
{
	int wanted = stage_session_retrieve(WANTED);
	int unwanted = stage_session_retrieve(UNWANTED);
	int device = preserve_device_open();
	__s64 incoming, was = 0;
	int state;

	require(device >= 0, "open the device");
	check(preserve_session_retrieve(device, "unknown") == -ENOENT,
	      "an unknown session");
	check(preserve_session_retrieve(device, WANTED) == -EINVAL,
	      "a session that is already retrieved");
	check(preserve_session_get_fd(wanted, TOKEN_NONE) == -ENOENT,
	      "a wrong token");
	check(preserve_session_add_fd(wanted, 0, TOKEN_NONE) == -EINVAL,
	      "an incoming session preserves nothing");

	state = preserve_session_get_fd(wanted, TOKEN_STATE);
	require(pread(state, &was, sizeof(was), 0) == sizeof(was),
		"read the state");
	close(state);
	retrieve_twice(wanted);

	incoming = pool_counter("incoming");
	check(incoming >= (__s64)(3 * SIZE), "three files are incoming: %lld",
	      (long long)incoming);
	stage_session_finish(unwanted);
	check(pool_counter("incoming") <= incoming - (__s64)SIZE,
	      "a session that finishes gives its files back");
	stage_session_finish(wanted);
	check(pool_counter("incoming") <= incoming - 2 * (__s64)SIZE,
	      "a file that nobody got is given back");

	/* Closing is finishing. */
	close(preserve_session_retrieve(device, UNOPENED));
	check(!pool_counter("incoming"), "nothing is left behind: %lld",
	      (long long)pool_counter("incoming"));
	check(pool_counter("used") == was,
	      "the pool has all pages back: %lld, was %lld",
	      (long long)pool_counter("used"), (long long)was);
	close(device);
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
