/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_COMPANION_H
#define CCS_COMPANION_H

/*
 * A loader thread's companion: a thread at SCHED_IDLE, to which the loader thread hands what takes
 * long, and for which it waits.
 *
 * A thread at SCHED_IDLE may get no processor for seconds, wherever it happens to be. So only work
 * is handed over that takes no lock, inside OpenSSL neither, that a thread of the server wants too;
 * above all none that makes or releases objects with extra data, such as certificates and keys. Key
 * derivation in the library's own context is such work, and most of all that has to be done.
 */

#include "priority.h"

struct ccs_companion;

/*
 * New, or NULL if there can be none. *priority describes its thread from then on. For the calling
 * thread, which has no other and ends it.
 */
struct ccs_companion *ccs_companion_start(struct ccs_thread_priority *priority);

/* NULL is fine. Waits until the thread has ended. */
void ccs_companion_end(struct ccs_companion *c);

/* From now on the calling thread's work goes to c; NULL: it does all of it itself, as at first. */
void ccs_companion_use(struct ccs_companion *c);

/*
 * Between two pieces of work: a companion, or a thread that has one in use, lets others go first.
 * Without that, and once it has its turn, the kernel leaves it the processor up to the next tick,
 * for milliseconds, whatever its priority is. Not for callers that hold a lock.
 */
void ccs_companion_yield(void);

/*
 * Calls fn(arg) in the companion, if one is in use, and returns what it returns. That OpenSSL had
 * no memory for it is in the calling thread's error queue afterwards; what else it may have said if
 * fn returned anything but 0 is not.
 */
int ccs_companion_call(int (*fn)(void *arg), void *arg);

#endif
