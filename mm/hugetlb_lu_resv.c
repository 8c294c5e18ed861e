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
#include <linux/hugetlb_lu.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/slab.h>

/* Regions that a record has room for. */
#define REGIONS	(PRESERVE_FILE_EXTRAS / sizeof(struct preserve_region_ser))

static struct preserve_region_ser *regions_of(struct preserve_file_ser *rec)
{
	return (struct preserve_region_ser *)rec->extras;
}

/**
 * hugetlb_lu_regions_note - Note for which parts of a file huge pages are reserved.
 * @inode: The file's.
 * @rec:   Its record.
 *
 * Context: Any, the map's lock is taken.
 * Return: 0; -E2BIG if not all have room.
 */
int hugetlb_lu_regions_note(struct inode *inode, struct preserve_file_ser *rec)
{
	struct resv_map *resv = HUGETLBFS_I(inode)->resv_map;
	const unsigned int order = huge_page_order(hstate_inode(inode));
	struct preserve_region_ser *to = regions_of(rec);
	const struct file_region *region;
	unsigned int nr = 0;
	int err = 0;

	scoped_guard(spinlock, &resv->lock) {
		list_for_each_entry(region, &resv->regions, link) {
			if (preserve_file_has(preserve_file_of(inode->i_mapping),
					      (u64)region->from << order,
					      (u64)region->to << order))
				continue;
			if (nr == REGIONS) {
				err = -E2BIG;
				break;
			}
			to[nr].from = region->from;
			to[nr++].to = region->to;
		}
	}
	rec->extras_len = nr * sizeof(*to);
	memset(rec->extras + rec->extras_len, 0, sizeof(rec->extras) - rec->extras_len);
	return err;
}

/* Puts a region behind all others, or lets the last one go on. */
static int region_give(struct resv_map *resv, long from, long to)
{
	struct file_region *region = NULL;

	if (!list_empty(&resv->regions))
		region = list_last_entry(&resv->regions, struct file_region, link);
	if (region && region->to == from) {
		region->to = to;
		return 0;
	}
	region = kzalloc_obj(*region, GFP_KERNEL);
	if (!region)
		return -ENOMEM;
	region->from = from;
	region->to = to;
	list_add_tail(&region->link, &resv->regions);
	return 0;
}

static void regions_drop(struct resv_map *resv)
{
	struct file_region *region, *next;

	list_for_each_entry_safe(region, next, &resv->regions, link) {
		list_del(&region->link);
		kfree(region);
	}
}

/**
 * hugetlb_lu_regions_give - Give a file a region for each page that it has.
 * @inode: The file's, new.
 * @map:   Its map, of huge pages of its size.
 *
 * They belong to no cgroup, and are counted nowhere: the pages are.
 *
 * Context: Process context; no other task knows the file.
 * Return: 0 or -ENOMEM: it has none then.
 */
int hugetlb_lu_regions_give(struct inode *inode, const struct prmap *map)
{
	struct resv_map *resv = HUGETLBFS_I(inode)->resv_map;
	const unsigned int order = huge_page_order(hstate_inode(inode));
	struct prmap_run run;
	u64 index = 0;
	int err = 0;

	while (!err && prmap_next(map, index, &run)) {
		index = run.index + run.nr;
		err = region_give(resv, run.index >> order, index >> order);
		cond_resched();
	}
	if (err)
		regions_drop(resv);
	return err;
}

/**
 * hugetlb_lu_regions_ok - Can what a record says of reservations be right?
 * @rec: The record.
 *
 * Context: Any.
 * Return: False if it is damaged.
 */
bool hugetlb_lu_regions_ok(const struct preserve_file_ser *rec)
{
	const struct preserve_region_ser *region = (const void *)rec->extras;
	const u64 end = MAX_LFS_FILESIZE >> PAGE_SHIFT >> rec->huge_order;
	const unsigned int nr = rec->extras_len / sizeof(*region);
	unsigned int i;

	if (rec->extras_len % sizeof(*region))
		return false;
	for (i = 0; i < nr; i++)
		if (region[i].from >= region[i].to || region[i].to > end)
			return false;
	return true;
}

/**
 * hugetlb_lu_regions_reserve - Reserve huge pages for the parts of a file that had some.
 * @inode: The file's; it has its pages.
 * @rec:   Its record, hugetlb_lu_regions_ok().
 *
 * Where there are not enough of them here, says so: the file is whole, but a hole may turn
 * out to have no page.
 *
 * Context: Process context.
 */
void hugetlb_lu_regions_reserve(struct inode *inode, const struct preserve_file_ser *rec)
{
	const struct preserve_region_ser *region = (const void *)rec->extras;
	const unsigned int nr = rec->extras_len / sizeof(*region);
	unsigned int i;

	for (i = 0; i < nr; i++, region++) {
		if (hugetlb_reserve_pages(inode, region->from, region->to, NULL,
					  EMPTY_VMA_FLAGS) >= 0)
			continue;
		pr_warn_ratelimited("%s: huge pages %llu to %llu: no reservation, there are not enough free ones\n",
				    rec->name, region->from, region->to);
	}
}
