/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_STORE_AGENT_H
#define CCS_STORE_AGENT_H

/*
 * A store that ccs-agent reads. Each call waits a bounded time, whatever the agent does, and goes
 * on by itself when the agent's broker was started anew meanwhile.
 */

#include "agent.h"
#include "store.h"

struct ccs_store_agent_times {
    int64_t call_ms;  /* longest time of a call */
    int64_t list_ms;  /* the same for a listing */
    int64_t retry_ms; /* longest pause between two attempts to get a connection */
};

/*
 * The store of this location (ccs_store_find()) at a running agent, or if that is NULL at one that
 * listens on path. No I/O. *out is new; it keeps a reference to agent.
 */
int ccs_store_agent_open(struct ccs_agent *agent, const char *path, const char *location,
                         struct ccs_store **out, struct ccs_error *err);

/* For tests. Before any other call. */
void ccs_store_agent_set_times(struct ccs_store *store, const struct ccs_store_agent_times *times);

#endif
