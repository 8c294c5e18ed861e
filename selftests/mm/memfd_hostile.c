// SPDX-License-Identifier: GPL-2.0-only
/*
 * Damaged records: each of several preserved files has its record or file map
 * changed, through /dev/mem, after the kexec and before it is retrieved. Each is
 * refused with the right error, the untouched file next to it comes back whole,
 * the memory of the refused ones stays set aside, and the kexec after that has
 * it free again.
 *
 * Checksums are made right again where a deeper check is the target.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "physical.h"
#include "preserve.h"
#include "record.h"
#include "stage.h"

#define SESSION		"hostile"
#define PAGE		4096
#define FILE_SIZE	KIB(256)
/* What is under attack: the record, its map's only page, their addresses. */
struct victim {
	struct preserve_file_ser *rec;
	struct prmap_leaf *leaf;
};

static void recommit_record(const struct victim *victim)
{
	record_commit(victim->rec);
}

static void recommit_root(const struct victim *victim)
{
	root_commit(victim->rec);
}

static void recommit_leaf(const struct victim *victim)
{
	leaf_commit(victim->rec, victim->leaf);
}

static void hurt_nothing(const struct victim *victim)
{
	recommit_leaf(victim);	/* proves that resealing does it right */
}

static void hurt_version(const struct victim *victim)
{
	victim->rec->version++;
}

static void hurt_record_sum(const struct victim *victim)
{
	victim->rec->i_size ^= 1;
}

static void hurt_name(const struct victim *victim)
{
	victim->rec->name_len = 255;
	recommit_record(victim);
}

static void hurt_size(const struct victim *victim)
{
	victim->rec->i_size = ~0ULL;
	recommit_record(victim);
}

static void hurt_extras(const struct victim *victim)
{
	victim->rec->extras_len = sizeof(victim->rec->extras) + 1;
	recommit_record(victim);
}

static void hurt_extra_bytes(const struct victim *victim)
{
	victim->rec->extras_len = 9;
	memset(victim->rec->extras, 0xff, 9);
	recommit_record(victim);
}

static void hurt_fsflags(const struct victim *victim)
{
	victim->rec->fsflags = ~0U;
	recommit_record(victim);
}

static void hurt_root_sum(const struct victim *victim)
{
	victim->rec->map.nr_keys++;
	recommit_record(victim);
}

static void hurt_map_version(const struct victim *victim)
{
	victim->rec->map.version++;
	recommit_root(victim);
}

static void hurt_leaf_sum(const struct victim *victim)
{
	victim->leaf->word[1] ^= 1ULL << 40;
}

static void hurt_count(const struct victim *victim)
{
	victim->rec->map.nr_keys++;
	recommit_root(victim);
}

static void hurt_truncated(const struct victim *victim)
{
	victim->leaf->head.nr -= 2;
	recommit_leaf(victim);
}

static void hurt_outside(const struct victim *victim)
{
	victim->leaf->word[1] |= 0xffffffULL << (LEAF_PFN_SHIFT + 16);
	recommit_leaf(victim);
}

static void hurt_kernel_memory(const struct victim *victim)
{
	/* Somewhere in the first 16 MiB: no memory of the pool. */
	victim->leaf->word[1] &= (1ULL << LEAF_PFN_SHIFT) - 1;
	victim->leaf->word[1] |= 0x800ULL << LEAF_PFN_SHIFT;
	recommit_leaf(victim);
}

static void hurt_overlap(const struct victim *victim)
{
	/* The second run claims the first one's frames. */
	victim->leaf->word[3] = victim->leaf->word[1];
	recommit_leaf(victim);
}

static void hurt_order(const struct victim *victim)
{
	/* The second run starts before the first. */
	victim->leaf->word[2] = victim->leaf->word[0];
	recommit_leaf(victim);
}

static void hurt_loop(const struct victim *victim)
{
	/* The leaf says that it is an inner page, above itself. */
	victim->leaf->head.level = 1;
	victim->leaf->head.nr = 1;
	victim->leaf->word[0] = 0;
	victim->leaf->word[1] = victim->rec->map.top;
	victim->rec->map.height = 2;
	recommit_leaf(victim);
}

static void hurt_top(const struct victim *victim)
{
	/* The map's page is data of this very file. */
	victim->rec->map.top = (victim->leaf->word[1] >> LEAF_PFN_SHIFT) * PAGE;
	recommit_root(victim);
}

static const struct attack {
	const char *name;
	void (*hurt)(const struct victim *victim);
	int err;
} attacks[] = {
	{ "nothing",	hurt_nothing,		0 },
	{ "version",	hurt_version,		-EPROTO },
	{ "record-sum",	hurt_record_sum,	-EBADMSG },
	{ "name",	hurt_name,		-EBADMSG },
	{ "size",	hurt_size,		-EBADMSG },
	{ "extras",	hurt_extras,		-EBADMSG },
	{ "extra-bytes", hurt_extra_bytes,	-EUCLEAN },
	{ "fsflags",	hurt_fsflags,		-EPROTO },
	{ "root-sum",	hurt_root_sum,		-EBADMSG },
	{ "map-version", hurt_map_version,	-EPROTO },
	{ "leaf-sum",	hurt_leaf_sum,		-EBADMSG },
	{ "count",	hurt_count,		-1 },
	{ "truncated",	hurt_truncated,		-1 },
	{ "outside",	hurt_outside,		-1 },
	{ "kernel",	hurt_kernel_memory,	-1 },
	{ "overlap",	hurt_overlap,		-1 },
	{ "order",	hurt_order,		-1 },
	{ "loop",	hurt_loop,		-1 },
	{ "top",	hurt_top,		-1 },
};

static void before(void)
{
	int session = stage_session_create(SESSION);

	for (size_t i = 0; i < STAGE_COUNT(attacks); i++) {
		int fd = preserve_memfd_create(attacks[i].name, MFD_CLOEXEC);

		require(fd >= 0, "memfd_create: %d", fd);
		/* Backwards, so that the runs do not merge. */
		for (off_t at = FILE_SIZE; at; at -= KIB(8))
			require(!pattern_write(fd, i, at - KIB(4), KIB(4)),
				"fill");
		require(!preserve_session_add_fd(session, fd, i), "preserve");
		close(fd);
	}
}

/* The attack that a record found in memory is the victim of, or -1. */
static int victim_of(const struct preserve_file_ser *rec)
{
	if (rec->magic != PRESERVE_FILE_MAGIC)
		return -1;
	for (size_t i = 0; i < STAGE_COUNT(attacks); i++)
		if (!strcmp(rec->name + strlen("memfd:"), attacks[i].name))
			return i;
	return -1;
}

static size_t found;

static void page_attack(void *page, __u64 phys)
{
	struct victim victim = { .rec = page };
	int i = victim_of(victim.rec);

	if (i < 0)
		return;
	require(victim.rec->map.height == 1, "the map of %s is one page",
		attacks[i].name);
	victim.leaf = physical_map(victim.rec->map.top, PAGE);
	require(victim.leaf && victim.leaf->head.nr >= 4, "it has two runs or more");
	attacks[i].hurt(&victim);
	munmap(victim.leaf, PAGE);
	found++;
}

static void after(void)
{
	__s64 refused = 0;
	int session;

	physical_look(page_attack);
	require(found == STAGE_COUNT(attacks), "the records of all files");

	session = stage_session_retrieve(SESSION);
	for (size_t i = 0; i < STAGE_COUNT(attacks); i++) {
		int fd = preserve_session_get_fd(session, i);

		if (attacks[i].err) {
			check(attacks[i].err == -1 ? fd < 0 :
			      fd == attacks[i].err, "%s is refused: %s",
			      attacks[i].name, strerror(-fd));
			refused++;
			continue;
		}
		check(fd >= 0, "%s is accepted: %d", attacks[i].name, fd);
		for (off_t at = FILE_SIZE; at; at -= KIB(8))
			require(!pattern_check(fd, i, at - KIB(4), KIB(4)),
				"content of %s", attacks[i].name);
		close(fd);
	}
	check(pool_counter("refused") == refused, "%lld records are refused",
	      (long long)pool_counter("refused"));
	check(pool_counter("incoming") >= refused * (__s64)FILE_SIZE / 2,
	      "their memory is set aside: %lld bytes",
	      (long long)pool_counter("incoming"));
	stage_session_finish(session);
	close(session);
}

static void afterwards(void)
{
	check(pool_counter("incoming") == 0, "nothing is set aside");
	check(pool_counter("used") <= (__s64)KIB(64), "nothing is leaked: %lld",
	      (long long)pool_counter("used"));
}

static const stage_fn stages[] = { before, after, afterwards };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
