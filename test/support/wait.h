/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_WAIT_H
#define CCS_TEST_WAIT_H

/*
 * Waiting for a condition with a deadline. The environment variable CCS_TEST_SLOW, a factor,
 * stretches all deadlines for slow machines and slow tools; 1 if not set.
 */

#include <stdint.h>

/* Long enough for anything that is going to happen at all, before stretching. */
#define CCS_WAIT_DEFAULT 30000

/* Milliseconds stretched by CCS_TEST_SLOW. */
int ccs_wait_scaled(int ms);

/* Looks at cond(arg) every few milliseconds until it is true (returns 1) or max_ms have passed
 * (returns 0). max_ms 0 stands for CCS_WAIT_DEFAULT. */
int ccs_wait_until(int (*cond)(void *arg), void *arg, int max_ms);

/* Lets so many milliseconds pass. For tests of time itself, never as a substitute for a condition.
 */
void ccs_wait_pass(int ms);

/* Milliseconds of a clock that never jumps, with fractions. */
double ccs_wait_clock(void);

#endif
