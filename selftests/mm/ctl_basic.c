// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl alone: mounts, a file and a memfd are saved, cross three kexecs that
 * "preservectl kexec" does, and are where they were; what is refused on the way.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "command.h"
#include "guest.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SEED		23
#define SIZE		KIB(300)
#define HOLE		MIB(4)
#define MEMFD_SIZE	MIB(3)

static const char * const trees[] = { "/srv/pool", "/srv/plain", "/srv/pool/inner" };

/* --- content --- */

static void fill(const char *path)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0640);

	require(fd >= 0 && !pattern_write(fd, SEED, 0, SIZE), "write %s", path);
	close(fd);
}

static bool is_full(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && !pattern_check(fd, SEED, 0, SIZE);

	close(fd);
	return good;
}

static void make_mount(const char *dir, const char *options)
{
	int fd = tree_mount(dir, options);

	require(fd >= 0, "mount %s", dir);
	close(fd);
	fill(path_in(dir, "file"));
}

/* A file with all that a copy can lose. */
static void make_loose(void)
{
	struct timespec times[] = { { 1, 2 }, { 1000000000, 5 } };
	int fd;

	fd = tree_mount("/srv/loose", "size=16m");
	require(fd >= 0, "mount");
	close(fd);
	fill("/srv/loose/file");
	fd = open("/srv/loose/file", O_RDWR | O_CLOEXEC);
	require(fd >= 0 && !ftruncate(fd, HOLE) && pwrite(fd, "end", 3, HOLE - 3) == 3 &&
		!fchown(fd, 12, 34) && !fchmod(fd, 04751) &&
		!fsetxattr(fd, "user.color", "blue", 4, 0) && !futimens(fd, times),
		"a file with attributes");
	close(fd);
}

static void check_loose(bool first)
{
	char value[8] = "";
	struct stat st;

	require(!stat("/srv/loose/file", &st), "stat");
	check(is_full("/srv/loose/file"), "the file's content is there");
	check(st.st_uid == 12 && st.st_gid == 34 && (st.st_mode & 07777) == 04751 &&
	      st.st_mtim.tv_sec == 1000000000 && st.st_mtim.tv_nsec == 5 &&
	      (!first || st.st_atim.tv_sec == 1), "owner, mode and times are");
	check(st.st_size == HOLE && st.st_blocks * 512 < HOLE / 2, "its hole is: %lld",
	      (long long)st.st_blocks);
	check(getxattr("/srv/loose/file", "user.color", value, sizeof(value)) == 4 &&
	      !strcmp(value, "blue"), "and its attribute");
}

static int make_memfd(void)
{
	int fd = preserve_memfd_create("guest", 0);

	require(fd >= 0 && !pattern_write(fd, SEED, 0, MEMFD_SIZE), "a memfd");
	return fd;
}

/* The memfd that a keeper keeps: the last descriptor that it has. */
static bool kept_is_good(pid_t keeper)
{
	char path[64];
	bool good = false;

	for (int fd = 10; fd < 20 && !good; fd++) {
		int ours;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", keeper, fd);
		ours = open(path, O_RDONLY | O_CLOEXEC);
		good = ours >= 0 && !pattern_check(ours, SEED, 0, MEMFD_SIZE);
		close(ours);
	}
	return good;
}

static void check_trees(void)
{
	for (unsigned int i = 0; i < STAGE_COUNT(trees); i++)
		check(is_full(path_in(trees[i], "file")) &&
		      !mkdir(path_in(trees[i], "new"), 0755) &&
		      !rmdir(path_in(trees[i], "new")),
		      "%s is there, and can be changed", trees[i]);
}

/* --- refused --- */

static void wrong_words(void)
{
	static const char * const usage[] = {
		"", "frob", "--frob", "save", "save --frob x /srv/pool", "drop", "drop a b",
		"restore", "restore --all x", "restore a/b", "save a/b /srv/pool",
		"save .x /srv/pool", "save -- -x /srv/pool",
		"save name-that-is-longer-than-any-session-name-of-the-kernel-may-be /srv/pool",
		"save x",
		"pool frob", "pool size", "pool size x", "pool size 1Q", "pool size -1",
		"pool lend perhaps", "pool grow 1 2", "status x", "list x", "kexec x",
		"kexec --entry a --kernel b", "keep", "keep a/b",
	};

	for (unsigned int i = 0; i < STAGE_COUNT(usage); i++)
		command_gives(COMMAND_USAGE, NULL, "%s", usage[i]);
	command_gives(COMMAND_DONE, "usage: preservectl", "--help");
	command_gives(COMMAND_DONE, "LABEL", "save --help");
	command_gives(COMMAND_DONE, "preservectl ", "--version");
}

static void wrong_targets(int memfd)
{
	command_gives(COMMAND_USAGE, "cannot be a label", "save x lab!el=/srv/pool");
	command_gives(COMMAND_USAGE, "two are called", "save x a=/srv/pool a=/srv/plain");
	command_gives(COMMAND_FAILED, "No such file", "save x /nowhere");
	command_gives(COMMAND_FAILED, "is not the root of a mount", "save x /srv/pool/sub");
	command_gives(COMMAND_FAILED, "its content is not in memory", "save x /proc");
	command_gives(COMMAND_FAILED, "its content is not in memory", "save x /proc/cmdline");
	command_gives(COMMAND_FAILED, "is no regular file", "save x /srv/pool/pipe");
	command_gives(COMMAND_FAILED, "there is no process", "save x 99999:1");
	command_gives(COMMAND_FAILED, "has no descriptor", "save x %d:999", getpid());
	command_gives(COMMAND_FAILED, "is no memfd", "save x %d:1", getpid());
	command_gives(COMMAND_FAILED, "nothing is saved", "save x /srv/pool a=%d:%d b=%d:%d",
		      getpid(), memfd, getpid(), memfd);
	command_gives(COMMAND_FAILED, "has come from the last kernel", "restore nothing");
	command_gives(COMMAND_FAILED, "nothing is called", "drop nothing");
	command_gives(COMMAND_FAILED, "its limit is", "pool grow 1E");
	check(!pool_counter("files"), "nothing is preserved after all that");
}

static void wrong_kernels(void)
{
	command_gives(COMMAND_REFUSED, "is no kernel",
		      "kexec --dry-run --kernel /proc/self/mounts");
	command_gives(COMMAND_REFUSED, "No such file",
		      "kexec --dry-run --kernel /nowhere");
	/* An ELF file without our note, as a kernel without our code is. */
	command_gives(COMMAND_REFUSED, "takes nothing over",
		      "kexec --kernel " COMMAND " --append kho=on");
	command_gives(COMMAND_FAILED, "no kernel is installed", "kexec");
}

static void plan_is_checked(void)
{
	char kernel[VM_KERNEL_SIZE], cmdline[VM_CMDLINE_SIZE];

	require(!vm_next(kernel, cmdline), "the next kernel");
	command_gives(COMMAND_DONE, "can be loaded", "kexec --dry-run --kernel %s --initrd "
		      VM_INITRD, kernel);
	check(preserve_kexec_loaded() == 0, "it is not loaded after that");
	command_gives(COMMAND_REFUSED, "kho=on is not on it",
		      "kexec --dry-run --kernel %s --cmdline liveupdate=on", kernel);
	command_gives(COMMAND_REFUSED, "liveupdate=on is not on it",
		      "kexec --dry-run --kernel %s --cmdline kho=1", kernel);
	command_gives(COMMAND_REFUSED, "mem=64M may keep",
		      "kexec --dry-run --kernel %s --append mem=64M", kernel);
	command_gives(COMMAND_DONE, "crosses", "kexec --dry-run --kernel %s", kernel);
}

/* --- kernels --- */

static void first(void)
{
	int memfd = make_memfd();

	require(!mkdir("/srv", 0755), "mkdir");
	wrong_words();
	command_gives(COMMAND_DONE, "Pool", "status");
	command_gives(COMMAND_DONE, "\"preserves\": true", "--json status");
	command_gives(COMMAND_DONE, "preserve_pool_size_bytes ", "status --prometheus");
	command_gives(COMMAND_DONE, "node0", "pool");
	command_gives(COMMAND_DONE, "no sessions", "list");
	command_gives(COMMAND_DONE, "the pool has", "pool grow 8M");
	command_gives(COMMAND_DONE, "the pool has 64.0 MiB", "pool size 64M");
	command_gives(COMMAND_DONE, NULL, "pool lend off");
	command_gives(COMMAND_DONE, NULL, "pool lend on");
	command_gives(COMMAND_DONE, "packed", "pool compact");

	for (unsigned int i = 0; i < STAGE_COUNT(trees); i++)
		make_mount(trees[i], i == 1 ? "size=8m" : "preserve,size=8m");
	make_loose();
	require(!mkdir("/srv/pool/sub", 0755) && !mkfifo("/srv/pool/pipe", 0644), "entries");
	wrong_targets(memfd);
	wrong_kernels();

	command_gives(COMMAND_DONE, "saved one: 5 items",
		      "save one /srv/pool /srv/plain /srv/pool/inner /srv/loose/file guest=%d:%d",
		      getpid(), memfd);
	check(mkdir("/srv/pool/new", 0755) && errno == EPERM, "a saved tree stands still");
	command_gives(COMMAND_DONE, "saved", "list");
	check(strstr(command_said(), "/srv/pool, /srv/plain"), "the list says what is saved");
	command_gives(COMMAND_FAILED, "is saved already", "save one /srv/pool");
	command_gives(COMMAND_FAILED, "has not crossed", "restore one");
	command_gives(COMMAND_FAILED, "nothing is saved", "save two /srv/pool");
	check(pool_counter("files") == 6, "six files are preserved: %lld",
	      (long long)pool_counter("files"));
	command_gives(COMMAND_DONE, "does not cross", "drop one");
	check(!pool_counter("files"), "none is after that");
	check_trees();

	command_gives(COMMAND_DONE, "\"kind\": \"memfd\"",
		      "--json save one /srv/pool /srv/plain /srv/pool/inner /srv/loose/file guest=%d:%d",
		      getpid(), memfd);
	plan_is_checked();
	command_kexec("");
}

static void second(void)
{
	char kernel[VM_KERNEL_SIZE], cmdline[VM_CMDLINE_SIZE];
	int fd;

	require(!vm_next(kernel, cmdline), "the next kernel");
	command_gives(COMMAND_DONE, "to restore", "list");
	command_gives(COMMAND_REFUSED, "does not cross again", "kexec --dry-run --kernel %s",
		      kernel);
	command_gives(COMMAND_FAILED, "is not restored", "save one /proc");
	command_gives(COMMAND_REFUSED, "drop --free", "drop one");

	/* Another file system, with something in it, is in the way of one of the mounts. */
	fd = tree_mount("/srv", "size=1m");
	require(fd >= 0 && !mkdir("/srv/plain", 0755), "mount");
	close(fd);
	fd = tree_mount("/srv/plain", "size=1m");
	require(fd >= 0, "mount");
	close(fd);
	fill("/srv/plain/other");
	command_gives(COMMAND_PARTLY, "something else is there", "restore one");
	command_gives(COMMAND_DONE, "partly restored", "list");
	check(is_full("/srv/pool/file") && is_full("/srv/plain/other"),
	      "the others are restored, and nothing is hidden");
	command_gives(COMMAND_PARTLY, "something else is there", "restore --all");
	require(!umount("/srv/plain"), "unmount");
	command_gives(COMMAND_DONE, "restored one: 5 items", "restore --all");
	command_gives(COMMAND_DONE, "is restored already", "restore one");
	command_gives(COMMAND_DONE, NULL, "restore --all");
	check_trees();
	check_loose(true);
	check(kept_is_good(command_keeper("one")), "the memfd is kept, and whole");
	command_gives(COMMAND_DONE, "saved on the way", "kexec --dry-run --kernel %s", kernel);
	command_gives(COMMAND_REFUSED, "is kept already", "save one /srv/plain");
	command_gives(COMMAND_DONE, "saved one: 5 items", "save one");
	command_gives(COMMAND_DONE, "does not cross", "drop one");
	check(kept_is_good(command_keeper("one")), "the memfd is kept all the same");
	command_gives(COMMAND_DONE, "saved one: 5 items", "save one");
	command_kexec("--quiet");
}

static void third(void)
{
	command_gives(COMMAND_DONE, "\"finished\": true", "--json restore one");
	check_trees();
	check_loose(false);
	check(kept_is_good(command_keeper("one")), "the memfd is kept, and whole");
	command_gives(COMMAND_REFUSED, "drop --free", "drop one");
	command_gives(COMMAND_DONE, "let go of", "drop --free one");
	check(!pool_counter("incoming") && !pool_counter("files"), "nothing is set aside");

	/* Freed without having been restored. */
	command_gives(COMMAND_DONE, NULL, "save gone /srv/plain");
	command_kexec("");
}

static void fourth(void)
{
	command_gives(COMMAND_DONE, "freed what has come", "drop --free gone");
	command_gives(COMMAND_DONE, "no sessions", "list");
	command_gives(COMMAND_DONE, "is in", "pool bring-in");
	check(!pool_counter("incoming"), "nothing is set aside");
}

static const stage_fn stages[] = { first, second, third, fourth };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
