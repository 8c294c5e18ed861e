// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file system of a preserved tree: its flags and mount options into the image and back,
 * and a mount that belongs nowhere yet.
 *
 * Options cross as the text that mount(8) gives, so that the file system checks them itself.
 */
#define pr_fmt(fmt) "preserve: tree: " fmt

#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/mnt_namespace.h>
#include <linux/mount.h>
#include <linux/nsproxy.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <uapi/linux/mount.h>

#include "../../../fs/internal.h"
#include "../../../fs/mount.h"
#include "tree.h"

/* Bytes of an option that a message shows. */
#define MAX_SHOWN	64U

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

/* Flags of a mount that cross: what mount(2) sets. How access times are kept is apart. */
static const struct {
	int mnt;
	u64 attr;
} mnt_flags[] = {
	{ MNT_READONLY, MOUNT_ATTR_RDONLY },
	{ MNT_NOSUID, MOUNT_ATTR_NOSUID },
	{ MNT_NODEV, MOUNT_ATTR_NODEV },
	{ MNT_NOEXEC, MOUNT_ATTR_NOEXEC },
	{ MNT_NODIRATIME, MOUNT_ATTR_NODIRATIME },
	{ MNT_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
};

/* If one of these prototypes changes, review this file. */
static_assert(__same_type(alloc_mnt_ns,
			  struct mnt_namespace *(struct user_namespace *, bool)));
static_assert(__same_type(mnt_add_to_ns,
			  void(struct mnt_namespace *, struct mount *)));

static u64 attr_of(int flags)
{
	unsigned int i;
	u64 attr = 0;

	if (flags & MNT_NOATIME)
		attr = MOUNT_ATTR_NOATIME;
	else if (!(flags & MNT_RELATIME))
		attr = MOUNT_ATTR_STRICTATIME;
	for (i = 0; i < ARRAY_SIZE(mnt_flags); i++)
		if (flags & mnt_flags[i].mnt)
			attr |= mnt_flags[i].attr;
	return attr;
}

static int mnt_flags_of(u64 attr)
{
	unsigned int i;
	int flags = 0;

	if (attr & MOUNT_ATTR_NOATIME)
		flags = MNT_NOATIME;
	else if (!(attr & MOUNT_ATTR_STRICTATIME))
		flags = MNT_RELATIME;
	for (i = 0; i < ARRAY_SIZE(mnt_flags); i++)
		if (attr & mnt_flags[i].attr)
			flags |= mnt_flags[i].mnt;
	return flags;
}

/* --- before --- */

/* Is there an option of a security module? "seclabel" is none, but shown by one. */
static bool has_security_options(struct super_block *sb)
{
	char text[32] = "";
	struct seq_file m = { .buf = text, .size = sizeof(text) - 1 };

	security_sb_show_options(&m, sb);
	return m.count && strcmp(text, ",seclabel");
}

/**
 * preserve_mount_refused - Is there an option that cannot cross?
 * @sb:  The file system.
 * @mnt: The mount that it is to be preserved by.
 *
 * Context: Process context.
 * Return: Why it is refused, or NULL.
 */
const char *preserve_mount_refused(struct super_block *sb, struct vfsmount *mnt)
{
	const char *source = real_mount(mnt)->mnt_devname;

	if (source && strlen(source) >= PRESERVE_TREE_MAX_SOURCE)
		return "the mount's source is too long";
	if (has_security_options(sb))
		return "mount options of a security module do not cross";
	return NULL;
}

static void super_note(const struct super_block *sb, struct preserve_tree_ser *ser)
{
	const unsigned long flags = READ_ONCE(sb->s_flags);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sb_flags); i++) {
		ser->flags &= ~sb_flags[i].ser;
		if (flags & sb_flags[i].sb)
			ser->flags |= sb_flags[i].ser;
	}
}

/**
 * preserve_mount_note_late - Note what changes without a look at whether the tree is preserved.
 * @ts:  What is kept for the file system.
 * @mnt: The mount that it is preserved by.
 * @ser: The beginning of its image.
 *
 * Context: Any.
 */
void preserve_mount_note_late(struct preserve_tree_sb *ts, struct vfsmount *mnt,
			      struct preserve_tree_ser *ser)
{
	if (ts->ops->remounts)
		super_note(mnt->mnt_sb, ser);
	ser->mnt_attr = attr_of(READ_ONCE(mnt->mnt_flags));
	if (READ_ONCE(ts->handles))
		ser->flags |= PRESERVE_TREE_HANDLES;
}

/**
 * preserve_mount_note - Note a file system's and its mount's flags and names.
 * @ts:  What is kept for the file system.
 * @sb:  The file system.
 * @mnt: The mount that it is preserved by.
 * @ser: The beginning of its image, with zeroes in the fields of these.
 */
void preserve_mount_note(struct preserve_tree_sb *ts, struct super_block *sb,
			 struct vfsmount *mnt, struct preserve_tree_ser *ser)
{
	super_note(sb, ser);
	ser->dev = MINOR(sb->s_dev);
	memcpy(ser->uuid, sb->s_uuid.b, sizeof(ser->uuid));
	strscpy(ser->fs_type, ts->ops->fs_type, sizeof(ser->fs_type));
	strscpy(ser->source, real_mount(mnt)->mnt_devname ?: ts->ops->fs_type,
		sizeof(ser->source));
	preserve_mount_note_late(ts, mnt, ser);
}

/* --- after --- */

/* What cannot be done here and does not matter much is left out. */
static int option_give(struct fs_context *fc, const struct preserve_tree_ops *ops,
		       const struct preserve_tree_option *option, const char *source)
{
	const int key_len = min(option->key_len, MAX_SHOWN);
	const int value_len = min(option->value_len, MAX_SHOWN);
	char *key = kmemdup_nul(option->key, option->key_len, GFP_KERNEL);
	char *value = kmemdup_nul(option->value, option->value_len, GFP_KERNEL);
	int err = -ENOMEM;

	if (key && value && ops->option_fits && !ops->option_fits(option))
		err = -EOPNOTSUPP;
	else if (key && value)
		err = vfs_parse_fs_string(fc, key, option->value_len ? value : NULL);
	if (err && err != -ENOMEM && option->flags & PRESERVE_OPTION_SKIP) {
		pr_warn_ratelimited("%s: option %*pE=%*pE cannot be followed here\n", source,
				    key_len, option->key, value_len, option->value);
		err = 0;
	} else if (err && err != -ENOMEM) {
		pr_err_ratelimited("%s: option %*pE=%*pE is not for this kernel (%pe)\n", source,
				   key_len, option->key, value_len, option->value,
				   ERR_PTR(err));
	}
	kfree(key);
	kfree(value);
	return err;
}

static int options_give(struct fs_context *fc, const struct preserve_tree_ops *ops,
			struct preserve_tree_image *image)
{
	struct preserve_tree_option option;
	struct preserve_tree_section sec;
	struct preserve_tree_reader r;
	int err;
	u32 i;

	err = vfs_parse_fs_string(fc, "source", image->ser.source);
	if (err || !image->options)
		return err;
	err = preserve_section_get(image, PRESERVE_SECTION_OPTIONS, 0, &sec);
	if (err)
		return err;
	preserve_section_reader(image, &sec, &r);
	if (sec.head.nr > PRESERVE_TREE_MAX_OPTIONS)
		err = -EUCLEAN;
	for (i = 0; i < sec.head.nr && !err; i++)
		err = preserve_tree_get_option(&r, &option) ?
		      option_give(fc, ops, &option, image->ser.source) : -EUCLEAN;
	preserve_section_put(&sec);
	return err;
}

static void super_flags(struct super_block *sb, const struct preserve_tree_ser *ser)
{
	unsigned int i;

	if (memchr_inv(ser->uuid, 0, sizeof(ser->uuid)))
		super_set_uuid(sb, ser->uuid, sizeof(ser->uuid));
	for (i = 0; i < ARRAY_SIZE(sb_flags); i++)
		if (ser->flags & sb_flags[i].ser)
			sb->s_flags |= sb_flags[i].sb;
}

/**
 * preserve_super_make - Make a file system with the options of an image.
 * @ops:   What makes it.
 * @image: The image.
 *
 * Context: Process context.
 * Return: A context that holds it: put_fs_context() takes it down again, unless it has
 *         a mount by then; or an ERR_PTR, -EOPNOTSUPP if this machine has no such thing.
 */
struct fs_context *preserve_super_make(const struct preserve_tree_ops *ops,
				       struct preserve_tree_image *image)
{
	struct file_system_type *type = get_fs_type(ops->fs_type);
	struct fs_context *fc;
	int err;

	if (!type)
		return ERR_PTR(-EOPNOTSUPP);
	fc = fs_context_for_mount(type, 0);
	put_filesystem(type);
	if (IS_ERR(fc))
		return fc;
	/* If it is free here. */
	fc->anon_minor = image->ser.dev;
	err = options_give(fc, ops, image) ?: vfs_get_tree(fc);
	if (err) {
		put_fs_context(fc);
		return ERR_PTR(err);
	}
	super_flags(fc->root->d_sb, &image->ser);
	up_write(&fc->root->d_sb->s_umount);
	return fc;
}

/**
 * preserve_mount_make - Make a mount as an image says.
 * @fc:  From preserve_super_make().
 * @ser: The beginning of the image.
 *
 * Context: Process context.
 * Return: A mount that belongs nowhere yet, and holds the file system; or an ERR_PTR.
 */
struct vfsmount *preserve_mount_make(struct fs_context *fc, const struct preserve_tree_ser *ser)
{
	struct vfsmount *mnt = vfs_create_mount(fc);

	if (!IS_ERR(mnt))
		mnt->mnt_flags |= mnt_flags_of(ser->mnt_attr);
	return mnt;
}

/**
 * preserve_mount_open - A descriptor of a mount that is nowhere, for move_mount(2).
 * @mnt: From preserve_mount_make(); its reference is used up on success.
 *
 * Context: Process context.
 * Return: The file, as fsmount(2) gives it; or an ERR_PTR.
 */
struct file *preserve_mount_open(struct vfsmount *mnt)
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
