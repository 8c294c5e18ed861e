// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the acts of the demo tell; see show.h.
 */

#include "show.h"

#include <stdlib.h>
#include <string.h>

int must(int result, const char *what)
{
	if (result < 0) {
		show("  failed: %s: %s", what, strerror(-result));
		exit(1);
	}
	return result;
}

void show_progress(unsigned int rows)
{
	printf("PROGRESS %u\n", rows);
}

const char *seconds_text(double seconds)
{
	static char text[4][32];
	static int next;
	char *out = text[next++ % 4];

	if (seconds >= 1)
		snprintf(out, sizeof(text[0]), "%.2f s", seconds);
	else if (seconds >= 0.001)
		snprintf(out, sizeof(text[0]), "%.2f ms", seconds * 1e3);
	else
		snprintf(out, sizeof(text[0]), "%.0f us", seconds * 1e6);
	return out;
}
