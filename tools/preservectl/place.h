/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What has come back goes to where it was.
 */
#ifndef PLACE_H
#define PLACE_H

#include <stdbool.h>

/* Makes a directory, and those above it. Return: 0, or a negative errno. */
int place_make_directories(const char *dir);

/* Has a directory no entry? False if that cannot be known. */
bool place_is_empty(const char *dir);

/**
 * place_mount() - attach a mount
 * @fd: from the session
 * @dir: where; made if it is not there
 * @over: also over another mount that has something in it
 *
 * Nothing happens if it is there already.
 *
 * Return: 0, or a negative errno: -EEXIST if another mount is there and has something in it,
 * or mounts are below it.
 */
int place_mount(int fd, const char *dir, bool over);

/**
 * place_file() - copy a file
 * @fd: from the session
 * @path: where to; its directories are made if they are not there
 * @over: also in place of another file
 *
 * With owner, mode, times and extended attributes, and its holes. It is at @path whole, or
 * not at all. Nothing happens if it is there already.
 *
 * Return: 0, or a negative errno: -EEXIST if another file is there.
 */
int place_file(int fd, const char *path, bool over);

#endif /* PLACE_H */
