/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual machine monitor of KVM for x86, as small as it can be, and the guest of vmm_guest.h.
 *
 * A machine has memory slots, an interrupt controller in the kernel and up to two CPUs. Each CPU
 * runs in a thread of its own while the test does something else: it counts what the guest says,
 * and puts times of it into a log, see vmm_log.h. A CPU that is stopped has no instruction half
 * done, and can be saved, see vmm_state.h.
 *
 *	vmm_create(&vmm, VMM_PLAIN);
 *	fd = vmm_gmem(&vmm, size, VMM_SHARED);
 *	host = vmm_memory(&vmm, fd, size);
 *	cpu = vmm_cpu_add(&vmm);
 *	vmm_guest_boot(cpu, &config);
 *	vmm_cpu_start(cpu);
 *	vmm_wait_rounds(cpu, 3);
 *	vmm_cpu_stop(cpu);
 *	vmm_destroy(&vmm);
 *
 * Functions that give an int give 0 or a descriptor, or a negative errno; the others end the test
 * when they fail.
 */

#ifndef VMM_H
#define VMM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <linux/kvm.h>
#include <linux/types.h>

#include "vmm_guest.h"
#include "vmm_log.h"

#define VMM_CPUS	2
#define VMM_SLOTS	8

/* Types of machines. */
#define VMM_PLAIN	KVM_X86_DEFAULT_VM
#define VMM_PRIVATE	KVM_X86_SW_PROTECTED_VM

/* Flags of a guest_memfd that the VMM can map and that the guest finds shared. */
#define VMM_SHARED	(GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED)

/* Headers may be those of a kernel that has it not. */
#ifndef GUEST_MEMFD_FLAG_PRESERVE
#define GUEST_MEMFD_FLAG_PRESERVE	(1ULL << 30)
#endif

/* What has ended the run of a CPU. */
enum vmm_end {
	VMM_RUNS,	/* nothing */
	VMM_STOPPED,	/* vmm_cpu_stop() */
	VMM_WRONG,	/* the guest has found something wrong */
	VMM_FAILED,	/* KVM: another exit, or an error */
};

/**
 * struct vmm_wrong - what the guest has said, or KVM
 * @what:  VMM_WRONG_*; with VMM_FAILED the exit's reason, or a negative errno of KVM_RUN
 * @where: see vmm_guest.h; with VMM_FAILED, RIP
 * @want:  what should be there
 * @found: what is
 */
struct vmm_wrong {
	int what;
	__u64 where;
	__u64 want;
	__u64 found;
};

struct vmm;

/**
 * struct vmm_cpu - a CPU
 * @vmm:     its machine
 * @fd:      KVM's
 * @run:     what KVM shares of it
 * @thread:  which runs it
 * @started: there is a thread
 * @stop:    the thread shall end
 * @end:     what has ended its run, an enum vmm_end
 * @beats:   the last heartbeat's number
 * @rounds:  rounds that the guest has ended, since its first start
 * @ticks:   its timer's interrupts at the end of that round
 * @said:    heartbeats and rounds that were said to this CPU here
 * @wrong:   with VMM_WRONG and VMM_FAILED
 */
struct vmm_cpu {
	struct vmm *vmm;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	atomic_bool stop;
	atomic_int end;
	atomic_uint beats;
	atomic_uint rounds;
	atomic_ullong ticks;
	atomic_ulong said;
	struct vmm_wrong wrong;
};

/**
 * struct vmm_slot - a range of the guest's memory
 * @gpa:    where the guest has it
 * @size:   bytes
 * @host:   where the VMM has it; with a guest_memfd of private memory, the shared part
 * @gmem:   a guest_memfd; -1: the guest has what is mapped at @host
 * @offset: of the guest_memfd
 */
struct vmm_slot {
	__u64 gpa;
	__u64 size;
	void *host;
	int gmem;
	__u64 offset;
};

/**
 * struct vmm - a machine
 * @fd:       KVM's
 * @type:     KVM's type of it
 * @run_size: bytes of struct kvm_run
 * @pit:      it has a timer of the old kind
 * @nr_cpus:  how many
 * @cpus:     these
 * @nr_slots: how many
 * @slots:    these
 * @log:      where heartbeats are put down, or NULL
 */
struct vmm {
	int fd;
	unsigned long type;
	size_t run_size;
	bool pit;
	unsigned int nr_cpus;
	struct vmm_cpu cpus[VMM_CPUS];
	unsigned int nr_slots;
	struct vmm_slot slots[VMM_SLOTS];
	struct vmm_log *log;
};

/* What KVM says of a capability: 0 for no. */
int vmm_capability(int capability);

/* Whether making a machine waits until the kernel knows how fast its time stamp counter is. */
extern bool vmm_settle;

/* Makes a machine of a type, which has an interrupt controller; adds a timer. */
int vmm_create(struct vmm *vmm, unsigned long type);
void vmm_pit_add(struct vmm *vmm);

/* Stops its CPUs, unmaps and closes all that is the machine's. Memory is the caller's. */
void vmm_destroy(struct vmm *vmm);

/* A guest_memfd of the machine. */
int vmm_gmem(const struct vmm *vmm, __u64 size, __u64 flags);

/* Gives the guest memory; takes away the slot that was added last. */
int vmm_slot_add(struct vmm *vmm, const struct vmm_slot *slot);
void vmm_slot_drop(struct vmm *vmm);

/* Makes a range of the guest's memory private, or shared. */
int vmm_private(const struct vmm *vmm, __u64 gpa, __u64 size, bool private);

/*
 * All of a guest_memfd as the memory from address 0 on. In a machine of type VMM_PRIVATE the
 * guest has it as private memory. Gives where the VMM has it, or the shared part of it. The slot
 * is there for as long as the descriptor is open, or the file mapped.
 */
void *vmm_memory(struct vmm *vmm, int gmem, __u64 size);

/* A CPU, which has all that KVM supports; or none of it yet, for vmm_state_load(). */
struct vmm_cpu *vmm_cpu_add(struct vmm *vmm);
struct vmm_cpu *vmm_cpu_add_bare(struct vmm *vmm);

/* Sets a CPU of a machine with memory to the guest's start; adds VMM_GUEST_AVX if that is so. */
void vmm_guest_boot(struct vmm_cpu *cpu, const struct vmm_guest_config *config);

/*
 * What runs from private memory can be read by the processor only. One that does not tell KVM
 * which instruction it has stopped at, as an emulated one, makes KVM read that where the shared
 * part is: shows the guest's image there, too. Such instructions do not use memory in it.
 * vmm_guest_boot() does it.
 */
void vmm_guest_show(const struct vmm *vmm);

/* Lets it run until it is stopped, or ends by itself. */
void vmm_cpu_start(struct vmm_cpu *cpu);
enum vmm_end vmm_cpu_stop(struct vmm_cpu *cpu);

/*
 * Wait until the guest has ended its round @nr, or has counted @nr ticks by the end of one. False
 * if it has not got there: it has ended, or said nothing for vmm_silence seconds.
 */
extern unsigned int vmm_silence;
bool vmm_wait_rounds(struct vmm_cpu *cpu, unsigned int nr);
bool vmm_wait_ticks(struct vmm_cpu *cpu, __u64 nr);

/* Waits until the guest has found something wrong, round @nr being the last that it ends. */
bool vmm_wait_wrong(struct vmm_cpu *cpu, unsigned int nr);

/* What has ended a CPU's run, in words; the next call writes over it. */
const char *vmm_cpu_end(const struct vmm_cpu *cpu);

/*
 * Looks at the memory of a guest that has been stopped, as the guest would. @round and @at are
 * its r15 and r13. The address of the first word that is wrong, or 0.
 */
__u64 vmm_guest_look(const void *memory, __u64 size, __u64 round, __u64 at);

#endif /* VMM_H */
