// SPDX-License-Identifier: GPL-2.0-only
/*
 * From one kernel to the next: the header, the block map, and adoption.
 *
 * Outgoing: one header page, known to KHO by name, with the roots of the block
 * map, of preserve_out and of preserve_bad. Each pool block is a key of KHO's own,
 * so the next kernel's early boot reserves the blocks whether or not it knows our
 * format; early.c has their struct pages initialised later. Whoever changes one of
 * the two maps publishes afterwards. Only a fault into a hole of a preserved file
 * does not; freeze, the last word of each such file, does it then.
 *
 * Incoming: an initcall checks the header and both maps, takes the blocks from
 * KHO, and gives them to the pool with the live frames marked as used. The
 * incoming frame map stays, as preserve_in. A header that fails a check is
 * refused as a whole: its blocks stay reserved and untouched, boot goes on; the
 * kernel after this one does not hear of them.
 *
 * The pool is brought to the size that preserve_pool= asks for when the initial file
 * system is unpacked; without that parameter size.c brings it to the size it had, in
 * the background.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/init.h>
#include <linux/initrd.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kstrtox.h>
#include <linux/liveupdate.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/padata.h>
#include <linux/preserve.h>
#include <linux/slab.h>

#include <trace/events/preserve.h>

#include "internal.h"

/*
 * What KHO leaves in page->private of the first page of a key that it has
 * reserved: its magic in the upper half, the order in the lower.
 */
#define KHO_PRIVATE	(0x4b484f50UL << 32)

/* Blocks that one CPU takes in one go, at least: 128 MiB. */
#define TAKE_CHUNK	64

static DEFINE_MUTEX(preserve_header_lock);
static struct preserve_header_ser *header;
static struct prmap block_map;

/* Not every block of the pool will reach the next kernel. */
static bool one_way;

/* Blocks; 0 without preserve_pool=. */
static unsigned long pool_size;
static unsigned long pool_size_on[MAX_NUMNODES] __initdata;
static bool pool_size_set;

/* Blocks; without preserve_pool_max=, a part of memory. */
static unsigned long pool_max __initdata;
static bool pool_max_set __initdata;

/* One of the parts of preserve_pool=SIZE[,nN:SIZE...] */
static bool __init parse_pool_part(char *part)
{
	unsigned long *size = &pool_size, nid;
	const char *end;
	char *colon;

	if (*part == 'n') {
		colon = strchr(part, ':');
		if (!colon)
			return false;
		*colon = '\0';
		if (kstrtoul(part + 1, 10, &nid) || nid >= MAX_NUMNODES)
			return false;
		size = &pool_size_on[nid];
		part = colon + 1;
	}
	return !preserve_parse_size(part, &end, size) && !*end;
}

static int __init parse_pool_size(char *arg)
{
	char *part;

	while ((part = strsep(&arg, ","))) {
		if (!parse_pool_part(part)) {
			pr_warn("preserve_pool: %s is no size; give SIZE or nNODE:SIZE, with K, M or G\n",
				part);
			return -EINVAL;
		}
	}
	pool_size_set = true;
	return 0;
}
early_param("preserve_pool", parse_pool_size);

static int __init parse_pool_max(char *arg)
{
	const char *end;

	if (preserve_parse_size(arg, &end, &pool_max) || *end) {
		pr_warn("preserve_pool_max=%s is no size; give bytes, with K, M or G\n",
			arg);
		return -EINVAL;
	}
	pool_max_set = true;
	return 0;
}
early_param("preserve_pool_max", parse_pool_max);

/**
 * preserve_ready - Is there a pool to allocate from and to retrieve from?
 *
 * Return: False if KHO or LUO are switched off, or their set-up has failed.
 */
bool preserve_ready(void)
{
	return header;
}

/**
 * preserve_available - Can memory be handed over to the next kernel?
 *
 * Return: False as for preserve_ready(), and if the pool cannot be handed on.
 */
bool preserve_available(void)
{
	return header && !one_way;
}

static void publish(void)
{
	lockdep_assert_held(&preserve_header_lock);
	if (!header)
		return;
	prmap_seal(&block_map, &header->blocks);
	scoped_guard(spinlock_irqsave, &preserve_out.lock)
		prmap_seal(&preserve_out.map, &header->frames);
	scoped_guard(spinlock_irqsave, &preserve_bad.lock)
		prmap_seal(&preserve_bad.map, &header->bad);
	header->want = READ_ONCE(preserve_pool_want);
	preserve_header_seal(header);
}

/**
 * preserve_publish - Bring the outgoing header up to date.
 *
 * Context: Process context; takes preserve_header_lock.
 */
void preserve_publish(void)
{
	guard(mutex)(&preserve_header_lock);
	publish();
}

static struct prmap_run block_run(unsigned long pfn)
{
	return (struct prmap_run) {
		.index = pfn,
		.pfn = pfn,
		.nr = pageblock_nr_pages,
		.order = pageblock_order,
	};
}

/**
 * preserve_block_publish - Tell the next kernel of a pool block.
 * @pfn: The block, in the pool.
 *
 * Context: Process context, takes preserve_header_lock; the caller publishes.
 * Return: 0 or -ENOMEM.
 */
int preserve_block_publish(unsigned long pfn)
{
	const struct prmap_run run = block_run(pfn);
	int err;

	guard(mutex)(&preserve_header_lock);
	err = kho_preserve_pages(pfn_to_page(pfn), pageblock_nr_pages);
	if (err)
		return err;
	err = prmap_set(&block_map, &run);
	if (err)
		kho_unpreserve_pages(pfn_to_page(pfn), pageblock_nr_pages);
	return err;
}

/**
 * preserve_block_withdraw - Undo preserve_block_publish().
 * @pfn: The block, with no frame in use.
 *
 * Context: As preserve_block_publish().
 * Return: 0 or -ENOMEM, the block is then still published.
 */
int preserve_block_withdraw(unsigned long pfn)
{
	int err;

	guard(mutex)(&preserve_header_lock);
	err = prmap_clear(&block_map, pfn, pageblock_nr_pages);
	if (!err)
		kho_unpreserve_pages(pfn_to_page(pfn), pageblock_nr_pages);
	return err;
}

/* Has KHO reserved this block as a key of its own, and nobody taken it yet? */
static bool block_handed_over(unsigned long pfn)
{
	struct page *page;

	if (!pageblock_aligned(pfn))
		return false;
	page = pfn_to_online_page(pfn);
	return page && page->private == (KHO_PRIVATE | pageblock_order) &&
	       !kho_scratch_overlap(PFN_PHYS(pfn),
				    PAGE_SIZE << pageblock_order);
}

static bool blocks_ok(void *ctx, u64 pfn, u64 nr)
{
	u64 end = pfn + nr;

	for (; pfn < end; pfn += pageblock_nr_pages)
		if (!block_handed_over(pfn))
			return false;
	return true;
}

static bool map_page_ok(void *ctx, u64 phys)
{
	return PAGE_ALIGNED(phys) && PHYS_PFN(phys) < max_pfn &&
	       block_handed_over(pageblock_start_pfn(PHYS_PFN(phys)));
}

/* Frames and the frame map's pages lie in blocks of the header's block map. */
static bool frames_ok(void *ctx, u64 pfn, u64 nr)
{
	return prmap_test_range(ctx, pfn, nr);
}

static bool frame_page_ok(void *ctx, u64 phys)
{
	return map_page_ok(NULL, phys) && prmap_test(ctx, PHYS_PFN(phys));
}

/* What the header points to. */
struct incoming_maps {
	struct prmap blocks;
	struct prmap frames;
	struct prmap bad;
};

/* Opens all maps, or none. Nothing is taken yet. */
static int __init open_maps(const struct preserve_header_ser *hdr,
			    struct incoming_maps *in, const char **reason)
{
	struct prmap_limits lim = {
		.max_index = max_pfn - 1,
		.min_pfn = 1,
		.max_pfn = max_pfn - 1,
		.max_order = pageblock_order,
		.pfn_ok = blocks_ok,
		.page_ok = map_page_ok,
	};
	int err;

	err = prmap_open(&in->blocks, &hdr->blocks, PRMAP_SET,
			 &preserve_pool_map_ops, NULL, &lim, reason);
	if (err)
		return err;

	lim.max_order = 0;
	lim.pfn_ok = frames_ok;
	lim.page_ok = frame_page_ok;
	lim.ctx = &in->blocks;
	err = prmap_open(&in->frames, &hdr->frames, PRMAP_SET,
			 &preserve_pool_map_ops, NULL, &lim, reason);
	if (err)
		return err;
	return prmap_open(&in->bad, &hdr->bad, PRMAP_SET,
			  &preserve_pool_map_ops, NULL, &lim, reason);
}

static void __init mark_used(struct preserve_block *block,
			     const struct prmap *frames)
{
	unsigned long end = block->pfn + pageblock_nr_pages;
	struct prmap_run run;
	u64 from = block->pfn;

	while (prmap_next(frames, from, &run) && run.index < end) {
		run.nr = min(run.nr, end - run.index);
		bitmap_set(block->used, run.index - block->pfn, run.nr);
		from = run.index + run.nr;
	}
}

/* The incoming blocks while they are being adopted, by pfn. */
static struct xarray incoming __initdata =
	XARRAY_INIT(incoming, 0);

static int __init mark_map_page(void *ctx, u64 phys)
{
	unsigned long pfn = PHYS_PFN(phys);
	struct preserve_block *block = xa_load(&incoming,
					       pfn >> pageblock_order);

	if (!block || test_and_set_bit(pfn - block->pfn, block->used))
		return -EBADMSG;
	return 0;
}

/* Allocates what adoption needs, so that it cannot fail half-way. */
static int __init describe_blocks(const struct incoming_maps *in)
{
	struct preserve_block *block;
	struct prmap_run run;
	u64 from, pfn;
	int err;

	for (from = 0; prmap_next(&in->blocks, from, &run);
	     from = run.index + run.nr) {
		for (pfn = run.pfn; pfn < run.pfn + run.nr;
		     pfn += pageblock_nr_pages) {
			block = preserve_block_alloc(pfn);
			if (!block)
				return -ENOMEM;
			err = xa_err(xa_store(&incoming, pfn >> pageblock_order,
					      block, GFP_KERNEL));
			if (err) {
				preserve_block_free(block);
				return err;
			}
			mark_used(block, &in->frames);
		}
	}
	err = prmap_walk_pages(&in->blocks, mark_map_page, NULL);
	err = err ?: prmap_walk_pages(&in->frames, mark_map_page, NULL);
	return err ?: prmap_walk_pages(&in->bad, mark_map_page, NULL);
}

/* After the map pages are marked: a defective frame may be any other frame. */
static void __init mark_bad(const struct prmap *bad)
{
	struct preserve_block *block;
	unsigned long index;

	xa_for_each(&incoming, index, block)
		mark_used(block, bad);
}

/*
 * Takes the blocks with an index in [@start, @end) from KHO. Their frames end with
 * reference count zero: the free ones as the pool keeps them, the live ones until
 * they are restored.
 */
static void __init take_blocks(unsigned long start, unsigned long end,
			       void *failed)
{
	struct preserve_block *block;
	unsigned long index, i;
	struct page *page;

	xa_for_each_range(&incoming, index, block, start, end - 1) {
		page = kho_restore_pages(PFN_PHYS(block->pfn),
					 pageblock_nr_pages);
		if (!page) {
			WRITE_ONCE(*(bool *)failed, true);
			return;
		}
		for (i = 0; i < pageblock_nr_pages; i++)
			set_page_count(page + i, 0);
		cond_resched();
	}
}

/* All blocks, on all CPUs: each struct page is written. */
static int __init take_all_blocks(const struct prmap *blocks)
{
	struct prmap_run first, last;
	bool failed = false;
	u64 from;

	if (!prmap_next(blocks, 0, &first))
		return 0;
	for (from = 0; prmap_next(blocks, from, &last);
	     from = last.index + last.nr)
		;
	struct padata_mt_job job = {
		.thread_fn = take_blocks,
		.fn_arg = &failed,
		.start = first.index >> pageblock_order,
		.size = (from - first.index) >> pageblock_order,
		.align = 1,
		.min_chunk = TAKE_CHUNK,
		.max_threads = num_online_cpus(),
	};

	padata_do_multithreaded(&job);
	return failed ? -EBADMSG : 0;
}

static int __init page_to_refcounted(void *ctx, u64 phys)
{
	preserve_frames_to_folio(PHYS_PFN(phys), 0);
	return 0;
}

/* In order, so that the lowest are used first. */
static void __init insert_blocks(void)
{
	struct preserve_block *block;
	unsigned long index;

	xa_for_each(&incoming, index, block) {
		xa_erase(&incoming, index);
		preserve_block_insert(block);
	}
}

static void __init forget_blocks(void)
{
	struct preserve_block *block;
	unsigned long index;

	xa_for_each(&incoming, index, block)
		preserve_block_free(block);
	xa_destroy(&incoming);
}

/*
 * Hands the blocks of the adopted block map on to the kernel after this one. If
 * KHO has no memory to note one of them, nothing can be handed over any more.
 */
static int __init republish(void)
{
	struct prmap_run run;
	u64 from, pfn;

	for (from = 0; prmap_next(&block_map, from, &run);
	     from = run.index + run.nr)
		for (pfn = run.pfn; pfn < run.pfn + run.nr;
		     pfn += pageblock_nr_pages)
			if (kho_preserve_pages(pfn_to_page(pfn),
					       pageblock_nr_pages))
				return -ENOMEM;
	return 0;
}

static int __init adopt(const struct preserve_header_ser *hdr, size_t size,
			const char **reason)
{
	struct incoming_maps in;
	u64 nr_live;
	int err;

	err = preserve_header_check(hdr, size, reason);
	if (err)
		return err;
	err = open_maps(hdr, &in, reason);
	if (err)
		return err;

	*reason = "the maps' own pages are not free frames, or no memory";
	err = describe_blocks(&in);
	if (!err) {
		mark_bad(&in.bad);
		err = take_all_blocks(&in.blocks);
	}
	if (!err)
		insert_blocks();
	forget_blocks();
	if (err)
		return err;

	prmap_walk_pages(&in.blocks, page_to_refcounted, NULL);
	prmap_walk_pages(&in.frames, page_to_refcounted, NULL);
	prmap_walk_pages(&in.bad, page_to_refcounted, NULL);
	preserve_in.map = in.frames;
	block_map = in.blocks;
	preserve_pool_want = hdr->want;
	preserve_pool_enable();
	preserve_poison_adopt(&in.bad);
	prmap_destroy(&in.bad);

	err = republish();
	if (err) {
		one_way = true;
		pr_err("no memory to hand the pool on: files can be retrieved but not preserved again\n");
	}
	nr_live = prmap_nr_keys(&in.frames);
	trace_preserve_adopt(prmap_nr_keys(&in.blocks) >> pageblock_order,
			     nr_live, err);
	pr_info("adopted %llu MiB of pool, %llu KiB of it live\n",
		prmap_nr_keys(&in.blocks) >> (20 - PAGE_SHIFT),
		nr_live << (PAGE_SHIFT - 10));
	return 0;
}

static void __init adopt_incoming(void)
{
	const char *reason = NULL;
	phys_addr_t phys;
	size_t size;
	int err;

	if (kho_retrieve_subtree(PRESERVE_KHO_NAME, &phys, &size))
		return;

	err = adopt(phys_to_virt(phys), size, &reason);
	if (err)
		pr_err("handed-over pool refused: %s (%pe); its memory stays reserved until the next kexec\n",
		       reason, ERR_PTR(err));
	kho_restore_free(phys_to_virt(phys));
}

static void __init set_max(void)
{
	preserve_pool_max = pool_max_set ? pool_max :
			    totalram_pages() / 2 >> pageblock_order;
	preserve_pool_max = max(preserve_pool_max, pool_size);
}

/* Gives the nodes that preserve_pool= names what they are to have, at least. */
static int __init size_nodes(void)
{
	unsigned long want, have;
	int nid, err = 0;

	guard(mutex)(&preserve_size_lock);
	for_each_node_state(nid, N_MEMORY) {
		want = pool_size_on[nid];
		have = preserve_nodes[nid].nr_blocks;
		if (want > have)
			err = preserve_pool_grow_node(nid, want - have) ?: err;
		if (want)
			pool_size = max(pool_size, preserve_pool_size());
	}
	preserve_pool_max = max(preserve_pool_max, pool_size);
	return err;
}

static void __init size_pool(void)
{
	int err;

	if (!pool_size_set)
		return;
	err = size_nodes();
	err = preserve_pool_resize(pool_size) ?: err;
	if (err)
		pr_warn("preserve_pool=: %lu MiB not reached: %s\n",
			pool_size << (PAGE_SHIFT + pageblock_order - 20),
			err == -EBUSY ? "blocks are in use, the pool stays larger" :
					"no contiguous memory, the pool stays smaller");
}

/* A pageblock that is still the pool's cannot be taken offline. */
static int preserve_memory_notify(struct notifier_block *nb,
				  unsigned long action, void *data)
{
	const struct memory_notify *arg = data;
	unsigned long pfn, end = arg->start_pfn + arg->nr_pages;

	if (action != MEM_GOING_OFFLINE)
		return NOTIFY_OK;
	for (pfn = arg->start_pfn; pfn < end; pfn += pageblock_nr_pages)
		if (preserve_pool_owns(pfn, 1))
			return notifier_from_errno(-EBUSY);
	return NOTIFY_OK;
}

static int __init preserve_init(void)
{
	struct preserve_header_ser *page;
	int err;

	if (!kho_is_enabled() || !liveupdate_enabled()) {
		if (pool_size_set)
			pr_warn("preserve_pool= ignored: boot with kho=on liveupdate=on\n");
		return 0;
	}

	preserve_pool_init();
	preserve_demand_init();
	preserve_frames_init(&preserve_out);
	preserve_frames_init(&preserve_in);
	preserve_frames_init(&preserve_bad);
	prmap_init(&block_map, PRMAP_SET, &preserve_pool_map_ops, NULL);

	page = kho_alloc_preserve(sizeof(*page));
	if (IS_ERR(page))
		return PTR_ERR(page);

	header = page;
	set_max();
	adopt_incoming();
	preserve_pool_enable();
	preserve_publish();

	err = one_way ? -ENOMEM :
			kho_add_subtree(PRESERVE_KHO_NAME, page, sizeof(*page));
	if (err && !one_way) {
		pr_err("no place in KHO's root (%pe): nothing can be preserved\n",
		       ERR_PTR(err));
		scoped_guard(mutex, &preserve_header_lock)
			header = NULL;
		kho_unpreserve_free(page);
		return err;
	}
	hotplug_memory_notifier(preserve_memory_notify, 0);
	return preserve_sysfs_init();
}
device_initcall(preserve_init);

/*
 * Blocks that are judged to be free fill with the initial file system while it is
 * unpacked, and all of that has to move. The boot is about to wait for it anyway.
 */
static int __init preserve_size_init(void)
{
	if (!preserve_ready())
		return 0;
	wait_for_initramfs();
	size_pool();
	preserve_pool_start();
	return 0;
}
late_initcall_sync(preserve_size_init);
