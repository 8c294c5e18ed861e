// SPDX-License-Identifier: GPL-2.0-only
/*
 * See vmm_state.h.
 *
 * The order in which a CPU is loaded: what it has, before anything that depends on it; control
 * registers with the local APIC's base, before the APIC; the APIC before MSRs, as its timer's
 * deadline is one; events and the state of running at the end, as others reset them.
 */

#include "vmm_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stage.h"

#define MSR_TSC_DEADLINE	0x6e0
#define FNV_BASIS		0xcbf29ce484222325ULL
#define FNV_PRIME		0x100000001b3ULL

/**
 * struct part - what one ioctl gets and another one sets
 * @name:   for messages
 * @get:    ioctl
 * @set:    ioctl
 * @offset: in the state of the CPU
 */
struct part {
	const char *name;
	unsigned long get;
	unsigned long set;
	size_t offset;
};

#define PART(name, what, member)	\
	{ name, KVM_GET_##what, KVM_SET_##what, offsetof(struct vmm_state_cpu, member) }

/* In the order of loading. */
static const struct part early[] = {
	PART("control registers", SREGS2, sregs),
	PART("registers", REGS, regs),
	PART("XCRs", XCRS, xcrs),
};

static const struct part late[] = {
	PART("debug registers", DEBUGREGS, debug),
	PART("local APIC", LAPIC, lapic),
};

static const struct part last[] = {
	PART("events", VCPU_EVENTS, events),
	PART("running state", MP_STATE, mp),
};

static __u64 checksum(const struct vmm_state *state)
{
	const unsigned char *byte = (const unsigned char *)&state->type;
	const unsigned char *end = (const unsigned char *)(state + 1);
	__u64 sum = FNV_BASIS;

	for (; byte < end; byte++)
		sum = (sum ^ *byte) * FNV_PRIME;
	return sum;
}

void vmm_state_seal(struct vmm_state *state)
{
	state->checksum = checksum(state);
}

static void parts_get(const struct vmm_cpu *cpu, struct vmm_state_cpu *state,
		      const struct part *parts, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		require(!ioctl(cpu->fd, parts[i].get, (char *)state + parts[i].offset),
			"save %s: %s", parts[i].name, strerror(errno));
}

static int failed(const char *name)
{
	int err = errno ? -errno : -EIO;

	ksft_print_msg("load %s: %s\n", name, strerror(-err));
	return err;
}

static int parts_set(const struct vmm_cpu *cpu, const struct vmm_state_cpu *state,
		     const struct part *parts, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (ioctl(cpu->fd, parts[i].set, (const char *)state + parts[i].offset))
			return failed(parts[i].name);
	}
	return 0;
}

static void cpuids_get(const struct vmm_cpu *cpu, struct vmm_state_cpu *state)
{
	struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + sizeof(state->cpuids));

	require(list, "memory");
	list->nent = VMM_STATE_CPUIDS;
	require(!ioctl(cpu->fd, KVM_GET_CPUID2, list) && list->nent <= VMM_STATE_CPUIDS,
		"save features: %s", strerror(errno));
	state->nr_cpuids = list->nent;
	memcpy(state->cpuids, list->entries, list->nent * sizeof(list->entries[0]));
	free(list);
}

static int cpuids_set(const struct vmm_cpu *cpu, const struct vmm_state_cpu *state)
{
	struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + sizeof(state->cpuids));
	int err;

	require(list, "memory");
	list->nent = state->nr_cpuids;
	memcpy(list->entries, state->cpuids, list->nent * sizeof(list->entries[0]));
	err = ioctl(cpu->fd, KVM_SET_CPUID2, list) ? failed("features") : 0;
	free(list);
	return err;
}

/* The names of those that KVM has, the deadline's last. */
static void msrs_name(struct vmm_state_cpu *state)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_msr_list *list;
	bool deadline = false;
	__u32 i;

	list = calloc(1, sizeof(*list) + VMM_STATE_MSRS * sizeof(list->indices[0]));
	require(list, "memory");
	list->nmsrs = VMM_STATE_MSRS;
	require(!ioctl(kvm, KVM_GET_MSR_INDEX_LIST, list), "list MSRs: %s", strerror(errno));
	close(kvm);
	state->nr_msrs = 0;
	for (i = 0; i < list->nmsrs; i++) {
		if (list->indices[i] == MSR_TSC_DEADLINE)
			deadline = true;
		else
			state->msrs[state->nr_msrs++].index = list->indices[i];
	}
	if (deadline)
		state->msrs[state->nr_msrs++].index = MSR_TSC_DEADLINE;
	free(list);
}

/* KVM_GET_MSRS gives so many; one that this CPU does not have is the next. */
static void msrs_get(const struct vmm_cpu *cpu, struct vmm_state_cpu *state)
{
	struct kvm_msrs *list = calloc(1, sizeof(*list) + sizeof(state->msrs));
	int nr;

	require(list, "memory");
	msrs_name(state);
	for (;;) {
		list->nmsrs = state->nr_msrs;
		memcpy(list->entries, state->msrs, sizeof(state->msrs));
		nr = ioctl(cpu->fd, KVM_GET_MSRS, list);
		require(nr >= 0, "save MSRs: %s", strerror(errno));
		if ((__u32)nr == state->nr_msrs)
			break;
		memmove(&state->msrs[nr], &state->msrs[nr + 1],
			(--state->nr_msrs - nr) * sizeof(state->msrs[0]));
	}
	memcpy(state->msrs, list->entries, sizeof(state->msrs));
	free(list);
}

/*
 * KVM_SET_MSRS takes so many; the next one is refused. What the CPU has already is left out: KVM
 * complains of some that it only lets be zero.
 */
static int msrs_set(const struct vmm_cpu *cpu, const struct vmm_state_cpu *state)
{
	struct kvm_msrs *list = calloc(1, sizeof(*list) + sizeof(state->msrs));
	__u32 i, nr = 0;
	int done;

	require(list, "memory");
	list->nmsrs = state->nr_msrs;
	memcpy(list->entries, state->msrs, sizeof(state->msrs));
	done = ioctl(cpu->fd, KVM_GET_MSRS, list);
	for (i = 0; i < state->nr_msrs; i++) {
		if ((int)i >= done || list->entries[i].data != state->msrs[i].data)
			list->entries[nr++] = state->msrs[i];
	}
	list->nmsrs = nr;
	done = ioctl(cpu->fd, KVM_SET_MSRS, list);
	if (done >= 0 && (__u32)done < nr)
		ksft_print_msg("MSR %#x is refused\n", list->entries[done].index);
	free(list);
	return done == (int)nr ? 0 : failed("MSRs");
}

static void xsave_get(const struct vmm_cpu *cpu, struct vmm_state_cpu *state)
{
	int size = ioctl(cpu->vmm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	/* KVM always writes the structure as it was before it could be longer. */
	state->xsave_size = size > (int)sizeof(struct kvm_xsave) ? size : sizeof(struct kvm_xsave);
	require(state->xsave_size <= VMM_STATE_XSAVE &&
		!ioctl(cpu->fd, size > 0 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, state->xsave),
		"save vector registers: %s", strerror(errno));
}

static void cpu_save(const struct vmm_cpu *cpu, struct vmm_state_cpu *state)
{
	int khz = ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0);

	require(!cpu->started, "a CPU that is saved is stopped");
	state->tsc_khz = khz > 0 ? khz : 0;
	cpuids_get(cpu, state);
	/* The state of running first: what has come for a halted CPU wakes it. */
	parts_get(cpu, state, last, STAGE_COUNT(last));
	parts_get(cpu, state, early, STAGE_COUNT(early));
	xsave_get(cpu, state);
	parts_get(cpu, state, late, STAGE_COUNT(late));
	msrs_get(cpu, state);
}

/*
 * Where the processor cannot change it, the rate is what it was. A kernel measures it anew, and a
 * difference in that would make KVM push the counter forward.
 */
static int tsc_rate_set(const struct vmm_cpu *cpu, const struct vmm_state_cpu *state)
{
	if (!state->tsc_khz || !vmm_capability(KVM_CAP_TSC_CONTROL) ||
	    ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0) == (int)state->tsc_khz)
		return 0;
	if (ioctl(cpu->fd, KVM_SET_TSC_KHZ, (unsigned long)state->tsc_khz))
		return failed("the counter's rate");
	return 0;
}

static int cpu_load(const struct vmm_cpu *cpu, const struct vmm_state_cpu *state)
{
	int err = cpuids_set(cpu, state);

	if (!err)
		err = tsc_rate_set(cpu, state);
	if (!err)
		err = parts_set(cpu, state, early, STAGE_COUNT(early));
	if (!err && ioctl(cpu->fd, KVM_SET_XSAVE, state->xsave))
		err = failed("vector registers");
	if (!err)
		err = parts_set(cpu, state, late, STAGE_COUNT(late));
	if (!err)
		err = msrs_set(cpu, state);
	if (!err)
		err = parts_set(cpu, state, last, STAGE_COUNT(last));
	return err;
}

void vmm_state_save(struct vmm *vmm, struct vmm_state *state)
{
	unsigned int i;

	memset(state, 0, sizeof(*state));
	state->magic = VMM_STATE_MAGIC;
	state->version = VMM_STATE_VERSION;
	state->size = sizeof(*state);
	state->type = vmm->type;
	state->nr_cpus = vmm->nr_cpus;
	state->pit = vmm->pit;
	for (i = 0; i < vmm->nr_cpus; i++)
		cpu_save(&vmm->cpus[i], &state->cpus[i]);
	for (i = 0; i < VMM_STATE_CHIPS; i++) {
		state->chips[i].chip_id = i;
		require(!ioctl(vmm->fd, KVM_GET_IRQCHIP, &state->chips[i]),
			"save interrupt controller %u: %s", i, strerror(errno));
	}
	require(!vmm->pit || !ioctl(vmm->fd, KVM_GET_PIT2, &state->pit_state), "save the timer");
	require(!ioctl(vmm->fd, KVM_GET_CLOCK, &state->clock), "save the clock");
	vmm_state_seal(state);
}

static int verify(const struct vmm *vmm, const struct vmm_state *state)
{
	__u32 i;

	if (state->magic != VMM_STATE_MAGIC || state->version != VMM_STATE_VERSION ||
	    state->size != sizeof(*state))
		return -EINVAL;
	if (state->checksum != checksum(state))
		return -EILSEQ;
	if (state->type != vmm->type || state->pit != vmm->pit || vmm->nr_cpus ||
	    !state->nr_cpus || state->nr_cpus > VMM_CPUS)
		return -EINVAL;
	for (i = 0; i < state->nr_cpus; i++) {
		const struct vmm_state_cpu *cpu = &state->cpus[i];

		if (cpu->nr_cpuids > VMM_STATE_CPUIDS || cpu->nr_msrs > VMM_STATE_MSRS ||
		    cpu->xsave_size > VMM_STATE_XSAVE)
			return -EINVAL;
	}
	return 0;
}

/* Without the flags, which would let time go on in between. */
static int clock_load(const struct vmm *vmm, const struct vmm_state *state)
{
	struct kvm_clock_data clock = { .clock = state->clock.clock };

	return ioctl(vmm->fd, KVM_SET_CLOCK, &clock) ? failed("the clock") : 0;
}

int vmm_state_load(struct vmm *vmm, const struct vmm_state *state)
{
	int err = verify(vmm, state);
	__u32 i;

	if (err)
		return err;
	for (i = 0; i < VMM_STATE_CHIPS; i++) {
		if (ioctl(vmm->fd, KVM_SET_IRQCHIP, &state->chips[i]))
			return failed("an interrupt controller");
	}
	if (state->pit && ioctl(vmm->fd, KVM_SET_PIT2, &state->pit_state))
		return failed("the timer");
	for (i = 0; i < state->nr_cpus; i++) {
		struct vmm_cpu *cpu = vmm_cpu_add_bare(vmm);

		err = cpu_load(cpu, &state->cpus[i]);
		if (err)
			return err;
	}
	return clock_load(vmm, state);
}

__u64 vmm_state_round(const struct vmm_state *state)
{
	return state->cpus[0].regs.r15;
}

__u64 vmm_state_page(const struct vmm_state *state)
{
	return state->cpus[0].regs.r13;
}

__u64 *vmm_state_msr(struct vmm_state *state, __u32 index)
{
	struct vmm_state_cpu *cpu = &state->cpus[0];
	__u32 i;

	for (i = 0; i < cpu->nr_msrs; i++) {
		if (cpu->msrs[i].index == index)
			return &cpu->msrs[i].data;
	}
	require(false, "there is no MSR %#x", index);
	return NULL;
}

struct vmm_state *vmm_state_map(int fd, __u64 offset)
{
	__u64 size = sizeof(struct vmm_state);
	struct vmm_state *state;
	struct stat st;

	require(!fstat(fd, &st) && ((__u64)st.st_size >= offset + size ||
				    !ftruncate(fd, offset + size)), "room for a state");
	state = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	require(state != MAP_FAILED, "map a state");
	return state;
}
