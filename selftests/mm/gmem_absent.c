// SPDX-License-Identifier: GPL-2.0-only
/*
 * The next kernel has no KVM: guest_memfd files are refused, which can be tried again; other
 * files of their sessions come, and the memory is free when the sessions are finished, tried or
 * not. A session that nothing has asked for is gone with that kernel. The kernel after it has
 * KVM, and files cross as ever.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"

#define SIZE	MIB(4)
#define SEED	3

enum { TOKEN_GUEST = 1, TOKEN_PLAIN, TOKEN_MEMFD };

static int guest_new(__u64 flags)
{
	struct vmm vmm;
	void *at;
	int fd;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	fd = vmm_gmem(&vmm, SIZE, VMM_SHARED | flags);
	require(fd >= 0, "a guest_memfd: %s", strerror(-fd));
	at = place_map(fd, 0, SIZE);
	pattern_fill(at, SEED, 0, SIZE);
	munmap(at, SIZE);
	vmm_destroy(&vmm);
	return fd;
}

static bool guest_is(int fd)
{
	void *at = place_map(fd, 0, SIZE);
	bool good = pattern_is(at, SEED, 0, SIZE);

	munmap(at, SIZE);
	return good;
}

static void session_make(const char *name)
{
	int session = stage_session_create(name);
	int memfd = preserve_memfd_create(name, 0);

	require(memfd >= 0 && !pattern_write(memfd, SEED, 0, SIZE), "a memfd");
	require(!preserve_session_add_fd(session, guest_new(GUEST_MEMFD_FLAG_PRESERVE),
					 TOKEN_GUEST) &&
		!preserve_session_add_fd(session, guest_new(0), TOKEN_PLAIN) &&
		!preserve_session_add_fd(session, memfd, TOKEN_MEMFD), "%s: preserve", name);
}

static void before(void)
{
	session_make("tried");
	session_make("early");
	session_make("left");
}

static void check_refused(int session, const char *when)
{
	int guest = preserve_session_get_fd(session, TOKEN_GUEST);
	int plain = preserve_session_get_fd(session, TOKEN_PLAIN);

	check(guest == -ENODEV && plain == -ENODEV, "%s: they are refused: %d, %d", when, guest,
	      plain);
}

/* Frees what a session has, and that is as much as it should be. */
static void check_finish(int session, const char *what, __u64 size)
{
	__s64 had = pool_counter("incoming"), used = pool_counter("used");
	__s64 least = (__s64)size, most = (__s64)(size + size / 16);
	__s64 freed;

	stage_session_finish(session);
	freed = had - pool_counter("incoming");
	check(freed >= least && freed < most, "%s: %lld KiB are no longer kept, of %lld", what,
	      (long long)freed >> 10, (long long)had >> 10);
	freed = used - pool_counter("used");
	check(freed >= least && freed < most, "%s: %lld KiB are free, of %lld", what,
	      (long long)freed >> 10, (long long)used >> 10);
}

static void absent_tried(void)
{
	int session = stage_session_retrieve("tried"), memfd;

	check_refused(session, "at first");
	check_refused(session, "again");
	memfd = preserve_session_get_fd(session, TOKEN_MEMFD);
	check(memfd >= 0 && !pattern_check(memfd, SEED, 0, SIZE), "a memfd comes: %d", memfd);
	close(session);
	session = stage_session_retrieve("tried");
	check_refused(session, "in another try");
	check_finish(session, "tried", 2 * SIZE);
	check(!pattern_check(memfd, SEED, 0, SIZE), "the memfd is still there");
	close(memfd);
}

static void without(void)
{
	int session;

	check(open("/dev/kvm", O_RDWR | O_CLOEXEC) < 0, "there is no KVM");
	absent_tried();
	session = stage_session_retrieve("early");
	check_finish(session, "finished early", 3 * SIZE);
	check(pool_counter("incoming") > (__s64)(3 * SIZE), "the third session is kept");
}

static void with(void)
{
	int device = preserve_device_open(), fd;
	__s64 used;

	check(preserve_session_retrieve(device, "left") == -ENOENT, "the third session is gone");
	close(device);
	check(!pool_counter("incoming"), "its memory, too");
	used = pool_used_at_rest();
	fd = guest_new(GUEST_MEMFD_FLAG_PRESERVE);
	check(guest_is(fd), "a new file works");
	close(fd);
	check(pool_counter("used") == used, "the pool has it back");
	session_make("late");
}

static void end(void)
{
	int session = stage_session_retrieve("late");
	int guest = preserve_session_get_fd(session, TOKEN_GUEST);
	int plain = preserve_session_get_fd(session, TOKEN_PLAIN);

	require(guest >= 0 && plain >= 0, "retrieve: %d, %d", guest, plain);
	check(guest_is(guest) && guest_is(plain), "files cross as ever");
	close(guest);
	close(plain);
	stage_session_finish(session);
	check(!pool_counter("incoming"), "nothing is left behind");
}

int main(void)
{
	static const stage_fn stages[] = { before, without, with, end };

	return stage_run(stages, STAGE_COUNT(stages));
}
