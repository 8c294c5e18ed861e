/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's sessions, and the processes that hold them.
 */
#ifndef SESSIONS_H
#define SESSIONS_H

#include <preserve.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A session of preservectl's has this before the name that the user has given. */
#define SESSION_PREFIX	"preserve:"

/* Room for a name that the user may give, with its closing zero. */
#define SAVED_NAME_SIZE	(PRESERVE_SESSION_NAME_SIZE - (sizeof(SESSION_PREFIX) - 1))

/* Where a session stands. */
enum session_state {
	SESSION_OUTGOING,	/* open here, crosses the next kexec */
	SESSION_INCOMING,	/* has come, and no process has it */
	SESSION_RETRIEVED,	/* has come, and a process has it */
	SESSION_HELD,		/* a process has it, and does not let us look */
};

/**
 * struct session - One session.
 * @state:  Where it stands.
 * @files:  How many files it has; 0 for %SESSION_HELD.
 * @name:   As the kernel has it: any bytes.
 * @holder: A process that has it open, or 0.
 * @fd:     Its descriptor there.
 * @comm:   That process's name.
 */
struct session {
	enum session_state state;
	uint64_t files;
	char name[PRESERVE_SESSION_NAME_SIZE];
	pid_t holder;
	int fd;
	char comm[16];
};

/**
 * struct sessions - All of them.
 * @list: The sessions; free it with sessions_free().
 * @nr:   How many.
 * @listed: The kernel has listed them. Otherwise those are missing that no process holds.
 */
struct sessions {
	struct session *list;
	unsigned int nr;
	bool listed;
};

/**
 * sessions_read() - find all sessions
 * @sessions: filled in
 * @holders: also who holds them: looks through all descriptors of all processes, which takes
 *           seconds on a large machine. So does a kernel that does not list its sessions.
 *
 * Has the kernel read what has been handed over, if no process has the device.
 *
 * Return: 0, or a negative errno: what the device gave, or -ENOMEM.
 */
int sessions_read(struct sessions *sessions, bool holders);

/* Does the kernel list its sessions to us? */
bool sessions_are_listed(void);

void sessions_free(struct sessions *sessions);

/* A session by its kernel name, or NULL. */
const struct session *sessions_find(const struct sessions *sessions, const char *name);

/* The same by the name that the user has given it. */
const struct session *sessions_find_saved(const struct sessions *sessions, const char *name);

/* What the user has called a session of preservectl's; NULL if it is none. */
const char *session_saved_name(const struct session *session);

/* "outgoing" and so on. */
const char *session_state_text(enum session_state state);

/**
 * struct handed - A file of a session, as the kernel has it.
 * @token:   Its number.
 * @data:    Physical address of its record.
 * @handler: What preserves it.
 */
struct handed {
	uint64_t token;
	uint64_t data;
	char handler[48];
};

/**
 * session_files() - the files of a session
 * @name: the session
 * @files: filled in; free it with free()
 * @nr: how many
 *
 * Of one that has come, if one that is to go is called so as well.
 *
 * Return: 0, or a negative errno: -ENOENT if debugfs is not mounted, -ESRCH if there is no such
 * session, -EBUSY while a file of it is being preserved or retrieved.
 */
int session_files(const char *name, struct handed **files, unsigned int *nr);

/**
 * session_borrow() - a descriptor of a session that another process holds
 * @session: with a holder
 *
 * Return: the descriptor, or a negative errno.
 */
int session_borrow(const struct session *session);

/**
 * session_give_back() - close a retrieved session so that it can be retrieved again
 * @session: its descriptor
 *
 * A child has it last, and is killed: see keeper.h.
 *
 * Return: 0, or a negative errno: it is still open.
 */
int session_give_back(int session);

/*
 * The same; if it cannot be done the session stays open, and this process is killed at its end.
 */
void session_let_go(int session);

/**
 * device_holder() - which process has /dev/liveupdate open
 * @comm: its name, 16 bytes
 *
 * Return: its number, or 0.
 */
pid_t device_holder(char *comm);

/* Another process's descriptor. Return: one of our own for it, or a negative errno. */
int borrow_fd(pid_t pid, int fd);

#endif /* SESSIONS_H */
