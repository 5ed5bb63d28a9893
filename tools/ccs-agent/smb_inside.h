/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_SMB_INSIDE_H
#define CCS_AGENT_SMB_INSIDE_H

/* What the parts of smb.h share. */

#include <libsmbclient.h>

#include "capture.h"
#include "smb.h"
#include "smb_error.h"
#include "smb_url.h"

#define SMB_SHOWN 300

struct smb {
    struct ccs_store base;
    struct agent_smb_config config;
    SMBCCTX *ctx;
    char url[AGENT_SMB_URL_SIZE];   /* of the folder */
    char share[AGENT_SMB_URL_SIZE]; /* of the share's root */
    char file[AGENT_SMB_URL_SIZE];  /* of the file that is asked for */
    char server_shown[SMB_SHOWN];
    char share_shown[SMB_SHOWN];
    char folder_shown[SMB_SHOWN];
    char user_shown[SMB_SHOWN];
    char reason[AGENT_CAPTURE_LINE]; /* why the last logon was refused */
};

static inline struct smb *smb_of(struct ccs_store *store)
{
    return (struct smb *)(void *)store; /* base is the first member */
}

/* Around every call of the library: smb_end() returns 0, or 1 with *fault filled. */
void smb_begin(void);
int smb_end(struct smb *smb, int ok, struct agent_smb_fault *fault);

/* A new context after smb->config, in smb->ctx. */
int smb_context_new(struct smb *smb, struct ccs_error *err);

/* Asks the folder, on a new connection if need be. CCS_OK and *st, or as agent_smb_store_error().
 */
int smb_check_root(struct smb *smb, struct stat *st, struct ccs_error *err);

/* What a failed call for the folder itself means. */
int smb_root_error(struct smb *smb, struct agent_smb_fault *fault, struct ccs_error *err);

/* The folder opened for listing, with all its entries; NULL with *rv and *err set. */
SMBCFILE *smb_open_folder(struct smb *smb, int *rv, struct ccs_error *err);
void smb_close_folder(struct smb *smb, SMBCFILE *dir);

/* Those of its entries that may be asked for. */
void smb_each_name(struct smb *smb, SMBCFILE *dir, ccs_store_name_cb cb, void *arg);

void smb_pause(int ms);
int64_t smb_ns(const struct timespec *ts);

#endif
