// SPDX-License-Identifier: GPL-2.0-only
/*
 * fio, which knows nothing of preserved memory, on a hugetlbfs: it writes blocks that carry
 * checksums to random places of a file that it maps, and verifies them after the kexec, mapped
 * and by read(), and after one more. A flipped byte it finds. In the second kernel it has its
 * buffers in the retrieved mount as well, and writes an ordinary file from there.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "program.h"
#include "stage.h"
#include "store.h"

#define FIO		"/usr/bin/fio"
#define FILE_		STORE "/fio.dat"
#define PAGE		MIB(2)
#define SIZE		MIB(16)
#define ASKED		32

/* Writes, or with @verify reads what the same words have written. */
static struct program start(const char *engine, bool verify)
{
	return program_start(PROGRAM_ARGV(FIO, "--name=job", "--filename=" FILE_, engine,
					  "--randseed=20263", "--rw=randwrite", "--bs=4k",
					  "--size=16m", "--io_size=4m", "--verify=crc32c",
					  "--thread", "--fallocate=none", "--verify_state_save=0",
					  verify ? "--verify_only=1" : "--do_verify=0"));
}

static bool good(const char *engine, bool verify)
{
	struct program fio = start(engine, verify);
	int status = program_wait(&fio);

	if (status)
		program_show(&fio);
	return !status;
}

static bool finds(void)
{
	struct program fio = start("--ioengine=mmap", true);
	int status = program_wait(&fio);

	return status && status < PROGRAM_SIGNAL(0) &&
	       strstr(program_output(&fio), "verify failed at file");
}

static void write_all(void)
{
	struct stat st;
	int fd;

	program_prepare_system();
	store_make_huge("pagesize=2M,size=48M");
	fd = open(FILE_, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
	require(fd >= 0 && !ftruncate(fd, SIZE), "make the file");
	close(fd);
	check(good("--ioengine=mmap", false), "written");
	check(!stat(FILE_, &st) && st.st_blocks == (blkcnt_t)(SIZE >> 9),
	      "the file has its memory");
	store_preserve("");
}

static void verify(void)
{
	program_prepare_system();
	store_restore();
	check(good("--ioengine=mmap", true), "all is as written, mapped");
	check(good("--ioengine=psync", true), "and by read()");
}

static void go_on(void)
{
	verify();
	check(!program_run(PROGRAM_ARGV(FIO, "--name=buffers", "--filename=/tmp/plain.dat",
					"--ioengine=psync", "--rw=write", "--bs=64k", "--size=4m",
					"--mem=mmaphuge:" STORE "/buffers", "--hugepage-size=2m",
					"--thread", "--verify=crc32c")),
	      "buffers in huge pages of the retrieved mount");
	unlink(STORE "/buffers");
	store_preserve("");
	books_check(PAGE, (struct books){ .total = ASKED, .free = ASKED - SIZE / PAGE },
		    "preserved");
}

/* The last byte of the first block that was written. */
static void flip(void)
{
	int fd = open(FILE_, O_RDWR | O_CLOEXEC);
	char *map = huge_map(fd, 0, SIZE, PAGE), *at = map;

	require(fd >= 0, "open the file");
	/* A block that was written begins with fio's header. */
	while (at < map + SIZE && !at[0])
		at += KIB(4);
	at[KIB(4) - 1] ^= 1;
	huge_unmap(map, SIZE);
	close(fd);
}

static void find_damage(void)
{
	verify();
	flip();
	check(finds(), "a flipped byte is found");
}

int main(void)
{
	static const stage_fn stages[] = { write_all, go_on, find_damage };

	return stage_run(stages, STAGE_COUNT(stages));
}
