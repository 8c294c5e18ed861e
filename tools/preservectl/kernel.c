// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the running kernel says of itself: sysfs, debugfs, its command line.
 */

#include "kernel.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define POOL		"/sys/kernel/mm/preserve"
#define SCRATCH		"/sys/kernel/debug/kho/out/scratch_len"

int kernel_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	size_t have = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	while ((got = read(fd, text + have, size - have)) > 0)
		have += got;
	if (got < 0)
		err = -errno;
	else if (have == size)
		err = -E2BIG;
	close(fd);
	if (err)
		return err;
	while (have && text[have - 1] == '\n')
		have--;
	text[have] = '\0';
	return 0;
}

int kernel_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

int kernel_pool(int node, const char *name, uint64_t *value)
{
	char path[128], text[32], dir[24] = "";
	int err;

	*value = 0;
	if (node != KERNEL_ALL_NODES)
		snprintf(dir, sizeof(dir), "node%d/", node);
	snprintf(path, sizeof(path), POOL "/%s%s", dir, name);
	err = kernel_text(path, text, sizeof(text));
	if (!err)
		*value = strtoull(text, NULL, 10);
	return err;
}

uint64_t kernel_pool_number(const char *name)
{
	uint64_t value;

	kernel_pool(KERNEL_ALL_NODES, name, &value);
	return value;
}

int kernel_pool_write(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), POOL "/%s", name);
	return kernel_write(path, text);
}

bool kernel_has_pool(void)
{
	return !access(POOL "/size", F_OK);
}

const char *kernel_why_not(const char **next)
{
	char cmdline[4096];

	if (kernel_has_pool())
		return NULL;
	if (access("/sys/kernel", F_OK)) {
		*next = "mount -t sysfs none /sys";
		return "/sys is not mounted";
	}
	if (!kernel_text("/proc/cmdline", cmdline, sizeof(cmdline)) &&
	    (cmdline_switch(cmdline, "kho") != 1 ||
	     cmdline_switch(cmdline, "liveupdate") != 1)) {
		*next = "add kho=on liveupdate=on to the kernel's command line, and boot once";
		return "this kernel was booted without kho=on liveupdate=on";
	}
	*next = "boot a kernel with CONFIG_PRESERVE; the kernel log says why if this is one";
	return "this kernel preserves no memory";
}

int kernel_scratch(uint64_t *bytes, uint64_t *largest)
{
	char text[4096], *at = text, *end;
	int err = kernel_text(SCRATCH, text, sizeof(text)), nr = 0;

	*bytes = *largest = 0;
	if (err)
		return err;
	for (;; at = end) {
		uint64_t len = strtoull(at, &end, 0);

		if (end == at)
			return nr;
		*bytes += len;
		if (len > *largest)
			*largest = len;
		nr++;
	}
}

/* The next word's end: at a space outside of quotes. */
static const char *word_end(const char *at)
{
	bool quoted = false;

	for (; *at && (quoted || !isspace((unsigned char)*at)); at++)
		quoted ^= *at == '"';
	return at;
}

/* As the kernel has it, '-' and '_' are the same in a name. */
static bool same_name(const char *word, const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((word[i] == '-' ? '_' : word[i]) != (name[i] == '-' ? '_' : name[i]))
			return false;
	return true;
}

bool cmdline_value(const char *cmdline, const char *name, char *value, size_t size)
{
	size_t len = strlen(name), out;
	bool found = false;
	const char *end;

	for (const char *at = cmdline; *at; at = end) {
		while (isspace((unsigned char)*at))
			at++;
		end = word_end(at);
		if (end - at == 2 && !strncmp(at, "--", 2))
			break;
		if (*at == '"')
			at++;
		if ((size_t)(end - at) < len || !same_name(at, name, len) ||
		    (at + len != end && at[len] != '='))
			continue;
		found = true;
		out = 0;
		for (at += len + (at + len != end); at < end && out + 1 < size; at++)
			if (*at != '"')
				value[out++] = *at;
		value[out] = '\0';
	}
	return found;
}

int cmdline_switch(const char *cmdline, const char *name)
{
	char value[16];

	if (!cmdline_value(cmdline, name, value, sizeof(value)))
		return -1;
	return !strcasecmp(value, "on") || strchr("1yYtT", *value ? *value : 'n');
}
