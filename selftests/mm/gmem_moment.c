// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kexec at any moment: while a guest takes page after page of its memory, while the VMM fills,
 * punches and allocates pages of the same file, while other files are made, moved into the pool,
 * preserved and dropped, and memory is compacted, the next kernel comes. What was finished
 * before is there in it: pages have their own content and no other's, and holes are holes.
 *
 * Arguments: the number of kernels, and a seed that takes the place of a random one.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chance.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"

#define SESSION		"moment"
#define DROPPED		"dropped"
#define PAGE		PLACE_PAGE
#define WORDS		(PAGE / sizeof(__u64))
#define PUNCH		(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)
#define GUEST_SIZE	MIB(8)	/* the guest's part of the file; the VMM's is behind it */
#define NR_PAGES	512ULL	/* of the VMM's part */
#define SIZE		(GUEST_SIZE + NR_PAGES * PAGE)
#define BEAT_PAGES	16
#define NR_WRITERS	2

enum { TOKEN_NOTES = 1, TOKEN_FILE };

/* What a page of the VMM's is, or by which number it was filled. */
enum { BUSY, HOLE, ZEROES, FILLED };

/* What crosses beside the file. A page is BUSY from before its first word to behind its last. */
struct notes {
	atomic_uint pages[NR_PAGES];
	atomic_ullong changed;
	atomic_ullong dropped;
	atomic_ullong beats;
	atomic_ullong ended;
};

static const struct vmm_guest_config config = { .end = GUEST_SIZE, .beat_pages = BEAT_PAGES };

static struct notes *notes;
static struct vmm vmm;
static struct vmm_cpu *cpu;
static int file, device;
static char *host;	/* the VMM's part */
static __u64 seed;

static int notes_make(void)
{
	int fd = preserve_memfd_create("notes", 0);
	__u64 at;

	require(fd >= 0 && !ftruncate(fd, sizeof(*notes)), "make the notes");
	notes = place_map(fd, 0, sizeof(*notes));
	for (at = 0; at < NR_PAGES; at++)
		notes->pages[at] = HOLE;
	return fd;
}

/* --- what goes on --- */

static __u64 word_of(__u64 at, __u32 by, __u64 i)
{
	return (at + 1) << 40 | (__u64)by << 16 | i;
}

static void page_fill(__u64 at, __u32 by)
{
	atomic_ullong *word = (void *)(host + at * PAGE);
	__u64 i;

	for (i = 0; i < WORDS; i++)
		atomic_store_explicit(&word[i], word_of(at, by, i), memory_order_relaxed);
}

/* What cannot be done, because the next kernel is about to come, has changed nothing. */
static void page_allocate(__u64 at, int mode, __u32 old, __u32 new)
{
	int err = fallocate(file, mode, GUEST_SIZE + at * PAGE, PAGE);

	notes->pages[at] = err ? old : new;
}

static void *writer(void *arg)
{
	__u32 by, old;
	__u64 at;

	chance_go_on(seed + (unsigned long)arg);
	for (;;) {
		/* Each thread has its own pages. */
		at = below(NR_PAGES / NR_WRITERS) * NR_WRITERS + (unsigned long)arg;
		old = notes->pages[at];
		by = FILLED + below(1000);
		notes->pages[at] = BUSY;
		if (below(2)) {
			page_fill(at, by);
			notes->pages[at] = by;
		} else if (old == HOLE) {
			page_allocate(at, FALLOC_FL_KEEP_SIZE, HOLE, ZEROES);
		} else {
			page_allocate(at, PUNCH, old, HOLE);
		}
		notes->changed++;
	}
	return NULL;
}

/* Makes, preserves, changes and drops files of its own. */
static void *dropper(void *unused)
{
	int session, fd;
	__u64 flags;
	char *map;

	chance_go_on(seed + 77);
	for (;;) {
		flags = below(2) ? VMM_SHARED : VMM_SHARED | GUEST_MEMFD_FLAG_PRESERVE;
		fd = vmm_gmem(&vmm, MIB(1), flags);
		map = mmap(NULL, MIB(1), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (fd < 0 || map == MAP_FAILED)
			continue;
		madvise(map, below(256) * PAGE, MADV_POPULATE_WRITE);
		session = preserve_session_create(device, DROPPED);
		preserve_session_add_fd(session, fd, 1);
		fallocate(fd, PUNCH, 0, below(256) * PAGE);
		close(session);
		munmap(map, MIB(1));
		close(fd);
		notes->dropped++;
	}
	return NULL;
}

static void *mover(void *unused)
{
	for (;;) {
		text_write("/proc/sys/vm/compact_memory", "1");
		text_write("/sys/kernel/mm/preserve/compact", "1");
	}
	return NULL;
}

static void thread_start(void *(*run)(void *), unsigned long arg)
{
	pthread_t thread;

	require(!pthread_create(&thread, NULL, run, (void *)arg), "start a thread");
}

static void guest_start(void)
{
	cpu = vmm_cpu_add(&vmm);
	vmm_guest_boot(cpu, &config);
	vmm_cpu_start(cpu);
}

static void unrest(void)
{
	unsigned long i;

	guest_start();
	for (i = 0; i < NR_WRITERS; i++)
		thread_start(writer, i);
	thread_start(dropper, 0);
	thread_start(mover, 0);
	usleep(below(600) * 1000);
	/* All of them have done something, however slow the machine is. */
	while (!notes->changed || !notes->dropped)
		usleep(1000);
}

/* The guest goes on: it has passed so many pages at least. */
static void last(void)
{
	notes->beats = cpu->beats;
	notes->ended = cpu->end;
}

/* --- what has come --- */

/* A page that was BUSY has its own words, by any number, or none. */
static bool page_is(__u64 at, __u32 state)
{
	const __u64 *word = (const void *)(host + at * PAGE);
	unsigned char there;
	__u64 i, by;

	require(!mincore((void *)word, PAGE, &there), "mincore");
	if (state == HOLE)
		return !(there & 1);
	for (i = 0; i < WORDS; i++) {
		by = word[i] >> 16 & 0xffff;
		if (state == ZEROES ? word[i] :
		    state >= FILLED ? word[i] != word_of(at, state, i) :
		    word[i] && word[i] != word_of(at, by, i))
			return false;
	}
	return true;
}

static void pages_verify(void)
{
	unsigned int wrong = 0, nr[FILLED + 1] = {};
	__u64 at;

	for (at = 0; at < NR_PAGES; at++) {
		__u32 state = notes->pages[at];

		nr[state < FILLED ? state : FILLED]++;
		wrong += !page_is(at, state);
		/* It is what it is, from now on. */
		if (state == BUSY) {
			page_fill(at, FILLED);
			notes->pages[at] = FILLED;
		}
	}
	check(!wrong, "%u pages are filled, %u zeroes, %u holes, %u were busy; %u are wrong",
	      nr[FILLED], nr[ZEROES], nr[HOLE], nr[BUSY], wrong);
}

/* What vmm_guest.h has for all words but the first. */
static __u64 guest_word(__u64 index, __u64 i)
{
	__u64 word = index * VMM_GUEST_A - VMM_GUEST_B;

	word ^= word >> 32;
	return word * VMM_GUEST_A + i * VMM_GUEST_B;
}

/* Words that are the guest's, of those behind the first; -1 if one is neither that nor 0. */
static int guest_words(const __u64 *word, __u64 index)
{
	int nr = 0;
	__u64 i;

	for (i = 1; i < WORDS; i++) {
		if (word[i] == guest_word(index, i))
			nr++;
		else if (word[i])
			return -1;
	}
	return nr;
}

static void guest_verify(void)
{
	const __u64 passed = notes->beats * BEAT_PAGES;
	unsigned int wrong = 0, full = 0, parts = 0;
	char *map = place_map(file, 0, GUEST_SIZE);
	unsigned char there;
	__u64 at;
	int nr;

	for (at = VMM_GUEST_FIRST; at < GUEST_SIZE; at += PAGE) {
		require(!mincore(map + at, PAGE, &there), "mincore");
		if (!(there & 1))
			continue;
		nr = guest_words((void *)(map + at), at / PAGE);
		wrong += nr < 0;
		full += nr == WORDS - 1;
		parts += nr > 0 && nr < (int)WORDS - 1;
	}
	munmap(map, GUEST_SIZE);
	check(!wrong && parts <= 1, "the guest's: %u pages are full, %u in parts, %u wrong", full,
	      parts, wrong);
	check(notes->ended == VMM_RUNS, "it ran");
	check(full >= passed || full == (GUEST_SIZE - VMM_GUEST_FIRST) / PAGE,
	      "all are there that it has passed: %llu", passed);
}

static void device_open(void)
{
	device = preserve_device_open();
	require(device >= 0, "open the device: %s", strerror(-device));
}

/* It may have been open when the kexec came. */
static void finish_dropped(void)
{
	int session;

	device_open();
	session = preserve_session_retrieve(device, DROPPED);
	close(device);
	if (session < 0)
		return;
	require(!preserve_session_finish(session), "finish what was to be dropped");
	close(session);
}

static int files_retrieve(void)
{
	int session, fd;

	finish_dropped();
	session = stage_session_retrieve(SESSION);
	fd = preserve_session_get_fd(session, TOKEN_NOTES);
	file = preserve_session_get_fd(session, TOKEN_FILE);
	require(fd >= 0 && file >= 0, "retrieve: %s", strerror(-file));
	notes = place_map(fd, 0, sizeof(*notes));
	stage_session_finish(session);
	return fd;
}

/* --- kernels --- */

static unsigned int nr_rounds;

static int begin(void)
{
	int fd;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	if (!stage_number()) {
		file = vmm_gmem(&vmm, SIZE, VMM_SHARED | GUEST_MEMFD_FLAG_PRESERVE);
		require(file >= 0, "make: %s", strerror(-file));
		fd = notes_make();
	} else {
		fd = files_retrieve();
	}
	host = place_map(file, GUEST_SIZE, NR_PAGES * PAGE);
	return fd;
}

static void run(void)
{
	int fd, session;

	fd = begin();
	if (stage_number()) {
		pages_verify();
		guest_verify();
	}
	if (stage_number() + 1 == nr_rounds) {
		check(notes->changed && notes->dropped, "%llu changes, %llu files dropped",
		      (unsigned long long)notes->changed, (unsigned long long)notes->dropped);
		return;
	}
	/* The guest takes new pages in one kernel, and what has crossed in the next. */
	if (stage_number() % 2)
		require(!fallocate(file, PUNCH, 0, GUEST_SIZE), "punch");
	vmm_memory(&vmm, file, GUEST_SIZE);
	session = stage_session_create(SESSION);
	require(!preserve_session_add_fd(session, fd, TOKEN_NOTES) &&
		!preserve_session_add_fd(session, file, TOKEN_FILE), "preserve");
	device_open();
	stage_load_next();
	unrest();
	stage_next_after(last);
}

int main(int argc, char **argv)
{
	nr_rounds = argc > 1 ? atoi(argv[1]) : 3;
	chance_start(argc > 2 ? argv[2] : NULL);
	seed = chance_seed();
	ksft_print_msg("seed %llu\n", (unsigned long long)seed);
	return stage_run_rounds(run, nr_rounds);
}
