/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_MEMBER_H
#define CCS_AGENT_MEMBER_H

/*
 * A process of the family that touches a store: worker, watcher or lister. It has one connection,
 * to the broker, and speaks the clients' protocol on it; it may be killed at any moment.
 */

#include "agent_wire.h"
#include "base.h"
#include "logon.h"
#include "store.h"

struct agent_member {
    int fd; /* blocks */
    const struct ccs_agent_store *config;
    struct agent_logon *logon;
    struct ccs_store *store;
    int patient;  /* it makes listings, which take a server its time */
    uint8_t *out; /* room for one message */
};

/* Opens the store, without I/O on it. The members do not return from failures: they end. */
void agent_member_open(struct agent_member *m);

void agent_member_send(struct agent_member *m, const struct ccs_wire_message *message);
void agent_member_error(struct agent_member *m, uint32_t id, const struct ccs_error *err,
                        const struct ccs_stamp *stamp);
void agent_member_log(struct agent_member *m, enum ccs_level level, const char *fmt, ...)
    CCS_PRINTF(3, 4);

/* Sends on what the library has said. */
void agent_member_library(struct agent_member *m);

/* 1 if the broker is gone. */
int agent_member_is_alone(const struct agent_member *m);

/* What each does until it ends. */
void agent_worker_run(struct agent_member *m);
void agent_watcher_run(struct agent_member *m);
void agent_lister_run(struct agent_member *m);

#endif
