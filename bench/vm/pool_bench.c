// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the pool costs and what it gains: runs in a VM, one part a run, named by
 * the first argument. Prints METRIC and MARK lines for bench/parts/pool.py. On a kernel
 * without the pool the same work is done with plain memfds.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <x86intrin.h>
#include <unistd.h>

#include "memory.h"
#include "metric.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define PAGE		4096UL
#define BLOCK		MIB(2)
#define SYSFS		"/sys/kernel/mm/preserve/"
#define NODE		SYSFS "node0/"
#define THP		"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define HUGE_PAGES	"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"
#define SESSION		"bench"

static int nr_args;
static char **args;

static bool is_arg(unsigned int n, const char *text)
{
	return n < nr_args && !strcmp(args[n], text);
}

/* A memfd of the kind this kernel has for the purpose, mapped. */
static char *make(size_t size, int *fd)
{
	char *mem;

	*fd = preserve_memfd_create("bench", 0);
	if (*fd < 0)
		*fd = memfd_create("bench", MFD_CLOEXEC);
	require(*fd >= 0 && !ftruncate(*fd, size), "memfd");
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	require(mem != MAP_FAILED, "mapping");
	return mem;
}

/* --- faults: fault in a file ------------------------------------------------ */

struct part {
	char *mem;
	size_t size;
};

static void *touch(void *arg)
{
	const struct part *part = arg;
	size_t i;

	for (i = 0; i < part->size; i += PAGE)
		part->mem[i] = 1;
	return NULL;
}

static __u64 fault_in(size_t size, unsigned int nr_threads)
{
	struct part parts[16];
	pthread_t threads[16];
	unsigned int i;
	__u64 spent;
	char *mem;
	int fd;

	mem = make(size, &fd);
	spent = now();
	for (i = 0; i < nr_threads; i++) {
		parts[i].size = size / nr_threads;
		parts[i].mem = mem + i * parts[i].size;
		if (nr_threads == 1)
			touch(&parts[i]);
		else
			pthread_create(&threads[i], NULL, touch, &parts[i]);
	}
	for (i = 0; nr_threads > 1 && i < nr_threads; i++)
		pthread_join(threads[i], NULL);
	spent = now() - spent;
	munmap(mem, size);
	close(fd);
	return spent;
}

static int compare(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* faults THREADS ROUNDS MIB */
static void faults(void)
{
	unsigned int threads = atoi(args[2]), rounds = atoi(args[3]);
	size_t size = MIB(atoi(args[4]));
	static const char *const huge[] = { "never", "always" };
	__u64 spent[64];
	unsigned int h, i;

	/* What is idle is at hand; part pool has a row for lent memory. */
	if (is_arg(5, "kept"))
		text_write(SYSFS "lend", "0");
	for (h = 0; h < 2; h++) {
		text_write(THP, huge[h]);
		fault_in(MIB(64), threads);
		for (i = 0; i < rounds; i++)
			spent[i] = fault_in(size, threads);
		qsort(spent, rounds, sizeof(spent[0]), compare);
		metric(h ? "fault_2m" : "fault_4k",
		       spent[rounds / 2] / (size / PAGE));
	}
}

/* --- filling memory ---------------------------------------------------------- */

static unsigned long *anon_fill(size_t size)
{
	unsigned long *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	require(p != MAP_FAILED, "anonymous memory");
	madvise(p, size, MADV_NOHUGEPAGE);
	for (i = 0; i < size / sizeof(*p); i++)
		p[i] = i * 0x9e3779b97f4a7c15UL;
	return p;
}

static bool anon_good(const unsigned long *p, size_t size)
{
	size_t i;

	for (i = 0; i < size / sizeof(*p); i++)
		if (p[i] != i * 0x9e3779b97f4a7c15UL)
			return false;
	return true;
}

/* Pins @nr ranges for long, as a device would: io_uring's registered buffers. */
static void pin(struct iovec *iov, unsigned int nr)
{
	struct io_uring_params params = {};
	int ring = syscall(__NR_io_uring_setup, 4, &params);

	require(ring >= 0, "io_uring: %s", strerror(errno));
	require(!syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS,
			 iov, nr), "pinning: %s", strerror(errno));
}

/* 2 % of @size in ranges of @pages at random places of @mem. */
static void pin_some(char *mem, size_t size, unsigned int pages)
{
	unsigned int nr = size / PAGE / 50 / pages, i;
	struct iovec *iov = calloc(nr, sizeof(*iov));

	srandom(7);
	for (i = 0; i < nr; i++) {
		iov[i].iov_base = mem + random() % (size / PAGE - pages) * PAGE;
		iov[i].iov_len = pages * PAGE;
	}
	pin(iov, nr);
	free(iov);
}

/* --- grow: gain blocks from memory in use ------------------------------------ */

static const char *const reasons[] = {
	"tried", "done", "pinned", "unmovable", "busy", "nomem", "moved",
};

static void report_node(void)
{
	char path[128], name[64], text[64];
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(reasons); i++) {
		snprintf(path, sizeof(path), NODE "evacuate_%s", reasons[i]);
		snprintf(name, sizeof(name), "evacuate_%s", reasons[i]);
		fd = open(path, O_RDONLY);
		memset(text, 0, sizeof(text));
		if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
			metric(name, atoll(text));
		close(fd);
	}
}

/*
 * grow PAGES-A-PIN: by 512 MiB, memory two thirds full, 2 % of that pinned. The guest has
 * no disk to write page cache back to: what is more does not fit.
 */
static void grow(void)
{
	size_t half = meminfo_bytes("MemTotal") / 100 * 33 / PAGE * PAGE;
	unsigned int pages = atoi(args[2]);
	unsigned long *anon, *cache;
	__s64 before, spent;
	int fd, err;

	anon = anon_fill(half);
	fd = memfd_create("cache", 0);
	require(!ftruncate(fd, half), "page cache");
	cache = mmap(NULL, half, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memcpy(cache, anon, half);
	pin_some((char *)anon, half, pages);
	pin_some((char *)cache, half, pages);

	before = pool_counter("size");
	spent = now();
	err = text_write(SYSFS "size", "512M");
	metric("grow_ns", now() - spent);
	metric("grow_errno", -err);
	metric("grow_blocks", (pool_counter("size") - before) / BLOCK);
	report_node();
	metric("intact", anon_good(anon, half) && anon_good(cache, half));
}

/* --- evacuate: one GiB, beside alloc_contig_pages() -------------------------- */

/* A counter of /proc/vmstat. */
static __u64 vm_counter(const char *name)
{
	FILE *file = fopen("/proc/vmstat", "r");
	unsigned long long value = 0;
	char key[64];

	require(file, "/proc/vmstat");
	while (fscanf(file, "%63s %llu", key, &value) == 2)
		if (!strcmp(key, name))
			break;
	fclose(file);
	return value;
}

/* What anon_fill() has left, but for every third page. */
static bool thinned_good(const unsigned long *p, size_t size)
{
	size_t i;

	for (i = 0; i < size / sizeof(*p); i++)
		if (i * sizeof(*p) / PAGE % 3 != 2 &&
		    p[i] != i * 0x9e3779b97f4a7c15UL)
			return false;
	return true;
}

/* evacuate pool|contig */
static void evacuate(void)
{
	size_t size = meminfo_bytes("MemTotal") / 10 * 9 / PAGE * PAGE, i;
	unsigned long *anon = anon_fill(size);
	__u64 spent, moved;
	int err;

	/* Two thirds of every range are in use: no range is easier than others. */
	for (i = 2 * PAGE; i < size; i += 3 * PAGE)
		madvise((char *)anon + i, PAGE, MADV_DONTNEED);
	text_write(SYSFS "lend", "0");
	moved = vm_counter("pgmigrate_success");
	spent = now();
	err = is_arg(2, "pool") ? text_write(SYSFS "size", "1G") :
				  text_write(HUGE_PAGES, "1");
	spent = now() - spent;
	metric("evacuate_ns", spent);
	metric("evacuate_moved", vm_counter("pgmigrate_success") - moved);
	metric("evacuate_errno", -err);
	metric("evacuate_bytes", is_arg(2, "pool") ? pool_counter("size") :
						     meminfo_bytes("Hugetlb"));
	metric("intact", thinned_good(anon, size));
}

/* --- churn: random steps over many files, then packing ----------------------- */

#define CHURN_FILES	64
#define CHURN_PAGES	4096

static void churn_step(const int *fd, __u32 (*stamp)[CHURN_PAGES], __u32 step)
{
	static __u32 page[PAGE / 4];
	unsigned int f = random() % CHURN_FILES, i = random() % CHURN_PAGES;
	unsigned int kind = random() % 100, nr;

	if (kind < 65) {
		stamp[f][i] = step;
		page[0] = step;
		page[PAGE / 4 - 1] = step;
		require(pwrite(fd[f], page, PAGE, i * PAGE) == PAGE, "write");
	} else if (kind < 99) {
		nr = 1 + random() % 16;
		nr = i + nr > CHURN_PAGES ? CHURN_PAGES - i : nr;
		fallocate(fd[f], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  i * PAGE, nr * PAGE);
		memset(&stamp[f][i], 0, nr * 4);
	} else {
		i |= CHURN_PAGES / 2;
		require(!ftruncate(fd[f], i * PAGE) &&
			!ftruncate(fd[f], CHURN_PAGES * PAGE), "truncate");
		memset(&stamp[f][i], 0, (CHURN_PAGES - i) * 4);
	}
}

static bool churn_good(const int *fd, __u32 (*stamp)[CHURN_PAGES])
{
	__u32 page[PAGE / 4];
	unsigned int f, i;

	for (f = 0; f < CHURN_FILES; f++) {
		for (i = 0; i < CHURN_PAGES; i++) {
			if (pread(fd[f], page, PAGE, i * PAGE) != PAGE ||
			    page[0] != stamp[f][i] ||
			    page[PAGE / 4 - 1] != stamp[f][i])
				return false;
		}
	}
	return true;
}

static void churn_report(const int *fd, const char *when)
{
	long runs = 0, nr = 0;
	char name[64];
	int f;

	for (f = 0; f < CHURN_FILES; f++) {
		runs += place_fdinfo(fd[f], "preserve-runs");
		nr += place_stretches(fd[f]);
	}
	snprintf(name, sizeof(name), "%s_runs", when);
	metric(name, runs);
	snprintf(name, sizeof(name), "%s_stretches", when);
	metric(name, nr);
	snprintf(name, sizeof(name), "%s_used", when);
	metric(name, pool_counter("used"));
	snprintf(name, sizeof(name), "%s_blocks", when);
	metric(name, pool_counter("size") - pool_counter("idle"));
}

/* churn STEPS */
static void churn(void)
{
	static __u32 stamp[CHURN_FILES][CHURN_PAGES];
	unsigned int steps = atoi(args[2]), k;
	int fd[CHURN_FILES];
	__u64 spent;

	for (k = 0; k < CHURN_FILES; k++) {
		fd[k] = preserve_memfd_create("churn", 0);
		require(fd[k] >= 0 && !ftruncate(fd[k], CHURN_PAGES * PAGE),
			"memfd");
	}
	srandom(42);
	for (k = 1; k <= steps; k++)
		churn_step(fd, stamp, k);
	churn_report(fd, "churned");
	spent = now();
	metric("compact_errno", -text_write(SYSFS "compact", "1"));
	metric("compact_ns", now() - spent);
	churn_report(fd, "packed");
	metric("intact", churn_good(fd, stamp));
}

/* --- lend: how much of an idle pool others can use --------------------------- */

static void lend(void)
{
	__s64 lent = pool_counter("lent"), least, left;
	char *mem = mmap(NULL, GIB(8), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t at = 0;

	/* What a CPU has in its lists is nobody's, and differs from run to run. */
	text_write("/proc/sys/vm/percpu_pagelist_high_fraction", "100000");
	madvise(mem, GIB(8), MADV_NOHUGEPAGE);
	metric("idle", pool_counter("idle"));
	metric("lent", lent);
	least = meminfo_bytes("CmaFree");
	/* CmaFree has the scratch areas of KHO as well. */
	metric("cma_free_before", least);
	/* Above the watermarks, below which the OOM killer waits. */
	while (meminfo_bytes("MemFree") > MIB(60)) {
		memset(mem + at, 1, MIB(1));
		at += MIB(1);
	}
	left = meminfo_bytes("CmaFree");
	metric("cma_free_after", left);
	metric("used_by_others", at);
}

/* --- plain: a plain memfd, fragmented, over a kexec -------------------------- */

/* plain MIB: what alternates with it is thrown away in the kexec; 0 for nothing */
static void plain_before(void)
{
	size_t size = MIB(atoi(args[2])), i;
	int fd = memfd_create("plain", 0), other = memfd_create("other", 0);
	static char page[PAGE];
	int session;
	__u64 spent;

	require(!ftruncate(fd, size ? size : PAGE), "size");
	for (i = 0; i < size; i += PAGE) {
		memset(page, 1 + i / PAGE % 255, PAGE);
		require(pwrite(fd, page, PAGE, i) == PAGE &&
			pwrite(other, page, PAGE, i) == PAGE, "write");
	}
	session = stage_session_create(SESSION);
	spent = now();
	require(!preserve_session_add_fd(session, fd, 1), "preserve");
	metric("preserve_ns", now() - spent);
	metric("reboot_tsc", __rdtsc());
}

static void plain_after(void)
{
	size_t size = MIB(atoi(args[2])), i;
	char page[PAGE];
	int session, fd;
	__u64 spent;

	metric("up_tsc", __rdtsc());
	session = stage_session_retrieve(SESSION);
	spent = now();
	fd = preserve_session_get_fd(session, 1);
	metric("retrieve_ns", now() - spent);
	require(fd >= 0, "retrieve");
	for (i = 0; i < size; i += PAGE)
		require(pread(fd, page, PAGE, i) == PAGE &&
			page[7] == (char)(1 + i / PAGE % 255), "content");
	stage_session_finish(session);
}

static const struct {
	const char *name;
	stage_fn run;
} parts[] = {
	{ "faults", faults },
	{ "grow", grow },
	{ "evacuate", evacuate },
	{ "churn", churn },
	{ "lend", lend },
};

static void run(void)
{
	unsigned int i;

	if (is_arg(1, "plain")) {
		if (stage_number())
			plain_after();
		else
			plain_before();
	}
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		if (is_arg(1, parts[i].name))
			parts[i].run();
	check(true, "measured");
}

int main(int argc, char **argv)
{
	nr_args = argc;
	args = argv;
	return stage_run_rounds(run, is_arg(1, "plain") ? 2 : 1);
}
