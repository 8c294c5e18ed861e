// SPDX-License-Identifier: GPL-2.0-only
/*
 * SQLite with a write-ahead log on a tmpfs that crosses kexec. The kexec cuts off
 * a transaction that is open and of which much is in the log: afterwards it is as
 * if it had never been, and everything that was committed is there, in the
 * database or in the log only. A round of that is followed by another.
 *
 *	tmpfs_sqlite [pool]
 */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "program.h"
#include "stage.h"
#include "store.h"

#define DATABASE	STORE "/accounts.db"
#define LOG		DATABASE "-wal"
#define TEXT_SIZE	256

/* 1000 rows of different sizes, a few MiB. */
#define FILL							\
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "		\
	" SELECT i + 1 FROM n WHERE i < 1000) "			\
	"INSERT INTO account(owner, amount, data) "		\
	"SELECT 'owner ' || i, i * 37 % 1000, "			\
	" randomblob(100 + i * 7919 % 3000) FROM n;"

/* Everything that can be seen of the rows, in numbers. */
#define DIGEST							\
	"SELECT count(*) || ' ' || sum(amount) || ' ' || "	\
	" sum(length(data)) || ' ' || (SELECT count(*) FROM entry) " \
	"FROM account;"

/* Everything in them, in full. */
#define CONTENT	"SELECT id, owner, amount, hex(data) FROM account ORDER BY id;"

#define CREATE							\
	"CREATE TABLE account(id INTEGER PRIMARY KEY, owner TEXT, " \
	" amount INTEGER, data BLOB);"				\
	"CREATE INDEX by_owner ON account(owner);"		\
	"CREATE TABLE entry(account INTEGER, delta INTEGER);"

#define CHANGE							\
	"BEGIN;"						\
	"UPDATE account SET amount = amount - 5 WHERE id % 100 = 1;" \
	"INSERT INTO entry(account, delta) "			\
	" SELECT id, -5 FROM account WHERE id % 100 = 1;"	\
	"COMMIT;"

#define BEGIN							\
	"BEGIN;"						\
	"UPDATE account SET amount = 0, data = randomblob(1000);" \
	"DELETE FROM account WHERE id % 7 = 3;"			\
	"INSERT INTO entry(account, delta) SELECT id, 1 FROM account;"

static bool pool;

static void run(sqlite3 *db, const char *sql)
{
	char *why = NULL;
	int err = sqlite3_exec(db, sql, NULL, NULL, &why);

	require(err == SQLITE_OK, "%.40s: %s", sql, why ? why : "?");
}

static int take_text(void *out, int columns, char **values, char **names)
{
	snprintf(out, TEXT_SIZE, "%s", values[0] ? values[0] : "");
	return 0;
}

/* The first column of the last row. */
static const char *ask(sqlite3 *db, const char *sql)
{
	static char text[TEXT_SIZE];
	char *why = NULL;
	int err;

	text[0] = '\0';
	err = sqlite3_exec(db, sql, take_text, text, &why);
	require(err == SQLITE_OK, "%.40s: %s", sql, why ? why : "?");
	return text;
}

static int mix_row(void *out, int columns, char **values, char **names)
{
	unsigned long long *hash = out;
	const char *c;
	int i;

	for (i = 0; i < columns; i++)
		for (c = values[i]; *c; c++)
			*hash = (*hash ^ (unsigned char)*c) * 0x100000001b3ULL;
	return 0;
}

/* What has to be the same after the kexec. */
static const char *describe(sqlite3 *db)
{
	static char text[TEXT_SIZE];
	unsigned long long hash = 1;

	require(sqlite3_exec(db, CONTENT, mix_row, &hash, NULL) == SQLITE_OK,
		"read all rows");
	snprintf(text, sizeof(text), "%s %016llx", ask(db, DIGEST), hash);
	return text;
}

static sqlite3 *open_database(void)
{
	sqlite3 *db;

	require(sqlite3_open(DATABASE, &db) == SQLITE_OK, "open the database");
	/* Few pages fit, so that an open transaction goes to the log. */
	run(db, "PRAGMA cache_size = 20; PRAGMA wal_autocheckpoint = 0;");
	require(!strcmp(ask(db, "PRAGMA journal_mode = WAL;"), "wal"), "WAL");
	return db;
}

static long long log_size(void)
{
	struct stat st;

	return stat(LOG, &st) ? -1 : st.st_size;
}

/* Committed, and in the log only. */
static void change(sqlite3 *db)
{
	int i;

	for (i = 0; i < 20; i++)
		run(db, CHANGE);
}

/* What is begun here is never committed. */
static void begin(sqlite3 *db)
{
	long long before = log_size();

	run(db, BEGIN);
	check(log_size() > before + 100000,
	      "the open transaction is in the log: %lld bytes, were %lld",
	      log_size(), before);
}

/* Leaves with a transaction open, and the database in use. */
static void leave(sqlite3 *db)
{
	char notes[TEXT_SIZE];

	change(db);
	snprintf(notes, sizeof(notes), "%s", describe(db));
	begin(db);
	check(strcmp(notes, describe(db)), "it sees what it has changed");
	store_preserve(notes);
	check(strcmp(notes, describe(db)), "also when all is preserved");
}

static void make(void)
{
	sqlite3 *db;

	store_make(pool);
	db = open_database();
	run(db, CREATE);
	run(db, FILL);
	run(db, "PRAGMA wal_checkpoint(TRUNCATE);");
	check(!log_size(), "all rows are in the database");
	leave(db);
}

static sqlite3 *find(void)
{
	const char *notes = store_restore();
	sqlite3 *db;

	check(log_size() > 0, "the log is there");
	db = open_database();
	check(!strcmp(ask(db, "PRAGMA integrity_check;"), "ok"),
	      "the database is sound");
	check(!strcmp(notes, describe(db)),
	      "committed rows are there, others are not: %s", describe(db));
	return db;
}

static void go_on(void)
{
	leave(find());
}

static void end(void)
{
	char before[TEXT_SIZE];
	sqlite3 *db = find();

	snprintf(before, sizeof(before), "%s", describe(db));
	run(db, "PRAGMA wal_checkpoint(TRUNCATE);");
	check(!log_size(), "the log goes into the database");
	check(!strcmp(before, describe(db)), "which has the same rows");
	change(db);
	check(!strcmp(ask(db, "PRAGMA integrity_check;"), "ok"),
	      "the database is sound after more changes");
	check(sqlite3_close(db) == SQLITE_OK, "the database is closed");
	check(log_size() == -1, "its log is gone");
}

static const stage_fn stages[] = { make, go_on, end };

int main(int argc, char **argv)
{
	pool = argc > 1 && !strcmp(argv[1], "pool");
	return stage_run(stages, STAGE_COUNT(stages));
}
