// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl agent, as the units of systemd run it: what /etc/preserve.d names is mounted or
 * restored, kept, and saved. What is wrong there is reported by line, and the rest is done.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "command.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SEED	9
#define SIZE	KIB(50)

static const char good[] =
	"[cache]\n"
	"Mount=/srv/cache\n"
	"Options=size=3m,mode=0750\n"
	"Verify=yes\n"
	"[two]\n"
	"Mount=/srv/a b\n"
	"Mount=/srv/huge\n"
	"Options=size=4m\n"
	"File=/tmp/file\n"
	"[shm]\n"
	"Mount=/dev/shm\n"
	"[inner]\n"
	"Mount=/srv/out/in\n"
	"Options=size=1m,nosuid\n"
	"[outer]\n"
	"Mount=/srv/out/\n"
	"Options=size=1m\n"
	"[link]\n"
	"Mount=/link/x\n"
	"Options=size=1m\n";

static const char more[] =
	"[cache]\n"
	"Verify=no\n"
	"Mount=/srv/more\n"
	"Mount=/srv/cache\n"
	"Options=size=3m,mode=0750\n";

static const char bad[] =
	"Mount=/lost\n"
	"[a/b]\n"
	"Mount=/lost\n"
	"[absent]\n"
	"Mount=/srv/absent\n"
	"Frob=1\n"
	"Verify=maybe\n"
	"[cache]\n"
	"Mount=/lost\n"
	"[options]\n"
	"Mount=/srv/options\n"
	"Options=frob=1\n";

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);

	require(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
	close(fd);
}

static void configure(void)
{
	mkdir("/etc", 0755);
	require(!mkdir("/real", 0755) && !symlink("/real", "/link"), "a link");
	require(!mkdir("/etc/preserve.d", 0755), "mkdir");
	write_file("/etc/preserve.d/a.conf", good);
}

static bool is_full(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool full = fd >= 0 && !pattern_check(fd, SEED, 0, SIZE);

	close(fd);
	return full;
}

static void fill(const char *path)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);

	require(fd >= 0 && !pattern_write(fd, SEED, 0, SIZE), "write %s", path);
	close(fd);
}

static void check_mounts(void)
{
	struct statvfs fs;
	struct stat st;

	check(!statvfs("/srv/cache", &fs) && fs.f_blocks * fs.f_bsize == MIB(3) &&
	      !stat("/srv/cache", &st) && (st.st_mode & 0777) == 0750,
	      "it has the size and the mode that are asked for");
	check(!statvfs("/srv/a b", &fs) && fs.f_blocks * fs.f_bsize == MIB(4),
	      "so has one with a space in its path");
}

static void has_said(const char *what)
{
	check(strstr(command_said(), what), "it says %s", what);
}

static void wrong_lines(void)
{
	write_file("/etc/preserve.d/b.conf", bad);
	command_gives(COMMAND_FAILED, "b.conf:1: ", "agent check");
	has_said("b.conf:2: ");
	has_said("b.conf:6: Frob");
	has_said("b.conf:7: Verify= is yes or no");
	has_said("b.conf:8: cache is there already");
	command_gives(COMMAND_PARTLY, "no tmpfs or hugetlbfs is mounted at /srv/absent",
		      "agent restore");
	has_said("cannot mount a tmpfs at /srv/options");
	require(!unlink("/etc/preserve.d/b.conf"), "unlink");
}

static void before(void)
{
	command_gives(COMMAND_USAGE, NULL, "agent");
	command_gives(COMMAND_USAGE, NULL, "agent frob");
	command_gives(COMMAND_DONE, NULL, "agent check");
	command_gives(COMMAND_DONE, NULL, "agent restore");
	configure();
	command_gives(COMMAND_DONE, NULL, "agent check");
	wrong_lines();
	check_mounts();
	command_gives(COMMAND_DONE, NULL, "agent restore");
	command_gives(COMMAND_DONE, "kept", "list");
	fill("/srv/cache/file");
	fill("/srv/a b/file");
	fill("/dev/shm/file");
	fill("/tmp/file");
	fill("/srv/out/file");
	fill("/srv/out/in/file");
	fill("/link/x/file");
	command_gives(COMMAND_DONE, "saved two: 3 items", "agent save");
	command_gives(COMMAND_DONE, NULL, "agent save");
	check(pool_counter("files") == 3 + 4 + 2 + 2 + 2 + 2, "all of it is saved: %lld",
	      (long long)pool_counter("files"));
	stage_next();
}

/* A session of the test's own has a mount: it cannot be saved by another. */
static int hold(const char *dir)
{
	int device = preserve_device_open(), root = open(dir, O_RDONLY | O_DIRECTORY);
	int session = preserve_session_create(device, "other");

	require(device >= 0 && root >= 0 && session >= 0, "a session of our own");
	require(!preserve_session_add_fd(session, root, 1), "preserve");
	close(device);
	close(root);
	return session;
}

/* At shutdown it is too late to refuse: what cannot be saved costs itself. */
static void one_is_in_the_way(void)
{
	int session;

	fill("/srv/huge/file");
	session = hold("/srv/huge");
	command_gives(COMMAND_FAILED, "nothing is saved", "save two");
	command_gives(COMMAND_FAILED, "nothing is saved", "save --all");
	command_gives(COMMAND_PARTLY, "cannot save /srv/huge: ", "agent save");
	has_said("what else there is goes on");
	has_said("saved 1 of 2 items of two");
	command_gives(COMMAND_DONE, "/srv/huge (not saved)", "list");
	close(session);
}

/* What was saved in part is saved again when the reason is gone. */
static void the_way_is_free(void)
{
	int session = hold("/srv/a b");

	command_gives(COMMAND_PARTLY, "saved 1 of 2 items of two", "agent save");
	command_gives(COMMAND_DONE, "not saved", "show two");
	command_gives(COMMAND_FAILED, "/srv/a b still cannot be saved", "agent save");
	command_gives(COMMAND_FAILED, "/srv/a b still cannot be saved", "save --all");
	command_gives(COMMAND_DONE, "/srv/a b (not saved)", "list");
	close(session);
	command_gives(COMMAND_DONE, "saved 1 more item of two", "save --all");
	command_gives(COMMAND_DONE, NULL, "list");
	check(!strstr(command_said(), "not saved"), "all of it is saved");
}

static void then(void)
{
	configure();
	command_gives(COMMAND_DONE, "restored two: 2 items", "agent restore");
	check(is_full("/srv/a b/file"), "it has come");
	command_gives(COMMAND_DONE, NULL, "agent restore");
}

static void after(void)
{
	struct statvfs fs;

	configure();
	command_gives(COMMAND_DONE, "restored cache", "agent restore");
	has_said("cache is as it was noted");
	check_mounts();
	check(is_full("/srv/out/file") && is_full("/srv/out/in/file") && is_full("/link/x/file"),
	      "one in another, and one by a link");
	check(!statvfs("/srv/out/in", &fs) && fs.f_flag & ST_NOSUID, "with its flags");
	check(is_full("/srv/cache/file") && is_full("/srv/a b/file") && is_full("/dev/shm/file") &&
	      is_full("/tmp/file"),
	      "everything is there");
	command_gives(COMMAND_DONE, NULL, "agent restore");
	/* What is new in a section is mounted and kept, too. */
	write_file("/etc/preserve.d/a.conf", more);
	command_gives(COMMAND_DONE, "mounted a new tmpfs at /srv/more", "agent restore");
	command_gives(COMMAND_DONE, "/srv/cache, /srv/more", "list");
	check(is_full("/srv/cache/file"), "beside what is there");
	write_file("/etc/preserve.d/a.conf", good);
	/* A file that is gone does not keep the rest from being saved. */
	require(!unlink("/tmp/file"), "unlink");
	command_gives(COMMAND_DONE, "is not saved: /tmp/file", "agent save");
	has_said("saved two: 2 items");
	command_gives(COMMAND_DONE, NULL, "drop two");
	check(!pool_counter("incoming"), "nothing is set aside");
	one_is_in_the_way();
	stage_next();
}

static void at_last(void)
{
	configure();
	command_gives(COMMAND_PARTLY, "cannot restore /srv/huge: No such file", "agent restore");
	has_said("restored 1 of 2 items of two; the others are lost");
	has_said("mounted a new tmpfs at /srv/huge");
	check(is_full("/srv/a b/file") && is_full("/srv/cache/file") && is_full("/dev/shm/file") &&
	      is_full("/srv/out/file") && is_full("/srv/out/in/file") && is_full("/link/x/file"),
	      "the rest has come");
	check(access("/srv/huge/file", F_OK), "and that one is new");
	command_gives(COMMAND_DONE, NULL, "agent restore");
	check(!pool_counter("incoming"), "nothing is set aside");
	the_way_is_free();
	stage_next();
}

static const stage_fn stages[] = { before, after, at_last, then };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
