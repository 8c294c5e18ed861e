// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unpacking, by libarchive.
 */

#include "payload.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>

#define STEP	(8UL << 20)

static int read_all(struct archive *archive, char **out, size_t *out_size)
{
	size_t room = 0;
	char *larger;
	ssize_t got;

	for (;;) {
		if (*out_size == room) {
			room += STEP;
			if (room > PAYLOAD_MAX)
				return -EFBIG;
			larger = realloc(*out, room);
			if (!larger)
				return -ENOMEM;
			*out = larger;
		}
		got = archive_read_data(archive, *out + *out_size, room - *out_size);
		if (got <= 0)
			return got ? -EBADMSG : 0;
		*out_size += got;
	}
}

int payload_unpack(const void *packed, size_t size, char **out, size_t *out_size)
{
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	int err = -EBADMSG;

	*out = NULL;
	*out_size = 0;
	if (!archive)
		return -ENOMEM;
	/* No filter that is a program of its own. */
	archive_read_support_filter_gzip(archive);
	archive_read_support_filter_xz(archive);
	archive_read_support_filter_lzma(archive);
	archive_read_support_filter_bzip2(archive);
	archive_read_support_filter_lz4(archive);
	archive_read_support_filter_zstd(archive);
	archive_read_support_format_raw(archive);
	if (archive_read_open_memory(archive, packed, size) == ARCHIVE_OK &&
	    archive_read_next_header(archive, &entry) == ARCHIVE_OK)
		err = read_all(archive, out, out_size);
	archive_read_free(archive);
	return err;
}
