/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Other programs: systemd's own command.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <stdbool.h>
#include <stddef.h>

/* Our unit that saves at shutdown, when all others have stopped. */
#define SAVE_UNIT	"preserve-save.service"

/* Does systemd run here? */
bool systemd_runs(void);

/**
 * spawn() - run a program, and wait for it
 * @argv: its words, the first of which is its path; ended by NULL
 * @output: where to write what it says, or NULL: that goes where ours goes
 * @size: room there
 *
 * It has none of our descriptors.
 *
 * Return: its exit status, or a negative errno: -ECHILD if a signal has killed it; it has not
 * run otherwise.
 */
int spawn(char *const *argv, char *output, size_t size);

/* "systemctl VERB UNIT...". Return: as spawn(). */
int systemctl(const char *verb, char *const *units, unsigned int nr);

/* Is this unit active? */
bool systemd_is_active(const char *unit);

/*
 * Is a kexec on its way, so that systemd stops everything for it? Return: 1 or 0, or a negative
 * errno if that cannot be known.
 */
int systemd_goes_to_kexec(void);

#endif /* SPAWN_H */
