// SPDX-License-Identifier: GPL-2.0-only
/* See unrest.h. Each thread does one thing over and over; errors do not matter. */

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
#include "liveupdate.h"
#include "load.h"
#include "memory.h"
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

static const char *const sessions[] = {
	"pool 1", "pool 2", "plain", "tree",
};

static void resize(void)
{
	/* What is in use cannot leave, and memory may be short. */
	pool_set("size", below(LARGEST));
}

static void lend(void)
{
	pool_set("lend", below(2));
}

static void pack(void)
{
	pool_set("compact", 1);
	usleep(below(50000));
}

/* Takes what is lent, and gives it back. */
static void other_memory(void)
{
	size_t length = PAGE + below(OTHER_MEMORY), at;
	char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return;
	for (at = 0; at < length; at += PAGE)
		memory[at] = 1;
	munmap(memory, length);
}

/* Preserves a file or a tree in a session of that name, changes it, and drops it. */
static void preserve_for_a_moment(const char *name, int fd, int written)
{
	int device = preserve_device_open(), i;
	int session = preserve_session_create(device, name);

	if (session >= 0)
		preserve_session_add_fd(session, fd, 1);
	for (i = 0; i < 16; i++)
		pattern_write(written, 1, below(2048) * PAGE, PAGE);
	close(session);
	close(device);
}

static void churn(const char *name, int fd)
{
	int i;

	for (i = 0; i < 64; i++)
		pattern_write(fd, 1, below(2048) * PAGE, PAGE);
	preserve_for_a_moment(name, fd, fd);
	close(fd);
}

static void churn_one(void)
{
	churn(sessions[0], preserve_memfd_create("churn", MFD_CLOEXEC));
}

static void churn_two(void)
{
	churn(sessions[1], preserve_memfd_create("churn", MFD_CLOEXEC));
}

/* Its memory moves into the pool, for a while or for good. */
static void churn_plain(void)
{
	int fd = memfd_create("plain", MFD_CLOEXEC);

	pattern_write(fd, 1, 0, below(PIECE));
	if (!below(3))
		preserve_memfd_enter(fd);
	churn(sessions[2], fd);
}

static void churn_tree(void)
{
	int root, fd, i;

	mkdir(TREE, 0755);
	if (mount("none", TREE, "tmpfs", 0, below(2) ? "preserve" : ""))
		return;
	for (i = 0; i < 8; i++) {
		char path[64];

		snprintf(path, sizeof(path), TREE "/%d", i);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		pattern_write(fd, 1, 0, below(PIECE));
		if (i < 7)
			close(fd);
	}
	root = tree_open(TREE);
	preserve_for_a_moment(sessions[3], root, fd);
	close(root);
	close(fd);
	umount2(TREE, MNT_DETACH);
}

/* What mappings of a file can bring about: folios become huge, move, are read. */
static void poke(void)
{
	static const int advice[] = {
		MADV_COLLAPSE, MADV_PAGEOUT, MADV_COLD, MADV_WILLNEED,
		MADV_POPULATE_READ, MADV_HUGEPAGE,
	};
	int fd = preserved[below(nr_preserved)];
	unsigned long nodes = 1 + below(3);
	struct stat st;
	char *map;

	if (fstat(fd, &st) || !st.st_size)
		return;
	map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return;
	if (below(2))
		madvise(map, st.st_size, MADV_POPULATE_READ);
	if (below(3))
		madvise(map, st.st_size, advice[below(STAGE_COUNT(advice))]);
	else
		syscall(SYS_mbind, map, st.st_size, MPOL_BIND_MODE, &nodes, 8UL,
			MPOL_MOVE);
	munmap(map, st.st_size);
}

/* userfaultfd puts pages into a file of the pool. */
static void copy_pages(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	int fd = preserve_memfd_create("copied", MFD_CLOEXEC), i;
	static char page[PAGE];
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
		ioctl(uffd, UFFDIO_COPY, &(struct uffdio_copy) {
			.dst = (unsigned long)map + below(PIECE / PAGE) * PAGE,
			.src = (unsigned long)page, .len = PAGE,
		});
	munmap(map, PIECE);
out:
	close(uffd);
	close(fd);
}

/* A part of memory goes offline, if it can in a second, and comes back. */
static void hotplug(void)
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
	if (pid > 0)
		waitpid(pid, NULL, 0);
	text_write(path, "online");
	usleep(below(100000));
}

static void (*const doings[])(void) = {
	resize, lend, pack, other_memory, churn_one, churn_two, churn_plain, churn_tree,
	poke, poke, copy_pages, hotplug,
};

struct doing {
	void (*what)(void);
	__u64 seed;
};

static void *keep_doing(void *arg)
{
	const struct doing *doing = arg;

	chance_go_on(doing->seed);
	for (;;)
		doing->what();
	return NULL;
}

void unrest_start(const int *fds, unsigned int nr)
{
	static struct doing all[STAGE_COUNT(doings)];
	pthread_t thread;
	size_t i;

	preserved = fds;
	nr_preserved = nr;
	for (i = 0; i < STAGE_COUNT(doings); i++) {
		all[i] = (struct doing) { doings[i], below(1ULL << 50) };
		require(!pthread_create(&thread, NULL, keep_doing, &all[i]),
			"start a thread");
	}
}

void unrest_drop(void)
{
	int device = preserve_device_open(), session;
	size_t i;

	for (i = 0; i < STAGE_COUNT(sessions); i++) {
		session = preserve_session_retrieve(device, sessions[i]);
		if (session < 0)
			continue;
		close(preserve_session_get_fd(session, 1));
		stage_session_finish(session);
	}
	close(device);
}
