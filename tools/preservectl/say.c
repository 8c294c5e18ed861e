// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages to the user, and sizes as text.
 */

#include "say.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

void print_safely(FILE *stream, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = text[i], next = i + 1 < len ? text[i + 1] : 0;
		/* In UTF-8 these have two bytes. */
		bool control = c == 0xc2 && next >= 0x80 && next < 0xa0;

		putc(c < ' ' || c == 0x7f || control ? '?' : c, stream);
		i += control;
	}
}

static void tell(const char *kind, const char *fmt, va_list args)
{
	char *text;

	if (vasprintf(&text, fmt, args) < 0)
		return;
	fflush(stdout);
	fprintf(stderr, "preservectl: %s", kind);
	print_safely(stderr, text, strlen(text));
	fputc('\n', stderr);
	free(text);
}

int worse_of(int a, int b)
{
	if (!a || (a == CTL_DIFFERS && b))
		return b;
	return a;
}

int fail(int status, const char *next, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell("error: ", fmt, args);
	va_end(args);
	if (next)
		fprintf(stderr, "  next: %s\n", next);
	return status;
}

void warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell("warning: ", fmt, args);
	va_end(args);
}

void note(const char *fmt, ...)
{
	va_list args;

	if (ctl.quiet || ctl.json)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

const char *size_text(uint64_t bytes, char *text)
{
	static const char * const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = bytes;
	unsigned int unit = 0;

	while (value >= 1023.95 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(text, SIZE_TEXT, unit && value < 100 ? "%.1f %s" : "%.0f %s", value,
		 units[unit]);
	return text;
}

int size_parse(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGTPE";
	unsigned long long value;
	const char *unit;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	unit = isalpha((unsigned char)*end) ? strchr(units, toupper(*end)) : NULL;
	if (unit) {
		unsigned int shift = (unit - units + 1) * 10;

		if (value > UINT64_MAX >> shift)
			return -EINVAL;
		value <<= shift;
		end++;
		end += *end == 'i';
	}
	end += *end == 'B';
	if (*end)
		return -EINVAL;
	*bytes = value;
	return 0;
}

const char *errno_text(int err)
{
	static char text[96];
	const char *name = strerrorname_np(-err);

	snprintf(text, sizeof(text), "%s (%s)", strerror(-err), name ? name : "unknown");
	return text;
}
