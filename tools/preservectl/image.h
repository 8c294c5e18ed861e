/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel images: is it one, what does it take over, how much memory does it need to start?
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>
#include <stdint.h>

/**
 * struct image - What is known of a kernel image.
 * @formats:  The text of its note %PRESERVE_ABI_NOTE; NULL if it has none.
 * @release:  Its release, as uname -r shows it; empty if it is not known.
 * @need:     Memory to start in, bytes; 0 if it is not known.
 */
struct image {
	char *formats;
	char release[128];
	uint64_t need;
};

/**
 * image_read() - look into an image
 * @path: a bzImage, a vmlinux, or an arm64 Image, packed or not
 * @image: filled in; free it with image_free()
 *
 * Return: 0, or a negative errno: -ENOEXEC for what is no kernel, -EBADMSG for one whose
 * content cannot be read.
 */
int image_read(const char *path, struct image *image);

/* The same with bytes; they may be of an enemy's making. */
int image_parse(const unsigned char *bytes, size_t size, struct image *image);

void image_free(struct image *image);

#endif /* IMAGE_H */
