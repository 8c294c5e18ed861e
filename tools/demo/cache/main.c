// SPDX-License-Identifier: GPL-2.0-only
/*
 * A cache that survives kexec, served by a program that knows nothing of it. In
 * the first kernel memcached is filled with a package index; it has its memory in
 * a file on a tmpfs. It is told to stop, the tmpfs is preserved, and in the next
 * kernel memcached is started on it with the same command. A second memcached,
 * without a file, is filled there only to show what that takes.
 *
 *	demo-cache DATA-FILE [plain]
 *
 * With "plain" the tmpfs is mounted without the option preserve, for comparison.
 * Lines that start with SHOW are for the person in front of the host.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "content.h"
#include "guest.h"
#include "preserve.h"
#include "server.h"
#include "show.h"

#define SESSION		"demo-cache"
#define FIRST		1000	/* requests that find a cache full or empty */
#define ANSWER_SIZE	64

#define NR_QUESTIONS	3

enum { TOKEN_STORE = 1, TOKEN_NOTES };

static const char *const questions[NR_QUESTIONS] = {
	"package:memcached", "package:sqlite3", "package:postgresql",
};

/**
 * struct notes - what the first kernel writes down for the next
 * @content: what has to be served again
 * @answers: to the questions
 * @bytes:   memory of the cache's file
 * @fill:    seconds that filling took
 * @stop:    seconds that the server took to stop
 * @save:    seconds that preserving took
 * @rate:    ticks a second
 * @reboot:  ticks at the reboot call
 * @clock:   the system's time, in seconds
 */
struct notes {
	struct content content;
	char answers[NR_QUESTIONS][ANSWER_SIZE];
	uint64_t bytes;
	double fill;
	double stop;
	double save;
	double rate;
	uint64_t reboot;
	int64_t clock;
};

static int open_session(int (*open)(int device, const char *name))
{
	int device = must(preserve_device_open(), "open /dev/liveupdate");
	int session = must(open(device, SESSION), "open the session");

	close(device);
	return session;
}

static struct notes *map_notes(int fd)
{
	struct notes *notes = mmap(NULL, sizeof(*notes),
				   PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	must(notes == MAP_FAILED ? -errno : 0, "map the notes");
	return notes;
}

static void ask_all(struct memcache *mc, char answers[][ANSWER_SIZE])
{
	int i;

	for (i = 0; i < NR_QUESTIONS; i++) {
		must(content_ask(mc, questions[i], answers[i], ANSWER_SIZE),
		     "ask the server");
		show("    get %-22s %s", questions[i], answers[i]);
	}
}

static void check_all(struct memcache *mc, const char *data,
		      struct content *content)
{
	must(content_check(mc, data, 0, content), "ask for every item");
	must(content->hits == content->items ? 0 : -ENOENT,
	     "an item is not there");
}

static double fill(struct memcache *mc, const char *data)
{
	struct stamp start = clock_now();

	must(content_fill(mc, data, show_progress), "write all items");
	return clock_seconds(start, clock_now());
}

static void run_first(const char *data, struct notes *notes)
{
	struct server server;
	struct stamp start;
	struct stat st;

	must(server_start(&server, false), "start memcached");
	notes->fill = fill(&server.mc, data);
	check_all(&server.mc, data, &notes->content);
	show("  filled with %llu items in %.1f s",
	     (unsigned long long)notes->content.items, notes->fill);
	ask_all(&server.mc, notes->answers);
	start = clock_now();
	must(server_stop(&server), "stop memcached");
	notes->stop = clock_seconds(start, clock_now());
	must(stat(SERVER_MEMORY, &st) ? -errno : 0, "the cache's file");
	notes->bytes = st.st_blocks * 512ULL;
}

static void save(const char *data, bool plain)
{
	int notes_fd = must(preserve_memfd_create("notes", 0), "make the notes");
	struct stamp begin = clock_now(), start;
	struct notes *notes;
	int session, store;

	must(ftruncate(notes_fd, sizeof(*notes)) ? -errno : 0, "size");
	notes = map_notes(notes_fd);
	must(server_prepare(), "prepare the system");
	store = must(server_store_mount(!plain), "mount a tmpfs");
	show("first kernel: %s", SERVER_COMMAND);
	run_first(data, notes);

	must(vm_load_next(), "load the next kernel");
	session = open_session(preserve_session_create);
	start = clock_now();
	must(preserve_session_add_fd(session, store, TOKEN_STORE),
	     "preserve the tmpfs");
	notes->save = clock_seconds(start, clock_now());
	must(preserve_session_add_fd(session, notes_fd, TOKEN_NOTES),
	     "preserve the notes");

	show("kexec");
	vm_mark_log();
	start = clock_now();
	notes->rate = clock_rate(begin, start);
	notes->clock = time(NULL);
	printf("MARK reboot\n");
	notes->reboot = clock_now().ticks;
	must(preserve_kexec_reboot(), "enter the next kernel");
}

/**
 * struct after - what the next kernel finds
 * @notes:        the first kernel's
 * @content:      what is served
 * @first:        of the first requests
 * @blackout:     seconds from the reboot call to the first answer
 * @empty_first:  of the first requests to an empty cache
 * @refill:       seconds that filling it takes
 * @refilled:     what it has then
 */
struct after {
	const struct notes *notes;
	struct content content;
	struct content first;
	double blackout;
	struct content empty_first;
	double refill;
	struct content refilled;
};

static void refill(const char *data, struct after *after)
{
	struct server server;

	must(server_start(&server, true), "start an empty memcached");
	must(content_check(&server.mc, data, FIRST, &after->empty_first),
	     "ask the empty cache");
	after->refill = fill(&server.mc, data);
	check_all(&server.mc, data, &after->refilled);
	must(server_stop(&server), "stop it");
}

static void show_numbers(const char *what, uint64_t a, uint64_t b)
{
	show("  %-28s %18llu %18llu", what, (unsigned long long)a,
	     (unsigned long long)b);
}

static void show_texts(const char *what, const char *a, const char *b)
{
	show("  %-28s %18s %18s", what, a, b);
}

static void show_table(const struct after *after)
{
	const struct notes *notes = after->notes;

	show(" ");
	show_texts("", "carried over", "filled again");
	show_numbers("items", after->content.items, after->refilled.items);
	show("  %-28s %18.1f", "MiB preserved", notes->bytes / 1048576.0);
	show("  %-28s   %016llx", "checksum before",
	     (unsigned long long)notes->content.checksum);
	show("  %-28s   %016llx   %016llx", "checksum after",
	     (unsigned long long)after->content.checksum,
	     (unsigned long long)after->refilled.checksum);
	show_numbers("hits of the first 1000", after->first.hits,
		     after->empty_first.hits);
	show_texts("time to stop the server", seconds_text(notes->stop), "-");
	show_texts("time to save", seconds_text(notes->save), "-");
	show_texts("reboot to first answer", seconds_text(after->blackout),
		   seconds_text(after->blackout));
	show_texts("time to fill", "0 s", seconds_text(after->refill));
	show_texts("reboot to full cache", seconds_text(after->blackout),
		   seconds_text(after->blackout + after->refill));
	show(" ");
}

static void emit_metrics(const struct after *after)
{
	printf("METRIC items %llu\n", (unsigned long long)after->content.items);
	printf("METRIC bytes %llu\n", (unsigned long long)after->notes->bytes);
	printf("METRIC fill_s %f\n", after->notes->fill);
	printf("METRIC stop_s %f\n", after->notes->stop);
	printf("METRIC save_s %f\n", after->notes->save);
	printf("METRIC blackout_s %f\n", after->blackout);
	printf("METRIC refill_s %f\n", after->refill);
}

/* The same cache has to be served, and takes new items. */
static void check_served(const char *data, struct server *server,
			 struct after *after)
{
	const struct notes *notes = after->notes;
	char answers[NR_QUESTIONS][ANSWER_SIZE] = {};

	must(content_check(&server->mc, data, FIRST, &after->first),
	     "ask for the first items");
	ask_all(&server->mc, answers);
	must(memcmp(answers, notes->answers, sizeof(answers)) ? -EILSEQ : 0,
	     "the answers are not the same");
	check_all(&server->mc, data, &after->content);
	must(after->content.checksum != notes->content.checksum ? -EILSEQ : 0,
	     "the items are not the same");
	must(content_fill(&server->mc, data, show_progress),
	     "the cache can still be written");
}

/*
 * An emulated machine's clock and its kernel's may be far apart, and memcached does
 * not take a memory from the future.
 */
static void go_on_from(int64_t clock)
{
	struct timespec next = { .tv_sec = clock + 1 };

	if (time(NULL) <= clock)
		must(clock_settime(CLOCK_REALTIME, &next) ? -errno : 0,
		     "set the clock");
}

static int resume(const char *data)
{
	int session = open_session(preserve_session_retrieve);
	struct after after = {};
	char text[ANSWER_SIZE];
	struct server server;
	struct stamp answer;

	after.notes = map_notes(must(preserve_session_get_fd(session,
							     TOKEN_NOTES),
				     "retrieve the notes"));
	go_on_from(after.notes->clock);
	must(server_prepare(), "prepare the system");
	must(server_store_attach(must(preserve_session_get_fd(session,
							      TOKEN_STORE),
				      "retrieve the tmpfs")), "attach it");
	must(server_start(&server, false), "start memcached");
	must(content_ask(&server.mc, questions[0], text, sizeof(text)),
	     "ask for the first item");
	answer = clock_now();
	printf("MARK first-answer\n");

	after.blackout = (answer.ticks - after.notes->reboot) /
			 after.notes->rate;
	must(preserve_session_finish(session), "finish the session");
	show("next kernel: the same command, nothing filled in");
	check_served(data, &server, &after);
	must(server_stop(&server), "stop memcached");

	show("for comparison: an empty memcached, filled again");
	refill(data, &after);
	show_table(&after);
	emit_metrics(&after);
	return 0;
}

int main(int argc, char **argv)
{
	int stage = vm_stage();

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2 || stage < 0) {
		fprintf(stderr, "usage: demo-cache DATA-FILE [plain], by scripts/demo\n");
		return 2;
	}
	if (stage)
		return resume(argv[1]);
	save(argv[1], argc > 2 && !strcmp(argv[2], "plain"));
	return 1;
}
