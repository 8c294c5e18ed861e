// SPDX-License-Identifier: GPL-2.0-only
/*
 * Giving a file of a retrieved tree its memory, when somebody needs it first.
 *
 * Until then the file has a size, its pages are accounted for as swapped ones are,
 * and its inode says where in the book its runs are. Then the runs are read, their
 * frames are taken from what was handed over, and the file goes on like a memfd that
 * was retrieved: it has a map, and folios when somebody asks (shmem_lu_demand.c).
 *
 * A file of a mount without "preserve" becomes a plain one again as soon as it has
 * all of its folios. Runs that are not what they should be give EIO; the frames stay
 * set aside until the next kexec.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/swap.h>

#include "internal.h"
#include "shmem_lu.h"
#include "shmem_lu_tree.h"

/* Bytes of an inode in the book that are read at first. */
#define FIRST_READ	256

/* Returns 0; -EIO if these bytes are not, or not all of, a file's inode. */
static int read_inode(struct shmem_lu_book *book, u8 *buf, size_t len,
		      loff_t pos, struct preserve_tree_inode *in,
		      const u8 **end)
{
	struct preserve_tree_reader r = {
		.at = buf, .end = buf + len, .epoch = book->ser.epoch,
	};
	int err = shmem_lu_book_read(book, buf, len, pos);

	if (err)
		return err == -ENOMEM ? err : -EIO;
	*end = r.end;
	return preserve_tree_get_inode(&r, in) && S_ISREG(in->mode) ? 0 : -EIO;
}

/**
 * shmem_lu_data_get - Read what the book says of a file without its data.
 * @inode: The file's; lu_pos is not 0 and stays.
 * @in:    What it says.
 * @buf:   The bytes that @in points into; freed by the caller with kvfree().
 * @end:   Their end.
 *
 * Context: Process context.
 * Return: 0, -ENOMEM or -EIO.
 */
int shmem_lu_data_get(struct inode *inode, struct preserve_tree_inode *in,
		      u8 **buf, const u8 **end)
{
	struct shmem_lu_book *book = shmem_lu_in(inode->i_sb);
	loff_t pos = SHMEM_I(inode)->lu_pos;
	size_t len, left;
	u8 *bytes;
	int err;

	/* What is longer is in no section: the book is bad. */
	left = min_t(u64, book->ser.length - pos, PRESERVE_TREE_MAX_SECTION);
	for (len = min_t(size_t, left, FIRST_READ);; len = min(left, 8 * len)) {
		bytes = kvmalloc(len, GFP_KERNEL);
		if (!bytes)
			return -ENOMEM;
		err = read_inode(book, bytes, len, pos, in, end);
		if (!err)
			break;
		kvfree(bytes);
		if (err == -ENOMEM || len == left)
			return err;
	}
	*buf = bytes;
	return 0;
}

/**
 * shmem_lu_data_prepare - Note that a new file's data is in the book.
 * @inode: The file's, new, nobody knows it.
 * @pos:   Where its inode is in the book.
 * @in:    What the book says.
 *
 * Context: Process context.
 */
void shmem_lu_data_prepare(struct inode *inode, u64 pos,
			   const struct preserve_tree_inode *in)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct shmem_inode_info *info = SHMEM_I(inode);
	long nr = in->nr_pages;

	if (!nr)
		return;
	shmem_lu_acct(inode, nr);
	info->alloced += nr;
	info->swapped += nr;
	/* What fallocate() has put behind the end stays when the file's end is split. */
	info->fallocend = in->end > DIV_ROUND_UP(in->size, PAGE_SIZE) ? in->end : 0;
	info->lu_pos = pos;
	atomic_long_inc(&sbinfo->lu_in->refs);
	set_bit(AS_PRESERVE, &inode->i_mapping->flags);
	mapping_set_unevictable(inode->i_mapping);
}

/* Takes the runs' frames, and makes a map of them. All or nothing. */
static int take_runs(struct preserve_file *pf,
		     const struct preserve_tree_inode *in, const u8 *end)
{
	struct preserve_tree_reader r = { .at = in->runs, .end = end };
	struct preserve_tree_runs at = {};
	struct prmap_run run;
	u64 i, taken = 0;
	int err = 0;

	for (i = 0; i < in->nr_runs && !err; i++) {
		if (!preserve_tree_get_run(&r, &at, &run) ||
		    run.order > pageblock_order) {
			err = -EIO;
			break;
		}
		if (!preserve_take(run.pfn, run.nr)) {
			err = -EIO;
			break;
		}
		taken++;
		xa_lock_irq(pf->i_pages);
		err = prmap_set(&pf->map, &run);
		xa_unlock_irq(pf->i_pages);
		cond_resched();
	}
	if (!err)
		return 0;

	r.at = in->runs;
	at = (struct preserve_tree_runs) {};
	while (taken-- && preserve_tree_get_run(&r, &at, &run))
		preserve_untake(run.pfn, run.nr);
	return err == -ENOMEM ? err : -EIO;
}

static void detach(struct preserve_file *pf)
{
	struct prmap old;

	xa_lock_irq(pf->i_pages);
	preserve_file_detach(pf, &old);
	xa_unlock_irq(pf->i_pages);
	prmap_destroy(&old);
}

/*
 * What follows the file's memory. It stays with the inode for good, also if there is no
 * data to be had: who walks over all files may be at it.
 */
static struct preserve_file *file_get(struct inode *inode)
{
	struct preserve_file *pf = SHMEM_I(inode)->preserve;

	if (pf)
		return pf;
	pf = kzalloc_obj(*pf, GFP_KERNEL_ACCOUNT);
	if (!pf)
		return NULL;
	/* Who walks over all files is to leave this one alone. */
	pf->stale = true;
	preserve_file_init(pf, &inode->i_mapping->i_pages);
	SHMEM_I(inode)->preserve = pf;
	return pf;
}

/* Gives @pf, which is stale and has no map, the map that the book says. */
static int file_fill(struct preserve_file *pf,
		     const struct preserve_tree_inode *in, const u8 *end)
{
	int err = take_runs(pf, in, end);

	/* The pool may be short of pages for maps, and can grow. */
	if (err == -ENOMEM &&
	    preserve_pool_more(numa_mem_id(), GFP_KERNEL, 1)) {
		detach(pf);
		err = take_runs(pf, in, end);
	}
	if (err)
		detach(pf);
	return err;
}

/* Context: the inode locked: it cannot be preserved meanwhile. */
static void data_settle(struct inode *inode, struct preserve_file *pf)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;

	if (READ_ONCE(sbinfo->lu_out) || pf->record || pf->sealed)
		return;
	if (!sbinfo->lu_pool) {
		shmem_lu_plain_done(inode);
		return;
	}
	xa_lock_irq(pf->i_pages);
	if (!pf->sealed && !pf->record &&
	    inode->i_mapping->nrpages <= PRESERVE_SMALL_PAGES)
		preserve_file_set_small(pf);
	xa_unlock_irq(pf->i_pages);
}

/*
 * All folios are there: nothing is special about the file any more, or it is small.
 * Whoever holds the inode may wait for us: then the file just stays as it is.
 */
static void data_complete(struct preserve_file *pf)
{
	struct inode *inode = preserve_file_mapping(pf)->host;

	if (!inode_trylock(inode))
		return;
	data_settle(inode, pf);
	inode_unlock(inode);
}

static int data_load(struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct preserve_tree_inode in;
	struct preserve_file *pf;
	const u8 *end;
	u8 *buf;
	int err;

	err = shmem_lu_data_get(inode, &in, &buf, &end);
	if (err)
		return err;
	pf = file_get(inode);
	err = pf ? file_fill(pf, &in, end) : -ENOMEM;
	kvfree(buf);
	if (err)
		return err;
	pf->complete = data_complete;
	preserve_file_begin(pf, shmem_lu_insert);
	xa_lock_irq(pf->i_pages);
	pf->stale = false;
	pf->small = false;
	/* The next kernel's book says where this is already. */
	pf->sealed = READ_ONCE(sbinfo->lu_out) && inode->i_nlink;
	xa_unlock_irq(pf->i_pages);
	preserve_file_report_bad(pf, sbinfo->lu_in->ser.source);
	return 0;
}

static int data_load_once(struct inode *inode, bool sure)
{
	struct mem_cgroup *memcg;
	struct shmem_inode_info *info = SHMEM_I(inode);
	struct shmem_lu_book *book = shmem_lu_in(inode->i_sb);
	bool loaded = false;
	int err = 0;

	/* Pairs with the release below: nothing left means that all is there. */
	if (!S_ISREG(inode->i_mode) || !smp_load_acquire(&info->lu_pos))
		return 0;
	if (sure)
		mutex_lock(&book->lock);
	else if (mutex_lock_killable(&book->lock))
		return -EINTR;
	/* Another task may have been quicker. */
	if (info->lu_pos) {
		memcg = set_active_memcg(root_mem_cgroup);
		err = data_load(inode);
		set_active_memcg(memcg);
		loaded = !err;
	}
	if (loaded)
		/* After @preserve has been set. */
		smp_store_release(&info->lu_pos, 0);
	mutex_unlock(&book->lock);
	if (loaded)
		shmem_lu_book_release(inode->i_sb);
	else if (err == -EIO)
		pr_err_ratelimited("%s: data of inode %llu is damaged and refused\n",
				   book->ser.source, (u64)inode->i_ino);
	return err;
}

/**
 * shmem_lu_data_load - Give a file of a tree its data, if the book has it still.
 * @inode: Any shmem file's.
 *
 * Context: Process context, no folio of the file locked.
 * Return: 0; -ENOMEM: not now; -EINTR: the task is being killed; -EIO: what the book
 *         says is damaged.
 */
int shmem_lu_data_load(struct inode *inode)
{
	return data_load_once(inode, false);
}

/**
 * shmem_lu_data_load_sure - The same, however long memory for it takes.
 * @inode: Any shmem file's.
 *
 * For who cuts off a part of the file: it would come back later otherwise.
 *
 * Context: Process context, no folio of the file locked.
 * Return: 0, or -EIO.
 */
int shmem_lu_data_load_sure(struct inode *inode)
{
	int err;

	while ((err = data_load_once(inode, true)) == -ENOMEM)
		memalloc_retry_wait(GFP_KERNEL);
	return err;
}

/* Frees the frames that the book says. Context: its lock held. */
static void data_release(struct inode *inode)
{
	struct preserve_tree_inode in;
	const u8 *end;
	u8 *buf;
	int err;

	/* There is no second try. */
	while ((err = shmem_lu_data_get(inode, &in, &buf, &end)) == -ENOMEM)
		memalloc_retry_wait(GFP_KERNEL);
	if (err)
		return;
	shmem_lu_inode_runs(&in, end, shmem_lu_frames_release);
	kvfree(buf);
}

/* A file of a mount without "preserve" is a plain one without what the book has. */
static void data_gone(struct inode *inode)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;

	if (sbinfo->lu_pool || READ_ONCE(sbinfo->lu_out))
		return;
	if (SHMEM_I(inode)->preserve) {
		shmem_lu_plain_done(inode);
		return;
	}
	clear_bit(AS_PRESERVE, &inode->i_mapping->flags);
	mapping_clear_unevictable(inode->i_mapping);
}

/**
 * shmem_lu_data_drop - Free a file's data that nobody has touched.
 * @inode: The file's, locked or about to go; all of its content goes.
 *
 * Context: Process context.
 * Return: How many pages the file was accounted for.
 */
unsigned long shmem_lu_data_drop(struct inode *inode)
{
	struct shmem_lu_book *book = shmem_lu_in(inode->i_sb);
	struct shmem_inode_info *info = SHMEM_I(inode);
	unsigned long nr;

	scoped_guard(mutex, &book->lock) {
		if (!info->lu_pos)
			return 0;
		nr = info->swapped;
		if (!book->making)
			data_release(inode);
		data_gone(inode);
		WRITE_ONCE(info->lu_pos, 0);
	}
	shmem_lu_book_release(inode->i_sb);
	return nr;
}
