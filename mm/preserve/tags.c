// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory tags, arm64's MTE, which do not cross.
 *
 * The tags themselves stay where they are over a kexec. Which pages have tags that are worth
 * something is a flag in struct page, which does not cross: the next kernel would clear them
 * when the file is mapped with PROT_MTE. So files of the pool cannot be mapped with it, and
 * a plain memfd that has had a tagged page is not preserved.
 *
 * A file of the pool can have some all the same: it was mapped before it came, or is memory
 * of a guest whose tags KVM copies there. So can a file of a plain tmpfs. These are lost, and
 * a message says so: neither a tree nor a kexec fails for them, or each user who can read
 * one file could forbid it.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/preserve_hooks.h>

/*
 * For preserve_folio_tagged(). Either this sees AS_PRESERVE, or the caller of preserve_enter()
 * sees AS_PRESERVE_TAGS: each sets its own first.
 *
 * A folio that reclaim has put into the swap cache meanwhile has another mapping, and its
 * file does not hear of it: nothing but the folio's lock, which KVM does not take, keeps
 * reclaim away.
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
		preserve_report_tags(mapping);
}

/**
 * preserve_report_tags - Tell that a file's memory tags are lost, if it has some.
 * @mapping: The file's.
 *
 * Context: Any; the inode stays.
 */
void preserve_report_tags(const struct address_space *mapping)
{
	if (preserve_has_tags(mapping))
		pr_warn_ratelimited("inode %llu has memory tags: they are lost in a kexec\n",
				    (u64)mapping->host->i_ino);
}
