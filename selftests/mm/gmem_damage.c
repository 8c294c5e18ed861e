// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random damage to records and file maps of guest_memfd files, a bit or a word of each. In half
 * of the cases the checksums are made right again, as an enemy would. What is not damaged is
 * whole; what is damaged is refused or whole, or has right checksums; and all of it can be used
 * by a machine, preserved again and freed without harm to the kernel.
 *
 * What is not damaged is retrieved first: a map with right checksums may name frames of another
 * file, and which of the two is right nobody can know. The first one gets them.
 *
 * Arguments: the number of kexecs; a seed.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chance.h"
#include "memory.h"
#include "physical.h"
#include "place.h"
#include "preserve.h"
#include "record.h"
#include "stage.h"
#include "vmm.h"

#define SESSION		"random"
#define AGAIN		"again"
#define PAGE		PLACE_PAGE
#define NR_FILES	64		/* every other one is damaged */
#define NR_PAGES	8		/* a hole behind each */
#define SIZE		MIB(1)

static bool is_victim(unsigned int nr)
{
	return nr % 2;
}

/* Every fourth: with the checksums as they were, or right. */
static bool is_committed(unsigned int nr)
{
	return nr % 4 == 3;
}

/* Records say nothing else that tells one file from another. */
static __u64 size_of(unsigned int nr)
{
	return SIZE + nr * PAGE;
}

static void files_make(int session)
{
	struct vmm vmm;
	unsigned int nr;
	int fd, at;
	char *map;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	for (nr = 0; nr < NR_FILES; nr++) {
		fd = vmm_gmem(&vmm, size_of(nr), VMM_SHARED | GUEST_MEMFD_FLAG_PRESERVE);
		require(fd >= 0, "a file: %s", strerror(-fd));
		map = place_map(fd, 0, SIZE);
		/* Backwards, so that the map has many runs. */
		for (at = 2 * NR_PAGES - 1; at > 0; at -= 2)
			pattern_fill(map + at * PAGE, nr, at * PAGE, PAGE);
		munmap(map, SIZE);
		require(!preserve_session_add_fd(session, fd, nr), "preserve");
		close(fd);
	}
	vmm_destroy(&vmm);
}

static unsigned int nr_hurt;

static void page_hurt(void *page, __u64 phys)
{
	struct preserve_file_ser *rec = page;
	__u64 nr = (rec->i_size - SIZE) / PAGE;

	if (rec->magic == PRESERVE_FILE_MAGIC && rec->kind == PRESERVE_FILE_GUEST &&
	    rec->map.height == 1 && nr < NR_FILES && is_victim(nr))
		nr_hurt += record_hurt(rec, is_committed(nr));
}

/* No signal where a page cannot be had. */
static bool can_read(const char *at)
{
	return !madvise((void *)at, PAGE, MADV_POPULATE_READ);
}

static bool file_whole(int fd, unsigned int nr)
{
	bool good = true;
	struct stat st;
	char *map;
	int at;

	if (fstat(fd, &st) || st.st_size != (off_t)size_of(nr))
		return false;
	map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return false;
	for (at = 1; good && at < 2 * NR_PAGES; at += 2)
		good = can_read(map + at * PAGE) &&
		       pattern_is(map + at * PAGE, nr, at * PAGE, PAGE);
	munmap(map, SIZE);
	return good;
}

/* Whatever it is now, the kernel bears it: mapped, in a machine, preserved and punched. */
static void file_use(int fd)
{
	const int punch = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
	char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct vmm_slot slot = { .size = SIZE / 2, .gmem = fd };
	int session = stage_session_create(AGAIN);
	struct vmm vmm;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	if (map != MAP_FAILED) {
		madvise(map, SIZE / 2, MADV_POPULATE_WRITE);
		slot.host = map;
		if (!vmm_slot_add(&vmm, &slot))
			vmm.nr_slots = 0;	/* map is not the machine's */
	}
	preserve_session_add_fd(session, fd, 1);
	fallocate(fd, punch, 0, SIZE / 4);
	close(session);
	vmm_destroy(&vmm);
	if (map != MAP_FAILED)
		munmap(map, SIZE);
}

static void files_look(int session)
{
	unsigned int lost = 0, nr;
	int fd;

	for (nr = 0; nr < NR_FILES; nr++) {
		if (is_victim(nr))
			continue;
		fd = preserve_session_get_fd(session, nr);
		lost += fd < 0 || !file_whole(fd, nr);
		close(fd);
	}
	check(!lost, "of undamaged files %u are lost", lost);
}

static void victims_look(int session)
{
	unsigned int wrong = 0, whole = 0, refused = 0, nr;
	int fd;

	for (nr = 0; nr < NR_FILES; nr++) {
		if (!is_victim(nr))
			continue;
		fd = preserve_session_get_fd(session, nr);
		if (fd < 0) {
			refused++;
			continue;
		}
		if (file_whole(fd, nr))
			whole++;
		else
			wrong += !is_committed(nr);
		file_use(fd);
		close(fd);
	}
	check(!wrong, "damaged ones: %u refused, %u whole, %u wrong", refused, whole, wrong);
}

static unsigned int nr_kexecs;

static void round_run(void)
{
	int session;

	ksft_print_msg("seed %#llx\n", (unsigned long long)chance_seed());
	if (stage_number()) {
		physical_look(page_hurt);
		check(nr_hurt >= NR_FILES / 2, "%u records and maps are damaged", nr_hurt);
		session = stage_session_retrieve(SESSION);
		files_look(session);
		victims_look(session);
		stage_session_finish(session);
		close(session);
	}
	if (stage_number() == nr_kexecs)
		return;
	files_make(stage_session_create(SESSION));
}

int main(int argc, char **argv)
{
	nr_kexecs = argc > 1 ? strtoul(argv[1], NULL, 0) : 2;
	chance_start(argc > 2 ? argv[2] : NULL);
	return stage_run_rounds(round_run, nr_kexecs + 1);
}
