// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trees of files of every kind, and lists of all that can be seen of them; see
 * tree.h.
 */

#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "preserve.h"
#include "stage.h"

#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif

#define PAGE		4096
#define FNV_BASE	0xcbf29ce484222325ULL
#define FNV_PRIME	0x100000001b3ULL

int tree_open(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int tree_mount(const char *dir, const char *options)
{
	mkdir(dir, 0755);
	/* Looking at a file is not to change its access time. */
	if (mount("tree", dir, "tmpfs", MS_NOATIME, options))
		return -errno;
	return tree_open(dir);
}

char *path_in(const char *dir, const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

int tree_attach(int mnt, const char *dir)
{
	mkdir(dir, 0755);
	return syscall(SYS_move_mount, mnt, "", AT_FDCWD, dir,
		       MOVE_MOUNT_F_EMPTY_PATH) ? -errno : 0;
}

/* --- making --- */

static uint64_t next(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

/* Names of any bytes, of any length. */
static void make_name(char *name, unsigned int no, uint64_t *state)
{
	int len = snprintf(name, NAME_MAX, "%u", no), i;
	int more = next(state) % 16 ? next(state) % 12 : 200;

	name[len++] = '-';
	for (i = 0; i < more; i++) {
		char c = next(state);

		name[len++] = c && c != '/' ? c : '~';
	}
	name[len] = '\0';
}

static void must(int result, const char *what, const char *path)
{
	require(!result, "%s %s", what, path);
}

static void make_file(const char *path, uint64_t *state)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
	unsigned int parts = next(state) % 4, i, j;
	char page[PAGE];

	require(fd >= 0, "make %s", path);
	for (i = 0; i < parts; i++) {
		uint64_t at = next(state) % 64 * PAGE + next(state) % 100;
		size_t len = next(state) % PAGE;

		for (j = 0; j < len; j++)
			page[j] = next(state);
		require(pwrite(fd, page, len, at) == (ssize_t)len, "write %s",
			path);
	}
	if (!(next(state) % 8))
		must(fallocate(fd, FALLOC_FL_KEEP_SIZE, 1024 * PAGE,
			       3 * PAGE), "allocate", path);
	if (!(next(state) % 8))
		must(ftruncate(fd, next(state) % (1 << 20)), "size", path);
	close(fd);
}

static void make_link(const char *path, uint64_t *state)
{
	char target[4000];
	size_t len = 1 + next(state) % (next(state) % 8 ? 100 : sizeof(target) - 2);

	memset(target, 'a' + next(state) % 26, len);
	target[len] = '\0';
	must(symlink(target, path), "link", path);
}

static void make_attributes(const char *path, bool is_link, uint64_t *state)
{
	static const char * const names[] = {
		"user.one", "user.two", "trusted.three", "security.four",
	};
	struct timespec times[2];
	char value[300];
	unsigned int i;

	for (i = next(state) % 5; i < 4; i++) {
		/* Symbolic links and special files have no user attributes. */
		memset(value, i + next(state), sizeof(value));
		lsetxattr(path, names[i], value, next(state) % sizeof(value), 0);
	}
	if (!(next(state) % 3))
		must(lchown(path, next(state) % 70000, next(state) % 70000),
		     "own", path);
	if (!is_link && !(next(state) % 3))
		must(chmod(path, next(state) % 010000), "mode", path);
	if (next(state) % 3)
		return;
	for (i = 0; i < 2; i++) {
		times[i].tv_sec = next(state) % 2 ? next(state) :
				  -(time_t)(next(state) % 1000000);
		times[i].tv_nsec = next(state) % 1000000000;
	}
	must(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), "times",
	     path);
}

static void make_flags(const char *path, uint64_t *state)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	int flags = next(state) % 2 ? FS_NOATIME_FL | FS_NODUMP_FL : FS_APPEND_FL;

	if (fd < 0)
		return;
	must(ioctl(fd, FS_IOC_SETFLAGS, &flags), "flags", path);
	close(fd);
}

/* An ACL as setxattr() takes it: version 2, then tag, permissions and ID each. */
static void make_acl(const char *path, bool is_dir)
{
	static const uint16_t acl[] = {
		2, 0,
		0x01, 6, 0xffff, 0xffff,	/* owner */
		0x02, 7, 1234, 0,		/* user 1234 */
		0x04, 4, 0xffff, 0xffff,	/* group */
		0x10, 5, 0xffff, 0xffff,	/* mask */
		0x20, 0, 0xffff, 0xffff,	/* others */
	};

	must(setxattr(path, "system.posix_acl_access", acl, sizeof(acl), 0),
	     "ACL", path);
	if (is_dir)
		must(setxattr(path, "system.posix_acl_default", acl, sizeof(acl),
			      0), "default ACL", path);
}

static void make_one(const char *path, const char *last, uint64_t *state)
{
	unsigned int kind = next(state) % 16;
	bool is_dir = kind < 2;

	if (is_dir)
		must(mkdir(path, 0755), "directory", path);
	else if (kind < 9)
		make_file(path, state);
	else if (kind < 11)
		make_link(path, state);
	else if (kind == 11)
		must(mkfifo(path, 0600), "pipe", path);
	else if (kind == 12)
		must(mknod(path, S_IFSOCK | 0600, 0), "socket", path);
	else if (kind == 13)
		must(mknod(path, (next(state) % 2 ? S_IFCHR : S_IFBLK) | 0600,
			   makedev(next(state) % 4095, next(state) % 1000000)),
		     "device", path);
	else if (!*last || link(last, path))
		make_file(path, state);
	make_attributes(path, kind >= 9 && kind < 11, state);
	if ((is_dir || (kind > 2 && kind < 9)) && !(next(state) % 8))
		make_acl(path, is_dir);
	if (kind > 2 && kind < 9 && !(next(state) % 16))
		make_flags(path, state);
}

void tree_make(const char *dir, unsigned int nr, uint64_t seed)
{
	/* As they come, not by their names: directories among them hold the rest. */
	static char dirs[64][PATH_MAX];
	char name[NAME_MAX + 1], path[PATH_MAX], last[PATH_MAX] = "";
	unsigned int nr_dirs = 1, i;
	uint64_t state = seed;
	struct stat st;

	snprintf(dirs[0], PATH_MAX, "%s", dir);
	for (i = 0; i < nr; i++) {
		const char *parent = dirs[next(&state) % nr_dirs];

		make_name(name, i, &state);
		if (strlen(parent) + strlen(name) + 300 > PATH_MAX)
			parent = dir;
		require(snprintf(path, sizeof(path), "%s/%s", parent, name) <
			(int)sizeof(path), "a path");
		make_one(path, last, &state);
		require(!lstat(path, &st), "look at %s", path);
		if (S_ISDIR(st.st_mode))
			snprintf(dirs[nr_dirs < 64 ? nr_dirs++ :
				 next(&state) % 64], PATH_MAX, "%s", path);
		else if (S_ISREG(st.st_mode) && !(next(&state) % 2))
			snprintf(last, sizeof(last), "%s", path);
		/* What goes leaves a gap in the order. */
		if (!(next(&state) % 32) && !S_ISDIR(st.st_mode)) {
			unlink(path);
			if (!strcmp(path, last))
				*last = '\0';
		}
	}
}

/* --- looking --- */

static void __printf(2, 3) add(struct tree_text *out, const char *fmt, ...)
{
	va_list args;
	int len;

	if (out->size - out->len < PAGE) {
		out->size = 2 * out->size + 2 * PAGE;
		out->text = realloc(out->text, out->size);
		require(out->text, "memory for a list");
	}
	va_start(args, fmt);
	len = vsnprintf(out->text + out->len, out->size - out->len, fmt, args);
	va_end(args);
	require(len >= 0 && (size_t)len < out->size - out->len,
		"a list's line is short");
	out->len += len;
}

static void add_bytes(struct tree_text *out, const char *bytes, size_t len)
{
	uint64_t sum = FNV_BASE;
	size_t i;

	for (i = 0; i < len; i++)
		sum = (sum ^ (uint8_t)bytes[i]) * FNV_PRIME;
	add(out, " %zu:%016llx", len, (unsigned long long)sum);
}

static void add_time(struct tree_text *out, const struct statx_timestamp *t)
{
	add(out, " %lld.%09u", (long long)t->tv_sec, t->tv_nsec);
}

static void add_stat(struct tree_text *out, const char *path)
{
	struct statx st;

	require(!statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW,
		       STATX_BASIC_STATS | STATX_BTIME, &st), "stat %s", path);
	add(out, " ino %llu mode %o links %u owner %u:%u size %llu blocks %llu dev %u:%u attr %llx",
	    (unsigned long long)st.stx_ino, st.stx_mode, st.stx_nlink,
	    st.stx_uid, st.stx_gid, (unsigned long long)st.stx_size,
	    (unsigned long long)st.stx_blocks, st.stx_rdev_major,
	    st.stx_rdev_minor,
	    (unsigned long long)st.stx_attributes & ~STATX_ATTR_MOUNT_ROOT);
	add_time(out, &st.stx_atime);
	add_time(out, &st.stx_mtime);
	add_time(out, &st.stx_ctime);
	add_time(out, &st.stx_btime);
}

static void add_xattrs(struct tree_text *out, const char *path)
{
	static char names[65536], value[65536];
	ssize_t len = llistxattr(path, names, sizeof(names)), size;
	const char *name;

	require(len >= 0, "attributes of %s", path);
	for (name = names; name < names + len; name += strlen(name) + 1) {
		size = lgetxattr(path, name, value, sizeof(value));
		require(size >= 0, "attribute %s of %s", name, path);
		add(out, " %s", name);
		add_bytes(out, value, size);
	}
}

static void add_link(struct tree_text *out, const char *path)
{
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof(target));

	require(len >= 0, "read the link %s", path);
	add_bytes(out, target, len);
}

/* Where the data is, unless some is only allocated, and what it is. */
static void add_content(struct tree_text *out, const char *path, bool content)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	off_t data = 0, hole = 0, end;
	char *bytes;

	require(fd >= 0, "open %s", path);
	end = lseek(fd, 0, SEEK_END);
	while (hole < end) {
		data = lseek(fd, hole, SEEK_DATA);
		if (data < 0)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		add(out, " %lld-%lld", (long long)data, (long long)hole);
	}
	if (content && end) {
		bytes = malloc(end);
		require(bytes && pread(fd, bytes, end, 0) == end, "read %s",
			path);
		add_bytes(out, bytes, end);
		free(bytes);
	}
	close(fd);
}

static void list_below(struct tree_text *out, const char *dir, bool content)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *d = opendir(dir);
	struct stat st;

	require(d, "open %s", dir);
	while ((entry = readdir(d))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		require(snprintf(path, sizeof(path), "%s/%s", dir,
				 entry->d_name) < (int)sizeof(path), "a path");
		require(!lstat(path, &st), "look at %s", path);
		add(out, "%s at %lld", path, (long long)entry->d_off);
		add_stat(out, path);
		add_xattrs(out, path);
		if (S_ISLNK(st.st_mode))
			add_link(out, path);
		if (S_ISREG(st.st_mode))
			add_content(out, path, content);
		add(out, "\n");
		if (S_ISDIR(st.st_mode))
			list_below(out, path, content);
	}
	closedir(d);
}

void tree_list(struct tree_text *out, const char *dir, bool content)
{
	add(out, "root");
	add_stat(out, dir);
	add_xattrs(out, dir);
	add(out, "\n");
	list_below(out, dir, content);
}

/* The line that begins at or before @at. */
static void show_line(const char *what, const struct tree_text *text, size_t at)
{
	size_t start = at, len;

	while (start && text->text[start - 1] != '\n')
		start--;
	len = strcspn(text->text + start, "\n");
	ksft_print_msg("%s: %.*s\n", what, (int)(len < 400 ? len : 400),
		       text->text + start);
}

bool tree_same(const struct tree_text *a, const struct tree_text *b)
{
	size_t i = 0;

	while (i < a->len && i < b->len && a->text[i] == b->text[i])
		i++;
	if (i == a->len && i == b->len)
		return true;
	show_line("was", a, i);
	show_line("is", b, i);
	return false;
}

/* --- keeping --- */

int tree_text_keep(const struct tree_text *text, const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0 && write(fd, text->text, text->len) == (ssize_t)text->len,
		"keep %s", name);
	return fd;
}

void tree_text_read(struct tree_text *text, int fd)
{
	struct stat st;

	require(fd >= 0 && !fstat(fd, &st), "a kept list");
	text->text = malloc(st.st_size + 1);
	require(text->text &&
		pread(fd, text->text, st.st_size, 0) == st.st_size, "read it");
	text->text[st.st_size] = '\0';
	text->len = st.st_size;
	text->size = st.st_size + 1;
}

void tree_text_free(struct tree_text *text)
{
	free(text->text);
	*text = (struct tree_text) {};
}
