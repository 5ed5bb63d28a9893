/* SPDX-License-Identifier: Apache-2.0 */
/* One run of a loader's job: from the memory that all processes share, or from the store. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "companion.h"
#include "error.h"
#include "instance.h"
#include "record.h"

/* How long an answer of a store that does not answer is believed, until the refresher knows. */
#define UNAVAILABLE_MS 1000

/* How soon to look again at what another process is loading. */
#define ELSEWHERE_MS 5

/* How soon to look again whether a name may be looked for, or the first listing has ended. */
#define UNTOLD_MS 50

struct load {
    struct ccs *ccs;
    const struct ccs_task *task;
    struct ccs_vault_key key;
    struct ccs_claim claim;
    bool claimed;
    bool reload;                  /* what memory holds is known to be out of date */
    struct ccs_cred *mine;        /* what this process serves, or NULL */
    struct ccs_cred *previous;    /* what fetch may keep parts of, or NULL */
    struct ccs_vault_entry entry; /* of shared memory; record borrows from it */
    struct ccs_record record;
    struct ccs_vault_failure failure;
    bool known; /* failure is valid */
    enum ccs_index_answer answer;
    struct ccs_index_name name; /* if answer is CCS_INDEX_PRESENT, else zero */
    uint64_t epoch;             /* of failures, before anything was looked at */
};

/* -- shared memory -> credential ----------------------------------------------------------- */

static int parts_of(const struct ccs_record *record, struct ccs_part **parts, struct ccs_error *err)
{
    size_t n;
    int rv = CCS_OK;

    for (n = 0; n < record->part_count && rv == CCS_OK; n++) {
        const struct ccs_record_part *from = &record->parts[n];

        rv = ccs_part_new(from->pfx, &parts[n], err);
        if (rv != CCS_OK)
            break;
        memcpy(parts[n]->file, from->file, sizeof(parts[n]->file));
        memcpy(parts[n]->digest, from->digest, sizeof(parts[n]->digest));
        parts[n]->kind = from->kind;
        parts[n]->stamp = from->stamp;
    }
    while (rv != CCS_OK && n > 0)
        ccs_part_unref(parts[--n]);
    return rv;
}

static struct ccs_cred *make_cred(struct load *l)
{
    struct ccs_part *parts[CCS_RECORD_PARTS_MAX];
    struct ccs_cred *cred;

    if (ccs_record_decode(l->entry.data.data, l->entry.data.len, l->ccs->layout->intermediates,
                          &l->record) != CCS_OK ||
        parts_of(&l->record, parts, NULL) != CCS_OK)
        return NULL;
    cred = ccs_cred_new(l->task->stem, parts, l->record.part_count);
    if (cred == NULL) {
        for (size_t i = 0; i < l->record.part_count; i++)
            ccs_part_unref(parts[i]);
        return NULL;
    }
    cred->hash = l->task->hash;
    cred->version = l->entry.version;
    cred->slot = l->entry.slot;
    atomic_init(&cred->generation, l->entry.generation);
    return cred;
}

/* New credential of the entry that was copied; NULL if it cannot be made. */
static struct ccs_cred *cred_of_entry(struct load *l)
{
    struct ccs_cred *cred = NULL;

    atomic_fetch_add(&l->ccs->fetcher.decoding, 1);
    if (!atomic_load(&l->ccs->closing))
        cred = make_cred(l);
    atomic_fetch_sub(&l->ccs->fetcher.decoding, 1);
    return cred;
}

/* Something has changed since, or may have: another run, when there is nothing better to do. */
static void run_again(struct load *l)
{
    struct ccs *ccs = l->ccs;

    pthread_mutex_lock(&ccs->lock);
    (void)ccs_loader_submit_locked(ccs->loader, l->task->stem, l->task->hash,
                                   CCS_JOB_BACKGROUND | CCS_JOB_CHANGED, NULL);
    pthread_mutex_unlock(&ccs->lock);
}

static bool is_outdated(struct load *l, uint64_t loaded_for)
{
    return ccs_index_is_outdated(&l->ccs->index, l->task->hash, loaded_for);
}

/* The shared memory's answer, if it has one that holds. CCS_PENDING: it has none. */
static int from_shared(struct load *l, struct ccs_loaded *out)
{
    struct ccs *ccs = l->ccs;
    int rv;

    rv = ccs_vault_get(&ccs->layout->vault, &l->key, l->mine != NULL ? l->mine->version : 0,
                       CCS_LOCK_WAIT, &l->entry);
    if (rv != CCS_OK)
        l->entry.version = 0;
    if (rv == CCS_OK && l->entry.same) {
        atomic_store_explicit(&l->mine->generation, l->entry.generation, memory_order_relaxed);
        out->cred = ccs_cred_ref(l->mine);
    } else if (rv == CCS_OK) {
        out->cred = cred_of_entry(l);
        if (out->cred != NULL)
            ccs_cache_put(ccs->cache, out->cred);
    }
    if (out->cred != NULL) {
        out->code = CCS_OK;
        out->result = CCS_RESULT_SHARED;
        ccs_count(ccs, CCS_COUNT_SHARED);
        /* What is known is served without delay, and what is new follows. */
        if (is_outdated(l, l->entry.loaded_for))
            run_again(l);
        return CCS_OK;
    }
    rv = ccs_vault_get_failure(&ccs->layout->vault, &l->key, ccs->mend, CCS_LOCK_WAIT, &l->failure);
    l->known = rv == CCS_OK;
    if (!l->known || l->failure.until_ms <= ccs_now_ms())
        return CCS_PENDING;
    /* While the store is away nobody can tell what has come since. */
    if (l->failure.error.code == CCS_ENOTFOUND && l->mine == NULL && atomic_load(&ccs->store_down))
        return CCS_PENDING;
    /* The removal of what this process still has, or a file that was refused elsewhere. */
    if (l->failure.error.code == CCS_ENOTFOUND)
        ccs_cache_drop(ccs->cache, l->task->stem, l->key.len, l->task->hash);
    else if (l->mine != NULL)
        return CCS_PENDING;
    ccs_cache_put_failure(ccs->cache, l->task->stem, l->task->hash, &l->failure.error,
                          &l->failure.stamp, l->failure.until_ms, l->failure.generation + l->epoch);
    out->code = l->failure.error.code;
    out->error = l->failure.error;
    return CCS_OK;
}

/* -- store -> shared memory ---------------------------------------------------------------- */

static int64_t unix_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Puts what was fetched where all processes find it, and this one too. */
static void publish(struct load *l, struct ccs_fetched *fetched)
{
    struct ccs *ccs = l->ccs;
    struct ccs_record_part parts[CCS_RECORD_PARTS_MAX];
    struct ccs_vault_published published;
    struct ccs_cred *cred = fetched->cred;
    struct ccs_vault_item item = {.loaded_ms = unix_ms(), .loaded_for = l->name.stamp};
    struct ccs_secret data = {0};
    bool whole = true;

    ccs_companion_yield();
    cred->hash = l->task->hash;
    atomic_init(&cred->generation, ccs_vault_generation(&ccs->layout->vault, cred->hash));
    cred->slot = CCS_VAULT_SLOT_NONE;
    for (size_t i = 0; i < cred->part_count; i++) {
        const struct ccs_part *part = cred->parts[i];

        memset(&parts[i], 0, sizeof(parts[i]));
        memcpy(parts[i].file, part->file, sizeof(parts[i].file));
        memcpy(parts[i].digest, part->digest, sizeof(parts[i].digest));
        parts[i].kind = part->kind;
        parts[i].stamp = part->stamp;
        parts[i].pfx = fetched->pfx[i];
        whole = whole && fetched->pfx[i] != NULL;
    }
    if (whole && l->claimed &&
        ccs_record_encode(parts, cred->part_count, ccs->layout->intermediates, &data,
                          &item.head_len, item.content) == CCS_OK) {
        item.data = data.data;
        item.len = data.len;
        if (ccs_vault_put(&ccs->layout->vault, &l->key, &l->claim, false, &item, CCS_LOCK_WAIT,
                          &published) == CCS_OK) {
            atomic_store(&cred->generation, published.generation);
            cred->version = published.version;
            cred->slot = published.slot;
        }
    }
    ccs_secret_free(&data);
    ccs_cache_put(ccs->cache, cred);
    /* Whoever noted a change after the files were opened may have looked here before this was put
     * down, and found nothing to mend. */
    if (is_outdated(l, l->name.stamp))
        run_again(l);
}

/* Remembers why there is nothing (better), here and for all processes. */
static void remember(struct load *l, const struct ccs_fetched *fetched, int64_t until_ms)
{
    struct ccs *ccs = l->ccs;
    struct ccs_vault_failure failure = {.error = fetched->error, .stamp = fetched->stamp};
    uint64_t generation = l->claimed ? l->claim.generation : l->entry.generation;

    /* Something came meanwhile, nobody knows what: it is known, but not believed. */
    failure.until_ms = ccs_failure_epoch(ccs) == l->epoch ? until_ms : 0;
    if (l->claimed)
        (void)ccs_vault_put_failure(&ccs->layout->vault, &l->key, ccs->mend, &l->claim, false,
                                    &failure, CCS_LOCK_WAIT);
    (void)ccs_cache_put_failure(ccs->cache, l->task->stem, l->task->hash, &fetched->error,
                                &fetched->stamp, failure.until_ms, generation + l->epoch);
}

/* The first listing is not done. */
static bool is_listing(struct load *l)
{
    struct ccs_index_status status;

    ccs_index_status(&l->ccs->index, &status);
    return status.state == CCS_INDEX_NONE || status.state == CCS_INDEX_EMPTY;
}

static void settle_missing(struct load *l, const struct ccs_fetched *fetched)
{
    struct ccs *ccs = l->ccs;

    if (l->previous != NULL)
        ccs_log(ccs->log, CCS_LOG_WARN, "\"%s\" was removed from the store and is served no longer",
                l->task->stem);
    if (l->previous != NULL || l->mine != NULL)
        (void)ccs_vault_remove(&ccs->layout->vault, &l->key, 0, CCS_LOCK_WAIT);
    ccs_cache_drop(ccs->cache, l->task->stem, l->key.len, l->task->hash);
    /* Removing moved the generation, which a failure of the claim's would not survive. */
    if (l->claimed)
        l->claim.generation = ccs_vault_generation(&ccs->layout->vault, l->task->hash);
    /* Only the first listing can tell whether the file is there in an odd spelling. */
    remember(l, fetched, is_listing(l) ? 0 : ccs_now_ms() + ccs->settings.negative_ms);
}

static void settle(struct load *l, struct ccs_fetched *fetched)
{
    struct ccs *ccs = l->ccs;
    int64_t now = ccs_now_ms();

    if (fetched->error.code < 0 && fetched->error.code != CCS_ENOTFOUND &&
        fetched->error.code > -CCS_COMMON_PROBES)
        ccs_counters_add_common(ccs->layout->counters, (unsigned)-fetched->error.code, 1);

    switch (fetched->code) {
    case CCS_OK:
        /* Counted first, so that who sees the new certificate sees that it was loaded. */
        ccs_count(ccs, CCS_COUNT_LOADS);
        if (fetched->error.code < 0)
            ccs_count(ccs, CCS_COUNT_LOAD_ERRORS);
        publish(l, fetched);
        if (fetched->error.code < 0)
            remember(l, fetched, 0);
        break;
    case CCS_ENOTFOUND:
        settle_missing(l, fetched);
        break;
    case CCS_EUNAVAIL:
        ccs_count(ccs, CCS_COUNT_LOAD_ERRORS);
        remember(l, fetched, now + UNAVAILABLE_MS);
        ccs_refresh_hint(ccs->refresh, fetched->code);
        break;
    default:
        ccs_count(ccs, CCS_COUNT_LOAD_ERRORS);
        remember(l, fetched, now + ccs->settings.negative_ms);
        break;
    }
}

/* What fetch may keep parts of: the shared memory knows what they were made of, L1 does not. */
static void find_previous(struct load *l, struct ccs_fetch_job *job)
{
    if (l->entry.version != 0 && l->entry.same &&
        ccs_vault_get(&l->ccs->layout->vault, &l->key, 0, CCS_LOCK_WAIT, &l->entry) != CCS_OK)
        l->entry.version = 0;
    if (l->entry.version != 0 && !l->entry.same)
        l->previous = cred_of_entry(l);
    for (size_t i = 0; l->previous != NULL && i < l->record.part_count; i++)
        job->previous_pfx[i] = l->record.parts[i].pfx;
    if (l->previous == NULL && l->mine != NULL) {
        l->previous = ccs_cred_ref(l->mine);
        /*
         * What the shared memory does not hold any more may have been removed from the store, and
         * nobody need remember that: a file that is missing now is not one that is being replaced.
         */
        job->removed = 1;
    }
    job->previous = l->previous;
}

/* With no answer from the store, what this process has goes on being served. */
static void serve_stale(struct load *l, struct ccs_loaded *out)
{
    if (l->mine == NULL)
        return;
    atomic_store(&l->mine->generation, l->entry.generation);
    out->code = CCS_OK;
    out->cred = ccs_cred_ref(l->mine);
    out->result = CCS_RESULT_STALE;
}

static int64_t from_store(struct load *l, struct ccs_loaded *out)
{
    struct ccs *ccs = l->ccs;
    struct ccs_fetched fetched;
    struct ccs_fetch_job job = {
        .stem = l->task->stem,
        .kinds = l->answer == CCS_INDEX_PRESENT ? l->name.kinds : (1u << CCS_FILE_KINDS) - 1,
        .odd = l->answer != CCS_INDEX_PRESENT || l->name.odd,
        .known = l->known ? &l->failure.error : NULL,
        .known_stamp = l->failure.stamp,
        .removed = (l->task->flags & CCS_JOB_REMOVED) != 0,
        .attempt = l->task->attempt,
    };
    const int64_t began = ccs_now_ms();
    int64_t retry_ms;

    find_previous(l, &job);
    retry_ms = ccs_fetch(&ccs->fetcher, &job, &fetched);
    ccs_latency_add(ccs->layout->counters, CCS_COMMON_LOADS, ccs_now_ms() - began);
    if (retry_ms == 0 && !atomic_load(&ccs->closing)) {
        settle(l, &fetched);
    } else if (retry_ms > 0 && l->task->attempt > 0 && l->previous == NULL) {
        /* Without its stamp, so that it is not taken for a file that was reported. */
        memset(&fetched.stamp, 0, sizeof(fetched.stamp));
        remember(l, &fetched, ccs_now_ms() + retry_ms);
    }
    out->code = fetched.code;
    out->cred = fetched.cred;
    out->error = fetched.error;
    out->result = CCS_RESULT_LOADED;
    ccs_fetched_clear(&fetched);
    if (retry_ms == 0 && out->code == CCS_EUNAVAIL)
        serve_stale(l, out);
    return retry_ms;
}

/* -- what the index says ------------------------------------------------------------------- */

/* Looked for already while the first listing is not done, with nothing having come since. */
static bool was_probed(struct load *l)
{
    struct ccs *ccs = l->ccs;
    struct ccs_failure *f = ccs_cache_get_failure(ccs->cache, l->task->stem, l->key.len,
                                                  l->task->hash);
    const bool probed = f != NULL && f->error.code == CCS_ENOTFOUND &&
                        f->generation ==
                            ccs_vault_generation(&ccs->layout->vault, l->task->hash) + l->epoch;

    ccs_failure_unref(f);
    return probed;
}

/*
 * A name that may not be there, while nothing is known of it that could be served: looks at the
 * store are limited, so that made-up names do not wear it out.
 */
static int64_t probe_store(struct load *l, struct ccs_loaded *out)
{
    struct ccs *ccs = l->ccs;
    const bool listing = is_listing(l);
    int64_t retry_ms;

    out->code = CCS_PENDING;
    if ((listing && was_probed(l)) ||
        !ccs_index_probe_take(&ccs->index, ccs->settings.probe_rate, ccs_now_ms()))
        return UNTOLD_MS;
    ccs_counters_add_common(ccs->layout->counters, CCS_COMMON_PROBES, 1);
    retry_ms = from_store(l, out);
    if (out->code != CCS_ENOTFOUND) {
        ccs_index_probe_give_back(&ccs->index, ccs->settings.probe_rate);
        return retry_ms;
    }
    /* Only the listing knows upper-case and other odd spellings. */
    if (!listing || !is_listing(l))
        return retry_ms;
    out->code = CCS_PENDING;
    return UNTOLD_MS;
}

/* The files of the stem, if there may be any. */
static int64_t from_files(struct load *l, struct ccs_loaded *out)
{
    struct ccs *ccs = l->ccs;
    const bool in_service = l->mine != NULL || l->entry.version != 0;

    if (atomic_load(&ccs->store_down)) {
        out->code = ccs_error_set(&out->error, CCS_EUNAVAIL, "the store does not answer");
        serve_stale(l, out);
        return 0;
    }
    /* Before the files are opened: what changes meanwhile must not seem to be known. */
    l->answer = ccs_index_lookup(&ccs->index, l->task->hash, &l->name);
    if (l->answer == CCS_INDEX_PRESENT || in_service)
        return from_store(l, out);
    if (l->answer == CCS_INDEX_UNKNOWN)
        return probe_store(l, out);
    out->code = ccs_error_set(&out->error, CCS_ENOTFOUND, "the store has no file for \"%s\"",
                              l->task->stem);
    return 0;
}

/* -- the run ------------------------------------------------------------------------------- */

static int64_t run(struct load *l, struct ccs_loaded *out)
{
    struct ccs *ccs = l->ccs;
    int64_t retry_ms;
    int rv;

    if (!l->reload && from_shared(l, out) == CCS_OK)
        return 0;
    if (atomic_load(&ccs->closing)) {
        out->code = CCS_ECLOSED;
        return 0;
    }
    rv = ccs_vault_claim(&ccs->layout->vault, &l->key, ccs_now_ms() + ccs->settings.wait_ms,
                         CCS_LOCK_WAIT, &l->claim, NULL);
    if (rv == CCS_PENDING) {
        out->code = CCS_PENDING;
        return ELSEWHERE_MS;
    }
    /* Without a claim (too many loads at once) it is loaded for this process alone. */
    l->claimed = rv == CCS_OK;
    if (!l->reload && from_shared(l, out) == CCS_OK) {
        retry_ms = 0;
    } else {
        if (l->reload) {
            if (ccs_vault_get(&ccs->layout->vault, &l->key, 0, CCS_LOCK_WAIT, &l->entry) != CCS_OK)
                l->entry.version = 0;
            l->known = ccs_vault_get_failure(&ccs->layout->vault, &l->key, ccs->mend, CCS_LOCK_WAIT,
                                             &l->failure) == CCS_OK;
        }
        retry_ms = from_files(l, out);
    }
    if (l->claimed)
        (void)ccs_vault_release(&ccs->layout->vault, &l->claim, CCS_LOCK_WAIT);
    return retry_ms;
}

int64_t ccs_load(const struct ccs_task *task, struct ccs_loaded *out, void *arg)
{
    struct ccs *ccs = arg;
    struct load *l = calloc(1, sizeof(*l));
    int64_t retry_ms;

    if (l == NULL) {
        out->code = ccs_error_set(&out->error, CCS_ENOMEM, "no memory for a load");
        return 0;
    }
    l->ccs = ccs;
    l->task = task;
    l->key = (struct ccs_vault_key){
        .store = ccs->store_id, .hash = task->hash, .stem = task->stem, .len = strlen(task->stem)};
    l->epoch = ccs_failure_epoch(ccs);
    l->reload = (task->flags & (CCS_JOB_CHANGED | CCS_JOB_REMOVED)) != 0 || task->attempt > 0;
    l->mine = ccs_cache_get(ccs->cache, task->stem, l->key.len, task->hash);
    retry_ms = run(l, out);
    ccs_cred_unref(l->mine);
    ccs_cred_unref(l->previous);
    ccs_vault_entry_free(&l->entry);
    free(l);
    return retry_ms;
}
