/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * preservectl, run as a user would. The tests.list of such a test has
 *
 *	program-file = preservectl:/bin/preservectl
 */

#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "kselftest.h"

#define COMMAND		"/bin/preservectl"

/* The command's exit status. */
enum {
	COMMAND_DONE, COMMAND_FAILED, COMMAND_USAGE, COMMAND_REFUSED, COMMAND_NO_SUPPORT,
	COMMAND_PARTLY, COMMAND_DIFFERS
};

/* Runs it with these words, which spaces divide. The exit status. */
int __printf(1, 2) command(const char *fmt, ...);

/* One check: has it this exit status, and is @text (if not NULL) in what it says? */
bool __printf(3, 4) command_gives(int status, const char *text, const char *fmt, ...);

/* What it has said, both streams; the next run writes over it. */
const char *command_said(void);

/* The process that holds what is saved or kept under this name; 0 for none. */
pid_t command_keeper(const char *name);

/* Enters the next kernel by "preservectl kexec" with these further words. */
void __noreturn command_kexec(const char *options);

#endif /* COMMAND_H */
