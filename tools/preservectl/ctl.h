/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * preservectl: what its files share: options, exit status, commands.
 *
 *	say.c       messages, sizes as text
 *	report.c    a result as a table or as JSON
 *	progress.c  how far something that takes long has got
 *	kernel.c    what the running kernel says of itself
 *	device.c    /dev/liveupdate, open for one call at a time
 *	lock.c      one command at a time
 *	sessions.c  sessions, and the processes that hold them
 *	scope.c     a place where systemd lets a process live
 *	manifest.c  what a saved session has in it
 *	keeper.c    a process that holds descriptors until the kexec
 *	mounts.c    the mount table
 *	target.c    from words of the command line to descriptors that can be preserved
 *	place.c     from retrieved descriptors to where they were
 *	payload.c   what a kernel image unpacks
 *	image.c     kernel images
 *	formats.c   does one kernel take over what another one hands over?
 *	installed.c kernels that the machine can boot
 *	sums.c      checksums of mounts, files and memfds: made
 *	notes.c     the same: written, read, compared
 *	physical.c  memory by its physical address
 *	record.c    records and maps of files, as kernels hand them over
 *	tree.c      images of mounts, the same
 *	conf.c      /etc/preserve.d
 *	spawn.c     other programs: systemctl
 *	checks.c    whether the next kernel takes everything over
 *	part.c      what was saved in part
 *	save.c drop.c restore.c verify.c run.c list.c show.c dump.c status.c pool.c kexec.c
 *	agent.c     the commands
 *	main.c      the command line
 *
 * Nothing here keeps state in files: what is saved is in sessions of the kernel, and the
 * processes that hold them.
 */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

/* Exit status. */
enum {
	CTL_DONE,
	CTL_FAILED,	/* nothing was done, or it was undone */
	CTL_USAGE,	/* the command line is wrong */
	CTL_REFUSED,	/* a check says that something would be lost */
	CTL_NO_SUPPORT,	/* this kernel cannot do it, or was not told to */
	CTL_PARTLY,	/* a part failed, the rest is done; it can be tried again */
	CTL_DIFFERS,	/* done; something is not what was noted of it */
};

/**
 * struct ctl_options - Options of every command.
 * @json:  Results as JSON.
 * @quiet: No progress, no notes.
 * @files: How many descriptors a process may have that we start.
 */
struct ctl_options {
	bool json;
	bool quiet;
	unsigned long files;
};

extern struct ctl_options ctl;

struct option;

/**
 * ctl_getopt() - the next option of a command
 * @argc: of the command, its own name being the first word
 * @argv: of the command
 * @options: its long options, ended by an empty one; may be NULL
 *
 * Handles --json, --quiet and --help by itself. A word that is no option ends it.
 *
 * Return: as getopt_long(3): the option's val, -1 at the end, '?' for a wrong one, which has
 * been told the user.
 */
int ctl_getopt(int argc, char **argv, const struct option *options);

/* Tells how a command is used. Return: %CTL_USAGE. */
int ctl_usage(const char *name);

/*
 * From now on SIGINT, SIGTERM and SIGHUP do not end this process: what it does is undone.
 */
void ctl_catch_signals(void);

/* Has one of them come? */
bool ctl_interrupted(void);

/*
 * What this process does is done, and cannot be undone by its end: these signals do not end it
 * any more. Nothing happens after ctl_catch_signals().
 */
void ctl_hold_signals(void);

/*
 * This process ends by SIGKILL when its command is done: it has a session that the kernel is to
 * take back (keeper.h).
 */
void ctl_end_killed(void);

/* The commands. @argv[0] is the command's name. Return: the exit status. */
int cmd_agent(int argc, char **argv);
int cmd_drop(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_kexec(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_pool(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_verify(int argc, char **argv);

#endif /* CTL_H */
