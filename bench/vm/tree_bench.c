// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kexec costs with a tmpfs tree that is preserved: runs in a VM. Prints METRIC
 * lines for bench/parts/tree.py.
 *
 *	tree_bench scale FILES	a tree of small files: a hundred to a directory, and a
 *				hundred of those to a directory above
 *	tree_bench tar		the archive on the disk, unpacked into a tree; and beside
 *				it put into an archive in a preserved memfd, and out again
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "metric.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"bench"
#define DISK		"/dev/vda"
#define TAR		"/bin/tar"
#define PER_DIR		100

enum { TOKEN_TREE = 1, TOKEN_ARCHIVE };

static bool tar;
static unsigned int nr_files;

/* --- making a tree --- */

static void make_files(const char *dir)
{
	char path[64];
	unsigned int i;
	int fd;

	for (i = 0; i < nr_files; i++) {
		unsigned int above = i / (PER_DIR * PER_DIR), in = i / PER_DIR;

		snprintf(path, sizeof(path), "%s/%u", dir, above);
		if (!(i % (PER_DIR * PER_DIR)))
			require(!mkdir(path, 0755), "directory");
		snprintf(path, sizeof(path), "%s/%u/%u", dir, above, in);
		if (!(i % PER_DIR))
			require(!mkdir(path, 0755), "directory");
		snprintf(path, sizeof(path), "%s/%u/%u/file-%u", dir, above, in, i);
		fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		require(fd >= 0 && write(fd, path, 10) == 10, "file");
		close(fd);
	}
}

/* Runs tar with its archive at @fd; nanoseconds. */
static __u64 run_tar(const char *how, const char *dir, int fd, bool reads)
{
	__u64 start = now();
	pid_t pid = fork();
	int status;

	if (!pid) {
		dup2(fd, reads ? 0 : 1);
		execl(TAR, "tar", how, "-", "-C", dir, reads ? NULL : ".", NULL);
		_exit(127);
	}
	require(waitpid(pid, &status, 0) == pid && !status, "tar %s: %x", how,
		status);
	return now() - start;
}

static __u64 names;
static __u64 inodes;

static int count(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	names += strlen(path + ftw->base);
	inodes++;
	return 0;
}

static void mount_tree(const char *dir)
{
	int fd = tree_mount(dir, "preserve,size=90%,nr_inodes=0");

	require(fd >= 0, "mount");
	close(fd);
}

/*
 * All that can be seen of the tree, its content as well, in as many bits as a metric
 * carries.
 */
static void manifest(const char *when)
{
	__u64 sum = 0xcbf29ce484222325ULL;
	struct tree_text list = {};
	size_t i;

	tree_list(&list, "/t", true);
	for (i = 0; i < list.len; i++)
		sum = (sum ^ (unsigned char)list.text[i]) * 0x100000001b3ULL;
	metric(when, sum >> 12);
	tree_text_free(&list);
}

static void save(void)
{
	struct statvfs st;
	__u64 start;
	int session, fd;

	session = stage_session_create(SESSION);
	fd = tree_open("/t");
	start = now();
	require(!preserve_session_add_fd(session, fd, TOKEN_TREE), "preserve");
	metric("save", now() - start);
	require(!statvfs("/t", &st), "size");
	nftw("/t", count, 64, FTW_PHYS);
	metric("inodes", inodes);
	metric("data", (st.f_blocks - st.f_bfree) * st.f_bsize);
	metric("image", pool_counter("preserved") -
		       (long long)(st.f_blocks - st.f_bfree) * st.f_bsize);
	metric("names", names);
	if (tar) {
		fd = preserve_memfd_create("archive", 0);
		metric("tar_save", run_tar("cf", "/t", fd, false));
		start = now();
		require(!preserve_session_add_fd(session, fd, TOKEN_ARCHIVE),
			"preserve the archive");
		metric("tar_preserve", now() - start);
	}
}

static void before(void)
{
	int disk;

	mount_tree("/t");
	/* Who reads a tree would change it. */
	require(!mount(NULL, "/t", NULL, MS_REMOUNT | MS_BIND | MS_NOATIME, NULL),
		"noatime");
	if (tar) {
		disk = open(DISK, O_RDONLY | O_CLOEXEC);
		require(disk >= 0, "open the disk");
		metric("unpack", run_tar("xf", "/t", disk, true));
		close(disk);
	} else {
		make_files("/t");
	}
	save();
	if (tar)
		manifest("manifest_before");
}

/* --- getting it back --- */

static char first[PATH_MAX];

static int find_first(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	snprintf(first, sizeof(first), "%s", path);
	return type == FTW_F;
}

static void open_first(void)
{
	char byte;
	int fd;

	if (tar)
		nftw("/t", find_first, 64, FTW_PHYS);
	else
		snprintf(first, sizeof(first), "/t/0/0/file-0");
	fd = open(first, O_RDONLY | O_CLOEXEC);
	require(fd >= 0 && read(fd, &byte, 1) >= 0, "open %s", first);
	close(fd);
}

static void after(void)
{
	__u64 start, mounted;
	int session, fd;

	session = stage_session_retrieve(SESSION);
	start = now();
	fd = preserve_session_get_fd(session, TOKEN_TREE);
	require(fd >= 0 && !tree_attach(fd, "/t"), "retrieve: %d", fd);
	mounted = now();
	open_first();
	metric("first", now() - start);
	metric("retrieve", mounted - start);

	start = now();
	nftw("/t", count, 64, FTW_PHYS);
	metric("look", now() - start);
	metric("found", inodes);
	if (tar) {
		fd = preserve_session_get_fd(session, TOKEN_ARCHIVE);
		require(fd >= 0 && !lseek(fd, 0, SEEK_SET),
			"retrieve the archive");
		mount_tree("/out");
		metric("tar_restore", run_tar("xf", "/out", fd, true));
		manifest("manifest_after");
	}
	stage_session_finish(session);
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	tar = argc > 1 && !strcmp(argv[1], "tar");
	nr_files = argc > 2 ? atoi(argv[2]) : 1000;
	return stage_run(stages, STAGE_COUNT(stages));
}
