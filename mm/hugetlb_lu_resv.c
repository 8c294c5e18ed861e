// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reservation map of a file of hugetlb that crosses.
 *
 * The map has a region for each huge page that the file has, and for each that is reserved
 * for it. The former follow from the file map, without accounting: they are in use. Of the
 * latter, regions with a page that the file does not have are in its record, and are reserved
 * anew.
 */
#define pr_fmt(fmt) "preserve: hugetlb: " fmt

#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_cgroup.h>
#include <linux/hugetlb_lu.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/preserve_codec.h>
#include <linux/slab.h>

/* What an extra's name is: it may not be empty. */
#define NAME	"r"

/**
 * hugetlb_lu_regions_note - Note for which parts of a file huge pages are reserved.
 * @inode: The file's.
 * @w:     Where to, as extras; it does not grow.
 *
 * Context: Any, the map's lock is taken.
 * Return: 0; -E2BIG if not all have room.
 */
int hugetlb_lu_regions_note(struct inode *inode, struct preserve_tree_writer *w)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);
	struct resv_map *resv = HUGETLBFS_I(inode)->resv_map;
	const unsigned int order = huge_page_order(hstate_inode(inode));
	const struct file_region *region;
	struct preserve_region_ser ser;
	size_t len = w->len;

	guard(spinlock)(&resv->lock);
	list_for_each_entry(region, &resv->regions, link) {
		if (preserve_file_has(pf, (u64)region->from << order, (u64)region->to << order))
			continue;
		ser.from = region->from;
		ser.to = region->to;
		preserve_tree_put_extra(w, PRESERVE_EXTRA_REGION, NAME, &ser, sizeof(ser));
		if (w->err)
			break;
		len = w->len;
	}
	/* Not a part of one. */
	w->len = len;
	return w->err;
}

/* Puts a region behind all others, or lets the last one go on. */
static int region_give(struct inode *inode, long from, long to)
{
	struct resv_map *resv = HUGETLBFS_I(inode)->resv_map;
	struct file_region *region = NULL;

	if (!list_empty(&resv->regions))
		region = list_last_entry(&resv->regions, struct file_region, link);
	if (region && region->to == from) {
		region->to = to;
		hugetlb_lu_cgroup_region(inode, region, to - from);
		return 0;
	}
	region = kzalloc_obj(*region, GFP_KERNEL);
	if (!region)
		return -ENOMEM;
	region->from = from;
	region->to = to;
	list_add_tail(&region->link, &resv->regions);
	hugetlb_lu_cgroup_region(inode, region, to - from);
	return 0;
}

static void regions_drop(struct resv_map *resv)
{
	struct file_region *region, *next;

	list_for_each_entry_safe(region, next, &resv->regions, link) {
		list_del(&region->link);
		hugetlb_cgroup_uncharge_file_region(resv, region, region->to - region->from,
						    true);
		kfree(region);
	}
}

/**
 * hugetlb_lu_regions_give - Give a file a region for each page that it has.
 * @inode: The file's, new.
 * @map:   Its map, of huge pages of its size.
 *
 * They are counted nowhere, as the pages are, but for the hugetlb cgroup.
 *
 * Context: Process context, of the task that is to have them; no other task knows the file.
 * Return: 0 or -ENOMEM: it has none then.
 */
int hugetlb_lu_regions_give(struct inode *inode, const struct prmap *map)
{
	const unsigned int order = huge_page_order(hstate_inode(inode));
	struct prmap_run run;
	u64 index = 0;
	int err = 0;

	hugetlb_lu_cgroup_own(inode);
	while (!err && prmap_next(map, index, &run)) {
		index = run.index + run.nr;
		err = region_give(inode, run.index >> order, index >> order);
		cond_resched();
	}
	if (err)
		regions_drop(HUGETLBFS_I(inode)->resv_map);
	return err;
}

/**
 * hugetlb_lu_region_read - Read a part of a file for which huge pages were reserved.
 * @rec:   The file's record.
 * @extra: Of kind %PRESERVE_EXTRA_REGION, not trusted.
 * @ser:   What it says.
 *
 * Context: Any.
 * Return: False if it is damaged.
 */
bool hugetlb_lu_region_read(const struct preserve_file_ser *rec,
			    const struct preserve_tree_extra *extra,
			    struct preserve_region_ser *ser)
{
	const s64 end = MAX_LFS_FILESIZE >> PAGE_SHIFT >> rec->huge_order;

	if (extra->value_len != sizeof(*ser))
		return false;
	memcpy(ser, extra->value, sizeof(*ser));
	return ser->from >= 0 && ser->from < ser->to && ser->to <= end;
}

/**
 * hugetlb_lu_region_reserve - Reserve huge pages for a part of a file that had some.
 * @inode: The file's; it has its pages.
 * @ser:   The part.
 * @name:  The file's, for the message.
 *
 * Where there are not enough of them here, or the cgroup of the task may not reserve as many,
 * says so: the file is whole, but a hole may turn out to have no page.
 *
 * Context: Process context.
 */
void hugetlb_lu_region_reserve(struct inode *inode, const struct preserve_region_ser *ser,
			       const char *name)
{
	if (hugetlb_reserve_pages(inode, ser->from, ser->to, NULL, EMPTY_VMA_FLAGS) < 0)
		pr_warn_ratelimited("%s: huge pages %lld to %lld: no reservation, there are not enough free ones, or the task's hugetlb cgroup may reserve no more\n",
				    name, ser->from, ser->to);
}
