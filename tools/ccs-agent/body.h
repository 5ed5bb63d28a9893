/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_BODY_H
#define CCS_AGENT_BODY_H

/*
 * A message as octets, kept once however many clients it goes to: each gets a header of its own.
 * Wiped when the last one has it.
 */

#include "agent_wire.h"

struct agent_body {
    unsigned refs;
    size_t len; /* the header included */
    uint8_t octets[];
};

/* New, with one reference. NULL: no memory, or a message that may not be sent. */
struct agent_body *agent_body_new(const struct ccs_wire_message *m);
struct agent_body *agent_body_copy(const uint8_t *octets, size_t len);

struct agent_body *agent_body_ref(struct agent_body *body);
void agent_body_unref(struct agent_body *body); /* NULL allowed */

#endif
