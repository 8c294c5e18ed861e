// SPDX-License-Identifier: GPL-2.0-only
/*
 * What only few inodes have, noted for the next kernel and given back there: extended
 * attributes, ACLs, memory policies. Trees and single files have it in the same form.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/fs.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/preserve_codec.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/xattr.h>

#include "shmem_lu.h"
#include "shmem_lu_tmpfs.h"

/* --- noting --- */

static int xattrs_note(struct inode *inode, struct preserve_tree_writer *w, u32 *nr,
		       u64 *space)
{
	struct simple_xattr *xattr;

	/* The inode is locked: no other task changes the list. */
	list_for_each_entry(xattr, &SHMEM_I(inode)->xattrs, node) {
		preserve_tree_put_extra(w, PRESERVE_EXTRA_XATTR, xattr->name, xattr->value,
					xattr->size);
		*space += simple_xattr_space(xattr->name, xattr->size);
		++*nr;
	}
	return w->err;
}

static bool has_xattr(struct inode *inode, const char *name)
{
	struct simple_xattr *xattr;

	list_for_each_entry(xattr, &SHMEM_I(inode)->xattrs, node)
		if (!strcmp(xattr->name, name))
			return true;
	return false;
}

#ifdef CONFIG_FS_POSIX_ACL
static int acl_note(struct inode *inode, int type, struct preserve_tree_writer *w,
		    u32 *nr)
{
	struct posix_acl *acl = get_cached_acl(inode, type);
	const char *name = posix_acl_xattr_name(type);
	size_t size;
	void *value;

	if (IS_ERR_OR_NULL(acl) || is_uncached_acl(acl))
		return 0;
	value = posix_acl_to_xattr(&init_user_ns, acl, &size, GFP_KERNEL);
	posix_acl_release(acl);
	if (!value)
		return -ENOMEM;
	preserve_tree_put_extra(w, PRESERVE_EXTRA_ACL, name, value, size);
	kfree(value);
	++*nr;
	return w->err;
}
#else
static int acl_note(struct inode *inode, int type, struct preserve_tree_writer *w,
		    u32 *nr)
{
	return 0;
}
#endif

/**
 * shmem_lu_labels_note - Note an inode's extended attributes, labels and ACLs.
 * @inode: The inode, locked; from now on shmem_lu_may_label() refuses changes.
 * @w:     Where to.
 * @nr:    Counted up by what was noted.
 * @space: Counted up by what they take of a limit of inodes, in bytes.
 *
 * Context: Process context.
 * Return: 0; -ENOMEM; -E2BIG or -EFBIG if @w has no more room.
 */
int shmem_lu_labels_note(struct inode *inode, struct preserve_tree_writer *w, u32 *nr,
			 u64 *space)
{
	int err = xattrs_note(inode, w, nr, space);

	/* A memfd's are no extended attribute. */
	err = err ?: preserve_tree_labels_note(inode, has_xattr, w, nr);
	err = err ?: acl_note(inode, ACL_TYPE_ACCESS, w, nr);
	return err ?: acl_note(inode, ACL_TYPE_DEFAULT, w, nr);
}

/**
 * shmem_lu_policies_note - Note a file's memory policies.
 * @inode: An inode; only regular files have some.
 * @w:     Where to. If there is no room for a policy, it has those that fit.
 * @nr:    Counted up by what was noted.
 *
 * Context: Process context.
 * Return: 0; -ENOMEM; -E2BIG or -EFBIG if @w has no more room, or a policy's text is
 *         too long.
 */
int shmem_lu_policies_note(struct inode *inode, struct preserve_tree_writer *w, u32 *nr)
{
	if (!S_ISREG(inode->i_mode))
		return 0;
	return preserve_tree_policies_note(&SHMEM_I(inode)->policy, w, nr);
}

/**
 * shmem_lu_extras_size - About how many bytes extended attributes take.
 * @inode: The inode.
 *
 * Context: Any. It may be wrong by what changes meanwhile.
 * Return: Bytes.
 */
size_t shmem_lu_extras_size(struct inode *inode)
{
	struct simple_xattr *xattr;
	size_t bytes = 0;

	guard(rcu)();
	list_for_each_entry_rcu(xattr, &SHMEM_I(inode)->xattrs, node)
		bytes += strlen(xattr->name) + xattr->size;
	return bytes;
}

/**
 * shmem_lu_extras_note - Note all that only few inodes have.
 * @inode: The inode, locked.
 * @w:     Where to.
 * @nr:    Counted up by what was noted.
 * @space: Counted up by what it takes of a limit of inodes, in bytes.
 *
 * Context: Process context.
 * Return: As shmem_lu_labels_note() and shmem_lu_policies_note().
 */
int shmem_lu_extras_note(struct inode *inode, struct preserve_tree_writer *w, u32 *nr,
			 u64 *space)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	u64 taken = 0;
	int err = shmem_lu_labels_note(inode, w, nr, &taken);

	if (sbinfo->max_inodes)
		*space += taken;
	return err ?: shmem_lu_policies_note(inode, w, nr);
}

/* --- giving back --- */

static int xattr_load(struct inode *inode, const char *name,
		      const struct preserve_tree_extra *extra)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	int err;

	CLASS(simple_xattr, xattr)(extra->value, extra->value_len);

	if (IS_ERR_OR_NULL(xattr))
		return -ENOMEM;
	xattr->name = kstrdup(name, GFP_KERNEL_ACCOUNT);
	if (!xattr->name)
		return -ENOMEM;
	err = simple_xattr_add(&sbinfo->xa_cache, &SHMEM_I(inode)->xattrs, xattr);
	if (!err)
		retain_and_null_ptr(xattr);
	return err == -EEXIST ? -EUCLEAN : err;
}

/**
 * shmem_lu_labels_give - Tell security modules of an inode's labels.
 * @inode: The inode; no other task knows it. If it has a name, security_d_instantiate() has
 *         been called: some modules read all of their attributes there, and others none.
 *
 * Context: Process context.
 */
void shmem_lu_labels_give(struct inode *inode)
{
	struct simple_xattr *xattr;

	list_for_each_entry(xattr, &SHMEM_I(inode)->xattrs, node)
		if (strstarts(xattr->name, XATTR_SECURITY_PREFIX))
			preserve_tree_label_give(inode, xattr->name, xattr->value,
						 xattr->size);
}

/* Where no security module takes it, it is kept as an extended attribute. */
static int label_load(struct inode *inode, const char *name,
		      const struct preserve_tree_extra *extra)
{
	if (!strstarts(name, XATTR_SECURITY_PREFIX))
		return -EUCLEAN;
	if (!preserve_tree_label_give(inode, name, extra->value, extra->value_len))
		return 0;
	return xattr_load(inode, name, extra);
}

#ifdef CONFIG_FS_POSIX_ACL
static int acl_load(struct inode *inode, const char *name,
		    const struct preserve_tree_extra *extra)
{
	struct posix_acl *acl;
	int type;

	if (!strcmp(name, XATTR_NAME_POSIX_ACL_ACCESS))
		type = ACL_TYPE_ACCESS;
	else if (!strcmp(name, XATTR_NAME_POSIX_ACL_DEFAULT))
		type = ACL_TYPE_DEFAULT;
	else
		return -EUCLEAN;
	if (!IS_POSIXACL(inode))
		return -EOPNOTSUPP;
	acl = posix_acl_from_xattr(&init_user_ns, extra->value, extra->value_len);
	if (IS_ERR_OR_NULL(acl))
		return PTR_ERR(acl) == -ENOMEM ? -ENOMEM : -EUCLEAN;
	if (posix_acl_valid(&init_user_ns, acl)) {
		posix_acl_release(acl);
		return -EUCLEAN;
	}
	set_cached_acl(inode, type, acl);
	posix_acl_release(acl);
	return 0;
}
#else
static int acl_load(struct inode *inode, const char *name,
		    const struct preserve_tree_extra *extra)
{
	return -EOPNOTSUPP;
}
#endif

/**
 * shmem_lu_extra_load - Give an inode one of its extras.
 * @inode: The inode, new, no other task knows it.
 * @extra: The extra, not trusted.
 *
 * Context: Process context; with the kernel's credentials.
 * Return: 0; -EUCLEAN if it is damaged; -EOPNOTSUPP if this kernel has no such thing;
 *         -ENOMEM.
 */
int shmem_lu_extra_load(struct inode *inode, const struct preserve_tree_extra *extra)
{
	char name[XATTR_NAME_MAX + 1];

	memcpy(name, extra->name, extra->name_len);
	name[extra->name_len] = '\0';
	switch (extra->kind) {
	case PRESERVE_EXTRA_XATTR:
		return xattr_load(inode, name, extra);
	case PRESERVE_EXTRA_LABEL:
		return label_load(inode, name, extra);
	case PRESERVE_EXTRA_ACL:
		return acl_load(inode, name, extra);
	case PRESERVE_EXTRA_POLICY:
		return S_ISREG(inode->i_mode) ?
		       preserve_tree_policy_load(&SHMEM_I(inode)->policy, extra) : -EUCLEAN;
	default:
		return extra->kind & PRESERVE_EXTRA_SKIP ? 0 : -EOPNOTSUPP;
	}
}
