// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's fault injection; see fault.h. */

#include "fault.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "stage.h"

#define DEBUGFS	"/sys/kernel/debug/"

static int fail_fd = -1;

void fault_setup(void)
{
	static const char * const settings[][2] = {
		{ DEBUGFS "failslab/ignore-gfp-wait", "N" },
		{ DEBUGFS "failslab/verbose", "0" },
		{ DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N" },
		{ DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ DEBUGFS "fail_page_alloc/min-order", "0" },
		{ DEBUGFS "fail_page_alloc/verbose", "0" },
	};
	size_t i;

	for (i = 0; i < STAGE_COUNT(settings); i++)
		require(!text_write(settings[i][0], settings[i][1]),
			"%s: no fault injection in this kernel?",
			settings[i][0]);
	fail_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	require(fail_fd >= 0, "/proc/thread-self/fail-nth");
}

void fault_arm(unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth);

	require(pwrite(fail_fd, text, length, 0) == length, "arm");
}

bool fault_disarm(void)
{
	char text[16] = "";

	require(pread(fail_fd, text, sizeof(text) - 1, 0) > 0, "disarm");
	fault_arm(0);
	return !atoi(text);
}
