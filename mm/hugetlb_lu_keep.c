// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free huge pages that cross on request: the next kernel finds its memory in fragments, and
 * could not make pages of 1 GiB again.
 *
 * /sys/kernel/mm/preserve/hugepages-NkB/keep_free says how many, at most. They are taken off
 * their free lists when the kernel is about to be replaced, before the image for the next one
 * is written: until then they are free pages like others. What is taken is in use, and stays
 * so: no task gets it, nor can it be dissolved, whatever other CPUs still do.
 *
 * Reserved ones are taken as well, in the last instants of the tasks that have reserved them: a
 * fault of theirs finds no page, as if the machine had none. The holes of preserved files need
 * them in the next kernel.
 *
 * Pages are looked for by their frames, and not on the free lists, so that neighbours come
 * together: they are one range then, and a few keys of KHO's.
 */
#define pr_fmt(fmt) "preserve: hugetlb: " fmt

#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/init.h>
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/sysfs.h>
#include <linux/vmstat.h>

#include "hugetlb_internal.h"
#include "internal.h"

/* Of each hstate, how many free pages cross at most; and its directory. */
static unsigned long keep_free[HUGE_MAX_HSTATE];
static struct kobject *dirs[HUGE_MAX_HSTATE];

/**
 * struct keeping - Free pages of one size that are being kept.
 * @h:    Their hstate.
 * @left: How many more may be.
 * @kept: How many are.
 * @err:  Why some are not, or 0.
 * @pfn:  First frame of a run that has been taken, and has not joined yet.
 * @nr:   Pages in it.
 */
struct keeping {
	struct hstate *h;
	unsigned long left;
	unsigned long kept;
	int err;
	unsigned long pfn;
	unsigned long nr;
};

/* A look that does not last. */
static bool looks_free(const struct page *page)
{
	return page_folio(page) == (const struct folio *)page &&
	       folio_test_hugetlb((const struct folio *)page) &&
	       folio_test_hugetlb_freed((struct folio *)page);
}

/* Takes a page off its free list, if it is there and can cross: it is in use then. */
static bool page_take(struct hstate *h, struct page *page, int nid)
{
	struct folio *folio = page_folio(page);

	guard(spinlock_irq)(&hugetlb_lock);
	if (!looks_free(page) || folio_hstate(folio) != h || folio_nid(folio) != nid ||
	    folio_test_hwpoison(folio) || !preserve_folio_may_cross(folio))
		return false;
	list_move(&folio->lru, &h->hugepage_activelist);
	folio_ref_unfreeze(folio, 1);
	folio_clear_hugetlb_freed(folio);
	h->free_huge_pages--;
	h->free_huge_pages_node[nid]--;
	return true;
}

/* The run has not joined: its pages are free again. */
static void run_give_back(struct keeping *k)
{
	const unsigned int order = huge_page_order(k->h);
	unsigned long i;

	for (i = 0; i < k->nr; i++) {
		folio_put(pfn_folio(k->pfn + (i << order)));
		cond_resched();
	}
	k->left += k->nr;
}

/* A run that lies where it cannot cross costs that run only. */
static bool gives_up(const struct keeping *k)
{
	return k->err && k->err != -EINVAL;
}

/* The run joins. */
static void run_end(struct keeping *k)
{
	const unsigned int order = huge_page_order(k->h);
	int err;

	if (!k->nr)
		return;
	err = preserve_huge_keep(k->pfn, k->nr << order, order);
	if (err) {
		run_give_back(k);
		k->err = err;
	} else {
		k->kept += k->nr;
	}
	k->nr = 0;
}

static void page_look_at(struct keeping *k, unsigned long pfn, int nid)
{
	struct page *page = pfn_to_online_page(pfn);

	if (!page || !looks_free(page) || !page_take(k->h, page, nid)) {
		run_end(k);
		return;
	}
	lruvec_stat_mod_folio(page_folio(page), NR_HUGETLB, 1L << huge_page_order(k->h));
	/* A run is of one kind. */
	if (k->nr && preserve_folio_in_cma(pfn_folio(k->pfn)) !=
	    preserve_folio_in_cma(page_folio(page)))
		run_end(k);
	if (!k->nr++)
		k->pfn = pfn;
	k->left--;
}

static void node_keep(struct keeping *k, int nid)
{
	const unsigned long step = 1UL << huge_page_order(k->h);
	const unsigned long end = node_end_pfn(nid);
	unsigned long pfn = ALIGN(node_start_pfn(nid), step);

	for (; pfn < end && k->left && !gives_up(k) && READ_ONCE(k->h->free_huge_pages_node[nid]);
	     pfn += step) {
		page_look_at(k, pfn, nid);
		cond_resched();
	}
	run_end(k);
}

static void hstate_keep(struct hstate *h, unsigned long most)
{
	struct keeping k = { .h = h, .left = most };
	int nid;

	preserve_huge_stays(huge_page_order(h));
	for_each_node_state(nid, N_MEMORY)
		if (!gives_up(&k))
			node_keep(&k, nid);
	if (k.err)
		pr_err("not all free huge pages of %lu KiB can be handed over (%pe)\n",
		       huge_page_size(h) >> 10, ERR_PTR(k.err));
	pr_info("%lu free huge pages of %lu KiB are handed over\n", k.kept,
		huge_page_size(h) >> 10);
}

static void hugetlb_lu_keep(void)
{
	struct hstate *h;
	unsigned long nr;

	for_each_hstate(h) {
		nr = READ_ONCE(keep_free[hstate_index(h)]);
		if (nr)
			hstate_keep(h, nr);
	}
}

static unsigned long *kobj_to_knob(const struct kobject *kobj)
{
	unsigned int i;

	for (i = 0; i < HUGE_MAX_HSTATE - 1; i++)
		if (dirs[i] == kobj)
			break;
	return &keep_free[i];
}

static ssize_t keep_free_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	const unsigned long nr = READ_ONCE(*kobj_to_knob(kobj));

	return nr == ULONG_MAX ? sysfs_emit(buf, "max\n") : sysfs_emit(buf, "%lu\n", nr);
}

static ssize_t keep_free_store(struct kobject *kobj, struct kobj_attribute *attr,
			       const char *buf, size_t count)
{
	unsigned long nr = ULONG_MAX;
	int err = sysfs_streq(buf, "max") ? 0 : kstrtoul(buf, 10, &nr);

	if (err)
		return err;
	WRITE_ONCE(*kobj_to_knob(kobj), nr);
	return count;
}

static struct kobj_attribute keep_free_attr = __ATTR_RW(keep_free);

static int __init dir_make(struct hstate *h)
{
	struct kobject *dir = kobject_create_and_add(h->name, preserve_kobj);

	if (!dir)
		return -ENOMEM;
	dirs[hstate_index(h)] = dir;
	return sysfs_create_file(dir, &keep_free_attr.attr);
}

static int __init hugetlb_lu_keep_init(void)
{
	struct hstate *h;
	int err = 0;

	if (!preserve_kobj)
		return 0;
	preserve_at_handover(hugetlb_lu_keep);
	for_each_hstate(h)
		err = dir_make(h) ?: err;
	/* What is there stays. */
	return err;
}
late_initcall(hugetlb_lu_keep_init);
