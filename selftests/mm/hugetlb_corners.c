// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every way to a huge page that has crossed and is not in the page cache yet: read, mappings,
 * copy on write, fork, mremap, fallocate, holes, truncation, userfaultfd; a page that came
 * into a hole after its file was preserved; a file that nobody retrieves; one whose size is no
 * multiple of a page's. Packing the pool and taking memory offline leave them alone.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "books.h"
#include "huge.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"corners"
#define MEMORY		"/sys/devices/system/memory"
#define COMPACT		"/sys/kernel/mm/preserve/compact"
#define PACE		"/sys/kernel/mm/preserve/restore_pace"
#define PAGE		MIB(2)
#define SEED		3
#define ASKED		128

/* Files, by their token. */
enum { LATE = 1, TOUCHED, CUT, CLOSED, UFFD, LEFT, PUD, ODD, HIGH, NR_TOKENS };

static const unsigned int pages[NR_TOKENS] = {
	[LATE] = 4, [TOUCHED] = 9, [CUT] = 6, [CLOSED] = 3, [UFFD] = 4, [LEFT] = 5, [PUD] = 1024,
};

/* Pages in use, when the late one is there. */
#define IN_USE	(2 + 9 + 6 + 3 + 3 + 5 + 3 + 2 + 1)

static char *map_page(int fd, unsigned int at, int flags)
{
	char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd,
			 at * PAGE);

	require(map != MAP_FAILED, "map page %u: %s", at, strerror(errno));
	return map;
}

/* The last result of taking the memory block of a page offline. */
static int offline(const void *page)
{
	unsigned long long block = 0;
	FILE *file = fopen(MEMORY "/block_size_bytes", "re");
	char path[96];

	require(file && fscanf(file, "%llx", &block) == 1 && block, "size of a memory block");
	fclose(file);
	snprintf(path, sizeof(path), MEMORY "/memory%llu/online",
		 (unsigned long long)place_pfn(page) * 4096 / block);
	return text_write(path, "0");
}

/*
 * What moves other memory away gives up at once. Some memory blocks cannot be asked, as they
 * have holes: the file has pages in another one.
 */
static void stays(int fd, const char *when)
{
	char *map = map_page(fd, 0, MAP_SHARED);
	__u64 pfn;
	int err;

	place_touch(map);
	pfn = place_pfn(map);
	err = offline(map);
	check(err == -EBUSY, "%s: its memory does not go offline: %d", when, err);
	err = text_write(COMPACT, "1");
	check((!err || err == -EBUSY) && place_pfn(map) == pfn, "%s: packing leaves it alone: %d",
	      when, err);
	munmap(map, PAGE);
	check(huge_check(fd, SEED, 0, 1, PAGE), "%s: it is as it was", when);
}

/* A file with one page, and not in a memory block that cannot be asked. */
static int make_high(void)
{
	int kept[ASKED], fd, err;
	unsigned int nr = 0;
	char *map;

	do {
		fd = huge_memfd("corner", PAGE, MFD_PRESERVE);
		require(fd >= 0 && !ftruncate(fd, PAGE), "make");
		huge_fill(fd, SEED, 0, 1, PAGE);
		map = map_page(fd, 0, MAP_SHARED);
		place_touch(map);
		err = offline(map);
		munmap(map, PAGE);
		kept[nr++] = fd;
	} while (err == -EINVAL && nr < ASKED);
	/* The others have kept their pages until now. */
	for (nr--; nr; nr--)
		close(kept[nr - 1]);
	return fd;
}

static int file_make(int token)
{
	int fd;

	if (token == HIGH)
		return make_high();
	fd = huge_memfd("corner", PAGE, token == CUT ? 0 : MFD_PRESERVE);
	require(fd >= 0 && !ftruncate(fd, pages[token] * PAGE), "make file %d", token);
	switch (token) {
	case LATE:
		huge_fill(fd, SEED, 0, 1, PAGE);
		break;
	case ODD:
		require(!fallocate(fd, 0, 0, MIB(3)), "allocate 3 MiB");
		break;
	case UFFD:
		huge_fill(fd, SEED, 0, 3, PAGE);
		break;
	case PUD:
		huge_fill(fd, SEED, 1, 2, PAGE);
		huge_fill(fd, SEED, 700, 1, PAGE);
		break;
	default:
		huge_fill(fd, SEED, 0, pages[token], PAGE);
	}
	return fd;
}

static void run_before(void)
{
	int session = stage_session_create(SESSION), fds[NR_TOKENS], token, err;

	for (token = LATE; token < NR_TOKENS; token++) {
		fds[token] = file_make(token);
		if (token == HIGH)
			stays(fds[token], "made");
		err = preserve_session_add_fd(session, fds[token], token);
		require(!err, "preserve file %d: %d", token, err);
	}
	stays(fds[HIGH], "preserved");
	huge_fill(fds[LATE], SEED, 2, 1, PAGE);
	books_check(PAGE, (struct books){ ASKED, ASKED - IN_USE, 0, 0 }, "before");
}

static void late(int fd)
{
	check(huge_check(fd, SEED, 0, 1, PAGE) && huge_is_hole(fd, 1, PAGE) &&
	      huge_check(fd, SEED, 2, 1, PAGE) && huge_is_hole(fd, 3, PAGE),
	      "a page that came after preserve has crossed, and nothing else has");
}

static void private_mapping(int fd, unsigned int at)
{
	char *shared = map_page(fd, at, MAP_SHARED), *map = map_page(fd, at, MAP_PRIVATE);
	char first;

	map[5] ^= 1;
	first = map[6];
	check(map[5] != shared[5] && first == shared[6],
	      "a private mapping has what has crossed, and writes to a copy");
	munmap(map, PAGE);
	munmap(shared, PAGE);
	check(huge_check(fd, SEED, at, 1, PAGE), "the file stays as it is");
}

static void forked(int fd, unsigned int at)
{
	char *map = map_page(fd, at, MAP_SHARED);
	pid_t pid = fork();

	if (!pid) {
		map[9] ^= 1;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	map[9] ^= 1;
	munmap(map, PAGE);
	check(huge_check(fd, SEED, at, 1, PAGE), "a child writes to the same page");
}

static void moved(int fd, unsigned int at)
{
	char *map = map_page(fd, at, MAP_SHARED), *to = map_page(fd, 0, MAP_SHARED), byte;

	require(pread(fd, &byte, 1, at * PAGE + 77) == 1, "read");
	map = mremap(map, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	check(map == to && map[77] == byte, "a mapping that moves finds it");
	munmap(map, PAGE);
}

/* Asks that the background makes nothing. */
static void touched(int fd)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	__s64 all = file_allocated(fd);

	check(all == 9 * (__s64)PAGE, "what is not made counts: %lld bytes", (long long)all);
	check(pool_counter("unrestored") > 0, "nothing is made yet");
	check(huge_check(fd, SEED, 0, 1, PAGE), "read() finds it");
	check(huge_check_mapped(fd, SEED, 1, 1, PAGE), "a shared mapping finds it");
	private_mapping(fd, 2);
	forked(fd, 3);
	check(!fallocate(fd, 0, 4 * PAGE, PAGE) && huge_check(fd, SEED, 4, 1, PAGE),
	      "fallocate() leaves it alone");
	check(!fallocate(fd, punch, 5 * PAGE, PAGE) && huge_is_hole(fd, 5, PAGE) &&
	      file_allocated(fd) == all - (__s64)PAGE, "a hole is punched into it");
	check(!fallocate(fd, punch, 6 * PAGE + 4096, 4096) &&
	      range_is_zero(fd, 6 * PAGE + 4096, 4096), "a part of it is zeroed");
	huge_fill(fd, SEED, 5, 1, PAGE);
	moved(fd, 7);
	check(huge_check(fd, SEED, 5, 1, PAGE) && huge_check(fd, SEED, 7, 2, PAGE) &&
	      file_allocated(fd) == all, "all is as it should be");
}

static void cut(int fd)
{
	__s64 free = books_read(PAGE, "uncut").free;

	check(!ftruncate(fd, 2 * PAGE) && file_allocated(fd) == 2 * (__s64)PAGE,
	      "truncation frees what is not made");
	check(books_read(PAGE, "cut").free == free + 4, "its pages are free");
	check(!ftruncate(fd, 6 * PAGE) && huge_is_hole(fd, 5, PAGE) &&
	      huge_check(fd, SEED, 0, 2, PAGE), "what grows again is a hole");
}

static void *toucher(void *at)
{
	return (void *)(long)*(volatile char *)at;
}

static int uffd_open(void)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = {
		.api = UFFD_API, .features = UFFD_FEATURE_MINOR_HUGETLBFS |
					     UFFD_FEATURE_MISSING_HUGETLBFS,
	};

	require(fd >= 0 && !ioctl(fd, UFFDIO_API, &api), "userfaultfd: %s", strerror(errno));
	return fd;
}

static void minor_fault(int uffd, int fd, unsigned int at)
{
	char *map = map_page(fd, at, MAP_SHARED), byte;
	struct uffdio_register reg = {
		.range = { (unsigned long)map, PAGE }, .mode = UFFDIO_REGISTER_MODE_MINOR,
	};
	struct uffdio_continue cont = { .range = reg.range };
	struct uffd_msg msg = {};
	pthread_t thread;
	void *got;

	require(!ioctl(uffd, UFFDIO_REGISTER, &reg), "register: %s", strerror(errno));
	require(!pthread_create(&thread, NULL, toucher, map + 123), "thread");
	while (read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		usleep(1000);
	check(msg.event == UFFD_EVENT_PAGEFAULT &&
	      msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR,
	      "what has crossed is a minor fault");
	check(!ioctl(uffd, UFFDIO_CONTINUE, &cont), "and can go on: %s", strerror(errno));
	pthread_join(thread, &got);
	check(pread(fd, &byte, 1, at * PAGE + 123) == 1 && byte == (char)(long)got,
	      "with its content");
	munmap(map, PAGE);
}

static int copy(int uffd, char *map, void *from)
{
	struct uffdio_copy arg = {
		.dst = (unsigned long)map, .src = (unsigned long)from, .len = PAGE,
	};

	return ioctl(uffd, UFFDIO_COPY, &arg) ? errno : 0;
}

static void missing(int uffd, int fd)
{
	char *map = map_page(fd, 1, MAP_SHARED), *hole = map_page(fd, 3, MAP_SHARED);
	char *from = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	struct uffdio_register reg = {
		.range = { (unsigned long)map, PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int err;

	require(from != MAP_FAILED, "memory");
	memset(from, 0x55, PAGE);
	require(!ioctl(uffd, UFFDIO_REGISTER, &reg), "register: %s", strerror(errno));
	err = copy(uffd, map, from);
	check(err == EEXIST && huge_check(fd, SEED, 1, 1, PAGE),
	      "nothing is copied over what has crossed: %d", err);
	reg.range.start = (unsigned long)hole;
	require(!ioctl(uffd, UFFDIO_REGISTER, &reg), "register: %s", strerror(errno));
	err = copy(uffd, hole, from);
	check(!err && hole[4711] == 0x55, "a hole is filled: %d", err);
	munmap(map, PAGE);
	munmap(hole, PAGE);
	munmap(from, PAGE);
}

static void uffd(int fd)
{
	int uffd = uffd_open();

	minor_fault(uffd, fd, 0);
	missing(uffd, fd);
	close(uffd);
	check(huge_check(fd, SEED, 0, 3, PAGE), "the others are as they were");
}

/* Large enough for the two processes to share page tables; whether they do is not seen here. */
static void wide_mapping(int fd)
{
	const size_t length = 1024 * PAGE;
	char *at = mmap(NULL, GIB(3), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0), *map, seen = 0;
	pid_t pid;
	int status;

	at = (char *)(((unsigned long)at + GIB(1) - 1) & ~(GIB(1) - 1));
	map = mmap(at, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
		   fd, 0);
	require(map == at, "map 2 GiB: %s", strerror(errno));
	seen = map[PAGE + 3];
	pid = fork();
	if (!pid) {
		place_touch(map + 2 * PAGE);
		place_touch(map + 700 * PAGE);
		_exit(map[PAGE + 3] != seen);
	}
	check(waitpid(pid, &status, 0) == pid && !status, "a child finds the same in 2 GiB");
	munmap(map, length);
	check(huge_check(fd, SEED, 1, 2, PAGE) && huge_check(fd, SEED, 700, 1, PAGE) &&
	      huge_is_hole(fd, 699, PAGE), "and the content is right");
}

static void run_after(void)
{
	int session, fds[NR_TOKENS], token;

	require(!text_write(PACE, "0"), "stop the background");
	session = stage_session_retrieve(SESSION);
	books_check(PAGE, (struct books){ ASKED, ASKED - IN_USE, 0, 0 }, "retrieving");
	for (token = LATE; token < NR_TOKENS; token++) {
		if (token == LEFT)
			continue;
		fds[token] = preserve_session_get_fd(session, token);
		require(fds[token] >= 0, "retrieve file %d: %d", token, fds[token]);
	}
	late(fds[LATE]);
	touched(fds[TOUCHED]);
	cut(fds[CUT]);
	close(fds[CLOSED]);
	uffd(fds[UFFD]);
	wide_mapping(fds[PUD]);
	check(lseek(fds[ODD], 0, SEEK_END) == MIB(3) && file_allocated(fds[ODD]) == 2 * PAGE &&
	      range_is_zero(fds[ODD], 0, MIB(3)), "a size of one page and a half");
	stays(fds[HIGH], "retrieved");
	stage_session_finish(session);
	/* Cut: 4. Closed: 3. Left: 5. One has come by a copy. */
	books_check(PAGE, (struct books){ ASKED, ASKED - IN_USE + 4 + 3 + 5 - 1, 0, 0 },
		    "finished");
	for (token = LATE; token < NR_TOKENS; token++)
		if (token != LEFT && token != CLOSED)
			close(fds[token]);
	books_check(PAGE, (struct books){ ASKED, ASKED, 0, 0 }, "closed");
	check(!pool_counter("unrestored"), "nothing is left");
}

int main(void)
{
	static const stage_fn stages[] = { run_before, run_after };

	return stage_run(stages, STAGE_COUNT(stages));
}
