// SPDX-License-Identifier: GPL-2.0-only
/*
 * A database that survives kexec. In the first kernel this program loads a
 * package index from SQL text into an SQLite database in a memory file, changes
 * some rows, preserves the file and enters the next kernel. There it opens the
 * same file, asks the same questions without loading anything, and loads the
 * SQL text anew into memory only to show what that takes.
 *
 *	demo SQL-FILE [plain] [MIB]
 *
 * With "plain" the file is a memfd without MFD_PRESERVE, for comparison. It is made
 * so many MiB large, if they are more than the SQL text makes. Lines that start with
 * SHOW are for the person in front of the host.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "database.h"
#include "guest.h"
#include "preserve.h"
#include "show.h"

#define SESSION	"demo"

enum { TOKEN_DATABASE = 1, TOKEN_NOTES };

/**
 * struct notes - what the first kernel writes down for the next
 * @answers: what has to be answered again
 * @bytes:   memory of the database file
 * @updated: rows that the update changed
 * @load:    seconds that loading took
 * @save:    seconds that preserving took
 * @rate:    ticks a second
 * @reboot:  ticks at the reboot call
 */
struct notes {
	struct answers answers;
	uint64_t bytes;
	uint64_t updated;
	double load;
	double save;
	double rate;
	uint64_t reboot;
};

static void show_answers(const struct answers *answers)
{
	int i;

	for (i = 0; i < NR_QUERIES; i++)
		show("    %-22s %s", database_question(i), answers->text[i]);
	show("    %-22s %016llx", "checksum",
	     (unsigned long long)answers->checksum);
}

static uint64_t file_bytes(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_blocks * 512ULL;
}

static int create(const char *name, bool plain)
{
	if (!plain)
		return preserve_memfd_create(name, 0);
	return memfd_create(name, MFD_CLOEXEC);
}

static int open_session(int (*open)(int device, const char *name))
{
	int device = must(preserve_device_open(), "open /dev/liveupdate");
	int session = must(open(device, SESSION), "open the session");

	close(device);
	return session;
}

static void fill(int file, const char *sql, unsigned int mib,
		 struct notes *notes)
{
	struct stamp start = clock_now();
	sqlite3 *db = database_open(file);

	must(database_load(db, sql, show_progress), "load the SQL text");
	notes->load = clock_seconds(start, clock_now());
	must(database_grow(db, mib), "make the database larger");
	notes->updated = must(database_update(db), "update");
	must(database_ask(db, &notes->answers), "run the queries");
	must(database_check(db), "check the database");
	sqlite3_close(db);
	notes->bytes = file_bytes(file);
}

static void save(const char *sql, bool plain, unsigned int mib)
{
	int file = must(create("packages.db", plain), "create the file");
	int notes_fd = must(create("notes", plain), "create the notes");
	struct stamp begin = clock_now(), start;
	struct notes *notes;
	int session, err;

	must(ftruncate(notes_fd, sizeof(*notes)) ? -errno : 0, "size");
	notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED,
		     notes_fd, 0);
	must(notes == MAP_FAILED ? -errno : 0, "map the notes");

	show("first kernel: SQLite in a %s memfd", plain ? "plain" :
	     "MFD_PRESERVE");
	fill(file, sql, mib, notes);
	show("  loaded %llu rows in %.1f s, changed %llu of them",
	     (unsigned long long)notes->answers.rows, notes->load,
	     (unsigned long long)notes->updated);
	show_answers(&notes->answers);

	must(vm_load_next(), "load the next kernel");
	session = open_session(preserve_session_create);
	start = clock_now();
	must(preserve_session_add_fd(session, file, TOKEN_DATABASE),
	     "preserve the database");
	notes->save = clock_seconds(start, clock_now());
	must(preserve_session_add_fd(session, notes_fd, TOKEN_NOTES),
	     "preserve the notes");

	show("kexec");
	vm_mark_log();
	start = clock_now();
	notes->rate = clock_rate(begin, start);
	printf("MARK reboot\n");
	notes->reboot = clock_now().ticks;
	err = preserve_kexec_reboot();
	must(err, "enter the next kernel");
}

/**
 * struct after - what the next kernel finds
 * @notes:       the first kernel's, read only
 * @answers:     to the same questions
 * @blackout:    seconds from the reboot call to the first byte
 * @first_query: seconds from the reboot call to the first answer
 * @reload:      seconds that loading the SQL text again takes
 * @reloaded:    what that brings back
 */
struct after {
	const struct notes *notes;
	struct answers answers;
	double blackout;
	double first_query;
	double reload;
	struct answers reloaded;
};

static double since_reboot(const struct notes *notes, struct stamp now)
{
	return (now.ticks - notes->reboot) / notes->rate;
}

static void reload(const char *sql, struct after *after)
{
	sqlite3 *db = database_open(-1);
	struct stamp start = clock_now();

	must(database_load(db, sql, show_progress), "load the SQL text again");
	after->reload = clock_seconds(start, clock_now());
	must(database_ask(db, &after->reloaded), "run the queries again");
	sqlite3_close(db);
}

static void show_table(const struct after *after)
{
	const struct notes *notes = after->notes;

	show(" ");
	show("  %-28s %18s %18s", "", "carried over", "loaded again");
	show("  %-28s %18llu %18llu", "rows",
	     (unsigned long long)after->answers.rows,
	     (unsigned long long)after->reloaded.rows);
	show("  %-28s %18.1f", "MiB preserved", notes->bytes / 1048576.0);
	show("  %-28s   %016llx", "checksum before",
	     (unsigned long long)notes->answers.checksum);
	show("  %-28s   %016llx   %016llx", "checksum after",
	     (unsigned long long)after->answers.checksum,
	     (unsigned long long)after->reloaded.checksum);
	show("  %-28s %18llu %18s", "updated rows kept",
	     (unsigned long long)notes->updated, "lost");
	show("  %-28s %18s %18s", "time to save", seconds_text(notes->save),
	     "-");
	show("  %-28s %18s %18s", "blackout", seconds_text(after->blackout),
	     seconds_text(after->blackout));
	show("  %-28s %18s %18s", "time to load", "0 s",
	     seconds_text(after->reload));
	show("  %-28s %18s %18s", "reboot to first query",
	     seconds_text(after->first_query),
	     seconds_text(after->blackout + after->reload));
	show(" ");
}

static void emit_metrics(const struct after *after)
{
	printf("METRIC rows %llu\n", (unsigned long long)after->answers.rows);
	printf("METRIC bytes %llu\n", (unsigned long long)after->notes->bytes);
	printf("METRIC load_s %f\n", after->notes->load);
	printf("METRIC save_s %f\n", after->notes->save);
	printf("METRIC blackout_s %f\n", after->blackout);
	printf("METRIC first_query_s %f\n", after->first_query);
	printf("METRIC reload_s %f\n", after->reload);
}

static int resume(const char *sql)
{
	struct after after = {};
	char byte, text[ANSWER_SIZE];
	struct stamp first_byte, first_query;
	struct notes *notes;
	int session, file, notes_fd;
	sqlite3 *db;

	session = open_session(preserve_session_retrieve);
	file = must(preserve_session_get_fd(session, TOKEN_DATABASE),
		    "retrieve the database");
	must(pread(file, &byte, 1, 0) == 1 ? 0 : -EIO, "read the first byte");
	first_byte = clock_now();

	printf("MARK first-byte\n");
	db = database_open(file);
	must(database_first_query(db, text), "run the first query");
	first_query = clock_now();

	notes_fd = must(preserve_session_get_fd(session, TOKEN_NOTES),
			"retrieve the notes");
	notes = mmap(NULL, sizeof(*notes), PROT_READ, MAP_SHARED, notes_fd, 0);
	must(notes == MAP_FAILED ? -errno : 0, "map the notes");
	after.notes = notes;
	after.blackout = since_reboot(notes, first_byte);
	after.first_query = since_reboot(notes, first_query);

	show("next kernel: the same file, nothing loaded");
	must(database_ask(db, &after.answers), "run the queries");
	must(database_check(db), "check the database");
	show_answers(&after.answers);
	must(memcmp(&after.answers, &notes->answers, sizeof(after.answers)) ||
	     strcmp(text, notes->answers.text[0]) ? -EILSEQ : 0,
	     "the answers are not the same");
	must(preserve_session_finish(session), "finish the session");
	must(database_update(db), "the database can still be changed");
	sqlite3_close(db);

	show("for comparison: the SQL text again, into memory");
	reload(sql, &after);
	show_table(&after);
	emit_metrics(&after);
	return 0;
}

int main(int argc, char **argv)
{
	int stage = vm_stage(), arg = 2;
	bool plain;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2 || stage < 0) {
		fprintf(stderr, "usage: demo SQL-FILE [plain] [MIB], by scripts/demo\n");
		return 2;
	}
	if (stage)
		return resume(argv[1]);
	plain = argc > arg && !strcmp(argv[arg], "plain");
	arg += plain;
	save(argv[1], plain, argc > arg ? atoi(argv[arg]) : 0);
	return 1;
}
