// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of hugetlb whose folios stay where they are while they are preserved, and folios that
 * have to move before, because they lie where nothing can cross.
 *
 * KHO boots the next kernel from memory that is CMA here, and huge pages that are made at run
 * time may lie in it.
 */
#define pr_fmt(fmt) "preserve: hugetlb: " fmt

#include <linux/cpuset.h>
#include <linux/folio_batch.h>
#include <linux/fs.h>
#include <linux/hugetlb_lu.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>

#include "internal.h"

/* Attempts at a file to which folios keep coming that have to move. */
#define TRIES	3

/* Free huge pages of a node that are looked at with interrupts off. */
#define LOOKS	64

/* If this changes, review folios_move(). */
static_assert(__same_type(alloc_migration_target,
			  struct folio *(struct folio *, unsigned long)));

/**
 * hugetlb_lu_wait_for_faults - Wait for tasks that bring a folio into any file.
 *
 * They may have looked for what the core keeps of the file before it was there. All of them hold
 * one of these mutexes.
 *
 * Context: Process context.
 */
void hugetlb_lu_wait_for_faults(void)
{
	int i;

	for (i = 0; i < num_fault_mutexes; i++) {
		mutex_lock(&hugetlb_fault_mutex_table[i]);
		mutex_unlock(&hugetlb_fault_mutex_table[i]);
		cond_resched();
	}
}

/**
 * hugetlb_lu_file_prepare - Let the memory of a file stay in its place.
 * @inode: The file's, any of hugetlb.
 *
 * Context: Process context, the inode locked. A task that brings a folio may have looked before:
 *          unless it returns 0, the caller waits for such tasks before the file is preserved.
 * Return: 1; 0 if it was so before; -ENOMEM.
 */
int hugetlb_lu_file_prepare(struct inode *inode)
{
	struct preserve_file *pf = preserve_file_new(inode->i_mapping, &hugetlb_lu_file_ops);

	if (!pf)
		return -ENOMEM;
	if (preserve_file_in_place(pf))
		return 0;
	return preserve_in_place_init(pf) ?: 1;
}

/* What the core keeps for a file that is about to be preserved. */
static struct preserve_file *file_begin(struct inode *inode)
{
	int err = hugetlb_lu_file_prepare(inode);

	if (err > 0)
		hugetlb_lu_wait_for_faults();
	return err < 0 ? ERR_PTR(err) : preserve_file_of(inode->i_mapping);
}

/* A free huge page that lies where nothing can cross. NULL if none is found soon. */
static struct folio *unfit_find(struct hstate *h, const nodemask_t *nodes)
{
	struct folio *folio;
	unsigned int left;
	int nid;

	guard(spinlock_irq)(&hugetlb_lock);
	for_each_node_state(nid, N_MEMORY) {
		if ((nodes && !node_isset(nid, *nodes)) ||
		    !node_isset(nid, cpuset_current_mems_allowed))
			continue;
		left = LOOKS;
		list_for_each_entry(folio, &h->hugepage_freelists[nid], lru) {
			if (!preserve_folio_may_cross(folio))
				return folio;
			if (!--left)
				break;
		}
	}
	return NULL;
}

/**
 * hugetlb_lu_exchange - Exchange a free huge page that cannot cross for one that can.
 * @h:     Its hstate.
 * @mpoli: Says on which nodes.
 *
 * Context: Process context, may sleep.
 * Return: False if there is none, or no memory for another.
 */
bool hugetlb_lu_exchange(struct hstate *h, const struct mempolicy_interpreted *mpoli)
{
	/* A preference does not keep the others out. */
	struct folio *folio = unfit_find(h, mpoli->mode == MPOL_PREFERRED_MANY ?
					    NULL : mpoli->nodemask);
	unsigned int flags;
	LIST_HEAD(list);
	int err;

	if (!folio)
		return false;
	flags = memalloc_pin_save();
	err = isolate_or_dissolve_huge_folio(folio, &list);
	memalloc_pin_restore(flags);
	/* It may have been allocated meanwhile. */
	putback_movable_pages(&list);
	return err != -ENOMEM;
}

/* Takes the folios of a file off hugetlb's lists that have to move. */
static void folios_isolate(struct address_space *mapping, struct list_head *list)
{
	struct folio_batch batch;
	pgoff_t index = 0;
	unsigned int i;

	folio_batch_init(&batch);
	while (filemap_get_folios(mapping, &index, ULONG_MAX, &batch)) {
		for (i = 0; i < folio_batch_count(&batch); i++)
			if (!preserve_folio_may_cross(batch.folios[i]))
				folio_isolate_hugetlb(batch.folios[i], list);
		folio_batch_release(&batch);
		cond_resched();
	}
}

/* Moves them to where they can cross. What does not move is found by the next look. */
static int folios_move(struct address_space *mapping)
{
	struct migration_target_control mtc = {
		.nid = NUMA_NO_NODE,
		.gfp_mask = GFP_USER | __GFP_NOWARN,
		.reason = MR_LONGTERM_PIN,
	};
	unsigned int flags;
	LIST_HEAD(list);
	int err;

	folios_isolate(mapping, &list);
	if (list_empty(&list))
		return 0;
	flags = memalloc_pin_save();
	err = migrate_pages(&list, alloc_migration_target, NULL, (unsigned long)&mtc,
			    MIGRATE_SYNC, MR_LONGTERM_PIN, NULL);
	memalloc_pin_restore(flags);
	putback_movable_pages(&list);
	return err > 0 ? -EBUSY : err;
}

/* No folio of the file is fixed any more, and its map is forgotten. */
static int file_loosen(struct preserve_file *pf, struct address_space *mapping)
{
	int err = preserve_file_restore_all(pf, GFP_KERNEL | __GFP_NOFAIL);

	if (!err)
		preserve_leave(mapping);
	return err;
}

static int fix(struct preserve_file *pf, struct address_space *mapping)
{
	int tries, err;

	for (tries = 0; tries < TRIES; tries++) {
		err = preserve_in_place_enter(pf);
		if (err != -EAGAIN)
			return err;
		err = file_loosen(pf, mapping) ?: folios_move(mapping);
		if (err)
			return err;
	}
	return -EBUSY;
}

/**
 * hugetlb_lu_fix - Let no folio of a file move from now on, and see to it that all can cross.
 * @inode: The file's, not preserved.
 *
 * Context: Process context, the inode locked, no folio locked.
 * Return: 0; -ENOMEM if there is no huge page to move one to; -EBUSY if one cannot move for
 *         now; -EINTR. On error the file is as before.
 */
int hugetlb_lu_fix(struct inode *inode)
{
	struct address_space *mapping = inode->i_mapping;
	bool plain = !preserve_mapping(mapping);
	struct preserve_file *pf;
	int err;

	pf = file_begin(inode);
	if (IS_ERR(pf))
		return PTR_ERR(pf);
	err = fix(pf, mapping);
	if (!err && plain)
		preserve_file_set_plain(pf, true);
	else if (err && plain)
		preserve_leave(mapping);
	else if (err)
		preserve_in_place_keep(pf);
	return err;
}

/**
 * hugetlb_lu_unfix - Let the folios of a file move again, unless it is fixed for good.
 * @inode: The file's, not preserved any more.
 *
 * Context: Process context, the inode locked.
 */
void hugetlb_lu_unfix(struct inode *inode)
{
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);

	if (pf && preserve_file_is_plain(pf))
		preserve_leave(inode->i_mapping);
}
