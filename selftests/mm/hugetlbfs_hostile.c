// SPDX-License-Identifier: GPL-2.0-only
/*
 * Damaged hugetlbfs trees: records of files, and images, are changed through /dev/mem after the
 * kexec and before the tree is retrieved. A damaged record costs its file alone, a damaged
 * directory what is in it, a damaged limit the tree; files do not get more than the tree says.
 * What is refused keeps its huge pages until the kexec after that, and nothing that is set aside
 * for its mount; what is damaged crosses as damaged, and can be removed.
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

#include "books.h"
#include "huge.h"
#include "image.h"
#include "memory.h"
#include "physical.h"
#include "preserve.h"
#include "record.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"hostile"
#define PAGE		MIB(2)
#define SMALL		4096
#define ASKED		32

/* --- files of the first tree, each of a page --- */

static void hurt_nothing(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	leaf_commit(rec, leaf);
}

static void hurt_sum(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	rec->i_size ^= 1;
}

static void hurt_kind(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	rec->kind = PRESERVE_FILE_MEMFD;
	rec->huge_order = 0;
	record_commit(rec);
}

static void hurt_order(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	rec->huge_order = 18;
	record_commit(rec);
}

static void hurt_regions(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	const struct preserve_region_ser region = { 7, 7 };
	const __u8 head[] = { PRESERVE_EXTRA_REGION, 1, 'r', sizeof(region) };

	memcpy(rec->extras, head, sizeof(head));
	memcpy(rec->extras + sizeof(head), &region, sizeof(region));
	rec->extras_len = sizeof(head) + sizeof(region);
	record_commit(rec);
}

static void hurt_seals(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	rec->seals = ~0U;
	record_commit(rec);
}

/* Somewhere in the first 16 MiB: no huge page. */
static void hurt_frame(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	leaf->word[1] &= (1ULL << LEAF_PFN_SHIFT) - 1;
	leaf->word[1] |= 0x800ULL << LEAF_PFN_SHIFT;
	leaf_commit(rec, leaf);
}

static void hurt_index(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	leaf->word[0] += 1;
	leaf_commit(rec, leaf);
}

static const struct victim {
	const char *name;
	void (*hurt)(struct preserve_file_ser *rec, struct prmap_leaf *leaf);
	bool whole;
} victims[] = {
	{ "nothing", hurt_nothing, true },
	{ "sum", hurt_sum },
	{ "kind", hurt_kind },
	{ "order", hurt_order },
	{ "regions", hurt_regions },
	{ "seals", hurt_seals },
	{ "frame", hurt_frame },
	{ "index", hurt_index },
};

#define NR_VICTIMS	STAGE_COUNT(victims)

/* --- the other trees, each with a file of a page in a directory --- */

static void image_used(struct preserve_tree_ser *image)
{
	image->used_pages = 5 * PAGE / SMALL;
	image_commit(image);
}

static void image_none_used(struct preserve_tree_ser *image)
{
	image->used_pages = 0;
	image_commit(image);
}

static void image_limit(struct preserve_tree_ser *image)
{
	struct preserve_section_ser *sec = image_link(image, 0);
	__u8 *at = memmem(section_bytes(sec), sec->length, "subpool", 7);
	const __s64 min = 5;

	require(at, "the limits of the tree");
	/* Behind the name: the length of the value, and the upper limit. */
	memcpy(at + 7 + 1 + sizeof(min), &min, sizeof(min));
	section_commit(image, sec);
}

static void image_dir_sum(struct preserve_tree_ser *image)
{
	section_bytes(image_dir(image, 1))[1] ^= 1;
}

static void image_whole(struct preserve_tree_ser *image)
{
	section_commit(image, image_link(image, 0));
	image_commit(image);
}

/* @place, but for the slash, is the source of its mount. */
static const struct tree {
	const char *place;
	void (*hurt)(struct preserve_tree_ser *image);
	int err;
} trees[] = {
	{ "/files", image_whole },
	{ "/used", image_used, -EUCLEAN },
	{ "/limit", image_limit, -EUCLEAN },
	{ "/dir", image_dir_sum },
	{ "/few", image_none_used },
	{ "/kept", image_whole },
	{ "/above", image_whole },
	{ "/least", image_whole },
};

#define NR_TREES	STAGE_COUNT(trees)

enum {
	TREE_FILES, TREE_USED, TREE_LIMIT, TREE_DIR, TREE_FEW, TREE_KEPT, TREE_ABOVE, TREE_LEAST,
};

/* A file of the last three, which is damaged. */
#define KEPT	"kept-file"

/* Pages of the trees but for the first, and those that the last four set aside. */
#define OTHER_PAGES	8
#define ASIDE		(3 + 2 + 0 + 2)

static const char *place(unsigned int tree)
{
	return trees[tree].place;
}

static void file_make(const char *path, unsigned int seed)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	require(fd >= 0 && !ftruncate(fd, PAGE), "make %s", path);
	huge_fill(fd, seed, 0, 1, PAGE);
	close(fd);
}

static bool file_good(const char *path, unsigned int seed)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool good = fd >= 0 && huge_check(fd, seed, 0, 1, PAGE);

	close(fd);
	return good;
}

static int file_errno(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static void tree_fill(unsigned int tree)
{
	const char *dir = place(tree);
	unsigned int i;

	require(!mkdir(path_in(dir, "inner"), 0700), "directory in %s", dir);
	if (tree != TREE_FILES)
		file_make(path_in(dir, tree >= TREE_KEPT ? KEPT : "inner/file"), 100 + tree);
	if (tree == TREE_ABOVE)
		file_make(path_in(dir, "inner/file"), 100 + tree);
	for (i = 0; tree == TREE_FILES && i < NR_VICTIMS; i++)
		file_make(path_in(dir, victims[i].name), i);
}

static const char *options(unsigned int tree)
{
	switch (tree) {
	case TREE_FILES:
		return "pagesize=2M";
	case TREE_FEW:
	case TREE_KEPT:
		return "pagesize=2M,size=8M,min_size=6M";
	case TREE_ABOVE:
		return "pagesize=2M,size=8M,min_size=2M";
	case TREE_LEAST:
		return "pagesize=2M,min_size=6M";
	default:
		return "pagesize=2M,size=8M";
	}
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd;
	unsigned int i;

	for (i = 0; i < NR_TREES; i++) {
		mkdir(place(i), 0755);
		require(!mount(place(i) + 1, place(i), "hugetlbfs", 0, options(i)), "mount %s",
			place(i));
		tree_fill(i);
		fd = tree_open(place(i));
		require(!preserve_session_add_fd(session, fd, i), "preserve %s", place(i));
		close(fd);
	}
}

static unsigned int found;

static void record_attack(struct preserve_file_ser *rec)
{
	struct prmap_leaf *leaf;
	unsigned int i;

	if (!strcmp(rec->name, KEPT))
		rec->i_size ^= 1;
	for (i = 0; i < NR_VICTIMS; i++) {
		if (strcmp(rec->name, victims[i].name))
			continue;
		leaf = physical_map(rec->map.top, SMALL);
		require(leaf, "the map of %s", rec->name);
		victims[i].hurt(rec, leaf);
		munmap(leaf, SMALL);
		found++;
	}
}

static void page_attack(void *page, __u64 phys)
{
	struct preserve_file_ser *rec = page;
	struct preserve_tree_ser *image = page;
	unsigned int i;

	if (rec->magic == PRESERVE_FILE_MAGIC && rec->kind == PRESERVE_FILE_HUGETLB)
		record_attack(rec);
	if (image->magic != PRESERVE_TREE_MAGIC)
		return;
	for (i = 0; i < NR_TREES; i++) {
		if (strcmp(image->source, place(i) + 1))
			continue;
		trees[i].hurt(image);
		found++;
	}
}

static void check_files(void)
{
	const char *dir = place(TREE_FILES);
	unsigned int i;

	for (i = 0; i < NR_VICTIMS; i++) {
		const char *path = path_in(dir, victims[i].name);

		if (victims[i].whole)
			check(file_good(path, i), "%s is there", victims[i].name);
		else
			check(file_errno(path) == EIO, "%s is refused: %s", victims[i].name,
			      strerror(file_errno(path)));
	}
}

static void check_dir(void)
{
	const char *dir = place(TREE_DIR);

	check(file_errno(path_in(dir, "inner/file")) == EUCLEAN, "a directory is refused");
	check(file_errno(path_in(dir, "inner/new")) == EUCLEAN, "nothing can be made there");
	check(rename(path_in(dir, "inner"), path_in(dir, "outer")) == 0 &&
	      rename(path_in(dir, "outer"), path_in(dir, "inner")) == 0, "it can be renamed");
}

/* A file comes and goes. */
static void file_pass(const char *path, unsigned int nr)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	require(fd >= 0 && !ftruncate(fd, nr * PAGE), "make %s", path);
	huge_fill(fd, 1, 0, nr, PAGE);
	close(fd);
	require(!unlink(path), "remove %s", path);
}

/* None of them can say any more what is set aside for it. */
static void check_limits(void)
{
	struct books books = { .total = ASKED, .free = ASKED - NR_VICTIMS - OTHER_PAGES };
	unsigned int i;

	check(file_errno(path_in(place(TREE_FEW), "inner/file")) == EIO,
	      "a file that brings more than the tree says is refused");
	for (i = TREE_KEPT; i < NR_TREES; i++)
		check(file_errno(path_in(place(i), KEPT)) == EIO, "%s: a file is refused",
		      place(i));
	check(file_good(path_in(place(TREE_ABOVE), "inner/file"), 100 + TREE_ABOVE),
	      "another one is there");
	books.resv = ASIDE;
	books_check(PAGE, books, "retrieved");
	file_pass(path_in(place(TREE_LEAST), "file"), 3);
	for (i = TREE_FEW; i < NR_TREES; i++)
		check(!umount(place(i)), "%s is unmounted", place(i));
	books.resv = 0;
	books.free++;
	books_check(PAGE, books, "nothing is set aside");
}

static void retrieve(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	unsigned int i;

	for (i = 0; i < NR_TREES; i++) {
		fd = preserve_session_get_fd(session, i);
		if (stage_number() > 1 && i != TREE_FILES && i != TREE_DIR)
			continue;
		check(trees[i].err ? fd == trees[i].err : fd >= 0, "tree %s: %d", place(i), fd);
		if (fd < 0)
			continue;
		check(!tree_attach(fd, place(i)), "%s is attached", place(i));
		close(fd);
	}
	check_files();
	check_dir();
	stage_session_finish(session);
}

static void after(void)
{
	int session, fd;

	books_check(PAGE, (struct books){ .total = ASKED, .free = ASKED - NR_VICTIMS -
		    OTHER_PAGES }, "before retrieve");
	physical_look(page_attack);
	require(found >= NR_VICTIMS + NR_TREES, "records and images: %u", found);
	retrieve();
	/* Nothing that is refused has been freed. */
	check_limits();
	session = stage_session_create(SESSION);
	fd = tree_open(place(TREE_FILES));
	check(!preserve_session_add_fd(session, fd, TREE_FILES), "damaged files are no obstacle");
	close(fd);
	fd = tree_open(place(TREE_DIR));
	check(!preserve_session_add_fd(session, fd, TREE_DIR), "nor is a damaged directory");
	close(fd);
}

static void afterwards(void)
{
	const char *dir;
	unsigned int i;

	books_check(PAGE, (struct books){ .total = ASKED, .free = ASKED - 1 },
		    "what was refused is free");
	retrieve();
	check(!rmdir(path_in(place(TREE_DIR), "inner")), "what is damaged can be removed");
	dir = place(TREE_FILES);
	check(!truncate(path_in(dir, victims[1].name), 0) &&
	      !file_errno(path_in(dir, victims[1].name)), "or emptied, and is whole then");
	for (i = 2; i < NR_VICTIMS; i++)
		require(!unlink(path_in(dir, victims[i].name)), "remove %s", victims[i].name);
	check(!umount(place(TREE_FILES)) && !umount(place(TREE_DIR)), "they can be unmounted");
	books_check(PAGE, (struct books){ .total = ASKED, .free = ASKED }, "unmounted");
	check(!pool_counter("incoming"), "nothing is set aside");
}

int main(void)
{
	static const stage_fn stages[] = { before, after, afterwards };

	return stage_run(stages, STAGE_COUNT(stages));
}
