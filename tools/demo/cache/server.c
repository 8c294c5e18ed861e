// SPDX-License-Identifier: GPL-2.0-only
/* memcached and its tmpfs; see server.h. */

#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif

#define PATH		"/usr/bin/memcached"
#define EMPTY_PORT	11212
#define LOOKS		6000
#define LOOK_MS		5

static const char *const restartable[] = {
	PATH, "-u", "root", "-m", "64", "-e", SERVER_MEMORY, NULL
};

static const char *const empty_cache[] = {
	PATH, "-u", "root", "-m", "64", "-p", "11212", NULL
};

static int bring_loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	if (fd < 0)
		return -errno;
	err = ioctl(fd, SIOCSIFFLAGS, &ifr) ? -errno : 0;
	close(fd);
	return err;
}

int server_prepare(void)
{
	FILE *users = fopen("/etc/passwd", "we");

	if (!users)
		return -errno;
	fputs("root:x:0:0:root:/:/bin/sh\n", users);
	if (fclose(users))
		return -errno;
	mkdir("/mnt", 0755);
	mkdir(SERVER_STORE, 0755);
	return bring_loopback_up();
}

int server_store_mount(bool pool)
{
	int fd;

	if (mount("cache", SERVER_STORE, "tmpfs", 0,
		  pool ? "size=80m,preserve" : "size=80m"))
		return -errno;
	fd = open(SERVER_STORE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int server_store_attach(int mnt)
{
	return syscall(SYS_move_mount, mnt, "", AT_FDCWD, SERVER_STORE,
		       MOVE_MOUNT_F_EMPTY_PATH) ? -errno : 0;
}

static void look_away(void)
{
	struct timespec pause = { 0, LOOK_MS * 1000000L };

	nanosleep(&pause, NULL);
}

int server_start(struct server *server, bool empty)
{
	const char *const *argv = empty ? empty_cache : restartable;
	unsigned short port = empty ? EMPTY_PORT : MEMCACHE_PORT;
	int err, looks = 0;

	fflush(stdout);
	server->pid = fork();
	if (server->pid < 0)
		return -errno;
	if (!server->pid) {
		/* The standard output belongs to the person. */
		dup2(2, 1);
		execv(PATH, (char *const *)argv);
		_exit(127);
	}
	while ((err = memcache_connect(&server->mc, port)) == -ECONNREFUSED &&
	       looks++ < LOOKS && !waitpid(server->pid, NULL, WNOHANG))
		look_away();
	return err;
}

int server_stop(struct server *server)
{
	int status;

	memcache_close(&server->mc);
	if (kill(server->pid, SIGUSR1))
		return -errno;
	if (waitpid(server->pid, &status, 0) != server->pid)
		return -errno;
	return status ? -EIO : 0;
}
