// SPDX-License-Identifier: GPL-2.0-only
/*
 * The session of a part gets what is missing, with the tokens that its list has for it.
 */

#include "part.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "say.h"
#include "target.h"

static int reopen(const struct manifest *kept, pid_t keeper, const struct item *item,
		  struct target *target)
{
	for (unsigned int i = 0; i < kept->nr; i++)
		if (!strcmp(kept->items[i].label, item->label))
			return target_reopen(&kept->items[i], keeper, KEEPER_ITEM_FD + i, target);
	return fail(CTL_FAILED, NULL, "%s is not kept any more", item->label);
}

static int save_item(int session, const struct manifest *kept, pid_t keeper, struct item *item)
{
	struct target target;
	int status = reopen(kept, keeper, item, &target), err;

	if (status && item->kind == ITEM_FILE) {
		warn("%s is not saved: its program may have removed it", item->path);
		item->missing = false;
		return CTL_DONE;
	}
	if (status)
		return status;
	err = preserve_session_add_fd(session, target.fd, item->token);
	/* An earlier try has saved it, and was ended before it could say so. */
	if (err == -EEXIST)
		err = 0;
	if (err)
		status = fail(CTL_FAILED, "the kernel log may say why",
			      "%s still cannot be saved: %s", target.path, errno_text(err));
	item->missing = err;
	target_close(&target);
	return status;
}

/* All that have the session but the one that is to stay: an earlier try may have left one. */
static int stop_others(const char *name, pid_t stays)
{
	struct keepers keepers;
	int err = keepers_read(&keepers), one;

	for (unsigned int i = 0; i < keepers.nr; i++) {
		const struct keeper *keeper = &keepers.list[i];

		if (!keeper->session || keeper->pid == stays || strcmp(keeper->name, name))
			continue;
		one = keeper_stop(keeper->pid);
		err = err ? err : one;
	}
	free(keepers.list);
	return err;
}

/* The list that crosses has them all; the keeper's is to say what is missing still. */
static int replace_keeper(const struct keeper *part, const struct manifest *manifest, int session,
			  bool service)
{
	struct keeper_load load = {
		.name = part->name, .session = session, .sums = -1,
		.manifest = manifest_write(manifest),
	};
	struct keeper_start start;
	int err = load.manifest < 0 ? load.manifest : keeper_start(&load, !service, &start);

	if (load.manifest >= 0)
		close(load.manifest);
	err = err ? err : keeper_commit(&start);
	return err ? err : stop_others(part->name, start.pid);
}

static int complete(const struct keeper *part, struct manifest *manifest, int session,
		    const struct manifest *kept, pid_t keeper, bool service)
{
	unsigned int done = 0;
	int status = CTL_DONE, one, err;

	for (unsigned int i = 0; i < manifest->nr; i++) {
		if (!manifest->items[i].missing)
			continue;
		one = save_item(session, kept, keeper, &manifest->items[i]);
		done += !one;
		status = worse_of(status, one);
	}
	if (done && manifest->sums)
		warn("%s: no checksums are noted of what was missing", part->name);
	err = done ? replace_keeper(part, manifest, session, service) : 0;
	if (done)
		note("saved %u more %s of %s", done, done == 1 ? "item" : "items", part->name);
	if (err)
		warn("the list of %s still says that they are missing: %s", part->name,
		     errno_text(err));
	return status && done ? CTL_PARTLY : status;
}

int part_complete(const struct keeper *part, pid_t kept, bool service)
{
	struct manifest manifest = {}, items = {};
	int session = borrow_fd(part->pid, KEEPER_SESSION_FD), status;
	int err = session < 0 ? session : keeper_manifest(part->pid, &manifest);

	if (!err)
		err = keeper_manifest(kept, &items);
	status = err ? fail(CTL_FAILED, "preservectl list", "cannot complete %s: %s", part->name,
			    errno_text(err)) :
		       complete(part, &manifest, session, &items, kept, service);
	if (session >= 0)
		close(session);
	manifest_free(&items);
	manifest_free(&manifest);
	return status;
}
