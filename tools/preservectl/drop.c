// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl drop: what is saved, kept or has come is let go.
 */

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "ctl.h"
#include "device.h"
#include "keeper.h"
#include "lock.h"
#include "say.h"
#include "sessions.h"

/* What has come is freed: the kernel does that when the session is finished. */
static int free_incoming(const struct session *session, const char *name)
{
	pid_t keeper = keeper_find(name, true);
	int fd = session->state == SESSION_INCOMING ? device_retrieve(session->name) :
						      session_borrow(session);
	int err = fd < 0 ? fd : preserve_session_finish(fd);

	if (fd >= 0)
		session_let_go(fd);
	if (err)
		return fail(CTL_FAILED, NULL, "cannot end %s: %s", name, errno_text(err));
	if (keeper > 0)
		keeper_stop(keeper);
	note("freed what has come of %s", name);
	return CTL_DONE;
}

static int drop_kept(pid_t keeper, const char *name, bool free_it)
{
	int err;

	if (!free_it)
		return fail(CTL_REFUSED, "preservectl drop --free it, and what no program and no mount has is gone",
			    "%s is kept for the next kexec", name);
	err = keeper < 0 ? keeper : keeper_stop(keeper);
	if (err)
		return fail(CTL_FAILED, "try again", "what holds %s does not end: %s", name,
			    errno_text(err));
	note("let go of %s", name);
	return CTL_DONE;
}

/* There may be two of a session: one that was to take the other's place. */
static int stop_keepers(const char *name)
{
	int err = 0;
	pid_t keeper;

	while (!err && (keeper = keeper_find(name, true)))
		err = keeper < 0 ? keeper : keeper_stop(keeper);
	if (err)
		return fail(CTL_FAILED, "try again", "what holds %s does not end: %s", name,
			    errno_text(err));
	note("%s does not cross the next kexec any more; it is as it was", name);
	return CTL_DONE;
}

static int drop_session(const struct session *session, const char *name, bool free_it)
{
	pid_t keeper = keeper_find(name, true);
	int status;

	if (session->state == SESSION_INCOMING || session->state == SESSION_RETRIEVED)
		return free_it ? free_incoming(session, name) :
		       fail(CTL_REFUSED, "preservectl restore it; or preservectl drop --free it, and it is lost",
			    "%s has come from the last kernel, and is not restored", name);
	if (!keeper)
		return fail(CTL_FAILED, "end that process", "%s is held by process %d (%s), which is no keeper",
			    name, session->holder, session->comm);
	status = stop_keepers(name);
	keeper = free_it && !status ? keeper_find(name, false) : 0;
	return keeper ? drop_kept(keeper, name, true) : status;
}

static int drop(const char *name, bool free_it)
{
	const struct session *session;
	struct sessions sessions;
	int status, err;
	pid_t keeper;

	err = sessions_read(&sessions, true);
	if (err)
		return fail(CTL_FAILED, err == -EACCES ? "become root" : NULL,
			    "cannot look for sessions: %s", errno_text(err));
	session = sessions_find_saved(&sessions, name);
	keeper = session ? 0 : keeper_find(name, false);
	if (session)
		status = drop_session(session, name, free_it);
	else if (keeper)
		status = drop_kept(keeper, name, free_it);
	else
		status = fail(CTL_FAILED, "preservectl list", "nothing is called %s", name);
	sessions_free(&sessions);
	return status;
}

int cmd_drop(int argc, char **argv)
{
	static const struct option options[] = {
		{ "free", no_argument, NULL, 'f' },
		{},
	};
	bool free_it = false;
	int c;

	while ((c = ctl_getopt(argc, argv, options)) != -1) {
		if (c != 'f')
			return CTL_USAGE;
		free_it = true;
	}
	if (argc - optind != 1)
		return ctl_usage("drop");
	if (manifest_check_name(argv[optind]))
		return fail(CTL_USAGE, "preservectl list", "nothing can be called that");
	return lock_take(LOCK_STATE) ?: drop(argv[optind], free_it);
}
