/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_SUSPECT_H
#define CCS_SUSPECT_H

/*
 * A store in which many files are missing at once looks like one that was unmounted, emptied by
 * mistake or is being copied far more often than like one that somebody cleared on purpose. What
 * came counts then all the same; what went waits.
 */

#include <stdbool.h>
#include <stddef.h>

#define CCS_SUSPECT_MIN   10 /* so many may go at once in any store */
#define CCS_SUSPECT_SHARE 10 /* and one in so many */

/* known: how many were there; absent: how many of them are not; empty: the folder has no file. */
static inline bool ccs_suspect(size_t known, size_t absent, bool empty)
{
    const size_t share = known / CCS_SUSPECT_SHARE;

    return (absent > 0 && empty) || absent > (share > CCS_SUSPECT_MIN ? share : CCS_SUSPECT_MIN);
}

#endif
