// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl agent: what services need of it, at boot and at shutdown. Its units are in
 * tools/preservectl/systemd.
 *
 *	agent restore	early at boot: puts everything that has come to its place, and what
 *			/etc/preserve.d names and has not come is mounted; from then on it
 *			is kept
 *	agent save	at shutdown, when those who use it have stopped: saves what is kept,
 *			if a kexec is on its way
 *	agent check	reads /etc/preserve.d, and says what is wrong there
 */

#include <errno.h>
#include <getopt.h>
#include <preserve.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "conf.h"
#include "ctl.h"
#include "device.h"
#include "keeper.h"
#include "kernel.h"
#include "lock.h"
#include "mounts.h"
#include "place.h"
#include "saved.h"
#include "say.h"
#include "spawn.h"

/* --- restore --- */

/**
 * struct keeping - A section that is to be kept.
 * @section:  It.
 * @manifest: What there is of it.
 * @items:    The roots of its mounts, and what else was kept; -1 for files.
 * @sums:     Checksums of what there is, or -1.
 * @changed:  Something is new.
 */
struct keeping {
	const struct conf_section *section;
	struct manifest manifest;
	int *items;
	int sums;
	bool changed;
};

static int mount_new(const struct conf_section *section, const char *dir)
{
	const char *type = section->type ? section->type : "tmpfs";
	bool huge = !strcmp(type, "hugetlbfs");
	unsigned long flags;
	char *rest, *data;
	int err;

	err = place_make_directories(dir);
	if (err)
		return fail(CTL_PARTLY, "make it", "%s: cannot make %s: %s", section->where, dir,
			    errno_text(err));
	err = mount_split_options(section->options, &flags, &rest);
	if (err)
		return fail(CTL_PARTLY, "correct Options=", "%s: %s", section->where,
			    errno_text(err));
	/* A tmpfs takes its memory from the pool from the start. */
	if (asprintf(&data, "%s%s%s", huge ? "" : "preserve", huge || !*rest ? "" : ",",
		     rest) < 0)
		data = NULL;
	err = !data ? -ENOMEM : mount(type, dir, type, flags, data) ? -errno : 0;
	free(data);
	free(rest);
	if (err)
		return fail(CTL_PARTLY, "correct Options=; the kernel log may say more",
			    "%s: cannot mount a %s at %s: %s", section->where, type, dir,
			    errno_text(err));
	note("mounted a new %s at %s", type, dir);
	return CTL_DONE;
}

/* Its path without symbolic links, as it is found again by; to be freed. */
static char *real_path(const struct conf_section *section, const char *path, bool make)
{
	char *real;
	int err = make ? place_make_directories(path) : 0;

	real = err ? NULL : realpath(path, NULL);
	if (!real)
		fail(0, "correct it, then preservectl agent restore", "%s: %s: %s",
		     section->where, path, errno_text(err ? err : -errno));
	return real;
}

static bool is_listed(const struct manifest *manifest, const char *path)
{
	for (unsigned int i = 0; i < manifest->nr; i++)
		if (manifest->items[i].path && !strcmp(manifest->items[i].path, path))
			return true;
	return false;
}

/* Takes @fd. */
static int add_item(struct keeping *keeping, enum item_kind kind, const char *path, int fd)
{
	int err = kind == ITEM_MOUNT && fd < 0 ? fd :
		  manifest_add(&keeping->manifest, kind, NULL, path);

	if (!err) {
		keeping->items[keeping->manifest.nr - 1] = fd;
		keeping->changed = true;
		return CTL_DONE;
	}
	if (fd >= 0)
		close(fd);
	return fail(CTL_PARTLY, NULL, "%s: %s: %s", keeping->section->where, path,
		    errno_text(err));
}

static int add_mount(struct keeping *keeping, const char *dir)
{
	const struct conf_section *section = keeping->section;
	char *path = real_path(section, dir, true), other[SAVED_NAME_SIZE];
	int status = CTL_DONE;

	if (!path)
		return CTL_PARTLY;
	if (keeper_of_path(path, section->name, other)) {
		status = fail(CTL_PARTLY, "name it in one section only",
			      "%s: %s is kept under the name %s", section->where, path, other);
	} else if (!is_listed(&keeping->manifest, path)) {
		if (!mount_can_cross_at(path) && mount_is_below(path))
			status = fail(CTL_PARTLY, "unmount what is below it",
				      "%s: mounts below %s would be hidden", section->where,
				      path);
		else if (!mount_can_cross_at(path))
			status = section->options ? mount_new(section, path) :
				 fail(CTL_PARTLY, "mount it before, or give Options=",
				      "%s: no tmpfs or hugetlbfs is mounted at %s",
				      section->where, path);
		if (!status)
			status = add_item(keeping, ITEM_MOUNT, path, preserve_mount_open(path));
	}
	free(path);
	return status;
}

/* One that is not there yet is kept as well: its program will make it. */
static int add_file(struct keeping *keeping, const char *file)
{
	char *path = realpath(file, NULL);
	const char *real = path ? path : file;
	int status = is_listed(&keeping->manifest, real) ? CTL_DONE :
		     add_item(keeping, ITEM_FILE, real, -1);

	free(path);
	return status;
}

static int add_all(struct keeping *keeping)
{
	const struct conf_section *section = keeping->section;
	int status = CTL_DONE, one;

	for (unsigned int i = 0; i < section->mounts.nr; i++) {
		one = add_mount(keeping, section->mounts.texts[i]);
		status = worse_of(status, one);
	}
	for (unsigned int i = 0; i < section->files.nr; i++) {
		one = add_file(keeping, section->files.texts[i]);
		status = worse_of(status, one);
	}
	return status;
}

/* What is kept already. */
static int begin(struct keeping *keeping, pid_t keeper)
{
	const struct conf_section *section = keeping->section;
	unsigned int nr;
	int err = keeper ? keeper_manifest(keeper, &keeping->manifest) : 0;

	if (err)
		return fail(CTL_PARTLY, NULL, "cannot read what is kept of %s: %s",
			    section->name, errno_text(err));
	snprintf(keeping->manifest.name, sizeof(keeping->manifest.name), "%s", section->name);
	if (section->verify >= 0) {
		keeping->changed = keeping->manifest.nr &&
				   keeping->manifest.verify != section->verify;
		keeping->manifest.verify = section->verify;
	}
	nr = keeping->manifest.nr + section->mounts.nr + section->files.nr;
	keeping->items = calloc(nr + 1, sizeof(int));
	if (!keeping->items)
		return fail(CTL_PARTLY, NULL, "out of memory");
	for (unsigned int i = 0; i < nr; i++)
		keeping->items[i] = -1;
	if (keeping->manifest.sums)
		keeping->sums = borrow_fd(keeper, KEEPER_SUMS_FD);
	if (keeping->sums < 0)
		manifest_forget_sums(&keeping->manifest);
	for (unsigned int i = 0; i < keeping->manifest.nr; i++) {
		if (keeping->manifest.items[i].kind == ITEM_FILE)
			continue;
		keeping->items[i] = borrow_fd(keeper, KEEPER_ITEM_FD + i);
		if (keeping->items[i] < 0)
			return fail(CTL_PARTLY, "preservectl agent restore",
				    "cannot get what is kept of %s: %s", section->name,
				    errno_text(keeping->items[i]));
	}
	return CTL_DONE;
}

/* A new keeper for all of it; then the old one may go. */
static int keep(struct keeping *keeping, pid_t keeper, bool service)
{
	int err;

	if (!keeping->changed)
		return CTL_DONE;
	err = keeper_keep(&keeping->manifest, keeping->items, keeping->sums, !service);
	if (!err && keeper)
		err = keeper_stop(keeper);
	return err ? fail(CTL_PARTLY, "preservectl agent restore", "%s cannot be kept: %s",
			  keeping->section->name, errno_text(err)) : CTL_DONE;
}

/* What is wrong with one part does not stop the others. */
static int keep_section(const struct conf_section *section, pid_t keeper, bool service)
{
	struct keeping keeping = { .section = section, .sums = -1 };
	int status = begin(&keeping, keeper), one;

	if (!status) {
		status = add_all(&keeping);
		one = keep(&keeping, keeper, service);
		status = worse_of(status, one);
	}
	for (unsigned int i = 0; keeping.items && i < keeping.manifest.nr; i++)
		if (keeping.items[i] >= 0)
			close(keeping.items[i]);
	free(keeping.items);
	if (keeping.sums >= 0)
		close(keeping.sums);
	manifest_free(&keeping.manifest);
	return status;
}

static int keep_sections(const struct conf *conf, bool service)
{
	const struct keeper *keeper;
	struct sessions sessions;
	struct keepers keepers;
	int status = CTL_DONE, one, err = sessions_read(&sessions, false);

	if (!err) {
		err = keepers_read(&keepers);
		if (err)
			sessions_free(&sessions);
	}
	if (err)
		return fail(CTL_FAILED, NULL, "cannot look for what there is: %s",
			    errno_text(err));
	for (unsigned int i = 0; i < conf->nr; i++) {
		const struct conf_section *section = &conf->sections[i];

		/* What is saved, or is still to be restored, is not kept anew. */
		if (sessions_find_saved(&sessions, section->name))
			continue;
		keeper = keepers_find(&keepers, section->name, false);
		one = keep_section(section, keeper ? keeper->pid : 0, service);
		status = worse_of(status, one);
	}
	free(keepers.list);
	sessions_free(&sessions);
	return status;
}

/* Without the kernel's list of sessions, those that have come are asked for by name. */
static int restore_sections(const struct conf *conf, bool service)
{
	int status = CTL_DONE, one;
	bool come;

	for (unsigned int i = 0; i < conf->nr; i++) {
		one = restore_name(conf->sections[i].name, service, &come);
		status = worse_of(status, one);
	}
	return status;
}

static int agent_restore(const struct conf *conf, bool service)
{
	int status, one;

	status = sessions_are_listed() ? restore_everything(service) :
					 restore_sections(conf, service);
	one = keep_sections(conf, service);
	return worse_of(status, one);
}

/* --- save --- */

static int agent_save(bool service)
{
	struct saved saved;
	int status;

	/* If that cannot be known, it may be one. */
	if (systemd_runs() && !systemd_goes_to_kexec()) {
		note("no kexec is on its way: nothing is saved");
		return CTL_DONE;
	}
	/* It is too late to refuse: what can be saved is. */
	status = save_kept(service, false, NULL, &saved);
	free(saved.keepers);
	return status;
}

static int act(const char *verb, const struct conf *conf, bool service)
{
	const char *why, *next;
	int status;

	if (!strcmp(verb, "check"))
		return conf->errors ? CTL_FAILED : CTL_DONE;
	why = kernel_why_not(&next);
	if (why)
		return fail(CTL_NO_SUPPORT, next, "%s", why);
	status = lock_take(LOCK_STATE);
	if (!status)
		status = strcmp(verb, "save") ? agent_restore(conf, service) :
						agent_save(service);
	return worse_of(status, conf->errors ? CTL_PARTLY : CTL_DONE);
}

int cmd_agent(int argc, char **argv)
{
	static const struct option options[] = {
		{ "service", no_argument, NULL, 's' },
		{},
	};
	const char *verb;
	bool service = false;
	struct conf conf;
	int c, status, err;

	while ((c = ctl_getopt(argc, argv, options)) != -1) {
		if (c != 's')
			return CTL_USAGE;
		service = true;
	}
	verb = argc - optind == 1 ? argv[optind] : "";
	if (strcmp(verb, "restore") && strcmp(verb, "save") && strcmp(verb, "check"))
		return ctl_usage("agent");
	err = conf_read(CONF_DIR, &conf);
	if (err) {
		/* What has come, and what is kept, does not depend on it. */
		fail(0, NULL, CONF_DIR " cannot be read: %s", errno_text(err));
		conf.errors = 1;
	}
	status = act(verb, &conf, service);
	conf_free(&conf);
	return status;
}
