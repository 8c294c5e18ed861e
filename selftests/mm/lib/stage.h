/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frame of a test that goes through several kernels.
 *
 * A test is a table with one function per kernel. When a function returns, the
 * frame enters the next kernel and runs the next function there; what crosses
 * is only what the function preserved, in sessions that it leaves open. Each
 * function's checks are TAP lines of their own, with a plan at their end.
 *
 *	static void before(void) { ... check(fd >= 0, "file is made"); ... }
 *	static void after(void) { ... }
 *	static const stage_fn stages[] = { before, after };
 *
 *	int main(void) { return stage_run(stages, STAGE_COUNT(stages)); }
 */

#ifndef STAGE_H
#define STAGE_H

#include <stdbool.h>

#include "kselftest.h"

#define STAGE_COUNT(table)	(sizeof(table) / sizeof((table)[0]))

typedef void (*stage_fn)(void);

/* Runs this kernel's function of the table; the value is for main(). */
int stage_run(const stage_fn *table, unsigned int nr);

/* The same with one function for all of @nr kernels; see stage_number(). */
int stage_run_rounds(stage_fn run, unsigned int nr);

/* 0 in the first kernel. */
unsigned int stage_number(void);

/* Loads the next kernel, which happens with the stage's end otherwise. */
void stage_load_next(void);

/*
 * Enters the next kernel at once. Only for a function that has to do it from
 * a place of its own: returning from it does the same.
 */
void __noreturn stage_next(void);

/* The same; @last is called when all is ready. */
void __noreturn stage_next_after(void (*last)(void));

/* One TAP line. Gives back @ok. */
bool __printf(4, 5) stage_check(bool ok, const char *file, int line,
				const char *fmt, ...);

/* Ends the test as failed. */
void __noreturn __printf(3, 4) stage_fail(const char *file, int line,
					  const char *fmt, ...);

/* A check that lets the test go on. */
#define check(ok, ...) \
	stage_check(ok, __FILE__, __LINE__, __VA_ARGS__)

/* A check whose failure leaves nothing to go on with; silent when it holds. */
#define require(ok, ...)						\
	do {								\
		if (!(ok))						\
			stage_fail(__FILE__, __LINE__, __VA_ARGS__);	\
	} while (0)

/* Sessions; a failure ends the test. */
int stage_session_create(const char *name);
int stage_session_retrieve(const char *name);
void stage_session_finish(int session);

#endif /* STAGE_H */
