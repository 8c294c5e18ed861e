/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages for native tests of the preserve map.
 *
 * What lives here: an allocator that counts, fails the n-th time on request,
 * hands out pages with old content in them, and knows which addresses are its
 * own, so that it can answer page_ok(), once for each page. Under ASan every
 * page is an allocation of its own, otherwise they are used again.
 */
#ifndef _PRMAP_TEST_POOL_H
#define _PRMAP_TEST_POOL_H

#include "../internal.h"
#include <time.h>
#include <unistd.h>

#define POOL_PAGES	1048576

struct pool {
	void *page[POOL_PAGES];		/* hash of the live pages */
	u32 claim[POOL_PAGES];
	void *unused;			/* list through the first word */
	u64 nr_live;
	u64 fail_at;			/* fail the n-th request, 0: none */
	u32 claim_round;
};

static struct pool pool = { .claim_round = 1 };

static inline u32 pool_hash(const void *page)
{
	return ((uintptr_t)page >> PRMAP_SHIFT) * 0x9e3779b1U % POOL_PAGES;
}

/* Where @page is, or the free place for it. */
static inline u32 pool_slot(const void *page)
{
	u32 slot = pool_hash(page);

	while (pool.page[slot] && pool.page[slot] != page)
		slot = (slot + 1) % POOL_PAGES;
	return slot;
}

static inline void *pool_get(void *ctx)
{
	void *page = NULL;

	(void)ctx;
	if (pool.fail_at && !--pool.fail_at)
		return NULL;
#ifndef __SANITIZE_ADDRESS__
	page = pool.unused;
	if (page)
		memcpy(&pool.unused, page, sizeof(void *));
#endif
	if (!page && posix_memalign(&page, PRMAP_PAGE_SIZE, PRMAP_PAGE_SIZE))
		abort();
	memset(page, 0xa5, 64);
	pool.page[pool_slot(page)] = page;
	pool.nr_live++;
	return page;
}

static inline void pool_put(void *ctx, void *page)
{
	u32 slot = pool_slot(page), next;

	(void)ctx;
	if (!pool.page[slot]) {
		fprintf(stderr, "page given back that is not in use\n");
		abort();
	}
	pool.page[slot] = NULL;
	for (next = (slot + 1) % POOL_PAGES; pool.page[next];
	     next = (next + 1) % POOL_PAGES) {
		void *other = pool.page[next];

		pool.page[next] = NULL;
		pool.page[pool_slot(other)] = other;
	}
	pool.nr_live--;
#ifdef __SANITIZE_ADDRESS__
	free(page);
#else
	memcpy(page, &pool.unused, sizeof(void *));
	pool.unused = page;
#endif
}

static const struct prmap_ops pool_ops = {
	.page_get = pool_get,
	.page_put = pool_put,
};

static inline void pool_claims_reset(void)
{
	pool.claim_round++;
}

static inline bool pool_page_ok(void *ctx, u64 phys)
{
	u32 slot = pool_slot(phys_to_virt(phys));

	(void)ctx;
	if (!pool.page[slot] || pool.claim[slot] == pool.claim_round)
		return false;
	pool.claim[slot] = pool.claim_round;
	return true;
}

static inline struct prmap_limits pool_limits(void)
{
	return (struct prmap_limits){
		.max_index = PRMAP_INDEX_END - 1,
		.max_pfn = PRMAP_PFN_END - 1,
		.max_order = PRMAP_MAX_ORDER,
		.page_ok = pool_page_ok,
		.ctx = &pool,
	};
}

static inline u64 pool_random_seed(void)
{
	return ((u64)time(NULL) << 20 ^ getpid()) % 1000000007;
}

#endif /* _PRMAP_TEST_POOL_H */
