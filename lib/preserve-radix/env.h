/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The environment of the preserve map: the only header outside of its own that
 * its files include. In the kernel these are the usual ones, natively
 * native/prmap_native.h stands in for them.
 */
#ifndef _PRMAP_ENV_H
#define _PRMAP_ENV_H

#ifdef __KERNEL__

#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/io.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/xxhash.h>

#define PRMAP_SHIFT	PAGE_SHIFT

#else

#include "native/prmap_native.h"

#endif

#endif /* _PRMAP_ENV_H */
