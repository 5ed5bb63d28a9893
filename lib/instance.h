/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_INSTANCE_H
#define CCS_INSTANCE_H

/*
 * The instance: what ccs.c opens and closes, acquire.c asks and upkeep.c keeps fresh.
 *
 * Lock order: ccs.lock, then one of the leaves (the cache's writer lock, the log queue's lock). No
 * leaf is held while another one is taken. Nothing is called out (store, decoding, log callback,
 * done callback) with any of them held.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <ccs/ccs.h>

#include "cache.h"
#include "fetch.h"
#include "index.h"
#include "latency.h"
#include "loader.h"
#include "log.h"
#include "notify.h"
#include "refresh.h"
#include "settings.h"
#include "shared.h"
#include "store.h"

struct ccs_request;
TAILQ_HEAD(ccs_requests, ccs_request);

/* What each process counts for itself, and what is true of it now (counters.h). */
enum {
    CCS_COUNT_HITS,
    CCS_COUNT_SHARED,
    CCS_COUNT_MISSES,
    CCS_COUNT_NOT_FOUND,
    CCS_COUNT_REFUSED,
    CCS_COUNT_LOADS,
    CCS_COUNT_LOAD_ERRORS,
    CCS_COUNT_TIMEOUTS,
    CCS_COUNT_BUSY,
    CCS_COUNT_READS,
    CCS_COUNT_DECODES,
    CCS_COUNT_END
};
enum { CCS_GAUGE_WAITING, CCS_GAUGE_STORE_DOWN };

/* What is counted for all processes in one place: failures by their codes, and from here on … */
enum {
    CCS_COMMON_PROBES = 47,                                    /* looks at unknown names */
    CCS_COMMON_LOADS = 48,                                     /* how long loads took */
    CCS_COMMON_WAITS = CCS_COMMON_LOADS + CCS_LATENCY_BUCKETS, /* how long requests waited */
    CCS_COMMON_END = CCS_COMMON_WAITS + CCS_LATENCY_BUCKETS
};
_Static_assert(CCS_COMMON_END <= CCS_COUNTERS_COMMON, "counters of all processes");

struct ccs {
    struct ccs_config *config; /* a reference; settings borrows from it */
    struct ccs_settings settings;
    struct ccs_log *log;
    struct ccs_shared *shared;       /* a reference */
    const struct ccs_layout *layout; /* of shared */
    uint64_t store_id;               /* says in shared memory which store it is */
    uint64_t mend;                   /* digest of what could mend a refused file */
    uint64_t configuration;          /* number of the configuration, for the lease */
    int64_t next_beat;
    struct ccs_lease lease; /* zero: another process looks after the store; see upkeep.c */
    struct ccs_cache *cache;
    struct ccs_store *store;
    struct ccs_index index; /* of the names in the store */
    struct ccs_refresh *refresh;
    struct ccs_loader *loader;
    struct ccs_fetcher fetcher;
    struct ccs_notify notify;
    struct ccs_counters_slot *counters; /* of this instance, in shared memory */
    uint64_t incarnation;
    atomic_bool store_down;
    atomic_bool closing;

    pthread_mutex_t lock;          /* jobs, requests and the lists below */
    struct ccs_requests pending;   /* those with a deadline, the earliest first */
    struct ccs_requests completed; /* wait for ccs_dispatch() */
    size_t waiting;                /* requests in pending, and blocked callers */
};

static inline void ccs_count(struct ccs *ccs, unsigned which)
{
    ccs_counters_add(ccs->counters, which, 1);
}

/*
 * Moves when all failures of the store end at once. Failures are believed while it, and the stem's
 * generation, are what they were: both only grow, so that their sum tells.
 */
static inline uint64_t ccs_failure_epoch(const struct ccs *ccs)
{
    return ccs_vault_generation(&ccs->layout->vault, ccs->store_id);
}

/* ccs_open() with a store of the caller's choice, which is taken over also on failure. */
int ccs_open_with(struct ccs_config *cfg, struct ccs_store *store, struct ccs **out,
                  struct ccs_error *err);

/* -- acquire.c -- */

/* For the loader: hands a finished job to those who waited for it. */
void ccs_acquire_finish_locked(const struct ccs_task *task, const struct ccs_loaded *loaded,
                               struct ccs_waiters *waiters, void *arg);

/* For the refresher: ends requests whose time is up; returns the next deadline. */
int64_t ccs_acquire_timers(int64_t now_ms, void *arg);

/* [owner] Runs callbacks of completed requests, at most max (0: all); returns how many. */
unsigned ccs_acquire_dispatch(struct ccs *ccs, unsigned max);

/* [owner] Ends all requests with CCS_ECLOSED. */
void ccs_acquire_close(struct ccs *ccs);

/* -- load.c -- */

/* For the loader: one run of a job. */
int64_t ccs_load(const struct ccs_task *task, struct ccs_loaded *out, void *arg);

/* -- upkeep.c -- */

/* Fills the refresher's callbacks. */
void ccs_upkeep_ops(struct ccs *ccs, struct ccs_refresh_ops *ops);

#endif
