/* SPDX-License-Identifier: Apache-2.0 */
#include "loader.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "companion.h"

/* One thread. In a list, so that those that hang can be counted and those that ended joined. */
struct runner {
    LIST_ENTRY(runner) link;
    struct ccs_loader *loader;
    pthread_t thread;
    struct ccs_companion *companion;     /* its own; NULL: none yet */
    struct ccs_thread_priority priority; /* of the companion */
    int64_t busy_since;                  /* 0 while idle */
    bool abandoned;                      /* nobody will join it */
};

LIST_HEAD(runner_list, runner);

struct ccs_loader {
    pthread_mutex_t *lock; /* guards everything below */
    pthread_cond_t work;   /* a job became ready, or closing */
    pthread_cond_t ended;  /* a thread ended */
    struct ccs_loader_ops ops;
    struct ccs_jobs jobs;
    struct runner_list runners, ended_runners;
    unsigned threads, running, idle;
    unsigned ending; /* not among those running any more */
    int64_t stuck_ms;
    struct ccs_priority priority;
    bool closing;
};

struct ccs_loader *ccs_loader_new(pthread_mutex_t *lock, unsigned threads, size_t max_jobs,
                                  int64_t stuck_ms, const struct ccs_loader_ops *ops)
{
    struct ccs_loader *loader = calloc(1, sizeof(*loader));
    pthread_condattr_t attr;

    if (loader == NULL)
        return NULL;
    loader->lock = lock;
    loader->ops = *ops;
    loader->threads = threads;
    loader->stuck_ms = stuck_ms;
    ccs_priority_init(&loader->priority);
    ccs_jobs_init(&loader->jobs, max_jobs);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&loader->work, &attr);
    pthread_cond_init(&loader->ended, &attr);
    pthread_condattr_destroy(&attr);
    return loader;
}

static void wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t due_ms)
{
    struct timespec ts = {due_ms / 1000, (due_ms % 1000) * 1000000};

    if (due_ms == INT64_MAX)
        pthread_cond_wait(cond, lock);
    else
        pthread_cond_timedwait(cond, lock, &ts);
}

static bool runner_hangs(const struct runner *r, int64_t now)
{
    return r->busy_since != 0 && now - r->busy_since > r->loader->stuck_ms;
}

/* Threads that do not count among those wanted; as many may be started in their stead. */
static unsigned runners_lost_locked(const struct ccs_loader *loader, int64_t now)
{
    const struct runner *r;
    unsigned lost = 0;

    LIST_FOREACH(r, &loader->runners, link)
    lost += runner_hangs(r, now) || r->priority.starving;
    return lost < CCS_LOADER_STUCK_MAX ? lost : CCS_LOADER_STUCK_MAX;
}

/* The next job to run, or NULL when this thread is to end. */
static struct ccs_job *job_take_locked(struct runner *self)
{
    struct ccs_loader *loader = self->loader;

    while (!loader->closing) {
        int64_t now = ccs_now_ms();
        int64_t due = ccs_jobs_wake(&loader->jobs, now);
        struct ccs_job *job;

        /* More threads than wanted exist once those that hung come back. */
        if (loader->running > loader->threads + runners_lost_locked(loader, now))
            return NULL;
        job = ccs_jobs_take(&loader->jobs);
        if (job != NULL)
            return job;
        loader->idle++;
        wait_until(&loader->work, loader->lock, due);
        loader->idle--;
    }
    return NULL;
}

/* Tells those who wait for the job. */
static void job_tell_locked(struct ccs_loader *loader, struct ccs_waiters *waiters,
                            const struct ccs_task *task, const struct ccs_loaded *loaded)
{
    struct ccs_waiter *w;

    TAILQ_FOREACH(w, waiters, link)
    w->job = NULL;
    loader->ops.finish_locked(task, loaded, waiters, loader->ops.arg);
}

/* Nobody waits any more for what could not be begun, and nothing in service depends on it. */
static bool is_unwanted(const struct ccs_job *job, const struct ccs_task *task)
{
    return TAILQ_EMPTY(&job->waiters) && !job->again && task->attempt == 0 &&
           ((task->flags | job->task.flags) & (CCS_JOB_CHANGED | CCS_JOB_REMOVED)) == 0;
}

/* What becomes of a job that has run; returns whether anybody was told. */
static bool job_settle_locked(struct ccs_loader *loader, struct ccs_job *job,
                              const struct ccs_task *task, const struct ccs_loaded *loaded,
                              int64_t retry_ms)
{
    struct ccs_waiters waiters = TAILQ_HEAD_INITIALIZER(waiters);
    bool elsewhere = loaded->code == CCS_PENDING;
    bool later = retry_ms > 0 && (elsewhere || !job->again);

    if (loader->closing)
        return false;
    if (!later || (task->attempt > 0 && !elsewhere))
        TAILQ_CONCAT(&waiters, &job->waiters, link);
    if (elsewhere && later && is_unwanted(job, task)) {
        ccs_jobs_drop(job);
        return false;
    }
    if (later) {
        job->task.flags |= task->flags;
        job->task.attempt += !elsewhere;
        ccs_jobs_delay(job, ccs_now_ms() + retry_ms);
    } else if (job->again) {
        job->task.attempt = 0;
        job->background = true;
        ccs_jobs_requeue(job);
    } else {
        ccs_jobs_drop(job);
    }
    if (later && TAILQ_EMPTY(&waiters))
        return false;
    job_tell_locked(loader, &waiters, task, loaded);
    return true;
}

/* Threads that have let go of everything but what OpenSSL keeps for each of them. */
static void runners_join(struct runner *ended)
{
    struct runner *r;

    while ((r = ended) != NULL) {
        ended = LIST_NEXT(r, link);
        pthread_join(r->thread, NULL);
        free(r);
    }
}

/*
 * What of the job takes long goes to the companion, as long as none of the pool starves. Lets go of
 * the lock for the first one.
 */
static void runner_delegate_locked(struct runner *self)
{
    struct ccs_loader *loader = self->loader;
    struct ccs_thread_priority priority;
    struct ccs_companion *companion;
    bool may = ccs_priority_may_lower(&loader->priority, self->busy_since);

    if (may && self->companion == NULL) {
        pthread_mutex_unlock(loader->lock);
        companion = ccs_companion_start(&priority);
        pthread_mutex_lock(loader->lock);
        if (companion != NULL)
            self->priority = priority;
        self->companion = companion;
    }
    may = may && self->companion != NULL &&
          ccs_priority_watch(&loader->priority, &self->priority, self->busy_since);
    ccs_companion_use(may ? self->companion : NULL);
}

static void *loader_main(void *arg)
{
    struct runner *self = arg;
    struct ccs_loader *loader = self->loader;
    struct runner *ended;
    struct ccs_job *job;

    pthread_setname_np(pthread_self(), "ccs-loader");
    ccs_priority_begin();

    pthread_mutex_lock(loader->lock);
    while ((job = job_take_locked(self)) != NULL) {
        struct ccs_loaded loaded = {.code = CCS_ESSL};
        struct ccs_task task = job->task;
        uint64_t waited;
        int64_t retry_ms;
        bool finished;

        /* What is asked of the job from now on is for its next run. */
        job->task.flags = 0;
        self->busy_since = ccs_now_ms();
        runner_delegate_locked(self);
        pthread_mutex_unlock(loader->lock);
        retry_ms = loader->ops.load(&task, &loaded, loader->ops.arg);
        waited = ccs_priority_measure(&self->priority);
        pthread_mutex_lock(loader->lock);
        self->busy_since = 0;
        ccs_priority_judge(&loader->priority, &self->priority, waited, ccs_now_ms());
        finished = job_settle_locked(loader, job, &task, &loaded, retry_ms);
        pthread_mutex_unlock(loader->lock);
        if (finished)
            loader->ops.finished(loader->ops.arg);
        ccs_cred_unref(loaded.cred);
        pthread_mutex_lock(loader->lock);
    }
    loader->running--;
    loader->ending++;
    pthread_mutex_unlock(loader->lock);
    ccs_companion_end(self->companion);
    pthread_mutex_lock(loader->lock);
    LIST_REMOVE(self, link);
    ended = LIST_FIRST(&loader->ended_runners);
    LIST_INIT(&loader->ended_runners);
    if (self->abandoned)
        free(self);
    else
        LIST_INSERT_HEAD(&loader->ended_runners, self, link);
    loader->ending--;
    /* Others may wait without knowing of a job that this one was to run, now or later. */
    if (loader->jobs.queued > 0 || !TAILQ_EMPTY(&loader->jobs.delayed))
        pthread_cond_signal(&loader->work);
    pthread_cond_broadcast(&loader->ended);
    pthread_mutex_unlock(loader->lock);
    /* Each joins those that ended before it, so that they do not pile up. */
    runners_join(ended);
    return NULL;
}

static int runner_start_locked(struct ccs_loader *loader)
{
    struct runner *self = calloc(1, sizeof(*self));
    sigset_t blocked, before;
    int rc;

    if (self == NULL)
        return CCS_ENOMEM;
    self->loader = loader;
    /* Signals are the host's business, all but those that a fault raises. */
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    rc = pthread_create(&self->thread, NULL, loader_main, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        free(self);
        return CCS_ENOMEM;
    }
    LIST_INSERT_HEAD(&loader->runners, self, link);
    loader->running++;
    return CCS_OK;
}

/* Finds companions that starve. */
static void runners_look_locked(struct ccs_loader *loader, int64_t now)
{
    struct runner *r;

    if (!ccs_priority_may_look(&loader->priority, now))
        return;
    LIST_FOREACH(r, &loader->runners, link)
    {
        if (r->busy_since != 0)
            ccs_priority_look(&loader->priority, &r->priority, r->busy_since, now);
    }
}

/*
 * Sees to it that a thread will come for each queued job, with so many to be queued in a moment, if
 * there may be enough of them; fails only if there is none at all.
 */
static int runners_provide_locked(struct ccs_loader *loader, unsigned more)
{
    int64_t now = ccs_now_ms();

    runners_look_locked(loader, now);
    if (loader->idle > 0)
        pthread_cond_signal(&loader->work);
    /* Those that were woken for other jobs count as idle until they run. */
    if (loader->idle >= loader->jobs.queued + more ||
        loader->running >= loader->threads + runners_lost_locked(loader, now))
        return CCS_OK;
    if (runner_start_locked(loader) != CCS_OK && loader->running == 0)
        return CCS_ENOMEM;
    return CCS_OK;
}

int ccs_loader_submit_locked(struct ccs_loader *loader, const char *stem, uint64_t hash,
                             unsigned flags, struct ccs_waiter *waiter)
{
    struct ccs_job *job = ccs_jobs_find(&loader->jobs, stem, hash);

    if (loader->closing)
        return CCS_ECLOSED;
    if (job == NULL) {
        if (ccs_jobs_is_full(&loader->jobs))
            return CCS_EBUSY;
        if (runners_provide_locked(loader, 1) != CCS_OK)
            return CCS_ENOMEM;
        job = ccs_jobs_add(&loader->jobs, stem, hash, (flags & CCS_JOB_BACKGROUND) != 0);
        if (job == NULL)
            return CCS_ENOMEM;
    } else {
        ccs_jobs_hurry(job, flags, ccs_now_ms());
        if (runners_provide_locked(loader, 0) != CCS_OK)
            return CCS_ENOMEM;
    }
    job->task.flags |= flags & (CCS_JOB_CHANGED | CCS_JOB_REMOVED);
    if (waiter != NULL)
        ccs_jobs_join(job, waiter);
    return CCS_OK;
}

int64_t ccs_loader_tend(struct ccs_loader *loader)
{
    int64_t next = INT64_MAX;

    pthread_mutex_lock(loader->lock);
    if (!loader->closing) {
        if (loader->jobs.queued > 0)
            (void)runners_provide_locked(loader, 0);
        else
            runners_look_locked(loader, ccs_now_ms());
        if (loader->priority.suspects)
            next = loader->priority.look_ms;
    }
    pthread_mutex_unlock(loader->lock);
    return next;
}

int ccs_loader_has_locked(struct ccs_loader *loader, const char *stem, uint64_t hash)
{
    return ccs_jobs_find(&loader->jobs, stem, hash) != NULL;
}

void ccs_loader_leave_locked(struct ccs_waiter *waiter)
{
    ccs_jobs_leave(waiter);
}

static bool loader_end_locked(struct ccs_loader *loader, int64_t timeout_ms)
{
    int64_t deadline = ccs_now_ms() + timeout_ms;

    loader->closing = true;
    pthread_cond_broadcast(&loader->work);
    while (loader->running + loader->ending > 0 && ccs_now_ms() < deadline)
        wait_until(&loader->ended, loader->lock, deadline);
    return loader->running + loader->ending == 0;
}

int ccs_loader_end(struct ccs_loader *loader, int64_t timeout_ms)
{
    int all;

    pthread_mutex_lock(loader->lock);
    all = loader_end_locked(loader, timeout_ms);
    pthread_mutex_unlock(loader->lock);
    return all;
}

int ccs_loader_stop(struct ccs_loader *loader, int64_t timeout_ms)
{
    struct runner *r, *ended;
    int all;

    pthread_mutex_lock(loader->lock);
    all = loader_end_locked(loader, timeout_ms);
    ended = LIST_FIRST(&loader->ended_runners);
    LIST_INIT(&loader->ended_runners);
    LIST_FOREACH(r, &loader->runners, link)
    {
        if (!r->abandoned)
            pthread_detach(r->thread);
        r->abandoned = true;
    }
    pthread_mutex_unlock(loader->lock);
    runners_join(ended);
    return all;
}

void ccs_loader_set_times(struct ccs_loader *loader, const struct ccs_priority_times *times)
{
    pthread_mutex_lock(loader->lock);
    loader->priority.times = *times;
    pthread_mutex_unlock(loader->lock);
}

void ccs_loader_free(struct ccs_loader *loader)
{
    if (loader == NULL)
        return;
    ccs_jobs_clear(&loader->jobs);
    pthread_cond_destroy(&loader->work);
    pthread_cond_destroy(&loader->ended);
    free(loader);
}
