/* SPDX-License-Identifier: GPL-2.0-only */
/* For the kernel's headers in user space: what its installation takes out of them. */

#ifndef SHIM_COMPILER_H
#define SHIM_COMPILER_H

#define __user

#endif /* SHIM_COMPILER_H */
