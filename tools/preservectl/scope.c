// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scopes, by systemd's D-Bus interface.
 */

#include "scope.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "kernel.h"
#include "spawn.h"

#define PRIVATE		"unix:path=/run/systemd/private"
#define SERVICE		"org.freedesktop.systemd1"
#define OBJECT		"/org/freedesktop/systemd1"
#define INTERFACE	"org.freedesktop.systemd1.Manager"

/* What our units' names begin with. */
#define OURS		"preserve-"

#define UNIT_SIZE	128

/* The process moves when systemd has got to it. */
#define TRIES		100
#define PAUSE_NS	50000000

/* The last part of its control group. */
static int unit_of(pid_t pid, char *unit)
{
	char path[32], text[4096], *line, *slash;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	err = kernel_text(path, text, sizeof(text));
	if (err)
		return err;
	/* The unified hierarchy, or systemd's own. */
	line = strstr(text, "0::");
	if (!line)
		line = strstr(text, "name=systemd:");
	if (!line)
		return -ENOENT;
	line[strcspn(line, "\n")] = '\0';
	slash = strrchr(line, '/');
	snprintf(unit, UNIT_SIZE, "%.127s", slash ? slash + 1 : "");
	return 0;
}

bool scope_is_safe(pid_t pid, char *unit)
{
	*unit = '\0';
	if (!systemd_runs())
		return true;
	return !unit_of(pid, unit) && (!*unit || !strncmp(unit, OURS, sizeof(OURS) - 1));
}

/* Early at boot, and late at shutdown, there is no system bus, but systemd itself. */
static int connect_to(sd_bus **bus)
{
	int err = sd_bus_open_system(bus);

	if (err >= 0)
		return 0;
	err = sd_bus_new(bus);
	if (err < 0)
		return err;
	err = sd_bus_set_address(*bus, PRIVATE);
	if (err >= 0)
		err = sd_bus_start(*bus);
	if (err < 0)
		*bus = sd_bus_unref(*bus);
	return err < 0 ? err : 0;
}

static int start_scope(pid_t pid, const char *unit)
{
	sd_bus *bus;
	int err = connect_to(&bus);

	if (err)
		return err;
	err = sd_bus_call_method(bus, SERVICE, OBJECT, INTERFACE, "StartTransientUnit", NULL,
				 NULL, "ssa(sv)a(sa(sv))", unit, "fail", 4,
				 "Description", "s", "Memory that preservectl keeps",
				 "DefaultDependencies", "b", 0,
				 "IgnoreOnIsolate", "b", 1,
				 "PIDs", "au", 1, (uint32_t)pid, 0);
	sd_bus_flush_close_unref(bus);
	return err < 0 ? err : 0;
}

int scope_make(pid_t pid, const char *name)
{
	struct timespec pause = { .tv_nsec = PAUSE_NS };
	char unit[UNIT_SIZE], now[UNIT_SIZE];
	int err;

	if (!systemd_runs())
		return 0;
	snprintf(unit, sizeof(unit), OURS "%s-%d.scope", name, pid);
	/* These have a meaning in a unit's name. */
	for (char *c = unit; *c; c++)
		if (*c == '@' || *c == '+')
			*c = '_';
	err = start_scope(pid, unit);
	for (int i = 0; !err && i < TRIES; i++) {
		err = unit_of(pid, now);
		if (!err && !strcmp(now, unit))
			return 0;
		nanosleep(&pause, NULL);
	}
	return err ? err : -ETIMEDOUT;
}
