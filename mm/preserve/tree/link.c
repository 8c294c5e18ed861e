// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inodes with several names, which come with different directories, and at different times.
 *
 * The first name that comes makes the inode; the image holds it until the last has come, or
 * none can come any more.
 */
#define pr_fmt(fmt) "preserve: tree: " fmt

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/sched.h>

#include "tree.h"

static struct inode *link_make(struct preserve_tree_sb *ts, struct super_block *sb, u64 no)
{
	struct preserve_tree_image *image = ts->incoming;
	struct preserve_tree_section sec;
	struct preserve_tree_reader r;
	struct preserve_tree_inode in;
	struct inode *inode;
	int err;

	err = preserve_section_get(image, PRESERVE_SECTION_LINK, no, &sec);
	if (err)
		return ERR_PTR(err);
	preserve_section_reader(image, &sec, &r);
	inode = ERR_PTR(-EUCLEAN);
	if (preserve_tree_get_inode(&r, &in) && !S_ISDIR(in.mode))
		inode = preserve_tree_inode_make(ts, sb, sec.pos, &in, &r);
	preserve_section_put(&sec);
	if (IS_ERR(inode))
		return inode;

	err = xa_err(xa_store(&image->names, no, xa_mk_value(in.nlink),
			      GFP_KERNEL));
	err = err ?: xa_err(xa_store(&image->links, no, inode, GFP_KERNEL));
	if (err) {
		preserve_tree_inode_unmake(ts, inode);
		return ERR_PTR(err);
	}
	return inode;
}

/* How many names of a link are to come; changed by @add. */
static unsigned long link_names(struct preserve_tree_image *image, u64 no, int add)
{
	unsigned long nr = xa_to_value(xa_load(&image->names, no)) + add;

	if (add)
		xa_store(&image->names, no, xa_mk_value(nr), GFP_KERNEL);
	return nr;
}

/**
 * preserve_tree_link_get - The inode of a link, for one name more.
 * @ts: What is kept for its file system.
 * @sb: The file system.
 * @no: The link's number, not trusted.
 *
 * Context: The image's lock held; with the kernel's credentials.
 * Return: The inode, with a reference; ERR_PTR(-EUCLEAN) if it is damaged, or has all of
 *         its names; or as preserve_tree_inode_make().
 */
struct inode *preserve_tree_link_get(struct preserve_tree_sb *ts, struct super_block *sb,
				     u64 no)
{
	struct preserve_tree_image *image = ts->incoming;
	struct inode *inode;

	if (no >= image->ser.nr_links)
		return ERR_PTR(-EUCLEAN);
	inode = xa_load(&image->links, no);
	if (!inode)
		inode = link_make(ts, sb, no);
	if (IS_ERR(inode))
		return inode;
	if (xa_is_value(inode) || !link_names(image, no, 0))
		return ERR_PTR(-EUCLEAN);
	link_names(image, no, -1);
	ihold(inode);
	return inode;
}

/**
 * preserve_tree_link_put - Undo preserve_tree_link_get().
 * @ts:    What is kept for its file system.
 * @no:    The link's number.
 * @inode: The inode.
 *
 * Context: The image's lock held.
 */
void preserve_tree_link_put(struct preserve_tree_sb *ts, u64 no, struct inode *inode)
{
	link_names(ts->incoming, no, 1);
	iput(inode);
}

/**
 * preserve_tree_link_named - A link has one name more.
 * @ts:    What is kept for its file system.
 * @no:    The link's number.
 * @inode: The inode.
 *
 * With its last name it needs no reference any more. A directory may have several of the
 * last ones.
 *
 * Context: The image's lock held.
 */
void preserve_tree_link_named(struct preserve_tree_sb *ts, u64 no, struct inode *inode)
{
	struct preserve_tree_image *image = ts->incoming;

	if (link_names(image, no, 0) || xa_load(&image->links, no) != inode)
		return;
	xa_store(&image->links, no, xa_mk_value(1), GFP_KERNEL);
	iput(inode);
}

/* A link has fewer names than it says. */
static void link_correct(struct preserve_tree_image *image, u64 no, struct inode *inode)
{
	unsigned long left = link_names(image, no, 0);

	inode_lock_nested(inode, I_MUTEX_CHILD);
	set_nlink(inode, inode->i_nlink - min(left, inode->i_nlink));
	inode_unlock(inode);
	pr_err_ratelimited("%s: inode %llu has %lu names less than it says\n",
			   image->ser.source, (u64)inode->i_ino, left);
}

/**
 * preserve_tree_links_end - No name is to come any more: what has none so far is gone.
 * @ts:   What is kept for the file system.
 * @made: The last directory was made, or was damaged and has been removed: all names have
 *        come.
 *
 * Context: Process context.
 */
void preserve_tree_links_end(struct preserve_tree_sb *ts, bool made)
{
	struct preserve_tree_image *image = ts->incoming;
	struct preserve_tree_section sec;
	struct inode *inode;
	u64 no;

	for (no = 1; no < image->ser.nr_links; no++) {
		inode = xa_load(&image->links, no);
		if (xa_is_value(inode))
			continue;
		if (inode) {
			if (made)
				link_correct(image, no, inode);
			if (!image->making)
				preserve_tree_node_of(ts, inode)->unmade = false;
			xa_store(&image->links, no, xa_mk_value(1), GFP_KERNEL);
			iput(inode);
		} else if (!image->making &&
			   !preserve_section_get_sure(image, PRESERVE_SECTION_LINK, no,
						      &sec)) {
			preserve_section_release(image, &sec, ts->ops);
			preserve_section_put(&sec);
		}
		cond_resched();
	}
}
