// SPDX-License-Identifier: GPL-2.0-only
/* See qemu.h. */

#include "qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "qemu_guest.h"
#include "stage.h"

#define QEMU	"/usr/bin/qemu-system-x86_64"
#define DISK	"/tmp/guest.img"
#define MONITOR	"/tmp/monitor"
#define PROMPT	"(qemu) "

unsigned long long qemu_memory = 64ULL << 20;
bool qemu_prealloc;

static void disk_make(void)
{
	int fd = open(DISK, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

	require(fd >= 0 && write(fd, qemu_guest, QEMU_GUEST_SIZE) == QEMU_GUEST_SIZE &&
		!ftruncate(fd, 1 << 20), "make the guest's disk");
	close(fd);
}

/* Until @end is the last that it says. Gives what it has said, until the next call. */
static const char *monitor_read(int monitor, const char *end)
{
	static char text[16384];
	size_t len = 0;

	text[0] = '\0';
	while (len < strlen(end) || strcmp(text + len - strlen(end), end)) {
		ssize_t nr = read(monitor, text + len, sizeof(text) - 1 - len);

		require(nr > 0, "QEMU's monitor says no more than: %s", text);
		len += nr;
		text[len] = '\0';
	}
	return text;
}

static const char *ask(const struct qemu *qemu, const char *command)
{
	dprintf(qemu->monitor, "%s\n", command);
	return monitor_read(qemu->monitor, PROMPT);
}

static int monitor_open(const struct program *program)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = MONITOR };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	require(fd >= 0, "make a socket");
	while (connect(fd, (struct sockaddr *)&at, sizeof(at))) {
		if (!program_runs(program)) {
			program_show(program);
			require(false, "QEMU has ended");
		}
		program_pause();
	}
	monitor_read(fd, PROMPT);
	return fd;
}

struct qemu qemu_start(const char *accel, const char *memory, const char *serial, bool incoming)
{
	char backend[128], port[64], size[16];
	struct qemu qemu = { .serial = serial };

	disk_make();
	unlink(MONITOR);
	snprintf(size, sizeof(size), "%lluM", qemu_memory >> 20);
	snprintf(backend, sizeof(backend),
		 "memory-backend-file,id=m,mem-path=%s,size=%s,share=on,prealloc=%s", memory, size,
		 qemu_prealloc && !incoming ? "on" : "off");
	snprintf(port, sizeof(port), "file:%s", serial);
	/* No -incoming ends the list. */
	qemu.program = program_start(PROGRAM_ARGV(QEMU, "-accel", accel, "-nodefaults",
						  "-no-user-config", "-display", "none",
						  "-machine", "pc,memory-backend=m", "-m", size,
						  "-object", backend, "-serial", port,
						  "-drive", "file=" DISK ",format=raw,if=ide",
						  "-monitor", "unix:" MONITOR ",server=on,wait=off",
						  incoming ? "-incoming" : NULL, "defer"));
	qemu.monitor = monitor_open(&qemu.program);
	return qemu;
}

struct qemu_rounds qemu_rounds(const char *serial)
{
	FILE *file = fopen(serial, "re");
	struct qemu_rounds rounds = {};
	char line[64], what;
	unsigned int value;

	while (file && fgets(line, sizeof(line), file)) {
		if (!strchr(line, '\n') || sscanf(line, "%c%8x", &what, &value) != 2)
			continue;
		if (what == 'W') {
			rounds.wrong++;
			continue;
		}
		if (!rounds.nr++)
			rounds.first = value;
		rounds.last = value;
	}
	if (file)
		fclose(file);
	return rounds;
}

void qemu_wait_rounds(const struct qemu *qemu, unsigned int nr)
{
	while (qemu_rounds(qemu->serial).nr < nr) {
		require(program_runs(&qemu->program), "QEMU has ended");
		program_pause();
	}
}

static void migration_wait(const struct qemu *qemu)
{
	const char *state;

	while (!strstr(state = ask(qemu, "info migrate"), "completed")) {
		require(!strstr(state, "failed"), "migration: %s", state);
		program_pause();
	}
}

void qemu_save(struct qemu *qemu, const char *path)
{
	char command[128];

	ask(qemu, "stop");
	ask(qemu, "migrate_set_capability x-ignore-shared on");
	snprintf(command, sizeof(command), "migrate -d \"exec:cat > %s\"", path);
	ask(qemu, command);
	migration_wait(qemu);
	qemu_end(qemu);
}

void qemu_load(struct qemu *qemu, const char *path)
{
	char command[128];

	ask(qemu, "migrate_set_capability x-ignore-shared on");
	snprintf(command, sizeof(command), "migrate_incoming \"exec:cat %s\"", path);
	ask(qemu, command);
	migration_wait(qemu);
	ask(qemu, "cont");
}

void qemu_end(struct qemu *qemu)
{
	dprintf(qemu->monitor, "quit\n");
	require(!program_wait(&qemu->program), "QEMU ends");
	close(qemu->monitor);
}
