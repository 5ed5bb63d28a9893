/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "acquire.h"
#include "base.h"
#include "error.h"
#include "instance.h"
#include "query.h"

struct ccs_request {
    struct ccs_waiter waiter; /* first, so that a waiter is its request */
    TAILQ_ENTRY(ccs_request) link;
    struct ccs *ccs;
    struct ccs_query query;
    enum ccs_stage stage;
    struct ccs_error exact_error; /* in CCS_STAGE_WILDCARD: why the exact stem did not serve */
    int64_t began_ms;
    int64_t deadline_ms;
    ccs_done_cb done; /* NULL: somebody blocks on cond instead */
    void *arg;
    pthread_cond_t *cond;
    bool completed;
    struct ccs_answer answer;
};

static CCS_WARM void count_answer(struct ccs *ccs, int code)
{
    if (code == CCS_OK)
        ccs_count(ccs, CCS_COUNT_HITS);
    else if (code == CCS_ENOTFOUND)
        ccs_count(ccs, CCS_COUNT_NOT_FOUND);
    else if (code == CCS_ENAME)
        ccs_count(ccs, CCS_COUNT_REFUSED);
}

int ccs_lookup(struct ccs *ccs, const char *name, size_t len, struct ccs_answer *out)
{
    struct ccs_missing missing;
    struct ccs_query q;
    int rv;

    rv = ccs_query_init(ccs, name, len, &q);
    if (rv != CCS_OK)
        ccs_answer_code(out, rv, "not a host name that a store can hold");
    else
        rv = ccs_query_look_up(ccs, &q, out, &missing);
    count_answer(ccs, rv);
    return rv;
}

/* -- waiting ------------------------------------------------------------------------------- */

/* Takes the request off whatever list it is on. */
static void request_unlink_locked(struct ccs_request *r)
{
    ccs_loader_leave_locked(&r->waiter);
    if (r->completed) {
        if (r->done != NULL)
            TAILQ_REMOVE(&r->ccs->completed, r, link);
    } else {
        TAILQ_REMOVE(&r->ccs->pending, r, link);
        r->ccs->waiting--;
        ccs_counters_gauge(r->ccs->counters, CCS_GAUGE_WAITING, -1);
    }
}

/* The answer is in r->answer: it goes to whoever waits. */
static void request_complete_locked(struct ccs_request *r)
{
    request_unlink_locked(r);
    ccs_latency_add(r->ccs->layout->counters, CCS_COMMON_WAITS, ccs_now_ms() - r->began_ms);
    r->completed = true;
    if (r->done != NULL)
        TAILQ_INSERT_TAIL(&r->ccs->completed, r, link);
    else
        pthread_cond_signal(r->cond);
}

static int request_submit_locked(struct ccs_request *r)
{
    const struct ccs_query *q = &r->query;
    bool exact = r->stage == CCS_STAGE_EXACT;

    return ccs_loader_submit_locked(r->ccs->loader, exact ? q->exact : q->wildcard,
                                    exact ? q->exact_hash : q->wildcard_hash, 0, &r->waiter);
}

/* Pending requests stay in the order of their deadlines; nearly all of them have the same wait. */
static void request_insert_locked(struct ccs_request *r)
{
    struct ccs_request *before = TAILQ_LAST(&r->ccs->pending, ccs_requests);

    while (before != NULL && before->deadline_ms > r->deadline_ms)
        before = TAILQ_PREV(before, ccs_requests, link);
    if (before != NULL)
        TAILQ_INSERT_AFTER(&r->ccs->pending, before, r, link);
    else
        TAILQ_INSERT_HEAD(&r->ccs->pending, r, link);
    r->ccs->waiting++;
    ccs_counters_gauge(r->ccs->counters, CCS_GAUGE_WAITING, 1);
}

static int busy(struct ccs *ccs, struct ccs_answer *out, int code)
{
    ccs_count(ccs, CCS_COUNT_BUSY);
    return ccs_answer_code(out, code,
                           code == CCS_EBUSY    ? "too many handshakes wait for the store already"
                           : code == CCS_ENOMEM ? "no memory or no thread for another load"
                                                : "the certificate store is closing");
}

/*
 * Lets r wait for what ccs_query_look_up() found missing. CCS_PENDING, or the answer in *out: a
 * load may have finished between that look and the lock.
 */
static int request_begin(struct ccs_request *r, struct ccs_answer *out)
{
    struct ccs *ccs = r->ccs;
    struct ccs_missing missing;
    uint32_t most;
    bool first;
    int rv;

    pthread_mutex_lock(&ccs->lock);
    rv = ccs_query_look_up(ccs, &r->query, out, &missing);
    /* Made-up names leave half of the places to those that have a file. */
    most = ccs->settings.max_waiting;
    if (missing.unsure)
        most = (most + 1) / 2;
    if (rv == CCS_PENDING && ccs->waiting >= most)
        rv = busy(ccs, out, CCS_EBUSY);
    if (rv == CCS_PENDING) {
        r->stage = missing.stage;
        if (r->stage == CCS_STAGE_WILDCARD)
            r->exact_error = missing.exact;
        rv = request_submit_locked(r);
        if (rv != CCS_OK) {
            rv = busy(ccs, out, rv);
        } else {
            request_insert_locked(r);
            rv = CCS_PENDING;
        }
    }
    first = rv == CCS_PENDING && TAILQ_FIRST(&ccs->pending) == r;
    pthread_mutex_unlock(&ccs->lock);
    if (first)
        ccs_refresh_wake(ccs->refresh);
    return rv;
}

static struct ccs_request *request_new(struct ccs *ccs, const struct ccs_query *q, int64_t wait_ms)
{
    struct ccs_request *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->ccs = ccs;
    r->query = *q;
    r->began_ms = ccs_now_ms();
    r->deadline_ms = r->began_ms + wait_ms;
    return r;
}

static CCS_WARM int query_start(struct ccs *ccs, struct ccs_query *q, ccs_done_cb done, void *arg,
                                struct ccs_answer *out, struct ccs_request **req)
{
    struct ccs_request *r;
    struct ccs_missing missing;
    int rv;

    rv = ccs_query_look_up(ccs, q, out, &missing);
    if (rv != CCS_PENDING) {
        count_answer(ccs, rv);
        return rv;
    }
    ccs_count(ccs, CCS_COUNT_MISSES);
    r = request_new(ccs, q, ccs->settings.wait_ms);
    if (r == NULL)
        return ccs_answer_code(out, CCS_ENOMEM, "no memory");
    r->done = done;
    r->arg = arg;
    rv = request_begin(r, out);
    if (rv == CCS_PENDING)
        *req = r;
    else
        free(r);
    return rv;
}

int ccs_acquire_start(struct ccs *ccs, const char *name, size_t len, ccs_done_cb done, void *arg,
                      struct ccs_answer *out, struct ccs_request **req)
{
    struct ccs_query q;
    int rv = ccs_query_init(ccs, name, len, &q);

    if (rv == CCS_OK)
        return query_start(ccs, &q, done, arg, out, req);
    ccs_answer_code(out, rv, "not a host name that a store can hold");
    count_answer(ccs, rv);
    return rv;
}

CCS_WARM int ccs_acquire_start_canonical(struct ccs *ccs, const char *name, size_t len,
                                         ccs_done_cb done, void *arg, struct ccs_answer *out,
                                         struct ccs_request **req)
{
    struct ccs_query q;

    ccs_query_init_canonical(ccs, name, len, &q);
    return query_start(ccs, &q, done, arg, out, req);
}

/* Whoever gives no time at all has none left: it is not the store that was slow. */
static void give_up_locked(struct ccs_request *r, bool at_once)
{
    if (at_once) {
        ccs_answer_code(&r->answer, CCS_EBUSY,
                        "the certificate is not in memory, and no further handshake may wait for "
                        "it; it is being loaded for the next one");
        ccs_count(r->ccs, CCS_COUNT_BUSY);
    } else {
        ccs_answer_code(&r->answer, CCS_ETIMEDOUT, "the store did not answer in time");
        ccs_count(r->ccs, CCS_COUNT_TIMEOUTS);
    }
    request_unlink_locked(r);
}

int ccs_acquire(struct ccs *ccs, const char *name, size_t len, int timeout_ms,
                struct ccs_answer *out)
{
    pthread_condattr_t attr;
    pthread_cond_t cond;
    struct ccs_request *r;
    struct timespec until;
    struct ccs_query q;
    int rv;

    rv = ccs_lookup(ccs, name, len, out);
    if (rv != CCS_PENDING)
        return rv;
    ccs_count(ccs, CCS_COUNT_MISSES);
    ccs_query_init(ccs, name, len, &q);
    /* The refresher must not find whoever does not wait at all to be late. */
    r = request_new(ccs, &q, timeout_ms <= 0 ? ccs->settings.wait_ms : timeout_ms);
    if (r == NULL)
        return ccs_answer_code(out, CCS_ENOMEM, "no memory");
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&cond, &attr);
    pthread_condattr_destroy(&attr);
    r->cond = &cond;
    rv = request_begin(r, out);
    if (rv == CCS_PENDING) {
        pthread_mutex_lock(&ccs->lock);
        until.tv_sec = r->deadline_ms / 1000;
        until.tv_nsec = r->deadline_ms % 1000 * 1000000;
        while (timeout_ms != 0 && !r->completed && ccs_now_ms() < r->deadline_ms)
            pthread_cond_timedwait(&cond, &ccs->lock, &until);
        if (!r->completed) {
            give_up_locked(r, timeout_ms == 0);
        }
        pthread_mutex_unlock(&ccs->lock);
        *out = r->answer;
        rv = out->code;
    }
    pthread_cond_destroy(&cond);
    free(r);
    return rv;
}

void ccs_cancel(struct ccs_request *req)
{
    struct ccs *ccs;

    if (req == NULL)
        return;
    ccs = req->ccs;
    pthread_mutex_lock(&ccs->lock);
    request_unlink_locked(req);
    pthread_mutex_unlock(&ccs->lock);
    ccs_cred_unref(req->answer.cred);
    free(req);
}

/* -- finishing ----------------------------------------------------------------------------- */

/* The exact stem does not serve: on to the wildcard. True if the request goes on waiting. */
static bool request_advance_locked(struct ccs_request *r, const struct ccs_error *error)
{
    struct ccs *ccs = r->ccs;
    bool unsure;
    int rv;

    r->stage = CCS_STAGE_WILDCARD;
    r->exact_error = *error;
    rv = ccs_query_look_up_wildcard(ccs, &r->query, &r->answer, error, &unsure);
    if (rv != CCS_PENDING)
        return false;
    rv = request_submit_locked(r);
    if (rv != CCS_OK)
        busy(ccs, &r->answer, rv);
    return rv == CCS_OK;
}

void ccs_acquire_finish_locked(const struct ccs_task *task, const struct ccs_loaded *loaded,
                               struct ccs_waiters *waiters, void *arg)
{
    struct ccs_waiter *w;

    (void)task;
    (void)arg;
    while ((w = TAILQ_FIRST(waiters)) != NULL) {
        struct ccs_request *r = (struct ccs_request *)w;

        TAILQ_REMOVE(waiters, w, link);
        if (loaded->code == CCS_OK) {
            /* What the store has just handed over is not stale, whatever the last probe said. */
            r->answer.code = CCS_OK;
            r->answer.result = loaded->result;
            r->answer.cred = ccs_cred_ref(loaded->cred);
        } else if (r->stage == CCS_STAGE_EXACT) {
            if (request_advance_locked(r, &loaded->error))
                continue;
        } else {
            ccs_answer_failure(&r->answer, ccs_query_worse(&r->exact_error, &loaded->error));
        }
        if (r->answer.code == CCS_ENOTFOUND)
            ccs_count(r->ccs, CCS_COUNT_NOT_FOUND);
        request_complete_locked(r);
    }
}

int64_t ccs_acquire_timers(int64_t now_ms, void *arg)
{
    struct ccs *ccs = arg;
    struct ccs_request *r;
    int64_t next = INT64_MAX;
    bool any = false;

    pthread_mutex_lock(&ccs->lock);
    while ((r = TAILQ_FIRST(&ccs->pending)) != NULL) {
        if (r->deadline_ms > now_ms) {
            next = r->deadline_ms;
            break;
        }
        ccs_answer_code(&r->answer, CCS_ETIMEDOUT, "the store did not answer in time");
        ccs_count(ccs, CCS_COUNT_TIMEOUTS);
        request_complete_locked(r);
        any = true;
    }
    pthread_mutex_unlock(&ccs->lock);
    if (any)
        ccs_notify_raise(&ccs->notify);
    return next;
}

unsigned ccs_acquire_dispatch(struct ccs *ccs, unsigned max)
{
    unsigned n = 0;

    while (max == 0 || n < max) {
        struct ccs_request *r;

        pthread_mutex_lock(&ccs->lock);
        r = TAILQ_FIRST(&ccs->completed);
        if (r != NULL)
            TAILQ_REMOVE(&ccs->completed, r, link);
        pthread_mutex_unlock(&ccs->lock);
        if (r == NULL)
            break;
        r->done(&r->answer, r->arg);
        ccs_cred_unref(r->answer.cred);
        free(r);
        n++;
    }
    return n;
}

void ccs_acquire_close(struct ccs *ccs)
{
    struct ccs_request *r;

    pthread_mutex_lock(&ccs->lock);
    while ((r = TAILQ_FIRST(&ccs->pending)) != NULL) {
        ccs_answer_code(&r->answer, CCS_ECLOSED, "the certificate store is closing");
        request_complete_locked(r);
    }
    pthread_mutex_unlock(&ccs->lock);
    ccs_acquire_dispatch(ccs, 0);
}
