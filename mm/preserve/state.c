// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a record keeps of an open file and its inode that all file systems have.
 */
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/preserve.h>

#include "file.h"

/**
 * preserve_note_time - Note one of a file's times.
 * @rec:   Its record.
 * @which: PRESERVE_FILE_MTIME and the like.
 * @time:  The time.
 *
 * Context: Any.
 */
void preserve_note_time(struct preserve_file_ser *rec, unsigned int which,
			struct timespec64 time)
{
	rec->times[which].sec = time.tv_sec;
	rec->times[which].nsec = time.tv_nsec;
}

/**
 * preserve_noted_time - One of a file's times.
 * @rec:   Its record.
 * @which: PRESERVE_FILE_MTIME and the like.
 *
 * Context: Any.
 * Return: The time.
 */
struct timespec64 preserve_noted_time(const struct preserve_file_ser *rec, unsigned int which)
{
	return (struct timespec64) {
		.tv_sec = rec->times[which].sec, .tv_nsec = rec->times[which].nsec,
	};
}

/**
 * preserve_note_state - Note what can change of a file while it is preserved.
 * @rec:  Its record.
 * @file: The open file.
 *
 * Context: Any.
 */
void preserve_note_state(struct preserve_file_ser *rec, const struct file *file)
{
	const struct inode *inode = file_inode(file);

	rec->pos = file->f_pos;
	rec->f_flags = file->f_flags & PRESERVE_F_FLAGS;
	/* A change of the owner clears set-ID bits behind it: the mode last. */
	rec->uid = from_kuid(&init_user_ns, inode->i_uid);
	rec->gid = from_kgid(&init_user_ns, inode->i_gid);
	rec->mode = READ_ONCE(inode->i_mode) & 07777;
	rec->write_hint = inode->i_write_hint;
	preserve_note_time(rec, PRESERVE_FILE_MTIME, inode_get_mtime(inode));
	preserve_note_time(rec, PRESERVE_FILE_CTIME, inode_get_ctime(inode));
	preserve_note_time(rec, PRESERVE_FILE_ATIME, inode_get_atime(inode));
}

/**
 * preserve_note_name - Note a file's name and size.
 * @rec:    Its record.
 * @dentry: The file's, its size frozen.
 *
 * Context: Any.
 */
void preserve_note_name(struct preserve_file_ser *rec, const struct dentry *dentry)
{
	rec->i_size = i_size_read(d_inode(dentry));
	strscpy(rec->name, dentry->d_name.name, sizeof(rec->name));
	rec->name_len = strlen(rec->name);
}

/**
 * preserve_give_inode - Give an inode what its record says.
 * @inode: The inode, new.
 * @rec:   The record.
 *
 * Context: No other task knows the inode. What else changes its times or its mode is done.
 */
void preserve_give_inode(struct inode *inode, const struct preserve_file_ser *rec)
{
	inode->i_uid = make_kuid(&init_user_ns, rec->uid);
	inode->i_gid = make_kgid(&init_user_ns, rec->gid);
	inode->i_mode = (inode->i_mode & S_IFMT) | rec->mode;
	inode->i_write_hint = rec->write_hint;
	i_size_write(inode, rec->i_size);
	inode_set_mtime_to_ts(inode, preserve_noted_time(rec, PRESERVE_FILE_MTIME));
	inode_set_ctime_to_ts(inode, preserve_noted_time(rec, PRESERVE_FILE_CTIME));
	inode_set_atime_to_ts(inode, preserve_noted_time(rec, PRESERVE_FILE_ATIME));
}

/**
 * preserve_give_file - Give an open file what its record says.
 * @file: The file, new.
 * @rec:  The record.
 *
 * Context: No other task knows the file.
 */
void preserve_give_file(struct file *file, const struct preserve_file_ser *rec)
{
	vfs_setpos(file, rec->pos, MAX_LFS_FILESIZE);
	file->f_flags |= rec->f_flags;
	/* As shmem_file_open() has it for the file that had the flag. */
	if (rec->f_flags & O_DIRECT)
		file->f_mode |= FMODE_CAN_ODIRECT;
	file->f_iocb_flags = iocb_flags(file);
}
