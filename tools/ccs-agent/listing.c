/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings. One enumeration of the folder serves all who asked for one before it began to give
 * names, and, where every change is told, all who ask until the next change.
 */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "share.h"

#define OCTETS_MAX ((size_t)256 << 20) /* some millions of names */
#define HANG_MS    300000
#define KEEP_MS    10000

struct agent_listing *agent_listing_new(void)
{
    struct agent_listing *l = calloc(1, sizeof(*l));

    if (l != NULL)
        l->refs = 1;
    return l;
}

void agent_listing_unref(struct agent_listing *l)
{
    if (l == NULL || --l->refs > 0)
        return;
    for (size_t i = 0; i < l->pieces; i++)
        agent_body_unref(l->piece[i]);
    free(l->piece);
    free(l);
}

static void listing_leave(struct agent_share *s)
{
    agent_listing_unref(s->listing);
    s->listing = NULL;
}

static void listing_join(struct agent_share *s, struct agent_waiter *w)
{
    s->listing->refs++;
    w->listing = s->listing;
    w->next = 0;
}

/* Whether it says what the folder held at some moment from now on. */
static int listing_is_current(const struct agent_share *s, int64_t now)
{
    const struct agent_listing *l = s->listing;

    if (l == NULL)
        return 0;
    if (s->armed && l->changes == s->changes)
        return !l->done || now - l->done_at < KEEP_MS;
    /* What the lister has passed already may have changed. */
    return !l->done && s->lister.state != AGENT_LINK_UP;
}

void agent_listing_ask(struct agent_share *s, struct agent_client *c,
                       const struct ccs_wire_message *m)
{
    const int joins = listing_is_current(s, ccs_now_ms());
    struct agent_waiter *w;
    struct ccs_error err;

    s->count.requests++;
    if (agent_share_rejects(s, c, m->id))
        return;
    w = agent_waiter_new(joins ? &s->listers : &s->patient, c, m);
    if (w == NULL) {
        ccs_error_set(&err, CCS_ENOMEM, "ccs-agent has no memory");
        agent_client_error(c, m->id, &err);
        return;
    }
    if (joins) {
        s->count.shared++;
        listing_join(s, w);
        agent_listing_feed(s);
    } else {
        agent_listing_due(s, ccs_now_ms());
    }
}

/* All who came too late for another one have a part in this one. */
static void listing_admit(struct agent_share *s)
{
    struct agent_waiter *w;

    while ((w = LIST_FIRST(&s->patient)) != NULL) {
        LIST_REMOVE(w, link);
        LIST_INSERT_HEAD(&s->listers, w, link);
        listing_join(s, w);
    }
}

void agent_listing_take(struct agent_share *s, struct agent_listing *l)
{
    if (s->listing != NULL && !s->listing->done) {
        agent_listing_unref(l);
        return;
    }
    listing_leave(s);
    s->listing = l;
    l->done_at = ccs_now_ms();
    listing_admit(s);
}

static void listing_begin(struct agent_share *s, int64_t now)
{
    struct agent_listing *l = agent_listing_new();

    if (l == NULL)
        return;
    listing_leave(s);
    l->changes = s->changes;
    l->begun_at = now;
    s->listing = l;
    listing_admit(s);
    /* The last one may not have ended yet. */
    agent_link_drop(&s->lister);
    s->count.listings++;
    agent_link_want(&s->lister, now);
}

int agent_listing_keep(struct agent_listing *l, const uint8_t *octets, size_t len)
{
    struct agent_body **piece;
    size_t room = l->room;

    if (len > OCTETS_MAX - l->octets)
        return CCS_ETOOBIG;
    if (l->pieces == room) {
        room = room == 0 ? 64 : room * 2;
        piece = realloc(l->piece, room * sizeof(struct agent_body *));
        if (piece == NULL)
            return CCS_ENOMEM;
        l->piece = piece;
        l->room = room;
    }
    l->piece[l->pieces] = agent_body_copy(octets, len);
    if (l->piece[l->pieces] == NULL)
        return CCS_ENOMEM;
    l->pieces++;
    l->octets += len;
    return CCS_OK;
}

/* The one under way has failed for all who have a part in it. */
void agent_listing_fail(struct agent_share *s, const struct ccs_error *err)
{
    struct agent_waiter *w = LIST_FIRST(&s->listers);
    struct agent_waiter *next;

    for (; w != NULL; w = next) {
        next = LIST_NEXT(w, link);
        if (w->listing == s->listing) {
            agent_client_error(w->client, w->id, err);
            agent_waiter_free(w);
        }
    }
    agent_link_drop(&s->lister);
    listing_leave(s);
}

static void listing_done(struct agent_share *s, const struct ccs_wire_message *m)
{
    s->listing->done = 1;
    s->listing->done_at = ccs_now_ms();
    s->listing->count = m->count;
    agent_link_drop(&s->lister);
    agent_link_steady(&s->lister);
    s->lister.retry_at = 0;
    agent_share_up(s);
}

void agent_listing_message(struct agent_share *s, const struct ccs_wire_message *m,
                           const uint8_t *octets, size_t len)
{
    struct ccs_error err;
    int rv;

    if (s->listing == NULL || s->listing->done)
        return;
    if (m->type == CCS_WIRE_NAMES) {
        rv = agent_listing_keep(s->listing, octets, len);
        if (rv != CCS_OK) {
            ccs_error_set(&err, rv, "the store %s has more names than can be kept", s->shown);
            agent_listing_fail(s, &err);
            return;
        }
    } else if (m->type == CCS_WIRE_LISTED) {
        listing_done(s, m);
    } else if (m->type == CCS_WIRE_ERROR) {
        ccs_error_set(&err, m->code, "%.*s", (int)m->text.len, m->text.data);
        err.sys_errno = m->sys_errno;
        agent_listing_fail(s, &err);
        agent_link_steady(&s->lister);
        return;
    }
    agent_listing_feed(s);
}

/* The lister ended too early. Who was given nothing yet gets all of the next one. */
void agent_listing_lost(struct agent_share *s)
{
    struct agent_waiter *w = LIST_FIRST(&s->listers);
    struct agent_waiter *next;
    struct ccs_error err;

    agent_link_drop(&s->lister);
    if (s->listing == NULL || s->listing->done)
        return;
    for (; w != NULL; w = next) {
        next = LIST_NEXT(w, link);
        if (w->listing != s->listing || w->next > 0)
            continue;
        LIST_REMOVE(w, link);
        agent_listing_unref(w->listing);
        w->listing = NULL;
        LIST_INSERT_HEAD(&s->patient, w, link);
    }
    ccs_error_set(&err, CCS_EUNAVAIL, "the process that lists the store %s has ended", s->shown);
    agent_broker_log(s->broker, CCS_LOG_WARN, "%s", err.text);
    agent_listing_fail(s, &err);
}

void agent_listing_feed(struct agent_share *s)
{
    struct ccs_wire_message done = {.type = CCS_WIRE_LISTED};
    struct agent_waiter *w = LIST_FIRST(&s->listers);
    struct agent_waiter *next;
    struct agent_body *body;

    for (; w != NULL; w = next) {
        next = LIST_NEXT(w, link);
        while (w->next < w->listing->pieces && agent_client_has_room(w->client)) {
            agent_client_part(w->client, w->id, w->listing->piece[w->next]);
            w->next++;
        }
        if (!w->listing->done || w->next < w->listing->pieces)
            continue;
        done.count = w->listing->count;
        body = agent_body_new(&done);
        if (body != NULL)
            agent_client_answer(w->client, w->id, body);
        else
            w->client->broken = 1;
        agent_body_unref(body);
        agent_waiter_free(w);
    }
}

void agent_listing_due(struct agent_share *s, int64_t now)
{
    struct agent_listing *l = s->listing;
    struct ccs_error err;

    agent_waiters_due(s, &s->listers, now);
    agent_waiters_due(s, &s->patient, now);
    agent_listing_feed(s);
    if (l != NULL && !l->done && now - l->begun_at > HANG_MS) {
        ccs_error_set(&err, CCS_ETIMEDOUT, "the store %s could not be listed within %d s", s->shown,
                      HANG_MS / 1000);
        agent_listing_fail(s, &err);
    } else if (l != NULL && !l->done && l->refs == 1) {
        /* All who waited for it have left. */
        agent_link_drop(&s->lister);
        agent_link_steady(&s->lister);
        listing_leave(s);
    } else if (l != NULL && l->done && now - l->done_at >= KEEP_MS) {
        listing_leave(s);
    }
    if (s->down) {
        agent_waiters_fail(&s->patient, &s->reason);
        return;
    }
    if (!LIST_EMPTY(&s->patient) && (s->listing == NULL || s->listing->done) &&
        !agent_found_is_awaited(s))
        listing_begin(s, now);
    if (s->listing != NULL && !s->listing->done)
        agent_link_want(&s->lister, now);
}
