/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_FETCH_H
#define CCS_FETCH_H

/*
 * One stem -> one credential: which files it may have, reading and decoding them, what to keep of
 * the credential in service when a new file is bad, and what to say about it.
 */

#include <stdatomic.h>

#include <ccs/ccs.h>

#include "credential.h"
#include "index.h"
#include "log.h"
#include "settings.h"
#include "store.h"

struct ccs_fetcher {
    struct ccs_store *store; /* all borrowed */
    struct ccs_index *index;
    struct ccs_log *log;
    const struct ccs_settings *settings;
    const atomic_bool *closing; /* the host may be tearing OpenSSL down: leave it alone */
    atomic_uint decoding;       /* threads that use OpenSSL just now */
    _Atomic uint64_t *reads;    /* counters */
    _Atomic uint64_t *decodes;
};

struct ccs_fetch_job {
    const char *stem;
    unsigned kinds;                  /* 1 << enum ccs_file_kind: files that there may be */
    bool odd;                        /* some may be in an odd spelling that the index knows */
    const struct ccs_cred *previous; /* in service now, or NULL */
    /* What its parts were made of, in their order; NULL where that is not known any more. */
    const struct ccs_pfx *previous_pfx[CCS_CRED_PARTS_MAX];
    const struct ccs_error *known; /* the refusal that was reported last, or NULL */
    struct ccs_stamp known_stamp;  /* and its file */
    int removed;                   /* files that are not there are gone for good */
    unsigned attempt;
};

struct ccs_fetched {
    int code;
    struct ccs_cred *cred; /* new reference, with CCS_OK; its hash is the caller's to fill */
    /* What its parts were made of, as above: new ones are owned, others are those of the job. */
    const struct ccs_pfx *pfx[CCS_CRED_PARTS_MAX];
    struct ccs_pfx *owned[CCS_CRED_PARTS_MAX];
    struct ccs_error
        error; /* of the first file that was refused, with CCS_OK too; else code CCS_OK */
    struct ccs_stamp stamp; /* of that file */
};

/*
 * Loader threads. Returns 0, or milliseconds after which the files deserve another look because
 * they are being written: then nothing was logged, and *out need not be used.
 */
int64_t ccs_fetch(struct ccs_fetcher *fetcher, const struct ccs_fetch_job *job,
                  struct ccs_fetched *out);

/* Releases what was decoded, keys wiped; not the credential. */
void ccs_fetched_clear(struct ccs_fetched *fetched);

#endif
