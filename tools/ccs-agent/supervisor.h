/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_SUPERVISOR_H
#define CCS_AGENT_SUPERVISOR_H

/*
 * The parent of the family: keeps the logins and the socket that connections come in on, starts the
 * others, and ends them when nobody is left who could connect. It touches no data and no store.
 */

#include "family.h"

/* Blocks the signals it wants to see, and begins. CCS_OK once the broker runs. */
int agent_supervisor_begin(struct agent_family *f, struct ccs_error *err);

/* Returns when it is all over; the family is then dead or dying. */
void agent_supervisor_run(struct agent_family *f);

#endif
