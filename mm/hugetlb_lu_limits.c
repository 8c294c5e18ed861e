// SPDX-License-Identifier: GPL-2.0-only
/*
 * The limits of a hugetlbfs that crosses: @size and @min_size, which are a subpool of its huge
 * pages.
 *
 * They do not cross as mount options: hugetlbfs would set all of @min_size aside anew, though
 * the pages that have come are a part of it. What is in use counts from the beginning on,
 * whether its files have their memory yet or not; @lu_left is what none of them has taken. What
 * is left, because it is damaged or was removed with a damaged directory, counts as used until
 * the file system goes: no page will ever give it back.
 */
#define pr_fmt(fmt) "preserve: hugetlbfs: " fmt

#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/kho/abi/preserve_tree.h>
#include <linux/preserve_codec.h>
#include <linux/preserve_tree.h>

/* If this prototype changes, review this file. */
static_assert(__same_type(hugepage_new_subpool,
			  struct hugepage_subpool *(struct hstate *, long, long)));

/* What an extra's name is: it may not be empty. */
#define NAME	"subpool"

/**
 * hugetlb_lu_limits_note - Note the limits of a file system that is preserved.
 * @sb: The file system.
 * @w:  Where to, as an extra of its root.
 * @nr: Counted up.
 *
 * Context: Process context.
 * Return: 0, or the error of @w.
 */
int hugetlb_lu_limits_note(struct super_block *sb, struct preserve_tree_writer *w, u32 *nr)
{
	const struct hugepage_subpool *spool = HUGETLBFS_SB(sb)->spool;
	struct preserve_subpool_ser ser;

	if (!spool)
		return 0;
	ser.max = spool->max_hpages;
	ser.min = spool->min_hpages;
	preserve_tree_put_extra(w, PRESERVE_EXTRA_SUBPOOL, NAME, &ser, sizeof(ser));
	++*nr;
	return w->err;
}

static bool limits_ok(struct hstate *h, const struct preserve_subpool_ser *ser, u64 used)
{
	const s64 most = LONG_MAX >> huge_page_shift(h);

	if (ser->max < -1 || ser->max > most || ser->min < -1 || ser->min > most || used > most)
		return false;
	return ser->max == -1 || (ser->min <= ser->max && used <= ser->max);
}

/* Without limits there is no subpool. Returns NULL then, or an ERR_PTR. */
static struct hugepage_subpool *subpool_new(struct hstate *h, long max, long min)
{
	if (max == -1 && min == -1)
		return NULL;
	return hugepage_new_subpool(h, max, min) ?: ERR_PTR(-ENOMEM);
}

/* Sets aside what is not in use of @min. Returns as subpool_new(). */
static struct hugepage_subpool *subpool_fill(struct hstate *h, struct preserve_subpool_ser *ser,
					     u64 used)
{
	const long missing = ser->min > (s64)used ? ser->min - (s64)used : 0;
	struct hugepage_subpool *spool, *less;

	spool = subpool_new(h, ser->max, ser->min == -1 ? -1 : missing);
	if (!IS_ERR(spool) || !missing)
		return spool;
	less = hugepage_new_subpool(h, ser->max, -1);
	if (!less)
		return ERR_PTR(-ENOMEM);
	/* If it is not memory that was missing, it is huge pages. */
	spool = subpool_new(h, ser->max, missing);
	if (!IS_ERR(spool)) {
		hugepage_put_subpool(less);
		return spool;
	}
	/* The files are worth more than what may be missing later. */
	pr_warn_ratelimited("min_size=%lldM is lost: there are not %ld free huge pages\n",
			    (ser->min << huge_page_shift(h)) >> 20, missing);
	ser->min = -1;
	if (ser->max != -1)
		return less;
	hugepage_put_subpool(less);
	return NULL;
}

/**
 * hugetlb_lu_limits_load - Give a file system that is made the limits that it had.
 * @sb:    The file system, without limits.
 * @extra: What hugetlb_lu_limits_note() has noted, not trusted.
 *
 * Context: Process context, no other task knows the file system.
 * Return: 0; -EUCLEAN; -ENOMEM.
 */
int hugetlb_lu_limits_load(struct super_block *sb, const struct preserve_tree_extra *extra)
{
	struct hugetlbfs_sb_info *sbinfo = HUGETLBFS_SB(sb);
	const u64 used = preserve_tree_used_pages(&sbinfo->lu_tree) >>
			 huge_page_order(sbinfo->hstate);
	struct preserve_subpool_ser ser;
	struct hugepage_subpool *spool;

	if (sbinfo->spool || extra->value_len != sizeof(ser))
		return -EUCLEAN;
	memcpy(&ser, extra->value, sizeof(ser));
	if (!limits_ok(sbinfo->hstate, &ser, used))
		return -EUCLEAN;
	spool = subpool_fill(sbinfo->hstate, &ser, used);
	if (IS_ERR_OR_NULL(spool))
		return PTR_ERR_OR_ZERO(spool);
	spool->min_hpages = ser.min;
	if (ser.max != -1)
		spool->used_hpages = used;
	sbinfo->spool = spool;
	sbinfo->lu_left = used;
	return 0;
}

/**
 * hugetlb_lu_limits_take - A file takes pages that its file system's limits have counted.
 * @sb: The file system.
 * @nr: Huge pages.
 *
 * Context: Any.
 * Return: False if there are not as many: the tree says less than its files bring.
 */
bool hugetlb_lu_limits_take(struct super_block *sb, u64 nr)
{
	struct hugetlbfs_sb_info *sbinfo = HUGETLBFS_SB(sb);

	if (!sbinfo->spool)
		return true;
	guard(spinlock)(&sbinfo->stat_lock);
	if (nr > sbinfo->lu_left)
		return false;
	sbinfo->lu_left -= nr;
	return true;
}

/**
 * hugetlb_lu_limits_untake - Undo hugetlb_lu_limits_take().
 * @sb: The file system.
 * @nr: Huge pages.
 *
 * Context: Any.
 */
void hugetlb_lu_limits_untake(struct super_block *sb, u64 nr)
{
	struct hugetlbfs_sb_info *sbinfo = HUGETLBFS_SB(sb);

	if (!sbinfo->spool)
		return;
	guard(spinlock)(&sbinfo->stat_lock);
	sbinfo->lu_left += nr;
}

/*
 * What no file has taken does not count any more. A page that came back was kept for @min_size
 * as long as too few counted as used, which depends on whether that is counted at all: without
 * an upper limit each page was kept until there were enough.
 */
static void limits_correct(struct hugepage_subpool *spool, long used, long left)
{
	const long least = spool->min_hpages;

	guard(spinlock_irqsave)(&spool->lock);
	if (spool->max_hpages != -1) {
		spool->used_hpages -= left;
		if (least != -1)
			spool->min_hpages = min(least, spool->rsv_hpages + spool->used_hpages);
	} else {
		spool->min_hpages = clamp(max(least, used) - left, spool->rsv_hpages, least);
	}
}

/**
 * hugetlb_lu_put_super - A hugetlbfs goes away.
 * @sb: The file system; none of its inodes is there any more.
 *
 * If it could not be made in full, no file has taken anything.
 *
 * Context: Process context.
 */
void hugetlb_lu_put_super(struct super_block *sb)
{
	struct hugetlbfs_sb_info *sbinfo = HUGETLBFS_SB(sb);
	const long used = preserve_tree_used_pages(&sbinfo->lu_tree) >>
			  huge_page_order(sbinfo->hstate);

	if (sbinfo->spool && sbinfo->lu_left)
		limits_correct(sbinfo->spool, used, sbinfo->lu_left);
	preserve_tree_put_super(&sbinfo->lu_tree);
}
