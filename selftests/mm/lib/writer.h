/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A process that writes a mapped file all the time, and notices a lost write.
 *
 * It goes over the file's words in order, again and again: in round n, each word
 * has to hold n - 1 and gets n. So the file is at any moment a row of n followed
 * by a row of n - 1, also where a kexec cuts it off.
 */

#ifndef WRITER_H
#define WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct writer;

/* The file is empty or all zero; its first @length bytes are written. */
struct writer *writer_start(int fd, size_t length);

/* Waits for @nr further rounds. False after a lost write. */
bool writer_goes_on(struct writer *writer, unsigned int nr);

/* Ends it. False after a lost write. */
bool writer_stop(struct writer *writer);

/* Is this what a writer leaves, after one round at least? */
bool writer_left(int fd, size_t length);

/* A child that writes @text to a file over and over, until writer_loop_stop(). */
pid_t writer_loop(const char *path, const char *text);
void writer_loop_stop(pid_t pid);

#endif /* WRITER_H */
