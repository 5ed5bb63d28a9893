/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_CLIENT_H
#define CCS_AGENT_CLIENT_H

/* A connection of a server's process. */

#include "broker.h"

#define AGENT_REQUESTS_MAX 64

enum agent_watch_state {
    AGENT_WATCH_NONE,
    AGENT_WATCH_WAITING, /* asked for, and not answered */
    AGENT_WATCH_ON
};

struct agent_client {
    LIST_ENTRY(agent_client) link;
    struct agent_broker *broker;
    struct agent_stream stream;
    struct agent_share *share; /* NULL before HELLO */
    uint16_t store;
    int wants_log;
    int64_t since;
    unsigned pending; /* requests that are not answered */
    enum agent_watch_state watch;
    uint32_t watch_id;
    int64_t watch_until; /* while WAITING */
    int overflow;        /* it is to be told that events were lost */
    int broken;          /* to be closed as soon as nobody holds it */
};

/* Takes fd. Closes it if there are too many clients, or no memory. */
void agent_client_new(struct agent_broker *b, int fd);
void agent_client_free(struct agent_client *c);

/* What poll() is to wait for, and what is then done. */
short agent_client_events(const struct agent_client *c);
void agent_client_ready(struct agent_client *c, short revents);

/* What is due by the clock; the milliseconds until then are at most those of the broker's pulse. */
void agent_client_due(struct agent_client *c, int64_t now);

/* Answers, each of which ends a request (but NAMES). */
void agent_client_answer(struct agent_client *c, uint32_t id, struct agent_body *body);
void agent_client_error(struct agent_client *c, uint32_t id, const struct ccs_error *err);
void agent_client_part(struct agent_client *c, uint32_t id, struct agent_body *body);

/* 1 while more of a listing may be queued for it. */
int agent_client_has_room(const struct agent_client *c);

/* An EVENT, or an overflow in its place. */
void agent_client_event(struct agent_client *c, struct agent_body *body);
void agent_client_overflow(struct agent_client *c);

#endif
