/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in for lib/preserve-radix/env.h where the tests include the layout of the map's
 * pages.
 */

#ifndef SHIM_ENV_H
#define SHIM_ENV_H

#include <linux/build_bug.h>
#include <linux/types.h>

#define PRMAP_SHIFT	12

#endif /* SHIM_ENV_H */
