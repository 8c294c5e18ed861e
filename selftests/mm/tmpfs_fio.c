// SPDX-License-Identifier: GPL-2.0-only
/*
 * fio writes blocks that carry checksums to random places of files on a tmpfs,
 * mapped and with system calls, and verifies them after the kexec, and after one
 * more. What it has not written stays a hole. Of a flipped byte it complains, so
 * it does look.
 *
 *	tmpfs_fio [pool]
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"
#include "stage.h"
#include "store.h"

#define FIO		"/usr/bin/fio"
#define BLOCK		4096
#define SIZE		(16 << 20)
#define NAME_SIZE	32

/**
 * struct job - a file and how fio goes about it
 * @engine: of fio; the file's name, too
 * @seed:   decides over places and content
 */
struct job {
	const char *engine;
	const char *seed;
};

static const struct job jobs[] = {
	{ "mmap", "20261" },
	{ "psync", "20262" },
};

static bool pool;

static const char *path_of(const struct job *job)
{
	static char path[64];

	snprintf(path, sizeof(path), STORE "/%s.dat", job->engine);
	return path;
}

/* Writes, or with @verify reads what the same words have written. */
static struct program start(const struct job *job, bool verify)
{
	char file[96], engine[NAME_SIZE], seed[NAME_SIZE];

	snprintf(file, sizeof(file), "--filename=%s", path_of(job));
	snprintf(engine, sizeof(engine), "--ioengine=%s", job->engine);
	snprintf(seed, sizeof(seed), "--randseed=%s", job->seed);
	return program_start(PROGRAM_ARGV(FIO, "--name=job", file, engine, seed,
					  "--rw=randwrite", "--bs=4k",
					  "--size=16m", "--io_size=4m",
					  "--verify=crc32c", "--thread",
					  "--fallocate=none",
					  "--verify_state_save=0",
					  verify ? "--verify_only=1" :
					  "--do_verify=0"));
}

static bool job_good(const struct job *job, bool verify)
{
	struct program fio = start(job, verify);
	int status = program_wait(&fio);

	if (status)
		program_show(&fio);
	return !status;
}

/* Fio finds the flipped byte, and nothing else ends it. */
static bool job_finds(const struct job *job)
{
	struct program fio = start(job, true);
	int status = program_wait(&fio);

	return status && status < PROGRAM_SIGNAL(0) &&
	       strstr(program_output(&fio), "verify failed at file");
}

static struct stat stat_of(const struct job *job)
{
	struct stat st;

	require(!stat(path_of(job), &st), "look at %s", path_of(job));
	return st;
}

static void preserve(void)
{
	char notes[128] = "";
	size_t i, len = 0;

	for (i = 0; i < STAGE_COUNT(jobs); i++) {
		struct stat st = stat_of(&jobs[i]);

		len += snprintf(notes + len, sizeof(notes) - len, "%lld %lld ",
				(long long)st.st_size, (long long)st.st_blocks);
	}
	store_preserve(notes);
}

static void verify(const char *notes)
{
	size_t i;

	for (i = 0; i < STAGE_COUNT(jobs); i++) {
		struct stat st = stat_of(&jobs[i]);
		long long size, blocks;
		int len;

		require(sscanf(notes, "%lld %lld %n", &size, &blocks, &len) == 2,
			"notes");
		notes += len;
		check(st.st_size == size && st.st_blocks == blocks,
		      "%s: %lld bytes, %lld blocks are allocated",
		      jobs[i].engine, size, blocks);
		check(job_good(&jobs[i], true), "%s: all is as written",
		      jobs[i].engine);
	}
}

/* Fio fills a file that is shorter than it is told. */
static void make_hole(const struct job *job)
{
	int fd = open(path_of(job), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	require(fd >= 0 && !ftruncate(fd, SIZE), "make %s", path_of(job));
	close(fd);
}

static void write_all(void)
{
	size_t i;

	program_prepare_system();
	store_make(pool);
	for (i = 0; i < STAGE_COUNT(jobs); i++) {
		make_hole(&jobs[i]);
		check(job_good(&jobs[i], false), "%s: written",
		      jobs[i].engine);
		check(stat_of(&jobs[i]).st_blocks * 512 == SIZE / 4,
		      "%s: a quarter of the file has memory", jobs[i].engine);
	}
	preserve();
}

static void go_on(void)
{
	program_prepare_system();
	verify(store_restore());
	preserve();
}

/* The last byte of the first block that was written. */
static void flip(const struct job *job)
{
	int fd = open(path_of(job), O_RDONLY | O_CLOEXEC);
	char block[BLOCK];
	off_t at = 0;

	require(fd >= 0, "open %s", path_of(job));
	/* A block that was written begins with fio's header. */
	while (pread(fd, block, BLOCK, at) == BLOCK && !block[0])
		at += BLOCK;
	close(fd);
	store_flip(path_of(job), at + BLOCK - 1);
}

static void find_damage(void)
{
	size_t i;

	program_prepare_system();
	verify(store_restore());
	for (i = 0; i < STAGE_COUNT(jobs); i++) {
		flip(&jobs[i]);
		check(job_finds(&jobs[i]), "%s: a flipped byte is found",
		      jobs[i].engine);
	}
}

static const stage_fn stages[] = { write_all, go_on, find_damage };

int main(int argc, char **argv)
{
	pool = argc > 1 && !strcmp(argv[1], "pool");
	return stage_run(stages, STAGE_COUNT(stages));
}
