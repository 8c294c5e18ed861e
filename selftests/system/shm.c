// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program of make check-system that only knows POSIX shared memory.
 *
 *	system-shm write | check
 */

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME	"/system-shm"
#define SIZE	(8UL << 20)

int main(int argc, char **argv)
{
	int write = argc > 1 && !strcmp(argv[1], "write");
	int fd = shm_open(NAME, write ? O_RDWR | O_CREAT | O_EXCL : O_RDONLY, 0600);
	uint32_t *mem;

	if (fd < 0 || (write && ftruncate(fd, SIZE)))
		return 1;
	mem = mmap(NULL, SIZE, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return 1;
	for (uint32_t i = 0; i < SIZE / sizeof(*mem); i++) {
		if (write)
			mem[i] = i * 2654435761U;
		else if (mem[i] != i * 2654435761U)
			return 1;
	}
	return 0;
}
