/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "pkcs12.h"
#include "secret.h"
#include "tls.h"

/* Producers truncate and write in place: how long to give them, one entry per attempt. */
static const int64_t retry_ms[] = {500, 1000, 2000, 5000};

/* A file this young that looks damaged may be half-written: some systems set the length first. */
#define YOUNG_NS (5 * (int64_t)1000000000)

/* File systems whose times are whole seconds, or two. */
#define SETTLED_NS (3 * (int64_t)1000000000)

#define CANDIDATES_MAX 4

struct candidate {
    char file[CCS_FILE_NAME_SIZE];
    int unicode;
};

/* What is gathered for one stem. */
struct gathering {
    struct ccs_part *parts[CCS_CRED_PARTS_MAX];
    const struct ccs_pfx *pfx[CCS_CRED_PARTS_MAX];
    struct ccs_pfx *owned[CCS_CRED_PARTS_MAX];
    size_t part_count;
    struct ccs_error error; /* the first refusal */
    struct ccs_stamp stamp;
    int moving;   /* a file seems to be in the middle of being written */
    int refused;  /* how many were refused */
    int reported; /* the first of them was reported before */
};

/* Which part of what is in service came from this file; -1: none. */
static int previous_part(const struct ccs_cred *previous, const char *file)
{
    for (size_t i = 0; previous != NULL && i < previous->part_count; i++) {
        if (strcmp(previous->parts[i]->file, file) == 0)
            return (int)i;
    }
    return -1;
}

/* Parts are counted and immutable: what is kept is the very same one. */
static void keep_previous(const struct ccs_fetch_job *job, int at, struct gathering *g)
{
    g->parts[g->part_count] = ccs_part_ref(job->previous->parts[at]);
    g->pfx[g->part_count] = job->previous_pfx[at];
    g->part_count++;
}

static void add_candidate(struct candidate *list, size_t *n, const char *file, int unicode)
{
    for (size_t i = 0; i < *n; i++) {
        if (strcmp(list[i].file, file) == 0)
            return;
    }
    if (*n < CANDIDATES_MAX) {
        snprintf(list[*n].file, sizeof(list[*n].file), "%s", file);
        list[*n].unicode = unicode;
        (*n)++;
    }
}

/* The file names that one kind of a stem's file may have, best first: Unicode before A-labels. */
static size_t candidates(struct ccs_fetcher *f, const struct ccs_fetch_job *job,
                         enum ccs_file_kind kind, struct candidate *list)
{
    const char *stem = job->stem;
    char file[CCS_FILE_NAME_SIZE], odd[CCS_FILE_NAME_SIZE];
    bool odd_unicode = false;
    bool has_odd = job->odd &&
                   ccs_index_spelling(f->index, ccs_index_hash(f->index, stem, strlen(stem)), kind,
                                      odd, &odd_unicode) == CCS_OK;
    size_t n = 0;

    if (ccs_name_file_unicode(stem, kind, file) == CCS_OK)
        add_candidate(list, &n, file, 1);
    if (has_odd && odd_unicode)
        add_candidate(list, &n, odd, 1);
    if (ccs_name_file(stem, kind, file) == CCS_OK)
        add_candidate(list, &n, file, 0);
    if (has_odd && !odd_unicode)
        add_candidate(list, &n, odd, 0);
    return n;
}

static int is_younger(const struct ccs_stamp *stamp, int64_t ns)
{
    struct timespec now;
    int64_t age;

    clock_gettime(CLOCK_REALTIME, &now);
    age = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - stamp->mtime_ns;
    return age > -ns && age < ns;
}

static int is_moving(int code, const struct ccs_stamp *stamp)
{
    switch (code) {
    case CCS_EINCOMPLETE:
    case CCS_ECHANGED:
        return 1;
    case CCS_EDAMAGED:
    case CCS_EPASSWORD:
    case CCS_EFORMAT:
        return is_younger(stamp, YOUNG_NS);
    default:
        return 0;
    }
}

static void warn_of_part(struct ccs_fetcher *f, const struct ccs_part *part, const char *shown)
{
    int64_t now = (int64_t)time(NULL);

    if (part->warnings & CCS_PFX_NO_MAC)
        ccs_log(f->log, CCS_LOG_WARN, "\"%s\" is not integrity protected (it has no MAC)", shown);
    if (part->warnings & CCS_PFX_TRAILING)
        ccs_log(f->log, CCS_LOG_INFO, "\"%s\" has bytes after its end, which are ignored", shown);
    if (part->warnings & CCS_PFX_BAD_CERT)
        ccs_log(f->log, CCS_LOG_WARN,
                "\"%s\" holds a certificate that cannot be decoded, which is left out", shown);
    if (part->warnings & CCS_PFX_NO_ISSUER)
        ccs_log(
            f->log, CCS_LOG_WARN,
            "\"%s\" does not hold the certificate of its leaf's issuer: clients may not be able "
            "to verify it; export it with its chain",
            shown);
    for (size_t i = 0; i < part->pair_count; i++) {
        if (part->pairs[i].not_after < now)
            ccs_log(f->log, CCS_LOG_WARN, "\"%s\" has expired and is served all the same", shown);
        else if (part->pairs[i].not_before > now)
            ccs_log(f->log, CCS_LOG_WARN, "\"%s\" is not valid yet and is served all the same",
                    shown);
    }
}

/* Bytes -> part, warmed and checked against its name. The error does not name the file. */
static int decode_part(struct ccs_fetcher *f, const char *stem, const char *shown,
                       const struct ccs_part *before, const struct ccs_secret *data,
                       struct ccs_part **out, struct ccs_pfx **pfx_out, struct ccs_error *err)
{
    struct ccs_pfx_params params = {
        .passwords = f->settings->passwords,
        .password = before != NULL ? before->password : CCS_PASSWORD_UNKNOWN,
        .kdf_limit = f->settings->kdf_limit,
    };
    struct ccs_part *part = NULL;
    struct ccs_pfx *pfx = NULL;
    struct ccs_error why;
    int rv;

    atomic_fetch_add_explicit(f->decodes, 1, memory_order_relaxed);
    rv = ccs_pkcs12_decode(data->data, data->len, &params, &pfx, err);
    if (rv == CCS_OK)
        rv = ccs_part_take(pfx, &part, err);
    for (size_t i = 0; rv == CCS_OK && i < part->pair_count; i++)
        rv = ccs_tls_warm(&part->pairs[i], err);
    if (rv == CCS_OK && f->settings->check_name != CCS_CHECK_NAME_OFF &&
        !ccs_part_covers(part, stem, &why)) {
        if (f->settings->check_name == CCS_CHECK_NAME_REFUSE)
            rv = ccs_error_set(err, CCS_ENAMEMISMATCH, "%s", why.text);
        else
            ccs_log(f->log, CCS_LOG_WARN, "\"%s\" is served although %s", shown, why.text);
    }
    if (rv != CCS_OK) {
        ccs_part_unref(part);
        ccs_pfx_free(pfx);
        return rv;
    }
    *out = part;
    *pfx_out = pfx;
    return CCS_OK;
}

static int refuse(struct gathering *g, const struct ccs_error *error, const struct ccs_stamp *stamp,
                  int reported)
{
    if (g->refused++ == 0) {
        g->error = *error;
        g->stamp = *stamp;
        g->reported = reported;
    }
    return error->code;
}

/* Whether a file was refused before for what is in it, and is still the same. */
static int is_known(const struct ccs_fetch_job *job, const struct ccs_stamp *stamp)
{
    return job->known != NULL && job->known->code <= CCS_EFILETYPE &&
           ccs_stamp_equal(stamp, &job->known_stamp);
}

/*
 * One file of a stem. CCS_OK: a part was added, the one in service if the new file was refused.
 * CCS_ENOTFOUND: there is no such file. CCS_EUNAVAIL, CCS_ECLOSED: nothing can be said. Anything
 * else: it was refused.
 */
static int gather_file(struct ccs_fetcher *f, const struct ccs_fetch_job *job, const char *file,
                       enum ccs_file_kind kind, struct gathering *g)
{
    const int at = previous_part(job->previous, file);
    const struct ccs_part *before = at < 0 ? NULL : job->previous->parts[at];
    struct ccs_secret data = {0};
    struct ccs_stamp stamp = {0};
    struct ccs_part *part = NULL;
    struct ccs_pfx *pfx = NULL;
    struct ccs_error err = {0};
    char shown[CCS_FILE_NAME_SIZE * 4];
    int rv;

    ccs_printable(shown, sizeof(shown), file, strlen(file));
    if (before != NULL || job->known != NULL) {
        rv = ccs_store_stat(f->store, file, &stamp, &err);
        if (rv == CCS_OK && before != NULL && ccs_stamp_equal(&stamp, &before->stamp)) {
            keep_previous(job, at, g);
            return CCS_OK;
        }
        if (rv == CCS_OK && is_known(job, &stamp)) {
            rv = refuse(g, job->known, &stamp, 1);
            goto keep;
        }
        if (rv == CCS_ENOTFOUND || rv == CCS_EUNAVAIL)
            goto failed;
    }
    rv = ccs_store_read(f->store, file, CCS_PKCS12_SIZE_MAX, &data, &stamp, &err);
    if (rv != CCS_ENOTFOUND)
        atomic_fetch_add_explicit(f->reads, 1, memory_order_relaxed);
    atomic_fetch_add(&f->decoding, 1);
    if (atomic_load(f->closing))
        rv = CCS_ECLOSED;
    if (rv == CCS_OK)
        rv = decode_part(f, job->stem, shown, before, &data, &part, &pfx, &err);
    if (rv == CCS_OK &&
        EVP_Digest(data.data, data.len, part->digest, NULL, EVP_sha256(), NULL) != 1)
        rv = ccs_error_ssl(&err, CCS_ESSL, "no SHA-256");
    atomic_fetch_sub(&f->decoding, 1);
    ccs_secret_free(&data);
    if (rv != CCS_OK)
        goto failed;
    part->kind = kind;
    part->stamp = stamp;
    /* Within the tick of a coarse clock the file may change again and look the same: then it is to
     * be found different, and read once more. */
    if (stamp.mtime_ns % 1000000000 == 0 && is_younger(&stamp, SETTLED_NS))
        part->stamp.ctime_ns = -1;
    snprintf(part->file, sizeof(part->file), "%s", file);
    warn_of_part(f, part, shown);
    g->parts[g->part_count] = part;
    g->pfx[g->part_count] = g->owned[g->part_count] = pfx;
    g->part_count++;
    return CCS_OK;

failed:
    ccs_part_unref(part);
    ccs_pfx_free(pfx);
    if (rv == CCS_EUNAVAIL)
        g->error = err;
    if (rv == CCS_EUNAVAIL || rv == CCS_ECLOSED)
        return rv;
    /* A file in service that is missing for a moment may be in the middle of a replacement. */
    if (rv == CCS_ENOTFOUND && (before == NULL || job->removed))
        return rv;
    if (rv != CCS_ENOTFOUND) {
        struct ccs_error named;

        if (is_moving(rv, &stamp) && job->attempt < CCS_ARRAY_LEN(retry_ms))
            g->moving = 1;
        ccs_error_set(&named, rv, "\"%s\": %s", shown, err.text);
        named.sys_errno = err.sys_errno;
        refuse(g, &named, &stamp,
               job->known != NULL && job->known->code == rv &&
                   ccs_stamp_equal(&stamp, &job->known_stamp));
    }
keep:
    if (before == NULL)
        return rv;
    keep_previous(job, at, g);
    return CCS_OK;
}

/* Both spellings of an international name exist: say which one counts. */
static void tell_of_twin(struct ccs_fetcher *f, const struct candidate *list, size_t n, size_t used)
{
    for (size_t i = used + 1; i < n; i++) {
        struct ccs_stamp stamp;

        if (list[used].unicode && !list[i].unicode &&
            ccs_store_stat(f->store, list[i].file, &stamp, NULL) == CCS_OK)
            ccs_log(f->log, CCS_LOG_WARN,
                    "\"%s\" and \"%s\" are the same host: the first is served, remove one",
                    list[used].file, list[i].file);
    }
}

static int gather_kind(struct ccs_fetcher *f, const struct ccs_fetch_job *job,
                       enum ccs_file_kind kind, struct gathering *g)
{
    struct candidate list[CANDIDATES_MAX];
    size_t n = candidates(f, job, kind, list);

    for (size_t i = 0; i < n; i++) {
        int rv = gather_file(f, job, list[i].file, kind, g);

        if (rv == CCS_EUNAVAIL || rv == CCS_ECLOSED)
            return rv;
        if (rv == CCS_OK) {
            tell_of_twin(f, list, n, i);
            return CCS_OK;
        }
    }
    return CCS_OK;
}

/* What is in service is looked at again, whatever the index says. */
static unsigned kinds_of(const struct ccs_fetch_job *job)
{
    unsigned kinds = job->kinds;

    for (size_t i = 0; job->previous != NULL && i < job->previous->part_count; i++)
        kinds |= 1u << job->previous->parts[i]->kind;
    return kinds;
}

static int gather(struct ccs_fetcher *f, const struct ccs_fetch_job *job, struct gathering *g)
{
    const unsigned kinds = kinds_of(job);
    int rv;

    for (int kind = CCS_FILE_ANY; kind < CCS_FILE_KINDS; kind++) {
        if ((kinds & 1u << kind) == 0)
            continue;
        rv = gather_kind(f, job, (enum ccs_file_kind)kind, g);
        if (rv != CCS_OK)
            return rv;
    }
    return CCS_OK;
}

static void gathering_reset(struct gathering *g)
{
    for (size_t i = 0; i < g->part_count; i++) {
        ccs_part_unref(g->parts[i]);
        ccs_pfx_free(g->owned[i]);
    }
    *g = (struct gathering){0};
}

/* The credential has the parts now. */
static void hand_over(struct gathering *g, struct ccs_fetched *out)
{
    memcpy(out->pfx, g->pfx, sizeof(out->pfx));
    memcpy(out->owned, g->owned, sizeof(out->owned));
    g->part_count = 0;
}

void ccs_fetched_clear(struct ccs_fetched *fetched)
{
    for (size_t i = 0; i < CCS_CRED_PARTS_MAX; i++) {
        ccs_pfx_free(fetched->owned[i]);
        fetched->owned[i] = NULL;
        fetched->pfx[i] = NULL;
    }
}

static void report(struct ccs_fetcher *f, const struct gathering *g)
{
    /* A bad file is named once for each version of it, not for each visitor. */
    if (g->refused > 0 && !g->reported)
        ccs_log(f->log, CCS_LOG_ERROR, "%s%s", g->error.text,
                g->part_count > 0 ? "; what was served before stays in service" : "");
}

int64_t ccs_fetch(struct ccs_fetcher *f, const struct ccs_fetch_job *job, struct ccs_fetched *out)
{
    struct gathering g = {0};
    int rv;

    memset(out, 0, sizeof(*out));
    rv = gather(f, job, &g);
    if (rv == CCS_OK && g.moving) {
        out->code = g.error.code;
        out->error = g.error;
        out->stamp = g.stamp;
        gathering_reset(&g);
        return retry_ms[job->attempt];
    }
    if (rv == CCS_OK) {
        report(f, &g);
        out->error = g.error;
        out->stamp = g.stamp;
        if (g.part_count > 0) {
            out->cred = ccs_cred_new(job->stem, g.parts, g.part_count);
            if (out->cred == NULL)
                rv = ccs_error_set(&out->error, CCS_ENOMEM, "no memory");
            else
                hand_over(&g, out);
        } else if (g.refused > 0) {
            rv = g.error.code;
        } else {
            rv = ccs_error_set(&out->error, CCS_ENOTFOUND, "the store has no file for \"%s\"",
                               job->stem);
        }
    } else {
        out->error = g.error;
        out->error.code = rv;
    }
    out->code = rv;
    gathering_reset(&g);
    return 0;
}
