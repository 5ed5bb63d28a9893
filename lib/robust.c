/* SPDX-License-Identifier: Apache-2.0 */
#include "robust.h"

#include <errno.h>

/* A lock is held for about a microsecond; if it is not free after this, its holder is not running.
 */
#define TRIES 64

int ccs_robust_init(pthread_mutex_t *m)
{
    pthread_mutexattr_t attr;
    int rc;

    if (pthread_mutexattr_init(&attr) != 0)
        return CCS_ENOMEM;
    rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (rc == 0)
        rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (rc == 0)
        rc = pthread_mutex_init(m, &attr);
    pthread_mutexattr_destroy(&attr);
    return rc == 0 ? CCS_OK : CCS_ENOMEM;
}

static int try_lock(pthread_mutex_t *m)
{
    int rc = EBUSY;

    for (int i = 0; i < TRIES && rc == EBUSY; i++) {
        rc = pthread_mutex_trylock(m);
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    return rc;
}

int ccs_robust_lock(pthread_mutex_t *m, enum ccs_lock_mode mode, bool *died)
{
    int rc = mode == CCS_LOCK_TRY ? try_lock(m) : pthread_mutex_lock(m);

    *died = rc == EOWNERDEAD;
    if (rc == 0 || rc == EOWNERDEAD)
        return CCS_OK;
    return rc == EBUSY ? CCS_EBUSY : CCS_EUNAVAIL;
}

void ccs_robust_repaired(pthread_mutex_t *m)
{
    (void)pthread_mutex_consistent(m);
}

void ccs_robust_unlock(pthread_mutex_t *m)
{
    (void)pthread_mutex_unlock(m);
}
