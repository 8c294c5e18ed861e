// SPDX-License-Identifier: GPL-2.0-only

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "books.h"
#include "memory.h"
#include "stage.h"

#define GLOBAL	"/sys/kernel/mm/hugepages"
#define NODES	"/sys/devices/system/node"

/* Milliseconds until what is expected has to be so. */
#define PATIENCE	5000

/* A number in a directory for one size; -1 if there is none. */
static long number(const char *base, __u64 size, const char *name)
{
	char path[256], text[32] = "";
	FILE *file;
	bool got;

	snprintf(path, sizeof(path), "%s/hugepages-%llukB/%s", base,
		 (unsigned long long)size >> 10, name);
	file = fopen(path, "re");
	if (!file)
		return -1;
	got = fgets(text, sizeof(text), file);
	fclose(file);
	return got ? atol(text) : -1;
}

static struct books read_from(const char *base, __u64 size)
{
	return (struct books) {
		.total = number(base, size, "nr_hugepages"),
		.free = number(base, size, "free_hugepages"),
		.resv = number(base, size, "resv_hugepages"),
		.surplus = number(base, size, "surplus_hugepages"),
	};
}

/* Nodes know of no reservations. The total is -1 if one of them is impossible. */
static struct books sum_of_nodes(__u64 size)
{
	DIR *dir = opendir(NODES);
	struct books sum = {}, node;
	struct dirent *entry;
	char base[300];

	require(dir, "open " NODES);
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "node", 4))
			continue;
		snprintf(base, sizeof(base), NODES "/%s/hugepages", entry->d_name);
		node = read_from(base, size);
		if (node.total < 0)
			continue;
		if (node.free > node.total || node.surplus > node.total)
			break;
		sum.total += node.total;
		sum.free += node.free;
		sum.surplus += node.surplus;
	}
	closedir(dir);
	if (entry)
		sum.total = -1;
	return sum;
}

/* Lines without a unit are numbers of pages. */
static long meminfo_number(const char *name)
{
	char line[128];
	FILE *file = fopen("/proc/meminfo", "re");
	size_t len = strlen(name);
	long value = -1;

	require(file, "open /proc/meminfo");
	while (value < 0 && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, len) && line[len] == ':')
			value = atol(line + len + 1);
	fclose(file);
	return value;
}

const char *books_get(__u64 size, struct books *books)
{
	struct books nodes = sum_of_nodes(size);

	*books = read_from(GLOBAL, size);
	if (books->total < 0)
		return "there are none of this size";
	if (nodes.total != books->total || nodes.free != books->free ||
	    nodes.surplus != books->surplus)
		return "the nodes do not add up";
	if (books->free < books->resv || books->total < books->free ||
	    books->total < books->surplus || books->resv < 0 || books->surplus < 0)
		return "a counter is impossible";
	if (meminfo_number("Hugepagesize") << 10 == (long)size &&
	    (meminfo_number("HugePages_Total") != books->total ||
	     meminfo_number("HugePages_Free") != books->free ||
	     meminfo_number("HugePages_Rsvd") != books->resv ||
	     meminfo_number("HugePages_Surp") != books->surplus))
		return "/proc/meminfo says something else";
	return NULL;
}

struct books books_read(__u64 size, const char *when)
{
	struct books books;
	const char *bad = books_get(size, &books);

	check(!bad, "%s: the books add up%s%s", when, bad ? ": " : "", bad ?: "");
	return books;
}

/* Work in the background holds a file for some moments, although it is closed. */
static void await(__u64 size, const struct books *want)
{
	struct books got;
	int i;

	for (i = 0; i < PATIENCE; i++) {
		if (!books_get(size, &got) && !memcmp(&got, want, sizeof(got)))
			return;
		usleep(1000);
	}
}

void books_check(__u64 size, struct books want, const char *when)
{
	struct books got;

	await(size, &want);
	got = books_read(size, when);
	check(got.total == want.total && got.free == want.free && got.resv == want.resv &&
	      got.surplus == want.surplus,
	      "%s: total %ld free %ld reserved %ld surplus %ld, expected %ld %ld %ld %ld", when,
	      got.total, got.free, got.resv, got.surplus, want.total, want.free, want.resv,
	      want.surplus);
}
