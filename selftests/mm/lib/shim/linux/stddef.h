/* SPDX-License-Identifier: GPL-2.0-only */
/* For the kernel's headers in user space: the system's, and offsetof(). */

#ifndef SHIM_STDDEF_H
#define SHIM_STDDEF_H

#include_next <linux/stddef.h>
#include <stddef.h>

#endif /* SHIM_STDDEF_H */
