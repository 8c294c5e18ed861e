/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine's memory by its physical address, read through /proc/kcore.
 */
#ifndef PHYSICAL_H
#define PHYSICAL_H

#include <stddef.h>
#include <stdint.h>

struct physical_range;

/**
 * struct physical - Memory that can be read.
 * @fd:     /proc/kcore.
 * @ranges: Where physical addresses are in it.
 * @nr:     How many.
 */
struct physical {
	int fd;
	struct physical_range *ranges;
	size_t nr;
};

/**
 * physical_open() - get ready to read memory
 * @physical: filled in; physical_close() it
 *
 * Return: 0, or a negative errno: -ENOENT without CONFIG_PROC_KCORE, -EPERM or -EACCES
 * without the right to, or where the kernel is locked down.
 */
int physical_open(struct physical *physical);

/* Reads @size bytes. Return: 0; -EFAULT if that is no memory of the kernel's. */
int physical_read(const struct physical *physical, uint64_t address, void *to, size_t size);

void physical_close(struct physical *physical);

#endif /* PHYSICAL_H */
