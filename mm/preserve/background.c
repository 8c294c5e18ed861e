// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restoring in the background: some workers for each node make the folios of what no
 * task has touched, and give way to a file that is preserved again.
 */
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "file.h"

/* A node has a worker for each CPU, up to this many: then they wait for each other. */
#define MAX_WORKERS	8U

/* Pages that a worker restores between two looks at its pace. */
#define CHUNK		1024UL

/* Pauses of a worker: before it begins, and when there was no memory. */
#define START_DELAY	(HZ / 10)
#define RETRY_DELAY	HZ

/* While it keeps a pace, how long it does not look around. */
#define GLANCE		(HZ / 10L)

/* Background work must not invoke the OOM killer. */
#define PATIENT_GFP	(GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Bytes a second for each node; 0 for nothing, ULONG_MAX for no limit. */
unsigned long preserve_restore_pace = ULONG_MAX;

/**
 * struct worker - Restores what files have on one node.
 * @work: Its runs.
 * @nid:  The node.
 * @nth:  Of nr_workers: its turn comes every so many pageblocks' worth of a file.
 */
struct worker {
	struct delayed_work work;
	int nid;
	unsigned int nth;
};

/* nr_workers for each node, one node after the other. */
static struct worker *workers __ro_after_init;
static unsigned int nr_workers __ro_after_init;

static void workers_queue(unsigned long delay)
{
	struct worker *worker;
	int nid;

	for_each_node_state(nid, N_MEMORY) {
		worker = workers + nid * nr_workers;
		for (; worker < workers + (nid + 1) * nr_workers; worker++)
			queue_delayed_work(system_dfl_wq, &worker->work, delay);
	}
}

/* Is it worth going on with this file? */
static bool is_wanted(struct preserve_file *pf)
{
	return preserve_file_incomplete(pf) && !READ_ONCE(pf->record) &&
	       preserve_file_used(pf);
}

/*
 * Waits as long as the pace demands; it may change meanwhile, and the file may go.
 * False if the worker is to stop.
 */
static bool keep_pace(struct preserve_file *pf, unsigned long nr_pages)
{
	unsigned long pace = READ_ONCE(preserve_restore_pace);
	long left;

	cond_resched();
	if (!pace || pace == ULONG_MAX)
		return pace;
	left = min(mult_frac(nr_pages << PAGE_SHIFT, HZ * nr_workers, pace),
		   LONG_MAX);
	while (left > 0 && pace == READ_ONCE(preserve_restore_pace) &&
	       is_wanted(pf)) {
		schedule_timeout_idle(min(left, GLANCE));
		left -= GLANCE;
	}
	return READ_ONCE(preserve_restore_pace);
}

/* Frames from @pfn to its node's end. */
static u64 other_node(unsigned long pfn)
{
	return max(node_end_pfn(pfn_to_nid(pfn)), pfn + 1) - pfn;
}

/* The first index from @index on that is this worker's turn. */
static pgoff_t my_turn(const struct worker *worker, pgoff_t index)
{
	pgoff_t nth = index >> pageblock_order;
	unsigned int ahead = (worker->nth + nr_workers - nth % nr_workers) %
			     nr_workers;

	return ahead ? (nth + ahead) << pageblock_order : index;
}

/* Restores what is this worker's of @pf. */
static int restore_mine(struct preserve_file *pf, const struct worker *worker)
{
	pgoff_t index = my_turn(worker, 0);
	unsigned long done = 0;
	struct prmap_run run;
	s64 next;

	while (is_wanted(pf) && preserve_file_find(pf, index, ULONG_MAX, &run)) {
		index = my_turn(worker, run.index);
		if (index != run.index)
			continue;
		if (pfn_to_nid(run.pfn) != worker->nid) {
			index += min(run.nr, other_node(run.pfn));
			continue;
		}
		next = preserve_file_restore_run(pf, &run, PATIENT_GFP);
		if (next < 0 && next != -ENOENT)
			return next;
		next = next < 0 ? run.index + 1 : next;
		done += next - run.index;
		index = my_turn(worker, next);
		if (done < CHUNK)
			continue;
		if (!keep_pace(pf, done))
			return -EAGAIN;
		done = 0;
	}
	return 0;
}

static void restore_work(struct work_struct *work)
{
	struct worker *worker = container_of(to_delayed_work(work),
					     struct worker, work);
	struct mem_cgroup *old;
	struct preserve_file *pf = NULL;
	bool again = false;
	int err;

	if (!READ_ONCE(preserve_restore_pace))
		return;
	while ((pf = preserve_file_next(pf))) {
		if (!preserve_file_incomplete(pf))
			continue;
		old = set_active_memcg(pf->restore->memcg);
		err = restore_mine(pf, worker);
		set_active_memcg(old);
		again |= err && err != -EIO;
		preserve_file_end_if_complete(pf);
	}
	if (again)
		queue_delayed_work(system_dfl_wq, &worker->work, RETRY_DELAY);
}

/**
 * preserve_file_begin - Let a file's folios be made on demand.
 * @pf: The file, with its map complete and its page cache empty.
 *
 * From now on the map follows the page cache, and workers make what no task asks for.
 *
 * Context: Process context; no other task uses the file's memory. A walk over all files
 *          may be at it.
 */
void preserve_file_begin(struct preserve_file *pf)
{
	preserve_demand_begin(pf);
	if (preserve_file_incomplete(pf))
		workers_queue(START_DELAY);
}

/**
 * preserve_restore_kick - Let the workers look for unrestored memory.
 *
 * Context: Any.
 */
void preserve_restore_kick(void)
{
	if (atomic_long_read(&preserve_nr_unrestored))
		workers_queue(0);
}

/**
 * preserve_restore_all - Make all folios of all files, and return then.
 *
 * Context: Process context, no folio locked.
 * Return: 0; -ENOMEM if not all could be made; -EINTR.
 */
int preserve_restore_all(void)
{
	struct preserve_file *pf = NULL;
	int err, worst = 0;

	while ((pf = preserve_file_next(pf))) {
		err = preserve_file_restore_all(pf, GFP_KERNEL);
		if (err)
			worst = err;
	}
	return fatal_signal_pending(current) ? -EINTR : worst;
}

void __init preserve_restore_init(void)
{
	unsigned int i;

	/* Without them everything is restored on demand. */
	nr_workers = clamp(num_possible_cpus() / num_node_state(N_MEMORY), 1U,
			   MAX_WORKERS);
	workers = kvcalloc(nr_node_ids * nr_workers, sizeof(*workers),
			   GFP_KERNEL);
	if (!workers)
		nr_workers = 0;
	for (i = 0; i < nr_node_ids * nr_workers; i++) {
		INIT_DELAYED_WORK(&workers[i].work, restore_work);
		workers[i].nid = i / nr_workers;
		workers[i].nth = i % nr_workers;
	}
}
