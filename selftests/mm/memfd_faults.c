// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the way is made to fail in turn: of writing, preserving
 * and retrieving. Each failure is a clean error, the file is as it was, what failed once
 * works the next time, and in the end the pool's counters are where they began.
 *
 * Uses the kernel's fault injection, so it runs on the debug kernel.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"faults"
#define FILE_SIZE	MIB(1)
#define NR_RETRIEVE	40	/* more than retrieving has allocations */
#define NR_READ		4
#define MAX_NTH		400

enum { TOKEN_FIRST = 1000 };

static int make(const char *name, __u64 seed)
{
	int fd = preserve_memfd_create(name, MFD_CLOEXEC);

	require(fd >= 0, "memfd_create: %d", fd);
	/* Every second page, so that the map has something to hold. */
	for (off_t at = 0; at < (off_t)FILE_SIZE; at += KIB(8))
		require(!pattern_write(fd, seed, at, KIB(4)), "fill");
	return fd;
}

static bool intact(int fd, __u64 seed)
{
	for (off_t at = 0; at < (off_t)FILE_SIZE; at += KIB(8))
		if (pattern_check(fd, seed, at, KIB(4)))
			return false;
	return true;
}

static void write_faults(void)
{
	int fd = make("write", 3);
	unsigned int nth, failed = 0;

	for (nth = 1; nth < MAX_NTH; nth++) {
		char byte = 1;
		bool hit;
		int err;

		fault_arm(nth);
		err = pwrite(fd, &byte, 1, FILE_SIZE + nth * KIB(8)) == 1 ?
			0 : errno;
		hit = fault_disarm();
		if (err)
			failed++;
		require(!err || err == ENOMEM || err == ENOSPC,
			"write, allocation %u: %s", nth, strerror(err));
		if (!hit)
			break;
	}
	check(nth < MAX_NTH && failed, "writing: %u allocations, %u errors",
	      nth - 1, failed);
	check(intact(fd, 3), "the rest of the file is intact");
	close(fd);
}

static void preserve_faults(void)
{
	int fd = make("preserve", 4);
	__s64 used = pool_counter("used");
	unsigned int nth, failed = 0;

	for (nth = 1; nth < MAX_NTH; nth++) {
		int session = stage_session_create("preserve-faults");
		bool hit;
		int err;

		fault_arm(nth);
		err = preserve_session_add_fd(session, fd, 1);
		hit = fault_disarm();
		if (err)
			failed++;
		require(err == 0 || err == -ENOMEM || err == -ENOSPC,
			"preserve, allocation %u: %d", nth, err);
		close(session);
		require(pool_counter("preserved") == 0,
			"allocation %u leaves %lld bytes claimed", nth,
			(long long)pool_counter("preserved"));
		require(pool_counter("files") == 0, "files after %u", nth);
		if (!hit)
			break;
	}
	check(nth < MAX_NTH && failed, "preserving: %u allocations, %u errors",
	      nth - 1, failed);
	check(pool_counter("used") == used, "no page is leaked: %lld, %lld",
	      (long long)pool_counter("used"), (long long)used);
	check(intact(fd, 4), "the file is intact");
	check(!pattern_write(fd, 4, FILE_SIZE, KIB(4)),
	      "and is not frozen");
	close(fd);
}

static void before(void)
{
	int session;

	fault_setup();
	write_faults();
	preserve_faults();

	session = stage_session_create(SESSION);
	for (unsigned int i = 0; i < NR_RETRIEVE; i++) {
		int fd = make("retrieve", i);

		require(!preserve_session_add_fd(session, fd, TOKEN_FIRST + i),
			"preserve file %u", i);
		close(fd);
	}
}

/* Reads that bring pages in. What fails once can be had the next time. */
static unsigned int read_faults(int fd, __u64 seed)
{
	unsigned int hits = 0, nth = 1;
	char byte;

	for (off_t at = 0; at < (off_t)FILE_SIZE; at += KIB(8)) {
		bool hit;
		int err;

		fault_arm(nth);
		err = pread(fd, &byte, 1, at) == 1 ? 0 : errno;
		hit = fault_disarm();
		nth = hit ? nth + 1 : 1;
		require(!err || (hit && err == ENOMEM), "read at %lld: %s",
			(long long)at, strerror(err));
		hits += hit;
		require(!pattern_check(fd, seed, at, KIB(4)),
			"the next read at %lld", (long long)at);
	}
	return hits;
}

/*
 * Every try fails one allocation later. One that is spared ends it, so each file begins
 * with a later one.
 */
static int retrieve_faults(int session, unsigned int i, unsigned int *hits)
{
	unsigned int nth;
	bool hit;
	int fd;

	for (nth = i + 1; nth < MAX_NTH; nth++) {
		fault_arm(nth);
		fd = preserve_session_get_fd(session, TOKEN_FIRST + i);
		hit = fault_disarm();
		if (fd >= 0)
			return fd;
		require(hit && (fd == -ENOMEM || fd == -ENOSPC),
			"retrieve, allocation %u: %d", nth, fd);
		++*hits;
	}
	require(false, "a file is never retrieved");
	return -1;
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	unsigned int hits = 0, reads = 0;

	require(!text_write("/sys/kernel/mm/preserve/restore_pace", "0"),
		"only on demand");
	fault_setup();
	for (unsigned int i = 0; i < NR_RETRIEVE; i++) {
		fd = retrieve_faults(session, i, &hits);
		if (i < NR_READ)
			reads += read_faults(fd, i);
		require(intact(fd, i), "content of file %u", i);
		close(fd);
	}
	check(hits, "retrieving: %u failures of %u files, all of which come", hits,
	      NR_RETRIEVE);
	check(reads, "first reads: %u allocations", reads);
	stage_session_finish(session);
	close(session);
	check(!pool_counter("incoming"), "nothing stays set aside: %lld",
	      (long long)pool_counter("incoming"));
	/* What is left is the metadata of an empty pool. */
	check(pool_counter("used") <= (__s64)KIB(64),
	      "no page is leaked: %lld bytes used",
	      (long long)pool_counter("used"));
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
