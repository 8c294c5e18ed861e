// SPDX-License-Identifier: GPL-2.0-only
/* See chance.h. */

#include "chance.h"

#include <stdlib.h>
#include <sys/random.h>

#include "stage.h"

static __thread __u64 state;

void chance_start(const char *text)
{
	if (text)
		state = strtoull(text, NULL, 0);
	else
		require(getrandom(&state, sizeof(state), 0) == sizeof(state),
			"a random seed");
	state |= 1;
}

void chance_go_on(__u64 seed)
{
	state = seed | 1;
}

__u64 chance_seed(void)
{
	return state;
}

/* xorshift64*. */
__u64 below(__u64 end)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return ((state * 0x2545f4914f6cdd1dULL) >> 11) % end;
}
