/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One command at a time saves, drops or restores; one at a time loads a kernel.
 */
#ifndef LOCK_H
#define LOCK_H

/* Two: for what is saved and restored; and for the kernel that is loaded. */
enum lock { LOCK_STATE, LOCK_KEXEC };

/*
 * Waits for the others. The lock goes with this process. Return: the exit status; what is
 * wrong has been told the user.
 */
int lock_take(enum lock which);

/* Lets the others go on: before this process waits for one of them. */
void lock_release(enum lock which);

#endif /* LOCK_H */
