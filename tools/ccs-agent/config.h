/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_CONFIG_H
#define CCS_AGENT_CONFIG_H

/* How systemd starts the agent: with a file of settings, and a socket that listens already. */

#include "agent_wire.h"

/* Reads the file and those it names, and takes descriptor 3, after sd_listen_fds(3). */
int agent_config_read(const char *path, struct ccs_agent_setup *out, struct ccs_error *err);

/* The same from memory, without the descriptor; path is for messages. Changes text. */
int agent_config_parse(char *text, const char *path, struct ccs_agent_setup *out,
                       struct ccs_error *err);

#endif
