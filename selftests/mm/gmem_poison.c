// SPDX-License-Identifier: GPL-2.0-only
/*
 * Defective memory of a guest: pages turn bad while it runs, before and after its memory is
 * preserved. In each kernel the VMM's access gets a signal, the guest's ends KVM_RUN with
 * EHWPOISON, and all other pages are as they were, also when memory has moved within the pool.
 * Where the VMM punches the pages out, the guest finds zeroes. A file that is not the pool's
 * yet does not get in with a bad page, and does without it.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"
#include "vmm_state.h"

#define SESSION		"poison"
#define COMPACT		"/sys/kernel/mm/preserve/compact"
#define PAGE		PLACE_PAGE
#define SIZE		MIB(8)
#define NR_PAGES	(SIZE / PAGE)
#define PUNCH		(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)

/* What turns bad before the file is preserved, and after: pages that the guest walks. */
enum { BEFORE = 0x123, AFTER = 0x456 };
#define NR_BAD		2

enum { TOKEN_MEMORY = 1, TOKEN_STATE, TOKEN_FILLER };

/**
 * struct notes - what the next kernel has to know, before the CPU's state
 * @sums: of the pages, as the guest has left them
 */
struct notes {
	__u64 sums[NR_PAGES];
};

static const struct vmm_guest_config config = {
	.end = SIZE,
	.beat_pages = 256,
	.full_mask = 3,
};

static struct vmm vmm;
static struct vmm_cpu *cpu;
static struct vmm_state *state;
static struct notes *notes;
static int memory, file, filler;
static char *host;

static sigjmp_buf on_bus_error;
static atomic_bool touching, poisoning;
static atomic_int code;

static void bus_error(int signal, siginfo_t *info, void *context)
{
	code = info->si_code;
	if (touching)
		siglongjmp(on_bus_error, 1);
	/* A task that has a page mapped which turns bad is told so by the same signal. */
	if (!poisoning)
		_exit(2);
}

static void catch(void)
{
	struct sigaction action = { .sa_sigaction = bus_error, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
}

/* The signal's code; 0: there is none. */
static int touch(const void *at)
{
	code = 0;
	touching = true;
	if (!sigsetjmp(on_bus_error, 1))
		place_touch(at);
	touching = false;
	return code;
}

/* The page stays in its file, which the kernel calls a failure: EBUSY. */
static void poison(char *at)
{
	poisoning = true;
	require(!madvise(at, PAGE, MADV_HWPOISON) || errno == EBUSY, "a page turns bad: %s",
		strerror(errno));
	poisoning = false;
	check(touch(at) == BUS_MCEERR_AR, "the VMM gets a signal: %d", code);
}

static bool is_bad(__u64 page)
{
	return page == BEFORE || page == AFTER;
}

static __u64 sum_of(const void *page)
{
	const __u64 *word = page;
	__u64 sum = 0;
	size_t i;

	for (i = 0; i < PAGE / sizeof(*word); i++)
		sum = (sum ^ word[i]) * VMM_GUEST_A;
	return sum;
}

static void verify(const char *when)
{
	unsigned int wrong = 0, bad = 0;
	__u64 page;

	for (page = 0; page < NR_PAGES; page++) {
		if (is_bad(page))
			bad += touch(host + page * PAGE) == BUS_MCEERR_AR;
		else
			wrong += touch(host + page * PAGE) ||
				 sum_of(host + page * PAGE) != notes->sums[page];
	}
	check(bad == NR_BAD, "%s: the VMM gets a signal for %u pages", when, bad);
	check(!wrong, "%s: %u others are wrong", when, wrong);
	check(pool_counter("poisoned") == (__s64)(NR_BAD * PAGE), "%s: %lld bytes are bad", when,
	      (long long)pool_counter("poisoned"));
	check(meminfo_bytes("HardwareCorrupted") == (__s64)(NR_BAD * PAGE),
	      "%s: the kernel counts %lld", when, (long long)meminfo_bytes("HardwareCorrupted"));
}

/* The guest has met a bad page: KVM_RUN says so. */
static void guest_fails(const char *when)
{
	enum vmm_end end;

	vmm_wait_rounds(cpu, cpu->rounds + 2);
	end = vmm_cpu_stop(cpu);
	check(end == VMM_FAILED && cpu->wrong.what == -EHWPOISON,
	      "%s: the guest meets a bad page: %s", when, vmm_cpu_end(cpu));
}

static void maps_make(void)
{
	host = vmm_memory(&vmm, memory, SIZE);
	notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	require(notes != MAP_FAILED, "map the notes");
	state = vmm_state_map(file, sizeof(*notes));
}

/* In many pieces: a page of another file between two. */
static void files_make(void)
{
	static const char zeroes[PAGE];
	__u64 page;

	memory = vmm_gmem(&vmm, SIZE, VMM_SHARED | GUEST_MEMFD_FLAG_PRESERVE);
	file = preserve_memfd_create("state", 0);
	filler = preserve_memfd_create("filler", 0);
	require(memory >= 0 && file >= 0 && filler >= 0 && !ftruncate(file, sizeof(*notes)),
		"files");
	for (page = 0; page < NR_PAGES; page++)
		require(!fallocate(memory, FALLOC_FL_KEEP_SIZE, page * PAGE, PAGE) &&
			pwrite(filler, zeroes, PAGE, page * PAGE) == (ssize_t)PAGE, "fill");
	maps_make();
}

static void preserve_all(void)
{
	int session = stage_session_create(SESSION);

	require(!preserve_session_add_fd(session, memory, TOKEN_MEMORY) &&
		!preserve_session_add_fd(session, file, TOKEN_STATE), "preserve");
	if (filler >= 0)
		require(!preserve_session_add_fd(session, filler, TOKEN_FILLER), "preserve");
}

static void retrieve_all(void)
{
	int session = stage_session_retrieve(SESSION), err;

	memory = preserve_session_get_fd(session, TOKEN_MEMORY);
	file = preserve_session_get_fd(session, TOKEN_STATE);
	filler = preserve_session_get_fd(session, TOKEN_FILLER);
	require(memory >= 0 && file >= 0, "retrieve: %s", strerror(-memory));
	stage_session_finish(session);
	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	maps_make();
	err = vmm_state_load(&vmm, state);
	require(!err, "load the state: %s", strerror(-err));
	cpu = &vmm.cpus[0];
}

/* A file outside of the pool, with a bad page. */
static void plain_refused(void)
{
	int session = stage_session_create("plain"), fd = vmm_gmem(&vmm, MIB(1), VMM_SHARED), err;
	char *map;

	require(fd >= 0, "a plain file");
	map = place_map(fd, 0, MIB(1));
	pattern_fill(map, 1, 0, MIB(1));
	poison(map + 5 * PAGE);
	err = preserve_session_add_fd(session, fd, 1);
	check(err == -EHWPOISON, "a plain file with a bad page is refused: %s", strerror(-err));
	check(touch(map + 5 * PAGE) == BUS_MCEERR_AR, "the page is still bad");
	check(!fallocate(fd, PUNCH, 5 * PAGE, PAGE), "it is punched out");
	err = preserve_session_add_fd(session, fd, 1);
	check(!err, "the file gets in then: %s", strerror(-err));
	/* A mapping knows of a bad page for as long as it is there. */
	munmap(map, MIB(1));
	map = place_map(fd, 0, MIB(1));
	check(!map[5 * PAGE] && pattern_is(map, 1, 0, 5 * PAGE) &&
	      pattern_is(map + 6 * PAGE, 1, 6 * PAGE, MIB(1) - 6 * PAGE), "it is whole");
	close(session);
	munmap(map, MIB(1));
	close(fd);
}

static void before(void)
{
	__u64 page;

	catch();
	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	files_make();
	cpu = vmm_cpu_add(&vmm);
	vmm_guest_boot(cpu, &config);
	vmm_cpu_start(cpu);
	check(vmm_wait_rounds(cpu, 2), "the guest runs: %s", vmm_cpu_end(cpu));
	poison(host + BEFORE * PAGE);
	guest_fails("it turned bad");
	preserve_all();
	poison(host + AFTER * PAGE);
	vmm_state_save(&vmm, state);
	for (page = 0; page < NR_PAGES; page++)
		notes->sums[page] = is_bad(page) ? 0 : sum_of(host + page * PAGE);
	verify("preserved");
}

/* The pool packs its memory. */
static void compact(void)
{
	__s64 runs = place_fdinfo(memory, "preserve-runs"), now;

	close(filler);
	filler = -1;
	require(!text_write(COMPACT, "1"), "compact");
	now = place_fdinfo(memory, "preserve-runs");
	check(now < runs / 2, "memory moves: %lld runs, %lld were", (long long)now,
	      (long long)runs);
}

static void go_on(void)
{
	catch();
	retrieve_all();
	vmm_cpu_start(cpu);
	guest_fails("retrieved");
	verify("retrieved");
	compact();
	verify("moved");
	preserve_all();
}

static void end(void)
{
	bool found;

	catch();
	retrieve_all();
	verify("again");
	check(!fallocate(memory, PUNCH, BEFORE * PAGE, PAGE) &&
	      !fallocate(memory, PUNCH, AFTER * PAGE, PAGE), "the bad pages are punched out");
	check(!touch(host + AFTER * PAGE) && !host[AFTER * PAGE], "zeroes are there");
	vmm_cpu_start(cpu);
	found = vmm_wait_wrong(cpu, cpu->rounds + 2);
	check(found && is_bad(cpu->wrong.where / PAGE), "the guest finds them: %s",
	      vmm_cpu_end(cpu));
	plain_refused();
}

static const stage_fn stages[] = { before, go_on, end };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
