/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A result is a JSON document. With --json it is printed as such; otherwise its lists are
 * shown as tables.
 */
#ifndef REPORT_H
#define REPORT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct report_column - One column of a table.
 * @title: Its head.
 * @key:   Which member of a row it shows.
 * @size:  A number of bytes, shown with a unit.
 * @right: Aligned to the right.
 */
struct report_column {
	const char *title;
	const char *key;
	bool size;
	bool right;
};

/* Members of an object; a NULL text becomes null. A text that is no UTF-8 is taken as Latin-1. */
void report_text(struct json_object *object, const char *key, const char *text);
void report_number(struct json_object *object, const char *key, uint64_t number);
/* A number as a text "0x...": an address, bits. */
void report_hex(struct json_object *object, const char *key, uint64_t number);
/* A point in time, UTC. */
void report_time(struct json_object *object, const char *key, int64_t sec, uint32_t nsec);
void report_bool(struct json_object *object, const char *key, bool value);
void report_add(struct json_object *object, const char *key, struct json_object *value);

/* A member as it was put in; 0 or NULL if there is none. */
uint64_t report_get_number(struct json_object *object, const char *key);
const char *report_get_text(struct json_object *object, const char *key);

/**
 * report_table() - show a list
 * @rows: an array of objects
 * @columns: what to show of each
 * @nr: how many columns
 */
void report_table(struct json_object *rows, const struct report_column *columns,
		  unsigned int nr);

/* Prints a document for people: a line for each member, what is in it further to the right. */
void report_lines(struct json_object *document);

/* Prints the document, as --json wants it. */
void report_json(struct json_object *document);

#endif /* REPORT_H */
