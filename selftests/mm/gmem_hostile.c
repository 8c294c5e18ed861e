// SPDX-License-Identifier: GPL-2.0-only
/*
 * Damaged records of guest_memfd files: each of many has its record or file map changed,
 * through /dev/mem, after the kexec and before it is retrieved. Each is refused with the right
 * error, those beside it come back whole, the memory of refused ones stays set aside, and the
 * kexec after that has it free again. Folios that are too large for this kernel are refused,
 * too, but nothing is wrong with them: their memory is free when the session is finished.
 *
 * Checksums are made right again where a deeper check is the target.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/kho/abi/preserve_tree.h>

#include "image.h"
#include "memory.h"
#include "physical.h"
#include "place.h"
#include "preserve.h"
#include "record.h"
#include "stage.h"
#include "vmm.h"

#define SESSION		"hostile"
#define PAGE		PLACE_PAGE
#define PAGES		64ULL	/* that a file has, a hole behind each */
#define MANY_PAGES	512ULL	/* more than a page of a map has room for */
#define ANY		-1	/* refused for one reason or another */

/* What is under attack: the record; the page on top of its map. */
struct victim {
	struct preserve_file_ser *rec;
	struct prmap_leaf *leaf;
};

static void hurt_nothing(const struct victim *victim)
{
	leaf_commit(victim->rec, victim->leaf);	/* proves that this does it right */
}

static void hurt_record_sum(const struct victim *victim)
{
	victim->rec->guest_flags ^= PRESERVE_GUEST_MMAP;
}

static void hurt_flags(const struct victim *victim)
{
	victim->rec->guest_flags |= 0x4;
	record_commit(victim->rec);
}

/* Of x86: KVM_X86_SEV_VM. */
static void hurt_type_hardware(const struct victim *victim)
{
	victim->rec->guest_type = KVM_X86_SEV_VM;
	record_commit(victim->rec);
}

static void hurt_type(const struct victim *victim)
{
	victim->rec->guest_type = ~0U;
	record_commit(victim->rec);
}

static void hurt_kind(const struct victim *victim)
{
	victim->rec->kind = PRESERVE_FILE_MEMFD;
	record_commit(victim->rec);
}

static void hurt_given_up(const struct victim *victim)
{
	victim->rec->kind |= PRESERVE_FILE_GIVEN_UP;
	record_commit(victim->rec);
}

static void hurt_huge_order(const struct victim *victim)
{
	victim->rec->huge_order = 9;
	record_commit(victim->rec);
}

static void size_set(const struct victim *victim, __u64 size)
{
	victim->rec->i_size = size;
	record_commit(victim->rec);
}

static void hurt_size_none(const struct victim *victim)
{
	size_set(victim, 0);
}

static void hurt_size_odd(const struct victim *victim)
{
	size_set(victim, victim->rec->i_size + 1);
}

/* One page less than the map says. */
static void hurt_size_short(const struct victim *victim)
{
	size_set(victim, (2 * PAGES - 2) * PAGE);
}

static void hurt_size_huge(const struct victim *victim)
{
	size_set(victim, ~0ULL << 12);
}

/* The largest that a file can have. */
static void hurt_size_most(const struct victim *victim)
{
	size_set(victim, ~0ULL >> 13 << 12);
}

static void hurt_extras_len(const struct victim *victim)
{
	victim->rec->extras_len = sizeof(victim->rec->extras) + 1;
	record_commit(victim->rec);
}

static void hurt_extras(const struct victim *victim)
{
	victim->rec->extras_len = 9;
	memset(victim->rec->extras, 0xff, 9);
	record_commit(victim->rec);
}

/* Kind, length and name, length of the value. */
static void extra_set(const struct victim *victim, __u32 kind)
{
	__u8 *at = victim->rec->extras;

	number_set(at, 5, kind);
	at[5] = 1;
	at[6] = 'x';
	at[7] = 0;
	victim->rec->extras_len = 8;
	record_commit(victim->rec);
}

static void hurt_extra_kind(const struct victim *victim)
{
	extra_set(victim, PRESERVE_EXTRA_REGION);
}

static void hurt_extra_skip(const struct victim *victim)
{
	extra_set(victim, PRESERVE_EXTRA_SKIP | 0x77);
}

static void hurt_extra_policy(const struct victim *victim)
{
	extra_set(victim, PRESERVE_EXTRA_POLICY);
}

static void hurt_root_sum(const struct victim *victim)
{
	victim->rec->map.nr_keys++;
	record_commit(victim->rec);
}

static void hurt_leaf_sum(const struct victim *victim)
{
	victim->leaf->word[1] ^= 1ULL << 40;
}

/* The map has more than one page. A bit of one of these changes. */
static void hurt_part(const struct victim *victim)
{
	const struct prmap_inner *inner = (const void *)victim->leaf;
	struct prmap_leaf *leaf;

	require(victim->rec->map.height == 2 && inner->head.nr > 1, "a map of many pages");
	leaf = physical_map(inner->entry[1].child, PAGE);
	require(leaf, "one of them");
	leaf->word[1] ^= 1ULL << SET_SHIFT;
	munmap(leaf, PAGE);
}

static void hurt_kernel_memory(const struct victim *victim)
{
	/* Somewhere in the first 16 MiB: no memory of the pool. */
	victim->leaf->word[1] &= (1ULL << LEAF_PFN_SHIFT) - 1;
	victim->leaf->word[1] |= 0x800ULL << LEAF_PFN_SHIFT;
	leaf_commit(victim->rec, victim->leaf);
}

static void hurt_overlap(const struct victim *victim)
{
	/* The second run claims the first one's frames. */
	victim->leaf->word[3] = victim->leaf->word[1];
	leaf_commit(victim->rec, victim->leaf);
}

/* All pages are one run of @order; its frames may be aligned for less. */
static void order_set(const struct victim *victim, unsigned int order)
{
	require(victim->leaf->head.nr == 2, "one run");
	victim->leaf->word[0] = (__u64)order << FILE_HI_BITS;
	victim->leaf->word[1] &= ~(BITS(FILE_LO_BITS) << 8);
	victim->leaf->word[1] |= ((PAGES >> order) - 1) << 8;
	leaf_commit(victim->rec, victim->leaf);
}

/* As a kernel with huge pages in guest_memfd would write it: nothing is wrong. */
static void hurt_large(const struct victim *victim)
{
	__u64 pfn = victim->leaf->word[1] >> LEAF_PFN_SHIFT;
	unsigned int order = __builtin_ctzll(pfn | PAGES);

	require(order, "frames that a folio of two pages can have: %#llx", pfn);
	order_set(victim, order);
}

static void hurt_order(const struct victim *victim)
{
	order_set(victim, 31);
}

/* How a file's pages lie. */
enum layout { APART, TOGETHER, MANY };

static const struct attack {
	const char *name;
	void (*hurt)(const struct victim *victim);
	int err;
	enum layout layout;
} attacks[] = {
	{ "nothing",		hurt_nothing,		0 },
	{ "nothing, one run",	hurt_nothing,		0, TOGETHER },
	{ "record's sum",	hurt_record_sum,	-EBADMSG },
	{ "flags",		hurt_flags,		-EOPNOTSUPP },
	{ "hardware's type",	hurt_type_hardware,	-EOPNOTSUPP },
	{ "type",		hurt_type,		-EOPNOTSUPP },
	{ "kind",		hurt_kind,		-EPROTO },
	{ "given up",		hurt_given_up,		-EBADMSG },
	{ "page size",		hurt_huge_order,	-EBADMSG },
	{ "no size",		hurt_size_none,		-EBADMSG },
	{ "odd size",		hurt_size_odd,		-EBADMSG },
	{ "short",		hurt_size_short,	-EBADMSG },
	{ "huge",		hurt_size_huge,		-EBADMSG },
	{ "largest",		hurt_size_most,		0 },
	{ "extras' length",	hurt_extras_len,	-EBADMSG },
	{ "extras",		hurt_extras,		-EBADMSG },
	{ "extra's kind",	hurt_extra_kind,	-EOPNOTSUPP },
	{ "extra to skip",	hurt_extra_skip,	0 },
	{ "policy",		hurt_extra_policy,	-EUCLEAN },
	{ "root's sum",		hurt_root_sum,		-EBADMSG },
	{ "leaf's sum",		hurt_leaf_sum,		-EBADMSG },
	{ "part of a map",	hurt_part,		-EBADMSG, MANY },
	{ "kernel's memory",	hurt_kernel_memory,	ANY },
	{ "overlap",		hurt_overlap,		ANY },
	{ "large folios",	hurt_large,		-EOPNOTSUPP, TOGETHER },
	{ "larger than that",	hurt_order,		ANY, TOGETHER },
};

static __u64 pages_of(size_t i)
{
	return attacks[i].layout == MANY ? MANY_PAGES : PAGES;
}

static __u64 stride_of(size_t i)
{
	return attacks[i].layout == TOGETHER ? PAGE : 2 * PAGE;
}

/* Their records say nothing else that tells one file from another. */
static __u64 size_of(size_t i)
{
	return MIB(8) + i * PAGE;
}

/* Backwards where runs must not merge. */
static void fill(int fd, size_t i)
{
	void *at = place_map(fd, 0, MIB(8));
	__u64 nr, page;

	for (nr = 0; nr < pages_of(i); nr++) {
		page = attacks[i].layout == TOGETHER ? nr : pages_of(i) - 1 - nr;
		pattern_fill((char *)at + page * stride_of(i), i, page * stride_of(i), PAGE);
	}
	munmap(at, MIB(8));
}

static bool whole(int fd, size_t i)
{
	void *at = place_map(fd, 0, MIB(8));
	bool good = true;
	__u64 nr;

	for (nr = 0; good && nr < pages_of(i); nr++)
		good = pattern_is((char *)at + nr * stride_of(i), i, nr * stride_of(i), PAGE);
	munmap(at, MIB(8));
	return good && place_fdinfo(fd, "preserve-pages") == (__s64)pages_of(i);
}

static void before(void)
{
	int session = stage_session_create(SESSION), fd, err;
	struct vmm vmm;
	size_t i;

	require(!vmm_create(&vmm, VMM_PLAIN), "a machine");
	for (i = 0; i < STAGE_COUNT(attacks); i++) {
		fd = vmm_gmem(&vmm, size_of(i), VMM_SHARED | GUEST_MEMFD_FLAG_PRESERVE);
		require(fd >= 0, "%s: make: %d", attacks[i].name, fd);
		fill(fd, i);
		require(whole(fd, i), "%s: fill", attacks[i].name);
		err = preserve_session_add_fd(session, fd, i);
		require(!err, "%s: preserve: %d", attacks[i].name, err);
		close(fd);
	}
	vmm_destroy(&vmm);
}

static size_t found;

static void page_attack(void *page, __u64 phys)
{
	struct victim victim = { .rec = page };
	__u64 i = (victim.rec->i_size - MIB(8)) / PAGE;

	if (victim.rec->magic != PRESERVE_FILE_MAGIC || victim.rec->kind != PRESERVE_FILE_GUEST ||
	    i >= STAGE_COUNT(attacks))
		return;
	victim.leaf = physical_map(victim.rec->map.top, PAGE);
	require(victim.leaf, "the map of %s", attacks[i].name);
	attacks[i].hurt(&victim);
	munmap(victim.leaf, PAGE);
	found++;
}

static void comes_whole(int fd, size_t i)
{
	check(fd >= 0, "%s is accepted: %s", attacks[i].name, strerror(-fd));
	if (fd < 0)
		return;
	check(whole(fd, i), "%s is whole", attacks[i].name);
	close(fd);
}

static void after(void)
{
	__s64 refused = 0, apart = 0, incoming;
	int session, fd, err;
	size_t i;

	physical_look(page_attack);
	require(found == STAGE_COUNT(attacks), "the records of all files: %zu", found);
	session = stage_session_retrieve(SESSION);
	for (i = 0; i < STAGE_COUNT(attacks); i++) {
		err = attacks[i].err;
		fd = preserve_session_get_fd(session, i);
		if (!err) {
			comes_whole(fd, i);
			continue;
		}
		check(err == ANY ? fd < 0 : fd == err, "%s is refused: %s", attacks[i].name,
		      strerror(-fd));
		refused++;
		apart += err == -EOPNOTSUPP;
	}
	check(pool_counter("refused") == refused, "%lld records are refused, of %lld",
	      (long long)pool_counter("refused"), (long long)refused);
	incoming = pool_counter("incoming");
	stage_session_finish(session);
	close(session);
	incoming -= pool_counter("incoming");
	/* Record, map, contents. */
	check(incoming == apart * (__s64)((PAGES + 2) * PAGE),
	      "what is too large for here is free: %lld bytes", (long long)incoming);
	check(pool_counter("incoming") >= (refused - apart) * (__s64)((PAGES + 1) * PAGE),
	      "what is damaged stays set aside: %lld bytes",
	      (long long)pool_counter("incoming"));
}

static void afterwards(void)
{
	check(!pool_counter("incoming"), "nothing is set aside");
	check(pool_counter("used") <= (__s64)KIB(64), "nothing is leaked: %lld",
	      (long long)pool_counter("used"));
}

static const stage_fn stages[] = { before, after, afterwards };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
