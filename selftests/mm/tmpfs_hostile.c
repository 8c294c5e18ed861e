// SPDX-License-Identifier: GPL-2.0-only
/*
 * Damaged trees: the image of each of several preserved trees is changed, through
 * /dev/mem, after the kexec and before the tree is retrieved. What is damaged is
 * refused in its smallest unit, with an errno and a message, and the rest is there;
 * all of them can be unmounted, and the kexec after that has their memory free again.
 *
 * Most changes have right checksums, so that a deeper check is their target.
 */

#include <dirent.h>
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
#include "memory.h"
#include "physical.h"
#include "preserve.h"
#include "record.h"
#include "stage.h"
#include "tree.h"

#define AGAIN		"again"
#define SESSION		"hostile"
#define TOKEN_OTHER	1000
#define OTHER_SIZE	MIB(1)
#define LONG_NAME	"long-name-that-can-be-shortened"
#define MAX_REFUSED	3
#define NR_FILES	9	/* of each tree, a link once */
#define FILE_SIZE	KIB(8)

/* What each tree has; a path that ends in a slash is a directory. */
static const char * const paths[] = {
	"/one", "/two", "/first/", "/first/slash-name", "/first/twin-a",
	"/first/twin-b", "/first/" LONG_NAME, "/first/inner/",
	"/first/inner/deep", "/first/name", "/second/", "/second/other",
	"/second/name", "/empty/",
};

/* Directories get their numbers as they are come upon. */
enum { DIR_ROOT, DIR_FIRST, DIR_SECOND, DIR_EMPTY, DIR_INNER };

static struct preserve_section_ser *sec_of(struct preserve_tree_ser *image, const char *name,
					   struct entry *e)
{
	struct preserve_section_ser *sec;

	*e = image_entry(image, name, &sec);
	return sec;
}

static void hurt_nothing(struct preserve_tree_ser *image)
{
	/* Proves that sealing does it right. */
	section_commit(image, image_dir(image, DIR_FIRST));
	section_commit(image, image_link(image, 0));
	image_commit(image);
}

static void hurt_no_image(struct preserve_tree_ser *image)
{
}

static void hurt_tree_sum(struct preserve_tree_ser *image)
{
	image->epoch ^= 1;
}

static void hurt_tree_version(struct preserve_tree_ser *image)
{
	image->version++;
	image_commit(image);
}

static void hurt_tree_used(struct preserve_tree_ser *image)
{
	image->used_pages = MIB(1) / IMAGE_PAGE + 1;
	image_commit(image);
}

static void hurt_tree_space(struct preserve_tree_ser *image)
{
	image->used_ispace = (100 + 2) * 1024;
	image_commit(image);
}

/* A later kernel's: what may be left out is left out, and what may not is refused. */
static void features_set(struct preserve_tree_ser *image, __u64 compat, __u64 incompat)
{
	image->compat = compat;
	image->incompat = incompat;
	image_commit(image);
}

static void hurt_compat(struct preserve_tree_ser *image)
{
	features_set(image, ~0ULL, 0);
}

static void hurt_incompat(struct preserve_tree_ser *image)
{
	features_set(image, 0, 1ULL << 40);
}

/* What there is of options becomes a section of another kind. */
static void options_are(struct preserve_tree_ser *image, unsigned int kind)
{
	struct preserve_section_ser *sec = image_other(image, PRESERVE_SECTION_OPTIONS);

	sec->kind = kind;
	section_commit(image, sec);
}

static void hurt_skipped(struct preserve_tree_ser *image)
{
	options_are(image, PRESERVE_SECTION_SKIP | 77);
}

static void hurt_unknown(struct preserve_tree_ser *image)
{
	options_are(image, 77);
}

static void hurt_options_sum(struct preserve_tree_ser *image)
{
	section_bytes(image_other(image, PRESERVE_SECTION_OPTIONS))[1] ^= 1;
}

static __u8 *option_find(struct preserve_tree_ser *image, const char *key)
{
	struct preserve_section_ser *sec = image_other(image, PRESERVE_SECTION_OPTIONS);
	__u8 *at = memmem(section_bytes(sec), sec->length, key, strlen(key));

	require(at && at[-1] == strlen(key), "the option %s", key);
	return at;
}

/* One that this kernel does not have. */
static void hurt_option(struct preserve_tree_ser *image)
{
	memcpy(option_find(image, "inode32"), "inode33", 7);
	section_commit(image, image_other(image, PRESERVE_SECTION_OPTIONS));
}

/* The same, and its writer says that it does not matter much. */
static void hurt_option_skipped(struct preserve_tree_ser *image)
{
	option_find(image, "inode32")[-2] = PRESERVE_OPTION_SKIP;
	hurt_option(image);
}

static void hurt_root_sum(struct preserve_tree_ser *image)
{
	section_bytes(image_link(image, 0))[3] ^= 1;
}

static void hurt_root_dir(struct preserve_tree_ser *image)
{
	struct preserve_section_ser *sec = image_link(image, 0);
	struct entry e = image_link_entry(sec);

	*e.dir = DIR_SECOND + 1;
	section_commit(image, sec);
}

static void hurt_dir_sum(struct preserve_tree_ser *image)
{
	section_bytes(image_dir(image, DIR_FIRST))[9] ^= 0x20;
}

static void hurt_link_sum(struct preserve_tree_ser *image)
{
	section_bytes(image_link(image, 1))[3] ^= 1;
}

static void hurt_swapped(struct preserve_tree_ser *image)
{
	__u64 *table = (__u64 *)((char *)image + image->dirs);
	__u64 at = table[DIR_FIRST];

	table[DIR_FIRST] = table[DIR_SECOND];
	table[DIR_SECOND] = at;
}

static void hurt_slash(struct preserve_tree_ser *image)
{
	struct entry e;
	struct preserve_section_ser *sec = sec_of(image, "slash-name", &e);

	e.name[5] = '/';
	section_commit(image, sec);
}

static void hurt_twin(struct preserve_tree_ser *image)
{
	struct entry e;
	struct preserve_section_ser *sec = sec_of(image, "twin-b", &e);

	e.name[5] = 'a';
	section_commit(image, sec);
}

static void hurt_position(struct preserve_tree_ser *image)
{
	struct entry a, b;
	struct preserve_section_ser *sec = sec_of(image, "twin-a", &a);

	sec = sec_of(image, "twin-b", &b);
	*b.pos = *a.pos;
	section_commit(image, sec);
}

static void inner_is(struct preserve_tree_ser *image, unsigned int no)
{
	struct entry e;
	struct preserve_section_ser *sec = sec_of(image, "inner", &e);

	number_set(e.dir, number_len(e.dir), no + 1);
	section_commit(image, sec);
}

static void hurt_loop(struct preserve_tree_ser *image)
{
	inner_is(image, DIR_FIRST);
}

static void hurt_root_loop(struct preserve_tree_ser *image)
{
	inner_is(image, DIR_ROOT);
}

static void hurt_dir_twice(struct preserve_tree_ser *image)
{
	inner_is(image, DIR_SECOND);
}

static void hurt_no_dir(struct preserve_tree_ser *image)
{
	inner_is(image, 100);
}

static void link_is(struct preserve_tree_ser *image, unsigned int nlink)
{
	struct preserve_section_ser *sec = image_link(image, 1);

	*image_link_entry(sec).nlink = nlink;
	section_commit(image, sec);
}

static void hurt_names_many(struct preserve_tree_ser *image)
{
	link_is(image, 1);
}

static void hurt_names_few(struct preserve_tree_ser *image)
{
	link_is(image, 5);
}

static void hurt_dir_links(struct preserve_tree_ser *image)
{
	struct entry e;
	struct preserve_section_ser *sec = sec_of(image, "first", &e);

	require(*e.nlink == 3, "the links of a directory");
	*e.nlink = 9;
	section_commit(image, sec);
}

/* A file that is no link, and says that it has five names. */
static void hurt_file_links(struct preserve_tree_ser *image)
{
	struct entry e;
	struct preserve_section_ser *sec = sec_of(image, LONG_NAME, &e);

	*entry_room(e.name, e.nlink, 1) = 5;
	e.parts[-1] |= PRESERVE_INODE_NLINK;
	section_commit(image, sec);
}

/* The size gets two bytes more: 10, for 2^63. */
static void hurt_size(struct preserve_tree_ser *image)
{
	struct entry e;
	struct preserve_section_ser *sec = sec_of(image, LONG_NAME, &e);
	size_t len = number_len(e.size);

	number_set(entry_room(e.name, e.size, 10 - len), 10, 1ULL << 63);
	section_commit(image, sec);
}

static void hurt_pages(struct preserve_tree_ser *image)
{
	struct entry e;
	struct preserve_section_ser *sec = sec_of(image, LONG_NAME, &e);

	++*e.pages;
	section_commit(image, sec);
}

static void hurt_order(struct preserve_tree_ser *image)
{
	struct entry e;
	struct preserve_section_ser *sec = sec_of(image, LONG_NAME, &e);

	e.run[2][number_len(e.run[2]) - 1] |= 0x1f;
	section_commit(image, sec);
}

static __u64 frames_of_one(struct preserve_tree_ser *image)
{
	__u64 value = 0;
	struct entry e;
	size_t i;

	sec_of(image, "one", &e);
	for (i = 0; i < number_len(e.run[1]); i++)
		value |= (__u64)(e.run[1][i] & 0x7f) << (7 * i);
	return value;
}

static __u64 frames_outside(struct preserve_tree_ser *image)
{
	return 2 * 0x80000;	/* 2 GiB, or no memory at all */
}

/* Somewhere in the first 16 MiB: no memory of the pool. */
static __u64 frames_of_kernel(struct preserve_tree_ser *image)
{
	return 2 * 0x800;
}

/*
 * The frames of "two" are those that @two says; those of the kernel if the number in its
 * place is too short, because the pool lies below 32 MiB.
 */
static void two_is(struct preserve_tree_ser *image, __u64 (*two)(struct preserve_tree_ser *image))
{
	struct entry e;
	struct preserve_section_ser *sec = sec_of(image, "two", &e);
	size_t len = number_len(e.run[1]);
	__u64 value = two(image);

	number_set(e.run[1], len, value >> (7 * len) ? frames_of_kernel(image) : value);
	section_commit(image, sec);
}

static void hurt_run_other(struct preserve_tree_ser *image)
{
	two_is(image, frames_of_one);
}

static void hurt_run_outside(struct preserve_tree_ser *image)
{
	two_is(image, frames_outside);
}

static void hurt_run_kernel(struct preserve_tree_ser *image)
{
	two_is(image, frames_of_kernel);
}

/* The record says that the stream is longer than its page. */
static void hurt_stream_size(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	rec->i_size = 1ULL << 40;
	record_commit(rec);
}

/* The stream's page is the page of its own map. */
static void hurt_stream_self(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	leaf->word[1] &= (1ULL << LEAF_PFN_SHIFT) - 1;
	leaf->word[1] |= rec->map.top / IMAGE_PAGE << LEAF_PFN_SHIFT;
	leaf_commit(rec, leaf);
}

/**
 * struct attack - what is done to a tree, and what comes of it
 * @name:    the tree's source, by which its image and its record are found
 * @hurt:    does it
 * @whole:   the tree is refused with this
 * @err:     otherwise, what is refused gives this
 * @refused: what begins so is refused
 * @record:  does it to the record; @hurt does nothing then
 */
static const struct attack {
	const char *name;
	void (*hurt)(struct preserve_tree_ser *image);
	int whole;
	int err;
	const char *refused[MAX_REFUSED];
	void (*record)(struct preserve_file_ser *rec, struct prmap_leaf *leaf);
} attacks[] = {
	{ "nothing",	hurt_nothing,		0, 0, {} },
	{ "tree-sum",	hurt_tree_sum,		EBADMSG, 0, {} },
	{ "tree-version", hurt_tree_version,	EPROTO, 0, {} },
	{ "tree-used",	hurt_tree_used,		EUCLEAN, 0, {} },
	{ "tree-space",	hurt_tree_space,	EUCLEAN, 0, {} },
	{ "stream-size", hurt_no_image,		EBADMSG, 0, {}, hurt_stream_size },
	{ "stream-self", hurt_no_image,		EBADMSG, 0, {}, hurt_stream_self },
	{ "compat",	hurt_compat,		0, 0, {} },
	{ "incompat",	hurt_incompat,		EPROTO, 0, {} },
	{ "skipped",	hurt_skipped,		0, 0, {} },
	{ "unknown",	hurt_unknown,		EPROTO, 0, {} },
	{ "options-sum", hurt_options_sum,	EUCLEAN, 0, {} },
	{ "option",	hurt_option,		EINVAL, 0, {} },
	{ "option-skipped", hurt_option_skipped, 0, 0, {} },
	{ "root-sum",	hurt_root_sum,		EUCLEAN, 0, {} },
	{ "root-dir",	hurt_root_dir,		EUCLEAN, 0, {} },
	{ "dir-sum",	hurt_dir_sum,		0, EUCLEAN, { "/first" } },
	{ "link-sum",	hurt_link_sum,		0, ENOENT,
						{ "/first/name", "/second/name" } },
	{ "swapped",	hurt_swapped,		0, EUCLEAN,
						{ "/first", "/second" } },
	{ "slash",	hurt_slash,		0, EUCLEAN, { "/first" } },
	{ "twin",	hurt_twin,		0, ENOENT, { "/first/twin-b" } },
	{ "position",	hurt_position,		0, EUCLEAN, { "/first" } },
	{ "loop",	hurt_loop,		0, EUCLEAN, { "/first" } },
	{ "root-loop",	hurt_root_loop,		0, EUCLEAN, { "/first" } },
	{ "dir-twice",	hurt_dir_twice,		0, EUCLEAN, { "/first" } },
	{ "no-dir",	hurt_no_dir,		0, EUCLEAN, { "/first/inner" } },
	{ "names-many",	hurt_names_many,	0, ENOENT, { "/second/name" } },
	{ "names-few",	hurt_names_few,		0, 0, {} },
	{ "dir-links",	hurt_dir_links,		0, 0, {} },
	{ "file-links",	hurt_file_links,	0, EUCLEAN, { "/first" } },
	{ "size",	hurt_size,		0, EUCLEAN, { "/first" } },
	{ "pages",	hurt_pages,		0, EUCLEAN, { "/first" } },
	{ "order",	hurt_order,		0, EUCLEAN, { "/first" } },
	{ "run-other",	hurt_run_other,		0, EIO, { "/two" } },
	{ "run-outside", hurt_run_outside,	0, EIO, { "/two" } },
	{ "run-kernel",	hurt_run_kernel,	0, EIO, { "/two" } },
};

#define NR_ATTACKS	STAGE_COUNT(attacks)

/* --- making --- */

static bool is_dir(const char *path)
{
	return path[strlen(path) - 1] == '/';
}

static void at(char *path, unsigned int i, const char *below)
{
	snprintf(path, PATH_MAX, "/%s%s", attacks[i].name, below);
}

static void make_path(unsigned int i, unsigned int p)
{
	char path[PATH_MAX], first[PATH_MAX];
	int fd;

	at(path, i, paths[p]);
	if (is_dir(paths[p])) {
		require(!mkdir(path, 0755), "make %s", path);
	} else if (!strcmp(paths[p], "/second/name")) {
		at(first, i, "/first/name");
		require(!link(first, path), "link %s", path);
	} else {
		fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
		require(fd >= 0 && !pattern_write(fd, p, 0, FILE_SIZE), "write %s",
			path);
		close(fd);
	}
}

static void make_tree(unsigned int i)
{
	char dir[PATH_MAX];
	unsigned int p;

	at(dir, i, "");
	mkdir(dir, 0755);
	require(!mount(attacks[i].name, dir, "tmpfs", MS_NOATIME,
		       "preserve,size=1m,nr_inodes=100"), "mount %s", dir);
	for (p = 0; p < STAGE_COUNT(paths); p++)
		make_path(i, p);
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd;
	char dir[PATH_MAX];
	unsigned int i;

	for (i = 0; i < NR_ATTACKS; i++) {
		make_tree(i);
		at(dir, i, "");
		fd = tree_open(dir);
		require(!preserve_session_add_fd(session, fd, i), "preserve %s",
			dir);
		close(fd);
	}
	fd = preserve_memfd_create("other", 0);
	require(fd >= 0 && !pattern_write(fd, 77, 0, OTHER_SIZE) &&
		!preserve_session_add_fd(session, fd, TOKEN_OTHER),
		"preserve a file besides");
}

/* --- attacking --- */

/* The attack that an image found in memory is the victim of, or -1. */
static int victim_of(const struct preserve_tree_ser *image)
{
	if (image->magic != PRESERVE_TREE_MAGIC)
		return -1;
	for (unsigned int i = 0; i < NR_ATTACKS; i++)
		if (!strcmp(image->source, attacks[i].name))
			return i;
	return -1;
}

/* A record found in memory, if it is a victim. */
static void record_attack(struct preserve_file_ser *rec)
{
	struct prmap_leaf *leaf;

	if (rec->magic != PRESERVE_FILE_MAGIC || rec->kind != PRESERVE_FILE_TREE)
		return;
	for (unsigned int i = 0; i < NR_ATTACKS; i++) {
		if (!attacks[i].record || strcmp(rec->name, attacks[i].name))
			continue;
		leaf = physical_map(rec->map.top, IMAGE_PAGE);
		require(leaf, "the map of %s", rec->name);
		attacks[i].record(rec, leaf);
		munmap(leaf, IMAGE_PAGE);
	}
}

static unsigned int found;

static void page_attack(void *page, __u64 phys)
{
	struct preserve_tree_ser *image = page;
	int i = victim_of(image);

	record_attack(page);
	if (i < 0)
		return;
	require(image->length <= IMAGE_PAGE, "the image of %s is a page: %llu",
		attacks[i].name, image->length);
	attacks[i].hurt(image);
	found++;
}

/* --- looking --- */

/* 0, or an errno of reading all of a directory. */
static int dir_read(const char *path)
{
	DIR *dir = opendir(path);
	int err;

	if (!dir)
		return errno;
	do {
		errno = 0;
	} while (readdir(dir));
	err = errno;
	closedir(dir);
	return err;
}

static int file_read(const char *path, unsigned int p)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return errno;
	/* Both names of a link have the same content. */
	if (!strcmp(paths[p], "/second/name"))
		for (p = 0; strcmp(paths[p], "/first/name");)
			p++;
	err = -pattern_check(fd, p, 0, FILE_SIZE);
	close(fd);
	return err;
}

static int expected(unsigned int i, unsigned int p)
{
	for (unsigned int r = 0; r < MAX_REFUSED && attacks[i].refused[r]; r++)
		if (!strncmp(paths[p], attacks[i].refused[r],
			     strlen(attacks[i].refused[r])))
			return attacks[i].err;
	return 0;
}

static unsigned int wrong_paths(unsigned int i)
{
	unsigned int p, wrong = 0;
	char path[PATH_MAX];
	int err;

	for (p = 0; p < STAGE_COUNT(paths); p++) {
		at(path, i, paths[p]);
		err = is_dir(paths[p]) ? dir_read(path) : file_read(path, p);
		if (err == expected(i, p))
			continue;
		ksft_print_msg("%s: %s, not %s\n", path, strerror(err),
			       strerror(expected(i, p)));
		wrong++;
	}
	return wrong;
}

static void names_check(void)
{
	struct stat st;

	require(!stat("/names-few/first/name", &st), "a link");
	check(st.st_nlink == 2, "a link has the names that it has: %lu",
	      (unsigned long)st.st_nlink);
}

/* What lies about its names can be removed like anything else. */
static void names_remove(void)
{
	check(!unlink("/names-few/first/name") &&
	      !unlink("/names-few/second/name"), "both names are removed");
	check(!rmdir("/names-few/empty"), "a directory is removed");
	check(!unlink("/twin/first/twin-a"), "what was there twice is removed");
}

static void look(int session, unsigned int i)
{
	int fd = preserve_session_get_fd(session, i);
	char dir[PATH_MAX];

	if (attacks[i].whole) {
		check(fd == -attacks[i].whole, "%s: the tree is refused: %s",
		      attacks[i].name, strerror(-fd));
		return;
	}
	at(dir, i, "");
	if (!check(fd >= 0 && !tree_attach(fd, dir), "%s is retrieved: %d",
		   attacks[i].name, fd))
		return;
	close(fd);
	check(!wrong_paths(i) && !wrong_paths(i),
	      "%s: what is refused is refused, the rest is there",
	      attacks[i].name);
}

/* A damaged tree crosses again, damage and all, and what is damaged can be removed. */
static unsigned int damaged(void)
{
	unsigned int i = 0;

	while (strcmp(attacks[i].name, "dir-sum"))
		i++;
	return i;
}

static void unmount_all(void)
{
	__s64 used = pool_counter("used");
	char dir[PATH_MAX];
	unsigned int i;

	require(!umount("/nothing"), "unmount what is not damaged");
	used -= pool_counter("used");
	check(used >= (__s64)(NR_FILES * FILE_SIZE), "its memory is free: %lld",
	      (long long)used);
	for (i = 1; i < NR_ATTACKS; i++) {
		at(dir, i, "");
		if (!attacks[i].whole && i != damaged() && strcmp(attacks[i].name, "loop"))
			require(!umount(dir), "unmount %s", dir);
	}
	check(true, "all trees are unmounted");
}

static void damaged_preserve(void)
{
	int session = stage_session_create(AGAIN), fd = tree_open("/dir-sum"), err;
	struct stat st;

	err = preserve_session_add_fd(session, fd, 1);
	check(!err, "a damaged tree is preserved again: %d", err);
	close(fd);
	check(!rmdir("/swapped/first") && !rmdir("/loop/first"),
	      "a damaged directory is removed: %s", strerror(errno));
	check(!stat("/loop/second/name", &st) && st.st_nlink == 1,
	      "a link has the names that are left: %lu", (unsigned long)st.st_nlink);
	fd = tree_open("/loop");
	err = preserve_session_add_fd(session, fd, 2);
	check(!err, "the rest of that tree is preserved: %d", err);
	close(fd);
}

static void damaged_look(void)
{
	int session = stage_session_retrieve(AGAIN);
	int fd = preserve_session_get_fd(session, 1);

	check(fd >= 0 && !tree_attach(fd, "/dir-sum"), "it is retrieved: %d", fd);
	close(fd);
	fd = preserve_session_get_fd(session, 2);
	check(fd >= 0 && !tree_attach(fd, "/loop") && !access("/loop/second/name", R_OK) &&
	      access("/loop/first", F_OK), "so is the other: %d", fd);
	close(fd);
	check(!wrong_paths(damaged()), "what was refused is refused, the rest is there");
	check(!rmdir("/dir-sum/first"), "what is damaged is removed: %s", strerror(errno));
	stage_session_finish(session);
	check(!umount("/dir-sum") && !umount("/loop"), "both are unmounted");
}

static void after(void)
{
	unsigned int i;
	int session, fd;

	physical_look(page_attack);
	require(found >= NR_ATTACKS, "the images of all trees: %u", found);
	session = stage_session_retrieve(SESSION);
	for (i = 0; i < NR_ATTACKS; i++)
		look(session, i);
	fd = preserve_session_get_fd(session, TOKEN_OTHER);
	check(fd >= 0 && !pattern_check(fd, 77, 0, OTHER_SIZE),
	      "the file besides is there");
	close(fd);
	names_check();
	names_remove();
	stage_session_finish(session);
	damaged_preserve();
	unmount_all();
}

static void afterwards(void)
{
	damaged_look();
	check(!pool_counter("incoming"), "nothing is set aside: %lld",
	      (long long)pool_counter("incoming"));
	check(pool_counter("used") <= (__s64)KIB(64), "nothing is leaked: %lld",
	      (long long)pool_counter("used"));
}

static const stage_fn stages[] = { before, after, afterwards };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
