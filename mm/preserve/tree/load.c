// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making the directories of a retrieved tree, when a task looks there.
 *
 * Look-up and reading of a directory first make all of its entries if no task has looked
 * into it yet: the file system asks preserve_tree_dir_load(). Everything else that can be
 * done in a directory looks a name up first; only what removes the directory itself, or
 * changes how it compares names, asks as well.
 *
 * All entries are made before the first can be seen, so a failure leaves the
 * directory as it was, and the next look-up tries again. What a damaged image may have
 * refuses the directory: EUCLEAN, and at once the next time. Such a directory can be
 * removed, and crosses the next kexec as one that is refused. Of a name that is there
 * twice the second is left out, and so is one whose link is damaged.
 */
#define pr_fmt(fmt) "preserve: tree: " fmt

#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/namei.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/slab.h>

#include "tree.h"

/**
 * struct making - The making of a directory.
 * @ts:     What is kept for its file system.
 * @dir:    Its inode.
 * @parent: Its dentry.
 * @nr_dirs: Directories among its entries.
 * @nr:     Entries that have been made.
 * @made:   They: dentries that are not hashed and inodes, with a reference each; the
 *          number of the link, or 0.
 */
struct making {
	struct preserve_tree_sb *ts;
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
		preserve_tree_link_put(m->ts, link, inode);
	else
		preserve_tree_inode_unmake(m->ts, inode);
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
			   m->ts->incoming->ser.source,
			   (int)entry->name_len, entry->name);
}

static int entry_make(struct making *m, const struct preserve_tree_section *sec,
		      struct preserve_tree_reader *r)
{
	struct preserve_tree_entry entry;
	struct dentry *dentry;
	struct inode *inode;
	int err;

	if (!preserve_tree_get_entry(r, &entry) || !links_ok(&entry))
		return -EUCLEAN;
	if (entry.link)
		inode = preserve_tree_link_get(m->ts, m->dir->i_sb, entry.link);
	else
		inode = preserve_tree_inode_make(m->ts, m->dir->i_sb,
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
	err = m->ts->ops->entry_place(m->dir, dentry, entry.pos);
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
	m->ts->ops->entry_remove(m->dir, m->made[i].dentry);
	dput(m->made[i].dentry);
	inode_drop(m, m->made[i].inode, m->made[i].link);
}

/* A new name, and its inode if that has none yet. Context: nothing here can fail. */
static void entry_show(struct making *m, u32 i)
{
	struct dentry *dentry = m->made[i].dentry;
	struct inode *inode = m->made[i].inode;
	struct preserve_tree_node *node = preserve_tree_node_of(m->ts, inode);

	if (node->unmade) {
		/* The first name of a link: no other task knows the inode yet. */
		node->unmade = false;
		security_d_instantiate(dentry, inode);
		m->ts->ops->labels_give(inode);
	}
	d_make_persistent(dentry, inode);
	dput(dentry);
	if (m->made[i].link)
		preserve_tree_link_named(m->ts, m->made[i].link, inode);
}

/* Nothing here can fail; a name that is there twice is left out. */
static void entries_show(struct making *m)
{
	struct dentry *dentry, *twin;
	u32 i;

	for (i = 0; i < m->nr; i++) {
		dentry = m->made[i].dentry;
		cond_resched();
		twin = d_lookup(m->parent, &dentry->d_name);
		if (!twin) {
			entry_show(m, i);
			continue;
		}
		pr_err_ratelimited("%s: %pd is there twice: the second is refused\n",
				   m->ts->incoming->ser.source, dentry);
		dput(twin);
		if (S_ISDIR(m->made[i].inode->i_mode))
			drop_nlink(m->dir);
		entry_unmake(m, i);
	}
}

/* It says how many directories it has, and is believed less than these. */
static void dir_correct(struct making *m)
{
	if (m->dir->i_nlink == 2ULL + m->nr_dirs)
		return;
	pr_err_ratelimited("%s: directory with inode %llu has %u directories, not as many as it says\n",
			   m->ts->incoming->ser.source, (u64)m->dir->i_ino,
			   m->nr_dirs);
	set_nlink(m->dir, 2 + m->nr_dirs);
}

static int dir_make(struct making *m, const struct preserve_tree_section *sec)
{
	struct preserve_tree_reader r;
	int err = 0;
	u32 i;

	preserve_section_reader(m->ts->incoming, sec, &r);
	for (i = 0; !err && i < sec->head.nr; i++) {
		err = entry_make(m, sec, &r);
		if (fatal_signal_pending(current))
			err = err ?: -EINTR;
		cond_resched();
	}
	if (!err && r.at != r.end)
		err = -EUCLEAN;
	if (!err) {
		dir_correct(m);
		entries_show(m);
		return 0;
	}
	while (m->nr)
		entry_unmake(m, --m->nr);
	return err;
}

/* In place of its inode: this needs no memory. */
static void dir_mark(struct preserve_tree_image *image, u64 no, unsigned long what)
{
	xa_store(&image->dirs, no, xa_mk_value(what), GFP_KERNEL);
	xa_clear_mark(&image->dirs, no, PRESERVE_DIR_LAZY);
}

static bool dir_refused(struct preserve_tree_image *image, u64 no)
{
	return xa_load(&image->dirs, no) == xa_mk_value(PRESERVE_DIR_REFUSED);
}

/* It does not get better: one message, and it is not read again. */
static void dir_refuse(struct preserve_tree_sb *ts, struct inode *dir)
{
	struct preserve_tree_image *image = ts->incoming;
	u64 no = preserve_tree_node_of(ts, dir)->pos - 1;

	if (dir_refused(image, no))
		return;
	dir_mark(image, no, PRESERVE_DIR_REFUSED);
	pr_err_ratelimited("%s: directory with inode %llu is refused\n",
			   image->ser.source, (u64)dir->i_ino);
}

static struct making *making_new(struct preserve_tree_sb *ts, struct inode *dir, u32 nr)
{
	struct making *m = kvmalloc(struct_size(m, made, nr), GFP_KERNEL);

	if (!m)
		return NULL;
	m->ts = ts;
	m->dir = dir;
	m->parent = d_find_any_alias(dir);
	m->nr_dirs = 0;
	m->nr = 0;
	return m;
}

/* Context: the image's lock held. */
static int dir_load(struct preserve_tree_sb *ts, struct inode *dir)
{
	u64 no = preserve_tree_node_of(ts, dir)->pos - 1;
	struct preserve_tree_section sec;
	struct making *m;
	int err;

	if (dir_refused(ts->incoming, no))
		return -EUCLEAN;
	err = preserve_section_get(ts->incoming, PRESERVE_SECTION_DIR, no, &sec);
	if (err)
		return err;
	/* Each entry takes a byte at least, and kvmalloc() has a limit. */
	err = -EUCLEAN;
	if (sec.head.nr > sec.head.length ||
	    struct_size(m, made, sec.head.nr) > INT_MAX)
		goto out;
	err = -ENOMEM;
	m = making_new(ts, dir, sec.head.nr);
	if (!m)
		goto out;
	err = m->parent ? dir_make(m, &sec) : -ESTALE;
	dput(m->parent);
	kvfree(m);
out:
	preserve_section_put(&sec);
	return err;
}

/*
 * The entries are accounted for, see preserve_tree_accounted(). The rights and quotas of the
 * task that happens to look do not matter, and no memory cgroup pays: what is in use already
 * is refused for no limit.
 */
static int dir_load_as_kernel(struct preserve_tree_sb *ts, struct inode *dir)
{
	struct mem_cgroup *memcg = set_active_memcg(root_mem_cgroup);
	int err;

	WRITE_ONCE(ts->maker, current);
	scoped_with_kernel_creds()
		err = dir_load(ts, dir);
	WRITE_ONCE(ts->maker, NULL);
	set_active_memcg(memcg);
	return err;
}

/* A directory has been made, or is gone: with the file system. */
static void dir_put(struct preserve_tree_sb *ts, bool made)
{
	if (atomic_long_dec_and_test(&ts->incoming->nr_dirs))
		preserve_tree_links_end(ts, made);
	preserve_image_release(ts->incoming);
}

/**
 * preserve_tree_dir_load - Make the entries of a directory that no task has looked into.
 * @ts:  What is kept for its file system.
 * @dir: The directory's inode.
 *
 * Context: Process context, may sleep; its i_rwsem held, shared is enough.
 * Return: 0; -EUCLEAN if the image is damaged there; -ENOMEM: not now; -EINTR if the task
 *         is being killed.
 */
int preserve_tree_dir_load(struct preserve_tree_sb *ts, struct inode *dir)
{
	struct preserve_tree_node *node = preserve_tree_node_of(ts, dir);
	struct preserve_tree_image *image = ts->incoming;
	bool made = false;
	int err = 0;

	if (!preserve_tree_node_left(node))
		return 0;
	if (mutex_lock_killable(&image->lock))
		return -EINTR;
	if (node->pos) {
		err = dir_load_as_kernel(ts, dir);
		made = !err;
		if (err == -EUCLEAN)
			dir_refuse(ts, dir);
	}
	if (made) {
		dir_mark(image, node->pos - 1, PRESERVE_DIR_MADE);
		/* After the entries have become visible. */
		smp_store_release(&node->pos, 0);
	}
	mutex_unlock(&image->lock);
	if (made)
		dir_put(ts, true);
	return err;
}

/**
 * preserve_tree_lookup - Look a name up that the dcache does not have.
 * @ts:     What is kept for the file system.
 * @dir:    The directory, locked.
 * @dentry: The name.
 * @flags:  LOOKUP_*.
 *
 * Context: Process context.
 * Return: As simple_lookup(); the dentry, if the entry has been made since the caller looked; or
 *         an ERR_PTR, as preserve_tree_dir_load().
 */
struct dentry *preserve_tree_lookup(struct preserve_tree_sb *ts, struct inode *dir,
				    struct dentry *dentry, unsigned int flags)
{
	struct dentry *found;
	int err;

	if (!ts->incoming)
		return simple_lookup(dir, dentry, flags);
	err = preserve_tree_dir_load(ts, dir);
	if (err)
		return ERR_PTR(err);
	found = d_lookup(dentry->d_parent, &dentry->d_name);
	return found ?: simple_lookup(dir, dentry, flags);
}

/**
 * preserve_tree_dir_empty - Is a directory empty, or no directory?
 * @ts:     What is kept for the file system.
 * @dentry: Of what is to be removed, or to compare names in another way; it is locked.
 *
 * One that is damaged has nothing that could be had any more: it may go.
 *
 * Context: Process context.
 * Return: True if it is.
 */
bool preserve_tree_dir_empty(struct preserve_tree_sb *ts, struct dentry *dentry)
{
	struct inode *inode = d_inode(dentry);
	int err = 0;

	if (inode && S_ISDIR(inode->i_mode))
		err = preserve_tree_dir_load(ts, inode);
	return (!err || err == -EUCLEAN) && simple_empty(dentry);
}

/**
 * preserve_tree_root_load - Give a new file system the root of its image.
 * @ts:   What is kept for it.
 * @root: Its root.
 *
 * Context: Process context, no other task knows it.
 * Return: 0, or a negative errno.
 */
int preserve_tree_root_load(struct preserve_tree_sb *ts, struct inode *root)
{
	struct preserve_tree_section sec;
	struct preserve_tree_reader r;
	struct preserve_tree_inode in;
	int err;

	err = preserve_section_get(ts->incoming, PRESERVE_SECTION_LINK, 0, &sec);
	if (err)
		return err;
	preserve_section_reader(ts->incoming, &sec, &r);
	err = -EUCLEAN;
	if (preserve_tree_get_inode(&r, &in) && S_ISDIR(in.mode) && in.dir <= 1) {
		scoped_with_kernel_creds()
			err = preserve_tree_inode_load(ts, root, sec.pos, &in, &r);
		ts->ops->labels_give(root);
	}
	preserve_section_put(&sec);
	return err;
}

/* The next directory from *no on that no task has looked into, with a reference, or NULL. */
static struct inode *next_lazy(struct preserve_tree_image *image, unsigned long *no)
{
	struct inode *inode;

	/* A directory that goes away leaves the list under this lock. */
	xa_lock(&image->dirs);
	do {
		inode = xa_find(&image->dirs, no, ULONG_MAX, PRESERVE_DIR_LAZY);
		++*no;
	} while (inode && (xa_is_value(inode) || !igrab(inode)));
	xa_unlock(&image->dirs);
	return inode;
}

/* One look at each directory that is left. Returns how many were made, or an error. */
static long tree_load_pass(struct preserve_tree_sb *ts)
{
	unsigned long no = 0;
	struct inode *dir;
	long made = 0;
	int err;

	while ((dir = next_lazy(ts->incoming, &no))) {
		inode_lock(dir);
		err = preserve_tree_dir_load(ts, dir);
		inode_unlock(dir);
		iput(dir);
		if (fatal_signal_pending(current))
			err = err ?: -EINTR;
		if (err && preserve_retrieve_again(err))
			return err;
		made += !err;
		cond_resched();
	}
	return made;
}

/**
 * preserve_tree_load - Make all directories and inodes that are left in the image.
 * @ts: What is kept for the file system.
 *
 * Directories that are damaged, or not possible in this kernel, cost no others.
 *
 * Context: Process context.
 * Return: 0, or the first error of preserve_tree_dir_load() that
 *         preserve_retrieve_again() takes for a passing one.
 */
int preserve_tree_load(struct preserve_tree_sb *ts)
{
	long made = 0;

	/* Directories come with higher numbers than that which they are in: mostly one. */
	while (ts->incoming && (made = tree_load_pass(ts)) > 0)
		;
	return made;
}

/**
 * preserve_tree_load_handles - A file handle is about to be looked for.
 * @ts: What is kept for the file system.
 *
 * Its inode may be in a directory that no task has looked into: if the last kernel has
 * given a handle away, all inodes are made.
 *
 * Context: Process context, no directory of the file system locked.
 * Return: 0, or the error of preserve_tree_load().
 */
int preserve_tree_load_handles(struct preserve_tree_sb *ts)
{
	struct preserve_tree_image *image = ts->incoming;

	if (!image || !(image->ser.flags & PRESERVE_TREE_HANDLES) ||
	    !atomic_long_read(&image->nr_dirs))
		return 0;
	return preserve_tree_load(ts);
}

/* Frees the data of a directory's files; notes the directories below it. */
static void dir_release(struct preserve_tree_sb *ts, u64 no, struct xarray *below)
{
	struct preserve_tree_image *image = ts->incoming;
	struct preserve_tree_entry entry;
	struct preserve_tree_extra extra;
	struct preserve_tree_reader r;
	struct preserve_tree_section sec;
	u32 i, nr;

	if (preserve_section_get_sure(image, PRESERVE_SECTION_DIR, no, &sec))
		return;
	preserve_section_reader(image, &sec, &r);
	for (i = 0; i < sec.head.nr && preserve_tree_get_entry(&r, &entry); i++) {
		if (!entry.link) {
			preserve_inode_release(&entry.inode, r.end, ts->ops);
			if (S_ISDIR(entry.inode.mode) && entry.inode.dir)
				xa_store(below, entry.inode.dir - 1,
					 xa_mk_value(1), GFP_KERNEL | __GFP_NOFAIL);
		}
		for (nr = entry.inode.nr_extras; nr && !r.bad; nr--)
			preserve_tree_get_extra(&r, &extra);
		cond_resched();
	}
	preserve_section_put(&sec);
}

/**
 * preserve_tree_dir_forget - Free what is below a directory that no task has looked into.
 * @ts:  What is kept for its file system.
 * @dir: The directory's inode; it goes away.
 *
 * Context: Process context.
 */
void preserve_tree_dir_forget(struct preserve_tree_sb *ts, struct inode *dir)
{
	struct preserve_tree_node *node = preserve_tree_node_of(ts, dir);
	struct preserve_tree_image *image = ts->incoming;
	u64 own = node->pos - 1;
	struct xarray below;
	unsigned long no;
	void *entry;

	xa_init(&below);
	if (!dir_refused(image, own))
		dir_mark(image, own, PRESERVE_DIR_MADE);
	xa_store(&below, own, xa_mk_value(1),
		 GFP_KERNEL | __GFP_NOFAIL);
	while (!image->making && !xa_empty(&below)) {
		xa_for_each(&below, no, entry) {
			xa_erase(&below, no);
			/* Once only, however often it is named. */
			if (!xa_insert(&image->names, image->ser.nr_links + no,
				       xa_mk_value(1), GFP_KERNEL | __GFP_NOFAIL))
				dir_release(ts, no, &below);
			cond_resched();
		}
	}
	xa_destroy(&below);
	node->pos = 0;
	/* Removed, or gone with the file system. */
	dir_put(ts, IS_DEADDIR(dir));
}
