// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whose memory a file takes: pages of the pool cannot be swapped out, so what an
 * ordinary user has of them counts as locked memory (RLIMIT_MEMLOCK).
 *
 * The count is that of the user that has made the file, as for SysV shared memory that
 * is locked, and so is the limit, as it was then, whichever task writes the file. Files of
 * users that may lock any amount are not counted.
 *
 * Life: preserve_file_set_user() when the file is made; preserve_file_charge() before
 * pages come, under the lock under which they do; preserve_file_uncharge() when they
 * have gone. A page that was charged for and has not come is there for the next.
 *
 * A file that has crossed counts for the same user, and the limit crosses with it. As many
 * pages as have crossed are never refused: memory in use is not taken away, and what is
 * given back for a moment can be had again.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/user_namespace.h>

#include "file.h"

/**
 * preserve_file_set_user - Let a file's memory count as locked by a user.
 * @pf:      The file. It counts for no user then, until it is charged for.
 * @ucounts: The user, whose reference is taken over; NULL: count it for no user.
 * @most:    Pages that the user may have locked, all in all; ULONG_MAX for no limit.
 *
 * Context: Process context.
 */
void preserve_file_set_user(struct preserve_file *pf, struct ucounts *ucounts,
			    unsigned long most)
{
	struct ucounts *old;

	xa_lock_irq(&pf->mapping->i_pages);
	preserve_file_uncharge(pf, pf->nr_charged);
	old = pf->ucounts;
	pf->ucounts = ucounts;
	pf->most = most;
	xa_unlock_irq(&pf->mapping->i_pages);
	if (old)
		put_ucounts(old);
}

/**
 * preserve_file_note_user - Note in a file's record whose locked memory it is.
 * @pf:  The file.
 * @rec: Its record.
 *
 * Context: Any.
 */
void preserve_file_note_user(const struct preserve_file *pf,
			     struct preserve_file_ser *rec)
{
	rec->user = pf->ucounts ? from_kuid(&init_user_ns, pf->ucounts->uid) :
				  PRESERVE_FILE_NOBODY;
	rec->memlock = pf->most;
}

/**
 * preserve_file_restore_user - The opposite.
 * @pf:  The file, with nothing charged.
 * @rec: Its record.
 *
 * Context: Process context.
 * Return: 0 or -ENOMEM.
 */
int preserve_file_restore_user(struct preserve_file *pf,
			       const struct preserve_file_ser *rec)
{
	kuid_t user = make_kuid(&init_user_ns, rec->user);
	struct ucounts *ucounts = NULL;

	if (rec->user != PRESERVE_FILE_NOBODY) {
		ucounts = alloc_ucounts(&init_user_ns, user);
		if (!ucounts)
			return -ENOMEM;
	}
	preserve_file_set_user(pf, ucounts, rec->memlock);
	return 0;
}

/**
 * preserve_file_charge - Pages are about to come.
 * @pf: The file.
 * @nr: How many.
 *
 * Context: xa_lock of i_pages held until they have come, interrupts off.
 * Return: False if its user may have no more.
 */
bool preserve_file_charge(struct preserve_file *pf, unsigned long nr)
{
	u64 all = pf->mapping->nrpages + pf->nr_unrestored + nr;
	unsigned long crossed = pf->restore ? pf->restore->nr_crossed : 0;
	long locked;

	if (likely(!pf->ucounts) || all <= pf->nr_charged)
		return true;
	nr = all - pf->nr_charged;
	locked = inc_rlimit_ucounts(pf->ucounts, UCOUNT_RLIMIT_MEMLOCK, nr);
	/* LONG_MAX: more than a user namespace may have. */
	if ((locked == LONG_MAX || (unsigned long)locked > pf->most) &&
	    all > crossed) {
		dec_rlimit_ucounts(pf->ucounts, UCOUNT_RLIMIT_MEMLOCK, nr);
		return false;
	}
	pf->nr_charged = all;
	return true;
}

/**
 * preserve_file_charge_crossed - Count what a file has, whatever the limit.
 * @pf: A file that has crossed, with all of its memory; nothing is charged yet.
 * @nr: Its pages.
 *
 * Context: xa_lock of i_pages held; no other task uses the file.
 */
void preserve_file_charge_crossed(struct preserve_file *pf, unsigned long nr)
{
	if (!pf->ucounts)
		return;
	pf->restore->nr_crossed = nr;
	pf->nr_charged = nr;
	inc_rlimit_ucounts(pf->ucounts, UCOUNT_RLIMIT_MEMLOCK, nr);
}

/**
 * preserve_file_uncharge - Pages have gone.
 * @pf: The file.
 * @nr: How many.
 *
 * Context: xa_lock of i_pages held.
 */
void preserve_file_uncharge(struct preserve_file *pf, unsigned long nr)
{
	if (likely(!pf->ucounts))
		return;
	nr = min(nr, pf->nr_charged);
	dec_rlimit_ucounts(pf->ucounts, UCOUNT_RLIMIT_MEMLOCK, nr);
	pf->nr_charged -= nr;
}
