// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory policies: folios by them, and the policies of the parts of a file as text and
 * back.
 *
 * The pool follows a policy as folio_alloc_mpol() does: it takes the nodemask and the
 * preferred node that mm/mempolicy.c makes of it. Text is that of the mount option mpol=.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/string.h>

#include "../internal.h"
#include "file.h"

#ifdef CONFIG_NUMA

/**
 * preserve_alloc_mpol - A folio of the pool, where a memory policy wants it.
 * @rq:   What is asked for; its @nid is the local node. Its node and nodes are changed.
 * @mpol: The policy.
 * @ilx:  Where the folio stands in an interleaved range.
 *
 * Context: As preserve_alloc_folio().
 * Return: The folio, or NULL.
 */
struct folio *preserve_alloc_mpol(struct preserve_request *rq,
				  struct mempolicy *mpol, pgoff_t ilx)
{
	struct folio *folio;

	rq->nodemask = policy_nodemask(rq->gfp, mpol, ilx, &rq->nid);
	folio = preserve_alloc_folio(rq);
	/* This one prefers its nodes, and takes others. */
	if (!folio && mpol->mode == MPOL_PREFERRED_MANY) {
		rq->nodemask = NULL;
		folio = preserve_alloc_folio(rq);
	}
	return folio;
}

#endif /* CONFIG_NUMA */

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
 * preserve_policy_next - The next part of a file that has a memory policy.
 * @sp:    The file's policies.
 * @index: Page index to go on from.
 * @part:  The part, and its policy as text.
 *
 * Context: Any but interrupt.
 * Return: 1; 0 if there is none; -E2BIG for a policy with a longer text.
 */
int preserve_policy_next(struct shared_policy *sp, u64 index,
			 struct preserve_policy *part)
{
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
	char copy[PRESERVE_POLICY_TEXT];
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

static int policy_set(struct shared_policy *sp, const struct preserve_policy *part)
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
	err = mpol_set_shared_policy(sp, &vma, mpol);
	mpol_put(mpol);
	return err;
}

/**
 * preserve_policy_load - Give a part of a file its memory policy.
 * @sp:   The file's policies; the file is new.
 * @part: The policy, checked.
 *
 * A policy that this machine cannot follow, because its nodes are gone, is
 * dropped with a message: it says where to allocate, nothing of the content.
 *
 * Context: Process context.
 */
void preserve_policy_load(struct shared_policy *sp,
			  const struct preserve_policy *part)
{
	int err = policy_set(sp, part);

	if (err)
		pr_warn_ratelimited("memory policy %s of pages %llu to %llu of a file cannot be followed here (%pe)\n",
				    part->text, part->start, part->end - 1,
				    ERR_PTR(err));
}

#endif /* CONFIG_NUMA && CONFIG_TMPFS */
