// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a guest moves while the guest runs and finds every byte: into the pool, when a file
 * that was not made for it is preserved, again and again with new guests; and within the pool,
 * when that is packed. A page that is pinned keeps such a file from being preserved, until it
 * is unpinned; the guest does not notice.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"

#define COMPACT		"/sys/kernel/mm/preserve/compact"
#define ADMIT_PLAIN	"/sys/kernel/mm/preserve/admit_plain"
#define SIZE		MIB(16)
#define PAGES		(SIZE / PLACE_PAGE)
#define GUESTS		4
#define TRIES		50

static const struct vmm_guest_config config = {
	.end = SIZE,
	.beat_pages = 512,
	.full_mask = 3,
	.timer = 10000000,
};

static struct vmm vmm;
static struct vmm_cpu *cpu;

static int machine_new(__u64 flags)
{
	int fd;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	fd = vmm_gmem(&vmm, SIZE, VMM_SHARED | flags);
	require(fd >= 0, "a guest_memfd: %s", strerror(-fd));
	return fd;
}

static void guest_start(int fd)
{
	vmm_memory(&vmm, fd, SIZE);
	cpu = vmm_cpu_add(&vmm);
	vmm_guest_boot(cpu, &config);
	vmm_cpu_start(cpu);
}

/* It runs on for some rounds, and finds nothing wrong. */
static void guest_runs(const char *when)
{
	bool runs = vmm_wait_rounds(cpu, cpu->rounds + 4);

	check(runs, "%s: the guest runs: round %u; %s", when, cpu->rounds, vmm_cpu_end(cpu));
}

static void guest_end(int fd)
{
	require(vmm_cpu_stop(cpu) == VMM_STOPPED, "it is stopped: %s", vmm_cpu_end(cpu));
	vmm_destroy(&vmm);
	close(fd);
}

static int try_preserve(int fd)
{
	int session = stage_session_create("move");
	int err = preserve_session_add_fd(session, fd, 1);

	close(session);
	return err;
}

static void into_the_pool(void)
{
	int fd, err, i;

	for (i = 0; i < GUESTS; i++) {
		fd = machine_new(0);
		guest_start(fd);
		/* The first one is moved while it meets its memory. */
		if (i)
			guest_runs("outside");
		err = try_preserve(fd);
		check(!err, "memory of a guest that runs is preserved: %s", strerror(-err));
		guest_runs("in the pool");
		check(place_fdinfo(fd, "preserve-pages") > 0, "the pool has it");
		guest_end(fd);
	}
}

/* The administrator's next kernel may be one that knows nothing of such files. */
static void not_admitted(void)
{
	int fd = machine_new(0), err;

	require(!text_write(ADMIT_PLAIN, "0"), "admit_plain");
	err = try_preserve(fd);
	check(err == -EOPNOTSUPP, "not admitted: %s", strerror(-err));
	require(!text_write(ADMIT_PLAIN, "1"), "admit_plain");
	err = try_preserve(fd);
	check(!err, "admitted: %s", strerror(-err));
	vmm_destroy(&vmm);
	close(fd);
}

static void pin_holds(void)
{
	int fd = machine_new(0), pin, err, tries;

	guest_start(fd);
	guest_runs("before the pin");
	pin = place_pin(fd, PLACE_PAGE);
	err = try_preserve(fd);
	check(err == -EBUSY, "a pinned page keeps it from being preserved: %s", strerror(-err));
	guest_runs("with a pin");
	close(pin);
	/* The kernel unpins it at its leisure. */
	for (tries = 0; tries < TRIES; tries++) {
		err = try_preserve(fd);
		if (err != -EBUSY)
			break;
		usleep(100000);
	}
	check(!err, "without it is preserved: %s", strerror(-err));
	guest_runs("without");
	guest_end(fd);
}

/* A page for itself each: from the end on. */
static int scattered(void)
{
	int fd = machine_new(GUEST_MEMFD_FLAG_PRESERVE);
	__u64 at;

	for (at = SIZE; at; at -= PLACE_PAGE)
		require(!fallocate(fd, FALLOC_FL_KEEP_SIZE, at - PLACE_PAGE, PLACE_PAGE),
			"a page: %s", strerror(errno));
	return fd;
}

static void within_the_pool(void)
{
	int fd = scattered(), i;
	__s64 before = place_fdinfo(fd, "preserve-runs"), after;

	guest_start(fd);
	guest_runs("scattered");
	for (i = 0; i < 3; i++)
		require(!text_write(COMPACT, "1"), "pack the pool");
	after = place_fdinfo(fd, "preserve-runs");
	guest_runs("packed");
	check(before > (__s64)PAGES / 8 && after < before / 8, "its runs become fewer: %lld, %lld",
	      (long long)before, (long long)after);
	guest_end(fd);
}

static void run(void)
{
	into_the_pool();
	not_admitted();
	pin_holds();
	within_the_pool();
}

static const stage_fn stages[] = { run };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
