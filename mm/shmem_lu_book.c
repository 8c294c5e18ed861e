// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading the book of a tree: sections, each checked when it is read, and all runs of
 * frames that it names. And writing it, byte by byte.
 *
 * The book is a preserved file itself. Its pages are made when they are read first, so
 * a part of a tree that no task looks at is not read at all.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include "shmem_lu_tree.h"

/**
 * shmem_lu_book_read - Read a part of a book.
 * @book: The book.
 * @buf:  Where to.
 * @len:  How much, all of which has to be there.
 * @pos:  From where.
 *
 * Context: Process context.
 * Return: 0; -EUCLEAN if it ends before; or the error of reading.
 */
int shmem_lu_book_read(struct shmem_lu_book *book, void *buf, size_t len,
		       loff_t pos)
{
	struct mem_cgroup *memcg = set_active_memcg(root_mem_cgroup);
	ssize_t nr = 1;

	/* A task that looks into a tree has no right to its book, nor the duty to pay it. */
	scoped_with_kernel_creds() {
		while (len && nr > 0) {
			nr = kernel_read(book->file, buf, len, &pos);
			if (nr > 0) {
				buf += nr;
				len -= nr;
			}
		}
	}
	set_active_memcg(memcg);
	if (!len)
		return 0;
	return nr ?: -EUCLEAN;
}

/* Copies what belongs into one folio. Returns how much, or a negative errno. */
static ssize_t folio_write(struct inode *inode, const void *bytes, size_t len, loff_t pos)
{
	struct folio *folio = NULL;
	size_t offset;
	int err;

	err = shmem_get_folio(inode, pos >> PAGE_SHIFT, 0, &folio, SGP_WRITE);
	if (err)
		return err;
	if (!folio_test_uptodate(folio)) {
		folio_zero_range(folio, 0, folio_size(folio));
		folio_mark_uptodate(folio);
	}
	offset = offset_in_folio(folio, pos);
	len = min(len, folio_size(folio) - offset);
	memcpy_to_folio(folio, offset, bytes, len);
	folio_mark_dirty(folio);
	folio_unlock(folio);
	folio_put(folio);
	return len;
}

/**
 * shmem_lu_book_put - Write a part of a book.
 * @book:  The book.
 * @bytes: What to write.
 * @len:   How much.
 * @pos:   Where to; behind what was written on return.
 *
 * No limit and no right of the task that happens to save matters.
 *
 * Context: Process context. Needs no memory where something was written before.
 * Return: 0; -ENOSPC or -ENOMEM.
 */
int shmem_lu_book_put(struct shmem_lu_book *book, const void *bytes, size_t len,
		      loff_t *pos)
{
	struct mem_cgroup *memcg = set_active_memcg(root_mem_cgroup);
	struct inode *inode = file_inode(book->file);
	ssize_t nr = 0;

	while (len && nr >= 0) {
		nr = folio_write(inode, bytes, len, *pos);
		if (nr < 0)
			break;
		bytes += nr;
		len -= nr;
		*pos += nr;
		if (*pos > i_size_read(inode))
			i_size_write(inode, *pos);
		cond_resched();
	}
	set_active_memcg(memcg);
	return min(nr, 0);
}

/**
 * shmem_lu_book_new - A book without a file.
 *
 * Context: Process context.
 * Return: The book, freed by shmem_lu_book_free(); NULL if there is no memory.
 */
struct shmem_lu_book *shmem_lu_book_new(void)
{
	struct shmem_lu_book *book = kzalloc_obj(*book);

	if (!book)
		return NULL;
	mutex_init(&book->lock);
	xa_init(&book->dirs);
	xa_init(&book->links);
	xa_init(&book->names);
	return book;
}

/**
 * shmem_lu_book_open - Read the beginning of a book and check it.
 * @book:   The book; it has its file.
 * @reason: Says why not, on error.
 *
 * Context: Process context.
 * Return: 0; -EUCLEAN or another error that shmem_lu_again() takes for final if it is
 *         damaged; or the error of reading.
 */
int shmem_lu_book_open(struct shmem_lu_book *book, const char **reason)
{
	int err;

	*reason = "its beginning cannot be read";
	err = shmem_lu_book_read(book, &book->ser, sizeof(book->ser), 0);
	return err ?: preserve_tree_check(&book->ser,
					  i_size_read(file_inode(book->file)), reason);
}

/**
 * shmem_lu_book_reset - Forget what has been made of a book.
 * @book: The book; the file system that was made of it is gone.
 */
void shmem_lu_book_reset(struct shmem_lu_book *book)
{
	xa_destroy(&book->dirs);
	xa_destroy(&book->links);
	xa_destroy(&book->names);
	atomic_long_set(&book->nr_dirs, 0);
}

/**
 * shmem_lu_book_close - Free what a book takes, but for itself.
 * @book: No task reads it any more.
 */
void shmem_lu_book_close(struct shmem_lu_book *book)
{
	shmem_lu_book_reset(book);
	if (book->file)
		fput(book->file);
	book->file = NULL;
}

/**
 * shmem_lu_book_free - Free a book.
 * @book: No task knows it any more; may be NULL.
 */
void shmem_lu_book_free(struct shmem_lu_book *book)
{
	if (!book)
		return;
	shmem_lu_book_close(book);
	kfree(book);
}

/* Where the section of that number is. */
static int section_pos(struct shmem_lu_book *book, u32 kind, u64 no, u64 *pos)
{
	const struct preserve_tree_ser *ser = &book->ser;
	bool dir = kind == PRESERVE_SECTION_DIR;

	if (kind == PRESERVE_SECTION_QUOTA) {
		*pos = ser->quotas;
		return 0;
	}
	if (no >= (dir ? ser->nr_dirs : ser->nr_links))
		return -EUCLEAN;
	return shmem_lu_book_read(book, pos, sizeof(*pos),
				  (dir ? ser->dirs : ser->links) +
				  no * sizeof(*pos));
}

/**
 * shmem_lu_section_read - Read a section of which it is known where it is.
 * @book: The book.
 * @pos:  Its place.
 * @kind: PRESERVE_SECTION_*.
 * @no:   Its number.
 * @sec:  The section.
 *
 * Context: Process context.
 * Return: 0; -EUCLEAN if it is damaged; or the error of reading.
 */
int shmem_lu_section_read(struct shmem_lu_book *book, u64 pos, u32 kind, u64 no,
			  struct shmem_lu_section *sec)
{
	int err;

	if (pos < sizeof(book->ser) ||
	    pos > book->ser.length - sizeof(sec->head))
		return -EUCLEAN;
	err = shmem_lu_book_read(book, &sec->head, sizeof(sec->head), pos);
	if (err)
		return err;
	sec->pos = pos + sizeof(sec->head);
	if (sec->head.kind != kind || sec->head.no != no ||
	    sec->head.length > PRESERVE_TREE_MAX_SECTION ||
	    sec->head.length > book->ser.length - sec->pos)
		return -EUCLEAN;
	sec->bytes = kvmalloc(max(sec->head.length, 1U), GFP_KERNEL);
	if (!sec->bytes)
		return -ENOMEM;
	err = shmem_lu_book_read(book, sec->bytes, sec->head.length, sec->pos);
	if (!err && !preserve_section_ok(&sec->head, sec->bytes, pos))
		err = -EUCLEAN;
	if (err)
		shmem_lu_section_put(sec);
	return err;
}

/**
 * shmem_lu_section_get - Read a section and check that it is whole.
 * @book: The book.
 * @kind: PRESERVE_SECTION_*.
 * @no:   Its number.
 * @sec:  The section.
 *
 * Context: Process context.
 * Return: 0; -EUCLEAN if it is damaged, with a message; or the error of reading.
 */
int shmem_lu_section_get(struct shmem_lu_book *book, u32 kind, u64 no,
			 struct shmem_lu_section *sec)
{
	u64 pos;
	int err;

	sec->bytes = NULL;
	err = section_pos(book, kind, no, &pos);
	err = err ?: shmem_lu_section_read(book, pos, kind, no, sec);
	if (err == -EUCLEAN)
		pr_err_ratelimited("%s: %s %llu of the handed-over tree is damaged and refused\n",
				   book->ser.source,
				   kind == PRESERVE_SECTION_DIR ? "directory" :
				   kind == PRESERVE_SECTION_LINK ? "file" : "section",
				   no);
	return err;
}

/**
 * shmem_lu_section_get_sure - Read a section, however long memory for it takes.
 * @book: The book.
 * @kind: PRESERVE_SECTION_*.
 * @no:   Its number.
 * @sec:  The section.
 *
 * For a caller that frees or unclaims what it names, and has no second try.
 *
 * Context: Process context.
 * Return: As shmem_lu_section_get(), but not -ENOMEM.
 */
int shmem_lu_section_get_sure(struct shmem_lu_book *book, u32 kind, u64 no,
			      struct shmem_lu_section *sec)
{
	int err;

	while ((err = shmem_lu_section_get(book, kind, no, sec)) == -ENOMEM)
		memalloc_retry_wait(GFP_KERNEL);
	return err;
}

/**
 * shmem_lu_section_put - Free what shmem_lu_section_get() has read.
 * @sec: The section.
 */
void shmem_lu_section_put(struct shmem_lu_section *sec)
{
	kvfree(sec->bytes);
	sec->bytes = NULL;
}

/**
 * shmem_lu_section_reader - Begin to read what a section holds.
 * @book: Its book.
 * @sec:  The section.
 * @r:    The reader.
 */
void shmem_lu_section_reader(const struct shmem_lu_book *book,
			     const struct shmem_lu_section *sec,
			     struct preserve_tree_reader *r)
{
	r->at = sec->bytes;
	r->end = sec->bytes + sec->head.length;
	r->bad = false;
	r->epoch = book->ser.epoch;
}

/**
 * shmem_lu_inode_runs - Call a function for the runs of an inode.
 * @in:  The inode, read.
 * @end: Where the bytes end that it was read of.
 * @fn:  A result other than 0 ends it.
 *
 * Context: Process context.
 * Return: 0, or what @fn returned.
 */
int shmem_lu_inode_runs(const struct preserve_tree_inode *in, const u8 *end,
			shmem_lu_run_fn *fn)
{
	struct preserve_tree_reader r = { .at = in->runs, .end = end };
	struct preserve_tree_runs at = {};
	struct prmap_run run;
	u64 i;
	int err;

	for (i = 0; i < in->nr_runs; i++) {
		if (!preserve_tree_get_run(&r, &at, &run))
			return -EUCLEAN;
		err = fn(run.pfn, run.nr);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

static bool skip_extras(struct preserve_tree_reader *r, u32 nr)
{
	struct preserve_tree_extra extra;

	while (nr-- && preserve_tree_get_extra(r, &extra))
		;
	return !r->bad;
}

/**
 * shmem_lu_section_runs - Call a function for all runs that a section names.
 * @book: Its book.
 * @sec:  The section: a directory or a link.
 * @fn:   A result other than 0 ends it.
 *
 * Context: Process context.
 * Return: 0; -EUCLEAN; or what @fn returned.
 */
int shmem_lu_section_runs(const struct shmem_lu_book *book,
			  const struct shmem_lu_section *sec,
			  shmem_lu_run_fn *fn)
{
	struct preserve_tree_entry entry = { .kind = PRESERVE_ENTRY_INODE };
	bool dir = sec->head.kind == PRESERVE_SECTION_DIR;
	struct preserve_tree_reader r;
	u32 i;
	int err;

	shmem_lu_section_reader(book, sec, &r);
	for (i = 0; i < sec->head.nr; i++) {
		if (dir ? !preserve_tree_get_entry(&r, &entry) :
			  !preserve_tree_get_inode(&r, &entry.inode))
			return -EUCLEAN;
		if (entry.kind != PRESERVE_ENTRY_INODE)
			continue;
		err = shmem_lu_inode_runs(&entry.inode, r.end, fn);
		if (err)
			return err;
		if (!skip_extras(&r, entry.inode.nr_extras))
			return -EUCLEAN;
	}
	return 0;
}

/**
 * shmem_lu_book_runs - Call a function for all runs that a book names.
 * @book: The book.
 * @fn:   Its result is not looked at.
 *
 * Sections that are damaged are passed over.
 *
 * Context: Process context.
 * Return: 0, or the first error of a section.
 */
int shmem_lu_book_runs(struct shmem_lu_book *book, shmem_lu_run_fn *fn)
{
	static const u32 kinds[] = { PRESERVE_SECTION_DIR, PRESERVE_SECTION_LINK };
	const u64 nr[] = { book->ser.nr_dirs, book->ser.nr_links };
	struct shmem_lu_section sec;
	unsigned int k;
	int err, first = 0;
	u64 no;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (no = 0; no < nr[k]; no++) {
			err = shmem_lu_section_get_sure(book, kinds[k], no, &sec);
			if (!err) {
				err = shmem_lu_section_runs(book, &sec, fn);
				shmem_lu_section_put(&sec);
			}
			first = first ?: err;
			cond_resched();
		}
	}
	return first;
}

/**
 * shmem_lu_frames_release - Free handed-over frames that no file has taken.
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Frames that are not handed over, or taken by another file, are left alone.
 *
 * Context: Process context.
 * Return: 0.
 */
int shmem_lu_frames_release(unsigned long pfn, unsigned long nr)
{
	if (preserve_take(pfn, nr))
		preserve_frames_put(pfn, nr);
	return 0;
}

/**
 * shmem_lu_claim - Claim frames for the next kernel.
 * @pfn: First frame.
 * @nr:  How many.
 *
 * A damaged book may name frames that are not the pool's, or the same frames twice.
 * The next kernel finds an owner for none of the former and one for the latter, and
 * refuses the other's data alone.
 *
 * Context: Any.
 * Return: 0.
 */
int shmem_lu_claim(unsigned long pfn, unsigned long nr)
{
	preserve_claim(pfn, nr);
	return 0;
}

/**
 * shmem_lu_unclaim - Undo shmem_lu_claim().
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Context: Any.
 * Return: 0.
 */
int shmem_lu_unclaim(unsigned long pfn, unsigned long nr)
{
	preserve_unclaim(pfn, nr);
	return 0;
}
