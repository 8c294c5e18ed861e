// SPDX-License-Identifier: GPL-2.0-only
/*
 * What preservectl reads, and may be of an enemy's making or of another version: lists of
 * what is saved, checksums, kernel images, formats, boot entries, command lines, sizes, what
 * kernels hand over.
 *
 *	parsers       closes with "N passed, N failed"
 */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <preserve.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "../preservectl/conf.h"
#include "../preservectl/ctl.h"
#include "../preservectl/formats.h"
#include "../preservectl/image.h"
#include "../preservectl/installed.h"
#include "../preservectl/kernel.h"
#include "../preservectl/manifest.h"
#include "../preservectl/record.h"
#include "../preservectl/say.h"
#include "../preservectl/sums.h"
#include "../preservectl/tree.h"

struct ctl_options ctl;

bool ctl_interrupted(void)
{
	return false;
}

static unsigned int passed, failed;

#define check(ok)							\
	do {								\
		if (ok) {						\
			passed++;					\
		} else {						\
			failed++;					\
			printf("not ok: line %d: %s\n", __LINE__, #ok);	\
		}							\
	} while (0)

/* --- lists --- */

static int parse(const char *text)
{
	struct manifest manifest;
	int err = manifest_parse(&manifest, text);

	check(!err || (!manifest.items && !manifest.nr));
	manifest_free(&manifest);
	return err;
}

#define HEAD	"{\"version\":1,\"name\":\"n\",\"items\":["
#define ITEM(token, kind, label, path)	\
	"{\"token\":" token ",\"kind\":\"" kind "\",\"label\":\"" label "\",\"path\":" path "}"

static void lists(void)
{
	static const char * const bad[] = {
		"", "{", "[]", "1", "null", "{}", "{\"version\":\"1\"}", "{\"version\":1}",
		"{\"version\":1,\"name\":\"a/b\",\"items\":[]}",
		"{\"version\":1,\"name\":\"n\",\"items\":{}}",
		"{\"version\":1,\"name\":\"n\\u0000m\",\"items\":[]}",
		HEAD "1]}", HEAD "{}]}",
		HEAD ITEM("0", "mount", "a", "\"/a\"") "]}",
		HEAD ITEM("\"1\"", "mount", "a", "\"/a\"") "]}",
		HEAD ITEM("1", "device", "a", "\"/a\"") "]}",
		HEAD ITEM("1", "mount", "", "\"/a\"") "]}",
		HEAD ITEM("1", "mount", "a/b", "\"/a\"") "]}",
		HEAD ITEM("1", "mount", "a", "null") "]}",
		HEAD ITEM("1", "mount", "a", "\"relative\"") "]}",
		HEAD ITEM("1", "mount", "a", "\"/a\\u0000b\"") "]}",
		HEAD ITEM("1", "mount", "a", "\"/a\"") "," ITEM("1", "mount", "b", "\"/b\"") "]}",
		HEAD ITEM("1", "mount", "a", "\"/a\"") "," ITEM("2", "mount", "a", "\"/b\"") "]}",
		HEAD "[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]}",
	};
	struct manifest manifest = {}, back;
	char long_path[8192];
	int fd;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		check(parse(bad[i]) == -EBADMSG);
	check(parse("{\"version\":2}") == -EPROTO);
	check(!parse(HEAD "]}"));
	check(!parse(HEAD ITEM("7", "memfd", "a", "null") "]}"));
	check(!parse(HEAD ITEM("1", "mount", "a", "\"/a\"") "],\"more\":1}"));
	snprintf(long_path, sizeof(long_path), HEAD "{\"token\":1,\"kind\":\"mount\",\"label\":\"a\",\"path\":\"/%05000d\"}]}",
		 0);
	check(parse(long_path) == -EBADMSG);

	/* What is written is read. */
	snprintf(manifest.name, sizeof(manifest.name), "all");
	check(!manifest_add(&manifest, ITEM_MOUNT, NULL, "/srv/a b\xff\n\"c"));
	check(!manifest_add(&manifest, ITEM_MOUNT, NULL, "/"));
	check(!manifest_add(&manifest, ITEM_FILE, NULL, "/x/file"));
	check(!manifest_add(&manifest, ITEM_MEMFD, NULL, "file"));
	check(manifest_add(&manifest, ITEM_MEMFD, "file", "file") == -EEXIST);
	check(manifest_add(&manifest, ITEM_MEMFD, "a b", "file") == -EINVAL);
	fd = manifest_write(&manifest);
	if (fd < 0) {
		/* This kernel has no MFD_PRESERVE: the text is enough. */
		char *text = manifest_text(&manifest);

		check(text && !manifest_parse(&back, text));
		free(text);
	} else {
		check(!manifest_read(&back, fd));
		close(fd);
	}
	check(back.nr == 4 && !strcmp(back.items[0].path, manifest.items[0].path) &&
	      !strcmp(back.items[1].label, "root") && !strcmp(back.items[3].label, "file-4") &&
	      !back.items[3].path && back.items[2].kind == ITEM_FILE);
	manifest_free(&back);
	manifest_free(&manifest);

	check(!manifest_check_name("a.b_c-d@e+f:1"));
	check(manifest_check_name("") && manifest_check_name(".a") && manifest_check_name("-a") &&
	      manifest_check_name("a/b") && manifest_check_name("a b") &&
	      manifest_check_name("\xc3\xa4"));
	check(!manifest_check_name("123456789012345678901234567890123456789012345678901234"));
	check(manifest_check_name("1234567890123456789012345678901234567890123456789012345"));
}

/* --- checksums --- */

static char told[4096];

static void tell(const char *path, const char *what, void *arg)
{
	size_t len = strlen(told);

	(void)arg;
	snprintf(told + len, sizeof(told) - len, "%s: %s; ", path, what);
}

static void sum_directory(const char *dir, struct sums *sums)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	*sums = (struct sums){};
	check(fd >= 0 && !sums_add(sums, "d", fd));
	close(fd);
	sums_sort(sums);
}

/* What differs between two looks at a directory. */
static const char *differs(const char *dir, const struct sums *noted)
{
	struct sums now;

	*told = '\0';
	sum_directory(dir, &now);
	sums_compare(noted, &now, tell, NULL);
	sums_free(&now);
	return told;
}

static void put_file(const char *dir, const char *name, const char *text, off_t at)
{
	static const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 2 } };
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	check(fd >= 0 && pwrite(fd, text, strlen(text), at) == (ssize_t)strlen(text) &&
	      !futimens(fd, times));
	close(fd);
	check(!utimensat(AT_FDCWD, dir, times, 0));
}

static void checksums(void)
{
	static const char * const bad[] = {
		"", "preserve sums 2\n", SUMS_HEAD "100644 0 0 1 1 1 1 1 a", SUMS_HEAD "\0",
		SUMS_HEAD "100644 0 0 1 1 1 1 1 \0", SUMS_HEAD "100644 0 0 1 1 1 1\0",
		SUMS_HEAD "x 0 0 1 1 1 1 1 a\0",
	};
	static const size_t sizes[] = { 0, 16, 38, 17, 39, 36, 35 };
	char dir[] = "/tmp/parsers-XXXXXX", command[128], *text;
	struct sums noted, back;
	size_t size;
	FILE *stream;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		check(sums_parse(&back, bad[i], sizes[i]) == -EBADMSG && !back.nr);
	check(mkdtemp(dir));
	put_file(dir, "a", "hello", 0);
	put_file(dir, "sparse", "x", 1 << 20);
	snprintf(command, sizeof(command), "mkdir %s/sub; ln -s a %s/link", dir, dir);
	check(!system(command));
	put_file(dir, "sub/b c", "there", 5000);
	put_file(dir, "a", "hello", 0);
	sum_directory(dir, &noted);
	check(noted.nr == 6 && noted.bytes < 1 << 19);
	stream = open_memstream(&text, &size);
	check(!sums_print(&noted, stream) && !fclose(stream));
	check(!sums_parse(&back, text, size) && back.nr == 6 && !*differs(dir, &back));
	free(text);
	put_file(dir, "a", "hellO", 0);
	check(!strcmp(differs(dir, &back), "d/a: other content; "));
	put_file(dir, "a", "hello", 0);
	check(!*differs(dir, &back));
	snprintf(command, sizeof(command), "chmod 600 %s/sparse", dir);
	check(!system(command) && !strcmp(differs(dir, &back), "d/sparse: another type or mode; "));
	put_file(dir, "n", "", 0);
	check(!strncmp(differs(dir, &back), "d/n: is new; ", 13));
	sums_free(&noted);
	sums_free(&back);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	check(!system(command));
}

/* --- what kernels hand over: more is in fuzz.c --- */

static void handed_over(void)
{
	struct preserve_file_ser record = {};
	struct tree tree = { .bytes = (unsigned char *)&record, .size = sizeof(record) };

	check(record_check(&record));
	record.magic = PRESERVE_FILE_MAGIC;
	record.version = PRESERVE_FILE_VERSION;
	record.size = sizeof(record);
	check(!strcmp(record_check(&record), "its checksum is wrong"));
	check(tree_check(&tree));
}

/* --- images --- */

#define TEXT	"header 4 compat 0xf incompat 0x0\nmap 1\n"

static unsigned char image[1 << 16];
static size_t image_size;

static void put(const void *bytes, size_t size)
{
	memcpy(image + image_size, bytes, size);
	image_size += size;
}

static void put32(size_t at, uint32_t value)
{
	value = htole32(value);
	memcpy(image + at, &value, 4);
}

static size_t make_note(unsigned char *to, const char *name, uint32_t type, uint32_t size)
{
	uint32_t head[] = { htole32(9), htole32(size), htole32(type) };

	memcpy(to, "Linux version 7.3.4-test (gcc)\0\0", 32);
	memcpy(to + 32, head, 12);
	memcpy(to + 44, name, 9);
	memset(to + 53, 0, 3);
	memcpy(to + 56, TEXT, sizeof(TEXT));
	return 56 + sizeof(TEXT);
}

static void make_bzimage(bool packed, uint32_t start, uint32_t length)
{
	unsigned char plain[4096] = "\177ELF", out[4096];
	size_t size = 64 + make_note(plain + 64, "Preserve", 1, sizeof(TEXT));
	z_stream stream = {};

	memset(image, 0, 0x1000);
	image[0x1f1] = 3;
	memcpy(image + 0x202, "HdrS", 4);
	put32(0x260, 1 << 20);
	image_size = 0x1000;
	if (packed) {
		deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
		stream.next_in = plain;
		stream.avail_in = size;
		stream.next_out = out;
		stream.avail_out = sizeof(out);
		deflate(&stream, Z_FINISH);
		size = sizeof(out) - stream.avail_out;
		deflateEnd(&stream);
		put(out, size);
	} else {
		put(plain, size);
	}
	put32(0x248, start ? start : 0x1000 - 4 * 512);
	put32(0x24c, length ? length : size);
	put("behind", 6);
}

static int look(bool *note)
{
	unsigned char *copy = malloc(image_size);
	struct image found;
	int err;

	/* Of the exact size, so that a read beyond its end is noticed. */
	memcpy(copy, image, image_size);
	err = image_parse(copy, image_size, &found);
	*note = found.formats && !strcmp(found.formats, TEXT) &&
		!strcmp(found.release, "7.3.4-test");
	image_free(&found);
	free(copy);
	return err;
}

static void images(void)
{
	bool note;

	for (int packed = 0; packed < 2; packed++) {
		make_bzimage(packed, 0, 0);
		check(!look(&note) && note);
		make_bzimage(packed, 0xffffffff, 0);
		check(look(&note) == -EBADMSG);
		make_bzimage(packed, 0, 0xffffffff);
		check(look(&note) == -EBADMSG);
	}
	make_bzimage(true, 0, 30);
	check(look(&note) == -EBADMSG && !note);
	image_size = 0x202;
	check(look(&note) == -ENOEXEC);

	memset(image, 0, 4096);
	memcpy(image, "\177ELF", 4);
	image_size = 64 + make_note(image + 64, "Preserve", 1, sizeof(TEXT));
	check(!look(&note) && note);
	make_note(image + 64, "Preserve", 2, sizeof(TEXT));
	check(!look(&note) && !note);
	make_note(image + 64, "Preserve", 1, 0xfffffff0);
	check(!look(&note) && !note);
	make_note(image + 64, "Otherone", 1, sizeof(TEXT));
	check(!look(&note) && !note);
	/* The name at the very beginning, and cut off. */
	memcpy(image + 4, "Preserve", 9);
	image_size = 13;
	check(!look(&note) && !note);

	image_size = 0;
	put("MZ\0\0zimg", 8);
	image_size = 32;
	put32(8, 0xffffff00);
	put32(12, 0x200);
	check(look(&note) == -EBADMSG);
	image_size = 0;
	put("#!/bin/sh\n", 10);
	check(look(&note) == -ENOEXEC);
	image_size = 0;
	put("\x1f\x8b", 2);
	check(look(&note) < 0);
}

/* --- formats --- */

static unsigned int compare(const char *ours, const char *theirs, unsigned int *fatal)
{
	struct formats_finding findings[FORMATS_MAX_FINDINGS];
	unsigned int nr = formats_compare(ours, theirs, findings);

	*fatal = 0;
	for (unsigned int i = 0; i < nr; i++)
		*fatal += findings[i].fatal;
	return nr;
}

static void formats(void)
{
	static const char all[] = "header 4 compat 0xf incompat 0x0\nmap 1\n"
				  "image 3 compat 0x0 incompat 0x1\n"
				  "handler preserve-memfd-v3\nblock_order 09";
	unsigned int fatal;

	check(!compare(all, all, &fatal));
	check(compare(all, "", &fatal) == 5 && fatal == 4);
	check(compare("header 4 compat 0x4 incompat 0x0", "header 4 compat 0x0 incompat 0x0",
		      &fatal) == 1 && !fatal);
	check(compare("header 4 compat 0x0 incompat 0x2", "header 4 compat 0x0 incompat 0x1",
		      &fatal) == 1 && fatal == 1);
	check(!compare("header 4 compat 0x0 incompat 0x1", "header 4 compat 0x0 incompat 0x3",
		       &fatal));
	check(compare("header 5", "header 4", &fatal) == 1 && fatal == 1);
	check(compare("handler a-v2", "handler a-v1", &fatal) == 1 && fatal == 1);
	check(compare("block_order 09", "block_order 13", &fatal) == 1 && fatal == 1);
	check(!compare("", all, &fatal));
	check(!compare("what is this\n\n\n", all, &fatal));
}

/* --- what is kept over every kexec --- */

static void sections(void)
{
	struct conf conf = {};
	const struct conf_section *cache;

	check(!conf_parse(&conf, "a.conf", "# x\n; y\n\n [cache]\t\n Mount = /srv/a b\t\nMount=/srv/c\n"
			  "Options=size=1g,mode=0755\nUnits=a.service  b.service\nUnits=c.service\n"
			  "File=/x/y\n[shm]\nMount=/dev/shm\nType=hugetlbfs"));
	check(!conf.errors && conf.nr == 2);
	cache = conf_find(&conf, "cache");
	check(cache && cache->mounts.nr == 2 && !strcmp(cache->mounts.texts[0], "/srv/a b") &&
	      cache->units.nr == 3 && cache->files.nr == 1 && !cache->type &&
	      !strcmp(cache->options, "size=1g,mode=0755") &&
	      !strcmp(cache->where, "a.conf:4"));
	check(!conf_find(&conf, "other"));
	conf_free(&conf);

	ctl.quiet = true;
	check(!conf_parse(&conf, "b.conf", "Mount=/lost\n[a/b]\nMount=/lost\n[good]\n"
			  "Mount=relative\nfrob\nFrob=1\nOptions=\nType=ext4\n"
			  "Mount=/good\n[good]\nMount=/lost\n[x"));
	check(conf.errors == 9 && conf.nr == 1 && conf.sections[0].mounts.nr == 1);
	conf_free(&conf);
}

/* --- words --- */

static bool size_is(const char *text, uint64_t bytes)
{
	uint64_t value = 77;

	return !size_parse(text, &value) && value == bytes;
}

static void words(void)
{
	static const char * const bad[] = { "", "x", "-1", "1x", "1KK", "1 K", "0x10", "16E",
					    "99999999999999999999", " 1", "1KiBB" };
	uint64_t value = 77;
	char text[SIZE_TEXT], word[16];

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		check(size_parse(bad[i], &value) == -EINVAL && value == 77);
	check(size_is("0", 0) && size_is("1", 1) && size_is("3K", 3 << 10) &&
	      size_is("2MiB", 2 << 20) && size_is("1g", 1 << 30) && size_is("15E", 15ULL << 60));
	check(!strcmp(size_text(0, text), "0 B"));
	check(!strcmp(size_text(1536, text), "1.5 KiB"));
	check(!strcmp(size_text(UINT64_MAX, text), "16.0 EiB"));

	check(cmdline_value("a=1 kho=on b", "kho", word, sizeof(word)) && !strcmp(word, "on"));
	check(cmdline_value("kho=on kho=off", "kho", word, sizeof(word)) && !strcmp(word, "off"));
	check(!cmdline_value("xkho=on khox=on -- kho=on", "kho", word, sizeof(word)));
	check(cmdline_value("preserve-pool=4G", "preserve_pool", word, sizeof(word)));
	check(cmdline_value("a=\"b kho=on\" kho", "kho", word, sizeof(word)) && !*word);
	check(cmdline_value("\"kho=o n\"", "kho", word, sizeof(word)) && !strcmp(word, "o n"));
	check(cmdline_value("kho=aaaaaaaaaaaaaaaaaaaaaaaa", "kho", word, sizeof(word)) &&
	      strlen(word) == sizeof(word) - 1);
	check(cmdline_switch("kho=1", "kho") == 1 && cmdline_switch("kho=n", "kho") == 0 &&
	      cmdline_switch("kho", "kho") == 0 && cmdline_switch("kho=off", "kho") == 0 &&
	      cmdline_switch("", "kho") == -1);
}

/* --- installed kernels --- */

#define ROOT		"/tmp/preserve-test-XXXXXX"

static char root[sizeof(ROOT)] = ROOT;

static void file(const char *path, const char *text)
{
	char full[256];
	int fd;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *at = strchr(full + strlen(root) + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(full, 0755);
		*at = '/';
	}
	fd = open(full, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	check(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static bool newest_is(const char *name, const char *kernel, const char *initrd,
		      const char *options)
{
	struct installed found;
	char path[256];
	bool good;

	if (installed_find(root, name, &found))
		return !kernel;
	snprintf(path, sizeof(path), "%s%s", root, kernel ? kernel : "");
	good = kernel && !strcmp(found.kernel, path);
	snprintf(path, sizeof(path), "%s%s", root, initrd ? initrd : "");
	good = good && found.nr == !!initrd && (!initrd || !strcmp(found.initrds[0], path));
	good = good && (options ? found.options && !strcmp(found.options, options) :
				  !found.options);
	installed_free(&found);
	return good;
}

static void kernels(void)
{
	struct installed found;
	char command[128];

	check(version_compare("6.9", "6.10") < 0 && version_compare("6.1.0-9", "6.1.0-18") < 0 &&
	      version_compare("7.3-rc1", "7.3") < 0 && version_compare("7.3~rc1", "7.3") < 0 &&
	      version_compare("7.3", "7.3") == 0 && version_compare("7.3", "7.3.1") < 0 &&
	      version_compare("7.3.4-cloud", "7.3.4") > 0 && version_compare("007", "7") == 0);
	check(mkdtemp(root));
	check(newest_is(NULL, NULL, NULL, NULL));
	file("/boot/vmlinuz-6.1.0-9-amd64", "old");
	file("/boot/vmlinuz-6.1.0-18-amd64", "new");
	file("/boot/initrd.img-6.1.0-18-amd64", "initrd");
	file("/boot/vmlinuz-", "nothing");
	check(newest_is(NULL, "/boot/vmlinuz-6.1.0-18-amd64", "/boot/initrd.img-6.1.0-18-amd64",
			NULL));
	check(newest_is("6.1.0-9-amd64", "/boot/vmlinuz-6.1.0-9-amd64", NULL, NULL));
	check(newest_is("7", NULL, NULL, NULL));
	/* Entries come before names of files; one whose kernel is not there is passed over. */
	file("/boot/loader/entries/broken.conf", "title x\nversion 99\nlinux /not-there\n");
	check(newest_is(NULL, "/boot/vmlinuz-6.1.0-18-amd64", "/boot/initrd.img-6.1.0-18-amd64",
			NULL));
	file("/boot/loader/entries/one.conf",
	     "# comment\ntitle One\nversion\t7.3.4\nlinux /vmlinuz-one\ninitrd initrd-one\n"
	     "options root=/dev/sda1\t\noptions quiet\nlinux\n\nfrob x\n");
	file("/boot/loader/entries/two", "version 100\nlinux /vmlinuz-one\n");
	file("/boot/vmlinuz-one", "x");
	file("/boot/initrd-one", "x");
	check(newest_is(NULL, "/boot/vmlinuz-one", "/boot/initrd-one", "root=/dev/sda1 quiet"));
	check(newest_is("one", "/boot/vmlinuz-one", "/boot/initrd-one", "root=/dev/sda1 quiet"));
	/* What cannot be taken as it is, what is put aside, what is another machine's. */
	file("/boot/loader/entries/three.conf",
	     "version 8\nlinux /vmlinuz-one\ninitrd /initrd-one /initrd-two\ninitrd $tuned\n");
	check(!installed_find(root, NULL, &found) && found.broken && found.nr == 1);
	installed_free(&found);
	file("/boot/initrd-two", "y");
	file("/boot/loader/entries/three.conf",
	     "version 8\nlinux /vmlinuz-one\ninitrd /initrd-one\ninitrd /initrd-two\n");
	check(!installed_find(root, NULL, &found) && !found.broken && found.nr == 2 &&
	      strstr(found.initrds[1], "initrd-two"));
	installed_free(&found);
	file("/etc/machine-id", "abc\n");
	file("/boot/loader/entries/three.conf",
	     "version 8\nlinux /vmlinuz-one\nmachine-id def\n");
	check(newest_is(NULL, "/boot/vmlinuz-one", "/boot/initrd-one", "root=/dev/sda1 quiet"));
	file("/boot/loader/entries/three.conf",
	     "version 8\nlinux /vmlinuz-one\nmachine-id abc\noptions x=$y\n");
	check(!installed_find(root, NULL, &found) && found.broken);
	installed_free(&found);
	snprintf(command, sizeof(command), "rm -rf %s/boot/loader %s/boot/vmlinuz-one", root,
		 root);
	check(!system(command));
	file("/boot/vmlinuz-6.1.0-18-amd64.old", "x");
	file("/boot/vmlinuz-6.1.0-18-amd64.dpkg-bak", "x");
	check(newest_is(NULL, "/boot/vmlinuz-6.1.0-18-amd64", "/boot/initrd.img-6.1.0-18-amd64",
			NULL));
	snprintf(command, sizeof(command), "rm -rf %s", root);
	check(!system(command));
}

int main(void)
{
	lists();
	checksums();
	handed_over();
	images();
	formats();
	sections();
	words();
	kernels();
	printf("%u passed, %u failed\n", passed, failed);
	return !!failed;
}
