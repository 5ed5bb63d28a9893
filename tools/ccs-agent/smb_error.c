/* SPDX-License-Identifier: Apache-2.0 */
#include "smb_error.h"

#include <errno.h>
#include <string.h>

#include "error.h"

/*
 * A connection that ends in the middle of a logon gives the library an errno that could as well be
 * the server's answer; only its words tell that there was none.
 */
static int is_cut_off(const struct agent_smb_fault *fault)
{
    return fault->reason != NULL && strstr(fault->reason, "transport connection") != NULL;
}

enum agent_smb_verdict agent_smb_judge(const struct agent_smb_fault *fault)
{
    if (fault->plain || fault->held)
        return AGENT_SMB_STORE;
    if (is_cut_off(fault))
        return AGENT_SMB_RETRY;
    switch (fault->errnum) {
    case ECONNABORTED:
    case ECONNRESET:
    case ENETRESET:
    case ENOTCONN:
    case EPIPE:
    case EIO:
    case ESTALE:
    case EBADF:
        return AGENT_SMB_RETRY;
    default:
        break;
    }
    if (fault->stage < AGENT_STAGE_WORK)
        return AGENT_SMB_STORE;
    switch (fault->errnum) {
    case ENOENT:
    case EACCES:
    case EPERM:
    case EBUSY:
    case ETXTBSY:
    case EISDIR:
    case ENOTDIR:
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
        return AGENT_SMB_FILE;
    default:
        return AGENT_SMB_STORE;
    }
}

int agent_smb_is_refusal(const struct agent_smb_fault *fault)
{
    if (fault->held || fault->stage != AGENT_STAGE_LOGON || is_cut_off(fault))
        return 0;
    switch (fault->errnum) {
    case ETIMEDOUT:
    case ECONNABORTED:
    case ECONNRESET:
    case ENOTCONN:
    case EPIPE:
    case ENOMEM:
        return 0;
    default:
        return 1;
    }
}

int agent_smb_file_error(const struct agent_smb_fault *fault, struct ccs_error *err)
{
    switch (fault->errnum) {
    case ENOENT:
    case EINVAL:
    case ENAMETOOLONG:
        return ccs_error_sys(err, CCS_ENOTFOUND, fault->errnum, "no such file in the store %s",
                             fault->folder);
    case EACCES:
    case EPERM:
        return ccs_error_sys(err, CCS_EACCESS, fault->errnum,
                             "user \"%s\" of %s may not read it, give this user read permission",
                             fault->user, fault->server);
    case EBUSY:
    case ETXTBSY:
        return ccs_error_sys(err, CCS_ECHANGED, fault->errnum,
                             "another program holds it and may still be writing");
    case EISDIR:
    case ENOTDIR:
    case ELOOP:
        return ccs_error_sys(err, CCS_EFILETYPE, fault->errnum, "it is not a regular file");
    default:
        return ccs_error_sys(err, CCS_EUNAVAIL, fault->errnum, "the store %s does not answer",
                             fault->folder);
    }
}

static int unconnected_error(const struct agent_smb_fault *f, struct ccs_error *err)
{
    if (!f->resolvable) {
        return ccs_error_set(err, CCS_EUNAVAIL,
                             "the name of the file server %s is not known: check its spelling and "
                             "the name service of this machine",
                             f->server);
    }
    switch (f->errnum) {
    case ECONNREFUSED:
        return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum,
                             "the file server %s refuses connections: is its SMB service running?",
                             f->server);
    case ETIMEDOUT:
        return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum,
                             "the file server %s cannot be reached: is it running, and does a "
                             "firewall let this machine through?",
                             f->server);
    default:
        return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum, "the file server %s cannot be reached",
                             f->server);
    }
}

static int negotiate_error(const struct agent_smb_fault *f, struct ccs_error *err)
{
    switch (f->errnum) {
    case ETIMEDOUT:
        return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum,
                             "the file server %s takes connections but does not answer within %u "
                             "ms",
                             f->server, f->timeout_ms);
    case ENOSYS:
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
        return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum,
                             "the file server %s speaks no SMB 3, which is the least that is "
                             "accepted: allow SMB 3 on it",
                             f->server);
    default:
        return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum,
                             "the file server %s ends the conversation before it begins: does it "
                             "speak SMB 3?",
                             f->server);
    }
}

static int refusal_error(const struct agent_smb_fault *f, struct ccs_error *err)
{
    const char *colon = f->reason[0] != '\0' ? ": " : "";

    if (f->held && f->pause_ms > 0) {
        return ccs_error_set(err, CCS_EACCESS,
                             "the file server %s has refused user \"%s\" or its password, the next "
                             "logon is tried in %d s: correct the credentials%s%s",
                             f->server, f->user, (int)((f->pause_ms + 999) / 1000), colon,
                             f->reason);
    }
    if (f->held) {
        return ccs_error_set(err, CCS_EUNAVAIL,
                             "the file server %s takes too long for a logon that is under way",
                             f->server);
    }
    return ccs_error_set(err, CCS_EACCESS,
                         "the file server %s refuses user \"%s\" or its password: correct the "
                         "credentials%s%s",
                         f->server, f->user, colon, f->reason);
}

/* The connection stands and the user is accepted. */
static int folder_error(const struct agent_smb_fault *f, struct ccs_error *err)
{
    const int share_blamed = !f->has_folder || !f->share_answers;

    switch (f->errnum) {
    case ENOENT:
        if (share_blamed) {
            return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum, "the share %s does not exist",
                                 f->share);
        }
        return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum, "the store folder %s does not exist",
                             f->folder);
    case EACCES:
    case EPERM:
        return ccs_error_sys(err, CCS_EACCESS, f->errnum,
                             "user \"%s\" may not use the %s %s: give this user read permission",
                             f->user, share_blamed ? "share" : "store folder",
                             share_blamed ? f->share : f->folder);
    case ENOTDIR:
        return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum, "the store %s is not a folder",
                             f->folder);
    case ETIMEDOUT:
        return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum,
                             "the file server %s has stopped to answer", f->server);
    default:
        return ccs_error_sys(err, CCS_EUNAVAIL, f->errnum, "the store %s does not answer",
                             f->folder);
    }
}

int agent_smb_store_error(const struct agent_smb_fault *fault, struct ccs_error *err)
{
    if (fault->plain) {
        return ccs_error_sys(err, CCS_EUNAVAIL, EPROTO,
                             "the file server %s does not encrypt the share %s, and nothing is "
                             "read in plain text: require encryption of this share on the server",
                             fault->server, fault->share);
    }
    if (fault->held || agent_smb_is_refusal(fault))
        return refusal_error(fault, err);
    switch (fault->stage) {
    case AGENT_STAGE_NONE:
        return unconnected_error(fault, err);
    case AGENT_STAGE_NEGOTIATE:
        return negotiate_error(fault, err);
    case AGENT_STAGE_LOGON:
        return ccs_error_sys(err, CCS_EUNAVAIL, fault->errnum,
                             "the file server %s does not complete the logon", fault->server);
    case AGENT_STAGE_SHARE:
    case AGENT_STAGE_WORK:
        return folder_error(fault, err);
    }
    return folder_error(fault, err);
}
