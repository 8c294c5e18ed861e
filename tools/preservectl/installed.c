// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finding installed kernels.
 */

#include "installed.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

#define ENTRY_END	".conf"
#define IMAGE_START	"vmlinuz-"

/* --- versions --- */

/* '~' comes before the end, the end before letters, letters before the rest. */
static int rank(const char *c)
{
	if (*c == '~' || !strncmp(c, "-rc", 3))
		return -1;
	if (!*c || isdigit((unsigned char)*c))
		return 0;
	return isalpha((unsigned char)*c) ? *c : *c + 256;
}

static int compare_numbers(const char **a, const char **b)
{
	size_t la, lb;
	int diff;

	*a += strspn(*a, "0");
	*b += strspn(*b, "0");
	la = strspn(*a, "0123456789");
	lb = strspn(*b, "0123456789");
	diff = la != lb ? (la < lb ? -1 : 1) : strncmp(*a, *b, la);
	*a += la;
	*b += lb;
	return diff;
}

int version_compare(const char *a, const char *b)
{
	int diff;

	while (*a || *b) {
		while ((*a && !isdigit((unsigned char)*a)) ||
		       (*b && !isdigit((unsigned char)*b))) {
			diff = rank(a) - rank(b);
			if (diff)
				return diff;
			a++;
			b++;
		}
		diff = compare_numbers(&a, &b);
		if (diff)
			return diff;
	}
	return 0;
}

/* --- both kinds --- */

void installed_free(struct installed *installed)
{
	free(installed->name);
	free(installed->version);
	free(installed->kernel);
	for (unsigned int i = 0; i < installed->nr; i++)
		free(installed->initrds[i]);
	free(installed->initrds);
	free(installed->options);
	free(installed->broken);
	*installed = (struct installed){};
}

/* Takes @candidate if it is what is looked for; otherwise frees it. */
static void consider(struct installed *best, struct installed *candidate, const char *name)
{
	bool take = candidate->kernel && candidate->version &&
		    (name ? !strcmp(candidate->name, name) ||
			    !strcmp(candidate->version, name) :
		     !best->kernel ||
			    version_compare(candidate->version, best->version) > 0);

	if (take) {
		installed_free(best);
		*best = *candidate;
	} else {
		installed_free(candidate);
	}
}

/* Takes @path. */
static void add_initrd(struct installed *installed, char *path)
{
	char **initrds = path ? reallocarray(installed->initrds, installed->nr + 1,
					     sizeof(*initrds)) : NULL;

	if (!initrds) {
		free(path);
		return;
	}
	installed->initrds = initrds;
	initrds[installed->nr++] = path;
}

static void __attribute__((format(printf, 2, 3)))
is_broken(struct installed *installed, const char *fmt, ...)
{
	va_list args;

	if (installed->broken)
		return;
	va_start(args, fmt);
	if (vasprintf(&installed->broken, fmt, args) < 0)
		installed->broken = NULL;
	va_end(args);
}

/* --- Boot Loader Specification --- */

static void set(char **to, const char *value)
{
	free(*to);
	*to = strdup(value);
}

/* An entry may have several lines of options. */
static void append(char **to, const char *value)
{
	char *both;

	if (!*to) {
		*to = strdup(value);
	} else if (asprintf(&both, "%s %s", *to, value) >= 0) {
		free(*to);
		*to = both;
	}
}

/* Paths in an entry begin at the root of the partition that it is on. */
static char *find_file(const char *root, const char *boot, const char *path)
{
	char *full;

	if (asprintf(&full, "%s%s%s%s", root, boot, *path == '/' ? "" : "/", path) < 0)
		return NULL;
	if (!access(full, R_OK))
		return full;
	free(full);
	if (asprintf(&full, "%s%s", root, path) < 0)
		return NULL;
	if (!access(full, R_OK))
		return full;
	free(full);
	return NULL;
}

/* Several files may stand in one line. */
static void read_initrds(struct installed *entry, char *value, const char *root,
			 const char *boot)
{
	char *save, *path;

	for (char *word = strtok_r(value, " \t", &save); word;
	     word = strtok_r(NULL, " \t", &save)) {
		path = strchr(word, '$') ? NULL : find_file(root, boot, word);
		if (!path)
			is_broken(entry, "its initrd %s is not there", word);
		add_initrd(entry, path);
	}
}

/* Is it this machine's? */
static bool is_ours(const char *root, const char *id)
{
	char path[4096], ours[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/etc/machine-id", root);
	file = fopen(path, "re");
	if (file) {
		if (!fgets(ours, sizeof(ours), file))
			*ours = '\0';
		fclose(file);
	}
	ours[strcspn(ours, "\n")] = '\0';
	return !*ours || !strcmp(ours, id);
}

static void read_line(struct installed *entry, char *line, const char *root, const char *boot)
{
	size_t len = strcspn(line, " \t");
	char *value = line + len + strspn(line + len, " \t");

	if (!*value || *line == '#')
		return;
	line[len] = '\0';
	value[strcspn(value, "\r\n")] = '\0';
	for (char *end = value + strlen(value); end > value && isspace((unsigned char)end[-1]); )
		*--end = '\0';
	if (!strcmp(line, "version")) {
		set(&entry->version, value);
	} else if (!strcmp(line, "options")) {
		append(&entry->options, value);
		if (strchr(value, '$'))
			is_broken(entry, "its options have variables of the boot loader's: %s",
				  value);
	} else if (!strcmp(line, "linux")) {
		free(entry->kernel);
		entry->kernel = find_file(root, boot, value);
	} else if (!strcmp(line, "initrd")) {
		read_initrds(entry, value, root, boot);
	} else if (!strcmp(line, "machine-id")) {
		entry->foreign = !is_ours(root, value);
	}
}

static void read_entry(struct installed *entry, const char *dir, const char *file,
		       const char *root, const char *boot)
{
	char line[4096], *path;
	FILE *stream;

	if (asprintf(&path, "%s/%s", dir, file) < 0)
		return;
	stream = fopen(path, "re");
	free(path);
	if (!stream)
		return;
	while (fgets(line, sizeof(line), stream))
		read_line(entry, line, root, boot);
	fclose(stream);
	entry->name = strndup(file, strlen(file) - strlen(ENTRY_END));
	if (entry->name && !entry->version)
		entry->version = strdup(entry->name);
	/* An entry without options has an empty command line. */
	if (!entry->options)
		entry->options = strdup("");
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && !strcmp(text + len - end_len, end);
}

static void find_entries(const char *root, const char *boot, const char *name,
			 struct installed *best)
{
	char path[4096];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s%s/loader/entries", root, boot);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		struct installed candidate = {};

		if (!ends_with(entry->d_name, ENTRY_END))
			continue;
		read_entry(&candidate, path, entry->d_name, root, boot);
		if (candidate.version && candidate.name && !candidate.foreign)
			consider(best, &candidate, name);
		else
			installed_free(&candidate);
	}
	if (dir)
		closedir(dir);
}

/* --- /boot --- */

char *installed_initrd_of(const char *kernel)
{
	static const char * const before[] = { "initrd.img-", "initramfs-", "initrd-" };
	static const char * const after[] = { "", ".img", "" };
	const char *slash = strrchr(kernel, '/'), *name = slash ? slash + 1 : kernel;
	char *path;

	if (strncmp(name, IMAGE_START, strlen(IMAGE_START)))
		return NULL;
	for (unsigned int i = 0; i < ARRAY_SIZE(before); i++) {
		if (asprintf(&path, "%.*s%s%s%s", (int)(name - kernel), kernel, before[i],
			     name + strlen(IMAGE_START), after[i]) < 0)
			return NULL;
		if (!access(path, R_OK))
			return path;
		free(path);
	}
	return NULL;
}

/* What an editor, dpkg or an installation has put aside. */
static bool is_put_aside(const char *name)
{
	return ends_with(name, ".old") || ends_with(name, ".bak") || ends_with(name, "~") ||
	       strstr(name, ".dpkg-");
}

static void find_images(const char *root, const char *name, struct installed *best)
{
	char path[4096];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/boot", root);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		struct installed candidate = {};
		const char *release = entry->d_name + strlen(IMAGE_START);

		if (strncmp(entry->d_name, IMAGE_START, strlen(IMAGE_START)) || !*release ||
		    is_put_aside(entry->d_name))
			continue;
		candidate.name = strdup(release);
		candidate.version = strdup(release);
		if (candidate.name && candidate.version &&
		    asprintf(&candidate.kernel, "%s/%s", path, entry->d_name) < 0)
			candidate.kernel = NULL;
		if (candidate.kernel)
			add_initrd(&candidate, installed_initrd_of(candidate.kernel));
		consider(best, &candidate, name);
	}
	if (dir)
		closedir(dir);
}

int installed_find(const char *root, const char *name, struct installed *found)
{
	static const char * const boots[] = { "/boot", "/efi", "/boot/efi" };

	*found = (struct installed){};
	for (unsigned int i = 0; i < ARRAY_SIZE(boots); i++)
		find_entries(root, boots[i], name, found);
	if (!found->kernel)
		find_images(root, name, found);
	return found->kernel ? 0 : -ENOENT;
}
