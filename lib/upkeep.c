/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "instance.h"

/* How long an answer of a store that does not answer is believed, until the refresher knows. */
#define UNAVAILABLE_MS 1000

static unsigned changes_of(struct ccs *ccs, uint64_t hash)
{
    return atomic_load(&ccs->changes[hash % CCS_CHANGE_STRIPES]) + atomic_load(&ccs->all_changes);
}

/* Remembers a failure, unless something changed since the store was asked. */
static void remember(struct ccs *ccs, const struct ccs_task *task,
                     const struct ccs_fetched *fetched, int64_t until_ms, unsigned changes_before)
{
    if (ccs_cache_put_failure(ccs->cache, task->stem, task->hash, &fetched->error, &fetched->stamp,
                              until_ms) != CCS_OK)
        return;
    /* Written first and checked then: whoever changes something counts first and expires then. */
    if (changes_of(ccs, task->hash) != changes_before)
        ccs_cache_expire_failure(ccs->cache, task->stem, strlen(task->stem), task->hash);
}

/*
 * The same until a file that is being written is looked at again. Without its stamp, so that it is
 * not taken for a file that was reported.
 */
static void remember_for_now(struct ccs *ccs, const struct ccs_task *task,
                             struct ccs_fetched *fetched, int64_t retry_ms, unsigned changes_before)
{
    memset(&fetched->stamp, 0, sizeof(fetched->stamp));
    remember(ccs, task, fetched, ccs_now_ms() + retry_ms, changes_before);
}

static void settle(struct ccs *ccs, const struct ccs_task *task, struct ccs_fetched *fetched,
                   const struct ccs_cred *previous, unsigned changes_before)
{
    int64_t now = ccs_now_ms();

    switch (fetched->code) {
    case CCS_OK:
        fetched->cred->hash = task->hash;
        ccs_cache_put(ccs->cache, fetched->cred);
        ccs_count(&ccs->counters.loads);
        if (fetched->error.code < 0) {
            ccs_count(&ccs->counters.load_errors);
            remember(ccs, task, fetched, 0, changes_before);
        }
        break;
    case CCS_ENOTFOUND:
        if (previous != NULL)
            ccs_log(ccs->log, CCS_LOG_WARN,
                    "\"%s\" was removed from the store and is served no longer", task->stem);
        ccs_cache_drop(ccs->cache, task->stem, strlen(task->stem), task->hash);
        remember(ccs, task, fetched, now + ccs->settings.negative_ms, changes_before);
        break;
    case CCS_EUNAVAIL:
        ccs_count(&ccs->counters.load_errors);
        remember(ccs, task, fetched, now + UNAVAILABLE_MS, changes_before);
        ccs_refresh_hint(ccs->refresh, fetched->code);
        break;
    default:
        ccs_count(&ccs->counters.load_errors);
        remember(ccs, task, fetched, now + ccs->settings.negative_ms, changes_before);
        break;
    }
}

int64_t ccs_upkeep_load(const struct ccs_task *task, struct ccs_loaded *out, void *arg)
{
    struct ccs *ccs = arg;
    size_t len = strlen(task->stem);
    unsigned changes_before = changes_of(ccs, task->hash);
    struct ccs_cred *previous = ccs_cache_get(ccs->cache, task->stem, len, task->hash);
    struct ccs_failure *known = ccs_cache_get_failure(ccs->cache, task->stem, len, task->hash);
    struct ccs_fetched fetched;
    struct ccs_fetch_job job = {
        .stem = task->stem,
        .previous = previous,
        .known = known != NULL ? &known->error : NULL,
        .removed = (task->flags & CCS_JOB_REMOVED) != 0,
        .attempt = task->attempt,
    };
    int64_t retry_ms;

    if (known != NULL)
        job.known_stamp = known->stamp;
    retry_ms = ccs_fetch(&ccs->fetcher, &job, &fetched);
    if (retry_ms == 0 && !atomic_load(&ccs->closing))
        settle(ccs, task, &fetched, previous, changes_before);
    else if (retry_ms > 0 && task->attempt > 0 && previous == NULL)
        remember_for_now(ccs, task, &fetched, retry_ms, changes_before);
    out->code = fetched.code;
    out->cred = fetched.cred;
    out->error = fetched.error;
    ccs_cred_unref(previous);
    ccs_failure_unref(known);
    return retry_ms;
}

/* -- what the refresher tells -------------------------------------------------------------- */

/* Loads a stem again if it is in use; what is not will be loaded when it is asked for. */
static void reload(struct ccs *ccs, const char *stem, unsigned flags)
{
    size_t len = strlen(stem);
    uint64_t hash = ccs_cache_hash(ccs->cache, stem, len);
    struct ccs_cred *cred;

    atomic_fetch_add(&ccs->changes[hash % CCS_CHANGE_STRIPES], 1);
    ccs_cache_expire_failure(ccs->cache, stem, len, hash);
    pthread_mutex_lock(&ccs->lock);
    cred = ccs_cache_get(ccs->cache, stem, len, hash);
    /* A full queue is no loss: the next look at what is cached finds the difference again. */
    if (cred != NULL || ccs_loader_has_locked(ccs->loader, stem, hash))
        (void)ccs_loader_submit_locked(ccs->loader, stem, hash,
                                       CCS_JOB_BACKGROUND | CCS_JOB_CHANGED | flags, NULL);
    pthread_mutex_unlock(&ccs->lock);
    ccs_cred_unref(cred);
}

static void on_changed(const char *stem, void *arg)
{
    reload(arg, stem, 0);
}

static void on_removed(const char *stem, void *arg)
{
    reload(arg, stem, CCS_JOB_REMOVED);
}

static void on_forget_failures(void *arg)
{
    struct ccs *ccs = arg;

    atomic_fetch_add(&ccs->all_changes, 1);
    ccs_cache_expire_failures(ccs->cache);
}

static size_t on_failures(void *arg)
{
    struct ccs *ccs = arg;

    return ccs_cache_failure_count(ccs->cache, ccs_now_ms());
}

static size_t on_cached(struct ccs_cached_file **out, void *arg)
{
    struct ccs *ccs = arg;
    struct ccs_cred **creds;
    size_t n = ccs_cache_snapshot(ccs->cache, &creds);
    size_t files = 0, at = 0;

    *out = NULL;
    for (size_t i = 0; i < n; i++)
        files += creds[i]->part_count;
    if (files > 0)
        *out = calloc(files, sizeof(**out));
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; *out != NULL && j < creds[i]->part_count; j++) {
            struct ccs_cached_file *f = &(*out)[at++];

            memcpy(f->stem, creds[i]->stem, sizeof(f->stem));
            memcpy(f->file, creds[i]->parts[j]->file, sizeof(f->file));
            f->stamp = creds[i]->parts[j]->stamp;
        }
        ccs_cred_unref(creds[i]);
    }
    free(creds);
    return at;
}

static void on_store_state(int up, const struct ccs_error *why, void *arg)
{
    struct ccs *ccs = arg;

    atomic_store(&ccs->store_down, !up);
    if (up) {
        on_forget_failures(ccs);
        ccs_log(ccs->log, CCS_LOG_WARN, "the store %s answers again", ccs->settings.store);
    } else {
        ccs_log(ccs->log, CCS_LOG_ERROR,
                "the store %s does not answer: %s; certificates already loaded stay in service",
                ccs->settings.store, why != NULL ? why->text : "no reason given");
    }
}

static void on_expired(void *arg)
{
    struct ccs *ccs = arg;

    ccs_cache_drop_all(ccs->cache);
    ccs_log(ccs->log, CCS_LOG_ERROR,
            "no contact with the store %s for longer than the setting stale: nothing is served "
            "from memory any more",
            ccs->settings.store);
}

void ccs_upkeep_ops(struct ccs *ccs, struct ccs_refresh_ops *ops)
{
    *ops = (struct ccs_refresh_ops){
        .changed = on_changed,
        .removed = on_removed,
        .forget_failures = on_forget_failures,
        .failures = on_failures,
        .cached = on_cached,
        .store_state = on_store_state,
        .expired = on_expired,
        .timers = ccs_acquire_timers,
        .arg = ccs,
    };
}
