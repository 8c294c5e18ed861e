// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks that join and leave the pool, and the image of all blocks that the next
 * kernel finds.
 *
 * A block joins or leaves in one step under preserve_header_lock: as a key of KHO's,
 * and as a block of the pool. The image (header, block table, bitmaps) is written
 * once, when the kernel is about to be replaced: a reboot notifier, behind the last
 * word of each file, takes the same lock, and from then on no block joins or leaves
 * and no frame is claimed or unclaimed, whatever other CPUs still do. So it does not
 * matter at which instant they are stopped.
 *
 * Writing the image cannot fail: each block that joins sees to it that there are
 * pages enough for an image in which all blocks need a bitmap. What is left of them
 * is not handed over.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/bitmap.h>
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/hugetlb.h>
#include <linux/interval_tree.h>
#include <linux/io.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/preserve.h>
#include <linux/reboot.h>

#include <trace/events/preserve.h>

#include "pool.h"

/* Blocks whose frames turn defective, that there is room for at any time. */
#define BAD_SPARE	8

/* Pages that are kept although fewer would do, so that sizes may swing a little. */
#define PAGES_SPARE	4

/* Blocks that are looked at between two offers to reschedule. */
#define BATCH		1024

static DEFINE_MUTEX(preserve_header_lock);

/* The header's two pages. NULL: nothing can be handed over. */
static struct preserve_header_ser *header;

static unsigned long nr_blocks;

/* Of struct preserve_range, and how many. */
static struct rb_root_cached ranges = RB_ROOT_CACHED;
static unsigned long nr_ranges;

/**
 * struct image_page - A page that the image can use, until it does.
 * @next: The next one.
 *
 * Each is a key of KHO's.
 */
struct image_page {
	struct image_page *next;
};

static struct image_page *image_pages;
static unsigned long nr_image_pages;

/* Not every block of the pool will reach the next kernel. */
static bool one_way;

/* Orders of huge pages that preserve_huge_stays() has named. */
static unsigned long orders_stay;

/* See preserve_at_handover(). NULL again when it has been called. */
static void (*at_handover)(void);

/**
 * preserve_has_pool - Is there a pool to allocate from and to retrieve from?
 *
 * Return: False if KHO or LUO are switched off, or their set-up has failed.
 */
bool preserve_has_pool(void)
{
	return header;
}

/**
 * preserve_can_hand_over - Can memory be handed over to the next kernel?
 *
 * Return: False as for preserve_has_pool(), if the pool cannot be handed on, and when the
 *         image for the next kernel is written.
 */
bool preserve_can_hand_over(void)
{
	return header && !one_way && !READ_ONCE(preserve_frozen);
}

/* Defective frames of the whole machine. */
static unsigned long nr_bad_frames(void)
{
	return IS_ENABLED(CONFIG_MEMORY_FAILURE) ?
	       max(atomic_long_read(&num_poisoned_pages), 0L) : 0;
}

/* How many pages an image of so many blocks and ranges can need, beside the header. */
static unsigned long image_size(unsigned long nr, unsigned long nr_huge)
{
	nr += BAD_SPARE + min(preserve_nr_poisoned(), nr);
	/* Each may be an extent. */
	if (nr_huge)
		nr_huge += nr_bad_frames();
	return DIV_ROUND_UP(nr, PRESERVE_BITMAPS) +
	       PRESERVE_COPIES * DIV_ROUND_UP(nr + nr_huge, PRESERVE_TABLE_EXTENTS);
}

static void *image_page_take(void)
{
	struct image_page *page = image_pages;

	if (page) {
		image_pages = page->next;
		nr_image_pages--;
	}
	return page;
}

/* Sees to pages for so many. Context: preserve_header_lock held. */
static int image_fill(unsigned long nr, unsigned long nr_huge)
{
	unsigned long size = nr || nr_huge ? image_size(nr, nr_huge) : 0;
	struct image_page *page;

	while (nr_image_pages < size) {
		page = kho_alloc_preserve(PAGE_SIZE);
		if (IS_ERR(page))
			return PTR_ERR(page);
		page->next = image_pages;
		image_pages = page;
		nr_image_pages++;
	}
	return 0;
}

/* Gives back what so many do not need. Context: preserve_header_lock held. */
static void image_trim(unsigned long nr, unsigned long nr_huge)
{
	unsigned long most = nr || nr_huge ? image_size(nr, nr_huge) + PAGES_SPARE : 0;

	while (nr_image_pages > most)
		kho_unpreserve_free(image_page_take());
}

/**
 * preserve_block_join - Put a block into the pool, for the next kernel as well.
 * @block: From preserve_block_alloc(); the pool's on success, see
 *         preserve_block_insert().
 *
 * Context: Process context, takes preserve_header_lock.
 * Return: 0; -ENOMEM; -EBUSY if the kernel is about to be replaced.
 */
int preserve_block_join(struct preserve_block *block)
{
	struct page *page = pfn_to_page(block->pfn);
	int err;

	guard(mutex)(&preserve_header_lock);
	if (preserve_frozen)
		return -EBUSY;
	err = image_fill(nr_blocks + 1, nr_ranges);
	err = err ?: kho_preserve_pages(page, pageblock_nr_pages);
	if (err)
		return err;
	nr_blocks++;
	block->handed = true;
	preserve_block_insert(block);
	return 0;
}

/**
 * preserve_block_quit - Undo preserve_block_join().
 * @block: Off its node, as preserve_block_isolate() leaves it. Freed on success, and
 *         its frames are the caller's, see preserve_block_remove().
 *
 * Context: Process context, takes preserve_header_lock.
 * Return: 0; -EBUSY if the kernel is about to be replaced.
 */
int preserve_block_quit(struct preserve_block *block)
{
	struct page *page = pfn_to_page(block->pfn);
	bool handed;

	guard(mutex)(&preserve_header_lock);
	if (preserve_frozen)
		return -EBUSY;
	handed = block->handed;
	preserve_block_remove(block);
	if (handed) {
		kho_unpreserve_pages(page, pageblock_nr_pages);
		image_trim(--nr_blocks, nr_ranges);
	}
	return 0;
}

/**
 * preserve_range_join - Let the next kernel have a range of huge pages.
 * @range: Filled in, on no list. The owner's.
 *
 * Context: Process context, takes preserve_header_lock.
 * Return: 0; -ENOMEM; -EBUSY if the kernel is about to be replaced, or a frame is another
 *         range's; -EINVAL for memory that KHO boots the next kernel from.
 */
int preserve_range_join(struct preserve_range *range)
{
	const unsigned long pfn = range->frames.start;
	int err;

	if (kho_scratch_overlap(PFN_PHYS(pfn), preserve_range_nr(range) << PAGE_SHIFT))
		return -EINVAL;
	guard(mutex)(&preserve_header_lock);
	if (!preserve_can_hand_over() ||
	    interval_tree_iter_first(&ranges, pfn, range->frames.last))
		return -EBUSY;
	err = image_fill(nr_blocks, nr_ranges + 1);
	err = err ?: preserve_keys_add(range);
	if (err)
		return err;
	interval_tree_insert(&range->frames, &ranges);
	nr_ranges++;
	return 0;
}

/**
 * preserve_range_quit - Undo preserve_range_join().
 * @range: The range.
 *
 * Once the image for the next kernel is written, this only forgets the range.
 *
 * Context: Process context, takes preserve_header_lock.
 */
void preserve_range_quit(struct preserve_range *range)
{
	guard(mutex)(&preserve_header_lock);
	interval_tree_remove(&range->frames, &ranges);
	nr_ranges--;
	if (preserve_frozen)
		return;
	preserve_keys_remove(range);
	image_trim(nr_blocks, nr_ranges);
}

/* On error the frames are still the caller's. */
static int add_block(unsigned long pfn)
{
	struct preserve_block *block;
	int err;

	block = preserve_block_alloc(pfn);
	if (!block)
		return -ENOMEM;
	err = preserve_block_join(block);
	if (err)
		preserve_block_free(block);
	return err;
}

/**
 * preserve_pool_add_blocks - Put neighbouring blocks into the pool.
 * @pfn:       Their first frame; all are the caller's, with reference count zero.
 * @nr_blocks: How many.
 *
 * What the pool has no memory to note goes to the page allocator.
 *
 * Context: Process context, preserve_size_lock held.
 * Return: How many have joined.
 */
unsigned long preserve_pool_add_blocks(unsigned long pfn,
				       unsigned long nr_blocks)
{
	unsigned long i;

	for (i = 0; i < nr_blocks; i++, pfn += pageblock_nr_pages)
		if (add_block(pfn))
			break;
	if (i < nr_blocks)
		preserve_release(pfn, (nr_blocks - i) << pageblock_order);
	return i;
}

/**
 * preserve_pool_drop - Give an idle block back to the page allocator.
 * @block: Off its node, as preserve_block_isolate() leaves it.
 *
 * Context: Process context, preserve_size_lock held.
 * Return: False if the kernel is about to be replaced: the block is in the pool again.
 */
bool preserve_pool_drop(struct preserve_block *block)
{
	unsigned long pfn = block->pfn;

	if (preserve_block_quit(block)) {
		preserve_block_putback(block);
		return false;
	}
	preserve_release(pfn, pageblock_nr_pages);
	return true;
}

/**
 * preserve_handover_fill - See to pages for what has turned out to be defective.
 *
 * Context: Process context, takes preserve_header_lock.
 */
void preserve_handover_fill(void)
{
	guard(mutex)(&preserve_header_lock);
	if (preserve_can_hand_over())
		image_fill(nr_blocks, nr_ranges);
}

/**
 * struct image - An image that is being written.
 * @table:    The copies of the table's last page.
 * @seq:      Its number in the chain, plus one.
 * @bitmaps:  The last page of bitmaps.
 * @extent:   The last extent, in the first copy.
 * @end:      Behind its last frame.
 * @nr:       Blocks so far.
 * @lost:     Blocks, or frames of ranges, that are defective and found no place.
 * @features: PRESERVE_FEATURE_*, of what is in it.
 */
struct image {
	struct preserve_table_ser *table[PRESERVE_COPIES];
	u64 seq;
	struct preserve_bitmaps_ser *bitmaps;
	struct preserve_extent_ser *extent;
	unsigned long end;
	unsigned long nr;
	unsigned long lost;
	u64 features;
};

/* The copies are the same, so they are committed as one. */
static void table_commit(struct image *im)
{
	unsigned int i;

	if (!im->seq)
		return;
	preserve_table_commit(im->table[0], im->seq - 1);
	for (i = 1; i < PRESERVE_COPIES; i++)
		memcpy(im->table[i], im->table[0], PAGE_SIZE);
}

static bool table_next(struct image *im)
{
	struct preserve_table_ser *next[PRESERVE_COPIES];
	u64 *link = im->seq ? im->table[0]->next : header->table;
	unsigned int i;

	if (nr_image_pages < PRESERVE_COPIES)
		return false;
	for (i = 0; i < PRESERVE_COPIES; i++) {
		next[i] = image_page_take();
		link[i] = virt_to_phys(next[i]);
	}
	table_commit(im);
	memcpy(im->table, next, sizeof(next));
	preserve_table_init(im->table[0]);
	im->seq++;
	return true;
}

static struct preserve_extent_ser *extent_new(struct image *im,
					      unsigned long pfn, u16 kind)
{
	struct preserve_table_ser *table = im->table[0];

	if (!table || table->nr == PRESERVE_TABLE_EXTENTS) {
		if (!table_next(im))
			return NULL;
		table = im->table[0];
	}
	im->extent = &table->extent[table->nr++];
	im->extent->pfn = pfn;
	im->extent->kind = kind;
	return im->extent;
}

static void bitmaps_commit(struct image *im)
{
	if (im->bitmaps)
		preserve_bitmaps_commit(im->bitmaps, virt_to_phys(im->bitmaps));
}

/* Writes a bitmap; *@slot is its place in the page im->bitmaps. */
static bool bitmap_put(struct image *im, const unsigned long *map, u16 *slot)
{
	struct preserve_bitmaps_ser *bm = im->bitmaps;

	if (!bm || bm->nr == PRESERVE_BITMAPS) {
		bm = image_page_take();
		if (!bm)
			return false;
		bitmaps_commit(im);
		preserve_bitmaps_init(bm);
		im->bitmaps = bm;
	}
	*slot = bm->nr++;
	bitmap_copy(preserve_bitmaps_at(bm, *slot), map, pageblock_nr_pages);
	return true;
}

static u16 block_kind(const struct preserve_block *block)
{
	if (!block->nr_claimed)
		return PRESERVE_EXTENT_FREE;
	return block->nr_claimed == pageblock_nr_pages ?
	       PRESERVE_EXTENT_LIVE : PRESERVE_EXTENT_SOME;
}

/* Can the last extent have @block as well? Its bitmap is in @slot. */
static bool extent_goes_on(const struct image *im,
			   const struct preserve_block *block, u16 slot)
{
	const struct preserve_extent_ser *extent = im->extent;

	if (!extent || im->end != block->pfn ||
	    extent->kind != block_kind(block))
		return false;
	return extent->kind != PRESERVE_EXTENT_SOME ||
	       (extent->bitmaps == virt_to_phys(im->bitmaps) &&
		extent->slot + extent->nr_blocks == slot);
}

/* There is room: preserve_block_join() has seen to it. */
static bool image_add(struct image *im, const struct preserve_block *block)
{
	struct preserve_extent_ser *extent;
	u16 kind = block_kind(block), slot = 0;

	if (kind == PRESERVE_EXTENT_SOME &&
	    !bitmap_put(im, block->claimed, &slot))
		return false;
	if (!extent_goes_on(im, block, slot)) {
		extent = extent_new(im, block->pfn, kind);
		if (!extent)
			return false;
		extent->slot = slot;
		if (kind == PRESERVE_EXTENT_SOME)
			extent->bitmaps = virt_to_phys(im->bitmaps);
	}
	im->extent->nr_blocks++;
	im->end = block->pfn + pageblock_nr_pages;
	im->nr++;
	return true;
}

/* There is room: preserve_range_join() has seen to it. */
static void image_add_range(struct image *im, const struct preserve_range *range)
{
	struct preserve_extent_ser *extent;

	extent = extent_new(im, range->frames.start, range->free ?
			    PRESERVE_EXTENT_HUGE_FREE : PRESERVE_EXTENT_HUGE);
	if (WARN_ON_ONCE(!extent))
		return;
	extent->nr_blocks = preserve_range_nr(range) >> range->order;
	extent->slot = range->order;
	if (test_bit(range->order, &orders_stay))
		extent->bitmaps |= PRESERVE_HUGE_STAYS;
	if (range->cma)
		extent->bitmaps |= PRESERVE_HUGE_CMA;
	im->features |= PRESERVE_FEATURE_HUGE;
	if (range->cma)
		im->features |= PRESERVE_FEATURE_HUGE_CMA;
	if (range->free)
		im->features |= PRESERVE_FEATURE_HUGE_FREE;
}

#if defined(CONFIG_PRESERVE_HUGETLB) && defined(CONFIG_MEMORY_FAILURE)
/* Neighbours in a huge page are one extent, if there is room. */
static void image_add_bad_frame(struct image *im, unsigned long pfn, unsigned int order)
{
	struct preserve_extent_ser *extent = im->extent;

	if (!extent || extent->kind != PRESERVE_EXTENT_HUGE_BAD ||
	    extent->pfn + extent->nr_blocks != pfn || IS_ALIGNED(pfn, 1UL << order))
		extent = extent_new(im, pfn, PRESERVE_EXTENT_HUGE_BAD);
	if (extent)
		extent->nr_blocks++;
	else
		im->lost++;
}

/* The defective frames of a range. Its huge pages are folios. */
static void image_add_bad_range(struct image *im, const struct preserve_range *range)
{
	unsigned long pfn = range->frames.start, i;

	for (; pfn <= range->frames.last; pfn += 1UL << range->order) {
		if (folio_test_hwpoison(pfn_folio(pfn)))
			for (i = 0; i < 1UL << range->order; i++)
				if (is_raw_hwpoison_page_in_hugepage(pfn_to_page(pfn + i)))
					image_add_bad_frame(im, pfn + i, range->order);
		cond_resched();
	}
}
#else
static void image_add_bad_range(struct image *im, const struct preserve_range *range)
{
}
#endif

static void image_add_bad(struct image *im, const struct preserve_block *block)
{
	struct preserve_extent_ser *extent;
	u16 slot;

	if (!bitmap_put(im, block->poisoned, &slot))
		goto lost;
	extent = extent_new(im, block->pfn, PRESERVE_EXTENT_POISONED);
	if (!extent)
		goto lost;
	extent->bitmaps = virt_to_phys(im->bitmaps);
	extent->slot = slot;
	extent->nr_blocks = 1;
	return;
lost:
	im->lost++;
}

/* The first block at or behind *@pfn; moves it on. */
static struct preserve_block *next_block(unsigned long *pfn)
{
	struct preserve_block *block = preserve_block_next(*pfn);

	if (block)
		*pfn = block->pfn + pageblock_nr_pages;
	return block;
}

static void ranges_write(struct image *im,
			 void (*add)(struct image *im, const struct preserve_range *range))
{
	struct interval_tree_node *node;

	for (node = interval_tree_iter_first(&ranges, 0, ULONG_MAX); node;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX)) {
		add(im, container_of(node, struct preserve_range, frames));
		cond_resched();
	}
}

static void image_write(struct image *im)
{
	const struct preserve_block *block;
	unsigned long pfn = 0;

	while ((block = next_block(&pfn))) {
		if (WARN_ON_ONCE(!image_add(im, block)))
			break;
		if (!(im->nr % BATCH))
			cond_resched();
	}
	ranges_write(im, image_add_range);
	if (nr_bad_frames())
		ranges_write(im, image_add_bad_range);
	if (preserve_nr_poisoned()) {
		pfn = 0;
		while ((block = next_block(&pfn)))
			if (block->poisoned)
				image_add_bad(im, block);
	}
	bitmaps_commit(im);
	table_commit(im);
	if (im->lost)
		pr_err("no memory to tell the next kernel of the defective frames of %lu blocks or huge pages\n",
		       im->lost);
}

/* All nodes see from now on that the image is about to be written. */
static void freeze_nodes(void)
{
	int nid;

	WRITE_ONCE(preserve_frozen, true);
	for (nid = 0; nid < nr_node_ids; nid++) {
		spin_lock_irq(&preserve_nodes[nid].lock);
		spin_unlock_irq(&preserve_nodes[nid].lock);
	}
}

static void header_write(const struct image *im)
{
	header->compat = im->features;
	header->nr_blocks = im->nr;
	header->want = READ_ONCE(preserve_pool_want);
	header->max = READ_ONCE(preserve_max_set);
	preserve_header_commit(header);
	memcpy((void *)header + PAGE_SIZE, header, PAGE_SIZE);
}

/**
 * preserve_at_handover - Have a function called before the image for the next kernel is written.
 * @fn: The function. It may sleep, and lets ranges join.
 *
 * Context: Boot; one caller.
 */
void __init preserve_at_handover(void (*fn)(void))
{
	at_handover = fn;
}

/**
 * preserve_huge_stays - The next kernel is to have as many huge pages of a size.
 * @order: The size.
 *
 * Context: In what preserve_at_handover() has been told.
 */
void preserve_huge_stays(unsigned int order)
{
	__set_bit(order, &orders_stay);
}

/* Writes the image for the next kernel. Nothing of it changes afterwards. */
static void handover_freeze(void)
{
	struct image im = {};

	guard(mutex)(&preserve_header_lock);
	if (!preserve_can_hand_over())
		return;
	freeze_nodes();
	image_write(&im);
	header_write(&im);
	image_trim(0, 0);
	trace_preserve_freeze(im.nr, im.seq);
}

/* What has been asked for by preserve_at_handover(), once. */
static void handover_last(void)
{
	void (*fn)(void);

	fn = xchg(&at_handover, NULL);
	if (fn && preserve_can_hand_over())
		fn();
}

static int handover_notify(struct notifier_block *nb, unsigned long action,
			   void *data)
{
	if (!kexec_in_progress)
		return NOTIFY_DONE;
	/* An image that kexec_load() has loaded takes nothing over. */
	if (kexec_image->kho.fdt)
		handover_last();
	handover_freeze();
	return NOTIFY_DONE;
}

/* First of all: another may end the chain. */
static struct notifier_block handover_notifier = {
	.notifier_call = handover_notify,
	.priority = INT_MAX,
};

/* For tests: 1 for all that comes before the kexec, 2 for what comes before the image. */
static int freeze_set(void *data, u64 value)
{
	handover_last();
	if (value != 2)
		handover_freeze();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(freeze_fops, NULL, freeze_set, "%llu\n");

static u32 fail_freeze;

/* As long as this is set, a freeze that is to fail waits. */
static bool hold_freeze;

/**
 * preserve_freeze_fails - Does a test want this file's freeze to fail?
 *
 * Freezing a file of ours does not fail. That of another handler may, and then ours have
 * to find their way back.
 *
 * Context: The reboot path.
 * Return: True once, when debugfs's fail_freeze has counted down.
 */
bool preserve_freeze_fails(void)
{
	if (!fail_freeze || --fail_freeze)
		return false;
	while (READ_ONCE(hold_freeze))
		schedule_timeout_uninterruptible(1);
	return true;
}

/**
 * preserve_handover_init - Make the header.
 *
 * Return: 0 or a negative errno: there is no pool then.
 */
int __init preserve_handover_init(void)
{
	void *pages = kho_alloc_preserve(PRESERVE_COPIES * PAGE_SIZE);

	if (IS_ERR(pages))
		return PTR_ERR(pages);
	header = pages;
	return 0;
}

/**
 * preserve_handover_start - Tell KHO of the header.
 *
 * Return: 0 or a negative errno: there is no pool then.
 */
int __init preserve_handover_start(void)
{
	struct dentry *dir;
	int err;

	if (one_way)
		return 0;
	err = kho_add_subtree(PRESERVE_KHO_NAME, header,
			      PRESERVE_COPIES * PAGE_SIZE);
	if (err) {
		pr_err("no place in KHO's root (%pe): nothing can be preserved\n",
		       ERR_PTR(err));
		kho_unpreserve_free(header);
		header = NULL;
		return err;
	}
	register_reboot_notifier(&handover_notifier);
	/* So that tests can look at the image, and damage it; and abort a kexec. */
	dir = debugfs_create_dir("preserve", NULL);
	debugfs_create_file_unsafe("freeze", 0200, dir, NULL, &freeze_fops);
	debugfs_create_u32("fail_freeze", 0600, dir, &fail_freeze);
	debugfs_create_bool("hold_freeze", 0600, dir, &hold_freeze);
	return 0;
}

/**
 * preserve_handover_give_up - Hand nothing on: a block could not join.
 *
 * Context: Boot, before preserve_handover_start().
 */
void __init preserve_handover_give_up(void)
{
	one_way = true;
	pr_err("no memory to hand the pool on: files can be retrieved but not preserved again\n");
}
