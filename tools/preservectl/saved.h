/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Saving and restoring, for the commands that do it on their way. The caller has the lock.
 */
#ifndef SAVED_H
#define SAVED_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf.h"

/**
 * struct saved - What save_kept() has saved.
 * @keepers: The processes that hold it; free it with free().
 * @nr:      How many.
 */
struct saved {
	pid_t *keepers;
	unsigned int nr;
};

/**
 * save_kept() - save what is kept and not saved, name by name
 * @service: the caller is a service of ours, in which keepers may stay
 * @all: all or nothing: if one fails, those that were saved by this call are taken back, but
 *       for what completes a part. Otherwise what can be saved is: other names, and the other
 *       items of a name.
 * @only: those names alone that have units to stop there; NULL for all
 * @saved: filled in
 *
 * Return: the exit status; %CTL_PARTLY if some are saved, and others are not.
 */
int save_kept(bool service, bool all, const struct conf *only, struct saved *saved);

/* Takes it back, and frees the list. Return: the exit status. */
int saved_take_back(struct saved *saved);

/**
 * restore_name() - restore what has come under this name
 * @name: the name
 * @service: as for save_kept()
 * @come: something had come
 *
 * Return: the exit status; %CTL_DONE if nothing has come, or all is restored already.
 */
int restore_name(const char *name, bool service, bool *come);

/* Restores all that has come. Return: the exit status. */
int restore_everything(bool service);

#endif /* SAVED_H */
