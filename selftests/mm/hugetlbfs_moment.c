// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hugetlbfs through several kernels, with random changes in each: files come, go, get other
 * names, sizes and holes. Then, while its tree is preserved and dropped again and again, threads
 * fill its holes, its pages are moved between nodes and memory is compacted, until at any moment
 * the next kernel comes. Each page that was finished before is whole in it, and all counts of
 * pages and inodes are right each time.
 *
 * Arguments: the number of kernels, and a seed that takes the place of a random one.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "books.h"
#include "chance.h"
#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"moment"
#define MOUNT		"/huge"
#define PAGE		MIB(2)
#define NR_FILES	24
#define NR_PAGES	6
#define NR_FILLERS	3
#define NR_CHANGES	60
#define NR_NODES	2
#define NR_DIRS		3	/* and the root */
#define OPTIONS		"pagesize=2M,size=300M,min_size=60M,nr_inodes=100"
#define MODEL_SIZE	KIB(16)

enum { TOKEN_TREE = 1, TOKEN_MODEL };

/**
 * struct file - what a file has to be
 * @there: it is
 * @dir:   the directory that its name is in
 * @twin:  it has a second name, in the other one
 * @size:  in pages
 * @begun: a thread is at that page, or was when the kexec came
 * @done:  the page's seed, set behind its last word; 0: it has none
 */
struct file {
	bool there;
	unsigned int dir;
	bool twin;
	unsigned int size;
	atomic_uint begun[NR_PAGES];
	atomic_uint done[NR_PAGES];
};

/* Crosses beside the tree. */
struct model {
	__u64 seed;
	atomic_uint next;
	struct file files[NR_FILES];
};

static struct model *model;
static unsigned int nr_kernels = 4;

static_assert(sizeof(struct model) <= MODEL_SIZE, "the model has room");

static const char *path_of(unsigned int f, bool twin)
{
	static __thread char paths[2][64];
	const struct file *file = &model->files[f];
	char *path = paths[twin];

	snprintf(path, sizeof(paths[0]), MOUNT "/%s/%u%s", file->dir ^ twin ? "a" : "b/c", f,
		 twin ? "-twin" : "");
	return path;
}

static int file_open(unsigned int f, int flags)
{
	return open(path_of(f, false), flags | O_RDWR | O_CLOEXEC, 0600);
}

/* Never 0, and of a byte, as huge_fill() looks at no more. */
static unsigned int next_seed(void)
{
	return atomic_fetch_add(&model->next, 1) % 255 + 1;
}

static void page_fill(int fd, unsigned int f, unsigned int at)
{
	struct file *file = &model->files[f];
	unsigned int seed = next_seed();

	file->begun[at] = 1;
	file->done[at] = 0;
	huge_fill(fd, seed, at, 1, PAGE);
	file->done[at] = seed;
}

static void page_forget(unsigned int f, unsigned int at)
{
	model->files[f].begun[at] = 0;
	model->files[f].done[at] = 0;
}

/* --- changes, while nothing is preserved --- */

static void file_make(unsigned int f)
{
	struct file *file = &model->files[f];
	unsigned int at;
	int fd;

	for (at = 0; at < NR_PAGES; at++)
		page_forget(f, at);
	file->dir = below(2);
	file->size = below(NR_PAGES + 1);
	fd = file_open(f, O_CREAT | O_EXCL);
	require(fd >= 0 && !ftruncate(fd, file->size * PAGE), "new %s: %d", path_of(f, false),
		errno);
	close(fd);
	file->there = true;
}

static void file_unlink(unsigned int f)
{
	struct file *file = &model->files[f];

	require(!unlink(path_of(f, false)), "unlink");
	require(!file->twin || !unlink(path_of(f, true)), "unlink the twin");
	file->there = false;
	file->twin = false;
}

static void file_resize(unsigned int f, unsigned int size)
{
	unsigned int at;

	require(!truncate(path_of(f, false), size * PAGE), "size");
	for (at = size; at < NR_PAGES; at++)
		page_forget(f, at);
	model->files[f].size = size;
}

static void file_rename(unsigned int f)
{
	struct file *file = &model->files[f];
	char old[128];

	if (file->twin)
		return;
	snprintf(old, sizeof(old), "%s", path_of(f, false));
	file->dir ^= 1;
	require(!rename(old, path_of(f, false)), "rename");
}

static void file_twin(unsigned int f)
{
	struct file *file = &model->files[f];

	require(!(file->twin ? unlink(path_of(f, true)) :
		  link(path_of(f, false), path_of(f, true))), "twin");
	file->twin = !file->twin;
}

static void page_change(unsigned int f, unsigned int at, unsigned int how)
{
	int fd = file_open(f, 0);

	require(fd >= 0, "open %s", path_of(f, false));
	if (how == 0) {
		require(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at * PAGE,
				   PAGE), "hole");
		page_forget(f, at);
	} else if (how == 1) {
		require(!fallocate(fd, 0, at * PAGE, PAGE), "fallocate");
	} else {
		page_fill(fd, f, at);
	}
	close(fd);
}

static void change(void)
{
	unsigned int f = below(NR_FILES), at = below(NR_PAGES);
	struct file *file = &model->files[f];

	if (!file->there)
		return file_make(f);
	switch (below(8)) {
	case 0:
		if (!below(3))
			file_unlink(f);
		break;
	case 1:
		return file_resize(f, below(NR_PAGES + 1));
	case 2:
		return file_rename(f);
	case 3:
		return file_twin(f);
	default:
		if (at < file->size)
			page_change(f, at, below(4));
	}
}

/* --- looks --- */

static bool file_good(unsigned int f, long *pages)
{
	const struct file *file = &model->files[f];
	int fd = file_open(f, 0);
	unsigned int at;
	struct stat st;
	bool good;

	if (!file->there)
		return fd < 0 && errno == ENOENT;
	good = fd >= 0 && !fstat(fd, &st) && st.st_size == (off_t)(file->size * PAGE) &&
	       st.st_nlink == 1 + file->twin;
	for (at = 0; good && at < file->size; at++) {
		if (file->done[at])
			good = huge_check(fd, file->done[at], at, 1, PAGE);
		else if (!file->begun[at])
			good = huge_is_hole(fd, at, PAGE);
	}
	if (good)
		*pages += st.st_blocks / (blkcnt_t)(PAGE >> 9);
	close(fd);
	return good;
}

/*
 * A page that is about to come when a kernel ends has its place reserved, which counts for the
 * mount until the place is filled or cut off.
 */
static void look(const char *when)
{
	long pages = 0, inodes = 1 + NR_DIRS, used, most;
	unsigned int f, bad = 0;
	struct books books;
	struct statfs st;

	for (f = 0; f < NR_FILES; f++) {
		if (!file_good(f, &pages)) {
			ksft_print_msg("%s is wrong\n", path_of(f, false));
			bad++;
		}
		inodes += model->files[f].there;
	}
	check(!bad, "%s: %u files are wrong", when, bad);
	books = books_read(PAGE, when);
	require(!statfs(MOUNT, &st), "statfs");
	used = st.f_blocks - st.f_bfree;
	most = pages + NR_FILLERS * stage_number();
	check(books.total - books.free == pages && used >= pages && used <= most,
	      "%s: %ld pages in use, %ld of the mount, %ld in files", when,
	      books.total - books.free, used, pages);
	check((long)(st.f_files - st.f_ffree) == inodes, "%s: %ld inodes, expected %ld", when,
	      (long)(st.f_files - st.f_ffree), inodes);
}

/* --- unrest, until the kexec --- */

static void *filler(void *arg)
{
	unsigned long no = (unsigned long)arg;
	unsigned int f, at;
	int fd;

	chance_go_on(model->seed + no);
	for (;;) {
		f = no + NR_FILLERS * below(NR_FILES / NR_FILLERS);
		at = below(NR_PAGES);
		if (model->files[f].there && at < model->files[f].size &&
		    !model->files[f].begun[at]) {
			fd = file_open(f, 0);
			page_fill(fd, f, at);
			close(fd);
		}
		usleep(below(6000));
	}
	return NULL;
}

static void pages_move(unsigned int f)
{
	const struct file *file = &model->files[f];
	int nodes[NR_PAGES], status[NR_PAGES], fd;
	void *pages[NR_PAGES];
	unsigned int at;
	char *map;

	if (!file->there || !file->size)
		return;
	fd = file_open(f, 0);
	map = mmap(NULL, file->size * PAGE, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	require(map != MAP_FAILED, "map");
	for (at = 0; at < file->size; at++) {
		pages[at] = map + at * PAGE;
		nodes[at] = below(NR_NODES);
		if (file->done[at])
			*(volatile char *)pages[at];
	}
	syscall(SYS_move_pages, 0, (unsigned long)file->size, pages, nodes, status, 2);
	munmap(map, file->size * PAGE);
	close(fd);
}

static void *mover(void *arg)
{
	chance_go_on(model->seed + NR_FILLERS);
	for (;;) {
		pages_move(below(NR_FILES));
		if (!below(10))
			text_write("/proc/sys/vm/compact_memory", "1");
		usleep(2000);
	}
	return NULL;
}

static void unrest_start(void)
{
	pthread_t thread;
	unsigned long i;

	for (i = 0; i < NR_FILLERS; i++)
		require(!pthread_create(&thread, NULL, filler, (void *)i), "thread");
	require(!pthread_create(&thread, NULL, mover, NULL), "thread");
}

/* A tree that is not preserved at the first try is so at the next. */
static int preserve_once(void)
{
	int session = stage_session_create(SESSION), fd = tree_open(MOUNT);
	int err = preserve_session_add_fd(session, fd, TOKEN_TREE);

	close(fd);
	if (!err)
		return session;
	require(err == -EBUSY || err == -ENOMEM, "preserve: %d", err);
	close(session);
	return -1;
}

static void preserve_till_the_end(int model_fd)
{
	unsigned int left = 10;
	int session;

	for (;;) {
		session = preserve_once();
		usleep(below(30000));
		if (session >= 0 && !left--)
			break;
		if (session >= 0)
			close(session);
	}
	require(!preserve_session_add_fd(session, model_fd, TOKEN_MODEL), "preserve the model");
	usleep(below(40000));
}

/* --- kernels --- */

static void model_map(int fd)
{
	model = mmap(NULL, MODEL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	require(model != MAP_FAILED, "map the model");
}

static int make(void)
{
	int fd = preserve_memfd_create("model", 0);

	require(fd >= 0 && !ftruncate(fd, MODEL_SIZE), "create the model");
	model_map(fd);
	mkdir(MOUNT, 0755);
	require(!mount("tree", MOUNT, "hugetlbfs", 0, OPTIONS), "mount " OPTIONS);
	require(!mkdir(MOUNT "/a", 0755) && !mkdir(MOUNT "/b", 0755) &&
		!mkdir(MOUNT "/b/c", 0755), "directories");
	return fd;
}

/* A page that was not finished may have anything: it becomes a hole. */
static void holes_make(void)
{
	unsigned int f, at;

	for (f = 0; f < NR_FILES; f++)
		for (at = 0; at < model->files[f].size && model->files[f].there; at++)
			if (model->files[f].begun[at] && !model->files[f].done[at])
				page_change(f, at, 0);
}

static int retrieve(void)
{
	int session = stage_session_retrieve(SESSION), fd, tree;

	/* In every second kernel nothing comes before it is asked for. */
	if (stage_number() % 2)
		text_write("/sys/kernel/mm/preserve/restore_pace", "0");
	tree = preserve_session_get_fd(session, TOKEN_TREE);
	fd = preserve_session_get_fd(session, TOKEN_MODEL);
	require(tree >= 0 && fd >= 0 && !tree_attach(tree, MOUNT), "get both: %d, %d", tree, fd);
	close(tree);
	model_map(fd);
	stage_session_finish(session);
	look("come");
	holes_make();
	return fd;
}

static void end(void)
{
	struct books books;

	check(!umount(MOUNT), "unmounted");
	books = books_read(PAGE, "unmounted");
	check(books.free == books.total && !books.resv, "%ld pages of %ld are free, %ld reserved",
	      books.free, books.total, books.resv);
}

static void run(void)
{
	int fd = stage_number() ? retrieve() : make();
	unsigned int i;

	model->seed = chance_seed() + stage_number();
	ksft_print_msg("seed %llu\n", (unsigned long long)chance_seed());
	for (i = 0; i < NR_CHANGES; i++)
		change();
	look("changed");
	if (stage_number() == nr_kernels - 1)
		return end();
	stage_load_next();
	unrest_start();
	preserve_till_the_end(fd);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		nr_kernels = atoi(argv[1]);
	chance_start(argc > 2 ? argv[2] : NULL);
	return stage_run_rounds(run, nr_kernels);
}
