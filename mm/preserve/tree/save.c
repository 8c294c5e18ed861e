// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing the image of a tree: freezes it directory by directory, and notes what it comes
 * upon.
 *
 * Directories are done in the order of their numbers. No name comes or goes any more:
 * changes are refused from the beginning on (preserve_tree_frozen()), and the caller has
 * waited for those under way. Attributes are noted under the inode's lock.
 *
 * The frames of a section's files are claimed once it is in the image. On failure they
 * are unclaimed, and the caller thaws the file system.
 */
#define pr_fmt(fmt) "preserve: tree: " fmt

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/iversion.h>
#include <linux/kdev_t.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/timekeeping.h>

#include "tree.h"

/* Pages of a file whose runs may take some hundred bytes. */
#define LARGE_PAGES	128

/* The same of extended attributes. A label alone is less. */
#define LARGE_BYTES	512

/* Of no pool: it belongs to the firmware. */
#define NO_FRAME	1

/**
 * struct saving - The writing of an image.
 * @ts:      What is kept for the file system.
 * @sb:      The file system.
 * @image:   The image, without bytes at first.
 * @pos:     Where the next section goes.
 * @w:       The section at hand.
 * @nr:      Its entries.
 * @dirs:    Dentries of directories by number, until they are done.
 * @inodes:  Numbers of links by the inode's address.
 * @names:   By the number of a link: how many of its names are to come.
 * @nlink:   Of the inode that was noted last.
 * @damaged: A directory is damaged, in the tree or just removed: links may have names in
 *           there.
 * @dir_at:  Where sections of directories are.
 * @link_at: Where those of links are.
 * @other_at: Where the others are.
 * @name:    What is being saved, for messages.
 */
struct saving {
	struct preserve_tree_sb *ts;
	struct super_block *sb;
	struct preserve_tree_image *image;
	u64 pos;
	struct preserve_tree_writer w;
	u32 nr;
	struct xarray dirs;
	struct xarray inodes;
	struct xarray names;
	u32 nlink;
	bool damaged;
	struct preserve_tree_writer dir_at;
	struct preserve_tree_writer link_at;
	struct preserve_tree_writer other_at;
	const struct dentry *name;
};

static int save_refuse(const struct saving *s, int err, const char *why)
{
	pr_err_ratelimited("%pd: not preserved: %s (%pe)\n", s->name, why,
			   ERR_PTR(err));
	return err;
}

/*
 * A directory that was damaged when it came crosses as one: an entry in no bytes can
 * not be read.
 */
static bool section_refused(const struct preserve_section_ser *sec)
{
	return sec->kind == PRESERVE_SECTION_DIR && sec->nr && !sec->length;
}

static struct preserve_tree_writer *save_table(struct saving *s, u32 kind)
{
	switch (kind) {
	case PRESERVE_SECTION_DIR:
		return &s->dir_at;
	case PRESERVE_SECTION_LINK:
		return &s->link_at;
	default:
		return &s->other_at;
	}
}

/* Puts the section at hand into the image, and notes where it is. */
static int section_put(struct saving *s, struct preserve_tree_section *sec)
{
	struct preserve_tree_writer *table = save_table(s, sec->head.kind);
	struct preserve_stream *stream = &s->image->stream;
	u64 at = s->pos;
	int err;

	preserve_section_commit(&sec->head, sec->bytes, at);
	err = preserve_stream_write(stream, &sec->head, sizeof(sec->head), &s->pos);
	err = err ?: preserve_stream_write(stream, sec->bytes, sec->head.length, &s->pos);
	if (err)
		return err;
	preserve_tree_put_bytes(table, &at, sizeof(at));
	return table->err;
}

/* Ends the section at hand, and claims the frames that it names. */
static int section_end(struct saving *s, u32 kind, u64 no)
{
	struct preserve_tree_section sec = {
		.head = { .kind = kind, .no = no, .nr = s->nr,
			  .length = s->w.len },
		.bytes = s->w.buf,
	};
	/* What is claimed has to be found again: it is put first. */
	int err = s->w.err ?: section_put(s, &sec);

	if (!err && (kind == PRESERVE_SECTION_DIR || kind == PRESERVE_SECTION_LINK) &&
	    !section_refused(&sec.head))
		err = preserve_section_runs(s->image, &sec, preserve_run_claim);
	if (err)
		return err;
	s->w.len = 0;
	s->nr = 0;
	return 0;
}

/* --- a file's data --- */

static void run_add(struct saving *s, struct preserve_tree_runs *at,
		    struct preserve_tree_inode *in, const struct prmap_run *run)
{
	preserve_tree_put_run(&s->w, at, run);
	in->nr_runs++;
	in->nr_pages += run->nr;
}

/**
 * struct runs_note - A file's runs on their way into a section.
 * @s:  The section's.
 * @at: Where the last one ended.
 * @in: The file's inode.
 */
struct runs_note {
	struct saving *s;
	struct preserve_tree_runs at;
	struct preserve_tree_inode *in;
};

static int run_note(void *ctx, const struct prmap_run *run)
{
	struct runs_note *note = ctx;

	run_add(note->s, &note->at, note->in, run);
	return 0;
}

/* From the file map, or the page cache. Context: the file is frozen. */
static int runs_of_file(struct saving *s, struct address_space *mapping,
			struct preserve_tree_inode *in)
{
	struct runs_note note = { .s = s, .in = in };
	struct preserve_file *pf = preserve_file_of(mapping);
	int err = 0;

	if (pf && preserve_file_keeps_map(pf))
		err = preserve_file_freeze_map(pf);
	return err ?: preserve_run_for_each(mapping, run_note, &note);
}

/*
 * Frames that were handed over and have no owner may be handed on. Others are not this
 * file's, whatever its image says: in their place stands a frame that no pool has, so
 * that the next kernel, too, refuses the file's data and nothing else.
 */
static void run_pass_on(struct saving *s, struct inode *inode,
			struct preserve_tree_runs *at,
			struct preserve_tree_inode *in, struct prmap_run *run)
{
	if (!preserve_untaken(run->pfn, run->nr)) {
		pr_err_ratelimited("%s: data of inode %llu is damaged and not handed on\n",
				   s->ts->incoming->ser.source,
				   (u64)inode->i_ino);
		run->pfn = NO_FRAME;
		run->order = 0;
	}
	run_add(s, at, in, run);
}

/*
 * From the last kernel's image, if no task has touched the data. Context: that image's
 * lock held.
 */
static int runs_of_image(struct saving *s, struct inode *inode,
			 struct preserve_tree_inode *in)
{
	struct preserve_tree_inode old;
	struct preserve_tree_runs from = {}, at = {};
	struct preserve_tree_reader r = {};
	struct prmap_run run;
	u8 *buf;
	u64 i;
	int err;

	err = preserve_tree_data_get(s->ts, inode, &old, &buf, &r.end);
	if (err)
		return err;
	r.at = old.runs;
	for (i = 0; i < old.nr_runs && !err; i++) {
		if (preserve_tree_get_run(&r, &from, &run))
			run_pass_on(s, inode, &at, in, &run);
		else
			err = -EIO;
	}
	kvfree(buf);
	return err;
}

/* Brings a plain file's folios into the pool, where they stay. */
static int file_enter(struct saving *s, struct inode *inode)
{
	int err;

	err = preserve_mapping(inode->i_mapping) ? 0 : s->ts->ops->file_enter(inode);
	if (!err)
		preserve_report_tags(inode->i_mapping);
	if (!err || fatal_signal_pending(current))
		return err;
	return save_refuse(s, -EBUSY,
		      "a page is pinned or busy, or the pool or a memory cgroup is full");
}

/* Notes a file's runs in a section of its own, to be put behind its inode. */
static int file_runs(struct saving *s, struct inode *inode,
		     struct preserve_tree_inode *in)
{
	struct preserve_tree_node *node = preserve_tree_node_of(s->ts, inode);
	int err;

	s->ts->ops->file_freeze(inode, true);
	/* What comes after that is refused: the file system asks under this lock. */
	xa_lock_irq(&inode->i_mapping->i_pages);
	xa_unlock_irq(&inode->i_mapping->i_pages);
	if (preserve_tree_node_left(node)) {
		guard(mutex)(&s->ts->incoming->lock);
		if (node->pos)
			return runs_of_image(s, inode, in);
	}
	err = file_enter(s, inode);
	if (err)
		return err;
	err = runs_of_file(s, inode->i_mapping, in);
	return err ? save_refuse(s, err, "its data cannot be noted") : 0;
}

/* Lets a file cross by a record of its own. */
static int file_record(struct saving *s, struct dentry *dentry, struct preserve_tree_inode *in)
{
	int err = s->ts->ops->file_save(dentry, &in->record);

	if (err && !fatal_signal_pending(current))
		return save_refuse(s, err, "it cannot cross");
	if (err)
		return err;
	preserve_tree_node_of(s->ts, d_inode(dentry))->saved =
		in->record && in->record != PRESERVE_RECORD_DAMAGED;
	if (in->record)
		s->image->ser.incompat |= PRESERVE_TREE_RECORDS;
	return 0;
}

static int file_note(struct saving *s, struct dentry *dentry, struct preserve_tree_inode *in)
{
	struct preserve_file *pf = preserve_file_of(d_inode(dentry)->i_mapping);

	if (pf && preserve_file_record(pf))
		return save_refuse(s, -EBUSY, "preserved by itself already");
	return s->ts->ops->file_save ? file_record(s, dentry, in) :
				       file_runs(s, d_inode(dentry), in);
}

/* --- an inode --- */

static void inode_note(struct saving *s, struct inode *inode, struct preserve_tree_inode *in)
{
	memset(in, 0, sizeof(*in));
	in->version = inode_peek_iversion_raw(inode);
	in->write_hint = inode->i_write_hint;
	in->mode = inode->i_mode;
	in->uid = from_kuid(&init_user_ns, inode->i_uid);
	in->gid = from_kgid(&init_user_ns, inode->i_gid);
	in->nlink = inode->i_nlink;
	if (S_ISBLK(inode->i_mode) || S_ISCHR(inode->i_mode))
		in->rdev = new_encode_dev(inode->i_rdev);
	in->ino = inode->i_ino;
	in->generation = inode->i_generation;
	in->mtime = inode_get_mtime(inode);
	in->ctime = inode_get_ctime(inode);
	in->atime = inode_get_atime(inode);
	in->size = i_size_read(inode);
	s->ts->ops->inode_note(inode, in);
}

/* What only few inodes have, apart, because the inode says first how many there are. */
static int extras_note(struct saving *s, struct inode *inode,
		       struct preserve_tree_writer *w, u32 *nr)
{
	u64 space = 0;
	int err = s->ts->ops->extras_note(inode, w, nr, &space);

	s->image->ser.used_ispace += space;
	return err == -E2BIG ? save_refuse(s, err, "a memory policy is too long") : err;
}

/* A directory's number, which it gets here. Returns 0, or a negative errno. */
static int dir_note(struct saving *s, struct dentry *dentry,
		    struct preserve_tree_inode *in)
{
	u64 no = s->image->ser.nr_dirs;
	int err;

	err = xa_err(xa_store(&s->dirs, no, dentry, GFP_KERNEL));
	if (err)
		return err;
	in->dir = no + 1;
	s->image->ser.nr_dirs++;
	return 0;
}

static int target_note(struct dentry *dentry, struct preserve_tree_inode *in,
		       struct delayed_call *done)
{
	const char *target = vfs_get_link(dentry, done);

	if (IS_ERR(target))
		return PTR_ERR(target);
	in->target = (const u8 *)target;
	in->target_len = strlen(target);
	return 0;
}

/*
 * Puts the inode into the section at hand. Its parts are written apart first: runs and
 * extras are counted before they are in place.
 */
static int inode_put(struct saving *s, struct dentry *dentry)
{
	struct inode *inode = d_inode(dentry);
	struct preserve_tree_writer section = s->w, runs, extras = {};
	struct preserve_tree_inode in;
	DEFINE_DELAYED_CALL(done);
	int err = 0;

	s->w = (struct preserve_tree_writer) { .epoch = section.epoch };
	inode_note(s, inode, &in);
	s->nlink = in.nlink;
	if (S_ISREG(inode->i_mode))
		err = file_note(s, dentry, &in);
	else if (S_ISDIR(inode->i_mode))
		err = dir_note(s, dentry, &in);
	else if (S_ISLNK(inode->i_mode))
		err = target_note(dentry, &in, &done);
	runs = s->w;
	s->w = section;
	err = err ?: extras_note(s, inode, &extras, &in.nr_extras);
	if (!err) {
		preserve_tree_put_inode(&s->w, &in);
		preserve_tree_put_bytes(&s->w, runs.buf, runs.len);
		if (in.nr_extras)
			preserve_tree_put(&s->w, in.nr_extras);
		preserve_tree_put_bytes(&s->w, extras.buf, extras.len);
		s->image->ser.used_pages += S_ISREG(in.mode) ? in.nr_pages : in.used_pages;
	}
	do_delayed_call(&done);
	kvfree(runs.buf);
	kvfree(extras.buf);
	return err ?: runs.err ?: s->w.err;
}

/* From here on it stands still, its times too; a file can be written. */
static int inode_save(struct saving *s, struct dentry *dentry)
{
	struct inode *inode = d_inode(dentry);
	unsigned int flags = S_NOATIME | S_NOCMTIME;
	int err;

	if (S_ISDIR(inode->i_mode))
		flags |= S_IMMUTABLE;
	s->name = dentry;
	err = down_write_killable_nested(&inode->i_rwsem, I_MUTEX_CHILD);
	if (err)
		return err;
	inode_set_flags(inode, flags, flags);
	err = inode_put(s, dentry);
	inode_unlock(inode);
	s->image->ser.nr_inodes++;
	return err;
}

/*
 * Many large ones in a directory would be more than its section may hold. Context: no
 * lock: it may be wrong by what changes meanwhile.
 */
static bool inode_large(struct saving *s, struct inode *inode)
{
	const struct preserve_tree_ops *ops = s->ts->ops;

	return (!ops->file_save &&
		inode->i_blocks >> (PAGE_SHIFT - SECTOR_SHIFT) > LARGE_PAGES) ||
	       (ops->extras_size && ops->extras_size(inode) > LARGE_BYTES);
}

/* An inode with several names, or a large one, has a section of its own. */
static int link_save(struct saving *s, struct dentry *dentry, u64 *no)
{
	unsigned long key = (unsigned long)d_inode(dentry);
	struct preserve_tree_writer section = s->w;
	void *known = xa_load(&s->inodes, key);
	u32 nr = s->nr;
	int err = 0;

	if (known) {
		*no = xa_to_value(known);
		return 0;
	}
	*no = s->image->ser.nr_links;
	/* One with a single name is not met again. */
	if (d_inode(dentry)->i_nlink > 1)
		err = xa_err(xa_store(&s->inodes, key, xa_mk_value(*no), GFP_KERNEL));
	if (err)
		return err;
	s->w = (struct preserve_tree_writer) { .epoch = section.epoch };
	s->nr = 1;
	err = inode_save(s, dentry);
	err = err ?: section_end(s, PRESERVE_SECTION_LINK, *no);
	kvfree(s->w.buf);
	s->w = section;
	s->nr = nr;
	s->image->ser.nr_links += !err;
	return err ?: xa_err(xa_store(&s->names, *no, xa_mk_value(s->nlink),
				      GFP_KERNEL));
}

/* One name of a link is noted. */
static int link_name_note(struct saving *s, u64 no)
{
	unsigned long left = xa_to_value(xa_load(&s->names, no));

	if (!left)
		return save_refuse(s, -EBUSY, "its names change");
	return xa_err(xa_store(&s->names, no, xa_mk_value(left - 1), GFP_KERNEL));
}

static int links_check(struct saving *s)
{
	unsigned long no;
	void *left;

	xa_for_each(&s->names, no, left) {
		if (xa_to_value(left) && !s->damaged)
			return save_refuse(s, -EBUSY, "names of files change");
		cond_resched();
	}
	return 0;
}

static int entry_save(struct saving *s, struct dentry *dentry)
{
	struct inode *inode = d_inode(dentry);
	struct preserve_tree_writer *w = &s->w;
	u64 link = 0;
	int err = 0;

	if (!S_ISDIR(inode->i_mode) && (inode->i_nlink > 1 || inode_large(s, inode)))
		err = link_save(s, dentry, &link);
	if (err)
		return err;
	preserve_tree_put_text(w, dentry->d_name.name, dentry->d_name.len);
	preserve_tree_put(w, s->ts->ops->entry_pos(dentry));
	preserve_tree_put(w, link ? PRESERVE_ENTRY_LINK : PRESERVE_ENTRY_INODE);
	if (link) {
		preserve_tree_put(w, link);
		err = link_name_note(s, link);
	} else {
		err = inode_save(s, dentry);
		if (!err && s->nlink != 1 && !S_ISDIR(inode->i_mode))
			err = save_refuse(s, -EBUSY, "its names change");
	}
	s->nr++;
	s->image->ser.used_ispace += s->ts->ops->name_space;
	return err ?: w->err;
}

/* --- directories --- */

/* The entry behind @last, in the order that readdir has, with a reference. */
static struct dentry *next_entry(struct dentry *parent, struct dentry *last)
{
	struct dentry *dentry, *found = NULL;

	spin_lock(&parent->d_lock);
	dentry = last ? d_next_sibling(last) : d_first_child(parent);
	hlist_for_each_entry_from(dentry, d_sib) {
		if (!simple_positive(dentry))
			continue;
		spin_lock_nested(&dentry->d_lock, DENTRY_D_LOCK_NESTED);
		if (simple_positive(dentry))
			found = dget_dlock(dentry);
		spin_unlock(&dentry->d_lock);
		if (found)
			break;
	}
	spin_unlock(&parent->d_lock);
	return found;
}

static int dir_refused_save(struct saving *s, u64 no)
{
	pr_err_ratelimited("%pd: is damaged, and crosses as a damaged directory\n", s->name);
	s->nr = 1;
	return section_end(s, PRESERVE_SECTION_DIR, no);
}

/* The entries, oldest first: reading them puts the youngest first. */
static int dir_save(struct saving *s, struct dentry *parent, u64 no)
{
	struct dentry **list = NULL, **more, *dentry = NULL;
	u32 nr = 0, room = 0;
	int err;

	inode_lock_shared(d_inode(parent));
	err = preserve_tree_dir_load(s->ts, d_inode(parent));
	inode_unlock_shared(d_inode(parent));
	if (err)
		s->name = parent;
	if (err == -EUCLEAN)
		return dir_refused_save(s, no);
	if (err == -EOPNOTSUPP)
		return save_refuse(s, err, "it has what this kernel does not know");
	while (!err && (dentry = next_entry(parent, dentry))) {
		/* It cannot go away: no need for the reference. */
		dput(dentry);
		if (nr == room) {
			room = max(2 * room, 64U);
			more = kvrealloc(list, room * sizeof(*list), GFP_KERNEL);
			if (!more) {
				err = -ENOMEM;
				break;
			}
			list = more;
		}
		list[nr++] = dentry;
		cond_resched();
	}
	while (!err && nr) {
		err = entry_save(s, list[--nr]);
		if (fatal_signal_pending(current))
			err = err ?: -EINTR;
		cond_resched();
	}
	kvfree(list);
	if (err == -EFBIG) {
		s->name = parent;
		return save_refuse(s, err, "it has too many entries, or one is too large");
	}
	return err ?: section_end(s, PRESERVE_SECTION_DIR, no);
}

static int dirs_save(struct saving *s)
{
	struct dentry *dentry;
	u64 no;
	int err = 0;

	for (no = 0; !err && no < s->image->ser.nr_dirs; no++) {
		dentry = xa_load(&s->dirs, no);
		err = dir_save(s, dentry, no);
		xa_erase(&s->dirs, no);
	}
	return err;
}

static int root_save(struct saving *s)
{
	int err;

	s->nr = 1;
	err = inode_save(s, s->sb->s_root);
	s->image->ser.nr_inodes = 0;
	err = err ?: section_end(s, PRESERVE_SECTION_LINK, 0);
	s->image->ser.nr_links = 1;
	return err;
}

/* --- all of it --- */

static int quotas_save(struct saving *s)
{
	int err = preserve_quota_note(s->sb, &s->w, &s->nr);

	if (err || !s->nr)
		return err;
	return section_end(s, PRESERVE_SECTION_QUOTA, 0);
}

/*
 * At the end: only now no task makes inodes, or fills files, any more, and what is in use is
 * known.
 */
static int options_save(struct saving *s, struct vfsmount *mnt)
{
	struct preserve_tree_ser *ser = &s->image->ser;

	preserve_mount_note(s->ts, s->sb, mnt, ser);
	s->ts->ops->options_note(s->sb, ser, &s->w, &s->nr);
	return s->nr ? section_end(s, PRESERVE_SECTION_OPTIONS, 0) : s->w.err;
}

/* The beginning, which vouches for itself. */
static int start_save(struct preserve_tree_image *image)
{
	u64 pos = 0;

	preserve_tree_commit(&image->ser);
	return preserve_stream_write(&image->stream, &image->ser, sizeof(image->ser), &pos);
}

static int table_save(struct saving *s, const struct preserve_tree_writer *table, u64 *at, u64 *nr)
{
	*at = s->pos;
	*nr = table->len / sizeof(u64);
	return table->err ?: preserve_stream_write(&s->image->stream, table->buf, table->len,
						   &s->pos);
}

static int tables_save(struct saving *s)
{
	struct preserve_tree_ser *ser = &s->image->ser;
	int err;

	err = table_save(s, &s->dir_at, &ser->dirs, &ser->nr_dirs);
	err = err ?: table_save(s, &s->link_at, &ser->links, &ser->nr_links);
	err = err ?: table_save(s, &s->other_at, &ser->others, &ser->nr_others);
	ser->length = s->pos;
	return err ?: start_save(s->image);
}

/* Undoes the claims of sections, by a table that is in no image yet. */
static void claims_undo(struct saving *s, u32 kind,
			const struct preserve_tree_writer *table)
{
	const u64 *at = (const u64 *)table->buf;
	struct preserve_tree_section sec;
	u64 no;
	int err;

	for (no = 0; no < table->len / sizeof(*at); no++) {
		while ((err = preserve_section_read(s->image, at[no], kind, no,
						    &sec)) == -ENOMEM)
			memalloc_retry_wait(GFP_KERNEL);
		if (err) {
			pr_err_ratelimited("frames that a section names stay claimed: it cannot be read (%pe)\n",
					   ERR_PTR(err));
			continue;
		}
		preserve_section_runs(s->image, &sec, preserve_run_unclaim);
		preserve_section_put(&sec);
		cond_resched();
	}
}

/* Nothing stays claimed, and the image names nothing. */
static void image_undo(struct saving *s)
{
	s->image->ser.length = s->pos;
	claims_undo(s, PRESERVE_SECTION_DIR, &s->dir_at);
	claims_undo(s, PRESERVE_SECTION_LINK, &s->link_at);
	s->image->ser.nr_dirs = 0;
	s->image->ser.nr_links = 0;
}

/**
 * preserve_tree_save_late - Note what has changed since an image was written.
 * @ts:    What is kept for the file system: file handles may have been given away.
 * @mnt:   The mount that the tree is preserved by: its flags may have changed.
 * @image: The image.
 *
 * Needs no memory, and cannot fail. What @image says of itself may have changed, too.
 *
 * Context: Process context, in the reboot path.
 */
void preserve_tree_save_late(struct preserve_tree_sb *ts, struct vfsmount *mnt,
			     struct preserve_tree_image *image)
{
	preserve_mount_note_late(ts, mnt, &image->ser);
	start_save(image);
}

static void saving_end(struct saving *s)
{
	xa_destroy(&s->dirs);
	xa_destroy(&s->inodes);
	xa_destroy(&s->names);
	kvfree(s->w.buf);
	kvfree(s->dir_at.buf);
	kvfree(s->link_at.buf);
	kvfree(s->other_at.buf);
	kfree(s);
}

static struct saving *saving_begin(struct preserve_tree_sb *ts, struct super_block *sb,
				   struct preserve_tree_image *image)
{
	struct saving *s = kzalloc_obj(*s);

	if (!s)
		return NULL;
	s->ts = ts;
	s->sb = sb;
	s->image = image;
	s->pos = sizeof(image->ser);
	s->name = sb->s_root;
	xa_init(&s->dirs);
	xa_init(&s->inodes);
	xa_init(&s->names);
	image->ser.epoch = ktime_get_real_seconds();
	s->w.epoch = image->ser.epoch;
	/* The root has a name, too. */
	image->ser.used_ispace = ts->ops->name_space;
	return s;
}

/**
 * preserve_tree_save - Freeze a file system and write its image.
 * @ts:    What is kept for the file system.
 * @sb:    The file system; @outgoing is set, and all that was changing it has ended.
 * @mnt:   The mount that it is preserved by.
 * @image: The image, without bytes; owned by the caller.
 *
 * Context: Process context, no lock held.
 * Return: 0; -ENOMEM, -ENOSPC, -EBUSY, -E2BIG, -EFBIG, -EINTR, with a message where a file is
 *         the reason. Nothing is claimed then; the caller thaws the file system.
 */
int preserve_tree_save(struct preserve_tree_sb *ts, struct super_block *sb,
		       struct vfsmount *mnt, struct preserve_tree_image *image)
{
	struct saving *s = saving_begin(ts, sb, image);
	int err;

	if (!s)
		return -ENOMEM;
	lru_add_drain_all();
	/* Making the last directory may correct the links' numbers of names. */
	err = preserve_tree_load(ts);
	s->damaged = ts->incoming && atomic_long_read(&ts->incoming->nr_dirs);
	if (!err && ts->ops->files_prepare)
		err = ts->ops->files_prepare(sb);
	/* Its place: a stream has no holes. What it says comes last. */
	err = err ?: start_save(image);
	err = err ?: root_save(s);
	err = err ?: dirs_save(s);
	err = err ?: links_check(s);
	err = err ?: quotas_save(s);
	err = err ?: options_save(s, mnt);
	err = err ?: tables_save(s);
	if (err)
		image_undo(s);
	saving_end(s);
	return err;
}
