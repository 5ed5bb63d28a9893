/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for an answer. */
#include <stdlib.h>

#include "error.h"
#include "share.h"

struct agent_waiter *agent_waiter_new(struct agent_waiters *list, struct agent_client *c,
                                      const struct ccs_wire_message *m)
{
    struct agent_waiter *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    w->client = c;
    w->id = m->id;
    w->until = ccs_now_ms() + (int64_t)m->timeout_ms;
    c->pending++;
    LIST_INSERT_HEAD(list, w, link);
    return w;
}

void agent_waiter_free(struct agent_waiter *w)
{
    LIST_REMOVE(w, link);
    w->client->pending--;
    agent_listing_unref(w->listing);
    free(w);
}

void agent_waiters_fail(struct agent_waiters *list, const struct ccs_error *err)
{
    struct agent_waiter *w;

    while ((w = LIST_FIRST(list)) != NULL) {
        agent_client_error(w->client, w->id, err);
        agent_waiter_free(w);
    }
}

void agent_waiters_forget(struct agent_waiters *list, const struct agent_client *c,
                          const uint32_t *id)
{
    struct agent_waiter *w = LIST_FIRST(list);
    struct agent_waiter *next;

    for (; w != NULL; w = next) {
        next = LIST_NEXT(w, link);
        if (w->client == c && (id == NULL || w->id == *id))
            agent_waiter_free(w);
    }
}

void agent_waiters_due(struct agent_share *s, struct agent_waiters *list, int64_t now)
{
    struct agent_waiter *w = LIST_FIRST(list);
    struct agent_waiter *next;
    struct ccs_error err;

    for (; w != NULL; w = next) {
        next = LIST_NEXT(w, link);
        if (now < w->until)
            continue;
        ccs_error_set(&err, CCS_ETIMEDOUT, "the store %s did not answer in time", s->shown);
        agent_client_error(w->client, w->id, &err);
        agent_waiter_free(w);
    }
}
