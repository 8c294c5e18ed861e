// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl: the command line.
 */

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "ctl.h"
#include "keeper.h"
#include "say.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

struct ctl_options ctl;

/**
 * struct command - One command.
 * @name: Its name.
 * @run:  What it does.
 * @what: A line about it.
 * @use:  What may follow its name, a line for each form.
 * @help: More about it.
 */
struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
	const char *use;
	const char *help;
};

static const struct command commands[] = {
	{ "status", cmd_status, "kernel, pool, and what is saved or has come",
	  "[--prometheus]",
	  "  --prometheus   numbers for node_exporter's textfile collector\n" },
	{ "pool", cmd_pool, "the pool of memory that preserved files are in",
	  "[show]\ngrow|shrink|size SIZE\nlimit SIZE\nlend on|off\ncompact\nbring-in\npace SIZE|max\nadmit-plain on|off",
	  "  grow, shrink   by SIZE; size: to SIZE\n"
	  "  limit          how large it may become\n"
	  "  lend           whether its idle blocks serve other memory meanwhile\n"
	  "  compact        packs it, worth doing some time before an update\n"
	  "  bring-in       makes all pages of restored memfds and opened files now\n"
	  "  pace           how much of them is made in a second, on each node\n"
	  "  admit-plain    whether plain memfds move into the pool when they are saved\n" },
	{ "list", cmd_list, "sessions, what is in them, and who holds them", "", "" },
	{ "show", cmd_show, "what is saved, kept or has come under a name",
	  "NAME", "" },
	{ "save", cmd_save, "keep mounts, files and memfds over the next kexec",
	  "[--verify] NAME [LABEL=]WHAT...\n[--verify | --no-verify] NAME\n--all",
	  "  NAME           what you call it all\n"
	  "  WHAT           the directory of a mounted tmpfs or hugetlbfs; a file in a tmpfs;\n"
	  "                 or PID:FD, a memfd of a process\n"
	  "  LABEL          what you call it; made from WHAT if you do not say\n"
	  "  NAME alone     what is kept under this name: since it was restored, or by run\n"
	  "  --all          all that is kept, as kexec does\n"
	  "  --verify       notes checksums, now and whenever it is saved: restore compares them;\n"
	  "                 --no-verify: not any more\n"
	  "\nFrom then on names, sizes and attributes cannot change; content can. If anything\n"
	  "fails, or you interrupt it, nothing is saved and all is as before.\n" },
	{ "drop", cmd_drop, "take back what save has done", "[--free] NAME",
	  "  --free         also what has come from the last kernel: it is lost\n" },
	{ "restore", cmd_restore, "put what has crossed to where it was",
	  "[--over] NAME...\n[--over] --all",
	  "  --all          everything that has come\n"
	  "  --over         also over other mounts and files that are there\n"
	  "\nWhat cannot be restored is kept: restore it again when the reason is gone.\n" },
	{ "verify", cmd_verify, "is what has been restored as it was noted before the kexec?",
	  "NAME...\n--all",
	  "  --all          all of which checksums were noted\n"
	  "\nsave --verify and Verify=yes in /etc/preserve.d note them. restore compares by itself;\n"
	  "this does it once more. What programs have changed meanwhile differs.\n" },
	{ "run", cmd_run, "start a program with memory that is there again the next time",
	  "NAME [--tmpfs SIZE [--at DIR]] [--memfd SIZE] -- COMMAND...",
	  "  --tmpfs SIZE   a tmpfs, at /run/preserve/NAME; its path is in PRESERVE_DIR\n"
	  "  --at DIR       the tmpfs is there\n"
	  "  --memfd SIZE   a memfd, as descriptor 3; LISTEN_FDS and LISTEN_FDNAMES say so, too\n"
	  "\nPRESERVE_STATE is \"fresh\", \"kept\" (from an earlier run) or \"restored\" (from an earlier\n"
	  "kernel). kexec saves it, and save NAME does. drop --free NAME ends it.\n" },
	{ "agent", cmd_agent, "what the units of systemd run",
	  "[--service] restore|save|check",
	  "  restore        at boot: puts what has come to its place, and keeps what\n"
	  "                 /etc/preserve.d names; mounts what of it has not come\n"
	  "  save           at shutdown: saves what is kept, if a kexec is on its way\n"
	  "  check          says what is wrong in /etc/preserve.d\n"
	  "  --service      one of preservectl's own services calls: keepers stay in it\n" },
	{ "kexec", cmd_kexec, "check, load the next kernel, and enter it",
	  "[OPTION...]",
	  "  --kernel FILE  the image; the newest that is installed if you do not say\n"
	  "  --initrd FILE  its initial file system; \"none\" for none\n"
	  "  --append TEXT  words behind its command line\n"
	  "  --cmdline TEXT its whole command line; that of this kernel if you do not say\n"
	  "  --entry NAME   an entry of the boot loader's\n"
	  "  --dry-run      only check, and say what would be done\n"
	  "  --load-only    check and load, and do not enter it\n"
	  "  --force        even if something will be lost\n" },
	{ "dump", cmd_dump, "what the kernel hands over of a file: for those who look for faults",
	  "[OPTION...] NAME [TOKEN]\n[OPTION...] --session SESSION [TOKEN]\n[OPTION...] --at ADDRESS",
	  "  NAME alone     its files: tokens, and where their records are\n"
	  "  TOKEN          that file's record, with the map of its memory; of a mount its tree\n"
	  "  --map          of a mount, too, the map: where the image of its tree is\n"
	  "  --raw WHAT     record, map or image, as it is in memory, to standard output\n"
	  "  --session      a session that is not preservectl's\n"
	  "  --at ADDRESS   a record by its physical address\n" },
};

#define NR_COMMANDS	ARRAY_SIZE(commands)

static const char status_help[] =
	"Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused because something would be\n"
	"lost, 4 this kernel cannot do it, 5 a part is done and the rest can be tried again,\n"
	"6 done, but something is not what was noted of it, or could not be compared.\n";

static const struct command *find(const char *name)
{
	for (unsigned int i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static void print_use(FILE *to, const struct command *command)
{
	const char *head = "usage:", *line = command->use, *end;

	do {
		end = strchrnul(line, '\n');
		fprintf(to, "%-6s preservectl %s %.*s\n", head, command->name,
			(int)(end - line), line);
		head = "";
		line = end + 1;
	} while (*end);
}

static void print_help(const struct command *command)
{
	print_use(stdout, command);
	printf("\n%s\n\n%s%s\n%s", command->what, command->help,
	       "  --json         the result as JSON\n"
	       "  --quiet        no progress, no notes\n", status_help);
}

static void print_commands(FILE *to)
{
	fprintf(to, "usage: preservectl [--json] [--quiet] COMMAND ...\n\n"
		"Keeps memory over a kexec: mounts of tmpfs and hugetlbfs, files, memfds.\n\n");
	for (unsigned int i = 0; i < NR_COMMANDS; i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
	fprintf(to, "\npreservectl COMMAND --help says more, and so does preservectl(8).\n\n%s",
		status_help);
}

int ctl_usage(const char *name)
{
	print_use(stderr, find(name));
	fprintf(stderr, "  next: preservectl %s --help\n", name);
	return CTL_USAGE;
}

int ctl_getopt(int argc, char **argv, const struct option *options)
{
	static const struct option common[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'J' },
		{ "quiet", no_argument, NULL, 'Q' },
	};
	struct option all[32] = {};
	unsigned int nr = ARRAY_SIZE(common);
	int c;

	memcpy(all, common, sizeof(common));
	for (; options && options->name && nr < 31; options++)
		all[nr++] = *options;
	while ((c = getopt_long(argc, argv, "+h", all, NULL)) != -1) {
		switch (c) {
		case 'h':
			print_help(find(argv[0]));
			exit(CTL_DONE);
		case 'J':
			ctl.json = true;
			break;
		case 'Q':
			ctl.quiet = true;
			break;
		case '?':
			fprintf(stderr, "  next: preservectl %s --help\n", argv[0]);
			return '?';
		default:
			return c;
		}
	}
	return -1;
}

/* Options before the command. Return: the place of the command, or -1 to end with *status. */
static int global_options(int argc, char **argv, int *status)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'J' },
		{ "quiet", no_argument, NULL, 'Q' },
		{ "version", no_argument, NULL, 'V' },
		{},
	};
	int c;

	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			print_commands(stdout);
			*status = CTL_DONE;
			return -1;
		case 'V':
			puts("preservectl " VERSION);
			*status = CTL_DONE;
			return -1;
		case 'J':
			ctl.json = true;
			break;
		case 'Q':
			ctl.quiet = true;
			break;
		default:
			*status = CTL_USAGE;
			return -1;
		}
	}
	return optind;
}

static atomic_bool interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = true;
}

static bool caught;

static void set_signals(const struct sigaction *action)
{
	sigaction(SIGINT, action, NULL);
	sigaction(SIGTERM, action, NULL);
	sigaction(SIGHUP, action, NULL);
}

void ctl_catch_signals(void)
{
	/* Calls that wait are to end. */
	set_signals(&(struct sigaction){ .sa_handler = interrupt });
	caught = true;
}

void ctl_hold_signals(void)
{
	if (!caught)
		set_signals(&(struct sigaction){ .sa_handler = SIG_IGN });
}

bool ctl_interrupted(void)
{
	return interrupted;
}

static bool end_killed;

void ctl_end_killed(void)
{
	end_killed = true;
}

/* A session may have thousands of files. The programs that run starts get the old limit back. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	ctl.files = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* What is opened must not become one of the three that messages go to. */
static void open_standard(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_RDWR);
}

int main(int argc, char **argv)
{
	const struct command *command;
	int status, at;

	open_standard();

	/* Keepers run this very program. */
	if (argc > 1 && !strcmp(argv[1], KEEPER_COMMAND))
		return cmd_keep(argc - 1, argv + 1);
	at = global_options(argc, argv, &status);
	if (at < 0)
		return status;
	if (at == argc) {
		print_commands(stderr);
		return CTL_USAGE;
	}
	command = find(argv[at]);
	if (!command)
		return fail(CTL_USAGE, "preservectl --help lists the commands",
			    "there is no command %s", argv[at]);
	optind = 0;
	raise_limit();
	status = command->run(argc - at, argv + at);
	if ((fflush(stdout) || ferror(stdout)) && !status)
		status = fail(CTL_FAILED, NULL, "cannot write to standard output");
	if (end_killed)
		raise(SIGKILL);
	return status;
}
