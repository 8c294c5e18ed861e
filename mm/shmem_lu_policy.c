// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory policies of a preserved tmpfs file: from its shared policy tree into the
 * record, as text, and back.
 */
#define pr_fmt(fmt) "preserve: memfd: " fmt

#include <linux/kho/abi/preserve.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/shmem_fs.h>
#include <linux/string.h>

#include "shmem_lu.h"

#if defined(CONFIG_NUMA) && defined(CONFIG_TMPFS)

/**
 * shmem_lu_policies_save - Note a file's memory policies in its record.
 * @info: The file's inode.
 * @rec:  The record.
 *
 * Context: Any but interrupt.
 * Return: 0; -E2BIG if there are more than a record can hold, or a longer one:
 *         the record then has those that fit.
 */
int shmem_lu_policies_save(struct shmem_inode_info *info,
			   struct preserve_file_ser *rec)
{
	struct shared_policy *sp = &info->policy;
	unsigned int nr = 0;
	struct rb_node *rb;
	int err = 0;

	read_lock(&sp->lock);
	for (rb = rb_first(&sp->root); rb; rb = rb_next(rb)) {
		const struct sp_node *n = rb_entry(rb, struct sp_node, nd);
		struct preserve_policy_ser *ps = &rec->policies[nr];

		if (nr == PRESERVE_FILE_MAX_POLICIES) {
			err = -E2BIG;
			break;
		}
		memset(ps, 0, sizeof(*ps));
		ps->start = n->start;
		ps->end = n->end;
		mpol_to_str(ps->text, sizeof(ps->text), n->policy);
		/* It cuts off what does not fit. */
		if (strlen(ps->text) >= sizeof(ps->text) - 1)
			err = -E2BIG;
		else
			nr++;
	}
	read_unlock(&sp->lock);

	rec->nr_policies = nr;
	memset(&rec->policies[nr], 0,
	       (PRESERVE_FILE_MAX_POLICIES - nr) * sizeof(rec->policies[0]));
	return err;
}

/* A policy made from its text, for the present nodes; NULL if none is left. */
static struct mempolicy *policy_from_text(const char *text)
{
	char copy[PRESERVE_POLICY_MAX_TEXT];
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
		      const struct preserve_policy_ser *ps)
{
	struct vm_area_struct vma;
	struct mempolicy *mpol;
	int err;

	mpol = policy_from_text(ps->text);
	if (!mpol)
		return -EINVAL;
	vma_init(&vma, NULL);
	vma.vm_start = 0;
	vma.vm_end = (ps->end - ps->start) << PAGE_SHIFT;
	vma.vm_pgoff = ps->start;
	err = mpol_set_shared_policy(&info->policy, &vma, mpol);
	mpol_put(mpol);
	return err;
}

/**
 * shmem_lu_policies_load - Give a file the memory policies of its record.
 * @info: The file's inode, new.
 * @rec:  The record, checked.
 *
 * A policy that this machine cannot follow, because its nodes are gone, is
 * dropped with a message: it says where to allocate, nothing of the content.
 *
 * Context: Process context.
 */
void shmem_lu_policies_load(struct shmem_inode_info *info,
			    const struct preserve_file_ser *rec)
{
	unsigned int i;
	int err;

	for (i = 0; i < rec->nr_policies; i++) {
		err = policy_set(info, &rec->policies[i]);
		if (err)
			pr_warn_ratelimited("%s: memory policy %s of pages %llu to %llu cannot be followed here (%pe)\n",
					    rec->name, rec->policies[i].text,
					    rec->policies[i].start,
					    rec->policies[i].end - 1,
					    ERR_PTR(err));
	}
}

/**
 * shmem_lu_policy_load - Give a part of a file its memory policy.
 * @info: The file's inode, new.
 * @ps:   The policy, checked.
 *
 * Context: As shmem_lu_policies_load(), which it is for trees.
 */
void shmem_lu_policy_load(struct shmem_inode_info *info,
			  const struct preserve_policy_ser *ps)
{
	int err = policy_set(info, ps);

	if (err)
		pr_warn_ratelimited("memory policy %s of a file in a tree cannot be followed here (%pe)\n",
				    ps->text, ERR_PTR(err));
}

/**
 * shmem_lu_has_policies - Does a file have memory policies?
 * @info: The file's inode.
 *
 * Return: True if it has.
 */
bool shmem_lu_has_policies(const struct shmem_inode_info *info)
{
	return !RB_EMPTY_ROOT(&info->policy.root);
}

#endif /* CONFIG_NUMA && CONFIG_TMPFS */
