// SPDX-License-Identifier: GPL-2.0-only
/*
 * Comparing what two kernels know.
 */

#include "formats.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/* What a bit of the header's compat stands for. */
static const struct {
	uint64_t bit;
	const char *what;
} parts[] = {
	{ 0x4, "files in huge pages" },
	{ 0x2, "free huge pages that are to cross" },
	{ 0x8, "huge pages of hugetlb_cma=" },
};

/**
 * struct line - One line of such a text.
 * @key:      Its first word, or for a handler both.
 * @version:  The number behind it.
 * @compat:   Features that another kernel may leave out.
 * @incompat: Features that it has to know.
 */
struct line {
	char key[64];
	unsigned long version;
	uint64_t compat;
	uint64_t incompat;
};

static bool parse(const char *text, size_t len, struct line *line)
{
	char copy[128], name[48];
	int at = 0;

	*line = (struct line){};
	snprintf(copy, sizeof(copy), "%.*s", (int)(len < 127 ? len : 127), text);
	if (sscanf(copy, "handler %47s", name) == 1) {
		snprintf(line->key, sizeof(line->key), "handler %s", name);
		return true;
	}
	if (sscanf(copy, "%47s %lu%n", line->key, &line->version, &at) != 2)
		return false;
	sscanf(copy + at, " compat %li incompat %li", (long *)&line->compat,
	       (long *)&line->incompat);
	return true;
}

static bool find(const char *text, const char *key, struct line *line)
{
	size_t len;

	for (; *text; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		if (parse(text, len, line) && !strcmp(line->key, key))
			return true;
	}
	return false;
}

/* The findings so far. */
struct list {
	struct formats_finding *findings;
	unsigned int nr;
};

static void __attribute__((format(printf, 3, 4)))
add(struct list *list, bool fatal, const char *fmt, ...)
{
	struct formats_finding *finding;
	va_list args;

	if (list->nr == FORMATS_MAX_FINDINGS)
		return;
	finding = &list->findings[list->nr++];
	finding->fatal = fatal;
	va_start(args, fmt);
	vsnprintf(finding->text, sizeof(finding->text), fmt, args);
	va_end(args);
}

static void compare_line(struct list *list, const struct line *ours, const char *theirs)
{
	struct line line;
	uint64_t lacks;

	if (!find(theirs, ours->key, &line)) {
		add(list, strcmp(ours->key, "block_order"), "it does not know \"%s\"", ours->key);
		return;
	}
	if (line.version != ours->version) {
		add(list, true, "%s: it has %lu, this kernel %lu", ours->key, line.version,
		    ours->version);
		return;
	}
	lacks = ours->incompat & ~line.incompat;
	if (lacks)
		add(list, true, "%s: it lacks features %#llx", ours->key,
		    (unsigned long long)lacks);
	lacks = ours->compat & ~line.compat;
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++)
		if (!strcmp(ours->key, "header") && lacks & parts[i].bit)
			add(list, false, "it does not take over %s", parts[i].what);
}

unsigned int formats_compare(const char *ours, const char *theirs,
			     struct formats_finding findings[FORMATS_MAX_FINDINGS])
{
	struct list list = { .findings = findings };
	struct line line;
	size_t len;

	for (; *ours; ours += len + (ours[len] == '\n')) {
		len = strcspn(ours, "\n");
		if (parse(ours, len, &line))
			compare_line(&list, &line, theirs);
	}
	return list.nr;
}
