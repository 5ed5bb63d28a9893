/* SPDX-License-Identifier: Apache-2.0 */
/* One listing of the folder, then it ends: an SMB server's listing takes its memory at once. */
#include "member.h"

#define ID 1

struct listing_out {
    struct agent_member *member;
    char names[CCS_WIRE_NAMES_MAX];
    size_t used;
    uint32_t count;
};

static void lister_flush(struct listing_out *l)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_NAMES, .id = ID, .text = {l->names, l->used}};

    if (l->used > 0)
        agent_member_send(l->member, &m);
    l->used = 0;
}

static int lister_name(const char *file, size_t len, void *arg)
{
    struct listing_out *l = arg;

    if (!ccs_wire_is_file(file, len))
        return 0;
    if (!ccs_wire_names_add(l->names, sizeof(l->names), &l->used, file, len)) {
        lister_flush(l);
        (void)ccs_wire_names_add(l->names, sizeof(l->names), &l->used, file, len);
    }
    l->count++;
    return 0;
}

void agent_lister_run(struct agent_member *m)
{
    static struct listing_out l;
    struct ccs_wire_message done = {.type = CCS_WIRE_LISTED, .id = ID};
    struct ccs_error err = {0};

    l.member = m;
    if (ccs_store_list(m->store, lister_name, &l, &err) != CCS_OK) {
        agent_member_error(m, ID, &err, NULL);
    } else {
        lister_flush(&l);
        done.count = l.count;
        agent_member_send(m, &done);
    }
    agent_member_library(m);
}
