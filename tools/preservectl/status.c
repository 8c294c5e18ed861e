// SPDX-License-Identifier: GPL-2.0-only
/*
 * preservectl status: one screen of what there is.
 */

#include <errno.h>
#include <getopt.h>
#include <preserve.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ctl.h"
#include "kernel.h"
#include "list.h"
#include "report.h"
#include "say.h"
#include "sessions.h"

/* Numbers of the pool that the status has, sizes in bytes but for the last four. */
static const char * const numbers[] = {
	"size", "max", "used", "idle", "lent", "yielded", "preserved", "incoming", "unrestored",
	"restore_pace", "poisoned", "files", "retrieved", "refused", "rebuilt",
};

#define NR_NUMBERS	ARRAY_SIZE(numbers)

static struct json_object *kernel_part(void)
{
	struct json_object *kernel = json_object_new_object();
	struct json_object *handlers = json_object_new_array();
	const char *why, *next;
	struct utsname host;
	char abi[4096], *save, *line;
	int loaded;

	uname(&host);
	why = kernel_why_not(&next);
	report_text(kernel, "release", host.release);
	report_bool(kernel, "preserves", !why);
	report_text(kernel, "why_not", why);
	report_text(kernel, "next", why ? next : NULL);
	if (!kernel_text("/sys/kernel/mm/preserve/abi", abi, sizeof(abi)))
		for (line = strtok_r(abi, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			if (!strncmp(line, "handler ", 8))
				json_object_array_add(handlers, json_object_new_string(line + 8));
	report_add(kernel, "handlers", handlers);
	loaded = preserve_kexec_loaded();
	report_add(kernel, "next_loaded", loaded < 0 ? NULL : json_object_new_boolean(loaded));
	return kernel;
}

static struct json_object *pool_part(void)
{
	struct json_object *pool = json_object_new_object();
	uint64_t value;

	for (unsigned int i = 0; i < NR_NUMBERS; i++)
		if (!kernel_pool(KERNEL_ALL_NODES, numbers[i], &value))
			report_number(pool, numbers[i], value);
	return pool;
}

static struct json_object *scratch_part(void)
{
	struct json_object *scratch;
	uint64_t bytes, largest;
	int nr = kernel_scratch(&bytes, &largest);

	if (nr < 0)
		return NULL;
	scratch = json_object_new_object();
	report_number(scratch, "areas", nr);
	report_number(scratch, "bytes", bytes);
	report_number(scratch, "largest", largest);
	return scratch;
}

static struct json_object *device_part(void)
{
	struct json_object *device = json_object_new_object();
	char comm[16];
	pid_t holder = device_holder(comm);

	report_add(device, "pid", holder ? json_object_new_int(holder) : NULL);
	report_text(device, "comm", holder ? comm : NULL);
	return device;
}

static struct json_object *collect(bool *listed, int *err)
{
	struct json_object *status = json_object_new_object(), *rows = NULL;

	*listed = true;
	*err = 0;
	report_add(status, "kernel", kernel_part());
	if (!kernel_has_pool())
		return status;
	report_add(status, "pool", pool_part());
	report_add(status, "scratch", scratch_part());
	report_add(status, "device", device_part());
	*err = list_sessions(&rows, listed);
	report_add(status, "sessions", rows);
	return status;
}

/* --- as text --- */

static const char *bytes(struct json_object *object, const char *key)
{
	static char texts[8][SIZE_TEXT];
	static unsigned int next;

	return size_text(report_get_number(object, key), texts[next++ % 8]);
}

static void line(const char *head, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *head, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("%-11s ", head);
	vprintf(fmt, args);
	putchar('\n');
	va_end(args);
}

static void print_kernel(struct json_object *kernel)
{
	struct json_object *handlers = json_object_object_get(kernel, "handlers");
	struct json_object *loaded = json_object_object_get(kernel, "next_loaded");
	const char *why = report_get_text(kernel, "why_not");

	if (why) {
		line("Kernel", "%s, preserves nothing: %s", report_get_text(kernel, "release"),
		     why);
		line("", "next: %s", report_get_text(kernel, "next"));
		return;
	}
	printf("%-11s %s, preserves", "Kernel", report_get_text(kernel, "release"));
	for (size_t i = 0; i < json_object_array_length(handlers); i++)
		printf("%s %s", i ? "," : "",
		       json_object_get_string(json_object_array_get_idx(handlers, i)));
	putchar('\n');
	line("Next", "%s", !loaded ? "this kernel has no kexec" :
	     json_object_get_boolean(loaded) ? "a kernel is loaded" : "no kernel is loaded");
}

static void print_pool(struct json_object *pool)
{
	uint64_t pace = report_get_number(pool, "restore_pace");
	char per_node[SIZE_TEXT + 24] = "";

	line("Pool", "%s: %s used, %s idle (%s of it lent); may grow to %s",
	     bytes(pool, "size"), bytes(pool, "used"), bytes(pool, "idle"),
	     bytes(pool, "lent"), bytes(pool, "max"));
	line("Preserved", "%s in %llu files: they cross the next kexec",
	     bytes(pool, "preserved"),
	     (unsigned long long)report_get_number(pool, "files"));
	line("Incoming", "%s: handed over, and not restored, or of files that nothing has read",
	     bytes(pool, "incoming"));
	if (pace != UINT64_MAX)
		snprintf(per_node, sizeof(per_node), ", %s a second on each node",
			 bytes(pool, "restore_pace"));
	line("Restoring", "%s: retrieved, and not brought in yet%s", bytes(pool, "unrestored"),
	     per_node);
	if (report_get_number(pool, "poisoned"))
		line("Defective", "%s", bytes(pool, "poisoned"));
	if (report_get_number(pool, "refused"))
		line("Refused", "%llu records since boot: the kernel log says why",
		     (unsigned long long)report_get_number(pool, "refused"));
}

static void print(struct json_object *status, bool listed, int err)
{
	struct json_object *scratch, *device, *rows;

	print_kernel(json_object_object_get(status, "kernel"));
	if (!kernel_has_pool())
		return;
	print_pool(json_object_object_get(status, "pool"));
	scratch = json_object_object_get(status, "scratch");
	if (scratch)
		line("Scratch", "%s in %llu areas, to boot the next kernel from",
		     bytes(scratch, "bytes"),
		     (unsigned long long)report_get_number(scratch, "areas"));
	device = json_object_object_get(status, "device");
	if (report_get_text(device, "pid"))
		line("Device", "/dev/liveupdate is open in process %s (%s): nothing else can preserve",
		     report_get_text(device, "pid"), report_get_text(device, "comm"));
	rows = json_object_object_get(status, "sessions");
	if (err) {
		line("Sessions", "cannot be read: %s", errno_text(err));
		return;
	}
	if (!listed)
		line("Sessions", "those that no process holds are not shown: %s", geteuid() ?
		     "become root" : "mount -t debugfs none /sys/kernel/debug");
	if (!rows || !json_object_array_length(rows)) {
		line("Sessions", "none");
		return;
	}
	putchar('\n');
	list_table(rows);
}

/* --- for Prometheus --- */

static void print_prometheus(struct json_object *status)
{
	struct json_object *pool = json_object_object_get(status, "pool");
	struct json_object *rows = json_object_object_get(status, "sessions");
	static const char * const states[] = {
		"saved", "to restore", "partly restored", "kept",
	};

	printf("# HELP preserve_up Whether this kernel preserves memory.\n# TYPE preserve_up gauge\npreserve_up %d\n",
	       !!pool);
	if (!pool)
		return;
	for (unsigned int i = 0; i < NR_NUMBERS; i++) {
		const char *unit = i < NR_NUMBERS - 4 ? "_bytes" : "";
		bool counter = i >= NR_NUMBERS - 3;

		printf("# HELP preserve_pool_%s%s As /sys/kernel/mm/preserve/%s.\n"
		       "# TYPE preserve_pool_%s%s %s\npreserve_pool_%s%s %llu\n",
		       numbers[i], counter ? "_total" : unit, numbers[i], numbers[i],
		       counter ? "_total" : unit, counter ? "counter" : "gauge", numbers[i],
		       counter ? "_total" : unit,
		       (unsigned long long)report_get_number(pool, numbers[i]));
	}
	printf("# HELP preserve_saved What preservectl has saved, by state.\n# TYPE preserve_saved gauge\n");
	for (unsigned int s = 0; s < ARRAY_SIZE(states); s++) {
		unsigned int nr = 0;

		for (size_t i = 0; rows && i < json_object_array_length(rows); i++) {
			const char *state = report_get_text(json_object_array_get_idx(rows, i),
							    "state");

			nr += state && !strcmp(state, states[s]);
		}
		printf("preserve_saved{state=\"%s\"} %u\n", states[s], nr);
	}
}

int cmd_status(int argc, char **argv)
{
	static const struct option options[] = {
		{ "prometheus", no_argument, NULL, 'p' },
		{},
	};
	struct json_object *status;
	bool prometheus = false, listed;
	int c, err;

	while ((c = ctl_getopt(argc, argv, options)) != -1) {
		if (c != 'p')
			return CTL_USAGE;
		prometheus = true;
	}
	if (optind != argc)
		return ctl_usage("status");
	status = collect(&listed, &err);
	if (prometheus)
		print_prometheus(status);
	else if (ctl.json)
		report_json(status);
	else
		print(status, listed, err);
	json_object_put(status);
	return kernel_has_pool() ? CTL_DONE : CTL_NO_SUPPORT;
}
