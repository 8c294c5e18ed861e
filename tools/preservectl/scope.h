/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * systemd ends the processes of a unit with the unit: of a login at its end, of all at
 * shutdown. A transient scope of its own, that nothing stops, keeps a keeper from that.
 */
#ifndef SCOPE_H
#define SCOPE_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * scope_make() - put a process into a scope of its own
 * @pid: the process
 * @name: what it keeps
 *
 * Return: 0, also where systemd does not run; or a negative errno.
 */
int scope_make(pid_t pid, const char *name);

/**
 * scope_is_safe() - does a process live until the kexec?
 * @pid: the process
 * @unit: the unit that it is in, for a message; 128 bytes
 *
 * Return: Is it in a scope of ours, in a service of ours that leaves it alone, or in no unit?
 */
bool scope_is_safe(pid_t pid, char *unit);

#endif /* SCOPE_H */
