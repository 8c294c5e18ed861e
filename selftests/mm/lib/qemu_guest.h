/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest for QEMU: the boot sector of a disk, which is all of it.
 *
 * It counts rounds. In each it goes through its memory from 1 MiB to 48 MiB page by page, looks
 * at a word that the round before has written, and writes another one. Then it says on the first
 * serial line "R" and the round, or "W" and the address of a word that is wrong, eight
 * hexadecimal digits each, and a line feed.
 */

#ifndef QEMU_GUEST_H
#define QEMU_GUEST_H

#define QEMU_GUEST_SIZE	512

#ifndef __ASSEMBLER__
extern const unsigned char qemu_guest[QEMU_GUEST_SIZE];
#endif

#endif /* QEMU_GUEST_H */
