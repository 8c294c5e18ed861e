// SPDX-License-Identifier: GPL-2.0-only
/*
 * The frame of a test that goes through several kernels; see stage.h.
 */

#include "stage.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "preserve.h"

static unsigned int checks;

unsigned int stage_number(void)
{
	return vm_stage();
}

bool stage_check(bool ok, const char *file, int line, const char *fmt, ...)
{
	int saved_errno = errno;
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);

	checks++;
	if (!ok)
		ksft_print_msg("%s:%d: not so (errno %d)\n", file, line,
			       saved_errno);
	ksft_test_result(ok, "stage %u: %s\n", stage_number(), text);
	return ok;
}

void stage_fail(const char *file, int line, const char *fmt, ...)
{
	int saved_errno = errno;
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	ksft_exit_fail_msg("%s:%d: %s (errno %d)\n", file, line, text,
			   saved_errno);
}

/* Closes this kernel's TAP: the plan stands at its end. */
static void close_plan(void)
{
	/* A stage that only prepares says that it got to its end. */
	check(true, "done");
	ksft_set_plan(checks);
}

void stage_load_next(void)
{
	static bool loaded;
	int err = loaded ? 0 : vm_load_next();

	require(!err, "load the next kernel: %d", err);
	loaded = true;
}

void stage_next_after(void (*last)(void))
{
	int err;

	stage_load_next();
	close_plan();
	if (ksft_get_fail_cnt())
		ksft_exit_fail();
	fflush(stdout);
	vm_mark_log();
	if (last)
		last();
	err = preserve_kexec_reboot();
	ksft_exit_fail_msg("enter the next kernel: %d\n", err);
}

void stage_next(void)
{
	stage_next_after(NULL);
}

static int run_one(stage_fn run, unsigned int nr)
{
	ksft_print_header();
	if (vm_stage() < 0)
		ksft_exit_skip("goes through kexec: run it with scripts/vm\n");
	require(stage_number() < nr, "stage %u of %u", stage_number(), nr);
	run();
	if (stage_number() + 1 < nr)
		stage_next();
	close_plan();
	ksft_finished();
}

int stage_run(const stage_fn *table, unsigned int nr)
{
	int stage = vm_stage();

	return run_one(stage >= 0 && (unsigned int)stage < nr ?
		       table[stage] : NULL, nr);
}

int stage_run_rounds(stage_fn run, unsigned int nr)
{
	return run_one(run, nr);
}

static int open_session(int (*open)(int device, const char *name),
			const char *name)
{
	int device, session;

	device = preserve_device_open();
	require(device >= 0, "open the live update device: %d", device);
	session = open(device, name);
	require(session >= 0, "open session %s: %d", name, session);
	close(device);
	return session;
}

int stage_session_create(const char *name)
{
	return open_session(preserve_session_create, name);
}

int stage_session_retrieve(const char *name)
{
	return open_session(preserve_session_retrieve, name);
}

void stage_session_finish(int session)
{
	int err = preserve_session_finish(session);

	require(!err, "finish a session: %d", err);
	close(session);
}
