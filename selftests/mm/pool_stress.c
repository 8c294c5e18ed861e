// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once, for some time: the pool is grown, shrunk, lent, packed, its
 * files are written, punched and cut, other memory comes and goes, and CPUs are
 * taken away. Nothing is lost, nobody is killed, the counters fit in the end, and
 * what the files hold crosses a kexec.
 *
 * The arguments are the number of seconds it takes, and the largest size of the
 * pool in MiB: the default is what other memory leaves.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"stress"
#define PAGE		KIB(4)
#define FILES		4	/* of each thread that has files */
#define PIECES		64	/* of a file */
#define PIECE		KIB(64)
#define CPUS		4
#define RESIZERS	2
#define FILERS		2
#define PROGRESS_S	10

static unsigned int seconds = 20;
static __u64 largest;

static bool stop;

/* Others look at these while they are counted up. */
static unsigned long nr_resized, nr_packed, nr_steps, nr_short, nr_churned;

static void count(unsigned long *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static bool goes_on(void)
{
	return !__atomic_load_n(&stop, __ATOMIC_RELAXED);
}

/* Ends the test: what was not expected cannot be told apart later. */
static void allow(int err, const char *what, const int *errs, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (err == errs[i])
			return;
	require(false, "%s: %d", what, err);
}

#define ALLOW(err, what, ...) do {					\
	static const int errs_[] = { 0, __VA_ARGS__ };			\
									\
	allow(err, what, errs_, STAGE_COUNT(errs_));			\
} while (0)

/* --- the pool's knobs --- */

static void *resize(void *arg)
{
	unsigned int seed = (unsigned long)arg, kind;
	__u64 most = pool_counter("max") / LOAD_BLOCK;

	for (kind = 6; goes_on(); kind = (kind + 1) % 10) {
		if (kind < 7) {
			ALLOW(pool_set("size", rand_r(&seed) % most * LOAD_BLOCK),
			      "size", -ENOMEM, -EBUSY);
			count(&nr_resized);
		} else if (kind < 9) {
			ALLOW(pool_set("lend", rand_r(&seed) % 2), "lend",
			      -EBUSY);
		} else {
			ALLOW(pool_set("compact", 1), "compact", -EBUSY,
			      -ENOMEM);
			count(&nr_packed);
		}
	}
	return NULL;
}

/* --- files, each of one thread --- */

/**
 * struct file - A file, and which of its pieces hold data.
 * @fd:   The file.
 * @seed: Of its content.
 * @data: A piece that is not there reads as zeroes.
 */
struct file {
	int fd;
	__u64 seed;
	bool data[PIECES];
};

static struct file files[FILERS][FILES];

static void punch(struct file *file, unsigned int first, unsigned int nr)
{
	require(!fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   first * PIECE, nr * PIECE), "no hole: %d", -errno);
	memset(&file->data[first], 0, nr);
}

static void fill(struct file *file, unsigned int piece)
{
	int err = pattern_write(file->fd, file->seed, piece * PIECE, PIECE);

	ALLOW(err, "write", -ENOSPC, -ENOMEM);
	if (err) {
		punch(file, piece, 1);
		count(&nr_short);
		/* The pool grows again when it is time. */
		usleep(10000);
	}
	file->data[piece] = !err;
}

static void cut(struct file *file, unsigned int piece)
{
	require(!ftruncate(file->fd, piece * PIECE) &&
		!ftruncate(file->fd, PIECES * PIECE), "truncate: %d", -errno);
	memset(&file->data[piece], 0, PIECES - piece);
}

static bool piece_good(const struct file *file, unsigned int piece)
{
	return file->data[piece] ?
	       !pattern_check(file->fd, file->seed, piece * PIECE, PIECE) :
	       range_is_zero(file->fd, piece * PIECE, PIECE);
}

static bool file_good(const struct file *file)
{
	unsigned int piece;

	for (piece = 0; piece < PIECES; piece++)
		if (!piece_good(file, piece))
			return false;
	return true;
}

static void files_make(void)
{
	unsigned int i, k;

	for (i = 0; i < FILERS; i++) {
		for (k = 0; k < FILES; k++) {
			struct file *file = &files[i][k];

			file->seed = 1 + i * FILES + k;
			file->fd = preserve_memfd_create("stress", 0);
			require(file->fd >= 0 &&
				!ftruncate(file->fd, PIECES * PIECE), "file");
		}
	}
}

static void *use_files(void *arg)
{
	struct file *own = arg;
	unsigned int seed = own->seed;

	while (goes_on()) {
		struct file *file = &own[rand_r(&seed) % FILES];
		unsigned int piece = rand_r(&seed) % PIECES;
		unsigned int kind = rand_r(&seed) % 100;

		if (kind < 55)
			fill(file, piece);
		else if (kind < 80)
			require(piece_good(file, piece), "piece %u of %llu",
				piece, (unsigned long long)file->seed);
		else if (kind < 98)
			punch(file, piece, 1);
		else
			cut(file, piece);
		count(&nr_steps);
	}
	return NULL;
}

/* --- others --- */

/* Memory that comes and goes. */
static void *churn(void *arg)
{
	const size_t size = MIB(16);

	while (goes_on()) {
		char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		size_t i;

		require(mem != MAP_FAILED, "memory");
		for (i = 0; i < size; i += PAGE)
			*(__u64 *)(mem + i) = i;
		for (i = 0; i < size; i += PAGE)
			require(*(__u64 *)(mem + i) == i, "memory at %zu", i);
		munmap(mem, size);
		count(&nr_churned);
	}
	return NULL;
}

static bool cpu_switch(unsigned int cpu, bool on)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online",
		 cpu);
	return !text_write(path, on ? "1" : "0");
}

/* Until the time is over. Returns how often a CPU left and came back. */
static unsigned int change_cpus(void)
{
	time_t start = time(NULL), told = start;
	unsigned int nr = 0;

	while (time(NULL) - start < seconds) {
		unsigned int cpu = 1 + nr % (CPUS - 1);

		if (cpu_switch(cpu, false) && cpu_switch(cpu, true))
			nr++;
		/* While CPUs come and go, nothing gets on that has to ask all. */
		usleep(500000);
		if (time(NULL) - told >= PROGRESS_S) {
			told = time(NULL);
			ksft_print_msg("%ld s: %lu sizes, %lu steps\n",
				       (long)(told - start), nr_resized,
				       nr_steps);
		}
	}
	return nr;
}

static unsigned int run_all(void)
{
	pthread_t threads[RESIZERS + FILERS + 1];
	unsigned int i, nr = 0, changed;

	for (i = 0; i < RESIZERS; i++)
		require(!pthread_create(&threads[nr++], NULL, resize,
					(void *)(unsigned long)(i + 1)),
			"thread");
	for (i = 0; i < FILERS; i++)
		require(!pthread_create(&threads[nr++], NULL, use_files,
					files[i]), "thread");
	require(!pthread_create(&threads[nr++], NULL, churn, NULL), "thread");
	changed = change_cpus();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	return changed;
}

static bool files_good(void)
{
	unsigned int i, k;

	for (i = 0; i < FILERS; i++)
		for (k = 0; k < FILES; k++)
			if (!file_good(&files[i][k]))
				return false;
	return true;
}

/* Every second piece, so that the next kernel knows what there has to be. */
static void settle(struct file *file)
{
	unsigned int piece;

	for (piece = 0; piece < PIECES; piece += 2) {
		fill(file, piece);
		punch(file, piece + 1, 1);
	}
}

static void preserve_all(void)
{
	int session = stage_session_create(SESSION);
	unsigned int i, k;

	for (i = 0; i < FILERS; i++) {
		for (k = 0; k < FILES; k++) {
			struct file *file = &files[i][k];

			settle(file);
			require(file_good(file), "file %u of %u", k, i);
			require(!preserve_session_add_fd(session, file->fd,
							 file->seed),
				"preserve");
		}
	}
}

/*
 * The load goes into idle blocks of the pool, too, for most free memory is there.
 * To end lending moves it out.
 */
static struct load *load_and_move(void)
{
	struct load *load;
	__s64 moved;

	require(!pool_set("max", load_percent(35)) &&
		!pool_set("size", load_percent(35)), "a pool to lend");
	load = load_fill(load_percent(40));
	moved = vmstat_count("pgmigrate_success");
	ALLOW(pool_set("lend", 0), "end lending", -EBUSY);
	moved = vmstat_count("pgmigrate_success") - moved;
	check(moved > 0, "%lld pages of others were moved", moved);
	/* A block with the pool's own maps stays. */
	ALLOW(pool_set("size", 0), "give it back", -EBUSY);
	require(!pool_set("lend", 1), "lend again");
	return load;
}

static void before(void)
{
	unsigned int changed;
	struct load *load;

	load = load_and_move();
	require(!pool_set("max", largest ?: load_percent(35)), "limit");
	files_make();
	changed = run_all();
	check(nr_resized && nr_packed && nr_steps && nr_churned && changed,
	      "%lu sizes, %lu times packed, %lu steps, %u CPUs changed",
	      nr_resized, nr_packed, nr_steps, changed);
	ksft_print_msg("%lu times without room\n", nr_short);
	check(files_good(), "the files are as they were left");
	check(load_stop(load), "others' memory is as it was");
	check(pool_consistent(), "counters");
	/* On a slow machine little was packed: the files have parts of too many blocks. */
	ALLOW(pool_set("size", pool_counter("max") / LOAD_BLOCK / 2 * LOAD_BLOCK),
	      "a size to end with", -EBUSY);
	ksft_print_msg("the pool ends with %lld MiB\n", (long long)pool_counter("size") >> 20);
	preserve_all();
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	unsigned int i, piece, wrong = 0;

	for (i = 1; i <= FILERS * FILES; i++) {
		struct file file = { .seed = i };

		file.fd = preserve_session_get_fd(session, i);
		for (piece = 0; piece < PIECES; piece += 2)
			file.data[piece] = true;
		wrong += file.fd < 0 || !file_good(&file);
	}
	check(!wrong, "%u files are not as they were", wrong);
	stage_session_finish(session);
	check(pool_consistent(), "counters");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atoi(argv[1]);
	if (argc > 2)
		largest = MIB(atoi(argv[2]));
	return stage_run(stages, STAGE_COUNT(stages));
}
