// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tmpfs that programs keep their files in; see store.h.
 */

#include "store.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "liveupdate.h"
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

static void preserve_notes(int session, const char *notes)
{
	int fd = preserve_memfd_create("notes", 0);
	ssize_t len = strlen(notes) + 1;

	require(len <= STORE_NOTES, "the notes are short");
	require(fd >= 0 && write(fd, notes, len) == len, "write the notes");
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
	static char notes[STORE_NOTES];
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, TOKEN_NOTES);

	require(fd >= 0 && pread(fd, notes, sizeof(notes) - 1, 0) > 0,
		"read the notes: %d", fd);
	close(fd);
	mkdir("/mnt", 0755);
	fd = preserve_session_get_fd(session, TOKEN_STORE);
	require(fd >= 0, "retrieve the store: %d", fd);
	require(!tree_attach(fd, STORE), "attach the store");
	close(fd);
	stage_session_finish(session);
	check(true, "the store is attached");
	return notes;
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
