/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the running kernel says of itself.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All memory, not one node's. */
#define KERNEL_ALL_NODES	(-1)

/**
 * kernel_text() - read a small file of the kernel's
 * @path: which
 * @text: where to write it, without the newline at its end
 * @size: room there
 *
 * Return: 0, or a negative errno: -E2BIG if there is more.
 */
int kernel_text(const char *path, char *text, size_t size);

/* Writes a text to such a file. Return: 0, or a negative errno. */
int kernel_write(const char *path, const char *text);

/**
 * kernel_pool() - a number of the pool
 * @node: of which node, or %KERNEL_ALL_NODES
 * @name: the file in /sys/kernel/mm/preserve
 * @value: the number; 0 on failure
 *
 * Return: 0, or a negative errno.
 */
int kernel_pool(int node, const char *name, uint64_t *value);

/* The same of all nodes; 0 if it cannot be read. */
uint64_t kernel_pool_number(const char *name);

/* Writes to a file in /sys/kernel/mm/preserve. Return: 0, or a negative errno. */
int kernel_pool_write(const char *name, const char *text);

/* Is there a pool? Then this kernel preserves memory. */
bool kernel_has_pool(void);

/**
 * kernel_why_not() - why this kernel does not preserve memory, and what to do
 * @next: what to do
 *
 * Return: why, or NULL if it does.
 */
const char *kernel_why_not(const char **next);

/**
 * kernel_scratch() - what Kexec HandOver boots the next kernel from
 * @bytes: its size, in all
 * @largest: the largest area
 *
 * Return: how many areas, or a negative errno: debugfs has to be mounted.
 */
int kernel_scratch(uint64_t *bytes, uint64_t *largest);

/**
 * cmdline_value() - a word of a kernel's command line
 * @cmdline: the command line
 * @name: the word, before its '='
 * @value: where to write the last value; empty for a word without one
 * @size: room there
 *
 * Words in quotes are taken as the kernel takes them. What follows "--" is init's.
 *
 * Return: is the word there?
 */
bool cmdline_value(const char *cmdline, const char *name, char *value, size_t size);

/* Does a command line switch this on? Return: 1 or 0, -1 if it does not speak of it. */
int cmdline_switch(const char *cmdline, const char *name);

#endif /* KERNEL_H */
