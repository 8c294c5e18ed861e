/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages and sizes.
 */
#ifndef SAY_H
#define SAY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * fail() - tell the user what is wrong, and what to do next
 * @status: the exit status to give back
 * @next: what to do; NULL for nothing
 * @fmt: what is wrong
 *
 * Return: @status.
 */
int fail(int status, const char *next, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Something that is not in order, and stops nothing. */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What has been done; silent with --quiet and --json. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Room for size_text(). */
#define SIZE_TEXT	16

/**
 * size_text() - a size as people write it
 * @bytes: the size
 * @text: where to write it, at least %SIZE_TEXT bytes
 *
 * Return: @text.
 */
const char *size_text(uint64_t bytes, char *text);

/**
 * size_parse() - a size that the user has given
 * @text: a number, perhaps with K, M, G, T, P or E behind it, and i, B or iB behind that
 * @bytes: the size; untouched on failure
 *
 * Return: 0, or -EINVAL.
 */
int size_parse(const char *text, uint64_t *bytes);

/**
 * errno_text() - what a negative errno means
 * @err: the value; its name and its text are shown
 *
 * Return: a text, good until the next call.
 */
const char *errno_text(int err);

/* Text that may have any bytes: what would move a terminal's cursor is shown as '?'. */
void print_safely(FILE *stream, const char *text, size_t len);

/* The exit status of both: what failed says more than what differs. */
int worse_of(int a, int b);

#endif /* SAY_H */
