// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page of a plain memfd that is allocated before the memfd is preserved, and is to come
 * into a hole afterwards: its owner can hold it up for as long as he likes, with
 * userfaultfd. The file crosses, and the page that comes is one of the pool.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define PAGE	KIB(4)
#define SEED	3
#define SIZE	MIB(1)
#define HOLE	KIB(32)
#define TOKEN	1

static int watch(void *at)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (unsigned long)at, PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	require(fd >= 0 && !ioctl(fd, UFFDIO_API, &api) &&
		!ioctl(fd, UFFDIO_REGISTER, &reg), "userfaultfd");
	return fd;
}

static int copy(int fd, void *to, const void *from)
{
	struct uffdio_copy copy = {
		.dst = (unsigned long)to, .src = (unsigned long)from, .len = PAGE,
	};

	return ioctl(fd, UFFDIO_COPY, &copy) ? -errno : 0;
}

struct copier {
	int fd;
	void *to;
	const void *from;
	int result;
};

static void *copier_run(void *arg)
{
	struct copier *copier = arg;

	copier->result = copy(copier->fd, copier->to, copier->from);
	return NULL;
}

static void before(void)
{
	int session = stage_session_create("late"), fd = memfd_create("late", MFD_CLOEXEC);
	static char page[PAGE];
	struct copier copier;
	pthread_t thread;
	struct pollfd wait;
	void *to, *from;

	memset(page, 'x', sizeof(page));
	require(fd >= 0 && !ftruncate(fd, SIZE) && !pattern_write(fd, SEED, 0, PAGE),
		"a memfd with holes");
	to = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, HOLE);
	from = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	require(to != MAP_FAILED && from != MAP_FAILED, "map");
	copier = (struct copier) { .fd = watch(to), .to = to, .from = from };
	wait = (struct pollfd) { .fd = watch(from), .events = POLLIN };
	require(!pthread_create(&thread, NULL, copier_run, &copier), "a thread");
	/* It has the page, and waits for what it is to copy into it. */
	require(poll(&wait, 1, -1) == 1, "the page is allocated");

	require(!preserve_session_add_fd(session, fd, TOKEN), "preserve");
	check(place_is_ours(fd), "the memfd is in the pool");
	require(!copy(wait.fd, from, page), "let it go on");
	require(!pthread_join(thread, NULL), "join");
	check(copier.result == -EAGAIN, "the page does not come: %d", copier.result);
	check(!copy(copier.fd, to, page), "one of the pool comes, the next time");
	check(!place_fdinfo(fd, "preserve-map-stale"), "its map has all of it");
	check(!pattern_write(fd, SEED, HOLE + PAGE, PAGE), "other holes can be filled");
}

static void after(void)
{
	int session = stage_session_retrieve("late");
	int fd = preserve_session_get_fd(session, TOKEN);
	char page[PAGE];
	bool same;

	require(fd >= 0, "retrieve: %d", fd);
	check(!pattern_check(fd, SEED, 0, PAGE) && !pattern_check(fd, SEED, HOLE + PAGE, PAGE),
	      "content");
	same = pread(fd, page, PAGE, HOLE) == PAGE;
	for (unsigned int i = 0; i < PAGE; i++)
		same &= page[i] == 'x';
	check(same, "and what came late");
	close(fd);
	stage_session_finish(session);
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
