// SPDX-License-Identifier: GPL-2.0-only
/*
 * The KUnit suites have run at boot; this reads their results from the kernel
 * log, one TAP line a case. A suite that did not run is a failure.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>

#include "stage.h"

#define READ_ALL	3	/* klogctl(2) */
#define BUFFER_SIZE	10

/* The log's text of a line, behind "<level>[ time] ". */
static const char *line_text(const char *line)
{
	const char *text = strstr(line, "] ");

	return text ? text + 2 : line;
}

/* Reads "ok N name" or "not ok N name"; false for any other line. */
static bool result_read(const char *text, bool *ok, char *name, size_t size)
{
	int number, start = 0;

	text += strspn(text, " ");
	*ok = strncmp(text, "not ok ", 7);
	if (*ok && strncmp(text, "ok ", 3))
		return false;
	if (sscanf(text, *ok ? "ok %d %n" : "not ok %d %n", &number, &start) < 1 ||
	    !start)
		return false;
	snprintf(name, size, "%s", text + start);
	name[strcspn(name, " #\n")] = '\0';
	return true;
}

/* Reports the cases of one suite, between its header and its own result. */
static void suite_report(char *log, const char *suite)
{
	char header[64], name[128];
	unsigned int cases = 0;
	char *line;
	bool ok;

	snprintf(header, sizeof(header), "# Subtest: %s\n", suite);
	line = strstr(log, header);
	require(line, "the suite %s has not run", suite);
	for (; line; line = strchr(line, '\n')) {
		line++;
		if (!result_read(line_text(line), &ok, name, sizeof(name)))
			continue;
		if (!strcmp(name, suite)) {
			check(ok && cases, "%s: %u cases", suite, cases);
			return;
		}
		check(ok, "%s.%s", suite, name);
		cases++;
	}
	check(false, "%s has not ended", suite);
}

static void run(void)
{
	int size = klogctl(BUFFER_SIZE, NULL, 0);
	char *log = calloc(1, size + 1);

	require(size > 0 && log, "the kernel log");
	require(klogctl(READ_ALL, log, size) > 0, "the kernel log's text");
	suite_report(log, "prmap");
	suite_report(log, "preserve_record");
	suite_report(log, "preserve_codec");
	suite_report(log, "preserve_table");
	suite_report(log, "preserve_image");
	suite_report(log, "preserve_fixtures");
	suite_report(log, "preserve_stream");
	suite_report(log, "preserve-pool");
}

static const stage_fn stages[] = { run };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
