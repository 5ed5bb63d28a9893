/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_JOBS_H
#define CCS_JOBS_H

/*
 * The jobs of a loader: at most one per stem, in queues of those that somebody waits for, of
 * others, and of those to come later. A job that a thread has taken is in no queue until it is put
 * back or dropped.
 *
 * There is no lock here: callers hold the one of the loader. All times are ccs_now_ms().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "name.h"

enum {
    CCS_JOB_BACKGROUND = 1 << 0, /* nobody waits: behind all jobs that somebody waits for */
    CCS_JOB_CHANGED = 1 << 1,    /* what a running job reads may be out of date: run it once more */
    CCS_JOB_REMOVED = 1 << 2     /* files that are not there are gone for good */
};

struct ccs_task {
    char stem[CCS_STEM_SIZE];
    uint64_t hash;
    unsigned flags;
    unsigned attempt; /* 0 the first time */
};

struct ccs_waiter {
    TAILQ_ENTRY(ccs_waiter) link;
    struct ccs_job *job; /* NULL: waits for none */
};
TAILQ_HEAD(ccs_waiters, ccs_waiter);

enum ccs_job_state { CCS_JOB_QUEUED, CCS_JOB_DELAYED, CCS_JOB_RUNNING };

struct ccs_job {
    struct ccs_jobs *jobs;
    LIST_ENTRY(ccs_job) bucket;
    TAILQ_ENTRY(ccs_job) queue; /* of its state's queue; running jobs are in none */
    struct ccs_task task;
    enum ccs_job_state state;
    bool background; /* which queue it is in, or would be */
    bool again;      /* what it reads has changed since it was taken */
    int64_t due_ms;  /* of a delayed one */
    struct ccs_waiters waiters;
};

LIST_HEAD(ccs_job_bucket, ccs_job);
TAILQ_HEAD(ccs_job_queue, ccs_job);

#define CCS_JOBS_BUCKETS 1024

struct ccs_jobs {
    struct ccs_job_bucket buckets[CCS_JOBS_BUCKETS];
    struct ccs_job_queue ready, background, delayed;
    size_t count, max;
    size_t queued; /* in ready and background */
};

/* max: most jobs at once. */
void ccs_jobs_init(struct ccs_jobs *jobs, size_t max);

/* Frees all jobs, in whatever state. Waiters must have left. */
void ccs_jobs_clear(struct ccs_jobs *jobs);

/* The job of a stem, or NULL. */
struct ccs_job *ccs_jobs_find(struct ccs_jobs *jobs, const char *stem, uint64_t hash);

bool ccs_jobs_is_full(const struct ccs_jobs *jobs);

/* Queues a new job for a stem that has none. NULL: they are full, or no memory. */
struct ccs_job *ccs_jobs_add(struct ccs_jobs *jobs, const char *stem, uint64_t hash,
                             bool background);

/* A job is asked for again, with flags: it may have to run sooner, or once more. */
void ccs_jobs_hurry(struct ccs_job *job, unsigned flags, int64_t now);

/* Moves a job before or behind those that somebody waits for. */
void ccs_jobs_rank(struct ccs_job *job, bool background);

/* Queues delayed jobs whose time has come; returns when the next one is due, or INT64_MAX. */
int64_t ccs_jobs_wake(struct ccs_jobs *jobs, int64_t now);

/* Takes the next job out of its queue, to be run; NULL if none is queued. */
struct ccs_job *ccs_jobs_take(struct ccs_jobs *jobs);

/* What becomes of a running job: it is queued again, comes later, or is freed. */
void ccs_jobs_requeue(struct ccs_job *job);
void ccs_jobs_delay(struct ccs_job *job, int64_t due_ms);
void ccs_jobs_drop(struct ccs_job *job);

/* The waiter waits for a job, or for none any longer; the job goes on. */
void ccs_jobs_join(struct ccs_job *job, struct ccs_waiter *waiter);
void ccs_jobs_leave(struct ccs_waiter *waiter);

#endif
