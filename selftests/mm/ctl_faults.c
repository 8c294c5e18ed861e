// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl when something is wrong: what is damaged costs itself only, also if that is the
 * list of what was saved; nothing that stands in the way, and no user, makes it wait, lose
 * something or take one thing for another; without debugfs it does as much as it can.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "guest.h"
#include "memory.h"
#include "physical.h"
#include "preserve.h"
#include "program.h"
#include "record.h"
#include "stage.h"
#include "tree.h"

#define SEED		5
#define SIZE		KIB(64)
#define USER		1000
#define DEBUGFS		"/sys/kernel/debug"
#define NR_GOOD		3

static const char * const mounts[] = { "/srv/a", "/srv/b", "/srv/c", "/srv/link" };

/* --- content --- */

static void fill(const char *path)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);

	require(fd >= 0 && !pattern_write(fd, SEED, 0, SIZE), "write %s", path);
	close(fd);
}

static void make_mount(const char *dir)
{
	int fd = tree_mount(dir, "preserve,size=4m");

	require(fd >= 0, "mount %s", dir);
	close(fd);
	fill(path_in(dir, "file"));
}

static bool is_full(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool good = fd >= 0 && !pattern_check(fd, SEED, 0, SIZE);

	close(fd);
	return good;
}

static int make_memfd(const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0 && !pattern_write(fd, SEED, 0, SIZE), "memfd %s", name);
	return fd;
}

/* How many memfds a keeper has, all of them whole. */
static unsigned int kept_memfds(const char *name)
{
	pid_t keeper = command_keeper(name);
	char path[64], link[128];
	unsigned int nr = 0;
	ssize_t len;

	for (int fd = 10; fd < 30; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", keeper, fd);
		len = readlink(path, link, sizeof(link) - 1);
		if (len > 0 && !strncmp(link, "/memfd:", 7))
			nr += is_full(path);
	}
	return nr;
}

/* --- damage --- */

static unsigned int hurt;

/* Records of files that are called so; of lists, the long one. */
static void hurt_page(void *page, __u64 phys)
{
	struct preserve_file_ser *rec = page;
	char *text;

	if (rec->magic != PRESERVE_FILE_MAGIC || rec->version != PRESERVE_FILE_VERSION)
		return;
	text = rec->name;
	if (!strcmp(text, "memfd:bad") ||
	    (!strcmp(text, "memfd:preserve-manifest") && rec->i_size > 400)) {
		rec->csum ^= 1;
		hurt++;
	}
}

/* --- imitators --- */

static void __noreturn imitate(int list)
{
	static const char *const argv[] = { "@preservectl", "keep", "good", NULL };

	dup2(list, 3);
	execv("/test", (char **)argv);
	_exit(126);
}

/* A user's process, and one of root's with a user's list. Both call themselves keepers. */
static void nobody_can_imitate(void)
{
	pid_t pids[2];

	fflush(stdout);
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		require(pids[i] >= 0, "fork");
		if (!pids[i]) {
			int list;

			if (seteuid(USER))
				_exit(1);
			list = memfd_create("preserve-manifest", 0);
			if (i && setuid(USER))
				_exit(1);
			if (!i && seteuid(0))
				_exit(1);
			imitate(list);
		}
	}
	program_pause();
	require(!command("list --json"), "list");
	for (int i = 0; i < 2; i++) {
		char text[32];

		snprintf(text, sizeof(text), "\"pid\": %d", pids[i]);
		check(!strstr(command_said(), text), "an imitator is no keeper");
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

/* --- kernels --- */

static void before(void)
{
	int good[NR_GOOD], bad, other, more, pid = getpid();
	char long_label[200];

	require(!mkdir("/srv", 0755), "mkdir");
	nobody_can_imitate();
	for (int i = 0; i < NR_GOOD; i++)
		good[i] = make_memfd("good");
	bad = make_memfd("bad");
	other = make_memfd("other");
	more = make_memfd("more");
	for (unsigned int i = 0; i < STAGE_COUNT(mounts); i++)
		make_mount(mounts[i]);
	command_gives(COMMAND_DONE, NULL,
		      "save bad /srv/a one=%d:%d two=%d:%d three=%d:%d four=%d:%d", pid, good[0],
		      pid, good[1], pid, good[2], pid, bad);
	/* Its list is long, by which hurt_page() knows it. */
	memset(long_label, 'x', sizeof(long_label));
	long_label[60] = '\0';
	command_gives(COMMAND_DONE, NULL, "save nolist %s1=/srv/b %s2=%d:%d %s3=%d:%d",
		      long_label, long_label, pid, other, long_label, pid, more);
	command_gives(COMMAND_DONE, NULL, "save file /srv/c/file");
	command_gives(COMMAND_DONE, NULL, "save link /srv/link");
	command_gives(COMMAND_DONE, NULL,
		      "run mine --tmpfs 1M -- /bin/preservectl --version");
	command_gives(COMMAND_DONE, NULL, "save mine");
	stage_next();
}

static void damage_costs_itself(void)
{
	command_gives(COMMAND_PARTLY, "the others are lost", "restore bad");
	check(kept_memfds("bad") == NR_GOOD, "the others are kept, and whole");
	check(is_full("/srv/a/file"), "and so is its mount");
	command_gives(COMMAND_DONE, "is restored already", "restore bad");
	command_gives(COMMAND_DONE, "saved bad: 4 items", "save bad");
	command_gives(COMMAND_DONE, "does not cross", "drop bad");

	command_gives(COMMAND_DONE, "is damaged", "restore nolist");
	check(is_full("/run/preserve/lost/nolist/1/file"), "its mount is where it can be found");
	check(kept_memfds("nolist") == 2, "its memfds are kept");
}

/* A user has put something there. */
static void in_the_way(void)
{
	require(!mkdir("/srv/c", 0755) && !mkfifo("/srv/c/file", 0666), "a fifo");
	command_gives(COMMAND_PARTLY, "something else is there", "restore file");
	require(!unlink("/srv/c/file"), "unlink");
	command_gives(COMMAND_DONE, "restored file", "restore file");
	check(is_full("/srv/c/file"), "the file is there then");

	require(!mkdir("/elsewhere", 0755) && !symlink("/elsewhere", "/srv/link"), "a link");
	command_gives(COMMAND_PARTLY, "a symbolic link is on the way", "restore link");
	require(!unlink("/srv/link"), "unlink");
	command_gives(COMMAND_DONE, "restored link", "restore link");
	check(is_full("/srv/link/file") && access("/elsewhere/file", F_OK),
	      "the mount is there then, and nowhere else");
}

static void without_debugfs(void)
{
	char kernel[VM_KERNEL_SIZE] = COMMAND;

	require(!umount2(DEBUGFS, MNT_DETACH), "no debugfs");
	command_gives(COMMAND_DONE, "is not shown", "list");
	command_gives(COMMAND_DONE, "are not shown", "status");
	command_gives(COMMAND_FAILED, "cannot be read", "restore --all");
	command_gives(COMMAND_FAILED, "has come from the last kernel", "restore nothing");
	command_gives(COMMAND_REFUSED, "is not known", "kexec --dry-run --kernel %s", kernel);
	/* It is restored by an attempt, not taken for something new. */
	command_gives(COMMAND_DONE, "preservectl",
		      "run mine --tmpfs 1M -- /bin/preservectl --version");
	check(!strstr(command_said(), "mounted"), "what has come is used");
	check(command_keeper("mine"), "and kept");
	require(!mount("debugfs", DEBUGFS, "debugfs", 0, NULL), "debugfs");
}

/* Exit status of a command that a user without rights gives. */
static int as_user(const char *words)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid) {
		if (setgid(USER) || setuid(USER))
			_exit(99);
		_exit(command("%s", words));
	}
	require(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "a user: %#x", status);
	return WEXITSTATUS(status);
}

static void without_rights(void)
{
	check(as_user("status") == COMMAND_DONE, "a user may see the status");
	check(as_user("pool") == COMMAND_DONE, "and the pool");
	check(as_user("pool grow 2M") == COMMAND_FAILED, "and not change it");
	check(as_user("save x /srv/a") == COMMAND_FAILED, "nor save");
	check(as_user("restore bad") == COMMAND_FAILED, "nor restore");
	check(as_user("drop --free bad") == COMMAND_FAILED, "nor drop");
	check(kept_memfds("bad") == NR_GOOD, "nothing has changed");
}

static void after(void)
{
	physical_look(hurt_page);
	check(hurt == 2, "a memfd and a list are damaged: %u", hurt);
	damage_costs_itself();
	in_the_way();
	without_rights();
	without_debugfs();
	command_gives(COMMAND_DONE, NULL, "restore --all");
	check(pool_counter("refused") == 2, "two records are refused: %lld",
	      (long long)pool_counter("refused"));
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	/* An imitator of a keeper. */
	if (argc > 1 && !strcmp(argv[1], "keep"))
		for (;;)
			pause();
	return stage_run(stages, STAGE_COUNT(stages));
}
