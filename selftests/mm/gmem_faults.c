// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the way of a guest_memfd is made to fail in turn: of making it, of filling
 * its holes, of preserving it when it is the pool's and when it is not, of retrieving it, of
 * binding it to a machine, of the VMM's first accesses and of the guest's. Each failure is a
 * clean error, what failed once works the next time, nothing is lost, and in the end the
 * pool's counters are where they began.
 *
 * Uses the kernel's fault injection, so it runs on the debug kernel.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"

#define SESSION		"faults"
#define PAGE		PLACE_PAGE
#define SIZE		KIB(256)
#define POOL		(VMM_SHARED | GUEST_MEMFD_FLAG_PRESERVE)
#define NR_RETRIEVE	24	/* more than retrieving has allocations */
#define NR_READ		4
#define MAX_NTH		400

enum { TOKEN_FIRST = 1000 };

static const struct vmm_guest_config config = { .end = SIZE, .beat_pages = 1 };

static struct vmm vmm;

/* Every second page, so that the map has something to hold. */
static int file_make(__u64 flags, __u64 seed)
{
	int fd = vmm_gmem(&vmm, SIZE, flags);
	char *map;
	__u64 at;

	require(fd >= 0, "make: %s", strerror(-fd));
	map = place_map(fd, 0, SIZE);
	for (at = 0; at < SIZE; at += 2 * PAGE)
		pattern_fill(map + at, seed, at, PAGE);
	munmap(map, SIZE);
	return fd;
}

static bool intact(int fd, __u64 seed)
{
	char *map = place_map(fd, 0, SIZE);
	bool good = true;
	__u64 at;

	for (at = 0; good && at < SIZE; at += 2 * PAGE)
		good = pattern_is(map + at, seed, at, PAGE);
	munmap(map, SIZE);
	return good;
}

static void create_faults(void)
{
	__s64 used = pool_counter("used");
	unsigned int nth, failed = 0;
	bool hit = true;
	int fd;

	for (nth = 1; hit && nth < MAX_NTH; nth++) {
		fault_arm(nth);
		fd = vmm_gmem(&vmm, SIZE, POOL);
		hit = fault_disarm();
		require(fd >= 0 || (hit && fd == -ENOMEM), "make, allocation %u: %s", nth,
			strerror(-fd));
		failed += fd < 0;
		if (fd >= 0)
			close(fd);
	}
	check(!hit && failed, "making: %u allocations, %u errors", nth - 2, failed);
	check(pool_counter("used") <= used + (__s64)PAGE, "no page is leaked: %lld, %lld",
	      (long long)pool_counter("used"), (long long)used);
}

/* A VMM's access to a page, mapped at @map; 0 or a negative errno. */
static int populate(int fd, __u64 at, char *map)
{
	return madvise(map, PAGE, MADV_POPULATE_WRITE) ? -errno : 0;
}

static int allocate(int fd, __u64 at, char *map)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, at, PAGE) ? -errno : 0;
}

/* Holes of a file that is preserved. */
static void hole_faults(const char *what, int (*fill)(int fd, __u64 at, char *map))
{
	const __s64 pages = SIZE / PAGE / 2;
	int session = stage_session_create("hole-faults"), fd = file_make(POOL, 5), err;
	unsigned int nth, failed = 0;
	bool hit = true;
	char *map;

	require(!preserve_session_add_fd(session, fd, 1), "preserve");
	for (nth = 1; hit && nth < MAX_NTH; nth++) {
		map = place_map(fd, PAGE, PAGE);
		fault_arm(nth);
		err = fill(fd, PAGE, map);
		hit = fault_disarm();
		require(!err || (hit && (err == -ENOMEM || err == -ENOSPC || err == -EFAULT)),
			"%s, allocation %u: %s", what, nth, strerror(-err));
		failed += !!err;
		require(!fill(fd, PAGE, map) && place_fdinfo(fd, "preserve-pages") == pages + 1,
			"%s: it works then", what);
		require(!fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, PAGE, PAGE) &&
			place_fdinfo(fd, "preserve-pages") == pages, "punch");
		munmap(map, PAGE);
	}
	check(!hit && failed, "%s: %u allocations, %u errors", what, nth - 2, failed);
	check(intact(fd, 5), "%s: the file is intact", what);
	close(session);
	close(fd);
}

/* A new file each time: one that has got into the pool stays there. */
static void preserve_faults(const char *what, __u64 flags)
{
	__s64 used = pool_counter("used");
	unsigned int nth, failed = 0;
	int session, fd, err;
	bool hit = true;

	for (nth = 1; hit && nth < MAX_NTH; nth++) {
		fd = file_make(flags, nth);
		session = stage_session_create("preserve-faults");
		fault_arm(nth);
		err = preserve_session_add_fd(session, fd, 1);
		hit = fault_disarm();
		require(!err || (hit && (err == -ENOMEM || err == -ENOSPC)),
			"%s, allocation %u: %s", what, nth, strerror(-err));
		failed += !!err;
		require(intact(fd, nth), "%s: intact after allocation %u", what, nth);
		if (err)
			require(!preserve_session_add_fd(session, fd, 2), "%s: it works then",
				what);
		close(session);
		require(!pool_counter("preserved") && !pool_counter("files"),
			"%s: allocation %u leaves something claimed", what, nth);
		require(intact(fd, nth), "%s: intact then", what);
		close(fd);
	}
	check(!hit && failed, "%s: %u allocations, %u errors", what, nth - 2, failed);
	check(pool_counter("used") <= used + (__s64)PAGE, "no page is leaked: %lld, %lld",
	      (long long)pool_counter("used"), (long long)used);
}

static void before(void)
{
	int session, fd;
	unsigned int i;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	close(file_make(POOL, 0));
	fault_setup();
	create_faults();
	hole_faults("a hole is filled", populate);
	hole_faults("fallocate", allocate);
	preserve_faults("preserving", POOL);
	preserve_faults("preserving a plain one", VMM_SHARED);
	session = stage_session_create(SESSION);
	for (i = 0; i < NR_RETRIEVE; i++) {
		fd = file_make(POOL, i);
		require(!preserve_session_add_fd(session, fd, TOKEN_FIRST + i), "preserve %u", i);
		close(fd);
	}
	vmm_destroy(&vmm);
}

/*
 * Every try fails one allocation later. One that is spared ends it, so each file begins with a
 * later one.
 */
static int retrieve_faults(int session, unsigned int i, unsigned int *hits)
{
	unsigned int nth;
	bool hit;
	int fd;

	for (nth = i + 1; nth < MAX_NTH; nth++) {
		fault_arm(nth);
		fd = preserve_session_get_fd(session, TOKEN_FIRST + i);
		hit = fault_disarm();
		if (fd >= 0)
			return fd;
		require(hit && (fd == -ENOMEM || fd == -ENOSPC), "retrieve, allocation %u: %s",
			nth, strerror(-fd));
		++*hits;
	}
	require(false, "a file is never retrieved");
	return -1;
}

/* A machine that has failed once is not asked again: the next one must get the file. */
static void bind_faults(int fd, unsigned int i, unsigned int *hits)
{
	struct vmm_slot slot = { .size = SIZE, .gmem = fd };
	unsigned int nth;
	int err = -1;
	bool hit;

	for (nth = i + 1; err && nth < MAX_NTH; nth++) {
		require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
		slot.host = place_map(fd, 0, SIZE);
		fault_arm(nth);
		err = vmm_slot_add(&vmm, &slot);
		hit = fault_disarm();
		if (!err)
			return;
		require(hit && err == -ENOMEM, "bind, allocation %u: %s", nth, strerror(-err));
		++*hits;
		munmap(slot.host, SIZE);
		vmm_destroy(&vmm);
	}
	require(false, "a file is never bound");
}

/* First accesses of the VMM. What fails once can be had the next time. */
static unsigned int read_faults(int fd, __u64 seed)
{
	unsigned int hits = 0, nth = 1;
	char *map;
	__u64 at;
	bool hit;
	int err;

	for (at = 0; at < SIZE; at += 2 * PAGE) {
		map = place_map(fd, at, PAGE);
		fault_arm(nth);
		err = populate(fd, at, map);
		hit = fault_disarm();
		nth = hit ? nth + 1 : 1;
		require(!err || (hit && (err == -ENOMEM || err == -EFAULT)), "access at %llu: %s",
			at, strerror(-err));
		hits += hit;
		require(pattern_is(map, seed, at, PAGE), "the next access at %llu", at);
		munmap(map, PAGE);
	}
	return hits;
}

/* As far as the guest's next page; 0 or a negative errno. */
static int guest_run(const struct vmm_cpu *cpu)
{
	if (ioctl(cpu->fd, KVM_RUN, 0))
		return -errno;
	require(cpu->run->exit_reason == KVM_EXIT_IO && cpu->run->io.port != VMM_PORT_WRONG,
		"the guest goes on: exit %u", cpu->run->exit_reason);
	return 0;
}

/* First accesses of the guest, in this thread; the machine has memory that has crossed. */
static unsigned int guest_faults(void)
{
	struct vmm_cpu *cpu = vmm_cpu_add(&vmm);
	unsigned int hits = 0, nth = 1, beats = 0;
	bool hit;
	int err;

	vmm_guest_boot(cpu, &config);
	while (beats < 2 * SIZE / PAGE) {
		fault_arm(nth);
		err = guest_run(cpu);
		hit = fault_disarm();
		nth = hit ? nth + 1 : 1;
		hits += hit;
		require(!err || (hit && (err == -ENOMEM || err == -ENOSPC)), "the guest: %s",
			strerror(-err));
		beats += !err;
	}
	return hits;
}

static void after(void)
{
	unsigned int hits = 0, binds = 0, reads = 0, guest = 0, i;
	int session = stage_session_retrieve(SESSION), fd;

	require(!text_write("/sys/kernel/mm/preserve/restore_pace", "0"), "only on demand");
	fault_setup();
	for (i = 0; i < NR_RETRIEVE; i++) {
		fd = retrieve_faults(session, i, &hits);
		bind_faults(fd, i, &binds);
		if (i % 2 && i < 2 * NR_READ)
			guest += guest_faults();
		else if (i < 2 * NR_READ)
			reads += read_faults(fd, i);
		if (!(i % 2) || i >= 2 * NR_READ)
			require(intact(fd, i), "content of file %u", i);
		vmm_destroy(&vmm);
		close(fd);
	}
	check(hits, "retrieving: %u failures of %u files, all of which come", hits, NR_RETRIEVE);
	check(binds, "binding: %u failures", binds);
	check(reads, "the VMM's first accesses: %u allocations", reads);
	check(guest, "the guest's: %u", guest);
	stage_session_finish(session);
	close(session);
	check(!pool_counter("incoming"), "nothing stays set aside: %lld",
	      (long long)pool_counter("incoming"));
	/* What is left is the metadata of an empty pool. */
	check(pool_counter("used") <= (__s64)KIB(64), "no page is leaked: %lld bytes used",
	      (long long)pool_counter("used"));
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
