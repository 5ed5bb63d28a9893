/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include <string.h>

#include "error.h"
#include "fault.h"
#include "robust.h"

struct slot {
    _Atomic uint64_t token; /* 0: nobody has it. Written last by whoever takes it */
    uint64_t store;
    uint64_t configuration; /* of the last holder */
    _Atomic int64_t heartbeat_ms;
    uint64_t used;
};

struct ccs_leases {
    _Alignas(CCS_ARENA_ALIGN) pthread_mutex_t lock; /* for taking */
    _Atomic uint64_t tokens;                        /* the last one given out */
    _Atomic uint64_t configurations;
    struct slot slots[CCS_LEASES_MAX];
};

int ccs_leases_format(struct ccs_leases **out, struct ccs_arena *arena, struct ccs_error *err)
{
    struct ccs_leases *l = ccs_arena_reserve(arena, CCS_ARENA_LEASES, sizeof(*l));

    if (l == NULL)
        return ccs_error_set(err, CCS_EINVAL, "the shared memory is too small for leases");
    memset(l, 0, sizeof(*l));
    if (ccs_robust_init(&l->lock) != CCS_OK)
        return ccs_error_set(err, CCS_ENOMEM, "no lock for the shared memory");
    *out = l;
    return CCS_OK;
}

int ccs_leases_attach(struct ccs_leases **out, const struct ccs_arena *arena, struct ccs_error *err)
{
    size_t size;
    struct ccs_leases *l = ccs_arena_part(arena, CCS_ARENA_LEASES, &size);

    if (l == NULL || size != sizeof(*l))
        return ccs_error_set(err, CCS_EINVAL, "the shared memory holds no leases of ours");
    *out = l;
    return CCS_OK;
}

uint64_t ccs_leases_configuration(struct ccs_leases *leases)
{
    return atomic_fetch_add_explicit(&leases->configurations, 1, memory_order_relaxed) + 1;
}

/* How long ago the holder was heard of. A time to come is no sign of life. */
static bool silent_for(const struct slot *s, int64_t now_ms, int64_t ms)
{
    int64_t age = now_ms - atomic_load_explicit(&s->heartbeat_ms, memory_order_relaxed);

    return age > ms || age < -ms;
}

/* The slot of a store: its own, a free one, or that of a store that nobody has refreshed for long.
 */
static struct slot *slot_for(struct ccs_leases *leases, uint64_t store, int64_t now_ms)
{
    struct slot *place = NULL;

    for (size_t i = 0; i < CCS_LEASES_MAX; i++) {
        struct slot *s = &leases->slots[i];

        if (s->used && s->store == store)
            return s;
        if (place != NULL && !place->used)
            continue;
        if (!s->used || silent_for(s, now_ms, CCS_LEASE_FORGET_MS))
            place = s;
    }
    return place;
}

static bool may_take(const struct slot *s, uint64_t configuration, int64_t now_ms)
{
    uint64_t token = atomic_load_explicit(&s->token, memory_order_relaxed);

    if (configuration > s->configuration || silent_for(s, now_ms, CCS_LEASE_STALE_MS))
        return true;
    return token == 0 && configuration == s->configuration;
}

int ccs_lease_take(struct ccs_leases *leases, uint64_t store, uint64_t configuration,
                   int64_t now_ms, struct ccs_lease *out)
{
    struct slot *s;
    uint64_t token;
    bool died;
    int rv;

    rv = ccs_robust_lock(&leases->lock, CCS_LOCK_WAIT, &died);
    if (rv != CCS_OK)
        return rv;
    /* Nothing to repair: without its token a slot belongs to nobody. */
    if (died)
        ccs_robust_repaired(&leases->lock);
    s = slot_for(leases, store, now_ms);
    if (s == NULL) {
        rv = CCS_EBUSY;
    } else if (s->used && s->store == store && !may_take(s, configuration, now_ms)) {
        rv = CCS_PENDING;
    } else {
        token = atomic_fetch_add_explicit(&leases->tokens, 1, memory_order_relaxed) + 1;
        atomic_store_explicit(&s->token, 0, memory_order_relaxed);
        ccs_robust_order();
        ccs_fault("lease.void");
        s->store = store;
        ccs_fault("lease.store");
        s->configuration = configuration;
        atomic_store_explicit(&s->heartbeat_ms, now_ms, memory_order_relaxed);
        s->used = 1;
        ccs_robust_order();
        ccs_fault("lease.filled");
        /* Release: a check that still finds the old token is before all that the new holder does.
         */
        atomic_store_explicit(&s->token, token, memory_order_release);
        ccs_fault("lease.taken");
        *out = (struct ccs_lease){.token = token, .slot = (uint32_t)(s - leases->slots)};
    }
    ccs_robust_unlock(&leases->lock);
    return rv;
}

bool ccs_lease_check(const struct ccs_leases *leases, const struct ccs_lease *lease)
{
    return lease->token != 0 && lease->slot < CCS_LEASES_MAX &&
           atomic_load_explicit(&leases->slots[lease->slot].token, memory_order_acquire) ==
               lease->token;
}

int ccs_lease_beat(struct ccs_leases *leases, const struct ccs_lease *lease, int64_t now_ms)
{
    if (!ccs_lease_check(leases, lease))
        return CCS_ECANCELED;
    /* If it is taken right here the new holder gets one heartbeat from us, which does no harm. */
    atomic_store_explicit(&leases->slots[lease->slot].heartbeat_ms, now_ms, memory_order_relaxed);
    return CCS_OK;
}

void ccs_lease_give(struct ccs_leases *leases, struct ccs_lease *lease)
{
    uint64_t token = lease->token;

    if (token != 0 && lease->slot < CCS_LEASES_MAX)
        (void)atomic_compare_exchange_strong(&leases->slots[lease->slot].token, &token, 0);
    *lease = (struct ccs_lease){0};
}
