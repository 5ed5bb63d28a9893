/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_FAULT_H
#define CCS_FAULT_H

/*
 * Places inside critical sections where a test may end the process. A program that defines
 * CCS_FAULT_POINTS compiles the rooms in question itself and brings ccs_fault() along; anywhere
 * else it is nothing.
 */

#ifdef CCS_FAULT_POINTS
void ccs_fault(const char *point);
#else
static inline void ccs_fault(const char *point)
{
    (void)point;
}
#endif

#endif
