/* SPDX-License-Identifier: Apache-2.0 */
/* One listing of the folder, then it ends: an SMB server's listing takes its memory at once. */
#include "names.h"

#define ID 1

void agent_lister_run(struct agent_member *m)
{
    static struct agent_names names;
    struct ccs_error err = {0};

    names.member = m;
    names.id = ID;
    if (ccs_store_list(m->store, agent_names_add, &names, &err) != CCS_OK)
        agent_member_error(m, ID, &err, NULL);
    else
        agent_names_end(&names);
    agent_member_library(m);
}
