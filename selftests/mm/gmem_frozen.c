// SPDX-License-Identifier: GPL-2.0-only
/*
 * What preserved guest_memfd files allow until the kexec. Preserved ones: everything, and what
 * comes and goes is so after the kexec. Frozen ones: guest and VMM write to pages that are
 * there; holes are neither punched nor filled, and whoever faults into one waits until the file
 * thaws, or is killed. Closing the last descriptor of one that a memory slot is made of changes
 * nothing.
 *
 * Files are frozen in the order in which they were preserved. The last one waits until the test
 * is through with the others, and fails: all thaw.
 *
 * With the argument "plain", the files are not made for the pool: they enter it when they are
 * preserved.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"

#define SESSION		"gmem-frozen"
#define SIZE		MIB(1)
#define BLOCKER		GIB(8)
#define ALLOCATED_MAX	MIB(64)
#define PAGE		PLACE_PAGE
#define NR_PAGES	(SIZE / PAGE)
#define SEED		3
#define PUNCH		(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)
#define FAIL_FREEZE	"/sys/kernel/debug/preserve/fail_freeze"
#define HOLD_FREEZE	"/sys/kernel/debug/preserve/hold_freeze"

/* In this order they are preserved. */
enum { RUNNING, WAITING, PRIVATE, HOLES, BLOCKING, FAILING, NR_FILES };

/*
 * Page by page, in units of @UNIT pages. The first four are there when the file is preserved;
 * NEVER stays a hole.
 */
#define UNIT		16
#define AT(unit)	((unit) * UNIT * PAGE)

enum { KEPT, PUNCHED, REWRITTEN, KEPT_TOO, FAULTED, ALLOCATED, WAITED, NEVER };

static const struct vmm_guest_config config = {
	.end = SIZE,
	.beat_pages = 16,
	.full_mask = 15,
};

/**
 * struct guest - a file and its machine
 * @fd:   the file
 * @host: that, mapped; for PRIVATE the shared part
 * @vmm:  the machine
 * @cpu:  its CPU, for those that have one
 */
struct guest {
	int fd;
	char *host;
	struct vmm vmm;
	struct vmm_cpu *cpu;
};

static struct guest guests[NR_FILES];

/* GUEST_MEMFD_FLAG_PRESERVE, or not. */
static __u64 pool = GUEST_MEMFD_FLAG_PRESERVE;

static void guest_new(struct guest *guest, unsigned long type, __u64 size)
{
	__u64 flags = pool | (type == VMM_PRIVATE ? 0 : VMM_SHARED);

	require(!vmm_create(&guest->vmm, type), "a machine");
	guest->fd = vmm_gmem(&guest->vmm, size, flags);
	require(guest->fd >= 0, "memory: %s", strerror(-guest->fd));
	guest->host = vmm_memory(&guest->vmm, guest->fd, size);
}

static void guest_boot(struct guest *guest)
{
	guest->cpu = vmm_cpu_add(&guest->vmm);
	vmm_guest_boot(guest->cpu, &config);
}

static bool guest_gets_on(struct guest *guest)
{
	return vmm_wait_rounds(guest->cpu, guest->cpu->rounds + 2);
}

static void make_all(void)
{
	int i;

	for (i = 0; i < NR_FILES; i++)
		guest_new(&guests[i], i == PRIVATE ? VMM_PRIVATE : VMM_PLAIN,
			  i == BLOCKING ? BLOCKER : SIZE);
	guest_boot(&guests[RUNNING]);
	guest_boot(&guests[WAITING]);
	vmm_cpu_start(guests[RUNNING].cpu);
	require(guest_gets_on(&guests[RUNNING]), "a guest runs: %s",
		vmm_cpu_end(guests[RUNNING].cpu));
	pattern_fill(guests[HOLES].host, SEED, 0, AT(FAULTED));
}

static void preserve_all(void)
{
	int session = stage_session_create(SESSION), i, err;

	for (i = 0; i < NR_FILES; i++) {
		err = preserve_session_add_fd(session, guests[i].fd, i + 1);
		require(!err, "preserve %d: %s", i, strerror(-err));
	}
}

static bool pages_are(int nr, __u64 pages)
{
	return place_fdinfo(guests[nr].fd, "preserve-pages") == (__s64)pages;
}

static bool falloc_is(int nr, int mode, int unit, int want)
{
	return (fallocate(guests[nr].fd, mode, AT(unit), AT(1)) ? errno : 0) == want;
}

/* All of it goes on while the file is preserved. */
static void preserved(void)
{
	char *host = guests[HOLES].host;

	check(pages_are(HOLES, 4 * UNIT), "preserve fills no hole");
	check(falloc_is(HOLES, PUNCH, PUNCHED, 0), "before: punch");
	check(falloc_is(HOLES, FALLOC_FL_KEEP_SIZE, ALLOCATED, 0), "before: allocate");
	pattern_fill(host + AT(FAULTED), SEED, AT(FAULTED), AT(1));
	check(pages_are(HOLES, 5 * UNIT), "before: pages come and go");
	check(guest_gets_on(&guests[RUNNING]), "before: the guest runs");
}

static pid_t child(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "a process");
	return pid;
}

static int child_end(pid_t pid)
{
	int status;

	require(waitpid(pid, &status, 0) == pid, "wait for a process");
	return status;
}

static pid_t block(void)
{
	pid_t pid = child();

	if (!pid)
		_exit(fallocate(guests[BLOCKING].fd, FALLOC_FL_KEEP_SIZE, 0, ALLOCATED_MAX) ?
		      errno : 0);
	while (place_fdinfo(guests[BLOCKING].fd, "preserve-pages") < (__s64)NR_PAGES)
		usleep(1000);
	return pid;
}

static pid_t kexec_fails(void)
{
	pid_t pid;

	require(!text_write(FAIL_FREEZE, "6"), "the last file fails");
	pid = child();
	if (!pid)
		_exit(-preserve_kexec_reboot());
	return pid;
}

static bool frozen(int nr)
{
	return !falloc_is(nr, PUNCH, NEVER, 0);
}

/* Frozen before PRIVATE, and so HOLES, or the test ends in silence. */
static void wait_frozen(void)
{
	while (!frozen(HOLES))
		usleep(1000);
}

static void check_holes_stay(void)
{
	check(falloc_is(HOLES, PUNCH, KEPT, EPERM), "frozen: no punch");
	check(falloc_is(HOLES, PUNCH, NEVER, EPERM), "frozen: no punch of what is a hole");
	check(falloc_is(HOLES, FALLOC_FL_KEEP_SIZE, NEVER, EPERM), "frozen: no allocation");
	check(falloc_is(HOLES, FALLOC_FL_KEEP_SIZE, KEPT, EPERM),
	      "frozen: none of what is there");
	check(falloc_is(PRIVATE, FALLOC_FL_KEEP_SIZE, KEPT, EPERM), "frozen: nor of a private one");
}

static void check_pages_change(void)
{
	void *again = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, guests[HOLES].fd, 0);

	check(again != MAP_FAILED, "frozen: it can be mapped");
	if (again == MAP_FAILED)
		return;
	pattern_fill((char *)again + AT(REWRITTEN), SEED + 1, AT(REWRITTEN), AT(1));
	check(pattern_is(guests[HOLES].host + AT(REWRITTEN), SEED + 1, AT(REWRITTEN), AT(1)),
	      "frozen: pages can be written");
	munmap(again, SIZE);
	check(!vmm_private(&guests[PRIVATE].vmm, 0, SIZE / 2, false) &&
	      !vmm_private(&guests[PRIVATE].vmm, 0, SIZE / 2, true), "frozen: attributes change");
	check(guest_gets_on(&guests[RUNNING]), "frozen: the guest runs: %s",
	      vmm_cpu_end(guests[RUNNING].cpu));
}

/* The VMM that faults is a process of its own: one that waits has its mm locked. */
static pid_t fault(void)
{
	pid_t pid = child();

	if (!pid) {
		pattern_fill(guests[HOLES].host + AT(WAITED), SEED, AT(WAITED), AT(1));
		_exit(0);
	}
	return pid;
}

/* Nothing but a fatal signal ends the wait of one; the file is as it was. */
static void check_wait_killed(void)
{
	pid_t pid = fault();
	int status;

	require(guest_gets_on(&guests[RUNNING]), "time goes by");
	check(!waitpid(pid, NULL, WNOHANG), "frozen: another fault waits");
	kill(pid, SIGKILL);
	status = child_end(pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && frozen(HOLES) &&
	      pages_are(HOLES, 5 * UNIT), "frozen: it can be killed: %#x", status);
}

/* As long as a guest that need not wait takes for far more. */
static void check_faults_wait(pid_t fault)
{
	check(guest_gets_on(&guests[RUNNING]), "frozen: the guest runs on");
	check(!guests[WAITING].cpu->said && pages_are(WAITING, 0), "frozen: a guest's fault waits");
	check(!waitpid(fault, NULL, WNOHANG) && pages_are(HOLES, 5 * UNIT),
	      "frozen: the VMM's fault waits");
}

static void check_thawed(pid_t fault)
{
	bool runs = vmm_wait_rounds(guests[WAITING].cpu, 2);

	check(runs, "thawed: the guest goes on: %s", vmm_cpu_end(guests[WAITING].cpu));
	check(!child_end(fault) && pages_are(HOLES, 6 * UNIT), "thawed: so does the VMM");
	check(falloc_is(HOLES, FALLOC_FL_KEEP_SIZE, NEVER, 0) && pages_are(HOLES, 7 * UNIT),
	      "thawed: allocate");
	check(falloc_is(HOLES, PUNCH, NEVER, 0) && pages_are(HOLES, 6 * UNIT), "thawed: punch");
	check(guest_gets_on(&guests[RUNNING]), "thawed: the first guest runs");
}

static void freeze_and_thaw(void)
{
	pid_t blocker = block(), kexec, faulting;
	__s64 filled;

	require(!text_write(HOLD_FREEZE, "1"), "the last freeze waits");
	kexec = kexec_fails();
	wait_frozen();
	check(WEXITSTATUS(child_end(blocker)) == EPERM, "a long fallocate() comes to its end");
	check_holes_stay();
	vmm_cpu_start(guests[WAITING].cpu);
	faulting = fault();
	check_pages_change();
	check_faults_wait(faulting);
	check_wait_killed();
	check(frozen(HOLES) && !waitpid(kexec, NULL, WNOHANG), "frozen all the while");
	require(!text_write(HOLD_FREEZE, "0"), "go on");
	check(WEXITSTATUS(child_end(kexec)) == EIO, "the kexec fails");
	filled = place_fdinfo(guests[BLOCKING].fd, "preserve-pages") * (__s64)PAGE;
	check(filled < (__s64)ALLOCATED_MAX, "it has not waited for all of an allocation");
	ksft_print_msg("%lld MiB of %llu\n", (long long)filled >> 20,
		       ALLOCATED_MAX >> 20);
	check_thawed(faulting);
}

/* All of a large file is punched, again and again: the kexec gets its turn in between. */
static void freeze_beside_punch(void)
{
	int shared = memfd_create("count", MFD_CLOEXEC);
	atomic_uint *punched;
	pid_t puncher, kexec;
	unsigned int before;

	require(!ftruncate(shared, PAGE), "a file");
	punched = place_map(shared, 0, PAGE);
	puncher = child();
	while (!puncher) {
		if (!fallocate(guests[BLOCKING].fd, PUNCH, 0, BLOCKER))
			(*punched)++;
	}
	while (!*punched)
		usleep(1000);
	before = *punched;
	kexec = kexec_fails();
	check(WEXITSTATUS(child_end(kexec)) == EIO, "beside a punch: the kexec fails");
	ksft_print_msg("%u times punched meanwhile\n", *punched - before);
	before = *punched;
	while (*punched == before)
		usleep(1000);
	check(!waitpid(puncher, NULL, WNOHANG), "beside a punch: it goes on");
	kill(puncher, SIGKILL);
	child_end(puncher);
	munmap(punched, PAGE);
	close(shared);
}

/* The machines' slots are still there when the kexec comes, and their descriptors closed. */
static void close_all(void)
{
	const __s64 files = pool_counter("files");
	int i;

	require(!fallocate(guests[BLOCKING].fd, PUNCH, 0, BLOCKER), "punch");
	check(vmm_cpu_stop(guests[RUNNING].cpu) == VMM_STOPPED &&
	      vmm_cpu_stop(guests[WAITING].cpu) == VMM_STOPPED, "the guests are stopped");
	for (i = 0; i < NR_FILES; i++)
		close(guests[i].fd);
	check(files == NR_FILES && pool_counter("files") == files, "closed files are preserved");
	check(guests[HOLES].host[AT(KEPT_TOO)] == guests[HOLES].host[AT(KEPT_TOO)],
	      "and mapped");
}

static void before(void)
{
	require(!vm_load_next(), "load the next kernel");
	make_all();
	preserve_all();
	preserved();
	freeze_and_thaw();
	freeze_beside_punch();
	close_all();
}

static void check_holes(int fd)
{
	static const int seeds[] = {
		[KEPT] = SEED, [REWRITTEN] = SEED + 1, [KEPT_TOO] = SEED, [FAULTED] = SEED,
		[WAITED] = SEED, [NEVER] = 0,
	};
	unsigned char seen[NR_PAGES];
	char *at = place_map(fd, 0, SIZE), zeroes[AT(1)] = {};
	int unit;

	check(place_fdinfo(fd, "preserve-pages") == 6 * UNIT, "as many pages as there were");
	for (unit = KEPT; unit < NEVER; unit++)
		if (seeds[unit])
			check(pattern_is(at + AT(unit), seeds[unit], AT(unit), AT(1)),
			      "unit %d: content", unit);
	check(!memcmp(at + AT(ALLOCATED), zeroes, AT(1)), "what was allocated is empty");
	check(!mincore(at, SIZE, seen) && !memchr(seen + NEVER * UNIT, 1, UNIT) &&
	      !memchr(seen + PUNCHED * UNIT, 1, UNIT), "what was punched is a hole");
	munmap(at, SIZE);
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fds[NR_FILES], i;

	for (i = 0; i < NR_FILES; i++) {
		fds[i] = preserve_session_get_fd(session, i + 1);
		require(fds[i] >= 0, "retrieve %d: %s", i, strerror(-fds[i]));
	}
	check_holes(fds[HOLES]);
	check(place_fdinfo(fds[RUNNING], "preserve-pages") ==
	      place_fdinfo(fds[WAITING], "preserve-pages") &&
	      place_fdinfo(fds[WAITING], "preserve-pages") > 0, "the guests have all their pages");
	check(!place_fdinfo(fds[PRIVATE], "preserve-pages") &&
	      !place_fdinfo(fds[BLOCKING], "preserve-pages"), "the others have none");
	stage_session_finish(session);
	for (i = 0; i < NR_FILES; i++)
		close(fds[i]);
	check(!pool_counter("incoming"), "nothing is left behind");
}

int main(int argc, char **argv)
{
	static const stage_fn stages[] = { before, after };

	if (argc > 1 && !strcmp(argv[1], "plain"))
		pool = 0;
	return stage_run(stages, STAGE_COUNT(stages));
}
