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

/* Does the defective frame @pfn belong to @pf? If so, where in the file? */
static bool file_has_frame(struct preserve_file *pf, unsigned long pfn,
			   pgoff_t *index)
{
	struct folio *folio = page_folio(pfn_to_page(pfn));
	bool has;

	xa_lock_irq(pf->i_pages);
	has = folio->mapping == preserve_file_mapping(pf);
	if (has)
		*index = folio->index + folio_page_idx(folio, pfn_to_page(pfn));
	xa_unlock_irq(pf->i_pages);
	return has;
}

/**
 * preserve_file_report_bad - Tell which pages of a file are defective.
 * @pf:   The file.
 * @name: For the message.
 *
 * Work is proportional to the number of defective frames.
 *
 * Context: Process context.
 */
void preserve_file_report_bad(struct preserve_file *pf, const char *name)
{
	struct prmap_run run;
	u64 from = 0, pfn;
	pgoff_t index;
	bool found;

	while (preserve_nr_claimed(&preserve_bad)) {
		scoped_guard(spinlock_irqsave, &preserve_bad.lock)
			found = prmap_next(&preserve_bad.map, from, &run);
		if (!found)
			return;
		for (pfn = run.pfn; pfn < run.pfn + run.nr; pfn++)
			if (file_has_frame(pf, pfn, &index))
				pr_err_ratelimited("%s: page %lu is defective: reading it fails, also after the kexec\n",
						   name, index);
		from = run.index + run.nr;
	}
}
