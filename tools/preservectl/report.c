// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results: tables by libsmartcols, documents by json-c.
 */

#include "report.h"

#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "say.h"

/* Length of the UTF-8 sequence that @text begins with, or 0. */
static unsigned int utf8_length(const unsigned char *text)
{
	unsigned int len = *text < 0x80 ? 1 : (*text & 0xe0) == 0xc0 ? 2 :
			   (*text & 0xf0) == 0xe0 ? 3 : (*text & 0xf8) == 0xf0 ? 4 : 0;

	for (unsigned int i = 1; i < len; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static bool is_utf8(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	unsigned int len;

	for (; *at; at += len) {
		len = utf8_length(at);
		if (!len)
			return false;
	}
	return true;
}

static struct json_object *from_latin1(const char *text)
{
	char *utf8 = malloc(2 * strlen(text) + 1), *at = utf8;
	struct json_object *string;

	if (!utf8)
		return NULL;
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c < 0x80) {
			*at++ = *c;
		} else {
			*at++ = 0xc0 | *c >> 6;
			*at++ = 0x80 | (*c & 0x3f);
		}
	}
	*at = '\0';
	string = json_object_new_string(utf8);
	free(utf8);
	return string;
}

void report_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, !text ? NULL :
			       is_utf8(text) ? json_object_new_string(text) :
					       from_latin1(text));
}

void report_number(struct json_object *object, const char *key, uint64_t number)
{
	json_object_object_add(object, key, json_object_new_uint64(number));
}

void report_hex(struct json_object *object, const char *key, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%#llx", (unsigned long long)number);
	report_text(object, key, text);
}

void report_time(struct json_object *object, const char *key, int64_t sec, uint32_t nsec)
{
	char day[40], text[64];
	time_t time = sec;
	struct tm tm;

	if (!gmtime_r(&time, &tm) || !strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm))
		snprintf(day, sizeof(day), "%lld", (long long)sec);
	snprintf(text, sizeof(text), "%s.%09uZ", day, nsec);
	report_text(object, key, text);
}

void report_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

void report_add(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add(object, key, value);
}

uint64_t report_get_number(struct json_object *object, const char *key)
{
	return json_object_get_uint64(json_object_object_get(object, key));
}

const char *report_get_text(struct json_object *object, const char *key)
{
	struct json_object *value = json_object_object_get(object, key);

	return value ? json_object_get_string(value) : NULL;
}

static void set_cell(struct libscols_line *line, unsigned int n, struct json_object *row,
		     const struct report_column *column)
{
	const char *text = report_get_text(row, column->key);
	char size[SIZE_TEXT];

	if (text && column->size)
		text = size_text(report_get_number(row, column->key), size);
	scols_line_set_data(line, n, text ? text : "-");
}

void report_table(struct json_object *rows, const struct report_column *columns,
		  unsigned int nr)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		return;
	for (unsigned int i = 0; i < nr; i++)
		scols_table_new_column(table, columns[i].title, 0,
				       columns[i].right ? SCOLS_FL_RIGHT : 0);
	for (size_t r = 0; r < json_object_array_length(rows); r++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		for (unsigned int i = 0; line && i < nr; i++)
			set_cell(line, i, json_object_array_get_idx(rows, r), &columns[i]);
	}
	scols_print_table(table);
	scols_unref_table(table);
}

static void print_lines(struct json_object *document, int depth)
{
	json_object_object_foreach(document, key, value) {
		printf("%*s%-*s ", 2 * depth, "", 18 - 2 * depth, key);
		if (json_object_is_type(value, json_type_object)) {
			putchar('\n');
			print_lines(value, depth + 1);
		} else {
			const char *text = value ? json_object_get_string(value) : "-";

			print_safely(stdout, text, strlen(text));
			putchar('\n');
		}
	}
}

void report_lines(struct json_object *document)
{
	print_lines(document, 0);
}

void report_json(struct json_object *document)
{
	puts(json_object_to_json_string_ext(document, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
}
