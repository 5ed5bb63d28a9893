/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_HARDEN_H
#define CCS_AGENT_HARDEN_H

/* Giving up what the agent does not need. All of it is inherited by the whole family. */

#include <ccs/ccs.h>

#include "base.h"

/* No core dumps, no tracing by others. */
int agent_harden_secrets(struct ccs_error *err);

/* Bounded memory and descriptors, no environment. */
int agent_harden_process(struct ccs_error *err);

/* Becomes user, for good; "": stays who it is. Afterwards no program can give more rights. */
int agent_harden_user(const char *user, struct ccs_error *err);

/* A server's log is not the agent's to keep open: it has its own way to send lines there. */
void agent_harden_leave_log(void);

#endif
