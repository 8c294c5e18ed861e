// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading what is to be kept over every kexec.
 */

#include "conf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "manifest.h"
#include "say.h"

#define FILE_END	".conf"
#define FILE_MAX	(1024U << 10)

/**
 * struct place - Where a line is.
 * @file: Its file.
 * @line: Its number.
 * @section: A section has begun, good or not.
 */
struct place {
	const char *file;
	unsigned int line;
	bool section;
};

static int __attribute__((format(printf, 3, 4)))
wrong(struct conf *conf, const struct place *place, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	conf->errors++;
	warn("%s:%u: %s", place->file, place->line, text);
	return 0;
}

int conf_list_add(struct conf_list *list, const char *text)
{
	char **texts = reallocarray(list->texts, list->nr + 1, sizeof(*texts));

	if (!texts)
		return -ENOMEM;
	list->texts = texts;
	texts[list->nr] = strdup(text);
	if (!texts[list->nr])
		return -ENOMEM;
	list->nr++;
	return 0;
}

void conf_list_free(struct conf_list *list)
{
	for (unsigned int i = 0; i < list->nr; i++)
		free(list->texts[i]);
	free(list->texts);
	*list = (struct conf_list){};
}

const struct conf_section *conf_find(const struct conf *conf, const char *name)
{
	for (unsigned int i = 0; i < conf->nr; i++)
		if (!strcmp(conf->sections[i].name, name))
			return &conf->sections[i];
	return NULL;
}

/* What follows a wrong section goes with it: @current is NULL then. */
static int begin_section(struct conf *conf, struct conf_section **current,
			 const struct place *place, char *line)
{
	struct conf_section *sections;
	size_t len = strlen(line);

	*current = NULL;
	if (line[len - 1] != ']')
		return wrong(conf, place, "']' is missing: what follows is passed over");
	line[len - 1] = '\0';
	if (manifest_check_name(line + 1))
		return wrong(conf, place, "nothing can be called %s: what follows is passed over",
			     line + 1);
	if (conf_find(conf, line + 1))
		return wrong(conf, place, "%s is there already: what follows is passed over",
			     line + 1);
	sections = reallocarray(conf->sections, conf->nr + 1, sizeof(*sections));
	if (!sections)
		return -ENOMEM;
	conf->sections = sections;
	sections += conf->nr;
	*sections = (struct conf_section){ .name = strdup(line + 1), .verify = -1 };
	if (!sections->name)
		return -ENOMEM;
	conf->nr++;
	if (asprintf(&sections->where, "%s:%u", place->file, place->line) < 0)
		sections->where = NULL;
	*current = sections;
	return sections->where ? 0 : -ENOMEM;
}

static int set(char **to, const char *value)
{
	free(*to);
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

/* Words that spaces divide. */
static int add_words(struct conf_list *list, char *value)
{
	char *save;
	int err = 0;

	for (char *word = strtok_r(value, " \t", &save); word && !err;
	     word = strtok_r(NULL, " \t", &save))
		err = conf_list_add(list, word);
	return err;
}

static int assign(struct conf *conf, struct conf_section *section, const struct place *place,
		  const char *key, char *value)
{
	if (!*value)
		return wrong(conf, place, "%s= has no value", key);
	if (!strcmp(key, "Options"))
		return set(&section->options, value);
	if (!strcmp(key, "Units"))
		return add_words(&section->units, value);
	if (!strcmp(key, "Verify")) {
		section->verify = !strcmp(value, "yes");
		return section->verify || !strcmp(value, "no") ? 0 :
		       wrong(conf, place, "Verify= is yes or no, not %s", value);
	}
	if (!strcmp(key, "Type"))
		return strcmp(value, "tmpfs") && strcmp(value, "hugetlbfs") ?
		       wrong(conf, place, "Type= is tmpfs or hugetlbfs, not %s", value) :
		       set(&section->type, value);
	if (strcmp(key, "Mount") && strcmp(key, "File"))
		return wrong(conf, place, "%s= is not known", key);
	if (*value != '/')
		return wrong(conf, place, "%s=%s does not begin with /", key, value);
	return conf_list_add(*key == 'M' ? &section->mounts : &section->files, value);
}

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

static int parse_line(struct conf *conf, struct conf_section **current,
		      struct place *place, char *line)
{
	char *value;

	line = trim(line);
	if (!*line || *line == '#' || *line == ';')
		return 0;
	place->section |= *line == '[';
	if (*line == '[')
		return begin_section(conf, current, place, line);
	value = strchr(line, '=');
	if (!value)
		return wrong(conf, place, "neither [NAME] nor KEY=VALUE");
	if (!*current)
		return place->section ? 0 : wrong(conf, place, "it stands before any [NAME]");
	*value++ = '\0';
	return assign(conf, *current, place, trim(line), trim(value));
}

int conf_parse(struct conf *conf, const char *file, const char *text)
{
	struct conf_section *current = NULL;
	struct place place = { .file = file };
	char *copy = strdup(text), *line = copy, *next;
	int err = copy ? 0 : -ENOMEM;

	for (; !err && line; line = next) {
		place.line++;
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		err = parse_line(conf, &current, &place, line);
	}
	free(copy);
	return err;
}

static int parse_file(struct conf *conf, const char *path)
{
	struct place place = { .file = path };
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct stat st;
	char *text;
	ssize_t got;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		wrong(conf, &place, "cannot be read");
		if (fd >= 0)
			close(fd);
		return 0;
	}
	text = malloc(st.st_size + 1);
	if (!text) {
		close(fd);
		return -ENOMEM;
	}
	got = read(fd, text, st.st_size);
	close(fd);
	text[got < 0 ? 0 : got] = '\0';
	err = got < 0 ? wrong(conf, &place, "cannot be read") : conf_parse(conf, path, text);
	free(text);
	return err;
}

static int is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), end = strlen(FILE_END);

	return len > end && entry->d_name[0] != '.' &&
	       !strcmp(entry->d_name + len - end, FILE_END);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static const char *first_mount(const struct conf_section *section)
{
	return section->mounts.nr ? section->mounts.texts[0] : "";
}

static int by_mount(const void *a, const void *b)
{
	return strcmp(first_mount(a), first_mount(b));
}

/* A mount that is in another one comes after it. */
static void sort(struct conf *conf)
{
	for (unsigned int i = 0; i < conf->nr; i++)
		if (conf->sections[i].mounts.nr)
			qsort(conf->sections[i].mounts.texts, conf->sections[i].mounts.nr,
			      sizeof(char *), by_text);
	if (conf->nr)
		qsort(conf->sections, conf->nr, sizeof(*conf->sections), by_mount);
}

int conf_read(const char *dir, struct conf *conf)
{
	struct dirent **names;
	int nr = scandir(dir, &names, is_conf, alphasort), err = 0;
	char *path;

	*conf = (struct conf){};
	if (nr < 0)
		return errno == ENOENT ? 0 : -errno;
	for (int i = 0; i < nr; i++) {
		if (!err && asprintf(&path, "%s/%s", dir, names[i]->d_name) >= 0) {
			err = parse_file(conf, path);
			free(path);
		}
		free(names[i]);
	}
	free(names);
	if (err)
		conf_free(conf);
	sort(conf);
	return err;
}

void conf_free(struct conf *conf)
{
	for (unsigned int i = 0; i < conf->nr; i++) {
		struct conf_section *section = &conf->sections[i];

		free(section->name);
		free(section->where);
		free(section->options);
		free(section->type);
		conf_list_free(&section->mounts);
		conf_list_free(&section->files);
		conf_list_free(&section->units);
	}
	free(conf->sections);
	*conf = (struct conf){};
}
