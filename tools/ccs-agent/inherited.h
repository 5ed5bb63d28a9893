/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_INHERITED_H
#define CCS_AGENT_INHERITED_H

/* What a server leaves to the agent that it starts. */

#include "agent_wire.h"

int agent_inherited_is_there(void);

/* Reads the setup to its end and closes it. */
int agent_inherited_setup(struct ccs_agent_setup *out, struct ccs_error *err);

/* Says that it has started (error NULL) or why not, and closes the descriptor. */
void agent_inherited_report(int fd, const char *error);

#endif
