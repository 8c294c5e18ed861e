/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's fault injection: the n-th allocation of this thread fails.
 * Needs the debug kernel.
 */

#ifndef FAULT_H
#define FAULT_H

#include <stdbool.h>

/* Makes every kind of allocation a candidate. Ends the test without faults. */
void fault_setup(void);

/* The @nth allocation from now on fails; 0 stops it. */
void fault_arm(unsigned int nth);

/* Stops it. Was there such an allocation? */
bool fault_disarm(void);

#endif /* FAULT_H */
