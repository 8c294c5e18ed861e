// SPDX-License-Identifier: GPL-2.0-only
/*
 * Giving a file of a retrieved tree its memory, when a task needs it first.
 *
 * Until then the file is latent: it has a size, its pages count as its own, and its node
 * says where in the image its runs are. Then the runs are read, and
 * their frames are taken from what was handed over. A small file gets all of its folios at
 * once, and is a file like any other. A larger one goes on like a memfd that was
 * retrieved: it has a map, and folios when they are needed (mm/preserve/demand.c).
 *
 * A file of a mount without "preserve" becomes a plain one again as soon as it has
 * all of its folios. Runs that are not what they should be give EIO; the frames stay
 * set aside until the next kexec.
 */
#define pr_fmt(fmt) "preserve: tree: " fmt

#include <linux/folio_batch.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "tree.h"

/* Bytes of an inode in the image that are read at first. */
#define FIRST_READ	256

/* Rounds of making room in a memory cgroup that other tasks fill at once. */
#define TRIES		4

/* Returns 0; -EUCLEAN if these bytes are not, or not all of, a file's inode; or -EIO. */
static int read_inode(struct preserve_tree_image *image, u8 *buf, size_t len,
		      loff_t pos, struct preserve_tree_inode *in,
		      const u8 **end)
{
	struct preserve_tree_reader r = {
		.at = buf, .end = buf + len, .epoch = image->ser.epoch,
	};

	if (preserve_stream_read(&image->stream, buf, len, pos))
		return -EIO;
	*end = r.end;
	return preserve_tree_get_inode(&r, in) && S_ISREG(in->mode) ? 0 : -EUCLEAN;
}

/**
 * preserve_tree_data_get - Read what the image says of a file without its data.
 * @ts:    What is kept for its file system.
 * @inode: The file's; something of it is left, and stays.
 * @in:    What it says.
 * @buf:   The bytes that @in points into; freed by the caller with kvfree().
 * @end:   Their end.
 *
 * Context: Process context.
 * Return: 0, -ENOMEM or -EIO.
 */
int preserve_tree_data_get(struct preserve_tree_sb *ts, struct inode *inode,
			   struct preserve_tree_inode *in, u8 **buf, const u8 **end)
{
	struct preserve_tree_image *image = ts->incoming;
	u64 pos = preserve_tree_node_of(ts, inode)->pos;
	size_t len, left;
	u8 *bytes;
	int err;

	/* What is longer is in no section: the image is bad. */
	left = min_t(u64, image->ser.length - pos, PRESERVE_TREE_MAX_SECTION);
	for (len = min_t(size_t, left, FIRST_READ);; len = min(left, 8 * len)) {
		bytes = kvmalloc(len, GFP_KERNEL);
		if (!bytes)
			return -ENOMEM;
		err = read_inode(image, bytes, len, pos, in, end);
		if (!err)
			break;
		kvfree(bytes);
		if (err == -EIO || len == left)
			return -EIO;
	}
	*buf = bytes;
	return 0;
}

/**
 * preserve_tree_data_prepare - Note that a new file's data is in the image.
 * @ts:    What is kept for its file system.
 * @inode: The file's, new, no other task knows it.
 * @pos:   Where its inode is in the image.
 * @in:    What the image says.
 *
 * Context: Process context.
 */
void preserve_tree_data_prepare(struct preserve_tree_sb *ts, struct inode *inode, u64 pos,
				const struct preserve_tree_inode *in)
{
	if (!in->nr_pages)
		return;
	ts->ops->file_latent(inode, in);
	preserve_tree_node_of(ts, inode)->pos = pos;
	atomic_long_inc(&ts->incoming->refs);
	set_bit(AS_PRESERVE, &inode->i_mapping->flags);
	set_bit(AS_PRESERVE_LATENT, &inode->i_mapping->flags);
	mapping_set_unevictable(inode->i_mapping);
}

/*
 * A file of a mount without "preserve" is a plain one when nothing of it is left. The next
 * kernel's image, if there is one, has it as one of the pool.
 */
static void data_leave(struct preserve_tree_sb *ts, struct inode *inode)
{
	if (!ts->pool && !preserve_tree_frozen(ts))
		ts->ops->file_leave(inode);
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
static int small_load(struct preserve_tree_sb *ts, struct inode *inode,
		      const struct preserve_tree_inode *in, const u8 *end,
		      struct mem_cgroup *memcg, gfp_t gfp)
{
	struct small small;
	int err;

	err = small_read(&small, in, end) ?: small_take(&small);
	if (err)
		return err;
	small_make_folios(&small);
	err = ts->ops->insert_all(inode->i_mapping, &small.batch, memcg, gfp);
	if (err) {
		small_undo_folios(&small);
		small_untake(&small, small.nr);
		return -EAGAIN;
	}
	preserve_note_retrieved();
	small_report_poisoned(&small, ts->incoming->ser.source);
	data_leave(ts, inode);
	return 0;
}

/* --- larger files --- */

/**
 * struct data_runs - A file's runs on their way from the image into its map.
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
static int large_load(struct preserve_tree_sb *ts, struct inode *inode,
		      const struct preserve_tree_inode *in, const u8 *end)
{
	struct preserve_file *pf;
	int err;

	pf = preserve_file_new(inode->i_mapping, ts->ops->file_ops);
	if (!pf)
		return -ENOMEM;
	err = set_runs(pf, in, end);
	/* The pool may be short of pages for maps, and can grow. */
	if (err == -ENOMEM && preserve_pool_more(numa_mem_id(), GFP_KERNEL, 1))
		err = set_runs(pf, in, end);
	if (err)
		return err;
	preserve_file_begin(pf);
	preserve_file_report_poisoned(pf, ts->incoming->ser.source);
	return 0;
}

/* --- both --- */

/* @nr is set to the pages that the file has, also if there is no room for them. */
static int data_make(struct preserve_tree_sb *ts, struct inode *inode,
		     struct mem_cgroup *memcg, gfp_t gfp, u64 *nr)
{
	struct preserve_tree_inode in;
	const u8 *end;
	u8 *buf;
	int err;

	err = preserve_tree_data_get(ts, inode, &in, &buf, &end);
	if (err)
		return err;
	*nr = in.nr_pages;
	err = in.nr_pages <= PRESERVE_SMALL_PAGES ?
	      small_load(ts, inode, &in, end, memcg, gfp) :
	      large_load(ts, inode, &in, end);
	kvfree(buf);
	return err;
}

/* The data is there, or gone. Context: the image's lock held. */
static void data_done(struct preserve_tree_sb *ts, struct inode *inode)
{
	clear_bit(AS_PRESERVE_LATENT, &inode->i_mapping->flags);
	/* Pairs with preserve_tree_node_left(): a reader of 0 sees what follows it. */
	smp_store_release(&preserve_tree_node_of(ts, inode)->pos, 0);
}

static int image_lock(struct preserve_tree_image *image, bool sure)
{
	if (!sure)
		return mutex_lock_killable(&image->lock);
	mutex_lock(&image->lock);
	return 0;
}

static int data_load_once(struct preserve_tree_sb *ts, struct inode *inode, bool sure,
			  gfp_t gfp, u64 *nr)
{
	struct preserve_tree_node *node = preserve_tree_node_of(ts, inode);
	struct preserve_tree_image *image = ts->incoming;
	struct mem_cgroup *memcg;
	bool loaded = false;
	int err = 0;

	if (!S_ISREG(inode->i_mode) || !preserve_tree_node_left(node))
		return 0;
	if (image_lock(image, sure))
		return -EINTR;
	/* Another task may have been quicker. */
	if (node->pos) {
		memcg = set_active_memcg(root_mem_cgroup);
		err = data_make(ts, inode, memcg, gfp, nr);
		set_active_memcg(memcg);
		loaded = !err;
	}
	if (loaded)
		data_done(ts, inode);
	mutex_unlock(&image->lock);
	if (loaded)
		preserve_image_release(image);
	else if (err == -EIO)
		pr_err_ratelimited("%s: data of inode %llu is damaged and refused\n",
				   image->ser.source, (u64)inode->i_ino);
	return err;
}

/*
 * Makes room in the task's memory cgroup for @nr pages, as far as its limit allows: that may
 * take long, and kill, so it is nothing to do with the image's lock held.
 */
static int make_room(u64 nr)
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
 * preserve_tree_data_load - Give a file of a tree its data, if the image has it still.
 * @ts:    What is kept for its file system.
 * @inode: Any file's of it.
 *
 * Context: Process context, no folio of the file locked.
 * Return: 0; -ENOMEM: not now; -EINTR: the task is being killed; -EIO: what the image
 *         says is damaged.
 */
int preserve_tree_data_load(struct preserve_tree_sb *ts, struct inode *inode)
{
	int tries, err;
	u64 nr;

	for (tries = 0; tries < TRIES; tries++) {
		err = data_load_once(ts, inode, false, GFP_NOWAIT | __GFP_NOWARN, &nr);
		if (err != -EAGAIN)
			return err;
		err = make_room(nr);
		if (err)
			return err;
	}
	/* There was room each time: that other tasks took it is no reason to fail. */
	return data_load_once(ts, inode, false, GFP_NOWAIT | __GFP_NOFAIL, &nr);
}

/**
 * preserve_tree_data_load_sure - The same, however long memory for it takes.
 * @ts:    What is kept for its file system.
 * @inode: Any file's of it.
 *
 * For what cuts off a part of the file: it would come back later otherwise. The limits
 * of a memory cgroup, max and high, do not hold for it.
 *
 * Context: Process context, no folio of the file locked.
 * Return: 0, or -EIO.
 */
int preserve_tree_data_load_sure(struct preserve_tree_sb *ts, struct inode *inode)
{
	u64 nr;
	int err;

	while ((err = data_load_once(ts, inode, true, GFP_NOWAIT | __GFP_NOFAIL,
				     &nr)) == -ENOMEM)
		memalloc_retry_wait(GFP_KERNEL);
	return err;
}

/* Frees the frames that the image says. Context: its lock held. */
static void data_release(struct preserve_tree_sb *ts, struct inode *inode)
{
	struct preserve_tree_inode in;
	const u8 *end;
	u8 *buf;
	int err;

	/* There is no second try. */
	while ((err = preserve_tree_data_get(ts, inode, &in, &buf, &end)) == -ENOMEM)
		memalloc_retry_wait(GFP_KERNEL);
	if (err)
		return;
	preserve_inode_runs(&in, end, preserve_run_release);
	kvfree(buf);
}

/**
 * preserve_tree_data_drop - Free a file's data that no task has touched.
 * @ts:    What is kept for its file system.
 * @inode: The file's, locked or about to go; all of its content goes.
 *
 * Context: Process context.
 * Return: True if there was some: the file counts pages that it has no more.
 */
bool preserve_tree_data_drop(struct preserve_tree_sb *ts, struct inode *inode)
{
	struct preserve_tree_image *image = ts->incoming;

	scoped_guard(mutex, &image->lock) {
		if (!preserve_tree_node_of(ts, inode)->pos)
			return false;
		if (!image->making)
			data_release(ts, inode);
		data_leave(ts, inode);
		data_done(ts, inode);
	}
	preserve_image_release(image);
	return true;
}
