/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A session lives as long as a process has it open. A keeper is that process: it does
 * nothing but hold descriptors until the kexec, or until it is told to go.
 *
 * The kernel finishes a retrieved session when its last holder closes it, and frees what was
 * not retrieved; but not if a signal has killed that holder. So each process of ours that may
 * be the last one, and cannot go on, kills itself.
 *
 * Its name begins with '@', so that systemd lets it live through shutdown; it is in a scope
 * of its own (scope.h); and the OOM killer passes it over.
 *
 * A keeper stays when its starter has told it to, by keeper_commit(). If the starter ends
 * before, the keeper goes too, and everything is as it was; but if the session is finished by
 * then it stays, as nothing else has what was in it.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "manifest.h"

/* The hidden command that a keeper runs, and its descriptors. */
#define KEEPER_COMMAND		"keep"
#define KEEPER_MANIFEST_FD	3
#define KEEPER_SESSION_FD	4
#define KEEPER_STARTER_FD	5
#define KEEPER_EXECUTED_FD	6	/* until it runs */
#define KEEPER_SUMS_FD		7	/* checksums of its items */
/* An item's descriptor is this much more than its place in the list. */
#define KEEPER_ITEM_FD		10

/**
 * struct keeper_load - What a keeper holds.
 * @name:     What the user has called it.
 * @manifest: The memfd with the list.
 * @session:  The session, or -1.
 * @sums:     The memfd with checksums, or -1.
 * @items:    Descriptors of memfds and of mounts' roots, in the list's order, -1 for files;
 *            NULL if the session holds them.
 * @nr:       How many.
 * @finish:   The starter is about to finish the session: the keeper closes it at the commit.
 */
struct keeper_load {
	const char *name;
	int manifest;
	int session;
	int sums;
	const int *items;
	unsigned int nr;
	bool finish;
};

/**
 * struct keeper_start - A keeper that is not committed yet.
 * @pid:     Its process number.
 * @starter: Our end of the pair with it.
 */
struct keeper_start {
	pid_t pid;
	int starter;
};

/**
 * keeper_start() - start one
 * @load: what it holds; the caller still has the descriptors afterwards
 * @scope: put it in a scope of its own. False if the caller is a service of ours.
 * @start: filled in: for keeper_commit() or keeper_cancel()
 *
 * It holds everything when this returns.
 *
 * Return: 0, or a negative errno.
 */
int keeper_start(const struct keeper_load *load, bool scope, struct keeper_start *start);

/* It stays. Return: 0, or a negative errno: it has been killed. */
int keeper_commit(struct keeper_start *start);

/* It goes. */
void keeper_cancel(struct keeper_start *start);

/**
 * keeper_keep() - keep a new list
 * @manifest: the list
 * @items: descriptors of its mounts and memfds, as in struct keeper_load
 * @sums: checksums, or -1
 * @scope: as for keeper_start()
 *
 * Return: 0, or a negative errno.
 */
int keeper_keep(const struct manifest *manifest, const int *items, int sums, bool scope);

/**
 * struct keeper - A keeper that runs.
 * @name:    What the user has called what it holds.
 * @pid:     Its process number.
 * @session: It has a session. Otherwise it keeps what has come back, or what run has made.
 */
struct keeper {
	char name[SAVED_NAME_SIZE];
	pid_t pid;
	bool session;
};

/**
 * struct keepers - All keepers.
 * @list: They; free it with free().
 * @nr:   How many.
 */
struct keepers {
	struct keeper *list;
	unsigned int nr;
};

/*
 * Those that hold something: one that an earlier command has left with a finished session does
 * not. Return: 0, or a negative errno.
 */
int keepers_read(struct keepers *keepers);

/* The keeper of this name, with a session or without, or NULL. */
const struct keeper *keepers_find(const struct keepers *keepers, const char *name,
				  bool session);

/* The same with a look at all processes: its process number, 0, or a negative errno. */
pid_t keeper_find(const char *name, bool session);

/**
 * keeper_of_path() - does another name keep this?
 * @path: a mount or a file
 * @name: which name may
 * @other: the name that does; %SAVED_NAME_SIZE
 *
 * Return: whether one does.
 */
bool keeper_of_path(const char *path, const char *name, char *other);

/* What a keeper has. Return: 0, or a negative errno. */
int keeper_manifest(pid_t pid, struct manifest *manifest);

/* Has it a session in which a part of what is kept could not be saved? */
bool keeper_is_partly(const struct keeper *keeper);

/* Ends a keeper, and waits until what it held is let go. Return: 0, or a negative errno. */
int keeper_stop(pid_t pid);

/* The hidden command. */
int cmd_keep(int argc, char **argv);

#endif /* KEEPER_H */
