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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <preserve-radix/internal.h>
#include <xxhash.h>
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
	snprintf(told + len, sizeof(told) - len, "%s %s; ", path, what);
}

static int note_sum(const struct sum *sum, void *stream)
{
	return sums_print(sum, stream);
}

/* The text of what is noted of a directory, as two items: one has no other's files. */
static char *note_directory(const char *dir, size_t *size)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	FILE *stream;
	char *text;

	stream = open_memstream(&text, size);
	check(!sums_print_head(stream) && !sums_read_item("d-1", fd, note_sum, stream) &&
	      !sums_read_item("d", fd, note_sum, stream) && !sums_print_end(stream) &&
	      !fclose(stream));
	close(fd);
	return text;
}

static int open_text(struct sums *sums, const char *text, size_t size)
{
	return sums_open(sums, fmemopen((void *)text, size, "r"));
}

/* What differs from what was noted of a directory. */
static const char *differs(const char *dir, struct sums *noted)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	*told = '\0';
	check(sums_compare_item(noted, "d", fd, tell, NULL) > 0);
	close(fd);
	return told;
}

static void put_file(const char *dir, const char *name, const char *text, off_t at)
{
	static const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 2 } };
	char path[256], *slash;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	check(fd >= 0 && pwrite(fd, text, strlen(text), at) == (ssize_t)strlen(text) &&
	      !futimens(fd, times));
	close(fd);
	slash = strrchr(path, '/');
	*slash = '\0';
	check(!utimensat(AT_FDCWD, path, times, 0) && !utimensat(AT_FDCWD, dir, times, 0));
}

static void __attribute__((format(printf, 1, 2))) shell(const char *fmt, ...)
{
	char command[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	check(!system(command));
}

/* A text with a label and a name of these lengths. Return: how long it is. */
static size_t long_text(char text[1024], int label, int name)
{
	return snprintf(text, 1024, "%s0 0 40755 0 0 1 1 1 1 1 1 %0*d%c1 0 1 0 0 1 1 1 1 1 1 %0*d%cend",
			SUMS_HEAD, label, 1, 0, name, 1, 0) + 1;
}

static void bad_checksums(void)
{
	static const struct {
		const char *text;
		size_t size;
	} bad[] = {
#define BAD(text)	{ text, sizeof(text) - 1 }
#define LINE(text)	BAD(SUMS_HEAD text "\0end\0")
		BAD("p"), BAD("preserve sums 1\nend\0"), BAD("preserve sums 2"), BAD(SUMS_HEAD),
		BAD(SUMS_HEAD "0 0 100644 0 0 1 1 1 1 1 1 a"),
		BAD(SUMS_HEAD "0 0 100644 0 0 1 1 1 1 1 1 a\0"),
		BAD(SUMS_HEAD "end"), BAD(SUMS_HEAD "end\0end\0"),
		LINE(""),
		LINE("0 0 100644 0 0 1 1 1 1 1 1 "),
		LINE("0 0 100644 0 0 1 1 1 1 1 1"),
		LINE("0 0 100644 0 0 1 1 1 1 1 1a"),
		LINE("1 0 100644 0 0 1 1 1 1 1 1 a"),
		LINE("0 0 40755 0 0 1 1 1 1 1 1 a\0002 0 100644 0 0 1 1 1 1 1 1 a"),
		LINE("x 0 100644 0 0 1 1 1 1 1 1 a"),
	};
	static const char good[] = SUMS_HEAD "0 0 100644 0 0 1 1 1 1 1 1  a\n\xff\0end";
	char long_name[1024];
	struct sums sums;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		check(open_text(&sums, bad[i].text, bad[i].size) == -EBADMSG && !sums.nr);
	check(!open_text(&sums, good, sizeof(good)) && sums.nr == 1 &&
	      !strcmp(sums.items[0].label, " a\n\xff"));
	sums_close(&sums);
	check(!open_text(&sums, long_name, long_text(long_name, 63, 255)));
	sums_close(&sums);
	check(open_text(&sums, long_name, long_text(long_name, 63, 256)) == -EBADMSG);
	check(open_text(&sums, long_name, long_text(long_name, 64, 255)) == -EBADMSG);
}

/* Each change alone shows, and nothing else. */
static void changes_show(const char *dir, struct sums *noted)
{
	check(!*differs(dir, noted));
	put_file(dir, "a", "hellO", 0);
	check(!strcmp(differs(dir, noted), "/a has other content; "));
	put_file(dir, "a", "hello", 0);
	check(!*differs(dir, noted));
	/* Zeros in pages or as a hole are the same; a byte elsewhere is not. */
	shell("cp --sparse=never -p '%s/sparse' %s-x && mv %s-x '%s/sparse'", dir, dir, dir, dir);
	put_file(dir, "sparse", "x", 1 << 20);
	check(!*differs(dir, noted));
	shell("chmod 600 '%s/sparse'", dir);
	check(!strcmp(differs(dir, noted), "/sparse has another mode; "));
	shell("chmod 644 '%s/sparse'; ln -snf b '%s/link'", dir, dir);
	put_file(dir, "a", "hello", 0);
	check(strstr(differs(dir, noted), "/link has other content; "));
	shell("ln -snf a '%s/link'; touch -hd @2 '%s/link'; mkdir '%s/m' '%s/m/n'", dir, dir, dir,
	      dir);
	put_file(dir, "a", "hello", 0);
	check(!strcmp(differs(dir, noted), "/m is new; "));
	shell("rm -r '%s/m'; mv '%s/sub' %s-sub", dir, dir, dir);
	put_file(dir, "a", "hello", 0);
	check(!strcmp(differs(dir, noted), "/sub is missing; "));
	shell("mv %s-sub '%s/sub'; rm '%s/sub/b c'", dir, dir, dir);
	put_file(dir, "sub/b d", "", 0);
	check(!strcmp(differs(dir, noted), "/sub/b c is missing; /sub/b d is new; "));
	shell("rm '%s/sub/b d'", dir);
	put_file(dir, "sub/b c", "there", 5000);
	check(!*differs(dir, noted));
	shell("ln '%s/a' '%s/a2'", dir, dir);
	put_file(dir, "a", "hello", 0);
	check(!strcmp(differs(dir, noted), "/a has another number of names; /a2 is new; "));
	shell("rm '%s/a2'", dir);
	put_file(dir, "a", "hello", 0);
	check(!*differs(dir, noted));
}

/* What differs from what was noted of the other item, which has the same in it. */
static const char *other_differs(const char *dir, struct sums *noted)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	*told = '\0';
	check(sums_compare_item(noted, "d-1", fd, tell, NULL) > 0);
	close(fd);
	return told;
}

/* A directory that is too deep is noted as such; so what is in it does not matter. */
static void deep_directory(const char *dir)
{
	struct sums noted;
	size_t size;
	char *text;

	shell("cd '%s'; for i in $(seq 300); do mkdir d; cd d; done; touch x", dir);
	text = note_directory(dir, &size);
	check(!open_text(&noted, text, size) && !*differs(dir, &noted));
	check(!*other_differs(dir, &noted));
	shell("cd '%s'; for i in $(seq 300); do cd d; done; rm x", dir);
	check(!*differs(dir, &noted));
	shell("cd '%s'; for i in $(seq 200); do cd d; done; touch x", dir);
	check(strstr(differs(dir, &noted), "/x is new; "));
	/* The first item ends where the second one begins. */
	shell("cd '%s'; rm -r d", dir);
	check(strstr(other_differs(dir, &noted), "/d is missing; "));
	check(!strstr(told, "; /a") && !strstr(told, "; /sub"));
	sums_close(&noted);
	free(text);
}

static void checksums(void)
{
	char dir[] = "/tmp/parsers-XXXXXX", *text;
	struct sums noted;
	size_t size;

	bad_checksums();
	check(mkdtemp(dir));
	shell("mkdir '%s/sub'; ln -s a '%s/link'; touch -hd @2 '%s/link'", dir, dir, dir);
	put_file(dir, "sparse", "x", 1 << 20);
	put_file(dir, "sub/b c", "there", 5000);
	put_file(dir, "z\n\xff", "there", 0);
	put_file(dir, "a", "hello", 0);
	sums_bytes = 0;
	text = note_directory(dir, &size);
	check(sums_bytes && sums_bytes < 1 << 19);
	check(!open_text(&noted, text, size) && noted.nr == 2);
	changes_show(dir, &noted);
	check(sums_compare_item(&noted, "e", 0, tell, NULL) == -ENODATA);
	sums_close(&noted);
	free(text);
	deep_directory(dir);
	shell("rm -rf '%s'", dir);
}

/* --- what kernels hand over: more is in fuzz.c --- */

/* Memory of three pages: an inner page, a leaf and a bitmap. */
static unsigned char memory[3 * RECORD_SIZE];

static int read_memory(uint64_t address, void *to, size_t size, void *arg)
{
	(void)arg;
	if (address > sizeof(memory) || size > sizeof(memory) - address)
		return -EFAULT;
	memcpy(to, memory + address, size);
	return 0;
}

static char runs[256];

static int add_run(uint64_t index, uint64_t pfn, uint64_t nr, unsigned int order, void *arg)
{
	size_t len = strlen(runs);

	(void)arg;
	snprintf(runs + len, sizeof(runs) - len, "%llu+%llu=%llu/%u ", (unsigned long long)index,
		 (unsigned long long)nr, (unsigned long long)pfn, order);
	return 0;
}

static void make_map(struct prmap_root_ser *root)
{
	const struct prmap_head head = {
		.magic = PRMAP_PAGE_MAGIC, .version = PRMAP_VERSION, .kind = PRMAP_FILE, .nr = 2,
	};
	struct prmap_inner *inner = (void *)memory;
	struct prmap_leaf *leaf = (void *)(memory + RECORD_SIZE);
	unsigned char *bits = memory + 2 * RECORD_SIZE;

	memset(memory, 0, sizeof(memory));
	leaf->head = head;
	/* Index 8, two folios of order 2; frame 400. */
	leaf->word[0] = 8 << 12 | 2 << 7;
	leaf->word[1] = 400ULL << 24 | 1 << 8;
	bits[0] = 0x0e;
	bits[RECORD_SIZE - 1] = 0x80;
	inner->head = head;
	inner->head.level = 1;
	inner->entry[0] = (struct prmap_entry){
		.key = 8, .child = RECORD_SIZE, .type = PRMAP_RUNS,
	};
	inner->entry[1] = (struct prmap_entry){
		.key = PRMAP_BITS, .child = 2 * RECORD_SIZE, .type = PRMAP_BITMAP, .delta = 1000,
	};
	inner->entry[0].sum = XXH64(leaf, 16 + 16, RECORD_SIZE);
	inner->entry[1].sum = XXH64(bits, RECORD_SIZE, 2 * RECORD_SIZE);
	*root = (struct prmap_root_ser){
		.magic = PRMAP_MAGIC, .version = PRMAP_VERSION, .kind = PRMAP_FILE, .height = 2,
		.nr_pages = 3, .page_size = RECORD_SIZE,
		.top_sum = XXH64(inner, 16 + 2 * sizeof(struct prmap_entry), 0),
	};
	root->sum = XXH64(root, offsetof(struct prmap_root_ser, sum), 0);
}

static int walk(const struct prmap_root_ser *root)
{
	struct map_reader reader = { .read = read_memory, .run = add_run };

	*runs = '\0';
	return map_walk(&reader, root);
}

static void maps(void)
{
	struct prmap_root_ser root;

	make_map(&root);
	check(!walk(&root));
	check(!strcmp(runs, "8+8=400/2 32769+3=33769/0 65535+1=66535/0 "));
	memory[2 * RECORD_SIZE] ^= 1;
	check(walk(&root) == -EBADMSG);
	memory[2 * RECORD_SIZE] ^= 1;
	/* One page less than there are. */
	root.nr_pages = 2;
	root.sum = XXH64(&root, offsetof(struct prmap_root_ser, sum), 0);
	check(walk(&root) == -EBADMSG);
	make_map(&root);
	root.height = 1;
	root.sum = XXH64(&root, offsetof(struct prmap_root_ser, sum), 0);
	check(walk(&root) == -EBADMSG);
}

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
	maps();
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
