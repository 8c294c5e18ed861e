// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs to preserve and to retrieve a memfd: runs in a VM, on our
 * kernel with MFD_PRESERVE and on the stock kernel with plain memfds. Prints
 * METRIC lines for bench/parts/memfd.py.
 *
 * Under -icount a nanosecond of guest time is an instruction, so differences of
 * CLOCK_MONOTONIC_RAW are instruction counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "metric.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"bench"
#define PAGE		4096UL
#define POPULATED	MIB(64)

enum { TOKEN_POPULATED = 1, TOKEN_HOLES, TOKEN_SPARSE };

/* A memfd of the kind this kernel has for the purpose. */
static int make(const char *name, off_t size)
{
	int fd = preserve_memfd_create(name, 0);

	if (fd < 0)
		fd = memfd_create(name, MFD_CLOEXEC);
	require(fd >= 0, "memfd %s: %s", name, strerror(errno));
	require(!ftruncate(fd, size), "size of %s: %s", name, strerror(errno));
	return fd;
}

static void put_page(int fd, off_t at)
{
	static char page[PAGE];

	memset(page, 1 + (at / PAGE) % 255, PAGE);
	require(pwrite(fd, page, PAGE, at) == (ssize_t)PAGE,
		"write at %lld: %s", (long long)at, strerror(errno));
}

static long long blocks(int fd)
{
	struct stat st;

	fstat(fd, &st);
	return st.st_blocks * 512LL;
}

/* Preserves @fd and reports time, error and how much memory that allocated. */
static void preserve(int session, int fd, __u64 token, const char *name)
{
	char metric_name[64];
	long long before = blocks(fd);
	__u64 start = now();
	int err = preserve_session_add_fd(session, fd, token);
	__u64 spent = now() - start;

	snprintf(metric_name, sizeof(metric_name), "%s.preserve_ns", name);
	metric(metric_name, spent);
	snprintf(metric_name, sizeof(metric_name), "%s.preserve_errno", name);
	metric(metric_name, -err);
	snprintf(metric_name, sizeof(metric_name), "%s.preserve_bytes", name);
	metric(metric_name, blocks(fd) - before);
}

static void before(void)
{
	int session = stage_session_create(SESSION);
	int full = make("populated", POPULATED);
	int holes = make("holes", GIB(1));
	int sparse = make("sparse", TIB(1));

	for (off_t at = 0; at < (off_t)POPULATED; at += PAGE)
		put_page(full, at);
	put_page(holes, 0);
	put_page(holes, GIB(1) - PAGE);
	for (int i = 0; i < 10; i++)
		put_page(sparse, i * (TIB(1) / 10) / PAGE * PAGE);

	metric("populated.pages", POPULATED / PAGE);
	preserve(session, full, TOKEN_POPULATED, "populated");
	preserve(session, holes, TOKEN_HOLES, "holes");
	preserve(session, sparse, TOKEN_SPARSE, "sparse");
	check(true, "preserved");
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION);
	__u64 start = now();
	int fd = preserve_session_get_fd(session, TOKEN_POPULATED);
	unsigned char byte = 0;

	metric("populated.retrieve_ns", now() - start);
	require(fd >= 0, "retrieve: %d", fd);
	for (off_t at = 0; at < (off_t)POPULATED; at += PAGE) {
		require(pread(fd, &byte, 1, at) == 1, "read");
		require(byte == 1 + (at / PAGE) % 255, "content at %lld",
			(long long)at);
	}
	check(true, "retrieved and right");
	stage_session_finish(session);
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
