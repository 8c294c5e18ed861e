// SPDX-License-Identifier: GPL-2.0-only
/* Memory of other programs, and the knobs of the pool; see load.h. */

#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "stage.h"

#define PAGE		4096UL
#define POOL		"/sys/kernel/mm/preserve/"
#define MAX_NODES	64
#define MAX_PINS	16384U
#define PFN_MASK	((1ULL << 55) - 1)
#define SEED		77
#define GAP_PAGES	4

/* Attempts to grow that gain nothing, one after the other: it cannot be had. */
#define GROW_TRIES	50

/* Looks at counters that stand still and do not fit: they are wrong. */
#define LOOKS		40

struct load {
	pid_t pid;
	int socket;
	unsigned int nr_pinned;
};

/* What the process tells: at the start, and of each check. */
struct answer {
	bool good;
	unsigned int nr_pinned;
};

static __u64 word_at(size_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ULL;
}

static char *anon_map(size_t size, int advice)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	madvise(memory, size, advice);
	return memory;
}

/* Every so many pages of content another one was allocated, and is freed. */
static bool leave_gaps(char *memory, size_t size)
{
	char *gaps = anon_map(size / GAP_PAGES, MADV_NOHUGEPAGE);
	size_t i;

	for (i = 0; gaps && i < size / PAGE; i++) {
		memory[i * PAGE] = 1;
		if (i % GAP_PAGES == GAP_PAGES - 1)
			gaps[i / GAP_PAGES * PAGE] = 1;
	}
	return gaps && !munmap(gaps, size / GAP_PAGES);
}

static __u64 *anon_fill(size_t size, bool scattered)
{
	char *memory = anon_map(size, scattered ? MADV_NOHUGEPAGE :
				MADV_NORMAL);
	__u64 *words = (__u64 *)memory;
	size_t i;

	if (!memory || (scattered && !leave_gaps(memory, size)))
		return NULL;
	for (i = 0; i < size / sizeof(*words); i++)
		words[i] = word_at(i);
	return words;
}

static bool anon_good(const __u64 *words, size_t size)
{
	size_t i;

	for (i = 0; i < size / sizeof(*words); i++) {
		if (words[i] == word_at(i))
			continue;
		fprintf(stderr, "load: word %zu is %#llx, not %#llx\n", i,
			(unsigned long long)words[i],
			(unsigned long long)word_at(i));
		return false;
	}
	return true;
}

/* Pins buffers for as long as this process lives. */
static bool pin(struct iovec *iovs, unsigned int nr)
{
	struct io_uring_params params = {};
	int ring = syscall(SYS_io_uring_setup, 4, &params);

	return ring >= 0 && !syscall(SYS_io_uring_register, ring,
				     IORING_REGISTER_BUFFERS, iovs, nr);
}

/* A buffer of io_uring has 1 GiB at most. */
static bool pin_range(char *memory, size_t length)
{
	struct iovec iovs[16];
	unsigned int nr = 0;

	while (length && nr < STAGE_COUNT(iovs)) {
		size_t part = length < GIB(1) ? length : GIB(1);

		iovs[nr++] = (struct iovec) { memory, part };
		memory += part;
		length -= part;
	}
	return !length && (!nr || pin(iovs, nr));
}

/* The frames of a range that is all there. */
static __u64 *frames_of(const char *memory, size_t nr)
{
	size_t size = nr * sizeof(__u64);
	__u64 *frames = malloc(size);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool good = frames && pread(fd, frames, size, (unsigned long)memory /
				    PAGE * sizeof(*frames)) == (ssize_t)size;

	close(fd);
	return good ? frames : NULL;
}

/* Pins the first page in each pageblock. */
static bool pin_blocks(char *memory, size_t length, unsigned int *nr)
{
	static struct iovec iovs[MAX_PINS];
	static bool seen[1 << 20];
	__u64 *frames = frames_of(memory, length / PAGE);
	size_t i;

	*nr = 0;
	for (i = 0; frames && i < length / PAGE && *nr < MAX_PINS; i++) {
		__u64 block = (frames[i] & PFN_MASK) / (LOAD_BLOCK / PAGE);

		if (block >= STAGE_COUNT(seen) || seen[block])
			continue;
		seen[block] = true;
		iovs[(*nr)++] = (struct iovec) { memory + i * PAGE, PAGE };
	}
	free(frames);
	return *nr && pin(iovs, *nr);
}

static void __noreturn load_live(const struct load_spec *spec, int socket)
{
	int fd = spec->cache ? memfd_create("load", MFD_CLOEXEC) : -1;
	struct answer answer = {};
	__u64 *words = NULL;
	char ask;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (spec->cgroup)
		load_join(spec->cgroup);
	if (spec->anon)
		words = anon_fill(spec->anon, spec->scattered);
	answer.good = (words || !spec->anon) &&
		      !pattern_write(fd, SEED, 0, spec->cache) &&
		      pin_range((char *)words, spec->pinned);
	if (answer.good && spec->pin_blocks)
		answer.good = pin_blocks((char *)words, spec->anon,
					 &answer.nr_pinned);
	while (write(socket, &answer, sizeof(answer)) == sizeof(answer) &&
	       read(socket, &ask, 1) == 1)
		answer.good = anon_good(words, spec->anon) &&
			      !pattern_check(fd, SEED, 0, spec->cache);
	_exit(0);
}

struct load *load_start(const struct load_spec *spec)
{
	struct load *load = calloc(1, sizeof(*load));
	struct answer answer;
	int sockets[2];

	require(load && !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    sockets), "a socket for a load");
	fflush(stdout);
	load->pid = fork();
	require(load->pid >= 0, "fork");
	if (!load->pid) {
		close(sockets[0]);
		load_live(spec, sockets[1]);
	}
	close(sockets[1]);
	load->socket = sockets[0];
	require(read(load->socket, &answer, sizeof(answer)) ==
		sizeof(answer) && answer.good, "fill memory: %zu + %zu MiB",
		spec->anon >> 20, spec->cache >> 20);
	load->nr_pinned = answer.nr_pinned;
	return load;
}

struct load *load_fill(size_t bytes)
{
	const struct load_spec spec = {
		.anon = bytes / 4 / PAGE * PAGE * 3,
		.cache = bytes / 4 / PAGE * PAGE,
		.scattered = true,
	};

	return load_start(&spec);
}

bool load_good(struct load *load)
{
	struct answer answer;

	if (send(load->socket, "?", 1, MSG_NOSIGNAL) != 1 ||
	    read(load->socket, &answer, sizeof(answer)) != sizeof(answer)) {
		ksft_print_msg("a load was killed\n");
		return false;
	}
	return answer.good;
}

bool load_stop(struct load *load)
{
	bool good = load_good(load);

	kill(load->pid, SIGKILL);
	waitpid(load->pid, NULL, 0);
	close(load->socket);
	free(load);
	return good;
}

unsigned int load_nr_pinned(const struct load *load)
{
	return load->nr_pinned;
}

void load_join(const char *cgroup)
{
	char path[256], pid[16];

	mkdir(cgroup, 0755);
	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	snprintf(pid, sizeof(pid), "%d", getpid());
	require(!text_write(path, pid), "enter %s", cgroup);
}

size_t load_percent(unsigned int percent)
{
	return meminfo_bytes("MemTotal") / 100 * percent / LOAD_BLOCK *
	       LOAD_BLOCK;
}

int pool_set(const char *knob, __u64 value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), POOL "%s", knob);
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)value);
	return text_write(path, text);
}

int pool_grow_in_time(__u64 size)
{
	unsigned int tries = GROW_TRIES;
	int err = pool_set("size", size);
	__s64 have;

	while (err == -ENOMEM && --tries) {
		usleep(200000);
		have = pool_counter("size");
		err = pool_set("size", size);
		if (pool_counter("size") > have)
			tries = GROW_TRIES;
	}
	return err;
}

void pool_await(const char *counter, __s64 least)
{
	if (pool_counter(counter) < least)
		ksft_print_msg("waits for %s to be %lld, not %lld\n", counter,
			       (long long)least,
			       (long long)pool_counter(counter));
	while (pool_counter(counter) < least)
		usleep(20000);
}

__s64 pool_node_counter(const char *name)
{
	__s64 sum = -ENOENT, value;
	unsigned int nid;
	char path[96];

	for (nid = 0; nid < MAX_NODES; nid++) {
		snprintf(path, sizeof(path), "node%u/%s", nid, name);
		value = pool_counter(path);
		if (value >= 0)
			sum = sum < 0 ? value : sum + value;
	}
	return sum;
}

/* In the order of the checks below. */
static const char * const names[] = { "size", "idle", "lent", "used" };

struct state {
	__s64 pool[STAGE_COUNT(names)];
	__s64 nodes[STAGE_COUNT(names)];
};

static void state_read(struct state *state)
{
	unsigned int i;

	for (i = 0; i < STAGE_COUNT(names); i++) {
		state->pool[i] = pool_counter(names[i]);
		state->nodes[i] = pool_node_counter(names[i]);
	}
}

static bool state_good(const struct state *state)
{
	__s64 size = state->pool[0], idle = state->pool[1];
	__s64 lent = state->pool[2], used = state->pool[3];

	return !memcmp(state->pool, state->nodes, sizeof(state->pool)) &&
	       !(size % LOAD_BLOCK) && !(idle % LOAD_BLOCK) &&
	       !(lent % LOAD_BLOCK) && !(used % (__s64)PAGE) && lent >= 0 &&
	       lent <= idle && idle <= size && used >= 0 &&
	       used <= size - idle && !used == (size == idle) &&
	       meminfo_bytes("PreserveTotal") == size &&
	       meminfo_bytes("PreserveLent") == lent &&
	       meminfo_bytes("PreserveUsed") == used;
}

bool pool_consistent(void)
{
	struct state now, before;
	unsigned int i, looks = 0;

	while (looks < LOOKS) {
		state_read(&before);
		usleep(50000);
		state_read(&now);
		if (memcmp(&now, &before, sizeof(now)))
			continue;
		if (state_good(&now))
			return true;
		/* Another task may have been between two of the readings. */
		looks++;
	}
	for (i = 0; i < STAGE_COUNT(names); i++)
		ksft_print_msg("%s: %lld, nodes %lld\n", names[i],
			       (long long)now.pool[i],
			       (long long)now.nodes[i]);
	return false;
}
