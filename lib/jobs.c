/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs.h"

#include <stdlib.h>
#include <string.h>

void ccs_jobs_init(struct ccs_jobs *jobs, size_t max)
{
    memset(jobs, 0, sizeof(*jobs));
    jobs->max = max;
    for (size_t i = 0; i < CCS_JOBS_BUCKETS; i++)
        LIST_INIT(&jobs->buckets[i]);
    TAILQ_INIT(&jobs->ready);
    TAILQ_INIT(&jobs->background);
    TAILQ_INIT(&jobs->delayed);
}

void ccs_jobs_clear(struct ccs_jobs *jobs)
{
    for (size_t i = 0; i < CCS_JOBS_BUCKETS; i++) {
        struct ccs_job *job;

        while ((job = LIST_FIRST(&jobs->buckets[i])) != NULL) {
            LIST_REMOVE(job, bucket);
            free(job);
        }
    }
    ccs_jobs_init(jobs, jobs->max);
}

static struct ccs_job_bucket *bucket_of(struct ccs_jobs *jobs, uint64_t hash)
{
    return &jobs->buckets[hash % CCS_JOBS_BUCKETS];
}

struct ccs_job *ccs_jobs_find(struct ccs_jobs *jobs, const char *stem, uint64_t hash)
{
    struct ccs_job *job;

    LIST_FOREACH(job, bucket_of(jobs, hash), bucket)
    {
        if (job->task.hash == hash && strcmp(job->task.stem, stem) == 0)
            return job;
    }
    return NULL;
}

bool ccs_jobs_is_full(const struct ccs_jobs *jobs)
{
    return jobs->count >= jobs->max;
}

static struct ccs_job_queue *queue_of(const struct ccs_job *job)
{
    if (job->state == CCS_JOB_DELAYED)
        return &job->jobs->delayed;
    return job->background ? &job->jobs->background : &job->jobs->ready;
}

static void enqueue(struct ccs_job *job)
{
    job->state = CCS_JOB_QUEUED;
    job->jobs->queued++;
    TAILQ_INSERT_TAIL(queue_of(job), job, queue);
}

static void dequeue(struct ccs_job *job)
{
    job->jobs->queued -= job->state == CCS_JOB_QUEUED;
    TAILQ_REMOVE(queue_of(job), job, queue);
}

struct ccs_job *ccs_jobs_add(struct ccs_jobs *jobs, const char *stem, uint64_t hash,
                             bool background)
{
    struct ccs_job *job;

    if (ccs_jobs_is_full(jobs))
        return NULL;
    job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    memcpy(job->task.stem, stem, strnlen(stem, sizeof(job->task.stem) - 1));
    job->jobs = jobs;
    job->task.hash = hash;
    job->background = background;
    TAILQ_INIT(&job->waiters);
    LIST_INSERT_HEAD(bucket_of(jobs, hash), job, bucket);
    jobs->count++;
    enqueue(job);
    return job;
}

void ccs_jobs_hurry(struct ccs_job *job, unsigned flags, int64_t now)
{
    if (job->state == CCS_JOB_RUNNING && (flags & CCS_JOB_CHANGED))
        job->again = true;
    if (job->state == CCS_JOB_DELAYED && (flags & CCS_JOB_CHANGED))
        job->due_ms = now;
    if (!(flags & CCS_JOB_BACKGROUND))
        ccs_jobs_rank(job, false);
}

void ccs_jobs_rank(struct ccs_job *job, bool background)
{
    if (job->background == background)
        return;
    if (job->state == CCS_JOB_QUEUED)
        dequeue(job);
    job->background = background;
    if (job->state == CCS_JOB_QUEUED)
        enqueue(job);
}

int64_t ccs_jobs_wake(struct ccs_jobs *jobs, int64_t now)
{
    struct ccs_job *job, *next;
    int64_t due = INT64_MAX;

    for (job = TAILQ_FIRST(&jobs->delayed); job != NULL; job = next) {
        next = TAILQ_NEXT(job, queue);
        if (job->due_ms <= now) {
            dequeue(job);
            enqueue(job);
        } else if (job->due_ms < due) {
            due = job->due_ms;
        }
    }
    return due;
}

struct ccs_job *ccs_jobs_take(struct ccs_jobs *jobs)
{
    struct ccs_job *job = TAILQ_FIRST(&jobs->ready);

    if (job == NULL)
        job = TAILQ_FIRST(&jobs->background);
    if (job == NULL)
        return NULL;
    dequeue(job);
    job->state = CCS_JOB_RUNNING;
    job->again = false;
    return job;
}

void ccs_jobs_requeue(struct ccs_job *job)
{
    enqueue(job);
}

void ccs_jobs_delay(struct ccs_job *job, int64_t due_ms)
{
    job->state = CCS_JOB_DELAYED;
    job->due_ms = due_ms;
    TAILQ_INSERT_TAIL(queue_of(job), job, queue);
}

void ccs_jobs_drop(struct ccs_job *job)
{
    LIST_REMOVE(job, bucket);
    job->jobs->count--;
    free(job);
}

void ccs_jobs_join(struct ccs_job *job, struct ccs_waiter *waiter)
{
    waiter->job = job;
    TAILQ_INSERT_TAIL(&job->waiters, waiter, link);
}

void ccs_jobs_leave(struct ccs_waiter *waiter)
{
    struct ccs_job *job = waiter->job;

    if (job == NULL)
        return;
    TAILQ_REMOVE(&job->waiters, waiter, link);
    waiter->job = NULL;
    /* Who comes next must not wait for what nobody waits for any more. */
    if (TAILQ_EMPTY(&job->waiters))
        ccs_jobs_rank(job, true);
}
