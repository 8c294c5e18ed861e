// SPDX-License-Identifier: GPL-2.0-only
/*
 * A PostgreSQL cluster on a tmpfs that crosses kexec, with the load that pgbench
 * makes. The server is shut down before the first kexec, and cut off before the
 * second one, so that it has to recover from its log. Each time the books balance,
 * every row is as it was, and the checksums of all pages are right.
 *
 *	tmpfs_postgres [pool]
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"
#include "stage.h"
#include "store.h"

#define BIN		"/usr/lib/postgresql/*/bin/"
#define EMPTY		"/postgres-data"
#define HOME		STORE "/postgres"
#define DATA		HOME "/data"
#define USER		100
#define SOCKETS		"/tmp"
#define ANSWER_SIZE	256

/* pgbench gives the same amount to a branch, a teller and an account. */
#define BALANCE								\
	"SELECT (SELECT sum(bbalance) FROM pgbench_branches), "		\
	"(SELECT sum(tbalance) FROM pgbench_tellers), "			\
	"(SELECT sum(abalance) FROM pgbench_accounts), "		\
	"(SELECT sum(delta) FROM pgbench_history)"

#define ROWS_OF(table)							\
	"SELECT count(*), sum(hashtext(t::text)::bigint) FROM pgbench_" table " t"

#define ROWS								\
	ROWS_OF("accounts") " UNION ALL " ROWS_OF("tellers")		\
	" UNION ALL " ROWS_OF("branches") " UNION ALL " ROWS_OF("history")

static bool pool;

static bool says(const struct program *program, const char *what)
{
	return strstr(program_output(program), what);
}

static struct program start_server(void)
{
	static const char ready[] = "ready to accept connections";
	struct program server;

	server = program_start(PROGRAM_ARGV(program_path(BIN "postgres"),
					    "-D", DATA,
					    "-c", "shared_buffers=16MB",
					    "-c", "listen_addresses=",
					    "-c", "unix_socket_directories=" SOCKETS));
	while (program_runs(&server)) {
		if (says(&server, ready))
			return server;
		program_pause();
	}
	program_show(&server);
	stage_fail(__FILE__, __LINE__, "the server does not start");
}

static void stop(const struct program *server, int sig, int want)
{
	int status = program_stop(server, sig);

	if (!check(status == want, "the server ends: %#x", status))
		program_show(server);
}

/* An answer, one row a line. */
static void ask(const char *sql, char *answer)
{
	const char *text;

	text = program_output_of(PROGRAM_ARGV(program_path(BIN "psql"),
					      "-h", SOCKETS, "-qAtX", "-F", " ",
					      "-c", sql, "postgres"));
	snprintf(answer, ANSWER_SIZE, "%s", text);
}

static void pay(void)
{
	const char *text;

	text = program_output_of(PROGRAM_ARGV(program_path(BIN "pgbench"),
					      "-h", SOCKETS, "-n", "-c", "2",
					      "-t", "100", "postgres"));
	check(strstr(text, "actually processed: 200/200"),
	      "200 transactions are done");
}

static void check_balance(void)
{
	long long branches, tellers, accounts, history;
	char answer[ANSWER_SIZE];

	ask(BALANCE, answer);
	require(sscanf(answer, "%lld %lld %lld %lld", &branches, &tellers,
		       &accounts, &history) == 4, "sums: %s", answer);
	check(branches == tellers && tellers == accounts && accounts == history,
	      "the books balance: %lld", branches);
}

/* Needs a server that has been shut down. */
static void check_checksums(void)
{
	const char *text;

	text = program_output_of(PROGRAM_ARGV(program_path(BIN "pg_checksums"),
					      "--check", "-D", DATA));
	check(strstr(text, "Bad checksums:  0\n"), "all checksums are right");
}

static void prepare(void)
{
	program_prepare_system();
	program_become(USER, "/tmp");
}

static void make_cluster(void)
{
	char rows[ANSWER_SIZE];
	struct program server;

	store_make(pool);
	prepare();
	require(!mkdir(HOME, 0700) && !chown(HOME, USER, USER), "make " HOME);
	program_output_of(PROGRAM_ARGV("/bin/cp", "-r", EMPTY, DATA));
	server = start_server();
	program_output_of(PROGRAM_ARGV(program_path(BIN "pgbench"),
				       "-h", SOCKETS, "-i", "-q", "postgres"));
	pay();
	check_balance();
	ask(ROWS, rows);
	/* SIGINT: ends clients, closes its files in good order. */
	stop(&server, SIGINT, 0);
	store_preserve(rows);
}

static void check_rows(const char *notes)
{
	char rows[ANSWER_SIZE];

	ask(ROWS, rows);
	if (!check(!strcmp(rows, notes), "every row is as it was"))
		ksft_print_msg("was %s, is %s\n", notes, rows);
	check_balance();
}

static void go_on(void)
{
	const char *notes = store_restore();
	char rows[ANSWER_SIZE];
	struct program server;

	prepare();
	check_checksums();
	server = start_server();
	check(says(&server, "database system was shut down at"),
	      "the server has nothing to recover");
	check_rows(notes);
	pay();
	check_balance();
	ask(ROWS, rows);
	/* SIGQUIT: ends at once; only the log is complete. */
	stop(&server, SIGQUIT, 0);
	store_preserve(rows);
}

static void recover(void)
{
	const char *notes = store_restore();
	struct program server;

	prepare();
	server = start_server();
	check(says(&server, "automatic recovery in progress") &&
	      says(&server, "redo done at"), "the server recovers from its log");
	check_rows(notes);
	pay();
	check_balance();
	stop(&server, SIGINT, 0);
	check_checksums();
}

static const stage_fn stages[] = { make_cluster, go_on, recover };

int main(int argc, char **argv)
{
	pool = argc > 1 && !strcmp(argv[1], "pool");
	return stage_run(stages, STAGE_COUNT(stages));
}
