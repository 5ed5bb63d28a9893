/* SPDX-License-Identifier: Apache-2.0 */
#include "smb_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent_wire.h"
#include "error.h"

#define ATTEMPTS         4
#define FLICKER_MS       5  /* a file that is being replaced is missing for less than that */
#define HELD_MS          60 /* a writer may be done after that */
#define FS_SMB           0xfe534d42u
#define ATTRIBUTE_FOLDER 0x10u

void smb_pause(int ms)
{
    const struct timespec ts = {0, ms * 1000000L};

    nanosleep(&ts, NULL);
}

/* The folder cannot be used, so that nothing is known of any file in it. */
static int smb_unavailable(int code, struct ccs_error *err)
{
    if (code != CCS_EACCESS)
        return code;
    if (err != NULL)
        err->code = CCS_EUNAVAIL;
    return CCS_EUNAVAIL;
}

/* A call for a file has failed: CCS_PENDING if it is to be made again, else the error. */
static int smb_file_failed(struct smb *smb, const struct agent_smb_fault *fault, int attempt,
                           struct ccs_error *err)
{
    const int last = attempt + 1 >= ATTEMPTS;
    struct stat st;
    int rv;

    switch (agent_smb_judge(fault)) {
    case AGENT_SMB_STORE:
        return smb_unavailable(agent_smb_store_error(fault, err), err);
    case AGENT_SMB_RETRY:
        return attempt < 1 ? CCS_PENDING : smb_unavailable(agent_smb_store_error(fault, err), err);
    case AGENT_SMB_FILE:
        break;
    }
    if (fault->errnum == ENOENT && attempt < 1) {
        smb_pause(FLICKER_MS);
        return CCS_PENDING;
    }
    if (fault->errnum == EBUSY && !last) {
        smb_pause(HELD_MS);
        return CCS_PENDING;
    }
    rv = smb_check_root(smb, &st, err);
    return rv == CCS_OK ? agent_smb_file_error(fault, err) : smb_unavailable(rv, err);
}

static int smb_file_url(struct smb *smb, const char *file, struct ccs_error *err)
{
    if (ccs_wire_is_file(file, strlen(file)) &&
        agent_smb_url(&smb->config.unc, 1, file, smb->file, sizeof(smb->file)) == CCS_OK)
        return CCS_OK;
    return ccs_error_sys(err, CCS_ENOTFOUND, ENOENT,
                         "no share can have a file of this name, so the store %s has none",
                         smb->folder_shown);
}

static void smb_stamp(const struct stat *st, struct ccs_stamp *out)
{
    out->size = (uint64_t)st->st_size;
    out->file_id = (uint64_t)st->st_ino;
    out->mtime_ns = smb_ns(&st->st_mtim);
    out->ctime_ns = smb_ns(&st->st_ctim);
}

/* -- files --------------------------------------------------------------------------------- */

static int smb_stat(struct ccs_store *store, const char *file, struct ccs_stamp *out,
                    struct ccs_error *err)
{
    struct smb *smb = smb_of(store);
    struct agent_smb_fault fault;
    struct stat st;
    int rv = smb_file_url(smb, file, err);

    if (rv != CCS_OK)
        return rv;
    rv = CCS_PENDING;
    for (int i = 0; rv == CCS_PENDING; i++) {
        memset(&st, 0, sizeof(st));
        smb_begin();
        if (!smb_end(smb, smbc_getFunctionStat(smb->ctx)(smb->ctx, smb->file, &st) == 0, &fault))
            rv = CCS_OK;
        else
            rv = smb_file_failed(smb, &fault, i, err);
    }
    if (rv != CCS_OK)
        return rv;
    if (!S_ISREG(st.st_mode))
        return ccs_error_set(err, CCS_EFILETYPE, "it is not a regular file");
    smb_stamp(&st, out);
    return CCS_OK;
}

static int smb_fstat(struct smb *smb, SMBCFILE *f, struct stat *st, struct agent_smb_fault *fault)
{
    memset(st, 0, sizeof(*st));
    smb_begin();
    return smb_end(smb, smbc_getFunctionFstat(smb->ctx)(smb->ctx, f, st) == 0, fault);
}

/* Reads size octets; fewer if the file ends earlier. 0, or 1 with *fault filled. */
static int smb_read_all(struct smb *smb, SMBCFILE *f, size_t size, struct ccs_secret *data,
                        struct agent_smb_fault *fault)
{
    ssize_t n;

    while (data->len < size) {
        smb_begin();
        n = smbc_getFunctionRead(smb->ctx)(smb->ctx, f, data->data + data->len, size - data->len);
        if (smb_end(smb, n >= 0, fault))
            return 1;
        if (n == 0)
            break;
        if ((size_t)n > size - data->len)
            n = (ssize_t)(size - data->len);
        data->len += (size_t)n;
    }
    return 0;
}

/*
 * The file is opened. 1 with *fault filled if the connection fails; else 0, and *rv says whether
 * the contents can be used.
 */
static int smb_read_open(struct smb *smb, SMBCFILE *f, size_t max, struct ccs_secret *data,
                         struct ccs_stamp *out, struct agent_smb_fault *fault, int *rv,
                         struct ccs_error *err)
{
    struct ccs_stamp after;
    struct stat st;

    if (smb_fstat(smb, f, &st, fault))
        return 1;
    smb_stamp(&st, out);
    if (!S_ISREG(st.st_mode)) {
        *rv = ccs_error_set(err, CCS_EFILETYPE, "it is not a regular file");
        return 0;
    }
    if (st.st_size <= 0) {
        *rv = ccs_error_set(err, CCS_EINCOMPLETE, "it is empty");
        return 0;
    }
    if (out->size > max) {
        *rv = ccs_error_set(err, CCS_ETOOBIG, "it has %llu octets, but at most %zu are read",
                            (unsigned long long)out->size, max);
        return 0;
    }
    if (ccs_secret_reserve(data, (size_t)out->size) != CCS_OK) {
        *rv = ccs_error_set(err, CCS_ENOMEM, "there is no memory to read it");
        return 0;
    }
    if (smb_read_all(smb, f, (size_t)out->size, data, fault) || smb_fstat(smb, f, &st, fault))
        return 1;
    data->data[data->len] = '\0';
    smb_stamp(&st, &after);
    *rv = CCS_OK;
    if (data->len != out->size || !ccs_stamp_equal(out, &after))
        *rv = ccs_error_set(err, CCS_ECHANGED, "it changed while it was read");
    return 0;
}

static int smb_read(struct ccs_store *store, const char *file, size_t max, struct ccs_secret *data,
                    struct ccs_stamp *out, struct ccs_error *err)
{
    struct smb *smb = smb_of(store);
    struct agent_smb_fault fault;
    SMBCFILE *f;
    int failed;
    int rv = smb_file_url(smb, file, err);

    if (rv != CCS_OK)
        return rv;
    rv = CCS_PENDING;
    for (int i = 0; rv == CCS_PENDING; i++) {
        ccs_secret_free(data);
        memset(out, 0, sizeof(*out));
        smb_begin();
        f = smbc_getFunctionOpen(smb->ctx)(smb->ctx, smb->file, O_RDONLY, 0);
        failed = smb_end(smb, f != NULL, &fault);
        if (!failed)
            failed = smb_read_open(smb, f, max, data, out, &fault, &rv, err);
        /* Others cannot remove or replace the file for as long as it is open. */
        if (f != NULL)
            smbc_getFunctionClose(smb->ctx)(smb->ctx, f);
        if (failed)
            rv = smb_file_failed(smb, &fault, i, err);
    }
    if (rv != CCS_OK)
        ccs_secret_free(data);
    return rv;
}

/* -- the folder ---------------------------------------------------------------------------- */

static int smb_probe(struct ccs_store *store, struct ccs_root *out, struct ccs_error *err)
{
    struct stat st;
    const int rv = smb_check_root(smb_of(store), &st, err);

    if (rv != CCS_OK)
        return rv;
    out->device = (uint64_t)st.st_dev;
    out->file_id = (uint64_t)st.st_ino;
    out->fs_type = FS_SMB;
    out->mtime_ns = smb_ns(&st.st_mtim);
    out->notifies = true;
    return CCS_OK;
}

void smb_each_name(struct smb *smb, SMBCFILE *dir, ccs_store_name_cb cb, void *arg)
{
    const struct libsmb_file_info *info;
    size_t len;

    while ((info = smbc_getFunctionReaddirPlus(smb->ctx)(smb->ctx, dir)) != NULL) {
        len = info->name != NULL ? strlen(info->name) : 0;
        if ((info->attrs & ATTRIBUTE_FOLDER) == 0 && ccs_wire_is_file(info->name, len) &&
            cb(info->name, len, arg) != 0)
            break;
    }
}

static int smb_list(struct ccs_store *store, ccs_store_name_cb cb, void *arg, struct ccs_error *err)
{
    struct smb *smb = smb_of(store);
    int rv = CCS_OK;
    SMBCFILE *dir = smb_open_folder(smb, &rv, err);

    if (dir == NULL)
        return rv;
    smb_each_name(smb, dir, cb, arg);
    smb_close_folder(smb, dir);
    return CCS_OK;
}

/* -- life ---------------------------------------------------------------------------------- */

static int smb_no_watch_fd(struct ccs_store *store)
{
    (void)store;
    return -1;
}

static int smb_no_watch_start(struct ccs_store *store, struct ccs_error *err)
{
    return ccs_error_set(err, CCS_EINVAL, "the store %s is watched by a process of its own",
                         smb_of(store)->folder_shown);
}

static void smb_no_watch_read(struct ccs_store *store, ccs_store_event_cb cb, void *arg)
{
    (void)store;
    (void)cb;
    (void)arg;
}

static void smb_close(struct ccs_store *store)
{
    struct smb *smb = smb_of(store);

    if (smb->ctx != NULL)
        smbc_free_context(smb->ctx, 1);
    free(smb);
}

static const struct ccs_store_ops smb_ops = {
    .list = smb_list,
    .stat = smb_stat,
    .read = smb_read,
    .probe = smb_probe,
    .watch_fd = smb_no_watch_fd,
    .watch_start = smb_no_watch_start,
    .watch_read = smb_no_watch_read,
    .close = smb_close,
};

/* How messages name things: as Windows administrators do. */
static void smb_shown(struct smb *smb)
{
    const struct ccs_unc *unc = &smb->config.unc;
    char text[CCS_UNC_TEXT_SIZE];

    ccs_printable(smb->server_shown, sizeof(smb->server_shown), unc->server, strlen(unc->server));
    ccs_printable(smb->user_shown, sizeof(smb->user_shown), smb->config.user,
                  strlen(smb->config.user));
    snprintf(text, sizeof(text), "//%s/%s", unc->server, unc->share);
    ccs_printable(smb->share_shown, sizeof(smb->share_shown), text, strlen(text));
    ccs_unc_format(unc, text);
    ccs_printable(smb->folder_shown, sizeof(smb->folder_shown), text, strlen(text));
}

int agent_smb_open(const struct agent_smb_config *config, struct ccs_store **out,
                   struct ccs_error *err)
{
    struct smb *smb = calloc(1, sizeof(*smb));
    int rv;

    if (smb == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the store");
    smb->base.ops = &smb_ops;
    smb->config = *config;
    smb_shown(smb);
    rv = agent_smb_url(&config->unc, 1, NULL, smb->url, sizeof(smb->url));
    if (rv == CCS_OK)
        rv = agent_smb_url(&config->unc, 0, NULL, smb->share, sizeof(smb->share));
    if (rv != CCS_OK)
        rv = ccs_error_set(err, CCS_EINVAL, "the store %s is too long", smb->folder_shown);
    else
        rv = smb_context_new(smb, err);
    if (rv != CCS_OK) {
        free(smb);
        return rv;
    }
    agent_filter_setup(config->logon);
    *out = &smb->base;
    return CCS_OK;
}
