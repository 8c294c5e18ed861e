// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free huge pages that cross on request: as many as keep_free says, beside those of files; none
 * is surplus, and what is asked for on the command line counts all of them. They are ordinary
 * free pages in the next kernel: cleared, and given back when nr_hugepages says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION	"keep"
#define SEED	9
#define TOKEN	1
#define FREEZE	"/sys/kernel/debug/preserve/freeze"
#define BAD	"/sys/devices/system/memory/hard_offline_page"
#define FRESH	60	/* pages that the third kernel makes at run time */

/**
 * struct plan - what a size of pages is tested with
 * @page:  bytes
 * @asked: hugepages= of the first three kernels
 * @used:  pages of a file
 * @kept:  what the first kernel keeps beside
 */
static const struct plan {
	__u64 page;
	long asked[3];
	long used;
	long kept;
} plans[] = {
	{ MIB(2), { 20, 2, 30 }, 4, 12 },
	{ GIB(1), { 3, 0, 2 }, 1, 1 },
}, *plan = plans;

static char knob[80], nr_hugepages[80];

static void plan_choose(const char *mib)
{
	const long kib = plan->page >> 10;

	if (mib && GIB(1) >> 20 == (unsigned long long)atoll(mib)) {
		plan = &plans[1];
		plan_choose(NULL);
		return;
	}
	snprintf(knob, sizeof(knob), "/sys/kernel/mm/preserve/hugepages-%ldkB/keep_free", kib);
	snprintf(nr_hugepages, sizeof(nr_hugepages),
		 "/sys/kernel/mm/hugepages/hugepages-%ldkB/nr_hugepages", kib);
}

/* Has the kernel said so since it booted? */
static bool log_has(const char *what)
{
	static char text[1 << 18];
	int len = klogctl(3, text, sizeof(text) - 1);

	text[len > 0 ? len : 0] = 0;
	return strstr(text, what);
}

static bool reads(const char *path, const char *want)
{
	char text[32] = "";
	FILE *file = fopen(path, "re");

	if (file) {
		fgets(text, sizeof(text), file);
		fclose(file);
	}
	text[strcspn(text, "\n")] = 0;
	if (strcmp(text, want))
		ksft_print_msg("%s: \"%s\", not \"%s\"\n", path, text, want);
	return !strcmp(text, want);
}

static void write_number(const char *path, long nr)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", nr);
	check(!text_write(path, text), "write %s to %s", text, path);
}

static void knob_refuses(void)
{
	static const char * const bad[] = { "-1", "x", "1 2", "maximum", "1.5",
					    "18446744073709551616" };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		check(text_write(knob, bad[i]) == -EINVAL || text_write(knob, bad[i]) == -ERANGE,
		      "\"%s\" is refused", bad[i]);
	check(reads(knob, "0"), "and changes nothing");
	check(!text_write(knob, "max") && reads(knob, "max"), "the knob takes max");
}

/* A file of so many pages. */
static int file_make(long nr)
{
	int fd = huge_memfd("keep", plan->page, 0);

	require(fd >= 0 && !ftruncate(fd, nr * plan->page), "make a file: %d", fd);
	huge_fill(fd, SEED, 0, nr, plan->page);
	return fd;
}

/* All free pages have something in them. */
static void soil(void)
{
	struct books books = books_read(plan->page, "before pages are written to");
	int fd = file_make(books.free);

	close(fd);
}

static void run_first(void)
{
	int session = stage_session_create(SESSION), fd;

	knob_refuses();
	write_number(knob, plan->kept);
	soil();
	fd = file_make(plan->used);
	require(!preserve_session_add_fd(session, fd, TOKEN), "preserve");
	books_check(plan->page, (struct books){ .total = plan->asked[0],
		    .free = plan->asked[0] - plan->used }, "until the kexec they are free");
}

/* Uses all free pages at once. */
static void free_pages_are_clear(long nr)
{
	int fd = huge_memfd("all", plan->page, 0), i, wrong = 0;
	char *map;

	require(fd >= 0 && !ftruncate(fd, nr * plan->page), "size");
	map = huge_map(fd, 0, nr * plan->page, plan->page);
	for (i = 0; i < nr; i++)
		wrong += map[i * plan->page] || memcmp(map + i * plan->page,
						       map + i * plan->page + 1,
						       plan->page > MIB(2) ? MIB(8) : MIB(2) - 1);
	check(!wrong, "%ld free pages are given out, and cleared: %d are not", nr, wrong);
	huge_unmap(map, nr * plan->page);
	close(fd);
}

static int file_retrieve(int session)
{
	int fd = preserve_session_get_fd(session, TOKEN);

	check(fd >= 0 && huge_check(fd, SEED, 0, plan->used, plan->page), "the file is there: %d",
	      fd);
	return fd;
}

static void run_second(void)
{
	const long total = plan->used + plan->kept;
	int session, fd;

	books_check(plan->page, (struct books){ .total = total, .free = plan->kept },
		    "what was kept is free");
	check(reads(knob, "0"), "the next kernel keeps nothing by itself");
	session = stage_session_retrieve(SESSION);
	fd = file_retrieve(session);
	free_pages_are_clear(plan->kept);
	stage_session_finish(session);
	close(fd);
	books_check(plan->page, (struct books){ .total = total, .free = total },
		    "all of them are free when the file is closed, and stay");

	session = stage_session_create(SESSION);
	soil();
	fd = file_make(plan->used);
	require(!preserve_session_add_fd(session, fd, TOKEN), "preserve");
	/* A reserved one as others do. */
	huge_map(huge_memfd("reserved", plan->page, 0), 0, plan->page, plan->page);
	books_check(plan->page, (struct books){ .total = total, .resv = 1,
		    .free = plan->kept }, "one is reserved");
	check(!text_write(knob, "max"), "all free pages cross");
}

/* Allocates and frees pages until the kernel is replaced. */
static pid_t unrest(long most)
{
	const pid_t pid = fork();
	long nr;
	char *map;
	int fd;

	require(pid >= 0, "fork");
	if (pid)
		return pid;
	for (nr = 1;; nr = nr % most + 1) {
		fd = huge_memfd("unrest", plan->page, 0);
		if (fd < 0 || ftruncate(fd, nr * plan->page))
			_exit(1);
		map = mmap(NULL, nr * plan->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map != MAP_FAILED) {
			for (long i = 0; i < nr; i++)
				map[i * plan->page] = 1;
			munmap(map, nr * plan->page);
		}
		close(fd);
	}
}

static void run_third(void)
{
	const long total = plan->asked[2];
	int session = stage_session_retrieve(SESSION), fd;
	pid_t pid = 0;
	char come[80];

	books_check(plan->page, (struct books){ .total = total, .free = total - plan->used },
		    "as many are made as are missing");
	snprintf(come, sizeof(come), "adopted %ld huge pages of %llu KiB, free %ld, surplus 0",
		 plan->used + plan->kept, (unsigned long long)plan->page >> 10, plan->kept);
	check(log_has(come), "a reserved page has come as well");
	fd = file_retrieve(session);
	stage_session_finish(session);
	close(fd);
	soil();
	free_pages_are_clear(total);
	/* Some of these may lie where they cannot cross. */
	if (plan->page == MIB(2)) {
		write_number(nr_hugepages, FRESH);
		pid = unrest(FRESH / 4);
	}
	check(!text_write(knob, "max"), "all free pages cross, but for those that cannot");
	check(!pid || !waitpid(pid, NULL, WNOHANG), "while pages are used and freed");
}

static void run_last(void)
{
	struct books books = books_read(plan->page, "nothing was asked for");

	check(books.total >= FRESH / 2 && books.total <= FRESH && books.free == books.total,
	      "of %d free pages %ld have come, and %ld are free", FRESH, books.total, books.free);
	free_pages_are_clear(books.total);
	write_number(nr_hugepages, 0);
	books_check(plan->page, (struct books){}, "they are memory as any other");
}

/* The last kernel has no such pages. */
static void run_absent(void)
{
	check(huge_memfd("absent", plan->page, 0) < 0, "there are no pages of that size");
	check(log_has("KiB of free huge pages are of a size that this machine does not have"),
	      "the kernel says that it has freed them");
	check(meminfo_bytes("MemFree") > (__s64)GIB(5),
	      "what was kept is free memory: %lld MiB",
	      (long long)meminfo_bytes("MemFree") >> 20);
}

/* A page turns bad when it is kept already, and the description is not written yet. */
static void run_bad(void)
{
	const long total = plan->asked[0];
	int fd = file_make(total);
	char *map = huge_map(fd, 0, total * plan->page, plan->page), text[32];
	const char *place = map + plan->page + KIB(64);

	place_touch(place);
	snprintf(text, sizeof(text), "%#llx",
		 (unsigned long long)place_pfn(place) * PLACE_PAGE);
	huge_unmap(map, total * plan->page);
	close(fd);
	check(!text_write(knob, "max"), "all free pages are to cross");
	check(!text_write(FREEZE, "2"), "they are taken");
	books_check(plan->page, (struct books){ .total = total }, "none is free any more");
	/* The kernel notes it, and cannot do more about a page like this one. */
	check(text_write(BAD, text) == -EBUSY, "a page at %s turns bad", text);
}

static void run_bad_after(void)
{
	const long total = plan->asked[0];

	books_check(plan->page, (struct books){ .total = total, .free = total - 1 },
		    "the one with bad memory is in use for good");
	check(meminfo_bytes("HardwareCorrupted") == sysconf(_SC_PAGESIZE),
	      "%lld bytes are corrupted", (long long)meminfo_bytes("HardwareCorrupted"));
	free_pages_are_clear(total - 1);
}

/* All pages are in a file: the pool stays as large all the same. */
static void run_full(void)
{
	int session = stage_session_create(SESSION), fd = file_make(plan->asked[0]);

	require(!preserve_session_add_fd(session, fd, TOKEN), "preserve");
	check(!text_write(knob, "1"), "one free page is to cross, and there is none");
}

static void run_full_after(void)
{
	const long total = plan->asked[0];
	int session = stage_session_retrieve(SESSION);

	books_check(plan->page, (struct books){ .total = total }, "none is surplus");
	stage_session_finish(session);
	books_check(plan->page, (struct books){ .total = total, .free = total },
		    "all are free when the file is dropped");
}

/* A zone of the next kernel ends within one of the free pages. */
static void run_zones(void)
{
	int session = stage_session_create(SESSION), fd = file_make(plan->used);

	require(!preserve_session_add_fd(session, fd, TOKEN), "preserve");
	check(!text_write(knob, "max"), "all free pages are to cross");
	books_check(plan->page, (struct books){ .total = 4, .free = 4 - plan->used }, "before");
}

static void run_zones_after(void)
{
	int session = stage_session_retrieve(SESSION), fd;

	check(log_has("is in two zones"), "a page is in two zones");
	books_check(plan->page, (struct books){ .total = 3, .free = 3 - plan->used },
		    "it costs that page only");
	fd = file_retrieve(session);
	free_pages_are_clear(3 - plan->used);
	stage_session_finish(session);
	close(fd);
	check(!text_write(knob, "max"), "all free pages are to cross");
}

static void run_zones_last(void)
{
	books_check(plan->page, (struct books){ .total = 3, .free = 3 }, "three are left");
	write_number(nr_hugepages, 0);
	/* Of 8 GiB. */
	check(meminfo_bytes("MemFree") > (__s64)GIB(7), "what was set aside is free memory: %lld",
	      (long long)meminfo_bytes("MemFree") >> 20);
}

int main(int argc, char **argv)
{
	static const stage_fn zones[] = { run_zones, run_zones_after, run_zones_last };
	static const stage_fn full[] = { run_full, run_full_after };
	static const stage_fn bad[] = { run_bad, run_bad_after };
	static const stage_fn stages[] = { run_first, run_second, run_third, run_last };
	static const stage_fn giant[] = { run_first, run_second, run_third, run_absent };

	if (argc > 1 && !strcmp(argv[1], "zones")) {
		plan_choose("1024");
		return stage_run(zones, STAGE_COUNT(zones));
	}
	plan_choose(argc > 1 ? argv[1] : NULL);
	if (argc > 1 && !strcmp(argv[1], "full"))
		return stage_run(full, STAGE_COUNT(full));
	if (argc > 1 && !strcmp(argv[1], "bad"))
		return stage_run(bad, STAGE_COUNT(bad));
	return stage_run(plan == plans ? stages : giant, STAGE_COUNT(stages));
}
