/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_LINK_H
#define CCS_AGENT_LINK_H

/* One connection to ccs-agent, for one thread at a time. Every wait ends at a deadline. */

#include "agent.h"

struct ccs_agent_link {
    int fd; /* -1: none */
    uint16_t store;
    uint32_t last_id;
    struct ccs_secret in; /* the message that is being received */
};

void ccs_agent_link_init(struct ccs_agent_link *link);
void ccs_agent_link_close(struct ccs_agent_link *link); /* safe to repeat; leaves it as init does */

/*
 * Takes over a new connection and introduces this side. On failure it is closed. CCS_ECLOSED: the
 * other side ended it, which another connection may mend.
 */
int ccs_agent_link_greet(struct ccs_agent_link *link, int fd, const char *location, unsigned flags,
                         int64_t deadline, struct ccs_error *err);

/* Sends a request; its store and id are filled in here. CCS_ECLOSED, CCS_ETIMEDOUT, CCS_EINVAL. */
int ccs_agent_link_send(struct ccs_agent_link *link, struct ccs_wire_message *m, int64_t deadline,
                        struct ccs_error *err);

/*
 * The next message, whatever it is; *out borrows from link until the next call. Takes nothing from
 * the socket that belongs to a later one. CCS_ECLOSED; CCS_ETIMEDOUT, after which it can be called
 * again; CCS_EINVAL if what came is no message.
 */
int ccs_agent_link_receive(struct ccs_agent_link *link, struct ccs_wire_message *out,
                           int64_t deadline, struct ccs_error *err);

/* 1 if the connection is as it should be between two requests: open, and nothing to be read. */
int ccs_agent_link_is_idle(const struct ccs_agent_link *link);

#endif
