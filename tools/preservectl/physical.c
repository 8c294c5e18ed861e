// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/kcore is a core file of the running kernel: its program headers say which part of it
 * is which physical memory.
 */

#include "physical.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KCORE	"/proc/kcore"

/* What is mapped without a physical address. */
#define NOWHERE	UINT64_MAX

/**
 * struct physical_range - Memory in a row.
 * @start:  Its physical address.
 * @size:   Bytes.
 * @offset: Where it is in the file.
 */
struct physical_range {
	uint64_t start;
	uint64_t size;
	uint64_t offset;
};

static int read_all(int fd, void *to, size_t size, uint64_t at)
{
	while (size) {
		ssize_t got = pread(fd, to, size, at);

		if (got <= 0)
			return got ? -errno : -EFAULT;
		to = (char *)to + got;
		size -= got;
		at += got;
	}
	return 0;
}

static int read_ranges(struct physical *physical, const Elf64_Ehdr *head)
{
	Elf64_Phdr segment;
	int err = 0;

	physical->ranges = calloc(head->e_phnum + 1, sizeof(*physical->ranges));
	if (!physical->ranges)
		return -ENOMEM;
	for (unsigned int i = 0; !err && i < head->e_phnum; i++) {
		err = read_all(physical->fd, &segment, sizeof(segment),
			       head->e_phoff + i * sizeof(segment));
		if (!err && segment.p_type == PT_LOAD && segment.p_paddr != NOWHERE)
			physical->ranges[physical->nr++] = (struct physical_range){
				segment.p_paddr, segment.p_memsz, segment.p_offset,
			};
	}
	return err;
}

int physical_open(struct physical *physical)
{
	Elf64_Ehdr head;
	int err;

	*physical = (struct physical){ .fd = open(KCORE, O_RDONLY | O_CLOEXEC) };
	if (physical->fd < 0)
		return -errno;
	err = read_all(physical->fd, &head, sizeof(head), 0);
	if (!err && (memcmp(head.e_ident, ELFMAG, SELFMAG) ||
		     head.e_ident[EI_CLASS] != ELFCLASS64 ||
		     head.e_phentsize != sizeof(Elf64_Phdr)))
		err = -ENOEXEC;
	if (!err)
		err = read_ranges(physical, &head);
	if (err)
		physical_close(physical);
	return err;
}

int physical_read(const struct physical *physical, uint64_t address, void *to, size_t size)
{
	for (size_t i = 0; i < physical->nr; i++) {
		const struct physical_range *range = &physical->ranges[i];

		if (address >= range->start && address - range->start < range->size &&
		    size <= range->size - (address - range->start))
			return read_all(physical->fd, to, size,
					range->offset + (address - range->start));
	}
	return -EFAULT;
}

void physical_close(struct physical *physical)
{
	if (physical->fd >= 0)
		close(physical->fd);
	free(physical->ranges);
	*physical = (struct physical){ .fd = -1 };
}
