// SPDX-License-Identifier: GPL-2.0-only
/*
 * memcached's restartable cache on a tmpfs that crosses kexec. The server is told
 * to stop, and started again after the kexec with the same command: every item is
 * there, with flags and version. Then it is killed: as it promises, it starts
 * without items after the next kexec, whatever is in its file.
 *
 *	tmpfs_memcached [pool]
 *
 * With "pool" the tmpfs takes its memory from the pool from the start.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memcache.h"
#include "program.h"
#include "stage.h"
#include "store.h"

#define SERVER	"/usr/bin/memcached"
#define MEMORY	STORE "/mc.mem"
#define META	MEMORY ".meta"
#define NR_KEYS	12000
#define BATCH	100

/* One item for all: it is large. */
static struct memcache_item item, want;

static bool pool;

/*
 * What is to be there: item @no in its version @round, the first of which is 1.
 * Lengths spread over the slab classes. In both rounds some items are missing.
 */
static bool make_item(struct memcache_item *out, unsigned int no,
		      unsigned int round)
{
	uint64_t state = ((uint64_t)round << 32) + no;
	size_t i;

	snprintf(out->key, sizeof(out->key), "item:%u", no);
	out->flags = no * 2654435761U;
	out->exptime = no % 3 ? 0 : 86400;
	out->len = 10 + no % 40 * no % 1200;
	for (i = 0; i < out->len; i++) {
		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		out->value[i] = state >> 56;
	}
	return (no + round) % 9;
}

/* The second round changes every fifth item. */
static unsigned int round_of(unsigned int no, unsigned int rounds)
{
	return rounds > 1 && no % 5 ? 1 : rounds;
}

static struct program start(struct memcache *mc)
{
	struct program server =
		program_start(PROGRAM_ARGV(SERVER, "-u", "root", "-m", "64",
					   "-e", MEMORY));
	int err;

	while ((err = memcache_connect(mc, MEMCACHE_PORT)) == -ECONNREFUSED &&
	       program_runs(&server))
		program_pause();
	if (err)
		program_show(&server);
	require(!err, "connect to memcached: %d", err);
	return server;
}

static int64_t stat_of(struct memcache *mc, const char *name)
{
	int64_t value = memcache_stat(mc, name);

	require(value >= 0, "statistics %s: %" PRId64, name, value);
	return value;
}

/* Writes the items of a round; those that are to be missing go. */
static void write_round(struct memcache *mc, unsigned int round)
{
	unsigned int no;

	for (no = 0; no < NR_KEYS; no++) {
		bool there = make_item(&item, no, round);

		if (round_of(no, round) != round)
			continue;
		require(!memcache_set(mc, &item) &&
			(there || !memcache_delete(mc, item.key)), "write");
	}
	require(!memcache_sync(mc), "all items are taken");
	check(!stat_of(mc, "evictions"), "none of the items is thrown out");
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * 0x100000001b3ULL;
}

/* Gives whether the item of the next answer is as it has to be. */
static bool item_good(struct memcache *mc, unsigned int no, unsigned int rounds,
		      uint64_t *versions)
{
	bool there = make_item(&want, no, round_of(no, rounds));
	int got = memcache_answer(mc, &item);

	require(got >= 0, "read %s: %d", want.key, got);
	if (!got)
		return !there;
	*versions = mix(mix(*versions, no), item.cas);
	return there && !strcmp(item.key, want.key) &&
	       item.flags == want.flags && item.len == want.len &&
	       !memcmp(item.value, want.value, item.len);
}

/* Reads everything back. Gives the number of bad items. */
static unsigned int count_bad(struct memcache *mc, unsigned int rounds,
			      uint64_t *versions)
{
	unsigned int no, i, bad = 0;
	char key[32];

	*versions = 0;
	for (no = 0; no < NR_KEYS; no += BATCH) {
		for (i = no; i < no + BATCH; i++) {
			snprintf(key, sizeof(key), "item:%u", i);
			require(!memcache_ask(mc, key), "ask for %s", key);
		}
		require(!memcache_flush(mc), "ask");
		for (i = no; i < no + BATCH; i++)
			bad += !item_good(mc, i, rounds, versions);
	}
	return bad;
}

/* Checks all items, stops the server as its manual says, hands the store over. */
static void close_round(struct memcache *mc, const struct program *server,
			unsigned int rounds)
{
	unsigned int bad;
	uint64_t versions;
	char notes[128];
	int status;

	bad = count_bad(mc, rounds, &versions);
	check(!bad, "%u of %u items are bad before", bad, NR_KEYS);
	snprintf(notes, sizeof(notes), "%" PRIu64 " %" PRIx64,
		 (uint64_t)stat_of(mc, "curr_items"), versions);
	memcache_close(mc);
	status = program_stop(server, SIGUSR1);
	if (!check(!status, "memcached stops: %#x", status))
		program_show(server);
	check(!access(META, R_OK), "it leaves a description of its memory");
	store_preserve(notes);
}

/* Every item is there, in the version that it had. */
static void check_round(const struct program *server, struct memcache *mc,
			const char *notes, unsigned int rounds)
{
	uint64_t nr_items, old_versions, versions;
	unsigned int bad;

	require(sscanf(notes, "%" SCNu64 " %" SCNx64, &nr_items,
		       &old_versions) == 2, "notes");
	/* It says why when it does not take its memory. */
	if (!check(stat_of(mc, "curr_items") == (int64_t)nr_items,
		   "the server has %" PRIu64 " items", nr_items))
		program_show(server);
	bad = count_bad(mc, rounds, &versions);
	check(!bad, "%u of %u items are bad after", bad, NR_KEYS);
	check(versions == old_versions, "their versions are the same");
}

static void load(void)
{
	struct program server;
	struct memcache mc;

	program_prepare_system();
	store_make(pool);
	server = start(&mc);
	write_round(&mc, 1);
	close_round(&mc, &server, 1);
}

static void go_on(void)
{
	struct program server;
	const char *notes;
	struct memcache mc;

	program_prepare_system();
	notes = store_restore();
	server = start(&mc);
	check_round(&server, &mc, notes, 1);
	write_round(&mc, 2);
	close_round(&mc, &server, 2);
}

static void kill_it(void)
{
	struct program server;
	const char *notes;
	struct memcache mc;
	int status;

	program_prepare_system();
	notes = store_restore();
	server = start(&mc);
	check_round(&server, &mc, notes, 2);
	memcache_close(&mc);
	status = program_stop(&server, SIGKILL);
	check(status == PROGRAM_SIGNAL(SIGKILL), "memcached is killed");
	check(access(META, R_OK), "nothing describes its memory");
	store_preserve("killed");
}

static void start_clean(void)
{
	struct program server;
	struct memcache mc;
	uint64_t versions;
	unsigned int bad;

	program_prepare_system();
	store_restore();
	check(!access(MEMORY, R_OK), "its memory is there");
	server = start(&mc);
	check(!stat_of(&mc, "curr_items"), "the server starts without items");
	bad = count_bad(&mc, 1, &versions);
	check(!versions, "it gives none of the items");
	write_round(&mc, 1);
	bad = count_bad(&mc, 1, &versions);
	check(!bad, "it can be filled again: %u bad", bad);
	memcache_close(&mc);
	check(!program_stop(&server, SIGUSR1), "and stops");
}

static const stage_fn stages[] = { load, go_on, kill_it, start_clean };

int main(int argc, char **argv)
{
	pool = argc > 1 && !strcmp(argv[1], "pool");
	return stage_run(stages, STAGE_COUNT(stages));
}
