/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the user wants to save: from a word to a descriptor.
 */
#ifndef TARGET_H
#define TARGET_H

#include "manifest.h"

/**
 * struct target - One thing to save.
 * @kind:  What it is.
 * @label: What the user calls it, or NULL.
 * @path:  Where it is; of a memfd, what it is called.
 * @fd:    It; -1 if it cannot be opened.
 * @saved: The kernel has taken it.
 */
struct target {
	enum item_kind kind;
	char *label;
	char *path;
	int fd;
	bool saved;
};

/**
 * target_open() - find what a word means
 * @word: [LABEL=]DIRECTORY, a mount's root; [LABEL=]FILE of a tmpfs; or [LABEL=]PID:FD
 * @target: filled in; free it with target_close()
 *
 * What is wrong is told the user.
 *
 * Return: the exit status.
 */
int target_open(const char *word, struct target *target);

/**
 * target_reopen() - what has been restored, once more
 * @item: what it is
 * @keeper: the process that keeps it
 * @fd: its descriptor there; not of a file
 * @target: filled in
 *
 * Return: the exit status.
 */
int target_reopen(const struct item *item, pid_t keeper, int fd, struct target *target);

/* One that cannot be opened now, so that it stays on the list. Return: the exit status. */
int target_absent(const struct item *item, struct target *target);

void target_close(struct target *target);

#endif /* TARGET_H */
