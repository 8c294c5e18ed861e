/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What was saved in part, because something could not be, is completed.
 */
#ifndef PART_H
#define PART_H

#include "keeper.h"

/**
 * part_complete() - save what is missing
 * @part: the keeper of the session; another takes its place
 * @kept: the keeper of what is kept under that name
 * @service: the caller is a service of ours, in which the keeper may stay
 *
 * What is saved stays so, whatever happens. What cannot be saved this time either is told the
 * user.
 *
 * Return: the exit status: %CTL_PARTLY if something was saved, and something is missing still.
 */
int part_complete(const struct keeper *part, pid_t kept, bool service);

#endif /* PART_H */
