// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/liveupdate/: the sessions of the Live Update Orchestrator. "sessions" has a
 * line for each: "STATE FILES NAME". "files" has below it one for each of its files: a tab,
 * "TOKEN STATE HANDLER", where STATE is what the handler knows its state by: a physical address;
 * or "busy" while one of them is being preserved or retrieved.
 *
 *	outgoing   open in this kernel; its files cross the next kexec
 *	incoming   handed over by the last kernel, and open in no program
 *	retrieved  handed over by the last kernel, and open in a program
 *
 * FILES is how many files it has, NAME has newlines and backslashes in octal. Sessions that
 * have been handed over are listed once /dev/liveupdate has been opened.
 */
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/liveupdate.h>
#include <linux/seq_file.h>

static int sessions_show(struct seq_file *m, void *unused)
{
	liveupdate_session_show(m, false);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sessions);

static int files_show(struct seq_file *m, void *unused)
{
	liveupdate_session_show(m, true);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(files);

static int __init preserve_sessions_init(void)
{
	struct dentry *dir;

	if (!liveupdate_enabled())
		return 0;
	dir = debugfs_create_dir("liveupdate", NULL);
	debugfs_create_file("sessions", 0444, dir, NULL, &sessions_fops);
	/* Addresses are for root alone. */
	debugfs_create_file("files", 0400, dir, NULL, &files_fops);
	return 0;
}
late_initcall(preserve_sessions_init);
