/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a packed kernel image unpacks.
 */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <stddef.h>

/* More than any kernel unpacks to. */
#define PAYLOAD_MAX	(1024UL << 20)

/**
 * payload_unpack() - unpack bytes
 * @packed: gzip, xz, lzma, bzip2, lz4 or zstd; what follows their end does not matter
 * @size: how many
 * @out: the result; free it with free(). NULL on failure.
 * @out_size: how many bytes it has
 *
 * Return: 0, or a negative errno: -EBADMSG for what is damaged or packed in another way, in
 * which case @out has what came before that, -ENOMEM, -EFBIG for more than %PAYLOAD_MAX.
 */
int payload_unpack(const void *packed, size_t size, char **out, size_t *out_size);

#endif /* PAYLOAD_H */
