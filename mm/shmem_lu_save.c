// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing the book of a tree: freezes a tmpfs directory by directory, and notes what
 * it comes upon.
 *
 * Directories are done in the order of their numbers. No name comes or goes any more:
 * changes are refused from the beginning on (shmem_lu_may_change()), and the caller has
 * waited for those under way. Attributes are noted under the inode's lock.
 *
 * The frames of a section's files are claimed once it is in the book. On failure they
 * are unclaimed, and the caller thaws the file system.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/iversion.h>
#include <linux/kdev_t.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/quotaops.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/timekeeping.h>

#include "internal.h"
#include "shmem_lu.h"
#include "shmem_lu_tree.h"

/* Pages of a file whose runs may take some hundred bytes. */
#define LARGE_PAGES	128

/* The same of extended attributes. A label alone is less. */
#define LARGE_BYTES	512

/* Of no pool: it belongs to the firmware. */
#define NO_FRAME	1

/**
 * struct saving - The writing of a book.
 * @sb:      The file system.
 * @book:    The book, its file empty at first.
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
 * @name:    What is being saved, for messages.
 */
struct saving {
	struct super_block *sb;
	struct shmem_lu_book *book;
	loff_t pos;
	struct preserve_tree_writer w;
	u32 nr;
	struct xarray dirs;
	struct xarray inodes;
	struct xarray names;
	u32 nlink;
	bool damaged;
	struct preserve_tree_writer dir_at;
	struct preserve_tree_writer link_at;
	const struct dentry *name;
};

static int refuse(const struct saving *s, int err, const char *why)
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

/* Ends the section at hand, and claims the frames that it names. */
static int section_end(struct saving *s, u32 kind, u64 no)
{
	struct shmem_lu_section sec = {
		.head = { .kind = kind, .no = no, .nr = s->nr,
			  .length = s->w.len },
		.bytes = s->w.buf,
	};
	struct preserve_tree_writer *table = NULL;
	u64 at = s->pos;
	int err = s->w.err;

	if (err)
		return err;
	if (kind != PRESERVE_SECTION_QUOTA)
		table = kind == PRESERVE_SECTION_DIR ? &s->dir_at : &s->link_at;
	preserve_section_commit(&sec.head, s->w.buf, at);
	err = shmem_lu_book_put(s->book, &sec.head, sizeof(sec.head), &s->pos);
	err = err ?: shmem_lu_book_put(s->book, s->w.buf, s->w.len, &s->pos);
	if (err)
		return err;
	if (table) {
		/* First: what is claimed has to be found again. */
		preserve_tree_put_bytes(table, &at, sizeof(at));
		if (table->err)
			return table->err;
		err = section_refused(&sec.head) ? 0 :
		      shmem_lu_section_runs(s->book, &sec, shmem_lu_claim);
		if (err)
			return err;
	}
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
 * file's, whatever its book says: in their place stands a frame that no pool has, so
 * that the next kernel, too, refuses the file's data and nothing else.
 */
static void run_pass_on(struct saving *s, struct inode *inode,
			struct preserve_tree_runs *at,
			struct preserve_tree_inode *in, struct prmap_run *run)
{
	if (!preserve_untaken(run->pfn, run->nr)) {
		pr_err_ratelimited("%s: data of inode %llu is damaged and not handed on\n",
				   shmem_lu_incoming(s->sb)->ser.source,
				   (u64)inode->i_ino);
		run->pfn = NO_FRAME;
		run->order = 0;
	}
	run_add(s, at, in, run);
}

/*
 * From the last kernel's book, if no task has touched the data. Context: that book's
 * lock held.
 */
static int runs_of_book(struct saving *s, struct inode *inode,
			struct preserve_tree_inode *in)
{
	struct preserve_tree_inode old;
	struct preserve_tree_runs from = {}, at = {};
	struct preserve_tree_reader r = {};
	struct prmap_run run;
	u8 *buf;
	u64 i;
	int err;

	err = shmem_lu_data_get(inode, &old, &buf, &r.end);
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

	if (preserve_mapping(inode->i_mapping))
		return 0;
	err = shmem_lu_enter(inode);
	if (!err || fatal_signal_pending(current))
		return err;
	return refuse(s, -EBUSY,
		      "a page is pinned or busy, or the pool or a memory cgroup is full");
}

/* Notes a file's runs in a section of its own, to be put behind its inode. */
static int file_runs(struct saving *s, struct inode *inode,
		     struct preserve_tree_inode *in)
{
	struct shmem_inode_info *info = SHMEM_I(inode);
	struct preserve_file *pf = preserve_file_of(inode->i_mapping);
	int err;

	if (pf && preserve_file_record(pf))
		return refuse(s, -EBUSY, "preserved by itself already");
	shmem_freeze(inode, true);
	/* What comes after that is refused, see shmem_lu_may_add(). */
	xa_lock_irq(&inode->i_mapping->i_pages);
	xa_unlock_irq(&inode->i_mapping->i_pages);
	/* Pairs with the release in data_done(). */
	if (smp_load_acquire(&info->lu_pos)) {
		guard(mutex)(&shmem_lu_incoming(s->sb)->lock);
		if (info->lu_pos)
			return runs_of_book(s, inode, in);
	}
	err = file_enter(s, inode);
	if (err)
		return err;
	err = runs_of_file(s, inode->i_mapping, in);
	return err ? refuse(s, err, "its data cannot be noted") : 0;
}

/* --- an inode --- */

static void inode_note(struct inode *inode, struct preserve_tree_inode *in)
{
	struct shmem_inode_info *info = SHMEM_I(inode);

	memset(in, 0, sizeof(*in));
	in->version = inode_peek_iversion_raw(inode);
	in->write_hint = inode->i_write_hint;
	in->mode = inode->i_mode;
	in->uid = from_kuid(&init_user_ns, inode->i_uid);
	in->gid = from_kgid(&init_user_ns, inode->i_gid);
	in->nlink = inode->i_nlink;
	if (S_ISBLK(inode->i_mode) || S_ISCHR(inode->i_mode))
		in->rdev = new_encode_dev(inode->i_rdev);
	in->fsflags = info->fsflags;
	in->seals = info->seals;
	in->ino = inode->i_ino;
	in->generation = inode->i_generation;
	in->mtime = inode_get_mtime(inode);
	in->ctime = inode_get_ctime(inode);
	in->atime = inode_get_atime(inode);
	in->btime = info->i_crtime;
	in->size = i_size_read(inode);
}

/* What only few inodes have, apart, because the inode says first how many there are. */
static int extras_note(struct saving *s, struct inode *inode,
		       struct preserve_tree_writer *w, u32 *nr)
{
	struct shmem_sb_info *sbinfo = s->sb->s_fs_info;
	u64 space = 0;
	int err = shmem_lu_labels_note(inode, w, nr, &space);

	if (sbinfo->max_inodes)
		s->book->ser.used_ispace += space;
	err = err ?: shmem_lu_policies_note(inode, w, nr);
	return err == -E2BIG ? refuse(s, err, "a memory policy is too long") : err;
}

/* A directory's number, which it gets here. Returns 0, or a negative errno. */
static int dir_note(struct saving *s, struct dentry *dentry,
		    struct preserve_tree_inode *in)
{
	u64 no = s->book->ser.nr_dirs;
	int err;

	in->next = SHMEM_I(d_inode(dentry))->dir_offsets.next_offset;
	err = xa_err(xa_store(&s->dirs, no, dentry, GFP_KERNEL));
	if (err)
		return err;
	in->dir = no + 1;
	s->book->ser.nr_dirs++;
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
	inode_note(inode, &in);
	s->nlink = in.nlink;
	if (S_ISREG(inode->i_mode))
		err = file_runs(s, inode, &in);
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
		s->book->ser.used_blocks += S_ISREG(in.mode) || S_ISLNK(in.mode) ?
					    SHMEM_I(inode)->alloced : 0;
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
	s->book->ser.nr_inodes++;
	return err;
}

/*
 * Many large ones in a directory would be more than its section may hold. Context: no
 * lock: it may be wrong by what changes meanwhile.
 */
static bool inode_large(struct inode *inode)
{
	struct shmem_inode_info *info = SHMEM_I(inode);
	struct simple_xattr *xattr;
	size_t bytes = 0;

	if (READ_ONCE(info->alloced) > LARGE_PAGES)
		return true;
	guard(rcu)();
	list_for_each_entry_rcu(xattr, &info->xattrs, node)
		bytes += strlen(xattr->name) + xattr->size;
	return bytes > LARGE_BYTES;
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
	*no = s->book->ser.nr_links;
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
	s->book->ser.nr_links += !err;
	return err ?: xa_err(xa_store(&s->names, *no, xa_mk_value(s->nlink),
				      GFP_KERNEL));
}

/* One name of a link is noted. */
static int link_name_note(struct saving *s, u64 no)
{
	unsigned long left = xa_to_value(xa_load(&s->names, no));

	if (!left)
		return refuse(s, -EBUSY, "its names change");
	return xa_err(xa_store(&s->names, no, xa_mk_value(left - 1), GFP_KERNEL));
}

static int links_check(struct saving *s)
{
	unsigned long no;
	void *left;

	xa_for_each(&s->names, no, left)
		if (xa_to_value(left) && !s->damaged)
			return refuse(s, -EBUSY, "names of files change");
	return 0;
}

static int entry_save(struct saving *s, struct dentry *dentry)
{
	struct inode *inode = d_inode(dentry);
	struct preserve_tree_writer *w = &s->w;
	u64 link = 0;
	int err = 0;

	if (!S_ISDIR(inode->i_mode) && (inode->i_nlink > 1 || inode_large(inode)))
		err = link_save(s, dentry, &link);
	if (err)
		return err;
	preserve_tree_put_text(w, dentry->d_name.name, dentry->d_name.len);
	preserve_tree_put(w, (unsigned long)dentry->d_fsdata);
	preserve_tree_put(w, link ? PRESERVE_ENTRY_LINK : PRESERVE_ENTRY_INODE);
	if (link) {
		preserve_tree_put(w, link);
		err = link_name_note(s, link);
	} else {
		err = inode_save(s, dentry);
		if (!err && s->nlink != 1 && !S_ISDIR(inode->i_mode))
			err = refuse(s, -EBUSY, "its names change");
	}
	s->nr++;
	s->book->ser.used_ispace += SHMEM_LU_INODE_SPACE;
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
	err = shmem_lu_dir_load(d_inode(parent));
	inode_unlock_shared(d_inode(parent));
	if (err)
		s->name = parent;
	if (err == -EUCLEAN)
		return dir_refused_save(s, no);
	if (err == -EOPNOTSUPP)
		return refuse(s, err, "it has what this kernel does not know");
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
		return refuse(s, err, "it has too many entries, or one is too large");
	}
	return err ?: section_end(s, PRESERVE_SECTION_DIR, no);
}

static int dirs_save(struct saving *s)
{
	struct dentry *dentry;
	u64 no;
	int err = 0;

	for (no = 0; !err && no < s->book->ser.nr_dirs; no++) {
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
	s->book->ser.nr_inodes = 0;
	err = err ?: section_end(s, PRESERVE_SECTION_LINK, 0);
	s->book->ser.nr_links = 1;
	return err;
}

/* --- quotas --- */

#ifdef CONFIG_TMPFS_QUOTA

static void grace_put(struct saving *s, int type)
{
	const struct mem_dqinfo *info = &sb_dqopt(s->sb)->info[type];

	preserve_tree_put(&s->w, PRESERVE_QUOTA_GRACE + type);
	preserve_tree_put(&s->w, 0);
	preserve_tree_put(&s->w, info->dqi_bgrace);
	preserve_tree_put(&s->w, info->dqi_igrace);
	s->nr++;
}

static int quotas_of(struct saving *s, int type)
{
	struct kqid id = make_kqid(&init_user_ns, type, 0);
	struct qc_dqblk dq;
	int err;

	if (!sb_has_quota_active(s->sb, type))
		return 0;
	grace_put(s, type);
	while (!(err = dquot_get_next_dqblk(s->sb, &id, &dq))) {
		preserve_tree_put(&s->w, type);
		preserve_tree_put(&s->w, from_kqid(&init_user_ns, id));
		preserve_tree_put(&s->w, dq.d_spc_hardlimit);
		preserve_tree_put(&s->w, dq.d_ino_hardlimit);
		preserve_tree_put(&s->w, dq.d_spc_softlimit);
		preserve_tree_put(&s->w, dq.d_ino_softlimit);
		preserve_tree_put(&s->w, dq.d_spc_timer);
		preserve_tree_put(&s->w, dq.d_ino_timer);
		s->nr++;
		if (from_kqid(&init_user_ns, id) >= U32_MAX - 1)
			break;
		id = make_kqid(&init_user_ns, type,
			       from_kqid(&init_user_ns, id) + 1);
	}
	return err == -ENOENT || err == -ESRCH ? 0 : err;
}

static int quotas_save(struct saving *s)
{
	u64 at = s->pos;
	int err = quotas_of(s, USRQUOTA) ?: quotas_of(s, GRPQUOTA);

	if (err || !s->nr)
		return err;
	s->book->ser.quotas = at;
	return section_end(s, PRESERVE_SECTION_QUOTA, 0);
}

#else

static int quotas_save(struct saving *s)
{
	return 0;
}

#endif

/* --- all of it --- */

/*
 * At the end: only now no task makes inodes, or fills files, any more. One that was quick
 * may have more than the limit, which the next kernel would not believe.
 */
static void limits_save(struct saving *s, struct vfsmount *mnt)
{
	struct preserve_tree_ser *ser = &s->book->ser;

	shmem_lu_options_save(s->sb, mnt, ser);
	if (ser->max_blocks)
		ser->max_blocks = max(ser->max_blocks, ser->used_blocks);
	if (ser->max_inodes)
		ser->max_inodes = max(ser->max_inodes,
				      DIV_ROUND_UP(ser->used_ispace,
						   SHMEM_LU_INODE_SPACE));
}

/* The beginning, which vouches for itself. */
static int start_save(struct shmem_lu_book *book)
{
	loff_t pos = 0;

	preserve_tree_commit(&book->ser);
	return shmem_lu_book_put(book, &book->ser, sizeof(book->ser), &pos);
}

static int tables_save(struct saving *s)
{
	struct shmem_lu_book *book = s->book;
	int err = s->dir_at.err ?: s->link_at.err;

	book->ser.dirs = s->pos;
	err = err ?: shmem_lu_book_put(book, s->dir_at.buf, s->dir_at.len, &s->pos);
	book->ser.links = s->pos;
	err = err ?: shmem_lu_book_put(book, s->link_at.buf, s->link_at.len, &s->pos);
	book->ser.length = s->pos;
	return err ?: start_save(book);
}

/* Undoes the claims of sections, by a table that is in no book yet. */
static void claims_undo(struct saving *s, u32 kind,
			const struct preserve_tree_writer *table)
{
	const u64 *at = (const u64 *)table->buf;
	struct shmem_lu_section sec;
	u64 no;
	int err;

	for (no = 0; no < table->len / sizeof(*at); no++) {
		while ((err = shmem_lu_section_read(s->book, at[no], kind, no,
						    &sec)) == -ENOMEM)
			memalloc_retry_wait(GFP_KERNEL);
		if (err)
			continue;
		shmem_lu_section_runs(s->book, &sec, shmem_lu_unclaim);
		shmem_lu_section_put(&sec);
		cond_resched();
	}
}

/* Nothing stays claimed, and the book is empty. */
static void book_undo(struct saving *s)
{
	s->book->ser.length = s->pos;
	claims_undo(s, PRESERVE_SECTION_DIR, &s->dir_at);
	claims_undo(s, PRESERVE_SECTION_LINK, &s->link_at);
	s->book->ser.nr_dirs = 0;
	s->book->ser.nr_links = 0;
}

/**
 * shmem_lu_book_update - Note what has changed since a book was written.
 * @sb:   The file system: file handles may have been given away.
 * @mnt:  The mount that the tree is preserved by: its flags may have changed.
 * @book: The book.
 *
 * Context: Process context, in the reboot path.
 */
void shmem_lu_book_update(struct super_block *sb, struct vfsmount *mnt,
			  struct shmem_lu_book *book)
{
	int err;

	if (!shmem_lu_options_changed(sb, mnt, &book->ser))
		return;
	err = start_save(book);
	if (err)
		pr_warn("%s: flags of the mount cross as they were when it was preserved (%pe)\n",
			book->ser.source, ERR_PTR(err));
}

/**
 * shmem_lu_book_write - Freeze a tmpfs and write its book.
 * @sb:   The file system; lu_outgoing is set, and all that was changing it has ended.
 * @mnt:  The mount that it is preserved by.
 * @book: The book: its file is empty, owned by the caller.
 *
 * Context: Process context, no lock held.
 * Return: 0; -ENOMEM, -ENOSPC, -EBUSY, -E2BIG, -EFBIG, -EINTR, with a message where a file is
 *         the reason. Nothing is claimed then; the caller thaws the file system.
 */
int shmem_lu_book_write(struct super_block *sb, struct vfsmount *mnt,
			struct shmem_lu_book *book)
{
	struct saving *s = kzalloc_obj(*s);
	int err;

	if (!s)
		return -ENOMEM;
	s->sb = sb;
	s->book = book;
	s->pos = sizeof(book->ser);
	s->name = sb->s_root;
	xa_init(&s->dirs);
	xa_init(&s->inodes);
	xa_init(&s->names);
	book->ser.epoch = ktime_get_real_seconds();
	s->w.epoch = book->ser.epoch;
	book->ser.used_ispace = SHMEM_LU_INODE_SPACE;

	lru_add_drain_all();
	/* Making the last directory may correct the links' numbers of names. */
	err = shmem_lu_tree_load(sb);
	s->damaged = shmem_lu_incoming(sb) && atomic_long_read(&shmem_lu_incoming(sb)->nr_dirs);
	err = err ?: root_save(s);
	err = err ?: dirs_save(s);
	err = err ?: links_check(s);
	err = err ?: quotas_save(s);
	if (!err)
		limits_save(s, mnt);
	err = err ?: tables_save(s);
	if (err)
		book_undo(s);
	xa_destroy(&s->dirs);
	xa_destroy(&s->inodes);
	xa_destroy(&s->names);
	kvfree(s->w.buf);
	kvfree(s->dir_at.buf);
	kvfree(s->link_at.buf);
	kfree(s);
	return err;
}
