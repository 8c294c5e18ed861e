/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the acts of the demo tell the person in front of the host.
 */

#ifndef DEMO_SHOW_H
#define DEMO_SHOW_H

#include <stdio.h>

#define show(fmt, ...) printf("SHOW " fmt "\n", ##__VA_ARGS__)

/* A step that cannot fail without ending the demo. Gives back @result. */
int must(int result, const char *what);

/* Moves the line that shows how far loading is. */
void show_progress(unsigned int rows);

/* "1.23 s", or the unit that fits; four texts at a time. */
const char *seconds_text(double seconds);

#endif /* DEMO_SHOW_H */
