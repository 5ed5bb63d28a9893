/* SPDX-License-Identifier: Apache-2.0 */
#include "query.h"

#include <string.h>

#include "base.h"
#include "error.h"
#include "instance.h"

static void query_complete(const struct ccs *ccs, struct ccs_query *q)
{
    q->exact_hash = ccs_cache_hash(ccs->cache, q->exact, q->exact_len);
    q->wildcard_len = 0;
    q->wildcard[0] = '\0';
}

int ccs_query_init(const struct ccs *ccs, const char *name, size_t len, struct ccs_query *q)
{
    int rv = ccs_name_canonical(name, len, q->exact, &q->exact_len);

    if (rv == CCS_OK)
        query_complete(ccs, q);
    return rv;
}

CCS_WARM void ccs_query_init_canonical(const struct ccs *ccs, const char *name, size_t len,
                                       struct ccs_query *q)
{
    memcpy(q->exact, name, len);
    q->exact[len] = '\0';
    q->exact_len = len;
    query_complete(ccs, q);
}

/* Only names without a file of their own need it, so a warm look-up does without. */
static bool query_wildcard(const struct ccs *ccs, struct ccs_query *q)
{
    if (q->wildcard_len > 0)
        return true;
    if (ccs_name_wildcard(q->exact, q->exact_len, q->wildcard, &q->wildcard_len) != CCS_OK) {
        q->wildcard_len = 0;
        return false;
    }
    q->wildcard_hash = ccs_cache_hash(ccs->cache, q->wildcard, q->wildcard_len);
    return true;
}

static int answer_with(struct ccs *ccs, struct ccs_answer *out, struct ccs_cred *cred,
                       enum ccs_result result)
{
    out->code = CCS_OK;
    out->cred = cred;
    out->result = atomic_load_explicit(&ccs->store_down, memory_order_relaxed) ? CCS_RESULT_STALE
                                                                               : result;
    return CCS_OK;
}

int ccs_answer_failure(struct ccs_answer *out, const struct ccs_error *error)
{
    out->code = error->code;
    out->cred = NULL;
    out->result = CCS_RESULT_NONE;
    out->error = *error;
    return error->code;
}

int ccs_answer_code(struct ccs_answer *out, int code, const char *text)
{
    out->code = code;
    out->cred = NULL;
    out->result = CCS_RESULT_NONE;
    return ccs_error_set(&out->error, code, "%s", text);
}

const struct ccs_error *ccs_query_worse(const struct ccs_error *exact,
                                        const struct ccs_error *wildcard)
{
    return exact->code == CCS_ENOTFOUND ? wildcard : exact;
}

/*
 * How often a credential is used before shared memory is told again that it is in use, which is a
 * look at a page that as a rule nobody has looked at for long.
 */
#define USES_PER_TOUCH 8

/* A credential, if nothing has changed since it was made. */
static CCS_WARM struct ccs_cred *cred_get(struct ccs *ccs, const char *stem, size_t len,
                                          uint64_t hash)
{
    struct ccs_cred *cred;
    unsigned uses;

    ccs_vault_prefetch(&ccs->layout->vault, hash);
    cred = ccs_cache_get(ccs->cache, stem, len, hash);
    if (cred == NULL)
        return NULL;
    ccs_cred_prefetch(cred);
    if (atomic_load_explicit(&cred->generation, memory_order_relaxed) ==
        ccs_vault_generation(&ccs->layout->vault, hash)) {
        uses = atomic_load_explicit(&cred->uses, memory_order_relaxed);
        atomic_store_explicit(&cred->uses, uses + 1, memory_order_relaxed);
        if (uses % USES_PER_TOUCH == 0)
            ccs_vault_touch(&ccs->layout->vault, cred->slot);
        return cred;
    }
    ccs_cred_unref(cred);
    return NULL;
}

static uint64_t failure_mark(const struct ccs *ccs, uint64_t hash)
{
    return ccs_vault_generation(&ccs->layout->vault, hash) + ccs_failure_epoch(ccs);
}

/* A failure that is still believed; true if there is one, copied into *out. */
static bool failure_get(struct ccs *ccs, const char *stem, size_t len, uint64_t hash,
                        struct ccs_error *out)
{
    struct ccs_failure *f = ccs_cache_get_failure(ccs->cache, stem, len, hash);
    bool believed = f != NULL && f->generation == failure_mark(ccs, hash) &&
                    f->until_ms > ccs_now_ms();

    if (believed)
        *out = f->error;
    ccs_failure_unref(f);
    return believed;
}

/*
 * What is known of a stem that no credential is at hand of. CCS_PENDING: it is to be loaded;
 * *unsure if nobody knows whether it has a file.
 */
static int stem_state(struct ccs *ccs, const char *stem, size_t len, uint64_t hash,
                      struct ccs_error *why, bool *unsure)
{
    const enum ccs_index_answer answer = ccs_index_lookup(&ccs->index, hash, NULL);

    *unsure = false;
    switch (answer) {
    case CCS_INDEX_ABSENT:
        ccs_index_note_asked(&ccs->index);
        /* No text before it is wanted: each handshake that a wildcard serves comes this way. */
        why->code = CCS_ENOTFOUND;
        why->sys_errno = 0;
        why->text[0] = '\0';
        break;
    case CCS_INDEX_UNKNOWN:
    case CCS_INDEX_PRESENT:
        *unsure = answer == CCS_INDEX_UNKNOWN;
        if (!failure_get(ccs, stem, len, hash, why))
            return CCS_PENDING;
        break;
    }
    /* While the store is away nobody can tell what has come since. */
    if (why->code == CCS_ENOTFOUND && atomic_load_explicit(&ccs->store_down, memory_order_relaxed))
        return ccs_error_set(why, CCS_EUNAVAIL, "the store does not answer");
    return why->code;
}

static int fail(const struct ccs_query *q, struct ccs_answer *out, const struct ccs_error *error)
{
    ccs_answer_failure(out, error);
    if (error->code == CCS_ENOTFOUND)
        ccs_error_set(&out->error, CCS_ENOTFOUND, "the store has no file for \"%s\"", q->exact);
    return error->code;
}

int ccs_query_look_up_wildcard(struct ccs *ccs, struct ccs_query *q, struct ccs_answer *out,
                               const struct ccs_error *exact, bool *unsure)
{
    struct ccs_error why;
    struct ccs_cred *cred;

    if (!query_wildcard(ccs, q))
        return fail(q, out, exact);
    cred = cred_get(ccs, q->wildcard, q->wildcard_len, q->wildcard_hash);
    if (cred != NULL)
        return answer_with(ccs, out, cred, CCS_RESULT_HIT);
    if (exact->code == CCS_EUNAVAIL &&
        !atomic_load_explicit(&ccs->store_down, memory_order_relaxed))
        return fail(q, out, exact);
    if (stem_state(ccs, q->wildcard, q->wildcard_len, q->wildcard_hash, &why, unsure) ==
        CCS_PENDING)
        return CCS_PENDING;
    return fail(q, out, ccs_query_worse(exact, &why));
}

CCS_WARM int ccs_query_look_up(struct ccs *ccs, struct ccs_query *q, struct ccs_answer *out,
                               struct ccs_missing *missing)
{
    struct ccs_cred *cred = cred_get(ccs, q->exact, q->exact_len, q->exact_hash);

    missing->stage = CCS_STAGE_EXACT;
    missing->unsure = false;
    if (cred != NULL)
        return answer_with(ccs, out, cred, CCS_RESULT_HIT);
    if (stem_state(ccs, q->exact, q->exact_len, q->exact_hash, &missing->exact, &missing->unsure) ==
        CCS_PENDING)
        return CCS_PENDING;
    missing->stage = CCS_STAGE_WILDCARD;
    return ccs_query_look_up_wildcard(ccs, q, out, &missing->exact, &missing->unsure);
}
