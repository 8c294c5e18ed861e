// SPDX-License-Identifier: GPL-2.0-only
/*
 * admit_plain is set to 0 while another thread is about to preserve a plain memfd: from
 * then on no plain file comes into the pool. The thread waits for the inode, which a
 * writer holds whose source is a page that userfaultfd keeps back.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load.h"
#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"

#define SIZE	KIB(64)
#define PAGE	KIB(4)

/* A writer in the middle of pwrite(), with the inode locked. */
struct holder {
	pthread_t thread;
	int uffd;
	int fd;
	char *source;
};

struct adder {
	pthread_t thread;
	pid_t tid;
	int session;
	int fd;
	int err;
};

static void *hold_main(void *arg)
{
	struct holder *h = arg;

	check(pwrite(h->fd, h->source, PAGE, 0) == (ssize_t)PAGE, "the writer writes");
	return NULL;
}

/* Until the page is asked for. */
static void hold(struct holder *h, int fd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_msg msg;

	h->fd = fd;
	h->source = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	h->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	require(h->source != MAP_FAILED && h->uffd >= 0, "userfaultfd");
	reg.range.start = (unsigned long)h->source;
	reg.range.len = PAGE;
	require(!ioctl(h->uffd, UFFDIO_API, &api) &&
		!ioctl(h->uffd, UFFDIO_REGISTER, &reg), "register the source");
	require(!pthread_create(&h->thread, NULL, hold_main, h), "start the writer");
	require(read(h->uffd, &msg, sizeof(msg)) == sizeof(msg), "the writer waits");
}

static void release(struct holder *h)
{
	static char page[PAGE];
	struct uffdio_copy copy = {
		.dst = (unsigned long)h->source,
		.src = (unsigned long)page,
		.len = PAGE,
	};

	require(!ioctl(h->uffd, UFFDIO_COPY, &copy), "let the writer go on");
	pthread_join(h->thread, NULL);
	close(h->uffd);
	munmap(h->source, PAGE);
}

static void *add_main(void *arg)
{
	struct adder *a = arg;

	__atomic_store_n(&a->tid, gettid(), __ATOMIC_RELEASE);
	a->err = preserve_session_add_fd(a->session, a->fd, 1);
	return NULL;
}

/* Does a thread sleep where no signal wakes it? */
static bool waits(pid_t tid)
{
	char path[64], text[256] = "", *state;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	require(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0, "%s", path);
	close(fd);
	state = strrchr(text, ')');
	return state && state[2] == 'D';
}

/* Until it waits for the inode. */
static void add_later(struct adder *a, int session, int fd)
{
	a->session = session;
	a->fd = fd;
	require(!pthread_create(&a->thread, NULL, add_main, a), "start a thread");
	while (!__atomic_load_n(&a->tid, __ATOMIC_ACQUIRE) || !waits(a->tid))
		usleep(1000);
}

static int make(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	require(fd >= 0 && !pattern_write(fd, 1, 0, SIZE), "create %s", name);
	return fd;
}

/* It has read 1, and finds 0 with the inode locked. */
static void stays_out(void)
{
	int fd = make("late"), session = stage_session_create("late");
	struct adder a = {};
	struct holder h;

	hold(&h, fd);
	add_later(&a, session, fd);
	check(!pool_set("admit_plain", 0), "plain files stay out from now on");
	release(&h);
	pthread_join(a.thread, NULL);
	check(a.err == -EAGAIN, "late: the file is not preserved: %d", a.err);
	check(!pool_counter("files"), "late: no file is the pool's");
	check(!place_is_ours(fd), "late: nor is this one");
	check(!preserve_session_add_fd(session, fd, 1), "late: LUO preserves it");
	check(!pool_counter("files"), "late: in its own format");
	close(session);
	close(fd);
}

/* While the pool has it preserved a second session is told so; after that it is LUO's. */
static void leaves(void)
{
	int fd = make("left"), first = stage_session_create("first");
	int second = stage_session_create("second");
	struct adder a = {};
	struct holder h;

	check(!pool_set("admit_plain", 1), "plain files are the pool's");
	check(!preserve_session_add_fd(first, fd, 1), "left: the pool has it");
	check(!pool_set("admit_plain", 0), "plain files stay out");
	hold(&h, fd);
	add_later(&a, second, fd);
	release(&h);
	pthread_join(a.thread, NULL);
	check(a.err == -EBUSY, "left: it is preserved already: %d", a.err);
	close(first);
	check(!preserve_session_add_fd(second, fd, 1), "left: LUO preserves it");
	check(!pool_counter("files"), "left: no file is the pool's");
	close(second);
	close(fd);
}

static void before(void)
{
	stays_out();
	leaves();
}

static const stage_fn stages[] = { before };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
