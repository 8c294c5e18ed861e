// SPDX-License-Identifier: GPL-2.0-only
/*
 * All that can be seen of a tmpfs, of its mount, its inodes and of single files is the
 * same behind a kexec: what statx, statmount, statfs, quotactl, fcntl, getxattr, ACLs
 * and file handles show. What changes after preserve crosses, or is refused.
 * Documentation/mm/preserve/state.rst has the table that this test goes by.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <linux/mount.h>
#include <linux/quota.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "memory.h"
#include "preserve.h"
#include "stage.h"
#include "tree.h"

#define SESSION		"state"
#define USER		1234
#define PAGE		4096
#define NR_INODES	60
#define SOURCE		"a-source-that-is-longer-than-most-but-shorter-than-what-is-refused"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	0x0008U
#endif

#ifndef FS_IOC_GETFSUUID
struct fsuuid2 {
	__u8 len;
	__u8 uuid[16];
};

#define FS_IOC_GETFSUUID	_IOR(0x15, 0, struct fsuuid2)
#endif

/* The numbers of fcntl(2), which not every libc has. */
#define GET_RW_HINT	1035
#define SET_RW_HINT	1036

enum { TREE_FULL, TREE_PLAIN, FILE_MEMFD, FILE_NAMED, FILE_UNSYNCED, NR_THINGS };

#define TOKEN_TEXT	100	/* and the thing's number */
#define TOKEN_HANDLES	200

static const char * const dirs[] = {
	[TREE_FULL] = "/full", [TREE_PLAIN] = "/plain",
};

/* Everything that an option can say, and nothing. */
#define FULL_OPTIONS	"size=16m,nr_inodes=1000,mode=1751,uid=12,gid=34,huge=never," \
			"noswap,inode64,mpol=local,usrquota,grpquota,"		\
			"usrquota_inode_hardlimit=500"
#define FULL_FLAGS	(MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_I_VERSION |	\
			 MS_DIRSYNC | MS_STRICTATIME)

/* --- what can be seen --- */

static void __printf(2, 3) show(struct tree_text *out, const char *fmt, ...)
{
	va_list args;

	if (out->size - out->len < 2 * PAGE) {
		out->size = 2 * out->size + 4 * PAGE;
		out->text = realloc(out->text, out->size);
		require(out->text, "memory for a text");
	}
	va_start(args, fmt);
	out->len += vsnprintf(out->text + out->len, out->size - out->len, fmt, args);
	va_end(args);
}

/* Of the line of /proc/self/mountinfo what is behind the mount point. */
static void show_mount(struct tree_text *out, const char *dir)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[1024], found[PATH_MAX];
	const char *options;

	require(mounts, "mountinfo");
	while (fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%*s %*s %*s %*s %4095s", found) != 1 ||
		    strcmp(found, dir))
			continue;
		options = strstr(line, dir) + strlen(dir);
		show(out, "mount%s", options);
	}
	fclose(mounts);
}

static void show_super(struct tree_text *out, const char *dir, bool limited)
{
	int fd = tree_open(dir);
	struct fsuuid2 uuid = {};
	struct statfs sfs;
	struct statx st;
	unsigned int i;

	require(!statfs(dir, &sfs) && !statx(AT_FDCWD, dir, 0, STATX_BASIC_STATS, &st),
		"stat %s", dir);
	show(out, "device %u:%u flags %lx type %lx name %ld block %ld\n",
	     st.stx_dev_major, st.stx_dev_minor, (long)sfs.f_flags, (long)sfs.f_type,
	     (long)sfs.f_namelen, (long)sfs.f_bsize);
	if (limited)
		show(out, "pages %llu of %llu, inodes %llu of %llu\n",
		     (unsigned long long)sfs.f_bfree, (unsigned long long)sfs.f_blocks,
		     (unsigned long long)sfs.f_ffree, (unsigned long long)sfs.f_files);
	require(!ioctl(fd, FS_IOC_GETFSUUID, &uuid), "UUID of %s", dir);
	show(out, "uuid ");
	for (i = 0; i < uuid.len; i++)
		show(out, "%02x", uuid.uuid[i]);
	show(out, "\n");
	close(fd);
}

static int quota(const char *dir, int cmd, int type, void *arg)
{
	int fd = tree_open(dir), err;

	err = syscall(SYS_quotactl_fd, fd, QCMD(cmd, type), USER, arg) ? -errno : 0;
	close(fd);
	return err;
}

static void show_quota(struct tree_text *out, const char *dir, int type)
{
	struct if_dqblk dq = {};
	struct if_dqinfo info = {};

	require(!quota(dir, Q_GETQUOTA, type, &dq) && !quota(dir, Q_GETINFO, type, &info),
		"quotas of %s", dir);
	show(out, "quota %d: %llu %llu %llu, %llu %llu %llu\n", type,
	     (unsigned long long)dq.dqb_bhardlimit, (unsigned long long)dq.dqb_bsoftlimit,
	     (unsigned long long)dq.dqb_curspace, (unsigned long long)dq.dqb_ihardlimit,
	     (unsigned long long)dq.dqb_isoftlimit, (unsigned long long)dq.dqb_curinodes);
	show(out, "until %llu %llu, grace %llu %llu flags %x\n",
	     (unsigned long long)dq.dqb_btime,
	     (unsigned long long)dq.dqb_itime, (unsigned long long)info.dqi_bgrace,
	     (unsigned long long)info.dqi_igrace, info.dqi_flags);
}

static void show_xattrs(struct tree_text *out, int fd)
{
	char names[1024], value[1024];
	ssize_t len = flistxattr(fd, names, sizeof(names)), size, i;
	const char *name;

	require(len >= 0, "extended attributes");
	for (name = names; name < names + len; name += strlen(name) + 1) {
		size = fgetxattr(fd, name, value, sizeof(value));
		require(size >= 0, "attribute %s", name);
		show(out, "%s ", name);
		for (i = 0; i < size; i++)
			show(out, "%02x", (unsigned char)value[i]);
		show(out, "\n");
	}
}

/* The policies of the file's first pages. */
static void show_policies(struct tree_text *out, int fd)
{
	void *map = mmap(NULL, 8 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	unsigned long nodes[16];
	int mode, i;

	require(map != MAP_FAILED, "map a file");
	for (i = 0; i < 8; i++) {
		memset(nodes, 0, sizeof(nodes));
		require(!syscall(SYS_get_mempolicy, &mode, nodes, 8 * sizeof(nodes),
				 map + i * PAGE, MPOL_F_ADDR), "policy");
		show(out, "policy %d: %d %lx\n", i, mode, nodes[0]);
	}
	munmap(map, 8 * PAGE);
}

static void show_file(struct tree_text *out, int fd)
{
	struct statx st;
	__u64 hint = 0;
	int flags = 0;

	require(!statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) &&
		!ioctl(fd, FS_IOC_GETFLAGS, &flags) && !fcntl(fd, GET_RW_HINT, &hint),
		"look at a file");
	show(out, "mode %o owner %u:%u size %llu blocks %llu attr %llx flags %x hint %llu\n",
	     st.stx_mode, st.stx_uid, st.stx_gid, (unsigned long long)st.stx_size,
	     (unsigned long long)st.stx_blocks, (unsigned long long)st.stx_attributes,
	     flags, (unsigned long long)hint);
	show(out, "status %x seals %x position %lld\n", fcntl(fd, F_GETFL),
	     fcntl(fd, F_GET_SEALS), (long long)lseek(fd, 0, SEEK_CUR));
	show(out, "times %lld.%u %lld.%u %lld.%u %lld.%u\n",
	     (long long)st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec,
	     (long long)st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec,
	     (long long)st.stx_atime.tv_sec, st.stx_atime.tv_nsec,
	     (long long)st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
	show_xattrs(out, fd);
	show_policies(out, fd);
}

static void show_tree(struct tree_text *out, unsigned int thing)
{
	const char *dir = dirs[thing];
	int fd;

	show_super(out, dir, thing == TREE_FULL);
	show_mount(out, dir);
	if (thing == TREE_FULL) {
		show_quota(out, dir, USRQUOTA);
		show_quota(out, dir, GRPQUOTA);
	}
	fd = open(path_in(dir, "special"), O_RDWR | O_NOATIME | O_CLOEXEC);
	require(fd >= 0, "open a file");
	show_file(out, fd);
	close(fd);
	tree_list(out, dir, false);
}

/* --- making --- */

static int policy_set(int fd, unsigned int first, unsigned int nr, int mode)
{
	void *map = mmap(NULL, 8 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	unsigned long nodes = 1;
	int err;

	require(map != MAP_FAILED, "map a file");
	err = syscall(SYS_mbind, map + first * PAGE, nr * PAGE, mode, &nodes, 64, 0) ?
	      errno : 0;
	munmap(map, 8 * PAGE);
	return err;
}

/* A default ACL entry that grants user 7 what the group has not. */
static const unsigned char acl[] = {
	2, 0, 0, 0,
	1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,	/* owner rw */
	2, 0, 4, 0, 7, 0, 0, 0,			/* user 7 r */
	4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,	/* group nothing */
	0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,	/* mask r */
	0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,	/* others nothing */
};

/* All that an inode can have and few do. */
static void make_special(int fd)
{
	struct timespec times[2] = { { .tv_sec = -5, .tv_nsec = 123456789 },
				     { .tv_sec = 1LL << 33, .tv_nsec = 987654321 } };
	int flags = FS_NODUMP_FL;
	__u64 hint = 4;	/* RWH_WRITE_LIFE_LONG */

	require(!ftruncate(fd, 8 * PAGE) && pwrite(fd, "data", 4, PAGE) == 4, "content");
	require(!fchown(fd, USER, 77) && !fchmod(fd, 04640), "owner and mode");
	require(!fsetxattr(fd, "user.name", "value", 5, 0) &&
		!fsetxattr(fd, "trusted.none", "", 0, 0), "extended attributes");
	require(!fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0), "an ACL");
	require(!ioctl(fd, FS_IOC_SETFLAGS, &flags) && !fcntl(fd, SET_RW_HINT, &hint),
		"flags and a hint");
	require(!policy_set(fd, 1, 2, MPOL_BIND) && !policy_set(fd, 5, 1, MPOL_INTERLEAVE),
		"policies");
	require(!futimens(fd, times), "times");
}

static void make_quotas(void)
{
	struct if_dqblk dq = {
		.dqb_bhardlimit = 1000, .dqb_bsoftlimit = 4, .dqb_ihardlimit = 50,
		.dqb_isoftlimit = 1, .dqb_valid = QIF_LIMITS,
	};
	struct if_dqinfo info = { .dqi_bgrace = 11111, .dqi_igrace = 22222,
				  .dqi_valid = IIF_BGRACE | IIF_IGRACE };
	int fd, i;

	require(!quota("/full", Q_SETINFO, USRQUOTA, &info), "grace times");
	require(!quota("/full", Q_SETQUOTA, USRQUOTA, &dq), "limits");
	/* Both soft limits are passed: the timers run. */
	for (i = 0; i < 2; i++) {
		fd = open(path_in("/full", i ? "soft-a" : "soft-b"),
			  O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		require(fd >= 0 && !fchown(fd, USER, 0) &&
			!pattern_write(fd, 1, 0, 4 * PAGE), "a file of the user");
		close(fd);
	}
	info.dqi_bgrace = 33333;
	require(!quota("/full", Q_SETINFO, USRQUOTA, &info), "grace times");
}

static void make_tree(unsigned int thing)
{
	const char *dir = dirs[thing];
	bool full = thing == TREE_FULL;
	int fd;

	mkdir(dir, 0755);
	require(!mount(full ? SOURCE : "plain", dir, "tmpfs", full ? FULL_FLAGS : 0,
		       full ? FULL_OPTIONS : "preserve"), "mount %s", dir);
	tree_make(dir, NR_INODES, 7 + thing);
	fd = open(path_in(dir, "special"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	require(fd >= 0, "a file");
	make_special(fd);
	close(fd);
	if (full)
		make_quotas();
}

static int make_file(unsigned int thing)
{
	int fd;

	switch (thing) {
	case FILE_MEMFD:
		fd = syscall(SYS_memfd_create, "state",
			     MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
		break;
	case FILE_NAMED:
		fd = open("/tmp/named", O_CREAT | O_RDWR | O_DIRECT | O_SYNC | O_CLOEXEC,
			  0600);
		break;
	default:
		fd = preserve_memfd_create("unsynced", 0);
	}
	require(fd >= 0, "a file: %d", errno);
	make_special(fd);
	require(thing != FILE_UNSYNCED ||
		!fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_NOATIME), "status flags");
	require(lseek(fd, 33, SEEK_SET) == 33, "a position");
	if (thing == FILE_MEMFD)
		require(!fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), "seals");
	return fd;
}

/* --- file handles --- */

/* Of the tree without quotas: one with quotas is made as a whole when it is retrieved. */
static const char * const handle_names[] = { ".", "special", "deep/er/file", "deep" };

#define NR_HANDLES	STAGE_COUNT(handle_names)

struct handle {
	struct file_handle head;
	unsigned char bytes[MAX_HANDLE_SZ];
};

static void make_deep(void)
{
	int fd;

	require(!mkdir("/plain/deep", 0755) && !mkdir("/plain/deep/er", 0755), "directories");
	fd = open("/plain/deep/er/file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	require(fd >= 0, "a file");
	close(fd);
}

/* Given away when the tree has been noted. */
static void make_handles(struct handle *handles)
{
	unsigned int i;
	int mount;

	for (i = 0; i < NR_HANDLES; i++) {
		handles[i].head.handle_bytes = MAX_HANDLE_SZ;
		require(!name_to_handle_at(AT_FDCWD, path_in("/plain", handle_names[i]),
					   &handles[i].head, &mount, 0),
			"a handle of %s", handle_names[i]);
	}
}

/* Nobody has looked into any directory. */
static void look_handles(int kept)
{
	struct handle handles[NR_HANDLES];
	int root = tree_open("/plain"), fd;
	char link[64], path[PATH_MAX];
	unsigned int i;
	ssize_t len;

	require(kept >= 0 && pread(kept, handles, sizeof(handles), 0) == sizeof(handles),
		"the handles");
	for (i = 0; i < NR_HANDLES; i++) {
		fd = open_by_handle_at(root, &handles[i].head, O_RDONLY | O_NOATIME);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		len = fd < 0 ? -1 : readlink(link, path, sizeof(path) - 1);
		path[len < 0 ? 0 : len] = '\0';
		check(!strcmp(path, i ? path_in("/plain", handle_names[i]) : "/plain"),
		      "a handle of %s opens: %s (%s)", handle_names[i], path,
		      fd < 0 ? strerror(errno) : "as");
		close(fd);
	}
	close(root);
}

/* --- changes after preserve --- */

static void change_tree(void)
{
	struct if_dqblk dq = { .dqb_bhardlimit = 2000, .dqb_valid = QIF_BLIMITS };
	struct if_dqinfo info = { .dqi_bgrace = 1, .dqi_valid = IIF_BGRACE };
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODIRATIME |
					       MOUNT_ATTR_NOSYMFOLLOW };
	int fd = open("/full/special", O_RDWR | O_NOATIME | O_CLOEXEC);

	check(mount(NULL, "/full", NULL, MS_REMOUNT | FULL_FLAGS, "size=20m") == -1 &&
	      errno == EPERM, "remounting is refused: %s", strerror(errno));
	check(quota("/full", Q_SETQUOTA, USRQUOTA, &dq) == -EPERM &&
	      quota("/full", Q_SETINFO, USRQUOTA, &info) == -EPERM,
	      "so are quotas");
	require(fd >= 0, "a file");
	check(policy_set(fd, 0, 1, MPOL_BIND) == EPERM, "and memory policies");
	check(fsetxattr(fd, "user.late", "", 0, 0) == -1 && errno == EPERM,
	      "and extended attributes");
	close(fd);
	fd = tree_open("/full");
	check(!syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)),
	      "the mount's own flags change");
	close(fd);
}

static void change_file(int fd)
{
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 2000 } };
	int flags = FS_NODUMP_FL | FS_NOATIME_FL;
	__u64 hint = 2;

	check(fsetxattr(fd, "user.late", "", 0, 0) == -1 && errno == EPERM &&
	      fremovexattr(fd, "user.name") == -1 && errno == EPERM,
	      "extended attributes of a preserved file stay: %s", strerror(errno));
	check(fremovexattr(fd, "system.posix_acl_access") == -1 && errno == EPERM &&
	      fchmod(fd, 0600) == -1 && errno == EPERM,
	      "so do ACLs, and the mode that goes with them: %s", strerror(errno));
	check(!ioctl(fd, FS_IOC_SETFLAGS, &flags) && !fcntl(fd, SET_RW_HINT, &hint) &&
	      !policy_set(fd, 6, 2, MPOL_BIND) && !futimens(fd, times),
	      "the rest can change");
}

/* --- refused --- */

static void refuse(int session, const char *dir, const char *why)
{
	int fd = tree_open(dir);
	int err = preserve_session_add_fd(session, fd, 999);

	check(err == -EOPNOTSUPP, "%s is refused: %d", why, err);
	close(fd);
}

static void refusals(int session)
{
	char source[200] = "";
	int fd;

	memset(source, 's', sizeof(source) - 1);
	mkdir("/long", 0755);
	require(!mount(source, "/long", "tmpfs", 0, NULL), "mount");
	refuse(session, "/long", "a source that is too long");
	mkdir("/off", 0755);
	require(!mount("off", "/off", "tmpfs", 0, "usrquota"), "mount");
	fd = tree_open("/off");
	require(!syscall(SYS_quotactl_fd, fd, QCMD(Q_QUOTAOFF, USRQUOTA), 0, NULL),
		"quotas off: %d", errno);
	close(fd);
	refuse(session, "/off", "a quota that is switched off");
	require(!umount("/long") && !umount("/off"), "unmount");

	fd = preserve_memfd_create("labels", 0);
	memset(source, 'v', sizeof(source));
	for (int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "user.number-%d", i);
		require(!fsetxattr(fd, name, source, sizeof(source), 0), "%s", name);
	}
	check(preserve_session_add_fd(session, fd, 998) == -E2BIG,
	      "a file with more than there is room for is refused");
	close(fd);
}

/* --- both kernels --- */

static void text_preserve(int session, struct tree_text *text, unsigned int thing)
{
	int fd = tree_text_keep(text, "text");

	require(!preserve_session_add_fd(session, fd, TOKEN_TEXT + thing), "keep a text");
	tree_text_free(text);
}

static void before(void)
{
	struct handle handles[NR_HANDLES] = {};
	int session = stage_session_create(SESSION), kept, fd;
	struct tree_text text = {};
	unsigned int i;

	/* So that the trees' device numbers are not those which come next in any boot. */
	require(!mkdir("/other", 0755) && !mount("other", "/other", "tmpfs", 0, NULL) &&
		!mount("other", "/other", "tmpfs", 0, NULL), "other mounts");
	make_tree(TREE_FULL);
	make_tree(TREE_PLAIN);
	make_deep();
	for (i = TREE_FULL; i <= TREE_PLAIN; i++)
		require(!preserve_session_add_fd(session, tree_open(dirs[i]), i),
			"preserve %s", dirs[i]);
	make_handles(handles);
	change_tree();
	for (i = TREE_FULL; i <= TREE_PLAIN; i++) {
		show_tree(&text, i);
		text_preserve(session, &text, i);
	}
	for (i = FILE_MEMFD; i < NR_THINGS; i++) {
		fd = make_file(i);
		require(!preserve_session_add_fd(session, fd, i), "preserve file %u", i);
		change_file(fd);
		show_file(&text, fd);
		text_preserve(session, &text, i);
	}
	kept = preserve_memfd_create("handles", 0);
	require(kept >= 0 && write(kept, handles, sizeof(handles)) == sizeof(handles) &&
		!preserve_session_add_fd(session, kept, TOKEN_HANDLES), "keep the handles");
	refusals(session);
}

static const char * const things[] = {
	[TREE_FULL] = "a tree with all options", [TREE_PLAIN] = "a tree without",
	[FILE_MEMFD] = "a plain memfd", [FILE_NAMED] = "a file with a name",
	[FILE_UNSYNCED] = "a memfd of the pool",
};

static void compare(int session, unsigned int thing, int fd)
{
	struct tree_text was = {}, is = {};

	tree_text_read(&was, preserve_session_get_fd(session, TOKEN_TEXT + thing));
	if (thing <= TREE_PLAIN)
		show_tree(&is, thing);
	else
		show_file(&is, fd);
	check(tree_same(&was, &is), "%s is as it was", things[thing]);
	tree_text_free(&was);
	tree_text_free(&is);
}

static void after(void)
{
	int session = stage_session_retrieve(SESSION), fd;
	unsigned int i;

	for (i = TREE_FULL; i <= TREE_PLAIN; i++) {
		fd = preserve_session_get_fd(session, i);
		require(fd >= 0 && !tree_attach(fd, dirs[i]), "attach %s: %d", dirs[i], fd);
		close(fd);
	}
	look_handles(preserve_session_get_fd(session, TOKEN_HANDLES));
	for (i = 0; i < NR_THINGS; i++) {
		fd = i > TREE_PLAIN ? preserve_session_get_fd(session, i) : -1;
		compare(session, i, fd);
	}
	stage_session_finish(session);
	check(!umount("/full") && !umount("/plain"), "both are unmounted");
}

static const stage_fn stages[] = { before, after };

int main(void)
{
	return stage_run(stages, STAGE_COUNT(stages));
}
