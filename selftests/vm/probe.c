// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes trouble on request, for the tests of the harness in scripts/vmlib.
 *
 *	vm-probe good		passes at once
 *	vm-probe fail		fails at once
 *	vm-probe slow N		passes after N seconds, with a word each second
 *	vm-probe still		never says a word
 *	vm-probe CRASHPOINT N	asks the kernel for trouble: WARNING, HARDLOCKUP ...
 *				and goes on as slow if it comes back
 *
 * N is 60 if it is left out.
 */

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest.h"

#define PROVOKE	"/sys/kernel/debug/provoke-crash/DIRECT"
#define LATER	60

static void slow(int seconds)
{
	while (seconds-- > 0) {
		ksft_print_msg("%d s to go\n", seconds);
		sleep(1);
	}
}

static void provoke(const char *point)
{
	int fd = open(PROVOKE, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		ksft_exit_fail_msg("the kernel has no %s\n", PROVOKE);
	if (write(fd, point, strlen(point)) < 0)
		ksft_exit_fail_msg("the kernel knows no %s\n", point);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	bool fails = !strcmp(what, "fail");

	ksft_print_header();
	ksft_set_plan(1);
	if (!strcmp(what, "still"))
		pause();
	if (strcmp(what, "good") && !fails) {
		if (strcmp(what, "slow"))
			provoke(what);
		slow(argc > 2 ? atoi(argv[2]) : LATER);
	}
	ksft_test_result(!fails, "%s\n", what);
	ksft_finished();
}
