// SPDX-License-Identifier: GPL-2.0-only
/*
 * Defective frames of the pool.
 *
 * The page allocator's rule holds here, too: a defective frame is marked by
 * PageHWPoison and never allocated again. What this adds is that its block knows of
 * it and never leaves the pool, and that the next kernel is told, so that it neither
 * hands such a frame out nor shows its content as good.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>

#include "internal.h"

/* Runs of a file map looked at before the locks are let go. */
#define BATCH		64
#define BATCH_FRAMES	(4 * (u64)pageblock_nr_pages)

/**
 * preserve_note_poison - A page has turned out to be defective.
 * @pfn: Any page's.
 *
 * Context: Any.
 */
void preserve_note_poison(unsigned long pfn)
{
	int err;

	if (!static_branch_unlikely(&preserve_pool_key))
		return;
	err = preserve_note_bad(pfn);
	if (err == -ENOENT || err == -EEXIST)
		return;
	pr_err("a page of the pool is defective: pfn %#lx%s\n", pfn,
	       err ? "; no memory to tell the next kernel" : "");
	preserve_pool_kick(0);
}

/*
 * The next defective page of a file from *index on, in a few runs of its map.
 * Returns false when there is no further run.
 */
static bool next_bad(struct preserve_file *pf, u64 *index, bool *found)
{
	struct prmap_run run;
	bool more = true;
	u64 bad;
	int i;

	guard(spinlock_irq)(&pf->i_pages->xa_lock);
	*found = false;
	for (i = 0; i < BATCH && more && !*found; i++) {
		more = prmap_next(&pf->map, *index, &run);
		if (!more)
			break;
		run.nr = min(run.nr, BATCH_FRAMES);
		bad = preserve_next_bad(run.pfn, run.pfn + run.nr);
		*found = bad < run.pfn + run.nr;
		*index = run.index + (bad - run.pfn);
	}
	return more;
}

/**
 * preserve_file_report_bad - Tell which pages of a file are defective.
 * @pf:   The file.
 * @name: For the message.
 *
 * Looks at the whole file map, but only if there is a defective page somewhere.
 *
 * Context: Process context.
 */
void preserve_file_report_bad(struct preserve_file *pf, const char *name)
{
	u64 index = 0;
	bool found;

	if (!preserve_nr_bad())
		return;
	while (next_bad(pf, &index, &found)) {
		if (found)
			pr_err_ratelimited("%s: page %llu is defective: reading it fails, also after the kexec\n",
					   name, index++);
		cond_resched();
	}
}
