// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzing the reader of the preserve map.
 *
 * What lives here: a libFuzzer target. The input chooses a map to build, commit
 * and then damage: bytes of the root and of pages are overwritten, addresses
 * are exchanged, and, if the input says so, all checksums are repaired so that
 * the deeper checks get work. What prmap_check() accepts must be readable,
 * countable and changeable without harm, and every page must come back.
 */
#include "pool.h"

#define FUZZ_PAGES	256

struct input {
	const u8 *data;
	size_t left;
};

static void *pages[FUZZ_PAGES];
static u32 nr_pages;

static u32 take(struct input *in, u32 bytes)
{
	u32 value = 0;

	while (bytes-- && in->left) {
		value = value << 8 | *in->data++;
		in->left--;
	}
	return value;
}

static int collect(void *ctx, u64 phys)
{
	if (nr_pages == FUZZ_PAGES)
		return -ENOSPC;
	pages[nr_pages++] = phys_to_virt(phys);
	return 0;
}

static void build(struct input *in, struct prmap *map, enum prmap_kind kind)
{
	u32 nr = 1 + take(in, 1), stride = 1 + take(in, 1) % 40, i;
	u32 mixed = take(in, 1);

	prmap_init(map, kind, &pool_ops, &pool);
	for (i = 0; i < nr; i++) {
		struct prmap_run run = {
			.index = (u64)i * stride * 2,
			.nr = stride,
			.flags = mixed && i % mixed == 0 ? 1 : 0,
		};

		run.pfn = run.index + (kind == PRMAP_FILE ? 1000 : 0);
		prmap_set(map, &run);
	}
}

static bool is_bitmap(const void *page)
{
	const struct prmap_head *head = page;

	return head->magic != PRMAP_PAGE_MAGIC;
}

/* Children first, as far as they are pages of the map. */
static void repair(struct prmap_root_ser *root)
{
	u32 round, i, k;

	for (round = 0; round < 4; round++) {
		for (i = 0; i < nr_pages; i++) {
			struct prmap_inner *node = pages[i];

			if (is_bitmap(node) || !node->head.level ||
			    node->head.nr > PRMAP_INNER_CAP)
				continue;
			for (k = 0; k < node->head.nr; k++) {
				struct prmap_entry *e = &node->entry[k];
				void *child = phys_to_virt(e->child);
				struct prmap_head *head = child;
				bool bitmap = e->type == PRMAP_BITMAP;
				u32 slot = pool_slot(child);

				if (!pool.page[slot] ||
				    (!bitmap && (head->nr > PRMAP_LEAF_CAP ||
				     (head->level &&
				      head->nr > PRMAP_INNER_CAP))))
					continue;
				e->sum = prmap_page_sum(child, bitmap);
			}
		}
	}
	if (root->height && pool.page[pool_slot(phys_to_virt(root->top))]) {
		struct prmap_head *head = phys_to_virt(root->top);
		u32 cap = head->level ? PRMAP_INNER_CAP : PRMAP_LEAF_CAP;

		if (head->nr <= cap)
			root->top_sum = prmap_page_sum(head, false);
	}
	root->sum = prmap_root_sum(root);
}

static void damage(struct input *in, struct prmap_root_ser *root)
{
	u8 how = take(in, 1);
	u32 at = take(in, 2);
	void *page = pages[take(in, 1) % nr_pages];
	struct prmap_inner *node = page;

	switch (how % 6) {
	case 0:
		((u8 *)root)[at % sizeof(*root)] = take(in, 1);
		return;
	case 1:
		((u8 *)page)[at % PRMAP_PAGE_SIZE] = take(in, 1);
		return;
	case 2:
		((u64 *)page)[at % (PRMAP_PAGE_SIZE / 8)] += (s8)take(in, 1);
		return;
	case 3:
		((u8 *)page)[at % 128] ^= 1 << take(in, 1) % 8;
		return;
	case 4:
		node->entry[at % PRMAP_INNER_CAP].child =
			virt_to_phys(pages[take(in, 1) % nr_pages]);
		return;
	case 5:
		root->nr_keys += (s8)take(in, 1);
		root->nr_runs += (s8)take(in, 1);
	}
}

/* The map is accepted: then everything works on it. */
static void use(struct prmap *map)
{
	u64 keys = 0, runs = 0, from = 0, index, nr;
	struct prmap_limits lim = pool_limits();
	struct prmap_root_ser root;
	struct prmap_run run;

	while (prmap_next(map, from, &run)) {
		if (prmap_lookup(map, run.index, &run))
			abort();
		keys += run.nr;
		runs++;
		from = run.index + run.nr;
	}
	if (keys != prmap_nr_keys(map) || runs != prmap_nr_runs(map))
		abort();
	for (from = 0; runs && prmap_next_absent(map, from, &index, &nr);) {
		run.index = index;
		run.pfn = index + (map->kind == PRMAP_FILE ? 1000 : 0);
		run.nr = 1;
		run.order = 0;
		run.flags = runs & 1;
		if (run.pfn < PRMAP_PFN_END && prmap_set(map, &run))
			abort();
		from = index + nr + 1;
		runs--;
	}
	prmap_commit(map, &root);
	pool_claims_reset();
	if (prmap_check(&root, map->kind, &lim, NULL))
		abort();
	prmap_clear(map, 0, prmap_index_end(map->kind) / 2);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { .data = data, .left = size };
	enum prmap_kind kind = take(&in, 1) & 1 ? PRMAP_FILE : PRMAP_SET;
	struct prmap_limits lim = pool_limits();
	struct prmap_root_ser root;
	struct prmap map, other;
	const char *reason = NULL;
	u32 i;
	int err;

	build(&in, &map, kind);
	prmap_commit(&map, &root);
	nr_pages = 0;
	if (prmap_walk_pages(&map, collect, NULL)) {
		prmap_destroy(&map);
		return 0;
	}
	while (in.left > 4)
		damage(&in, &root);
	if (take(&in, 1) % 4)
		repair(&root);
	pool_claims_reset();
	err = prmap_open(&other, &root, kind, &pool_ops, &pool, &lim, &reason);
	if (!err) {
		use(&other);
		prmap_destroy(&other);
	} else if (!reason) {
		abort();
	}
	/* Pages that a refused map, or a smaller one, left with us. */
	for (i = 0; pool.nr_live && i < nr_pages; i++)
		if (pool.page[pool_slot(pages[i])])
			pool_put(&pool, pages[i]);
	if (pool.nr_live)
		abort();
	return 0;
}
