// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory policies: pages of MFD_PRESERVE memfds land where mbind, set_mempolicy
 * and cpusets want them; after a kexec they are on the same nodes, the file's
 * policies are there, and new pages follow them.
 *
 * With the argument "off", the next kernel knows one node: policies that need
 * another are gone, the content is not. With "memoryless", there has to be a CPU
 * on a node without memory.
 */

#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

/* Newer than Debian 12's headers. */
#define WEIGHTED	6

#define SESSION		"policy"
#define CGROUP		"/sys/fs/cgroup/"
#define PAGE		PLACE_PAGE
/* Written before the kexec; as many again are written after it. */
#define NR_PAGES	64
#define MAX_NODES	8

enum { TOKEN_STATE = 1, TOKEN_FILES = 16 };

/* How a file's pages get their places. */
enum way { BY_FILE, BY_TASK, BY_CPUSET };

/* Nodes are counted among those with memory; -1 stands for all of them. */
struct kind {
	const char *name;
	enum way way;
	int mode;
	int node;
};

static const struct kind kinds[] = {
	{ "mbind: bind first", BY_FILE, MPOL_BIND, 0 },
	{ "mbind: bind second", BY_FILE, MPOL_BIND, 1 },
	{ "mbind: preferred second", BY_FILE, MPOL_PREFERRED, 1 },
	{ "mbind: interleave", BY_FILE, MPOL_INTERLEAVE, -1 },
	{ "mbind: weighted interleave", BY_FILE, WEIGHTED, -1 },
	{ "set_mempolicy: bind second", BY_TASK, MPOL_BIND, 1 },
	{ "set_mempolicy: preferred second", BY_TASK, MPOL_PREFERRED, 1 },
	{ "set_mempolicy: interleave", BY_TASK, MPOL_INTERLEAVE, -1 },
	{ "set_mempolicy: weighted interleave", BY_TASK, WEIGHTED, -1 },
	{ "cpuset: second", BY_CPUSET, MPOL_DEFAULT, 1 },
	{ "cpuset: first", BY_CPUSET, MPOL_DEFAULT, 0 },
};

#define NR_KINDS	STAGE_COUNT(kinds)
/* One more file, with three policies, and one that all CPUs write. */
#define RANGES		NR_KINDS
#define CPUS		(NR_KINDS + 1)
#define NR_FILES	(NR_KINDS + 2)

/* Where the pages were. */
struct state {
	__s8 nodes[NR_FILES][NR_PAGES];
};

static unsigned int nr_nodes;
static int nodes[MAX_NODES];
static bool one_node, memoryless;

/* The nodes that have memory. */
static void find_nodes(void)
{
	long long size;
	int node;

	require(numa_available() >= 0, "libnuma works");
	for (node = 0; node <= numa_max_node() && nr_nodes < MAX_NODES; node++)
		if (numa_node_size64(node, &size) > 0)
			nodes[nr_nodes++] = node;
	ksft_print_msg("%u nodes with memory, the last node is %d\n", nr_nodes,
		       numa_max_node());
}

static unsigned long kind_mask(const struct kind *kind)
{
	unsigned long mask = 0;
	unsigned int i;

	if (kind->node >= 0)
		return 1UL << nodes[kind->node];
	for (i = 0; i < nr_nodes; i++)
		mask |= 1UL << nodes[i];
	return mask;
}

static int create(const char *name)
{
	int fd = preserve_memfd_create(name, 0);

	require(fd >= 0 && !ftruncate(fd, 2 * NR_PAGES * PAGE), "%s: no file",
		name);
	return fd;
}

static void bind_range(int fd, unsigned int page, unsigned int nr,
		       const struct kind *kind)
{
	unsigned long mask = kind_mask(kind);
	void *map = place_map(fd, page * PAGE, nr * PAGE);

	check(!mbind(map, nr * PAGE, kind->mode, &mask, 8 * sizeof(mask), 0),
	      "%s: mbind", kind->name);
	munmap(map, nr * PAGE);
}

/* Half of the pages by write(2), half by a fault. */
static void fill(int fd, unsigned int page, unsigned int nr)
{
	char *map = place_map(fd, page * PAGE, nr * PAGE);
	unsigned int i;

	for (i = 0; i < nr; i += 2)
		__atomic_store_n(map + i * PAGE, 1, __ATOMIC_RELAXED);
	munmap(map, nr * PAGE);
	require(!pattern_write(fd, 1, page * PAGE, nr * PAGE), "write a file");
}

static void fill_as_task(int fd, const struct kind *kind)
{
	unsigned long mask = kind_mask(kind);

	check(!set_mempolicy(kind->mode, &mask, 8 * sizeof(mask)),
	      "%s: set", kind->name);
	fill(fd, 0, NR_PAGES);
	set_mempolicy(MPOL_DEFAULT, NULL, 0);
}

/* In a child, which ends in the cgroup. */
static void fill_in_cpuset(int fd, const struct kind *kind)
{
	char text[16];
	int status = -1;
	pid_t pid;

	snprintf(text, sizeof(text), "%d", nodes[kind->node]);
	text_write(CGROUP "cgroup.subtree_control", "+cpuset");
	mkdir(CGROUP "mems", 0755);
	check(!text_write(CGROUP "mems/cpuset.mems", text), "%s: set",
	      kind->name);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (text_write(CGROUP "mems/cgroup.procs", "0"))
			_exit(1);
		fill(fd, 0, NR_PAGES);
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid && !status, "%s: child",
	      kind->name);
	rmdir(CGROUP "mems");
}

static void nodes_of(int fd, unsigned int page, unsigned int nr, __s8 *places)
{
	char *map = place_map(fd, page * PAGE, nr * PAGE);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		place_touch(map + i * PAGE);
		places[i] = place_node(map + i * PAGE);
	}
	munmap(map, nr * PAGE);
}

/* Are the pages where the kind wants them? */
static bool places_are(const __s8 *places, unsigned int nr,
		       const struct kind *kind)
{
	unsigned int counts[MAX_NODES] = {}, i, n;

	for (i = 0; i < nr; i++) {
		for (n = 0; n < nr_nodes && nodes[n] != places[i]; n++)
			;
		if (n == nr_nodes)
			return false;
		counts[n]++;
	}
	if (kind->node >= 0)
		return counts[kind->node] == nr;
	/* Evenly; weights are equal in a machine that tells of no bandwidth. */
	for (n = 0; n < nr_nodes; n++)
		if (counts[n] < nr / nr_nodes - 1 ||
		    counts[n] > nr / nr_nodes + 1)
			return false;
	return true;
}

static void show(const __s8 *places, unsigned int nr)
{
	char text[2 * NR_PAGES + 1];
	unsigned int i;

	for (i = 0; i < nr; i++)
		snprintf(text + i, sizeof(text) - i, "%d", places[i] & 7);
	ksft_print_msg("nodes: %s\n", text);
}

static void check_places(int fd, unsigned int page, unsigned int nr,
			 const struct kind *kind, const char *when)
{
	__s8 places[2 * NR_PAGES];

	nodes_of(fd, page, nr, places);
	if (!check(places_are(places, nr, kind), "%s: %s: pages are right",
		   kind->name, when))
		show(places, nr);
}

static void check_policy(int fd, unsigned int page, const struct kind *kind,
			 bool is_there)
{
	void *map = place_map(fd, page * PAGE, PAGE);
	unsigned long mask = 0;
	int mode = -1, err;

	err = get_mempolicy(&mode, &mask, 8 * sizeof(mask), map, MPOL_F_ADDR);
	if (is_there)
		check(!err && mode == kind->mode && mask == kind_mask(kind),
		      "%s: the policy is there: mode %d, nodes %#lx",
		      kind->name, mode, mask);
	else
		check(!err && mode == MPOL_DEFAULT, "%s: no policy: mode %d",
		      kind->name, mode);
	munmap(map, PAGE);
}

static int make(const struct kind *kind)
{
	int fd = create(kind->name);

	if (kind->way == BY_FILE) {
		bind_range(fd, 0, 2 * NR_PAGES, kind);
		fill(fd, 0, NR_PAGES);
	} else if (kind->way == BY_TASK) {
		fill_as_task(fd, kind);
	} else {
		fill_in_cpuset(fd, kind);
	}
	check_places(fd, 0, NR_PAGES, kind, "made");
	check_policy(fd, 0, kind, kind->way == BY_FILE);
	return fd;
}

/* The three ranges of a file: as kinds 1, 3 and 0. */
static const struct kind *const ranges[] = { &kinds[1], &kinds[3], &kinds[0] };

#define NR_RANGES	STAGE_COUNT(ranges)
/* Interleaving over up to four nodes comes out even. */
#define RANGE_PAGES	16

static int make_ranges(void)
{
	int fd = create("ranges");
	unsigned int i, first;

	for (i = 0; i < NR_RANGES; i++)
		bind_range(fd, i * 2 * RANGE_PAGES, 2 * RANGE_PAGES,
			   ranges[i]);
	for (i = 0; i < NR_RANGES; i++) {
		first = i * 2 * RANGE_PAGES;
		fill(fd, first, RANGE_PAGES);
		check_places(fd, first, RANGE_PAGES, ranges[i], "range");
	}
	fill(fd, NR_RANGES * 2 * RANGE_PAGES, 1);
	return fd;
}

static bool cpu_has_memory(int cpu)
{
	long long size = numa_node_size64(numa_node_of_cpu(cpu), NULL);

	return size > 0;
}

/* Also a CPU whose node has no memory can write. */
static int make_from_cpus(void)
{
	int nr_cpus = numa_num_configured_cpus(), fd = create("cpus"), cpu;
	int without = 0;
	cpu_set_t set;

	for (cpu = 0; cpu < nr_cpus; cpu++)
		without += !cpu_has_memory(cpu);
	check(!without == !memoryless, "%d of %d CPUs have no memory", without,
	      nr_cpus);

	for (cpu = 0; cpu < NR_PAGES; cpu++) {
		CPU_ZERO(&set);
		CPU_SET(cpu % nr_cpus, &set);
		require(!sched_setaffinity(0, sizeof(set), &set), "CPU %d",
			cpu % nr_cpus);
		fill(fd, cpu, 1);
	}
	memset(&set, 0xff, sizeof(set));
	require(!sched_setaffinity(0, sizeof(set), &set), "all CPUs");
	check(!pattern_check(fd, 1, 0, PAGE), "written from %d CPUs", nr_cpus);
	return fd;
}

static void preserve_all(const int *fds, const struct state *state)
{
	int session = stage_session_create(SESSION);
	int fd = preserve_memfd_create("state", 0);
	size_t i;

	require(fd >= 0 && pwrite(fd, state, sizeof(*state), 0) ==
		(ssize_t)sizeof(*state), "write the state");
	require(!preserve_session_add_fd(session, fd, TOKEN_STATE),
		"preserve the state");
	for (i = 0; i < NR_FILES; i++) {
		int err = preserve_session_add_fd(session, fds[i],
						  TOKEN_FILES + i);

		check(!err, "preserve file %zu: %d", i, err);
	}
}

static void before(void)
{
	static struct state state;
	int fds[NR_FILES];
	size_t i;

	find_nodes();
	require(nr_nodes >= 2, "two nodes with memory");
	for (i = 0; i < NR_KINDS; i++)
		fds[i] = make(&kinds[i]);
	fds[RANGES] = make_ranges();
	fds[CPUS] = make_from_cpus();
	for (i = 0; i < NR_FILES; i++)
		if (i != RANGES)
			nodes_of(fds[i], 0, NR_PAGES, state.nodes[i]);
	preserve_all(fds, &state);
}

static int get(int session, __u64 token)
{
	int fd = preserve_session_get_fd(session, token);

	require(fd >= 0, "file %llu is there: %d", (unsigned long long)token,
		fd);
	return fd;
}

/* New pages follow the policy that came along. */
static void go_on(int fd, const struct kind *kind)
{
	check_policy(fd, 0, kind, kind->way == BY_FILE);
	if (kind->way != BY_FILE)
		return;
	fill(fd, NR_PAGES, NR_PAGES);
	check_places(fd, NR_PAGES, NR_PAGES, kind, "filled later");
}

static void verify(int fd, size_t i, const struct state *state)
{
	__s8 places[NR_PAGES];
	bool same;

	check(!pattern_check(fd, 1, 0, NR_PAGES * PAGE), "file %zu: content",
	      i);
	if (one_node)
		return;
	nodes_of(fd, 0, NR_PAGES, places);
	same = !memcmp(places, state->nodes[i], sizeof(places));
	if (!check(same, "file %zu: pages are on the same nodes", i))
		show(places, NR_PAGES);
	if (i < NR_KINDS)
		go_on(fd, &kinds[i]);
}

static void verify_ranges(int fd)
{
	unsigned int i, first;

	for (i = 0; i < NR_RANGES; i++) {
		first = i * 2 * RANGE_PAGES;
		check(!pattern_check(fd, 1, first * PAGE, RANGE_PAGES * PAGE),
		      "range %u: content", i);
		if (one_node)
			continue;
		check_policy(fd, first + RANGE_PAGES, ranges[i], true);
		fill(fd, first + RANGE_PAGES, RANGE_PAGES);
		check_places(fd, first, 2 * RANGE_PAGES, ranges[i],
			     "range, filled later");
	}
	check_policy(fd, NR_RANGES * 2 * RANGE_PAGES, &kinds[0], false);
}

static void after(void)
{
	static struct state state;
	int session = stage_session_retrieve(SESSION), fd;
	size_t i;

	find_nodes();
	require((nr_nodes == 1) == one_node, "the nodes are as expected");
	fd = get(session, TOKEN_STATE);
	require(pread(fd, &state, sizeof(state), 0) == sizeof(state),
		"read the state");
	for (i = 0; i < NR_FILES; i++) {
		fd = get(session, TOKEN_FILES + i);
		if (i == RANGES)
			verify_ranges(fd);
		else
			verify(fd, i, &state);
		if (one_node && i == 0)
			check_policy(fd, 0, &kinds[0], true);
		if (one_node && i == 1)
			check_policy(fd, 0, &kinds[1], false);
	}
	stage_session_finish(session);
	check(!pool_counter("incoming"), "nothing is left behind");
}

static const stage_fn stages[] = { before, after };

int main(int argc, char **argv)
{
	one_node = argc > 1 && !strcmp(argv[1], "off");
	memoryless = argc > 1 && !strcmp(argv[1], "memoryless");
	return stage_run(stages, STAGE_COUNT(stages));
}
