// SPDX-License-Identifier: GPL-2.0-only
/*
 * Damage to what says where the pool is: header, block table, bitmaps. They are written
 * ahead of time, changed through /dev/mem, and then the next kernel comes. What is not
 * damaged is whole there, and nothing is served as good that is not.
 *
 * The layouts are those of <linux/kho/abi/preserve.h>; checksums are made right again
 * where a deeper check is the target. An argument is a seed for the random changes.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "chance.h"
#include "liveupdate.h"
#include "memory.h"
#include "stage.h"

#define SESSION		"damage"
#define FREEZE		"/sys/kernel/debug/preserve/freeze"
#define PAGE		KIB(4)
#define NR_FILES	6
#define COPIES		2
#define HEADER_MAGIC	0x524448565253504dULL
#define TABLE_MAGIC	0x4c42545652535250ULL
#define BITMAPS_MAGIC	0x4d54425652535250ULL
#define BEHIND_CSUM	16

struct header {
	__u64 magic;
	__u32 version;
	__u32 size;
	__u32 block_order;
	__u32 page_shift;
	__u64 table[COPIES];
	__u64 nr_blocks;
	__u64 want;
	__u64 max;
	__u64 csum;
};

enum { FREE = 1, LIVE, SOME, BAD };

struct extent {
	__u64 pfn;
	__u64 bitmaps;
	__u32 nr_blocks;
	__u16 kind;
	__u16 slot;
};

#define NR_EXTENTS	168

/* Either kind of page. */
struct page {
	__u64 magic;
	__u64 csum;
	union {
		struct {
			__u64 next[COPIES];
			__u32 nr;
			__u32 reserved;
			struct extent extent[NR_EXTENTS];
		} table;
		struct {
			__u32 nr;
			__u32 reserved;
			__u64 bits[63 * 8];
		} bitmaps;
		char all[PAGE - BEHIND_CSUM];
	};
};

static_assert(sizeof(struct page) == PAGE, "it is a page");

/* The image, as far as the tests need it: a small pool's table is one page. */
static struct image {
	int mem;
	__u64 phys;
	struct header *header[COPIES];
	struct page *table[COPIES];
	struct page *bitmaps;
} im;

static void flip(void *where, size_t length)
{
	((char *)where)[below(length)] ^= 1 << below(8);
}

static void header_seal(struct header *header)
{
	header->csum = XXH64(header, offsetof(struct header, csum), 0);
}

static void page_seal(struct page *page, __u64 seed)
{
	page->csum = XXH64(page->all, sizeof(page->all), seed);
}

/* --- finding it --- */

static void *map_phys(__u64 phys, size_t size)
{
	void *window = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			    im.mem, phys);

	return window == MAP_FAILED ? NULL : window;
}

static bool is_header(const struct header *header)
{
	return header->magic == HEADER_MAGIC && header->csum ==
	       XXH64(header, offsetof(struct header, csum), 0);
}

/* Looks at all of memory. Wipes what is found, or gives the address of the first. */
static __u64 headers_find(bool wipe)
{
	__u64 end = meminfo_bytes("MemTotal") + MIB(512), found = 0;

	for (__u64 phys = MIB(1); phys < end && !found; phys += MIB(1)) {
		char *window = map_phys(phys, MIB(1));

		for (size_t at = 0; window && at < MIB(1) && !found; at += PAGE) {
			struct header *header = (struct header *)(window + at);

			if (!is_header(header))
				continue;
			if (wipe)
				header->magic = 0;
			else
				found = phys + at;
		}
		if (window)
			munmap(window, MIB(1));
	}
	return found;
}

/* Has the image written, and maps it. */
static void image_open(void)
{
	im.mem = open("/dev/mem", O_RDWR);
	require(im.mem >= 0, "/dev/mem");
	headers_find(true);
	require(!text_write(FREEZE, "1"), FREEZE);
	im.phys = headers_find(false);
	require(im.phys, "the header");
	for (unsigned int i = 0; i < COPIES; i++) {
		im.header[i] = map_phys(im.phys + i * PAGE, PAGE);
		require(im.header[i] && is_header(im.header[i]), "header %u", i);
		im.table[i] = map_phys(im.header[0]->table[i], PAGE);
		require(im.table[i] && im.table[i]->magic == TABLE_MAGIC,
			"table %u", i);
	}
	require(!im.table[0]->table.next[0], "the table is one page");
	for (unsigned int i = 0; i < im.table[0]->table.nr; i++)
		if (im.table[0]->table.extent[i].bitmaps)
			im.bitmaps = map_phys(im.table[0]->table.extent[i].bitmaps,
					      PAGE);
	require(im.bitmaps && im.bitmaps->magic == BITMAPS_MAGIC, "the bitmaps");
}

static __u64 bitmaps_phys(void)
{
	const struct extent *extent = im.table[0]->table.extent;

	while (!extent->bitmaps)
		extent++;
	return extent->bitmaps;
}

/* --- damage --- */

static void seal_all(void)
{
	for (unsigned int i = 0; i < COPIES; i++) {
		header_seal(im.header[i]);
		page_seal(im.table[i], 0);
	}
	page_seal(im.bitmaps, bitmaps_phys());
}

/* Proves that sealing does it right. */
static void hurt_nothing(void)
{
	im.bitmaps->csum = 0;
	im.table[0]->csum = 0;
	im.header[0]->csum = 0;
	seal_all();
}

static void hurt_copies(void)
{
	flip(im.header[0], offsetof(struct header, csum));
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

static void extent_add(struct extent extent)
{
	for (unsigned int i = 0; i < COPIES; i++) {
		struct page *page = im.table[i];

		require(page->table.nr < NR_EXTENTS, "room for an extent");
		page->table.extent[page->table.nr++] = extent;
	}
}

/* What the kernel uses itself, what is not there, what is another's already. */
static void hurt_extents(void)
{
	const struct extent first = im.table[0]->table.extent[0];
	const struct extent last =
		im.table[0]->table.extent[im.table[0]->table.nr - 1];
	__u64 behind = last.pfn + last.nr_blocks * 512ULL;
	__u64 bm = bitmaps_phys();

	extent_add(first);
	extent_add((struct extent) { 0, 0, 1, LIVE, 0 });
	extent_add((struct extent) { behind, 0, ~0U, LIVE, 0 });
	extent_add((struct extent) { behind, 0, 1, 9, 0 });
	extent_add((struct extent) { behind + 1, 0, 1, FREE, 0 });
	extent_add((struct extent) { behind, 0, 8, LIVE, 0 });
	extent_add((struct extent) { 0, bm, 1, BAD, 0 });
	extent_add((struct extent) { first.pfn, im.phys, 1, BAD, 0 });
	extent_add((struct extent) { first.pfn, bm, 1, BAD, 63 });
	seal_all();
}

/* The bitmaps are where data is, or nowhere, or behind their page. */
static void hurt_places(void)
{
	static const __u64 nowhere[] = { 0, 1, ~0ULL << 12, PAGE, MIB(3) };
	__u64 phys = nowhere[below(STAGE_COUNT(nowhere))], bm = bitmaps_phys();

	for (unsigned int i = 0; i < im.table[0]->table.nr; i++) {
		struct extent *extent = &im.table[0]->table.extent[i];

		if (extent->kind != SOME)
			continue;
		if (below(2))
			extent->bitmaps = phys;
		else
			extent->slot = 60;
	}
	memcpy(im.table[1], im.table[0], PAGE);
	page_seal(im.table[0], 0);
	page_seal(im.table[1], 0);
	page_seal(im.bitmaps, bm);
}

/* All say that frames are free which are not: what was there is refused. */
static void hurt_claims(void)
{
	memset(im.bitmaps->bitmaps.bits, 0, sizeof(im.bitmaps->bitmaps.bits));
	seal_all();
}

static void hurt_chain(void)
{
	for (unsigned int i = 0; i < COPIES; i++)
		for (unsigned int k = 0; k < COPIES; k++)
			im.table[i]->table.next[k] = im.header[0]->table[k];
	seal_all();
}

static void hurt_headers(void)
{
	flip(im.header[0], offsetof(struct header, csum));
	flip(im.header[1], offsetof(struct header, csum));
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
