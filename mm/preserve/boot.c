// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel parameters, and what happens at boot in which order.
 *
 * The pool is set up, and the last kernel's blocks are adopted, by an initcall. The
 * pool is brought to the size that preserve_pool= asks for when the initial file
 * system is unpacked; without that parameter worker.c brings it to the size it had, in
 * the background.
 */
#define pr_fmt(fmt) "preserve: " fmt

#include <linux/init.h>
#include <linux/initrd.h>
#include <linux/kexec_handover.h>
#include <linux/kstrtox.h>
#include <linux/liveupdate.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/string.h>

#include "file.h"

/* Blocks; 0 without preserve_pool=. */
static unsigned long pool_size;
static unsigned long pool_size_on[MAX_NUMNODES] __initdata;
static bool pool_size_set;

/* It names a size for all nodes together, not for some of them alone. */
static bool pool_total_set __initdata;

/* Blocks; without preserve_pool_max=, a part of memory. */
static unsigned long pool_max __initdata;
static bool pool_max_set __initdata;

/* One of the parts of preserve_pool=SIZE[,nN:SIZE...] */
static bool __init parse_pool_part(char *part)
{
	unsigned long size, nid = 0;
	char *colon = NULL;
	const char *end;

	if (*part == 'n') {
		colon = strchr(part, ':');
		if (!colon)
			return false;
		*colon = '\0';
		if (kstrtoul(part + 1, 10, &nid))
			return false;
		part = colon + 1;
	}
	if (preserve_parse_size(part, &end, &size) || *end)
		return false;
	if (!colon) {
		pool_size = size;
		pool_total_set = true;
	} else if (nid < MAX_NUMNODES) {
		pool_size_on[nid] = size;
	} else {
		pr_warn("preserve_pool=: node %lu has no memory\n", nid);
	}
	return true;
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

/* Behind adoption: what was handed over is memory of the machine as well. */
static void __init set_max(void)
{
	if (pool_max_set)
		preserve_pool_max = pool_max;
	else if (preserve_max_set != PRESERVE_NO_MAX)
		preserve_pool_max = preserve_max_set;
	else
		preserve_pool_max = totalram_pages() / 2 >> pageblock_order;
	preserve_pool_max = max(preserve_pool_max, pool_size);
}

static int __init size_node(int nid, unsigned long want)
{
	unsigned long have;

	if (!node_state(nid, N_MEMORY)) {
		pr_warn("preserve_pool=: node %d has no memory\n", nid);
		return 0;
	}
	have = preserve_nodes[nid].nr_blocks;
	return want > have ? preserve_pool_grow_node(nid, want - have) : 0;
}

/* Gives the nodes that preserve_pool= names what they are to have, at least. */
static int __init size_nodes(void)
{
	int nid, err = 0;

	guard(mutex)(&preserve_size_lock);
	for (nid = 0; nid < MAX_NUMNODES; nid++) {
		if (!pool_size_on[nid])
			continue;
		err = size_node(nid, pool_size_on[nid]) ?: err;
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
	/* What it says of some nodes takes nothing away. */
	if (!pool_total_set)
		pool_size = max(pool_size, preserve_pool_size());
	err = preserve_pool_resize(pool_size) ?: err;
	if (err)
		pr_warn("preserve_pool=: %lu MiB not reached: %s\n",
			pool_size << (PAGE_SHIFT + pageblock_order - 20),
			err == -EBUSY ? "blocks are in use, the pool stays larger" :
					"no contiguous memory, the pool stays smaller");
}

static int __init preserve_init(void)
{
	int err;

	if (!kho_is_enabled() || !liveupdate_enabled()) {
		if (pool_size_set)
			pr_warn("preserve_pool= ignored: boot with kho=on liveupdate=on\n");
		return 0;
	}

	err = preserve_pool_init();
	if (err)
		return err;
	preserve_worker_init();
	preserve_file_cache_init();
	preserve_restore_init();
	err = preserve_handover_init();
	if (err)
		return err;
	preserve_adopt();
	set_max();
	preserve_pool_enable();
	err = preserve_handover_start();
	if (err)
		return err;
	preserve_offline_init();
	return preserve_sysfs_init();
}
device_initcall(preserve_init);

/*
 * Blocks that are judged to be free fill with the initial file system while it is
 * unpacked, and all of that has to move. The boot is about to wait for it anyway.
 */
static int __init preserve_size_init(void)
{
	if (!preserve_has_pool())
		return 0;
	wait_for_initramfs();
	size_pool();
	preserve_pool_start();
	return 0;
}
late_initcall_sync(preserve_size_init);
