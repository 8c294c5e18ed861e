// SPDX-License-Identifier: GPL-2.0-only
/*
 * SQLite on a memory file; see database.h.
 *
 * SQLite gets the file as /proc/self/fd/N. That is a symbolic link to a name
 * that does not exist, and SQLite reads links by itself and opens none, so two
 * system calls of its lock-free VFS are replaced by ones that follow links. The
 * rollback journal is in memory: no other file is ever made.
 */

#include "database.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VFS_NAME	"unix-none"
#define PROGRESS_ROWS	5000
#define ATTACHMENT	65536
#define FNV_OFFSET	0xcbf29ce484222325ULL
#define FNV_PRIME	0x100000001b3ULL

struct question {
	const char *text;
	const char *sql;
};

/* The first is the index look-up. */
static const struct question questions[NR_QUERIES] = {
	{ "what is sqlite3?",
	  "SELECT version || ' ' || description FROM package WHERE name = 'sqlite3'" },
	{ "how many, how big?",
	  "SELECT printf('%,d packages, %,d MiB', count(*), sum(size) >> 20) FROM package" },
	{ "biggest section?",
	  "SELECT printf('%s, %,d packages', section, n) FROM by_section LIMIT 1" },
	{ "biggest package?",
	  "SELECT printf('%s, %,d MiB', name, max(size) >> 20) FROM package" },
	{ "who says database?",
	  "SELECT count(*) || ' packages' FROM package WHERE description LIKE '%database%'" },
	{ "marked by the update?",
	  "SELECT count(*) || ' packages' FROM package WHERE note <> ''" },
};

static const char update_sql[] =
	"UPDATE package SET note = 'seen before the kexec' WHERE id % 7 = 0";

static const char size_sql[] =
	"SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";

static const char table_sql[] =
	"CREATE TABLE attachment (id INTEGER PRIMARY KEY, content BLOB)";

/* Their number and the size of one are to be filled in. */
#define ATTACH_SQL							\
	"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n LIMIT %lld) "	\
	"INSERT INTO attachment SELECT i, zeroblob(%d) FROM n"

static int open_through_link(const char *path, int flags, int mode)
{
	return open(path, flags & ~O_NOFOLLOW, mode);
}

static int stat_through_link(const char *path, struct stat *st)
{
	return stat(path, st);
}

static void follow_links(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(VFS_NAME);

	vfs->xSetSystemCall(vfs, "open",
			    (sqlite3_syscall_ptr)open_through_link);
	vfs->xSetSystemCall(vfs, "lstat",
			    (sqlite3_syscall_ptr)stat_through_link);
}

static int failed(sqlite3 *db, const char *what)
{
	fprintf(stderr, "demo: %s: %s\n", what, sqlite3_errmsg(db));
	return -EIO;
}

sqlite3 *database_open(int fd)
{
	static const char setup[] =
		"PRAGMA locking_mode = EXCLUSIVE;"
		"PRAGMA journal_mode = MEMORY;"
		"PRAGMA temp_store = MEMORY;"
		"PRAGMA synchronous = OFF;";
	char path[64] = ":memory:";
	sqlite3 *db;

	follow_links();
	if (fd >= 0)
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE,
			    fd >= 0 ? VFS_NAME : NULL) != SQLITE_OK ||
	    sqlite3_exec(db, setup, NULL, NULL, NULL) != SQLITE_OK) {
		failed(db, path);
		exit(1);
	}
	return db;
}

/* The whole file with a closing zero. */
static char *read_text(const char *path)
{
	struct stat st;
	char *text = NULL;
	ssize_t n, done = 0;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st))
		text = malloc(st.st_size + 1);
	while (text && done < st.st_size) {
		n = read(fd, text + done, st.st_size - done);
		if (n <= 0) {
			free(text);
			text = NULL;
			break;
		}
		done += n;
	}
	close(fd);
	if (text)
		text[done] = '\0';
	return text;
}

/* Runs one statement of the text and gives the place after it. */
static const char *run_one(sqlite3 *db, const char *text)
{
	const char *tail = NULL;
	sqlite3_stmt *stmt;
	int err;

	if (sqlite3_prepare_v2(db, text, -1, &stmt, &tail) != SQLITE_OK)
		return NULL;
	do {
		err = sqlite3_step(stmt);
	} while (err == SQLITE_ROW);
	sqlite3_finalize(stmt);
	return !stmt || err == SQLITE_DONE ? tail : NULL;
}

int database_load(sqlite3 *db, const char *path, progress_fn progress)
{
	static const char space[] = " \t\n";
	char *text = read_text(path);
	unsigned int told = 0;
	const char *next;

	if (!text) {
		fprintf(stderr, "demo: cannot read %s\n", path);
		return -ENOENT;
	}
	for (next = text; next && *next; ) {
		unsigned int rows = sqlite3_total_changes(db);

		if (progress && rows >= told + PROGRESS_ROWS)
			progress(told = rows);
		next = run_one(db, next + strspn(next, space));
	}
	free(text);
	return next ? 0 : failed(db, path);
}

/* The first column of the first row. */
static int ask_one(sqlite3 *db, const char *sql, char *text)
{
	sqlite3_stmt *stmt;
	int err = -EIO;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return failed(db, sql);
	if (sqlite3_step(stmt) == SQLITE_ROW) {
		snprintf(text, ANSWER_SIZE, "%s", sqlite3_column_text(stmt, 0));
		err = 0;
	} else {
		failed(db, sql);
	}
	sqlite3_finalize(stmt);
	return err;
}

int database_grow(sqlite3 *db, unsigned int mib)
{
	int64_t missing = (int64_t)mib << 20;
	char text[ANSWER_SIZE], sql[256];
	int err;

	err = ask_one(db, size_sql, text);
	if (err)
		return err;
	missing -= atoll(text);
	if (missing < ATTACHMENT)
		return 0;
	snprintf(sql, sizeof(sql), ATTACH_SQL, (long long)missing / ATTACHMENT,
		 ATTACHMENT);
	if (sqlite3_exec(db, table_sql, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return failed(db, "attachments");
	return 0;
}

static uint64_t fnv(uint64_t sum, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	while (size--)
		sum = (sum ^ *bytes++) * FNV_PRIME;
	return sum;
}

static int checksum(sqlite3 *db, struct answers *answers)
{
	uint64_t sum = FNV_OFFSET, rows = 0;
	sqlite3_stmt *stmt;
	int err, i;

	if (sqlite3_prepare_v2(db, "SELECT * FROM package ORDER BY id", -1,
			       &stmt, NULL) != SQLITE_OK)
		return failed(db, "checksum");
	while ((err = sqlite3_step(stmt)) == SQLITE_ROW) {
		for (i = 0; i < sqlite3_column_count(stmt); i++) {
			const void *text = sqlite3_column_text(stmt, i);

			sum = fnv(sum, text, sqlite3_column_bytes(stmt, i));
			sum = fnv(sum, "|", 1);
		}
		rows++;
	}
	sqlite3_finalize(stmt);
	if (err != SQLITE_DONE)
		return failed(db, "checksum");
	answers->checksum = sum;
	answers->rows = rows;
	return 0;
}

int database_first_query(sqlite3 *db, char *text)
{
	return ask_one(db, questions[0].sql, text);
}

int database_ask(sqlite3 *db, struct answers *answers)
{
	int i, err;

	memset(answers, 0, sizeof(*answers));
	for (i = 0; i < NR_QUERIES; i++) {
		err = ask_one(db, questions[i].sql, answers->text[i]);
		if (err)
			return err;
	}
	return checksum(db, answers);
}

const char *database_question(int number)
{
	return questions[number].text;
}

int database_update(sqlite3 *db)
{
	if (sqlite3_exec(db, update_sql, NULL, NULL, NULL) != SQLITE_OK)
		return failed(db, "update");
	return sqlite3_changes(db);
}

int database_check(sqlite3 *db)
{
	char text[ANSWER_SIZE];
	int err = ask_one(db, "PRAGMA integrity_check", text);

	return err ? err : strcmp(text, "ok") ? -EIO : 0;
}
