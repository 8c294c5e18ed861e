/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Does one kernel take over what another one hands over? Both say what they know in a text
 * (include/linux/kho/abi/preserve.h, "What a kernel writes and reads").
 */
#ifndef FORMATS_H
#define FORMATS_H

#include <stdbool.h>

/**
 * struct formats_finding - One thing that does not fit.
 * @fatal: What has this format is lost, or all is. Otherwise a part may be.
 * @text:  What it is.
 */
struct formats_finding {
	bool fatal;
	char text[160];
};

#define FORMATS_MAX_FINDINGS	16

/**
 * formats_compare() - compare two texts
 * @ours: of the running kernel
 * @theirs: of the next one
 * @findings: filled in
 *
 * Return: how many findings, at most %FORMATS_MAX_FINDINGS.
 */
unsigned int formats_compare(const char *ours, const char *theirs,
			     struct formats_finding findings[FORMATS_MAX_FINDINGS]);

#endif /* FORMATS_H */
