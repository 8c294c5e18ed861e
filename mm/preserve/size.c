// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large the pool is, may be and is to be; memory that it spares; and whether its
 * worker has to look.
 *
 * The pool's size counts lent blocks. A write of a size, the kernel
 * parameter and the previous kernel set preserve_pool_want; the worker (worker.c) tries
 * to get there when the size is short of it. Growth on demand (gain.c) does not: any
 * user can bring it about, and it is to have no effect in the kernels that follow.
 */
#include <linux/ctype.h>
#include <linux/jiffies.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/overflow.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "pool.h"

/* Idle blocks that a node keeps at hand: a part of its blocks, within limits. */
#define SPARE_PART	64
#define SPARE_MAX	64UL

/* Covers which blocks are the pool's, see pool.h. */
DEFINE_MUTEX(preserve_size_lock);

/* Blocks. All under preserve_size_lock. */
unsigned long preserve_pool_want;
unsigned long preserve_pool_max;

/* The limit as it was set at run time, here or before a kexec. */
unsigned long preserve_max_set = PRESERVE_NO_MAX;

bool preserve_pool_lend = true;

/* The worker is to run at once, and has not begun. */
bool preserve_worker_urgent;

/* Runs in worker.c. */
struct delayed_work preserve_worker;

/**
 * preserve_parse_size - Read a size as operators write it.
 * @text: Decimal digits, then one of K, M, G, T, P, E or nothing.
 * @end:  On success, what follows it.
 * @nr:   On success, blocks, rounded up. More than 64 bits of bytes are the most
 *        there is, where memparse() would begin again at zero.
 *
 * Context: Any.
 * Return: 0 or -EINVAL.
 */
int preserve_parse_size(const char *text, const char **end, unsigned long *nr)
{
	static const char units[] = "KMGTPE";
	size_t len = strspn(text, "0123456789");
	char digits[24];
	const char *unit;
	u64 bytes;

	if (!len || len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (kstrtoull(digits, 10, &bytes))
		bytes = U64_MAX;
	unit = text[len] ? strchr(units, toupper(text[len])) : NULL;
	if (unit && check_shl_overflow(bytes, 10 * (unit - units + 1), &bytes))
		bytes = U64_MAX;
	*end = text + len + !!unit;
	*nr = (bytes >> (PAGE_SHIFT + pageblock_order)) +
	      !!(bytes & ((PAGE_SIZE << pageblock_order) - 1));
	return 0;
}

static unsigned long node_size(const struct preserve_node *node)
{
	return READ_ONCE(node->nr_blocks) + READ_ONCE(node->nr_lent);
}

/**
 * preserve_pool_size - The pool's size.
 *
 * Context: Any; lasting only with preserve_size_lock held.
 * Return: Blocks, lent ones among them.
 */
unsigned long preserve_pool_size(void)
{
	unsigned long nr = 0;
	int nid;

	for_each_online_node(nid)
		nr += node_size(&preserve_nodes[nid]);
	return nr;
}

/* Blocks for what data may not use: with one more there is room for data. */
static unsigned long node_reserved(const struct preserve_node *node)
{
	return preserve_node_reserve(node) >> pageblock_order;
}

/**
 * preserve_pool_room - How much the pool may grow.
 *
 * Context: preserve_size_lock held.
 * Return: Blocks.
 */
unsigned long preserve_pool_room(void)
{
	unsigned long have = preserve_pool_size();

	return have < preserve_pool_max ? preserve_pool_max - have : 0;
}

/**
 * preserve_node_spare - How many idle blocks a node is to have at hand.
 * @node: The node.
 *
 * Context: preserve_size_lock held.
 * Return: Blocks.
 */
unsigned long preserve_node_spare(const struct preserve_node *node)
{
	unsigned long nr = node_size(node);

	return nr ? clamp(nr / SPARE_PART, 1UL, SPARE_MAX) + node_reserved(node) :
		    0;
}

/**
 * preserve_node_set_marks - Bring a node's marks up to date with its size.
 * @node: The node.
 *
 * Context: preserve_size_lock held.
 */
void preserve_node_set_marks(struct preserve_node *node)
{
	unsigned long reserved = node_reserved(node);
	unsigned long spare = preserve_node_spare(node);

	WRITE_ONCE(node->spare_low, spare ? DIV_ROUND_UP(spare - reserved, 2) +
					    reserved : 0);
	WRITE_ONCE(node->spare_high, preserve_pool_lend ?
		   spare + PRESERVE_GAIN_BLOCKS : ULONG_MAX);
}

/* Memory that is about to go offline. Under preserve_size_lock. */
static unsigned long spared_pfn, spared_end;

/**
 * preserve_spare_range - Gain no block of a range, and take none of it back.
 * @pfn: Its first frame.
 * @end: Behind the last; 0 to gain from all of memory again.
 *
 * Context: preserve_size_lock held.
 */
void preserve_spare_range(unsigned long pfn, unsigned long end)
{
	spared_pfn = pfn;
	spared_end = end;
}

/**
 * preserve_is_spared - Is this block in the range of preserve_spare_range()?
 * @pfn: Its first frame.
 *
 * Context: preserve_size_lock held.
 * Return: True if it is.
 */
bool preserve_is_spared(unsigned long pfn)
{
	return pfn >= spared_pfn && pfn < spared_end;
}

/**
 * preserve_pool_kick - Let the worker look after the pool.
 * @delay: Jiffies from now, at the latest.
 *
 * Context: Any.
 */
void preserve_pool_kick(unsigned long delay)
{
	struct delayed_work *dwork = &preserve_worker;

	if (delay) {
		if (READ_ONCE(preserve_worker_urgent))
			return;
		/* Without a timer it is about to run. */
		if (!queue_delayed_work(system_dfl_wq, dwork, delay) &&
		    timer_pending(&dwork->timer) &&
		    time_before(jiffies + delay, READ_ONCE(dwork->timer.expires)))
			mod_delayed_work(system_dfl_wq, dwork, delay);
		/* If it has become urgent meanwhile. */
		if (READ_ONCE(preserve_worker_urgent))
			mod_delayed_work(system_dfl_wq, dwork, 0);
	} else if (!READ_ONCE(preserve_worker_urgent)) {
		WRITE_ONCE(preserve_worker_urgent, true);
		mod_delayed_work(system_dfl_wq, dwork, 0);
	}
}
