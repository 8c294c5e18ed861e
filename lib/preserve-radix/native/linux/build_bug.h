/* SPDX-License-Identifier: GPL-2.0-only */
/* What the preserve map's public header needs of the kernel, for native builds. */
#include "../prmap_native.h"
