// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading kernel images. The note says what the kernel takes over
 * (include/linux/kho/abi/preserve.h); it is looked for in the unpacked bytes, as a packed
 * image has no table of notes.
 */

#include "image.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "payload.h"

#define NOTE_NAME	"Preserve"
#define NOTE_TYPE	1
#define NOTE_MAX	4096

/* The x86 boot protocol's header. */
#define X86_SECTORS	0x1f1
#define X86_MAGIC	0x202
#define X86_VERSION	0x20e	/* where the release is, less 0x200 */
#define X86_PAYLOAD	0x248
#define X86_LENGTH	0x24c
#define X86_INIT_SIZE	0x260
#define X86_HEADER_END	0x264

/* The header of an arm64 Image. */
#define ARM64_SIZE	0x10
#define ARM64_MAGIC	0x38

/* An EFI image that unpacks itself. */
#define ZBOOT_MAGIC	4
#define ZBOOT_PAYLOAD	8
#define ZBOOT_LENGTH	12
#define ZBOOT_TYPE	24
#define ZBOOT_END	32

/* Bytes of an image. */
struct bytes {
	const unsigned char *at;
	size_t size;
};

static bool has(const struct bytes *bytes, size_t offset, const char *magic, size_t size)
{
	return offset <= bytes->size && size <= bytes->size - offset &&
	       !memcmp(bytes->at + offset, magic, size);
}

static uint32_t get32(const struct bytes *bytes, size_t offset)
{
	uint32_t value;

	memcpy(&value, bytes->at + offset, sizeof(value));
	return le32toh(value);
}

static uint16_t get16(const struct bytes *bytes, size_t offset)
{
	uint16_t value;

	memcpy(&value, bytes->at + offset, sizeof(value));
	return le16toh(value);
}

/* The note at the place where its name stands, or NULL. */
static char *note_at(const struct bytes *bytes, size_t name)
{
	size_t text = name + (sizeof(NOTE_NAME) + 3) / 4 * 4;
	uint32_t size;

	if (name < 12 || get32(bytes, name - 12) != sizeof(NOTE_NAME) ||
	    get32(bytes, name - 4) != NOTE_TYPE)
		return NULL;
	size = get32(bytes, name - 8);
	if (!size || size > NOTE_MAX || text > bytes->size || size > bytes->size - text)
		return NULL;
	return strndup((const char *)bytes->at + text, size);
}

static char *find_note(const struct bytes *bytes)
{
	const unsigned char *at = bytes->at, *end = bytes->at + bytes->size;
	char *note;

	while ((at = memmem(at, end - at, NOTE_NAME, sizeof(NOTE_NAME)))) {
		note = note_at(bytes, at - bytes->at);
		if (note)
			return note;
		at++;
	}
	return NULL;
}

/* The release is the second word after "Linux version ". */
static void find_release(const struct bytes *bytes, struct image *image)
{
	static const char before[] = "Linux version ";
	const unsigned char *at = memmem(bytes->at, bytes->size, before, sizeof(before) - 1);
	size_t len = 0, left;

	if (!at || *image->release)
		return;
	at += sizeof(before) - 1;
	left = bytes->at + bytes->size - at;
	while (len < left && len + 1 < sizeof(image->release) && at[len] > ' ' && at[len] < 0x7f)
		len++;
	memcpy(image->release, at, len);
	image->release[len] = '\0';
}

static int look_at_unpacked(const struct bytes *bytes, struct image *image)
{
	image->formats = find_note(bytes);
	find_release(bytes, image);
	return 0;
}

static int look_at_packed(const struct bytes *packed, struct image *image)
{
	struct bytes bytes;
	size_t size;
	char *out;
	int err;

	err = payload_unpack(packed->at, packed->size, &out, &size);
	if (err == -EBADMSG && out) {
		/* Something follows the payload's end, or it is damaged: what is there counts. */
		bytes = (struct bytes){ (unsigned char *)out, size };
		look_at_unpacked(&bytes, image);
		err = image->formats || *image->release ? 0 : -EBADMSG;
	} else if (!err) {
		bytes = (struct bytes){ (unsigned char *)out, size };
		err = look_at_unpacked(&bytes, image);
	}
	free(out);
	return err;
}

static void x86_release(const struct bytes *bytes, struct image *image)
{
	size_t at = get16(bytes, X86_VERSION) + 0x200UL, len = 0;

	if (at == 0x200)
		return;
	while (at + len < bytes->size && len + 1 < sizeof(image->release) &&
	       bytes->at[at + len] > ' ' && bytes->at[at + len] < 0x7f)
		len++;
	if (at + len <= bytes->size) {
		memcpy(image->release, bytes->at + at, len);
		image->release[len] = '\0';
	}
}

static int look_at_bzimage(const struct bytes *bytes, struct image *image)
{
	unsigned int sectors = bytes->at[X86_SECTORS] ? bytes->at[X86_SECTORS] : 4;
	uint64_t start = get32(bytes, X86_PAYLOAD) + (sectors + 1) * 512ULL;
	struct bytes payload = { NULL, get32(bytes, X86_LENGTH) };

	image->need = get32(bytes, X86_INIT_SIZE);
	x86_release(bytes, image);
	if (start > bytes->size || payload.size > bytes->size - start)
		return -EBADMSG;
	payload.at = bytes->at + start;
	if (has(&payload, 0, ELFMAG, SELFMAG))
		return look_at_unpacked(&payload, image);
	return look_at_packed(&payload, image);
}

static int look_at_zboot(const struct bytes *bytes, struct image *image)
{
	uint64_t start = get32(bytes, ZBOOT_PAYLOAD);
	struct bytes payload = { NULL, get32(bytes, ZBOOT_LENGTH) };

	if (start > bytes->size || payload.size > bytes->size - start)
		return -EBADMSG;
	payload.at = bytes->at + start;
	return look_at_packed(&payload, image);
}

static bool is_arm64(const struct bytes *bytes)
{
	return has(bytes, ARM64_MAGIC, "ARM\x64", 4);
}

int image_parse(const unsigned char *data, size_t size, struct image *image)
{
	struct bytes bytes = { data, size };
	struct bytes unpacked;
	char *out;
	size_t out_size;
	int err;

	*image = (struct image){};
	if (size >= X86_HEADER_END && has(&bytes, X86_MAGIC, "HdrS", 4))
		return look_at_bzimage(&bytes, image);
	if (size >= ZBOOT_END && has(&bytes, 0, "MZ", 2) && has(&bytes, ZBOOT_MAGIC, "zimg", 4))
		return look_at_zboot(&bytes, image);
	if (is_arm64(&bytes) || has(&bytes, 0, ELFMAG, SELFMAG)) {
		if (is_arm64(&bytes))
			image->need = get32(&bytes, ARM64_SIZE);
		return look_at_unpacked(&bytes, image);
	}
	if (!has(&bytes, 0, "\x1f\x8b", 2))
		return -ENOEXEC;
	/* Image.gz. */
	err = payload_unpack(data, size, &out, &out_size);
	unpacked = (struct bytes){ (unsigned char *)out, out_size };
	err = err && !out ? err : is_arm64(&unpacked) ? look_at_unpacked(&unpacked, image) :
							-ENOEXEC;
	free(out);
	return err;
}

int image_read(const char *path, struct image *image)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct stat st;
	void *bytes;

	*image = (struct image){};
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode) || !st.st_size || st.st_size > (off_t)PAYLOAD_MAX)
		err = S_ISDIR(st.st_mode) ? -EISDIR : -ENOEXEC;
	else
		err = 0;
	bytes = err ? MAP_FAILED : mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (!err && bytes == MAP_FAILED)
		err = -errno;
	if (!err) {
		err = image_parse(bytes, st.st_size, image);
		munmap(bytes, st.st_size);
	}
	close(fd);
	if (err)
		image_free(image);
	return err;
}

void image_free(struct image *image)
{
	free(image->formats);
	*image = (struct image){};
}
