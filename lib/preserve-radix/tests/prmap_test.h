/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the unit tests of the preserve map: pages that are counted and can
 * run out, and maps to begin with.
 */
#ifndef _PRMAP_TEST_H
#define _PRMAP_TEST_H

#include <kunit/test.h>
#include "../internal.h"

#define MAX_PAGES	1024
#define BAD_PFN		3333331

/* Pages in use, so that page_ok() can say yes once for each of them. */
struct test_pages {
	void *page[MAX_PAGES];
	bool claimed[MAX_PAGES];
	u32 nr;
	u32 fail_at;
};

extern struct test_pages used;
extern const struct prmap_ops test_ops;

void test_put(void *ctx, void *page);
struct prmap_limits test_limits(void);
void fill_scattered(struct prmap *map, u64 nr);
void fill_dense(struct prmap *map, u64 nr);
void hostile_maps(struct kunit *test);

#endif /* _PRMAP_TEST_H */
