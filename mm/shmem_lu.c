// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memfd backend of mm/preserve: memfd_create(MFD_PRESERVE).
 */

/**
 * DOC: memfds that are made to be preserved
 *
 * A memfd made with MFD_PRESERVE takes its folios from the preserve pool. They
 * stay in the pool for as long as they live: they are not reclaimed, not swapped,
 * not migrated by anybody but the pool and not collapsed into larger ones. Holes
 * stay holes. While the file lives, its file map is kept as folios come and go.
 *
 * Preserving freezes the file's size, allows no fallocate, and claims the runs
 * of the file map. Writing goes on as before, also into holes. Freeze notes the
 * file position and commits the map, which has usually not changed since; a task
 * that wants to fill a hole after that waits.
 *
 * Retrieving makes a memfd with the same content, holes, size, position, seals,
 * status flags, mode, owner, name, times, inode flags, extended attributes and ACLs. Of
 * these only the last two cannot be changed while it is preserved. It is an MFD_PRESERVE
 * memfd again, its map is the one that was handed over, and it can be preserved anew.
 * Its folios are made when they are needed (shmem_lu_demand.c).
 *
 * A file that is finished without having been retrieved is freed to the pool.
 */
#define pr_fmt(fmt) "preserve: memfd: " fmt

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/memcontrol.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>
#include <uapi/linux/memfd.h>

#include "internal.h"
#include "shmem_lu.h"
#include "shmem_lu_tree.h"

/* Seals this version knows. An unknown one would be lost: refuse it. */
#define SHMEM_LU_SEALS		(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | \
				 F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | \
				 F_SEAL_EXEC)

/* If one of these prototypes changes, review this file. */
static_assert(__same_type(shmem_add_to_page_cache,
			  int(struct folio *, struct address_space *, pgoff_t,
			      void *, gfp_t)));
static_assert(__same_type(shmem_inode_acct_blocks, int(struct inode *, long)));
static_assert(__same_type(shmem_recalc_inode,
			  bool(struct inode *, long, long)));
static_assert(__same_type(memfd_alloc_file,
			  struct file *(const char *, unsigned int)));

static const struct preserve_file_ops memfd_file_ops = {
	.insert = shmem_lu_insert,
};

static struct preserve_file *inode_pf(struct inode *inode)
{
	return preserve_file_of(inode->i_mapping);
}

/* That of a file which is about to have @nr pages more, if it has one or is to have one. */
static struct preserve_file *grown_pf(struct inode *inode, unsigned long nr)
{
	struct shmem_sb_info *sbinfo = inode->i_sb->s_fs_info;
	struct preserve_file *pf = inode_pf(inode);

	if (likely(pf && preserve_file_keeps_map(pf)) || !sbinfo->lu_pool ||
	    inode->i_mapping->nrpages + nr <= PRESERVE_SMALL_PAGES)
		return pf;
	/* Without memory, it is for the next page, or for preserve. */
	pf = preserve_file_new(inode->i_mapping, &shmem_lu_file_ops);
	if (pf)
		preserve_file_follow(pf);
	return pf;
}

struct folio *__shmem_lu_alloc_folio(struct shmem_inode_info *info, gfp_t gfp,
				     int order, struct mempolicy *mpol,
				     pgoff_t ilx, pgoff_t index)
{
	struct inode *inode = &info->vfs_inode;
	struct preserve_file *pf;
	struct preserve_request rq = {
		/* Also for huge folios: waiting for the pool is worth it. */
		.gfp = current_gfp_context(gfp | (mapping_gfp_mask(inode->i_mapping) &
						  GFP_KERNEL)),
		.order = order,
		.nid = numa_node_id(),
	};
	struct folio *folio;

	/* A tree that is preserved has its holes for good. */
	if (!shmem_lu_may_change(inode))
		return NULL;
	/* Pairs with data_done(): what follows the file's memory is seen below. */
	if (smp_load_acquire(&info->lu_pos) && shmem_lu_data_load(inode))
		return NULL;
	pf = grown_pf(inode, 1UL << order);
	if (pf && preserve_file_wait(pf))
		return NULL;
	if (pf && preserve_file_incomplete(pf) &&
	    !shmem_lu_room(inode->i_mapping, index, order))
		return NULL;
	rq.goal = preserve_goal(inode->i_mapping, index);
	/* It is claimed as it comes: what was there before may not cross. */
	if (pf && preserve_file_record(pf))
		rq.gfp |= __GFP_ZERO;
	folio = preserve_alloc_mpol(&rq, mpol, ilx);
	/* That may have taken long. */
	if (folio && pf && preserve_file_wait(pf)) {
		folio_put(folio);
		return NULL;
	}
	return folio;
}

/**
 * shmem_lu_may_add - May this folio come into the page cache?
 * @xas:      Where it is to be stored; has the error on return, if it may not.
 * @folio:    The folio; its mapping is set.
 * @expected: The swap entry whose place it takes, or NULL.
 *
 * What fills a hole in a tree that is preserved is -EPERM. A folio that was allocated
 * before its file entered the pool is -EEXIST: a fault or write looks again, and takes
 * one of the pool. So is one that comes into a file which has been frozen since: what
 * looks again has to wait. See shmem_lu_mfill_error() for userfaultfd. More than the
 * file's user may have locked is -EDQUOT.
 *
 * Context: xa_lock of i_pages held, interrupts off.
 * Return: True if it may.
 */
bool shmem_lu_may_add(struct xa_state *xas, struct folio *folio,
		      const void *expected)
{
	struct address_space *mapping = folio->mapping;
	struct preserve_file *pf = inode_pf(mapping->host);

	if (expected || !S_ISREG(mapping->host->i_mode))
		return true;
	if (!shmem_lu_may_change(mapping->host))
		xas_set_err(xas, -EPERM);
	else if (shmem_lu_late(mapping, folio) || shmem_lu_frozen(mapping))
		xas_set_err(xas, -EEXIST);
	else if (pf && !preserve_file_charge(pf, folio_nr_pages(folio)))
		xas_set_err(xas, -EDQUOT);
	return !xas_error(xas);
}

static void folio_clear(struct address_space *mapping, struct folio *folio)
{
	folio_lock(folio);
	if (folio->mapping == mapping && !folio_test_uptodate(folio)) {
		folio_zero_range(folio, 0, folio_size(folio));
		flush_dcache_folio(folio);
		folio_mark_uptodate(folio);
	}
	folio_unlock(folio);
}

void __shmem_lu_clear(struct address_space *mapping, pgoff_t start, pgoff_t end)
{
	struct folio_batch fbatch;
	unsigned int i;

	/* A large folio may begin before the range. */
	start = round_down(start, pageblock_nr_pages);
	folio_batch_init(&fbatch);
	while (start < end &&
	       filemap_get_folios(mapping, &start, end - 1, &fbatch)) {
		for (i = 0; i < folio_batch_count(&fbatch); i++)
			if (!folio_test_uptodate(fbatch.folios[i]))
				folio_clear(mapping, fbatch.folios[i]);
		folio_batch_release(&fbatch);
		cond_resched();
	}
}

bool shmem_lu_incomplete(const struct address_space *mapping)
{
	const struct shmem_inode_info *info = SHMEM_I(mapping->host);
	const struct preserve_file *pf;

	/* Pairs with data_done(). */
	if (smp_load_acquire(&info->lu_pos))
		return true;
	pf = preserve_file_of(mapping);
	return pf && preserve_file_incomplete(pf);
}

void shmem_lu_evict(struct inode *inode)
{
	if (S_ISDIR(inode->i_mode) && SHMEM_I(inode)->lu_pos)
		shmem_lu_dir_forget(inode);
	preserve_file_free(inode->i_mapping);
}

/* A new, empty file's memory is to come from the pool. */
static void inode_enter(struct inode *inode)
{
	set_bit(AS_PRESERVE, &inode->i_mapping->flags);
	mapping_set_unevictable(inode->i_mapping);
}

/**
 * shmem_lu_new_inode - A regular file is made in a tmpfs.
 * @sbinfo: The file system's.
 * @inode:  The file's.
 *
 * Context: Process context.
 */
void shmem_lu_new_inode(struct shmem_sb_info *sbinfo, struct inode *inode)
{
	if (sbinfo->lu_pool)
		inode_enter(inode);
}

/**
 * shmem_lu_pool - Does a tmpfs take its memory from the pool?
 * @sbinfo: Its.
 *
 * Return: True if it is mounted with "preserve".
 */
bool shmem_lu_pool(const struct shmem_sb_info *sbinfo)
{
	return sbinfo->lu_pool;
}

/**
 * shmem_lu_set_pool - A tmpfs is made.
 * @sbinfo: Its.
 * @pool:   Whether it is mounted with "preserve".
 */
void shmem_lu_set_pool(struct shmem_sb_info *sbinfo, bool pool)
{
	sbinfo->lu_pool = pool;
}

/**
 * shmem_lu_option - The mount option "preserve".
 * @fc:   The mount's.
 * @pool: Set to true.
 *
 * Its memory cannot be swapped out: the rule is that of "noswap".
 *
 * Context: Process context.
 * Return: 0; -EOPNOTSUPP without KHO or LUO; -EINVAL without the right.
 */
int shmem_lu_option(struct fs_context *fc, bool *pool)
{
	if (!preserve_has_pool())
		return -EOPNOTSUPP;
	if (fc->user_ns != &init_user_ns || !capable(CAP_SYS_ADMIN))
		return invalfc(fc, "Preserved memory in unprivileged tmpfs mounts unsupported");
	*pool = true;
	return 0;
}

/*
 * The user outside of all user namespaces that ordinary users have made: each of them would
 * have a limit of its own, and anybody may make one. One of root's, which may be a
 * container, has counts of its own.
 */
static struct ucounts *outer_ucounts(void)
{
	struct ucounts *ucounts = current_ucounts();

	while (ucounts->ns != &init_user_ns &&
	       (ucounts->ns->parent != &init_user_ns ||
		!uid_eq(ucounts->ns->owner, GLOBAL_ROOT_UID)))
		ucounts = ucounts->ns->ucounts;
	return get_ucounts(ucounts);
}

/* The file of the task that makes it. -EAGAIN if too many hold the user's counts. */
static int user_is_current(struct preserve_file *pf)
{
	unsigned long most = rlimit(RLIMIT_MEMLOCK);
	struct ucounts *ucounts;

	if (capable(CAP_IPC_LOCK))
		return 0;
	ucounts = outer_ucounts();
	if (!ucounts)
		return -EAGAIN;
	preserve_file_set_user(pf, ucounts, most == RLIM_INFINITY ?
			       ULONG_MAX : most >> PAGE_SHIFT);
	return 0;
}

/**
 * shmem_lu_memfd_create - Make a new, empty memfd a preserved one.
 * @file: From shmem_file_setup(); no other task knows it.
 *
 * Context: Process context.
 * Return: 0; -EOPNOTSUPP without KHO or LUO, and for hugetlb files; -ENOMEM; -EAGAIN.
 */
int shmem_lu_memfd_create(struct file *file)
{
	struct inode *inode = file_inode(file);
	struct preserve_file *pf;

	if (!preserve_has_pool() || !shmem_file(file))
		return -EOPNOTSUPP;
	pf = preserve_file_new(inode->i_mapping, &memfd_file_ops);
	if (!pf)
		return -ENOMEM;
	preserve_file_follow(pf);
	inode_enter(inode);
	return user_is_current(pf);
}

void shmem_lu_show_fdinfo(struct seq_file *m, struct file *file)
{
	preserve_show_fdinfo(m, file->f_mapping);
}

/*
 * A plain memfd is one that LUO's own handler would take. Only when all of its
 * memory is in the pool is it ours: this is the last moment to say no.
 */
static bool plain_can_preserve(struct file *file)
{
	struct inode *inode = file_inode(file);
	int err = 0;

	inode_lock(inode);
	if (!preserve_mapping(inode->i_mapping))
		err = shmem_lu_plain_enter(inode);
	inode_unlock(inode);
	if (err && err != -EINTR)
		pr_info_ratelimited("%pD stays out of the pool (%pe)\n", file,
				    ERR_PTR(err));
	return !err;
}

/**
 * shmem_lu_in_pool - Is any of a file's memory the pool's, or about to be?
 * @inode: A shmem file's; locked.
 *
 * Context: Process context.
 * Return: True if so: LUO's own handler must not preserve its frames one by one.
 */
bool shmem_lu_in_pool(struct inode *inode)
{
	return preserve_mapping(inode->i_mapping) ||
	       preserve_any_in_pool(inode->i_mapping);
}

static bool shmem_lu_can_preserve(struct liveupdate_file_handler *handler,
				  struct file *file)
{
	const fmode_t rw = FMODE_READ | FMODE_WRITE;
	struct inode *inode = file_inode(file);
	const struct preserve_file *pf;
	bool can;

	/*
	 * A file with a name is handed over as what it holds, without the name; but
	 * not from a tree that is preserved.
	 */
	if (!shmem_file(file) || shmem_lu_data_load(inode) ||
	    !shmem_lu_may_change(inode))
		return false;
	/* A plain one may be on its way into the pool, and not get there. */
	pf = inode_pf(inode);
	if (preserve_mapping(inode->i_mapping) &&
	    !(pf && preserve_file_is_plain(pf)))
		return true;
	can = (file->f_mode & rw) == rw &&
	      !(memfd_get_seals(file) & ~SHMEM_LU_SEALS) &&
	      preserve_can_hand_over() && plain_can_preserve(file);
	/*
	 * What is in the pool already, from an attempt that failed or from an earlier
	 * preserve, crosses with the pool's blocks or not at all: if LUO's handler kept
	 * these frames, the next kernel would refuse the pool. shmem_lu_file_preserve()
	 * says what is wrong.
	 */
	return can || (preserve_can_hand_over() &&
		       preserve_any_in_pool(inode->i_mapping));
}

static unsigned long shmem_lu_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
}

static void time_note(struct preserve_time_ser *ser, struct timespec64 t)
{
	ser->sec = t.tv_sec;
	ser->nsec = t.tv_nsec;
}

static struct timespec64 time_of(const struct preserve_time_ser *ser)
{
	return (struct timespec64) { .tv_sec = ser->sec, .tv_nsec = ser->nsec };
}

static struct preserve_tree_writer extras_writer(struct preserve_file_ser *rec)
{
	return (struct preserve_tree_writer) {
		.buf = rec->extras, .size = sizeof(rec->extras), .fixed = true,
		.len = rec->extras_len,
	};
}

/*
 * What the core keeps for a file that is about to be preserved. A plain one may have left
 * the pool since can_preserve(). Inode locked.
 */
static struct preserve_file *pf_to_preserve(struct inode *inode)
{
	struct preserve_file *pf;
	int err;

	if (!preserve_mapping(inode->i_mapping)) {
		err = shmem_lu_plain_enter(inode);
		return err ? ERR_PTR(err) : inode_pf(inode);
	}
	pf = preserve_file_new(inode->i_mapping, &shmem_lu_file_ops);
	if (!pf)
		return ERR_PTR(-ENOMEM);
	if (!preserve_file_is_plain(pf))
		preserve_file_follow(pf);
	return pf;
}

/* What cannot change any more once the file is preserved. Inode locked. */
static int record_fill(struct preserve_file_ser *rec, struct file *file, u32 kind)
{
	const char *name = file_dentry(file)->d_name.name;
	struct preserve_tree_writer w = extras_writer(rec);
	struct inode *inode = file_inode(file);
	u64 space = 0;
	u32 nr = 0;
	int err;

	rec->kind = kind;
	rec->i_size = i_size_read(inode);
	strscpy(rec->name, name, sizeof(rec->name));
	rec->name_len = strlen(rec->name);
	err = shmem_lu_labels_note(inode, &w, &nr, &space);
	rec->extras_len = w.len;
	if (err == -E2BIG)
		pr_err_ratelimited("%s: not preserved: its extended attributes and ACLs take more than %zu bytes\n",
				   rec->name, sizeof(rec->extras));
	return err;
}

/* Policies come last: where they begin, everything else has ended. */
static u32 policies_at(const struct preserve_file_ser *rec)
{
	struct preserve_tree_reader r = {
		.at = rec->extras, .end = rec->extras + rec->extras_len,
	};
	struct preserve_tree_extra extra = {};
	const u8 *at = r.at;

	while (r.at < r.end && preserve_tree_get_extra(&r, &extra) &&
	       extra.kind != PRESERVE_EXTRA_POLICY)
		at = r.at;
	return at - rec->extras;
}

static int policies_update(struct preserve_file_ser *rec, struct inode *inode)
{
	struct preserve_tree_writer w;
	u32 nr = 0;
	int err;

	rec->extras_len = policies_at(rec);
	w = extras_writer(rec);
	err = shmem_lu_policies_note(inode, &w, &nr);
	rec->extras_len = w.len;
	memset(rec->extras + w.len, 0, sizeof(rec->extras) - w.len);
	return err;
}

/*
 * What can change until the kexec. Memory policies that there is no room for are left
 * out: they say where new pages go, and each task that can map the file can add some.
 */
static void record_update(struct preserve_file_ser *rec, struct file *file)
{
	struct inode *inode = file_inode(file);

	rec->pos = file->f_pos;
	rec->f_flags = file->f_flags & PRESERVE_F_FLAGS;
	rec->seals = memfd_get_seals(file);
	/* A change of the owner clears set-ID bits behind it: the mode last. */
	rec->uid = from_kuid(&init_user_ns, inode->i_uid);
	rec->gid = from_kgid(&init_user_ns, inode->i_gid);
	rec->mode = READ_ONCE(inode->i_mode) & 07777;
	rec->fsflags = SHMEM_I(inode)->fsflags;
	rec->write_hint = inode->i_write_hint;
	preserve_file_note_user(inode_pf(inode), rec);
	time_note(&rec->times[PRESERVE_FILE_MTIME], inode_get_mtime(inode));
	time_note(&rec->times[PRESERVE_FILE_CTIME], inode_get_ctime(inode));
	time_note(&rec->times[PRESERVE_FILE_ATIME], inode_get_atime(inode));
	time_note(&rec->times[PRESERVE_FILE_BTIME], SHMEM_I(inode)->i_crtime);
	if (policies_update(rec, inode))
		pr_warn_ratelimited("%s: not all of its memory policies cross\n", rec->name);
}

/**
 * shmem_lu_file_preserve - Preserve a file of the pool.
 * @file:   The file, open for reading and writing.
 * @kind:   PRESERVE_FILE_*.
 * @handle: On success, what the next kernel retrieves it by.
 *
 * Context: Process context.
 * Return: 0, or a negative errno.
 */
int shmem_lu_file_preserve(struct file *file, u32 kind, u64 *handle)
{
	struct inode *inode = file_inode(file);
	struct preserve_file_ser *rec;
	struct preserve_file *pf;
	int seals, err;

	/* Retrieving gives a descriptor for both. */
	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) !=
	    (FMODE_READ | FMODE_WRITE))
		return -EINVAL;

	inode_lock(inode);
	/* Its tree may have been preserved since can_preserve(). */
	if (!shmem_lu_may_change(inode)) {
		inode_unlock(inode);
		return -EPERM;
	}
	pf = pf_to_preserve(inode);
	if (IS_ERR(pf)) {
		err = PTR_ERR(pf);
		goto unlock;
	}
	seals = memfd_get_seals(file);
	if (seals & ~SHMEM_LU_SEALS) {
		err = -EOPNOTSUPP;
		goto unlock;
	}

	shmem_freeze(inode, true);
	rec = preserve_file_claim(pf);
	if (IS_ERR(rec)) {
		err = PTR_ERR(rec);
		goto unfreeze;
	}
	err = record_fill(rec, file, kind);
	record_update(rec, file);
	if (!err)
		err = preserve_file_commit(pf);
	if (err)
		goto unclaim;
	inode_unlock(inode);

	preserve_file_report_poisoned(pf, rec->name);

	*handle = virt_to_phys(rec);
	return 0;

unclaim:
	preserve_file_unclaim(pf);
unfreeze:
	shmem_freeze(inode, false);
unlock:
	shmem_lu_plain_leave(inode);
	inode_unlock(inode);
	return err;
}

/**
 * shmem_lu_file_unpreserve - Undo shmem_lu_file_preserve().
 * @file: The file.
 *
 * Context: Process context.
 */
void shmem_lu_file_unpreserve(struct file *file)
{
	struct inode *inode = file_inode(file);

	inode_lock(inode);
	preserve_file_unclaim(inode_pf(inode));
	shmem_freeze(inode, false);
	shmem_lu_plain_leave(inode);
	inode_unlock(inode);
}

/**
 * shmem_lu_file_freeze - The next kernel is about to start.
 * @file: A preserved file.
 *
 * Context: Process context, in the reboot path.
 */
void shmem_lu_file_freeze(struct file *file)
{
	struct preserve_file *pf = inode_pf(file_inode(file));

	record_update(preserve_file_record(pf), file);
	preserve_file_freeze(pf);
}

/**
 * shmem_lu_file_unfreeze - Undo shmem_lu_file_freeze(): no kexec came.
 * @file: The file.
 *
 * Context: Process context.
 */
void shmem_lu_file_unfreeze(struct file *file)
{
	preserve_file_unfreeze(inode_pf(file_inode(file)));
}

static int extras_give(struct inode *inode, const struct preserve_file_ser *rec)
{
	struct preserve_tree_reader r = {
		.at = rec->extras, .end = rec->extras + rec->extras_len,
	};
	int err = 0;

	scoped_with_kernel_creds()
		while (!err && r.at < r.end)
			err = shmem_lu_extra_load(inode, &r);
	shmem_lu_labels_give(inode);
	return err;
}

/* The inode's state, but for seals, which come with rules of their own. */
static int inode_give(struct inode *inode, const struct preserve_file_ser *rec)
{
	struct shmem_inode_info *info = SHMEM_I(inode);
	int err;

	/* An unknown one would be lost. */
	if (rec->fsflags & ~SHMEM_FL_USER_VISIBLE || rec->fsflags & FS_CASEFOLD_FL)
		return -EPROTO;
	inode->i_uid = make_kuid(&init_user_ns, rec->uid);
	inode->i_gid = make_kgid(&init_user_ns, rec->gid);
	inode->i_write_hint = rec->write_hint;
	i_size_write(inode, rec->i_size);
	err = extras_give(inode, rec);
	/* After the ACLs, which may have changed the mode on their way. */
	inode->i_mode = (inode->i_mode & S_IFMT) | rec->mode;
	info->fsflags = rec->fsflags;
	shmem_lu_inode_flags(inode);
	inode_set_mtime_to_ts(inode, time_of(&rec->times[PRESERVE_FILE_MTIME]));
	inode_set_ctime_to_ts(inode, time_of(&rec->times[PRESERVE_FILE_CTIME]));
	inode_set_atime_to_ts(inode, time_of(&rec->times[PRESERVE_FILE_ATIME]));
	info->i_crtime = time_of(&rec->times[PRESERVE_FILE_BTIME]);
	return err;
}

static int file_give(struct file *file, const struct preserve_file_ser *rec)
{
	int err;

	/* The mode first: F_SEAL_EXEC on an executable file brings more seals. */
	err = inode_give(file_inode(file), rec);
	err = err ?: memfd_add_seals(file, rec->seals);
	if (err)
		return err;
	vfs_setpos(file, rec->pos, MAX_LFS_FILESIZE);
	file->f_flags |= rec->f_flags;
	/* As shmem_file_open() has it for the file that had the flag. */
	if (rec->f_flags & O_DIRECT)
		file->f_mode |= FMODE_CAN_ODIRECT;
	file->f_iocb_flags = iocb_flags(file);
	return 0;
}

static struct file *file_from_record(const struct preserve_file_ser *rec)
{
	struct file *file;
	int err;

	if (rec->seals & ~SHMEM_LU_SEALS)
		return ERR_PTR(-EPROTO);
	file = memfd_alloc_file(rec->name, MFD_ALLOW_SEALING | MFD_PRESERVE);
	if (IS_ERR(file))
		return file;
	err = file_give(file, rec);
	err = err ?: preserve_file_restore_user(inode_pf(file_inode(file)), rec);
	if (!err)
		return file;
	fput(file);
	return ERR_PTR(err);
}

/**
 * shmem_lu_again - Can a retrieve that failed be tried again?
 * @err: Its error.
 *
 * Return: True if it is about the task that tried, or the moment. What is about the
 *         handed-over state, or this kernel, is final.
 */
bool shmem_lu_again(int err)
{
	switch (err) {
	case -ENOMEM:
	case -ENOSPC:
	case -EDQUOT:
	case -ENFILE:
	case -EMFILE:
	case -EPERM:
	case -EACCES:
	case -EBUSY:
	case -EAGAIN:
	case -EINTR:
		return true;
	default:
		return false;
	}
}

/**
 * shmem_lu_file_retrieve - Make the file that the last kernel has preserved.
 * @handle: From shmem_lu_file_preserve(), not trusted.
 * @kind:   PRESERVE_FILE_*.
 *
 * Nothing is lost when it fails: the record stays as it is.
 *
 * Context: Process context.
 * Return: The file, or an ERR_PTR, with a message: see shmem_lu_again().
 */
struct file *shmem_lu_file_retrieve(u64 handle, u32 kind)
{
	struct preserve_file_ser *rec;
	struct prmap map;
	struct file *file;

	rec = preserve_record_take(handle, kind, &map);
	if (IS_ERR(rec))
		return ERR_CAST(rec);

	file = file_from_record(rec);
	if (IS_ERR(file)) {
		pr_err_ratelimited("%s is not retrieved (%pe)%s\n", rec->name, file,
				   shmem_lu_again(PTR_ERR(file)) ?
				   "; it can be tried again" : "");
		if (!shmem_lu_again(PTR_ERR(file)))
			preserve_note_refused();
		preserve_record_untake(rec, &map);
		return file;
	}
	shmem_lu_demand_begin(file_inode(file),
			      preserve_file_restore(inode_pf(file_inode(file)), &map));
	preserve_file_report_poisoned(inode_pf(file_inode(file)), rec->name);
	preserve_record_free(rec);
	return file;
}

/* --- LUO's handler of memfds --- */

static int shmem_lu_preserve(struct liveupdate_file_op_args *args)
{
	return shmem_lu_file_preserve(args->file, PRESERVE_FILE_MEMFD,
				      &args->serialized_data);
}

static void shmem_lu_unpreserve(struct liveupdate_file_op_args *args)
{
	shmem_lu_file_unpreserve(args->file);
}

static int shmem_lu_freeze(struct liveupdate_file_op_args *args)
{
	if (preserve_freeze_fails())
		return -EIO;
	shmem_lu_file_freeze(args->file);
	return 0;
}

static void shmem_lu_unfreeze(struct liveupdate_file_op_args *args)
{
	shmem_lu_file_unfreeze(args->file);
}

static int shmem_lu_retrieve(struct liveupdate_file_op_args *args)
{
	struct file *file = shmem_lu_file_retrieve(args->serialized_data,
						   PRESERVE_FILE_MEMFD);

	if (IS_ERR(file)) {
		args->again = shmem_lu_again(PTR_ERR(file));
		return PTR_ERR(file);
	}
	args->file = file;
	return 0;
}

static void shmem_lu_finish(struct liveupdate_file_op_args *args)
{
	struct preserve_file_ser *rec;
	struct prmap map;

	/* Retrieved, or refused. */
	if (args->retrieve_status)
		return;

	rec = preserve_record_take(args->serialized_data, PRESERVE_FILE_MEMFD,
				   &map);
	if (IS_ERR(rec))
		return;
	preserve_map_release(&map);
	preserve_record_free(rec);
}

static const struct liveupdate_file_ops shmem_lu_ops = {
	.can_preserve	= shmem_lu_can_preserve,
	.preserve	= shmem_lu_preserve,
	.unpreserve	= shmem_lu_unpreserve,
	.freeze		= shmem_lu_freeze,
	.unfreeze	= shmem_lu_unfreeze,
	.retrieve	= shmem_lu_retrieve,
	.finish		= shmem_lu_finish,
	.get_id		= shmem_lu_get_id,
	.owner		= THIS_MODULE,
};

static struct liveupdate_file_handler shmem_lu_handler = {
	.ops		= &shmem_lu_ops,
	.compatible	= PRESERVE_MEMFD_COMPATIBLE,
};

/* Registers before LUO's own handler for memfds, so that it is asked first. */
static int __init shmem_lu_init(void)
{
	int err;

	if (!preserve_has_pool())
		return 0;
	err = liveupdate_register_file_handler(&shmem_lu_handler);
	if (err)
		pr_err("cannot register with LUO (%pe)\n", ERR_PTR(err));
	return err;
}
device_initcall_sync(shmem_lu_init);
