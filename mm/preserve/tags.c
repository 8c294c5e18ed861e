// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory tags, arm64's MTE: files that have some are not preserved.
 *
 * The tags themselves stay where they are over a kexec. Which pages have tags that are worth
 * something is a flag in struct page, which does not cross: the next kernel would clear them
 * when the file is mapped with PROT_MTE. So files of the pool cannot be mapped with it, and
 * one that has had a tagged page does not come into the pool. What was mapped before the
 * file came can be given tags still: a message says that these are lost. The kexec does not
 * fail for it, or any user could forbid it.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/preserve_hooks.h>

/*
 * For preserve_folio_tagged(). Either this sees AS_PRESERVE, or preserve_enter() sees
 * AS_PRESERVE_TAGS: each sets its own first.
 */
void __preserve_folio_tagged(struct folio *folio)
{
	struct address_space *mapping;

	/* KVM keeps the folio only; RCU keeps the inode. */
	guard(rcu)();
	mapping = folio_mapping(folio);
	if (!mapping || preserve_has_tags(mapping) ||
	    test_and_set_bit(AS_PRESERVE_TAGS, &mapping->flags))
		return;
	if (preserve_mapping(mapping))
		pr_warn_ratelimited("inode %llu has got memory tags: they are lost in a kexec\n",
				    (u64)mapping->host->i_ino);
}
