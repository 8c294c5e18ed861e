// SPDX-License-Identifier: GPL-2.0-only
/*
 * Giving a file of a retrieved tree its memory, when a task needs it first.
 *
 * Until then the file is latent: it has a size, its pages are accounted for as swapped ones
 * are, and its inode says where in the book its runs are. Then the runs are read, and
 * their frames are taken from what was handed over. A small file gets all of its folios at
 * once, and is a file like any other. A larger one goes on like a memfd that was
 * retrieved: it has a map, and folios when they are needed (shmem_lu_demand.c).
 *
 * A file of a mount without "preserve" becomes a plain one again as soon as it has
 * all of its folios. Runs that are not what they should be give EIO; the frames stay
 * set aside until the next kexec.
 */
#define pr_fmt(fmt) "preserve: tmpfs: " fmt

#include <linux/folio_batch.h>
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

/* Rounds of making room in a memory cgroup that other tasks fill at once. */
#define TRIES		4

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
	struct shmem_lu_book *book = shmem_lu_incoming(inode->i_sb);
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
 * @inode: The file's, new, no other task knows it.
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
	info->lu_crossed = true;
	atomic_long_inc(&sbinfo->lu_incoming->refs);
	set_bit(AS_PRESERVE, &inode->i_mapping->flags);
	set_bit(AS_PRESERVE_LATENT, &inode->i_mapping->flags);
	mapping_set_unevictable(inode->i_mapping);
}

/* --- small files --- */

/**
 * struct small - All runs of a small file.
 * @nr:    So many.
 * @run:   The runs.
 * @batch: A folio for each of their folios.
 */
struct small {
	unsigned int nr;
	struct prmap_run run[PRESERVE_SMALL_PAGES];
	struct folio_batch batch;
};

static int small_read(struct small *small, const struct preserve_tree_inode *in,
		      const u8 *end)
{
	struct preserve_tree_reader r = { .at = in->runs, .end = end };
	struct preserve_tree_runs at = {};

	/* Each has a page at least, and all of them have no more than so many. */
	if (in->nr_runs > ARRAY_SIZE(small->run))
		return -EIO;
	for (small->nr = 0; small->nr < in->nr_runs; small->nr++)
		if (!preserve_tree_get_run(&r, &at, &small->run[small->nr]))
			return -EIO;
	return 0;
}

static void small_untake(const struct small *small, unsigned int nr)
{
	while (nr--)
		preserve_untake(small->run[nr].pfn, small->run[nr].nr);
}

/* Takes the frames of all runs, or none. */
static int small_take(const struct small *small)
{
	unsigned int i;

	for (i = 0; i < small->nr; i++) {
		if (!preserve_take(small->run[i].pfn, small->run[i].nr)) {
			small_untake(small, i);
			return -EIO;
		}
	}
	return 0;
}

static void small_make_folios(struct small *small)
{
	const struct prmap_run *run;
	struct folio *folio;
	u64 done;

	folio_batch_init(&small->batch);
	for (run = small->run; run < small->run + small->nr; run++) {
		for (done = 0; done < run->nr; done += 1ULL << run->order) {
			folio = preserve_frames_to_folio(run->pfn + done, run->order);
			folio->index = run->index + done;
			folio_batch_add(&small->batch, folio);
		}
	}
}

static void small_undo_folios(struct small *small)
{
	unsigned int i;

	for (i = 0; i < folio_batch_count(&small->batch); i++)
		preserve_folio_to_frames(small->batch.folios[i]);
}

static void small_report_poisoned(const struct small *small, const char *source)
{
	unsigned int i;

	for (i = 0; i < small->nr; i++)
		preserve_run_report_poisoned(&small->run[i], source);
}

/*
 * Gives a file all of its folios. They are charged to the task at hand, @memcg or its own
 * cgroup. Returns -EAGAIN if that is full.
 */
static int small_load(struct inode *inode, const struct preserve_tree_inode *in,
		      const u8 *end, struct mem_cgroup *memcg, gfp_t gfp)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct small small;
	int err;

	err = small_read(&small, in, end) ?: small_take(&small);
	if (err)
		return err;
	small_make_folios(&small);
	err = shmem_lu_insert_all(inode->i_mapping, &small.batch, memcg, gfp);
	if (err) {
		small_undo_folios(&small);
		small_untake(&small, small.nr);
		return -EAGAIN;
	}
	preserve_note_retrieved();
	small_report_poisoned(&small, sbinfo->lu_incoming->ser.source);
	/* The next kernel's book, if there is one, has it as one of the pool. */
	if (!sbinfo->lu_pool && !READ_ONCE(sbinfo->lu_outgoing))
		shmem_lu_leave(inode);
	return 0;
}

/* --- larger files --- */

/**
 * struct data_runs - A file's runs on their way from the book into its map.
 * @r:    Stands at the next.
 * @at:   Where the last one ended.
 * @left: So many are to come.
 */
struct data_runs {
	struct preserve_tree_reader r;
	struct preserve_tree_runs at;
	u64 left;
};

static int next_run(void *ctx, struct prmap_run *run)
{
	struct data_runs *runs = ctx;

	if (!runs->left)
		return 0;
	runs->left--;
	return preserve_tree_get_run(&runs->r, &runs->at, run) ? 1 : -EIO;
}

static int set_runs(struct preserve_file *pf, const struct preserve_tree_inode *in,
		    const u8 *end)
{
	struct data_runs runs = {
		.r = { .at = in->runs, .end = end }, .left = in->nr_runs,
	};

	return preserve_file_set_runs(pf, next_run, &runs);
}

/*
 * Gives a file its map. What follows its memory stays with the inode for good, also if
 * there is no data to be had: a walk over all files may be at it.
 */
static int large_load(struct inode *inode, const struct preserve_tree_inode *in,
		      const u8 *end)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct preserve_file *pf;
	int err;

	pf = preserve_file_new(inode->i_mapping, &shmem_lu_file_ops);
	if (!pf)
		return -ENOMEM;
	err = set_runs(pf, in, end);
	/* The pool may be short of pages for maps, and can grow. */
	if (err == -ENOMEM && preserve_pool_more(numa_mem_id(), GFP_KERNEL, 1))
		err = set_runs(pf, in, end);
	if (err)
		return err;
	preserve_file_begin(pf);
	preserve_file_report_poisoned(pf, sbinfo->lu_incoming->ser.source);
	return 0;
}

/*
 * All folios of a larger file are there: nothing is special about one of a mount without
 * "preserve" any more. A task that holds the inode may wait for this one: then the file just
 * stays as it is.
 */
static void data_restored(struct address_space *mapping)
{
	struct inode *inode = mapping->host;
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct preserve_file *pf = preserve_file_of(mapping);

	if (sbinfo->lu_pool || !inode_trylock(inode))
		return;
	if (!READ_ONCE(sbinfo->lu_outgoing) && !preserve_file_record(pf) &&
	    !preserve_file_frozen(pf))
		shmem_lu_leave(inode);
	inode_unlock(inode);
}

/* The next kernel's book says where the file's memory is already. */
static bool data_frozen(const struct address_space *mapping)
{
	return !shmem_lu_may_change(mapping->host);
}

/* Files that belong to a tmpfs with a name. */
const struct preserve_file_ops shmem_lu_file_ops = {
	.insert = shmem_lu_insert,
	.restored = data_restored,
	.frozen = data_frozen,
};

/* --- both --- */

static int data_load(struct inode *inode, struct mem_cgroup *memcg, gfp_t gfp)
{
	struct preserve_tree_inode in;
	const u8 *end;
	u8 *buf;
	int err;

	err = shmem_lu_data_get(inode, &in, &buf, &end);
	if (err)
		return err;
	err = in.nr_pages <= PRESERVE_SMALL_PAGES ?
	      small_load(inode, &in, end, memcg, gfp) : large_load(inode, &in, end);
	kvfree(buf);
	return err;
}

/* The data is there, or gone. Context: the book's lock held. */
static void data_done(struct inode *inode)
{
	clear_bit(AS_PRESERVE_LATENT, &inode->i_mapping->flags);
	/* Pairs with smp_load_acquire() of lu_pos: a reader of 0 sees what follows it. */
	smp_store_release(&SHMEM_I(inode)->lu_pos, 0);
}

static int data_load_once(struct inode *inode, bool sure, gfp_t gfp)
{
	struct mem_cgroup *memcg;
	struct shmem_inode_info *info = SHMEM_I(inode);
	struct shmem_lu_book *book = shmem_lu_incoming(inode->i_sb);
	bool loaded = false;
	int err = 0;

	/* Pairs with data_done(): nothing left means that all is there. */
	if (!S_ISREG(inode->i_mode) || !smp_load_acquire(&info->lu_pos))
		return 0;
	if (sure)
		mutex_lock(&book->lock);
	else if (mutex_lock_killable(&book->lock))
		return -EINTR;
	/* Another task may have been quicker. */
	if (info->lu_pos) {
		memcg = set_active_memcg(root_mem_cgroup);
		err = data_load(inode, memcg, gfp);
		set_active_memcg(memcg);
		loaded = !err;
	}
	if (loaded)
		data_done(inode);
	mutex_unlock(&book->lock);
	if (loaded)
		shmem_lu_book_release(inode->i_sb);
	else if (err == -EIO)
		pr_err_ratelimited("%s: data of inode %llu is damaged and refused\n",
				   book->ser.source, (u64)inode->i_ino);
	return err;
}

/*
 * Makes room in the task's memory cgroup for @nr pages, as far as its limit allows: that may
 * take long, and kill, so it is nothing to do with the book's lock held.
 */
static int make_room(unsigned long nr)
{
	struct folio *folios[PRESERVE_SMALL_PAGES];
	unsigned int i;
	int err = 0;

	nr = min(nr, ARRAY_SIZE(folios));
	for (i = 0; i < nr && !err; i++) {
		folios[i] = folio_alloc(GFP_KERNEL, 0);
		if (!folios[i]) {
			err = -ENOMEM;
			break;
		}
		err = mem_cgroup_charge(folios[i], NULL, GFP_KERNEL);
	}
	while (i--)
		folio_put(folios[i]);
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
	int tries, err;

	for (tries = 0; tries < TRIES; tries++) {
		err = data_load_once(inode, false, GFP_NOWAIT | __GFP_NOWARN);
		if (err != -EAGAIN)
			return err;
		err = make_room(READ_ONCE(SHMEM_I(inode)->swapped));
		if (err)
			return err;
	}
	/* There was room each time: that other tasks took it is no reason to fail. */
	return data_load_once(inode, false, GFP_NOWAIT | __GFP_NOFAIL);
}

/**
 * shmem_lu_data_load_sure - The same, however long memory for it takes.
 * @inode: Any shmem file's.
 *
 * For what cuts off a part of the file: it would come back later otherwise. The limits
 * of a memory cgroup, max and high, do not hold for it.
 *
 * Context: Process context, no folio of the file locked.
 * Return: 0, or -EIO.
 */
int shmem_lu_data_load_sure(struct inode *inode)
{
	int err;

	while ((err = data_load_once(inode, true, GFP_NOWAIT | __GFP_NOFAIL)) == -ENOMEM)
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

	if (!sbinfo->lu_pool && !READ_ONCE(sbinfo->lu_outgoing))
		shmem_lu_leave(inode);
}

/**
 * shmem_lu_data_drop - Free a file's data that no task has touched.
 * @inode: The file's, locked or about to go; all of its content goes.
 *
 * Context: Process context.
 * Return: How many pages the file was accounted for.
 */
unsigned long shmem_lu_data_drop(struct inode *inode)
{
	struct shmem_lu_book *book = shmem_lu_incoming(inode->i_sb);
	struct shmem_inode_info *info = SHMEM_I(inode);
	unsigned long nr;

	scoped_guard(mutex, &book->lock) {
		if (!info->lu_pos)
			return 0;
		nr = info->swapped;
		if (!book->making)
			data_release(inode);
		data_gone(inode);
		data_done(inode);
	}
	shmem_lu_book_release(inode->i_sb);
	return nr;
}
