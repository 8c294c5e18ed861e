/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /etc/preserve.d/NAME.conf: what is kept over every kexec. A section for each name:
 *
 *	# A comment.
 *	[cache]
 *	Mount=/srv/cache
 *	Options=size=8g,mode=0755
 *	Units=memcached.service
 *
 *	Mount=    where a tmpfs or hugetlbfs is; may be there several times
 *	Options=  with what it is mounted if there is none; otherwise it has to be there
 *	Type=     tmpfs (the default) or hugetlbfs
 *	File=     a file of a tmpfs; may be there several times
 *	Units=    what is to be stopped before it is saved; may be there several times
 *	Verify=   yes: checksums are noted when it is saved, and compared when it is restored
 */
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stddef.h>

#define CONF_DIR	"/etc/preserve.d"

/* Lists of texts. */
struct conf_list {
	char **texts;
	unsigned int nr;
};

/**
 * struct conf_section - One name.
 * @name:    What it is called.
 * @where:   File and line, for messages.
 * @mounts:  Where mounts are.
 * @files:   Where files are.
 * @units:   What is to be stopped.
 * @options: How to mount, or NULL.
 * @type:    What to mount.
 * @verify:  Note and compare checksums: 1 yes, 0 no, -1 as before.
 */
struct conf_section {
	char *name;
	char *where;
	struct conf_list mounts;
	struct conf_list files;
	struct conf_list units;
	char *options;
	char *type;
	int verify;
};

/**
 * struct conf - All of them.
 * @sections: The names.
 * @nr:       How many.
 * @errors:   How many lines are wrong; each has been told the user.
 */
struct conf {
	struct conf_section *sections;
	unsigned int nr;
	unsigned int errors;
};

/**
 * conf_read() - read all files of a directory
 * @dir: which; none is as an empty one
 * @conf: filled in; free it with conf_free()
 *
 * A wrong line is told the user, and passed over; the others count. Sections and their mounts
 * are in the order of the mounts' paths.
 *
 * Return: 0, or a negative errno.
 */
int conf_read(const char *dir, struct conf *conf);

/* One file's text. @file is for messages. */
int conf_parse(struct conf *conf, const char *file, const char *text);

void conf_free(struct conf *conf);

/* One more text; copied. Return: 0, or -ENOMEM. */
int conf_list_add(struct conf_list *list, const char *text);
void conf_list_free(struct conf_list *list);

/* The section of this name, or NULL. */
const struct conf_section *conf_find(const struct conf *conf, const char *name);

#endif /* CONF_H */
