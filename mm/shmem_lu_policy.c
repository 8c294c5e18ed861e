// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory policies of a preserved tmpfs file: from its shared policy tree to text, and
 * back.
 */
#define pr_fmt(fmt) "preserve: memfd: " fmt

#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/shmem_fs.h>
#include <linux/string.h>

#include "shmem_lu.h"

#if defined(CONFIG_NUMA) && defined(CONFIG_TMPFS)

/* The first part with a policy that ends behind @index. Context: its lock held. */
static const struct sp_node *policy_find(const struct shared_policy *sp, u64 index)
{
	const struct sp_node *n, *found = NULL;
	struct rb_node *rb = sp->root.rb_node;

	while (rb) {
		n = rb_entry(rb, struct sp_node, nd);
		if (n->end > index) {
			found = n;
			rb = rb->rb_left;
		} else {
			rb = rb->rb_right;
		}
	}
	return found;
}

/**
 * shmem_lu_policy_next - The next part of a file that has a memory policy.
 * @info:  The file's inode.
 * @index: Page index to go on from.
 * @part:  The part, and its policy as text.
 *
 * Context: Any but interrupt.
 * Return: 1; 0 if there is none; -E2BIG for a policy with a longer text.
 */
int shmem_lu_policy_next(struct shmem_inode_info *info, u64 index,
			 struct shmem_lu_policy *part)
{
	struct shared_policy *sp = &info->policy;
	const struct sp_node *n;

	guard(read_lock)(&sp->lock);
	n = policy_find(sp, index);
	if (!n)
		return 0;
	part->start = n->start;
	part->end = n->end;
	mpol_to_str(part->text, sizeof(part->text), n->policy);
	/* It cuts off what does not fit. */
	return strlen(part->text) < sizeof(part->text) - 1 ? 1 : -E2BIG;
}

/* A policy made from its text, for the present nodes; NULL if none is left. */
static struct mempolicy *policy_from_text(const char *text)
{
	char copy[SHMEM_LU_POLICY_TEXT];
	struct shared_policy whole;
	struct mempolicy *mpol, *own;

	strscpy(copy, text, sizeof(copy));
	if (mpol_parse_str(copy, &mpol))
		return NULL;
	/* What it does for a mount option: fit the policy to this machine. */
	mpol_shared_policy_init(&whole, mpol);
	own = mpol_shared_policy_lookup(&whole, 0);
	mpol_free_shared_policy(&whole);
	return own;
}

static int policy_set(struct shmem_inode_info *info,
		      const struct shmem_lu_policy *part)
{
	struct vm_area_struct vma;
	struct mempolicy *mpol;
	int err;

	mpol = policy_from_text(part->text);
	if (!mpol)
		return -EINVAL;
	vma_init(&vma, NULL);
	vma.vm_start = 0;
	vma.vm_end = (part->end - part->start) << PAGE_SHIFT;
	vma.vm_pgoff = part->start;
	err = mpol_set_shared_policy(&info->policy, &vma, mpol);
	mpol_put(mpol);
	return err;
}

/**
 * shmem_lu_policy_load - Give a part of a file its memory policy.
 * @info: The file's inode, new.
 * @part: The policy, checked.
 *
 * A policy that this machine cannot follow, because its nodes are gone, is
 * dropped with a message: it says where to allocate, nothing of the content.
 *
 * Context: Process context.
 */
void shmem_lu_policy_load(struct shmem_inode_info *info,
			  const struct shmem_lu_policy *part)
{
	int err = policy_set(info, part);

	if (err)
		pr_warn_ratelimited("memory policy %s of pages %llu to %llu of a file cannot be followed here (%pe)\n",
				    part->text, part->start, part->end - 1,
				    ERR_PTR(err));
}

#endif /* CONFIG_NUMA && CONFIG_TMPFS */
