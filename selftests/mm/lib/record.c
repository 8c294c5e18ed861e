// SPDX-License-Identifier: GPL-2.0-only
/* See record.h. */

#include "record.h"

#include <string.h>
#include <sys/mman.h>

#include "chance.h"
#include "physical.h"

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

void random_hurt(void *where, size_t length)
{
	__u64 value = below(1ULL << 62) << below(3);
	char *at = (char *)where + below(length);

	switch (below(4)) {
	case 0:
		*at ^= 1 << below(8);
		break;
	case 1:
		*at = value;
		break;
	case 2:
		memset(at, below(2) ? 0xff : 0, length - (at - (char *)where) < 8 ?
		       length - (at - (char *)where) : 8);
		break;
	default:
		at = (char *)where + (at - (char *)where) / 8 * 8;
		memcpy(at, &value, length - (at - (char *)where) < 8 ?
		       length - (at - (char *)where) : 8);
	}
}

bool record_hurt(struct preserve_file_ser *rec, bool commit)
{
	struct prmap_leaf *leaf = physical_map(rec->map.top, PHYSICAL_PAGE);
	bool done = false;

	if (!leaf || !leaf->head.nr || leaf->head.nr > PRMAP_LEAF_CAP)
		goto out;
	switch (below(3)) {
	case 0:
		random_hurt(rec, sizeof(*rec) - sizeof(rec->csum));
		if (commit)
			record_commit(rec);
		break;
	case 1:
		random_hurt(&rec->map, sizeof(rec->map) - sizeof(rec->map.sum));
		if (commit)
			root_commit(rec);
		break;
	default:
		random_hurt(leaf, offsetof(struct prmap_leaf, word) + leaf->head.nr * 8);
		if (commit && leaf->head.nr <= PRMAP_LEAF_CAP)
			leaf_commit(rec, leaf);
	}
	done = true;
out:
	if (leaf)
		munmap(leaf, PHYSICAL_PAGE);
	return done;
}
