// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory policies of guest_memfd files, made for the pool or not: pages land where mbind and
 * set_mempolicy want them, and stay there when the file enters the pool. After a kexec the
 * policies are there, and new pages follow them, the VMM's and the guest's.
 *
 * A user without privileges can make such files, as far as /dev/kvm is open, but not preserve
 * them.
 *
 * With the argument "off", the next kernel knows one node: policies that need another are gone,
 * the content is not.
 */

#include <errno.h>
#include <fcntl.h>
#include <numa.h>
#include <numaif.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"

/* Newer than Debian 12's headers. */
#define WEIGHTED	6

#define SESSION		"gmem-policy"
#define USER		1000
#define SEED		3
#define PAGE		PLACE_PAGE
/* Each half of a file has a policy; a half of each is filled before the kexec. */
#define HALVES		2
#define HALF_PAGES	64
#define FILLED		32
#define HALF		(HALF_PAGES * PAGE)
#define SIZE		(HALVES * HALF)
#define GUEST_PAGE	(VMM_GUEST_FIRST / PAGE)

/**
 * struct kind - how pages of a file get their places
 * @name:  for messages
 * @task:  by the policy of the task that fills it, otherwise by the file's
 * @mode:  of the policy
 * @nodes: of each half, a mask
 */
struct kind {
	const char *name;
	bool task;
	int mode;
	unsigned long nodes[HALVES];
};

static const struct kind kinds[] = {
	{ "bind first", false, MPOL_BIND, { 1, 1 } },
	{ "bind second", false, MPOL_BIND, { 2, 2 } },
	{ "bind both", false, MPOL_BIND, { 1, 2 } },
	{ "preferred second", false, MPOL_PREFERRED, { 2, 1 } },
	{ "interleave", false, MPOL_INTERLEAVE, { 3, 3 } },
	{ "weighted interleave", false, WEIGHTED, { 3, 3 } },
	{ "the task's", true, MPOL_BIND, { 2, 2 } },
};

#define NR_KINDS	STAGE_COUNT(kinds)
/* Each kind for the pool, then plain. */
#define NR_FILES	(2 * NR_KINDS)

static bool one_node;

static const struct kind *kind_of(size_t file)
{
	return &kinds[file % NR_KINDS];
}

static const char *name_of(size_t file)
{
	return file < NR_KINDS ? "pool" : "plain";
}

static void bind_half(int fd, const struct kind *kind, int half)
{
	unsigned long nodes = kind->nodes[half];
	void *at = place_map(fd, half * HALF, HALF);

	check(!mbind(at, HALF, kind->mode, &nodes, 8 * sizeof(nodes), 0), "%s: mbind",
	      kind->name);
	munmap(at, HALF);
}

static void fill(int fd, const struct kind *kind, int half, int from)
{
	const off_t offset = half * HALF + from * PAGE;
	unsigned long nodes = kind->nodes[half];
	void *at = place_map(fd, offset, FILLED * PAGE);

	require(!kind->task || !set_mempolicy(kind->mode, &nodes, 8 * sizeof(nodes)),
		"%s: set the policy", kind->name);
	pattern_fill(at, SEED, offset, FILLED * PAGE);
	set_mempolicy(MPOL_DEFAULT, NULL, 0);
	munmap(at, FILLED * PAGE);
}

/* Are these pages of a half where the kind wants them? Shows them if not. */
static bool places_are(int fd, const struct kind *kind, int half, int from, int nr)
{
	char *at = place_map(fd, half * HALF + from * PAGE, nr * PAGE), text[HALF_PAGES + 1] = "";
	int counts[2] = {}, i, node;
	bool good = true;

	for (i = 0; i < nr; i++) {
		place_touch(at + i * PAGE);
		node = place_node(at + i * PAGE);
		text[i] = '0' + node;
		good &= node == 0 || node == 1;
		counts[node == 1]++;
	}
	munmap(at, nr * PAGE);
	if (kind->nodes[half] == 3)
		good &= counts[0] >= nr / 2 - 1 && counts[1] >= nr / 2 - 1;
	else
		good &= counts[kind->nodes[half] >> 1] == nr;
	if (!good)
		ksft_print_msg("nodes: %s\n", text);
	return good;
}

static void check_places(int fd, size_t file, int from, int nr, const char *when)
{
	const struct kind *kind = kind_of(file);

	check(places_are(fd, kind, 0, from, nr) && places_are(fd, kind, 1, from, nr),
	      "%s, %s: %s: pages are right", kind->name, name_of(file), when);
}

static void check_policy(int fd, size_t file, int half, bool there)
{
	const struct kind *kind = kind_of(file);
	void *at = place_map(fd, half * HALF, HALF);
	unsigned long nodes = 0;
	int mode = -1, err;

	err = get_mempolicy(&mode, &nodes, 8 * sizeof(nodes), at, MPOL_F_ADDR);
	check(!err && mode == (there ? kind->mode : MPOL_DEFAULT) &&
	      nodes == (there ? kind->nodes[half] : 0), "%s, %s: policy %d, nodes %#lx",
	      kind->name, name_of(file), mode, nodes);
	munmap(at, HALF);
}

static int make(size_t file)
{
	const struct kind *kind = kind_of(file);
	struct vmm vmm;
	int fd, half;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	fd = vmm_gmem(&vmm, SIZE, VMM_SHARED | (file < NR_KINDS ? GUEST_MEMFD_FLAG_PRESERVE : 0));
	require(fd >= 0, "memory: %s", strerror(-fd));
	for (half = 0; half < HALVES; half++) {
		if (!kind->task)
			bind_half(fd, kind, half);
		fill(fd, kind, half, 0);
		check_policy(fd, file, half, !kind->task);
	}
	check_places(fd, file, 0, FILLED, "made");
	vmm_destroy(&vmm);
	return fd;
}

/* What the kernel lets a user do. The device is open before. */
static int user_can(int kvm, int *made)
{
	struct kvm_create_guest_memfd create = {
		.size = SIZE, .flags = VMM_SHARED | GUEST_MEMFD_FLAG_PRESERVE,
	};
	int vm = ioctl(kvm, KVM_CREATE_VM, VMM_PLAIN), fd;
	void *at;

	fd = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_GUEST_MEMFD, &create);
	if (fd < 0)
		return -errno;
	at = place_map(fd, 0, SIZE);
	pattern_fill(at, SEED, 0, SIZE);
	*made = place_fdinfo(fd, "preserve-pages") == SIZE / PAGE;
	return preserve_device_open();
}

static void check_user(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), status, made = 0, err;
	pid_t pid;

	require(kvm >= 0, "open /dev/kvm");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (setresgid(USER, USER, USER) || setresuid(USER, USER, USER))
			_exit(1);
		err = user_can(kvm, &made);
		_exit(!made ? 2 : err == -EACCES || err == -EPERM ? 0 : 3);
	}
	require(waitpid(pid, &status, 0) == pid, "wait for a process");
	check(!status, "a user makes such a file, and does not preserve it: %#x", status);
	close(kvm);
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd, err;
	size_t file;

	require(numa_available() >= 0 && numa_max_node() == 1, "two nodes");
	check_user();
	for (file = 0; file < NR_FILES; file++) {
		fd = make(file);
		err = preserve_session_add_fd(session, fd, file + 1);
		check(!err, "preserve: %s", strerror(-err));
		check_places(fd, file, 0, FILLED, "preserved");
	}
}

/* A guest's first touch of all pages that it walks. */
static void guest_fills(int fd, size_t file)
{
	const struct vmm_guest_config config = {
		.end = SIZE, .beat_pages = 16, .full_mask = 15,
	};
	const struct kind *kind = kind_of(file);
	struct vmm_cpu *cpu;
	struct vmm vmm;
	bool runs;

	require(!fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, SIZE), "punch");
	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	vmm_memory(&vmm, fd, SIZE);
	cpu = vmm_cpu_add(&vmm);
	vmm_guest_boot(cpu, &config);
	vmm_cpu_start(cpu);
	runs = vmm_wait_rounds(cpu, 1);
	require(runs && vmm_cpu_stop(cpu) == VMM_STOPPED, "a guest runs: %s", vmm_cpu_end(cpu));
	check(places_are(fd, kind, 0, GUEST_PAGE, HALF_PAGES - GUEST_PAGE) &&
	      places_are(fd, kind, 1, 0, HALF_PAGES), "%s, %s: a guest's pages are right",
	      kind->name, name_of(file));
	vmm_destroy(&vmm);
}

static void check_content(int fd, size_t file)
{
	void *at = place_map(fd, 0, SIZE);

	check(pattern_is(at, SEED, 0, FILLED * PAGE) &&
	      pattern_is((char *)at + HALF, SEED, HALF, FILLED * PAGE) &&
	      place_fdinfo(fd, "preserve-pages") == HALVES * FILLED, "%s, %s: content",
	      kind_of(file)->name, name_of(file));
	munmap(at, SIZE);
}

static void verify(int fd, size_t file)
{
	const struct kind *kind = kind_of(file);
	int half;

	check_places(fd, file, 0, FILLED, "retrieved");
	for (half = 0; half < HALVES; half++)
		check_policy(fd, file, half, !kind->task);
	if (kind->task)
		return;
	for (half = 0; half < HALVES; half++)
		fill(fd, kind, half, FILLED);
	check_places(fd, file, 0, HALF_PAGES, "filled later");
	guest_fills(fd, file);
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	size_t file;

	require(numa_max_node() == !one_node, "the nodes are as expected");
	for (file = 0; file < NR_FILES; file++) {
		fd = preserve_session_get_fd(session, file + 1);
		require(fd >= 0, "retrieve: %s", strerror(-fd));
		check_content(fd, file);
		if (one_node)
			check_policy(fd, file, 1, kind_of(file)->nodes[1] == 1);
		else
			verify(fd, file);
		close(fd);
	}
	stage_session_finish(session);
	check(!pool_counter("incoming"), "nothing is left behind");
}

int main(int argc, char **argv)
{
	static const stage_fn stages[] = { before, after };

	one_node = argc > 1 && !strcmp(argv[1], "off");
	return stage_run(stages, STAGE_COUNT(stages));
}
