// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random damage to what says what the files are: records, file maps and the images of
 * trees, a bit or a word of each, many in one kernel. In half of the cases the checksums
 * are made right again, as an enemy would. What is not damaged is whole; what is damaged
 * is refused or whole, or has right checksums; and all of it can be used, preserved again
 * and freed without harm to the kernel.
 *
 * What is not damaged is retrieved first: a map with right checksums may name frames of
 * another file, and which of the two is right nobody can know. The first one gets them.
 *
 * Arguments: the number of kexecs; "huge" for files and trees in huge pages; a seed.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "chance.h"
#include "huge.h"
#include "preserve.h"
#include "memory.h"
#include "physical.h"
#include "record.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"random"
#define PAGE		4096
#define NR_FILES	32		/* every other one is damaged, like the trees */
#define NR_TREES	16
#define TREE_TOKEN	1000
#define NR_NAMES	4

/**
 * struct shape - what is tested
 * @page:       bytes
 * @file_pages: of a file; every other one is a hole
 * @tree_pages: of a tree's file
 * @fs:         file system of the trees
 * @options:    theirs
 */
struct shape {
	__u64 page;
	unsigned int file_pages;
	unsigned int tree_pages;
	const char *fs;
	const char *options;
};

static const struct shape small = {
	KIB(4), 16, 2, "tmpfs", "preserve,size=1m,nr_inodes=100"
};

static const struct shape huge = {
	MIB(2), 4, 1, "hugetlbfs", "pagesize=2M,size=8M,nr_inodes=100"
};

static const struct shape *shape = &small;

static int page_write(int fd, __u64 seed, unsigned int at)
{
	if (shape == &small)
		return pattern_write(fd, seed, at * shape->page, shape->page);
	if (ftruncate(fd, shape->page * (shape->file_pages > at ? shape->file_pages : at + 1)))
		return -errno;
	huge_fill(fd, seed, at, 1, shape->page);
	return 0;
}

/* As pattern_check(). */
static int page_check(int fd, __u64 seed, unsigned int at)
{
	char byte;

	if (shape == &small)
		return pattern_check(fd, seed, at * shape->page, shape->page);
	if (pread(fd, &byte, 1, at * shape->page) != 1)
		return -EIO;
	return huge_check(fd, seed, at, 1, shape->page) ? 0 : -EILSEQ;
}

/* --- victims --- */

/* Of a tree's files, records count by themselves. */
static unsigned int nr_hurt, nr_hurt_inside;

static bool is_victim(unsigned int nr)
{
	return nr % 2;
}

/* Every fourth: with the checksums as they were, or right. */
static bool is_committed(unsigned int nr)
{
	return nr % 4 == 3;
}

/* The beginning, a section's header or what is in it. */
static void image_hurt(struct preserve_tree_ser *image, unsigned int nr)
{
	unsigned int sections = image->nr_dirs + image->nr_links + image->nr_others;
	unsigned int no = below(sections + 1ULL);
	struct preserve_section_ser *sec;

	if (no == sections) {
		random_hurt(image, offsetof(struct preserve_tree_ser, csum));
		if (is_committed(nr))
			image_commit(image);
		nr_hurt++;
		return;
	}
	sec = image_section(image, no);
	/* What an earlier kernel has left, and this test has damaged then. */
	if (!sec || !sec->length)
		return;
	nr_hurt++;
	if (below(4))
		random_hurt(section_bytes(sec), sec->length);
	else
		random_hurt(sec, offsetof(struct preserve_section_ser, csum));
	if (is_committed(nr) &&
	    (char *)section_bytes(sec) + sec->length <= (char *)image + IMAGE_PAGE)
		section_commit(image, sec);
}

static void page_hurt(void *page, __u64 phys)
{
	struct preserve_file_ser *rec = page;
	struct preserve_tree_ser *image = page;
	unsigned int nr;

	if (rec->magic == PRESERVE_FILE_MAGIC && sscanf(rec->name, "memfd:file-%u", &nr) == 1 &&
	    rec->map.height == 1 && is_victim(nr))
		nr_hurt += record_hurt(rec, is_committed(nr));
	else if (rec->magic == PRESERVE_FILE_MAGIC && sscanf(rec->name, "of-%u-", &nr) == 1 &&
		 rec->map.height == 1 && is_victim(nr) && below(2))
		nr_hurt_inside += record_hurt(rec, is_committed(nr));
	else if (image->magic == PRESERVE_TREE_MAGIC &&
		 sscanf(image->source, "tree-%u", &nr) == 1 &&
		 image->length <= IMAGE_PAGE && is_victim(nr))
		image_hurt(image, nr);
}

static void hurt_all(void)
{
	physical_look(page_hurt);
	check(nr_hurt >= (NR_FILES + NR_TREES) / 2 && (shape == &small || nr_hurt_inside),
	      "%u records, maps and images are damaged, and %u of files in trees", nr_hurt,
	      nr_hurt_inside);
}

/* --- files --- */

static void files_make(int session)
{
	char name[32];

	for (unsigned int nr = 0; nr < NR_FILES; nr++) {
		int fd;

		snprintf(name, sizeof(name), "file-%u", nr);
		fd = shape == &small ? preserve_memfd_create(name, MFD_CLOEXEC) :
		     huge_memfd(name, shape->page, nr & 4 ? MFD_PRESERVE : 0);
		require(fd >= 0, "a file");
		/* Backwards, so that the map has many runs. */
		for (unsigned int at = shape->file_pages; at; at -= 2)
			require(!page_write(fd, nr, at - 1), "fill");
		require(!preserve_session_add_fd(session, fd, nr), "preserve");
		close(fd);
	}
}

static bool file_whole(int fd, unsigned int nr)
{
	struct stat st;

	if (fstat(fd, &st) || st.st_size != (off_t)(shape->file_pages * shape->page))
		return false;
	for (unsigned int at = shape->file_pages; at; at -= 2)
		if (page_check(fd, nr, at - 1))
			return false;
	return true;
}

/* Whatever it is now, the kernel bears it. */
static void file_use(int fd)
{
	char buf[PAGE], *map;

	for (unsigned int at = 0; at < shape->file_pages; at++) {
		if (pread(fd, buf, PAGE, at * shape->page) <= 0)
			continue;
		if (shape == &small) {
			pwrite(fd, buf, 1, at * shape->page);
		} else if (at % 2) {
			map = huge_map(fd, at * shape->page, shape->page, shape->page);
			*map = 1;
			huge_unmap(map, shape->page);
		}
	}
	ftruncate(fd, shape->page);
}

static void files_look(int session)
{
	unsigned int lost = 0, nr;

	for (nr = 0; nr < NR_FILES; nr++) {
		int fd;

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

	for (nr = 0; nr < NR_FILES; nr++) {
		int fd;

		if (!is_victim(nr))
			continue;
		fd = preserve_session_get_fd(session, nr);
		if (fd < 0) {
			refused++;
		} else if (file_whole(fd, nr)) {
			whole++;
		} else {
			wrong += !is_committed(nr);
			file_use(fd);
		}
		close(fd);
	}
	check(!wrong, "damaged ones: %u refused, %u whole, %u wrong", refused, whole, wrong);
}

/* --- trees --- */

static char *tree_dir(unsigned int nr)
{
	static char dir[32];

	snprintf(dir, sizeof(dir), "/tree-%u", nr);
	return dir;
}

static char *tree_file(unsigned int nr, unsigned int i)
{
	static char path[64];

	snprintf(path, sizeof(path), "/tree-%u/%sof-%u-%u", nr, i % 2 ? "dir/" : "", nr, i);
	return path;
}

static __u64 tree_seed(unsigned int nr, unsigned int i)
{
	return 1000 + nr * NR_NAMES + i;
}

static int tree_file_fill(int fd, __u64 seed)
{
	int err = 0;

	for (unsigned int at = 0; !err && at < shape->tree_pages; at++)
		err = page_write(fd, seed, at);
	return err ?: ftruncate(fd, shape->tree_pages * shape->page);
}

static int tree_file_check(int fd, __u64 seed)
{
	int err = 0;

	for (unsigned int at = 0; !err && at < shape->tree_pages; at++)
		err = page_check(fd, seed, at);
	return err;
}

static void trees_make(int session)
{
	for (unsigned int nr = 0; nr < NR_TREES; nr++) {
		char *dir = tree_dir(nr), link_to[64];
		int fd;

		mkdir(dir, 0755);
		require(!mount(dir + 1, dir, shape->fs, MS_NOATIME, shape->options) &&
			!mkdir(path_in(dir, "dir"), 0755), "mount %s", dir);
		for (unsigned int i = 0; i < NR_NAMES; i++) {
			fd = open(tree_file(nr, i), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
			require(fd >= 0 && !tree_file_fill(fd, tree_seed(nr, i)), "a file");
			close(fd);
		}
		snprintf(link_to, sizeof(link_to), "%s", path_in(dir, "dir/link"));
		require(!link(tree_file(nr, 0), link_to), "link");
		fd = tree_open(dir);
		require(!preserve_session_add_fd(session, fd, TREE_TOKEN + nr),
			"preserve %s", dir);
		close(fd);
	}
}

/* Of the files of a tree: how many are whole, and how many are not what they were. */
static void tree_look(unsigned int nr, unsigned int *whole, unsigned int *wrong)
{
	struct stat st;
	int err, fd;

	for (unsigned int i = 0; i < NR_NAMES; i++) {
		fd = open(tree_file(nr, i), O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		err = fstat(fd, &st) ? -errno : tree_file_check(fd, tree_seed(nr, i));
		*whole += !err && st.st_size == (off_t)(shape->tree_pages * shape->page);
		*wrong += err == -EILSEQ;
		close(fd);
	}
}

static void tree_remove(unsigned int nr)
{
	for (unsigned int i = 0; i < NR_NAMES; i++)
		unlink(tree_file(nr, i));
	unlink(path_in(tree_dir(nr), "dir/link"));
	rmdir(path_in(tree_dir(nr), "dir"));
}

/* False if the tree is not there. */
static bool tree_retrieve(int session, unsigned int nr)
{
	int fd = preserve_session_get_fd(session, TREE_TOKEN + nr);
	bool there = fd >= 0 && !tree_attach(fd, tree_dir(nr));

	close(fd);
	return there;
}

static void trees_look(int session)
{
	unsigned int lost = 0, nr;

	for (nr = 0; nr < NR_TREES; nr++) {
		unsigned int whole = 0, bad = 0;

		if (is_victim(nr))
			continue;
		if (tree_retrieve(session, nr)) {
			tree_look(nr, &whole, &bad);
			tree_remove(nr);
		}
		lost += whole != NR_NAMES;
	}
	check(!lost, "of undamaged trees %u are lost", lost);
}

static void victim_trees_look(int session)
{
	unsigned int wrong = 0, refused = 0, nr;

	for (nr = 0; nr < NR_TREES; nr++) {
		unsigned int whole = 0, bad = 0;

		if (!is_victim(nr))
			continue;
		if (!tree_retrieve(session, nr)) {
			refused++;
			continue;
		}
		tree_look(nr, &whole, &bad);
		wrong += !is_committed(nr) && bad;
		tree_remove(nr);
	}
	check(!wrong, "damaged ones: %u refused, %u wrong", refused, wrong);
}

static void trees_unmount(void)
{
	for (unsigned int nr = 0; nr < NR_TREES; nr++)
		umount(tree_dir(nr));
}

static unsigned int nr_kexecs;

static void round_run(void)
{
	int session;

	ksft_print_msg("seed %#llx\n", (unsigned long long)chance_seed());
	if (stage_number()) {
		hurt_all();
		session = stage_session_retrieve(SESSION);
		files_look(session);
		trees_look(session);
		victims_look(session);
		victim_trees_look(session);
		stage_session_finish(session);
		close(session);
		trees_unmount();
	}
	if (stage_number() == nr_kexecs)
		return;
	session = stage_session_create(SESSION);
	files_make(session);
	trees_make(session);
}

int main(int argc, char **argv)
{
	nr_kexecs = argc > 1 ? strtoul(argv[1], NULL, 0) : 2;
	if (argc > 2 && !strcmp(argv[2], "huge")) {
		shape = &huge;
		argv++;
		argc--;
	}
	chance_start(argc > 2 ? argv[2] : NULL);
	return stage_run_rounds(round_run, nr_kexecs + 1);
}
