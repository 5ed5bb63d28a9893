/* SPDX-License-Identifier: Apache-2.0 */
/* Changes in a store on a server, by its CHANGE_NOTIFY. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "agent_wire.h"
#include "error.h"
#include "smb_inside.h"

#define TICK_MS   100
#define RECENT_MS 60000 /* how far the server's clock may be from this one */
#define CLOCK_MS  50    /* by then it says something else, unless it counts seconds */
#define SECOND_NS 1000000000

/* Samba tells of what its own machine writes into a file only to those who ask for attributes. */
#define FILTER                                                                                     \
    (SMBC_NOTIFY_CHANGE_FILE_NAME | SMBC_NOTIFY_CHANGE_SIZE | SMBC_NOTIFY_CHANGE_LAST_WRITE |      \
     SMBC_NOTIFY_CHANGE_CREATION | SMBC_NOTIFY_CHANGE_ATTRIBUTES)

struct watching {
    const struct agent_smb_watch *watch;
    int armed;
    int ended;
};

static void watch_event(const struct agent_smb_watch *watch, uint32_t action, const char *file)
{
    /* Other files of the folder matter to nobody, and neither do those of folders in it. */
    if (file == NULL || !ccs_wire_is_file(file, strlen(file)))
        return;
    switch (action) {
    case SMBC_NOTIFY_ACTION_ADDED:
    case SMBC_NOTIFY_ACTION_MODIFIED:
    case SMBC_NOTIFY_ACTION_NEW_NAME:
        watch->event(CCS_EVENT_ARRIVED, file, watch->arg);
        break;
    case SMBC_NOTIFY_ACTION_REMOVED:
    case SMBC_NOTIFY_ACTION_OLD_NAME:
        watch->event(CCS_EVENT_REMOVED, file, watch->arg);
        break;
    default:
        break;
    }
}

static int watch_changed(const struct smbc_notify_callback_action *actions, size_t count, void *arg)
{
    struct watching *w = arg;

    /* A server that cannot watch says so at once, so whatever comes first means that it does. */
    if (!w->armed) {
        w->armed = 1;
        w->watch->armed(w->watch->arg);
    }
    for (size_t i = 0; i < count; i++)
        watch_event(w->watch, actions[i].action, actions[i].filename);
    w->ended = w->watch->tick(w->watch->arg);
    return w->ended;
}

/*
 * Whether what comes to the folder or goes from now on moves its mtime. It does not where that was
 * moved so lately that the server's clock says the same still.
 */
static int watch_is_telling(const struct ccs_root *root)
{
    struct timespec now;
    int64_t age_ms;

    clock_gettime(CLOCK_REALTIME, &now);
    age_ms = smb_ns(&now) / 1000000 - root->mtime_ns / 1000000;
    if (age_ms > RECENT_MS || age_ms < -RECENT_MS)
        return 1;
    if (root->mtime_ns % SECOND_NS == 0)
        return 0;
    smb_pause(CLOCK_MS);
    return 1;
}

/* The folder opened, and told of if it may be. NULL with *rv and *err set. */
static SMBCFILE *watch_open(struct smb *smb, const struct agent_smb_watch *watch, int *rv,
                            struct ccs_error *err)
{
    struct ccs_root root;
    SMBCFILE *dir;
    int telling;

    *rv = ccs_store_probe(&smb->base, &root, err);
    if (*rv != CCS_OK)
        return NULL;
    telling = watch_is_telling(&root);
    if (telling)
        watch->root(&root, watch->arg);
    dir = smb_open_folder(smb, rv, err);
    if (dir != NULL && telling) {
        smb_each_name(smb, dir, watch->name, watch->arg);
        watch->listed(watch->arg);
    }
    return dir;
}

int agent_smb_watch(struct ccs_store *store, const struct agent_smb_watch *watch,
                    struct ccs_error *err)
{
    struct smb *smb = smb_of(store);
    struct watching w = {watch, 0, 0};
    struct agent_smb_fault fault;
    int failed;
    int rv = CCS_OK;
    SMBCFILE *dir = watch_open(smb, watch, &rv, err);

    if (dir == NULL)
        return rv;
    smb_begin();
    failed = smbc_getFunctionNotify(smb->ctx)(smb->ctx, dir, 0, FILTER, TICK_MS, watch_changed,
                                              &w) != 0;
    if (!failed && !w.ended)
        errno = 0;
    failed = smb_end(smb, !failed && w.ended, &fault);
    smb_close_folder(smb, dir);
    if (!failed)
        return CCS_OK;
    if (w.armed) {
        return ccs_error_sys(err, CCS_EUNAVAIL, fault.errnum,
                             "the watch of the store %s was lost, or too much changed at once",
                             smb->folder_shown);
    }
    return ccs_error_sys(err, CCS_EUNAVAIL, fault.errnum,
                         "the file server %s does not tell of changes in %s", smb->server_shown,
                         smb->folder_shown);
}
