// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quotas of a tree: limits and grace times into the image and back. Usage is counted by the
 * inodes that are made.
 */
#include <linux/fs.h>
#include <linux/quotaops.h>
#include <linux/sched/signal.h>

#include "tree.h"

#ifdef CONFIG_QUOTA

static int frozen_set_info(struct super_block *sb, int type, struct qc_info *info)
{
	return -EPERM;
}

static int frozen_set_dqblk(struct super_block *sb, struct kqid id, struct qc_dqblk *dq)
{
	return -EPERM;
}

static int frozen_enable(struct super_block *sb, unsigned int flags)
{
	return -EPERM;
}

/* The operations of quotactl(2) while a tree is preserved. */
static const struct quotactl_ops frozen_qcops = {
	.get_dqblk	= dquot_get_dqblk,
	.get_nextdqblk	= dquot_get_next_dqblk,
	.get_state	= dquot_get_state,
	.quota_sync	= dquot_quota_sync,
	.set_info	= frozen_set_info,
	.set_dqblk	= frozen_set_dqblk,
	.quota_enable	= frozen_enable,
	.quota_disable	= frozen_enable,
};

/**
 * preserve_quota_off - Are quotas counted, and their limits switched off?
 * @sb: The file system.
 *
 * A mount option cannot say that.
 *
 * Context: s_umount held.
 * Return: True if they are.
 */
bool preserve_quota_off(struct super_block *sb)
{
	int type;

	for (type = USRQUOTA; type <= GRPQUOTA; type++)
		if (sb_has_quota_loaded(sb, type) && !sb_has_quota_limits_enabled(sb, type))
			return true;
	return false;
}

/**
 * preserve_quota_freeze - Refuse changes of quotas.
 * @sb:    The file system.
 * @image: The outgoing image: remembers what allowed them.
 *
 * Context: s_umount held for writing.
 */
void preserve_quota_freeze(struct super_block *sb, struct preserve_tree_image *image)
{
	image->qcop = sb->s_qcop;
	if (sb->dq_op)
		sb->s_qcop = &frozen_qcops;
}

/**
 * preserve_quota_thaw - Undo preserve_quota_freeze().
 * @sb:    The file system.
 * @image: The outgoing image.
 *
 * Context: s_umount held for writing.
 */
void preserve_quota_thaw(struct super_block *sb, struct preserve_tree_image *image)
{
	sb->s_qcop = image->qcop;
}

static void grace_note(struct super_block *sb, int type, struct preserve_tree_writer *w,
		       u32 *nr)
{
	const struct mem_dqinfo *info = &sb_dqopt(sb)->info[type];

	preserve_tree_put(w, PRESERVE_QUOTA_GRACE + type);
	preserve_tree_put(w, 0);
	preserve_tree_put(w, info->dqi_bgrace);
	preserve_tree_put(w, info->dqi_igrace);
	++*nr;
}

static void id_note(const struct qc_dqblk *dq, struct kqid id,
		    struct preserve_tree_writer *w, u32 *nr)
{
	preserve_tree_put(w, id.type);
	preserve_tree_put(w, from_kqid(&init_user_ns, id));
	preserve_tree_put(w, dq->d_spc_hardlimit);
	preserve_tree_put(w, dq->d_ino_hardlimit);
	preserve_tree_put(w, dq->d_spc_softlimit);
	preserve_tree_put(w, dq->d_ino_softlimit);
	preserve_tree_put(w, dq->d_spc_timer);
	preserve_tree_put(w, dq->d_ino_timer);
	++*nr;
}

static int type_note(struct super_block *sb, int type, struct preserve_tree_writer *w, u32 *nr)
{
	struct kqid id = make_kqid(&init_user_ns, type, 0);
	struct qc_dqblk dq;
	int err;

	if (!sb_has_quota_active(sb, type))
		return 0;
	grace_note(sb, type, w, nr);
	while (!(err = dquot_get_next_dqblk(sb, &id, &dq))) {
		id_note(&dq, id, w, nr);
		if (from_kqid(&init_user_ns, id) >= U32_MAX - 1)
			break;
		id = make_kqid(&init_user_ns, type,
			       from_kqid(&init_user_ns, id) + 1);
		cond_resched();
	}
	return err == -ENOENT || err == -ESRCH ? 0 : err;
}

/**
 * preserve_quota_note - Note the limits and times of quotas.
 * @sb: The file system; its quotas are frozen.
 * @w:  Where to.
 * @nr: Counted up by what was noted: 0 without quotas.
 *
 * Context: Process context.
 * Return: 0, or the error of reading one.
 */
int preserve_quota_note(struct super_block *sb, struct preserve_tree_writer *w, u32 *nr)
{
	return type_note(sb, USRQUOTA, w, nr) ?: type_note(sb, GRPQUOTA, w, nr);
}

static int limits_load(struct super_block *sb, u64 type, u64 id,
		       struct preserve_tree_reader *r)
{
	struct qc_dqblk dq = {
		.d_fieldmask = QC_SPC_HARD | QC_INO_HARD | QC_SPC_SOFT | QC_INO_SOFT |
			       QC_SPC_TIMER | QC_INO_TIMER,
	};

	dq.d_spc_hardlimit = preserve_tree_get(r);
	dq.d_ino_hardlimit = preserve_tree_get(r);
	dq.d_spc_softlimit = preserve_tree_get(r);
	dq.d_ino_softlimit = preserve_tree_get(r);
	dq.d_spc_timer = preserve_tree_get(r);
	dq.d_ino_timer = preserve_tree_get(r);
	if (r->bad || id >= U32_MAX)
		return -EUCLEAN;
	return dquot_set_dqblk(sb, make_kqid(&init_user_ns, type, id), &dq);
}

static int grace_load(struct super_block *sb, u64 type, struct preserve_tree_reader *r)
{
	struct qc_info info = { .i_fieldmask = QC_SPC_TIMER | QC_INO_TIMER };

	info.i_spc_timelimit = preserve_tree_get(r);
	info.i_ino_timelimit = preserve_tree_get(r);
	return r->bad ? -EUCLEAN : dquot_set_dqinfo(sb, type, &info);
}

static int quota_load(struct super_block *sb, struct preserve_tree_reader *r)
{
	u64 kind = preserve_tree_get(r), id = preserve_tree_get(r);
	u64 type = kind >= PRESERVE_QUOTA_GRACE ? kind - PRESERVE_QUOTA_GRACE : kind;

	if (r->bad || type > GRPQUOTA || !sb_has_quota_active(sb, type))
		return -EUCLEAN;
	return kind == type ? limits_load(sb, type, id, r) : grace_load(sb, type, r);
}

/**
 * preserve_quota_load - Set the limits and times of quotas that an image has.
 * @sb:    The file system; all of its inodes are there.
 * @image: Its image.
 *
 * Context: Process context.
 * Return: 0, -EUCLEAN, or the error of setting one.
 */
int preserve_quota_load(struct super_block *sb, struct preserve_tree_image *image)
{
	struct preserve_tree_section sec;
	struct preserve_tree_reader r;
	int err;
	u32 i;

	if (!image->quotas)
		return 0;
	err = preserve_section_get(image, PRESERVE_SECTION_QUOTA, 0, &sec);
	if (err)
		return err;
	preserve_section_reader(image, &sec, &r);
	for (i = 0; i < sec.head.nr && !err; i++) {
		err = quota_load(sb, &r);
		if (fatal_signal_pending(current))
			err = err ?: -EINTR;
		cond_resched();
	}
	preserve_section_put(&sec);
	return err;
}

#else /* !CONFIG_QUOTA */

bool preserve_quota_off(struct super_block *sb)
{
	return false;
}

void preserve_quota_freeze(struct super_block *sb, struct preserve_tree_image *image)
{
}

void preserve_quota_thaw(struct super_block *sb, struct preserve_tree_image *image)
{
}

int preserve_quota_note(struct super_block *sb, struct preserve_tree_writer *w, u32 *nr)
{
	return 0;
}

int preserve_quota_load(struct super_block *sb, struct preserve_tree_image *image)
{
	return image->quotas ? -EOPNOTSUPP : 0;
}

#endif /* CONFIG_QUOTA */
