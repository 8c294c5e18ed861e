// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file system of a preserved tree: its mount options into the book and back,
 * quota limits, and a mount that belongs nowhere yet.
 *
 * Options are given to tmpfs as mount(8) gives them, so that it checks them itself.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/mempolicy.h>
#include <linux/mnt_namespace.h>
#include <linux/mount.h>
#include <linux/nsproxy.h>
#include <linux/quotaops.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/shmem_fs.h>
#include <linux/unicode.h>

#include "../fs/internal.h"
#include "../fs/mount.h"
#include "shmem_lu.h"
#include "shmem_lu_tree.h"

/* What mount(2) sets of a mount, and what crosses. */
#define MNT_OPTIONS	(MNT_NOSUID | MNT_NODEV | MNT_NOEXEC | MNT_NOATIME | \
			 MNT_NODIRATIME | MNT_RELATIME | MNT_READONLY | \
			 MNT_NOSYMFOLLOW)

/* Flags of a file system that cross. */
static const struct {
	unsigned long sb;
	u64 ser;
} sb_flags[] = {
	{ SB_RDONLY, PRESERVE_TREE_RDONLY },
	{ SB_SYNCHRONOUS, PRESERVE_TREE_SYNC },
	{ SB_DIRSYNC, PRESERVE_TREE_DIRSYNC },
	{ SB_LAZYTIME, PRESERVE_TREE_LAZYTIME },
	{ SB_I_VERSION, PRESERVE_TREE_I_VERSION },
};

/* By SHMEM_HUGE_*, as mm/shmem.c numbers them. */
static const char * const huge_names[] = {
	"never", "always", "within_size", "advise"
};

/* A kernel that changes one of these must have us looked at. */
static_assert(__same_type(alloc_mnt_ns,
			  struct mnt_namespace *(struct user_namespace *, bool)));
static_assert(__same_type(mnt_add_to_ns,
			  void(struct mnt_namespace *, struct mount *)));

static u64 flags_of(struct super_block *sb)
{
	struct shmem_sb_info *sbinfo = sb->s_fs_info;
	unsigned int i;
	u64 flags;

	flags = (sbinfo->full_inums ? PRESERVE_TREE_INODE64 : 0) |
		(sbinfo->noswap ? PRESERVE_TREE_NOSWAP : 0) |
		(sbinfo->lu_pool ? PRESERVE_TREE_POOL : 0) |
		(sbinfo->max_blocks == shmem_default_max_blocks() ?
		 PRESERVE_TREE_DEFAULT_SIZE : 0) |
		(sbinfo->max_inodes == shmem_default_max_inodes() ?
		 PRESERVE_TREE_DEFAULT_INODES : 0) |
		(sb_has_quota_active(sb, USRQUOTA) ? PRESERVE_TREE_USRQUOTA : 0) |
		(sb_has_quota_active(sb, GRPQUOTA) ? PRESERVE_TREE_GRPQUOTA : 0);
	for (i = 0; i < ARRAY_SIZE(sb_flags); i++)
		if (sb->s_flags & sb_flags[i].sb)
			flags |= sb_flags[i].ser;
	return flags;
}

#if IS_ENABLED(CONFIG_UNICODE)
static void encoding_save(struct super_block *sb, struct preserve_tree_ser *ser)
{
	if (!sb->s_encoding)
		return;
	ser->encoding = sb->s_encoding->version;
	if (sb_has_strict_encoding(sb))
		ser->flags |= PRESERVE_TREE_STRICT;
}
#else
static void encoding_save(struct super_block *sb, struct preserve_tree_ser *ser)
{
}
#endif

/* Is there an option of a security module? "seclabel" is none, but shown by one. */
static bool has_security_options(struct super_block *sb)
{
	char text[32] = "";
	struct seq_file m = { .buf = text, .size = sizeof(text) - 1 };

	security_sb_show_options(&m, sb);
	return m.count && strcmp(text, ",seclabel");
}

/**
 * shmem_lu_options_refused - Is there an option that cannot cross?
 * @sb:  The file system.
 * @mnt: The mount that it is to be preserved by.
 *
 * Context: Process context.
 * Return: Why it is refused, or NULL.
 */
const char *shmem_lu_options_refused(struct super_block *sb, struct vfsmount *mnt)
{
	const char *source = real_mount(mnt)->mnt_devname;

	if (source && strlen(source) >= PRESERVE_TREE_MAX_SOURCE)
		return "the mount's source is too long";
	if (has_security_options(sb))
		return "mount options of a security module do not cross";
	return NULL;
}

/* What changes without a look at whether the tree is preserved. */
static void late_options_save(struct super_block *sb, struct vfsmount *mnt,
			      struct preserve_tree_ser *ser)
{
	struct shmem_sb_info *sbinfo = sb->s_fs_info;

	ser->mnt_flags = READ_ONCE(mnt->mnt_flags) & MNT_OPTIONS;
	if (READ_ONCE(sbinfo->lu_handles))
		ser->flags |= PRESERVE_TREE_HANDLES;
}

/**
 * shmem_lu_options_changed - Note again what may have changed since.
 * @sb:  The file system.
 * @mnt: The mount that it is preserved by.
 * @ser: The beginning of its book.
 *
 * Return: True if something has.
 */
bool shmem_lu_options_changed(struct super_block *sb, struct vfsmount *mnt,
			      struct preserve_tree_ser *ser)
{
	u32 mnt_flags = ser->mnt_flags;
	u64 flags = ser->flags;

	late_options_save(sb, mnt, ser);
	return ser->mnt_flags != mnt_flags || ser->flags != flags;
}

/**
 * shmem_lu_options_save - Note a file system's options and limits.
 * @sb:  The file system.
 * @mnt: The mount that it is preserved by.
 * @ser: The beginning of its book, zeroed.
 */
void shmem_lu_options_save(struct super_block *sb, struct vfsmount *mnt,
			   struct preserve_tree_ser *ser)
{
	struct shmem_sb_info *sbinfo = sb->s_fs_info;
	struct mempolicy *mpol;

	ser->flags = flags_of(sb);
	late_options_save(sb, mnt, ser);
	ser->dev = MINOR(sb->s_dev);
	ser->max_blocks = sbinfo->max_blocks;
	ser->max_inodes = sbinfo->max_inodes;
	ser->mode = sbinfo->mode & 07777;
	ser->uid = from_kuid(&init_user_ns, sbinfo->uid);
	ser->gid = from_kgid(&init_user_ns, sbinfo->gid);
	ser->huge = sbinfo->huge;
	ser->quota_limits[0] = sbinfo->qlimits.usrquota_bhardlimit;
	ser->quota_limits[1] = sbinfo->qlimits.usrquota_ihardlimit;
	ser->quota_limits[2] = sbinfo->qlimits.grpquota_bhardlimit;
	ser->quota_limits[3] = sbinfo->qlimits.grpquota_ihardlimit;
	memcpy(ser->uuid, sb->s_uuid.b, sizeof(ser->uuid));
	encoding_save(sb, ser);
	strscpy(ser->source, real_mount(mnt)->mnt_devname ?: "tmpfs",
		sizeof(ser->source));
	raw_spin_lock(&sbinfo->stat_lock);
	ser->next_ino = sbinfo->next_ino;
	mpol = sbinfo->mpol;
	mpol_get(mpol);
	raw_spin_unlock(&sbinfo->stat_lock);
	if (mpol)
		mpol_to_str(ser->policy, sizeof(ser->policy), mpol);
	mpol_put(mpol);
}

static int give(struct fs_context *fc, const char *key, const char *fmt, ...)
{
	char value[PRESERVE_TREE_MAX_SOURCE];
	va_list args;

	if (!fmt)
		return vfs_parse_fs_string(fc, key, NULL);
	va_start(args, fmt);
	vsnprintf(value, sizeof(value), fmt, args);
	va_end(args);
	return vfs_parse_fs_string(fc, key, value);
}

static int give_flag(struct fs_context *fc, const char *key, bool on)
{
	return on ? give(fc, key, NULL) : 0;
}

static int give_quotas(struct fs_context *fc, const struct preserve_tree_ser *ser)
{
	static const char * const keys[] = {
		"usrquota_block_hardlimit", "usrquota_inode_hardlimit",
		"grpquota_block_hardlimit", "grpquota_inode_hardlimit",
	};
	unsigned int i;
	int err;

	err = give_flag(fc, "usrquota", ser->flags & PRESERVE_TREE_USRQUOTA);
	err = err ?: give_flag(fc, "grpquota",
			       ser->flags & PRESERVE_TREE_GRPQUOTA);
	for (i = 0; i < ARRAY_SIZE(keys) && !err; i++)
		if (ser->quota_limits[i])
			err = give(fc, keys[i], "%llu", ser->quota_limits[i]);
	return err;
}

/* A policy that cannot be followed here is dropped: it says nothing of the content. */
static int give_policy(struct fs_context *fc, const struct preserve_tree_ser *ser)
{
	if (!ser->policy[0] || !give(fc, "mpol", "%s", ser->policy))
		return 0;
	pr_warn("%s: memory policy %s cannot be followed here\n", ser->source,
		ser->policy);
	return 0;
}

static int give_encoding(struct fs_context *fc,
			 const struct preserve_tree_ser *ser)
{
	u32 v = ser->encoding;
	int err = 0;

	if (v)
		err = give(fc, "casefold", "utf8-%u.%u.%u", v >> 16 & 0xff,
			   v >> 8 & 0xff, v & 0xff);
	return err ?: give_flag(fc, "strict_encoding",
				ser->flags & PRESERVE_TREE_STRICT);
}

/* A limit that was not given is the one of this machine, if what is in use allows it. */
static int give_limits(struct fs_context *fc, const struct preserve_tree_ser *ser)
{
	int err = 0;

	if (!(ser->flags & PRESERVE_TREE_DEFAULT_SIZE) ||
	    ser->used_blocks > shmem_default_max_blocks())
		err = give(fc, "nr_blocks", "%llu", ser->max_blocks);
	if (!(ser->flags & PRESERVE_TREE_DEFAULT_INODES) ||
	    ser->used_ispace > (u64)shmem_default_max_inodes() * SHMEM_LU_INODE_SPACE)
		err = err ?: give(fc, "nr_inodes", "%llu", ser->max_inodes);
	return err;
}

static int give_options(struct fs_context *fc,
			const struct preserve_tree_ser *ser)
{
	int err;

	err = give(fc, "source", "%s", ser->source);
	err = err ?: give_limits(fc, ser);
	err = err ?: give(fc, "mode", "%o", ser->mode);
	err = err ?: give(fc, "uid", "%u", ser->uid);
	err = err ?: give(fc, "gid", "%u", ser->gid);
	err = err ?: give_flag(fc, ser->flags & PRESERVE_TREE_INODE64 ?
				   "inode64" : "inode32", true);
	err = err ?: give_flag(fc, "noswap", ser->flags & PRESERVE_TREE_NOSWAP);
	err = err ?: give_flag(fc, "preserve", ser->flags & PRESERVE_TREE_POOL);
	if (!err && ser->huge < ARRAY_SIZE(huge_names))
		err = give(fc, "huge", "%s", huge_names[ser->huge]);
	err = err ?: give_quotas(fc, ser);
	err = err ?: give_encoding(fc, ser);
	return err ?: give_policy(fc, ser);
}

/**
 * shmem_lu_super_make - Make a file system with the options of a book.
 * @ser: The beginning of the book.
 *
 * Context: Process context.
 * Return: A context that holds it: put_fs_context() takes it down again, unless it has
 *         a mount by then; or an ERR_PTR.
 */
struct fs_context *shmem_lu_super_make(const struct preserve_tree_ser *ser)
{
	struct file_system_type *type = get_fs_type("tmpfs");
	struct fs_context *fc;
	struct super_block *sb;
	unsigned int i;
	int err;

	if (!type)
		return ERR_PTR(-ENODEV);
	fc = fs_context_for_mount(type, 0);
	put_filesystem(type);
	if (IS_ERR(fc))
		return fc;
	/* If it is free here. */
	fc->anon_minor = ser->dev;
	err = give_options(fc, ser) ?: vfs_get_tree(fc);
	if (err) {
		put_fs_context(fc);
		return ERR_PTR(err);
	}
	sb = fc->root->d_sb;
	super_set_uuid(sb, ser->uuid, sizeof(ser->uuid));
	for (i = 0; i < ARRAY_SIZE(sb_flags); i++)
		if (ser->flags & sb_flags[i].ser)
			sb->s_flags |= sb_flags[i].sb;
	up_write(&sb->s_umount);
	return fc;
}

/**
 * shmem_lu_mount - Make a mount as a book says.
 * @fc:  From shmem_lu_super_make().
 * @ser: The beginning of the book.
 *
 * Context: Process context.
 * Return: A mount that belongs nowhere yet, and holds the file system; or an ERR_PTR.
 */
struct vfsmount *shmem_lu_mount(struct fs_context *fc,
				const struct preserve_tree_ser *ser)
{
	struct vfsmount *mnt = vfs_create_mount(fc);

	if (!IS_ERR(mnt))
		mnt->mnt_flags |= ser->mnt_flags & MNT_OPTIONS;
	return mnt;
}

/**
 * shmem_lu_mount_open - A descriptor of a mount that is nowhere, for move_mount(2).
 * @mnt: From shmem_lu_mount(); its reference is used up on success.
 *
 * Context: Process context.
 * Return: The file, as fsmount(2) gives it; or an ERR_PTR.
 */
struct file *shmem_lu_mount_open(struct vfsmount *mnt)
{
	struct path path = { .mnt = mnt, .dentry = mnt->mnt_root };
	struct mount *m = real_mount(mnt);
	struct mnt_namespace *ns;
	struct file *file;

	file = dentry_open(&path, O_RDONLY | O_DIRECTORY, current_cred());
	if (IS_ERR(file))
		return file;
	ns = alloc_mnt_ns(current->nsproxy->mnt_ns->user_ns, true);
	if (IS_ERR(ns)) {
		fput(file);
		return ERR_CAST(ns);
	}
	/* The namespace has the reference, the file has one of its own. */
	ns->root = m;
	ns->nr_mounts = 1;
	mnt_add_to_ns(ns, m);
	file->f_mode |= FMODE_NEED_UNMOUNT;
	return file;
}

#ifdef CONFIG_TMPFS_QUOTA

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
 * shmem_lu_quotas_off - Are quotas counted, and their limits switched off?
 * @sb: The file system.
 *
 * A mount option cannot say that.
 *
 * Context: s_umount held.
 * Return: True if they are.
 */
bool shmem_lu_quotas_off(struct super_block *sb)
{
	int type;

	for (type = USRQUOTA; type <= GRPQUOTA; type++)
		if (sb_has_quota_loaded(sb, type) && !sb_has_quota_limits_enabled(sb, type))
			return true;
	return false;
}

/**
 * shmem_lu_quotas_freeze - Refuse changes of quotas, or allow them again.
 * @sb:     The file system.
 * @frozen: Whether.
 *
 * Context: s_umount held for writing.
 */
void shmem_lu_quotas_freeze(struct super_block *sb, bool frozen)
{
	if (sb->dq_op)
		sb->s_qcop = frozen ? &frozen_qcops : &dquot_quotactl_sysfile_ops;
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
 * shmem_lu_quotas_load - Set the limits and times of quotas that the book has.
 * @sb:   The file system; all of its inodes are there.
 * @book: Its book.
 *
 * Context: Process context.
 * Return: 0, -EUCLEAN, or the error of setting one.
 */
int shmem_lu_quotas_load(struct super_block *sb, struct shmem_lu_book *book)
{
	struct preserve_tree_reader r;
	struct shmem_lu_section sec;
	u32 i;
	int err;

	if (!book->ser.quotas)
		return 0;
	err = shmem_lu_section_get(book, PRESERVE_SECTION_QUOTA, 0, &sec);
	if (err)
		return err;
	shmem_lu_section_reader(book, &sec, &r);
	for (i = 0; i < sec.head.nr && !err; i++)
		err = quota_load(sb, &r);
	shmem_lu_section_put(&sec);
	return err;
}

#else

bool shmem_lu_quotas_off(struct super_block *sb)
{
	return false;
}

void shmem_lu_quotas_freeze(struct super_block *sb, bool frozen)
{
}

int shmem_lu_quotas_load(struct super_block *sb, struct shmem_lu_book *book)
{
	return book->ser.quotas ? -EOPNOTSUPP : 0;
}

#endif
