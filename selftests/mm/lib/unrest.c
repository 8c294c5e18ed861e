// SPDX-License-Identifier: GPL-2.0-only
/*
 * See unrest.h. Each thread does one thing over and over. Errors do not matter; what does
 * as it is meant to returns true.
 */

#include "unrest.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chance.h"
#include "load.h"
#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define PAGE		KIB(4)
#define LARGEST		MIB(640)
#define OTHER_MEMORY	MIB(384)
#define PIECE		MIB(2)
#define TREE		"/tmp/unrest"
#define MEMORY_BLOCK	"/sys/devices/system/memory/memory%u/state"
#define MEMORY_BLOCKS	16

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* For mbind(2) without libnuma. */
#define MPOL_BIND_MODE	2
#define MPOL_MOVE	2

static const int *preserved;
static unsigned int nr_preserved;

/* LUO's can be opened once at a time only. */
static int device;

static const char *const sessions[] = {
	"pool 1", "pool 2", "plain", "tree",
};

static bool resize(void)
{
	/* What is in use cannot leave, and memory may be short. */
	return !pool_set("size", below(LARGEST));
}

static bool lend(void)
{
	return !pool_set("lend", below(2));
}

static bool pack(void)
{
	int err = pool_set("compact", 1);

	usleep(below(50000));
	/* It gives way to a file that is being preserved, and then has packed until then. */
	return !err || err == -EBUSY;
}

/* Takes what is lent, and gives it back. */
static bool other_memory(void)
{
	size_t length = PAGE + below(OTHER_MEMORY), at;
	char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return false;
	for (at = 0; at < length; at += PAGE)
		memory[at] = 1;
	munmap(memory, length);
	return true;
}

/* Preserves a file or a tree in a session of that name, changes it, and drops it. */
static bool preserve_for_a_moment(const char *name, int fd, int written)
{
	int session = preserve_session_create(device, name), i;
	bool done = session >= 0 && !preserve_session_add_fd(session, fd, 1);

	for (i = 0; i < 16; i++)
		pattern_write(written, 1, below(2048) * PAGE, PAGE);
	close(session);
	return done;
}

static bool churn(const char *name, int fd)
{
	bool done;
	int i;

	for (i = 0; i < 64; i++)
		pattern_write(fd, 1, below(2048) * PAGE, PAGE);
	done = preserve_for_a_moment(name, fd, fd);
	close(fd);
	return done;
}

static bool churn_one(void)
{
	return churn(sessions[0], preserve_memfd_create("churn", MFD_CLOEXEC));
}

static bool churn_two(void)
{
	return churn(sessions[1], preserve_memfd_create("churn", MFD_CLOEXEC));
}

/* Its memory moves into the pool, for a while or for good. */
static bool churn_plain(void)
{
	int fd = memfd_create("plain", MFD_CLOEXEC);

	pattern_write(fd, 1, 0, below(PIECE));
	if (!below(3))
		preserve_memfd_enter(fd);
	return churn(sessions[2], fd);
}

static bool churn_tree(void)
{
	int root, fd, i;
	bool done;

	mkdir(TREE, 0755);
	if (mount("none", TREE, "tmpfs", 0, below(2) ? "preserve" : ""))
		return false;
	for (i = 0; i < 8; i++) {
		char path[64];

		snprintf(path, sizeof(path), TREE "/%d", i);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		pattern_write(fd, 1, 0, below(PIECE));
		if (i < 7)
			close(fd);
	}
	root = tree_open(TREE);
	done = preserve_for_a_moment(sessions[3], root, fd);
	close(root);
	close(fd);
	umount2(TREE, MNT_DETACH);
	return done;
}

/* What mappings of a file can bring about: folios become huge, move, are read. */
static bool poke(void)
{
	static const int advice[] = {
		MADV_COLLAPSE, MADV_PAGEOUT, MADV_COLD, MADV_WILLNEED,
		MADV_POPULATE_READ, MADV_HUGEPAGE,
	};
	int fd = preserved[below(nr_preserved)];
	unsigned long nodes = 1 + below(3);
	struct stat st;
	char *map;
	bool done;

	if (fstat(fd, &st) || !st.st_size)
		return false;
	map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return false;
	if (below(2))
		madvise(map, st.st_size, MADV_POPULATE_READ);
	if (below(3))
		done = !madvise(map, st.st_size, advice[below(STAGE_COUNT(advice))]);
	else
		done = !syscall(SYS_mbind, map, st.st_size, MPOL_BIND_MODE, &nodes,
				8UL, MPOL_MOVE);
	munmap(map, st.st_size);
	return done;
}

/* userfaultfd puts pages into a file of the pool. */
static bool copy_pages(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	int fd = preserve_memfd_create("copied", MFD_CLOEXEC), i;
	static char page[PAGE];
	bool done = false;
	char *map;

	if (uffd < 0 || fd < 0 || ftruncate(fd, PIECE))
		goto out;
	map = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		goto out;
	ioctl(uffd, UFFDIO_API, &api);
	ioctl(uffd, UFFDIO_REGISTER, &(struct uffdio_register) {
		.range = { (unsigned long)map, PIECE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	});
	for (i = 0; i < 64; i++)
		done |= !ioctl(uffd, UFFDIO_COPY, &(struct uffdio_copy) {
			.dst = (unsigned long)map + below(PIECE / PAGE) * PAGE,
			.src = (unsigned long)page, .len = PAGE,
		});
	munmap(map, PIECE);
out:
	close(uffd);
	close(fd);
	return done;
}

/*
 * A part of memory goes offline, if it can in a second, and comes back. Whether it can is
 * chance; that it is tried is what matters.
 */
static bool hotplug(void)
{
	char path[80];
	pid_t pid;

	snprintf(path, sizeof(path), MEMORY_BLOCK, (unsigned int)below(MEMORY_BLOCKS));
	/* A kexec waits for it, and it ends with a signal. */
	pid = fork();
	if (!pid) {
		/* The others' files are to go when they close them. */
		close_range(3, ~0U, 0);
		alarm(1);
		text_write(path, "offline");
		_exit(0);
	}
	if (pid < 0)
		return false;
	waitpid(pid, NULL, 0);
	text_write(path, "online");
	usleep(below(100000));
	return true;
}

static const struct {
	const char *name;
	bool (*what)(void);
} doings[UNREST_NR] = {
	{ "resize", resize }, { "lend", lend }, { "pack", pack },
	{ "take memory", other_memory }, { "churn one", churn_one },
	{ "churn two", churn_two }, { "churn a plain one", churn_plain },
	{ "churn a tree", churn_tree }, { "poke", poke }, { "poke more", poke },
	{ "copy pages", copy_pages }, { "take memory offline", hotplug },
};

struct doing {
	bool (*what)(void);
	struct unrest_counter *counter;
	__u64 seed;
};

static void *keep_doing(void *arg)
{
	const struct doing *doing = arg;

	chance_go_on(doing->seed);
	for (;;)
		if (doing->what())
			doing->counter->done++;
		else
			doing->counter->failed++;
	return NULL;
}

void unrest_start(const int *fds, unsigned int nr, struct unrest_counter *counters)
{
	static struct doing all[UNREST_NR];
	pthread_t thread;
	size_t i;

	preserved = fds;
	nr_preserved = nr;
	device = preserve_device_open();
	require(device >= 0, "open LUO's device: %d", device);
	for (i = 0; i < UNREST_NR; i++) {
		all[i] = (struct doing) {
			doings[i].what, &counters[i], below(1ULL << 50),
		};
		require(!pthread_create(&thread, NULL, keep_doing, &all[i]),
			"start a thread");
	}
}

unsigned int unrest_show(const struct unrest_counter *counters)
{
	unsigned int i, idle = 0;

	for (i = 0; i < UNREST_NR; i++) {
		ksft_print_msg("%s: done %llu times, failed %llu times\n",
			       doings[i].name, (unsigned long long)counters[i].done,
			       (unsigned long long)counters[i].failed);
		idle += !counters[i].done;
	}
	return idle;
}

void unrest_drop(void)
{
	int session;
	size_t i;

	device = preserve_device_open();
	for (i = 0; i < STAGE_COUNT(sessions); i++) {
		session = preserve_session_retrieve(device, sessions[i]);
		if (session < 0)
			continue;
		close(preserve_session_get_fd(session, 1));
		stage_session_finish(session);
	}
	close(device);
}
