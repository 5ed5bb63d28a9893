/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

static void names_flush(struct agent_names *n)
{
    const struct ccs_wire_message m = {
        .type = CCS_WIRE_NAMES, .id = n->id, .text = {n->text, n->used}};

    if (n->used > 0)
        agent_member_send(n->member, &m);
    n->used = 0;
}

int agent_names_add(const char *file, size_t len, void *arg)
{
    struct agent_names *n = arg;

    if (!ccs_wire_is_file(file, len))
        return 0;
    if (!ccs_wire_names_add(n->text, sizeof(n->text), &n->used, file, len)) {
        names_flush(n);
        (void)ccs_wire_names_add(n->text, sizeof(n->text), &n->used, file, len);
    }
    n->count++;
    return 0;
}

void agent_names_end(struct agent_names *n)
{
    const struct ccs_wire_message m = {.type = CCS_WIRE_LISTED, .id = n->id, .count = n->count};

    names_flush(n);
    agent_member_send(n->member, &m);
    n->count = 0;
}
