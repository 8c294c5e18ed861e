// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file system that programs keep their files in; see store.h.
 */

#include "store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION	"programs"

enum { TOKEN_STORE = 1, TOKEN_NOTES };

void store_make(bool pool)
{
	int fd;

	mkdir("/mnt", 0755);
	fd = tree_mount(STORE, pool ? "size=192m,preserve" : "size=192m");
	require(fd >= 0, "mount the store: %d", fd);
	close(fd);
}

void store_make_huge(const char *options)
{
	mkdir("/mnt", 0755);
	mkdir(STORE, 0755);
	require(!mount("store", STORE, "hugetlbfs", 0, options), "mount the store with %s",
		options);
}

/**
 * struct notes - what crosses in a memfd
 * @clock: the system's time, in seconds
 * @text:  the test's own
 */
struct notes {
	long long clock;
	char text[STORE_NOTES];
};

static long long clock_now(void)
{
	struct timespec now;

	require(!clock_gettime(CLOCK_REALTIME, &now), "read the clock");
	return now.tv_sec;
}

/*
 * A kernel takes its time from the hardware's clock. That of an emulated machine
 * and its kernel's may be minutes apart, and time would go back: memcached does not
 * take what comes from the future. On a real machine NTP keeps them together.
 */
static void go_on_from(long long clock)
{
	struct timespec next = { .tv_sec = clock + 1 };

	if (clock_now() > clock)
		return;
	ksft_print_msg("the clock is set: it is %lld s behind\n",
		       clock - clock_now());
	require(!clock_settime(CLOCK_REALTIME, &next), "set the clock");
}

static void preserve_notes(int session, const char *text)
{
	struct notes notes = { .clock = clock_now() };
	int fd = preserve_memfd_create("notes", 0);

	require(strlen(text) < sizeof(notes.text), "the notes are short");
	snprintf(notes.text, sizeof(notes.text), "%s", text);
	require(fd >= 0 && write(fd, &notes, sizeof(notes)) == sizeof(notes),
		"write the notes");
	require(!preserve_session_add_fd(session, fd, TOKEN_NOTES),
		"preserve the notes");
	close(fd);
}

void store_preserve(const char *notes)
{
	int session = stage_session_create(SESSION);
	int fd = tree_open(STORE), err;

	preserve_notes(session, notes);
	require(fd >= 0, "open the store: %d", fd);
	err = preserve_session_add_fd(session, fd, TOKEN_STORE);
	require(!err, "preserve the store: %d", err);
	check(true, "the store is preserved");
	/* The session stays open, and has the directory. */
	close(fd);
}

const char *store_restore(void)
{
	static struct notes notes;
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, TOKEN_NOTES);

	require(fd >= 0 && pread(fd, &notes, sizeof(notes), 0) ==
		(ssize_t)sizeof(notes), "read the notes: %d", fd);
	close(fd);
	go_on_from(notes.clock);
	mkdir("/mnt", 0755);
	fd = preserve_session_get_fd(session, TOKEN_STORE);
	require(fd >= 0, "retrieve the store: %d", fd);
	require(!tree_attach(fd, STORE), "attach the store");
	close(fd);
	stage_session_finish(session);
	check(true, "the store is attached");
	return notes.text;
}

void store_flip(const char *path, long offset)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char byte;

	require(fd >= 0 && pread(fd, &byte, 1, offset) == 1, "read a byte of %s",
		path);
	byte = ~byte;
	require(pwrite(fd, &byte, 1, offset) == 1, "flip a byte of %s", path);
	close(fd);
}
