// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages that lie in memory from which KHO boots the next kernel move before their file
 * is preserved, whether the file was made for it or not; new ones of a file that is preserved
 * come from elsewhere; and all of them have their content in the next kernel.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"scratch"
#define NR_HUGEPAGES	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define SCRATCH		"/sys/kernel/debug/kho/out/"
#define PAGE		MIB(2)
#define HOG		MIB(300)
#define LEFT		MIB(72)
#define MOST		600	/* pages */
#define PLAIN		12
#define HOLE		8

enum { TOKEN_PLAIN = 1, TOKEN_MADE };

/* Reads numbers, one a line, hexadecimal. */
static unsigned int numbers(const char *path, unsigned long long *to, unsigned int most)
{
	FILE *file = fopen(path, "re");
	unsigned int nr = 0;

	require(file, "open %s: %s", path, strerror(errno));
	while (nr < most && fscanf(file, "%llx", &to[nr]) == 1)
		nr++;
	fclose(file);
	return nr;
}

static bool in_scratch(__u64 phys)
{
	static unsigned long long start[64], size[64];
	static unsigned int nr;
	unsigned int i;

	if (!nr) {
		nr = numbers(SCRATCH "scratch_phys", start, 64);
		require(nr && numbers(SCRATCH "scratch_len", size, 64) == nr,
			"where KHO's scratch is");
	}
	for (i = 0; i < nr; i++)
		if (phys >= start[i] && phys < start[i] + size[i])
			return true;
	return false;
}

/* How many of a file's first pages lie there. */
static unsigned int scratch_pages(int fd, unsigned int nr_pages)
{
	volatile char *map = huge_map(fd, 0, nr_pages * PAGE, PAGE);
	unsigned int nr = 0, i;
	char byte;

	for (i = 0; i < nr_pages; i++) {
		byte = map[i * PAGE];
		(void)byte;
		nr += in_scratch(place_pfn((void *)(map + i * PAGE)) * 4096);
	}
	huge_unmap((void *)map, nr_pages * PAGE);
	return nr;
}

static int file_make(const char *name, unsigned int flags, unsigned int nr, int seed)
{
	int fd = huge_memfd(name, PAGE, flags);

	require(fd >= 0 && !ftruncate(fd, (nr + HOLE) * PAGE), "make %s", name);
	huge_fill(fd, seed, 0, nr, PAGE);
	return fd;
}

static void file_preserve(int session, int fd, unsigned int nr, int token)
{
	unsigned int before = scratch_pages(fd, nr);
	int err = preserve_session_add_fd(session, fd, token);

	require(!err, "file %d, %u pages in scratch: preserve: %d", token, before, err);
	check(!scratch_pages(fd, nr), "file %d: %u pages were in scratch, now none is", token,
	      before);
	check(huge_check(fd, token, 0, nr, PAGE), "file %d: the content has moved, too", token);
	/* A hole that is filled now. */
	huge_fill(fd, token, nr, HOLE / 2, PAGE);
	check(!scratch_pages(fd, nr + HOLE / 2), "file %d: new pages are elsewhere", token);
}

static void run_before(void)
{
	unsigned int nr, in_all;
	int session, plain, made;
	long long nr_asked;
	char asked[16];
	void *hog;

	/* With little memory left, huge pages come from everywhere; then there is some. */
	hog = mmap(NULL, HOG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		   MAP_POPULATE, -1, 0);
	nr_asked = (meminfo_bytes("MemFree") - LEFT) / PAGE;
	snprintf(asked, sizeof(asked), "%lld", nr_asked < MOST ? nr_asked : MOST);
	require(hog != MAP_FAILED && !text_write(NR_HUGEPAGES, asked), "ask for huge pages");
	/* A file that is made for it takes pages from scratch last, when there is no other. */
	nr = books_read(PAGE, "free").free - 2 * HOLE - PLAIN;
	made = file_make("made for it", MFD_PRESERVE, nr - PLAIN, TOKEN_MADE);
	plain = file_make("plain", 0, PLAIN, TOKEN_PLAIN);
	huge_fill(made, TOKEN_MADE, nr - PLAIN, PLAIN, PAGE);
	require(!ftruncate(made, (nr + HOLE) * PAGE), "size");
	in_all = scratch_pages(plain, PLAIN) + scratch_pages(made, nr);
	check(in_all, "%u pages lie in scratch", in_all);
	munmap(hog, HOG);
	session = stage_session_create(SESSION);
	file_preserve(session, plain, PLAIN, TOKEN_PLAIN);
	file_preserve(session, made, nr, TOKEN_MADE);
	books_read(PAGE, "preserved");
	/* So that the next kernel knows how much there is. */
	require(lseek(made, nr, SEEK_SET) == (off_t)nr, "note");
}

static void run_after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	unsigned int nr;

	fd = preserve_session_get_fd(session, TOKEN_PLAIN);
	require(fd >= 0, "retrieve: %d", fd);
	check(huge_check(fd, TOKEN_PLAIN, 0, PLAIN + HOLE / 2, PAGE), "the plain file is whole");
	close(fd);
	fd = preserve_session_get_fd(session, TOKEN_MADE);
	require(fd >= 0, "retrieve: %d", fd);
	nr = lseek(fd, 0, SEEK_CUR);
	check(huge_check(fd, TOKEN_MADE, 0, nr + HOLE / 2, PAGE) &&
	      huge_is_hole(fd, nr + HOLE / 2, PAGE), "the file made for it is whole");
	close(fd);
	stage_session_finish(session);
	books_read(PAGE, "finished");
}

int main(void)
{
	static const stage_fn stages[] = { run_before, run_after };

	return stage_run(stages, STAGE_COUNT(stages));
}
