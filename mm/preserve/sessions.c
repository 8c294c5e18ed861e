// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/liveupdate/sessions: the sessions of the Live Update Orchestrator, a line
 * each: "STATE FILES NAME".
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
	liveupdate_session_show(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sessions);

static int __init preserve_sessions_init(void)
{
	if (liveupdate_enabled())
		debugfs_create_file("sessions", 0444, debugfs_create_dir("liveupdate", NULL),
				    NULL, &sessions_fops);
	return 0;
}
late_initcall(preserve_sessions_init);
