// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handed-over records: committing, and validation before any use.
 *
 * Pure: reads the bytes it is given and nothing else, so that KUnit can feed it
 * anything. What the maps inside point to is checked by prmap_open() with limits
 * that the callers set.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/kho/abi/preserve.h>
#include <linux/mm.h>
#include <linux/rw_hint.h>
#include <linux/time64.h>
#include <linux/xxhash.h>

#include "file.h"

static u64 record_sum(const struct preserve_file_ser *rec)
{
	return xxh64(rec, offsetof(struct preserve_file_ser, csum), 0);
}

/**
 * preserve_record_commit - Fill in the fields that make a record valid.
 * @rec: Everything else is filled in, its root is committed.
 */
void preserve_record_commit(struct preserve_file_ser *rec)
{
	rec->magic = PRESERVE_FILE_MAGIC;
	rec->version = PRESERVE_FILE_VERSION;
	rec->size = sizeof(*rec);
	rec->csum = record_sum(rec);
}

static bool record_times_ok(const struct preserve_file_ser *rec)
{
	unsigned int i;

	for (i = 0; i < PRESERVE_FILE_TIMES; i++)
		if (rec->times[i].nsec >= NSEC_PER_SEC)
			return false;
	return true;
}

static const char *record_fields_bad(const struct preserve_file_ser *rec)
{
	if (rec->i_size > MAX_LFS_FILESIZE)
		return "file size out of range";
	if (rec->pos > MAX_LFS_FILESIZE)
		return "file position out of range";
	if (rec->f_flags & ~PRESERVE_F_FLAGS)
		return "file flags unknown";
	if (rec->mode & ~07777)
		return "mode out of range";
	if (rec->name_len > PRESERVE_FILE_MAX_NAME ||
	    strnlen(rec->name, sizeof(rec->name)) != rec->name_len)
		return "name broken";
	if (rec->uid == (u32)-1 || rec->gid == (u32)-1)
		return "owner out of range";
	if (!record_times_ok(rec))
		return "time out of range";
	if (rec->write_hint > WRITE_LIFE_EXTREME)
		return "write hint unknown";
	if (rec->extras_len > sizeof(rec->extras))
		return "extras out of bounds";
	if (rec->kind == PRESERVE_FILE_HUGETLB ?
	    !rec->huge_order || rec->huge_order > PRESERVE_HUGE_MAX_ORDER : rec->huge_order)
		return "page size out of range";
	return NULL;
}

/**
 * preserve_record_check - Can this record be used?
 * @rec:    The handed-over bytes, a whole page.
 * @kind:   The kind that the caller restores.
 * @reason: Says why not, on error.
 *
 * Seals, flags of the inode and extras belong to the backend, which knows them.
 *
 * Return: 0; -EPROTO for another version or kind, or unknown features; -EBADMSG for damage.
 */
int preserve_record_check(const struct preserve_file_ser *rec, u32 kind,
			  const char **reason)
{
	if (rec->magic != PRESERVE_FILE_MAGIC) {
		*reason = "no record";
		return -EBADMSG;
	}
	if (rec->version != PRESERVE_FILE_VERSION ||
	    rec->size != sizeof(*rec)) {
		*reason = "record version unknown";
		return -EPROTO;
	}
	if (rec->csum != record_sum(rec)) {
		*reason = "record checksum wrong";
		return -EBADMSG;
	}
	if (rec->incompat & ~(u64)PRESERVE_FILE_INCOMPAT) {
		*reason = "record features unknown";
		return -EPROTO;
	}
	if (rec->kind & PRESERVE_FILE_GIVEN_UP) {
		*reason = "given up by the last kernel";
		return -EBADMSG;
	}
	if (rec->kind != kind) {
		*reason = "record of another kind";
		return -EPROTO;
	}
	*reason = record_fields_bad(rec);
	return *reason ? -EBADMSG : 0;
}
