// SPDX-License-Identifier: GPL-2.0-only
/*
 * Defective frames of the pool.
 *
 * The page allocator's rule holds here, too: a defective frame is marked by
 * PageHWPoison and never allocated again. What this adds is that the next kernel
 * is told, by a map of its own in the header, so that it neither hands such a
 * frame out nor shows its content as good.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>

#include "internal.h"

/* Runs of a file map looked at before the locks are let go. */
#define BATCH	64

/* Like preserve_out: the outgoing header has its root. */
struct preserve_frames preserve_bad;

/**
 * preserve_note_poison - A page has turned out to be defective.
 * @pfn: Any page's.
 *
 * Context: Any.
 */
void preserve_note_poison(unsigned long pfn)
{
	int err;

	if (!static_branch_unlikely(&preserve_pool_key) ||
	    !preserve_pool_owns(pfn, 1))
		return;
	err = preserve_claim(&preserve_bad, pfn, 1);
	if (err == -EEXIST)
		return;
	pr_err("a page of the pool is defective: pfn %#lx%s\n", pfn,
	       err ? "; no memory to tell the next kernel" : "");
	preserve_pool_kick(0);
}

/**
 * preserve_poison_adopt - Mark what the last kernel found defective.
 * @map: Kind PRMAP_SET, checked; its frames are in blocks of the pool.
 *
 * Context: Process context, the blocks are adopted.
 */
void __init preserve_poison_adopt(const struct prmap *map)
{
	struct prmap_run run;
	u64 from, pfn;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		return;
	for (from = 0; prmap_next(map, from, &run); from = run.index + run.nr)
		for (pfn = run.pfn; pfn < run.pfn + run.nr; pfn++)
			if (!TestSetPageHWPoison(pfn_to_page(pfn)))
				num_poisoned_pages_inc(pfn);
}

/*
 * The next defective page of a file from *index on, in a few runs of its map.
 * Returns false when there is no further run.
 */
static bool next_bad(struct preserve_file *pf, u64 *index, bool *found)
{
	struct prmap_run run, bad;
	bool more = true;
	int i;

	guard(spinlock_irq)(&pf->i_pages->xa_lock);
	guard(spinlock)(&preserve_bad.lock);
	*found = false;
	for (i = 0; i < BATCH && more && !*found; i++) {
		more = prmap_next(&pf->map, *index, &run);
		if (!more)
			break;
		*found = prmap_next(&preserve_bad.map, run.pfn, &bad) &&
			 bad.pfn < run.pfn + run.nr;
		*index = run.index + (*found ? bad.pfn - run.pfn : run.nr);
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

	if (!preserve_nr_claimed(&preserve_bad))
		return;
	while (next_bad(pf, &index, &found)) {
		if (found)
			pr_err_ratelimited("%s: page %llu is defective: reading it fails, also after the kexec\n",
					   name, index++);
		cond_resched();
	}
}
