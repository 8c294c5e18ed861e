// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest of KVM goes on over a kexec, and over five in a row: its memory is a guest_memfd of
 * the pool, its CPU's state is in a memfd. In each kernel a new process attaches the memory to a
 * new machine, loads the state, and the guest goes on counting; it finds every byte and every
 * register as it has left them. A second guest is dropped in the second kernel, which costs the
 * first nothing.
 *
 * Memory is preserved while the guest runs, and it is stopped behind that: at the end of a round
 * where it waits for an interrupt, or anywhere if it is a "plain" one.
 *
 *	gmem_guest [plain] [private]
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"
#include "vmm_state.h"

#define KERNELS		6
#define SIZE		MIB(16)
#define ROUNDS		3	/* in each kernel */
#define STATE_AT	MIB(1)

enum { TOKEN_MEMORY = 1, TOKEN_STATE };

static bool plain, private;

static struct vmm_guest_config config = {
	.end = SIZE,
	.beat_pages = 256,
	.full_mask = 3,
	.timer = 10000000,
};

/**
 * struct guest - a guest and what is preserved of it
 * @name:   of its session
 * @vmm:    its machine
 * @cpu:    the one that it has
 * @memory: guest_memfd
 * @host:   that, mapped; of private memory the shared part
 * @file:   the memfd that has the state and the log
 * @state:  the state, in there
 */
struct guest {
	const char *name;
	struct vmm vmm;
	struct vmm_cpu *cpu;
	int memory;
	void *host;
	int file;
	struct vmm_state *state;
};

static struct guest first = { .name = "first" }, second = { .name = "second" };

static void guest_map(struct guest *guest)
{
	guest->host = vmm_memory(&guest->vmm, guest->memory, SIZE);
	guest->vmm.log = vmm_log_map(guest->file, 0);
	guest->state = vmm_state_map(guest->file, STATE_AT);
}

static void machine_new(struct guest *guest)
{
	int err = vmm_create(&guest->vmm, private ? VMM_PRIVATE : VMM_PLAIN);

	require(!err, "%s: a machine: %s", guest->name, strerror(-err));
}

static void guest_new(struct guest *guest)
{
	machine_new(guest);
	guest->memory = vmm_gmem(&guest->vmm, SIZE, (plain ? 0 : GUEST_MEMFD_FLAG_PRESERVE) |
						    (private ? 0 : VMM_SHARED));
	guest->file = preserve_memfd_create(guest->name, 0);
	require(guest->memory >= 0 && guest->file >= 0, "%s: memory: %s", guest->name,
		strerror(-guest->memory));
	guest_map(guest);
	guest->cpu = vmm_cpu_add(&guest->vmm);
	vmm_guest_boot(guest->cpu, &config);
	vmm_cpu_start(guest->cpu);
}

static void guest_runs(struct guest *guest, unsigned int rounds)
{
	bool there = vmm_wait_rounds(guest->cpu, rounds);

	check(there, "%s: it gets to round %u: %u, %llu ticks; %s",
	      guest->name, rounds, guest->cpu->rounds, guest->cpu->ticks,
	      vmm_cpu_end(guest->cpu));
}

/* The guest runs while its memory is preserved. */
static void guest_preserve(struct guest *guest)
{
	int session = stage_session_create(guest->name);
	int err = preserve_session_add_fd(session, guest->memory, TOKEN_MEMORY);

	check(!err, "%s: its memory is preserved: %s", guest->name, strerror(-err));
	err = preserve_session_add_fd(session, guest->file, TOKEN_STATE);
	check(!err, "%s: so is the file of its state: %s", guest->name, strerror(-err));
	guest_runs(guest, guest->cpu->rounds + 1);
	require(vmm_cpu_stop(guest->cpu) == VMM_STOPPED, "%s: it is stopped: %s", guest->name,
		vmm_cpu_end(guest->cpu));
	vmm_state_save(&guest->vmm, guest->state);
}

static void look(const struct guest *guest)
{
	__u64 bad;

	if (private)
		return;
	bad = vmm_guest_look(guest->host, SIZE, vmm_state_round(guest->state),
			     vmm_state_page(guest->state));
	check(!bad, "%s: its memory is that of round %llu: %#llx", guest->name,
	      vmm_state_round(guest->state), bad);
}

static void tell_pause(const struct guest *guest)
{
	struct vmm_pause pause;

	if (vmm_log_pause(guest->vmm.log, &pause))
		ksft_print_msg("%s: away for %llu us\n", guest->name, pause.tsc_us);
}

static void guest_go_on(struct guest *guest)
{
	int session = stage_session_retrieve(guest->name), err;
	unsigned int round;

	guest->memory = preserve_session_get_fd(session, TOKEN_MEMORY);
	guest->file = preserve_session_get_fd(session, TOKEN_STATE);
	require(guest->memory >= 0 && guest->file >= 0, "%s: memory and state: %s, %s",
		guest->name, strerror(-guest->memory), strerror(-guest->file));
	machine_new(guest);
	guest_map(guest);
	/* In one kernel a guest meets memory that has no folio yet; in the next all has. */
	if (stage_number() % 2)
		look(guest);
	round = vmm_state_round(guest->state);
	if (private)
		vmm_guest_show(&guest->vmm);
	err = vmm_state_load(&guest->vmm, guest->state);
	require(!err, "%s: load the state: %s", guest->name, strerror(-err));
	guest->cpu = &guest->vmm.cpus[0];
	vmm_cpu_start(guest->cpu);
	guest_runs(guest, round + ROUNDS);
	tell_pause(guest);
	stage_session_finish(session);
}

/* The second guest's VMM does not come back. */
static void drop_second(void)
{
	int session = stage_session_retrieve(second.name);

	check(pool_counter("incoming") >= (__s64)SIZE, "the second guest's memory has come");
	stage_session_finish(session);
	check(!pool_counter("incoming"), "it is free: %lld", (long long)pool_counter("incoming"));
}

static void round_of(void)
{
	if (!stage_number()) {
		guest_new(&first);
		guest_new(&second);
		guest_runs(&first, ROUNDS);
		guest_runs(&second, ROUNDS);
		guest_preserve(&second);
	} else {
		guest_go_on(&first);
		if (stage_number() == 1)
			drop_second();
	}
	if (stage_number() == KERNELS - 1) {
		require(vmm_cpu_stop(first.cpu) == VMM_STOPPED, "it is stopped");
		vmm_state_save(&first.vmm, first.state);
		look(&first);
		return;
	}
	guest_preserve(&first);
	look(&first);
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		plain |= !strcmp(argv[i], "plain");
		private |= !strcmp(argv[i], "private");
	}
	config.flags = plain ? 0 : VMM_GUEST_HALTS;
	return stage_run_rounds(round_of, KERNELS);
}
