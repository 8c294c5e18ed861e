// SPDX-License-Identifier: GPL-2.0-only
/*
 * The services of make check-system that have much memory: a memfd that they are given, or
 * make. A word of each page says which page it is.
 *
 *	system-memory run         its memfd is descriptor 3, from preservectl run
 *	system-memory store MIB   it is in systemd's descriptor store, from an earlier start or
 *	                          kernel, and has that size
 *	system-memory plain MIB   the same, made without MFD_PRESERVE
 *
 * Writes what it has found to /run/system-memory, -store or -plain, and waits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FD		3
#define PAGE		4096UL
#define SEED		0x9e3779b97f4a7c15ULL

#ifndef MFD_PRESERVE
#define MFD_PRESERVE	0x0020U
#endif

/* To systemd: with a descriptor if @fd is not -1. */
static bool notify(const char *text, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr message = { .msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1 };
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool sent;

	if (!path || sock < 0 || strlen(path) >= sizeof(to.sun_path))
		return false;
	memcpy(to.sun_path, path, strlen(path) + 1);
	message.msg_namelen = offsetof(struct sockaddr_un, sun_path) + strlen(path);
	if (*to.sun_path == '@')
		*to.sun_path = '\0';
	if (fd >= 0) {
		struct cmsghdr *head;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(int));
	}
	sent = sendmsg(sock, &message, MSG_NOSIGNAL) >= 0;
	close(sock);
	return sent;
}

static uint64_t *map(int fd, size_t size)
{
	uint64_t *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static void fill(uint64_t *mem, size_t size)
{
	for (size_t i = 0; i < size / PAGE; i++)
		mem[i * PAGE / sizeof(*mem)] = i * SEED + 1;
}

static bool check(const uint64_t *mem, size_t size)
{
	for (size_t i = 0; i < size / PAGE; i++)
		if (mem[i * PAGE / sizeof(*mem)] != i * SEED + 1)
			return false;
	return true;
}

static void report(const char *path, const char *state, bool good)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return;
	fprintf(file, "%s%s\n", state, good ? "good" : "bad");
	fclose(file);
}

static int serve_run(void)
{
	const char *state = getenv("PRESERVE_STATE");
	char text[32];
	uint64_t *mem;
	struct stat st;

	if (!state || fstat(FD, &st))
		return 1;
	mem = map(FD, st.st_size);
	if (!mem)
		return 1;
	if (!strcmp(state, "fresh"))
		fill(mem, st.st_size);
	snprintf(text, sizeof(text), "%s ", state);
	report("/run/system-memory", text, check(mem, st.st_size));
	return 0;
}

static int serve_store(const char *word, size_t size)
{
	const char *given = getenv("LISTEN_FDS");
	bool come = given && atoi(given) > 0;
	int fd = come ? FD : memfd_create(word, MFD_CLOEXEC |
					  (strcmp(word, "plain") ? MFD_PRESERVE : 0));
	char path[32], text[64];
	uint64_t *mem;

	if (fd < 0 || (!come && ftruncate(fd, size)))
		return 1;
	mem = map(fd, size);
	if (!mem)
		return 1;
	if (!come) {
		fill(mem, size);
		snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=system-%s", word);
		if (!notify(text, fd))
			return 1;
	}
	snprintf(path, sizeof(path), "/run/system-%s", word);
	report(path, come ? "" : "new ", check(mem, size));
	return 0;
}

int main(int argc, char **argv)
{
	int err = argc == 2 && !strcmp(argv[1], "run") ? serve_run() :
		  argc == 3 ? serve_store(argv[1], (size_t)atoi(argv[2]) << 20) : 1;

	if (err)
		return err;
	notify("READY=1", -1);
	for (;;)
		pause();
}
