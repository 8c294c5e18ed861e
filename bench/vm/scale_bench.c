// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the pool's operations cost in machines of several sizes: runs in a VM, prints
 * METRIC lines for bench/parts/scale.py.
 *
 *   scale_bench MIB               a pool of so much, of which little is ever touched
 *   scale_bench MIB whole         the same pool, which the kernel has made at boot
 *   scale_bench MIB scattered     every second block of so much is used
 *   scale_bench MIB crowded       packs a pool of half-used blocks, and no other
 *
 * All but the last go on with a kexec that hands the pool over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "metric.h"
#include "preserve.h"
#include "stage.h"

#define SYSFS	"/sys/kernel/mm/preserve/"
#define HUGE	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define PAGE	4096UL
#define BLOCK	MIB(2)
#define SMALL	"64M"

/* What is packed in pools of all sizes, half of it gone, and in so many files. */
#define PACKED		MIB(64)
#define NR_FILES	32

static const char *size_mib, *part = "";

static bool is_part(const char *name)
{
	return !strcmp(part, name);
}

static void set(const char *knob, const char *text)
{
	char path[128];
	int err;

	snprintf(path, sizeof(path), SYSFS "%s", knob);
	err = text_write(path, text);
	require(!err, "%s into %s: %s", text, knob, strerror(-err));
}

static void set_size(void)
{
	char text[32];

	snprintf(text, sizeof(text), "%sM", size_mib);
	set("size", text);
}

/* Measures a write into a knob. */
static void measure(const char *name, const char *knob, const char *text)
{
	__u64 start = now();

	set(knob, text);
	metric(name, now() - start);
}

static int make(const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0, "memfd");
	return fd;
}

/*
 * Files that lie in all blocks, each in small pieces, between those of as many files
 * that are gone: no block is empty before the last file has moved.
 */
static void make_scattered(int *fd, size_t size)
{
	static char piece[16 * PAGE];
	size_t at, step = NR_FILES * sizeof(piece);
	unsigned int i;

	for (i = 0; i < NR_FILES; i++)
		fd[i] = make("scattered");
	memset(piece, 1, sizeof(piece));
	for (at = 0; at + step <= size; at += step)
		for (i = 0; i < NR_FILES; i++)
			require(pwrite(fd[i], piece, sizeof(piece),
				       at / NR_FILES) > 0, "write");
	for (i = 1; i < NR_FILES; i += 2)
		close(fd[i]);
}

static void measure_packing(size_t size)
{
	int fd[NR_FILES], err, i;
	__u64 start;

	make_scattered(fd, size);
	start = now();
	err = text_write(SYSFS "compact", "1");
	metric("pack", now() - start);
	metric("pack_errno", -err);
	metric("packed_blocks", (pool_counter("size") - pool_counter("idle")) / BLOCK);
	for (i = 0; i < NR_FILES; i += 2)
		close(fd[i]);
}

static void measure_knobs(void)
{
	__u64 start = now();

	set("lend", "0");
	start = now();
	set_size();
	metric("grow", now() - start);
	measure_packing(PACKED);
	measure("lend", "lend", "1");
	measure("take_back", "lend", "0");
	measure("shrink", "size", SMALL);
	set_size();
	set("lend", "1");
	measure("shrink_lent", "size", SMALL);
}

/* Each second huge folio of a file goes, and its block is lent. */
static void scatter(void)
{
	/* Some of the pool is kept for metadata. */
	size_t size = MIB(atol(size_mib)) - MIB(16), at;
	int fd = make("scattered");

	require(!text_write(HUGE, "always"), "huge folios");
	require(!fallocate(fd, 0, 0, size), "allocate");
	for (at = 0; at < size; at += 2 * BLOCK)
		require(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   at, BLOCK), "punch");
	set("lend", "0");
	set("lend", "1");
}

static void before(void)
{
	metric("boot", __rdtsc());
	metric("pool_blocks", pool_counter("size") / BLOCK);
	if (is_part("crowded")) {
		set("lend", "0");
		set_size();
		measure_packing(MIB(atol(size_mib)) - MIB(4));
		check(true, "measured");
		return;
	}
	if (is_part("scattered"))
		scatter();
	else if (is_part("whole"))
		set("lend", "0");
	else
		measure_knobs();
	metric("handed_blocks", (pool_counter("size") - pool_counter("lent")) / BLOCK);
	tie_clocks("reboot_tsc");
}

static void after(void)
{
	tie_clocks("up_tsc");
	check(true, "measured");
}

int main(int argc, char **argv)
{
	static const stage_fn stages[] = { before, after };

	require(argc > 1, "scale_bench MIB [PART]");
	size_mib = argv[1];
	if (argc > 2)
		part = argv[2];
	return stage_run(stages, is_part("crowded") ? 1 : 2);
}
