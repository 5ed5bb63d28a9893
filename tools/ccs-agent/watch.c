/* SPDX-License-Identifier: Apache-2.0 */
/* The watcher of a store, and the clients that are told of changes. */
#include "error.h"
#include "share.h"

#define SILENCE_MS 10000  /* a watcher tells about once a second that it lives */
#define ARMING_MS  120000 /* the library lists the whole folder first */
#define STEADY_MS  1000
#define IDLE_MS    60000 /* that long it goes on when nobody wants to know any more */

static int watch_is_wanted(const struct agent_share *s)
{
    const struct agent_client *c;

    LIST_FOREACH(c, &s->broker->clients, link)
    {
        if (c->share == s && c->watch != AGENT_WATCH_NONE)
            return 1;
    }
    return 0;
}

static void watch_answer(struct agent_client *c)
{
    const struct ccs_wire_message m = {.type = CCS_WIRE_WATCHING};
    struct agent_body *body = agent_body_new(&m);

    if (c->watch == AGENT_WATCH_WAITING)
        c->pending--;
    c->watch = AGENT_WATCH_ON;
    if (body != NULL)
        agent_client_answer(c, c->watch_id, body);
    else
        c->broken = 1;
    agent_body_unref(body);
}

static void watch_refuse(struct agent_client *c, const struct ccs_error *err)
{
    c->pending--;
    c->watch = AGENT_WATCH_NONE;
    agent_client_error(c, c->watch_id, err);
}

void agent_watch_ask(struct agent_share *s, struct agent_client *c,
                     const struct ccs_wire_message *m)
{
    struct ccs_error err;

    if (c->watch == AGENT_WATCH_WAITING) {
        ccs_error_set(&err, CCS_ECANCELED, "another watch has taken the place of this one");
        watch_refuse(c, &err);
    }
    c->watch = AGENT_WATCH_NONE;
    c->overflow = 0;
    if (agent_share_rejects(s, c, m->id))
        return;
    c->watch = AGENT_WATCH_WAITING;
    c->pending++;
    c->watch_id = m->id;
    c->watch_until = ccs_now_ms() + (int64_t)m->timeout_ms;
    if (s->armed)
        watch_answer(c);
    else
        agent_watch_due(s, ccs_now_ms());
}

static void watch_armed(struct agent_share *s)
{
    struct agent_client *c;

    s->armed = 1;
    s->armed_at = ccs_now_ms();
    s->changes++;
    s->unwatchable = 0;
    LIST_FOREACH(c, &s->broker->clients, link)
    {
        if (c->share != s)
            continue;
        if (c->watch == AGENT_WATCH_WAITING)
            watch_answer(c);
        else if (c->watch == AGENT_WATCH_ON && s->lost)
            agent_client_overflow(c);
    }
    if (s->lost)
        agent_broker_log(s->broker, CCS_LOG_INFO, "the store %s is watched again", s->shown);
    s->lost = 0;
    agent_found_armed(s);
}

static void watch_event(struct agent_share *s, const struct ccs_wire_message *m,
                        const uint8_t *octets, size_t len)
{
    struct agent_body *body = agent_body_copy(octets, len);
    struct agent_client *c;

    s->changes++;
    s->count.events++;
    LIST_FOREACH(c, &s->broker->clients, link)
    {
        if (c->share != s || c->watch != AGENT_WATCH_ON)
            continue;
        if (m->event == CCS_EVENT_OVERFLOW || body == NULL)
            agent_client_overflow(c);
        else
            agent_client_event(c, body);
        if (m->event == CCS_EVENT_ROOT_GONE)
            c->watch = AGENT_WATCH_NONE;
    }
    agent_body_unref(body);
    if (m->event == CCS_EVENT_ROOT_GONE)
        s->armed = 0;
}

/* A watcher that could not begin. Those who watched before go on waiting for its successor. */
static void watch_failed(struct agent_share *s, const struct ccs_wire_message *m)
{
    struct agent_client *c;
    struct ccs_error err;

    ccs_error_set(&err, m->code, "%.*s", (int)m->text.len, m->text.data);
    agent_broker_log(s->broker, s->armed ? CCS_LOG_INFO : CCS_LOG_DEBUG, "%s", err.text);
    if (s->armed)
        return;
    LIST_FOREACH(c, &s->broker->clients, link)
    {
        if (c->share == s && c->watch == AGENT_WATCH_WAITING)
            watch_refuse(c, &err);
    }
}

void agent_watch_message(struct agent_share *s, const struct ccs_wire_message *m,
                         const uint8_t *octets, size_t len)
{
    s->heard_at = ccs_now_ms();
    switch (m->type) {
    case CCS_WIRE_ROOT:
        agent_found_begin(s, &m->root);
        break;
    case CCS_WIRE_NAMES:
    case CCS_WIRE_LISTED:
        agent_found_message(s, m, octets, len);
        break;
    case CCS_WIRE_WATCHING:
        watch_armed(s);
        break;
    case CCS_WIRE_EVENT:
        watch_event(s, m, octets, len);
        break;
    case CCS_WIRE_ERROR:
        watch_failed(s, m);
        break;
    default:
        break;
    }
}

void agent_watch_fail(struct agent_share *s, const struct ccs_error *err)
{
    struct agent_client *c;

    LIST_FOREACH(c, &s->broker->clients, link)
    {
        if (c->share == s && c->watch == AGENT_WATCH_WAITING)
            watch_refuse(c, err);
    }
}

void agent_watch_lost(struct agent_share *s)
{
    const int was_armed = s->armed;

    /* Where too much changes for any watch, a pause before the next one grows. */
    if (was_armed && ccs_now_ms() - s->armed_at > STEADY_MS)
        agent_link_steady(&s->watcher);
    agent_link_drop(&s->watcher);
    agent_found_drop(s);
    s->armed = 0;
    s->changes++;
    if (was_armed)
        s->lost = 1;
    else
        s->unwatchable = 1;
    if (watch_is_wanted(s) && !s->down)
        agent_link_want(&s->watcher, ccs_now_ms());
}

void agent_watch_due(struct agent_share *s, int64_t now)
{
    const int wanted = watch_is_wanted(s);
    struct agent_client *c;
    struct ccs_error err;

    /* Not before the worker got through: with a wrong password one of them is enough to try it. */
    if (wanted && !s->down && s->asked_at != 0)
        agent_link_want(&s->watcher, now);
    if (s->armed && wanted && now - s->heard_at > SILENCE_MS) {
        agent_broker_log(s->broker, CCS_LOG_WARN,
                         "the process that watches the store %s hangs and is started anew",
                         s->shown);
        agent_watch_lost(s);
    }
    if (!s->armed && s->watcher.state == AGENT_LINK_UP && now - s->watcher.since > ARMING_MS)
        agent_watch_lost(s);
    if (wanted)
        s->wanted_at = now;
    if (!wanted && s->watcher.state == AGENT_LINK_UP && now - s->wanted_at > IDLE_MS) {
        agent_watch_lost(s);
        s->lost = 0;
    }
    LIST_FOREACH(c, &s->broker->clients, link)
    {
        if (c->share != s || c->watch != AGENT_WATCH_WAITING || now < c->watch_until)
            continue;
        ccs_error_set(&err, CCS_ETIMEDOUT, "the store %s could not be watched in time", s->shown);
        watch_refuse(c, &err);
    }
}
