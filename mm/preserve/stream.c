// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes of the kernel's own that cross a kexec: a stream, in pages of the pool.
 *
 * A stream is written from its beginning to its end, preserved, and read by the next kernel, or
 * by this one, to undo what it says. It has no inode and no page cache. So the limits, the
 * rights and the memory cgroup of the task at hand do not matter, reading needs no memory, and
 * there is nothing to freeze: what is overwritten in place is what the next kernel reads.
 *
 * Which pages it has is in a map like that of a file, and it has a record like a file's. The
 * pages never move.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include <trace/events/preserve.h>

#include "file.h"

/* Bytes that are copied in one go. */
#define PART	SZ_1M

/**
 * preserve_stream_init - Make an empty stream.
 * @s: The stream.
 */
void preserve_stream_init(struct preserve_stream *s)
{
	*s = (struct preserve_stream) {};
	prmap_init(&s->map, PRMAP_FILE, &preserve_pool_map_ops, NULL);
}

/* --- writing --- */

/* Behind the last page, so that all of them are few runs. */
static unsigned long stream_goal(const struct preserve_stream *s)
{
	struct prmap_run run;
	u64 nr = prmap_nr_keys(&s->map);

	if (!nr || prmap_lookup(&s->map, nr - 1, &run))
		return 0;
	return run.pfn + run.nr;
}

static int stream_map_page(struct preserve_stream *s, const struct folio *folio)
{
	const struct prmap_run run = {
		.index = prmap_nr_keys(&s->map), .pfn = folio_pfn(folio), .nr = 1,
	};
	int err = prmap_set(&s->map, &run);

	/* The pool may be short of pages for maps, and can grow. */
	if (err == -ENOMEM && preserve_pool_more(numa_mem_id(), GFP_KERNEL, 1))
		err = prmap_set(&s->map, &run);
	return err;
}

/* One page more, zeroed: what is behind the end of the stream crosses, too. */
static int stream_grow(struct preserve_stream *s)
{
	const struct preserve_request rq = {
		.gfp = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN,
		.nid = numa_mem_id(),
		.goal = stream_goal(s),
		.kernel = true,
	};
	struct folio *folio = preserve_alloc_folio(&rq);

	if (!folio)
		return -ENOSPC;
	if (!stream_map_page(s, folio))
		return 0;
	folio_put(folio);
	return -ENOSPC;
}

/*
 * Where @pos is. *@len becomes what is there in a row, or a part of it. NULL: the stream has
 * no such page.
 */
static void *stream_at(const struct preserve_stream *s, u64 pos, size_t *len)
{
	u64 index = pos >> PAGE_SHIFT, left;
	struct prmap_run run;

	if (prmap_lookup(&s->map, index, &run))
		return NULL;
	left = ((run.index + run.nr) << PAGE_SHIFT) - pos;
	*len = min3(*len, left, PART);
	return pfn_to_kaddr(run.pfn + (index - run.index)) + offset_in_page(pos);
}

/**
 * preserve_stream_write - Write into a stream, at its end or in it.
 * @s:     The stream. While it is preserved it cannot grow.
 * @bytes: What to write.
 * @len:   How much.
 * @pos:   Where to, not behind the end; behind what was written on return.
 *
 * Needs no memory, and cannot fail, where something was written before.
 *
 * Context: Process context, no folio locked; the caller is alone with the stream.
 * Return: 0; -ENOSPC if the pool has no room.
 */
int preserve_stream_write(struct preserve_stream *s, const void *bytes, size_t len, u64 *pos)
{
	size_t part;
	void *at;
	int err;

	while (len) {
		part = len;
		at = stream_at(s, *pos, &part);
		if (!at) {
			err = stream_grow(s);
			if (err)
				return err;
			continue;
		}
		memcpy(at, bytes, part);
		bytes += part;
		len -= part;
		*pos += part;
		s->length = max(s->length, *pos);
		cond_resched();
	}
	return 0;
}

/* --- reading --- */

/**
 * preserve_stream_read - Read a part of a stream.
 * @s:   The stream.
 * @buf: Where to.
 * @len: How much, all of which has to be there.
 * @pos: From where.
 *
 * Context: Process context. Other tasks may read as well.
 * Return: 0; -EUCLEAN if it ends before, or has no such page; -EIO if a page is defective.
 */
int preserve_stream_read(const struct preserve_stream *s, void *buf, size_t len, u64 pos)
{
	unsigned long pages;
	size_t part;
	void *at;

	if (pos > s->length || len > s->length - pos)
		return -EUCLEAN;
	while (len) {
		part = len;
		at = stream_at(s, pos, &part);
		if (!at)
			return -EUCLEAN;
		pages = DIV_ROUND_UP(offset_in_page(pos) + part, PAGE_SIZE);
		if (preserve_frames_defective(PHYS_PFN(virt_to_phys(at)), pages) ||
		    copy_mc_to_kernel(buf, at, part))
			return -EIO;
		buf += part;
		len -= part;
		pos += part;
		cond_resched();
	}
	return 0;
}

/* --- preserving --- */

static int stream_claim_page(void *ctx, u64 phys)
{
	return preserve_claim(PHYS_PFN(phys), 1) ? -EBUSY : 0;
}

static int stream_unclaim_page(void *ctx, u64 phys)
{
	preserve_unclaim(PHYS_PFN(phys), 1);
	return 0;
}

/* Calls @fn for all runs, as long as it returns 0. */
static int stream_run_for_each(const struct preserve_stream *s,
			       int (*fn)(unsigned long pfn, unsigned long nr))
{
	struct prmap_run run;
	u64 index = 0;
	int err = 0;

	while (!err && prmap_next(&s->map, index, &run)) {
		err = fn(run.pfn, run.nr);
		index = run.index + run.nr;
		cond_resched();
	}
	return err;
}

static int stream_claim_run(unsigned long pfn, unsigned long nr)
{
	return preserve_claim(pfn, nr) ? -EBUSY : 0;
}

static int stream_unclaim_run(unsigned long pfn, unsigned long nr)
{
	preserve_unclaim(pfn, nr);
	return 0;
}

/* All of it is the stream's own: it may be unclaimed also if only a part was claimed. */
static void stream_unclaim(struct preserve_stream *s)
{
	stream_run_for_each(s, stream_unclaim_run);
	prmap_walk_pages(&s->map, stream_unclaim_page, NULL);
	stream_unclaim_page(NULL, virt_to_phys(s->record));
}

static int stream_claim(struct preserve_stream *s)
{
	int err = stream_claim_page(NULL, virt_to_phys(s->record));

	err = err ?: stream_run_for_each(s, stream_claim_run);
	err = err ?: prmap_walk_pages(&s->map, stream_claim_page, NULL);
	if (err)
		stream_unclaim(s);
	return err;
}

static void stream_record_fill(struct preserve_stream *s, u32 kind, const char *name)
{
	struct preserve_file_ser *rec = s->record;

	rec->kind = kind;
	rec->i_size = s->length;
	strscpy(rec->name, name, sizeof(rec->name));
	rec->name_len = strlen(rec->name);
	prmap_commit(&s->map, &rec->map);
	preserve_record_commit(rec);
}

/**
 * preserve_stream_preserve - Let the next kernel have a stream.
 * @s:      The stream, written to its end.
 * @kind:   PRESERVE_FILE_*.
 * @name:   For messages.
 * @handle: On success, what the next kernel retrieves it by.
 *
 * Context: Process context.
 * Return: 0; -EOPNOTSUPP if this kernel cannot hand over; -ENOSPC if the pool has no page
 *         for the record; -EBUSY if a page is claimed already. Nothing is claimed then.
 */
int preserve_stream_preserve(struct preserve_stream *s, u32 kind, const char *name, u64 *handle)
{
	int err;

	if (!preserve_can_hand_over())
		return -EOPNOTSUPP;
	s->record = preserve_page_get();
	if (!s->record && preserve_pool_more(numa_mem_id(), GFP_KERNEL, 1))
		s->record = preserve_page_get();
	if (!s->record)
		return -ENOSPC;
	err = stream_claim(s);
	trace_preserve_claim(virt_to_phys(s->record), prmap_nr_keys(&s->map),
			     prmap_nr_runs(&s->map), err);
	if (err) {
		preserve_page_put(s->record);
		s->record = NULL;
		return err;
	}
	stream_record_fill(s, kind, name);
	atomic_long_inc(&preserve_nr_files);
	*handle = virt_to_phys(s->record);
	return 0;
}

/**
 * preserve_stream_unpreserve - Undo preserve_stream_preserve().
 * @s: The stream.
 *
 * Context: Process context.
 */
void preserve_stream_unpreserve(struct preserve_stream *s)
{
	trace_preserve_unclaim(virt_to_phys(s->record), prmap_nr_keys(&s->map),
			       prmap_nr_runs(&s->map), 0);
	stream_unclaim(s);
	preserve_page_put(s->record);
	s->record = NULL;
	atomic_long_dec(&preserve_nr_files);
}

/* --- retrieving --- */

/**
 * preserve_stream_retrieve - Become the owner of a stream that the last kernel preserved.
 * @s:      Set up; freed by preserve_stream_free().
 * @handle: From preserve_stream_preserve(), not trusted.
 * @kind:   PRESERVE_FILE_*.
 *
 * It has as many pages as bytes; these are not looked at.
 *
 * Context: Process context.
 * Return: 0, or as preserve_record_take(), with a message: @s is as it was then.
 */
int preserve_stream_retrieve(struct preserve_stream *s, u64 handle, u32 kind)
{
	struct preserve_file_ser *rec;
	struct prmap map;

	rec = preserve_record_take(handle, kind, &map);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	s->map = map;
	s->length = rec->i_size;
	s->record = NULL;
	s->crossed = true;
	preserve_record_free(rec);
	preserve_note_retrieved();
	return 0;
}

static int stream_put_folios(unsigned long pfn, unsigned long nr)
{
	for (; nr; nr--, pfn++) {
		put_page(pfn_to_page(pfn));
		cond_resched();
	}
	return 0;
}

/**
 * preserve_stream_free - Give a stream's memory back.
 * @s: The stream, not preserved; empty afterwards.
 *
 * Context: Process context.
 */
void preserve_stream_free(struct preserve_stream *s)
{
	if (s->crossed) {
		preserve_map_release(&s->map, PRESERVE_FILE_TREE);
	} else {
		stream_run_for_each(s, stream_put_folios);
		prmap_destroy(&s->map);
	}
	preserve_stream_init(s);
}
