// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest of KVM runs from a guest_memfd; it is stopped, and saved without its memory. A new
 * machine with a copy of the memory goes on with it, also in another process, and finds every
 * byte and every register as it has left them. A byte or a register that is not so is found:
 * each of the guest's checks fails once. Private memory: a guest runs from it.
 *
 * Nothing crosses a kexec here: the copy stands for that, as a guest_memfd belongs to one
 * machine.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "stage.h"
#include "vmm.h"
#include "vmm_state.h"

#define SIZE		MIB(4)
#define ROUNDS		20		/* by then it has looked at all of each page */
#define LOG_AT		0
#define STATE_AT	MIB(1)
#define LAPIC_REQUESTS	0x200
#define LAPIC_ERRORS	0x280
#define LAPIC_COUNT	0x390
#define MSR_LSTAR	0xc0000082
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC		0x10

static const struct vmm_guest_config config = {
	.end = SIZE,
	.beat_pages = 256,
	.full_mask = 15,
	.flags = VMM_GUEST_HALTS,
	.timer = 10000000,
};

/**
 * struct saved - a guest that has been stopped
 * @memory: a copy of all of its memory
 * @state:  the rest, in a file that is shared with other processes
 * @log:    when it said something, in the same file
 */
struct saved {
	void *memory;
	struct vmm_state *state;
	struct vmm_log *log;
};

static void saved_make(struct saved *saved)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	require(fd >= 0, "a file for the state");
	saved->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			     0);
	require(saved->memory != MAP_FAILED, "memory");
	saved->log = vmm_log_map(fd, LOG_AT);
	saved->state = vmm_state_map(fd, STATE_AT);
	close(fd);
}

static int gmem_new(const struct vmm *vmm, __u64 flags)
{
	int fd = vmm_gmem(vmm, SIZE, flags);

	require(fd >= 0, "a guest_memfd: %s", strerror(-fd));
	return fd;
}

/* The counter goes on. */
static bool same_msrs(const struct vmm_state_cpu *a, const struct vmm_state_cpu *b)
{
	__u32 i;

	for (i = 0; i < a->nr_msrs; i++) {
		if (a->msrs[i].index != b->msrs[i].index ||
		    (a->msrs[i].index != MSR_TSC && a->msrs[i].data != b->msrs[i].data)) {
			ksft_print_msg("MSR %#x: %#llx, %#llx\n", a->msrs[i].index,
				       a->msrs[i].data, b->msrs[i].data);
			return false;
		}
	}
	return a->nr_msrs == b->nr_msrs;
}

/* A timer of the local APIC has begun anew, and may have asked for an interrupt. */
static bool same_lapic(const struct vmm_state_cpu *a, const struct vmm_state_cpu *b)
{
	return !memcmp(a->lapic.regs, b->lapic.regs, LAPIC_REQUESTS) &&
	       !memcmp(a->lapic.regs + LAPIC_ERRORS, b->lapic.regs + LAPIC_ERRORS,
		       LAPIC_COUNT - LAPIC_ERRORS);
}

static bool same(const void *a, const void *b, size_t size)
{
	return !memcmp(a, b, size);
}

static bool same_cpu(const struct vmm_state_cpu *a, const struct vmm_state_cpu *b)
{
	return same_msrs(a, b) && same_lapic(a, b) &&
	       same(a->cpuids, b->cpuids, sizeof(a->cpuids)) &&
	       same(&a->regs, &b->regs, sizeof(a->regs)) &&
	       same(&a->sregs, &b->sregs, sizeof(a->sregs)) &&
	       same(&a->xcrs, &b->xcrs, sizeof(a->xcrs)) &&
	       same(&a->debug, &b->debug, sizeof(a->debug)) &&
	       same(&a->events, &b->events, sizeof(a->events)) &&
	       same(&a->mp, &b->mp, sizeof(a->mp)) &&
	       same(a->xsave, b->xsave, sizeof(a->xsave));
}

/* What is loaded into another machine can be saved there again, and is the same. */
static void check_again(struct vmm *vmm, const char *what)
{
	static struct vmm_state was, is;
	struct vmm other;
	int err;

	vmm_state_save(vmm, &was);
	require(!vmm_create(&other, vmm->type), "another machine");
	if (vmm->pit)
		vmm_pit_add(&other);
	err = vmm_state_load(&other, &was);
	require(!err, "%s: load the state: %s", what, strerror(-err));
	vmm_state_save(&other, &is);
	check(same_cpu(&was.cpus[0], &is.cpus[0]), "%s: the CPU of another machine is the same",
	      what);
	check(same(was.chips, is.chips, sizeof(was.chips)) && was.pit == is.pit &&
	      was.pit_state.flags == is.pit_state.flags && is.clock.clock >= was.clock.clock,
	      "%s: so is the rest", what);
	vmm_destroy(&other);
}

/* Stops the guest and saves it; its machine is no more, then. */
static void save_and_destroy(struct vmm *vmm, void *host, struct saved *saved)
{
	enum vmm_end end = vmm_cpu_stop(&vmm->cpus[0]);

	require(end == VMM_STOPPED, "it is stopped: %s", vmm_cpu_end(&vmm->cpus[0]));
	vmm_state_save(vmm, saved->state);
	memcpy(saved->memory, host, SIZE);
	vmm_destroy(vmm);
}

/* Gives the new machine what was saved; its CPU has not started yet. */
static void *machine_load(struct vmm *vmm, const struct saved *saved)
{
	void *host;
	int fd, err;

	require(!vmm_create(vmm, VMM_PLAIN), "a machine");
	fd = gmem_new(vmm, VMM_SHARED);
	host = vmm_memory(vmm, fd, SIZE);
	close(fd);
	memcpy(host, saved->memory, SIZE);
	vmm->log = saved->log;
	err = vmm_state_load(vmm, saved->state);
	require(!err, "load the state: %s", strerror(-err));
	return host;
}

/* Looks at the memory that was saved without the guest's help. */
static void check_saved(const struct saved *saved, const char *when)
{
	__u64 bad = vmm_guest_look(saved->memory, SIZE, vmm_state_round(saved->state),
				   vmm_state_page(saved->state));

	check(!bad, "%s: its memory is that of round %llu, up to %#llx: %#llx", when,
	      vmm_state_round(saved->state), vmm_state_page(saved->state), bad);
}

static void run_first(struct saved *saved)
{
	struct vmm_cpu *cpu;
	struct vmm vmm;
	void *host;
	bool good;
	int fd;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	fd = gmem_new(&vmm, VMM_SHARED);
	host = vmm_memory(&vmm, fd, SIZE);
	close(fd);
	vmm.log = saved->log;
	cpu = vmm_cpu_add(&vmm);
	vmm_guest_boot(cpu, &config);
	vmm_cpu_start(cpu);
	good = vmm_wait_rounds(cpu, ROUNDS);
	check(good, "a guest runs: round %u, %llu ticks; %s", cpu->rounds, cpu->ticks,
	      vmm_cpu_end(cpu));
	check(vmm_wait_ticks(cpu, 3), "its timer interrupts it");
	require(vmm_cpu_stop(cpu) == VMM_STOPPED, "it is stopped: %s", vmm_cpu_end(cpu));
	check_again(&vmm, "shared memory");
	vmm_cpu_start(cpu);
	good = vmm_wait_rounds(cpu, 2 * ROUNDS);
	check(good, "it goes on: round %u; %s", cpu->rounds, vmm_cpu_end(cpu));
	save_and_destroy(&vmm, host, saved);
	check_saved(saved, "first");
}

static void tell_pause(const struct vmm_log *log)
{
	struct vmm_pause pause;
	bool known = vmm_log_pause(log, &pause);

	check(known, "the log has the pause");
	if (known)
		ksft_print_msg("silent for %llu us, %lld us by the clock; stopped for %llu us\n",
			       pause.tsc_us, pause.real_us, pause.stop_us);
}

/* True if the guest goes on where it was, for as long as it takes to look at all of its memory. */
static bool goes_on(struct vmm_cpu *cpu, const struct vmm_state *state)
{
	unsigned int round = vmm_state_round(state);

	vmm_cpu_start(cpu);
	return vmm_wait_rounds(cpu, round + ROUNDS) && vmm_wait_ticks(cpu, cpu->ticks + 3);
}

static void run_on(struct saved *saved)
{
	struct vmm vmm;
	void *host = machine_load(&vmm, saved);
	struct vmm_cpu *cpu = &vmm.cpus[0];
	__u64 round = vmm_state_round(saved->state);
	bool good = goes_on(cpu, saved->state);

	check(good, "another machine goes on from round %llu: %u; %s", round, cpu->rounds,
	      vmm_cpu_end(cpu));
	tell_pause(saved->log);
	save_and_destroy(&vmm, host, saved);
	check_saved(saved, "then");
}

/* The child leaves what it has saved in memory that it shares. */
static void run_in_child(struct saved *saved)
{
	__u64 round = vmm_state_round(saved->state);
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "a process");
	if (!pid) {
		struct vmm vmm;
		void *host = machine_load(&vmm, saved);
		bool good = goes_on(&vmm.cpus[0], saved->state);

		if (!good)
			ksft_print_msg("in a child: %s\n", vmm_cpu_end(&vmm.cpus[0]));
		save_and_destroy(&vmm, host, saved);
		_exit(!good);
	}
	require(waitpid(pid, &status, 0) == pid, "wait for it");
	check(!status && vmm_state_round(saved->state) >= round + ROUNDS,
	      "another process goes on from round %llu: %llu", round,
	      vmm_state_round(saved->state));
	check_saved(saved, "in another process");
}

/*
 * What a test changes of what was saved, and what the guest says then. Pages of memory are those
 * before and behind where the guest is.
 */
static void spoil_word(unsigned char *memory, struct vmm_state *state)
{
	memory[SIZE - 4096] ^= 1;
}

static void spoil_byte(unsigned char *memory, struct vmm_state *state)
{
	memory[SIZE - 1] ^= 0x80;
}

static void spoil_old_word(unsigned char *memory, struct vmm_state *state)
{
	memory[VMM_GUEST_FIRST] ^= 1;
}

static void spoil_round(unsigned char *memory, struct vmm_state *state)
{
	state->cpus[0].regs.r15++;
}

static void spoil_complement(unsigned char *memory, struct vmm_state *state)
{
	state->cpus[0].regs.r14 ^= 1;
}

static void spoil_rip(unsigned char *memory, struct vmm_state *state)
{
	state->cpus[0].regs.rip = GIB(8);
}

/* The parts of XSAVE's standard format. */
static void spoil_xmm(unsigned char *memory, struct vmm_state *state)
{
	state->cpus[0].xsave[160 + 8 * 16] ^= 1;
}

static void spoil_ymm(unsigned char *memory, struct vmm_state *state)
{
	state->cpus[0].xsave[576 + 8 * 16 + 15] ^= 1;
}

static void spoil_mxcsr(unsigned char *memory, struct vmm_state *state)
{
	state->cpus[0].xsave[24] ^= 0x40;
}

static void spoil_debug(unsigned char *memory, struct vmm_state *state)
{
	state->cpus[0].debug.db[0] ^= 1;
}

static void spoil_lstar(unsigned char *memory, struct vmm_state *state)
{
	*vmm_state_msr(state, MSR_LSTAR) ^= 1;
}

static void spoil_gs(unsigned char *memory, struct vmm_state *state)
{
	*vmm_state_msr(state, MSR_KERNEL_GS_BASE) ^= 1;
}

static void spoil_tsc(unsigned char *memory, struct vmm_state *state)
{
	*vmm_state_msr(state, MSR_TSC) = 1000;
}

static const struct spoil {
	const char *name;
	void (*spoil)(unsigned char *memory, struct vmm_state *state);
	int what;
} spoils[] = {
	{ "a word", spoil_word, VMM_WRONG_PAGE },
	{ "a byte", spoil_byte, VMM_WRONG_BODY },
	{ "a word of this round", spoil_old_word, VMM_WRONG_PAGE },
	{ "the round", spoil_round, VMM_WRONG_PAGE },
	{ "its complement", spoil_complement, VMM_WRONG_ROUND },
	{ "RIP", spoil_rip, VMM_WRONG_EXCEPTION },
	{ "XMM8", spoil_xmm, VMM_WRONG_VECTOR },
	{ "YMM8", spoil_ymm, VMM_WRONG_VECTOR },
	{ "MXCSR", spoil_mxcsr, VMM_WRONG_MXCSR },
	{ "DR0", spoil_debug, VMM_WRONG_DEBUG },
	{ "LSTAR", spoil_lstar, VMM_WRONG_MSR },
	{ "KERNEL_GS_BASE", spoil_gs, VMM_WRONG_MSR },
	{ "the time stamp counter", spoil_tsc, VMM_WRONG_TSC },
};

/* A copy of what was saved, to be spoilt. */
static void saved_copy(struct saved *to, const struct saved *from)
{
	memcpy(to->memory, from->memory, SIZE);
	memcpy(to->state, from->state, sizeof(*to->state));
}

static void spoil_one(const struct spoil *spoil, struct saved *copy)
{
	struct vmm_cpu *cpu;
	struct vmm vmm;
	bool found;

	spoil->spoil(copy->memory, copy->state);
	vmm_state_seal(copy->state);
	machine_load(&vmm, copy);
	cpu = &vmm.cpus[0];
	vmm_cpu_start(cpu);
	found = vmm_wait_wrong(cpu, vmm_state_round(copy->state) + ROUNDS) &&
		cpu->wrong.what == spoil->what;
	check(found, "%s is found: %s", spoil->name, vmm_cpu_end(cpu));
	vmm_destroy(&vmm);
}

/* Without its timer the guest is halted for good at the end of its round. */
static void spoil_timer(struct saved *copy)
{
	__u32 lvt = 1 << 16;
	struct vmm vmm;

	memcpy(copy->state->cpus[0].lapic.regs + 0x320, &lvt, sizeof(lvt));
	vmm_state_seal(copy->state);
	machine_load(&vmm, copy);
	vmm_silence = 3;
	check(!goes_on(&vmm.cpus[0], copy->state) && vmm.cpus[0].end == VMM_RUNS,
	      "the timer is missed");
	vmm_silence = 50;
	vmm_destroy(&vmm);
}

/* What is wrong with the structure itself. */
static void spoil_structure(struct saved *copy)
{
	struct vmm vmm;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	copy->state->cpus[0].regs.rax ^= 1;
	check(vmm_state_load(&vmm, copy->state) == -EILSEQ, "a checksum is wrong");
	copy->state->cpus[0].regs.rax ^= 1;
	copy->state->version++;
	check(vmm_state_load(&vmm, copy->state) == -EINVAL, "another version");
	copy->state->version--;
	copy->state->type = VMM_PRIVATE;
	vmm_state_seal(copy->state);
	check(vmm_state_load(&vmm, copy->state) == -EINVAL, "another type");
	copy->state->type = VMM_PLAIN;
	copy->state->cpus[0].nr_msrs = VMM_STATE_MSRS + 1;
	vmm_state_seal(copy->state);
	check(vmm_state_load(&vmm, copy->state) == -EINVAL, "too many MSRs");
	vmm_destroy(&vmm);
}

static void spoil_all(const struct saved *saved)
{
	struct saved copy;
	unsigned int i;

	saved_make(&copy);
	for (i = 0; i < STAGE_COUNT(spoils); i++) {
		saved_copy(&copy, saved);
		spoil_one(&spoils[i], &copy);
	}
	saved_copy(&copy, saved);
	spoil_timer(&copy);
	saved_copy(&copy, saved);
	spoil_structure(&copy);
}

static void run_shared(void)
{
	struct saved saved;

	saved_make(&saved);
	run_first(&saved);
	run_on(&saved);
	run_in_child(&saved);
	/* Between its look at a register and that one's next value it finds nothing. */
	do
		run_on(&saved);
	while (saved.state->cpus[0].mp.mp_state != KVM_MP_STATE_HALTED);
	spoil_all(&saved);
}

/* Nothing of private memory is in what the VMM has mapped. */
static bool is_zero(const unsigned char *bytes, size_t size)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}

static void run_private(void)
{
	struct vmm_cpu *cpu;
	struct vmm vmm;
	unsigned char *host;
	bool good;
	int fd;

	require(!vmm_create(&vmm, VMM_PRIVATE), "a machine with private memory");
	vmm_pit_add(&vmm);
	fd = gmem_new(&vmm, 0);
	host = vmm_memory(&vmm, fd, SIZE);
	cpu = vmm_cpu_add(&vmm);
	vmm_guest_boot(cpu, &config);
	vmm_cpu_start(cpu);
	good = vmm_wait_rounds(cpu, ROUNDS);
	check(good, "a guest runs from private memory: round %u; %s", cpu->rounds,
	      vmm_cpu_end(cpu));
	check(vmm_cpu_stop(cpu) == VMM_STOPPED, "it is stopped");
	check(is_zero(host + VMM_GUEST_FIRST, SIZE - VMM_GUEST_FIRST), "the shared part is empty");
	check_again(&vmm, "private memory");
	vmm_cpu_start(cpu);
	good = vmm_wait_rounds(cpu, 2 * ROUNDS);
	check(good, "it goes on: round %u; %s", cpu->rounds, vmm_cpu_end(cpu));
	vmm_destroy(&vmm);
	close(fd);
}

static void run(void)
{
	require(vmm_capability(KVM_CAP_GUEST_MEMFD), "KVM has guest_memfd");
	run_shared();
	run_private();
}

int main(void)
{
	static const stage_fn stages[] = { run };

	return stage_run(stages, STAGE_COUNT(stages));
}
