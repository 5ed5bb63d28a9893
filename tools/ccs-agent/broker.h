/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_BROKER_H
#define CCS_AGENT_BROKER_H

/*
 * The process that clients talk to: one loop, nothing in it waits. What clients ask for is done by
 * the members of the family, which the broker talks to as a client does to it.
 */

#include <sys/queue.h>

#include "family.h"
#include "stream.h"

#define AGENT_CLIENTS_MAX 1024
#define AGENT_LOG_KEPT    64

struct agent_client;
struct agent_share;

LIST_HEAD(agent_clients, agent_client);

struct agent_broker {
    const struct ccs_agent_setup *setup; /* without passwords */
    struct agent_board *board;
    int control;
    int listening;
    int orders;
    int64_t started_at;
    struct agent_clients clients;
    unsigned client_count;
    struct agent_share *share[CCS_AGENT_STORES_MAX];
    struct agent_body *kept[AGENT_LOG_KEPT]; /* log lines while there is nobody to tell, a ring */
    unsigned kept_first;
    unsigned kept_count;
};

/* -- broker.c -- */

/* For the log of whoever asked for lines. */
void agent_broker_log(struct agent_broker *b, enum ccs_level level, const char *fmt, ...)
    CCS_PRINTF(3, 4);
void agent_broker_log_body(struct agent_broker *b, struct agent_body *body);
void agent_broker_log_kept(struct agent_broker *b); /* somebody is there now */

void agent_broker_order(struct agent_broker *b, enum agent_order_kind kind, enum agent_role role,
                        unsigned store, uint32_t serial);

/* -- status.c -- */

/* The STATE of the whole agent; returns its length. */
size_t agent_status_json(const struct agent_broker *b, char *buf, size_t size);

#endif
