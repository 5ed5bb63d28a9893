/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "error.h"
#include "share.h"
#include "unc.h"

#define HELLO_MS    5000
#define STUCK_MS    30000
#define READ_UNTIL  ((size_t)4 << 20) /* unsent octets beyond which nothing is read from it */
#define LIST_UNTIL  ((size_t)256 << 10)
#define EVENT_UNTIL ((size_t)512 << 10)

void agent_client_new(struct agent_broker *b, int fd)
{
    struct agent_client *c = b->client_count < AGENT_CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;

    if (c == NULL) {
        close(fd);
        return;
    }
    agent_stream_init(&c->stream, fd, CCS_WIRE_TO_AGENT);
    c->broker = b;
    c->since = ccs_now_ms();
    LIST_INSERT_HEAD(&b->clients, c, link);
    b->client_count++;
}

void agent_client_free(struct agent_client *c)
{
    if (c->share != NULL)
        agent_share_forget(c->share, c);
    LIST_REMOVE(c, link);
    c->broker->client_count--;
    agent_stream_close(&c->stream);
    free(c);
}

/* -- what it is told ----------------------------------------------------------------------- */

void agent_client_part(struct agent_client *c, uint32_t id, struct agent_body *body)
{
    if (c->broken)
        return;
    if (agent_stream_push(&c->stream, body, c->store, id) != CCS_OK ||
        agent_stream_flush(&c->stream) != CCS_OK)
        c->broken = 1;
}

void agent_client_answer(struct agent_client *c, uint32_t id, struct agent_body *body)
{
    agent_client_part(c, id, body);
}

static void client_send(struct agent_client *c, struct ccs_wire_message *m, uint32_t id)
{
    struct agent_body *body = agent_body_new(m);

    if (body == NULL)
        c->broken = 1;
    else
        agent_client_part(c, id, body);
    agent_body_unref(body);
}

void agent_client_error(struct agent_client *c, uint32_t id, const struct ccs_error *err)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_ERROR, .code = err->code};

    m.sys_errno = err->sys_errno;
    m.text.data = err->text;
    m.text.len = strlen(err->text);
    client_send(c, &m, id);
}

int agent_client_has_room(const struct agent_client *c)
{
    return !c->broken && c->stream.unsent_octets < LIST_UNTIL;
}

void agent_client_event(struct agent_client *c, struct agent_body *body)
{
    if (c->overflow || c->stream.unsent_octets >= EVENT_UNTIL)
        c->overflow = 1;
    else
        agent_client_part(c, c->watch_id, body);
}

void agent_client_overflow(struct agent_client *c)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_EVENT, .event = CCS_EVENT_OVERFLOW};

    c->overflow = c->stream.unsent_octets >= EVENT_UNTIL;
    if (!c->overflow)
        client_send(c, &m, c->watch_id);
}

/* -- what it says -------------------------------------------------------------------------- */

static int is_same_store(const char *configured, const char *asked)
{
    struct ccs_unc a;
    struct ccs_unc b;
    char one[CCS_UNC_TEXT_SIZE];
    char two[CCS_UNC_TEXT_SIZE];

    if (ccs_unc_is(configured) && ccs_unc_is(asked) &&
        ccs_unc_parse(configured, &a, NULL) == CCS_OK && ccs_unc_parse(asked, &b, NULL) == CCS_OK)
        return strcasecmp(ccs_unc_format(&a, one), ccs_unc_format(&b, two)) == 0;
    return strcmp(configured, asked) == 0;
}

static void client_hello(struct agent_client *c, const struct ccs_wire_message *m)
{
    struct ccs_wire_message welcome = {
        .type = CCS_WIRE_WELCOME, .version = CCS_WIRE_VERSION, .pid = (uint32_t)getpid()};
    char location[CCS_WIRE_LOCATION_MAX + 1];
    struct ccs_error err;

    memcpy(location, m->text.data, m->text.len);
    location[m->text.len] = '\0';
    for (unsigned i = 0; i < c->broker->setup->stores; i++) {
        if (!is_same_store(c->broker->setup->store[i].location, location))
            continue;
        c->share = c->broker->share[i];
        c->store = (uint16_t)i;
        c->wants_log = (m->flags & CCS_WIRE_WANT_LOG) != 0;
        client_send(c, &welcome, m->id);
        if (c->wants_log)
            agent_broker_log_kept(c->broker);
        return;
    }
    ccs_error_set(&err, CCS_EINVAL, "this ccs-agent was not started for this store");
    agent_client_error(c, m->id, &err);
}

static void client_cancel(struct agent_client *c, uint32_t id)
{
    if (c->watch != AGENT_WATCH_NONE && c->watch_id == id) {
        c->pending -= c->watch == AGENT_WATCH_WAITING;
        c->watch = AGENT_WATCH_NONE;
    }
    agent_share_cancel(c->share, c, id);
}

static void client_ask(struct agent_client *c, const struct ccs_wire_message *m)
{
    struct ccs_error err;

    if (c->pending >= AGENT_REQUESTS_MAX) {
        ccs_error_set(&err, CCS_EBUSY, "at most %d requests of a connection wait at once",
                      AGENT_REQUESTS_MAX);
        agent_client_error(c, m->id, &err);
    } else if (m->type == CCS_WIRE_LIST) {
        agent_listing_ask(c->share, c, m);
    } else if (m->type == CCS_WIRE_WATCH) {
        agent_watch_ask(c->share, c, m);
    } else {
        agent_share_ask(c->share, c, m);
    }
}

static void client_status(struct agent_client *c, uint32_t id)
{
    static char json[CCS_WIRE_STATE_MAX];
    struct ccs_wire_message m = {.type = CCS_WIRE_STATE, .text = {json, 0}};

    m.text.len = agent_status_json(c->broker, json, sizeof(json));
    client_send(c, &m, id);
}

static void client_message(struct agent_client *c, const struct ccs_wire_message *m)
{
    struct ccs_wire_message pong = {.type = CCS_WIRE_PONG};

    if (m->type == CCS_WIRE_HELLO ? c->share != NULL : c->share == NULL || m->store != c->store) {
        c->broken = 1;
        return;
    }
    switch (m->type) {
    case CCS_WIRE_HELLO:
        client_hello(c, m);
        break;
    case CCS_WIRE_PING:
        client_send(c, &pong, m->id);
        break;
    case CCS_WIRE_STATUS:
        client_status(c, m->id);
        break;
    case CCS_WIRE_CANCEL:
        client_cancel(c, m->id);
        break;
    default:
        client_ask(c, m);
        break;
    }
}

static int client_takes_more(const struct agent_client *c)
{
    return !c->broken && c->stream.unsent_octets < READ_UNTIL;
}

short agent_client_events(const struct agent_client *c)
{
    return (short)((client_takes_more(c) ? POLLIN : 0) |
                   (STAILQ_EMPTY(&c->stream.unsent) ? 0 : POLLOUT));
}

void agent_client_ready(struct agent_client *c, short revents)
{
    struct ccs_wire_message m;
    const uint8_t *octets;
    size_t len;
    int closed = 0;
    int rv;

    if ((revents & POLLOUT) != 0 && agent_stream_flush(&c->stream) != CCS_OK)
        c->broken = 1;
    if (c->overflow && c->stream.unsent_octets < EVENT_UNTIL / 2)
        agent_client_overflow(c);
    if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        closed = agent_stream_fill(&c->stream) != CCS_OK;
    while (client_takes_more(c) && c->stream.in != NULL) {
        rv = agent_stream_next(&c->stream, &m, &octets, &len);
        if (rv == CCS_PENDING)
            break;
        if (rv != CCS_OK) {
            closed = 1;
            break;
        }
        client_message(c, &m);
        agent_stream_done(&c->stream, len);
    }
    if (closed)
        c->broken = 1;
}

void agent_client_due(struct agent_client *c, int64_t now)
{
    if (c->share == NULL && now - c->since > HELLO_MS)
        c->broken = 1;
    if (!STAILQ_EMPTY(&c->stream.unsent) && now - c->stream.moved_at > STUCK_MS)
        c->broken = 1;
    /* Requests that were left lying while it did not take its answers. */
    if (!c->broken && c->stream.in_len >= CCS_WIRE_HEADER)
        agent_client_ready(c, 0);
}
