// SPDX-License-Identifier: GPL-2.0-only
/*
 * tmpfs mounts as trees that cross a kexec: what mm/preserve/tree/ asks of tmpfs. Options and
 * limits are here, the rest is in the files that do it.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/liveupdate.h>
#include <linux/mempolicy.h>
#include <linux/preserve_codec.h>
#include <linux/quotaops.h>
#include <linux/shmem_fs.h>
#include <linux/unicode.h>

#include "internal.h"
#include "shmem_lu.h"
#include "shmem_lu_tmpfs.h"

/* By SHMEM_HUGE_*, as mm/shmem.c numbers them. */
static const char * const huge_names[] = {
	"never", "always", "within_size", "advise"
};

/* As a mount option may have it at most. */
#define MAX_INODES	(U32_MAX * 1024ULL)

static void flag_put(struct preserve_tree_writer *w, u32 *nr, const char *key, bool on)
{
	if (on)
		preserve_tree_put_option(w, nr, 0, key, NULL);
}

/* --- options and limits, before --- */

/*
 * One that was not given, and was not changed since, is left out: it is the next machine's. A
 * task that was quick may have more than the limit, which the next kernel would not believe.
 */
static void limits_note(struct shmem_sb_info *sbinfo, struct preserve_tree_ser *ser,
			struct preserve_tree_writer *w, u32 *nr)
{
	u64 blocks = sbinfo->max_blocks, inodes = sbinfo->max_inodes;
	u64 used = DIV_ROUND_UP_ULL(ser->used_ispace, SHMEM_LU_INODE_SPACE);

	if (blocks && blocks == sbinfo->lu_own_blocks)
		ser->own_pages = blocks;
	else
		preserve_tree_put_option(w, nr, 0, "nr_blocks", "%llu",
					 blocks ? max(blocks, ser->used_pages) : 0);
	if (inodes && inodes == sbinfo->lu_own_inodes)
		ser->own_inodes = inodes;
	else
		preserve_tree_put_option(w, nr, 0, "nr_inodes", "%llu",
					 inodes ? max(inodes, used) : 0);
}

static void quota_limit_note(struct preserve_tree_writer *w, u32 *nr, const char *key, u64 limit)
{
	if (limit)
		preserve_tree_put_option(w, nr, 0, key, "%llu", limit);
}

static void quotas_note(struct super_block *sb, struct preserve_tree_writer *w, u32 *nr)
{
	const struct shmem_quota_limits *limits =
		&((struct shmem_sb_info *)sb->s_fs_info)->qlimits;

	flag_put(w, nr, "usrquota", sb_has_quota_active(sb, USRQUOTA));
	flag_put(w, nr, "grpquota", sb_has_quota_active(sb, GRPQUOTA));
	quota_limit_note(w, nr, "usrquota_block_hardlimit", limits->usrquota_bhardlimit);
	quota_limit_note(w, nr, "usrquota_inode_hardlimit", limits->usrquota_ihardlimit);
	quota_limit_note(w, nr, "grpquota_block_hardlimit", limits->grpquota_bhardlimit);
	quota_limit_note(w, nr, "grpquota_inode_hardlimit", limits->grpquota_ihardlimit);
}

#if IS_ENABLED(CONFIG_UNICODE)
static void encoding_note(struct super_block *sb, struct preserve_tree_writer *w, u32 *nr)
{
	unsigned int v;

	if (!sb->s_encoding)
		return;
	v = sb->s_encoding->version;
	preserve_tree_put_option(w, nr, 0, "casefold", "utf8-%u.%u.%u", v >> 16 & 0xff,
				 v >> 8 & 0xff, v & 0xff);
	flag_put(w, nr, "strict_encoding", sb_has_strict_encoding(sb));
}
#else
static void encoding_note(struct super_block *sb, struct preserve_tree_writer *w, u32 *nr)
{
}
#endif

#ifdef CONFIG_NUMA
/* One that cannot be followed there is dropped: it says nothing of the content. */
static void policy_note(struct mempolicy *mpol, struct preserve_tree_writer *w, u32 *nr)
{
	char text[PRESERVE_POLICY_TEXT];

	if (!mpol)
		return;
	mpol_to_str(text, sizeof(text), mpol);
	preserve_tree_put_option(w, nr, PRESERVE_OPTION_SKIP, "mpol", "%s", text);
}
#else
static void policy_note(struct mempolicy *mpol, struct preserve_tree_writer *w, u32 *nr)
{
}
#endif

static void options_note(struct super_block *sb, struct preserve_tree_ser *ser,
			 struct preserve_tree_writer *w, u32 *nr)
{
	struct shmem_sb_info *sbinfo = sb->s_fs_info;
	struct mempolicy *mpol;

	raw_spin_lock(&sbinfo->stat_lock);
	ser->next_ino = sbinfo->next_ino;
	mpol = sbinfo->mpol;
	mpol_get(mpol);
	raw_spin_unlock(&sbinfo->stat_lock);

	limits_note(sbinfo, ser, w, nr);
	preserve_tree_put_option(w, nr, 0, "mode", "%o", sbinfo->mode & 07777);
	preserve_tree_put_option(w, nr, 0, "uid", "%u", from_kuid(&init_user_ns, sbinfo->uid));
	preserve_tree_put_option(w, nr, 0, "gid", "%u", from_kgid(&init_user_ns, sbinfo->gid));
	flag_put(w, nr, sbinfo->full_inums ? "inode64" : "inode32", true);
	flag_put(w, nr, "noswap", sbinfo->noswap);
	flag_put(w, nr, "preserve", sbinfo->lu_tree.pool);
	if (sbinfo->huge < ARRAY_SIZE(huge_names))
		preserve_tree_put_option(w, nr, 0, "huge", "%s", huge_names[sbinfo->huge]);
	quotas_note(sb, w, nr);
	encoding_note(sb, w, nr);
	policy_note(mpol, w, nr);
	mpol_put(mpol);
}

/* --- what is in use, after --- */

/* A limit that was not given gives way to that of the last kernel. Context: stat_lock held. */
static int ispace_charge(struct shmem_sb_info *sbinfo, const struct preserve_tree_ser *ser)
{
	u64 inodes = DIV_ROUND_UP_ULL(ser->used_ispace, SHMEM_LU_INODE_SPACE);
	u64 space = ser->used_ispace - SHMEM_LU_INODE_SPACE;

	if (!sbinfo->max_inodes)
		return 0;
	/* The root has its space already. */
	if (ser->used_ispace < SHMEM_LU_INODE_SPACE)
		return -EUCLEAN;
	if (space > sbinfo->free_ispace) {
		if (!ser->own_inodes || ser->own_inodes > MAX_INODES)
			return -EUCLEAN;
		sbinfo->max_inodes = max(ser->own_inodes, inodes);
		sbinfo->lu_own_inodes = sbinfo->max_inodes;
		sbinfo->free_ispace = sbinfo->max_inodes * SHMEM_LU_INODE_SPACE -
				      SHMEM_LU_INODE_SPACE;
	}
	sbinfo->free_ispace -= space;
	return 0;
}

static int pages_charge(struct shmem_sb_info *sbinfo, const struct preserve_tree_ser *ser)
{
	if (!sbinfo->max_blocks)
		return 0;
	if (ser->used_pages > sbinfo->max_blocks) {
		if (!ser->own_pages || ser->own_pages > LONG_MAX)
			return -EUCLEAN;
		sbinfo->max_blocks = max(ser->own_pages, ser->used_pages);
		sbinfo->lu_own_blocks = sbinfo->max_blocks;
	}
	percpu_counter_add(&sbinfo->used_blocks, ser->used_pages);
	return 0;
}

static int usage_charge(struct super_block *sb, const struct preserve_tree_ser *ser)
{
	struct shmem_sb_info *sbinfo = sb->s_fs_info;
	int err;

	raw_spin_lock(&sbinfo->stat_lock);
	err = ispace_charge(sbinfo, ser);
	sbinfo->next_ino = max(sbinfo->next_ino, ser->next_ino);
	raw_spin_unlock(&sbinfo->stat_lock);
	err = err ?: pages_charge(sbinfo, ser);
	if (err)
		pr_err_ratelimited("%s: more is in use than its limits allow\n", ser->source);
	return err;
}

/* --- the mount option --- */

/**
 * shmem_lu_option - The mount option "preserve".
 * @fc:   The mount's.
 * @pool: Set to true.
 *
 * Its memory cannot be swapped out: the rule is that of "noswap".
 *
 * Context: Process context.
 * Return: 0; -EOPNOTSUPP without KHO or LUO; -EINVAL without the right.
 */
int shmem_lu_option(struct fs_context *fc, bool *pool)
{
	if (!preserve_has_pool())
		return -EOPNOTSUPP;
	if (fc->user_ns != &init_user_ns || !capable(CAP_SYS_ADMIN))
		return invalfc(fc, "Preserved memory in unprivileged tmpfs mounts unsupported");
	*pool = true;
	return 0;
}

/* --- what mm/preserve/tree/ is given --- */

static struct preserve_tree_sb *tmpfs_sb(struct super_block *sb)
{
	return &((struct shmem_sb_info *)sb->s_fs_info)->lu_tree;
}

static struct preserve_tree_node *tmpfs_node(struct inode *inode)
{
	return &SHMEM_I(inode)->lu_node;
}

static u64 entry_pos(const struct dentry *dentry)
{
	return (unsigned long)dentry->d_fsdata;
}

/* The next position stays what it is. */
static int entry_place(struct inode *dir, struct dentry *dentry, u64 pos)
{
	struct offset_ctx *ctx = &SHMEM_I(dir)->dir_offsets;
	unsigned long next = ctx->next_offset;
	int err;

	ctx->next_offset = pos;
	err = simple_offset_add(ctx, dentry);
	ctx->next_offset = next;
	if (!err && (unsigned long)dentry->d_fsdata != pos) {
		simple_offset_remove(ctx, dentry);
		err = -EUCLEAN;
	}
	return err;
}

static void entry_remove(struct inode *dir, struct dentry *dentry)
{
	simple_offset_remove(&SHMEM_I(dir)->dir_offsets, dentry);
}

static const struct preserve_tree_ops tmpfs_ops = {
	.fs_type	= "tmpfs",
	.file_ops	= &shmem_lu_file_ops,
	.name_space	= SHMEM_LU_INODE_SPACE,
	.sb		= tmpfs_sb,
	.node		= tmpfs_node,
	.options_note	= options_note,
	.usage_charge	= usage_charge,
	.inode_new	= shmem_lu_inode_new,
	.inode_note	= shmem_lu_inode_note,
	.inode_load	= shmem_lu_inode_load,
	.inode_flags	= shmem_lu_inode_flags,
	.inode_unmake	= shmem_lu_inode_unmake,
	.symlink_load	= shmem_lu_symlink_load,
	.extras_size	= shmem_lu_extras_size,
	.extras_note	= shmem_lu_extras_note,
	.extra_load	= shmem_lu_extra_load,
	.labels_give	= shmem_lu_labels_give,
	.entry_pos	= entry_pos,
	.entry_place	= entry_place,
	.entry_remove	= entry_remove,
	.file_freeze	= shmem_freeze,
	.file_enter	= shmem_lu_enter,
	.file_leave	= shmem_lu_leave,
	.file_latent	= shmem_lu_file_latent,
	.insert_all	= shmem_lu_insert_all,
};

/**
 * shmem_lu_new_super - A tmpfs is made.
 * @sbinfo: Its; the limits are set.
 * @pool:   Whether it is mounted with "preserve".
 */
void shmem_lu_new_super(struct shmem_sb_info *sbinfo, bool pool)
{
	sbinfo->lu_tree.ops = &tmpfs_ops;
	sbinfo->lu_tree.pool = pool;
	/* The machine's memory, and with it the default, changes later. */
	if (sbinfo->max_blocks == shmem_default_max_blocks())
		sbinfo->lu_own_blocks = sbinfo->max_blocks;
	if (sbinfo->max_inodes == shmem_default_max_inodes())
		sbinfo->lu_own_inodes = sbinfo->max_inodes;
}

static struct preserve_tree_handler tmpfs_handler = {
	.luo = {
		.ops		= &preserve_tree_luo_ops,
		.compatible	= PRESERVE_TREE_COMPATIBLE,
	},
	.ops = &tmpfs_ops,
};

static int __init shmem_lu_tmpfs_init(void)
{
	int err;

	if (!preserve_has_pool())
		return 0;
	err = liveupdate_register_file_handler(&tmpfs_handler.luo);
	if (err)
		pr_err("cannot register with LUO (%pe)\n", ERR_PTR(err));
	return err;
}
device_initcall_sync(shmem_lu_tmpfs_init);
