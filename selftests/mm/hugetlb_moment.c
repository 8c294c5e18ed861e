// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kexec at any moment: while holes of preserved files are filled and their pages written,
 * while other files are preserved, dropped, cut and filled again, while the pool of huge
 * pages grows and shrinks and memory is compacted, the next kernel comes. Each page that was
 * finished before is whole in it, and the counters of huge pages are right each time.
 *
 * Arguments: the number of kernels, and a seed that takes the place of a random one.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "books.h"
#include "chance.h"
#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"moment"
#define NR_HUGEPAGES	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define PAGE		MIB(2)
#define ASKED		60	/* as tests.list has it */
#define NR_FILES	3
#define NR_PAGES	12
#define NR_WRITERS	2

enum { TOKEN_NOTES = 1, TOKEN_FILES };

/*
 * What crosses beside the files: which of their pages are finished, and by which seed. A
 * thread notes a page behind its last word.
 */
struct notes {
	_Atomic __u32 done[NR_FILES][NR_PAGES];
	_Atomic __u64 filled;
	_Atomic __u64 dropped;
};

static struct notes *notes;
static int files[NR_FILES];
static int device;
static __u64 seed;

static void notes_map(int fd)
{
	notes = mmap(NULL, KIB(4), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	require(notes != MAP_FAILED, "map the notes");
}

static int notes_make(void)
{
	int fd = preserve_memfd_create("notes", 0);

	require(fd >= 0 && !ftruncate(fd, KIB(4)), "make the notes");
	notes_map(fd);
	return fd;
}

static unsigned int nr_done(void)
{
	unsigned int nr = 0, file, at;

	for (file = 0; file < NR_FILES; file++)
		for (at = 0; at < NR_PAGES; at++)
			nr += !!notes->done[file][at];
	return nr;
}

/* Fills pages of the preserved files, in holes or not, as often as it can. */
static void *writer(void *arg)
{
	unsigned int file, at;
	__u32 by;

	chance_go_on(seed + (unsigned long)arg);
	for (;;) {
		file = below(NR_FILES);
		/* Each thread has its own pages. */
		at = below(NR_PAGES / NR_WRITERS) * NR_WRITERS + (unsigned long)arg;
		by = 1 + below(200);
		notes->done[file][at] = 0;
		huge_fill(files[file], by, at, 1, PAGE);
		notes->done[file][at] = by;
		notes->filled++;
	}
	return NULL;
}

/* Makes, preserves, changes and drops files of its own. */
static void *dropper(void *unused)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int session, fd, i;

	chance_go_on(seed + 77);
	for (;;) {
		fd = huge_memfd("dropped", PAGE, below(2) ? MFD_PRESERVE : 0);
		if (fd < 0 || ftruncate(fd, 8 * PAGE))
			continue;
		for (i = 0; i < 3; i++) {
			session = preserve_session_create(device, "dropped");
			fallocate(fd, 0, below(6) * PAGE, PAGE);
			preserve_session_add_fd(session, fd, 1);
			close(session);
			fallocate(fd, punch, below(6) * PAGE, PAGE);
		}
		close(fd);
		notes->dropped++;
	}
	return NULL;
}

/* Lets the pool of huge pages grow and shrink, and memory move. */
static void *mover(void *unused)
{
	char text[16];

	chance_go_on(seed + 99);
	for (;;) {
		snprintf(text, sizeof(text), "%u", (unsigned int)(ASKED - 8 + below(16)));
		text_write(NR_HUGEPAGES, text);
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

static void unrest(void)
{
	unsigned long i;

	for (i = 0; i < NR_WRITERS; i++)
		thread_start(writer, i);
	thread_start(dropper, 0);
	thread_start(mover, 0);
	usleep(below(600) * 1000);
}

static void files_preserve(int notes_fd)
{
	int session = stage_session_create(SESSION), i, err;

	err = preserve_session_add_fd(session, notes_fd, TOKEN_NOTES);
	for (i = 0; !err && i < NR_FILES; i++)
		err = preserve_session_add_fd(session, files[i], TOKEN_FILES + i);
	require(!err, "preserve: %d", err);
}

static void files_make(void)
{
	int i;

	for (i = 0; i < NR_FILES; i++) {
		files[i] = huge_memfd("file", PAGE, i ? MFD_PRESERVE : 0);
		require(files[i] >= 0 && !ftruncate(files[i], NR_PAGES * PAGE), "make");
	}
}

/* It may have been open when the kexec came. */
static void finish_dropped(void)
{
	int fd = preserve_device_open(), session;

	require(fd >= 0, "open the device: %d", fd);
	session = preserve_session_retrieve(fd, "dropped");
	if (session >= 0)
		require(!preserve_session_finish(session), "finish what was to be dropped");
	close(session);
	close(fd);
}

static int files_retrieve(void)
{
	int session, fd, i;

	finish_dropped();
	session = stage_session_retrieve(SESSION);
	fd = preserve_session_get_fd(session, TOKEN_NOTES);
	require(fd >= 0, "retrieve the notes: %d", fd);
	notes_map(fd);
	for (i = 0; i < NR_FILES; i++) {
		files[i] = preserve_session_get_fd(session, TOKEN_FILES + i);
		require(files[i] >= 0, "retrieve: %d", files[i]);
	}
	stage_session_finish(session);
	return fd;
}

static void verify(void)
{
	unsigned int file, at, by, wrong = 0;
	__s64 in_use = 0;
	struct books books;

	for (file = 0; file < NR_FILES; file++) {
		for (at = 0; at < NR_PAGES; at++) {
			by = notes->done[file][at];
			wrong += by && !huge_check(files[file], by, at, 1, PAGE);
		}
		in_use += file_allocated(files[file]) / (__s64)PAGE;
	}
	check(!wrong, "%u pages were finished, %u of them are wrong", nr_done(), wrong);
	books = books_read(PAGE, "retrieved");
	check(books.total - books.free == in_use, "%ld huge pages are in use, the files have %lld",
	      books.total - books.free, (long long)in_use);
	/* A page that was about to come when the kexec came looks like a reservation. */
	check(books.resv <= NR_WRITERS, "%ld are reserved", books.resv);
	check(books.total - books.surplus == ASKED, "%ld, without %ld surplus, are there",
	      books.total, books.surplus);
}

static unsigned int nr_rounds;

static void run(void)
{
	int fd;

	if (!stage_number()) {
		fd = notes_make();
		files_make();
	} else {
		fd = files_retrieve();
		verify();
	}
	if (stage_number() + 1 == nr_rounds) {
		check(notes->filled && notes->dropped, "%llu pages filled, %llu files dropped",
		      (unsigned long long)notes->filled, (unsigned long long)notes->dropped);
		return;
	}
	files_preserve(fd);
	device = preserve_device_open();
	require(device >= 0, "open the device: %d", device);
	stage_load_next();
	unrest();
	stage_next();
}

int main(int argc, char **argv)
{
	nr_rounds = argc > 1 ? atoi(argv[1]) : 3;
	chance_start(argc > 2 ? argv[2] : NULL);
	seed = chance_seed();
	ksft_print_msg("seed %llu\n", (unsigned long long)seed);
	return stage_run_rounds(run, nr_rounds);
}
