// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl save: what crosses the next kexec.
 *
 * Everything is preserved in one session that this process holds until all has worked; then
 * a keeper gets it. Whatever ends this process before that closes the session, and the kernel
 * takes everything back.
 *
 * When it is too late to refuse, at shutdown, what cannot be preserved stays on the list, and
 * the rest is saved: the next kernel's restore tells what has not come.
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "device.h"
#include "keeper.h"
#include "kernel.h"
#include "lock.h"
#include "mounts.h"
#include "part.h"
#include "progress.h"
#include "report.h"
#include "saved.h"
#include "say.h"
#include "target.h"
#include "verify.h"

/* Are checksums noted? */
enum verify {
	VERIFY_AS_BEFORE,	/* if they were the last time */
	VERIFY_YES,
	VERIFY_NO,
};

/**
 * struct saving - A save that is under way.
 * @name:     What the user has called it.
 * @targets:  What is to be saved.
 * @nr:       How many.
 * @manifest: The list of it.
 * @verify:   What the user says of checksums.
 * @list_fd:  The list's memfd, -1 before there is one.
 * @sums_fd:  The checksums' memfd, or negative.
 * @session:  The session, -1 before there is one.
 * @bytes:    What the next kernel will keep because of it.
 * @seconds:  How long preserving took.
 * @service:  The caller is a service of ours, in which the keeper may stay.
 * @parts:    What can be saved is, whatever else cannot.
 * @done:     How many are saved.
 * @failed:   How many cannot be.
 * @keeper:   What holds it in the end.
 * @results:  A row for each save that is done; NULL if nobody wants to know.
 */
struct saving {
	const char *name;
	struct target *targets;
	unsigned int nr;
	struct manifest manifest;
	enum verify verify;
	int list_fd;
	int sums_fd;
	int session;
	uint64_t bytes;
	double seconds;
	bool service;
	bool parts;
	unsigned int done;
	unsigned int failed;
	pid_t keeper;
	struct json_object *results;
};

/* Why preserving failed, and what to do. */
static const struct {
	int err;
	const char *why;
	const char *next;
} reasons[] = {
	{ -EBUSY, "it is saved already, the pool has no room for it, or a page is pinned",
	  "preservectl list and preservectl pool; the kernel log says which" },
	{ -EPERM, "it takes CAP_SYS_ADMIN", "become root" },
	{ -ENOSPC, "the pool has no room",
	  "preservectl pool grow SIZE, or preservectl pool limit SIZE" },
	{ -ENOENT, "this kernel cannot preserve such a file",
	  "boot a kernel with CONFIG_PRESERVE_MEMFD and CONFIG_PRESERVE_HUGETLB" },
	{ -ENOMEM, "there is not enough memory, or a huge page cannot move",
	  "free some memory, or a huge page, and try again; the kernel log says more" },
	{ -EOPNOTSUPP, "it has something that cannot cross", "the kernel log says what" },
	{ -EHWPOISON, "a page of it is defective, and cannot move into the pool",
	  "punch the page out, or have the file made in the pool; the kernel log has more" },
	{ -E2BIG, "its attributes take too much room", "remove some of them" },
	{ -EFBIG, "a directory has too many entries", "the kernel log names it" },
	{ -EINVAL, "it is not the root of its file system, or not open for reading and writing",
	  "of a mount, save the whole; of a memfd, a descriptor that can be written" },
};

static int cannot_preserve(const struct saving *saving, unsigned int i, int err)
{
	const char *rest = saving->parts ? "what else there is goes on" : "nothing is saved";
	const struct target *target = &saving->targets[i];

	for (unsigned int r = 0; r < ARRAY_SIZE(reasons); r++)
		if (reasons[r].err == err)
			return fail(CTL_FAILED, reasons[r].next, "cannot save %s: %s: %s; %s",
				    target->path, reasons[r].why, errno_text(err), rest);
	return fail(CTL_FAILED, "look into the kernel log", "cannot save %s: %s; %s",
		    target->path, errno_text(err), rest);
}

/* What is kept under this name would not be saved then. */
static int check_kept(const char *name)
{
	pid_t keeper = keeper_find(name, false);

	if (!keeper)
		return CTL_DONE;
	if (keeper < 0)
		return fail(CTL_FAILED, NULL, "cannot look for what is kept: %s",
			    errno_text(keeper));
	return fail(CTL_REFUSED, "preservectl save it without further words, or take another name",
		    "%s is kept already, with what preservectl list shows", name);
}

/* Is the name free? */
static int check_name(const char *name)
{
	const struct session *there;
	struct sessions sessions;
	enum session_state state;
	int err;

	err = sessions_read(&sessions, false);
	if (err)
		return fail(CTL_FAILED, err == -EACCES ? "become root" : "look into the kernel log",
			    "cannot look for sessions: %s", errno_text(err));
	there = sessions_find_saved(&sessions, name);
	state = there ? there->state : SESSION_OUTGOING;
	sessions_free(&sessions);
	if (!there)
		return CTL_DONE;
	if (state == SESSION_OUTGOING || state == SESSION_HELD)
		return fail(CTL_FAILED, "preservectl drop it, or take another name",
			    "%s is saved already", name);
	return fail(CTL_FAILED, "preservectl restore it, or take another name",
		    "%s has come from the last kernel, and is not restored", name);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* What moves into the pool shows there. */
static uint64_t moved(const struct progress *progress)
{
	uint64_t used = kernel_pool_number("used");

	return used > progress->start ? used - progress->start : 0;
}

static int preserve_one(struct saving *saving, unsigned int i)
{
	const struct target *target = &saving->targets[i];
	struct progress progress = {
		.what = target->path, .done = moved, .total = mount_bytes(target->fd),
		.start = kernel_pool_number("used"),
	};
	int err;

	/* It could not be opened. */
	if (target->fd < 0)
		return CTL_FAILED;
	progress_begin(&progress);
	err = preserve_session_add_fd(saving->session, target->fd,
				      saving->manifest.items[i].token);
	progress_end();
	return err ? cannot_preserve(saving, i, err) : CTL_DONE;
}

/* Does the rest go on after this? Return: the exit status if not. */
static int count(struct saving *saving, unsigned int i, int status)
{
	saving->targets[i].saved = !status;
	saving->done += !status;
	saving->failed += !!status;
	return saving->parts ? CTL_DONE : status;
}

static int make_list(struct saving *saving)
{
	for (unsigned int i = 0; i < saving->nr; i++) {
		const struct target *target = &saving->targets[i];
		int err = manifest_add(&saving->manifest, target->kind, target->label,
				       target->path);

		if (err == -EEXIST)
			return fail(CTL_USAGE, "give each its own: LABEL=WHAT",
				    "two are called %s", target->label);
		if (err == -EINVAL)
			return fail(CTL_USAGE, "take letters, digits, '.', '_' and '-', at most 63",
				    "%s cannot be a label", target->label);
		if (err)
			return fail(CTL_FAILED, NULL, "%s: %s", target->path, errno_text(err));
	}
	if (saving->manifest.verify)
		manifest_note(&saving->manifest);
	saving->list_fd = manifest_write(&saving->manifest);
	if (saving->list_fd < 0)
		return fail(CTL_FAILED, NULL, "cannot write the list of what is saved: %s",
			    errno_text(saving->list_fd));
	return CTL_DONE;
}

static int open_session(struct saving *saving)
{
	char name[PRESERVE_SESSION_NAME_SIZE], comm[16];
	pid_t holder;
	int err;

	snprintf(name, sizeof(name), SESSION_PREFIX "%s", saving->name);
	saving->session = device_create(name);
	if (saving->session == -EBUSY) {
		holder = device_holder(comm);
		return fail(CTL_FAILED, "end that process: while it has the device, systemd cannot preserve either",
			    "/dev/liveupdate is open in process %d (%s)", holder,
			    holder ? comm : "unknown");
	}
	if (saving->session == -EACCES || saving->session == -EPERM)
		return fail(CTL_FAILED, "become root", "/dev/liveupdate: %s",
			    errno_text(saving->session));
	if (saving->session == -EEXIST)
		return fail(CTL_FAILED, "preservectl drop NAME, or take another name",
			    "%s is saved already", saving->name);
	if (saving->session < 0)
		return fail(CTL_FAILED, "look into the kernel log", "/dev/liveupdate: %s",
			    errno_text(saving->session));
	err = preserve_session_add_fd(saving->session, saving->list_fd, MANIFEST_TOKEN);
	return err ? fail(CTL_FAILED, "preservectl pool", "cannot save the list: %s",
			  errno_text(err)) : CTL_DONE;
}

/* --- checksums --- */

static int note_targets(struct saving *saving, FILE *stream)
{
	int err = sums_print_head(stream);

	for (unsigned int i = 0; !err && i < saving->nr; i++)
		if (saving->targets[i].saved)
			err = verify_note(stream, &saving->manifest.items[i],
					  saving->targets[i].fd);
	return err ? err : sums_print_end(stream);
}

/* Return: the memfd, or a negative errno. */
static int write_sums(struct saving *saving)
{
	int fd = preserve_memfd_create(SUMS_FILE, 0), copy = fd < 0 ? fd : dup(fd), err;
	FILE *stream = copy < 0 ? NULL : fdopen(copy, "w");

	if (fd < 0)
		return fd;
	err = stream ? note_targets(saving, stream) : -errno;
	if (stream ? fclose(stream) : copy >= 0 && close(copy))
		err = err ? err : -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* Names and sizes do not change any more; nor does content, if the programs have stopped. */
static int note_sums(struct saving *saving)
{
	int err;

	if (!saving->manifest.sums)
		return CTL_DONE;
	saving->sums_fd = write_sums(saving);
	err = saving->sums_fd < 0 ? saving->sums_fd :
	      preserve_session_add_fd(saving->session, saving->sums_fd, saving->manifest.sums);
	if (err)
		return fail(CTL_FAILED, saving->parts ? NULL : "save it with --no-verify",
			    "the checksums of %s cannot be noted: %s", saving->name,
			    errno_text(err));
	return CTL_DONE;
}

static int preserve_all(struct saving *saving)
{
	uint64_t before = kernel_pool_number("preserved"), start, after;
	int status = make_list(saving) ?: open_session(saving);

	start = now_ns();
	for (unsigned int i = 0; !status && i < saving->nr; i++)
		status = count(saving, i, preserve_one(saving, i));
	if (!status && !saving->done)
		status = CTL_FAILED;
	saving->seconds = (now_ns() - start) / 1e9;
	after = kernel_pool_number("preserved");
	saving->bytes = after > before ? after - before : 0;
	return status;
}

/* The list that crosses cannot change any more; the keeper's says what is not saved. */
static int write_keepers_list(struct saving *saving)
{
	for (unsigned int i = 0; i < saving->nr; i++)
		saving->manifest.items[i].missing = !saving->targets[i].saved;
	return manifest_write(&saving->manifest);
}

static int hand_to_keeper(struct saving *saving)
{
	struct keeper_load load = {
		.name = saving->name, .session = saving->session, .sums = -1,
		.manifest = saving->failed ? write_keepers_list(saving) : saving->list_fd,
	};
	struct keeper_start start;
	int err;

	/* Rather a list that says too much than nothing saved. */
	if (load.manifest < 0)
		load.manifest = saving->list_fd;
	err = keeper_start(&load, !saving->service, &start);
	if (load.manifest != saving->list_fd)
		close(load.manifest);
	if (err)
		return fail(CTL_FAILED, "try again; journalctl says more if systemd refuses",
			    "no process can be started that holds %s until the kexec: %s; nothing is saved",
			    saving->name, errno_text(err));
	ctl_hold_signals();
	if (keeper_commit(&start))
		return fail(CTL_FAILED, "save it again",
			    "process %d, which was to hold %s, has been killed; nothing is saved",
			    start.pid, saving->name);
	saving->keeper = start.pid;
	return CTL_DONE;
}

static void tell(const struct saving *saving)
{
	struct json_object *row, *items;
	char size[SIZE_TEXT];

	if (saving->failed)
		note("saved %u of %u items of %s, %s, in %.0f ms", saving->done,
		     saving->done + saving->failed, saving->name,
		     size_text(saving->bytes, size), saving->seconds * 1000);
	else
		note("saved %s: %u %s, %s, in %.0f ms", saving->name, saving->done,
		     saving->done == 1 ? "item" : "items", size_text(saving->bytes, size),
		     saving->seconds * 1000);
	if (!saving->results)
		return;
	row = json_object_new_object();
	items = json_object_new_array();
	report_text(row, "name", saving->name);
	report_number(row, "bytes", saving->bytes);
	report_add(row, "seconds", json_object_new_double(saving->seconds));
	for (unsigned int i = 0; i < saving->nr; i++) {
		const struct item *item = &saving->manifest.items[i];
		struct json_object *entry = json_object_new_object();

		report_text(entry, "label", item->label);
		report_text(entry, "kind", item_kind_text(item->kind));
		report_text(entry, "path", item->path);
		report_bool(entry, "saved", saving->targets[i].saved);
		json_object_array_add(items, entry);
	}
	report_add(row, "items", items);
	json_object_array_add(saving->results, row);
}

static int open_targets(struct saving *saving, char **words)
{
	int status = CTL_DONE;

	saving->targets = calloc(saving->nr, sizeof(*saving->targets));
	if (!saving->targets)
		return fail(CTL_FAILED, NULL, "out of memory");
	for (unsigned int i = 0; i < saving->nr; i++)
		saving->targets[i].fd = -1;
	for (unsigned int i = 0; !status && i < saving->nr; i++)
		status = target_open(words[i], &saving->targets[i]);
	return status;
}

/* Is the next target one that is there already, by another path? */
static bool is_twice(const struct saving *saving)
{
	struct stat new, st;

	if (fstat(saving->targets[saving->nr].fd, &new))
		return false;
	for (unsigned int i = 0; i < saving->nr; i++)
		if (!fstat(saving->targets[i].fd, &st) && st.st_dev == new.st_dev &&
		    st.st_ino == new.st_ino)
			return true;
	return false;
}

/* A file that its program has removed, or that is on a disk now, is not for the next kernel. */
static int open_kept_item(struct saving *saving, pid_t keeper, const struct manifest *kept,
			  unsigned int i)
{
	const struct item *item = &kept->items[i];
	int status = target_reopen(item, keeper, KEEPER_ITEM_FD + i,
				   &saving->targets[saving->nr]);

	if (status && item->kind == ITEM_FILE) {
		warn("%s is not saved: %s", saving->name, item->path);
		return CTL_DONE;
	}
	if (!status && is_twice(saving)) {
		warn("%s is not saved twice: %s", saving->name, item->path);
		target_close(&saving->targets[saving->nr]);
		return CTL_DONE;
	}
	/* It stays on the list, and restore tells that it has not come. */
	if (status && saving->parts)
		status = target_absent(item, &saving->targets[saving->nr]);
	saving->nr += !status;
	return status;
}

/* What is kept: the same once more. */
static int open_kept(struct saving *saving)
{
	pid_t keeper = keeper_find(saving->name, false);
	struct manifest kept;
	int status = CTL_DONE, err;

	if (!keeper)
		return fail(CTL_USAGE, "preservectl save NAME WHAT...",
			    "say what to save: nothing is kept under the name %s", saving->name);
	err = keeper < 0 ? keeper : keeper_manifest(keeper, &kept);
	if (err)
		return fail(CTL_FAILED, NULL, "cannot read what is kept of %s: %s", saving->name,
			    errno_text(err));
	saving->targets = calloc(kept.nr + 1, sizeof(*saving->targets));
	if (!saving->targets)
		status = fail(CTL_FAILED, NULL, "out of memory");
	/* It stays as it is unless the user says otherwise. */
	if (saving->verify == VERIFY_AS_BEFORE)
		saving->manifest.verify = kept.verify;
	for (unsigned int i = 0; !status && i < kept.nr; i++)
		status = open_kept_item(saving, keeper, &kept, i);
	manifest_free(&kept);
	return status;
}

static void end(struct saving *saving)
{
	for (unsigned int i = 0; saving->targets && i < saving->nr; i++)
		target_close(&saving->targets[i]);
	free(saving->targets);
	manifest_free(&saving->manifest);
	if (saving->session >= 0)
		close(saving->session);
	if (saving->list_fd >= 0)
		close(saving->list_fd);
	if (saving->sums_fd >= 0)
		close(saving->sums_fd);
}

/* In a session that this process holds. Nothing may be left, which is no error. */
static int save_items(struct saving *saving, char **words)
{
	int status = check_name(saving->name);

	if (!status && saving->nr)
		status = check_kept(saving->name) ?: open_targets(saving, words);
	else if (!status)
		status = open_kept(saving);
	if (status)
		return status;
	if (!saving->nr) {
		warn("nothing is left of %s that could be saved", saving->name);
		return CTL_DONE;
	}
	snprintf(saving->manifest.name, sizeof(saving->manifest.name), "%s", saving->name);
	return preserve_all(saving);
}

static int save(struct saving *saving, char **words)
{
	int status = save_items(saving, words);

	if (!status && saving->nr) {
		status = note_sums(saving) ?: hand_to_keeper(saving);
		if (!status)
			tell(saving);
	}
	end(saving);
	return status;
}

/* --- all that is kept --- */

int saved_take_back(struct saved *saved)
{
	int status = CTL_DONE, err;

	while (saved->nr) {
		err = keeper_stop(saved->keepers[--saved->nr]);
		if (err)
			status = fail(CTL_FAILED, "preservectl list, and preservectl drop what is saved",
				      "process %d still has something saved: %s",
				      saved->keepers[saved->nr], errno_text(err));
	}
	free(saved->keepers);
	*saved = (struct saved){};
	return status;
}

static void save_one_kept(struct saving *saving, struct saved *saved)
{
	saving->failed += !!save(saving, NULL);
	if (saving->keeper)
		saved->keepers[saved->nr++] = saving->keeper;
}

/*
 * At once, with what takes long left for later: whatever ends this process then, the keeper has
 * it.
 */
static void save_part(struct saving *saving, struct saved *saved)
{
	int status = save_items(saving, NULL);

	if (!status && saving->nr)
		status = hand_to_keeper(saving);
	saving->failed += !!status;
	if (!saving->keeper)
		return;
	tell(saving);
	saved->keepers[saved->nr++] = saving->keeper;
}

/* What is in a keeper's hands gets its checksums. Return: they cannot be noted. */
static bool note_later(struct saving *saving)
{
	bool failed = saving->keeper && note_sums(saving);

	end(saving);
	return failed;
}

/* What is saved in part is completed: the reason may be gone. */
static bool is_wanted(const struct keepers *keepers, const struct keeper *keeper,
		      const struct conf *only)
{
	const struct conf_section *section = only ? conf_find(only, keeper->name) : NULL;
	const struct keeper *saved = keepers_find(keepers, keeper->name, true);

	if (keeper->session)
		return false;
	if (saved)
		return keeper_is_partly(saved);
	return !only || (section && section->units.nr);
}

/**
 * struct round - Saving all that is kept.
 * @all:    All or nothing.
 * @failed: Names of which something is not saved.
 * @parts:  Names of which something is saved that cannot be taken back: parts.
 */
struct round {
	bool all;
	unsigned int failed;
	unsigned int parts;
};

static void save_kept_name(struct round *round, struct saving *saving, struct saved *saved)
{
	if (saving->parts)
		save_part(saving, saved);
	else
		save_one_kept(saving, saved);
	round->failed += !!saving->failed;
}

static void complete_name(struct round *round, const struct keepers *keepers,
			  const struct keeper *keeper, bool service)
{
	int status = part_complete(keepers_find(keepers, keeper->name, true), keeper->pid, service);

	round->failed += !!status;
	round->parts += !status || status == CTL_PARTLY;
}

/* Those that are saved in part come last: what is added to them is not taken back. */
static void save_names(struct round *round, const struct keepers *keepers,
		       const struct conf *only, struct saving *savings, struct saved *saved)
{
	for (int parts = 0; parts < 2; parts++) {
		for (unsigned int i = 0; i < keepers->nr; i++) {
			const struct keeper *keeper = &keepers->list[i];

			if (!is_wanted(keepers, keeper, only) ||
			    parts != !!keepers_find(keepers, keeper->name, true))
				continue;
			if (round->all && (round->failed || ctl_interrupted()))
				round->failed++;
			else if (parts)
				complete_name(round, keepers, keeper, savings[i].service);
			else
				save_kept_name(round, &savings[i], saved);
		}
	}
}

static int save_all_kept(bool service, bool all, const struct conf *only,
			 struct json_object *results, struct saved *saved)
{
	struct round round = { .all = all };
	struct saving *savings = NULL;
	struct keepers keepers;
	int err = keepers_read(&keepers);

	*saved = (struct saved){};
	if (!err) {
		saved->keepers = calloc(keepers.nr + 1, sizeof(*saved->keepers));
		savings = calloc(keepers.nr + 1, sizeof(*savings));
		err = saved->keepers && savings ? 0 : -ENOMEM;
	}
	if (err)
		return fail(CTL_FAILED, NULL, "cannot look for what is kept: %s",
			    errno_text(err));
	for (unsigned int i = 0; i < keepers.nr; i++)
		savings[i] = (struct saving){
			.name = keepers.list[i].name, .service = service, .parts = !all,
			.list_fd = -1, .sums_fd = -1, .session = -1, .results = results,
		};
	save_names(&round, &keepers, only, savings, saved);
	for (unsigned int i = 0; !all && i < keepers.nr; i++)
		round.failed += note_later(&savings[i]);
	free(savings);
	free(keepers.list);
	if (all && ctl_interrupted())
		round.failed++;
	if (!round.failed)
		return CTL_DONE;
	if (all)
		saved_take_back(saved);
	if (all && round.parts)
		warn("what was saved in part is saved now; preservectl drop takes that back");
	return saved->nr || round.parts ? CTL_PARTLY : CTL_FAILED;
}

int save_kept(bool service, bool all, const struct conf *only, struct saved *saved)
{
	return save_all_kept(service, all, only, NULL, saved);
}

/* --- the command --- */

static int save_words(struct saving *saving, char **words)
{
	if (manifest_check_name(saving->name))
		return fail(CTL_USAGE, "take letters, digits, '.', '_', '-', '@', '+' and ':', at most 54, and no '.' or '-' first",
			    "what is saved cannot be called that");
	return lock_take(LOCK_STATE) ?: save(saving, words);
}

int cmd_save(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "verify", no_argument, NULL, 'v' },
		{ "no-verify", no_argument, NULL, 'n' },
		{},
	};
	struct saving saving = { .list_fd = -1, .sums_fd = -1, .session = -1 };
	const char *why, *next;
	struct saved saved;
	bool all = false;
	int c, status;

	while ((c = ctl_getopt(argc, argv, options)) != -1) {
		if (c == 'a')
			all = true;
		else if (c == 'v')
			saving.verify = VERIFY_YES;
		else if (c == 'n')
			saving.verify = VERIFY_NO;
		else
			return CTL_USAGE;
	}
	if (all ? optind < argc || saving.verify : optind == argc)
		return ctl_usage("save");
	why = kernel_why_not(&next);
	saving.results = json_object_new_array();
	saving.name = argv[optind];
	saving.nr = argc - optind - 1;
	saving.manifest.verify = saving.verify == VERIFY_YES;
	if (why && (all || !manifest_check_name(saving.name))) {
		status = fail(CTL_NO_SUPPORT, next, "%s", why);
	} else if (all) {
		ctl_catch_signals();
		status = lock_take(LOCK_STATE) ?:
			 save_all_kept(false, true, NULL, saving.results, &saved);
		if (!status)
			free(saved.keepers);
	} else {
		status = save_words(&saving, argv + optind + 1);
	}
	if (ctl.json && all)
		report_json(saving.results);
	else if (ctl.json && json_object_array_length(saving.results))
		report_json(json_object_array_get_idx(saving.results, 0));
	json_object_put(saving.results);
	return status;
}
