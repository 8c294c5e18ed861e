// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/mm/preserve: the pool's state and knobs, one value a file, for all
 * memory and per node; and the pool's lines in /proc/meminfo and
 * /proc/pagetypeinfo.
 *
 * Sizes are in bytes. Documented in
 * Documentation/admin-guide/mm/preserve-interface.rst.
 */
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/preserve.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "file.h"

#define BLOCK_SIZE_SHIFT	(PAGE_SHIFT + pageblock_order)

/* /sys/kernel/mm/preserve; backends add to it. NULL if there is no pool. */
struct kobject *preserve_kobj;

/* One attribute: what it shows of a node, or of all with NUMA_NO_NODE. */
struct preserve_attr {
	struct kobj_attribute attr;
	u64 (*value)(int nid);
	int (*set)(const char *text);
};

/* A node's directory. */
struct preserve_dir {
	struct kobject kobj;
	int nid;
};

static struct preserve_pool_stat stat_of(int nid)
{
	struct preserve_pool_stat stat = {};

	preserve_pool_drain();
	if (nid != NUMA_NO_NODE) {
		preserve_pool_stat(nid, &stat);
		return stat;
	}
	for_each_online_node(nid)
		preserve_pool_stat(nid, &stat);
	return stat;
}

static u64 pages_to_bytes(u64 nr)
{
	return nr << PAGE_SHIFT;
}

static u64 blocks_to_bytes(u64 nr)
{
	return nr << BLOCK_SIZE_SHIFT;
}

static u64 show_size(int nid)
{
	struct preserve_pool_stat stat = stat_of(nid);

	return blocks_to_bytes(stat.nr_blocks + stat.nr_lent);
}

static u64 show_used(int nid)
{
	struct preserve_pool_stat stat = stat_of(nid);

	return blocks_to_bytes(stat.nr_blocks) - pages_to_bytes(stat.nr_free);
}

static u64 show_idle(int nid)
{
	struct preserve_pool_stat stat = stat_of(nid);

	return blocks_to_bytes(stat.nr_idle_blocks + stat.nr_lent);
}

static u64 show_lent(int nid)
{
	return blocks_to_bytes(stat_of(nid).nr_lent);
}

static u64 show_yielded(int nid)
{
	return blocks_to_bytes(READ_ONCE(preserve_nr_yielded));
}

static u64 show_largest_free(int nid)
{
	unsigned long largest = 0;

	preserve_pool_drain();
	if (nid != NUMA_NO_NODE)
		return pages_to_bytes(preserve_pool_largest_free(nid));
	for_each_online_node(nid)
		largest = max(largest, preserve_pool_largest_free(nid));
	return pages_to_bytes(largest);
}

static u64 show_max(int nid)
{
	return blocks_to_bytes(READ_ONCE(preserve_pool_max));
}

static u64 show_lend(int nid)
{
	return READ_ONCE(preserve_pool_lend);
}

static u64 show_admit_plain(int nid)
{
	return READ_ONCE(preserve_admit_plain);
}

static u64 show_poisoned(int nid)
{
	return pages_to_bytes(preserve_nr_poisoned());
}

static u64 show_preserved(int nid)
{
	return pages_to_bytes(stat_of(nid).nr_claimed);
}

static u64 show_incoming(int nid)
{
	return pages_to_bytes(preserve_nr_untaken());
}

static u64 show_files(int nid)
{
	return atomic_long_read(&preserve_nr_files);
}

static u64 show_retrieved(int nid)
{
	return atomic_long_read(&preserve_nr_retrieved);
}

static u64 show_refused(int nid)
{
	return atomic_long_read(&preserve_nr_refused);
}

static u64 show_rebuilt(int nid)
{
	return atomic_long_read(&preserve_nr_rebuilt);
}

#define EVACUATE_SHOW(name, result)					\
static u64 show_evacuate_##name(int nid)				\
{									\
	return READ_ONCE(preserve_nodes[nid].evacuated[result]);	\
}

EVACUATE_SHOW(done, PRESERVE_EVACUATE_DONE)
EVACUATE_SHOW(pinned, PRESERVE_EVACUATE_PINNED)
EVACUATE_SHOW(unmovable, PRESERVE_EVACUATE_UNMOVABLE)
EVACUATE_SHOW(busy, PRESERVE_EVACUATE_BUSY)
EVACUATE_SHOW(nomem, PRESERVE_EVACUATE_NOMEM)

static u64 show_evacuate_tried(int nid)
{
	u64 sum = 0;

	for (int i = 0; i < PRESERVE_EVACUATE_NR; i++)
		sum += READ_ONCE(preserve_nodes[nid].evacuated[i]);
	return sum;
}

static u64 show_evacuate_moved(int nid)
{
	return READ_ONCE(preserve_nodes[nid].moved);
}

static int text_to_blocks(const char *text, unsigned long *nr)
{
	const char *end;
	int err = preserve_parse_size(text, &end, nr);

	return err ?: *skip_spaces(end) ? -EINVAL : 0;
}

static int set_size(const char *text)
{
	unsigned long nr;

	return text_to_blocks(text, &nr) ?: preserve_pool_resize(nr);
}

static int set_max(const char *text)
{
	unsigned long nr;

	return text_to_blocks(text, &nr) ?: preserve_pool_set_max(nr);
}

static int set_lend(const char *text)
{
	bool lend;

	return kstrtobool(text, &lend) ?: preserve_pool_set_lend(lend);
}

static int set_admit_plain(const char *text)
{
	bool admit;
	int err = kstrtobool(text, &admit);

	if (!err)
		WRITE_ONCE(preserve_admit_plain, admit);
	return err;
}

static int set_compact(const char *text)
{
	return sysfs_streq(text, "1") ? preserve_compact() : -EINVAL;
}

static u64 show_unrestored(int nid)
{
	return pages_to_bytes(atomic_long_read(&preserve_nr_unrestored));
}

static u64 show_restore_pace(int nid)
{
	return READ_ONCE(preserve_restore_pace);
}

static int set_restore_pace(const char *text)
{
	unsigned long nr = ULONG_MAX;
	int err = 0;

	if (!sysfs_streq(text, "max"))
		err = text_to_blocks(text, &nr);
	if (err)
		return err;
	WRITE_ONCE(preserve_restore_pace, nr > ULONG_MAX >> BLOCK_SIZE_SHIFT ?
		   ULONG_MAX : nr << BLOCK_SIZE_SHIFT);
	preserve_restore_kick();
	return 0;
}

static int set_restore(const char *text)
{
	return sysfs_streq(text, "1") ? preserve_restore_all() : -EINVAL;
}

static ssize_t preserve_attr_show(struct kobject *kobj,
				  struct kobj_attribute *attr, char *buf)
{
	const struct preserve_attr *pa = container_of(attr,
						      struct preserve_attr,
						      attr);

	return sysfs_emit(buf, "%llu\n", pa->value(NUMA_NO_NODE));
}

static ssize_t preserve_attr_store(struct kobject *kobj,
				   struct kobj_attribute *attr,
				   const char *buf, size_t count)
{
	const struct preserve_attr *pa = container_of(attr,
						      struct preserve_attr,
						      attr);
	int err = pa->set(buf);

	return err ?: count;
}

#define PRESERVE_RO(_name, _mode) {					\
	.attr = __ATTR(_name, _mode, preserve_attr_show, NULL),		\
	.value = show_##_name,						\
}

#define PRESERVE_RW(_name) {						\
	.attr = __ATTR(_name, 0644, preserve_attr_show,			\
		       preserve_attr_store),				\
	.value = show_##_name,						\
	.set = set_##_name,						\
}

static ssize_t abi_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", preserve_abi());
}

static struct kobj_attribute abi_attr = __ATTR_RO(abi);

static struct preserve_attr preserve_attrs[] = {
	PRESERVE_RW(size),
	PRESERVE_RW(max),
	PRESERVE_RW(lend),
	PRESERVE_RW(admit_plain),
	{
		.attr = __ATTR(compact, 0200, NULL, preserve_attr_store),
		.set = set_compact,
	},
	PRESERVE_RW(restore_pace),
	{
		.attr = __ATTR(restore, 0200, NULL, preserve_attr_store),
		.set = set_restore,
	},
	PRESERVE_RO(used, 0444),
	PRESERVE_RO(idle, 0444),
	PRESERVE_RO(lent, 0444),
	PRESERVE_RO(yielded, 0444),
	PRESERVE_RO(largest_free, 0400),
	PRESERVE_RO(poisoned, 0444),
	PRESERVE_RO(preserved, 0444),
	PRESERVE_RO(incoming, 0444),
	PRESERVE_RO(unrestored, 0444),
	PRESERVE_RO(files, 0444),
	PRESERVE_RO(retrieved, 0444),
	PRESERVE_RO(refused, 0444),
	PRESERVE_RO(rebuilt, 0444),
};

static ssize_t node_attr_show(struct kobject *kobj, struct attribute *attr,
			      char *buf)
{
	const struct preserve_attr *pa = container_of(attr,
						      struct preserve_attr,
						      attr.attr);
	const struct preserve_dir *dir = container_of(kobj, struct preserve_dir,
						      kobj);

	return sysfs_emit(buf, "%llu\n", pa->value(dir->nid));
}

#define NODE_RO(_name, _mode) {						\
	.attr = __ATTR(_name, _mode, NULL, NULL),			\
	.value = show_##_name,						\
}

static struct preserve_attr node_attrs[] = {
	NODE_RO(size, 0444),
	NODE_RO(used, 0444),
	NODE_RO(idle, 0444),
	NODE_RO(lent, 0444),
	NODE_RO(largest_free, 0400),
	NODE_RO(evacuate_tried, 0444),
	NODE_RO(evacuate_done, 0444),
	NODE_RO(evacuate_pinned, 0444),
	NODE_RO(evacuate_unmovable, 0444),
	NODE_RO(evacuate_busy, 0444),
	NODE_RO(evacuate_nomem, 0444),
	NODE_RO(evacuate_moved, 0444),
};

static const struct sysfs_ops node_sysfs_ops = {
	.show = node_attr_show,
};

static void node_release(struct kobject *kobj)
{
	kfree(container_of(kobj, struct preserve_dir, kobj));
}

static const struct kobj_type node_type = {
	.release = node_release,
	.sysfs_ops = &node_sysfs_ops,
};

static int __init add_attrs(struct kobject *kobj, struct preserve_attr *attrs,
			    unsigned int nr)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < nr; i++)
		err = sysfs_create_file(kobj, &attrs[i].attr.attr);
	return err;
}

static int __init add_node(struct kobject *parent, int nid)
{
	struct preserve_dir *dir = kzalloc_obj(*dir);
	int err;

	if (!dir)
		return -ENOMEM;
	dir->nid = nid;
	err = kobject_init_and_add(&dir->kobj, &node_type, parent, "node%d",
				   nid);
	if (!err)
		err = add_attrs(&dir->kobj, node_attrs, ARRAY_SIZE(node_attrs));
	if (err)
		kobject_put(&dir->kobj);
	return err;
}

int __init preserve_sysfs_init(void)
{
	struct kobject *kobj = kobject_create_and_add("preserve", mm_kobj);
	int err, nid;

	if (!kobj)
		return -ENOMEM;
	preserve_kobj = kobj;
	err = add_attrs(kobj, preserve_attrs, ARRAY_SIZE(preserve_attrs)) ?:
	      sysfs_create_file(kobj, &abi_attr.attr);
	for_each_node_state(nid, N_MEMORY)
		if (!err)
			err = add_node(kobj, nid);
	/* What is there stays: it says as much as it can. */
	return err;
}

static void meminfo_line(struct seq_file *m, const char *name, u64 bytes)
{
	seq_printf(m, "%s%8llu kB\n", name, bytes >> 10);
}

/**
 * preserve_report_meminfo - The pool's lines of /proc/meminfo.
 * @m: The file.
 */
void preserve_report_meminfo(struct seq_file *m)
{
	struct preserve_pool_stat stat = {};
	u64 used;
	int nid;

	if (!static_branch_unlikely(&preserve_pool_key))
		return;
	/* Anybody may read this all the time: no CPU has to give up what it has. */
	for_each_online_node(nid)
		preserve_pool_stat(nid, &stat);
	used = blocks_to_bytes(stat.nr_blocks) - pages_to_bytes(stat.nr_free);
	used -= min(used, pages_to_bytes(preserve_pool_at_hand()));
	meminfo_line(m, "PreserveTotal:  ",
		     blocks_to_bytes(stat.nr_blocks + stat.nr_lent));
	meminfo_line(m, "PreserveUsed:   ", used);
	meminfo_line(m, "PreserveLent:   ", blocks_to_bytes(stat.nr_lent));
}

/**
 * preserve_report_pagetypes - The pool's lines of /proc/pagetypeinfo.
 * @m:   The file.
 * @nid: The node.
 */
void preserve_report_pagetypes(struct seq_file *m, int nid)
{
	struct preserve_pool_stat stat;

	if (!static_branch_unlikely(&preserve_pool_key))
		return;
	stat = stat_of(nid);
	seq_printf(m, "\nPreserve pool, node %d: %lu blocks, %lu of them idle, and %lu lent (as CMA)\n",
		   nid, stat.nr_blocks, stat.nr_idle_blocks, stat.nr_lent);
}
