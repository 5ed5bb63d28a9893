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
