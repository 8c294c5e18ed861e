// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hugetlb cgroup of files that have crossed: huge pages that come into the page cache, and
 * regions of the reservation map, are charged to the cgroup of the task that has retrieved the
 * file, or that has given a file of a tree its memory.
 *
 * They are charged by force, as what they stand for is in use anyway: a limit refuses the next
 * page. A huge page that is not in the page cache yet is charged to no cgroup. A cgroup that
 * goes gives its huge pages to its parent, page by page (hugetlb_cgroup_css_offline()), so
 * that there has to be a folio for each page that is charged.
 */
#include <linux/cgroup.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_cgroup.h>
#include <linux/hugetlb_lu.h>
#include <linux/page_counter.h>

/**
 * hugetlb_lu_cgroup_own - Note whose a file's huge pages are from now on.
 * @inode: The file's, new.
 *
 * Context: Process context, of the task that is to have them.
 */
void hugetlb_lu_cgroup_own(struct inode *inode)
{
	struct hugetlbfs_inode_info *info = HUGETLBFS_I(inode);

	if (hugetlb_cgroup_disabled() || info->lu_cgroup)
		return;
	info->lu_cgroup = container_of(task_get_css(current, hugetlb_cgrp_id),
				       struct hugetlb_cgroup, css);
}

/**
 * hugetlb_lu_cgroup_disown - A file goes away.
 * @inode: The file's, any of hugetlb.
 *
 * Context: Process context.
 */
void hugetlb_lu_cgroup_disown(struct inode *inode)
{
	struct hugetlb_cgroup *h_cg = HUGETLBFS_I(inode)->lu_cgroup;

	if (h_cg)
		css_put(&h_cg->css);
	HUGETLBFS_I(inode)->lu_cgroup = NULL;
}

/*
 * Charges a cgroup, or the next above it that is not about to go. The order matters: a cgroup
 * that begins to go after the look finds what is charged, and waits for its folio.
 */
static struct hugetlb_cgroup *charge(struct hugetlb_cgroup *h_cg, int idx, unsigned long nr)
{
	for (;;) {
		page_counter_charge(&h_cg->hugepage[idx], nr);
		/* Pairs with the grace period between CSS_DYING and css_offline(). */
		smp_mb();
		if (!css_is_dying(&h_cg->css) || !h_cg->css.parent)
			return h_cg;
		page_counter_uncharge(&h_cg->hugepage[idx], nr);
		h_cg = container_of(h_cg->css.parent, struct hugetlb_cgroup, css);
	}
}

/**
 * hugetlb_lu_cgroup_charge - A huge page that has crossed has come into the page cache.
 * @inode: The file's.
 * @folio: The folio, not charged.
 *
 * Context: Process context.
 */
void hugetlb_lu_cgroup_charge(struct inode *inode, struct folio *folio)
{
	struct hugetlb_cgroup *h_cg = HUGETLBFS_I(inode)->lu_cgroup;
	const int idx = hstate_index(hstate_inode(inode));
	const unsigned long nr = folio_nr_pages(folio);

	if (!h_cg)
		return;
	h_cg = charge(h_cg, idx, nr);
	guard(spinlock_irq)(&hugetlb_lock);
	hugetlb_cgroup_commit_charge(idx, nr, h_cg, folio);
}

/**
 * hugetlb_lu_cgroup_region - Charge a region of a file's reservation map.
 * @inode:  The file's, new.
 * @region: The region; it is of no cgroup, or of this file's by this function.
 * @nr:     Huge pages that it is, or has become, longer by.
 *
 * hugetlb_cgroup_uncharge_file_region() undoes it.
 *
 * Context: No other task knows the file.
 */
void hugetlb_lu_cgroup_region(struct inode *inode, struct file_region *region, long nr)
{
	struct hugetlb_cgroup *h_cg = HUGETLBFS_I(inode)->lu_cgroup;
	struct resv_map *resv = HUGETLBFS_I(inode)->resv_map;
	struct hstate *h = hstate_inode(inode);

	if (!h_cg)
		return;
	resv->pages_per_hpage = pages_per_huge_page(h);
	if (!region->reservation_counter) {
		region->reservation_counter = &h_cg->rsvd_hugepage[hstate_index(h)];
		region->css = &h_cg->css;
		css_get(region->css);
	}
	page_counter_charge(region->reservation_counter, nr * resv->pages_per_hpage);
}
