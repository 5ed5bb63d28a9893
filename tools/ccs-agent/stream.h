/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_STREAM_H
#define CCS_AGENT_STREAM_H

/*
 * A connection of the broker, to a client or to a member of the family: octets that came and are
 * not a whole message yet, and messages that are not sent yet. Never waits.
 */

#include <sys/queue.h>

#include "body.h"

struct agent_unsent {
    STAILQ_ENTRY(agent_unsent) link;
    struct agent_body *body;
    uint8_t header[CCS_WIRE_HEADER];
    size_t sent;
};

struct agent_stream {
    int fd;                  /* -1: closed */
    enum ccs_wire_side side; /* whose messages come in */
    uint8_t *in;
    size_t in_len;
    size_t in_size;
    STAILQ_HEAD(, agent_unsent) unsent;
    size_t unsent_octets;
    int64_t moved_at; /* when something was last sent, or there was nothing to send */
};

/* Takes fd, which must not block. */
void agent_stream_init(struct agent_stream *s, int fd, enum ccs_wire_side side);
void agent_stream_close(struct agent_stream *s); /* allowed again */

/* Queues body for request id of store; takes no reference of the caller's. CCS_OK or CCS_ENOMEM. */
int agent_stream_push(struct agent_stream *s, struct agent_body *body, uint16_t store, uint32_t id);

/* The same with a message that goes to this one alone. */
int agent_stream_send(struct agent_stream *s, const struct ccs_wire_message *m);

/* Sends what can be sent. CCS_OK, or CCS_ECLOSED if nobody is there any more. */
int agent_stream_flush(struct agent_stream *s);

/* Reads what has come. CCS_OK, or CCS_ECLOSED. */
int agent_stream_fill(struct agent_stream *s);

/*
 * The next whole message, with its octets: borrowed until the next call of these two. CCS_OK,
 * CCS_PENDING (no whole one yet), CCS_EINVAL (no message), CCS_ENOMEM.
 */
int agent_stream_next(struct agent_stream *s, struct ccs_wire_message *out, const uint8_t **octets,
                      size_t *len);
void agent_stream_done(struct agent_stream *s, size_t len); /* takes len octets off */

#endif
