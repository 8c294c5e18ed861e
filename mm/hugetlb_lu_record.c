// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file of hugetlb and its record: preserving the file, and giving it back what it had. The
 * same for a file that is preserved by itself and for one of a tree.
 */
#define pr_fmt(fmt) "preserve: hugetlb: " fmt

#include <linux/dcache.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/preserve_codec.h>
#include <linux/preserve_tree.h>
#include <linux/slab.h>

/* Seals that this version knows. An unknown one would be lost: it is refused. */
#define KNOWN_SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | \
			 F_SEAL_FUTURE_WRITE | F_SEAL_EXEC)

static struct preserve_file *inode_pf(const struct inode *inode)
{
	return preserve_file_of(inode->i_mapping);
}

/* What cannot change any more once the file is preserved. Inode locked. */
static void record_fill(struct preserve_file_ser *rec, const struct dentry *dentry)
{
	rec->kind = PRESERVE_FILE_HUGETLB;
	rec->huge_order = huge_page_order(hstate_inode(d_inode(dentry)));
	preserve_note_name(rec, dentry);
}

/* Bytes of the labels that a record has. */
static u32 labels_len(const struct preserve_file_ser *rec)
{
	struct preserve_tree_reader r = {
		.at = rec->extras, .end = rec->extras + rec->extras_len,
	};
	struct preserve_tree_extra extra = {};
	const u8 *at = r.at;

	while (r.at < r.end && preserve_tree_get_extra(&r, &extra) &&
	       extra.kind == PRESERVE_EXTRA_LABEL)
		at = r.at;
	return at - rec->extras;
}

/*
 * A security module lets them change at any time. Those that are noted stay if it fails; *@len is
 * set to the bytes that they take.
 */
static int labels_update(struct preserve_file_ser *rec, struct inode *inode, size_t *len)
{
	struct preserve_tree_writer w = {};
	u32 nr = 0;
	int err = preserve_tree_labels_note(inode, NULL, &w, &nr);

	if (!err && w.len > sizeof(rec->extras))
		err = -E2BIG;
	if (err) {
		pr_warn_ratelimited("%s: its label is not noted (%pe)\n", rec->name, ERR_PTR(err));
		*len = labels_len(rec);
	} else {
		*len = w.len;
		memcpy(rec->extras, w.buf, w.len);
	}
	kvfree(w.buf);
	return err;
}

static int extras_update(struct preserve_file_ser *rec, struct inode *inode,
			 const struct file *file)
{
	struct preserve_tree_writer w = {
		.buf = rec->extras, .size = sizeof(rec->extras), .fixed = true,
	};
	/* A tree has those of its files. */
	int err = file ? labels_update(rec, inode, &w.len) : 0;

	if (hugetlb_lu_regions_note(inode, &w))
		pr_warn_ratelimited("%s: not all of its reservations cross: they are in too many parts\n",
				    rec->name);
	rec->extras_len = w.len;
	memset(rec->extras + w.len, 0, sizeof(rec->extras) - w.len);
	return err;
}

/*
 * What can change until the kexec. A tree has noted its files' attributes. On error labels are as
 * they were noted before.
 */
static int record_update(struct preserve_file_ser *rec, struct inode *inode,
			 const struct file *file)
{
	if (file)
		preserve_note_state(rec, file);
	rec->seals = HUGETLBFS_I(inode)->seals;
	preserve_file_note_user(inode_pf(inode), rec);
	return extras_update(rec, inode, file);
}

/* Its folios do not move any more. Inode locked. */
static int file_fix(const struct dentry *dentry)
{
	int err = hugetlb_lu_fix(d_inode(dentry));

	if (err == -ENOMEM || err == -EBUSY)
		pr_err_ratelimited("%pd: not preserved: pages of it lie where the next kernel boots from, and there is no free huge page that they can move to (%pe)\n",
				   dentry, ERR_PTR(err));
	return err;
}

/* A record that is valid as it stands. Inode locked; the file is fixed. */
static struct preserve_file_ser *record_make(const struct dentry *dentry,
					     const struct file *file)
{
	struct preserve_file *pf = inode_pf(d_inode(dentry));
	struct preserve_file_ser *rec = preserve_file_claim(pf);
	int err;

	if (IS_ERR(rec))
		return rec;
	record_fill(rec, dentry);
	err = record_update(rec, d_inode(dentry), file);
	err = err ?: preserve_file_commit(pf);
	if (!err)
		return rec;
	preserve_file_unclaim(pf);
	return ERR_PTR(err);
}

/**
 * hugetlb_lu_claim - Preserve a file.
 * @dentry: The file's, any of hugetlb; it is not preserved.
 * @file:   The open file, if it is preserved by itself; NULL in a tree.
 *
 * Context: Process context, the inode locked.
 * Return: Its record; or an ERR_PTR, with a message where the reason is the file's: -EOPNOTSUPP,
 *         -ENOMEM, -ENOSPC, -EBUSY, -EINTR, -E2BIG, or why a label cannot be noted. The file is
 *         as before then.
 */
struct preserve_file_ser *hugetlb_lu_claim(const struct dentry *dentry, const struct file *file)
{
	struct inode *inode = d_inode(dentry);
	struct preserve_file_ser *rec;
	int err;

	if (HUGETLBFS_I(inode)->seals & ~KNOWN_SEALS)
		return ERR_PTR(-EOPNOTSUPP);
	err = file_fix(dentry);
	if (err)
		return ERR_PTR(err);
	if (preserve_has_tags(inode->i_mapping) && preserve_file_is_plain(inode_pf(inode))) {
		pr_err_ratelimited("%pd: not preserved: its memory tags would be lost\n", dentry);
		rec = ERR_PTR(-EOPNOTSUPP);
	} else {
		rec = record_make(dentry, file);
	}
	if (IS_ERR(rec))
		hugetlb_lu_unfix(inode);
	else
		preserve_report_tags(inode->i_mapping);
	return rec;
}

/**
 * hugetlb_lu_unclaim - Undo hugetlb_lu_claim().
 * @inode: The file's.
 *
 * Context: Process context, the inode locked.
 */
void hugetlb_lu_unclaim(struct inode *inode)
{
	preserve_file_unclaim(inode_pf(inode));
	hugetlb_lu_unfix(inode);
}

/**
 * hugetlb_lu_seal - The kernel is about to be replaced: a preserved file stands still.
 * @inode: The file's.
 * @file:  As for hugetlb_lu_claim().
 *
 * preserve_file_unfreeze() undoes it.
 *
 * Context: Process context, in the reboot path.
 * Return: Pages that cross.
 */
u64 hugetlb_lu_seal(struct inode *inode, const struct file *file)
{
	struct preserve_file *pf = inode_pf(inode);
	struct preserve_file_ser *rec = preserve_file_record(pf);

	/* One label must not hold up the kexec. */
	record_update(rec, inode, file);
	preserve_file_freeze(pf);
	return rec->kind & PRESERVE_FILE_GIVEN_UP ? 0 : rec->map.nr_keys;
}

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

/* Calls @fn for each extra of a record. A result other than 0 ends it. */
static int extras_for_each(const struct preserve_file_ser *rec,
			   int (*fn)(struct inode *inode, const struct preserve_file_ser *rec,
				     const struct preserve_tree_extra *extra),
			   struct inode *inode)
{
	struct preserve_tree_reader r = {
		.at = rec->extras, .end = rec->extras + rec->extras_len,
	};
	struct preserve_tree_extra extra;
	int err = 0;

	while (!err && r.at < r.end)
		err = preserve_tree_get_extra(&r, &extra) ? fn(inode, rec, &extra) : -EBADMSG;
	return err;
}

static int extra_check(struct inode *inode, const struct preserve_file_ser *rec,
		       const struct preserve_tree_extra *extra)
{
	struct preserve_region_ser region;

	switch (extra->kind) {
	case PRESERVE_EXTRA_LABEL:
		return 0;
	case PRESERVE_EXTRA_REGION:
		return hugetlb_lu_region_read(rec, extra, &region) ? 0 : -EBADMSG;
	default:
		return extra->kind & PRESERVE_EXTRA_SKIP ? 0 : -EPROTO;
	}
}

static int label_give(struct inode *inode, const struct preserve_file_ser *rec,
		      const struct preserve_tree_extra *extra)
{
	return extra->kind == PRESERVE_EXTRA_LABEL ? preserve_tree_label_load(inode, extra) : 0;
}

static int region_reserve(struct inode *inode, const struct preserve_file_ser *rec,
			  const struct preserve_tree_extra *extra)
{
	struct preserve_region_ser region;

	if (extra->kind == PRESERVE_EXTRA_REGION && hugetlb_lu_region_read(rec, extra, &region))
		hugetlb_lu_region_reserve(inode, &region, rec->name);
	return 0;
}

/**
 * hugetlb_lu_labels_give - Give a file its labels.
 * @inode: The file's, new.
 * @rec:   Its record.
 *
 * Context: Process context; no other task knows the file.
 * Return: 0 or -EUCLEAN.
 */
int hugetlb_lu_labels_give(struct inode *inode, const struct preserve_file_ser *rec)
{
	return extras_for_each(rec, label_give, inode);
}

/**
 * hugetlb_lu_check - Can a record that has been accepted be a file of hugetlb?
 * @rec: The record.
 * @map: Its file map.
 *
 * Context: Process context.
 * Return: 0; -EPROTO for what this kernel does not know; -EBADMSG for damage.
 */
int hugetlb_lu_check(const struct preserve_file_ser *rec, const struct prmap *map)
{
	if (rec->seals & ~KNOWN_SEALS)
		return -EPROTO;
	return map_ok(map, rec->huge_order) ? extras_for_each(rec, extra_check, NULL) : -EBADMSG;
}

/**
 * hugetlb_lu_begin - Give a file what its record says. Nothing can fail any more.
 * @inode: The file's, new; it has a struct preserve_file, and hugetlb_lu_regions_give() has
 *         been called.
 * @rec:   The record; freed.
 * @map:   Its file map; belongs to the file afterwards.
 *
 * Context: Process context, no other task uses the file's memory.
 */
void hugetlb_lu_begin(struct inode *inode, struct preserve_file_ser *rec, struct prmap *map)
{
	u64 nr = preserve_file_restore(inode_pf(inode), map);

	spin_lock(&inode->i_lock);
	inode->i_blocks += nr << (PAGE_SHIFT - 9);
	spin_unlock(&inode->i_lock);
	extras_for_each(rec, region_reserve, inode);
	preserve_file_begin(inode_pf(inode));
	preserve_record_free(rec);
}

/**
 * hugetlb_lu_release - Give the huge pages back that a record has.
 * @record: Where it is, not trusted.
 *
 * What is damaged, or of another kind or version, keeps them.
 *
 * Context: Process context.
 */
void hugetlb_lu_release(u64 record)
{
	struct preserve_file_ser *rec;
	struct prmap map;

	rec = preserve_record_take(record, PRESERVE_FILE_HUGETLB, &map);
	if (IS_ERR(rec))
		return;
	preserve_map_release(&map, PRESERVE_FILE_HUGETLB);
	preserve_record_free(rec);
}
