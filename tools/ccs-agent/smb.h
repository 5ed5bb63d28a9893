/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_SMB_H
#define CCS_AGENT_SMB_H

/*
 * A store on an SMB server, by libsmbclient: SMB 3 and encryption or nothing. One per process, for
 * one thread, and only in a process that may be killed: a call can take far longer than its
 * timeout. Errors as lib/store.h says.
 */

#include "logon.h"
#include "store.h"
#include "unc.h"

struct agent_smb_config {
    struct ccs_unc unc;
    const char *user; /* borrowed, as are the next two, for as long as the store is open */
    const char *domain;
    const char *password;
    unsigned timeout_ms;       /* of one request to the server */
    struct agent_logon *logon; /* borrowed */
};

/*
 * No I/O but the library's own beginning: nothing is asked of the server. The environment of the
 * process must be free of settings for the library, and descriptors 1 and 2 captured.
 */
int agent_smb_open(const struct agent_smb_config *config, struct ccs_store **out,
                   struct ccs_error *err);

struct agent_smb_watch {
    /*
     * The library lists the folder first. If what comes or goes from now on is sure to move its
     * mtime: the folder, its files, that these were all. Else none of the three is called.
     */
    void (*root)(const struct ccs_root *root, void *arg);
    ccs_store_name_cb name;
    void (*listed)(void *arg);
    /* The server was asked to tell of changes, and has not refused. */
    void (*armed)(void *arg);
    ccs_store_event_cb event;
    /* Several times a second; non-zero ends the watch. */
    int (*tick)(void *arg);
    void *arg;
};

/*
 * Watches the folder until tick says so (CCS_OK), or until events were lost or the connection was,
 * with the reason in *err: whatever the end, anything may have changed.
 */
int agent_smb_watch(struct ccs_store *store, const struct agent_smb_watch *watch,
                    struct ccs_error *err);

#endif
