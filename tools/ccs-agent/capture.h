/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_CAPTURE_H
#define CCS_AGENT_CAPTURE_H

/*
 * What libsmbclient has to say. It logs by a callback, but also prints to standard output and
 * standard error; both become a few bounded lines here. For one thread.
 */

#include "base.h"

#define AGENT_CAPTURE_LINE 240

/* Puts a pipe of this process's own in place of descriptors 1 and 2. 0, or an errno. */
int agent_capture_start(void);

/* For smbc_setLogCallback(). */
void agent_capture_log(void *arg, int level, const char *text);

/* Why the server refused the last logon, in its words; "" if it was not asked since the reset. */
const char *agent_capture_reason(void);
void agent_capture_reset(void);

/* Hands over the lines there are, and forgets them. */
void agent_capture_drain(void (*cb)(const char *line, void *arg), void *arg);

#endif
