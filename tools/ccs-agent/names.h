/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_NAMES_H
#define CCS_AGENT_NAMES_H

/* A listing on its way from a member to the broker. */

#include "member.h"

struct agent_names {
    struct agent_member *member;
    uint32_t id;
    char text[CCS_WIRE_NAMES_MAX];
    size_t used;
    uint32_t count;
};

/* A ccs_store_name_cb whose arg is a struct agent_names; it leaves out what no listing may have. */
int agent_names_add(const char *file, size_t len, void *arg);

/* That was all. */
void agent_names_end(struct agent_names *n);

#endif
