// SPDX-License-Identifier: GPL-2.0-only
/*
 * The client side of memcached's text protocol; see memcache.h.
 */

#include "memcache.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define LINE_SIZE	1024

/* The socket, or a negative errno. */
static int open_socket(unsigned short port)
{
	struct sockaddr_in where = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = { htonl(INADDR_LOOPBACK) },
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&where, sizeof(where)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int memcache_connect(struct memcache *mc, unsigned short port)
{
	int fd = open_socket(port), other;

	if (fd < 0)
		return fd;
	other = dup(fd);
	mc->to = fdopen(fd, "w");
	mc->from = other < 0 ? NULL : fdopen(other, "r");
	return mc->to && mc->from ? 0 : -ENOMEM;
}

void memcache_close(struct memcache *mc)
{
	fclose(mc->to);
	fclose(mc->from);
}

int memcache_set(struct memcache *mc, const struct memcache_item *item)
{
	fprintf(mc->to, "set %s %u %u %zu noreply\r\n", item->key, item->flags,
		item->exptime, item->len);
	fwrite(item->value, 1, item->len, mc->to);
	fputs("\r\n", mc->to);
	return ferror(mc->to) ? -EIO : 0;
}

int memcache_delete(struct memcache *mc, const char *key)
{
	return fprintf(mc->to, "delete %s noreply\r\n", key) < 0 ? -EIO : 0;
}

int memcache_flush(struct memcache *mc)
{
	return fflush(mc->to) ? -EIO : 0;
}

static int read_line(struct memcache *mc, char *line)
{
	if (!fgets(line, LINE_SIZE, mc->from))
		return -EPIPE;
	return 0;
}

int memcache_sync(struct memcache *mc)
{
	char line[LINE_SIZE];
	int err;

	fputs("version\r\n", mc->to);
	err = memcache_flush(mc);
	if (!err)
		err = read_line(mc, line);
	/* An error of a request that wants no answer is told all the same. */
	if (!err && strncmp(line, "VERSION ", 8))
		err = -EPROTO;
	return err;
}

int memcache_ask(struct memcache *mc, const char *key)
{
	return fprintf(mc->to, "gets %s\r\n", key) < 0 ? -EIO : 0;
}

static int read_value(struct memcache *mc, struct memcache_item *item)
{
	char line[LINE_SIZE];
	int err;

	if (item->len > MEMCACHE_VALUE_SIZE)
		return -E2BIG;
	if (fread(item->value, 1, item->len, mc->from) != item->len)
		return -EPIPE;
	err = read_line(mc, line);
	if (err || strcmp(line, "\r\n"))
		return err ? err : -EPROTO;
	err = read_line(mc, line);
	if (err || strcmp(line, "END\r\n"))
		return err ? err : -EPROTO;
	return 1;
}

int memcache_answer(struct memcache *mc, struct memcache_item *item)
{
	char line[LINE_SIZE];
	int err = read_line(mc, line);

	if (err)
		return err;
	if (!strcmp(line, "END\r\n"))
		return 0;
	if (sscanf(line, "VALUE %250s %u %zu %" SCNu64, item->key, &item->flags,
		   &item->len, &item->cas) != 4)
		return -EPROTO;
	return read_value(mc, item);
}

int64_t memcache_stat(struct memcache *mc, const char *name)
{
	char line[LINE_SIZE], found[LINE_SIZE];
	int64_t value, result = -ENOENT;
	int err;

	fputs("stats\r\n", mc->to);
	err = memcache_flush(mc);
	while (!err) {
		err = read_line(mc, line);
		if (err || !strcmp(line, "END\r\n"))
			break;
		if (sscanf(line, "STAT %1000s %" SCNd64, found, &value) == 2 &&
		    !strcmp(found, name))
			result = value;
	}
	return err ? err : result;
}
