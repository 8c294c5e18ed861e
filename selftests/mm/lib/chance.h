/* SPDX-License-Identifier: GPL-2.0-only */
/* Random numbers for tests that say by which seed they ran, and can run by it again. */

#ifndef CHANCE_H
#define CHANCE_H

#include <linux/types.h>

/* Begins with the number in @text, or a random one if that is NULL. */
void chance_start(const char *text);

/* The same with a number; each thread has its own. */
void chance_go_on(__u64 seed);

/* What chance_start() would go on by: print it. */
__u64 chance_seed(void);

/* From 0 to @end - 1. */
__u64 below(__u64 end);

#endif /* CHANCE_H */
