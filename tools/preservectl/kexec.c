// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl kexec: which kernel is next, whether it takes everything over, and into it.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <preserve.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#include "checks.h"
#include "conf.h"
#include "ctl.h"
#include "installed.h"
#include "keeper.h"
#include "kernel.h"
#include "lock.h"
#include "report.h"
#include "saved.h"
#include "say.h"
#include "spawn.h"

/**
 * struct request - What the user wants.
 * @kernel: Image, or NULL.
 * @initrd: Initial file system, "none", or NULL.
 * @append: Words for the command line, or NULL.
 * @cmdline: The whole command line, or NULL.
 * @entry:  An entry of the boot loader's, or NULL.
 * @dry_run: Only check.
 * @load_only: Do not enter it.
 * @force:  Whatever is lost.
 */
struct request {
	const char *kernel;
	const char *initrd;
	const char *append;
	const char *cmdline;
	const char *entry;
	bool dry_run;
	bool load_only;
	bool force;
};

/* --- which kernel --- */

/* What the boot loader has put there is not for the next kernel. */
static void strip(char *cmdline, const char *word)
{
	size_t len = strlen(word), end;

	for (char *at = cmdline; (at = strstr(at, word)); ) {
		if (at != cmdline && at[-1] != ' ') {
			at += len;
			continue;
		}
		end = strcspn(at, " ");
		end += at[end] == ' ';
		memmove(at, at + end, strlen(at + end) + 1);
	}
}

static char *own_cmdline(void)
{
	char text[4096];

	if (kernel_text("/proc/cmdline", text, sizeof(text)))
		return NULL;
	strip(text, "BOOT_IMAGE=");
	strip(text, "initrd=");
	return strdup(text);
}

/* Where the kernel's own words end: what follows "--" is init's. */
static size_t own_length(const char *cmdline)
{
	for (const char *at = cmdline; (at = strstr(at, "--")); at += 2)
		if ((at == cmdline || at[-1] == ' ') && (!at[2] || at[2] == ' '))
			return at - cmdline;
	return strlen(cmdline);
}

static char *with_more(char *cmdline, const char *more)
{
	size_t own = cmdline ? own_length(cmdline) : 0;
	char *both = NULL;

	if (cmdline && asprintf(&both, "%.*s%s%s%s%s", (int)own, cmdline,
				own && cmdline[own - 1] != ' ' ? " " : "", more,
				cmdline[own] ? " " : "", cmdline + own) < 0)
		both = NULL;
	free(cmdline);
	return both;
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static void plan_free(struct plan *plan)
{
	free(plan->kernel);
	free(plan->initrd);
	free(plan->cmdline);
}

static int append_file(int to, const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	ssize_t got;
	off_t size;

	if (from < 0)
		return -errno;
	do {
		got = sendfile(to, from, NULL, 1 << 24);
	} while (got > 0);
	/* The next one begins at a multiple of four, as boot loaders have it. */
	size = got < 0 ? -1 : lseek(to, 0, SEEK_CUR);
	if (size < 0 || ftruncate(to, (size + 3) & ~3) || lseek(to, 0, SEEK_END) < 0)
		err = -errno;
	close(from);
	return err;
}

/* The kernel takes one initial file system: several, one behind the other. */
static int join_initrds(const struct installed *installed, struct plan *plan)
{
	int fd = memfd_create("initrd", MFD_CLOEXEC), err = fd < 0 ? -errno : 0;

	for (unsigned int i = 0; !err && i < installed->nr; i++)
		err = append_file(fd, installed->initrds[i]);
	if (err)
		return fail(CTL_FAILED, "give one: --initrd FILE",
			    "cannot read the initial file systems of %s: %s", installed->name,
			    errno_text(err));
	/* It is open until this process ends. */
	if (asprintf(&plan->initrd, "/proc/self/fd/%d", fd) < 0)
		plan->initrd = NULL;
	return plan->initrd ? CTL_DONE : fail(CTL_FAILED, NULL, "out of memory");
}

static int choose_initrd(const struct request *request, const struct installed *installed,
			 struct plan *plan)
{
	if (request->initrd)
		plan->initrd = strcmp(request->initrd, "none") ? copy(request->initrd) : NULL;
	else if (request->kernel)
		plan->initrd = installed_initrd_of(request->kernel);
	else if (installed->nr > 1)
		return join_initrds(installed, plan);
	else if (installed->nr)
		plan->initrd = copy(installed->initrds[0]);
	return CTL_DONE;
}

static int find_installed(const struct request *request, struct installed *installed)
{
	if (request->kernel)
		return CTL_DONE;
	if (installed_find("", request->entry, installed))
		return request->entry ?
		       fail(CTL_FAILED, "ls /boot /boot/loader/entries",
			    "no installed kernel is called %s", request->entry) :
		       fail(CTL_FAILED, "give one: --kernel FILE",
			    "no kernel is installed in /boot");
	if (installed->broken)
		return fail(CTL_FAILED, "give --kernel, --initrd and --cmdline",
			    "%s cannot be taken: %s", installed->name, installed->broken);
	return CTL_DONE;
}

static int fill_plan(const struct request *request, const struct installed *installed,
		     struct plan *plan)
{
	const char *cmdline = request->cmdline ? request->cmdline : installed->options;
	int status = choose_initrd(request, installed, plan);

	if (status)
		return status;
	plan->without_initrd = request->initrd && !plan->initrd;
	plan->kernel = copy(request->kernel ? request->kernel : installed->kernel);
	plan->cmdline = cmdline ? strdup(cmdline) : own_cmdline();
	if (request->append)
		plan->cmdline = with_more(plan->cmdline, request->append);
	return plan->kernel && plan->cmdline ? CTL_DONE :
	       fail(CTL_FAILED, NULL, "out of memory, or /proc is not mounted");
}

static int make_plan(const struct request *request, struct plan *plan)
{
	struct installed installed = {};
	int status = find_installed(request, &installed);

	*plan = (struct plan){};
	if (!status)
		status = fill_plan(request, &installed, plan);
	installed_free(&installed);
	if (status)
		plan_free(plan);
	return status;
}

/* --- load and enter --- */

static const char *load_next(int err)
{
	switch (err) {
	case -EPERM:
	case -EACCES:
		return "become root; under Secure Boot take a signed kernel";
	case -ENOEXEC:
		return "give a kernel image: --kernel FILE";
	case -ENOKEY:
	case -EKEYREJECTED:
	case -EBADMSG:
		return "take a kernel with a signature that this machine trusts";
	case -ENOMEM:
	case -EADDRNOTAVAIL:
		return "boot with a larger kho_scratch=: kernel and initial file system do not fit";
	case -ENOSYS:
		return "take a kernel with CONFIG_KEXEC_FILE";
	case -EBUSY:
		return "another process is loading one: try again";
	default:
		return "look into the kernel log";
	}
}

static int load(const struct plan *plan)
{
	int err = preserve_kexec_load(plan->kernel, plan->initrd, plan->cmdline);

	return err ? fail(CTL_FAILED, load_next(err), "cannot load %s: %s", plan->kernel,
			  errno_text(err)) : CTL_DONE;
}

/* A load that is taken back says what checks cannot. */
static void try_load(struct checks *checks, const struct plan *plan)
{
	int err;

	ctl_catch_signals();
	if (lock_take(LOCK_KEXEC) || preserve_kexec_loaded() != 0)
		return;
	err = preserve_kexec_load(plan->kernel, plan->initrd, plan->cmdline);
	if (err) {
		checks_add(checks, "load", CHECK_BAD, load_next(err), "cannot load %s: %s",
			   plan->kernel, errno_text(err));
		return;
	}
	checks_add(checks, "load", CHECK_GOOD, NULL, "%s can be loaded", plan->kernel);
	preserve_kexec_unload();
	lock_release(LOCK_KEXEC);
}

/* Units that are active and use what is kept, as /etc/preserve.d has it. */
static int collect_units(const struct conf *conf, struct conf_list *units)
{
	struct keepers keepers;
	int err = keepers_read(&keepers);

	for (unsigned int i = 0; !err && i < conf->nr; i++) {
		const struct conf_section *section = &conf->sections[i];

		if (!keepers_find(&keepers, section->name, false))
			continue;
		for (unsigned int u = 0; !err && u < section->units.nr; u++)
			if (systemd_is_active(section->units.texts[u]))
				err = conf_list_add(units, section->units.texts[u]);
	}
	free(keepers.list);
	return err;
}

/* Units that were stopped to save what they use. */
static void start_again(struct conf_list *units)
{
	if (units->nr && systemctl("start", units->texts, units->nr))
		warn("units that have been stopped do not start again: systemctl status names them");
}

/*
 * What is kept is saved while there is time to refuse, and units that use it stop before. With
 * a unit that saves at shutdown only what has such units is: what uses the rest is not known
 * here, but the order of the shutdown knows.
 */
static int save_with(const struct request *request, const struct conf *conf,
		     struct conf_list *units, struct saved *saved)
{
	bool later = systemd_runs() && systemd_is_active(SAVE_UNIT);
	int status = CTL_DONE, one, err = systemd_runs() ? collect_units(conf, units) : 0;

	/* No other preservectl waits meanwhile: one of these may call it. */
	if (err)
		status = fail(CTL_FAILED, NULL, "cannot look for what is kept: %s",
			      errno_text(err));
	else if (units->nr && systemctl("stop", units->texts, units->nr))
		status = fail(CTL_FAILED, "systemctl status names the unit",
			      "units that use what is kept do not stop");
	if (status && !request->force)
		return status;
	one = lock_take(LOCK_STATE);
	if (!one)
		one = save_kept(false, !request->force, later ? conf : NULL, saved);
	lock_release(LOCK_STATE);
	return status ? status : one;
}

static int save(const struct request *request, struct conf_list *units, struct saved *saved)
{
	struct conf conf;
	int status = CTL_DONE, one, err = conf_read(CONF_DIR, &conf);

	if (err)
		status = fail(CTL_FAILED, NULL, CONF_DIR " cannot be read: %s", errno_text(err));
	if (status && !request->force)
		return status;
	one = save_with(request, &conf, units, saved);
	conf_free(&conf);
	return status ? status : one;
}

/*
 * Is it sure that systemd does not go? systemctl is in a unit that stops for the kexec, and may
 * be killed with it; and logind waits for its inhibitors before it begins.
 */
static bool stays(int err)
{
	struct timespec pause = { .tv_nsec = 500000000 };

	if (err == -ECHILD)
		return false;
	/* A negative one: it has not run at all. */
	for (int i = 0; err > 0 && i < 20; i++) {
		if (systemd_goes_to_kexec())
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* Return: only if it does not work. What is undone while systemd goes would be lost. */
static int enter(void)
{
	int err;

	fflush(NULL);
	if (systemd_runs()) {
		err = systemctl("kexec", NULL, 0);
		if (!err)
			exit(CTL_DONE);
		if (!stays(err)) {
			warn("systemctl kexec has ended early; if no kexec comes, preservectl drop takes back what preservectl list shows as saved");
			exit(CTL_PARTLY);
		}
		return fail(CTL_FAILED, "journalctl says why", "systemctl kexec fails");
	}
	sync();
	err = preserve_kexec_reboot();
	return fail(CTL_FAILED, "look into the kernel log",
		    "the kernel does not go: %s", errno_text(err));
}

static int save_and_enter(const struct request *request, struct conf_list *units,
			  struct saved *saved)
{
	int status = kernel_has_pool() ? save(request, units, saved) : CTL_DONE;

	if (ctl_interrupted())
		return fail(CTL_FAILED, NULL, "interrupted");
	return status && !request->force ? status : enter();
}

/* Everything is as before if it does not work. */
static int load_and_enter(const struct request *request, const struct plan *plan)
{
	struct conf_list units = {};
	struct saved saved = {};
	int status, undo;

	ctl_catch_signals();
	/* Until it is entered no other command may load another one. */
	status = lock_take(LOCK_KEXEC) ?: load(plan);
	if (status)
		return status;
	if (request->load_only && !ctl_interrupted()) {
		note("loaded; what is kept is saved by \"preservectl kexec\", and by systemctl kexec if "
		     SAVE_UNIT " is active");
		return CTL_DONE;
	}
	status = ctl_interrupted() ? fail(CTL_FAILED, NULL, "interrupted") :
				     save_and_enter(request, &units, &saved);
	undo = saved_take_back(&saved);
	start_again(&units);
	if (preserve_kexec_unload())
		warn("a kernel is still loaded: kexec -u unloads it");
	conf_list_free(&units);
	return undo ? undo : status;
}

static void print(const struct plan *plan, const struct checks *checks, bool dry_run)
{
	struct json_object *document;

	if (!ctl.json) {
		note("kernel        %s", plan->kernel);
		note("initrd        %s", plan->initrd ? plan->initrd : "none");
		note("command line  %s\n", plan->cmdline);
		if (!ctl.quiet || checks->bad)
			checks_print(checks, dry_run);
		return;
	}
	document = json_object_new_object();
	report_text(document, "kernel", plan->kernel);
	report_text(document, "release", checks->image.release);
	report_text(document, "initrd", plan->initrd);
	report_text(document, "cmdline", plan->cmdline);
	report_number(document, "bad", checks->bad);
	report_add(document, "checks", json_object_get(checks->rows));
	report_json(document);
	json_object_put(document);
}

static int go(const struct request *request, const struct plan *plan)
{
	struct checks checks;
	int status = CTL_DONE;

	checks_run(&checks, plan);
	if (request->dry_run && !geteuid())
		try_load(&checks, plan);
	print(plan, &checks, request->dry_run);
	if (checks.bad && !request->force)
		status = fail(CTL_REFUSED, request->dry_run ? NULL :
			      "remove the reasons; or --force, and what they name is lost",
			      "%u %s: something would be lost", checks.bad,
			      checks.bad == 1 ? "check is bad" : "checks are bad");
	checks_free(&checks);
	if (status || request->dry_run)
		return status;
	return load_and_enter(request, plan);
}

int cmd_kexec(int argc, char **argv)
{
	static const struct option options[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "append", required_argument, NULL, 'a' },
		{ "cmdline", required_argument, NULL, 'c' },
		{ "entry", required_argument, NULL, 'e' },
		{ "dry-run", no_argument, NULL, 'd' },
		{ "load-only", no_argument, NULL, 'l' },
		{ "force", no_argument, NULL, 'f' },
		{},
	};
	struct request request = {};
	struct plan plan;
	int c, status;

	while ((c = ctl_getopt(argc, argv, options)) != -1) {
		switch (c) {
		case 'k':
			request.kernel = optarg;
			break;
		case 'i':
			request.initrd = optarg;
			break;
		case 'a':
			request.append = optarg;
			break;
		case 'c':
			request.cmdline = optarg;
			break;
		case 'e':
			request.entry = optarg;
			break;
		case 'd':
			request.dry_run = true;
			break;
		case 'l':
			request.load_only = true;
			break;
		case 'f':
			request.force = true;
			break;
		default:
			return CTL_USAGE;
		}
	}
	if (optind != argc || (request.kernel && request.entry))
		return ctl_usage("kexec");
	status = make_plan(&request, &plan);
	if (status)
		return status;
	status = go(&request, &plan);
	plan_free(&plan);
	return status;
}
