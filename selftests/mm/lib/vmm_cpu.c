// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUs of a machine; see vmm.h.
 *
 * A signal makes KVM_RUN come back, and immediate_exit if it has not begun by then. What the
 * guest has said by a port is through for KVM when KVM_RUN is called again: a CPU that is to stop
 * goes there once more.
 */

#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "stage.h"

#define KICK		SIGUSR1
#define CPUID_ENTRIES	256
#define BOOT		0xd0000000ULL	/* where the image is before it copies itself */
#define XCR0_AVX	7
#define WORD_SECONDS	10		/* what waits says so every so often */

unsigned int vmm_silence = 50;

static void on_kick(int sig)
{
}

struct vmm_cpu *vmm_cpu_add_bare(struct vmm *vmm)
{
	struct sigaction action = { .sa_handler = on_kick };
	struct vmm_cpu *cpu = &vmm->cpus[vmm->nr_cpus];

	require(vmm->nr_cpus < VMM_CPUS, "room for a CPU");
	*cpu = (struct vmm_cpu) {
		.vmm = vmm,
		.fd = ioctl(vmm->fd, KVM_CREATE_VCPU, (unsigned long)vmm->nr_cpus),
	};
	require(cpu->fd >= 0, "a CPU: %s", strerror(errno));
	cpu->run = mmap(NULL, vmm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	require(cpu->run != MAP_FAILED, "map it");
	cpu->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	sigaction(KICK, &action, NULL);
	vmm->nr_cpus++;
	return cpu;
}

struct vmm_cpu *vmm_cpu_add(struct vmm *vmm)
{
	struct vmm_cpu *cpu = vmm_cpu_add_bare(vmm);
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	require(cpuid, "memory");
	cpuid->nent = CPUID_ENTRIES;
	require(!ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) &&
		!ioctl(cpu->fd, KVM_SET_CPUID2, cpuid), "its features: %s", strerror(errno));
	free(cpuid);
	close(kvm);
	return cpu;
}

static struct kvm_segment flat(unsigned int type, unsigned int selector)
{
	return (struct kvm_segment) {
		.limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .db = 1,
		.s = 1, .g = 1,
	};
}

/* 32-bit mode without paging. */
static void registers_set(struct vmm_cpu *cpu)
{
	struct kvm_regs regs = { .rip = BOOT, .rsi = BOOT, .rflags = 2 };
	struct kvm_sregs sregs;

	require(!ioctl(cpu->fd, KVM_GET_SREGS, &sregs), "its registers");
	sregs.cs = flat(11, 8);
	sregs.ds = flat(3, 16);
	sregs.es = sregs.ds;
	sregs.fs = sregs.ds;
	sregs.gs = sregs.ds;
	sregs.ss = sregs.ds;
	sregs.cr0 = 0x11;
	require(!ioctl(cpu->fd, KVM_SET_SREGS, &sregs) && !ioctl(cpu->fd, KVM_SET_REGS, &regs),
		"set its registers");
}

/* Has KVM given the CPU vectors of 32 bytes? */
static bool has_avx(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx");
}

/* The guest does not do it: an emulated CPU may not tell KVM of XSETBV. */
static void avx_set(struct vmm_cpu *cpu)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .value = XCR0_AVX } } };

	require(!ioctl(cpu->fd, KVM_SET_XCRS, &xcrs), "let the guest use vectors");
}

void vmm_guest_show(const struct vmm *vmm)
{
	memcpy(vmm->slots[0].host, vmm_guest, VMM_GUEST_IMAGE);
}

void vmm_guest_boot(struct vmm_cpu *cpu, const struct vmm_guest_config *config)
{
	struct vmm_slot slot = { .gpa = BOOT, .size = VMM_GUEST_IMAGE, .gmem = -1 };
	struct vmm_guest_config *there;
	int err;

	slot.host = mmap(NULL, slot.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	require(slot.host != MAP_FAILED, "memory");
	memcpy(slot.host, vmm_guest, VMM_GUEST_IMAGE);
	there = (void *)((char *)slot.host + VMM_GUEST_CONFIG);
	*there = *config;
	if (has_avx()) {
		there->flags |= VMM_GUEST_AVX;
		avx_set(cpu);
	}
	if (cpu->vmm->type == VMM_PRIVATE)
		vmm_guest_show(cpu->vmm);
	err = vmm_slot_add(cpu->vmm, &slot);
	require(!err, "memory to start from: %s", strerror(-err));
	registers_set(cpu);
}

static void log_add(struct vmm_cpu *cpu, enum vmm_log_kind kind, __u32 number)
{
	if (cpu->vmm->log)
		vmm_log_add(cpu->vmm->log, kind, number);
}

static void wrong(struct vmm_cpu *cpu, enum vmm_end end, int what)
{
	const struct kvm_regs *regs = &cpu->run->s.regs.regs;

	cpu->wrong = (struct vmm_wrong) {
		.what = what,
		.where = end == VMM_WRONG ? regs->rbx : regs->rip,
		.want = regs->rsi,
		.found = regs->rdi,
	};
	cpu->end = end;
}

/* False when the guest does not go on. */
static bool said(struct vmm_cpu *cpu)
{
	const struct kvm_run *run = cpu->run;
	__u32 number;

	if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT ||
	    run->io.size != sizeof(number))
		return false;
	memcpy(&number, (const char *)run + run->io.data_offset, sizeof(number));
	switch (run->io.port) {
	case VMM_PORT_BEAT:
		log_add(cpu, VMM_LOG_BEAT, number);
		cpu->beats = number;
		break;
	case VMM_PORT_ROUND:
		log_add(cpu, VMM_LOG_ROUND, number);
		cpu->ticks = run->s.regs.regs.rbx;
		cpu->rounds = number;
		break;
	case VMM_PORT_WRONG:
		wrong(cpu, VMM_WRONG, number);
		return false;
	default:
		return false;
	}
	cpu->said++;
	return true;
}

static void *cpu_thread(void *arg)
{
	struct vmm_cpu *cpu = arg;
	unsigned int nr = cpu - cpu->vmm->cpus;

	log_add(cpu, VMM_LOG_START, nr);
	for (;;) {
		if (!ioctl(cpu->fd, KVM_RUN, 0)) {
			if (!said(cpu))
				break;
		} else if (errno != EINTR && errno != EAGAIN) {
			wrong(cpu, VMM_FAILED, -errno);
			break;
		} else if (cpu->stop) {
			cpu->end = VMM_STOPPED;
			break;
		}
	}
	if (cpu->end == VMM_RUNS)
		wrong(cpu, VMM_FAILED, cpu->run->exit_reason);
	log_add(cpu, VMM_LOG_STOP, nr);
	return NULL;
}

void vmm_cpu_start(struct vmm_cpu *cpu)
{
	int khz = ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0);

	if (cpu->vmm->log && khz > 0)
		cpu->vmm->log->khz = khz;
	cpu->stop = false;
	cpu->end = VMM_RUNS;
	cpu->run->immediate_exit = 0;
	require(!pthread_create(&cpu->thread, NULL, cpu_thread, cpu), "a thread");
	cpu->started = true;
}

enum vmm_end vmm_cpu_stop(struct vmm_cpu *cpu)
{
	if (cpu->started) {
		cpu->stop = true;
		cpu->run->immediate_exit = 1;
		pthread_kill(cpu->thread, KICK);
		pthread_join(cpu->thread, NULL);
		cpu->started = false;
	}
	return cpu->end;
}

static __u64 seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* Until @at gives @nr, or the guest runs no more. */
static bool wait_for(struct vmm_cpu *cpu, __u64 (*at)(struct vmm_cpu *cpu), __u64 nr)
{
	__u64 heard = seconds(), told = heard;
	unsigned long said = cpu->said;

	while (at(cpu) < nr) {
		struct timespec pause = { .tv_nsec = 2000000 };

		if (cpu->end != VMM_RUNS)
			return at(cpu) >= nr;
		if (cpu->said != said) {
			said = cpu->said;
			heard = seconds();
		}
		if (seconds() - heard > vmm_silence)
			return false;
		if (seconds() - told > WORD_SECONDS) {
			told = seconds();
			ksft_print_msg("the guest: round %u, heartbeat %u\n", cpu->rounds,
				       cpu->beats);
		}
		nanosleep(&pause, NULL);
	}
	return true;
}

static __u64 at_round(struct vmm_cpu *cpu)
{
	return cpu->rounds;
}

static __u64 at_tick(struct vmm_cpu *cpu)
{
	return cpu->ticks;
}

bool vmm_wait_rounds(struct vmm_cpu *cpu, unsigned int nr)
{
	return wait_for(cpu, at_round, nr);
}

bool vmm_wait_ticks(struct vmm_cpu *cpu, __u64 nr)
{
	return wait_for(cpu, at_tick, nr);
}

bool vmm_wait_wrong(struct vmm_cpu *cpu, unsigned int nr)
{
	return !wait_for(cpu, at_round, nr) && cpu->end == VMM_WRONG;
}

const char *vmm_cpu_end(const struct vmm_cpu *cpu)
{
	static const char *const things[] = {
		[VMM_WRONG_PAGE] = "page", [VMM_WRONG_BODY] = "word", [VMM_WRONG_ROUND] = "round",
		[VMM_WRONG_VECTOR] = "vector", [VMM_WRONG_DEBUG] = "DR0", [VMM_WRONG_MSR] = "MSR",
		[VMM_WRONG_MXCSR] = "MXCSR", [VMM_WRONG_TSC] = "TSC",
		[VMM_WRONG_EXCEPTION] = "exception",
	};
	const struct vmm_wrong *wrong = &cpu->wrong;
	static char text[128];

	switch ((enum vmm_end)cpu->end) {
	case VMM_RUNS:
		return "it runs";
	case VMM_STOPPED:
		return "it was stopped";
	case VMM_WRONG:
		snprintf(text, sizeof(text), "%s %#llx is %#llx, not %#llx",
			 wrong->what < (int)STAGE_COUNT(things) && wrong->what > 0 ?
			 things[wrong->what] : "?", wrong->where, wrong->found, wrong->want);
		break;
	case VMM_FAILED:
		snprintf(text, sizeof(text), "KVM ends it at %#llx: %d", wrong->where, wrong->what);
	}
	return text;
}
