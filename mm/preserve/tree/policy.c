// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file's memory policies as extras: noted for the next kernel and given back there.
 */
#include <linux/kho/abi/preserve_tree.h>
#include <linux/mempolicy.h>
#include <linux/preserve.h>
#include <linux/string.h>

#include "tree.h"

/**
 * preserve_tree_policies_note - Note a file's memory policies.
 * @sp: The file's.
 * @w:  Where to, as extras. If there is no room for a policy, it has those that fit.
 * @nr: Counted up by what was noted.
 *
 * Context: Process context.
 * Return: 0; -ENOMEM; -E2BIG or -EFBIG if @w has no more room, or a policy's text is
 *         too long.
 */
int preserve_tree_policies_note(struct shared_policy *sp, struct preserve_tree_writer *w,
				u32 *nr)
{
	struct preserve_policy part;
	u64 index = 0;
	size_t len;
	int more;

	while ((more = preserve_policy_next(sp, index, &part)) > 0) {
		len = w->len;
		preserve_tree_put_extra(w, PRESERVE_EXTRA_POLICY, part.text, &part,
					offsetof(struct preserve_policy, text));
		if (w->err) {
			w->len = len;
			return w->err;
		}
		index = part.end;
		++*nr;
		cond_resched();
	}
	return more;
}

/**
 * preserve_tree_policy_load - Give a file one of its memory policies.
 * @sp:    The file's; it is new.
 * @extra: Of kind %PRESERVE_EXTRA_POLICY, not trusted.
 *
 * Context: Process context.
 * Return: 0 or -EUCLEAN.
 */
int preserve_tree_policy_load(struct shared_policy *sp, const struct preserve_tree_extra *extra)
{
	struct preserve_policy part = {};

	if (extra->value_len != offsetof(struct preserve_policy, text) ||
	    extra->name_len >= sizeof(part.text))
		return -EUCLEAN;
	memcpy(&part, extra->value, extra->value_len);
	memcpy(part.text, extra->name, extra->name_len);
	if (part.end <= part.start ||
	    part.end > (MAX_LFS_FILESIZE >> PAGE_SHIFT) + 1)
		return -EUCLEAN;
	preserve_policy_load(sp, &part);
	return 0;
}
