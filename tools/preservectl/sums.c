// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checksums of files: made. Checksums are xxHash's, as the kernel's own records have. How they
 * are written, read and compared is in notes.c.
 */

#include "sums.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xxhash.h>

#include "ctl.h"

#define PAGE		4096
#define STEP		((size_t)1048576)

uint64_t sums_bytes;

/**
 * struct walk - An item that is read.
 * @see:   Is shown each file.
 * @arg:   For it.
 * @dev:   The mount's device.
 * @inodes: What is in files with several names is read once: a tree of struct known, of
 *         those of which there are more names to come.
 */
struct walk {
	int (*see)(const struct sum *sum, void *arg);
	void *arg;
	dev_t dev;
	void *inodes;
};

/* A file with several names, and how many of them have been seen. */
struct known {
	ino_t ino;
	uint32_t seen;
	uint64_t content;
	uint64_t attributes;
	uint32_t bad;
};

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

/* Fills the buffer as far as there is something. */
static ssize_t read_part(int fd, unsigned char *buffer, size_t want, off_t at)
{
	size_t have = 0;
	ssize_t got;

	do {
		got = pread(fd, buffer + have, want - have, at + have);
		if (got < 0)
			return -errno;
		have += got;
	} while (got && have < want);
	return have;
}

/* From one page's start on. */
static int add_range(XXH3_state_t *state, int fd, off_t at, off_t end)
{
	static unsigned char buffer[STEP];

	while (at < end && !ctl_interrupted()) {
		ssize_t got = read_part(fd, buffer, end - at < (off_t)STEP ? end - at :
					(off_t)STEP, at);

		if (got <= 0)
			return got;
		add_pages(state, buffer, got, at);
		__atomic_add_fetch(&sums_bytes, got, __ATOMIC_RELAXED);
		at += got;
	}
	return 0;
}

static int add_data(XXH3_state_t *state, int fd, off_t size)
{
	off_t data = 0, hole;
	int err = 0;

	while (!err && data < size) {
		data = lseek(fd, data, SEEK_DATA);
		hole = data < 0 ? data : lseek(fd, data, SEEK_HOLE);
		/* No more data; or the file has become shorter. */
		if (hole < 0)
			return errno == ENXIO ? 0 : -errno;
		err = add_range(state, fd, data & ~((off_t)PAGE - 1), hole);
		data = hole;
	}
	return err;
}

static int sum_content(int fd, struct sum *sum)
{
	XXH3_state_t *state = XXH3_createState();
	int err;

	if (!state)
		return -ENOMEM;
	XXH3_64bits_reset(state);
	err = add_data(state, fd, sum->size);
	sum->content = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	return err;
}

/* One that goes meanwhile is no error. */
static int sum_attribute(int fd, const char *name, uint64_t *sum)
{
	static char value[XATTR_SIZE_MAX];
	ssize_t len = fgetxattr(fd, name, value, sizeof(value));

	if (len < 0)
		return errno == ENODATA ? 0 : -errno;
	/* In any order. */
	*sum ^= XXH3_64bits_withSeed(value, len, XXH3_64bits(name, strlen(name)));
	return 0;
}

static int sum_attributes(int fd, struct sum *sum)
{
	static char names[XATTR_LIST_MAX];
	ssize_t len = flistxattr(fd, names, sizeof(names));
	int err = 0;

	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (ssize_t at = 0; !err && at < len; at += strlen(names + at) + 1)
		err = sum_attribute(fd, names + at, &sum->attributes);
	return err;
}

/* Is it about this process, and not about the file? */
static bool is_ours(int err)
{
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE || err == -EINTR;
}

/* What cannot be read is noted as such. Return: 0, or a negative errno that ends the walk. */
static int sum_file(int fd, struct sum *sum)
{
	int err = S_ISREG(sum->mode) ? sum_content(fd, sum) : 0;

	err = err ? err : sum_attributes(fd, sum);
	if (is_ours(err))
		return err;
	sum->bad = -err;
	return 0;
}

static struct sum make_sum(const char *name, unsigned int depth, const struct stat *st)
{
	struct sum sum = {
		.depth = depth, .mode = st->st_mode, .uid = st->st_uid, .gid = st->st_gid,
		.links = depth && !S_ISDIR(st->st_mode) ? st->st_nlink : 0,
		.size = S_ISDIR(st->st_mode) ? 0 : st->st_size,
		.mtime = st->st_mtim.tv_sec, .nsec = st->st_mtim.tv_nsec,
	};

	snprintf(sum.name, sizeof(sum.name), "%s", name);
	return sum;
}

/* --- files with several names --- */

static int by_inode(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static bool is_known(struct walk *walk, ino_t ino, struct sum *sum)
{
	struct known wanted = { .ino = ino }, **found, *known;

	found = tfind(&wanted, &walk->inodes, by_inode);
	if (!found)
		return false;
	known = *found;
	sum->content = known->content;
	sum->attributes = known->attributes;
	sum->bad = known->bad;
	if (++known->seen < sum->links)
		return true;
	tdelete(&wanted, &walk->inodes, by_inode);
	free(known);
	return true;
}

/* Without memory it is read once more. */
static void remember(struct walk *walk, ino_t ino, const struct sum *sum)
{
	struct known *known = malloc(sizeof(*known));

	if (!known)
		return;
	*known = (struct known){ ino, 1, sum->content, sum->attributes, sum->bad };
	if (!tsearch(known, &walk->inodes, by_inode))
		free(known);
}

static int sum_named_file(struct walk *walk, int fd, ino_t ino, struct sum *sum)
{
	bool several = S_ISREG(sum->mode) && sum->links > 1;
	int err;

	if (several && is_known(walk, ino, sum))
		return 0;
	err = sum_file(fd, sum);
	if (several && !err)
		remember(walk, ino, sum);
	return err;
}

/* --- a tree --- */

static int see_directory(struct walk *walk, int fd, struct sum *sum);

/* A link, a FIFO, a device: what is known without opening it. */
static int see_other(struct walk *walk, int dir, const char *name, const struct stat *st,
		     unsigned int depth)
{
	struct sum sum = make_sum(name, depth, st);
	char target[PATH_MAX];
	ssize_t len;

	sum.content = st->st_rdev;
	if (S_ISLNK(st->st_mode)) {
		len = readlinkat(dir, name, target, sizeof(target));
		sum.content = len < 0 ? 0 : XXH3_64bits(target, len);
		sum.bad = len < 0 ? errno : 0;
	}
	return walk->see(&sum, walk->arg);
}

static int see_opened(struct walk *walk, int fd, const char *name, unsigned int depth)
{
	struct stat st;
	struct sum sum;
	int err;

	if (fstat(fd, &st))
		return -errno;
	sum = make_sum(name, depth, &st);
	err = sum_named_file(walk, fd, st.st_ino, &sum);
	if (err)
		return err;
	return S_ISDIR(st.st_mode) ? see_directory(walk, fd, &sum) : walk->see(&sum, walk->arg);
}

static int see_bad(struct walk *walk, const char *name, unsigned int depth, const struct stat *st,
		   int bad)
{
	struct sum sum = make_sum(name, depth, st);

	if (is_ours(-bad))
		return -bad;
	sum.bad = bad;
	return walk->see(&sum, walk->arg);
}

/* Files may come and go meanwhile, and become others. */
static int see_name(struct walk *walk, int dir, const char *name, unsigned int depth)
{
	struct stat st = {};
	int fd, err;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : see_bad(walk, name, depth, &st, errno);
	if (st.st_dev != walk->dev)
		return see_bad(walk, name, depth, &st, EXDEV);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return see_other(walk, dir, name, &st, depth);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : see_bad(walk, name, depth, &st, errno);
	err = see_opened(walk, fd, name, depth);
	close(fd);
	return err;
}

static int is_entry(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

/* As strcmp() has it, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/**
 * struct listing - What a directory has, in order.
 * @names: From scandirat(3).
 * @nr:    How many; -1 if it could not be listed.
 */
struct listing {
	struct dirent **names;
	int nr;
};

static int see_listing(struct walk *walk, int fd, unsigned int depth, struct listing *listing)
{
	int err = 0;

	for (int i = 0; i < listing->nr; i++) {
		if (!err)
			err = ctl_interrupted() ? -EINTR :
			      see_name(walk, fd, listing->names[i]->d_name, depth + 1);
		free(listing->names[i]);
	}
	if (listing->nr >= 0)
		free(listing->names);
	return err;
}

static int see_directory(struct walk *walk, int fd, struct sum *sum)
{
	struct listing listing = { .nr = -1 };
	int err;

	if (sum->depth == SUMS_DEPTH)
		sum->bad = ENAMETOOLONG;
	else if (!sum->bad)
		listing.nr = scandirat(fd, ".", &listing.names, is_entry, by_name);
	if (listing.nr < 0 && !sum->bad)
		sum->bad = errno;
	err = is_ours(-(int)sum->bad) ? -(int)sum->bad : walk->see(sum, walk->arg);
	if (!err)
		return see_listing(walk, fd, sum->depth, &listing);
	while (listing.nr > 0)
		free(listing.names[--listing.nr]);
	if (!listing.nr)
		free(listing.names);
	return err;
}

/* --- an item --- */

/*
 * A mount without those that are in it, if that can be had: what they hide belongs to it. A file
 * with a position of its own: the descriptor may be a running program's.
 */
static int open_alone(int fd, const struct stat *st)
{
	struct mount_attr quiet = { .attr_clr = MOUNT_ATTR__ATIME, .attr_set = MOUNT_ATTR_NOATIME };
	int mount = -1, alone;
	char path[32];

	if (S_ISDIR(st->st_mode))
		mount = syscall(SYS_open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE |
				OPEN_TREE_CLOEXEC);
	/* Nor do times of access change. */
	if (mount >= 0)
		syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &quiet, sizeof(quiet));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", mount < 0 ? fd : mount);
	alone = open(path, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	if (mount >= 0)
		close(mount);
	return alone;
}

int sums_read_item(const char *label, int fd, int (*see)(const struct sum *sum, void *arg),
		   void *arg)
{
	struct walk walk = { .see = see, .arg = arg };
	struct stat st;
	int alone, err;

	if (fstat(fd, &st))
		return -errno;
	alone = open_alone(fd, &st);
	if (alone < 0)
		return -errno;
	walk.dev = st.st_dev;
	err = see_opened(&walk, alone, label, 0);
	if (!err && ctl_interrupted())
		err = -EINTR;
	close(alone);
	tdestroy(walk.inodes, free);
	return err;
}
