// SPDX-License-Identifier: GPL-2.0-only
/*
 * Labels that a security module keeps for an inode by itself: no extended attribute shows them
 * to the file system.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/fs.h>
#include <linux/preserve_codec.h>
#include <linux/preserve_tree.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/xattr.h>

static int label_note(struct inode *inode, const char *name,
		      struct preserve_tree_writer *w, u32 *nr)
{
	void *value;
	int len;

	if (!strstarts(name, XATTR_SECURITY_PREFIX))
		return 0;
	len = security_inode_getsecurity(&nop_mnt_idmap, inode,
					 name + XATTR_SECURITY_PREFIX_LEN, &value, true);
	if (len < 0)
		return len == -EOPNOTSUPP ? 0 : len;
	preserve_tree_put_extra(w, PRESERVE_EXTRA_LABEL, name, value, len);
	kfree(value);
	++*nr;
	return w->err;
}

/**
 * preserve_tree_labels_note - Note the labels that security modules keep by themselves.
 * @inode: The inode. If it is locked, what the VFS lets change stands still.
 * @has:   Does it have one as an extended attribute, which is noted as such? NULL: it has none.
 * @w:     Where to, as extras.
 * @nr:    Counted up by what was noted.
 *
 * Context: Process context.
 * Return: 0; -ENOMEM; or the error of @w.
 */
int preserve_tree_labels_note(struct inode *inode,
			      bool (*has)(struct inode *inode, const char *name),
			      struct preserve_tree_writer *w, u32 *nr)
{
	char names[XATTR_NAME_MAX + 1], *end = names, *name;
	ssize_t left = sizeof(names);
	int err;

	err = security_inode_listsecurity(inode, &end, &left);
	if (err < 0)
		return err;
	for (name = names; name < end; name += strlen(name) + 1) {
		if (has && has(inode, name))
			continue;
		err = label_note(inode, name, w, nr);
		if (err)
			return err;
	}
	return 0;
}

/**
 * preserve_tree_label_give - Tell a security module of an inode's label.
 * @inode: The inode; no other task knows it.
 * @name:  The label's, with "security." before it.
 * @value: The label.
 * @size:  Its size, bytes.
 *
 * Context: Process context.
 * Return: 0; -EOPNOTSUPP if there is no module for it; or another error, with a message.
 */
int preserve_tree_label_give(struct inode *inode, const char *name, const void *value,
			     size_t size)
{
	int err = security_inode_setsecurity(inode, name + XATTR_SECURITY_PREFIX_LEN,
					     value, size, 0);

	if (err && err != -EOPNOTSUPP)
		pr_warn_ratelimited("%s of inode %llu is not accepted by the security module (%pe)\n",
				    name, (u64)inode->i_ino, ERR_PTR(err));
	return err;
}

/**
 * preserve_tree_label_load - Give an inode of a file system without such attributes its label.
 * @inode: The inode, new.
 * @extra: Of kind %PRESERVE_EXTRA_LABEL, not trusted.
 *
 * A label that is for no module of this kernel is lost, with a message.
 *
 * Context: Process context.
 * Return: 0 or -EUCLEAN.
 */
int preserve_tree_label_load(struct inode *inode, const struct preserve_tree_extra *extra)
{
	char name[XATTR_NAME_MAX + 1];

	memcpy(name, extra->name, extra->name_len);
	name[extra->name_len] = '\0';
	if (!strstarts(name, XATTR_SECURITY_PREFIX))
		return -EUCLEAN;
	if (preserve_tree_label_give(inode, name, extra->value, extra->value_len) == -EOPNOTSUPP)
		pr_warn_ratelimited("a label is lost: no security module has %s here\n", name);
	return 0;
}
