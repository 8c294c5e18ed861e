/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs as the distribution ships them, started and stopped as a user would.
 *
 * A program's output goes to a file of its own in /tmp, both streams. It is shown
 * when the program ends in another way than the test wants. Whatever leaves
 * nothing to go on with ends the test.
 */

#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What program_wait() gives for a program that a signal has ended. */
#define PROGRAM_SIGNAL(sig)	(0x100 | (sig))

/**
 * struct program - a program that has been started
 * @name:   the last part of its path
 * @output: the path of its output
 * @pid:    its process
 */
struct program {
	char name[32];
	char output[48];
	pid_t pid;
};

/* The program's path, from a pattern as of glob(7) that has one match. */
const char *program_path(const char *pattern);

/*
 * Programs that are started from now on belong to this user and group, have this
 * directory and umask 077; 0: root, as at first.
 */
void program_become(uid_t user, const char *dir);

/* Programs that are started from now on find this directory at /tmp; NULL: the real one. */
void program_use_tmp(const char *dir);

/* Starts argv[0]; a NULL closes the list. */
struct program program_start(const char *const *argv);

/* Waits for the end, as long as it takes. The exit status, or PROGRAM_SIGNAL(). */
int program_wait(const struct program *program);

/* Is it still there? */
bool program_runs(const struct program *program);

/* Sends a signal and waits. */
int program_stop(const struct program *program, int sig);

/* Starts one and waits for it: the exit status. */
int program_run(const char *const *argv);

/*
 * The same, for a program that cannot fail without ending the test. Gives its
 * output, which the next call writes over.
 */
const char *program_output_of(const char *const *argv);

/* What a program has written so far; the next call writes over it. */
const char *program_output(const struct program *program);

/* Shows the last lines of the output in the test's own. */
void program_show(const struct program *program);

/* A list of words for the functions above. */
#define PROGRAM_ARGV(...)	((const char *const[]){ __VA_ARGS__, NULL })

/* Sleeps for a part of a second: between two looks at something. */
void program_pause(void);

/* What a server expects of a system: a loopback interface and known users. */
void program_prepare_system(void);

#endif /* PROGRAM_H */
