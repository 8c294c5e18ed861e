// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/mm/preserve: the pool's state, one value a file.
 *
 * Sizes are in bytes. Documented in
 * Documentation/admin-guide/mm/preserve.rst.
 */
#include <linux/kobject.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/sysfs.h>

#include "internal.h"

static struct preserve_pool_stat stat_all(void)
{
	struct preserve_pool_stat stat = {};
	int nid;

	for_each_online_node(nid)
		preserve_pool_stat(nid, &stat);
	return stat;
}

static u64 pages_to_bytes(u64 nr)
{
	return nr << PAGE_SHIFT;
}

static u64 show_size(void)
{
	return pages_to_bytes((u64)stat_all().nr_blocks << pageblock_order);
}

static u64 show_used(void)
{
	struct preserve_pool_stat stat = stat_all();

	return pages_to_bytes(((u64)stat.nr_blocks << pageblock_order) -
			      stat.nr_free);
}

static u64 show_idle(void)
{
	return pages_to_bytes((u64)stat_all().nr_idle_blocks << pageblock_order);
}

static u64 show_largest_free(void)
{
	unsigned long largest = 0;
	int nid;

	for_each_online_node(nid)
		largest = max(largest, preserve_pool_largest_free(nid));
	return pages_to_bytes(largest);
}

static u64 show_preserved(void)
{
	return pages_to_bytes(preserve_nr_claimed(&preserve_out));
}

static u64 show_unclaimed(void)
{
	return pages_to_bytes(preserve_nr_claimed(&preserve_in));
}

static u64 show_files(void)
{
	return atomic_long_read(&preserve_nr_files);
}

static u64 show_retrieved(void)
{
	return atomic_long_read(&preserve_nr_retrieved);
}

static u64 show_refused(void)
{
	return atomic_long_read(&preserve_nr_refused);
}

static u64 show_rebuilt(void)
{
	return atomic_long_read(&preserve_nr_rebuilt);
}

struct preserve_attr {
	struct kobj_attribute attr;
	u64 (*value)(void);
};

static ssize_t preserve_attr_show(struct kobject *kobj,
				  struct kobj_attribute *attr, char *buf)
{
	const struct preserve_attr *pa = container_of(attr,
						      struct preserve_attr,
						      attr);

	return sysfs_emit(buf, "%llu\n", pa->value());
}

#define PRESERVE_ATTR(_name, _mode) {					\
	.attr = __ATTR(_name, _mode, preserve_attr_show, NULL),		\
	.value = show_##_name,						\
}

static struct preserve_attr preserve_attrs[] = {
	PRESERVE_ATTR(size, 0444),
	PRESERVE_ATTR(used, 0444),
	PRESERVE_ATTR(idle, 0444),
	PRESERVE_ATTR(largest_free, 0400),
	PRESERVE_ATTR(preserved, 0444),
	PRESERVE_ATTR(unclaimed, 0444),
	PRESERVE_ATTR(files, 0444),
	PRESERVE_ATTR(retrieved, 0444),
	PRESERVE_ATTR(refused, 0444),
	PRESERVE_ATTR(rebuilt, 0444),
};

int __init preserve_sysfs_init(void)
{
	struct kobject *kobj = kobject_create_and_add("preserve", mm_kobj);
	int err;

	if (!kobj)
		return -ENOMEM;
	for (int i = 0; i < ARRAY_SIZE(preserve_attrs); i++) {
		err = sysfs_create_file(kobj, &preserve_attrs[i].attr.attr);
		if (err) {
			kobject_put(kobj);
			return err;
		}
	}
	return 0;
}
