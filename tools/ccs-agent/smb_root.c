/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of a store on a server, and what its errors mean. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "capture.h"
#include "error.h"
#include "smb_inside.h"

int64_t smb_ns(const struct timespec *ts)
{
    return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

/* Only asked when the library said EINVAL, which it does of names that cannot be resolved. */
static int smb_resolves(const char *server)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;

    if (getaddrinfo(server, NULL, &hints, &list) != 0)
        return 0;
    freeaddrinfo(list);
    return 1;
}

void smb_begin(void)
{
    agent_filter_begin();
    agent_capture_reset();
    errno = 0;
}

static void smb_settle_logon(struct smb *smb, const struct agent_smb_fault *fault, int ok)
{
    struct agent_filter *filter = agent_filter();
    enum agent_logon_end end = AGENT_LOGON_UNKNOWN;

    if (!filter->logon)
        return;
    if (ok || filter->stage > AGENT_STAGE_LOGON)
        end = AGENT_LOGON_ACCEPTED;
    else if (agent_smb_is_refusal(fault))
        end = AGENT_LOGON_REFUSED;
    filter->logon = 0;
    agent_logon_finish(smb->config.logon, end, ccs_now_ms());
}

int smb_end(struct smb *smb, int ok, struct agent_smb_fault *fault)
{
    const int errnum = errno;
    const struct agent_filter *filter = agent_filter();

    memset(fault, 0, sizeof(*fault));
    fault->errnum = errnum != 0 ? errnum : EIO;
    fault->stage = filter->stage;
    fault->plain = filter->plain;
    fault->held = filter->held;
    /* A logon that was held back was refused before, and why is known from then. */
    if (!filter->held)
        snprintf(smb->reason, sizeof(smb->reason), "%s", agent_capture_reason());
    fault->reason = smb->reason;
    fault->server = smb->server_shown;
    fault->share = smb->share_shown;
    fault->folder = smb->folder_shown;
    fault->user = smb->user_shown;
    fault->has_folder = smb->config.unc.path[0] != '\0';
    fault->timeout_ms = smb->config.timeout_ms;
    smb_settle_logon(smb, fault, ok);
    fault->pause_ms = agent_logon_pause(smb->config.logon, ccs_now_ms());
    /* An answer that came without an encrypted frame was not seen by the filter: not believed. */
    if (ok && filter->encrypted == 0)
        fault->plain = 1;
    else if (ok)
        return 0;
    fault->resolvable = fault->stage != AGENT_STAGE_NONE || fault->errnum != EINVAL ||
                        smb_resolves(smb->config.unc.server);
    return 1;
}

static int smb_stat_url(struct smb *smb, const char *url, struct stat *st,
                        struct agent_smb_fault *fault)
{
    int failed = 1;

    for (int i = 0; i < 2; i++) {
        memset(st, 0, sizeof(*st));
        smb_begin();
        failed = smb_end(smb, smbc_getFunctionStat(smb->ctx)(smb->ctx, url, st) == 0, fault);
        if (!failed || agent_smb_judge(fault) != AGENT_SMB_RETRY)
            break;
    }
    return failed;
}

int smb_root_error(struct smb *smb, struct agent_smb_fault *fault, struct ccs_error *err)
{
    struct agent_smb_fault second;
    struct stat st;

    if (fault->has_folder && agent_smb_judge(fault) == AGENT_SMB_FILE)
        fault->share_answers = !smb_stat_url(smb, smb->share, &st, &second);
    return agent_smb_store_error(fault, err);
}

int smb_check_root(struct smb *smb, struct stat *st, struct ccs_error *err)
{
    struct agent_smb_fault fault;

    if (smb_stat_url(smb, smb->url, st, &fault))
        return smb_root_error(smb, &fault, err);
    if (S_ISDIR(st->st_mode))
        return CCS_OK;
    fault.errnum = ENOTDIR;
    fault.stage = AGENT_STAGE_WORK;
    return agent_smb_store_error(&fault, err);
}

SMBCFILE *smb_open_folder(struct smb *smb, int *rv, struct ccs_error *err)
{
    struct agent_smb_fault fault;
    SMBCFILE *dir = NULL;

    for (int i = 0; i < 2; i++) {
        smb_begin();
        dir = smbc_getFunctionOpendir(smb->ctx)(smb->ctx, smb->url);
        if (!smb_end(smb, dir != NULL, &fault))
            return dir;
        smb_close_folder(smb, dir);
        dir = NULL;
        if (agent_smb_judge(&fault) != AGENT_SMB_RETRY)
            break;
    }
    *rv = smb_root_error(smb, &fault, err);
    return NULL;
}

void smb_close_folder(struct smb *smb, SMBCFILE *dir)
{
    if (dir != NULL)
        smbc_getFunctionClosedir(smb->ctx)(smb->ctx, dir);
}
