// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest side of a test VM's stages; see guest.h.
 */

#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "preserve.h"

#define NEXT	"/vm/next/%d"

int vm_stage(void)
{
	const char *stage = getenv("PRESERVE_STAGE");

	return stage && getenv("PRESERVE_TOKEN") ? atoi(stage) : -1;
}

static void next_path(char *path, size_t size)
{
	snprintf(path, size, NEXT, vm_stage() + 1);
}

bool vm_has_next(void)
{
	char path[64];

	next_path(path, sizeof(path));
	return !access(path, R_OK);
}

/* Reads one line without its end. */
static int read_line(FILE *file, char *line, size_t size)
{
	if (!fgets(line, size, file))
		return -EINVAL;
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

int vm_next(char *kernel, char *cmdline)
{
	char path[64], append[2048];
	FILE *file;
	int err;

	next_path(path, sizeof(path));
	file = fopen(path, "re");
	if (!file)
		return -errno;
	err = read_line(file, kernel, VM_KERNEL_SIZE);
	if (!err)
		err = read_line(file, append, sizeof(append));
	fclose(file);
	if (!err)
		snprintf(cmdline, VM_CMDLINE_SIZE,
			 "%s preserve.token=%s preserve.stage=%d", append,
			 getenv("PRESERVE_TOKEN"), vm_stage() + 1);
	return err;
}

int vm_load_next(void)
{
	char kernel[VM_KERNEL_SIZE], cmdline[VM_CMDLINE_SIZE];
	int err = vm_next(kernel, cmdline);

	return err ? err : preserve_kexec_load(kernel, VM_INITRD, cmdline);
}

static void mark_log(int fd, const char *what)
{
	char mark[256];

	snprintf(mark, sizeof(mark), "<5>preserve-vm: %s stage %d %s\n",
		 getenv("PRESERVE_TOKEN"), vm_stage(), what);
	if (write(fd, mark, strlen(mark)) < 0)
		perror("/dev/kmsg");
}

void vm_mark_log(void)
{
	struct timespec pause = { 0, 50000000 };
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	mark_log(fd, "ends");
	/* The console prints from a thread of its own. */
	nanosleep(&pause, NULL);
	mark_log(fd, "reboots");
	close(fd);
}
