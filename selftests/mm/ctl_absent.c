// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl on a kernel that preserves nothing: it says so, and what to do.
 */

#include <string.h>

#include "command.h"
#include "stage.h"

static void run(void)
{
	static const char * const words[] = {
		"save x /tmp", "save --all", "restore x", "restore --all", "list", "pool",
		"pool grow 2M", "run x --memfd 1M -- /bin/true", "agent restore", "agent save",
	};

	command_gives(COMMAND_NO_SUPPORT, "preserves nothing", "status");
	command_gives(COMMAND_NO_SUPPORT, "\"preserves\": false", "--json status");
	command_gives(COMMAND_NO_SUPPORT, "preserve_up 0", "status --prometheus");
	for (unsigned int i = 0; i < STAGE_COUNT(words); i++)
		command_gives(COMMAND_NO_SUPPORT, "next: ", "%s", words[i]);
	command_gives(COMMAND_DONE, NULL, "agent check");
	/* There is nothing to lose, but this is no kernel. */
	command_gives(COMMAND_REFUSED, "nothing to lose", "kexec --dry-run --kernel " COMMAND);
	check(strstr(command_said(), "cannot load"), "it cannot be loaded");
}

static const stage_fn stages[] = { run };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
