/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a file system whose mounts can be preserved has in its own structures: see
 * <linux/preserve_tree.h>.
 */
#ifndef _LINUX_PRESERVE_TREE_TYPES_H
#define _LINUX_PRESERVE_TREE_TYPES_H

#include <linux/types.h>

struct preserve_tree_image;
struct preserve_tree_ops;
struct task_struct;

/**
 * struct preserve_tree_node - What is left of an inode in the image that it was made of.
 * @pos:    Of a directory that no task has looked into: its number plus one. Of a file whose
 *          data no task has touched: where its inode stands in the image. 0: nothing is left.
 *          Where tasks may look it changes to 0 with release, under the image's lock; where
 *          none can any more, the inode is new or goes.
 * @unmade: It has no name yet: the image counts what it takes, also if it goes.
 * @saved:  It is preserved by a record of its own, for the tree. Under the inode lock.
 */
struct preserve_tree_node {
	u64 pos;
	bool unmade;
	bool saved;
};

/**
 * struct preserve_tree_sb - What is kept for a file system whose mounts can be preserved.
 * @ops:      The file system's. Constant.
 * @incoming: What the last kernel has handed over; NULL if it was not retrieved. Stays until
 *            the file system goes.
 * @outgoing: What the next kernel is to have, from preserve to unpreserve. Set and cleared
 *            under s_umount, read without.
 * @maker:    The task that makes inodes of @incoming, which are accounted for already.
 * @pool:     All of its files have their memory in the pool, for as long as they live.
 * @handles:  File handles were given away, by this kernel or an earlier one.
 */
struct preserve_tree_sb {
	const struct preserve_tree_ops *ops;
	struct preserve_tree_image *incoming;
	struct preserve_tree_image *outgoing;
	struct task_struct *maker;
	bool pool;
	bool handles;
};

#endif /* _LINUX_PRESERVE_TREE_TYPES_H */
