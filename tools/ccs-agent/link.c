/* SPDX-License-Identifier: Apache-2.0 */
/* The connection between the broker and a member of the family. */
#include <poll.h>
#include <unistd.h>

#include "share.h"

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 5000

void agent_link_init(struct agent_link *link, struct agent_share *s, enum agent_role role)
{
    link->state = AGENT_LINK_NONE;
    link->role = role;
    link->share = s;
    agent_stream_init(&link->stream, -1, CCS_WIRE_TO_CLIENT);
}

void agent_link_want(struct agent_link *link, int64_t now)
{
    if (link->state != AGENT_LINK_NONE || now < link->retry_at)
        return;
    link->state = AGENT_LINK_STARTING;
    link->since = now;
    link->starts++;
    agent_broker_order(link->share->broker, AGENT_ORDER_START, link->role, link->share->store,
                       link->starts);
}

void agent_link_started(struct agent_link *link, int32_t pid, int fd)
{
    if (fd < 0) {
        agent_link_drop(link);
        return;
    }
    agent_stream_init(&link->stream, fd, CCS_WIRE_TO_CLIENT);
    link->state = AGENT_LINK_UP;
    link->since = ccs_now_ms();
    link->pid = pid;
}

void agent_link_drop(struct agent_link *link)
{
    if (link->state == AGENT_LINK_NONE)
        return;
    agent_broker_order(link->share->broker, AGENT_ORDER_KILL, link->role, link->share->store, 0);
    agent_stream_close(&link->stream);
    link->state = AGENT_LINK_NONE;
    link->pid = 0;
    /* The first successor comes at once. */
    link->retry_at = ccs_now_ms() + link->pause_ms;
    link->pause_ms = link->pause_ms == 0 ? PAUSE_MIN_MS : link->pause_ms * 2;
    if (link->pause_ms > PAUSE_MAX_MS)
        link->pause_ms = PAUSE_MAX_MS;
}

void agent_link_steady(struct agent_link *link)
{
    link->pause_ms = 0;
}

short agent_link_events(const struct agent_link *link)
{
    return (short)(POLLIN | (STAILQ_EMPTY(&link->stream.unsent) ? 0 : POLLOUT));
}

/* -- what it says --------------------------------------------------------------------------- */

static void link_message(struct agent_link *link, const struct ccs_wire_message *m,
                         const uint8_t *octets, size_t len)
{
    struct agent_body *body;

    if (m->type == CCS_WIRE_LOG) {
        body = m->level <= link->share->broker->setup->level ? agent_body_copy(octets, len) : NULL;
        if (body != NULL)
            agent_broker_log_body(link->share->broker, body);
        agent_body_unref(body);
    } else if (link->role == AGENT_WORKER) {
        agent_share_answered(link->share, m, octets, len);
    } else if (link->role == AGENT_WATCHER) {
        agent_watch_message(link->share, m, octets, len);
    } else {
        agent_listing_message(link->share, m, octets, len);
    }
}

static void link_ended(struct agent_link *link)
{
    if (link->role == AGENT_WORKER)
        agent_share_worker_ended(link->share);
    else if (link->role == AGENT_WATCHER)
        agent_watch_lost(link->share);
    else
        agent_listing_lost(link->share);
}

void agent_link_ready(struct agent_link *link, short revents)
{
    struct ccs_wire_message m;
    const uint8_t *octets;
    size_t len;
    int closed = 0;
    int rv;

    if ((revents & POLLOUT) != 0)
        (void)agent_stream_flush(&link->stream);
    if ((revents & (POLLIN | POLLHUP | POLLERR)) == 0)
        return;
    closed = agent_stream_fill(&link->stream) != CCS_OK;
    /* What is done with a message may end the member. */
    while (link->state == AGENT_LINK_UP && link->stream.in != NULL) {
        rv = agent_stream_next(&link->stream, &m, &octets, &len);
        if (rv == CCS_PENDING)
            break;
        if (rv != CCS_OK) {
            closed = 1;
            break;
        }
        link_message(link, &m, octets, len);
        if (link->state == AGENT_LINK_UP)
            agent_stream_done(&link->stream, len);
    }
    if (closed && link->state == AGENT_LINK_UP)
        link_ended(link);
}
