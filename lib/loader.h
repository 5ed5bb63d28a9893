/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_LOADER_H
#define CCS_LOADER_H

/*
 * Loader threads and their jobs (jobs.h): at most one job per stem, however many wait for it. The
 * threads start with the first job, and give way to handshakes (priority.h). A job that finds a
 * file half-written comes again after a while. A thread that hangs in the store or gets no
 * processor is replaced, up to a limit.
 *
 * One lock, given by the owner of the loader, guards jobs and waiters; functions that end in
 * _locked want it held.
 */

#include <pthread.h>

#include <ccs/ccs.h>

#include "credential.h"
#include "jobs.h"
#include "priority.h"

struct ccs_loaded {
    int code;
    enum ccs_result result;
    struct ccs_cred *cred; /* a reference, released by the loader; set when code is CCS_OK */
    struct ccs_error error;
};

struct ccs_loader_ops {
    /*
     * Loads; fills *out. Returns 0 if that is final, or milliseconds after which to try again. Who
     * waits is patient once: from the second such answer on, they are told what *out says so far.
     * With code CCS_PENDING somebody else is at it: that does not count as an attempt.
     */
    int64_t (*load)(const struct ccs_task *task, struct ccs_loaded *out, void *arg);
    /* Lock held. Waiters are the callee's, and wait for this job no more. May submit further jobs.
     */
    void (*finish_locked)(const struct ccs_task *task, const struct ccs_loaded *loaded,
                          struct ccs_waiters *waiters, void *arg);
    /* After that, with no lock held. */
    void (*finished)(void *arg);
    void *arg;
};

struct ccs_loader;

#define CCS_LOADER_STUCK_MAX 8

/*
 * threads: how many work at once; max_jobs: most jobs known at once; stuck_ms: a load that takes
 * longer counts as stuck. New, or NULL: no memory.
 */
struct ccs_loader *ccs_loader_new(pthread_mutex_t *lock, unsigned threads, size_t max_jobs,
                                  int64_t stuck_ms, const struct ccs_loader_ops *ops);

/*
 * Lets waiter (may be NULL) wait for a stem's job, which is made if there is none. CCS_OK,
 * CCS_EBUSY if there are too many, CCS_ENOMEM, CCS_ECLOSED.
 */
int ccs_loader_submit_locked(struct ccs_loader *loader, const char *stem, uint64_t hash,
                             unsigned flags, struct ccs_waiter *waiter);

/* To be called once a second or so: sees to threads that starve. Returns when again (ccs_now_ms) if
 * that is sooner, or INT64_MAX. Call without the lock. */
int64_t ccs_loader_tend(struct ccs_loader *loader);

/* 1 if a stem has a job. */
int ccs_loader_has_locked(struct ccs_loader *loader, const char *stem, uint64_t hash);

/* The waiter waits no longer; its job goes on. */
void ccs_loader_leave_locked(struct ccs_waiter *waiter);

/* The first half of a stop: no more jobs, then waits. 1 if all threads have ended. May be repeated.
 */
int ccs_loader_end(struct ccs_loader *loader, int64_t timeout_ms);

/*
 * No more jobs: queued ones are dropped, running ones end without finishing. Waits for the threads
 * for at most timeout_ms; 1 if all have ended. Waiters must have left. Call without the lock.
 */
int ccs_loader_stop(struct ccs_loader *loader, int64_t timeout_ms);

/* Other times than the usual ones. Before the first job. */
void ccs_loader_set_times(struct ccs_loader *loader, const struct ccs_priority_times *times);

/* After a stop that returned 1. */
void ccs_loader_free(struct ccs_loader *loader);

#endif
