/* SPDX-License-Identifier: GPL-2.0-only */
/* For the kernel's headers in user space: static_assert(), whose message is optional there. */

#ifndef SHIM_BUILD_BUG_H
#define SHIM_BUILD_BUG_H

#include <assert.h>

#undef static_assert
#define static_assert(expr, ...) __static_assert(expr, ##__VA_ARGS__, #expr)
#define __static_assert(expr, msg, ...) _Static_assert(expr, msg)

#endif /* SHIM_BUILD_BUG_H */
