/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The list of sessions, for the commands that show it.
 */
#ifndef LIST_H
#define LIST_H

#include <stdbool.h>

struct json_object;

/**
 * list_sessions() - all sessions, and what is kept for programs
 * @rows: a new array, a row for each
 * @listed: the kernel has listed them; otherwise those are missing that no process holds
 *
 * Return: 0, or a negative errno.
 */
int list_sessions(struct json_object **rows, bool *listed);

/* Shows the rows. */
void list_table(struct json_object *rows);

#endif /* LIST_H */
