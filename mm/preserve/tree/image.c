// SPDX-License-Identifier: GPL-2.0-only
/*
 * The image of a tree: sections, each checked when it is read, and all runs of frames that
 * it names. A part of a tree that no task looks at is not read at all.
 */
#define pr_fmt(fmt) "preserve: tree: " fmt

#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "tree.h"

/**
 * preserve_image_new - An image without bytes.
 *
 * Context: Process context.
 * Return: The image, freed by preserve_image_free(); NULL if there is no memory.
 */
struct preserve_tree_image *preserve_image_new(void)
{
	struct preserve_tree_image *image = kzalloc_obj(*image);

	if (!image)
		return NULL;
	preserve_stream_init(&image->stream);
	mutex_init(&image->lock);
	xa_init(&image->dirs);
	xa_init(&image->links);
	xa_init(&image->names);
	return image;
}

/**
 * preserve_image_reset - Forget what has been made of an image.
 * @image: The image; the file system that was made of it is gone.
 */
void preserve_image_reset(struct preserve_tree_image *image)
{
	xa_destroy(&image->dirs);
	xa_destroy(&image->links);
	xa_destroy(&image->names);
	atomic_long_set(&image->nr_dirs, 0);
}

/* Frees what it takes, but for itself. */
static void image_close(struct preserve_tree_image *image)
{
	preserve_image_reset(image);
	preserve_stream_free(&image->stream);
}

/**
 * preserve_image_free - Free an image.
 * @image: No task knows it any more, and it is not preserved; may be NULL.
 */
void preserve_image_free(struct preserve_tree_image *image)
{
	if (!image)
		return;
	image_close(image);
	kfree(image);
}

/**
 * preserve_image_release - Something of an incoming image has been made, or is gone.
 * @image: The image.
 *
 * Context: Process context; its lock not held.
 */
void preserve_image_release(struct preserve_tree_image *image)
{
	if (atomic_long_dec_and_test(&image->refs))
		image_close(image);
}

/**
 * preserve_tree_put_super - A file system goes away.
 * @ts: What is kept for it.
 *
 * Context: Process context; none of its inodes is there any more.
 */
void preserve_tree_put_super(struct preserve_tree_sb *ts)
{
	struct preserve_tree_image *image = ts->incoming;

	if (image && image->making)
		complete(&image->gone);
	else
		preserve_image_free(image);
}

/* --- sections --- */

/* Is there a table of that kind, and where? */
static bool section_table(const struct preserve_tree_ser *ser, u32 kind, u64 *at, u64 *nr)
{
	switch (kind) {
	case PRESERVE_SECTION_DIR:
		*at = ser->dirs;
		*nr = ser->nr_dirs;
		return true;
	case PRESERVE_SECTION_LINK:
		*at = ser->links;
		*nr = ser->nr_links;
		return true;
	default:
		return false;
	}
}

/* Where the section of that number is. */
static int section_pos(struct preserve_tree_image *image, u32 kind, u64 no, u64 *pos)
{
	u64 at, nr;

	if (section_table(&image->ser, kind, &at, &nr))
		return no < nr ? preserve_stream_read(&image->stream, pos, sizeof(*pos),
						      at + no * sizeof(*pos)) : -EUCLEAN;
	*pos = kind == PRESERVE_SECTION_QUOTA ? image->quotas : image->options;
	return 0;
}

/* Any section: its kind is told by its header. */
static int section_read(struct preserve_tree_image *image, u64 pos,
			struct preserve_tree_section *sec)
{
	int err;

	if (pos < sizeof(image->ser) || pos > image->ser.length - sizeof(sec->head))
		return -EUCLEAN;
	err = preserve_stream_read(&image->stream, &sec->head, sizeof(sec->head), pos);
	if (err)
		return err;
	sec->pos = pos + sizeof(sec->head);
	if (sec->head.length > PRESERVE_TREE_MAX_SECTION ||
	    sec->head.length > image->ser.length - sec->pos)
		return -EUCLEAN;
	sec->bytes = kvmalloc(max(sec->head.length, 1U), GFP_KERNEL);
	if (!sec->bytes)
		return -ENOMEM;
	err = preserve_stream_read(&image->stream, sec->bytes, sec->head.length, sec->pos);
	if (!err && !preserve_section_ok(&sec->head, sec->bytes, pos))
		err = -EUCLEAN;
	if (err)
		preserve_section_put(sec);
	return err;
}

/**
 * preserve_section_read - Read a section of which it is known where it is.
 * @image: The image.
 * @pos:   Its place.
 * @kind:  PRESERVE_SECTION_*.
 * @no:    Its number.
 * @sec:   The section.
 *
 * Context: Process context.
 * Return: 0; -EUCLEAN if it is damaged, or another one; -EIO if a page is defective; -ENOMEM.
 */
int preserve_section_read(struct preserve_tree_image *image, u64 pos, u32 kind, u64 no,
			  struct preserve_tree_section *sec)
{
	int err = section_read(image, pos, sec);

	if (err || (sec->head.kind == kind && sec->head.no == no))
		return err;
	preserve_section_put(sec);
	return -EUCLEAN;
}

static const char *section_name(u32 kind)
{
	switch (kind) {
	case PRESERVE_SECTION_DIR:
		return "directory";
	case PRESERVE_SECTION_LINK:
		return "file";
	case PRESERVE_SECTION_QUOTA:
		return "table of quotas";
	default:
		return "table of options";
	}
}

/**
 * preserve_section_get - Read a section and check that it is whole.
 * @image: The image.
 * @kind:  PRESERVE_SECTION_*.
 * @no:    Its number.
 * @sec:   The section.
 *
 * Context: Process context.
 * Return: As preserve_section_read(); with a message if it is damaged, which is always
 *         -EUCLEAN here.
 */
int preserve_section_get(struct preserve_tree_image *image, u32 kind, u64 no,
			 struct preserve_tree_section *sec)
{
	u64 pos;
	int err;

	sec->bytes = NULL;
	err = section_pos(image, kind, no, &pos);
	err = err ?: preserve_section_read(image, pos, kind, no, sec);
	if (err != -EUCLEAN && err != -EIO)
		return err;
	pr_err_ratelimited("%s: %s %llu of the handed-over tree is damaged and refused (%pe)\n",
			   image->ser.source, section_name(kind), no, ERR_PTR(err));
	return -EUCLEAN;
}

/**
 * preserve_section_get_sure - Read a section, however long memory for it takes.
 * @image: The image.
 * @kind:  PRESERVE_SECTION_*.
 * @no:    Its number.
 * @sec:   The section.
 *
 * For a caller that frees or unclaims what it names, and has no second try.
 *
 * Context: Process context.
 * Return: As preserve_section_get(), but not -ENOMEM.
 */
int preserve_section_get_sure(struct preserve_tree_image *image, u32 kind, u64 no,
			      struct preserve_tree_section *sec)
{
	int err;

	while ((err = preserve_section_get(image, kind, no, sec)) == -ENOMEM)
		memalloc_retry_wait(GFP_KERNEL);
	return err;
}

/**
 * preserve_section_put - Free what preserve_section_get() has read.
 * @sec: The section.
 */
void preserve_section_put(struct preserve_tree_section *sec)
{
	kvfree(sec->bytes);
	sec->bytes = NULL;
}

/* Notes where a section besides is. */
static int other_note(struct preserve_tree_image *image, u64 pos, u32 kind)
{
	u64 *at;

	switch (kind) {
	case PRESERVE_SECTION_QUOTA:
		at = &image->quotas;
		break;
	case PRESERVE_SECTION_OPTIONS:
		at = &image->options;
		break;
	default:
		if (!(kind & PRESERVE_SECTION_SKIP))
			return -EPROTO;
		pr_info_ratelimited("%s: a section of kind %#x is left out: this kernel does not know it\n",
				    image->ser.source, kind);
		return 0;
	}
	if (*at)
		return -EUCLEAN;
	*at = pos;
	return 0;
}

/* Looks at all sections that are no directories and no links: they are few. */
static int others_find(struct preserve_tree_image *image, const char **reason)
{
	struct preserve_tree_section sec;
	u64 i, pos;
	int err = 0;

	image->options = 0;
	image->quotas = 0;
	for (i = 0; i < image->ser.nr_others && !err; i++) {
		*reason = "a section besides is damaged";
		err = preserve_stream_read(&image->stream, &pos, sizeof(pos),
					   image->ser.others + i * sizeof(pos));
		err = err ?: section_read(image, pos, &sec);
		if (err)
			break;
		err = other_note(image, pos, sec.head.kind);
		if (err == -EPROTO)
			*reason = "a section of unknown kind may not be left out";
		preserve_section_put(&sec);
	}
	return err;
}

/**
 * preserve_image_open - Read the beginning of an image and check it.
 * @image:  The image; it has its bytes.
 * @reason: Says why not, on error.
 *
 * Context: Process context.
 * Return: 0; -ENOMEM; or another error, which is final: it is damaged, or not for this
 *         kernel.
 */
int preserve_image_open(struct preserve_tree_image *image, const char **reason)
{
	int err;

	*reason = "its beginning cannot be read";
	err = preserve_stream_read(&image->stream, &image->ser, sizeof(image->ser), 0);
	err = err ?: preserve_tree_check(&image->ser, image->stream.length, reason);
	return err ?: others_find(image, reason);
}

/**
 * preserve_section_reader - Begin to read what a section holds.
 * @image: Its image.
 * @sec:   The section.
 * @r:     The reader.
 */
void preserve_section_reader(const struct preserve_tree_image *image,
			     const struct preserve_tree_section *sec,
			     struct preserve_tree_reader *r)
{
	r->at = sec->bytes;
	r->end = sec->bytes + sec->head.length;
	r->bad = false;
	r->epoch = image->ser.epoch;
}

/**
 * preserve_inode_runs - Call a function for the runs of an inode.
 * @in:  The inode, read.
 * @end: Where the bytes end that it was read of.
 * @fn:  A result other than 0 ends it.
 *
 * Context: Process context.
 * Return: 0, or what @fn returned.
 */
int preserve_inode_runs(const struct preserve_tree_inode *in, const u8 *end,
			preserve_tree_run_fn *fn)
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

/* Called for an inode in a section; @end is where its bytes end. */
typedef int inode_fn(const struct preserve_tree_inode *in, const u8 *end, const void *ctx);

/* Calls @fn for all inodes of a section. A result other than 0 ends it. */
static int section_inodes(const struct preserve_tree_image *image,
			  const struct preserve_tree_section *sec, inode_fn *fn,
			  const void *ctx)
{
	struct preserve_tree_entry entry = { .kind = PRESERVE_ENTRY_INODE };
	bool dir = sec->head.kind == PRESERVE_SECTION_DIR;
	struct preserve_tree_reader r;
	u32 i;
	int err;

	preserve_section_reader(image, sec, &r);
	for (i = 0; i < sec->head.nr; i++) {
		cond_resched();
		if (dir ? !preserve_tree_get_entry(&r, &entry) :
			  !preserve_tree_get_inode(&r, &entry.inode))
			return -EUCLEAN;
		if (entry.kind != PRESERVE_ENTRY_INODE)
			continue;
		err = fn(&entry.inode, r.end, ctx);
		if (err)
			return err;
		if (!skip_extras(&r, entry.inode.nr_extras))
			return -EUCLEAN;
	}
	return 0;
}

struct run_call {
	preserve_tree_run_fn *fn;
};

static int inode_runs(const struct preserve_tree_inode *in, const u8 *end, const void *ctx)
{
	const struct run_call *call = ctx;

	return preserve_inode_runs(in, end, call->fn);
}

/**
 * preserve_section_runs - Call a function for all runs that a section names.
 * @image: Its image.
 * @sec:   The section: a directory or a link.
 * @fn:    A result other than 0 ends it.
 *
 * Context: Process context.
 * Return: 0; -EUCLEAN; or what @fn returned.
 */
int preserve_section_runs(const struct preserve_tree_image *image,
			  const struct preserve_tree_section *sec,
			  preserve_tree_run_fn *fn)
{
	const struct run_call call = { .fn = fn };

	return section_inodes(image, sec, inode_runs, &call);
}

/* Calls @fn for all inodes of an image, whatever is damaged. Returns the first error. */
static int image_inodes(struct preserve_tree_image *image, inode_fn *fn, const void *ctx)
{
	static const u32 kinds[] = { PRESERVE_SECTION_DIR, PRESERVE_SECTION_LINK };
	const u64 nr[] = { image->ser.nr_dirs, image->ser.nr_links };
	struct preserve_tree_section sec;
	unsigned int k;
	int err, first = 0;
	u64 no;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (no = 0; no < nr[k]; no++) {
			err = preserve_section_get_sure(image, kinds[k], no, &sec);
			if (!err) {
				err = section_inodes(image, &sec, fn, ctx);
				preserve_section_put(&sec);
			}
			first = first ?: err;
			cond_resched();
		}
	}
	return first;
}

/**
 * preserve_image_runs - Call a function for all runs that an image names.
 * @image: The image.
 * @fn:    Its result is not looked at.
 *
 * Sections that are damaged are passed over.
 *
 * Context: Process context.
 * Return: 0, or the first error of a section.
 */
int preserve_image_runs(struct preserve_tree_image *image, preserve_tree_run_fn *fn)
{
	const struct run_call call = { .fn = fn };

	return image_inodes(image, inode_runs, &call);
}

/**
 * preserve_inode_release - Free the data of a file that has not been made.
 * @in:  Its inode, read.
 * @end: Where the bytes end that it was read of.
 * @ops: The file system's.
 *
 * What is not handed over, or has an owner, is left alone.
 *
 * Context: Process context.
 */
void preserve_inode_release(const struct preserve_tree_inode *in, const u8 *end,
			    const struct preserve_tree_ops *ops)
{
	preserve_inode_runs(in, end, preserve_run_release);
	if (in->record && ops->record_release)
		ops->record_release(in->record);
}

static int inode_release(const struct preserve_tree_inode *in, const u8 *end, const void *ctx)
{
	preserve_inode_release(in, end, ctx);
	return 0;
}

/**
 * preserve_section_release - Free the data of all files that a section names.
 * @image: Its image.
 * @sec:   The section.
 * @ops:   The file system's.
 *
 * Context: Process context.
 */
void preserve_section_release(const struct preserve_tree_image *image,
			      const struct preserve_tree_section *sec,
			      const struct preserve_tree_ops *ops)
{
	section_inodes(image, sec, inode_release, ops);
}

/**
 * preserve_image_release_all - Free the data of all files that an image names.
 * @image: The image; nothing has been made of it.
 * @ops:   What would have made it.
 *
 * Sections that are damaged are passed over.
 *
 * Context: Process context.
 */
void preserve_image_release_all(struct preserve_tree_image *image,
				const struct preserve_tree_ops *ops)
{
	image_inodes(image, inode_release, ops);
}

/**
 * preserve_tree_making - Is a file system being made of an image?
 * @ts: What is kept for it.
 *
 * If it goes away now, what goes with it keeps its memory.
 *
 * Context: Any.
 * Return: True until its maker is done.
 */
bool preserve_tree_making(const struct preserve_tree_sb *ts)
{
	return ts->incoming && ts->incoming->making;
}

/**
 * preserve_tree_used_pages - How many pages are in use in a file system that has come?
 * @ts: What is kept for it.
 *
 * Context: Any.
 * Return: What the last kernel has counted, 0 if none has.
 */
u64 preserve_tree_used_pages(const struct preserve_tree_sb *ts)
{
	return ts->incoming ? ts->incoming->ser.used_pages : 0;
}

/**
 * preserve_run_release - Free handed-over frames that no file has taken.
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Frames that are not handed over, or taken by another file, are left alone.
 *
 * Context: Process context.
 * Return: 0.
 */
int preserve_run_release(unsigned long pfn, unsigned long nr)
{
	if (preserve_take(pfn, nr))
		preserve_frames_put(pfn, nr);
	return 0;
}

/**
 * preserve_run_claim - Claim frames for the next kernel.
 * @pfn: First frame.
 * @nr:  How many.
 *
 * A damaged image may name frames that are not the pool's, or the same frames twice.
 * The next kernel finds an owner for none of the former and one for the latter, and
 * refuses the other's data alone. So what is claimed already costs no other frame of the run
 * its claim.
 *
 * Context: Process context.
 * Return: 0.
 */
int preserve_run_claim(unsigned long pfn, unsigned long nr)
{
	if (!preserve_claim(pfn, nr))
		return 0;
	for (; nr && preserve_claim(pfn, 1) != -ENXIO; nr--, pfn++)
		cond_resched();
	return 0;
}

/**
 * preserve_run_unclaim - Undo preserve_run_claim().
 * @pfn: First frame.
 * @nr:  How many.
 *
 * Context: Process context.
 * Return: 0.
 */
int preserve_run_unclaim(unsigned long pfn, unsigned long nr)
{
	preserve_unclaim(pfn, nr);
	return 0;
}
