// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes for the parsers of preservectl; the first byte chooses one. For libFuzzer.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/kho/abi/preserve_tree.h>
#include <preserve-radix/internal.h>
#include <xxhash.h>

#include "../preservectl/conf.h"
#include "../preservectl/ctl.h"
#include "../preservectl/formats.h"
#include "../preservectl/image.h"
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

static void as_list(const char *text)
{
	struct manifest manifest;

	if (!manifest_parse(&manifest, text)) {
		/* What is accepted can be written, and is accepted again. */
		char *copy = manifest_text(&manifest);
		struct manifest again;

		if (copy && manifest_parse(&again, copy))
			abort();
		if (copy)
			manifest_free(&again);
		free(copy);
	}
	manifest_free(&manifest);
}

static void as_formats(const char *text)
{
	struct formats_finding findings[FORMATS_MAX_FINDINGS];
	const char *half = text + strlen(text) / 2;

	formats_compare(text, half, findings);
	if (formats_compare(half, text, findings) > FORMATS_MAX_FINDINGS)
		abort();
}

static void pass_difference(const char *path, const char *what, void *arg)
{
	(void)path;
	(void)what;
	(void)arg;
}

/* A text, and a small directory that it is compared with. */
static void as_sums(const char *text, size_t size)
{
	FILE *stream = size ? fmemopen((void *)text, size, "r") : NULL;
	struct sums sums;
	int fd;

	if (!stream || sums_open(&sums, stream))
		return;
	fd = open("/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sums.nr && fd >= 0)
		sums_compare_item(&sums, sums.items[0].label, fd, pass_difference, NULL);
	if (fd >= 0)
		close(fd);
	sums_close(&sums);
}

/* --- what kernels hand over: with right checksums, so that what is behind them is reached --- */

static int pass_entry(const struct tree_entry *entry, void *arg)
{
	(void)arg;
	return strlen(entry->path) > 1 << 20 ? -E2BIG : 0;
}

static void seal_section(unsigned char *bytes, size_t size, uint64_t at, uint32_t kind)
{
	struct preserve_section_ser section;

	if (at > size || size - at < sizeof(section))
		return;
	memcpy(&section, bytes + at, sizeof(section));
	section.magic = PRESERVE_SECTION_MAGIC;
	section.kind = kind;
	if (section.length > size - at - sizeof(section))
		section.length = size - at - sizeof(section);
	section.csum = XXH64(bytes + at + sizeof(section), section.length,
			     XXH64(&section, offsetof(struct preserve_section_ser, csum), at));
	memcpy(bytes + at, &section, sizeof(section));
}

static void seal_table(unsigned char *bytes, size_t size, uint64_t table, uint64_t nr,
		       uint32_t kind)
{
	uint64_t at;

	for (uint64_t i = 0; i < nr && table + (i + 1) * sizeof(at) <= size; i++) {
		memcpy(&at, bytes + table + i * sizeof(at), sizeof(at));
		seal_section(bytes, size, at, kind);
	}
}

static void as_tree(unsigned char *bytes, size_t size)
{
	struct preserve_tree_ser *ser = (struct preserve_tree_ser *)bytes;
	struct tree tree = { .bytes = bytes, .size = size, .entry = pass_entry };

	if (size < sizeof(*ser))
		return;
	ser->magic = PRESERVE_TREE_MAGIC;
	ser->version = PRESERVE_TREE_VERSION;
	ser->size = sizeof(*ser);
	ser->length = size;
	ser->dirs %= size;
	ser->links %= size;
	ser->nr_dirs %= 16;
	ser->nr_links %= 16;
	ser->nr_others = 0;
	seal_table(bytes, size, ser->links, ser->nr_links, PRESERVE_SECTION_LINK);
	seal_table(bytes, size, ser->dirs, ser->nr_dirs, PRESERVE_SECTION_DIR);
	ser->csum = XXH64(ser, offsetof(struct preserve_tree_ser, csum), 0);
	if (!tree_check(&tree)) {
		json_object_put(tree_document(&tree));
		tree_walk(&tree);
	}
}

/* The bytes are memory. */
struct memory {
	unsigned char *bytes;
	size_t size;
};

static int read_memory(uint64_t address, void *to, size_t size, void *arg)
{
	const struct memory *memory = arg;

	if (address > memory->size || size > memory->size - address)
		return -EFAULT;
	memcpy(to, memory->bytes + address, size);
	return 0;
}

static int pass_run(uint64_t index, uint64_t pfn, uint64_t nr, unsigned int order, void *arg)
{
	(void)index;
	(void)pfn;
	(void)nr;
	(void)order;
	(void)arg;
	return 0;
}

/*
 * Makes the page of a map at @address right, and what is below it before. Return: its
 * checksum.
 */
static uint64_t seal_page(const struct memory *memory, uint64_t address, unsigned int level)
{
	size_t size = level ? sizeof(struct prmap_entry) : sizeof(uint64_t);
	unsigned char *page = memory->bytes + address;
	struct prmap_entry entry;
	struct prmap_head head;

	memcpy(&head, page, sizeof(head));
	head.magic = PRMAP_PAGE_MAGIC;
	head.version = PRMAP_VERSION;
	head.level = level;
	head.kind = PRMAP_FILE;
	head.nr %= level ? 4 : (RECORD_SIZE - sizeof(head)) / size + 1;
	memcpy(page, &head, sizeof(head));
	for (uint32_t i = 0; level && i < head.nr; i++) {
		memcpy(&entry, page + sizeof(head) + i * size, sizeof(entry));
		entry.child %= memory->size - RECORD_SIZE + 1;
		entry.type = entry.type & 1 ? PRMAP_BITMAP : PRMAP_RUNS;
		entry.sum = entry.type == PRMAP_BITMAP ?
			    XXH64(memory->bytes + entry.child, RECORD_SIZE, entry.child) :
			    seal_page(memory, entry.child, level - 1);
		memcpy(page + sizeof(head) + i * size, &entry, sizeof(entry));
	}
	return XXH64(page, sizeof(head) + head.nr * size, address);
}

static void as_map(unsigned char *bytes, size_t size)
{
	struct memory memory = { bytes, size };
	struct map_reader reader = { .read = read_memory, .run = pass_run, .arg = &memory };
	struct prmap_root_ser root;

	if (size < RECORD_SIZE)
		return;
	memcpy(&root, bytes, sizeof(root));
	root.magic = PRMAP_MAGIC;
	root.version = PRMAP_VERSION;
	root.kind = PRMAP_FILE;
	root.page_size = RECORD_SIZE;
	root.height %= 4;
	root.nr_pages %= 64;
	root.top %= size - RECORD_SIZE + 1;
	if (root.height)
		root.top_sum = seal_page(&memory, root.top, root.height - 1);
	root.sum = XXH64(&root, offsetof(struct prmap_root_ser, sum), 0);
	map_walk(&reader, &root);
}

static void as_words(const char *text)
{
	uint64_t size;
	char value[8];

	size_parse(text, &size);
	cmdline_value(text, "kho", value, sizeof(value));
	cmdline_switch(text, "liveupdate");
}

static void as_conf(const char *text)
{
	struct conf conf = {};

	conf_parse(&conf, "fuzz", text);
	conf_free(&conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image;
	char *text;

	if (!size)
		return 0;
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 8) {
	case 0:
		as_list(text);
		break;
	case 1:
		image_parse(data + 1, size - 1, &image);
		image_free(&image);
		break;
	case 2:
		as_formats(text);
		break;
	case 3:
		as_conf(text);
		break;
	case 4:
		as_words(text);
		break;
	case 5:
		as_sums(text, size - 1);
		break;
	case 6:
		as_tree((unsigned char *)text, size - 1);
		break;
	case 7:
		as_map((unsigned char *)text, size - 1);
		break;
	}
	free(text);
	return 0;
}
