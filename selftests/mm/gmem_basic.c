// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest_memfd files of many shapes go through two kexecs in a row, made for the pool or not:
 * content, holes, size, flags and name are as they were. What is retrieved is no VM's: the
 * first one of its type that makes a memory slot of it has it. The pool has every page back
 * when the files are closed.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/kho/abi/preserve.h>

#include "memory.h"
#include "place.h"
#include "preserve.h"
#include "stage.h"
#include "vmm.h"

#define SESSION		"gmem-basic"
#define PAGE		PLACE_PAGE
#define MAX_PARTS	6
#define SHAPES		STAGE_COUNT(shapes)

struct part {
	__u64 offset;
	__u64 length;
};

/*
 * @gaps is what fallocate() has given the file, without content. Files that cannot be mapped
 * have nothing else.
 */
struct shape {
	const char *name;
	unsigned long type;
	__u64 flags;
	__u64 size;
	struct part parts[MAX_PARTS];
	struct part gaps[MAX_PARTS];
};

#define POOL	(VMM_SHARED | GUEST_MEMFD_FLAG_PRESERVE)

static const struct shape shapes[] = {
	{
		.name = "empty",
		.flags = POOL,
		.size = MIB(2),
	}, {
		.name = "full",
		.flags = POOL,
		.size = MIB(4),
		.parts = { { 0, MIB(4) } },
	}, {
		.name = "holes",
		.flags = POOL,
		.size = MIB(8),
		.parts = { { 0, PAGE }, { 3 * PAGE, PAGE }, { MIB(3), MIB(1) },
			   { MIB(8) - PAGE, PAGE } },
		.gaps = { { 8 * PAGE, 4 * PAGE } },
	}, {
		.name = "large",
		.flags = POOL,
		.size = TIB(1),
		.parts = { { 0, PAGE }, { GIB(512), MIB(1) }, { TIB(1) - PAGE, PAGE } },
	}, {
		.name = "plain",
		.flags = VMM_SHARED,
		.size = MIB(4),
		.parts = { { PAGE, MIB(1) }, { MIB(3), PAGE } },
		.gaps = { { MIB(2), 16 * PAGE } },
	}, {
		.name = "plain and empty",
		.flags = VMM_SHARED,
		.size = MIB(4),
	}, {
		.name = "private",
		.type = VMM_PRIVATE,
		.flags = GUEST_MEMFD_FLAG_PRESERVE,
		.size = MIB(2),
		.gaps = { { 0, MIB(1) } },
	}, {
		.name = "private and plain",
		.type = VMM_PRIVATE,
		.size = MIB(2),
		.gaps = { { PAGE, MIB(1) } },
	},
};

enum { TOKEN_STATE = 1, TOKEN_FILES };

static bool can_be_mapped(const struct shape *shape)
{
	return shape->flags & GUEST_MEMFD_FLAG_MMAP;
}

static void *map(int fd, const struct part *part)
{
	return place_map(fd, part->offset, part->length);
}

static __u64 parts_pages(const struct shape *shape)
{
	__u64 pages = 0;
	int i;

	for (i = 0; i < MAX_PARTS; i++)
		pages += (shape->parts[i].length + shape->gaps[i].length) / PAGE;
	return pages;
}

static int make(const struct shape *shape, unsigned int seed)
{
	const struct part *part;
	struct vmm vmm;
	int fd;

	require(!vmm_create(&vmm, shape->type), "a machine");
	fd = vmm_gmem(&vmm, shape->size, shape->flags);
	require(fd >= 0, "%s: create: %s", shape->name, strerror(-fd));
	for (part = shape->parts; part->length; part++) {
		void *at = map(fd, part);

		pattern_fill(at, seed, part->offset, part->length);
		munmap(at, part->length);
	}
	for (part = shape->gaps; part->length; part++)
		require(!fallocate(fd, FALLOC_FL_KEEP_SIZE, part->offset, part->length),
			"%s: fallocate: %s", shape->name, strerror(errno));
	vmm_destroy(&vmm);
	return fd;
}

/* What is behind a part and before the next: 64 pages of it, which mincore() must not see. */
static bool hole_follows(int fd, const struct shape *shape, const struct part *part)
{
	struct part hole = { part->offset + part->length, 64 * PAGE };
	unsigned char seen[64];
	bool is_hole;
	void *at;
	int i;

	for (i = 0; i < MAX_PARTS; i++) {
		if (shape->parts[i].length && shape->parts[i].offset >= hole.offset &&
		    shape->parts[i].offset < hole.offset + hole.length)
			hole.length = shape->parts[i].offset - hole.offset;
		if (shape->gaps[i].length && shape->gaps[i].offset >= hole.offset &&
		    shape->gaps[i].offset < hole.offset + hole.length)
			hole.length = shape->gaps[i].offset - hole.offset;
	}
	if (hole.offset + hole.length > shape->size || !hole.length)
		return true;
	at = map(fd, &hole);
	is_hole = !mincore(at, hole.length, seen) &&
		  !memchr(seen, 1, hole.length / PAGE);
	munmap(at, hole.length);
	return is_hole;
}

static bool content_is(int fd, const struct shape *shape, unsigned int seed)
{
	static const char zeroes[16 * PAGE];
	const struct part *part;
	bool good = true;
	void *at;

	for (part = shape->parts; good && part->length; part++) {
		at = map(fd, part);
		good = pattern_is(at, seed, part->offset, part->length) &&
		       hole_follows(fd, shape, part);
		munmap(at, part->length);
	}
	for (part = shape->gaps; good && part->length; part++) {
		at = map(fd, part);
		good = !memcmp(at, zeroes, part->length) && hole_follows(fd, shape, part);
		munmap(at, part->length);
	}
	return good;
}

static bool name_is(int fd)
{
	char link[64], got[64] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, got, sizeof(got) - 1) > 0 &&
	       !strcmp(got, "/[kvm-gmem] (deleted)");
}

/* Nothing here may allocate a page of the file. */
static void verify(int fd, const struct shape *shape, unsigned int seed, bool pool)
{
	struct stat st = {};
	void *at;

	check(!fstat(fd, &st) && (__u64)st.st_size == shape->size &&
	      (st.st_mode & 07777) == 0600, "%s: size and mode", shape->name);
	check(name_is(fd), "%s: name", shape->name);
	at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	check((at != MAP_FAILED) == can_be_mapped(shape), "%s: it can%s be mapped", shape->name,
	      can_be_mapped(shape) ? "" : "not");
	if (at != MAP_FAILED)
		munmap(at, PAGE);
	if (pool)
		check(place_fdinfo(fd, "preserve-pages") == (__s64)parts_pages(shape),
		      "%s: %llu pages", shape->name, (unsigned long long)parts_pages(shape));
	if (can_be_mapped(shape))
		check(content_is(fd, shape, seed), "%s: content and holes", shape->name);
	if (pool)
		check(place_fdinfo(fd, "preserve-pages") == (__s64)parts_pages(shape),
		      "%s: still as many", shape->name);
}

static void preserve_all(const int *fds, __s64 used)
{
	int session = stage_session_create(SESSION);
	int fd = preserve_memfd_create("state", 0);
	size_t i;

	require(fd >= 0 && pwrite(fd, &used, sizeof(used), 0) == sizeof(used) &&
		!preserve_session_add_fd(session, fd, TOKEN_STATE), "preserve the state");
	for (i = 0; i < SHAPES; i++) {
		int err = preserve_session_add_fd(session, fds[i], TOKEN_FILES + i);

		check(!err, "%s: preserve: %d", shapes[i].name, err);
		check(place_fdinfo(fds[i], "preserve-pages") == (__s64)parts_pages(&shapes[i]),
		      "%s: preserve fills no hole", shapes[i].name);
	}
}

static void make_all(void)
{
	const int flags = vmm_capability(KVM_CAP_GUEST_MEMFD_FLAGS);
	__s64 used = pool_used_at_rest();
	int fds[SHAPES];
	size_t i;

	check(flags & GUEST_MEMFD_FLAG_PRESERVE, "KVM says that it has the flag: %#x", flags);
	for (i = 0; i < SHAPES; i++) {
		fds[i] = make(&shapes[i], i);
		verify(fds[i], &shapes[i], i, shapes[i].flags & GUEST_MEMFD_FLAG_PRESERVE);
	}
	preserve_all(fds, used);
}

static __s64 retrieve_all(int *fds)
{
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, TOKEN_STATE);
	__s64 used;
	size_t i;

	require(fd >= 0 && pread(fd, &used, sizeof(used), 0) == sizeof(used), "the state");
	close(fd);
	for (i = 0; i < SHAPES; i++) {
		fds[i] = preserve_session_get_fd(session, TOKEN_FILES + i);
		require(fds[i] >= 0, "%s: retrieve: %d", shapes[i].name, fds[i]);
		verify(fds[i], &shapes[i], i, true);
	}
	stage_session_finish(session);
	check(!pool_counter("incoming"), "nothing is left behind");
	return used;
}

/* A slot of the first MiB of a file; 0 or a negative errno. */
static int bind_to(struct vmm *vmm, int fd, __u64 gpa, __u64 offset)
{
	struct vmm_slot slot = {
		.gpa = gpa, .size = MIB(1), .gmem = fd, .offset = offset,
		.host = mmap(NULL, MIB(1), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	};
	int err = vmm_slot_add(vmm, &slot);

	if (err)
		munmap(slot.host, MIB(1));
	return err;
}

static void bind_all(const int *fds)
{
	struct vmm plain[2], private;
	size_t i;

	require(!vmm_create(&plain[0], VMM_PLAIN) && !vmm_create(&plain[1], VMM_PLAIN) &&
		!vmm_create(&private, VMM_PRIVATE), "machines");
	for (i = 0; i < SHAPES; i++) {
		bool other = shapes[i].type == VMM_PRIVATE;
		struct vmm *right = other ? &private : &plain[0];
		struct vmm *wrong = other ? &plain[0] : &private;

		check(bind_to(wrong, fds[i], 0, 0) == -EINVAL,
		      "%s: a machine of another type does not get it", shapes[i].name);
		check(bind_to(right, fds[i], GIB(4), shapes[i].size) == -EINVAL,
		      "%s: nor does one that asks for more than there is", shapes[i].name);
		if (!other)
			check(!bind_to(&plain[1], fds[i], GIB(1 + i), 0),
			      "%s: a machine gets it", shapes[i].name);
		check(bind_to(&plain[0], fds[i], GIB(1 + i), 0) == -EINVAL,
		      "%s: a second one does not", shapes[i].name);
		check(bind_to(&plain[1], fds[i], GIB(64 + i), 0) == (other ? -EINVAL : -EEXIST),
		      "%s: no range twice", shapes[i].name);
	}
	vmm_destroy(&plain[0]);
	vmm_destroy(&plain[1]);
	vmm_destroy(&private);
}

static void go_on(void)
{
	int fds[SHAPES];
	__s64 used = retrieve_all(fds);

	preserve_all(fds, used);
}

static void end(void)
{
	int fds[SHAPES];
	__s64 used = retrieve_all(fds);
	size_t i;

	bind_all(fds);
	for (i = 0; i < SHAPES; i++) {
		check(fallocate(fds[i], FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0,
				shapes[i].size) == 0, "%s: it can be punched", shapes[i].name);
		check(!place_fdinfo(fds[i], "preserve-pages"), "%s: nothing is left of it",
		      shapes[i].name);
		close(fds[i]);
	}
	check(pool_counter("used") == used, "the pool has all pages back: %lld, was %lld",
	      (long long)pool_counter("used"), (long long)used);
}

static const stage_fn stages[] = { make_all, go_on, end };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
