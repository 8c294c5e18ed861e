// SPDX-License-Identifier: GPL-2.0-only
/*
 * hugetlbfs mounts as trees that cross a kexec: what mm/preserve/tree/ asks of hugetlbfs.
 */

/**
 * DOC: a hugetlbfs as a tree
 *
 * As for a tmpfs, LUO preserves a descriptor of the mount's root, and retrieving gives a
 * detached mount: see mm/preserve/tree/handler.c. What differs:
 *
 * A file's data is not in the image. Each file is preserved with a record of its own, exactly
 * as one that is preserved by itself (hugetlb_lu.c), and the image says where the record is. So
 * huge pages stay where they are, and a fault may fill a hole while the tree is preserved: the
 * records are sealed at the end, with the number of pages in use.
 *
 * All inodes are made when the tree is retrieved, as a limit of inodes is charged by making
 * them; then files get their memory (hugetlb_lu_latent.c). Inode numbers are new: those of
 * hugetlbfs are unique for the machine, and those of the last kernel may be in use here.
 *
 * hugetlbfs has no symbolic links, extended attributes, ACLs and quotas, and no labels but those
 * that a security module keeps by itself.
 */
#define pr_fmt(fmt) "preserve: hugetlbfs: " fmt

#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_lu.h>
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/kho/abi/preserve_tree.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/preserve_codec.h>
#include <linux/preserve_tree.h>

static struct preserve_tree_sb *hugetlbfs_sb(struct super_block *sb)
{
	return &HUGETLBFS_SB(sb)->lu_tree;
}

static struct preserve_tree_node *hugetlbfs_node(struct inode *inode)
{
	return &HUGETLBFS_I(inode)->lu_node;
}

/* --- the file system --- */

static void options_note(struct super_block *sb, struct preserve_tree_ser *ser,
			 struct preserve_tree_writer *w, u32 *nr)
{
	const struct hugetlbfs_sb_info *sbinfo = HUGETLBFS_SB(sb);

	preserve_tree_put_option(w, nr, 0, "pagesize", "%luK",
				 huge_page_size(sbinfo->hstate) >> 10);
	preserve_tree_put_option(w, nr, 0, "mode", "%o", sbinfo->mode);
	preserve_tree_put_option(w, nr, 0, "uid", "%u", from_kuid(&init_user_ns, sbinfo->uid));
	preserve_tree_put_option(w, nr, 0, "gid", "%u", from_kgid(&init_user_ns, sbinfo->gid));
	if (sbinfo->max_inodes != -1)
		preserve_tree_put_option(w, nr, 0, "nr_inodes", "%lu", sbinfo->max_inodes);
}

static bool option_fits(const struct preserve_tree_option *option)
{
	char size[24];

	if (option->key_len != strlen("pagesize") ||
	    memcmp(option->key, "pagesize", option->key_len))
		return true;
	if (option->value_len >= sizeof(size))
		return false;
	memcpy(size, option->value, option->value_len);
	size[option->value_len] = '\0';
	return size_to_hstate(memparse(size, NULL));
}

/* Pages: hugetlb_lu_limits.c; inodes when they are made. */
static int usage_charge(struct super_block *sb, const struct preserve_tree_ser *ser)
{
	return 0;
}

/* --- an inode --- */

static struct inode *inode_new(struct super_block *sb, umode_t mode, dev_t rdev)
{
	return hugetlbfs_get_inode(sb, &nop_mnt_idmap, NULL, mode, rdev);
}

static void inode_note(struct inode *inode, struct preserve_tree_inode *in)
{
	in->seals = S_ISREG(inode->i_mode) ? HUGETLBFS_I(inode)->seals : F_SEAL_SEAL;
	/* It has none. */
	in->btime = in->mtime;
}

static int inode_load(struct inode *inode, const struct preserve_tree_inode *in)
{
	struct hugetlbfs_inode_info *info = HUGETLBFS_I(inode);

	inode->i_ino = get_next_ino();
	if (S_ISLNK(in->mode) || in->fsflags)
		return -EOPNOTSUPP;
	if (S_ISDIR(in->mode) && in->dir)
		inode->i_fop = &hugetlb_lu_dir_operations;
	if (!S_ISREG(in->mode))
		return 0;
	if (in->nr_pages)
		return -EUCLEAN;
	if (in->seals != F_SEAL_SEAL)
		return -EOPNOTSUPP;
	info->lu_record = in->record;
	return 0;
}

static void inode_flags(struct inode *inode)
{
	inode_set_flags(inode, 0, S_NOATIME | S_NOCMTIME | S_IMMUTABLE);
}

static void inode_unmake(struct inode *inode)
{
	HUGETLBFS_I(inode)->lu_record = 0;
}

static int symlink_load(struct inode *inode, const struct preserve_tree_inode *in)
{
	return -EOPNOTSUPP;
}

static int extras_note(struct inode *inode, struct preserve_tree_writer *w, u32 *nr, u64 *space)
{
	int err = preserve_tree_labels_note(inode, NULL, w, nr);

	if (!err && inode == d_inode(inode->i_sb->s_root))
		err = hugetlb_lu_limits_note(inode->i_sb, w, nr);
	return err;
}

static int extra_load(struct inode *inode, const struct preserve_tree_extra *extra)
{
	switch (extra->kind) {
	case PRESERVE_EXTRA_LABEL:
		return preserve_tree_label_load(inode, extra);
	case PRESERVE_EXTRA_SUBPOOL:
		if (!inode->i_sb->s_root || inode != d_inode(inode->i_sb->s_root))
			return -EUCLEAN;
		return hugetlb_lu_limits_load(inode->i_sb, extra);
	default:
		return extra->kind & PRESERVE_EXTRA_SKIP ? 0 : -EOPNOTSUPP;
	}
}

/* They have been given with the extras. */
static void labels_give(struct inode *inode)
{
}

/* Names have no place in a directory but their order. */
static u64 entry_pos(const struct dentry *dentry)
{
	return 0;
}

static int entry_place(struct inode *dir, struct dentry *dentry, u64 pos)
{
	return 0;
}

static void entry_remove(struct inode *dir, struct dentry *dentry)
{
}

/* --- a file --- */

/* No task can bring a page into one that is empty while its size stands still. */
static bool file_empty(struct inode *inode)
{
	const struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	return !i_size_read(inode) && !inode->i_mapping->nrpages &&
	       !(pf && preserve_file_nr_unrestored(pf)) &&
	       list_empty(&HUGETLBFS_I(inode)->resv_map->regions);
}

static bool wants_prepare(struct preserve_tree_sb *ts, struct inode *inode)
{
	return S_ISREG(inode->i_mode) && i_size_read(inode) && inode->i_nlink &&
	       !preserve_file_of(inode->i_mapping);
}

static int file_prepare(struct preserve_tree_sb *ts, struct inode *inode)
{
	int err = down_write_killable(&inode->i_rwsem);

	if (err)
		return err;
	err = hugetlb_lu_file_prepare(inode);
	inode_unlock(inode);
	return min(err, 0);
}

/* One wait for all of them: there are as many mutexes as CPUs, times eight. */
static int files_prepare(struct super_block *sb)
{
	int err = preserve_tree_inodes(hugetlbfs_sb(sb), sb, wants_prepare, file_prepare);

	hugetlb_lu_wait_for_faults();
	return err;
}

static int file_save(struct dentry *dentry, u64 *record)
{
	struct inode *inode = d_inode(dentry);
	struct preserve_file_ser *rec;
	int err = hugetlb_lu_load(inode);

	*record = 0;
	if (err == -EIO) {
		pr_err_ratelimited("%pd: is damaged, and crosses as a damaged file\n", dentry);
		*record = PRESERVE_RECORD_DAMAGED;
		return 0;
	}
	if (err || file_empty(inode))
		return err;
	rec = hugetlb_lu_claim(dentry, NULL);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	*record = virt_to_phys(rec);
	return 0;
}

static u64 file_seal(struct inode *inode)
{
	return hugetlb_lu_seal(inode, NULL);
}

static void file_unseal(struct inode *inode)
{
	preserve_file_unfreeze(preserve_file_of(inode->i_mapping));
}

/* What fails is tried again by the task that opens it. */
static void file_ready(struct inode *inode)
{
	inode_lock(inode);
	hugetlb_lu_load(inode);
	inode_unlock(inode);
}

static void record_release(u64 record)
{
	if (record != PRESERVE_RECORD_DAMAGED)
		hugetlb_lu_release(record);
}

static const struct preserve_tree_ops hugetlbfs_ops = {
	.fs_type	= "hugetlbfs",
	.remounts	= true,
	.eager		= true,
	.sb		= hugetlbfs_sb,
	.node		= hugetlbfs_node,
	.options_note	= options_note,
	.option_fits	= option_fits,
	.usage_charge	= usage_charge,
	.inode_new	= inode_new,
	.inode_note	= inode_note,
	.inode_load	= inode_load,
	.inode_flags	= inode_flags,
	.inode_unmake	= inode_unmake,
	.symlink_load	= symlink_load,
	.extras_note	= extras_note,
	.extra_load	= extra_load,
	.labels_give	= labels_give,
	.entry_pos	= entry_pos,
	.entry_place	= entry_place,
	.entry_remove	= entry_remove,
	.files_prepare	= files_prepare,
	.file_save	= file_save,
	.file_unsave	= hugetlb_lu_unclaim,
	.file_seal	= file_seal,
	.file_unseal	= file_unseal,
	.file_ready	= file_ready,
	.record_release	= record_release,
};

/* --- what hugetlbfs calls --- */

/**
 * hugetlb_lu_new_super - A hugetlbfs is made.
 * @sbinfo: Its, new.
 */
void hugetlb_lu_new_super(struct hugetlbfs_sb_info *sbinfo)
{
	sbinfo->lu_tree = (struct preserve_tree_sb) { .ops = &hugetlbfs_ops };
	sbinfo->lu_left = 0;
}

/**
 * hugetlb_lu_inode_init - An inode is made.
 * @sb:   Of the file system.
 * @info: The inode, new.
 */
void hugetlb_lu_inode_init(struct super_block *sb, struct hugetlbfs_inode_info *info)
{
	info->lu_record = 0;
#ifdef CONFIG_CGROUP_HUGETLB
	info->lu_cgroup = NULL;
#endif
	info->lu_node = (struct preserve_tree_node) {
		.unmade = preserve_tree_accounted(hugetlbfs_sb(sb)),
	};
}

/**
 * hugetlb_lu_may_setattr - May the attributes of an inode change?
 * @inode: The inode, any of hugetlb.
 *
 * Context: Lasting with the inode locked.
 * Return: 0; -EPERM while its tree is preserved.
 */
int hugetlb_lu_may_setattr(const struct inode *inode)
{
	return preserve_tree_frozen(hugetlbfs_sb(inode->i_sb)) ? -EPERM : 0;
}

static struct preserve_tree_handler hugetlbfs_handler = {
	.luo = {
		.ops		= &preserve_tree_luo_ops,
		.compatible	= PRESERVE_HUGETLBFS_COMPATIBLE,
	},
	.ops = &hugetlbfs_ops,
};

static int __init hugetlb_lu_tree_init(void)
{
	int err;

	if (!preserve_has_pool())
		return 0;
	err = liveupdate_register_file_handler(&hugetlbfs_handler.luo);
	if (err)
		pr_err("cannot register with LUO (%pe)\n", ERR_PTR(err));
	return err;
}
device_initcall_sync(hugetlb_lu_tree_init);
