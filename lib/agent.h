/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_H
#define CCS_AGENT_H

/*
 * A running ccs-agent, as those see it who started it, and their children. <ccs/ccs.h> has what
 * servers call.
 */

#include <ccs/ccs.h>

#include "agent_wire.h"

struct ccs_agent *ccs_agent_ref(struct ccs_agent *agent);

/* 1 while it takes connections. */
int ccs_agent_is_alive(const struct ccs_agent *agent);

int32_t ccs_agent_pid(const struct ccs_agent *agent); /* of its supervisor */

/* ccs_agent_start() with an executable of the caller's choice. */
int ccs_agent_start_as(const struct ccs_config *cfg, const char *executable, struct ccs_agent **out,
                       struct ccs_error *err);

/*
 * A new connection to it: a stream socket that neither blocks nor is handed on by exec. Does not
 * wait. CCS_EBUSY: too many that wait to be taken, try again. CCS_EUNAVAIL: it has ended.
 */
int ccs_agent_connect(const struct ccs_agent *agent, int *fd, struct ccs_error *err);

/* The same to one that listens on a path. */
int ccs_agent_connect_path(const char *path, int *fd, struct ccs_error *err);

/* -- agent_spawn.c -- */

/*
 * Starts the executable as docs/agent-protocol.md says and waits, at most ten seconds, for its
 * report. *control and *pid are written on CCS_OK only. May be called in a process with threads.
 */
int ccs_agent_spawn(const char *executable, const struct ccs_agent_setup *setup, int *control,
                    int32_t *pid, struct ccs_error *err);

#endif
