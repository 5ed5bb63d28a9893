/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "instance.h"
#include "record.h"

/*
 * One process looks after the store for all that share its memory: it looks at what is cached,
 * loads what has changed and ends failures. All others only keep themselves ready to take over;
 * they watch, but say nothing. The callbacks below run one at a time, so the lease needs no lock of
 * its own.
 */
static bool leads(const struct ccs *ccs)
{
    return ccs_lease_check(ccs->layout->leases, &ccs->lease);
}

static uint64_t on_token(void *arg)
{
    struct ccs *ccs = arg;

    return leads(ccs) ? ccs->lease.token : 0;
}

static void keep_lease(struct ccs *ccs, int64_t now)
{
    struct ccs_leases *leases = ccs->layout->leases;

    if (ccs->lease.token != 0 && ccs_lease_beat(leases, &ccs->lease, now) == CCS_OK)
        return;
    memset(&ccs->lease, 0, sizeof(ccs->lease));
    /* What the last holder saw and did not get done is seen again by looking at everything. */
    if (ccs_lease_take(leases, ccs->store_id, ccs->configuration, now, &ccs->lease) == CCS_OK)
        ccs_refresh_distrust(ccs->refresh);
}

static int64_t on_timers(int64_t now_ms, void *arg)
{
    struct ccs *ccs = arg;
    int64_t next = ccs_acquire_timers(now_ms, ccs);
    int64_t tend = ccs_loader_tend(ccs->loader);

    if (tend < next)
        next = tend;
    if (now_ms >= ccs->next_beat) {
        keep_lease(ccs, now_ms);
        ccs->next_beat = now_ms + CCS_LEASE_BEAT_MS;
    }
    return next < ccs->next_beat ? next : ccs->next_beat;
}

/* -- what the refresher tells -------------------------------------------------------------- */

static struct ccs_vault_key key_of(const struct ccs *ccs, const char *stem)
{
    struct ccs_vault_key key = {.store = ccs->store_id, .stem = stem, .len = strlen(stem)};

    key.hash = ccs_cache_hash(ccs->cache, stem, key.len);
    return key;
}

/* Loads a stem again if any process has it; what none has will be loaded when it is asked for. */
static void reload(struct ccs *ccs, const char *stem, unsigned flags)
{
    const struct ccs_vault *vault = &ccs->layout->vault;
    struct ccs_vault_key key = key_of(ccs, stem);
    struct ccs_cred *mine = ccs_cache_get(ccs->cache, stem, key.len, key.hash);
    bool used = mine != NULL || ccs_vault_has(vault, &key, CCS_LOCK_WAIT);

    /* Of what is in use the generation moves when the new content is there, not before. */
    if (!used)
        ccs_vault_arrived(vault, key.hash);
    (void)ccs_vault_expire_failure(vault, &key, CCS_LOCK_WAIT);
    ccs_cache_expire_failure(ccs->cache, stem, key.len, key.hash);
    pthread_mutex_lock(&ccs->lock);
    /* A full queue is no loss: the next look at what is cached finds the difference again. */
    if (used || ccs_loader_has_locked(ccs->loader, stem, key.hash))
        (void)ccs_loader_submit_locked(ccs->loader, stem, key.hash,
                                       CCS_JOB_BACKGROUND | CCS_JOB_CHANGED | flags, NULL);
    pthread_mutex_unlock(&ccs->lock);
    ccs_cred_unref(mine);
}

static void on_changed(const char *stem, void *arg)
{
    if (leads(arg))
        reload(arg, stem, 0);
}

static void on_removed(const char *stem, void *arg)
{
    if (leads(arg))
        reload(arg, stem, CCS_JOB_REMOVED);
}

static void on_forget_failures(void *arg)
{
    struct ccs *ccs = arg;

    if (!leads(ccs))
        return;
    ccs_vault_expire_failures(&ccs->layout->vault, ccs->store_id);
    ccs_vault_arrived(&ccs->layout->vault, ccs->store_id);
    ccs_cache_expire_failures(ccs->cache);
}

static size_t on_failures(void *arg)
{
    struct ccs *ccs = arg;
    int64_t now = ccs_now_ms();

    if (!leads(ccs))
        return 0;
    return ccs_index_take_asked(&ccs->index) + ccs_cache_failure_count(ccs->cache, now) +
           ccs_vault_failure_count(&ccs->layout->vault, ccs->store_id, now);
}

struct cached_files {
    struct ccs_cached_file *files;
    size_t count, room;
};

static int add_cached(const struct ccs_vault_visit *visit, void *arg)
{
    struct cached_files *all = arg;
    struct ccs_record_part parts[CCS_RECORD_PARTS_MAX];
    size_t n;

    if (ccs_record_decode_head(visit->head, visit->head_len, parts, &n) != CCS_OK)
        return 0;
    if (all->count + n > all->room) {
        size_t room = all->room * 2 + 64;
        struct ccs_cached_file *files = realloc(all->files, room * sizeof(*files));

        if (files == NULL)
            return 1;
        all->files = files;
        all->room = room;
    }
    for (size_t i = 0; i < n; i++) {
        struct ccs_cached_file *f = &all->files[all->count++];

        snprintf(f->stem, sizeof(f->stem), "%s", visit->stem);
        memcpy(f->file, parts[i].file, sizeof(f->file));
        f->stamp = parts[i].stamp;
        f->loaded_for = visit->loaded_for;
    }
    return 0;
}

static size_t on_cached(struct ccs_cached_file **out, void *arg)
{
    struct ccs *ccs = arg;
    struct cached_files all = {0};

    if (leads(ccs))
        (void)ccs_vault_enumerate(&ccs->layout->vault, ccs->store_id, add_cached, &all);
    *out = all.files;
    return all.count;
}

static void on_store_state(int up, const struct ccs_error *why, void *arg)
{
    struct ccs *ccs = arg;

    if (atomic_exchange(&ccs->store_down, !up) != !up)
        ccs_counters_gauge(ccs->counters, CCS_GAUGE_STORE_DOWN, up ? -1 : 1);
    if (leads(ccs))
        ccs_index_set_away(&ccs->index, !up);
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

    (void)ccs_vault_remove_store(&ccs->layout->vault, ccs->store_id);
    ccs_cache_drop_all(ccs->cache);
    ccs_log(ccs->log, CCS_LOG_ERROR,
            "no contact with the store %s for longer than the setting stale: nothing is served "
            "from memory any more",
            ccs->settings.store);
}

void ccs_upkeep_ops(struct ccs *ccs, struct ccs_refresh_ops *ops)
{
    *ops = (struct ccs_refresh_ops){
        .token = on_token,
        .changed = on_changed,
        .removed = on_removed,
        .forget_failures = on_forget_failures,
        .failures = on_failures,
        .cached = on_cached,
        .store_state = on_store_state,
        .expired = on_expired,
        .timers = on_timers,
        .arg = ccs,
    };
}
