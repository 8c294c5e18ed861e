// SPDX-License-Identifier: GPL-2.0-only
/*
 * Growth when it is hard: pinned pages everywhere, in a memory cgroup with a
 * tight limit, and with the task killed that asked for it. It ends with a clear
 * error or with what was asked for, and only the task in the way may be killed.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define CGROUP		"/sys/fs/cgroup/"
#define TIGHT		CGROUP "tight"
#define LOADED		CGROUP "loaded"
#define TIGHT_LIMIT	MIB(24)
#define SEED		1

static pid_t child_start(int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (!pid)
		_exit(-fn(arg));
	return pid;
}

static int child_wait(pid_t pid)
{
	int status = -1;

	require(waitpid(pid, &status, 0) == pid, "wait");
	return status;
}

static int run_child(int (*fn)(void *arg), void *arg)
{
	return child_wait(child_start(fn, arg));
}

static bool exited(int status, int err)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == -err;
}

/* --- pinned pages --- */

static void pinned_everywhere(void)
{
	const struct load_spec spec = {
		.anon = load_percent(50), .scattered = true, .pin_blocks = true,
	};
	struct load *load = load_start(&spec);
	__s64 before = pool_counter("size"), gained;
	__u64 pinned = load_nr_pinned(load) * LOAD_BLOCK;
	int err;

	check(pinned >= spec.anon, "%llu MiB in blocks with a pinned page",
	      (unsigned long long)pinned >> 20);
	err = pool_set("size", load_percent(80));
	gained = pool_counter("size") - before;
	check(err == -ENOMEM, "more than there is without a pin: %d", err);
	check(gained <= meminfo_bytes("MemTotal") - (__s64)pinned,
	      "no block with a pin is gained: %lld MiB", (long long)gained >> 20);
	check(pool_node_counter("evacuate_pinned") * (__s64)LOAD_BLOCK >=
	      (__s64)pinned / 2, "they are counted: %lld blocks",
	      (long long)pool_node_counter("evacuate_pinned"));
	check(load_good(load), "the pinned memory is as it was");
	pool_set("size", 0);
	load_stop(load);
	err = pool_grow_in_time(load_percent(60));
	check(!err, "without pins it can be had: %d", err);
	check(pool_consistent(), "counters");
	pool_set("size", 0);
}

/* --- a memory cgroup --- */

static void cgroup_make(const char *path, __u64 limit)
{
	char file[64], text[32];

	require(!mkdir(path, 0755), "%s", path);
	if (!limit)
		return;
	snprintf(file, sizeof(file), "%s/memory.max", path);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)limit);
	require(!text_write(file, text), "%s", file);
}

static __s64 cgroup_number(const char *path, const char *name)
{
	char file[64], text[32] = "";
	int fd;

	snprintf(file, sizeof(file), "%s/%s", path, name);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	require(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0, "%s", file);
	close(fd);
	return atoll(text);
}

static int grow_in_cgroup(void *arg)
{
	load_join(TIGHT);
	return pool_grow_in_time(*(__u64 *)arg);
}

/* Writes more than the cgroup may have. */
static int write_in_cgroup(void *arg)
{
	load_join(TIGHT);
	return pattern_write(*(int *)arg, SEED, 0, 2 * TIGHT_LIMIT);
}

/* Writes what it may have, and tells what it is charged. */
static int charge_in_cgroup(void *arg)
{
	__s64 before, charged;
	int fd = *(int *)arg, err;

	load_join(TIGHT);
	before = cgroup_number(TIGHT, "memory.current");
	err = pattern_write(fd, SEED, 0, TIGHT_LIMIT / 2);
	if (err)
		return err;
	charged = cgroup_number(TIGHT, "memory.current") - before;
	return charged >= (__s64)TIGHT_LIMIT / 2 * 9 / 10 ? 0 : -EDOM;
}

static void limited(void)
{
	const struct load_spec spec = {
		.anon = load_percent(40), .scattered = true, .cgroup = LOADED,
	};
	__u64 want = load_percent(30);
	__s64 moved, before, charged;
	struct load *load;
	int fd, status;

	text_write(CGROUP "cgroup.subtree_control", "+memory");
	cgroup_make(TIGHT, TIGHT_LIMIT);
	cgroup_make(LOADED, 0);
	load = load_start(&spec);
	charged = cgroup_number(LOADED, "memory.current");
	moved = pool_node_counter("evacuate_moved");

	status = run_child(grow_in_cgroup, &want);
	check(exited(status, 0), "a task with a tight limit makes it grow: %#x",
	      status);
	check(pool_node_counter("evacuate_moved") > moved, "pages were moved");
	check(llabs(cgroup_number(LOADED, "memory.current") - charged) <
	      charged / 20, "who had them is charged as before: %lld kB",
	      (long long)cgroup_number(LOADED, "memory.current") >> 10);
	check(load_good(load), "their content");

	fd = preserve_memfd_create("charged", 0);
	before = pool_counter("used");
	status = run_child(charge_in_cgroup, &fd);
	check(exited(status, 0), "files are charged: %#x", status);
	require(!ftruncate(fd, 0), "truncate");
	status = run_child(write_in_cgroup, &fd);
	check(exited(status, -ENOMEM) ||
	      (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
	      "more than the limit fails, or kills its task: %#x", status);
	check(file_allocated(fd) <= (__s64)TIGHT_LIMIT, "%lld kB of file",
	      (long long)file_allocated(fd) >> 10);
	close(fd);
	check(pool_counter("used") <= before + (__s64)KIB(64),
	      "nothing is left of it: %lld kB, %lld kB",
	      (long long)pool_counter("used") >> 10, (long long)before >> 10);
	check(load_stop(load), "others are alive, their memory as it was");
	check(pool_consistent(), "counters");
	pool_set("size", 0);
}

/* --- a kill --- */

static int grow(void *arg)
{
	return pool_set("size", *(__u64 *)arg);
}

/* Kills the task that makes the pool grow after some time. Was it too late? */
static bool kill_grower(__u64 size, unsigned int us)
{
	pid_t pid = child_start(grow, &size);

	usleep(us);
	kill(pid, SIGKILL);
	return WIFEXITED(child_wait(pid));
}

/* For whoever reads the log of a failure. */
static void report(void)
{
	static const char * const names[] = {
		"evacuate_tried", "evacuate_done", "evacuate_pinned",
		"evacuate_unmovable", "evacuate_busy", "evacuate_nomem",
	};
	size_t i;

	for (i = 0; i < STAGE_COUNT(names); i++)
		ksft_print_msg("%s: %lld\n", names[i],
			       (long long)pool_node_counter(names[i]));
	ksft_print_msg("available: %lld MiB, free of CMA: %lld MiB\n",
		       (long long)meminfo_bytes("MemAvailable") >> 20,
		       (long long)meminfo_bytes("CmaFree") >> 20);
}

static void with_kills(void)
{
	static const unsigned int after_us[] = { 2000, 10000, 40000, 100000 };
	struct load *load = load_fill(load_percent(50));
	__u64 want = load_percent(25);
	unsigned int i, early = 0, wrong = 0;
	int err;

	for (i = 0; i < STAGE_COUNT(after_us); i++) {
		early += !kill_grower(want, after_us[i]) &&
			 pool_counter("size") < (__s64)want;
		wrong += !pool_consistent();
		pool_set("size", 0);
	}
	check(early, "growth stops where its task is killed (%u times)", early);
	check(!wrong, "the counters fit (%u times not)", wrong);
	err = pool_grow_in_time(want);
	check(!err, "the next one gets what it asks for: %d, %lld of %llu MiB",
	      err, (long long)pool_counter("size") >> 20,
	      (unsigned long long)want >> 20);
	report();
	check(load_stop(load), "the memory that was on its way is as it was");
	pool_set("size", 0);
}

static void run(void)
{
	__s64 at_rest = pool_used_at_rest();

	require(at_rest >= 0, "use once: %lld", (long long)at_rest);
	require(!pool_set("max", load_percent(90)), "limit");
	pinned_everywhere();
	limited();
	with_kills();
	check(pool_counter("used") <= at_rest + (__s64)KIB(64),
	      "no page is leaked: %lld kB", (long long)pool_counter("used") >> 10);
}

static const stage_fn stages[] = { run };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
