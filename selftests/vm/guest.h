/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program inside a test VM asks of it: the number of its stage and the
 * way into the next kernel. scripts/vm puts one file per later stage into the
 * initial file system, /vm/next/N, with the kernel's path on its first line
 * and its command line on the second.
 */

#ifndef VM_GUEST_H
#define VM_GUEST_H

#include <stdbool.h>

/**
 * vm_stage() - the stage of this run
 *
 * Return: 0 in the first kernel, one more in each further one, -1 outside a
 * test VM.
 */
int vm_stage(void);

/**
 * vm_has_next() - is there a stage after this one?
 */
bool vm_has_next(void);

/* Room for the texts of vm_next(). */
#define VM_KERNEL_SIZE	256
#define VM_CMDLINE_SIZE	2304

/* The initial file system, as a file. */
#define VM_INITRD	"/sys/firmware/initrd"

/**
 * vm_next() - which kernel comes next
 * @kernel: its path, %VM_KERNEL_SIZE
 * @cmdline: its command line, %VM_CMDLINE_SIZE
 *
 * Return: 0, or a negative errno.
 */
int vm_next(char *kernel, char *cmdline);

/**
 * vm_load_next() - load the next stage's kernel
 *
 * The rest of the initial file system's bytes are this kernel's own, so every
 * stage has the same programs.
 *
 * Return: 0, or a negative errno.
 */
int vm_load_next(void);

/**
 * vm_mark_log() - close this stage's part of the kernel log
 *
 * The host sees by the mark that it got the whole of it.
 */
void vm_mark_log(void);

#endif /* VM_GUEST_H */
