/* SPDX-License-Identifier: Apache-2.0 */
#include "store_agent.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent_link.h"
#include "error.h"
#include "log.h"

#define SHOWN       200
#define IDLE_MAX    8    /* connections kept for the next call */
#define EVENTS_MAX  4096 /* events told in one go */
#define PAUSE_FIRST 20   /* milliseconds; a broker that was started anew is there that soon */
#define CALL_MS     10000
#define LIST_MS     120000
#define RETRY_MS    500

struct store_agent {
    struct ccs_store base;
    struct ccs_agent *agent; /* a reference; NULL: path */
    char *path;
    char *location;
    char shown[SHOWN]; /* location for messages */
    struct ccs_store_agent_times times;
    struct ccs_log *log;

    pthread_mutex_t lock; /* a leaf: guards the two below */
    struct ccs_agent_link idle[IDLE_MAX];
    size_t idle_count;

    struct ccs_agent_link watch; /* the watch functions' thread only */
    uint32_t watch_id;
};

/* What a call makes of answers: CCS_PENDING if more are to come. */
typedef int (*answer_cb)(const struct ccs_wire_message *m, void *arg, struct ccs_error *err);

static struct store_agent *of(struct ccs_store *store)
{
    return (struct store_agent *)(void *)store; /* base is the first member */
}

/* -- connections ------------------------------------------------------------------------------- */

static void pause_before_retry(const struct store_agent *s, int64_t *pause, int64_t deadline)
{
    int64_t ms = *pause;

    if (ms > deadline - ccs_now_ms())
        ms = deadline - ccs_now_ms();
    if (ms > 0)
        (void)poll(NULL, 0, (int)ms);
    *pause = *pause * 2 < s->times.retry_ms ? *pause * 2 : s->times.retry_ms;
}

/*
 * A broker that ends takes its connections along, and the next one is there in a moment; while
 * none is there connections wait to be taken. Only an agent that is gone for good is not waited
 * for.
 */
static int open_link(const struct store_agent *s, struct ccs_agent_link *link, unsigned flags,
                     int64_t deadline, struct ccs_error *err)
{
    int64_t pause = PAUSE_FIRST;
    int fd = -1;
    int rv;

    for (;;) {
        rv = s->agent != NULL ? ccs_agent_connect(s->agent, &fd, err)
                              : ccs_agent_connect_path(s->path, &fd, err);
        if (rv == CCS_OK)
            rv = ccs_agent_link_greet(link, fd, s->location, flags, deadline, err);
        if ((rv != CCS_EBUSY && rv != CCS_ECLOSED) || ccs_now_ms() >= deadline)
            return rv;
        pause_before_retry(s, &pause, deadline);
    }
}

/* One that was left by an earlier call, or a new one. */
static int take_link(struct store_agent *s, struct ccs_agent_link *link, int64_t deadline,
                     struct ccs_error *err)
{
    int found = 1;

    while (found) {
        pthread_mutex_lock(&s->lock);
        found = s->idle_count > 0;
        if (found)
            *link = s->idle[--s->idle_count];
        pthread_mutex_unlock(&s->lock);
        if (found && ccs_agent_link_is_idle(link))
            return CCS_OK;
        if (found)
            ccs_agent_link_close(link);
    }
    return open_link(s, link, 0, deadline, err);
}

static void give_link(struct store_agent *s, struct ccs_agent_link *link)
{
    int kept;

    ccs_secret_free(&link->in);
    pthread_mutex_lock(&s->lock);
    kept = s->idle_count < IDLE_MAX;
    if (kept)
        s->idle[s->idle_count++] = *link;
    pthread_mutex_unlock(&s->lock);
    if (!kept)
        ccs_agent_link_close(link);
}

/* -- calls ------------------------------------------------------------------------------------- */

/* What the agent says of a request. All that is not about the file is about the store. */
static int take_error(const struct ccs_wire_message *m, struct ccs_error *err)
{
    char text[CCS_WIRE_TEXT_MAX + 1];
    int code = m->code;

    switch (code) {
    case CCS_ENOMEM:
    case CCS_ENOTFOUND:
    case CCS_EACCESS:
    case CCS_EFILETYPE:
    case CCS_ETOOBIG:
    case CCS_EINCOMPLETE:
    case CCS_ECHANGED:
        break;
    default:
        code = CCS_EUNAVAIL;
    }
    (void)ccs_error_set(err, code, "%s",
                        ccs_printable(text, sizeof(text), m->text.data, m->text.len));
    if (err != NULL)
        err->sys_errno = m->sys_errno;
    return code;
}

/*
 * One request on one connection. *used: the caller has seen something of the answer; *whole: all of
 * it, so that the connection is ready for the next one.
 */
static int exchange(struct ccs_agent_link *link, struct ccs_wire_message *m, int64_t deadline,
                    answer_cb cb, void *arg, int *used, int *whole, struct ccs_error *err)
{
    struct ccs_wire_message answer;
    int rv;

    *whole = 0;
    m->timeout_ms = (uint32_t)(deadline > ccs_now_ms() ? deadline - ccs_now_ms() : 1);
    rv = ccs_agent_link_send(link, m, deadline, err);
    while (rv == CCS_OK || rv == CCS_PENDING) {
        rv = ccs_agent_link_receive(link, &answer, deadline, err);
        if (rv == CCS_OK && ccs_now_ms() >= deadline)
            rv = ccs_error_set(err, CCS_ETIMEDOUT, "ccs-agent did not come to an end in time");
        if (rv != CCS_OK)
            break;
        if (answer.id != m->id)
            continue;
        *used = 1;
        rv = cb(&answer, arg, err);
        *whole = rv != CCS_PENDING && rv != CCS_ECANCELED && rv != CCS_EINVAL;
        if (rv != CCS_PENDING)
            break;
    }
    return rv;
}

/* The end of a call that failed, but not for what the agent said. */
static int no_answer(const struct store_agent *s, int code, struct ccs_error *err)
{
    struct ccs_error why;

    if (code == CCS_ENOMEM || err == NULL)
        return code == CCS_ENOMEM ? code : CCS_EUNAVAIL;
    why = *err;
    (void)ccs_error_set(err, CCS_EUNAVAIL, "%s (store %s)", why.text, s->shown);
    err->sys_errno = why.sys_errno;
    return CCS_EUNAVAIL;
}

/*
 * Asks until there is an answer or the time is up. A connection that breaks before is no answer:
 * requests change nothing, so they may be sent again.
 */
static int call(struct store_agent *s, struct ccs_wire_message *m, int64_t ms, answer_cb cb,
                void *arg, struct ccs_error *err)
{
    const int64_t deadline = ccs_now_ms() + ms;
    int64_t pause = PAUSE_FIRST;
    struct ccs_agent_link link;
    struct ccs_error own;
    int used = 0;
    int whole;
    int rv;

    if (err == NULL)
        err = &own;
    for (;;) {
        ccs_agent_link_init(&link);
        rv = take_link(s, &link, deadline, err);
        if (rv != CCS_OK)
            return no_answer(s, rv, err);
        rv = exchange(&link, m, deadline, cb, arg, &used, &whole, err);
        if (whole) {
            give_link(s, &link);
            return rv;
        }
        ccs_agent_link_close(&link);
        if (rv == CCS_ECANCELED)
            return CCS_OK; /* by the one who asked, who has seen enough */
        if (rv != CCS_ECLOSED || used || ccs_now_ms() >= deadline)
            return no_answer(s, rv, err);
        pause_before_retry(s, &pause, deadline);
    }
}

static int wrong_answer(struct ccs_error *err)
{
    return ccs_error_set(err, CCS_EINVAL, "ccs-agent said something that is no answer");
}

static int check_file(const char *file, struct ccs_wire_message *m, struct ccs_error *err)
{
    m->text.data = file;
    m->text.len = strlen(file);
    if (ccs_wire_is_file(file, m->text.len))
        return CCS_OK;
    return ccs_error_set(err, CCS_ENOTFOUND, "no file in a store can be called so");
}

static int on_root(const struct ccs_wire_message *m, void *arg, struct ccs_error *err)
{
    struct ccs_root *out = arg;

    if (m->type == CCS_WIRE_ERROR)
        return take_error(m, err);
    if (m->type != CCS_WIRE_ROOT)
        return wrong_answer(err);
    *out = m->root;
    return CCS_OK;
}

static int agent_probe(struct ccs_store *store, struct ccs_root *out, struct ccs_error *err)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_PROBE};

    return call(of(store), &m, of(store)->times.call_ms, on_root, out, err);
}

static int on_stamp(const struct ccs_wire_message *m, void *arg, struct ccs_error *err)
{
    struct ccs_stamp *out = arg;

    if (m->type == CCS_WIRE_ERROR)
        return take_error(m, err);
    if (m->type != CCS_WIRE_STAMP)
        return wrong_answer(err);
    *out = m->stamp;
    return CCS_OK;
}

static int agent_stat(struct ccs_store *store, const char *file, struct ccs_stamp *out,
                      struct ccs_error *err)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_STAT};
    const int rv = check_file(file, &m, err);

    return rv != CCS_OK ? rv : call(of(store), &m, of(store)->times.call_ms, on_stamp, out, err);
}

struct reading {
    struct ccs_secret *data;
    struct ccs_stamp *stamp;
    size_t max;
};

static int on_contents(const struct ccs_wire_message *m, void *arg, struct ccs_error *err)
{
    const struct reading *r = arg;

    if (m->type == CCS_WIRE_ERROR) {
        *r->stamp = m->stamp;
        return take_error(m, err);
    }
    if (m->type != CCS_WIRE_CONTENTS || m->text.len > r->max)
        return wrong_answer(err);
    *r->stamp = m->stamp;
    if (m->text.len == 0)
        return ccs_error_set(err, CCS_EINCOMPLETE, "it is empty");
    if (ccs_secret_append(r->data, m->text.data, m->text.len) != CCS_OK)
        return ccs_error_set(err, CCS_ENOMEM, "no memory to read it");
    return CCS_OK;
}

static int agent_read(struct ccs_store *store, const char *file, size_t max,
                      struct ccs_secret *data, struct ccs_stamp *out, struct ccs_error *err)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_READ};
    struct reading r = {data, out, max < CCS_WIRE_FILE_MAX ? max : CCS_WIRE_FILE_MAX};
    int rv = check_file(file, &m, err);

    if (rv != CCS_OK)
        return rv;
    m.max = (uint32_t)r.max;
    rv = call(of(store), &m, of(store)->times.call_ms, on_contents, &r, err);
    if (rv != CCS_OK)
        ccs_secret_free(data);
    return rv;
}

struct listing {
    ccs_store_name_cb cb;
    void *arg;
};

static int on_names(const struct ccs_wire_message *m, void *arg, struct ccs_error *err)
{
    const struct listing *l = arg;
    struct ccs_wire_text names = m->text;
    struct ccs_wire_text name;
    char file[CCS_FILE_NAME_SIZE];

    if (m->type == CCS_WIRE_ERROR)
        return take_error(m, err);
    if (m->type == CCS_WIRE_LISTED)
        return CCS_OK;
    if (m->type != CCS_WIRE_NAMES)
        return wrong_answer(err);
    while (ccs_wire_names_next(&names, &name)) {
        memcpy(file, name.data, name.len);
        file[name.len] = '\0';
        if (l->cb(file, name.len, l->arg) != 0)
            return CCS_ECANCELED;
    }
    return CCS_PENDING;
}

static int agent_list(struct ccs_store *store, ccs_store_name_cb cb, void *arg,
                      struct ccs_error *err)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_LIST};
    struct listing l = {cb, arg};

    return call(of(store), &m, of(store)->times.list_ms, on_names, &l, err);
}

/* -- watching ---------------------------------------------------------------------------------- */

static void take_line(const struct store_agent *s, const struct ccs_wire_message *m)
{
    char text[CCS_LOG_LINE_MAX];

    if (s->log == NULL || !ccs_log_wants(s->log, m->level))
        return;
    ccs_log(s->log, m->level, "%s", ccs_printable(text, sizeof(text), m->text.data, m->text.len));
}

static int agent_watch_fd(struct ccs_store *store)
{
    return of(store)->watch.fd;
}

/* What comes before the answer to WATCH, and that. */
static int await_watching(struct store_agent *s, int64_t deadline, struct ccs_error *err)
{
    struct ccs_wire_message m;
    int rv;

    for (;;) {
        rv = ccs_agent_link_receive(&s->watch, &m, deadline, err);
        if (rv != CCS_OK)
            return no_answer(s, rv, err);
        if (m.type == CCS_WIRE_LOG)
            take_line(s, &m);
        if (m.id != s->watch_id)
            continue;
        if (m.type == CCS_WIRE_ERROR)
            return take_error(&m, err);
        if (m.type != CCS_WIRE_WATCHING)
            return no_answer(s, wrong_answer(err), err);
        return CCS_OK;
    }
}

static int agent_watch_start(struct ccs_store *store, struct ccs_error *err)
{
    struct store_agent *s = of(store);
    const int64_t deadline = ccs_now_ms() + s->times.call_ms;
    struct ccs_wire_message m = {.type = CCS_WIRE_WATCH};
    struct ccs_error own;
    int rv;

    if (err == NULL)
        err = &own;
    ccs_agent_link_close(&s->watch);
    rv = open_link(s, &s->watch, CCS_WIRE_WANT_LOG, deadline, err);
    if (rv != CCS_OK)
        return no_answer(s, rv, err);
    m.timeout_ms = (uint32_t)s->times.call_ms;
    rv = ccs_agent_link_send(&s->watch, &m, deadline, err);
    if (rv != CCS_OK) {
        rv = no_answer(s, rv, err);
    } else {
        s->watch_id = m.id;
        rv = await_watching(s, deadline, err);
    }
    if (rv != CCS_OK)
        ccs_agent_link_close(&s->watch);
    return rv;
}

/* 0 when nothing more will come. */
static int take_event(struct store_agent *s, const struct ccs_wire_message *m,
                      ccs_store_event_cb cb, void *arg)
{
    char file[CCS_FILE_NAME_SIZE];

    if (m->type == CCS_WIRE_LOG)
        take_line(s, m);
    if (m->id != s->watch_id || (m->type != CCS_WIRE_EVENT && m->type != CCS_WIRE_ERROR))
        return 1;
    if (m->type == CCS_WIRE_ERROR || m->event == CCS_EVENT_ROOT_GONE)
        return 0;
    if (m->event == CCS_EVENT_OVERFLOW) {
        cb(m->event, NULL, arg);
        return 1;
    }
    memcpy(file, m->text.data, m->text.len);
    file[m->text.len] = '\0';
    cb(m->event, file, arg);
    return 1;
}

static void agent_watch_read(struct ccs_store *store, ccs_store_event_cb cb, void *arg)
{
    struct store_agent *s = of(store);
    struct ccs_wire_message m;
    int rv = CCS_OK;

    for (int i = 0; s->watch.fd >= 0 && i < EVENTS_MAX; i++) {
        rv = ccs_agent_link_receive(&s->watch, &m, 0, NULL);
        if (rv == CCS_ETIMEDOUT)
            return;
        if (rv == CCS_OK && take_event(s, &m, cb, arg))
            continue;
        /* Also when the broker has ended: what has happened since cannot be known. */
        ccs_agent_link_close(&s->watch);
        cb(CCS_EVENT_ROOT_GONE, NULL, arg);
    }
}

/* -- life -------------------------------------------------------------------------------------- */

static void agent_set_log(struct ccs_store *store, struct ccs_log *log)
{
    of(store)->log = log;
}

static void agent_close(struct ccs_store *store)
{
    struct store_agent *s = of(store);

    while (s->idle_count > 0)
        ccs_agent_link_close(&s->idle[--s->idle_count]);
    ccs_agent_link_close(&s->watch);
    ccs_agent_free(s->agent);
    pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s->location);
    free(s);
}

static const struct ccs_store_ops agent_ops = {
    .list = agent_list,
    .stat = agent_stat,
    .read = agent_read,
    .probe = agent_probe,
    .watch_fd = agent_watch_fd,
    .watch_start = agent_watch_start,
    .watch_read = agent_watch_read,
    .set_log = agent_set_log,
    .close = agent_close,
};

int ccs_store_agent_open(struct ccs_agent *agent, const char *path, const char *location,
                         struct ccs_store **out, struct ccs_error *err)
{
    struct store_agent *s;

    if (agent == NULL && path == NULL)
        return ccs_error_set(err, CCS_EUNAVAIL, "there is no ccs-agent for the store");
    if (strlen(location) > CCS_WIRE_LOCATION_MAX)
        return ccs_error_set(err, CCS_EINVAL, "the path of the store is too long");
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the store");
    s->location = strdup(location);
    s->path = agent == NULL ? strdup(path) : NULL;
    if (s->location == NULL || (agent == NULL && s->path == NULL) ||
        pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s->location);
        free(s->path);
        free(s);
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the store");
    }
    s->base.ops = &agent_ops;
    s->agent = agent != NULL ? ccs_agent_ref(agent) : NULL;
    ccs_printable(s->shown, sizeof(s->shown), location, strlen(location));
    s->times = (struct ccs_store_agent_times){
        .call_ms = CALL_MS, .list_ms = LIST_MS, .retry_ms = RETRY_MS};
    ccs_agent_link_init(&s->watch);
    *out = &s->base;
    return CCS_OK;
}

void ccs_store_agent_set_times(struct ccs_store *store, const struct ccs_store_agent_times *times)
{
    of(store)->times = *times;
}
