// SPDX-License-Identifier: GPL-2.0-only
/*
 * MFD_PRESERVE memfds of many shapes go through two kexecs in a row: content,
 * holes, size, position, seals, flags, name, mode, owner and huge folios are
 * as they were, and the pool has every page back when the files are closed.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/kho/abi/preserve.h>
#include <linux/kho/abi/preserve_tree.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"

#define SESSION		"preserve-basic"
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define PAGE		KIB(4)
#define MAX_PARTS	12

struct part {
	__u64 offset;
	__u64 length;
};

struct shape {
	const char *name;
	__u64 size;
	__u64 pos;
	int seals;
	int flags;
	bool huge;
	mode_t mode;
	uid_t owner;
	struct part parts[MAX_PARTS];
};

static const struct shape shapes[] = {
	{
		.name = "empty",
	}, {
		.name = "full",
		.size = MIB(3) + 100,
		.pos = 12345,
		.flags = O_NONBLOCK,
		.parts = { { 0, MIB(3) + 100 } },
	}, {
		.name = "append",
		.size = PAGE,
		.flags = O_APPEND,
		.mode = 0640,
		.owner = 1000,
		.parts = { { 0, PAGE } },
	}, {
		.name = "sealed",
		.size = KIB(64),
		.seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
			 F_SEAL_SEAL,
		.parts = { { 0, KIB(64) } },
	}, {
		.name = "seals, no content",
		.size = KIB(64),
		.seals = F_SEAL_SHRINK,
	}, {
		.name = "holes",
		.size = MIB(8) + 1,
		.pos = MIB(9),
		.parts = {
			{ 0, PAGE }, { 3 * PAGE, PAGE }, { 5 * PAGE, 3 * PAGE },
			{ 512 * PAGE, 512 * PAGE }, { MIB(8), 1 },
		},
	}, {
		.name = "1 GiB with two pages",
		.size = GIB(1),
		.parts = { { 0, PAGE }, { GIB(1) - PAGE, PAGE } },
	}, {
		.name = "1 TiB with ten pages",
		.size = TIB(1),
		.pos = TIB(1),
		.parts = {
			{ 0, PAGE }, { GIB(1), PAGE }, { GIB(3), PAGE },
			{ GIB(64), PAGE }, { GIB(200) + PAGE, PAGE },
			{ GIB(400), PAGE }, { GIB(512) - PAGE, PAGE },
			{ GIB(512), PAGE }, { GIB(800), PAGE },
			{ TIB(1) - PAGE, PAGE },
		},
	}, {
		.name = "huge folios",
		.size = MIB(8),
		.huge = true,
		.parts = { { 0, MIB(2) }, { MIB(4), MIB(4) } },
	}, {
		.name = "one page",
		.size = PAGE,
		.parts = { { 0, PAGE } },
	},
};

/* What a stage knows of the one before it, beside the files themselves. */
struct state {
	__s64 used;
};

enum { TOKEN_STATE = 1, TOKEN_FILES };

static __u64 parts_bytes(const struct shape *shape)
{
	__u64 bytes = 0;
	int i;

	for (i = 0; i < MAX_PARTS; i++)
		bytes += (shape->parts[i].length + PAGE - 1) / PAGE * PAGE;
	return bytes;
}

static void allow_huge(const struct shape *shape)
{
	int err = text_write(SHMEM_ENABLED, shape->huge ? "always" : "never");

	require(!err, "set shmem_enabled: %d", err);
}

static int make(const struct shape *shape, int index)
{
	int fd = preserve_memfd_create(shape->name, MFD_ALLOW_SEALING);
	const struct part *part;

	require(fd >= 0, "%s: create: %d", shape->name, fd);
	allow_huge(shape);
	require(!ftruncate(fd, shape->size), "%s: size", shape->name);
	for (part = shape->parts; part->length; part++)
		require(!pattern_write(fd, index, part->offset, part->length),
			"%s: write at %llu", shape->name,
			(unsigned long long)part->offset);
	require(!shape->mode || !fchmod(fd, shape->mode), "mode");
	require(!shape->owner || !fchown(fd, shape->owner, shape->owner),
		"owner");
	require(!shape->seals || !fcntl(fd, F_ADD_SEALS, shape->seals),
		"%s: seals", shape->name);
	require(!fcntl(fd, F_SETFL, shape->flags), "%s: flags", shape->name);
	require(lseek(fd, shape->pos, SEEK_SET) == (off_t)shape->pos,
		"%s: position", shape->name);
	return fd;
}

static bool name_is(int fd, const char *name)
{
	char link[64], want[128], got[128] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	snprintf(want, sizeof(want), "/memfd:%s (deleted)", name);
	return readlink(link, got, sizeof(got) - 1) > 0 && !strcmp(got, want);
}

static bool content_is(int fd, const struct shape *shape, int index)
{
	const struct part *part;
	__u64 end = 0;

	for (part = shape->parts; part->length; part++) {
		if (pattern_check(fd, index, part->offset, part->length))
			return false;
		/* The hole before it, or the last MiB of that. */
		if (part->offset - end > MIB(1))
			end = part->offset - MIB(1);
		end = (end + PAGE - 1) / PAGE * PAGE;
		if (part->offset > end &&
		    lseek(fd, end, SEEK_DATA) != (off_t)part->offset)
			return false;
		end = part->offset + part->length;
	}
	return true;
}

static bool attributes_are(int fd, const struct shape *shape)
{
	int flags = O_APPEND | O_NONBLOCK | O_ACCMODE;
	struct stat st;

	if (fstat(fd, &st))
		return false;
	return (fcntl(fd, F_GETFL) & flags) == (shape->flags | O_RDWR) &&
	       (!shape->mode || (st.st_mode & 07777) == shape->mode) &&
	       st.st_uid == shape->owner && st.st_gid == shape->owner;
}

/* Nothing here may allocate a page of the file. */
static void verify(int fd, const struct shape *shape, int index)
{
	const char *name = shape->name;
	struct stat st = {};

	check(lseek(fd, 0, SEEK_CUR) == (off_t)shape->pos, "%s: position",
	      name);
	check(!fstat(fd, &st) && (__u64)st.st_size == shape->size, "%s: size",
	      name);
	check(fcntl(fd, F_GET_SEALS) == shape->seals, "%s: seals", name);
	check(attributes_are(fd, shape), "%s: flags, mode, owner", name);
	check(name_is(fd, name), "%s: name", name);
	check(file_allocated(fd) == (__s64)parts_bytes(shape),
	      "%s: %lld bytes allocated", name,
	      (long long)parts_bytes(shape));
	check(content_is(fd, shape, index), "%s: content and holes", name);
	lseek(fd, shape->pos, SEEK_SET);
}

static __u64 huge_bytes(void)
{
	__u64 bytes = 0;
	size_t i;

	for (i = 0; i < STAGE_COUNT(shapes); i++)
		bytes += shapes[i].huge ? parts_bytes(&shapes[i]) : 0;
	return bytes;
}

/* Preserves all files and what the next stage has to know. */
static void preserve_all(const int *fds, const struct state *state)
{
	int session = stage_session_create(SESSION);
	int fd = preserve_memfd_create("state", 0);
	size_t i;

	require(fd >= 0 && pwrite(fd, state, sizeof(*state), 0) ==
		(ssize_t)sizeof(*state), "write the state");
	require(!preserve_session_add_fd(session, fd, TOKEN_STATE),
		"preserve the state");
	for (i = 0; i < STAGE_COUNT(shapes); i++) {
		int err = preserve_session_add_fd(session, fds[i],
						  TOKEN_FILES + i);

		check(!err, "%s: preserve: %d", shapes[i].name, err);
		check(file_allocated(fds[i]) == (__s64)parts_bytes(&shapes[i]),
		      "%s: preserve fills no hole", shapes[i].name);
	}
	check(pool_counter("files") == (__s64)STAGE_COUNT(shapes) + 1,
	      "the pool counts the preserved files");
	check(pool_counter("preserved") > 0, "the pool counts their bytes");
}

static void make_all(void)
{
	struct state state = { .used = pool_used_at_rest() };
	int fds[STAGE_COUNT(shapes)];
	size_t i;

	require(state.used >= 0, "read the pool's counter: %lld",
		(long long)state.used);
	for (i = 0; i < STAGE_COUNT(shapes); i++) {
		fds[i] = make(&shapes[i], i);
		verify(fds[i], &shapes[i], i);
	}
	check(meminfo_bytes("ShmemHugePages") == (__s64)huge_bytes(),
	      "huge folios are used");
	preserve_all(fds, &state);
}

static void retrieve_all(int *fds, struct state *state)
{
	int session = stage_session_retrieve(SESSION);
	int fd = preserve_session_get_fd(session, TOKEN_STATE);
	size_t i;

	require(fd >= 0 && pread(fd, state, sizeof(*state), 0) ==
		(ssize_t)sizeof(*state), "read the state");
	close(fd);
	for (i = 0; i < STAGE_COUNT(shapes); i++) {
		fds[i] = preserve_session_get_fd(session, TOKEN_FILES + i);
		require(fds[i] >= 0, "%s: retrieve: %d", shapes[i].name,
			fds[i]);
		verify(fds[i], &shapes[i], i);
	}
	check(meminfo_bytes("ShmemHugePages") == (__s64)huge_bytes(),
	      "huge folios are huge");
	stage_session_finish(session);
	check(!pool_counter("incoming"), "nothing is left behind");
}

/* What a loader reads in the image of this kernel is what the kernel says of itself. */
static void formats_check(void)
{
	static const char * const handlers[] = {
		PRESERVE_MEMFD_COMPATIBLE, PRESERVE_TREE_COMPATIBLE,
		PRESERVE_HUGETLB_COMPATIBLE, PRESERVE_HUGETLBFS_COMPATIBLE,
	};
	char notes[8192], line[32], text[1024] = "";
	FILE *file = fopen("/sys/kernel/mm/preserve/abi", "re");
	ssize_t size;
	int fd;

	require(file && fread(text, 1, sizeof(text) - 1, file), "abi");
	fclose(file);
	text[strlen(text) - 1] = '\0';
	fd = open("/sys/kernel/notes", O_RDONLY | O_CLOEXEC);
	size = fd < 0 ? -1 : read(fd, notes, sizeof(notes));
	close(fd);
	check(size > 0 && memmem(notes, size, PRESERVE_ABI_NOTE, sizeof(PRESERVE_ABI_NOTE)) &&
	      memmem(notes, size, text, strlen(text) + 1),
	      "the note of the kernel's image says what sysfs says");
	snprintf(line, sizeof(line), "record %u compat", PRESERVE_FILE_VERSION);
	check(strstr(text, line), "it writes record %u", PRESERVE_FILE_VERSION);
	for (size_t i = 0; i < STAGE_COUNT(handlers); i++)
		check(strstr(text, handlers[i]), "it names %s", handlers[i]);
}

static void go_on(void)
{
	int fds[STAGE_COUNT(shapes)];
	struct state state;

	retrieve_all(fds, &state);
	preserve_all(fds, &state);
	formats_check();
}

static void end(void)
{
	int fds[STAGE_COUNT(shapes)], fd;
	struct state state;
	size_t i;

	retrieve_all(fds, &state);
	fd = fds[STAGE_COUNT(shapes) - 1];
	check(!pattern_write(fd, 99, 0, MIB(1)) &&
	      !pattern_check(fd, 99, 0, MIB(1)),
	      "a retrieved file can be written and grows");
	for (i = 0; i < STAGE_COUNT(shapes); i++)
		close(fds[i]);
	check(pool_counter("used") == state.used,
	      "the pool has all pages back: %lld, was %lld",
	      (long long)pool_counter("used"), (long long)state.used);
}

static const stage_fn stages[] = { make_all, go_on, end };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
