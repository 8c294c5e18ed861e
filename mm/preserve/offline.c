// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that goes offline: a pageblock that is still the pool's stays online.
 *
 * The range is isolated by now. What was taken out of the page allocator before may not
 * have joined yet; offline_pages() would wait for it for ever, with the lock of the
 * device held, for which a kexec waits. Behind preserve_size_lock it has joined.
 */
#include <linux/init.h>
#include <linux/memory.h>
#include <linux/mmzone.h>
#include <linux/notifier.h>
#include <linux/preserve.h>

#include "internal.h"

static int offline_notify(struct notifier_block *nb, unsigned long action,
			  void *data)
{
	const struct memory_notify *arg = data;
	unsigned long pfn, end = arg->start_pfn + arg->nr_pages;

	if (action != MEM_GOING_OFFLINE)
		return NOTIFY_OK;
	guard(mutex)(&preserve_size_lock);
	for (pfn = arg->start_pfn; pfn < end; pfn += pageblock_nr_pages)
		if (preserve_pool_owns(pfn, 1))
			return notifier_from_errno(-EBUSY);
	return NOTIFY_OK;
}

void __init preserve_offline_init(void)
{
	hotplug_memory_notifier(offline_notify, 0);
}
