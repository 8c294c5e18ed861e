// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of a retrieved hugetlbfs that are latent: their memory is handed over, and no task has
 * taken it yet.
 *
 * All of them are loaded when their tree has been retrieved. One that could not, for want of
 * memory, is loaded when a task opens it, or removes it. Until then it has its size, no page,
 * and no block that stat() would show. What is damaged is EIO, for as long as the file is there;
 * its memory stays set aside until the next kexec, and counts for the file system's limit.
 *
 * The inode lock covers @lu_record, which is also read without it (hugetlb_lu_latent()).
 */
#define pr_fmt(fmt) "preserve: hugetlbfs: " fmt

#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/kho/abi/preserve_tree.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/preserve_tree.h>
#include <linux/sched/mm.h>

/* What can fail of giving a file its memory. On error it is as it was. */
static int file_give(struct inode *inode, const struct preserve_file_ser *rec,
		     const struct prmap *map)
{
	int err = hugetlb_lu_check(rec, map);

	if (!err && rec->huge_order != huge_page_order(hstate_inode(inode)))
		err = -EBADMSG;
	if (err)
		return err;
	/* No task has been able to bring a folio. */
	err = hugetlb_lu_file_prepare(inode);
	return err < 0 ? err : hugetlb_lu_regions_give(inode, map);
}

/* -EBADMSG and the like are final, -ENOMEM is not. */
static int load(struct inode *inode)
{
	struct hugetlbfs_inode_info *info = HUGETLBFS_I(inode);
	struct preserve_file_ser *rec;
	struct prmap map;
	int err;
	u64 nr;

	rec = preserve_record_take(info->lu_record, PRESERVE_FILE_HUGETLB, &map);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	nr = prmap_nr_keys(&map) >> rec->huge_order;
	err = hugetlb_lu_limits_take(inode->i_sb, nr) ? 0 : -EBADMSG;
	if (!err) {
		err = file_give(inode, rec, &map);
		if (err)
			hugetlb_lu_limits_untake(inode->i_sb, nr);
	}
	if (err) {
		preserve_record_failed(rec, &map, err);
		return err;
	}
	set_bit(AS_PRESERVE, &inode->i_mapping->flags);
	hugetlb_lu_begin(inode, rec, &map);
	/* Pairs with hugetlb_lu_latent(): what is not latent has its memory. */
	smp_store_release(&info->lu_record, 0);
	return 0;
}

/**
 * hugetlb_lu_load - Give a latent file its memory.
 * @inode: Any file's of hugetlb.
 *
 * Context: Process context, the inode locked; no folio of it locked.
 * Return: 0; -ENOMEM: not now; -EIO: what the last kernel has handed over is damaged.
 */
int hugetlb_lu_load(struct inode *inode)
{
	struct hugetlbfs_inode_info *info = HUGETLBFS_I(inode);
	int err;

	if (!info->lu_record)
		return 0;
	if (info->lu_record == PRESERVE_RECORD_DAMAGED)
		return -EIO;
	err = load(inode);
	if (!err || preserve_retrieve_again(err))
		return err;
	WRITE_ONCE(info->lu_record, PRESERVE_RECORD_DAMAGED);
	return -EIO;
}

/**
 * hugetlb_lu_load_sure - The same, however long memory for it takes.
 * @inode: A latent file's.
 * @all:   All of its content goes then: it is damaged no longer.
 *
 * For what cuts off a part of the file. One that goes with a tree that could not be made leaves
 * its memory alone.
 *
 * Context: Process context, the inode locked or being evicted.
 */
void hugetlb_lu_load_sure(struct inode *inode, bool all)
{
	struct hugetlbfs_inode_info *info = HUGETLBFS_I(inode);

	if (preserve_tree_making(&HUGETLBFS_SB(inode->i_sb)->lu_tree)) {
		WRITE_ONCE(info->lu_record, 0);
		return;
	}
	while (hugetlb_lu_load(inode) == -ENOMEM)
		memalloc_retry_wait(GFP_KERNEL);
	if (all && info->lu_record)
		WRITE_ONCE(info->lu_record, 0);
}

/**
 * hugetlb_lu_open - A task opens a file.
 * @inode: The file's, any of hugetlb.
 * @file:  The open file.
 *
 * Context: Process context.
 * Return: 0, or as hugetlb_lu_load().
 */
int hugetlb_lu_open(struct inode *inode, struct file *file)
{
	int err;

	if (likely(!hugetlb_lu_latent(inode)))
		return 0;
	inode_lock(inode);
	err = hugetlb_lu_load(inode);
	inode_unlock(inode);
	return err;
}
