/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the broker of changes, and about once a second that it is alive, until a watch is lost. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "smb.h"
#include "unc.h"

#define ID       1
#define PULSE_MS 1000

struct watcher {
    struct agent_member *member;
    struct agent_names names;
    int64_t pulse_at;
    int ended;
};

static void watcher_root(const struct ccs_root *root, void *arg)
{
    const struct watcher *w = arg;
    const struct ccs_wire_message m = {.type = CCS_WIRE_ROOT, .id = ID, .root = *root};

    agent_member_send(w->member, &m);
}

static int watcher_name(const char *file, size_t len, void *arg)
{
    struct watcher *w = arg;

    return agent_names_add(file, len, &w->names);
}

static void watcher_listed(void *arg)
{
    struct watcher *w = arg;

    agent_names_end(&w->names);
}

static void watcher_armed(void *arg)
{
    const struct watcher *w = arg;
    const struct ccs_wire_message m = {.type = CCS_WIRE_WATCHING, .id = ID};

    agent_member_send(w->member, &m);
}

static void watcher_event(enum ccs_event_kind kind, const char *file, void *arg)
{
    struct watcher *w = arg;
    struct ccs_wire_message m = {.type = CCS_WIRE_EVENT, .id = ID, .event = kind};

    if (kind == CCS_EVENT_ARRIVED || kind == CCS_EVENT_REMOVED) {
        m.text.data = file;
        m.text.len = strlen(file);
    }
    if (kind == CCS_EVENT_ROOT_GONE)
        w->ended = 1;
    agent_member_send(w->member, &m);
}

static int watcher_tick(void *arg)
{
    const struct ccs_wire_message pong = {.type = CCS_WIRE_PONG, .id = ID};
    struct watcher *w = arg;
    const int64_t now = ccs_now_ms();

    if (now >= w->pulse_at) {
        w->pulse_at = now + PULSE_MS;
        agent_member_send(w->member, &pong);
    }
    return agent_member_is_alone(w->member);
}

static int watch_folder(struct watcher *w, struct ccs_error *err)
{
    struct ccs_store *store = w->member->store;
    struct pollfd p[2] = {{.fd = w->member->fd, .events = 0}, {.events = POLLIN}};
    const int rv = ccs_store_watch_start(store, err);

    if (rv != CCS_OK)
        return rv;
    watcher_armed(w);
    while (!w->ended && !watcher_tick(w)) {
        p[1].fd = ccs_store_watch_fd(store);
        (void)poll(p, 2, PULSE_MS);
        ccs_store_watch_read(store, watcher_event, w);
    }
    return CCS_OK;
}

void agent_watcher_run(struct agent_member *m)
{
    static struct watcher w;
    static const struct agent_smb_watch watch = {.root = watcher_root,
                                                 .name = watcher_name,
                                                 .listed = watcher_listed,
                                                 .armed = watcher_armed,
                                                 .event = watcher_event,
                                                 .tick = watcher_tick,
                                                 .arg = &w};
    struct ccs_error err = {0};
    int rv;

    w.member = m;
    w.names.member = m;
    w.names.id = ID;
    rv = ccs_unc_is(m->config->location) ? agent_smb_watch(m->store, &watch, &err)
                                         : watch_folder(&w, &err);
    agent_member_library(m);
    if (rv != CCS_OK)
        agent_member_error(m, ID, &err, NULL);
}
