/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of a virtual machine without its memory: one structure, to be put into memory that
 * the next kernel has, too.
 *
 * A machine's CPUs are stopped when it is saved. It is loaded into a machine that is of the same
 * type and has its memory, but no CPUs, and has been given vmm_pit_add() if the other one had;
 * its CPUs are then where they were. Time stands still for the guest meanwhile: KVM's clock and
 * the time stamp counter go on from where they were.
 *
 * Each part has the layout that KVM gives it; see Documentation/virt/kvm/api.rst.
 */

#ifndef VMM_STATE_H
#define VMM_STATE_H

#include <linux/kvm.h>
#include <linux/types.h>

#include "vmm.h"

#define VMM_STATE_MAGIC		0x65746174736d6d76ULL	/* "vmmstate" */
#define VMM_STATE_VERSION	1
#define VMM_STATE_CPUIDS	128
#define VMM_STATE_MSRS		256
#define VMM_STATE_XSAVE		16384
#define VMM_STATE_CHIPS		3

/**
 * struct vmm_state_cpu - a CPU
 * @nr_cpuids:  entries of @cpuids
 * @nr_msrs:    entries of @msrs: those that the CPU has; that of the timer's deadline is the last
 * @xsave_size: bytes of @xsave
 * @tsc_khz:    rate of the time stamp counter
 * @cpuids:     what the CPU has, as KVM_GET_CPUID2 gives it
 * @msrs:       of those that KVM_GET_MSR_INDEX_LIST names
 * @regs:       general registers
 * @sregs:      control registers, segments, the APIC's base
 * @xcrs:       extended control registers
 * @debug:      debug registers
 * @lapic:      the local APIC
 * @events:     exceptions, interrupts and NMIs on their way
 * @mp:         does it run, or is it halted?
 * @xsave:      of x87, vectors and more, as KVM_GET_XSAVE2 gives it
 */
struct vmm_state_cpu {
	__u32 nr_cpuids;
	__u32 nr_msrs;
	__u32 xsave_size;
	__u32 tsc_khz;
	struct kvm_cpuid_entry2 cpuids[VMM_STATE_CPUIDS];
	struct kvm_msr_entry msrs[VMM_STATE_MSRS];
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	__u8 xsave[VMM_STATE_XSAVE] __attribute__((aligned(64)));
};

/**
 * struct vmm_state - a machine
 * @magic:    VMM_STATE_MAGIC
 * @version:  VMM_STATE_VERSION
 * @size:     bytes of the structure
 * @checksum: of all that is behind it
 * @type:     of the machine
 * @nr_cpus:  CPUs
 * @pit:      1: @pit_state is in use
 * @clock:    KVM's clock
 * @chips:    the interrupt controllers: two PICs and an I/O APIC
 * @pit_state: the old timer
 * @cpus:     CPUs
 */
struct vmm_state {
	__u64 magic;
	__u32 version;
	__u32 size;
	__u64 checksum;
	__u64 type;
	__u32 nr_cpus;
	__u32 pit;
	struct kvm_clock_data clock;
	struct kvm_irqchip chips[VMM_STATE_CHIPS];
	struct kvm_pit_state2 pit_state;
	struct vmm_state_cpu cpus[VMM_CPUS];
};

/* Saves a machine whose CPUs are stopped; a failure ends the test. */
void vmm_state_save(struct vmm *vmm, struct vmm_state *state);

/*
 * Verifies all that can be, and then gives the machine its CPUs. -EINVAL: another version, or
 * type, or sizes that cannot be; -EILSEQ: the checksum; else what KVM says, with a message.
 */
int vmm_state_load(struct vmm *vmm, const struct vmm_state *state);

/* Makes the checksum right again, for a test that changes something. */
void vmm_state_seal(struct vmm_state *state);

/* Where the guest of CPU 0 is; see vmm_guest_look(). */
__u64 vmm_state_round(const struct vmm_state *state);
__u64 vmm_state_page(const struct vmm_state *state);

/* The value of an MSR of CPU 0, to look at or to change; ends the test without. */
__u64 *vmm_state_msr(struct vmm_state *state, __u32 index);

/* A structure at an offset of a file, which grows if it is shorter. */
struct vmm_state *vmm_state_map(int fd, __u64 offset);

#endif /* VMM_STATE_H */
