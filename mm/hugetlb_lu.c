// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hugetlb backend of mm/preserve: files in huge pages, which cross where they are.
 */

/**
 * DOC: files in huge pages
 *
 * A memfd made with MFD_HUGETLB, or an open file of a hugetlbfs, is preserved with the huge
 * pages that it has; for all of a hugetlbfs see hugetlb_lu_tree.c. None is copied: what the next
 * kernel gets is the file map, and a list of the ranges of frames that the map names
 * (preserve_range_join()). Holes stay holes.
 *
 * Preserving freezes the file's size, and allows neither fallocate nor a mapping that would
 * make the file grow. Writing goes on as before, also into holes. From then on no folio of
 * the file moves; one that lies where KHO boots the next kernel from moves before. A memfd
 * made with MFD_PRESERVE | MFD_HUGETLB has its map from the start, and folios that never
 * move; any other file gets both when it is preserved, and loses them when it is not.
 *
 * Whether a file may change is asked of its page cache (hugetlb_lu_may_change()), under the
 * inode lock. There is no FLB: how many pages come is in mm/preserve's own table, which
 * hugetlb reads before LUO is there (hugetlb_lu_boot.c).
 *
 * Retrieving makes a memfd with the same content, holes, size, position, seals, status flags,
 * mode, owner, name, label, times and reservations, whose folios never move; in the next kernel the
 * pages count as huge pages in use from boot on. Retrieving frees nothing. A file that is
 * finished without having been retrieved gives its pages back to hugetlb; what is refused
 * keeps its pages until the next kexec, as a device may still write to them.
 */
#define pr_fmt(fmt) "preserve: hugetlb: " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/preserve_tree.h>
#include <uapi/linux/memfd.h>

/* If one of these prototypes changes, review these files. */
static_assert(__same_type(memfd_alloc_file,
			  struct file *(const char *, unsigned int)));
static_assert(__same_type(hugetlb_reserve_pages,
			  long(struct inode *, long, long, struct vm_area_struct *,
			       vma_flags_t)));

const struct preserve_file_ops hugetlb_lu_file_ops = {
	.place = &preserve_huge_place,
	.insert = hugetlb_lu_insert,
};

static struct preserve_file *inode_pf(const struct inode *inode)
{
	return preserve_file_of(inode->i_mapping);
}

/**
 * hugetlb_lu_memfd_create - Make a new, empty memfd one that can be preserved at any time.
 * @file: From hugetlb_file_setup(); no other task knows it.
 *
 * Context: Process context.
 * Return: 0; -EOPNOTSUPP without KHO or LUO; -ENOMEM.
 */
int hugetlb_lu_memfd_create(struct file *file)
{
	struct inode *inode = file_inode(file);
	struct preserve_file *pf;
	int err;

	if (!preserve_has_pool())
		return -EOPNOTSUPP;
	pf = preserve_file_new(inode->i_mapping, &hugetlb_lu_file_ops);
	if (!pf)
		return -ENOMEM;
	err = preserve_in_place_init(pf);
	if (err)
		return err;
	preserve_file_follow(pf);
	set_bit(AS_PRESERVE, &inode->i_mapping->flags);
	return 0;
}

/* Is it preserved, by itself or in a tree? */
static bool stands_still(const struct inode *inode)
{
	const struct preserve_file *pf = inode_pf(inode);

	return preserve_tree_frozen(&HUGETLBFS_SB(inode->i_sb)->lu_tree) ||
	       (pf && preserve_file_record(pf));
}

/**
 * hugetlb_lu_may_change - May the size of a file change, and what is a hole?
 * @inode: The file's, any of hugetlb.
 *
 * Context: Any; lasting with the inode locked.
 * Return: False while it is preserved, by itself or in a tree, and for a retrieved one whose
 *         map is lost.
 */
bool hugetlb_lu_may_change(const struct inode *inode)
{
	const struct preserve_file *pf = inode_pf(inode);

	return !stands_still(inode) && !(pf && preserve_file_lost(pf));
}

/**
 * hugetlb_lu_evict - An inode goes away.
 * @inode: The inode, any of hugetlb; its page cache is empty. What is unrestored still is lost,
 *         and counts for the file system's limits.
 *
 * Context: Process context.
 */
void hugetlb_lu_evict(struct inode *inode)
{
	struct hugetlbfs_inode_info *info = HUGETLBFS_I(inode);
	struct preserve_file *pf = inode_pf(inode);

	if (S_ISDIR(inode->i_mode) && preserve_tree_node_left(&info->lu_node))
		preserve_tree_dir_forget(&HUGETLBFS_SB(inode->i_sb)->lu_tree, inode);
	if (pf && preserve_file_nr_unrestored(pf))
		hugetlb_lu_limits_untake(inode->i_sb, preserve_file_nr_unrestored(pf) >>
						      huge_page_order(hstate_inode(inode)));
	preserve_file_free(&inode->i_data);
	hugetlb_lu_cgroup_disown(inode);
}

void hugetlb_lu_show_fdinfo(struct seq_file *m, struct file *file)
{
	preserve_show_fdinfo(m, file->f_mapping);
}

static bool hugetlb_lu_can_preserve(struct liveupdate_file_handler *handler,
				    struct file *file)
{
	const struct inode *inode = file_inode(file);

	/* Shared memory of System V is none of its owner's files. */
	return is_file_hugepages(file) && S_ISREG(inode->i_mode) &&
	       !(inode->i_flags & S_PRIVATE);
}

static unsigned long hugetlb_lu_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
}

static int hugetlb_lu_preserve(struct liveupdate_file_op_args *args)
{
	const fmode_t rw = FMODE_READ | FMODE_WRITE;
	struct inode *inode = file_inode(args->file);
	struct preserve_file_ser *rec;

	/* Retrieving gives a descriptor for both. */
	if ((args->file->f_mode & rw) != rw)
		return -EINVAL;
	if (!preserve_can_hand_over())
		return -EOPNOTSUPP;
	inode_lock(inode);
	rec = stands_still(inode) ? ERR_PTR(-EBUSY) :
				    hugetlb_lu_claim(file_dentry(args->file), args->file);
	inode_unlock(inode);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	args->serialized_data = virt_to_phys(rec);
	return 0;
}

static void hugetlb_lu_unpreserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);

	inode_lock(inode);
	hugetlb_lu_unclaim(inode);
	inode_unlock(inode);
}

static int hugetlb_lu_freeze(struct liveupdate_file_op_args *args)
{
	if (preserve_freeze_fails())
		return -EIO;
	hugetlb_lu_seal(file_inode(args->file), args->file);
	return 0;
}

static void hugetlb_lu_unfreeze(struct liveupdate_file_op_args *args)
{
	preserve_file_unfreeze(inode_pf(file_inode(args->file)));
}

/* --- retrieve --- */

static struct file *file_make(const struct preserve_file_ser *rec, const struct prmap *map)
{
	struct hstate *h = size_to_hstate(PAGE_SIZE << rec->huge_order);
	struct file *file;
	int err;

	err = hugetlb_lu_check(rec, map);
	if (err)
		return ERR_PTR(err);
	if (!h) {
		pr_err_ratelimited("%s: no huge pages of %lu KiB here\n", rec->name,
				   PAGE_SIZE << rec->huge_order >> 10);
		return ERR_PTR(-EOPNOTSUPP);
	}
	file = memfd_alloc_file(rec->name, MFD_ALLOW_SEALING | MFD_PRESERVE | MFD_HUGETLB |
				(huge_page_shift(h) << MFD_HUGE_SHIFT));
	if (IS_ERR(file))
		return file;
	/* The mode first: F_SEAL_EXEC on an executable file brings more seals. */
	preserve_give_inode(file_inode(file), rec);
	err = memfd_add_seals(file, rec->seals);
	err = err ?: preserve_file_restore_user(inode_pf(file_inode(file)), rec);
	err = err ?: hugetlb_lu_labels_give(file_inode(file), rec);
	err = err ?: hugetlb_lu_regions_give(file_inode(file), map);
	if (!err)
		return file;
	fput(file);
	return ERR_PTR(err);
}

/* Nothing is lost when it fails: the record stays as it is. */
static struct file *file_retrieve(u64 handle)
{
	struct preserve_file_ser *rec;
	struct prmap map;
	struct file *file;

	rec = preserve_record_take(handle, PRESERVE_FILE_HUGETLB, &map);
	if (IS_ERR(rec))
		return ERR_CAST(rec);
	file = file_make(rec, &map);
	if (IS_ERR(file)) {
		preserve_record_failed(rec, &map, PTR_ERR(file));
		return file;
	}
	/* Nothing fails from here on. */
	preserve_give_file(file, rec);
	hugetlb_lu_begin(file_inode(file), rec, &map);
	return file;
}

static int hugetlb_lu_retrieve(struct liveupdate_file_op_args *args)
{
	struct file *file = file_retrieve(args->serialized_data);

	if (IS_ERR(file)) {
		args->again = preserve_retrieve_again(PTR_ERR(file));
		return PTR_ERR(file);
	}
	args->file = file;
	return 0;
}

static void hugetlb_lu_finish(struct liveupdate_file_op_args *args)
{
	/*
	 * Retrieved, or refused: what is damaged keeps its memory. It is whole, and free, if
	 * there are no pages of its size here.
	 */
	if (!args->retrieve_status || args->retrieve_status == -EOPNOTSUPP)
		hugetlb_lu_release(args->serialized_data);
}

static const struct liveupdate_file_ops hugetlb_lu_ops = {
	.can_preserve	= hugetlb_lu_can_preserve,
	.preserve	= hugetlb_lu_preserve,
	.unpreserve	= hugetlb_lu_unpreserve,
	.freeze		= hugetlb_lu_freeze,
	.unfreeze	= hugetlb_lu_unfreeze,
	.retrieve	= hugetlb_lu_retrieve,
	.finish		= hugetlb_lu_finish,
	.get_id		= hugetlb_lu_get_id,
	.owner		= THIS_MODULE,
};

static struct liveupdate_file_handler hugetlb_lu_handler = {
	.ops		= &hugetlb_lu_ops,
	.compatible	= PRESERVE_HUGETLB_COMPATIBLE,
};

static int __init hugetlb_lu_init(void)
{
	int err;

	if (!preserve_has_pool())
		return 0;
	err = liveupdate_register_file_handler(&hugetlb_lu_handler);
	if (err)
		pr_err("cannot register with LUO (%pe)\n", ERR_PTR(err));
	return err;
}
device_initcall_sync(hugetlb_lu_init);
