// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hugetlb backend of mm/preserve: files in huge pages, which cross where they are.
 */

/**
 * DOC: files in huge pages
 *
 * A memfd made with MFD_HUGETLB, or an open file of a hugetlbfs, is preserved with the huge
 * pages that it has. None is copied: what the next kernel gets is the file map, and a list of
 * the ranges of frames that the map names (preserve_range_join()). Holes stay holes.
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
 * mode, owner, name, times and reservations, whose folios never move; in the next kernel the
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
#include <uapi/linux/memfd.h>

/* If one of these prototypes changes, review these files. */
static_assert(__same_type(memfd_alloc_file,
			  struct file *(const char *, unsigned int)));
static_assert(__same_type(hugetlb_reserve_pages,
			  long(struct inode *, long, long, struct vm_area_struct *,
			       vma_flags_t)));

/* Seals that this version knows. An unknown one would be lost: it is refused. */
#define KNOWN_SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | \
			 F_SEAL_FUTURE_WRITE | F_SEAL_EXEC)

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

/**
 * hugetlb_lu_may_change - May the size of a file change, and what is a hole?
 * @inode: The file's, any of hugetlb.
 *
 * Context: Any; lasting with the inode locked.
 * Return: False while it is preserved, and for a retrieved one whose map is lost.
 */
bool hugetlb_lu_may_change(const struct inode *inode)
{
	const struct preserve_file *pf = inode_pf(inode);

	return likely(!pf) || !(preserve_file_record(pf) || preserve_file_lost(pf));
}

/**
 * hugetlb_lu_evict - A file goes away.
 * @inode: The file's, any of hugetlb; its page cache is empty.
 *
 * Context: Process context.
 */
void hugetlb_lu_evict(struct inode *inode)
{
	preserve_file_free(&inode->i_data);
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

/* What cannot change any more once the file is preserved. Inode locked. */
static void record_fill(struct preserve_file_ser *rec, struct file *file)
{
	rec->kind = PRESERVE_FILE_HUGETLB;
	rec->huge_order = huge_page_order(hstate_file(file));
	preserve_note_name(rec, file);
}

/* What can change until the kexec. */
static void record_update(struct preserve_file_ser *rec, struct file *file)
{
	struct inode *inode = file_inode(file);

	preserve_note_state(rec, file);
	rec->seals = memfd_get_seals(file);
	preserve_file_note_user(inode_pf(inode), rec);
	if (hugetlb_lu_regions_note(inode, rec))
		pr_warn_ratelimited("%s: not all of its reservations cross: they are in too many parts\n",
				    rec->name);
}

/* Inode locked. On error the file is as before. */
static struct preserve_file_ser *file_claim(struct file *file)
{
	struct inode *inode = file_inode(file);
	struct preserve_file_ser *rec;
	int err;

	if (memfd_get_seals(file) & ~KNOWN_SEALS)
		return ERR_PTR(-EOPNOTSUPP);
	err = hugetlb_lu_fix(inode);
	if (err == -ENOMEM || err == -EBUSY)
		pr_err_ratelimited("%pD: not preserved: pages of it lie where the next kernel boots from, and there is no free huge page that they can move to (%pe)\n",
				   file, ERR_PTR(err));
	if (err)
		return ERR_PTR(err);
	rec = ERR_PTR(-EOPNOTSUPP);
	if (preserve_has_tags(inode->i_mapping) && preserve_file_is_plain(inode_pf(inode))) {
		pr_err_ratelimited("%pD: not preserved: its memory tags would be lost\n", file);
		goto unfix;
	}
	rec = preserve_file_claim(inode_pf(inode));
	if (IS_ERR(rec))
		goto unfix;
	record_fill(rec, file);
	record_update(rec, file);
	err = preserve_file_commit(inode_pf(inode));
	if (!err)
		return rec;
	preserve_file_unclaim(inode_pf(inode));
	rec = ERR_PTR(err);
unfix:
	hugetlb_lu_unfix(inode);
	return rec;
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
	rec = file_claim(args->file);
	inode_unlock(inode);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	preserve_report_tags(inode->i_mapping);
	args->serialized_data = virt_to_phys(rec);
	return 0;
}

static void hugetlb_lu_unpreserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);

	inode_lock(inode);
	preserve_file_unclaim(inode_pf(inode));
	hugetlb_lu_unfix(inode);
	inode_unlock(inode);
}

static int hugetlb_lu_freeze(struct liveupdate_file_op_args *args)
{
	struct preserve_file *pf = inode_pf(file_inode(args->file));

	if (preserve_freeze_fails())
		return -EIO;
	record_update(preserve_file_record(pf), args->file);
	preserve_file_freeze(pf);
	return 0;
}

static void hugetlb_lu_unfreeze(struct liveupdate_file_op_args *args)
{
	preserve_file_unfreeze(inode_pf(file_inode(args->file)));
}

/* --- retrieve --- */

/* Is every run of the map made of huge pages of this size, and where one can be? */
static bool map_ok(const struct prmap *map, unsigned int order)
{
	const u64 mask = (1ULL << order) - 1;
	struct prmap_run run;
	u64 index = 0;

	while (prmap_next(map, index, &run)) {
		if (run.order != order || (run.index | run.nr) & mask ||
		    !preserve_huge_has_order(&run))
			return false;
		index = run.index + run.nr;
		cond_resched();
	}
	return true;
}

static struct file *file_make(const struct preserve_file_ser *rec, const struct prmap *map)
{
	struct hstate *h = size_to_hstate(PAGE_SIZE << rec->huge_order);
	struct file *file;
	int err;

	if (rec->seals & ~KNOWN_SEALS)
		return ERR_PTR(-EPROTO);
	if (!map_ok(map, rec->huge_order) || !hugetlb_lu_regions_ok(rec))
		return ERR_PTR(-EBADMSG);
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
	err = err ?: hugetlb_lu_regions_give(file_inode(file), map);
	if (!err)
		return file;
	fput(file);
	return ERR_PTR(err);
}

/* Nothing fails from here on. */
static void file_begin(struct file *file, const struct preserve_file_ser *rec,
		       struct prmap *map)
{
	struct inode *inode = file_inode(file);
	u64 nr = preserve_file_restore(inode_pf(inode), map);

	spin_lock(&inode->i_lock);
	inode->i_blocks += nr << (PAGE_SHIFT - 9);
	spin_unlock(&inode->i_lock);
	preserve_give_file(file, rec);
	hugetlb_lu_regions_reserve(inode, rec);
	preserve_file_begin(inode_pf(inode));
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
	file_begin(file, rec, &map);
	preserve_record_free(rec);
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
	struct preserve_file_ser *rec;
	struct prmap map;

	/*
	 * Retrieved, or refused: what is damaged keeps its memory. It is whole, and free, if
	 * there are no pages of its size here.
	 */
	if (args->retrieve_status && args->retrieve_status != -EOPNOTSUPP)
		return;

	rec = preserve_record_take(args->serialized_data, PRESERVE_FILE_HUGETLB, &map);
	if (IS_ERR(rec))
		return;
	preserve_map_release(&map, PRESERVE_FILE_HUGETLB);
	preserve_record_free(rec);
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
