// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checksums of files: written, read, and compared with what there is.
 *
 * What was noted and what there is are in the same order, so that comparing is a merge: the
 * walk over what there is shows one file after the other, and lines of the text are passed over
 * up to it.
 */

#include "sums.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A longer line is none. */
#define LINE_SIZE	1024

#define MAX_ITEMS	4096

/* --- writing --- */

static int stream_error(FILE *stream)
{
	return ferror(stream) ? errno ? -errno : -EIO : 0;
}

int sums_print_head(FILE *stream)
{
	errno = 0;
	fputs(SUMS_HEAD, stream);
	return stream_error(stream);
}

int sums_print_end(FILE *stream)
{
	errno = 0;
	fwrite(SUMS_END, 1, sizeof(SUMS_END), stream);
	return stream_error(stream);
}

int sums_print(const struct sum *sum, FILE *stream)
{
	errno = 0;
	fprintf(stream, "%u %u %o %u %u %u %" PRIu64 " %" PRId64 " %u %" PRIx64 " %" PRIx64 " %s%c",
		sum->depth, sum->bad, sum->mode, sum->uid, sum->gid, sum->links, sum->size,
		sum->mtime, sum->nsec, sum->content, sum->attributes, sum->name, '\0');
	return stream_error(stream);
}

/* --- reading --- */

/* Up to a zero byte. Return: its length; 0 at the end; or a negative errno. */
static int read_line(FILE *stream, char line[LINE_SIZE])
{
	int len = 0, c;

	errno = 0;
	while ((c = getc_unlocked(stream)) > 0) {
		if (len == LINE_SIZE - 1)
			return -EBADMSG;
		line[len++] = c;
	}
	line[len] = '\0';
	if (c == EOF && ferror(stream))
		return errno ? -errno : -EIO;
	return c == EOF && !len ? 0 : c == EOF || !len ? -EBADMSG : len;
}

/* Return: 1, 0 at the end, or a negative errno. */
static int read_sum(FILE *stream, struct sum *sum)
{
	char line[LINE_SIZE];
	int len = read_line(stream, line), at = 0;

	/* A text that is cut off has no end. */
	if (len <= 0)
		return len ? len : -EBADMSG;
	if (!strcmp(line, SUMS_END))
		return getc_unlocked(stream) == EOF ? 0 : -EBADMSG;
	if (sscanf(line, "%u %u %o %u %u %u %" SCNu64 " %" SCNd64 " %u %" SCNx64 " %" SCNx64 "%n",
		   &sum->depth, &sum->bad, &sum->mode, &sum->uid, &sum->gid, &sum->links,
		   &sum->size, &sum->mtime, &sum->nsec, &sum->content, &sum->attributes,
		   &at) != 11)
		return -EBADMSG;
	/* One space: a name may begin with another. */
	if (line[at] != ' ' || !line[at + 1] || strlen(line + at + 1) >= sizeof(sum->name))
		return -EBADMSG;
	strcpy(sum->name, line + at + 1);
	return 1;
}

static int add_item(struct sums *sums, const struct sum *sum, long at)
{
	struct sums_item *items;

	if (sums->nr == MAX_ITEMS || strlen(sum->name) >= sizeof(items->label))
		return -EBADMSG;
	items = reallocarray(sums->items, sums->nr + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	sums->items = items;
	strcpy(items[sums->nr].label, sum->name);
	items[sums->nr++].at = at;
	return 0;
}

static int look_through(struct sums *sums)
{
	char head[sizeof(SUMS_HEAD)];
	uint32_t depth = 0;
	struct sum sum;
	int got, err;
	long at;

	if (!fgets(head, sizeof(head), sums->stream))
		return ferror(sums->stream) ? -EIO : -EBADMSG;
	if (strcmp(head, SUMS_HEAD))
		return -EBADMSG;
	for (;;) {
		at = ftell(sums->stream);
		got = read_sum(sums->stream, &sum);
		if (got <= 0)
			return got;
		if (sum.depth > depth || sum.depth > SUMS_DEPTH)
			return -EBADMSG;
		err = sum.depth ? 0 : add_item(sums, &sum, at);
		if (err)
			return err;
		/* What is in it is one deeper. */
		depth = sum.depth + 1;
	}
}

int sums_open(struct sums *sums, FILE *stream)
{
	int err;

	*sums = (struct sums){ .stream = stream };
	err = look_through(sums);
	if (err)
		sums_close(sums);
	return err;
}

void sums_close(struct sums *sums)
{
	if (sums->stream)
		fclose(sums->stream);
	free(sums->items);
	*sums = (struct sums){};
}

/* --- comparing --- */

/**
 * struct comparison - An item that is compared.
 * @stream: What was noted, behind @noted.
 * @noted:  The next line.
 * @has:    There is one: not the end, not the next item.
 * @err:    It cannot be read.
 * @path:   Where the walk is; each of its parts ends where @ends says.
 * @ends:   By depth.
 * @skip:   What is deeper is passed over: the directory differs itself. 0: nothing is.
 * @nr:     Files that there are.
 * @tell:   Is told what differs.
 * @arg:    For it.
 */
struct comparison {
	FILE *stream;
	struct sum noted;
	bool has;
	int err;
	char path[(SUMS_DEPTH + 1) * 256];
	size_t ends[SUMS_DEPTH + 1];
	uint32_t skip;
	int64_t nr;
	void (*tell)(const char *path, const char *what, void *arg);
	void *arg;
};

static void next_noted(struct comparison *comparison)
{
	int got = read_sum(comparison->stream, &comparison->noted);

	comparison->has = got > 0 && comparison->noted.depth;
	if (got < 0)
		comparison->err = got;
}

/* Makes it the last part of the path. */
static void enter_path(struct comparison *comparison, uint32_t depth, const char *name)
{
	size_t at = depth ? comparison->ends[depth - 1] : 0;

	if (depth)
		at += snprintf(comparison->path + at, sizeof(comparison->path) - at, "/%s",
			       name);
	comparison->path[at] = '\0';
	comparison->ends[depth] = at;
}

/* A line, and what is in it. */
static void pass_noted(struct comparison *comparison)
{
	uint32_t depth = comparison->noted.depth;

	do {
		next_noted(comparison);
	} while (comparison->has && comparison->noted.depth > depth);
}

static void tell_missing(struct comparison *comparison)
{
	enter_path(comparison, comparison->noted.depth, comparison->noted.name);
	comparison->tell(comparison->path, "is missing", comparison->arg);
	pass_noted(comparison);
}

static const char *difference(const struct sum *noted, const struct sum *now, char *text,
			      size_t size)
{
	/* Another mount hides it, then or now. */
	if (noted->bad == EXDEV || now->bad == EXDEV)
		return NULL;
	if ((noted->mode ^ now->mode) & S_IFMT)
		return "is of another type";
	if (noted->bad && noted->bad != ENAMETOOLONG)
		return "could not be read when it was noted";
	if (now->bad && !noted->bad) {
		snprintf(text, size, "cannot be read: %s", strerror(now->bad));
		return text;
	}
	if (noted->size != now->size)
		return "has another size";
	if (!noted->bad && !now->bad && noted->content != now->content)
		return "has other content";
	if (noted->mode != now->mode)
		return "has another mode";
	if (noted->uid != now->uid || noted->gid != now->gid)
		return "has another owner";
	if (!noted->bad && !now->bad && noted->attributes != now->attributes)
		return "has other attributes";
	if (noted->links != now->links)
		return "has another number of names";
	if (noted->mtime != now->mtime || noted->nsec != now->nsec)
		return "was modified at another time";
	return NULL;
}

/* Both are of the same file. */
static void compare(struct comparison *comparison, const struct sum *now)
{
	bool closed = comparison->noted.bad || now->bad ||
		      (comparison->noted.mode ^ now->mode) & S_IFMT;
	const char *what;
	char text[128];

	what = difference(&comparison->noted, now, text, sizeof(text));
	if (what)
		comparison->tell(comparison->path, what, comparison->arg);
	if (closed) {
		comparison->skip = now->depth + 1;
		pass_noted(comparison);
	} else {
		next_noted(comparison);
	}
}

/* Is the next line of what was before this, and is not there? */
static bool is_before(const struct comparison *comparison, const struct sum *now)
{
	const struct sum *noted = &comparison->noted;

	if (!comparison->has || noted->depth < now->depth)
		return false;
	return noted->depth > now->depth || strcmp(noted->name, now->name) < 0;
}

static int see_now(const struct sum *now, void *arg)
{
	struct comparison *comparison = arg;

	comparison->nr++;
	if (comparison->skip && now->depth >= comparison->skip)
		return 0;
	comparison->skip = 0;
	while (is_before(comparison, now))
		tell_missing(comparison);
	enter_path(comparison, now->depth, now->name);
	if (!comparison->err && comparison->has && comparison->noted.depth == now->depth &&
	    !strcmp(comparison->noted.name, now->name)) {
		compare(comparison, now);
	} else if (!comparison->err) {
		comparison->tell(comparison->path, "is new", comparison->arg);
		comparison->skip = now->depth + 1;
	}
	return comparison->err;
}

static int begin(struct comparison *comparison, struct sums *sums, const char *label)
{
	for (unsigned int i = 0; i < sums->nr; i++) {
		if (strcmp(sums->items[i].label, label))
			continue;
		if (fseek(sums->stream, sums->items[i].at, SEEK_SET))
			return -errno;
		if (read_sum(sums->stream, &comparison->noted) <= 0)
			return -EIO;
		comparison->stream = sums->stream;
		comparison->has = true;
		return 0;
	}
	return -ENODATA;
}

int64_t sums_compare_item(struct sums *sums, const char *label, int fd,
			  void (*tell)(const char *path, const char *what, void *arg),
			  void *arg)
{
	struct comparison *comparison = calloc(1, sizeof(*comparison));
	int64_t result;

	if (!comparison)
		return -ENOMEM;
	comparison->tell = tell;
	comparison->arg = arg;
	result = begin(comparison, sums, label);
	if (!result)
		result = sums_read_item(label, fd, see_now, comparison);
	while (!result && comparison->has)
		tell_missing(comparison);
	result = result ? result : comparison->err ? comparison->err : comparison->nr;
	free(comparison);
	return result;
}
