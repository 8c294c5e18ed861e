/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * memcached as the distribution ships it, and the tmpfs that its memory is on.
 *
 * Every function that returns int gives a negative errno on failure.
 */

#ifndef DEMO_SERVER_H
#define DEMO_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "memcache.h"

#define SERVER_STORE	"/mnt/preserve"
#define SERVER_MEMORY	SERVER_STORE "/mc.mem"

/* The command that is shown and run; another port for an empty cache. */
#define SERVER_COMMAND	"memcached -u root -m 64 -e " SERVER_MEMORY

/**
 * struct server - a server that has been started
 * @pid: its process
 * @mc:  a connection to it
 */
struct server {
	pid_t pid;
	struct memcache mc;
};

/* Loopback, users, the directory of the tmpfs. */
int server_prepare(void);

/* Mounts a tmpfs there. Gives a descriptor of its root. */
int server_store_mount(bool pool);

/* Attaches a retrieved one. */
int server_store_attach(int mount);

/* Starts it on its restartable memory, or with @empty on none. */
int server_start(struct server *server, bool empty);

/* Asks it to leave its memory in order and waits until it has. */
int server_stop(struct server *server);

#endif /* DEMO_SERVER_H */
