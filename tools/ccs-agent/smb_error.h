/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_SMB_ERROR_H
#define CCS_AGENT_SMB_ERROR_H

/*
 * What an errno of libsmbclient means. The same ENOENT stands for a missing file and a missing
 * share, the same EACCES for a wrong password and a file that may not be read; how far the
 * operation got, and how the folder itself answers afterwards, tell them apart. Pure.
 */

#include <ccs/ccs.h>

#include "filter.h"

/* One failed call. */
struct agent_smb_fault {
    int errnum;
    enum agent_stage stage;
    int plain;          /* as in struct agent_filter */
    int held;           /* as in struct agent_filter */
    int resolvable;     /* 0: the server's name is known to be unknown */
    int64_t pause_ms;   /* until the next logon is tried */
    const char *reason; /* what the server said to a logon; "" if that is not known */
    const char *server; /* texts for messages, printable */
    const char *share;  /* "\\server\share" */
    const char *folder; /* the store, "\\server\share\dir" */
    const char *user;   /* "" for none */
    int has_folder;     /* the store is a folder of the share, not its root */
    int share_answers;  /* 1: the share's root was asked afterwards, and answered */
    unsigned timeout_ms;
};

/* How an error of a call for a file is to be taken. */
enum agent_smb_verdict {
    AGENT_SMB_FILE,  /* about the file, if the store's folder answers: ask it */
    AGENT_SMB_RETRY, /* the connection was lost: it may work on a new one */
    AGENT_SMB_STORE  /* about the store */
};
enum agent_smb_verdict agent_smb_judge(const struct agent_smb_fault *fault);

/* Whether the server has refused user or password. */
int agent_smb_is_refusal(const struct agent_smb_fault *fault);

/* About a file, after its folder has answered. Fills *err and returns the code. */
int agent_smb_file_error(const struct agent_smb_fault *fault, struct ccs_error *err);

/* About the store: CCS_EUNAVAIL or CCS_EACCESS. */
int agent_smb_store_error(const struct agent_smb_fault *fault, struct ccs_error *err);

#endif
