/* SPDX-License-Identifier: Apache-2.0 */
/* Changes in a store on a server, by its CHANGE_NOTIFY. */
#include <errno.h>
#include <string.h>

#include "agent_wire.h"
#include "error.h"
#include "smb_inside.h"

#define TICK_MS 100

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

int agent_smb_watch(struct ccs_store *store, const struct agent_smb_watch *watch,
                    struct ccs_error *err)
{
    struct smb *smb = smb_of(store);
    struct watching w = {watch, 0, 0};
    struct agent_smb_fault fault;
    int failed;
    int rv = CCS_OK;
    SMBCFILE *dir = smb_open_folder(smb, &rv, err);

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
