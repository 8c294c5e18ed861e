// SPDX-License-Identifier: GPL-2.0-only
/*
 * Damage to what says where the pool is: header, block table, bitmaps. They are written
 * ahead of time, changed through /dev/mem, and then the next kernel comes. What is not
 * damaged is whole there, and nothing is served as good that is not.
 *
 * Checksums are made right again where a deeper check is the target. An argument is a seed
 * for the random changes.
 */

#include <errno.h>
#include <linux/kho/abi/preserve.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "chance.h"
#include "memory.h"
#include "physical.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"damage"
#define FREEZE		"/sys/kernel/debug/preserve/freeze"
#define PAGE		KIB(4)
#define NR_FILES	6
#define COPIES		PRESERVE_COPIES
#define NR_EXTENTS	((PAGE - sizeof(struct preserve_table_ser)) / \
			 sizeof(struct preserve_extent_ser))
#define BLOCK_PAGES	512ULL
#define BITMAP_SIZE	(BLOCK_PAGES / 8)
#define NR_BITMAPS	((PAGE - sizeof(struct preserve_bitmaps_ser)) / BITMAP_SIZE)

/* The image, as far as the tests need it: a small pool's table is one page. */
static struct image {
	__u64 phys;
	struct preserve_header_ser *header[COPIES];
	struct preserve_table_ser *table[COPIES];
	struct preserve_bitmaps_ser *bitmaps;
} im;

static void flip(void *where, size_t length)
{
	((char *)where)[below(length)] ^= 1 << below(8);
}

static void header_commit(struct preserve_header_ser *header)
{
	header->csum = XXH64(header, offsetof(struct preserve_header_ser, csum), 0);
}

static __u64 sum_behind(const void *page, const __u64 *csum, __u64 seed)
{
	const char *from = (const char *)(csum + 1);

	return XXH64(from, (const char *)page + PAGE - from, seed);
}

static void table_commit(struct preserve_table_ser *table)
{
	table->csum = sum_behind(table, &table->csum, 0);
}

static void bitmaps_commit(__u64 phys)
{
	im.bitmaps->csum = sum_behind(im.bitmaps, &im.bitmaps->csum, phys);
}

/* --- finding it --- */

static bool is_header(const struct preserve_header_ser *header)
{
	return header->magic == PRESERVE_HEADER_MAGIC && header->csum ==
	       XXH64(header, offsetof(struct preserve_header_ser, csum), 0);
}

static void page_wipe(void *page, __u64 phys)
{
	struct preserve_header_ser *header = page;

	if (is_header(header))
		header->magic = 0;
}

static void page_find(void *page, __u64 phys)
{
	if (!im.phys && is_header(page))
		im.phys = phys;
}

/* Has the image written, and maps it. */
static void image_open(void)
{
	physical_look(page_wipe);
	require(!text_write(FREEZE, "1"), FREEZE);
	im.phys = 0;
	physical_look(page_find);
	require(im.phys, "the header");
	for (unsigned int i = 0; i < COPIES; i++) {
		im.header[i] = physical_map(im.phys + i * PAGE, PAGE);
		require(im.header[i] && is_header(im.header[i]), "header %u", i);
		im.table[i] = physical_map(im.header[0]->table[i], PAGE);
		require(im.table[i] && im.table[i]->magic == PRESERVE_TABLE_MAGIC,
			"table %u", i);
	}
	require(!im.table[0]->next[0], "the table is one page");
	for (unsigned int i = 0; i < im.table[0]->nr; i++)
		if (im.table[0]->extent[i].bitmaps)
			im.bitmaps = physical_map(im.table[0]->extent[i].bitmaps,
						  PAGE);
	require(im.bitmaps && im.bitmaps->magic == PRESERVE_BITMAPS_MAGIC, "the bitmaps");
}

static __u64 bitmaps_phys(void)
{
	const struct preserve_extent_ser *extent = im.table[0]->extent;

	while (!extent->bitmaps)
		extent++;
	return extent->bitmaps;
}

/* --- damage --- */

static void commit_all(void)
{
	for (unsigned int i = 0; i < COPIES; i++) {
		header_commit(im.header[i]);
		table_commit(im.table[i]);
	}
	bitmaps_commit(bitmaps_phys());
}

/* Proves that sealing does it right. */
static void hurt_nothing(void)
{
	im.bitmaps->csum = 0;
	im.table[0]->csum = 0;
	im.header[0]->csum = 0;
	commit_all();
}

static void hurt_copies(void)
{
	flip(im.header[0], offsetof(struct preserve_header_ser, csum));
	flip(im.table[below(COPIES)], PAGE);
}

static void hurt_other_copies(void)
{
	flip(im.header[1], PAGE);
	flip(im.table[below(COPIES)], PAGE);
}

static void hurt_bitmaps(void)
{
	flip(im.bitmaps, PAGE);
}

static void extent_add(struct preserve_extent_ser extent)
{
	for (unsigned int i = 0; i < COPIES; i++) {
		struct preserve_table_ser *table = im.table[i];

		require(table->nr < NR_EXTENTS, "room for an extent");
		table->extent[table->nr++] = extent;
	}
}

/* What the kernel uses itself, what is not there, what is another's already. */
static void hurt_extents(void)
{
	const struct preserve_extent_ser first = im.table[0]->extent[0];
	const struct preserve_extent_ser last =
		im.table[0]->extent[im.table[0]->nr - 1];
	__u64 behind = last.pfn + last.nr_blocks * BLOCK_PAGES;
	__u64 bm = bitmaps_phys();
	const struct preserve_extent_ser wrong[] = {
		first,
		{ 0, 0, 1, PRESERVE_EXTENT_LIVE, 0 },
		{ behind, 0, ~0U, PRESERVE_EXTENT_LIVE, 0 },
		{ behind, 0, 1, 9, 0 },
		{ behind + 1, 0, 1, PRESERVE_EXTENT_FREE, 0 },
		{ behind, 0, 8, PRESERVE_EXTENT_LIVE, 0 },
		{ 0, bm, 1, PRESERVE_EXTENT_POISONED, 0 },
		{ first.pfn, im.phys, 1, PRESERVE_EXTENT_POISONED, 0 },
		{ first.pfn, bm, 1, PRESERVE_EXTENT_POISONED, NR_BITMAPS },
	};

	for (unsigned int i = 0; i < STAGE_COUNT(wrong); i++)
		extent_add(wrong[i]);
	commit_all();
}

/* The bitmaps are where data is, or nowhere, or behind their page. */
static void hurt_places(void)
{
	static const __u64 nowhere[] = { 0, 1, ~0ULL << 12, PAGE, MIB(3) };
	__u64 phys = nowhere[below(STAGE_COUNT(nowhere))], bm = bitmaps_phys();

	for (unsigned int i = 0; i < im.table[0]->nr; i++) {
		struct preserve_extent_ser *extent = &im.table[0]->extent[i];

		if (extent->kind != PRESERVE_EXTENT_SOME)
			continue;
		if (below(2))
			extent->bitmaps = phys;
		else
			extent->slot = NR_BITMAPS - 3;
	}
	memcpy(im.table[1], im.table[0], PAGE);
	table_commit(im.table[0]);
	table_commit(im.table[1]);
	bitmaps_commit(bm);
}

/* All say that frames are free which are not: what was there is refused. */
static void hurt_claims(void)
{
	memset(im.bitmaps->bits, 0, NR_BITMAPS * BITMAP_SIZE);
	commit_all();
}

static void hurt_chain(void)
{
	for (unsigned int i = 0; i < COPIES; i++)
		for (unsigned int k = 0; k < COPIES; k++)
			im.table[i]->next[k] = im.header[0]->table[k];
	commit_all();
}

static void hurt_headers(void)
{
	flip(im.header[0], offsetof(struct preserve_header_ser, csum));
	flip(im.header[1], offsetof(struct preserve_header_ser, csum));
}

enum expectation { WHOLE, ANY, LOST };

static const struct attack {
	const char *name;
	void (*hurt)(void);
	enum expectation files;
} attacks[] = {
	{ "nothing",		hurt_nothing,		WHOLE },
	{ "first copies",	hurt_copies,		WHOLE },
	{ "second copies",	hurt_other_copies,	WHOLE },
	{ "bitmaps",		hurt_bitmaps,		WHOLE },
	{ "extents",		hurt_extents,		WHOLE },
	{ "places",		hurt_places,		WHOLE },
	{ "claims",		hurt_claims,		ANY },
	{ "chain",		hurt_chain,		WHOLE },
	{ "both headers",	hurt_headers,		LOST },
	{ "nothing, again",	hurt_nothing,		WHOLE },
};

/* --- files --- */

/* Files of a few pages, with holes; the last one has blocks of its own. */
static __u64 size_of(unsigned int nr)
{
	return nr + 1 == NR_FILES ? MIB(6) : (nr + 1) * KIB(60);
}

static __u64 stride_of(unsigned int nr)
{
	return nr % 2 ? 2 * PAGE : PAGE;
}

static void preserve_files(void)
{
	int session = stage_session_create(SESSION);

	for (unsigned int nr = 0; nr < NR_FILES; nr++) {
		int fd = preserve_memfd_create("damage", MFD_CLOEXEC);

		for (__u64 at = 0; at < size_of(nr); at += stride_of(nr))
			require(!pattern_write(fd, nr, at, PAGE), "fill");
		require(!preserve_session_add_fd(session, fd, nr), "preserve");
		close(fd);
	}
}

static int file_check(int fd, unsigned int nr)
{
	int err = 0;

	for (__u64 at = 0; at < size_of(nr) && !err; at += stride_of(nr))
		err = pattern_check(fd, nr, at, PAGE);
	return err;
}

static void check_files(const struct attack *attack)
{
	unsigned int whole = 0, wrong = 0, refused = 0;
	int session = stage_session_retrieve(SESSION);

	for (unsigned int nr = 0; nr < NR_FILES; nr++) {
		int fd = preserve_session_get_fd(session, nr);

		if (fd < 0)
			refused++;
		else if (file_check(fd, nr))
			wrong++;
		else
			whole++;
		close(fd);
	}
	stage_session_finish(session);
	check(!wrong, "%s: no file is wrong: %u", attack->name, wrong);
	check(attack->files == ANY || whole ==
	      (attack->files == WHOLE ? NR_FILES : 0),
	      "%s: %u files are whole, %u refused", attack->name, whole, refused);
	check(pool_counter("refused") == refused, "%s: the pool counts them",
	      attack->name);
}

static void round_run(void)
{
	unsigned int stage = stage_number();

	if (stage)
		check_files(&attacks[stage - 1]);
	if (stage == STAGE_COUNT(attacks))
		return;
	ksft_print_msg("seed %#llx\n", (unsigned long long)chance_seed());
	preserve_files();
	image_open();
	attacks[stage].hurt();
}

int main(int argc, char **argv)
{
	chance_start(argc > 1 ? argv[1] : NULL);
	return stage_run_rounds(round_run, STAGE_COUNT(attacks) + 1);
}
