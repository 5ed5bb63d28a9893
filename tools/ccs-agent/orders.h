/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_ORDERS_H
#define CCS_AGENT_ORDERS_H

/*
 * What the broker and the supervisor tell each other, over a SOCK_SEQPACKET pair. Only the
 * supervisor starts and ends processes, since it alone has the logins and is their parent.
 */

#include <sys/types.h>

#include "base.h"

enum agent_role {
    AGENT_BROKER,
    AGENT_WORKER,  /* reads files, one after the other */
    AGENT_WATCHER, /* waits for changes */
    AGENT_LISTER,  /* makes one listing and ends */
    AGENT_ROLES
};

enum agent_order_kind {
    AGENT_ORDER_START = 1, /* one of this role for this store, in place of the one there was */
    AGENT_ORDER_KILL,
    AGENT_ORDER_ALIVE,   /* from the broker, once a second */
    AGENT_ORDER_STARTED, /* from the supervisor: with the connection to it, unless pid is 0 */
    AGENT_ORDER_NEWS     /* from the supervisor: text is for the log */
};

#define AGENT_ORDER_TEXT 200

struct agent_order {
    uint8_t kind;
    uint8_t role;
    uint16_t store;
    int32_t pid;
    uint32_t serial;             /* of a START, and of the STARTED that answers it */
    char text[AGENT_ORDER_TEXT]; /* NUL-terminated */
};

/* Neither waits. fd -1: none goes along. CCS_OK, CCS_EBUSY (would block), CCS_ECLOSED. */
int agent_order_send(int channel, const struct agent_order *order, int fd);

/* CCS_PENDING: nothing there. *fd is new, or -1. */
int agent_order_receive(int channel, struct agent_order *order, int *fd);

/*
 * One datagram or message with room for one descriptor: recvmsg() that never waits and leaves no
 * descriptor behind. As recv(); *fd is new, or -1.
 */
ssize_t agent_receive_fd(int channel, void *buf, size_t size, int *fd);

const char *agent_role_name(enum agent_role role);

#endif
