/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The demo's database: SQLite on a memory file, what is asked of it and what
 * is changed in it. It knows nothing of kexec.
 */

#ifndef DEMO_DATABASE_H
#define DEMO_DATABASE_H

#include <sqlite3.h>
#include <stdint.h>

#define NR_QUERIES	6
#define ANSWER_SIZE	160

/**
 * struct answers - everything that must be the same in the next kernel
 * @rows:     packages in the table
 * @checksum: over all columns of all rows in order
 * @text:     answers to the queries
 */
struct answers {
	uint64_t rows;
	uint64_t checksum;
	char text[NR_QUERIES][ANSWER_SIZE];
};

/* Told now and then how many rows are loaded. */
typedef void (*progress_fn)(unsigned int rows);

/*
 * Opens the database in file @fd, or one in memory when @fd is negative. Ends
 * the program when it cannot.
 */
sqlite3 *database_open(int fd);

/* Loads the SQL text of a file. 0 or a negative errno. */
int database_load(sqlite3 *db, const char *path, progress_fn progress);

/* Adds attachments until the file has so many MiB. 0 or -EIO. */
int database_grow(sqlite3 *db, unsigned int mib);

/* The index look-up that a user would ask for first. */
int database_first_query(sqlite3 *db, char *text);

/* Runs all queries and the checksum. 0 or -EIO. */
int database_ask(sqlite3 *db, struct answers *answers);

/* What query @number asks, for a person. */
const char *database_question(int number);

/* Changes some rows. Gives their number, or -EIO. */
int database_update(sqlite3 *db);

/* SQLite's own check of the file's structure. 0 or -EIO. */
int database_check(sqlite3 *db);

#endif /* DEMO_DATABASE_H */
