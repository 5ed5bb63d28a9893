/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_ROBUST_H
#define CCS_ROBUST_H

/*
 * A mutex in shared memory that outlives the death of whoever holds it. Whoever takes it next is
 * told, repairs what it guards, and says so; dying in the middle of the repair is no different.
 *
 * What a process had stored when SIGKILL hit it is exactly what its instructions had stored up to
 * one of them, and the kernel passes the mutex on only after that. So all that recovery needs is
 * that the compiler keeps marks and data in order; the processor does by itself.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <ccs/ccs.h>

#include "base.h"

enum ccs_lock_mode {
    CCS_LOCK_WAIT, /* a holder may have lost its processor for many milliseconds */
    CCS_LOCK_TRY   /* for event loops: a few tries, then CCS_EBUSY */
};

int ccs_robust_init(pthread_mutex_t *m); /* CCS_OK or CCS_ENOMEM */

/*
 * CCS_OK: held. If *died is true then, the last holder died with it: repair, then call
 * ccs_robust_repaired() before unlocking. CCS_EBUSY: CCS_LOCK_TRY, and somebody else has it.
 * CCS_EUNAVAIL: nobody will ever have it again.
 */
int ccs_robust_lock(pthread_mutex_t *m, enum ccs_lock_mode mode, bool *died);
void ccs_robust_repaired(pthread_mutex_t *m);
void ccs_robust_unlock(pthread_mutex_t *m);

/* What stands before it is stored before what stands after it, as a successor of the dead sees. */
static inline void ccs_robust_order(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

#endif
