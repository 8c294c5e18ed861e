// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl verify, show, dump: checksums that are noted before a kexec and compared after
 * it, and what the kernel hands over, decoded.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/kho/abi/preserve.h>

#include "command.h"
#include "memory.h"
#include "physical.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SEED	11
#define SIZE	KIB(300)
#define INODES	300

static void has_said(const char *what)
{
	if (!check(strstr(command_said(), what), "it says %s", what))
		ksft_print_msg("it says: %s\n", command_said());
}

/* A number behind a key of what it has said; 0 if it is not there. */
static unsigned long long said_number(const char *after, const char *key)
{
	const char *at = strstr(command_said(), after);

	at = at ? strstr(at, key) : NULL;
	return at ? strtoull(at + strlen(key), NULL, 0) : 0;
}

static void fill(const char *path, __u64 seed)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);

	require(fd >= 0 && !pattern_write(fd, seed, 0, SIZE), "write %s", path);
	close(fd);
}

static void make_things(void)
{
	int root, memfd;

	mkdir("/srv", 0755);
	root = tree_mount("/srv/tree", "preserve,size=16m");
	require(root >= 0, "a tmpfs");
	close(root);
	tree_make("/srv/tree", INODES, SEED);
	fill("/srv/tree/file", SEED);
	root = tree_mount("/srv/tree/inner", "preserve,size=1m");
	require(root >= 0, "a tmpfs in it");
	close(root);
	fill("/srv/tree/inner/file", SEED);
	memfd = preserve_memfd_create("guest", 0);
	require(memfd >= 0 && !pattern_write(memfd, SEED, MIB(1), SIZE), "a memfd with a hole");
	/* It is the test's 100, and kept open. */
	require(dup2(memfd, 100) == 100 && lseek(100, 4321, SEEK_SET) == 4321, "dup2");
	fill("/tmp/single", SEED);
}

static void shows_what_is_saved(void)
{
	command_gives(COMMAND_DONE, "saved: it crosses the next kexec", "show all");
	has_said("/srv/tree/inner");
	has_said("checksums  20");
	command_gives(COMMAND_DONE, "\"used\"", "--json show all");
	command_gives(COMMAND_DONE, "preserve-tmpfs-v", "dump all");
	has_said("preserve-memfd-v");
	command_gives(COMMAND_DONE, "/file", "dump all 1");
	has_said("fstype");
	check(strstr(command_said(), " -> "), "with links");
	command_gives(COMMAND_DONE, "\"runs\"", "--json dump all 3");
	check(said_number("", "\"size\": ") == MIB(1) + SIZE, "the memfd's record has its size");
	check(said_number("\"runs\": [", "\"index\": ") == MIB(1) / getpagesize(),
	      "and its map begins behind the hole");
	command_gives(COMMAND_DONE, NULL, "dump --map all 1");
	require(!command("dump --raw record all 3"), "raw");
	check(((const struct preserve_file_ser *)command_said())->magic == PRESERVE_FILE_MAGIC,
	      "a record as it is");
	command_gives(COMMAND_DONE, NULL, "dump --raw image all 1");
	command_gives(COMMAND_FAILED, "has no image", "dump --raw image all 3");
	command_gives(COMMAND_FAILED, "has no file 99", "dump all 99");
	command_gives(COMMAND_FAILED, "there is no session", "dump --session all");
	command_gives(COMMAND_DONE, NULL, "dump --session preserve:all 1");
	command_gives(COMMAND_FAILED, "no record is there", "dump --at 0x100000");
	command_gives(COMMAND_USAGE, NULL, "dump --raw frob all 1");
}

static void before(void)
{
	make_things();
	command_gives(COMMAND_FAILED, "nothing is called all", "show all");
	command_gives(COMMAND_FAILED, "nothing that is called all has been restored",
		      "verify all");
	command_gives(COMMAND_DONE, "nothing has checksums", "verify --all");
	command_gives(COMMAND_DONE, "saved all: 4 items",
		      "save --verify all /srv/tree /srv/tree/inner mem=%d:100 /tmp/single",
		      getpid());
	check(lseek(100, 0, SEEK_CUR) == 4321, "its position is what it was");
	shows_what_is_saved();
	command_gives(COMMAND_FAILED, "has not been restored", "verify all");
	command_kexec("");
}

/* What has been noted is compared with what is there now. */
static void changes_show(void)
{
	static const char file[] = "/srv/tree/file";
	struct stat st;

	command_gives(COMMAND_DONE, "as noted at", "verify all");
	command_gives(COMMAND_DONE, "\"differences\": 0", "--json verify --all");
	require(!stat(file, &st), "stat");
	fill(file, SEED + 1);
	command_gives(COMMAND_DIFFERS, "/srv/tree/file has other content", "verify all");
	fill(file, SEED);
	command_gives(COMMAND_DIFFERS, "/srv/tree/file was modified at another time", "verify all");
	require(!utimensat(AT_FDCWD, file, (struct timespec[]){ st.st_atim, st.st_mtim }, 0),
		"times");
	command_gives(COMMAND_DONE, NULL, "verify all");
	fill("/srv/tree/inner/new", SEED);
	command_gives(COMMAND_DIFFERS, "/srv/tree/inner/new is new", "verify all");
	has_said("2 differences");
	require(!chmod("/tmp/single", 0600), "chmod");
	command_gives(COMMAND_DIFFERS, "/tmp/single has another mode", "verify all");
	require(!unlink("/srv/tree/inner/file"), "unlink");
	command_gives(COMMAND_DIFFERS, "/srv/tree/inner/file is missing", "verify all");
}

static void after(void)
{
	command_gives(COMMAND_DONE, "to restore", "show all");
	has_said("in its session");
	command_gives(COMMAND_DONE, "to restore", "show all");
	command_gives(COMMAND_DONE, "/file", "dump all 1");
	command_gives(COMMAND_DONE, "is as it was noted at", "restore all");
	has_said("restored all: 4 items");
	command_gives(COMMAND_DONE, "kept: the next kexec saves it", "show all");
	has_said(" mounted  ");
	changes_show();
	command_kexec("");
}

/* A bit of the data of one file turns in the machine's memory. */
static void hurt_a_file(void)
{
	unsigned long long pfn;
	__u8 *page;

	command_gives(COMMAND_DONE, NULL, "--json dump all 2");
	pfn = said_number("\"/new\"", "\"pfn\": ");
	require(pfn, "where its data is: %s", command_said());
	page = physical_map(pfn * PHYSICAL_PAGE, PHYSICAL_PAGE);
	require(page, "map it");
	page[99] ^= 4;
	munmap(page, PHYSICAL_PAGE);
}

static void at_last(void)
{
	hurt_a_file();
	command_gives(COMMAND_DIFFERS, "/srv/tree/inner/new has other content", "restore all");
	has_said("restored all: 4 items");
	has_said("1 difference ");
	command_gives(COMMAND_DIFFERS, "/srv/tree/inner/new has other content", "verify all");
	command_gives(COMMAND_DONE, "something was not as noted", "show all");
	command_kexec("");
}

/* The record of the checksums' memfd. */
static unsigned int hurt;

static void hurt_sums(void *page, __u64 phys)
{
	struct preserve_file_ser *rec = page;

	if (rec->magic != PRESERVE_FILE_MAGIC || rec->version != PRESERVE_FILE_VERSION ||
	    strcmp(rec->name, "memfd:preserve-sums"))
		return;
	rec->csum ^= 1;
	hurt++;
}

/* What cannot be compared is no reason to keep anything back, and is told. */
static void without_sums(void)
{
	physical_look(hurt_sums);
	require(hurt, "no record of checksums");
	command_gives(COMMAND_DIFFERS, "the checksums of all cannot be read", "restore all");
	has_said("restored all: 4 items");
	check(!strstr(command_said(), "is as it was noted"), "and does not say more");
	command_gives(COMMAND_FAILED, "no checksums of all were noted", "verify all");
	command_gives(COMMAND_DONE, NULL, "save --no-verify all");
	command_gives(COMMAND_DONE, "checksums  none", "show all");
	command_gives(COMMAND_DONE, NULL, "drop --free all");
}

static const stage_fn stages[] = { before, after, at_last, without_sums };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
