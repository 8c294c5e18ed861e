// SPDX-License-Identifier: GPL-2.0-only
/* The demo's data set in a cache; see content.h. */

#include "content.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BATCH		64
#define LINE_SIZE	8192
#define PROGRESS_STEP	2000

/* Large, and there is one thread only. */
static struct memcache_item item;

/* Cuts the next line in two. 1, 0 at the end, or -EINVAL. */
static int next_line(FILE *file, char *line, char **value)
{
	if (!fgets(line, LINE_SIZE, file))
		return 0;
	line[strcspn(line, "\n")] = '\0';
	*value = strchr(line, '\t');
	if (!*value || *value - line >= MEMCACHE_KEY_SIZE)
		return -EINVAL;
	*(*value)++ = '\0';
	return 1;
}

static int put(struct memcache *mc, const char *key, const char *value)
{
	/* It fits: next_line() has looked. */
	memcpy(item.key, key, strlen(key) + 1);
	item.flags = 0;
	item.exptime = 0;
	item.len = strlen(value);
	memcpy(item.value, value, item.len);
	return memcache_set(mc, &item);
}

static int fill_from(struct memcache *mc, FILE *file,
		     void (*progress)(unsigned int items))
{
	char line[LINE_SIZE], *value;
	unsigned int items = 0;
	int err;

	while ((err = next_line(file, line, &value)) > 0) {
		err = put(mc, line, value);
		if (err)
			return err;
		if (!(++items % PROGRESS_STEP))
			progress(items);
	}
	return err ? err : memcache_sync(mc);
}

int content_fill(struct memcache *mc, const char *path,
		 void (*progress)(unsigned int items))
{
	FILE *file = fopen(path, "re");
	int err;

	if (!file)
		return -errno;
	err = fill_from(mc, file, progress);
	fclose(file);
	return err;
}

static void mix(uint64_t *sum, const char *text, size_t len)
{
	while (len--)
		*sum = (*sum ^ (unsigned char)*text++) * 0x100000001b3ULL;
}

/* The answer for one line of the text. */
static int take_answer(struct memcache *mc, const char *key, const char *value,
		       struct content *content)
{
	size_t len = strlen(value);
	int got = memcache_answer(mc, &item);

	content->items++;
	if (got <= 0)
		return got;
	if (strcmp(item.key, key) || item.len != len ||
	    memcmp(item.value, value, len))
		return 0;
	content->hits++;
	content->bytes += len;
	mix(&content->checksum, item.key, strlen(item.key));
	mix(&content->checksum, item.value, item.len);
	return 0;
}

/* The lines of one round trip. */
struct batch {
	char line[BATCH][LINE_SIZE];
	char *value[BATCH];
	unsigned int nr;
};

static int ask_batch(struct memcache *mc, FILE *file, struct batch *batch,
		     unsigned int limit)
{
	int err = 0;

	for (batch->nr = 0; batch->nr < limit; batch->nr++) {
		err = next_line(file, batch->line[batch->nr],
				&batch->value[batch->nr]);
		if (err > 0)
			err = memcache_ask(mc, batch->line[batch->nr]);
		else if (!err)
			break;
		if (err < 0)
			return err;
	}
	return memcache_flush(mc);
}

static int check_from(struct memcache *mc, FILE *file, uint64_t limit,
		      struct content *content)
{
	static struct batch batch;
	unsigned int i, want;
	int err;

	do {
		want = BATCH;
		if (limit && limit - content->items < want)
			want = limit - content->items;
		err = ask_batch(mc, file, &batch, want);
		for (i = 0; !err && i < batch.nr; i++)
			err = take_answer(mc, batch.line[i], batch.value[i],
					  content);
	} while (!err && batch.nr);
	return err;
}

int content_check(struct memcache *mc, const char *path, uint64_t limit,
		  struct content *content)
{
	FILE *file = fopen(path, "re");
	int err;

	if (!file)
		return -errno;
	*content = (struct content) {};
	err = check_from(mc, file, limit, content);
	fclose(file);
	return err;
}

int content_ask(struct memcache *mc, const char *key, char *text, size_t size)
{
	int err = memcache_ask(mc, key), got;

	if (!err)
		err = memcache_flush(mc);
	if (err)
		return err;
	got = memcache_answer(mc, &item);
	if (got < 0)
		return got;
	item.value[got ? item.len : 0] = '\0';
	snprintf(text, size, "%.*s", (int)strcspn(item.value, "\t"),
		 got ? item.value : "-");
	return 0;
}
