/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "acquire.h"
#include "error.h"
#include "instance.h"
#include "name.h"

/* A name and the two stems that may answer for it. */
struct query {
    char exact[CCS_STEM_SIZE];
    char wildcard[CCS_STEM_SIZE]; /* "" if the name can have none */
    size_t exact_len, wildcard_len;
    uint64_t exact_hash, wildcard_hash;
};

enum stage { STAGE_EXACT, STAGE_WILDCARD };

struct ccs_request {
    struct ccs_waiter waiter; /* first, so that a waiter is its request */
    TAILQ_ENTRY(ccs_request) link;
    struct ccs *ccs;
    struct query query;
    enum stage stage;
    struct ccs_error exact_error; /* in STAGE_WILDCARD: why the exact stem did not serve */
    int64_t began_ms;
    int64_t deadline_ms;
    ccs_done_cb done; /* NULL: somebody blocks on cond instead */
    void *arg;
    pthread_cond_t *cond;
    bool completed;
    struct ccs_answer answer;
};

static void query_complete(const struct ccs *ccs, struct query *q)
{
    q->exact_hash = ccs_cache_hash(ccs->cache, q->exact, q->exact_len);
    q->wildcard_len = 0;
    q->wildcard[0] = '\0';
}

static int query_init(const struct ccs *ccs, const char *name, size_t len, struct query *q)
{
    int rv = ccs_name_canonical(name, len, q->exact, &q->exact_len);

    if (rv == CCS_OK)
        query_complete(ccs, q);
    return rv;
}

/* Only names without a file of their own need it, so a warm look-up does without. */
static bool query_wildcard(const struct ccs *ccs, struct query *q)
{
    if (q->wildcard_len > 0)
        return true;
    if (ccs_name_wildcard(q->exact, q->exact_len, q->wildcard, &q->wildcard_len) != CCS_OK) {
        q->wildcard_len = 0;
        return false;
    }
    q->wildcard_hash = ccs_cache_hash(ccs->cache, q->wildcard, q->wildcard_len);
    return true;
}

static int answer_with(struct ccs *ccs, struct ccs_answer *out, struct ccs_cred *cred,
                       enum ccs_result result)
{
    out->code = CCS_OK;
    out->cred = cred;
    out->result = atomic_load_explicit(&ccs->store_down, memory_order_relaxed) ? CCS_RESULT_STALE
                                                                               : result;
    return CCS_OK;
}

static int answer_failure(struct ccs_answer *out, const struct ccs_error *error)
{
    out->code = error->code;
    out->cred = NULL;
    out->result = CCS_RESULT_NONE;
    out->error = *error;
    return error->code;
}

static int answer_code(struct ccs_answer *out, int code, const char *text)
{
    out->code = code;
    out->cred = NULL;
    out->result = CCS_RESULT_NONE;
    return ccs_error_set(&out->error, code, "%s", text);
}

/* The more telling of two failures: "not found" only if neither stem has a file. */
static const struct ccs_error *worse(const struct ccs_error *exact,
                                     const struct ccs_error *wildcard)
{
    return exact->code == CCS_ENOTFOUND ? wildcard : exact;
}

/* A credential, if nothing has changed since it was made. */
static struct ccs_cred *cred_get(struct ccs *ccs, const char *stem, size_t len, uint64_t hash)
{
    struct ccs_cred *cred = ccs_cache_get(ccs->cache, stem, len, hash);

    if (cred == NULL)
        return NULL;
    if (atomic_load_explicit(&cred->generation, memory_order_relaxed) ==
        ccs_vault_generation(&ccs->layout->vault, hash)) {
        ccs_vault_touch(&ccs->layout->vault, cred->slot);
        return cred;
    }
    ccs_cred_unref(cred);
    return NULL;
}

static uint64_t failure_mark(const struct ccs *ccs, uint64_t hash)
{
    return ccs_vault_generation(&ccs->layout->vault, hash) + ccs_failure_epoch(ccs);
}

/* A failure that is still believed; true if there is one, copied into *out. */
static bool failure_get(struct ccs *ccs, const char *stem, size_t len, uint64_t hash,
                        struct ccs_error *out)
{
    struct ccs_failure *f = ccs_cache_get_failure(ccs->cache, stem, len, hash);
    bool believed = f != NULL && f->generation == failure_mark(ccs, hash) &&
                    f->until_ms > ccs_now_ms();

    if (believed)
        *out = f->error;
    ccs_failure_unref(f);
    return believed;
}

/*
 * What is known of a stem that no credential is at hand of. CCS_PENDING: it is to be loaded;
 * *unsure if nobody knows whether it has a file.
 */
static int stem_state(struct ccs *ccs, const char *stem, size_t len, uint64_t hash,
                      struct ccs_error *why, bool *unsure)
{
    *unsure = false;
    switch (ccs_index_lookup(&ccs->index, hash, NULL)) {
    case CCS_INDEX_ABSENT:
        /* While the store is away nobody can tell what has come since. */
        if (atomic_load_explicit(&ccs->store_down, memory_order_relaxed))
            return ccs_error_set(why, CCS_EUNAVAIL, "the store does not answer");
        return ccs_error_set(why, CCS_ENOTFOUND, "the store has no file for \"%s\"", stem);
    case CCS_INDEX_UNKNOWN:
        *unsure = true;
        break;
    case CCS_INDEX_PRESENT:
        break;
    }
    return failure_get(ccs, stem, len, hash, why) ? why->code : CCS_PENDING;
}

/* What look_up() finds missing. */
struct missing {
    enum stage stage;       /* which stem is to be loaded */
    struct ccs_error exact; /* why the exact one does not serve, if it is the wildcard */
    bool unsure;            /* nobody knows whether there is a file */
};

/*
 * The answer of the wildcard, the exact stem having none. While the store is away it may be one
 * that other processes have, and is not loaded.
 */
static int look_up_wildcard(struct ccs *ccs, struct query *q, struct ccs_answer *out,
                            const struct ccs_error *exact, bool *unsure)
{
    struct ccs_error why;
    struct ccs_cred *cred;

    if (!query_wildcard(ccs, q))
        return answer_failure(out, exact);
    cred = cred_get(ccs, q->wildcard, q->wildcard_len, q->wildcard_hash);
    if (cred != NULL)
        return answer_with(ccs, out, cred, CCS_RESULT_HIT);
    if (exact->code == CCS_EUNAVAIL &&
        !atomic_load_explicit(&ccs->store_down, memory_order_relaxed))
        return answer_failure(out, exact);
    if (stem_state(ccs, q->wildcard, q->wildcard_len, q->wildcard_hash, &why, unsure) ==
        CCS_PENDING)
        return CCS_PENDING;
    return answer_failure(out, worse(exact, &why));
}

/* What memory knows. CCS_PENDING: nothing, see *missing. */
static int look_up(struct ccs *ccs, struct query *q, struct ccs_answer *out,
                   struct missing *missing)
{
    struct ccs_cred *cred = cred_get(ccs, q->exact, q->exact_len, q->exact_hash);

    missing->stage = STAGE_EXACT;
    missing->unsure = false;
    if (cred != NULL)
        return answer_with(ccs, out, cred, CCS_RESULT_HIT);
    if (stem_state(ccs, q->exact, q->exact_len, q->exact_hash, &missing->exact, &missing->unsure) ==
        CCS_PENDING)
        return CCS_PENDING;
    missing->stage = STAGE_WILDCARD;
    return look_up_wildcard(ccs, q, out, &missing->exact, &missing->unsure);
}

static void count_answer(struct ccs *ccs, int code)
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
    struct missing missing;
    struct query q;
    int rv;

    rv = query_init(ccs, name, len, &q);
    if (rv != CCS_OK)
        answer_code(out, rv, "not a host name that a store can hold");
    else
        rv = look_up(ccs, &q, out, &missing);
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
    const struct query *q = &r->query;
    bool exact = r->stage == STAGE_EXACT;

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
    return answer_code(out, code,
                       code == CCS_EBUSY    ? "too many handshakes wait for the store already"
                       : code == CCS_ENOMEM ? "no memory or no thread for another load"
                                            : "the certificate store is closing");
}

/*
 * Lets r wait for what look_up() found missing. CCS_PENDING, or the answer in *out: a load may have
 * finished between that look and the lock.
 */
static int request_begin(struct ccs_request *r, struct ccs_answer *out)
{
    struct ccs *ccs = r->ccs;
    struct missing missing;
    uint32_t most;
    bool first;
    int rv;

    pthread_mutex_lock(&ccs->lock);
    rv = look_up(ccs, &r->query, out, &missing);
    /* Made-up names leave half of the places to those that have a file. */
    most = ccs->settings.max_waiting;
    if (missing.unsure)
        most = (most + 1) / 2;
    if (rv == CCS_PENDING && ccs->waiting >= most)
        rv = busy(ccs, out, CCS_EBUSY);
    if (rv == CCS_PENDING) {
        r->stage = missing.stage;
        if (r->stage == STAGE_WILDCARD)
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

static struct ccs_request *request_new(struct ccs *ccs, const struct query *q, int64_t wait_ms)
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

static int query_start(struct ccs *ccs, struct query *q, ccs_done_cb done, void *arg,
                       struct ccs_answer *out, struct ccs_request **req)
{
    struct ccs_request *r;
    struct missing missing;
    int rv;

    rv = look_up(ccs, q, out, &missing);
    if (rv != CCS_PENDING) {
        count_answer(ccs, rv);
        return rv;
    }
    ccs_count(ccs, CCS_COUNT_MISSES);
    r = request_new(ccs, q, ccs->settings.wait_ms);
    if (r == NULL)
        return answer_code(out, CCS_ENOMEM, "no memory");
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
    struct query q;
    int rv = query_init(ccs, name, len, &q);

    if (rv == CCS_OK)
        return query_start(ccs, &q, done, arg, out, req);
    answer_code(out, rv, "not a host name that a store can hold");
    count_answer(ccs, rv);
    return rv;
}

int ccs_acquire_start_canonical(struct ccs *ccs, const char *name, size_t len, ccs_done_cb done,
                                void *arg, struct ccs_answer *out, struct ccs_request **req)
{
    struct query q;

    memcpy(q.exact, name, len);
    q.exact[len] = '\0';
    q.exact_len = len;
    query_complete(ccs, &q);
    return query_start(ccs, &q, done, arg, out, req);
}

int ccs_acquire(struct ccs *ccs, const char *name, size_t len, int timeout_ms,
                struct ccs_answer *out)
{
    pthread_condattr_t attr;
    pthread_cond_t cond;
    struct ccs_request *r;
    struct timespec until;
    struct query q;
    int rv;

    rv = ccs_lookup(ccs, name, len, out);
    if (rv != CCS_PENDING)
        return rv;
    ccs_count(ccs, CCS_COUNT_MISSES);
    query_init(ccs, name, len, &q);
    r = request_new(ccs, &q, timeout_ms < 0 ? ccs->settings.wait_ms : timeout_ms);
    if (r == NULL)
        return answer_code(out, CCS_ENOMEM, "no memory");
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
        while (!r->completed && ccs_now_ms() < r->deadline_ms)
            pthread_cond_timedwait(&cond, &ccs->lock, &until);
        if (!r->completed) {
            answer_code(&r->answer, CCS_ETIMEDOUT, "the store did not answer in time");
            ccs_count(ccs, CCS_COUNT_TIMEOUTS);
            request_unlink_locked(r);
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

    r->stage = STAGE_WILDCARD;
    r->exact_error = *error;
    rv = look_up_wildcard(ccs, &r->query, &r->answer, error, &unsure);
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
        } else if (r->stage == STAGE_EXACT) {
            if (request_advance_locked(r, &loaded->error))
                continue;
        } else {
            answer_failure(&r->answer, worse(&r->exact_error, &loaded->error));
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
        answer_code(&r->answer, CCS_ETIMEDOUT, "the store did not answer in time");
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
        answer_code(&r->answer, CCS_ECLOSED, "the certificate store is closing");
        request_complete_locked(r);
    }
    pthread_mutex_unlock(&ccs->lock);
    ccs_acquire_dispatch(ccs, 0);
}
