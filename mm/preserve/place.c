// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files whose memory is the pool's: what struct preserve_place asks of it. For those whose
 * memory stays in its place see in_place.c.
 */
#include <linux/mm.h>
#include <linux/preserve.h>

#include "file.h"

static bool pool_has(const struct folio *folio)
{
	return preserve_pool_block(&folio->page);
}

const struct preserve_place preserve_pool_place = {
	.max_order = pageblock_order,
	.untaken = preserve_untaken,
	.take = preserve_take,
	.untake = preserve_untake,
	.put = preserve_frames_put,
	.to_folio = preserve_frames_to_folio,
	.to_frames = preserve_folio_to_frames,
	.has = pool_has,
};
