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
#include <linux/sched/signal.h>

#include "pool.h"

/**
 * preserve_offline_lock - Take preserve_size_lock for memory that goes offline.
 *
 * The lock of its device is held, for which a kexec waits: so nothing waits here once the
 * pool is frozen for one. It does not queue for the lock: others may come first for a while.
 *
 * Context: Process context.
 * Return: False if the pool is frozen, or the task is killed: it is not taken.
 */
bool preserve_offline_lock(void)
{
	while (!mutex_trylock(&preserve_size_lock)) {
		if (READ_ONCE(preserve_frozen) || fatal_signal_pending(current))
			return false;
		schedule_timeout_killable(1);
	}
	return true;
}

static int offline_notify(struct notifier_block *nb, unsigned long action,
			  void *data)
{
	const struct memory_notify *arg = data;
	unsigned long pfn, end = arg->start_pfn + arg->nr_pages;

	if (action != MEM_GOING_OFFLINE)
		return NOTIFY_OK;
	if (!preserve_offline_lock())
		return notifier_from_errno(-EBUSY);
	for (pfn = arg->start_pfn; pfn < end; pfn += pageblock_nr_pages)
		if (preserve_pool_owns(pfn, 1))
			break;
	mutex_unlock(&preserve_size_lock);
	return pfn < end ? notifier_from_errno(-EBUSY) : NOTIFY_OK;
}

void __init preserve_offline_init(void)
{
	hotplug_memory_notifier(offline_notify, 0);
}
