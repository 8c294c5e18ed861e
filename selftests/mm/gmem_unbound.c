// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory that has crossed a kexec and its virtual machine find each other, or do not. One
 * of the two may never come; of two machines that ask for the same file at once one gets it; a
 * file that is no machine's can be used as any other, and can cross again; either of the two may
 * go first. Several files are of one machine, and come in another order than they went.
 * Machines and memory are gone when nothing needs them.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"

#define SESSION		"gmem-unbound"
#define SIZE		MIB(1)
#define HALF		(SIZE / 2)
#define PAGE		PLACE_PAGE
#define ROUNDS		200
#define MACHINES	"/sys/kernel/debug/kvm"
#define PUNCH		(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)

/* Also the seeds of the content; the first half of a file has it, the second is a hole. */
enum { ALONE = 1, MACHINE_FIRST, FILE_FIRST, BOTH, AGAIN, OTHER, NEVER, NR_NAMED };

/* One page each, for one round of two machines' race. */
#define RACE(round)	(NR_NAMED + (round))
#define NR_FILES	RACE(ROUNDS)
#define USED		NR_FILES
#define NOTHING		(NR_FILES + 1)

/* Machines that the kernel has, for this process or another: one directory each. */
static int machines(void)
{
	DIR *dir = opendir(MACHINES);
	struct dirent *entry;
	int nr = 0;

	require(dir, "open %s: %s", MACHINES, strerror(errno));
	while ((entry = readdir(dir)))
		nr += !!strchr(entry->d_name, '-');
	closedir(dir);
	return nr;
}

static void machine_new(struct vmm *vmm, unsigned long type)
{
	int err = vmm_create(vmm, type);

	require(!err, "a machine: %s", strerror(-err));
}

static __u64 size_of(int file)
{
	return file < NR_NAMED ? SIZE : PAGE;
}

static void fill(int fd, int file)
{
	const __u64 size = file < NR_NAMED ? HALF : PAGE;
	void *at;

	require(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size), "file %d: allocate", file);
	if (file == OTHER)
		return;
	at = place_map(fd, 0, size_of(file));
	pattern_fill(at, file, 0, size);
	munmap(at, size_of(file));
}

static bool content_is(int fd, int file)
{
	void *at = place_map(fd, 0, size_of(file));
	bool good = pattern_is(at, file, 0, file < NR_NAMED ? HALF : PAGE);

	munmap(at, size_of(file));
	return good;
}

static int file_new(struct vmm *vmm, int file)
{
	int fd = vmm_gmem(vmm, size_of(file),
			  GUEST_MEMFD_FLAG_PRESERVE | (file == OTHER ? 0 : VMM_SHARED));

	require(fd >= 0, "file %d: %s", file, strerror(-fd));
	fill(fd, file);
	return fd;
}

static void check_flags(struct vmm *plain, struct vmm *private)
{
	const __u64 flags = GUEST_MEMFD_FLAG_PRESERVE;

	check(vmm_gmem(plain, SIZE, flags | flags << 1) == -EINVAL, "no flag that is unknown");
	check(vmm_gmem(private, SIZE, flags | VMM_SHARED) == -EINVAL,
	      "none that this type does not have");
}

static int get(int session, int file)
{
	int fd = preserve_session_get_fd(session, file);

	require(fd >= 0, "file %d: retrieve: %s", file, strerror(-fd));
	return fd;
}

/* What the pool has in use when no file is. */
static void used_save(int session, __s64 used)
{
	int fd = preserve_memfd_create("used", 0);

	require(fd >= 0 && pwrite(fd, &used, sizeof(used), 0) == sizeof(used) &&
		!preserve_session_add_fd(session, fd, USED), "save a number");
	close(fd);
}

static __s64 used_load(int session)
{
	int fd = get(session, USED);
	__s64 used;

	require(pread(fd, &used, sizeof(used), 0) == sizeof(used), "load a number");
	close(fd);
	return used;
}

/* The last one goes first. */
static void before(void)
{
	int session = stage_session_create(SESSION), file, fd;
	__s64 used = pool_used_at_rest();
	struct vmm plain, private;

	check(!machines(), "there is no machine");
	machine_new(&plain, VMM_PLAIN);
	machine_new(&private, VMM_PRIVATE);
	check(machines() == 2, "there are two: %d", machines());
	check_flags(&plain, &private);
	for (file = NR_FILES - 1; file; file--) {
		fd = file_new(file == OTHER ? &private : &plain, file);
		require(!preserve_session_add_fd(session, fd, file), "preserve %d", file);
		close(fd);
	}
	vmm_destroy(&plain);
	vmm_destroy(&private);
	check(machines() == 2, "they are kept, as files are preserved: %d", machines());
	used_save(session, used);
}

/* A slot of all of a file. */
static int bind_to(struct vmm *vmm, int fd, __u64 size)
{
	struct vmm_slot slot = {
		.gpa = vmm->nr_slots * GIB(1), .size = size, .gmem = fd,
		.host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0),
	};
	int err;

	require(slot.host != MAP_FAILED, "memory");
	err = vmm_slot_add(vmm, &slot);
	if (err)
		munmap(slot.host, size);
	return err;
}

static bool pages_are(int fd, __u64 size)
{
	return place_fdinfo(fd, "preserve-pages") == (__s64)(size / PAGE);
}

/* All that can be done with a file without a machine. */
static void alone(int fd)
{
	char *at = place_map(fd, 0, SIZE);

	check(pattern_is(at, ALONE, 0, HALF) && pages_are(fd, HALF), "no machine: it can be read");
	check(!madvise(at + HALF, HALF / 2, MADV_POPULATE_WRITE) && pages_are(fd, HALF * 3 / 2),
	      "no machine: populated");
	check(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, SIZE) && pages_are(fd, SIZE),
	      "no machine: allocated");
	pattern_fill(at + HALF, ALONE, HALF, HALF);
	check(pattern_is(at, ALONE, 0, SIZE), "no machine: written");
	check(!fallocate(fd, PUNCH, 0, HALF) && pages_are(fd, HALF) && !at[0],
	      "no machine: punched");
	munmap(at, SIZE);
	close(fd);
}

static void machine_first(int fd)
{
	struct vmm vmm, other;

	machine_new(&vmm, VMM_PLAIN);
	machine_new(&other, VMM_PLAIN);
	check(!bind_to(&vmm, fd, SIZE), "machine first: bound");
	vmm_destroy(&vmm);
	check(machines() == 2, "machine first: the file keeps it: %d", machines());
	check(content_is(fd, MACHINE_FIRST), "machine first: the content is there");
	check(bind_to(&other, fd, SIZE) == -EINVAL, "machine first: no other gets it");
	vmm_destroy(&other);
	check(machines() == 1, "machine first: the other is gone: %d", machines());
	close(fd);
}

static void file_first(int fd, __s64 used)
{
	struct vmm vmm;

	machine_new(&vmm, VMM_PLAIN);
	check(!bind_to(&vmm, fd, SIZE), "file first: bound");
	close(fd);
	check(used - pool_counter("used") >= (__s64)HALF, "file first: its memory is free: %lld",
	      (long long)(used - pool_counter("used")));
	vmm_slot_drop(&vmm);
	vmm_destroy(&vmm);
}

static void other_type(int private_fd, int plain_fd)
{
	struct vmm plain, private;

	machine_new(&plain, VMM_PLAIN);
	machine_new(&private, VMM_PRIVATE);
	check(bind_to(&plain, private_fd, SIZE) == -EINVAL, "another type does not get it");
	check(bind_to(&private, plain_fd, SIZE) == -EINVAL, "nor the other way round");
	check(!bind_to(&private, private_fd, SIZE), "its own does");
	vmm_destroy(&plain);
	vmm_destroy(&private);
	close(private_fd);
}

/* Two machines that want the same file in each round. */
static int race_fds[ROUNDS];
static atomic_int arrived;

/**
 * struct racer - one of the two
 * @vmm:     its machine
 * @number:  its own
 * @results: of each round
 */
struct racer {
	struct vmm vmm;
	int number;
	int results[ROUNDS];
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		atomic_fetch_add(&arrived, 1);
		while (atomic_load(&arrived) < 2 * (round + 1))
			;
		racer->results[round] = bind_to(&racer->vmm, race_fds[round], PAGE);
		if (!racer->results[round])
			vmm_slot_drop(&racer->vmm);
	}
	return NULL;
}

static int wins(const struct racer *a, const struct racer *b)
{
	int round, nr = 0;

	for (round = 0; round < ROUNDS; round++)
		nr += !a->results[round] && b->results[round] == -EINVAL;
	return nr;
}

static void check_race(int session)
{
	static struct racer racers[2];
	pthread_t threads[2];
	int i, first, second, had = machines();

	for (i = 0; i < ROUNDS; i++)
		race_fds[i] = get(session, RACE(i));
	for (i = 0; i < 2; i++)
		machine_new(&racers[i].vmm, VMM_PLAIN);
	for (i = 0; i < 2; i++)
		require(!pthread_create(&threads[i], NULL, race, &racers[i]), "a thread");
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	first = wins(&racers[0], &racers[1]);
	second = wins(&racers[1], &racers[0]);
	check(first + second == ROUNDS, "race: one gets it, %d and %d times of %d", first, second,
	      ROUNDS);
	for (i = 0; i < 2; i++)
		vmm_destroy(&racers[i].vmm);
	check(machines() == had + !!first + !!second, "race: the files keep them: %d", machines());
	for (i = 0; i < ROUNDS; i++) {
		if (!content_is(race_fds[i], RACE(i)))
			stage_fail(__FILE__, __LINE__, "race: content of file %d", i);
		close(race_fds[i]);
	}
}

/* What crosses again, and is no machine's then. */
static void preserve_again(int both, int again, __s64 used)
{
	int session = stage_session_create(SESSION);
	struct vmm vmm;

	machine_new(&vmm, VMM_PLAIN);
	check(!bind_to(&vmm, both, SIZE), "bound, and preserved so");
	check(!preserve_session_add_fd(session, both, BOTH) &&
	      !preserve_session_add_fd(session, again, AGAIN), "preserve again");
	used_save(session, used);
}

static void between(void)
{
	int session = stage_session_retrieve(SESSION), fds[NR_NAMED], file;
	__s64 used = used_load(session);
	struct vmm vmm;

	check(!machines(), "no machine has come");
	check(preserve_session_get_fd(session, NOTHING) == -ENOENT, "nor memory of nothing");
	for (file = ALONE; file < NEVER; file++)
		fds[file] = get(session, file);
	alone(get(session, ALONE));
	close(fds[ALONE]);
	other_type(fds[OTHER], fds[MACHINE_FIRST]);
	check_race(session);
	check(machines(), "the session keeps the files, and these machines: %d", machines());
	stage_session_finish(session);
	check(!machines(), "nothing does after it: %d", machines());
	machine_first(fds[MACHINE_FIRST]);
	check(!machines(), "machine first: it is gone with the file");
	file_first(fds[FILE_FIRST], pool_counter("used"));
	check(!machines(), "file first: the machine is gone");
	machine_new(&vmm, VMM_PLAIN);
	check(!pool_counter("incoming"), "memory that no machine has asked for is free");
	vmm_destroy(&vmm);
	preserve_again(fds[BOTH], fds[AGAIN], used);
}

static void end(void)
{
	int session = stage_session_retrieve(SESSION), fds[2], i;
	__s64 used = used_load(session);
	struct vmm vmm;

	machine_new(&vmm, VMM_PLAIN);
	for (i = 0; i < 2; i++) {
		fds[i] = get(session, i ? BOTH : AGAIN);
		check(content_is(fds[i], i ? BOTH : AGAIN) && pages_are(fds[i], HALF),
		      "%s: content", i ? "bound" : "never bound");
		check(!bind_to(&vmm, fds[i], SIZE), "%s: a machine gets it",
		      i ? "bound" : "never bound");
	}
	stage_session_finish(session);
	vmm_destroy(&vmm);
	check(machines() == 1, "the files keep it");
	close(fds[0]);
	close(fds[1]);
	check(!machines() && !pool_counter("incoming") && !pool_counter("files"),
	      "nothing is left");
	check(pool_used_at_rest() == used, "the pool has all back: %lld, %lld",
	      (long long)pool_counter("used"), (long long)used);
}

int main(void)
{
	static const stage_fn stages[] = { before, between, end };

	return stage_run(stages, STAGE_COUNT(stages));
}
