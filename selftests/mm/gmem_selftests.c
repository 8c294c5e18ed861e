// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own tests of guest_memfd and of private memory pass as on a stock kernel.
 */

#include <string.h>

#include "program.h"
#include "stage.h"

static const char *const tests[] = {
	"/kvm/guest_memfd_test",
	"/kvm/x86/private_mem_conversions_test",
	"/kvm/x86/private_mem_kvm_exits_test",
};

static void run(void)
{
	unsigned int i;

	program_prepare_system();
	for (i = 0; i < STAGE_COUNT(tests); i++) {
		struct program test = program_start(PROGRAM_ARGV(tests[i]));
		int status = program_wait(&test);

		if (status)
			program_show(&test);
		check(!status, "%s: %d", strrchr(tests[i], '/') + 1, status);
	}
}

int main(void)
{
	static const stage_fn stages[] = { run };

	return stage_run(stages, STAGE_COUNT(stages));
}
