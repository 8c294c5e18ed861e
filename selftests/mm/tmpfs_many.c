// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tree of very many small files: what the kernel keeps for each, what each takes in the
 * image, and that none is lost. The first number is how many thousands.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"many"
#define DIR_FILES	1000
#define MAX_BYTES	48	/* of an image, for a file with a short name */
#define BOUND		64	/* preserve_file objects that others may have */

static unsigned int nr_dirs;

static void path_of(char *path, size_t size, unsigned int dir, int file)
{
	if (file < 0)
		snprintf(path, size, "/t/%u", dir);
	else
		snprintf(path, size, "/t/%u/%u", dir, file);
}

/* Eight bytes that no other file has. */
static __u64 content(unsigned int dir, unsigned int file)
{
	return (dir * DIR_FILES + file + 1) * 0x9e3779b97f4a7c15ULL;
}

static void file_make(unsigned int dir, unsigned int file)
{
	__u64 value = content(dir, file);
	char path[64];
	int fd;

	path_of(path, sizeof(path), dir, file);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	require(fd >= 0 && write(fd, &value, sizeof(value)) == sizeof(value), "write %s", path);
	close(fd);
}

static bool file_good(unsigned int dir, unsigned int file)
{
	char path[64];
	__u64 value;
	bool good;
	int fd;

	path_of(path, sizeof(path), dir, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	good = read(fd, &value, sizeof(value)) == sizeof(value) && value == content(dir, file);
	close(fd);
	return good;
}

static void progress(const char *what, unsigned int dir)
{
	if (dir && !(dir % 50))
		ksft_print_msg("%s: %u,000 files\n", what, dir);
}

static void make(void)
{
	int root = tree_mount("/t", "preserve,size=0,nr_inodes=0"), session;
	__s64 objects = slab_objects("preserve_file"), data, image;
	char path[64];

	require(root >= 0 && objects >= 0, "mount");
	for (unsigned int d = 0; d < nr_dirs; d++) {
		path_of(path, sizeof(path), d, -1);
		require(!mkdir(path, 0755), "mkdir");
		for (unsigned int f = 0; f < DIR_FILES; f++)
			file_make(d, f);
		progress("made", d);
	}
	objects = slab_objects("preserve_file") - objects;
	check(objects < BOUND, "what is kept for files in the pool, beside their inodes: %lld",
	      (long long)objects);
	data = nr_dirs * DIR_FILES * 4096LL;
	session = stage_session_create(SESSION);
	require(!preserve_session_add_fd(session, root, 1), "preserve");
	image = pool_counter("preserved") - data;
	check(image > 0 && image < nr_dirs * DIR_FILES * (__s64)MAX_BYTES,
	      "the image takes %lld bytes for %u,000 files", (long long)image, nr_dirs);
	close(root);
}

static void look(void)
{
	unsigned int lost = 0;
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, 1);
	__s64 used;

	require(fd >= 0 && !tree_attach(fd, "/t"), "retrieve");
	close(fd);
	stage_session_finish(session);
	check(file_good(nr_dirs - 1, DIR_FILES - 1), "the last file is there at once");
	for (unsigned int d = 0; d < nr_dirs; d++) {
		for (unsigned int f = 0; f < DIR_FILES; f++)
			lost += !file_good(d, f);
		progress("looked at", d);
	}
	check(!lost, "of %u,000 files %u are lost", nr_dirs, lost);
	check(!pool_counter("incoming"), "nothing is set aside: %lld",
	      (long long)pool_counter("incoming"));
	check(!umount("/t"), "unmount");
	used = pool_counter("used");
	check(used <= (__s64)MIB(1), "all of it is free: %lld", (long long)used);
}

static const stage_fn stages[] = { make, look };

int main(int argc, char **argv)
{
	nr_dirs = argc > 1 ? strtoul(argv[1], NULL, 0) : 20;
	return stage_run(stages, STAGE_COUNT(stages));
}
