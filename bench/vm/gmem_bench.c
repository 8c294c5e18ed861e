// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memory of guests costs: runs in a VM. Prints METRIC lines for bench/parts/gmem.py.
 *
 *	gmem_bench file       preserve and retrieve 1 GiB: a guest_memfd with the flag; on a kernel
 *	                      that has it not, a memfd
 *	gmem_bench touch      what a guest pays for the first access to a page: a hole, and one that
 *	                      has crossed
 *	gmem_bench run [flag] rounds of a guest over its memory; from holes, and afterwards
 *	gmem_bench pause MIB  a kexec, from the stop of a guest to its next word
 *
 * Under -icount a nanosecond of guest time is an instruction.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "metric.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"
#include "vmm_state.h"

#define SESSION		"gmem"
#define PACE		"/sys/kernel/mm/preserve/restore_pace"
#define FILE_SIZE	GIB(1)
#define GUEST_SIZE	MIB(64)
#define PAGES		((GUEST_SIZE - VMM_GUEST_FIRST) / PLACE_PAGE)
#define ROUNDS		50
#define GUESTS		4
#define STATE_AT	MIB(1)

enum { TOKEN_MEMORY = 1, TOKEN_STATE };

static __u64 size, flags = VMM_SHARED | GUEST_MEMFD_FLAG_PRESERVE;

static bool has_flag(void)
{
	return vmm_capability(KVM_CAP_GUEST_MEMFD_FLAGS) & GUEST_MEMFD_FLAG_PRESERVE;
}

/* --- file --- */

static int file_new(void)
{
	struct vmm vmm;
	int fd;

	if (!has_flag()) {
		fd = memfd_create("guest", MFD_CLOEXEC);
		require(fd >= 0 && !ftruncate(fd, FILE_SIZE), "a memfd");
	} else {
		require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
		fd = vmm_gmem(&vmm, FILE_SIZE, flags);
		require(fd >= 0, "a guest_memfd: %s", strerror(-fd));
		vmm_destroy(&vmm);
	}
	return fd;
}

static void touch_all(int fd)
{
	char *at = place_map(fd, 0, FILE_SIZE);
	__u64 offset;

	for (offset = 0; offset < FILE_SIZE; offset += PLACE_PAGE)
		at[offset] = offset >> 12 | 1;
	munmap(at, FILE_SIZE);
}

static void file_before(void)
{
	int fd = file_new(), session = stage_session_create(SESSION), err;
	__u64 start;

	touch_all(fd);
	start = now();
	err = preserve_session_add_fd(session, fd, TOKEN_MEMORY);
	metric("preserve", now() - start);
	require(!err, "preserve: %s", strerror(-err));
	if (has_flag()) {
		metric("runs", place_fdinfo(fd, "preserve-runs"));
		metric("map_pages", place_fdinfo(fd, "preserve-map-pages"));
	}
}

static void file_after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	__u64 start = now();
	char *at;

	fd = preserve_session_get_fd(session, TOKEN_MEMORY);
	metric("retrieve", now() - start);
	require(fd >= 0, "retrieve: %s", strerror(-fd));
	at = place_map(fd, 0, FILE_SIZE);
	check(at[0] == 1 && at[FILE_SIZE - PLACE_PAGE] == (char)((FILE_SIZE - 1) >> 12 | 1),
	      "content");
}

/* --- guests --- */

static struct vmm_guest_config config = {
	.end = GUEST_SIZE,
	.beat_pages = 1 << 20,
	.full_mask = ~0U,
};

/* The first 2 GiB from address 0 on, the rest from 4 GiB on. */
static void memory_add(struct vmm *vmm, int fd)
{
	struct vmm_slot high = { .gpa = GIB(4), .gmem = fd, .offset = GIB(2) };

	vmm_memory(vmm, fd, size < GIB(2) ? size : GIB(2));
	if (size <= GIB(2))
		return;
	high.size = size - GIB(2);
	high.host = place_map(fd, GIB(2), high.size);
	require(!vmm_slot_add(vmm, &high), "more memory");
}

/* A guest that is about to run; its memory is @memory, or new. */
static struct vmm_cpu *guest_new(struct vmm *vmm, int *memory)
{
	struct vmm_cpu *cpu;

	require(!vmm_create(vmm, VMM_PLAIN), "a machine");
	if (*memory < 0)
		*memory = vmm_gmem(vmm, size, flags);
	require(*memory >= 0, "memory: %s", strerror(-*memory));
	memory_add(vmm, *memory);
	vmm->log = vmm_log_map(memfd_create("log", MFD_CLOEXEC), 0);
	cpu = vmm_cpu_add(vmm);
	vmm_guest_boot(cpu, &config);
	return cpu;
}

/* Lets it get to the end of a round, and stops it. */
static void guest_rounds(struct vmm_cpu *cpu, unsigned int nr)
{
	vmm_cpu_start(cpu);
	require(vmm_wait_rounds(cpu, nr), "round %u: %s", nr, vmm_cpu_end(cpu));
	vmm_cpu_stop(cpu);
}

/* When a round has ended, by the guest's log; 0: when it was started. */
static __u64 when(const struct vmm *vmm, unsigned int round)
{
	const enum vmm_log_kind kind = round ? VMM_LOG_ROUND : VMM_LOG_START;
	const struct vmm_log_entry *entry;
	__u64 i;

	for (i = 0; i < vmm->log->nr; i++) {
		entry = &vmm->log->entries[i];
		if (entry->kind == kind && (!round || entry->number == round))
			return entry->tsc;
	}
	require(false, "round %u is in the log", round);
	return 0;
}

static __u64 spent(const struct vmm *vmm, unsigned int from, unsigned int to)
{
	return when(vmm, to) - when(vmm, from);
}

static void touch_before(void)
{
	int fd = -1, session = stage_session_create(SESSION);
	struct vmm_cpu *cpu;
	struct vmm vmm;

	size = GUEST_SIZE;
	cpu = guest_new(&vmm, &fd);
	guest_rounds(cpu, ROUNDS);
	metric("hole", spent(&vmm, 0, 1) / PAGES);
	require(!preserve_session_add_fd(session, fd, TOKEN_MEMORY), "preserve");
}

/* The guest is started anew: to it, its memory is as good as any. */
static void touch_after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	struct vmm_cpu *cpu;
	struct vmm vmm;

	require(!text_write(PACE, "0"), "only on demand");
	size = GUEST_SIZE;
	fd = preserve_session_get_fd(session, TOKEN_MEMORY);
	require(fd >= 0, "retrieve");
	cpu = guest_new(&vmm, &fd);
	guest_rounds(cpu, ROUNDS);
	metric("crossed", spent(&vmm, 0, 1) / PAGES);
	metric("present", spent(&vmm, 1, ROUNDS) / PAGES / (ROUNDS - 1));
	check(!place_fdinfo(fd, "preserve-unrestored"), "all of it has been made");
}

/* Of a few guests the best: what else the kernel does beside them does not count. */
static void run_alone(void)
{
	__u64 first = ~0ULL, round = ~0ULL, took;
	struct vmm_cpu *cpu;
	struct vmm vmm;
	int i, nr, fd;

	size = GUEST_SIZE;
	for (i = 0; i < GUESTS; i++) {
		fd = -1;
		cpu = guest_new(&vmm, &fd);
		guest_rounds(cpu, ROUNDS);
		took = spent(&vmm, 0, 1);
		first = took < first ? took : first;
		for (nr = 1; nr < ROUNDS; nr++) {
			took = spent(&vmm, nr, nr + 1);
			round = took < round ? took : round;
		}
		vmm_destroy(&vmm);
		close(fd);
	}
	metric("first", first);
	metric("round", round);
	check(first > round, "the first round is the longest");
}

/* --- pause --- */

static void pause_before(void)
{
	int fd = -1, file = preserve_memfd_create("state", 0);
	int session = stage_session_create(SESSION);
	struct vmm_state *state;
	struct vmm_cpu *cpu;
	struct vmm vmm;

	cpu = guest_new(&vmm, &fd);
	require(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size), "fill its memory");
	state = vmm_state_map(file, STATE_AT);
	require(!preserve_session_add_fd(session, fd, TOKEN_MEMORY) &&
		!preserve_session_add_fd(session, file, TOKEN_STATE), "preserve");
	vmm_cpu_start(cpu);
	require(vmm_wait_rounds(cpu, 2), "it runs: %s", vmm_cpu_end(cpu));
	stage_load_next();
	metric("stop_tsc", __rdtsc());
	vmm_cpu_stop(cpu);
	vmm_state_save(&vmm, state);
	metric("reboot_tsc", __rdtsc());
}

static void pause_after(void)
{
	int session, fd, file;
	struct vmm_state *state;
	unsigned int said;
	struct vmm vmm;

	metric("up_tsc", __rdtsc());
	vmm_settle = false;
	session = stage_session_retrieve(SESSION);
	fd = preserve_session_get_fd(session, TOKEN_MEMORY);
	file = preserve_session_get_fd(session, TOKEN_STATE);
	require(fd >= 0 && file >= 0 && !vmm_create(&vmm, VMM_PLAIN), "retrieve");
	metric("retrieved_tsc", __rdtsc());
	memory_add(&vmm, fd);
	state = vmm_state_map(file, STATE_AT);
	require(!vmm_state_load(&vmm, state), "load the state");
	said = vmm_state_round(state);
	vmm.log = vmm_log_map(file, 0);
	vmm.log->nr = 0;
	guest_rounds(&vmm.cpus[0], said + 1);
	metric("first_tsc", vmm.log->entries[1].tsc);
}

int main(int argc, char **argv)
{
	static const stage_fn file[] = { file_before, file_after };
	static const stage_fn touch[] = { touch_before, touch_after };
	static const stage_fn run[] = { run_alone };
	static const stage_fn pause[] = { pause_before, pause_after };

	require(argc > 1, "usage: gmem_bench file|touch|run|pause");
	vmm_silence = 3000;
	if (!strcmp(argv[1], "file"))
		return stage_run(file, STAGE_COUNT(file));
	if (!strcmp(argv[1], "touch"))
		return stage_run(touch, STAGE_COUNT(touch));
	if (!strcmp(argv[1], "pause")) {
		size = MIB(atoi(argv[2]));
		config.beat_pages = 16;
		return stage_run(pause, STAGE_COUNT(pause));
	}
	if (argc == 2)
		flags &= ~GUEST_MEMFD_FLAG_PRESERVE;
	return stage_run(run, STAGE_COUNT(run));
}
