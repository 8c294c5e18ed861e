// SPDX-License-Identifier: GPL-2.0-only
/*
 * The checks before a kexec.
 */

#include "checks.h"

#include <errno.h>
#include <json-c/json.h>
#include <preserve.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "device.h"
#include "formats.h"
#include "keeper.h"
#include "kernel.h"
#include "report.h"
#include "say.h"
#include "scope.h"
#include "sessions.h"
#include "spawn.h"

static const char * const results[] = {
	[CHECK_GOOD] = "good", [CHECK_WARN] = "warning", [CHECK_BAD] = "BAD",
};

void checks_add(struct checks *checks, const char *name, enum check_result result,
		const char *next, const char *fmt, ...)
{
	struct json_object *row = json_object_new_object();
	char detail[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	report_text(row, "check", name);
	report_text(row, "result", results[result]);
	report_text(row, "detail", detail);
	report_text(row, "next", next);
	json_object_array_add(checks->rows, row);
	checks->bad += result == CHECK_BAD;
}

static void check_image(struct checks *checks, const struct plan *plan, bool nothing_to_lose)
{
	int err = image_read(plan->kernel, &checks->image);

	if (err == -ENOEXEC)
		checks_add(checks, "image", CHECK_BAD, "give a kernel image: --kernel FILE",
			   "%s is no kernel", plan->kernel);
	else if (err)
		checks_add(checks, "image", CHECK_BAD, "give another one: --kernel FILE",
			   "%s cannot be read: %s", plan->kernel, errno_text(err));
	else if (!checks->image.formats)
		checks_add(checks, "image", nothing_to_lose ? CHECK_WARN : CHECK_BAD,
			   "install a kernel with CONFIG_PRESERVE; --force enters this one, and everything that is preserved is lost",
			   "%s (%s) takes nothing over", plan->kernel, checks->image.release);
	else
		checks_add(checks, "image", CHECK_GOOD, NULL, "%s (%s)", plan->kernel,
			   checks->image.release);
}

static void check_formats(struct checks *checks)
{
	struct formats_finding findings[FORMATS_MAX_FINDINGS];
	char ours[4096];
	unsigned int nr;
	int err;

	if (!checks->image.formats)
		return;
	err = kernel_text("/sys/kernel/mm/preserve/abi", ours, sizeof(ours));
	if (err) {
		checks_add(checks, "formats", CHECK_BAD, NULL,
			   "what this kernel hands over is not known: %s", errno_text(err));
		return;
	}
	nr = formats_compare(ours, checks->image.formats, findings);
	for (unsigned int i = 0; i < nr; i++)
		checks_add(checks, "formats", findings[i].fatal ? CHECK_BAD : CHECK_WARN,
			   "take another kernel, or copy what has that format elsewhere",
			   "%s", findings[i].text);
	if (!nr)
		checks_add(checks, "formats", CHECK_GOOD, NULL, "the next kernel knows them all");
}

/* Distributions put a kernel's configuration beside it. */
static bool has_kho_by_default(const struct image *image)
{
	char path[160], line[256];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/boot/config-%s", image->release);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = !strcmp(line, "CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y\n");
	if (file)
		fclose(file);
	return found;
}

static void check_switches(struct checks *checks, const struct plan *plan)
{
	int kho = cmdline_switch(plan->cmdline, "kho");

	if (kho < 0)
		kho = has_kho_by_default(&checks->image);
	if (!kho)
		checks_add(checks, "command line", CHECK_BAD, "add it: --append kho=on",
			   "kho=on is not on it");
	if (cmdline_switch(plan->cmdline, "liveupdate") != 1)
		checks_add(checks, "command line", CHECK_BAD, "add it: --append liveupdate=on",
			   "liveupdate=on is not on it");
	else if (kho)
		checks_add(checks, "command line", CHECK_GOOD, NULL, "kho=on liveupdate=on");
}

/* Names of file systems, and what is on top of partitions, are for programs to find. */
static void check_root(struct checks *checks, const struct plan *plan)
{
	static const char * const names[] = {
		"UUID=", "LABEL=", "/dev/mapper/", "/dev/disk/", "ZFS=",
	};
	char root[256];

	if (plan->initrd || plan->without_initrd ||
	    !cmdline_value(plan->cmdline, "root", root, sizeof(root)))
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (!strncmp(root, names[i], strlen(names[i])))
			checks_add(checks, "initrd", CHECK_BAD,
				   "give it: --initrd FILE; or say that there is none: --initrd none",
				   "without an initial file system it will not find root=%s", root);
}

/* Memory that the next kernel is told not to use may have what is handed over. */
static void check_memory(struct checks *checks, const struct plan *plan)
{
	static const char * const names[] = { "mem", "memmap", "max_addr" };
	char next[256], here[256], cmdline[4096] = "";

	kernel_text("/proc/cmdline", cmdline, sizeof(cmdline));
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		if (!cmdline_value(plan->cmdline, names[i], next, sizeof(next)))
			continue;
		if (cmdline_value(cmdline, names[i], here, sizeof(here)) && !strcmp(here, next))
			continue;
		checks_add(checks, "memory", CHECK_BAD, "take it off the command line",
			   "%s=%s may keep the next kernel from memory that is handed over",
			   names[i], next);
	}
}

static void check_huge_pages(struct checks *checks, const struct plan *plan)
{
	char value[8], text[32];
	int err = kernel_text("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", text,
			      sizeof(text));

	if (!err && strtoull(text, NULL, 10) &&
	    cmdline_value(plan->cmdline, "nogbpages", value, sizeof(value)))
		checks_add(checks, "huge pages", CHECK_BAD, "take nogbpages off the command line",
			   "there are pages of 1 GiB, and the next kernel has none");
}

static void check_pool(struct checks *checks, const struct plan *plan)
{
	char next[256], here[256], cmdline[4096] = "", size[SIZE_TEXT];
	uint64_t preserved = kernel_pool_number("preserved"), limit;

	kernel_text("/proc/cmdline", cmdline, sizeof(cmdline));
	if (cmdline_value(cmdline, "preserve_pool", here, sizeof(here)) &&
	    !cmdline_value(plan->cmdline, "preserve_pool", next, sizeof(next)))
		checks_add(checks, "pool", CHECK_WARN, "add it with --append",
			   "this kernel has preserve_pool=%s, the next one has not", here);
	if (cmdline_value(plan->cmdline, "preserve_pool_max", next, sizeof(next)) &&
	    !size_parse(next, &limit) && limit < preserved)
		checks_add(checks, "pool", CHECK_WARN, "give a larger one with --append",
			   "preserve_pool_max=%s is less than what crosses: it cannot grow",
			   next);
	checks_add(checks, "pool", CHECK_GOOD, NULL, "%s in %llu files cross",
		   size_text(preserved, size), (unsigned long long)kernel_pool_number("files"));
}

/* Kernel and initial file system are loaded into what KHO keeps free. */
static void check_scratch(struct checks *checks, const struct plan *plan)
{
	uint64_t bytes, largest, need = checks->image.need, all;
	char a[SIZE_TEXT], b[SIZE_TEXT];
	struct stat st = {};
	int nr = kernel_scratch(&bytes, &largest);

	if (nr <= 0)
		return;
	if (plan->initrd && stat(plan->initrd, &st)) {
		checks_add(checks, "initrd", CHECK_BAD, "give another one: --initrd FILE",
			   "%s: %s", plan->initrd, errno_text(-errno));
		return;
	}
	all = need + st.st_size;
	if (need > largest || all > bytes)
		checks_add(checks, "scratch", CHECK_BAD,
			   "boot with a larger kho_scratch= (now, or with a cold boot)",
			   "the next kernel takes %s to start, there are %s",
			   size_text(all, a), size_text(need > largest ? largest : bytes, b));
	else
		checks_add(checks, "scratch", CHECK_GOOD, NULL, "%s of %s to start the next kernel",
			   size_text(all, a), size_text(bytes, b));
}

static void check_device(struct checks *checks)
{
	int err = device_look();
	pid_t holder;
	char comm[16];

	if (!err)
		return;
	if (err != -EBUSY) {
		checks_add(checks, "device", CHECK_BAD,
			   err == -EACCES ? "become root" : "look into the kernel log",
			   "/dev/liveupdate: %s", errno_text(err));
		return;
	}
	holder = device_holder(comm);
	checks_add(checks, "device", CHECK_BAD, "end that process",
		   "/dev/liveupdate is open in process %d (%s): systemd cannot preserve what its services have",
		   holder, holder ? comm : "unknown");
}

/* A process that systemd ends at shutdown takes what it holds with it. */
static void check_keeper(struct checks *checks, const struct keeper *keeper)
{
	char unit[128];

	if (!scope_is_safe(keeper->pid, unit))
		checks_add(checks, "sessions", CHECK_BAD,
			   "preservectl drop it, and save it again; or --force, if that unit outlives the shutdown",
			   "%s is held by process %d in %s, which systemd stops before the kexec",
			   keeper->name, keeper->pid, unit);
	else if (keeper_is_partly(keeper))
		checks_add(checks, "sessions", CHECK_WARN,
			   "preservectl list names what is missing; kexec saves that, and goes only if it can",
			   "%s is saved in part", keeper->name);
	else if (keeper->session)
		checks_add(checks, "sessions", CHECK_GOOD, NULL, "%s crosses", keeper->name);
	else
		checks_add(checks, "sessions", CHECK_GOOD, NULL, "%s is kept, and saved on the way",
			   keeper->name);
}

static void check_outgoing(struct checks *checks, const struct session *session,
			   const struct keepers *keepers)
{
	const char *saved = session_saved_name(session);

	if (saved && keepers_find(keepers, saved, true))
		return;
	if (session->holder == 1)
		checks_add(checks, "sessions", CHECK_GOOD, NULL, "%s crosses", session->name);
	else
		checks_add(checks, "sessions", CHECK_WARN,
			   "have systemd keep it: FileDescriptorStorePreserve=, or LUOSession=",
			   "%s is held by process %d (%s), which has to live until the kexec",
			   session->name, session->holder, session->comm);
}

static void check_session(struct checks *checks, const struct session *session,
			  const struct keepers *keepers)
{
	const char *saved = session_saved_name(session);
	const char *name = saved ? saved : session->name;

	switch (session->state) {
	case SESSION_INCOMING:
		checks_add(checks, "sessions", CHECK_BAD,
			   saved ? "preservectl restore --all" : "have its program retrieve it",
			   "%s has come from the last kernel, and does not cross again", name);
		break;
	case SESSION_RETRIEVED:
		if (!session->files)
			break;
		checks_add(checks, "sessions", saved ? CHECK_BAD : CHECK_WARN,
			   saved ? "preservectl restore --all" : "have its program finish it",
			   "%s is not wholly restored, and does not cross again", name);
		break;
	case SESSION_OUTGOING:
	case SESSION_HELD:
		check_outgoing(checks, session, keepers);
		break;
	}
}

/* Has a keeper what is left of a restore? */
static bool is_incoming(const struct sessions *sessions, const struct keeper *keeper)
{
	const struct session *session = sessions_find_saved(sessions, keeper->name);

	return session && session->state == SESSION_RETRIEVED;
}

static void check_unit(struct checks *checks)
{
	if (systemd_runs() && !systemd_is_active(SAVE_UNIT))
		checks_add(checks, "systemd", CHECK_WARN,
			   "systemctl enable --now " SAVE_UNIT,
			   SAVE_UNIT " is not active: what is kept is saved while programs use it, and systemctl kexec alone does not save it");
}

static void check_all_sessions(struct checks *checks, const struct sessions *sessions,
			       const struct keepers *keepers)
{
	if (!sessions->listed)
		checks_add(checks, "sessions", CHECK_BAD, "mount -t debugfs none /sys/kernel/debug",
			   "what has come, and no process holds, is not known");
	for (unsigned int i = 0; i < sessions->nr; i++)
		check_session(checks, &sessions->list[i], keepers);
	for (unsigned int i = 0; i < keepers->nr; i++)
		if (keepers->list[i].session ? !is_incoming(sessions, &keepers->list[i]) :
		    !keepers_find(keepers, keepers->list[i].name, true))
			check_keeper(checks, &keepers->list[i]);
	if (!sessions->nr && !keepers->nr)
		checks_add(checks, "sessions", CHECK_WARN, "preservectl save NAME WHAT...",
			   "nothing is saved");
	if (keepers->nr)
		check_unit(checks);
}

static void check_sessions(struct checks *checks)
{
	struct sessions sessions;
	struct keepers keepers;
	int err = sessions_read(&sessions, true);

	if (!err) {
		err = keepers_read(&keepers);
		if (err)
			sessions_free(&sessions);
	}
	if (err) {
		checks_add(checks, "sessions", CHECK_BAD, "look into the kernel log",
			   "they cannot be read: %s", errno_text(err));
		return;
	}
	check_all_sessions(checks, &sessions, &keepers);
	free(keepers.list);
	sessions_free(&sessions);
}

static void check_kexec(struct checks *checks)
{
	char text[16];
	int loaded = preserve_kexec_loaded();

	if (loaded < 0)
		checks_add(checks, "kexec", CHECK_BAD, "take a kernel with CONFIG_KEXEC_FILE",
			   "this kernel has no kexec");
	else if (!kernel_text("/proc/sys/kernel/kexec_load_disabled", text, sizeof(text)) &&
		 strcmp(text, "0"))
		checks_add(checks, "kexec", CHECK_BAD, "it is off until the next boot",
			   "kernel.kexec_load_disabled is %s", text);
}

void checks_run(struct checks *checks, const struct plan *plan)
{
	const char *why, *next = NULL;

	*checks = (struct checks){ .rows = json_object_new_array() };
	why = kernel_why_not(&next);
	check_image(checks, plan, why);
	if (why) {
		checks_add(checks, "this kernel", CHECK_WARN, next, "%s: there is nothing to lose",
			   why);
		return;
	}
	check_formats(checks);
	check_switches(checks, plan);
	check_root(checks, plan);
	check_memory(checks, plan);
	check_huge_pages(checks, plan);
	check_pool(checks, plan);
	check_scratch(checks, plan);
	check_device(checks);
	check_sessions(checks);
	check_kexec(checks);
}

static bool is_good(struct json_object *row)
{
	return !strcmp(report_get_text(row, "result"), results[CHECK_GOOD]);
}

/* What is to be shown of them; to be put. */
static struct json_object *choose_rows(const struct checks *checks, bool all)
{
	struct json_object *rows = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(checks->rows); i++) {
		struct json_object *row = json_object_array_get_idx(checks->rows, i);

		if (all || !is_good(row))
			json_object_array_add(rows, json_object_get(row));
	}
	return rows;
}

void checks_print(const struct checks *checks, bool all)
{
	static const struct report_column columns[] = {
		{ "CHECK", "check", false, false },
		{ "RESULT", "result", false, false },
		{ "DETAIL", "detail", false, false },
	};
	struct json_object *rows = choose_rows(checks, all);
	size_t nr = json_object_array_length(rows);

	if (nr)
		report_table(rows, columns, 3);
	if (!all)
		printf("%zu checks are good\n", json_object_array_length(checks->rows) - nr);
	for (size_t i = 0; i < nr; i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);
		const char *next = report_get_text(row, "next");

		if (next)
			printf("%s: %s\n  next: %s\n", report_get_text(row, "check"),
			       report_get_text(row, "detail"), next);
	}
	json_object_put(rows);
	fflush(stdout);
}

void checks_free(struct checks *checks)
{
	json_object_put(checks->rows);
	image_free(&checks->image);
	*checks = (struct checks){};
}
