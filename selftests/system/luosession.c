// SPDX-License-Identifier: GPL-2.0-only
/*
 * A service of make check-system with LUOSession=state: systemd gives it a session of the Live
 * Update Orchestrator, and keeps it over the kexec. A memfd is in it from the start, so nothing
 * of it is left to do in the outage. A word of each page says which page it is.
 *
 * A session is good for one kexec. Each start makes a new one of the same name, and gives it to
 * systemd in place of the old one.
 *
 * Writes to /run/system-luosession what it has found, and waits.
 */

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "preserve.h"

#define SESSION	"state"		/* LUOSession= */
#define TOKEN	1
#define SIZE	(64UL << 20)
#define PAGE	4096UL
#define SEED	0x9e3779b97f4a7c15ULL

/* From systemd, by the name that it has there. */
static int session_given(void)
{
	char **names;
	int nr = sd_listen_fds_with_names(1, &names);

	for (int i = 0; i < nr; i++)
		if (!strcmp(names[i], SESSION))
			return SD_LISTEN_FDS_START + i;
	return -ENOENT;
}

/* Another process may have the device for a moment. */
static int session_new(const char *name)
{
	int device, session;

	while ((device = preserve_device_open()) == -EBUSY)
		poll(NULL, 0, 20);
	if (device < 0)
		return device;
	session = preserve_session_create(device, name);
	close(device);
	return session;
}

/* The old one has to be closed everywhere before its name is free. */
static int session_renew(int old, int memory)
{
	char name[PRESERVE_SESSION_NAME_SIZE];
	int err = preserve_session_name(old, name, sizeof(name)), new;

	if (err)
		return err;
	close(old);
	sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" SESSION);
	sd_notify_barrier(0, UINT64_MAX);
	new = session_new(name);
	if (new < 0)
		return new;
	err = preserve_session_add_fd(new, memory, TOKEN);
	if (!err)
		err = sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=" SESSION, &new, 1);
	/* systemd has it now: none that this process holds would live until the kexec. */
	sd_notify_barrier(0, UINT64_MAX);
	close(new);
	return err < 0 ? err : 0;
}

static int memory_make(void)
{
	int memory = preserve_memfd_create("luosession", 0);

	return memory < 0 || !ftruncate(memory, SIZE) ? memory : -errno;
}

static void fill(uint64_t *mem)
{
	for (size_t i = 0; i < SIZE / PAGE; i++)
		mem[i * PAGE / sizeof(*mem)] = i * SEED + 1;
}

static bool is_good(const uint64_t *mem)
{
	for (size_t i = 0; i < SIZE / PAGE; i++)
		if (mem[i * PAGE / sizeof(*mem)] != i * SEED + 1)
			return false;
	return true;
}

static int serve(FILE *report)
{
	int session = session_given(), memory, err = 0;
	uint64_t *mem;
	bool come;

	if (session < 0)
		return session;
	/* -EINVAL: it has not crossed. */
	memory = preserve_session_get_fd(session, TOKEN);
	come = memory >= 0;
	if (come)
		err = preserve_session_finish(session);
	else if (memory == -EINVAL)
		memory = memory_make();
	if (err || memory < 0)
		return err ?: memory;
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (mem == MAP_FAILED)
		return -errno;
	if (!come)
		fill(mem);
	err = session_renew(session, memory);
	if (!err)
		fprintf(report, "%s%s\n", come ? "" : "new ", is_good(mem) ? "good" : "bad");
	return err;
}

int main(void)
{
	FILE *report = fopen("/run/system-luosession", "we");
	int err = report ? serve(report) : -errno;

	if (err) {
		fprintf(stderr, "luosession: %s\n", strerror(-err));
		return 1;
	}
	fclose(report);
	sd_notify(0, "READY=1");
	for (;;)
		pause();
}
