// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making the directories and inodes of a retrieved tree, when a task looks there.
 *
 * A retrieved directory has operations of its own: its look-up and its reading first
 * make all of its entries if no task has looked into it yet. Everything else that can
 * be done in a directory looks a name up first; only what removes the directory itself, or
 * changes how it compares names, asks shmem_lu_dir_empty().
 *
 * All entries are made before the first can be seen, so a failure leaves the
 * directory as it was, and the next look-up tries again. What a damaged book may have
 * refuses the directory: EUCLEAN, and at once the next time. Such a directory can be
 * removed, and crosses the next kexec as one that is refused. Of a name that is there
 * twice the second is left out, and so is one whose link is damaged.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/iversion.h>
#include <linux/kdev_t.h>
#include <linux/memcontrol.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/namei.h>
#include <linux/quotaops.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/slab.h>

#include "internal.h"
#include "shmem_lu.h"
#include "shmem_lu_tree.h"

/* Flags of an inode that its fsflags give. */
#define FSFLAG_BITS	(S_NOATIME | S_APPEND | S_IMMUTABLE | S_CASEFOLD)

/* What the book's list of directories holds in place of an inode. */
#define DIR_MADE	1	/* its entries are there, or it is gone */
#define DIR_REFUSED	2	/* its section is damaged */

/* There: it is an inode, whose entries are to be made. */
#define DIR_LAZY	XA_MARK_0

/* An unknown one would be lost on the next way. */
#define KNOWN_SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | \
			 F_SEAL_FUTURE_WRITE | F_SEAL_EXEC)

/* The operations of directories that have been retrieved. */
static struct inode_operations lazy_dir_iops;
static struct file_operations lazy_dir_fops;
static DEFINE_MUTEX(lazy_lock);

/* --- inodes --- */

/**
 * shmem_lu_inode_flags - Set an inode's flags as its fsflags say.
 * @inode: The inode.
 *
 * Context: No other task changes them.
 */
void shmem_lu_inode_flags(struct inode *inode)
{
	unsigned int fsflags = SHMEM_I(inode)->fsflags, flags = 0;

	if (fsflags & FS_NOATIME_FL)
		flags |= S_NOATIME;
	if (fsflags & FS_APPEND_FL)
		flags |= S_APPEND;
	if (fsflags & FS_IMMUTABLE_FL)
		flags |= S_IMMUTABLE;
	if (fsflags & FS_CASEFOLD_FL)
		flags |= S_CASEFOLD;
	inode_set_flags(inode, flags, FSFLAG_BITS | S_NOCMTIME);
}

/* The owner: quotas are charged to the task that makes the inode, and have to move. */
static int inode_own(struct inode *inode, const struct preserve_tree_inode *in)
{
	struct iattr attr = {
		.ia_valid = ATTR_UID | ATTR_GID,
		.ia_vfsuid = VFSUIDT_INIT(make_kuid(&init_user_ns, in->uid)),
		.ia_vfsgid = VFSGIDT_INIT(make_kgid(&init_user_ns, in->gid)),
	};
	int err = 0;

	if (sb_any_quota_loaded(inode->i_sb))
		err = dquot_transfer(&nop_mnt_idmap, inode, &attr);
	inode->i_uid = make_kuid(&init_user_ns, in->uid);
	inode->i_gid = make_kgid(&init_user_ns, in->gid);
	return err;
}

static int inode_fill(struct inode *inode, const struct preserve_tree_inode *in)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct shmem_inode_info *info = SHMEM_I(inode);

	inode->i_ino = in->ino;
	inode->i_generation = in->generation;
	/* As shmem_encode_fh() does; the last kernel may have given a handle of it away. */
	if (sbinfo->lu_handles && inode_unhashed(inode))
		__insert_inode_hash(inode, in->ino + in->generation);
	inode->i_mode = in->mode;
	set_nlink(inode, in->nlink);
	inode_set_mtime_to_ts(inode, in->mtime);
	inode_set_ctime_to_ts(inode, in->ctime);
	inode_set_atime_to_ts(inode, in->atime);
	info->i_crtime = in->btime;
	inode_set_iversion_raw(inode, in->version);
	inode->i_write_hint = in->write_hint;
	info->seals = in->seals;
	info->fsflags = in->fsflags;
	/* Another kernel may know them: they are not to be lost here. */
	if (in->fsflags & ~SHMEM_FL_USER_VISIBLE || in->seals & ~KNOWN_SEALS ||
	    (in->fsflags & FS_CASEFOLD_FL && !inode->i_sb->s_encoding))
		return -EOPNOTSUPP;
	shmem_lu_inode_flags(inode);
	return inode_own(inode, in);
}

static int short_symlink(struct inode *inode,
			 const struct preserve_tree_inode *in)
{
	char *link = kmemdup_nul(in->target, in->target_len, GFP_KERNEL);

	if (!link)
		return -ENOMEM;
	inode->i_op = &shmem_short_symlink_operations;
	inode_set_cached_link(inode, link, in->target_len);
	return 0;
}

static int long_symlink(struct inode *inode,
			const struct preserve_tree_inode *in)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct folio *folio;
	int err;

	inode_nohighmem(inode);
	inode->i_mapping->a_ops = file_inode(sbinfo->lu_incoming->file)->i_mapping->a_ops;
	err = shmem_get_folio(inode, 0, 0, &folio, SGP_WRITE);
	if (err)
		return err;
	inode->i_op = &shmem_symlink_inode_operations;
	memcpy(folio_address(folio), in->target, in->target_len);
	folio_zero_range(folio, in->target_len,
			 folio_size(folio) - in->target_len);
	folio_mark_uptodate(folio);
	folio_mark_dirty(folio);
	folio_unlock(folio);
	folio_put(folio);
	return 0;
}

static int symlink_fill(struct inode *inode,
			const struct preserve_tree_inode *in)
{
	inode->i_size = in->target_len;
	return in->target_len < SHMEM_LU_SHORT_SYMLINK ?
	       short_symlink(inode, in) : long_symlink(inode, in);
}

/* A directory with entries is left for later. */
static int dir_fill(struct inode *inode, const struct preserve_tree_inode *in)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct shmem_inode_info *info = SHMEM_I(inode);
	int err;

	inode->i_size = in->size;
	info->dir_offsets.next_offset = in->next;
	if (!in->dir)
		return in->nlink == 2 ? 0 : -EUCLEAN;
	/* There is one way to each directory. */
	err = xa_insert(&sbinfo->lu_incoming->dirs, in->dir - 1, inode, GFP_KERNEL);
	if (err)
		return err == -EBUSY ? -EUCLEAN : err;
	info->lu_pos = in->dir;
	inode->i_op = &lazy_dir_iops;
	inode->i_fop = &lazy_dir_fops;
	atomic_long_inc(&sbinfo->lu_incoming->nr_dirs);
	atomic_long_inc(&sbinfo->lu_incoming->refs);
	/* Last: next_lazy() finds it from now on. */
	xa_set_mark(&sbinfo->lu_incoming->dirs, in->dir - 1, DIR_LAZY);
	return 0;
}

static int extras_load(struct inode *inode, struct preserve_tree_reader *r,
		       u32 nr)
{
	int err = 0;

	while (nr-- && !err)
		err = shmem_lu_extra_load(inode, r);
	return err;
}

static int inode_load(struct inode *inode, u64 pos,
		      const struct preserve_tree_inode *in,
		      struct preserve_tree_reader *r)
{
	int err = inode_fill(inode, in);

	if (!err && S_ISLNK(in->mode))
		err = symlink_fill(inode, in);
	if (!err && S_ISDIR(in->mode))
		err = dir_fill(inode, in);
	if (!err && S_ISREG(in->mode)) {
		i_size_write(inode, in->size);
		shmem_lu_data_prepare(inode, pos, in);
	}
	return err ?: extras_load(inode, r, in->nr_extras);
}

/*
 * Undoes inode_make(); the inode has no name yet. What the book has of it stays there,
 * and stays accounted for.
 */
static void inode_unmake(struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct shmem_inode_info *info = SHMEM_I(inode);

	if (info->lu_pos) {
		if (S_ISDIR(inode->i_mode)) {
			atomic_long_dec(&sbinfo->lu_incoming->nr_dirs);
			xa_erase(&sbinfo->lu_incoming->dirs, info->lu_pos - 1);
		}
		info->lu_pos = 0;
		/* The directory that it would be in holds one, too. */
		atomic_long_dec(&sbinfo->lu_incoming->refs);
	}
	if (info->swapped)
		shmem_recalc_inode(inode, 0, -(long)info->swapped);
	simple_xattrs_free(&sbinfo->xa_cache, &info->xattrs, NULL);
	/* A walk over all files may be the last to hold it. */
	clear_nlink(inode);
	iput(inode);
}

/*
 * Makes the inode that @in says; @r stands at its extras, @pos is where it is in the
 * book. It has no name yet: inode_unmake() undoes it, and what is in the book stays.
 */
static struct inode *inode_make(struct super_block *sb, u64 pos,
				const struct preserve_tree_inode *in,
				struct preserve_tree_reader *r)
{
	struct inode *inode;
	int err;

	inode = shmem_get_inode(&nop_mnt_idmap, sb, NULL, in->mode,
				new_decode_dev(in->rdev),
				mk_vma_flags(VMA_NORESERVE_BIT));
	if (IS_ERR(inode))
		return ERR_PTR(-ENOMEM);
	err = inode_load(inode, pos, in, r);
	if (!err)
		return inode;
	inode_unmake(inode);
	return ERR_PTR(err);
}

/* --- links --- */

static struct inode *link_make(struct super_block *sb, u64 no)
{
	struct shmem_lu_book *book = shmem_lu_incoming(sb);
	struct preserve_tree_reader r;
	struct preserve_tree_inode in;
	struct shmem_lu_section sec;
	struct inode *inode;
	int err;

	err = shmem_lu_section_get(book, PRESERVE_SECTION_LINK, no, &sec);
	if (err)
		return ERR_PTR(err);
	shmem_lu_section_reader(book, &sec, &r);
	inode = ERR_PTR(-EUCLEAN);
	if (preserve_tree_get_inode(&r, &in) && !S_ISDIR(in.mode))
		inode = inode_make(sb, sec.pos, &in, &r);
	shmem_lu_section_put(&sec);
	if (IS_ERR(inode))
		return inode;

	err = xa_err(xa_store(&book->names, no, xa_mk_value(in.nlink),
			      GFP_KERNEL));
	err = err ?: xa_err(xa_store(&book->links, no, inode, GFP_KERNEL));
	if (err) {
		inode_unmake(inode);
		return ERR_PTR(err);
	}
	return inode;
}

/* How many names of a link are to come; changed by @add. */
static unsigned long link_names(struct shmem_lu_book *book, u64 no, int add)
{
	unsigned long nr = xa_to_value(xa_load(&book->names, no)) + add;

	if (add)
		xa_store(&book->names, no, xa_mk_value(nr), GFP_KERNEL);
	return nr;
}

/* The inode of a link for one name more, with a reference. */
static struct inode *link_get(struct super_block *sb, u64 no)
{
	struct shmem_lu_book *book = shmem_lu_incoming(sb);
	struct inode *inode;

	if (no >= book->ser.nr_links)
		return ERR_PTR(-EUCLEAN);
	inode = xa_load(&book->links, no);
	if (!inode)
		inode = link_make(sb, no);
	if (IS_ERR(inode))
		return inode;
	if (xa_is_value(inode) || !link_names(book, no, 0))
		return ERR_PTR(-EUCLEAN);
	link_names(book, no, -1);
	ihold(inode);
	return inode;
}

static void link_put(struct super_block *sb, u64 no, struct inode *inode)
{
	link_names(shmem_lu_incoming(sb), no, 1);
	iput(inode);
}

/*
 * With its last name the link needs no reference any more. A directory may have several
 * of the last ones.
 */
static void link_named(struct super_block *sb, u64 no, struct inode *inode)
{
	struct shmem_lu_book *book = shmem_lu_incoming(sb);

	if (link_names(book, no, 0) || xa_load(&book->links, no) != inode)
		return;
	xa_store(&book->links, no, xa_mk_value(1), GFP_KERNEL);
	iput(inode);
}

/* A link has fewer names than it says. */
static void link_correct(struct super_block *sb, u64 no, struct inode *inode)
{
	unsigned long left = link_names(shmem_lu_incoming(sb), no, 0);

	inode_lock_nested(inode, I_MUTEX_CHILD);
	set_nlink(inode, inode->i_nlink - min(left, inode->i_nlink));
	inode_unlock(inode);
	pr_err_ratelimited("%s: inode %llu has %lu names less than it says\n",
			   shmem_lu_incoming(sb)->ser.source, (u64)inode->i_ino, left);
}

/*
 * No name is to come any more: what has none so far is gone. All names have come if
 * the last directory was @made, or was damaged and has been removed.
 */
static void links_end(struct super_block *sb, bool made)
{
	struct shmem_lu_book *book = shmem_lu_incoming(sb);
	struct shmem_lu_section sec;
	struct inode *inode;
	u64 no;

	for (no = 1; no < book->ser.nr_links; no++) {
		inode = xa_load(&book->links, no);
		if (xa_is_value(inode))
			continue;
		if (inode) {
			if (made)
				link_correct(sb, no, inode);
			if (!book->making)
				SHMEM_I(inode)->lu_unmade = false;
			xa_store(&book->links, no, xa_mk_value(1), GFP_KERNEL);
			iput(inode);
		} else if (!book->making &&
			   !shmem_lu_section_get_sure(book,
						      PRESERVE_SECTION_LINK, no,
						      &sec)) {
			shmem_lu_section_runs(book, &sec,
					      shmem_lu_frames_release);
			shmem_lu_section_put(&sec);
		}
		cond_resched();
	}
}

/**
 * shmem_lu_book_release - Something of the book has been made, or is gone.
 * @sb: The file system.
 *
 * Context: Process context; the book's lock not held.
 */
void shmem_lu_book_release(struct super_block *sb)
{
	struct shmem_lu_book *book = shmem_lu_incoming(sb);

	if (atomic_long_dec_and_test(&book->refs))
		shmem_lu_book_close(book);
}

/* A directory has been made, or is gone: with the file system. */
static void dir_put(struct super_block *sb, bool made)
{
	if (atomic_long_dec_and_test(&shmem_lu_incoming(sb)->nr_dirs))
		links_end(sb, made);
	shmem_lu_book_release(sb);
}

/* --- directories --- */

/**
 * struct making - The making of a directory.
 * @dir:    Its inode.
 * @parent: Its dentry.
 * @nr_dirs: Directories among its entries.
 * @nr:     Entries that have been made.
 * @made:   They: dentries that are not hashed and inodes, with a reference each; the
 *          number of the link, or 0.
 */
struct making {
	struct inode *dir;
	struct dentry *parent;
	u32 nr_dirs;
	u32 nr;
	struct {
		struct dentry *dentry;
		struct inode *inode;
		u64 link;
	} made[];
};

static void inode_drop(struct making *m, struct inode *inode, u64 link)
{
	if (link)
		link_put(m->dir->i_sb, link, inode);
	else
		inode_unmake(inode);
}

static struct dentry *entry_alloc(struct dentry *parent,
				  const struct preserve_tree_entry *entry)
{
	struct qstr name = QSTR_INIT((const char *)entry->name, entry->name_len);

	name.hash = full_name_hash(parent, name.name, name.len);
	if (parent->d_flags & DCACHE_OP_HASH &&
	    parent->d_op->d_hash(parent, &name))
		return ERR_PTR(-EUCLEAN);
	return d_alloc(parent, &name) ?: ERR_PTR(-ENOMEM);
}

/* The place in the directory that the entry has had. */
static int entry_place(struct making *m, struct dentry *dentry, u64 pos)
{
	struct offset_ctx *ctx = &SHMEM_I(m->dir)->dir_offsets;
	int err;

	ctx->next_offset = pos;
	err = simple_offset_add(ctx, dentry);
	if (!err && (unsigned long)dentry->d_fsdata != pos) {
		simple_offset_remove(ctx, dentry);
		err = -EUCLEAN;
	}
	return err;
}

/* What is no directory and has several names is a link. */
static bool links_ok(const struct preserve_tree_entry *entry)
{
	return entry->link || S_ISDIR(entry->inode.mode) ||
	       entry->inode.nlink == 1;
}

/* Damage of a link costs the names that it has, not the directories that they are in. */
static void link_refuse(struct making *m, const struct preserve_tree_entry *entry)
{
	pr_err_ratelimited("%s: %.*s is refused: its inode is damaged\n",
			   shmem_lu_incoming(m->dir->i_sb)->ser.source,
			   (int)entry->name_len, entry->name);
}

static int entry_make(struct making *m, const struct shmem_lu_section *sec,
		      struct preserve_tree_reader *r)
{
	struct preserve_tree_entry entry;
	struct dentry *dentry;
	struct inode *inode;
	int err;

	if (!preserve_tree_get_entry(r, &entry) || !links_ok(&entry))
		return -EUCLEAN;
	if (entry.link)
		inode = link_get(m->dir->i_sb, entry.link);
	else
		inode = inode_make(m->dir->i_sb,
				   sec->pos + (entry.start - sec->bytes),
				   &entry.inode, r);
	if (entry.link && inode == ERR_PTR(-EUCLEAN)) {
		link_refuse(m, &entry);
		return 0;
	}
	if (IS_ERR(inode))
		return PTR_ERR(inode);
	dentry = entry_alloc(m->parent, &entry);
	if (IS_ERR(dentry)) {
		inode_drop(m, inode, entry.link);
		return PTR_ERR(dentry);
	}
	err = entry_place(m, dentry, entry.pos);
	if (err) {
		dput(dentry);
		inode_drop(m, inode, entry.link);
		return err;
	}
	m->nr_dirs += S_ISDIR(inode->i_mode);
	m->made[m->nr].dentry = dentry;
	m->made[m->nr].inode = inode;
	m->made[m->nr++].link = entry.link;
	return 0;
}

static void entry_unmake(struct making *m, u32 i)
{
	simple_offset_remove(&SHMEM_I(m->dir)->dir_offsets, m->made[i].dentry);
	dput(m->made[i].dentry);
	inode_drop(m, m->made[i].inode, m->made[i].link);
}

/* Nothing here can fail; a name that is there twice is left out. */
static void entries_show(struct making *m)
{
	struct dentry *dentry, *twin;
	struct inode *inode;
	u32 i;

	for (i = 0; i < m->nr; i++) {
		dentry = m->made[i].dentry;
		inode = m->made[i].inode;
		twin = d_lookup(m->parent, &dentry->d_name);
		if (twin) {
			pr_err_ratelimited("%s: %pd is there twice: the second is refused\n",
					   shmem_lu_incoming(m->dir->i_sb)->ser.source,
					   dentry);
			dput(twin);
			if (S_ISDIR(inode->i_mode))
				drop_nlink(m->dir);
			entry_unmake(m, i);
			continue;
		}
		if (SHMEM_I(inode)->lu_unmade) {
			/* The first name of a link: no other task knows the inode yet. */
			SHMEM_I(inode)->lu_unmade = false;
			security_d_instantiate(dentry, inode);
			shmem_lu_labels_give(inode);
		}
		d_make_persistent(dentry, inode);
		dput(dentry);
		if (m->made[i].link)
			link_named(m->dir->i_sb, m->made[i].link, inode);
	}
}

/* It says how many directories it has, and is believed less than these. */
static void dir_correct(struct making *m)
{
	if (m->dir->i_nlink == 2ULL + m->nr_dirs)
		return;
	pr_err_ratelimited("%s: directory with inode %llu has %u directories, not as many as it says\n",
			   shmem_lu_incoming(m->dir->i_sb)->ser.source, (u64)m->dir->i_ino,
			   m->nr_dirs);
	set_nlink(m->dir, 2 + m->nr_dirs);
}

static int dir_make(struct making *m, const struct shmem_lu_section *sec)
{
	struct shmem_inode_info *info = SHMEM_I(m->dir);
	unsigned long next = info->dir_offsets.next_offset;
	struct preserve_tree_reader r;
	int err = 0;
	u32 i;

	shmem_lu_section_reader(shmem_lu_incoming(m->dir->i_sb), sec, &r);
	for (i = 0; !err && i < sec->head.nr; i++) {
		err = entry_make(m, sec, &r);
		if (fatal_signal_pending(current))
			err = err ?: -EINTR;
		cond_resched();
	}
	if (!err && r.at != r.end)
		err = -EUCLEAN;
	if (!err)
		dir_correct(m);
	info->dir_offsets.next_offset = next;
	if (!err)
		entries_show(m);
	else
		while (m->nr)
			entry_unmake(m, --m->nr);
	return err;
}

/* In place of its inode: this needs no memory. */
static void dir_note(struct shmem_lu_book *book, u64 no, unsigned long what)
{
	xa_store(&book->dirs, no, xa_mk_value(what), GFP_KERNEL);
	xa_clear_mark(&book->dirs, no, DIR_LAZY);
}

static bool dir_refused(struct shmem_lu_book *book, u64 no)
{
	return xa_load(&book->dirs, no) == xa_mk_value(DIR_REFUSED);
}

/* It does not get better: one message, and it is not read again. */
static void dir_refuse(struct inode *dir)
{
	struct shmem_lu_book *book = shmem_lu_incoming(dir->i_sb);
	u64 no = SHMEM_I(dir)->lu_pos - 1;

	if (dir_refused(book, no))
		return;
	dir_note(book, no, DIR_REFUSED);
	pr_err_ratelimited("%s: directory with inode %llu is refused\n",
			   book->ser.source, (u64)dir->i_ino);
}

/* Context: the book's lock held. */
static int dir_load(struct inode *dir)
{
	struct shmem_lu_book *book = shmem_lu_incoming(dir->i_sb);
	struct shmem_lu_section sec;
	struct making *m;
	int err;

	if (dir_refused(book, SHMEM_I(dir)->lu_pos - 1))
		return -EUCLEAN;
	err = shmem_lu_section_get(book, PRESERVE_SECTION_DIR,
				   SHMEM_I(dir)->lu_pos - 1, &sec);
	if (err)
		return err;
	/* Each entry takes a byte at least, and kvmalloc() has a limit. */
	err = -EUCLEAN;
	if (sec.head.nr > sec.head.length ||
	    struct_size(m, made, sec.head.nr) > INT_MAX)
		goto out;
	err = -ENOMEM;
	m = kvmalloc(struct_size(m, made, sec.head.nr), GFP_KERNEL);
	if (!m)
		goto out;
	m->dir = dir;
	m->parent = d_find_any_alias(dir);
	m->nr_dirs = 0;
	m->nr = 0;
	err = m->parent ? dir_make(m, &sec) : -ESTALE;
	dput(m->parent);
	kvfree(m);
out:
	shmem_lu_section_put(&sec);
	return err;
}

/*
 * The entries are accounted for, see shmem_lu_accounted(). The rights and quotas of the
 * task that happens to look do not matter, and no memory cgroup pays: what is in use already
 * is refused for no limit.
 */
static int dir_load_as_kernel(struct inode *dir)
{
	struct shmem_sb_info *sbinfo = dir->i_sb->s_fs_info;
	struct mem_cgroup *memcg = set_active_memcg(root_mem_cgroup);
	int err;

	WRITE_ONCE(sbinfo->lu_maker, current);
	scoped_with_kernel_creds()
		err = dir_load(dir);
	WRITE_ONCE(sbinfo->lu_maker, NULL);
	set_active_memcg(memcg);
	return err;
}

/**
 * shmem_lu_dir_load - Make the entries of a directory that no task has looked into.
 * @dir: The directory's inode.
 *
 * Context: Process context, may sleep; its i_rwsem held, shared is enough.
 * Return: 0; -EUCLEAN if the book is damaged there; -ENOMEM: not now; -EINTR if the task
 *         is being killed.
 */
int shmem_lu_dir_load(struct inode *dir)
{
	struct shmem_inode_info *info = SHMEM_I(dir);
	struct shmem_lu_book *book = shmem_lu_incoming(dir->i_sb);
	bool made = false;
	int err = 0;

	/* Pairs with the release below: its entries are there, then. */
	if (!smp_load_acquire(&info->lu_pos))
		return 0;
	if (mutex_lock_killable(&book->lock))
		return -EINTR;
	if (info->lu_pos) {
		err = dir_load_as_kernel(dir);
		made = !err;
		if (err == -EUCLEAN)
			dir_refuse(dir);
	}
	if (made) {
		WRITE_ONCE(dir->i_fop, &simple_offset_dir_operations);
		dir_note(book, info->lu_pos - 1, DIR_MADE);
		/* After the entries have become visible. */
		smp_store_release(&info->lu_pos, 0);
	}
	mutex_unlock(&book->lock);
	if (made)
		dir_put(dir->i_sb, true);
	return err;
}

static struct dentry *lazy_lookup(struct inode *dir, struct dentry *dentry,
				  unsigned int flags)
{
	struct dentry *found;
	int err;

	err = shmem_lu_dir_load(dir);
	if (err)
		return ERR_PTR(err);
	found = d_lookup(dentry->d_parent, &dentry->d_name);
	return found ?: simple_lookup(dir, dentry, flags);
}

static int lazy_readdir(struct file *file, struct dir_context *ctx)
{
	int err = shmem_lu_dir_load(file_inode(file));

	return err ?: simple_offset_dir_operations.iterate_shared(file, ctx);
}

/* Context: lazy_lock held. */
static void lazy_init(struct inode *dir)
{
	if (lazy_dir_iops.lookup)
		return;
	lazy_dir_iops = *dir->i_op;
	lazy_dir_iops.lookup = lazy_lookup;
	lazy_dir_fops = simple_offset_dir_operations;
	lazy_dir_fops.iterate_shared = lazy_readdir;
}

/**
 * shmem_lu_root_load - Give a new file system the root of its book.
 * @sb: The file system; lu_incoming is set.
 *
 * Context: Process context, no other task knows it.
 * Return: 0, or a negative errno.
 */
int shmem_lu_root_load(struct super_block *sb)
{
	struct shmem_lu_book *book = shmem_lu_incoming(sb);
	struct inode *root = d_inode(sb->s_root);
	struct preserve_tree_reader r;
	struct preserve_tree_inode in;
	struct shmem_lu_section sec;
	int err;

	scoped_guard(mutex, &lazy_lock)
		lazy_init(root);
	err = shmem_lu_section_get(book, PRESERVE_SECTION_LINK, 0, &sec);
	if (err)
		return err;
	shmem_lu_section_reader(book, &sec, &r);
	err = -EUCLEAN;
	if (preserve_tree_get_inode(&r, &in) && S_ISDIR(in.mode) && in.dir <= 1) {
		scoped_with_kernel_creds()
			err = inode_load(root, sec.pos, &in, &r);
		shmem_lu_labels_give(root);
	}
	shmem_lu_section_put(&sec);
	return err;
}

/* The next directory from *no on that no task has looked into, with a reference, or NULL. */
static struct inode *next_lazy(struct shmem_lu_book *book, unsigned long *no)
{
	struct inode *inode;

	/* A directory that goes away leaves the list under this lock. */
	xa_lock(&book->dirs);
	do {
		inode = xa_find(&book->dirs, no, ULONG_MAX, DIR_LAZY);
		++*no;
	} while (inode && (xa_is_value(inode) || !igrab(inode)));
	xa_unlock(&book->dirs);
	return inode;
}

/* One look at each directory that is left. Returns how many were made, or an error. */
static long tree_load_pass(struct shmem_lu_book *book)
{
	unsigned long no = 0;
	struct inode *dir;
	long made = 0;
	int err;

	while ((dir = next_lazy(book, &no))) {
		inode_lock(dir);
		err = shmem_lu_dir_load(dir);
		inode_unlock(dir);
		iput(dir);
		if (fatal_signal_pending(current))
			err = err ?: -EINTR;
		if (err && shmem_lu_again(err))
			return err;
		made += !err;
		cond_resched();
	}
	return made;
}

/**
 * shmem_lu_tree_load - Make all directories and inodes that are left in the book.
 * @sb: The file system.
 *
 * Directories that are damaged, or not possible in this kernel, cost no others.
 *
 * Context: Process context.
 * Return: 0, or the first error of shmem_lu_dir_load() that shmem_lu_again() takes for a
 *         passing one.
 */
int shmem_lu_tree_load(struct super_block *sb)
{
	struct shmem_lu_book *book = shmem_lu_incoming(sb);
	long made = 0;

	/* Directories come with higher numbers than that which they are in: mostly one. */
	while (book && (made = tree_load_pass(book)) > 0)
		;
	return made;
}

/**
 * shmem_lu_load_handles - A file handle is about to be looked for.
 * @sb: A tmpfs.
 *
 * Its inode may be in a directory that no task has looked into: if the last kernel has
 * given a handle away, all inodes are made.
 *
 * Context: Process context, no directory of the file system locked.
 * Return: 0, or the error of shmem_lu_tree_load().
 */
int shmem_lu_load_handles(struct super_block *sb)
{
	struct shmem_lu_book *book = shmem_lu_incoming(sb);

	if (!book || !(book->ser.flags & PRESERVE_TREE_HANDLES) ||
	    !atomic_long_read(&book->nr_dirs))
		return 0;
	return shmem_lu_tree_load(sb);
}

/* Frees the data of a directory's files; notes the directories below it. */
static void dir_release(struct shmem_lu_book *book, u64 no, struct xarray *below)
{
	struct preserve_tree_entry entry;
	struct preserve_tree_extra extra;
	struct preserve_tree_reader r;
	struct shmem_lu_section sec;
	u32 i, nr;

	if (shmem_lu_section_get_sure(book, PRESERVE_SECTION_DIR, no, &sec))
		return;
	shmem_lu_section_reader(book, &sec, &r);
	for (i = 0; i < sec.head.nr && preserve_tree_get_entry(&r, &entry); i++) {
		if (!entry.link) {
			shmem_lu_inode_runs(&entry.inode, r.end,
					    shmem_lu_frames_release);
			if (S_ISDIR(entry.inode.mode) && entry.inode.dir)
				xa_store(below, entry.inode.dir - 1,
					 xa_mk_value(1), GFP_KERNEL | __GFP_NOFAIL);
		}
		for (nr = entry.inode.nr_extras; nr && !r.bad; nr--)
			preserve_tree_get_extra(&r, &extra);
	}
	shmem_lu_section_put(&sec);
}

/**
 * shmem_lu_dir_forget - Free what is below a directory that no task has looked into.
 * @dir: The directory's inode; it goes away.
 *
 * Context: Process context.
 */
void shmem_lu_dir_forget(struct inode *dir)
{
	struct shmem_lu_book *book = shmem_lu_incoming(dir->i_sb);
	u64 own = SHMEM_I(dir)->lu_pos - 1;
	struct xarray below;
	unsigned long no;
	void *entry;

	xa_init(&below);
	if (!dir_refused(book, own))
		dir_note(book, own, DIR_MADE);
	xa_store(&below, own, xa_mk_value(1),
		 GFP_KERNEL | __GFP_NOFAIL);
	while (!book->making && !xa_empty(&below)) {
		xa_for_each(&below, no, entry) {
			xa_erase(&below, no);
			/* Once only, however often it is named. */
			if (!xa_insert(&book->names, book->ser.nr_links + no,
				       xa_mk_value(1), GFP_KERNEL | __GFP_NOFAIL))
				dir_release(book, no, &below);
			cond_resched();
		}
	}
	xa_destroy(&below);
	SHMEM_I(dir)->lu_pos = 0;
	/* Removed, or gone with the file system. */
	dir_put(dir->i_sb, IS_DEADDIR(dir));
}
