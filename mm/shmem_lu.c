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
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/pagemap.h>
#include <linux/preserve.h>
#include <linux/preserve_codec.h>
#include <linux/shmem_fs.h>
#include <linux/user_namespace.h>
#include <uapi/linux/memfd.h>

#include "internal.h"
#include "shmem_lu.h"
#include "shmem_lu_tmpfs.h"

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
	.place = &preserve_pool_place,
	.insert = shmem_lu_insert,
};

static struct preserve_file *inode_pf(struct inode *inode)
{
	return preserve_file_of(inode->i_mapping);
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
	set_bit(AS_PRESERVE, &inode->i_mapping->flags);
	mapping_set_unevictable(inode->i_mapping);
	return user_is_current(pf);
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

/*
 * The administrator wants plain memfds to be LUO's: what they have in the pool moves out.
 * While this task has waited for the inode, another may have preserved the file, made it one
 * of the pool's for good, or preserved its tree. LUO's handler is not asked for one that does
 * not leave: it would be refused after a search for memory; admit() says no.
 */
static bool plain_stays_ours(struct file *file)
{
	struct inode *inode = file_inode(file);
	bool ours;
	int err = 0;

	inode_lock(inode);
	ours = preserve_mapping(inode->i_mapping) && !shmem_lu_plain_idle(inode);
	if (!ours && shmem_lu_may_change(inode))
		err = inode->i_nlink ? -EOPNOTSUPP : shmem_lu_plain_out(inode);
	inode_unlock(inode);
	if (err && err != -EINTR)
		pr_info_ratelimited("%pD does not leave the pool (%pe)\n", file,
				    ERR_PTR(err));
	return ours || err;
}

/*
 * Under the inode lock, for what has changed since can_preserve(): one plain file in the pool
 * makes the next kernel, if it is an older one, refuse all sessions.
 */
static int admit(struct file *file)
{
	struct inode *inode = file_inode(file);

	/* In the pool for good: it cannot be given tags, but by means that cannot be refused. */
	if (preserve_mapping(inode->i_mapping) && !shmem_lu_plain_idle(inode))
		return 0;
	if (preserve_has_tags(inode->i_mapping)) {
		pr_err_ratelimited("%pD: not preserved: its memory tags would be lost\n",
				   file);
		return -EOPNOTSUPP;
	}
	if (READ_ONCE(preserve_admit_plain))
		return 0;
	return inode->i_nlink ? -EOPNOTSUPP : -EAGAIN;
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
	/* LUO's handler would drop memory tags: admit() says no. */
	if (!READ_ONCE(preserve_admit_plain))
		return plain_stays_ours(file) || preserve_has_tags(inode->i_mapping);
	can = (file->f_mode & rw) == rw &&
	      !(memfd_get_seals(file) & ~SHMEM_LU_SEALS) &&
	      preserve_can_hand_over() && plain_can_preserve(file);
	/*
	 * What is in the pool already, from an attempt that failed or from an earlier
	 * preserve, crosses with the pool's blocks or not at all: if LUO's handler kept
	 * these frames, the next kernel would refuse the pool. file_preserve()
	 * says what is wrong.
	 */
	return can || preserve_has_tags(inode->i_mapping) ||
	       (preserve_can_hand_over() && preserve_any_in_pool(inode->i_mapping));
}

static unsigned long shmem_lu_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
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
static int record_fill(struct preserve_file_ser *rec, struct file *file)
{
	struct preserve_tree_writer w = extras_writer(rec);
	struct inode *inode = file_inode(file);
	u64 space = 0;
	u32 nr = 0;
	int err;

	rec->kind = PRESERVE_FILE_MEMFD;
	preserve_note_name(rec, file_dentry(file));
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

	preserve_note_state(rec, file);
	rec->seals = memfd_get_seals(file);
	rec->fsflags = SHMEM_I(inode)->fsflags;
	preserve_file_note_user(inode_pf(inode), rec);
	preserve_note_time(rec, PRESERVE_FILE_BTIME, SHMEM_I(inode)->i_crtime);
	if (policies_update(rec, inode))
		pr_warn_ratelimited("%s: not all of its memory policies cross\n", rec->name);
}

static int file_preserve(struct file *file, u64 *handle)
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
	err = admit(file);
	if (err)
		goto unlock;
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
	err = record_fill(rec, file);
	record_update(rec, file);
	if (!err)
		err = preserve_file_commit(pf);
	if (err)
		goto unclaim;
	inode_unlock(inode);

	preserve_file_report_poisoned(pf, rec->name);
	preserve_report_tags(inode->i_mapping);

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

static void shmem_lu_unpreserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);

	inode_lock(inode);
	preserve_file_unclaim(inode_pf(inode));
	shmem_freeze(inode, false);
	shmem_lu_plain_leave(inode);
	inode_unlock(inode);
}

static int shmem_lu_freeze(struct liveupdate_file_op_args *args)
{
	struct preserve_file *pf = inode_pf(file_inode(args->file));

	if (preserve_freeze_fails())
		return -EIO;
	record_update(preserve_file_record(pf), args->file);
	preserve_file_freeze(pf);
	return 0;
}

static void shmem_lu_unfreeze(struct liveupdate_file_op_args *args)
{
	preserve_file_unfreeze(inode_pf(file_inode(args->file)));
}

/* --- retrieve --- */

static int extras_give(struct inode *inode, const struct preserve_file_ser *rec)
{
	struct preserve_tree_reader r = {
		.at = rec->extras, .end = rec->extras + rec->extras_len,
	};
	struct preserve_tree_extra extra;
	int err = 0;

	scoped_with_kernel_creds()
		while (!err && r.at < r.end)
			err = preserve_tree_get_extra(&r, &extra) ?
			      shmem_lu_extra_load(inode, &extra) : -EUCLEAN;
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
	err = extras_give(inode, rec);
	/* After the ACLs, which may have changed the mode on their way. */
	preserve_give_inode(inode, rec);
	info->fsflags = rec->fsflags;
	shmem_lu_inode_flags(inode);
	info->i_crtime = preserve_noted_time(rec, PRESERVE_FILE_BTIME);
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
	preserve_give_file(file, rec);
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

/* Nothing is lost when it fails: the record stays as it is. */
static struct file *file_retrieve(u64 handle)
{
	struct preserve_file_ser *rec;
	struct prmap map;
	struct file *file;

	rec = preserve_record_take(handle, PRESERVE_FILE_MEMFD, &map);
	if (IS_ERR(rec))
		return ERR_CAST(rec);

	file = file_from_record(rec);
	if (IS_ERR(file)) {
		preserve_record_failed(rec, &map, PTR_ERR(file));
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
	return file_preserve(args->file, &args->serialized_data);
}

static int shmem_lu_retrieve(struct liveupdate_file_op_args *args)
{
	struct file *file = file_retrieve(args->serialized_data);

	if (IS_ERR(file)) {
		args->again = preserve_retrieve_again(PTR_ERR(file));
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
	preserve_map_release(&map, PRESERVE_FILE_MEMFD);
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
