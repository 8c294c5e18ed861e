// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tmpfs backend of mm/preserve: whole mounted trees.
 */

/**
 * DOC: tmpfs trees
 *
 * LUO preserves a file descriptor of a tmpfs's root directory: names, directories, hard
 * links, symbolic links, special files, attributes, times, extended attributes, ACLs,
 * holes, policies, options, limits. Preserving writes a *book* of all that, in a file of
 * the pool; see include/linux/kho/abi/preserve_tree.h. Files of a tmpfs mounted with
 * "preserve" have their memory in the pool already; those of another one are moved
 * there.
 *
 * From then on the tree stands still. What would change its shape, a size, a hole or an
 * attribute is EPERM; a fault into a hole is SIGBUS; times do not move. Content can be
 * written where there is some, unless that had to clear set-ID bits or capabilities.
 * Unpreserve lets everything go on.
 *
 * Retrieving gives a detached mount, for move_mount(2). Directories and inodes are made when
 * a task looks there, file by file memory when a task touches it. What is retrieved and not
 * used takes its frames and what it counts against limits, no more, and crosses another kexec
 * as it is. With quotas all inodes are made at once, because usage is counted by inode. A
 * retrieve that fails for want of memory, a right or a limit can be tried again.
 *
 * What is damaged is refused in its smallest unit: a directory (EUCLEAN), a file's data
 * (EIO), or the whole tree if its beginning or its root is.
 *
 * A tree that is finished without having been retrieved is freed to the pool.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/capability.h>
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/liveupdate.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/posix_acl.h>
#include <linux/preserve.h>
#include <linux/quotaops.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <uapi/linux/memfd.h>

#include "internal.h"
#include "shmem_lu.h"
#include "shmem_lu_tree.h"

static bool is_tmpfs(const struct super_block *sb)
{
	return sb->s_magic == TMPFS_MAGIC && !strcmp(sb->s_type->name, "tmpfs");
}

/**
 * shmem_lu_may_change - May this inode, or what is in it, change?
 * @inode: A shmem inode.
 *
 * Context: Any.
 * Return: False in a tree that is preserved. A file without a name is in no tree.
 */
bool shmem_lu_may_change(const struct inode *inode)
{
	const struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;

	return likely(!READ_ONCE(sbinfo->lu_outgoing)) || !inode->i_nlink;
}

/**
 * shmem_lu_may_label - May extended attributes and ACLs of this inode change?
 * @inode: A shmem inode, locked.
 *
 * They are noted when it is preserved.
 *
 * Return: False if it is preserved, by itself or in a tree.
 */
bool shmem_lu_may_label(const struct inode *inode)
{
	const struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	return shmem_lu_may_change(inode) && !(pf && preserve_file_record(pf));
}

/**
 * shmem_lu_note_handle - A file handle of an inode is given away.
 * @inode: A shmem inode.
 *
 * Context: Any.
 */
void shmem_lu_note_handle(const struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;

	if (!READ_ONCE(sbinfo->lu_handles))
		WRITE_ONCE(sbinfo->lu_handles, true);
}

/**
 * shmem_lu_may_setattr - May these attributes of this inode change?
 * @inode: A shmem inode, locked.
 * @attr:  What is to change.
 *
 * A change of the mode is one of the ACL, if there is one.
 *
 * Return: False if they are noted already for the next kernel.
 */
bool shmem_lu_may_setattr(const struct inode *inode, const struct iattr *attr)
{
	if (!shmem_lu_may_change(inode))
		return false;
	return !(attr->ia_valid & ATTR_MODE) || IS_ERR_OR_NULL(inode->i_acl) ||
	       is_uncached_acl(inode->i_acl) || shmem_lu_may_label(inode);
}

/**
 * shmem_lu_unlink - Remove a name, unless the tree is preserved.
 * @dir:    The directory, locked.
 * @dentry: The name.
 *
 * Not for removing a directory, or a name in the course of a rename: these ask before
 * they change anything, and have to go on then.
 *
 * Context: Process context.
 * Return: -EPERM, or as shmem_unlink().
 */
int shmem_lu_unlink(struct inode *dir, struct dentry *dentry)
{
	return shmem_lu_may_change(dir) ? shmem_unlink(dir, dentry) : -EPERM;
}

/**
 * shmem_lu_dir_empty - Is a directory empty, or no directory?
 * @dentry: Of what is to be removed, or to compare names in another way; it is locked.
 *
 * One that is damaged has nothing that could be had any more: it may go.
 *
 * Context: Process context.
 * Return: True if it is.
 */
bool shmem_lu_dir_empty(struct dentry *dentry)
{
	struct inode *inode = d_inode(dentry);
	int err = 0;

	if (inode && S_ISDIR(inode->i_mode))
		err = shmem_lu_dir_load(inode);
	return (!err || err == -EUCLEAN) && simple_empty(dentry);
}

/**
 * shmem_lu_set_acl - Set an ACL, unless the tree is preserved.
 * @idmap:  Of the mount.
 * @dentry: Whose ACL.
 * @acl:    The ACL.
 * @type:   ACL_TYPE_*.
 *
 * Context: Process context, the inode locked.
 * Return: -EPERM, or as simple_set_acl().
 */
int shmem_lu_set_acl(struct mnt_idmap *idmap, struct dentry *dentry,
		     struct posix_acl *acl, int type)
{
	if (!shmem_lu_may_label(d_inode(dentry)))
		return -EPERM;
	return simple_set_acl(idmap, dentry, acl, type);
}

/**
 * shmem_lu_put_super - A tmpfs goes away.
 * @sbinfo: Its.
 */
void shmem_lu_put_super(struct shmem_sb_info *sbinfo)
{
	struct shmem_lu_book *book = sbinfo->lu_incoming;

	if (book && book->making)
		complete(&book->gone);
	else
		shmem_lu_book_free(book);
}

/* --- preserve --- */

/* A directory of a tmpfs is ours, to be refused with a reason if need be. */
static bool tree_can_preserve(struct liveupdate_file_handler *handler,
			      struct file *file)
{
	return S_ISDIR(file_inode(file)->i_mode) &&
	       is_tmpfs(file_inode(file)->i_sb);
}

static unsigned long tree_get_id(struct file *file)
{
	return (unsigned long)file_inode(file)->i_sb;
}

static int refuse(const struct file *file, int err, const char *why)
{
	pr_err_ratelimited("%pD: not preserved: %s (%pe)\n", file, why,
			   ERR_PTR(err));
	return err;
}

static int tree_suits(const struct file *file)
{
	struct super_block *sb = file_inode(file)->i_sb;
	const char *why;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (!preserve_can_hand_over())
		return -EOPNOTSUPP;
	if (file->f_path.dentry != sb->s_root)
		return refuse(file, -EINVAL, "not the root of its file system");
	/* Owners would come back as they are on disk: real root's, for many. */
	if (is_idmapped_mnt(file->f_path.mnt))
		return refuse(file, -EOPNOTSUPP, "the mount is id-mapped");
	if (sb->s_user_ns != &init_user_ns)
		return refuse(file, -EOPNOTSUPP,
			      "the mount belongs to another user namespace");
	why = shmem_lu_options_refused(sb, file->f_path.mnt);
	return why ? refuse(file, -EOPNOTSUPP, why) : 0;
}

/* A task that waits to fill a hole holds the inode's lock. */
static int inode_unfreeze(struct inode *inode)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	if (pf && !preserve_file_record(pf))
		preserve_file_unfreeze(pf);
	return 0;
}

static void inode_thaw(struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);
	/* Only noting it for the book sets that. */
	bool ours = inode->i_flags & S_NOCMTIME;

	shmem_lu_inode_flags(inode);
	/* What is preserved by itself stands still for its own reason. */
	if (!S_ISREG(inode->i_mode) || (pf && preserve_file_record(pf)))
		return;
	if (ours)
		shmem_freeze(inode, false);
	if (pf)
		preserve_file_unfreeze(pf);
	/* A task that has seen the tree preserved has brought its data in behind this. */
	if (!sbinfo->lu_pool && SHMEM_I(inode)->lu_pos) {
		mutex_lock(&shmem_lu_incoming(inode->i_sb)->lock);
		mutex_unlock(&shmem_lu_incoming(inode->i_sb)->lock);
	}
	/* One that is not complete leaves the pool when it is. */
	if (!sbinfo->lu_pool && preserve_mapping(inode->i_mapping) &&
	    !shmem_lu_incomplete(inode->i_mapping))
		shmem_lu_leave(inode);
}

static int inode_release(struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;

	inode_unfreeze(inode);
	inode_lock(inode);
	inode_thaw(inode);
	inode_unlock(inode);
	/* The task that made the last folio meanwhile has found the lock taken. */
	if (S_ISREG(inode->i_mode) && !sbinfo->lu_pool &&
	    preserve_mapping(inode->i_mapping) &&
	    !shmem_lu_incomplete(inode->i_mapping)) {
		inode_lock(inode);
		inode_thaw(inode);
		inode_unlock(inode);
	}
	return 0;
}

/* What changes the names in a directory holds its lock from its look at lu_outgoing on. */
static int dir_wait(struct inode *inode)
{
	int err = down_write_killable(&inode->i_rwsem);

	if (!err)
		inode_unlock(inode);
	return err;
}

static int inodes_walk(struct super_block *sb, bool dirs, int (*fn)(struct inode *inode))
{
	struct inode *inode, *last = NULL;
	int err = 0;

	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		if ((dirs && !S_ISDIR(inode->i_mode)) || !igrab(inode))
			continue;
		spin_unlock(&sb->s_inode_list_lock);
		iput(last);
		last = inode;
		err = fn(inode);
		cond_resched();
		spin_lock(&sb->s_inode_list_lock);
		if (err)
			break;
	}
	spin_unlock(&sb->s_inode_list_lock);
	iput(last);
	return err;
}

static int changes_refuse(struct super_block *sb, struct shmem_lu_book *book)
{
	struct shmem_sb_info *sbinfo = sb->s_fs_info;

	if (sbinfo->lu_outgoing)
		return -EBUSY;
	if (shmem_lu_quotas_off(sb))
		return -EOPNOTSUPP;
	WRITE_ONCE(sbinfo->lu_outgoing, book);
	shmem_lu_quotas_freeze(sb, true);
	return 0;
}

static void changes_allow(struct super_block *sb)
{
	struct shmem_sb_info *sbinfo = sb->s_fs_info;

	guard(rwsem_write)(&sb->s_umount);
	/* Before the thaw: what makes data meanwhile freezes it no more. */
	WRITE_ONCE(sbinfo->lu_outgoing, NULL);
	shmem_lu_quotas_freeze(sb, false);
}

static void tree_thaw(struct super_block *sb)
{
	changes_allow(sb);
	inodes_walk(sb, false, inode_release);
}

/*
 * From now on the tree stands still. Remounting and quotactl(2) hold s_umount from their
 * look at lu_outgoing, or at the operations, to the end.
 */
static int tree_freeze_changes(struct super_block *sb, struct shmem_lu_book *book)
{
	int err = down_write_killable(&sb->s_umount);

	if (err)
		return err;
	err = changes_refuse(sb, book);
	up_write(&sb->s_umount);
	if (err)
		return err;
	err = inodes_walk(sb, true, dir_wait);
	/* Nothing has been noted, but data that came has seen the tree preserved. */
	if (err)
		tree_thaw(sb);
	return err;
}

static void tree_undo(struct super_block *sb, struct shmem_lu_book *book)
{
	shmem_lu_book_runs(book, shmem_lu_unclaim);
	tree_thaw(sb);
	shmem_lu_book_free(book);
}

static struct shmem_lu_book *book_new(void)
{
	struct shmem_lu_book *book = shmem_lu_book_new();
	struct file *file;

	if (!book)
		return ERR_PTR(-ENOMEM);
	file = memfd_alloc_file("book", MFD_ALLOW_SEALING | MFD_PRESERVE);
	if (IS_ERR(file)) {
		shmem_lu_book_free(book);
		return ERR_CAST(file);
	}
	/* The memory is the kernel's own. */
	preserve_file_set_user(preserve_file_of(file->f_mapping), NULL, ULONG_MAX);
	book->file = file;
	return book;
}

static int tree_write(struct super_block *sb, struct vfsmount *mnt,
		      struct shmem_lu_book *book, u64 *handle)
{
	int err;

	preserve_compact_pause();
	err = shmem_lu_book_write(sb, mnt, book);
	preserve_compact_resume();
	return err ?: shmem_lu_file_preserve(book->file, PRESERVE_FILE_TREE,
					     handle);
}

static int tree_preserve(struct liveupdate_file_op_args *args)
{
	struct super_block *sb = file_inode(args->file)->i_sb;
	struct shmem_lu_book *book;
	int err = tree_suits(args->file);

	if (err)
		return err;
	book = book_new();
	if (IS_ERR(book))
		return PTR_ERR(book);
	err = tree_freeze_changes(sb, book);
	if (err) {
		shmem_lu_book_free(book);
		return err == -EOPNOTSUPP ?
		       refuse(args->file, err, "quotas are counted, and switched off") : err;
	}
	err = tree_write(sb, args->file->f_path.mnt, book,
			 &args->serialized_data);
	if (err) {
		tree_undo(sb, book);
		return err;
	}
	args->private_data = book;
	return 0;
}

static void tree_unpreserve(struct liveupdate_file_op_args *args)
{
	struct shmem_lu_book *book = args->private_data;

	shmem_lu_file_unpreserve(book->file);
	tree_undo(file_inode(args->file)->i_sb, book);
}

static int tree_freeze(struct liveupdate_file_op_args *args)
{
	struct shmem_lu_book *book = args->private_data;

	shmem_lu_book_update(file_inode(args->file)->i_sb,
			     args->file->f_path.mnt, book);
	shmem_lu_file_freeze(book->file);
	return 0;
}

static void tree_unfreeze(struct liveupdate_file_op_args *args)
{
	struct shmem_lu_book *book = args->private_data;

	shmem_lu_file_unfreeze(book->file);
}

static const struct liveupdate_file_ops tree_ops = {
	.can_preserve	= tree_can_preserve,
	.preserve	= tree_preserve,
	.unpreserve	= tree_unpreserve,
	.freeze		= tree_freeze,
	.unfreeze	= tree_unfreeze,
	.retrieve	= shmem_lu_tree_retrieve,
	.finish		= shmem_lu_tree_finish,
	.get_id		= tree_get_id,
	.owner		= THIS_MODULE,
};

static struct liveupdate_file_handler tree_handler = {
	.ops		= &tree_ops,
	.compatible	= PRESERVE_TREE_COMPATIBLE,
};

static int __init shmem_lu_tree_init(void)
{
	int err;

	if (!preserve_has_pool())
		return 0;
	err = liveupdate_register_file_handler(&tree_handler);
	if (err)
		pr_err("cannot register with LUO (%pe)\n", ERR_PTR(err));
	return err;
}
device_initcall_sync(shmem_lu_tree_init);
