// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checksums: made, written, read and compared. xxHash's, as the kernel's own records have.
 */

#include "sums.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/mount.h>
#include <preserve.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xxhash.h>

#include "ctl.h"

#define PAGE		4096
#define STEP		(1UL << 20)

/* --- one file --- */

static bool is_zero(const unsigned char *page, size_t len)
{
	return !page[0] && !memcmp(page, page + 1, len - 1);
}

/* Whether zeros are pages or holes does not matter. */
static void add_pages(XXH3_state_t *state, const unsigned char *bytes, size_t len, uint64_t at)
{
	for (size_t done = 0; done < len; done += PAGE, at += PAGE) {
		size_t part = len - done < PAGE ? len - done : PAGE;

		if (is_zero(bytes + done, part))
			continue;
		XXH3_64bits_update(state, &at, sizeof(at));
		XXH3_64bits_update(state, bytes + done, part);
	}
}

/* From one page's start to another's. */
static int add_range(XXH3_state_t *state, int fd, off_t at, off_t end)
{
	static unsigned char buffer[STEP];

	while (at < end && !ctl_interrupted()) {
		size_t want = end - at < (off_t)STEP ? end - at : (off_t)STEP;
		ssize_t got = pread(fd, buffer, want, at);

		if (got <= 0)
			return got ? -errno : 0;
		add_pages(state, buffer, got, at);
		/* The file's end. */
		if ((size_t)got < want)
			break;
		at += got;
	}
	return ctl_interrupted() ? -EINTR : 0;
}

static int add_data(XXH3_state_t *state, int fd, off_t size, uint64_t *bytes)
{
	off_t data = 0, hole;
	int err = 0;

	while (!err && data < size) {
		data = lseek(fd, data, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		data &= ~((off_t)PAGE - 1);
		err = add_range(state, fd, data, hole);
		*bytes += hole - data;
		data = hole;
	}
	return err;
}

static int sum_content(int fd, struct sum *sum, uint64_t *bytes)
{
	off_t pos = lseek(fd, 0, SEEK_CUR);
	XXH3_state_t *state = XXH3_createState();
	int err;

	if (!state)
		return -ENOMEM;
	XXH3_64bits_reset(state);
	err = add_data(state, fd, sum->size, bytes);
	sum->content = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	if (pos >= 0)
		lseek(fd, pos, SEEK_SET);
	return err;
}

static int sum_attribute(int fd, const char *name, uint64_t *sum)
{
	ssize_t len = fgetxattr(fd, name, NULL, 0);
	char *value;

	if (len < 0)
		return -errno;
	value = malloc(len + 1);
	if (!value)
		return -ENOMEM;
	len = fgetxattr(fd, name, value, len);
	/* In any order. */
	if (len >= 0)
		*sum ^= XXH3_64bits_withSeed(value, len, XXH3_64bits(name, strlen(name)));
	free(value);
	return len < 0 ? -errno : 0;
}

static int sum_attributes(int fd, struct sum *sum)
{
	ssize_t len = flistxattr(fd, NULL, 0);
	char *names;
	int err = 0;

	if (len <= 0)
		return !len || errno == EOPNOTSUPP ? 0 : -errno;
	names = malloc(len);
	if (!names)
		return -ENOMEM;
	len = flistxattr(fd, names, len);
	if (len < 0)
		err = -errno;
	for (ssize_t at = 0; !err && at < len; at += strlen(names + at) + 1)
		err = sum_attribute(fd, names + at, &sum->attributes);
	free(names);
	return err;
}

/* --- a tree --- */

/**
 * struct walk - A mount that is read.
 * @sums: Where it goes.
 * @dev:  Its device.
 */
struct walk {
	struct sums *sums;
	dev_t dev;
};

static struct sum *new_sum(struct sums *sums, const char *path, const struct stat *st)
{
	struct sum *list;

	/* Doubled, so that adding many stays cheap. */
	if (!(sums->nr & (sums->nr - 1))) {
		list = reallocarray(sums->list, sums->nr ? 2 * sums->nr : 1, sizeof(*list));
		if (!list)
			return NULL;
		sums->list = list;
	}
	list = &sums->list[sums->nr];
	*list = (struct sum){
		.path = strdup(path), .mode = st->st_mode, .uid = st->st_uid, .gid = st->st_gid,
		.size = S_ISDIR(st->st_mode) ? 0 : st->st_size,
		.mtime = st->st_mtim.tv_sec, .nsec = st->st_mtim.tv_nsec,
	};
	if (!list->path)
		return NULL;
	sums->nr++;
	return list;
}

static int add_directory(const struct walk *walk, int fd, const char *path);

/* A link, a FIFO, a device: what is known without opening it. */
static int add_other(const struct walk *walk, int dir, const char *name, const char *path,
		     const struct stat *st)
{
	struct sum *sum = new_sum(walk->sums, path, st);
	char target[PATH_MAX];
	ssize_t len;

	if (!sum)
		return -ENOMEM;
	sum->content = st->st_rdev;
	if (!S_ISLNK(st->st_mode))
		return 0;
	len = readlinkat(dir, name, target, sizeof(target));
	if (len < 0)
		return -errno;
	sum->content = XXH3_64bits(target, len);
	return 0;
}

static int add_file(struct sums *sums, int fd, const char *path, const struct stat *st)
{
	struct sum *sum = new_sum(sums, path, st);
	int err;

	if (!sum)
		return -ENOMEM;
	err = S_ISREG(st->st_mode) ? sum_content(fd, sum, &sums->bytes) : 0;
	return err ? err : sum_attributes(fd, sum);
}

static int add_entry(const struct walk *walk, int dir, const char *name, const char *parent)
{
	struct stat st;
	int fd, err;
	char *path;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (st.st_dev != walk->dev)
		return 0;
	if (asprintf(&path, "%s/%s", parent, name) < 0)
		return -ENOMEM;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		err = add_other(walk, dir, name, path, &st);
		free(path);
		return err;
	}
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC |
		    (S_ISDIR(st.st_mode) ? O_DIRECTORY : 0));
	err = fd < 0 ? -errno : add_file(walk->sums, fd, path, &st);
	if (!err && S_ISDIR(st.st_mode))
		err = add_directory(walk, fd, path);
	if (fd >= 0)
		close(fd);
	free(path);
	return err;
}

static int add_directory(const struct walk *walk, int fd, const char *path)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC), err = 0;
	struct dirent *entry;
	DIR *stream;

	stream = copy < 0 ? NULL : fdopendir(copy);
	if (!stream) {
		err = -errno;
		if (copy >= 0)
			close(copy);
		return err;
	}
	while (!err && (errno = 0, entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			err = add_entry(walk, dirfd(stream), entry->d_name, path);
	if (!err && !entry)
		err = -errno;
	closedir(stream);
	return err;
}

/* The mount without those that are in it: what they hide belongs to it. */
static int add_mount(const struct walk *walk, int fd, const char *label)
{
	int alone = syscall(SYS_open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE |
			    OPEN_TREE_CLOEXEC);
	int err = add_directory(walk, alone < 0 ? fd : alone, label);

	if (alone >= 0)
		close(alone);
	return err;
}

int sums_add(struct sums *sums, const char *label, int fd)
{
	struct walk walk = { .sums = sums };
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return -errno;
	walk.dev = st.st_dev;
	err = add_file(sums, fd, label, &st);
	return !err && S_ISDIR(st.st_mode) ? add_mount(&walk, fd, label) : err;
}

static int by_path(const void *a, const void *b)
{
	const struct sum *x = a, *y = b;

	return strcmp(x->path, y->path);
}

void sums_sort(struct sums *sums)
{
	if (sums->nr)
		qsort(sums->list, sums->nr, sizeof(*sums->list), by_path);
}

void sums_free(struct sums *sums)
{
	for (size_t i = 0; i < sums->nr; i++)
		free(sums->list[i].path);
	free(sums->list);
	*sums = (struct sums){};
}

/* --- as text --- */

static void print(FILE *stream, const struct sum *sum)
{
	fprintf(stream, "%o %u %u %" PRIu64 " %" PRId64 " %u %" PRIx64 " %" PRIx64 " %s%c",
		sum->mode, sum->uid, sum->gid, sum->size, sum->mtime, sum->nsec, sum->content,
		sum->attributes, sum->path, '\0');
}

int sums_print(const struct sums *sums, FILE *stream)
{
	fputs(SUMS_HEAD, stream);
	for (size_t i = 0; i < sums->nr; i++)
		print(stream, &sums->list[i]);
	return ferror(stream) ? -EIO : 0;
}

int sums_write(const struct sums *sums)
{
	int fd = preserve_memfd_create(SUMS_FILE, 0), copy = fd < 0 ? -1 : dup(fd), err;
	FILE *stream = copy < 0 ? NULL : fdopen(copy, "w");

	if (!stream) {
		err = fd < 0 ? fd : -errno;
		if (copy >= 0)
			close(copy);
		if (fd >= 0)
			close(fd);
		return err;
	}
	err = sums_print(sums, stream);
	if (fclose(stream) && !err)
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int parse_one(struct sums *sums, const char *line)
{
	struct sum sum = {};
	struct stat st = {};
	struct sum *new;
	int at = 0;

	if (sscanf(line, "%o %u %u %" SCNu64 " %" SCNd64 " %u %" SCNx64 " %" SCNx64 " %n",
		   &sum.mode, &sum.uid, &sum.gid, &sum.size, &sum.mtime, &sum.nsec,
		   &sum.content, &sum.attributes, &at) != 8 || !at || !line[at])
		return -EBADMSG;
	new = new_sum(sums, line + at, &st);
	if (!new)
		return -ENOMEM;
	sum.path = new->path;
	*new = sum;
	return 0;
}

int sums_parse(struct sums *sums, const char *text, size_t size)
{
	const size_t head = strlen(SUMS_HEAD);
	int err = 0;

	*sums = (struct sums){};
	if (size < head || memcmp(text, SUMS_HEAD, head) || (size > head && text[size - 1]))
		return -EBADMSG;
	for (size_t at = head; !err && at < size; at += strlen(text + at) + 1)
		err = parse_one(sums, text + at);
	if (err)
		sums_free(sums);
	sums_sort(sums);
	return err;
}

int sums_read(struct sums *sums, int fd)
{
	struct stat st;
	char *text;
	int err;

	*sums = (struct sums){};
	if (fstat(fd, &st))
		return -errno;
	if (!st.st_size)
		return -EBADMSG;
	text = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (text == MAP_FAILED)
		return -errno;
	err = sums_parse(sums, text, st.st_size);
	munmap(text, st.st_size);
	return err;
}

/* --- compared --- */

const char *sum_difference(const struct sum *noted, const struct sum *now)
{
	if (noted->mode != now->mode)
		return "another type or mode";
	if (noted->size != now->size)
		return "another size";
	if (noted->content != now->content)
		return "other content";
	if (noted->uid != now->uid || noted->gid != now->gid)
		return "another owner";
	if (noted->attributes != now->attributes)
		return "other attributes";
	if (noted->mtime != now->mtime || noted->nsec != now->nsec)
		return "modified at another time";
	return NULL;
}

size_t sums_compare(const struct sums *noted, const struct sums *now,
		    void (*tell)(const char *path, const char *what, void *arg), void *arg)
{
	size_t a = 0, b = 0, nr = 0;

	while (a < noted->nr || b < now->nr) {
		int order = a == noted->nr ? 1 : b == now->nr ? -1 :
			    strcmp(noted->list[a].path, now->list[b].path);
		const char *what = order < 0 ? "is missing" : order > 0 ? "is new" :
				   sum_difference(&noted->list[a], &now->list[b]);

		if (what) {
			tell(order > 0 ? now->list[b].path : noted->list[a].path, what, arg);
			nr++;
		}
		a += order <= 0;
		b += order >= 0;
	}
	return nr;
}
