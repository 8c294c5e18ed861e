// SPDX-License-Identifier: GPL-2.0-only
/*
 * DPDK's memory manager, which knows nothing of preserved memory, on a hugetlbfs: a program
 * that is started after the kexec finds what the one before it has left, at the same virtual
 * and the same bus address.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "memory.h"
#include "program.h"
#include "stage.h"
#include "store.h"

#define CLIENT	"/bin/dpdk-client"

/* Gives the exit status; @where is set to what the program says of its memory. */
static int client(const char *what, const char *seed, char where[128])
{
	struct program run = program_start(PROGRAM_ARGV(CLIENT, STORE, what, seed));
	int status = program_wait(&run);
	const char *line = strstr(program_output(&run), "memory at ");

	snprintf(where, 128, "%.*s", line ? (int)strcspn(line, "w") : 0, line ?: "");
	if (!line)
		program_show(&run);
	return status;
}

static void prepare(void)
{
	program_prepare_system();
	mkdir("/var", 0755);
	mkdir("/var/run", 0755);
}

static void write_all(void)
{
	char where[128];

	prepare();
	store_make_huge("pagesize=2M,size=48M");
	check(!client("write", "1", where), "written: %s", where);
	store_preserve(where);
}

static void go_on(void)
{
	char where[128], before[128];

	prepare();
	snprintf(before, sizeof(before), "%s", store_restore());
	check(!client("check", "1", where), "all is there: %s", where);
	check(*where && !strcmp(where, before), "at the same addresses");
	check(!client("write", "2", where), "written again");
	store_preserve(before);
}

static void find(void)
{
	char where[128], before[128];

	prepare();
	snprintf(before, sizeof(before), "%s", store_restore());
	check(client("check", "1", where) == 1, "what was there before is not");
	check(!client("check", "2", where), "what was written last is");
	check(*where && !strcmp(where, before), "at the same addresses");
}

int main(void)
{
	static const stage_fn stages[] = { write_all, go_on, find };

	return stage_run(stages, STAGE_COUNT(stages));
}
