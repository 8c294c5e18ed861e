// SPDX-License-Identifier: GPL-2.0-only
/* See record.h. */

#include "record.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

void record_commit(struct preserve_file_ser *rec)
{
	rec->csum = XXH64(rec, offsetof(struct preserve_file_ser, csum), 0);
}

void root_commit(struct preserve_file_ser *rec)
{
	rec->map.sum = XXH64(&rec->map, offsetof(struct prmap_root_ser, sum), 0);
	record_commit(rec);
}

void leaf_commit(struct preserve_file_ser *rec, struct prmap_leaf *leaf)
{
	rec->map.top_sum = XXH64(leaf, offsetof(struct prmap_leaf, word) +
				 leaf->head.nr * sizeof(leaf->word[0]), rec->map.top);
	root_commit(rec);
}
