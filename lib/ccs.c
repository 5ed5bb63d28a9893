/* SPDX-License-Identifier: Apache-2.0 */
#include <ccs/ccs.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "instance.h"
#include "name.h"

/* Failures remembered at once: enough for what clients really ask, bounded against what they make
 * up. */
#define FAILURES_MAX 4096

/*
 * How long ccs_close() waits for threads. One that hangs in a dead file system may be left behind,
 * and a server that is told to end is not given long. One that is in OpenSSL must not be: the
 * process may be about to take OpenSSL apart.
 */
#define CLOSE_MS        500
#define CLOSE_DECODE_MS 5000
#define CLOSE_STEP_MS   50

static void wake_owner(void *arg)
{
    struct ccs *ccs = arg;

    ccs_notify_raise(&ccs->notify);
}

static void load_finished(void *arg)
{
    struct ccs *ccs = arg;

    ccs_notify_raise(&ccs->notify);
}

static struct ccs_loader *make_loader(struct ccs *ccs)
{
    const struct ccs_settings *s = &ccs->settings;
    struct ccs_loader_ops ops = {
        .load = ccs_load,
        .finish_locked = ccs_acquire_finish_locked,
        .finished = load_finished,
        .arg = ccs,
    };

    /* Room for everybody who may wait, and for a change of everything that is cached. */
    return ccs_loader_new(&ccs->lock, s->threads, (size_t)s->max_waiting + s->parsed, s->wait_ms,
                          &ops);
}

static void destroy(struct ccs *ccs)
{
    if (ccs == NULL)
        return;
    ccs_loader_free(ccs->loader);
    ccs_store_close(ccs->store);
    ccs_cache_free(ccs->cache);
    if (ccs->layout != NULL) {
        ccs_lease_give(ccs->layout->leases, &ccs->lease);
        ccs_counters_leave(ccs->layout->counters, ccs->counters, ccs->incarnation);
    }
    ccs_shared_free(ccs->shared);
    ccs_log_free(ccs->log);
    ccs_notify_close(&ccs->notify);
    pthread_mutex_destroy(&ccs->lock);
    ccs_config_free(ccs->config);
    free(ccs);
}

/* The memory that the configuration names, or some of this process's own: one way for both. */
static int share_memory(struct ccs *ccs, struct ccs_error *err)
{
    int rv = CCS_OK;

    if (ccs->settings.shared != NULL)
        ccs->shared = ccs_shared_ref(ccs->settings.shared);
    else
        rv = ccs_shared_new(ccs->settings.cache_size, &ccs->shared, err);
    if (rv != CCS_OK)
        return rv;
    ccs->layout = &ccs->shared->layout;
    ccs->store_id = ccs_shared_store_id(&ccs->settings);
    ccs->mend = ccs_shared_mend(&ccs->settings);
    ccs->configuration = ccs->settings.configuration;
    if (ccs->configuration == 0)
        ccs->configuration = ccs_leases_configuration(ccs->layout->leases);
    ccs->counters = ccs_counters_join(ccs->layout->counters, &ccs->incarnation);
    return CCS_OK;
}

int ccs_open_with(struct ccs_config *cfg, struct ccs_store *store, struct ccs **out,
                  struct ccs_error *err)
{
    struct ccs *ccs = calloc(1, sizeof(*ccs));
    struct ccs_siphash_key key;
    struct ccs_vault_stats stats;
    struct ccs_refresh_ops ops;
    int rv;

    if (ccs == NULL) {
        ccs_store_close(store);
        return ccs_error_set(err, CCS_ENOMEM, "no memory for a certificate store");
    }
    ccs->store = store;
    ccs->config = ccs_config_freeze(cfg);
    ccs_config_values(ccs->config, &ccs->settings);
    pthread_mutex_init(&ccs->lock, NULL);
    TAILQ_INIT(&ccs->pending);
    TAILQ_INIT(&ccs->completed);
    if (ccs_notify_init(&ccs->notify) != CCS_OK) {
        rv = ccs_error_sys(err, CCS_ENOMEM, errno, "no eventfd for a certificate store");
        goto out;
    }
    rv = share_memory(ccs, err);
    if (rv != CCS_OK)
        goto out;
    key = ccs_arena_key(ccs->layout->arena, ccs->store_id);
    rv = ccs_index_attach(&ccs->index, ccs->layout->index, ccs->layout->index_size, ccs->store_id,
                          &key, err);
    if (rv != CCS_OK)
        goto out;
    ccs->log = ccs_config_make_log(ccs->config, wake_owner, ccs);
    ccs->cache = ccs_cache_new(ccs->settings.parsed, FAILURES_MAX, &key);
    ccs->loader = make_loader(ccs);
    if (ccs->log == NULL || ccs->cache == NULL || ccs->loader == NULL) {
        rv = ccs_error_set(err, CCS_ENOMEM, "no memory for a certificate store");
        goto out;
    }
    ccs_store_set_log(ccs->store, ccs->log);
    ccs->fetcher.store = ccs->store;
    ccs->fetcher.index = &ccs->index;
    ccs->fetcher.log = ccs->log;
    ccs->fetcher.settings = &ccs->settings;
    ccs->fetcher.closing = &ccs->closing;
    ccs->fetcher.reads = &ccs->counters->own[CCS_COUNT_READS];
    ccs->fetcher.decodes = &ccs->counters->own[CCS_COUNT_DECODES];
    /* Before the refresher begins, which looks at everything anyway. */
    (void)ccs_lease_take(ccs->layout->leases, ccs->store_id, ccs->configuration, ccs_now_ms(),
                         &ccs->lease);
    ccs->next_beat = ccs_now_ms() + CCS_LEASE_BEAT_MS;
    ccs_upkeep_ops(ccs, &ops);
    rv = ccs_refresh_start(ccs->store, &ccs->index, ccs->log, &ccs->settings, &ops, &ccs->refresh,
                           err);
    /* What an older configuration has seen and did not get done is seen again. */
    ccs_vault_stats_get(&ccs->layout->vault, &stats);
    if (rv == CCS_OK && stats.entries > 0)
        ccs_refresh_distrust(ccs->refresh);

out:
    if (rv != CCS_OK) {
        destroy(ccs);
        return rv;
    }
    *out = ccs;
    return CCS_OK;
}

int ccs_open(struct ccs_config *cfg, struct ccs **out, struct ccs_error *err)
{
    struct ccs_store *store;
    int rv;

    rv = ccs_config_check(cfg, err);
    if (rv == CCS_OK)
        rv = ccs_store_open_config(cfg, &store, err);
    if (rv != CCS_OK)
        return rv;
    return ccs_open_with(cfg, store, out, err);
}

static int stop_loader(struct ccs *ccs)
{
    int64_t waited = 0;

    /* Steps count, not the clock: while the whole process stood still, no thread could end. */
    while (!ccs_loader_end(ccs->loader, CLOSE_STEP_MS)) {
        waited += CLOSE_STEP_MS;
        if (waited >= (atomic_load(&ccs->fetcher.decoding) > 0 ? CLOSE_DECODE_MS : CLOSE_MS))
            break;
    }
    return ccs_loader_stop(ccs->loader, 0);
}

void ccs_close(struct ccs *ccs)
{
    int ended;

    if (ccs == NULL)
        return;
    atomic_store(&ccs->closing, true);
    ccs_acquire_close(ccs);
    /* The loaders first: they talk to the refresher. One that hangs finds closing when it returns.
     */
    ended = stop_loader(ccs);
    if (!ccs_refresh_stop(ccs->refresh, CLOSE_MS))
        ended = 0;
    ccs_lease_give(ccs->layout->leases, &ccs->lease);
    ccs_log_deliver(ccs->log, 0);
    /* A thread that hangs in the store still holds on to all of this: it is left to the process. */
    if (ended)
        destroy(ccs);
}

int ccs_event_fd(const struct ccs *ccs)
{
    return ccs->notify.fd;
}

int ccs_dispatch(struct ccs *ccs, unsigned max)
{
    unsigned n;

    ccs_notify_clear(&ccs->notify);
    /* No more than half of it for log lines: those that wait for an answer have their share. */
    n = ccs_log_deliver(ccs->log, max - max / 2);
    if (max == 0 || n < max)
        n += ccs_acquire_dispatch(ccs, max == 0 ? 0 : max - n);
    if (max != 0 && n >= max)
        ccs_notify_raise(&ccs->notify);
    return (int)n;
}

static void forget(struct ccs *ccs, const char *stem, size_t len)
{
    struct ccs_vault_key key = {.store = ccs->store_id, .stem = stem, .len = len};

    key.hash = ccs_cache_hash(ccs->cache, stem, len);
    (void)ccs_vault_remove(&ccs->layout->vault, &key, 0, CCS_LOCK_WAIT);
    (void)ccs_vault_expire_failure(&ccs->layout->vault, &key, CCS_LOCK_WAIT);
    ccs_cache_drop(ccs->cache, stem, len, key.hash);
    ccs_cache_expire_failure(ccs->cache, stem, len, key.hash);
}

void ccs_invalidate(struct ccs *ccs, const char *name, size_t len)
{
    char exact[CCS_STEM_SIZE], wildcard[CCS_STEM_SIZE];
    size_t exact_len, wildcard_len;

    if (name == NULL) {
        ccs_vault_remove_store(&ccs->layout->vault, ccs->store_id);
        ccs_vault_expire_failures(&ccs->layout->vault, ccs->store_id);
        ccs_cache_drop_all(ccs->cache);
        ccs_cache_expire_failures(ccs->cache);
        return;
    }
    if (ccs_name_canonical(name, len, exact, &exact_len) != CCS_OK)
        return;
    forget(ccs, exact, exact_len);
    if (ccs_name_wildcard(exact, exact_len, wildcard, &wildcard_len) == CCS_OK)
        forget(ccs, wildcard, wildcard_len);
}

void ccs_stats_get(const struct ccs *ccs, struct ccs_stats *out, size_t size)
{
    /* Reading does not change an instance, but a mutex cannot be taken without writing to it. */
    struct ccs *self = (struct ccs *)(uintptr_t)ccs;
    const _Atomic uint64_t *c = ccs->counters->own;
    struct ccs_stats s = {
        .hits = atomic_load(&c[CCS_COUNT_HITS]),
        .shared = atomic_load(&c[CCS_COUNT_SHARED]),
        .misses = atomic_load(&c[CCS_COUNT_MISSES]),
        .not_found = atomic_load(&c[CCS_COUNT_NOT_FOUND]),
        .refused = atomic_load(&c[CCS_COUNT_REFUSED]),
        .loads = atomic_load(&c[CCS_COUNT_LOADS]),
        .load_errors = atomic_load(&c[CCS_COUNT_LOAD_ERRORS]),
        .timeouts = atomic_load(&c[CCS_COUNT_TIMEOUTS]),
        .busy = atomic_load(&c[CCS_COUNT_BUSY]),
        .store_reads = atomic_load(&c[CCS_COUNT_READS]),
        .decodes = atomic_load(&c[CCS_COUNT_DECODES]),
        .evictions = ccs_cache_evictions(ccs->cache),
        .cached = ccs_cache_count(ccs->cache),
        .store_down = atomic_load(&ccs->store_down),
    };

    pthread_mutex_lock(&self->lock);
    s.waiting = ccs->waiting;
    pthread_mutex_unlock(&self->lock);
    memset(out, 0, size);
    memcpy(out, &s, size < sizeof(s) ? size : sizeof(s));
}
