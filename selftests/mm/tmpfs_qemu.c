// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual machine's memory survives the kexec of its host, with QEMU as it is: the memory is a
 * file of a mount that crosses, its other state is saved to another file. In the next kernel a
 * new QEMU goes on with both: the guest finds every word of its memory as it has left it, and
 * counts on where it was. Then once more.
 *
 *	tmpfs_qemu kvm|tcg tmpfs|hugetlbfs [preservectl]
 *
 * With "preservectl" as an operator does it, by that command.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "preserve.h"
#include "qemu.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"qemu"
#define MEMORY		"/memory"
#define STATE		"/state"
#define RAM		MEMORY "/ram"
#define SAVED		STATE "/saved"
#define ROUNDS		3

enum { TOKEN_MEMORY = 1, TOKEN_STATE };

static const char *accel = "kvm";
static bool huge;
static bool by_command;

/* What the guest says in each kernel. */
static const char *said_in(unsigned int stage)
{
	static char path[2][32];

	snprintf(path[stage % 2], sizeof(path[0]), STATE "/serial-%u", stage);
	return path[stage % 2];
}

static void mounts_make(void)
{
	mkdir(MEMORY, 0755);
	require(!mount("memory", MEMORY, huge ? "hugetlbfs" : "tmpfs", 0,
		       huge ? "pagesize=2M" : "preserve,size=96m") &&
		!mount("state", STATE, "tmpfs", 0, "size=8m"), "mount");
}

/* The second time they are kept, and the kexec saves them. */
static void __noreturn mounts_save(void)
{
	if (stage_number())
		check(command_keeper(SESSION), "they are kept");
	else
		command_gives(COMMAND_DONE, "saved " SESSION ": 2 items",
			      "save " SESSION " " MEMORY " " STATE);
	command_kexec("--quiet");
}

/* The descriptors stay open until the kexec. */
static void mounts_preserve(void)
{
	int session = stage_session_create(SESSION);

	require(!preserve_session_add_fd(session, tree_open(MEMORY), TOKEN_MEMORY) &&
		!preserve_session_add_fd(session, tree_open(STATE), TOKEN_STATE), "preserve");
}

static void mount_get(int session, int token, const char *dir)
{
	int fd = preserve_session_get_fd(session, token);

	require(fd >= 0 && !tree_attach(fd, dir), "attach %s: %d", dir, fd);
	close(fd);
}

static void mounts_retrieve(void)
{
	int session;

	if (by_command) {
		command_gives(COMMAND_DONE, "restored " SESSION ": 2 items", "restore " SESSION);
		return;
	}
	session = stage_session_retrieve(SESSION);
	mount_get(session, TOKEN_MEMORY, MEMORY);
	mount_get(session, TOKEN_STATE, STATE);
	stage_session_finish(session);
}

/* Lets the guest run a while, and hands all of it over. */
static void run_and_save(struct qemu *qemu)
{
	struct qemu_rounds rounds;

	qemu_wait_rounds(qemu, ROUNDS);
	qemu_save(qemu, SAVED);
	rounds = qemu_rounds(qemu->serial);
	check(rounds.nr >= ROUNDS && !rounds.wrong,
	      "the guest runs: rounds %u to %u, %u words wrong", rounds.first, rounds.last,
	      rounds.wrong);
	if (by_command)
		mounts_save();
	mounts_preserve();
}

static void begin(void)
{
	struct qemu qemu;

	program_prepare_system();
	mkdir(MEMORY, 0755);
	mkdir(STATE, 0755);
	mounts_make();
	qemu = qemu_start(accel, RAM, said_in(0), false);
	run_and_save(&qemu);
}

static struct qemu go_on(void)
{
	struct qemu_rounds before, now;
	struct qemu qemu;

	program_prepare_system();
	mounts_retrieve();
	before = qemu_rounds(said_in(stage_number() - 1));
	qemu = qemu_start(accel, RAM, said_in(stage_number()), true);
	qemu_load(&qemu, SAVED);
	qemu_wait_rounds(&qemu, ROUNDS);
	now = qemu_rounds(qemu.serial);
	/* It may have been saved in the middle of a line, which is lost then. */
	check(now.first == before.last + 1 || now.first == before.last + 2,
	      "it goes on: round %u comes after %u", now.first, before.last);
	check(!now.wrong, "its memory is as it was: %u words are wrong", now.wrong);
	return qemu;
}

static void again(void)
{
	struct qemu qemu = go_on();

	run_and_save(&qemu);
}

static void end(void)
{
	struct qemu qemu = go_on();

	qemu_end(&qemu);
	if (by_command)
		command_gives(COMMAND_DONE, NULL, "drop --free " SESSION);
	check(!umount(MEMORY) && !umount(STATE), "unmounted");
}

int main(int argc, char **argv)
{
	static const stage_fn stages[] = { begin, again, end };

	if (argc > 1)
		accel = argv[1];
	huge = argc > 2 && !strcmp(argv[2], "hugetlbfs");
	by_command = argc > 3;
	return stage_run(stages, STAGE_COUNT(stages));
}
