// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kexec costs a PostgreSQL server whose data directory lies on a tmpfs that
 * is preserved: runs in a VM. Prints METRIC lines for bench/parts/postgres.py.
 *
 *	postgres_bench SCALE	SCALE is that of pgbench, some 15 MiB each
 *
 * The server is shut down before the kexec, and started and asked for a row after
 * it. Beside that: a restart without a kexec; and the peer, which keeps only what
 * pg_dump has written, and fills an empty cluster with it. The dump crosses in the
 * same tmpfs. A transaction that makes its tables writes no log of their rows: the
 * server is set up so.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "metric.h"
#include "program.h"
#include "stage.h"
#include "store.h"
#include "tree.h"

#define BIN		"/usr/lib/postgresql/*/bin/"
#define EMPTY		"/postgres-data"
#define HOME		STORE "/postgres"
#define DATA		HOME "/data"
#define DUMP		HOME "/dump"
#define OTHER		"/mnt/plain"
#define USER		100
#define SOCKETS		"/tmp"
#define ANSWER_SIZE	256
#define ROWS_A_SCALE	100000

static unsigned int scale;

/* Waits as long as it takes, without looking now and then: for times. */
static void end(const struct program *program)
{
	int status;

	require(waitpid(program->pid, &status, 0) == program->pid, "wait for %s",
		program->name);
	if (status)
		program_show(program);
	require(!status, "%s ends with %#x", program->name, status);
}

static void run(const char *const *argv)
{
	struct program program = program_start(argv);

	end(&program);
}

/* --- the server and its clients --- */

static struct program start_server(const char *data)
{
	struct program server;

	server = program_start(PROGRAM_ARGV(program_path(BIN "postgres"),
					    "-D", data,
					    "-c", "wal_level=minimal",
					    "-c", "max_wal_senders=0",
					    "-c", "listen_addresses=",
					    "-c", "unix_socket_directories=" SOCKETS));
	while (program_runs(&server)) {
		if (strstr(program_output(&server), "ready to accept connections"))
			return server;
		usleep(1000);
	}
	program_show(&server);
	stage_fail(__FILE__, __LINE__, "the server does not start");
}

static void stop_server(const struct program *server)
{
	/* A fast shutdown. */
	require(!kill(server->pid, SIGINT), "stop the server");
	end(server);
}

#define PSQL(...)							\
	PROGRAM_ARGV(program_path(BIN "psql"), "-h", SOCKETS, "-qAtX",	\
		     "-F", " ", "-v", "ON_ERROR_STOP=1", __VA_ARGS__,	\
		     "postgres")

static void ask(const char *sql, char *answer)
{
	struct program psql = program_start(PSQL("-c", sql));

	end(&psql);
	snprintf(answer, ANSWER_SIZE, "%s", program_output(&psql));
}

static long long ask_number(const char *sql)
{
	char answer[ANSWER_SIZE];

	ask(sql, answer);
	return atoll(answer);
}

/* A row from the middle of the largest table, by its key. */
static void ask_row(char *answer)
{
	char sql[ANSWER_SIZE];

	snprintf(sql, sizeof(sql),
		 "SELECT * FROM pgbench_accounts WHERE aid = %u",
		 scale * ROWS_A_SCALE / 2);
	ask(sql, answer);
}

/* A directory for a cluster, with an empty one in it. */
static void make_cluster(const char *home, const char *data)
{
	program_become(0, "/");
	require(!mkdir(home, 0700) && !chown(home, USER, USER), "make %s", home);
	program_become(USER, "/tmp");
	run(PROGRAM_ARGV("/bin/cp", "-r", EMPTY, data));
}

static void mount_at(const char *dir, const char *options)
{
	int fd;

	mkdir("/mnt", 0755);
	fd = tree_mount(dir, options);
	require(fd >= 0, "mount %s: %d", dir, fd);
	close(fd);
}

/* --- the first kernel --- */

static void fill(void)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", scale);
	run(PROGRAM_ARGV(program_path(BIN "pgbench"), "-h", SOCKETS, "-i",
			 "-I", "dtGvp", "-s", text, "postgres"));
	metric("version", ask_number("SHOW server_version_num"));
	metric("database", ask_number("SELECT pg_database_size('postgres')"));
}

static void make_dump(void)
{
	__u64 start = now();
	struct stat st;

	run(PROGRAM_ARGV(program_path(BIN "pg_dump"), "-h", SOCKETS, "-f", DUMP,
			 "postgres"));
	metric("dump", now() - start);
	require(!stat(DUMP, &st), "size of the dump");
	metric("dump_bytes", st.st_size);
}

static struct program restart(struct program server)
{
	char answer[ANSWER_SIZE];
	__u64 start = now();

	stop_server(&server);
	metric("stop", now() - start);
	start = now();
	server = start_server(DATA);
	ask_row(answer);
	metric("start", now() - start);
	return server;
}

static void before(void)
{
	char answer[ANSWER_SIZE];
	struct program server;

	program_prepare_system();
	mount_at(STORE, "preserve,size=90%");
	make_cluster(HOME, DATA);
	server = start_server(DATA);
	fill();
	make_dump();
	/* Writing what is in its buffers out is not what a restart costs. */
	run(PSQL("-c", "CHECKPOINT"));
	server = restart(server);
	ask_row(answer);
	stop_server(&server);
	store_preserve(answer);
	tie_clocks("reboot_tsc");
}

/* --- the next one --- */

static void restore_dump(const char *expected)
{
	char answer[ANSWER_SIZE];
	struct program server;
	__u64 start;

	mount_at(OTHER, "size=90%");
	make_cluster(OTHER "/postgres", OTHER "/postgres/data");
	server = start_server(OTHER "/postgres/data");
	start = now();
	run(PSQL("-1", "-f", DUMP));
	ask_row(answer);
	metric("restore", now() - start);
	check(!strcmp(answer, expected), "the same answer after a restore");
	stop_server(&server);
}

static void after(void)
{
	__u64 attached, ready, first;
	char answer[ANSWER_SIZE];
	struct program server;
	const char *expected;

	tie_clocks("up_tsc");
	expected = store_restore();
	program_prepare_system();
	program_become(USER, "/tmp");
	attached = __rdtsc();
	server = start_server(DATA);
	ready = __rdtsc();
	ask_row(answer);
	first = __rdtsc();
	metric("attached_tsc", attached);
	metric("ready_tsc", ready);
	metric("first_tsc", first);
	check(*answer && !strcmp(answer, expected), "the same answer");
	stop_server(&server);
	restore_dump(expected);
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	require(argc == 2, "which scale?");
	scale = atoi(argv[1]);
	return stage_run(stages, STAGE_COUNT(stages));
}
