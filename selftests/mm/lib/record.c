// SPDX-License-Identifier: GPL-2.0-only
/* See record.h. */

#include "record.h"

#include <stddef.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

void record_seal(struct record *rec)
{
	rec->csum = XXH64(rec, offsetof(struct record, csum), 0);
}

void root_seal(struct record *rec)
{
	rec->map.sum = XXH64(&rec->map, offsetof(struct root, sum), 0);
	record_seal(rec);
}

void leaf_seal(struct record *rec, struct leaf *leaf)
{
	rec->map.top_sum = XXH64(leaf, offsetof(struct leaf, word) + leaf->nr * 8,
				 rec->map.top);
	root_seal(rec);
}
