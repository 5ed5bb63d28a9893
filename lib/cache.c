/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

/*
 * Both tables are set-associative: a stem can only be in the WAYS slots of its set. Slots are never
 * given back while the cache lives, which is what makes reading without a lock possible: a reader
 * pins the slot, loads the entry, takes a reference and unpins; a writer swaps the entry and waits
 * until nobody has the slot pinned before it lets go of the old one. Either the reader's pin comes
 * first and the writer sees it, or the swap does and the reader sees the new entry.
 */
#define WAYS 8

struct slot {
    _Atomic uint64_t hash; /* of the entry; 0 while empty */
    _Atomic(void *) entry;
    atomic_uint pins;
    atomic_bool referenced; /* used since CLOCK's hand came by */
};

struct table {
    struct slot *slots;
    size_t slot_count; /* a power of two, at least twice the limit */
    size_t limit;
    size_t hand; /* [lock] */
    _Atomic size_t count;
    bool failures;
};

struct ccs_cache {
    struct ccs_siphash_key key;
    pthread_mutex_t lock; /* serialises writers */
    struct table creds;
    struct table failures;
    _Atomic uint64_t evictions;
};

static const char *entry_stem(const struct table *t, const void *entry)
{
    return t->failures ? ((const struct ccs_failure *)entry)->stem
                       : ((const struct ccs_cred *)entry)->stem;
}

static void entry_ref(const struct table *t, void *entry)
{
    if (t->failures)
        atomic_fetch_add_explicit(&((struct ccs_failure *)entry)->refs, 1, memory_order_relaxed);
    else
        ccs_cred_ref(entry);
}

static void entry_unref(const struct table *t, void *entry)
{
    if (t->failures)
        ccs_failure_unref(entry);
    else
        ccs_cred_unref(entry);
}

void ccs_failure_unref(struct ccs_failure *failure)
{
    if (failure != NULL && atomic_fetch_sub_explicit(&failure->refs, 1, memory_order_acq_rel) == 1)
        free(failure);
}

static int table_init(struct table *t, size_t limit, bool failures)
{
    size_t n = WAYS;

    while (n < limit * 2)
        n *= 2;
    t->slots = calloc(n, sizeof(*t->slots));
    if (t->slots == NULL)
        return CCS_ENOMEM;
    t->slot_count = n;
    t->limit = limit;
    t->failures = failures;
    return CCS_OK;
}

static struct slot *table_set(const struct table *t, uint64_t hash)
{
    return &t->slots[(size_t)(hash & (t->slot_count / WAYS - 1)) * WAYS];
}

static CCS_WARM void *table_get(struct table *t, const char *stem, size_t len, uint64_t hash)
{
    struct slot *set = table_set(t, hash);

    for (size_t i = 0; i < WAYS; i++) {
        struct slot *s = &set[i];
        void *entry, *found = NULL;

        if (atomic_load_explicit(&s->hash, memory_order_relaxed) != hash)
            continue;
        atomic_fetch_add(&s->pins, 1);
        entry = atomic_load(&s->entry);
        if (entry != NULL) {
            ccs_prefetch(entry, 2 * CCS_CACHE_LINE);
            const char *has = entry_stem(t, entry);

            if (memcmp(has, stem, len) == 0 && has[len] == '\0') {
                entry_ref(t, entry);
                found = entry;
            }
        }
        atomic_fetch_sub_explicit(&s->pins, 1, memory_order_release);
        if (found != NULL) {
            if (!atomic_load_explicit(&s->referenced, memory_order_relaxed))
                atomic_store_explicit(&s->referenced, true, memory_order_relaxed);
            return found;
        }
    }
    return NULL;
}

/* Puts entry (a reference that the slot takes over; NULL empties it) in place of what is there. */
static void slot_swap_locked(struct table *t, struct slot *s, void *entry, uint64_t hash)
{
    void *old;

    if (entry == NULL)
        atomic_store(&s->hash, 0);
    old = atomic_exchange(&s->entry, entry);
    if (entry != NULL) {
        atomic_store(&s->referenced, true);
        atomic_store(&s->hash, hash);
    }
    if (old == NULL && entry != NULL)
        atomic_fetch_add(&t->count, 1);
    else if (old != NULL && entry == NULL)
        atomic_fetch_sub(&t->count, 1);
    if (old == NULL)
        return;
    while (atomic_load(&s->pins) != 0)
        sched_yield();
    entry_unref(t, old);
}

static struct slot *table_find_locked(struct table *t, const char *stem, size_t len, uint64_t hash)
{
    struct slot *set = table_set(t, hash);

    for (size_t i = 0; i < WAYS; i++) {
        void *entry = atomic_load(&set[i].entry);

        if (entry != NULL && atomic_load(&set[i].hash) == hash) {
            const char *has = entry_stem(t, entry);

            if (memcmp(has, stem, len) == 0 && has[len] == '\0')
                return &set[i];
        }
    }
    return NULL;
}

/* CLOCK over n slots from *hand on: the first one not used since the hand came by last. */
static struct slot *clock_pick(struct slot *slots, size_t n, size_t *hand)
{
    for (size_t turn = 0; turn < 2 * n; turn++) {
        struct slot *s = &slots[*hand % n];

        *hand = (*hand + 1) % n;
        if (atomic_load(&s->entry) == NULL)
            continue;
        if (!atomic_exchange(&s->referenced, false))
            return s;
    }
    /* Readers set the bits again as fast as the hand clears them: any one will do. */
    for (size_t i = 0; i < n; i++) {
        if (atomic_load(&slots[i].entry) != NULL)
            return &slots[i];
    }
    return NULL;
}

static void table_put_locked(struct ccs_cache *cache, struct table *t, const char *stem,
                             uint64_t hash, void *entry)
{
    struct slot *set = table_set(t, hash);
    struct slot *s = table_find_locked(t, stem, strlen(stem), hash);
    struct slot *victim = NULL;
    size_t from = 0;

    for (size_t i = 0; s == NULL && i < WAYS; i++) {
        if (atomic_load(&set[i].entry) == NULL)
            s = &set[i];
    }
    if (s == NULL)
        victim = s = clock_pick(set, WAYS, &from);
    else if (atomic_load(&s->entry) == NULL && atomic_load(&t->count) >= t->limit)
        victim = clock_pick(t->slots, t->slot_count, &t->hand);
    if (victim != NULL) {
        slot_swap_locked(t, victim, NULL, 0);
        if (!t->failures)
            atomic_fetch_add(&cache->evictions, 1);
    }
    slot_swap_locked(t, s, entry, hash);
}

static void table_drop_locked(struct table *t, const char *stem, size_t len, uint64_t hash)
{
    struct slot *s = table_find_locked(t, stem, len, hash);

    if (s != NULL)
        slot_swap_locked(t, s, NULL, 0);
}

static void table_drop_all_locked(struct table *t)
{
    for (size_t i = 0; i < t->slot_count; i++) {
        if (atomic_load(&t->slots[i].entry) != NULL)
            slot_swap_locked(t, &t->slots[i], NULL, 0);
    }
}

struct ccs_cache *ccs_cache_new(size_t parsed, size_t failures, const struct ccs_siphash_key *key)
{
    struct ccs_cache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL)
        return NULL;
    pthread_mutex_init(&cache->lock, NULL);
    cache->key = *key;
    if (table_init(&cache->creds, parsed, false) != CCS_OK ||
        table_init(&cache->failures, failures, true) != CCS_OK) {
        ccs_cache_free(cache);
        return NULL;
    }
    return cache;
}

void ccs_cache_free(struct ccs_cache *cache)
{
    if (cache == NULL)
        return;
    if (cache->creds.slots != NULL)
        table_drop_all_locked(&cache->creds);
    if (cache->failures.slots != NULL)
        table_drop_all_locked(&cache->failures);
    free(cache->creds.slots);
    free(cache->failures.slots);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

CCS_WARM uint64_t ccs_cache_hash(const struct ccs_cache *cache, const char *stem, size_t len)
{
    uint64_t h = ccs_siphash(&cache->key, stem, len);

    /* 0 marks an empty slot. */
    return h != 0 ? h : 1;
}

CCS_WARM struct ccs_cred *ccs_cache_get(struct ccs_cache *cache, const char *stem, size_t len,
                                        uint64_t hash)
{
    return table_get(&cache->creds, stem, len, hash);
}

struct ccs_failure *ccs_cache_get_failure(struct ccs_cache *cache, const char *stem, size_t len,
                                          uint64_t hash)
{
    return table_get(&cache->failures, stem, len, hash);
}

void ccs_cache_put(struct ccs_cache *cache, struct ccs_cred *cred)
{
    pthread_mutex_lock(&cache->lock);
    table_put_locked(cache, &cache->creds, cred->stem, cred->hash, ccs_cred_ref(cred));
    table_drop_locked(&cache->failures, cred->stem, strlen(cred->stem), cred->hash);
    pthread_mutex_unlock(&cache->lock);
}

int ccs_cache_put_failure(struct ccs_cache *cache, const char *stem, uint64_t hash,
                          const struct ccs_error *error, const struct ccs_stamp *stamp,
                          int64_t until_ms, uint64_t generation)
{
    struct ccs_failure *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return CCS_ENOMEM;
    atomic_init(&f->refs, 1);
    f->hash = hash;
    atomic_init(&f->until_ms, until_ms);
    f->generation = generation;
    memcpy(f->stem, stem, strnlen(stem, sizeof(f->stem) - 1));
    f->error = *error;
    if (stamp != NULL)
        f->stamp = *stamp;
    pthread_mutex_lock(&cache->lock);
    table_put_locked(cache, &cache->failures, f->stem, hash, f);
    pthread_mutex_unlock(&cache->lock);
    return CCS_OK;
}

void ccs_cache_drop(struct ccs_cache *cache, const char *stem, size_t len, uint64_t hash)
{
    pthread_mutex_lock(&cache->lock);
    table_drop_locked(&cache->creds, stem, len, hash);
    pthread_mutex_unlock(&cache->lock);
}

void ccs_cache_drop_all(struct ccs_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    table_drop_all_locked(&cache->creds);
    pthread_mutex_unlock(&cache->lock);
}

static void failure_expire_locked(struct ccs_cache *cache, struct slot *s)
{
    struct ccs_failure *f = atomic_load(&s->entry);

    if (f->error.code <= CCS_EFILETYPE)
        atomic_store(&f->until_ms, 0);
    else
        slot_swap_locked(&cache->failures, s, NULL, 0);
}

void ccs_cache_expire_failure(struct ccs_cache *cache, const char *stem, size_t len, uint64_t hash)
{
    struct slot *s;

    pthread_mutex_lock(&cache->lock);
    s = table_find_locked(&cache->failures, stem, len, hash);
    if (s != NULL)
        failure_expire_locked(cache, s);
    pthread_mutex_unlock(&cache->lock);
}

void ccs_cache_expire_failures(struct ccs_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < cache->failures.slot_count; i++) {
        if (atomic_load(&cache->failures.slots[i].entry) != NULL)
            failure_expire_locked(cache, &cache->failures.slots[i]);
    }
    pthread_mutex_unlock(&cache->lock);
}

size_t ccs_cache_count(const struct ccs_cache *cache)
{
    return atomic_load_explicit(&cache->creds.count, memory_order_relaxed);
}

size_t ccs_cache_failure_count(struct ccs_cache *cache, int64_t now_ms)
{
    size_t n = 0;

    if (atomic_load_explicit(&cache->failures.count, memory_order_relaxed) == 0)
        return 0;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < cache->failures.slot_count; i++) {
        struct ccs_failure *f = atomic_load(&cache->failures.slots[i].entry);

        if (f != NULL && atomic_load(&f->until_ms) > now_ms)
            n++;
    }
    pthread_mutex_unlock(&cache->lock);
    return n;
}

uint64_t ccs_cache_evictions(const struct ccs_cache *cache)
{
    return atomic_load_explicit(&cache->evictions, memory_order_relaxed);
}

size_t ccs_cache_snapshot(struct ccs_cache *cache, struct ccs_cred ***out)
{
    struct ccs_cred **all = NULL;
    size_t n = 0;

    *out = NULL;
    pthread_mutex_lock(&cache->lock);
    if (atomic_load(&cache->creds.count) > 0)
        all = calloc(atomic_load(&cache->creds.count), sizeof(struct ccs_cred *));
    for (size_t i = 0; all != NULL && i < cache->creds.slot_count; i++) {
        struct ccs_cred *cred = atomic_load(&cache->creds.slots[i].entry);

        if (cred != NULL)
            all[n++] = ccs_cred_ref(cred);
    }
    pthread_mutex_unlock(&cache->lock);
    *out = all;
    return n;
}
