// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hugetlbfs goes through four kernels with all that is in it: names and their order, types,
 * owners, modes, times, links, sizes, holes, reservations, options and limits. While it is
 * preserved its shape stands still, and a hole can be filled. The counters of huge pages are
 * right all the time, with what the mount sets aside. The last kernel asks for fewer pages than
 * come: it has none to set aside.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"hugetlbfs"
#define MOUNT		"/huge"
#define PAGE		MIB(2)
#define ASKED		64
#define LIMIT		40
#define ASIDE		20
#define INODES		40
#define RESERVED	3

enum { TOKEN_TREE = 1, TOKEN_LIST };

/* By its number in here a file has its content. */
static const struct file {
	const char *name;
	unsigned int size;
	unsigned int parts[3][2];
} files[] = {
	{ "full", 3, { { 0, 3 } } },
	{ "holes", 9, { { 0, 1 }, { 3, 2 }, { 8, 1 } } },
	{ "d/hole", 6 },
	{ "d/e/deep", 1, { { 0, 1 } } },
	{ "d/reserved", 4, { { 2, 1 } } },
	{ "empty" },
};

static const char * const others[] = { ".", "d", "d/e", "pipe", "socket", "null", "d/again" };

/* Pages of all files; then with the hole that is filled; then after the change. */
static const long used_by_stage[] = { 9, 10, 10, 9 };

static const char *path(const char *name)
{
	return path_in(MOUNT, name);
}

static int file_open(const char *name, int flags)
{
	int fd = open(path(name), flags | O_RDWR | O_CLOEXEC, 0644);

	require(fd >= 0, "open %s: %s", name, strerror(errno));
	return fd;
}

/* With @used pages in files, if the tree is there. */
static struct books books_of(long asked, long used, bool tree)
{
	struct books books = { .total = asked > used ? asked : used };

	books.surplus = books.total - asked;
	books.free = books.total - used;
	if (tree && books.free)
		books.resv = used + RESERVED < ASIDE ? ASIDE - used : RESERVED;
	return books;
}

/* --- what can be seen --- */

static void __printf(2, 3) say(struct tree_text *list, const char *fmt, ...)
{
	char line[512];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (list->len + len >= list->size)
		list->text = realloc(list->text, list->size += 4096);
	require(list->text, "memory");
	memcpy(list->text + list->len, line, len + 1);
	list->len += len;
}

static void say_time(struct tree_text *list, struct timespec time)
{
	say(list, " %lld.%09ld", (long long)time.tv_sec, time.tv_nsec);
}

static void list_inode(struct tree_text *list, const char *name)
{
	struct stat st;

	if (lstat(path(name), &st))
		return;
	say(list, "%s %o %u %u:%u %x %lld %lld", name, st.st_mode, (unsigned int)st.st_nlink,
	    st.st_uid, st.st_gid, (unsigned int)st.st_rdev, (long long)st.st_size,
	    (long long)st.st_blocks);
	say_time(list, st.st_mtim);
	say_time(list, st.st_ctim);
	say_time(list, st.st_atim);
	say(list, "\n");
}

static void list_names(struct tree_text *list, const char *name)
{
	DIR *dir = opendir(path(name));
	struct dirent *entry;

	require(dir, "open %s", name);
	while ((entry = readdir(dir)))
		say(list, " %s", entry->d_name);
	say(list, "\n");
	closedir(dir);
}

static void list_mount(struct tree_text *list)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	struct statfs st;
	char line[1024];

	require(mounts && !statfs(MOUNT, &st), "look at the mount");
	while (fgets(line, sizeof(line), mounts))
		if (strstr(line, " " MOUNT " "))
			say(list, "%s", line);
	fclose(mounts);
	say(list, "%ld %lu %lu %lu\n", (long)st.f_type, (unsigned long)st.f_blocks,
	    (unsigned long)st.f_files, (unsigned long)st.f_ffree);
}

static void list_all(struct tree_text *list)
{
	unsigned int i;

	for (i = 0; i < STAGE_COUNT(others); i++)
		list_inode(list, others[i]);
	for (i = 0; i < STAGE_COUNT(files); i++)
		list_inode(list, files[i].name);
	list_names(list, ".");
	list_names(list, "d");
	list_mount(list);
}

/* Pages that the mount has free. */
static void check_free(long want)
{
	struct statfs st;

	require(!statfs(MOUNT, &st), "look at the mount");
	check((long)st.f_bfree == want, "%ld pages of the mount are free, expected %ld",
	      (long)st.f_bfree, want);
}

/* --- content --- */

static void content_make(unsigned int i)
{
	const struct file *file = &files[i];
	int fd = file_open(file->name, O_CREAT | O_EXCL);
	unsigned int p;

	require(!ftruncate(fd, file->size * PAGE), "size of %s", file->name);
	for (p = 0; p < 3 && file->parts[p][1]; p++)
		huge_fill(fd, i, file->parts[p][0], file->parts[p][1], PAGE);
	close(fd);
}

static void content_check(unsigned int i, unsigned int size)
{
	const struct file *file = &files[i];
	int fd = file_open(file->name, 0);
	unsigned int p, at = 0;
	bool good = true;

	for (p = 0; p < 3 && file->parts[p][1] && file->parts[p][0] < size; p++) {
		for (; at < file->parts[p][0]; at++)
			good &= huge_is_hole(fd, at, PAGE);
		good &= huge_check(fd, i, at, file->parts[p][1], PAGE);
		at += file->parts[p][1];
	}
	check(good, "%s has its content and its holes", file->name);
	close(fd);
}

/* --- stages --- */

static void make_inodes(void)
{
	unsigned int i;

	require(!mkdir(path("d"), 0711) && !mkdir(path("d/e"), 0700), "directories");
	for (i = 0; i < STAGE_COUNT(files); i++)
		content_make(i);
	require(!mkfifo(path("pipe"), 0600) && !mknod(path("socket"), S_IFSOCK | 0640, 0) &&
		!mknod(path("null"), S_IFCHR | 0666, makedev(1, 3)), "special files");
	require(!link(path("full"), path("d/again")), "a second name");
	require(!chown(path("full"), 1000, 1001) && !chmod(path("full"), 04640) &&
		!chown(path("d"), 5, 6) && !chmod(path("d"), 01777), "owners and modes");
}

/* A mapping reserves what it covers. */
static void make_reservation(void)
{
	int fd = file_open("d/reserved", 0);

	huge_unmap(huge_map(fd, 0, 4 * PAGE, PAGE), 4 * PAGE);
	close(fd);
}

static int preserve(void)
{
	int session = stage_session_create(SESSION), fd = tree_open(MOUNT), err;

	err = preserve_session_add_fd(session, fd, TOKEN_TREE);
	require(!err, "hand the tree over: %d", err);
	close(fd);
	return session;
}

static void keep_list(int session)
{
	struct tree_text list = {};

	list_all(&list);
	require(!preserve_session_add_fd(session, tree_text_keep(&list, "list"), TOKEN_LIST),
		"keep the list");
	tree_text_free(&list);
}

#define refused(call, what)	check((call) && errno == EPERM, "while preserved: " what)

static void check_names_stand_still(void)
{
	refused(open(path("new"), O_CREAT | O_RDWR | O_CLOEXEC, 0600) < 0, "no new file");
	refused(mkdir(path("d/new"), 0700), "no new directory");
	refused(mkfifo(path("d/e/new"), 0700), "no new special file");
	refused(link(path("full"), path("new")), "no new name");
	refused(unlink(path("pipe")), "no name goes");
	refused(rename(path("pipe"), path("d/pipe")), "no name moves");
	refused(rmdir(path("d/e")), "no directory goes");
}

static void check_files_stand_still(int session)
{
	int fd = file_open("full", 0);
	void *map;

	refused(chmod(path("full"), 0600), "no mode changes");
	refused(chmod(path("d"), 0700), "nor a directory's");
	refused(chown(path("null"), 1, 1), "no owner changes");
	refused(utimensat(AT_FDCWD, path("holes"), NULL, 0), "no time changes");
	refused(truncate(path("holes"), PAGE), "no size changes");
	refused(fallocate(fd, 0, 0, 4 * PAGE), "no pages by fallocate");
	refused(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), "no hole");
	map = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	refused(map == MAP_FAILED, "no mapping makes a file grow");
	check(preserve_session_add_fd(session, fd, 77) == -EBUSY,
	      "while preserved: no file by itself");
	close(fd);
	fd = file_open("empty", 0);
	refused(fallocate(fd, 0, 0, 2 * PAGE), "an empty file stays empty");
	close(fd);
}

static void check_lives(void)
{
	int fd = file_open("life", O_CREAT);

	check(!ftruncate(fd, PAGE), "then files can grow again");
	huge_fill(fd, 99, 0, 1, PAGE);
	close(fd);
	check(!unlink(path("life")) && !chmod(path("d"), 01777), "and go");
}

static void fill_hole(void)
{
	int fd = file_open("d/hole", 0);

	huge_fill(fd, 2, 5, 1, PAGE);
	check(huge_check(fd, 2, 5, 1, PAGE), "a hole is filled while the tree is preserved");
	close(fd);
}

static void make(void)
{
	char options[128];
	int session;

	snprintf(options, sizeof(options),
		 "pagesize=2M,size=%lluM,min_size=%lluM,nr_inodes=%u,mode=751,uid=7,gid=8",
		 (LIMIT * PAGE) >> 20, (ASIDE * PAGE) >> 20, INODES);
	mkdir(MOUNT, 0755);
	require(!mount("tree", MOUNT, "hugetlbfs", MS_NOATIME | MS_NOSUID, options), "mount %s",
		options);
	make_inodes();
	make_reservation();
	books_check(PAGE, books_of(ASKED, used_by_stage[0], true), "made");
	check_free(LIMIT - used_by_stage[0] - RESERVED);
	session = preserve();
	check_names_stand_still();
	check_files_stand_still(session);
	close(session);
	check_lives();
	books_check(PAGE, books_of(ASKED, used_by_stage[0], true), "not preserved");
	session = preserve();
	fill_hole();
	keep_list(session);
	books_check(PAGE, books_of(ASKED, used_by_stage[1], true), "preserved");
}

/* Gives the session. */
static int retrieve(long asked)
{
	const long used = used_by_stage[stage_number()];
	struct tree_text before = {}, now = {};
	int session = stage_session_retrieve(SESSION), fd;
	bool few = asked < used;

	books_check(PAGE, books_of(asked, used, false), "come");
	fd = preserve_session_get_fd(session, TOKEN_TREE);
	require(fd >= 0, "get the tree: %d", fd);
	books_check(PAGE, books_of(asked, used, true), "retrieved");
	require(!tree_attach(fd, MOUNT), "attach");
	close(fd);
	tree_text_read(&before, preserve_session_get_fd(session, TOKEN_LIST));
	list_all(&now);
	if (!few)
		check(tree_same(&before, &now), "all that can be seen is the same");
	check_free(LIMIT - used - (few ? 0 : RESERVED));
	tree_text_free(&before);
	tree_text_free(&now);
	stage_session_finish(session);
	check(!pool_counter("incoming"), "nothing is left behind");
	return session;
}

static void pass_on(void)
{
	retrieve(ASKED);
	keep_list(preserve());
	books_check(PAGE, books_of(ASKED, used_by_stage[1], true), "preserved again");
}

static void check_content(unsigned int size_of_holes)
{
	unsigned int i;
	int fd;

	for (i = 0; i < STAGE_COUNT(files); i++)
		content_check(i, i == 1 ? size_of_holes : files[i].size);
	fd = file_open("d/hole", 0);
	check(huge_check(fd, 2, 5, 1, PAGE) && huge_is_hole(fd, 4, PAGE),
	      "what was filled at last is there, and nothing else");
	close(fd);
}

static void change(void)
{
	int fd;

	retrieve(ASKED);
	check_content(9);
	check(!truncate(path("holes"), PAGE), "a file is made smaller");
	check(!unlink(path("d/again")), "a name goes");
	check(!rename(path("pipe"), path("d/e/pipe")) && !mkdir(path("d/new"), 0700),
	      "a name moves, and a directory comes");
	fd = file_open("d/new/file", O_CREAT);
	check(!ftruncate(fd, 2 * PAGE), "a file comes");
	huge_fill(fd, 77, 0, 2, PAGE);
	close(fd);
	books_check(PAGE, books_of(ASKED, used_by_stage[3], true), "changed");
	keep_list(preserve());
}

static void end(void)
{
	struct stat st;
	int fd;

	retrieve(4);
	check_content(1);
	fd = file_open("d/new/file", 0);
	check(huge_check(fd, 77, 0, 2, PAGE), "what came has its content");
	close(fd);
	check(!stat(path("d/e/pipe"), &st) && S_ISFIFO(st.st_mode), "what moved is there");
	check(!umount(MOUNT), "it is unmounted");
	books_check(PAGE, (struct books){ .total = 4, .free = 4 }, "unmounted");
}

int main(void)
{
	static const stage_fn stages[] = { make, pass_on, change, end };

	return stage_run(stages, STAGE_COUNT(stages));
}
