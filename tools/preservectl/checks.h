/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether the next kernel takes everything over: looked at while there is time to refuse.
 */
#ifndef CHECKS_H
#define CHECKS_H

#include <stdbool.h>

#include "image.h"

/**
 * struct plan - The next kernel.
 * @kernel:  Its image.
 * @initrd:  Its initial file system, or NULL.
 * @cmdline: Its command line.
 * @without_initrd: The user wants none.
 */
struct plan {
	char *kernel;
	char *initrd;
	char *cmdline;
	bool without_initrd;
};

enum check_result {
	CHECK_GOOD,
	CHECK_WARN,	/* look at it; nothing that is saved is lost */
	CHECK_BAD,	/* something is lost */
};

/**
 * struct checks - What has been found.
 * @rows: A row for each: check, result, detail, next.
 * @bad:  How many are bad.
 * @image: What is known of the image.
 */
struct checks {
	struct json_object *rows;
	unsigned int bad;
	struct image image;
};

/* Looks at everything that can be known without loading. Free it with checks_free(). */
void checks_run(struct checks *checks, const struct plan *plan);

/* One more finding. @next may be NULL. */
void checks_add(struct checks *checks, const char *name, enum check_result result,
		const char *next, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* As a table. Without @all those that are good are counted only. */
void checks_print(const struct checks *checks, bool all);

void checks_free(struct checks *checks);

#endif /* CHECKS_H */
