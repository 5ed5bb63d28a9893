/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_FAMILY_H
#define CCS_AGENT_FAMILY_H

/* The processes of the agent, as the supervisor starts and ends them. */

#include <signal.h>
#include <sys/types.h>

#include "agent_wire.h"
#include "logon.h"
#include "orders.h"

/* Memory that all of them share. */
struct agent_board {
    struct agent_logon logon[CCS_AGENT_STORES_MAX];
};

struct agent_family {
    struct ccs_agent_setup *setup; /* the only copy of the logins */
    struct agent_board *board;
    int control;   /* where connections come in */
    int listening; /* 1: control is a listening socket, 0: the end of a pair */
    int64_t started_at;
    sigset_t signals; /* those that the children get back */
    pid_t broker;
    pid_t member[AGENT_ROLES][CCS_AGENT_STORES_MAX];
    unsigned lingering; /* killed, and not ended yet */
};

/* 0 and *board, or an errno. */
int agent_family_init(struct agent_family *f);

/*
 * Starts the broker, with channel as its end for orders, or a member. The pid, and *fd is the end
 * of the connection to it that the broker is to have; -1 with errno set.
 */
pid_t agent_family_start_broker(struct agent_family *f, int channel);
pid_t agent_family_start(struct agent_family *f, enum agent_role role, unsigned store, int *fd);

void agent_family_kill(struct agent_family *f, enum agent_role role, unsigned store);
void agent_family_kill_members(struct agent_family *f);
void agent_family_kill_all(struct agent_family *f);

/* Takes note of who has ended, without waiting. 1 if the broker was among them. */
int agent_family_reap(struct agent_family *f);

/* The broker's life; does not return before it is over. */
void agent_broker_run(const struct agent_family *f, int orders);

#endif
