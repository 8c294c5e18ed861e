/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU as the distribution ships it, with a guest that counts rounds through its memory, and
 * checks in each what the last one has left there.
 *
 * QEMU's memory is a file. Its state without the memory is saved to another one, from where a
 * new QEMU goes on.
 */

#ifndef QEMU_H
#define QEMU_H

#include <stdbool.h>

#include "program.h"

/**
 * struct qemu - one that has been started
 * @program: the process
 * @monitor: its monitor's socket
 * @serial:  where what the guest says goes
 */
struct qemu {
	struct program program;
	int monitor;
	const char *serial;
};

/**
 * struct qemu_rounds - what a guest has said
 * @first: its first round
 * @last:  its last
 * @nr:    how many it has told of
 * @wrong: words that were not what the round before has left
 */
struct qemu_rounds {
	unsigned int first;
	unsigned int last;
	unsigned int nr;
	unsigned int wrong;
};

/* Bytes of the guest's memory, 64 MiB if nothing else is said; all of it there from the start? */
extern unsigned long long qemu_memory;
extern bool qemu_prealloc;

/*
 * Starts one: @accel is kvm or tcg, @memory and @serial are paths. With @incoming it waits
 * for qemu_load(). The guest's disk is made in /tmp.
 */
struct qemu qemu_start(const char *accel, const char *memory, const char *serial, bool incoming);

/* Waits until the guest has told of @nr rounds. */
void qemu_wait_rounds(const struct qemu *qemu, unsigned int nr);
struct qemu_rounds qemu_rounds(const char *serial);

/* Stops the guest and saves QEMU's state, without its memory, to @path; QEMU ends. */
void qemu_save(struct qemu *qemu, const char *path);

/* Loads what was saved, and lets the guest go on. */
void qemu_load(struct qemu *qemu, const char *path);

/* Ends it. */
void qemu_end(struct qemu *qemu);

#endif /* QEMU_H */
