/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the watcher of a share has found: libsmbclient lists the whole folder before it watches it.
 * Whoever asks for a listing is given that one, so that the server need not make another, if the
 * folder's mtime says that nothing came or went between its beginning and a moment at which the
 * watch stood.
 */
#include "error.h"
#include "share.h"
#include "unc.h"

void agent_found_drop(struct agent_share *s)
{
    agent_listing_unref(s->found);
    s->found = NULL;
}

void agent_found_begin(struct agent_share *s, const struct ccs_root *root)
{
    agent_found_drop(s);
    s->found = agent_listing_new();
    if (s->found == NULL)
        return;
    s->found->root = *root;
    s->found_number++;
    s->count.listings++;
}

void agent_found_message(struct agent_share *s, const struct ccs_wire_message *m,
                         const uint8_t *octets, size_t len)
{
    struct agent_listing *l = s->found;

    if (l == NULL || l->done)
        return;
    if (m->type == CCS_WIRE_LISTED) {
        l->done = 1;
        l->count = m->count;
    } else if (agent_listing_keep(l, octets, len) != CCS_OK) {
        agent_found_drop(s);
    }
}

void agent_found_armed(struct agent_share *s)
{
    if (s->found == NULL)
        return;
    s->found->changes = s->changes;
    if (!s->found->done || !agent_share_prove(s, s->found_number))
        agent_found_drop(s);
}

static int found_is_same(const struct ccs_root *a, const struct ccs_root *b)
{
    return a->file_id == b->file_id && a->mtime_ns == b->mtime_ns;
}

void agent_found_judge(struct agent_share *s, unsigned number, const struct ccs_root *root)
{
    struct agent_listing *l = s->found;

    if (l == NULL || number != s->found_number)
        return;
    s->found = NULL;
    if (root != NULL && found_is_same(root, &l->root) && l->changes == s->changes)
        agent_listing_take(s, l);
    else
        agent_listing_unref(l);
}

int agent_found_is_awaited(const struct agent_share *s)
{
    if (s->found != NULL)
        return 1;
    return ccs_unc_is(s->config->location) && !s->armed && !s->unwatchable &&
           s->watcher.state != AGENT_LINK_NONE;
}
