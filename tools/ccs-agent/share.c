/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

#define JOBS_MAX     4096
#define TRIES_MAX    3
#define DEADLINE_MIN 2000
#define DEADLINE_MAX 60000
#define HEARTBEAT_MS 5000
#define PAUSE_MIN_MS 500
#define PAUSE_MAX_MS 2000

struct agent_share *agent_share_new(struct agent_broker *b, unsigned store)
{
    struct agent_share *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->broker = b;
    s->config = &b->setup->store[store];
    s->store = (uint16_t)store;
    ccs_printable(s->shown, sizeof(s->shown), s->config->location, strlen(s->config->location));
    agent_link_init(&s->worker, s, AGENT_WORKER);
    agent_link_init(&s->watcher, s, AGENT_WATCHER);
    agent_link_init(&s->lister, s, AGENT_LISTER);
    TAILQ_INIT(&s->jobs);
    LIST_INIT(&s->listers);
    LIST_INIT(&s->patient);
    return s;
}

/* -- jobs ---------------------------------------------------------------------------------- */

static void job_free(struct agent_share *s, struct agent_job *job)
{
    if (job->proves != 0)
        agent_found_judge(s, job->proves, NULL);
    TAILQ_REMOVE(&s->jobs, job, link);
    s->job_count--;
    free(job);
}

static struct agent_job *job_new(struct agent_share *s, enum ccs_wire_type type)
{
    struct agent_job *job = s->job_count < JOBS_MAX ? calloc(1, sizeof(*job)) : NULL;

    if (job == NULL)
        return NULL;
    job->type = type;
    LIST_INIT(&job->waiters);
    TAILQ_INSERT_TAIL(&s->jobs, job, link);
    s->job_count++;
    return job;
}

/* One that has not begun, because what is read now may be older than the question. */
static struct agent_job *job_find(struct agent_share *s, const struct ccs_wire_message *m)
{
    struct agent_job *job = TAILQ_FIRST(&s->jobs);

    if (job != NULL && s->busy)
        job = TAILQ_NEXT(job, link);
    for (; job != NULL; job = TAILQ_NEXT(job, link)) {
        if (job->type == m->type && job->max == m->max && strlen(job->file) == m->text.len &&
            (m->text.len == 0 || memcmp(job->file, m->text.data, m->text.len) == 0))
            break;
    }
    return job;
}

static void share_dispatch(struct agent_share *s)
{
    struct ccs_wire_message m = {0};
    struct agent_job *job = TAILQ_FIRST(&s->jobs);

    if (job == NULL || s->busy)
        return;
    if (s->worker.state != AGENT_LINK_UP) {
        agent_link_want(&s->worker, ccs_now_ms());
        return;
    }
    m.type = job->type;
    m.id = ++s->job_id;
    m.max = job->max;
    m.text.data = job->file;
    m.text.len = strlen(job->file);
    if (agent_stream_send(&s->worker.stream, &m) != CCS_OK)
        return;
    s->busy = 1;
    s->busy_since = ccs_now_ms();
    s->count.asked++;
    (void)agent_stream_flush(&s->worker.stream);
}

int agent_share_rejects(struct agent_share *s, struct agent_client *c, uint32_t id)
{
    if (!s->down)
        return 0;
    s->count.rejected++;
    agent_client_error(c, id, &s->reason);
    return 1;
}

void agent_share_ask(struct agent_share *s, struct agent_client *c,
                     const struct ccs_wire_message *m)
{
    struct ccs_error err = s->reason;
    struct agent_job *job;

    s->count.requests++;
    if (s->down) {
        /* Of a file nothing is known while the folder may not be used. */
        if (m->type != CCS_WIRE_PROBE)
            err.code = CCS_EUNAVAIL;
        s->count.rejected++;
        agent_client_error(c, m->id, &err);
        return;
    }
    job = job_find(s, m);
    if (job != NULL) {
        s->count.shared++;
    } else {
        job = job_new(s, m->type);
        if (job == NULL) {
            ccs_error_set(&err, CCS_EBUSY, "too many requests wait for the store %s", s->shown);
            agent_client_error(c, m->id, &err);
            return;
        }
        job->max = m->max;
        if (m->text.len > 0)
            memcpy(job->file, m->text.data, m->text.len);
    }
    if (agent_waiter_new(&job->waiters, c, m) == NULL) {
        ccs_error_set(&err, CCS_ENOMEM, "ccs-agent has no memory");
        agent_client_error(c, m->id, &err);
    }
    share_dispatch(s);
}

int agent_share_prove(struct agent_share *s, unsigned number)
{
    struct agent_job *job = job_new(s, CCS_WIRE_PROBE);

    if (job == NULL)
        return 0;
    job->own = 1;
    job->proves = number;
    share_dispatch(s);
    return 1;
}

/* -- whether the store answers ------------------------------------------------------------- */

void agent_share_up(struct agent_share *s)
{
    const int64_t now = ccs_now_ms();

    s->asked_at = now;
    s->pause_ms = 0;
    if (!s->down)
        return;
    s->down = 0;
    agent_broker_log(s->broker, CCS_LOG_INFO, "the store %s answers again, after %lld s", s->shown,
                     (long long)(now - s->down_since + 999) / 1000);
    /* Its session may have ended unnoticed. */
    if (s->watcher.state != AGENT_LINK_NONE)
        agent_watch_lost(s);
}

/* Nobody is kept waiting for what would fail as well. */
static void share_fail_queue(struct agent_share *s, const struct ccs_error *err)
{
    struct ccs_error file = *err;
    struct agent_job *job = TAILQ_FIRST(&s->jobs);
    struct agent_job *next;

    file.code = CCS_EUNAVAIL;
    if (job != NULL && s->busy)
        job = TAILQ_NEXT(job, link);
    for (; job != NULL; job = next) {
        next = TAILQ_NEXT(job, link);
        agent_waiters_fail(&job->waiters, job->type == CCS_WIRE_PROBE ? err : &file);
        job_free(s, job);
    }
}

void agent_share_failed(struct agent_share *s, const struct ccs_error *err)
{
    const int64_t now = ccs_now_ms();
    const int is_new = s->reason.code != err->code || s->reason.sys_errno != err->sys_errno;

    if (!s->down) {
        s->down = 1;
        s->down_since = now;
        agent_broker_log(s->broker, CCS_LOG_WARN, "%s", err->text);
    } else if (is_new) {
        agent_broker_log(s->broker, CCS_LOG_DEBUG, "%s", err->text);
    }
    s->reason = *err;
    s->asked_at = now;
    s->pause_ms = s->pause_ms == 0 ? PAUSE_MIN_MS : s->pause_ms * 2;
    if (s->pause_ms > PAUSE_MAX_MS)
        s->pause_ms = PAUSE_MAX_MS;
    s->probe_at = now + s->pause_ms;
    share_fail_queue(s, err);
    /* A listing is given far more time than the worker, which has just found that it is in vain. */
    if (s->listing != NULL && !s->listing->done)
        agent_listing_fail(s, err);
    agent_watch_fail(s, err);
}

/* -- the worker's answers ------------------------------------------------------------------ */

static void error_of(const struct ccs_wire_message *m, struct ccs_error *err)
{
    memset(err, 0, sizeof(*err));
    err->code = m->code;
    err->sys_errno = m->sys_errno;
    memcpy(err->text, m->text.data,
           m->text.len < sizeof(err->text) ? m->text.len : sizeof(err->text) - 1);
}

static void share_judge(struct agent_share *s, const struct agent_job *job,
                        const struct ccs_wire_message *m)
{
    struct ccs_error err;

    if (m->type == CCS_WIRE_ERROR &&
        (m->code == CCS_EUNAVAIL || (m->code == CCS_EACCESS && job->type == CCS_WIRE_PROBE))) {
        error_of(m, &err);
        agent_share_failed(s, &err);
    } else {
        agent_share_up(s);
        s->worker_works = 1;
    }
}

/*
 * libsmbclient may go on with a connection, or a share on it, that is dead for good. Where one was
 * made at all, a new process begins anew; the reason of a refused logon is known to the old one.
 */
static int share_renews(const struct ccs_wire_message *m)
{
    if (m->type != CCS_WIRE_ERROR || m->code != CCS_EUNAVAIL)
        return 0;
    switch (m->sys_errno) {
    case 0:
    case ENOENT:
    case EACCES:
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return 0;
    default:
        return 1;
    }
}

static void share_renew_worker(struct agent_share *s)
{
    agent_link_steady(&s->worker);
    agent_link_drop(&s->worker);
    agent_link_steady(&s->worker);
    s->worker_works = 0;
}

static struct agent_body *answer_body(struct agent_share *s, const struct ccs_wire_message *m,
                                      const uint8_t *octets, size_t len)
{
    struct ccs_wire_message root = *m;

    if (m->type != CCS_WIRE_ROOT)
        return agent_body_copy(octets, len);
    /* Whoever was told that it watches must look by itself while nothing is told. */
    if (s->lost && !s->armed)
        root.root.notifies = false;
    return agent_body_new(&root);
}

void agent_share_answered(struct agent_share *s, const struct ccs_wire_message *m,
                          const uint8_t *octets, size_t len)
{
    struct agent_job *job = TAILQ_FIRST(&s->jobs);
    struct agent_waiter *w;
    struct agent_body *body;
    int renews;

    if (!s->busy || job == NULL || m->id != s->job_id)
        return;
    renews = share_renews(m);
    if (renews && s->worker_works && m->sys_errno != ETIMEDOUT) {
        /* Asked anew on a new connection, it may well answer. */
        s->busy = 0;
        share_renew_worker(s);
        share_dispatch(s);
        return;
    }
    body = answer_body(s, m, octets, len);
    while ((w = LIST_FIRST(&job->waiters)) != NULL) {
        if (body != NULL)
            agent_client_answer(w->client, w->id, body);
        else
            w->client->broken = 1;
        agent_waiter_free(w);
    }
    agent_body_unref(body);
    if (job->proves != 0 && m->type == CCS_WIRE_ROOT) {
        agent_found_judge(s, job->proves, &m->root);
        job->proves = 0;
    }
    agent_link_steady(&s->worker);
    share_judge(s, job, m);
    s->busy = 0;
    job_free(s, job);
    if (renews)
        share_renew_worker(s);
    share_dispatch(s);
}

/* It has ended in the middle of a job, which its successor gets: asking twice does no harm. */
void agent_share_worker_ended(struct agent_share *s)
{
    struct agent_job *job = TAILQ_FIRST(&s->jobs);
    struct ccs_error err;

    agent_link_drop(&s->worker);
    s->worker_works = 0;
    if (s->busy && job != NULL && ++job->tries >= TRIES_MAX) {
        ccs_error_set(&err, CCS_EUNAVAIL,
                      "the process that reads the store %s ends whenever it is asked for this",
                      s->shown);
        agent_waiters_fail(&job->waiters, &err);
        job_free(s, job);
    }
    s->busy = 0;
    agent_broker_log(s->broker, CCS_LOG_WARN,
                     "the process that reads the store %s has ended and is started anew", s->shown);
    agent_link_want(&s->worker, ccs_now_ms());
}

/* -- by the clock -------------------------------------------------------------------------- */

static void share_overdue(struct agent_share *s)
{
    struct agent_job *job = TAILQ_FIRST(&s->jobs);
    const int64_t waited = ccs_now_ms() - s->busy_since;
    struct ccs_error err;

    share_renew_worker(s);
    s->count.timeouts++;
    ccs_error_set(&err, CCS_ETIMEDOUT, "the store %s did not answer within %lld ms", s->shown,
                  (long long)waited);
    if (job != NULL) {
        agent_waiters_fail(&job->waiters, &err);
        job_free(s, job);
    }
    s->busy = 0;
    err.code = CCS_EUNAVAIL;
    agent_share_failed(s, &err);
    agent_link_want(&s->worker, ccs_now_ms());
}

static int64_t share_deadline(const struct agent_share *s)
{
    const int64_t wait = s->config->wait_ms;

    if (wait < DEADLINE_MIN)
        return DEADLINE_MIN;
    return wait > DEADLINE_MAX ? DEADLINE_MAX : wait;
}

static void share_heartbeat(struct agent_share *s, int64_t now)
{
    const int is_busy = s->listing != NULL && !s->listing->done;
    const int64_t pause = is_busy || !s->armed ? HEARTBEAT_MS / 5 : HEARTBEAT_MS;
    struct agent_job *job;

    if (!TAILQ_EMPTY(&s->jobs) || s->broker->client_count == 0 ||
        now < (s->down ? s->probe_at : s->asked_at + pause))
        return;
    job = job_new(s, CCS_WIRE_PROBE);
    if (job != NULL)
        job->own = 1;
}

void agent_share_due(struct agent_share *s, int64_t now)
{
    struct agent_job *job;
    struct agent_job *next;

    if (s->busy && now - s->busy_since >= share_deadline(s))
        share_overdue(s);
    for (job = TAILQ_FIRST(&s->jobs); job != NULL; job = next) {
        next = TAILQ_NEXT(job, link);
        agent_waiters_due(s, &job->waiters, now);
        if (LIST_EMPTY(&job->waiters) && !job->own && !(s->busy && job == TAILQ_FIRST(&s->jobs)))
            job_free(s, job);
    }
    share_heartbeat(s, now);
    share_dispatch(s);
    agent_watch_due(s, now);
    agent_listing_due(s, now);
}

void agent_share_cancel(struct agent_share *s, const struct agent_client *c, uint32_t id)
{
    struct agent_job *job;

    TAILQ_FOREACH(job, &s->jobs, link)
    agent_waiters_forget(&job->waiters, c, &id);
    agent_waiters_forget(&s->listers, c, &id);
    agent_waiters_forget(&s->patient, c, &id);
}

void agent_share_forget(struct agent_share *s, const struct agent_client *c)
{
    struct agent_job *job;

    TAILQ_FOREACH(job, &s->jobs, link)
    agent_waiters_forget(&job->waiters, c, NULL);
    agent_waiters_forget(&s->listers, c, NULL);
    agent_waiters_forget(&s->patient, c, NULL);
}
