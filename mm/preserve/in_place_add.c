// SPDX-License-Identifier: GPL-2.0-only
/*
 * Folios that come into files whose memory stays in its place, and files that are about to be
 * such: what the file system tells. See in_place.c.
 */
#include <linux/folio_batch.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/rwsem.h>

#include "file.h"

/* For a file that the core knows, with @adding held. */
static int begin(struct preserve_file *pf, struct folio *folio)
{
	const bool live = READ_ONCE(pf->phase) == PRESERVE_LIVE;

	if (!preserve_folio_may_cross(folio)) {
		if (!live)
			return -EAGAIN;
		preserve_in_place_doubt(pf);
	}
	return live ? 0 : preserve_in_place_join(pf, folio);
}

/* Lets no task claim or freeze the file, once it is not frozen. */
static int hold(struct preserve_file *pf)
{
	int err;

	while (!(err = preserve_file_wait(pf))) {
		down_read(&pf->in_place->adding);
		if (!preserve_file_frozen(pf))
			break;
		up_read(&pf->in_place->adding);
	}
	return err;
}

/**
 * preserve_in_place_begin - A folio is about to come into a file.
 * @mapping: The file's.
 * @folio:   The folio, not in the page cache yet.
 *
 * Waits while the file is frozen for the next kernel.
 *
 * Context: Process context, may sleep; no folio of the file locked.
 * Return: What preserve_in_place_end() needs, perhaps NULL; or an ERR_PTR: -EINTR if the task
 *         is being killed; -EAGAIN if the folio lies where it cannot cross: another one is
 *         needed; -ENOMEM.
 */
struct preserve_file *preserve_in_place_begin(struct address_space *mapping,
					      struct folio *folio)
{
	struct preserve_file *pf = preserve_file_of(mapping);
	int err;

	/* Pairs with preserve_in_place_init(). */
	if (likely(!pf) || !smp_load_acquire(&pf->in_place))
		return NULL;
	err = hold(pf);
	if (err)
		return ERR_PTR(err);
	err = begin(pf, folio);
	if (!err)
		return pf;
	up_read(&pf->in_place->adding);
	return ERR_PTR(err);
}

/**
 * preserve_in_place_end - A folio has come, or not.
 * @pf:    From preserve_in_place_begin().
 * @folio: The folio.
 * @err:   Why it has not come; 0 if it has.
 *
 * Context: Process context, may sleep.
 */
void preserve_in_place_end(struct preserve_file *pf, struct folio *folio, int err)
{
	if (!pf)
		return;
	if (err && READ_ONCE(pf->phase) != PRESERVE_LIVE)
		preserve_in_place_quit(pf, folio);
	up_read(&pf->in_place->adding);
}

/* Looks for folios that lie where they cannot cross. */
static bool any_unfit(struct address_space *mapping)
{
	struct folio_batch batch;
	bool found = false;
	pgoff_t index = 0;
	unsigned int i;

	folio_batch_init(&batch);
	while (!found && filemap_get_folios(mapping, &index, ULONG_MAX, &batch)) {
		for (i = 0; i < folio_batch_count(&batch) && !found; i++)
			found = !preserve_folio_may_cross(batch.folios[i]);
		folio_batch_release(&batch);
		cond_resched();
	}
	return found;
}

/**
 * preserve_in_place_enter - From now on no folio of a file moves.
 * @pf: The file, not preserved.
 *
 * Folios may still come, also such as cannot cross.
 *
 * Context: Process context, the inode locked, no folio locked.
 * Return: 0; -EAGAIN if a folio has to move before the file can be preserved, which takes
 *         preserve_leave() first; -EINTR as for preserve_enter().
 */
int preserve_in_place_enter(struct preserve_file *pf)
{
	int err;

	if (preserve_mapping(pf->mapping))
		return READ_ONCE(pf->in_place->unfit) ? -EAGAIN : 0;
	/* Each folio that comes later says so again. */
	preserve_in_place_lock(pf);
	pf->in_place->unfit = false;
	preserve_in_place_unlock(pf);
	err = preserve_enter(pf->mapping);
	if (err)
		return err;
	if (any_unfit(pf->mapping))
		preserve_in_place_doubt(pf);
	return READ_ONCE(pf->in_place->unfit) ? -EAGAIN : 0;
}

/**
 * preserve_in_place_keep - After preserve_in_place_enter() has failed, let no folio move.
 * @pf: The file, one whose folios do not move in general.
 *
 * Some may lie where they cannot cross: the next time they are looked for again.
 *
 * Context: Process context, the inode locked, no folio locked.
 */
void preserve_in_place_keep(struct preserve_file *pf)
{
	preserve_enter(pf->mapping);
	preserve_in_place_doubt(pf);
}

struct folio *__preserve_lock_folio(struct address_space *mapping, pgoff_t index)
{
	struct preserve_file *pf = preserve_file_of(mapping);
	int err;

	if (pf && preserve_file_incomplete(pf)) {
		err = preserve_file_restore_at(pf, index, GFP_KERNEL | __GFP_NOFAIL);
		if (err)
			return ERR_PTR(err == -ENOENT ? err : -EIO);
	}
	/* The last missing one may have come since the caller looked. */
	return filemap_lock_folio(mapping, index);
}
